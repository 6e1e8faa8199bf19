//! One source of a subscriber: its connections, and what it has said.
//!
//! Does not live here: objects (`assembly`), and what several sources together amount to (`subscriber`).

use crate::beat::{Heartbeat, Pulse, Tick};
use crate::clock::{Offsets, TheirSteady};
use crate::limits::{CONTROL_BYTES, LINK_ASSEMBLY};
use crate::{
    FrameReader, Hello, LaneStanding, LinkClock, Message, Names, NodeId, ObjectId, Reached, WireError,
};
use bytes::Bytes;
use media::{BroadcastId, MediaSequence, ObjectKey, RenditionId, RunId, StreamFacts};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A source that was dialled, until it is lost.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) node: Option<NodeId>,
    /// It makes nothing itself.
    pub(crate) is_relay: bool,
    pub(crate) broadcasts: HashMap<BroadcastId, View>,
    /// Objects it has opened and neither closed nor aborted.
    pub(crate) objects: HashMap<ObjectId, ObjectKey>,
    /// The latest measured time of a PING's way there and back.
    pub(crate) round_trip: Duration,
    offsets: Offsets,
    steady: TheirSteady,
    /// Since when it is up: what was made before is what we missed, and late for no fault of the link.
    up_since: Option<Instant>,
    /// What the certificates of its connections say; none where nobody looked.
    names: Vec<Names>,
    dialled: Instant,
}

/// A broadcast as one source sees it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) facts: StreamFacts,
    pub(crate) reached: Option<Reached>,
    pub(crate) ended: Option<RunId>,
    /// The greatest number it has said anything of, per rendition.
    pub(crate) newest: HashMap<RenditionId, MediaSequence>,
    /// Under which term its segments are made, from which on; oldest first.
    pub(crate) lanes: Vec<crate::Lane>,
    /// Its segments were other ones than its elder's: it is not listened to.
    pub(crate) is_quarantined: bool,
}

impl View {
    pub(crate) fn new(facts: StreamFacts) -> Self {
        let newest = HashMap::new();
        Self { facts, reached: None, ended: None, newest, lanes: Vec::new(), is_quarantined: false }
    }

    /// Under which term it makes this segment, and as what; nothing said: under none, as good as any.
    pub(crate) fn lane_at(&self, sequence: MediaSequence) -> (u64, LaneStanding) {
        let lane = self.lanes.iter().rev().find(|lane| lane.from <= sequence);
        lane.map_or((0, LaneStanding::Leads), |lane| (lane.term, lane.standing))
    }

    /// Since which segment it makes what it makes, and as what.
    pub(crate) fn newest_lane(&self) -> (LaneStanding, MediaSequence) {
        self.lanes.last().map_or((LaneStanding::Leads, MediaSequence(0)), |lane| (lane.standing, lane.from))
    }
}

/// One connection of the link.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) reader: FrameReader,
    pub(crate) pulse: Pulse,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    is_welcome: bool,
}

/// The peer said nothing for too long.
#[derive(Debug)]
pub(crate) struct Silent;

/// The peer takes nothing: too many frames wait for it.
#[derive(Debug)]
pub(crate) struct Unread;

impl Source {
    /// All connections are there; each begins with its HELLO.
    pub(crate) fn new(hello: &Hello, names: Vec<Names>, heartbeat: Heartbeat, now: Instant) -> Self {
        let lane = |connection| {
            let mut lane = Lane {
                reader: FrameReader::new(),
                pulse: Pulse::new(heartbeat, now),
                out: VecDeque::new(),
                out_bytes: 0,
                is_welcome: false,
            };
            let hello = Hello { connection, ..hello.clone() };
            lane.push(Message::Hello(hello).encode());
            lane
        };
        Self {
            lanes: (0..=hello.media_connections).map(lane).collect(),
            node: None,
            is_relay: false,
            broadcasts: HashMap::new(),
            objects: HashMap::new(),
            // Until a PONG says better: generous, so that nothing is asked for twice at the start.
            round_trip: Duration::from_millis(100),
            offsets: Offsets::default(),
            steady: TheirSteady::default(),
            up_since: None,
            names,
            dialled: now,
        }
    }

    /// True once every connection has had its WELCOME.
    pub(crate) fn is_up(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_welcome)
    }

    /// True once this connection has had its WELCOME; another's may still be on the way.
    pub(crate) fn is_welcome(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.is_welcome)
    }

    /// Whether it may say to be this node.
    pub(crate) fn check(&self, lane: usize, node: &NodeId) -> Result<(), WireError> {
        self.names.get(lane).map_or(Ok(()), |names| names.check("WELCOME", node))
    }

    /// A WELCOME came; true if it was the last one awaited.
    pub(crate) fn welcome(&mut self, lane: usize, node: NodeId, now: Instant) -> bool {
        let was_up = self.is_up();
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.is_welcome = true;
        }
        self.node = Some(node);
        let is_new = !was_up && self.is_up();
        if is_new {
            self.up_since = Some(now);
        }
        is_new
    }

    /// A number of the rendition was spoken of.
    pub(crate) fn saw(&mut self, key: &ObjectKey) {
        if let Some(view) = self.broadcasts.get_mut(&key.broadcast)
            && (view.newest.len() < 2 * crate::limits::RENDITIONS || view.newest.contains_key(&key.rendition))
        {
            let newest = view.newest.entry(key.rendition.clone()).or_insert(key.sequence);
            *newest = key.sequence.max(*newest);
        }
    }

    /// The PONG to a PING of ours: it is `theirs` on the wall there, and `ours` here; `steady` by its clock that nobody
    /// sets.
    pub(crate) fn pong(&mut self, stamp: u64, theirs: u64, steady: u64, ours: u64, now: Instant) {
        let there_and_back = Duration::from_micros(self.clock(now).saturating_sub(stamp));
        self.offsets.heard(there_and_back, theirs, ours);
        self.steady.heard(there_and_back, steady, now);
        self.round_trip = there_and_back.min(Duration::from_secs(2));
    }

    /// When something was made over there, if it says so and it was while this link was up.
    pub(crate) fn made(&self, made: u64) -> Option<Instant> {
        let up_since = self.up_since?;
        self.steady.when(made).filter(|made| *made >= up_since)
    }

    /// How the other end keeps time.
    pub(crate) fn link_clock(&self) -> Option<LinkClock> {
        let (node, round_trip) = (self.node.clone()?, self.round_trip);
        Some(LinkClock { node, round_trip, offset_us: self.offsets.offset_us() })
    }

    fn clock(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.dialled).as_micros() as u64
    }

    /// What time has brought: lanes that have something to say, or that the source is silent.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<Vec<usize>, Silent> {
        if !self.is_up() && now >= self.dialled + LINK_ASSEMBLY {
            return Err(Silent);
        }
        let ping = Message::Ping { stamp: self.clock(now) }.encode();
        let mut woken = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            match lane.pulse.tick(now) {
                Tick::Nothing => {}
                Tick::Silent => return Err(Silent),
                Tick::Say => {
                    lane.push(ping.clone());
                    woken.push(index);
                }
            }
        }
        Ok(woken)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().map(|lane| lane.pulse.deadline()).min()
    }
}

impl Lane {
    fn push(&mut self, frame: Bytes) {
        self.out_bytes += frame.len();
        self.out.push_back(frame);
    }

    pub(crate) fn say(&mut self, message: &Message) -> Result<(), Unread> {
        self.push(message.encode());
        match self.out_bytes > CONTROL_BYTES {
            true => Err(Unread),
            false => Ok(()),
        }
    }

    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        self.out_bytes = 0;
        self.out.drain(..).for_each(|frame| out.extend_from_slice(&frame));
    }
}
