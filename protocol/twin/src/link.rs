//! The link between two ingests: one connection at a time, whoever dialled it, and what waits to be said on it.
//!
//! Lives here: greeting, heartbeat, which of two connections stays, the queue. Does not live here: what is said
//! (`message`), and what it leads to (`seat`).
//!
//! Both ends may dial. Of two connections to the same process the one dialled by the lesser of the two names stays, at
//! both ends; nothing is lost by that but time, because whoever leads says so again on the new one.

use crate::{Message, Said};
use bytes::Bytes;
use edgefan::{ConnectionId, Heartbeat, NodeId, Pulse, Tick};
use ladder::{Message as Framed, Reader};
use media::BroadcastId;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Bytes that wait to be sent: more than what is told to one who begins to follow. At the bound the other is too slow for the broadcast that went over it: what waits of
/// that one is dropped, and the other is told to ask again.
pub const QUEUED_BYTES: usize = 64 << 20;
/// Connections that have not greeted, or are about to be closed. One more is closed at once.
const CONNECTIONS: usize = 8;
/// How long a connection may take to greet.
const GREET_WITHIN: Duration = Duration::from_secs(5);

/// How the twin was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its connection ended, or fell silent: it may be gone for good.
    Gone,
    /// What came over the connection was not what was sent: the twin is there, and is heard again by the next one.
    Garbled,
}

/// What a link wants done, or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// [`Link::transmit`] has something for this connection.
    Wake(ConnectionId),
    /// This connection is over: close it.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        why: String,
    },
    /// The twin is there; also when another connection to it has taken the place of the one before.
    Up {
        /// Who it is.
        node: NodeId,
        /// Of the two names ours is the lesser: where all else is equal, we have the say.
        is_first: bool,
    },
    /// The twin is not heard any more.
    Down {
        /// How it was lost.
        lost: Lost,
        /// Why.
        why: String,
    },
    /// The twin said something.
    Said(BroadcastId, Said),
    /// What waited of this broadcast was too much, and is dropped: nobody follows it any more.
    Dropped(BroadcastId),
}

/// The link to the twin. See the module.
#[derive(Debug)]
pub struct Link {
    node: NodeId,
    instance: u64,
    version: String,
    heartbeat: Heartbeat,
    connections: BTreeMap<ConnectionId, Connection>,
    current: Option<ConnectionId>,
    events: VecDeque<LinkEvent>,
}

#[derive(Debug)]
struct Connection {
    /// We dialled it.
    is_ours: bool,
    reader: Reader<Message>,
    pulse: Pulse,
    since: Instant,
    peer: Option<(NodeId, u64)>,
    queue: VecDeque<(Option<BroadcastId>, Bytes)>,
    queued: usize,
}

impl Link {
    /// No connection yet. `instance` is any number, new in each process.
    pub fn new(node: NodeId, instance: u64, version: String) -> Self {
        Self {
            node,
            instance,
            version,
            heartbeat: Heartbeat::default(),
            connections: BTreeMap::new(),
            current: None,
            events: VecDeque::new(),
        }
    }

    /// The twin is there.
    pub fn is_up(&self) -> bool {
        self.current.is_some()
    }

    /// A connection is open; `is_ours`: we dialled it.
    pub fn opened(&mut self, id: ConnectionId, is_ours: bool, now: Instant) {
        if self.connections.len() >= CONNECTIONS {
            let why = format!("{CONNECTIONS} connections of a twin are open, no more are taken");
            self.events.push_back(LinkEvent::Close { connection: id, why });
            return;
        }
        let mut connection = Connection {
            is_ours,
            reader: Reader::new(),
            pulse: Pulse::new(self.heartbeat, now),
            since: now,
            peer: None,
            queue: VecDeque::new(),
            queued: 0,
        };
        let (node, instance, version) = (self.node.clone(), self.instance, self.version.clone());
        connection.push(None, &Message::Hello { node, instance, version });
        self.connections.insert(id, connection);
        self.events.push_back(LinkEvent::Wake(id));
    }

    /// Bytes came on a connection.
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pulse.heard(now);
            connection.reader.push(bytes);
        }
        while let Some(connection) = self.connections.get_mut(&id) {
            match connection.reader.pull() {
                Ok(None) => return,
                Ok(Some(message)) => self.message(id, message),
                Err(error) => self.close(id, &error.to_string()),
            }
        }
    }

    /// A connection is closed.
    pub fn closed(&mut self, id: ConnectionId, lost: Lost, why: &str) {
        self.connections.remove(&id);
        self.without(id, lost, why);
    }

    /// Says something of a broadcast, if the twin is there.
    pub fn say(&mut self, broadcast: &BroadcastId, said: Said) {
        let Some(id) = self.current else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.push(Some(broadcast.clone()), &Message::Said(broadcast.clone(), said));
        if connection.queued > QUEUED_BYTES {
            connection.drop_queued(broadcast);
            connection.push(None, &Message::Said(broadcast.clone(), Said::Unfollow));
            self.events.push_back(LinkEvent::Dropped(broadcast.clone()));
        }
        self.events.push_back(LinkEvent::Wake(id));
    }

    /// Appends to `out` what this connection should send now, about `budget` bytes.
    pub fn transmit(&mut self, id: ConnectionId, budget: usize, out: &mut Vec<u8>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        while out.len() < budget
            && let Some((_, frame)) = connection.queue.pop_front()
        {
            connection.queued -= frame.len();
            out.extend_from_slice(&frame);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (&id, connection) in &mut self.connections {
            if connection.peer.is_none() && now.saturating_duration_since(connection.since) >= GREET_WITHIN {
                over.push((id, "it did not greet"));
                continue;
            }
            match connection.pulse.tick(now) {
                Tick::Nothing => {}
                Tick::Silent if connection.peer.is_none() => {}
                Tick::Silent => over.push((id, "silent")),
                Tick::Say => {
                    connection.push(None, &Message::Beat);
                    self.events.push_back(LinkEvent::Wake(id));
                }
            }
        }
        for (id, why) in over {
            self.close(id, why);
        }
    }

    /// When [`Link::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.connections.values().map(|connection| connection.pulse.deadline()).min()
    }

    /// What is wanted or known next.
    pub fn pull(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn message(&mut self, id: ConnectionId, message: Message) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match (message, &connection.peer) {
            (Message::Hello { node, instance, .. }, None) => {
                if instance == self.instance {
                    return self.close(id, "the setting `ingest.twin` names this ingest itself");
                }
                connection.peer = Some((node, instance));
                self.greeted(id);
            }
            (Message::Hello { .. }, Some(_)) => self.close(id, "it greeted twice"),
            (_, None) => self.close(id, "it did not greet first"),
            (Message::Beat, _) => {}
            (Message::Said(broadcast, said), _) if self.current == Some(id) => {
                self.events.push_back(LinkEvent::Said(broadcast, said));
            }
            // Of a connection that has been replaced: it is said again on the other.
            (Message::Said(..), _) => {}
        }
    }

    /// Decides which connection stays.
    fn greeted(&mut self, id: ConnectionId) {
        let Some((new, peer)) =
            self.connections.get(&id).and_then(|new| Some((new.is_ours, new.peer.clone()?)))
        else {
            return;
        };
        let is_first = (&self.node, self.instance) < (&peer.0, peer.1);
        let current = self.current.and_then(|current| {
            let connection = self.connections.get(&current)?;
            Some((current, connection.is_ours, connection.peer.clone()))
        });
        match current {
            None => {}
            Some((current, _, of)) if of.as_ref().is_some_and(|(_, instance)| *instance != peer.1) => {
                self.close(current, "the twin has started anew");
            }
            Some((current, was_ours, _)) => {
                // Dialled by the one with the say, or dialled anew by the same.
                if new != is_first && new != was_ours {
                    return self.close(id, "there is a connection already");
                }
                self.current = None;
                self.connections.remove(&current);
                let why = "another connection to the twin takes its place".to_owned();
                self.events.push_back(LinkEvent::Close { connection: current, why });
            }
        }
        self.current = Some(id);
        self.events.push_back(LinkEvent::Up { node: peer.0, is_first });
    }

    fn close(&mut self, id: ConnectionId, why: &str) {
        if self.connections.remove(&id).is_some() {
            self.events.push_back(LinkEvent::Close { connection: id, why: why.to_owned() });
        }
        self.without(id, Lost::Gone, why);
    }

    fn without(&mut self, id: ConnectionId, lost: Lost, why: &str) {
        if self.current == Some(id) {
            self.current = None;
            self.events.push_back(LinkEvent::Down { lost, why: why.to_owned() });
        }
    }
}

impl Connection {
    fn push(&mut self, of: Option<BroadcastId>, message: &Message) {
        let mut bytes = Vec::new();
        // A unit over what a pipe carries is left out here as it is there.
        if message.encode(&mut bytes).is_ok() {
            self.queued += bytes.len();
            self.queue.push_back((of, bytes.into()));
        }
    }

    fn drop_queued(&mut self, broadcast: &BroadcastId) {
        self.queue.retain(|(of, _)| of.as_ref() != Some(broadcast));
        self.queued = self.queue.iter().map(|(_, frame)| frame.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ladder::Order;
    use media::MediaTime;

    const ONE: ConnectionId = ConnectionId(1);
    const TWO: ConnectionId = ConnectionId(2);

    fn link(name: &str, instance: u64) -> Link {
        Link::new(NodeId::parse(name).unwrap(), instance, "test".into())
    }

    /// Carries what one end has to say on a connection to the other.
    fn carry(from: &mut Link, to: &mut Link, id: ConnectionId, now: Instant) {
        let mut bytes = Vec::new();
        from.transmit(id, usize::MAX, &mut bytes);
        to.received(id, &bytes, now);
    }

    fn events(link: &mut Link) -> Vec<String> {
        let events = std::iter::from_fn(|| link.pull());
        let told = events.filter_map(|event| match event {
            LinkEvent::Wake(_) => None,
            LinkEvent::Close { connection, .. } => Some(format!("close {}", connection.0)),
            LinkEvent::Up { is_first, .. } => Some(format!("up {is_first}")),
            LinkEvent::Down { .. } => Some("down".into()),
            LinkEvent::Said(broadcast, _) => Some(format!("said {broadcast}")),
            LinkEvent::Dropped(broadcast) => Some(format!("dropped {broadcast}")),
        });
        told.collect()
    }

    #[test]
    fn of_two_connections_the_one_dialled_by_the_lesser_name_stays_at_both_ends() {
        for first in [ONE, TWO] {
            let now = crate::epoch();
            let (mut a, mut b) = (link("a", 1), link("b", 2));
            a.opened(ONE, true, now);
            b.opened(ONE, false, now);
            b.opened(TWO, true, now);
            a.opened(TWO, false, now);
            let second = if first == ONE { TWO } else { ONE };
            for id in [first, second] {
                carry(&mut a, &mut b, id, now);
                carry(&mut b, &mut a, id, now);
            }
            assert_eq!((a.current, b.current), (Some(ONE), Some(ONE)));
            let told = [events(&mut a), events(&mut b)].concat();
            assert!(told.contains(&"close 2".to_owned()));
            assert!(!told.contains(&"down".to_owned()), "nobody was lost");
        }
    }

    #[test]
    fn an_ingest_that_names_itself_is_told_so() {
        let now = crate::epoch();
        let mut a = link("a", 1);
        a.opened(ONE, true, now);
        let mut bytes = Vec::new();
        a.transmit(ONE, usize::MAX, &mut bytes);
        a.received(ONE, &bytes, now);
        assert_eq!(events(&mut a), ["close 1"]);
    }

    #[test]
    fn a_silent_twin_is_gone_after_three_heartbeats() {
        let mut now = crate::epoch();
        let (mut a, mut b) = (link("a", 1), link("b", 2));
        a.opened(ONE, true, now);
        b.opened(ONE, false, now);
        carry(&mut a, &mut b, ONE, now);
        carry(&mut b, &mut a, ONE, now);
        assert_eq!(events(&mut a), ["up true"]);
        for _ in 0..2 {
            now += Duration::from_millis(250);
            a.tick(now);
        }
        assert!(a.is_up());
        now += Duration::from_millis(250);
        a.tick(now);
        assert_eq!(events(&mut a), ["close 1", "down"]);
    }

    #[test]
    fn a_follower_that_does_not_read_is_let_go_and_the_link_is_not() {
        let now = crate::epoch();
        let (mut a, mut b) = (link("a", 1), link("b", 2));
        a.opened(ONE, true, now);
        b.opened(ONE, false, now);
        carry(&mut a, &mut b, ONE, now);
        carry(&mut b, &mut a, ONE, now);
        let unit = media::AccessUnit {
            track: media::Track::Video,
            decode_time: MediaTime::default(),
            presentation_time: MediaTime::default(),
            duration: media::MediaSpan::ZERO,
            is_sync: true,
            payload: vec![0; 1 << 20].into(),
        };
        let tide = BroadcastId::parse("tide").unwrap();
        for _ in 0..80 {
            a.say(&tide, Said::Step { term: 1, step: crate::Step::Order(Order::Unit(unit.clone())) });
        }
        assert!(a.is_up());
        assert!(events(&mut a).contains(&"dropped tide".to_owned()));
        assert!(a.connections[&ONE].queued <= QUEUED_BYTES);
    }

    #[test]
    fn a_twin_that_started_anew_was_lost() {
        let now = crate::epoch();
        let (mut a, mut b) = (link("a", 1), link("b", 2));
        a.opened(ONE, true, now);
        b.opened(ONE, false, now);
        carry(&mut b, &mut a, ONE, now);
        let mut again = link("b", 3);
        again.opened(TWO, true, now);
        a.opened(TWO, false, now);
        carry(&mut again, &mut a, TWO, now);
        assert_eq!(events(&mut a), ["up true", "close 1", "down", "up true"]);
    }
}
