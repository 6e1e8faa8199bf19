//! Both ends of the control link between an edge and a balancer: one connection, which the edge dials.
//!
//! Lives here: HELLO and WELCOME, loads, stream facts, keys, the heartbeat. Does not live here: what a balancer
//! makes of it (`routing`).

use crate::beat::{Heartbeat, Pulse, Tick};
use crate::clock::{Offsets, WallClock};
use crate::limits::{BROADCASTS, CONTROL_BYTES};
use crate::{FrameReader, Hello, Load, Message, Names, PeerWord, Standing, TicketKey, Welcome, WireError};
use bytes::Bytes;
use media::{BroadcastId, RunId, StreamFacts};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What the balancer tells the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToEdge {
    /// Who it is, and the ingests; again when they change.
    Welcome(Welcome),
    /// The ticket keys that are valid, the current one first.
    Keys(Vec<TicketKey>),
    /// What the operator wants of this edge.
    Standing(Standing),
}

/// What the edge tells the balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBalancer {
    /// Who it is; first, and once.
    Hello(Hello),
    /// How it is doing.
    Load(Load),
    /// What a broadcast is.
    Stream(StreamFacts),
    /// A broadcast it has no longer.
    End {
        /// Which.
        broadcast: BroadcastId,
        /// Which run.
        run: RunId,
    },
    /// What another balancer says, where it is one that dialled.
    Peer(PeerWord),
}

/// Why a control link is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The peer's bytes cannot be taken.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Not a byte for so long.
    #[error("silent")]
    Silent,
    /// The peer takes nothing.
    #[error("it does not read: {waiting} bytes wait, at most {limit} may")]
    Unread {
        /// Bytes that wait.
        waiting: usize,
        /// Bytes that may.
        limit: usize,
    },
}

/// Reading, writing and heartbeat, the same at both ends.
#[derive(Debug)]
pub(crate) struct End {
    reader: FrameReader,
    pulse: Pulse,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    began: Instant,
    /// When bytes came last.
    heard: Instant,
    clock: WallClock,
    offsets: Offsets,
}

impl End {
    pub(crate) fn new(heartbeat: Heartbeat, now: Instant) -> Self {
        let pulse = Pulse::new(heartbeat, now);
        Self {
            reader: FrameReader::new(),
            pulse,
            out: VecDeque::new(),
            out_bytes: 0,
            began: now,
            heard: now,
            clock: WallClock::default(),
            offsets: Offsets::default(),
        }
    }

    pub(crate) fn received(&mut self, bytes: &[u8], now: Instant) {
        self.pulse.heard(now);
        self.heard = now;
        self.reader.push(bytes);
    }

    /// A PING's stamp: our own clock, which nobody sets.
    fn stamp(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_micros() as u64
    }

    pub(crate) fn say(&mut self, message: &Message) {
        let frame = message.encode();
        self.out_bytes += frame.len();
        self.out.push_back(frame);
    }

    pub(crate) fn pull(&mut self) -> Result<Option<Message>, WireError> {
        while let Some(frame) = self.reader.pull()? {
            match Message::decode(frame)? {
                Message::Ping { stamp } => {
                    let clock = self.clock.at(self.heard);
                    self.say(&Message::Pong { stamp, clock, steady: 0 });
                }
                Message::Pong { stamp, clock, .. } => {
                    let round_trip = Duration::from_micros(self.stamp(self.heard).saturating_sub(stamp));
                    self.offsets.heard(round_trip, clock, self.clock.at(self.heard));
                }
                message => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.out_bytes
    }

    pub(crate) fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.clock.set(unix_micros, now);
    }

    /// Says PING when it is time to say something.
    pub(crate) fn beat(&mut self, now: Instant) -> Result<(), ControlError> {
        if self.tick(now)? {
            let stamp = self.stamp(now);
            self.say(&Message::Ping { stamp });
        }
        Ok(())
    }

    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        self.out_bytes = 0;
        self.out.drain(..).for_each(|frame| out.extend_from_slice(&frame));
    }

    /// True if it is time to say something.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<bool, ControlError> {
        if self.out_bytes > CONTROL_BYTES {
            return Err(ControlError::Unread { waiting: self.out_bytes, limit: CONTROL_BYTES });
        }
        match self.pulse.tick(now) {
            Tick::Nothing => Ok(false),
            Tick::Say => Ok(true),
            Tick::Silent => Err(ControlError::Silent),
        }
    }
}

/// What an edge has to tell every balancer, whenever one joins.
#[derive(Clone, Debug, Default)]
pub struct EdgeWord {
    load: Option<Load>,
    streams: BTreeMap<BroadcastId, StreamFacts>,
}

impl EdgeWord {
    /// How the edge is doing now.
    pub fn load(&mut self, load: Load) {
        self.load = Some(load);
    }

    /// What a broadcast is; false if that is no news, or one broadcast more than there may be.
    pub fn stream(&mut self, facts: &StreamFacts) -> bool {
        let is_known = self.streams.get(&facts.broadcast);
        if is_known == Some(facts) || (is_known.is_none() && self.streams.len() >= BROADCASTS) {
            return false;
        }
        self.streams.insert(facts.broadcast.clone(), facts.clone());
        true
    }

    /// A broadcast is here no longer; false if it was not.
    pub fn end(&mut self, broadcast: &BroadcastId) -> bool {
        self.streams.remove(broadcast).is_some()
    }

    /// What a broadcast is, if it is here.
    pub fn find(&self, broadcast: &BroadcastId) -> Option<&StreamFacts> {
        self.streams.get(broadcast)
    }
}

/// The edge's end of one control link.
#[derive(Debug)]
pub struct EdgeEnd {
    end: End,
}

impl EdgeEnd {
    /// Says HELLO, then everything the edge has to tell.
    pub fn new(hello: Hello, word: &EdgeWord, heartbeat: Heartbeat, now: Instant) -> Self {
        let mut end = End::new(heartbeat, now);
        end.say(&Message::Hello(hello));
        for facts in word.streams.values() {
            end.say(&Message::Stream(facts.clone()));
        }
        if let Some(load) = word.load {
            end.say(&Message::Load(load));
        }
        Self { end }
    }

    /// Bytes came. Call [`EdgeEnd::pull`] until `None` after it.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        self.end.received(bytes, now);
    }

    /// What the clock on the wall shows, for the balancer to compare with its own.
    pub fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.end.clock.set(unix_micros, now);
    }

    /// What the balancer says next.
    pub fn pull(&mut self) -> Result<Option<ToEdge>, ControlError> {
        while let Some(message) = self.end.pull()? {
            match message {
                Message::Welcome(welcome) => return Ok(Some(ToEdge::Welcome(welcome))),
                Message::Keys(keys) => return Ok(Some(ToEdge::Keys(keys))),
                Message::Drain(standing) => return Ok(Some(ToEdge::Standing(standing))),
                // Types of a later version, and types with no meaning here, change nothing.
                _ => {}
            }
        }
        Ok(None)
    }

    /// What a broadcast is.
    pub fn stream(&mut self, facts: &StreamFacts) {
        self.end.say(&Message::Stream(facts.clone()));
    }

    /// A broadcast is here no longer.
    pub fn broadcast_ended(&mut self, broadcast: BroadcastId, run: RunId) {
        self.end.say(&Message::End { broadcast, run, is_forgotten: true });
    }

    /// Time has passed: each heartbeat carries the load, or a PING if there is none yet.
    pub fn tick(&mut self, word: &EdgeWord, now: Instant) -> Result<(), ControlError> {
        if self.end.tick(now)? {
            self.end.say(&word.load.map_or(Message::Ping { stamp: 0 }, Message::Load));
        }
        Ok(())
    }

    /// Appends what should be sent now.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.end.transmit(out);
    }

    /// When [`EdgeEnd::tick`] is to be called.
    pub fn deadline(&self) -> Instant {
        self.end.pulse.deadline()
    }
}

/// The balancer's end of one control link.
#[derive(Debug)]
pub struct BalancerEnd {
    end: End,
    /// True once HELLO has come.
    is_greeted: bool,
    names: Names,
}

impl BalancerEnd {
    /// Awaits HELLO.
    pub fn new(heartbeat: Heartbeat, now: Instant) -> Self {
        Self { end: End::new(heartbeat, now), is_greeted: false, names: Names::Any }
    }

    /// The same for somebody whose certificate names these.
    #[must_use]
    pub fn of(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Bytes came. Call [`BalancerEnd::pull`] until `None` after it.
    pub fn received(&mut self, bytes: &[u8], now: Instant) {
        self.end.received(bytes, now);
    }

    /// What the clock on the wall shows, to compare the edge's with.
    pub fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.end.clock.set(unix_micros, now);
    }

    /// How far the edge's clock is ahead of ours in microseconds; `None` before it has said.
    pub fn clock_offset_us(&self) -> Option<i64> {
        self.end.offsets.offset_us()
    }

    /// What the edge says next; HELLO first.
    pub fn pull(&mut self) -> Result<Option<ToBalancer>, ControlError> {
        while let Some(message) = self.end.pull()? {
            match (self.is_greeted, message) {
                (false, Message::Hello(hello)) => {
                    self.names.check("HELLO", &hello.node)?;
                    self.is_greeted = true;
                    return Ok(Some(ToBalancer::Hello(hello)));
                }
                (false, _) => {
                    return Err(WireError::OutOfTurn { what: "a frame", state: "HELLO is awaited" }.into());
                }
                (true, Message::Hello(_)) => {
                    return Err(WireError::OutOfTurn { what: "HELLO", state: "the link has had one" }.into());
                }
                (true, Message::Peer(word)) => return Ok(Some(ToBalancer::Peer(word))),
                (true, Message::Load(load)) => return Ok(Some(ToBalancer::Load(load))),
                (true, Message::Stream(facts)) => return Ok(Some(ToBalancer::Stream(facts))),
                (true, Message::End { broadcast, run, .. }) => {
                    return Ok(Some(ToBalancer::End { broadcast, run }));
                }
                (true, _) => {}
            }
        }
        Ok(None)
    }

    /// Tells the edge something.
    pub fn tell(&mut self, word: &ToEdge) {
        self.end.say(&match word.clone() {
            ToEdge::Welcome(welcome) => Message::Welcome(welcome),
            ToEdge::Keys(keys) => Message::Keys(keys),
            ToEdge::Standing(standing) => Message::Drain(standing),
        });
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Result<(), ControlError> {
        if self.end.tick(now)? {
            let stamp = self.end.stamp(now);
            self.end.say(&Message::Ping { stamp });
        }
        Ok(())
    }

    /// Appends what should be sent now.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.end.transmit(out);
    }

    /// When [`BalancerEnd::tick`] is to be called.
    pub fn deadline(&self) -> Instant {
        self.end.pulse.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EdgeFacts, EdgeState, NodeId, Role};
    use media::{BitRate, MediaSpan};
    use std::time::Duration;

    fn hello() -> Hello {
        Hello {
            node: NodeId::parse("edge-1").unwrap(),
            role: Role::Edge,
            version: "0.1.0".into(),
            link: 1,
            connection: 0,
            media_connections: 0,
            edge: Some(EdgeFacts { http: "http://127.0.0.21:8080".into(), ..EdgeFacts::default() }),
            process: 1,
            layer: crate::Layer::LAST,
        }
    }

    fn facts(broadcast: &str) -> StreamFacts {
        StreamFacts {
            broadcast: BroadcastId::parse(broadcast).unwrap(),
            run: RunId(1),
            segment: MediaSpan::from_secs(2),
            window: 6,
            renditions: Vec::new(),
            has_ended: false,
        }
    }

    #[test]
    fn an_edge_that_joins_says_who_it_is_and_all_it_has() {
        let now = crate::epoch();
        let mut word = EdgeWord::default();
        word.load(Load {
            viewers: 7,
            egress: BitRate(1),
            newest_segment_age_ms: None,
            lag_ms: None,
            state: EdgeState::Ready,
        });
        assert!(word.stream(&facts("b")) && word.stream(&facts("a")) && !word.stream(&facts("a")));

        let mut edge = EdgeEnd::new(hello(), &word, Heartbeat::default(), now);
        let mut balancer = BalancerEnd::new(Heartbeat::default(), now);
        let carry = |edge: &mut EdgeEnd, balancer: &mut BalancerEnd, now| {
            let mut wire = Vec::new();
            edge.transmit(&mut wire);
            balancer.received(&wire, now);
            std::iter::from_fn(|| balancer.pull().unwrap()).collect::<Vec<_>>()
        };
        let heard = carry(&mut edge, &mut balancer, now);
        let [ToBalancer::Hello(who), ToBalancer::Stream(a), ToBalancer::Stream(b), ToBalancer::Load(load)] =
            &heard[..]
        else {
            panic!("{heard:?}");
        };
        assert_eq!((who, a, b, load.viewers), (&hello(), &facts("a"), &facts("b"), 7));

        // The load is the heartbeat.
        let later = now + Duration::from_millis(250);
        edge.tick(&word, later).unwrap();
        assert!(matches!(&carry(&mut edge, &mut balancer, later)[..], [ToBalancer::Load(_)]));
    }

    #[test]
    fn a_balancer_knows_how_far_an_edges_clock_is_off() {
        let mut now = crate::epoch();
        let mut edge = EdgeEnd::new(hello(), &EdgeWord::default(), Heartbeat::default(), now);
        let mut balancer = BalancerEnd::new(Heartbeat::default(), now);
        edge.set_clock(5_000_000, now);
        balancer.set_clock(4_300_000, now);
        for _ in 0..2 {
            now += Duration::from_millis(250);
            let (mut there, mut back) = (Vec::new(), Vec::new());
            balancer.tick(now).unwrap();
            balancer.transmit(&mut back);
            edge.received(&back, now);
            while edge.pull().unwrap().is_some() {}
            edge.transmit(&mut there);
            balancer.received(&there, now);
            while balancer.pull().unwrap().is_some() {}
        }
        assert_eq!(balancer.clock_offset_us(), Some(700_000));
    }

    #[test]
    fn an_edge_is_who_its_certificate_says() {
        let now = crate::epoch();
        let mut edge = EdgeEnd::new(hello(), &EdgeWord::default(), Heartbeat::default(), now);
        let mut wire = Vec::new();
        edge.transmit(&mut wire);
        let another = Names::Only(vec![NodeId::parse("edge-2").unwrap()]);
        let mut balancer = BalancerEnd::new(Heartbeat::default(), now).of(another);
        balancer.received(&wire, now);
        let why = balancer.pull().unwrap_err().to_string();
        assert!(why.contains("edge-1") && why.contains("certificate"), "{why}");
    }

    #[test]
    fn an_edge_that_says_nothing_is_silent() {
        let mut now = crate::epoch();
        let mut balancer = BalancerEnd::new(Heartbeat::default(), now);
        for _ in 0..2 {
            now += Duration::from_millis(250);
            assert_eq!(balancer.tick(now), Ok(()));
        }
        assert_eq!(balancer.tick(now + Duration::from_millis(250)), Err(ControlError::Silent));
    }
}
