//! The ingest's end: a hub of objects, a link per edge.
//!
//! Lives here: the conversation with edges, and what each door does to the hub and to every link. Does not
//! live here: what is held (`hub`), the order in which it leaves (`link`).
//!
//! Doors in: [`Publisher::stream`] to [`Publisher::end`] from the line, [`Publisher::accept`] to
//! [`Publisher::lost`] and [`Publisher::tick`] from the network. Doors out: [`Publisher::pull`], and
//! [`Publisher::transmit`] whenever a connection takes more.

use crate::beat::{Pulse, Tick};
use crate::clock::{SteadyClock, WallClock};
use crate::limits::{BROADCASTS, CONTROL_BYTES, HUB_BYTES, LANES, LINK_ASSEMBLY, LINKS};
use crate::{FrameReader, Heartbeat, Lane, Layer, Message, Names, NodeId, ObjectId, Role};
use bytes::Bytes;
use media::{BroadcastId, DiscontinuitySequence, MediaTime, ObjectKey, RunId, SegmentFacts, StreamFacts};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

mod conversation;
mod hub;
mod link;
mod object;
mod spread;

use hub::{Grown, Hub};
use link::{Link, Sent};

/// How a publisher is set up.
#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// Who this ingest is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// When a peer is silent.
    pub heartbeat: Heartbeat,
    /// Bytes of objects held.
    pub hub_bytes: usize,
    /// What it is: an ingest, or an edge that feeds others.
    pub role: Role,
    /// Where it stands: whoever stands no higher is not fed.
    pub layer: Layer,
    /// Whether a number that was left out is a gap. A relay is told of gaps by those who know.
    pub makes_gaps: bool,
}

impl PublisherSettings {
    /// The ordinary settings of this node.
    pub fn new(node: NodeId) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            node,
            version,
            heartbeat: Heartbeat::default(),
            hub_bytes: HUB_BYTES,
            role: Role::Ingest,
            layer: Layer::INGEST,
            makes_gaps: true,
        }
    }
}

/// One connection, numbered by whoever accepts it; a number is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a publisher wants done, or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublisherEvent {
    /// [`Publisher::transmit`] has something for this connection.
    Wake(ConnectionId),
    /// This connection is over: close it. It needs no [`Publisher::lost`].
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        why: String,
    },
    /// An edge is there: all its connections are up.
    LinkUp {
        /// Who.
        node: NodeId,
    },
    /// An edge is gone.
    LinkDown {
        /// Who.
        node: NodeId,
        /// Why.
        why: String,
    },
}

/// What a publisher has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Links that are up.
    pub links: u64,
    /// Bytes of media handed to connections.
    pub bytes_sent: u64,
    /// Objects that were too late for a link and became a SKIP there.
    pub late: u64,
    /// Objects whose bytes were not sent because the edge had them from elsewhere.
    pub withheld: u64,
    /// Objects asked for again.
    pub fetches: u64,
    /// Bytes of objects held for late joiners.
    pub hub_bytes: u64,
}

/// Which link: (who, which dialling of his).
type LinkKey = (NodeId, u64);

/// The ingest's end of `edgefan/1`.
#[derive(Debug)]
pub struct Publisher {
    settings: PublisherSettings,
    hub: Hub,
    /// Under which term segments are made, from which on; oldest first.
    lanes: HashMap<BroadcastId, Vec<Lane>>,
    links: BTreeMap<LinkKey, Dialled>,
    connections: HashMap<ConnectionId, Connection>,
    wake: BTreeSet<ConnectionId>,
    events: VecDeque<PublisherEvent>,
    counters: PublisherCounters,
    clock: WallClock,
    steady: SteadyClock,
}

#[derive(Debug)]
struct Dialled {
    process: u64,
    link: Link,
    /// Control first, then one per lane.
    connections: Vec<Option<ConnectionId>>,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    reader: FrameReader,
    pulse: Pulse,
    control: VecDeque<Bytes>,
    control_bytes: usize,
    accepted: Instant,
    names: Names,
    place: Place,
}

/// Where a connection's conversation stands.
#[derive(Clone, Debug)]
enum Place {
    /// No HELLO yet.
    Greeting,
    /// Part of a link; 0 is its control connection.
    Linked { link: LinkKey, index: usize },
}

impl Publisher {
    /// A publisher with no broadcast and no edge.
    pub fn new(settings: PublisherSettings) -> Self {
        Self {
            hub: Hub::new(settings.hub_bytes, settings.makes_gaps),
            settings,
            lanes: HashMap::new(),
            links: BTreeMap::new(),
            connections: HashMap::new(),
            wake: BTreeSet::new(),
            events: VecDeque::new(),
            counters: PublisherCounters::default(),
            clock: WallClock::default(),
            steady: SteadyClock::default(),
        }
    }

    // From the line.

    /// What a broadcast is; before its first object, and whenever it changes.
    pub fn stream(&mut self, facts: StreamFacts) {
        if self.hub.stream(facts.clone()) {
            let frame = Message::Stream(facts).encode();
            for key in self.up_links() {
                self.say(&key, 0, frame.clone());
            }
        }
    }

    /// Segments from `lane.from` on are made under its term; each edge is told before any of them is opened.
    pub fn lane(&mut self, lane: Lane) {
        if !self.lanes.contains_key(&lane.broadcast) && self.lanes.len() >= 2 * BROADCASTS {
            return;
        }
        let known = self.lanes.entry(lane.broadcast.clone()).or_default();
        known.retain(|earlier| earlier.from < lane.from);
        known.push(lane.clone());
        if known.len() > LANES {
            known.remove(0);
        }
        for key in self.up_links() {
            self.say_lane(&key, lane.clone());
        }
    }

    /// An object begins. Numbers nobody opened since the rendition's last segment become gaps.
    pub fn open(&mut self, key: &ObjectKey, start: MediaTime, discontinuity: DiscontinuitySequence) {
        let begun = self.hub.open(key, start, discontinuity);
        self.begun(key, begun);
    }

    /// More bytes of an open object.
    pub fn bytes(&mut self, key: &ObjectKey, bytes: Bytes) {
        match self.hub.append(key, bytes) {
            Grown::Same => {}
            Grown::Longer(id) | Grown::TooLong(id) => self.rank(id),
            Grown::Replaced { old, new } => {
                for link in self.up_links() {
                    self.abort(&link, key, old);
                }
                self.offer(new);
            }
        }
        self.fit();
    }

    /// An object is complete, and was where it was made at `made`: now, or earlier if it was passed on. Its size and hash
    /// are found here; `facts.bytes` is not read.
    pub fn close(&mut self, key: &ObjectKey, facts: &SegmentFacts, made: Instant) {
        let made = self.steady.at(made);
        if let Some(id) = self.hub.close(key, facts, made) {
            self.rank(id);
        }
    }

    /// An object will not come, whether it was opened or not.
    pub fn skip(&mut self, key: &ObjectKey, facts: SegmentFacts) {
        let (spoiled, begun) = self.hub.skip(key, facts);
        if let Some(id) = spoiled {
            self.rank(id);
        }
        self.begun(key, begun);
    }

    /// A run is over; each edge is told after the last of its objects.
    pub fn end(&mut self, broadcast: &BroadcastId, run: RunId, now: Instant) {
        if !self.hub.end(broadcast, run, now) {
            return;
        }
        for key in self.up_links() {
            let Some(dialled) = self.links.get_mut(&key) else { continue };
            if let Some(subscribed) = dialled.link.subscribed.get_mut(broadcast) {
                subscribed.ending.push(run);
            }
            self.settle(&key, broadcast, None);
        }
    }

    // From the network.

    /// What the clock on the wall shows, for whoever asks by PING; again and again, since it may be set.
    pub fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.clock.set(unix_micros, now);
    }

    /// A connection was accepted from whoever; its HELLO is awaited.
    pub fn accept(&mut self, id: ConnectionId, now: Instant) {
        self.accept_from(id, Names::Any, now);
    }

    /// A connection was accepted from somebody whose certificate names these; its HELLO is awaited.
    pub fn accept_from(&mut self, id: ConnectionId, names: Names, now: Instant) {
        if self.connections.len() >= LINKS * 4 {
            let why =
                format!("{} connections are open, at most {} are taken", self.connections.len(), LINKS * 4);
            self.events.push_back(PublisherEvent::Close { connection: id, why });
            return;
        }
        let connection = Connection {
            reader: FrameReader::new(),
            pulse: Pulse::new(self.settings.heartbeat, now),
            control: VecDeque::new(),
            control_bytes: 0,
            accepted: now,
            names,
            place: Place::Greeting,
        };
        self.connections.insert(id, connection);
    }

    /// Bytes came on a connection.
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.pulse.heard(now);
        connection.reader.push(bytes);
        while let Some(connection) = self.connections.get_mut(&id) {
            let message = match connection.reader.pull() {
                Ok(None) => return,
                Ok(Some(frame)) => Message::decode(frame),
                Err(error) => Err(error),
            };
            if let Err(error) = message.and_then(|message| self.message(id, message, now)) {
                self.cut(id, &error.to_string());
            }
        }
    }

    /// A connection is closed, for whatever reason: its link is over.
    pub fn lost(&mut self, id: ConnectionId, why: &str) {
        self.cut(id, why);
    }

    /// Appends to `out` what this connection should send now, most urgent first, until `out` has about `budget`
    /// bytes. Nothing appended means that nothing waits until the next [`PublisherEvent::Wake`].
    pub fn transmit(&mut self, id: ConnectionId, budget: usize, out: &mut Vec<u8>) {
        while out.len() < budget {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            if let Some(frame) = connection.control.pop_front() {
                connection.control_bytes -= frame.len();
                out.extend_from_slice(&frame);
                continue;
            }
            let Place::Linked { link: key, index } = connection.place.clone() else { return };
            let Some(dialled) = self.links.get_mut(&key) else { return };
            let Some(lane) = index.checked_sub(1).and_then(|lane| dialled.link.lanes.get_mut(lane)) else {
                return;
            };
            match lane.send(&self.hub, out) {
                Sent::Nothing => return,
                Sent::Some(bytes) => self.counters.bytes_sent += bytes,
                Sent::All(object, bytes) => {
                    self.counters.bytes_sent += bytes;
                    if let Some(object_of) = self.hub.object(object) {
                        let broadcast = object_of.key.broadcast.clone();
                        self.settle(&key, &broadcast, Some(object));
                    }
                }
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let mut silent = Vec::new();
        for (&id, connection) in &mut self.connections {
            match connection.pulse.tick(now) {
                Tick::Nothing => {}
                // The edge says HELLO when all its connections are through their handshakes.
                Tick::Silent if matches!(connection.place, Place::Greeting) => {
                    if now >= connection.accepted + LINK_ASSEMBLY {
                        silent.push(id);
                    }
                }
                Tick::Silent => silent.push(id),
                Tick::Say => {
                    connection.push(Message::Ping { stamp: 0 }.encode());
                    self.wake.insert(id);
                }
            }
        }
        for id in silent {
            self.cut(id, "silent");
        }
        let is_late = |dialled: &Dialled| !dialled.is_up() && now >= dialled.since + LINK_ASSEMBLY;
        let late: Vec<ConnectionId> = self
            .links
            .values()
            .filter(|dialled| is_late(dialled))
            .filter_map(|dialled| dialled.connections.iter().flatten().next().copied())
            .collect();
        for id in late {
            self.cut(id, "the link's other connections did not come");
        }
        for broadcast in self.hub.expired(now) {
            let objects: Vec<ObjectId> =
                self.hub.broadcast(&broadcast).into_iter().flat_map(|found| found.objects()).collect();
            objects.into_iter().for_each(|id| self.let_go(id));
            let run = self.hub.broadcast(&broadcast).map_or(RunId(0), |found| found.facts.run);
            self.hub.forget(&broadcast);
            self.lanes.remove(&broadcast);
            let frame = Message::End { broadcast: broadcast.clone(), run, is_forgotten: true }.encode();
            for key in self.up_links() {
                let Some(dialled) = self.links.get_mut(&key) else { continue };
                dialled.link.subscribed.remove(&broadcast);
                let lane = dialled.link.lane_of(&broadcast);
                self.say(&key, lane + 1, frame.clone());
            }
        }
    }

    /// When [`Publisher::tick`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let pulses = self.connections.values().map(|connection| connection.pulse.deadline());
        let links = self.links.values().filter(|dialled| !dialled.is_up());
        pulses.chain(links.map(|dialled| dialled.since + LINK_ASSEMBLY)).chain(self.hub.deadline()).min()
    }

    /// What is wanted or known next.
    pub fn pull(&mut self) -> Option<PublisherEvent> {
        match self.events.pop_front() {
            Some(event) => Some(event),
            None => self.wake.pop_first().map(PublisherEvent::Wake),
        }
    }

    /// What has been counted.
    pub fn counters(&self) -> PublisherCounters {
        PublisherCounters {
            links: self.links.values().filter(|dialled| dialled.is_up()).count() as u64,
            hub_bytes: self.hub.bytes() as u64,
            ..self.counters.clone()
        }
    }

    // Connections.

    pub(super) fn up_links(&self) -> Vec<LinkKey> {
        self.links.iter().filter(|(_, dialled)| dialled.is_up()).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn wake_lane(&mut self, key: &LinkKey, lane: usize) {
        if let Some(dialled) = self.links.get(key)
            && dialled.link.lanes.get(lane).is_some_and(link::Lane::has_something)
            && let Some(&Some(connection)) = dialled.connections.get(lane + 1)
        {
            self.wake.insert(connection);
        }
    }

    /// On the connection that carries the broadcast, so that it comes before what it is about.
    pub(super) fn say_lane(&mut self, key: &LinkKey, lane: Lane) {
        let Some(dialled) = self.links.get(key) else { return };
        if dialled.link.subscribed.contains_key(&lane.broadcast) {
            let index = dialled.link.lane_of(&lane.broadcast) + 1;
            self.say(key, index, Message::Lane(lane).encode());
        }
    }

    pub(super) fn say(&mut self, key: &LinkKey, index: usize, frame: Bytes) {
        let connection = self.links.get(key).and_then(|dialled| *dialled.connections.get(index)?);
        if let Some(id) = connection {
            self.say_on(id, frame);
        }
    }

    pub(super) fn say_on(&mut self, id: ConnectionId, frame: Bytes) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.push(frame);
        self.wake.insert(id);
        if connection.control_bytes > CONTROL_BYTES {
            self.cut(id, "it does not read: too many control frames wait");
        }
    }

    /// Ends a connection, and with it its link and the link's other connections.
    pub(super) fn cut(&mut self, id: ConnectionId, why: &str) {
        let Some(connection) = self.connections.get(&id) else { return };
        let mut over = vec![id];
        if let Place::Linked { link, .. } = &connection.place
            && let Some(dialled) = self.links.remove(&link.clone())
        {
            over.extend(dialled.connections.iter().flatten().filter(|&&other| other != id));
            if dialled.is_up() {
                let node = dialled.link.node.clone();
                self.events.push_back(PublisherEvent::LinkDown { node, why: why.to_owned() });
            }
        }
        for connection in over {
            self.connections.remove(&connection);
            self.wake.remove(&connection);
            self.events.push_back(PublisherEvent::Close { connection, why: why.to_owned() });
        }
    }
}

impl Dialled {
    fn is_up(&self) -> bool {
        self.connections.iter().all(Option::is_some)
    }
}

impl Connection {
    fn push(&mut self, frame: Bytes) {
        self.control_bytes += frame.len();
        self.control.push_back(frame);
    }
}
