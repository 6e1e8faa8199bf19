//! The edge's end: several sources, each object once.
//!
//! Lives here: the conversation with ingests, and when an object is complete, asked for again, or given up.
//! Does not live here: bytes of copies (`assembly`), what is remembered (`settled`), connections (`source`).
//!
//! An object is settled exactly once: complete when one copy has the announced size and hash, or a gap when
//! every source that is there has refused it, or when it has been missing for one and a half segments while
//! a source was there.

use crate::clock::WallClock;
use crate::limits::{ASSEMBLY_BYTES, MEDIA_CONNECTIONS};
use crate::{
    Event, Heartbeat, Hello, Lane, Layer, LinkClock, Message, Names, NodeId, Reached, Role, SourceId,
    WireError,
};
use bytes::Bytes;
use media::{BroadcastId, DiscontinuitySequence, MediaTime, ObjectKey, RunId, StreamFacts};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

mod assembly;
mod broadcasts;
mod lanes;
mod objects;
mod settled;
mod source;
mod transfer;

use assembly::Assembly;
use settled::Settled;
use source::Source;

/// How a subscriber is set up.
#[derive(Clone, Debug)]
pub struct SubscriberSettings {
    /// Who this edge is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// When a source is silent.
    pub heartbeat: Heartbeat,
    /// Media connections of each link.
    pub media_connections: u8,
    /// Bytes of incomplete objects held.
    pub assembly_bytes: usize,
    /// Which process of the node this is: any number.
    pub process: u64,
    /// Where it stands: whoever stands no lower cannot feed it.
    pub layer: Layer,
    /// Whether it feeds others, and so wants bytes as they come: [`Subscriber::pull_forward`].
    pub relays: bool,
}

impl SubscriberSettings {
    /// The ordinary settings of this node.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat: Heartbeat::default(),
            media_connections: MEDIA_CONNECTIONS,
            assembly_bytes: ASSEMBLY_BYTES,
            process: 0,
            layer: Layer::LAST,
            relays: false,
        }
    }
}

/// A copy that is coming in, for whoever passes it on before it is whole and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// A source began it.
    Open {
        /// Its name.
        key: ObjectKey,
        /// Where it begins in time.
        start: MediaTime,
        /// How many discontinuities came before it.
        discontinuity: DiscontinuitySequence,
        /// Whose copy.
        source: SourceId,
    },
    /// Under which term what comes in from this number on is made, and what it is worth: as its sources say, the best of
    /// them. Before what it is about.
    Lane(Lane),
    /// More of it.
    Bytes {
        /// Its name.
        key: ObjectKey,
        /// Where in it they begin.
        offset: u32,
        /// The bytes.
        bytes: Bytes,
        /// Whose copy.
        source: SourceId,
    },
}

/// What a subscriber wants done with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriberOrder {
    /// [`Subscriber::transmit`] has something for this connection.
    Wake {
        /// Of which source.
        source: SourceId,
        /// Which connection: 0 is control.
        connection: usize,
    },
    /// This source is over: close its connections, and dial it again. It needs no [`Subscriber::lost`].
    Close {
        /// Which.
        source: SourceId,
        /// Why.
        why: String,
    },
}

/// What a subscriber has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberCounters {
    /// Sources whose link is up.
    pub links: u64,
    /// Bytes of media received, second copies included.
    pub bytes_received: u64,
    /// Objects complete and checked.
    pub complete: u64,
    /// Objects that became gaps.
    pub skipped: u64,
    /// Second copies whose hash agreed.
    pub agreed: u64,
    /// Second copies whose hash differed.
    pub differed: u64,
    /// Sources that are not listened to for a broadcast any more, each time it happened.
    pub quarantined: u64,
    /// Objects not taken because they were of an older term, or from a source in quarantine.
    pub refused: u64,
    /// Copies whose bytes did not have the announced size or hash.
    pub corrupt: u64,
    /// Objects asked for again.
    pub fetches: u64,
    /// Bytes of objects that are not complete yet.
    pub assembly_bytes: u64,
    /// Copies whose bytes found no room.
    pub starved: u64,
    /// How the other ends of links that are up keep time.
    pub clocks: Vec<LinkClock>,
}

/// The edge's end of `edgefan/1`.
#[derive(Debug)]
pub struct Subscriber {
    settings: SubscriberSettings,
    sources: BTreeMap<SourceId, Source>,
    broadcasts: HashMap<BroadcastId, Broadcast>,
    /// Whose terms have been said by the message before this one: what follows of them is still to be done.
    lanes_said: BTreeSet<BroadcastId>,
    assemblies: HashMap<ObjectKey, Assembly>,
    /// When which object is to be looked at: no more than one entry each.
    looks: BTreeSet<(Instant, ObjectKey)>,
    assembly_bytes: usize,
    events: VecDeque<Event>,
    orders: VecDeque<SubscriberOrder>,
    wake: BTreeSet<(SourceId, usize)>,
    forwards: VecDeque<Forward>,
    counters: SubscriberCounters,
    clock: WallClock,
}

#[derive(Debug, Default)]
struct Broadcast {
    /// As last told to the edge.
    told: Option<StreamFacts>,
    reached: Option<Reached>,
    ended: Option<RunId>,
    settled: Settled,
    newest_term: lanes::NewestTerm,
    /// Whoever relays has passed on so much of its sources' lanes.
    passed_on: Vec<Lane>,
}

/// What a message leads to beside its own effect.
type Done = Result<(), WireError>;

impl Subscriber {
    /// A subscriber that has dialled nobody.
    pub fn new(settings: SubscriberSettings) -> Self {
        Self {
            settings,
            sources: BTreeMap::new(),
            broadcasts: HashMap::new(),
            lanes_said: BTreeSet::new(),
            assemblies: HashMap::new(),
            looks: BTreeSet::new(),
            assembly_bytes: 0,
            events: VecDeque::new(),
            orders: VecDeque::new(),
            wake: BTreeSet::new(),
            forwards: VecDeque::new(),
            counters: SubscriberCounters::default(),
            clock: WallClock::default(),
        }
    }

    /// What the clock on the wall shows, to compare others' with; again and again, since it may be set.
    pub fn set_clock(&mut self, unix_micros: u64, now: Instant) {
        self.clock.set(unix_micros, now);
    }

    /// How many connections a link has: one for control, then the media ones.
    pub fn connections(&self) -> usize {
        usize::from(self.settings.media_connections) + 1
    }

    /// All connections to a source are open. `link` is any number this node has not used before with it.
    pub fn dialled(&mut self, source: SourceId, link: u64, now: Instant) {
        self.dialled_to(source, link, Vec::new(), now);
    }

    /// The same where whoever answered each connection has shown a certificate with these names.
    pub fn dialled_to(&mut self, source: SourceId, link: u64, names: Vec<Names>, now: Instant) {
        let hello = Hello {
            node: self.settings.node.clone(),
            role: Role::Edge,
            version: self.settings.version.clone(),
            link,
            connection: 0,
            media_connections: self.settings.media_connections,
            edge: None,
            process: self.settings.process,
            layer: self.settings.layer,
        };
        self.lose(source, "dialled anew", now);
        let new = Source::new(&hello, names, self.settings.heartbeat, now);
        self.wake.extend((0..new.lanes.len()).map(|lane| (source, lane)));
        self.sources.insert(source, new);
    }

    /// Bytes came on one of a source's connections.
    pub fn received(&mut self, source: SourceId, connection: usize, bytes: &[u8], now: Instant) {
        if let Some(lane) = self.lane(source, connection) {
            lane.pulse.heard(now);
            lane.reader.push(bytes);
        }
        while let Some(lane) = self.lane(source, connection) {
            let message = match lane.reader.pull() {
                Ok(None) => break,
                Ok(Some(frame)) => Message::decode(frame),
                Err(error) => Err(error),
            };
            if let Err(error) = message.and_then(|message| self.message(source, connection, message, now)) {
                self.cut(source, &error.to_string(), now);
            }
        }
        self.lanes_are_said(now);
    }

    /// One of a source's connections is closed: all of them are over.
    pub fn lost(&mut self, source: SourceId, why: &str, now: Instant) {
        self.lose(source, why, now);
    }

    /// Appends to `out` what this connection should send now.
    pub fn transmit(&mut self, source: SourceId, connection: usize, out: &mut Vec<u8>) {
        if let Some(lane) = self.lane(source, connection) {
            lane.transmit(out);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let ids: Vec<SourceId> = self.sources.keys().copied().collect();
        for id in ids {
            let Some(source) = self.sources.get_mut(&id) else { continue };
            match source.tick(now) {
                Ok(lanes) => self.wake.extend(lanes.into_iter().map(|lane| (id, lane))),
                Err(_) => self.cut(id, "silent", now),
            }
        }
        while let Some((at, _)) = self.looks.first()
            && *at <= now
            && let Some((_, key)) = self.looks.pop_first()
        {
            if let Some(assembly) = self.assemblies.get_mut(&key) {
                assembly.look = None;
            }
            self.consider(&key, now);
        }
    }

    /// When [`Subscriber::tick`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let looks = self.looks.first().map(|(at, _)| *at);
        self.sources.values().filter_map(Source::deadline).chain(looks).min()
    }

    /// What the edge should know next.
    pub fn pull(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is coming in, if this subscriber relays: pulled before [`Subscriber::pull`], it is in order.
    pub fn pull_forward(&mut self) -> Option<Forward> {
        self.forwards.pop_front()
    }

    /// What is to be done with connections next.
    pub fn pull_order(&mut self) -> Option<SubscriberOrder> {
        self.orders.pop_front().or_else(|| {
            let (source, connection) = self.wake.pop_first()?;
            Some(SubscriberOrder::Wake { source, connection })
        })
    }

    /// What has been counted.
    pub fn counters(&self) -> SubscriberCounters {
        SubscriberCounters {
            links: self.sources.values().filter(|source| source.is_up()).count() as u64,
            assembly_bytes: self.assembly_bytes as u64,
            clocks: self
                .sources
                .values()
                .filter(|source| source.is_up())
                .filter_map(Source::link_clock)
                .collect(),
            ..self.counters.clone()
        }
    }

    // What a frame does.

    fn message(&mut self, id: SourceId, lane: usize, message: Message, now: Instant) -> Done {
        if !matches!(message, Message::Lane(_)) {
            self.lanes_are_said(now);
        }
        let Some(source) = self.sources.get_mut(&id) else { return Ok(()) };
        match message {
            Message::Welcome(welcome) if welcome.layer >= self.settings.layer => {
                let (found, allowed) =
                    (welcome.layer.0.to_string(), "a layer below ours: else we could feed each other");
                Err(WireError::Bad { what: "WELCOME", field: "layer", found, allowed })
            }
            Message::Welcome(welcome) => {
                source.check(lane, &welcome.node)?;
                source.is_relay = welcome.layer > Layer::INGEST;
                if source.welcome(lane, welcome.node.clone(), now) {
                    self.events.push_back(Event::LinkUp { source: id, node: welcome.node });
                }
                Ok(())
            }
            Message::Ping { stamp } => {
                let clock = self.clock.at(now);
                self.say(id, lane, &Message::Pong { stamp, clock, steady: 0 }, now);
                Ok(())
            }
            Message::Pong { stamp, clock, steady } => {
                source.pong(stamp, clock, steady, self.clock.at(now), now);
                Ok(())
            }
            _ if !source.is_welcome(lane) => {
                Err(WireError::OutOfTurn { what: "a frame", state: "WELCOME is awaited" })
            }
            Message::Stream(facts) => {
                self.stream(id, facts, now);
                Ok(())
            }
            Message::Have(have) => {
                if let Some(view) = source.broadcasts.get_mut(&have.broadcast) {
                    view.reached = have.reached.max(view.reached);
                }
                self.reach(&have.broadcast, now);
                Ok(())
            }
            Message::Open(open) => self.open(id, open, now),
            Message::Data { object, offset, bytes } => {
                self.data(id, object, offset, &bytes, now);
                Ok(())
            }
            Message::Close(close) => {
                self.close(id, &close, now);
                Ok(())
            }
            Message::Abort { object } => {
                self.abort(id, object, now);
                Ok(())
            }
            Message::Skip(skip) => {
                self.skip(id, &skip, now);
                Ok(())
            }
            Message::Lane(lane) => {
                self.lane_is(id, lane);
                Ok(())
            }
            Message::End { broadcast, run, is_forgotten } => {
                if let Some(view) = source.broadcasts.get_mut(&broadcast) {
                    view.ended = view.ended.max(Some(run));
                }
                self.finish(&broadcast);
                if is_forgotten {
                    self.forget(id, &broadcast, now);
                }
                Ok(())
            }
            // Types of a later version, and types an ingest has no reason to send here, change nothing.
            _ => Ok(()),
        }
    }

    // Sources.

    pub(super) fn lane(&mut self, source: SourceId, connection: usize) -> Option<&mut source::Lane> {
        self.sources.get_mut(&source)?.lanes.get_mut(connection)
    }

    pub(super) fn say(&mut self, source: SourceId, connection: usize, message: &Message, now: Instant) {
        let Some(lane) = self.lane(source, connection) else { return };
        match lane.say(message) {
            Ok(()) => {
                self.wake.insert((source, connection));
            }
            Err(_) => self.cut(source, "it does not read: too many frames wait", now),
        }
    }

    pub(super) fn cut(&mut self, id: SourceId, why: &str, now: Instant) {
        if self.sources.contains_key(&id) {
            self.orders.push_back(SubscriberOrder::Close { source: id, why: why.to_owned() });
            self.lose(id, why, now);
        }
    }

    /// A source is gone: its copies stop where they are, and everything it was awaited for is looked at again.
    pub(super) fn lose(&mut self, id: SourceId, why: &str, now: Instant) {
        let Some(source) = self.sources.remove(&id) else { return };
        self.wake.retain(|(of, _)| *of != id);
        if source.is_up() {
            self.events.push_back(Event::LinkDown { source: id, why: why.to_owned() });
        }
        let keys: Vec<ObjectKey> = self.assemblies.keys().cloned().collect();
        for key in keys {
            let Some(mut assembly) = self.take(&key) else { continue };
            assembly.refused.retain(|&refused| refused != id);
            // A whole copy is good whoever is gone.
            if let Some(copy) = assembly.take_copy(id) {
                assembly.keep_prefix(copy);
            }
            self.put(&key, assembly);
            self.consider(&key, now);
        }
        for broadcast in source.broadcasts.keys() {
            self.note_gone(broadcast, now);
            self.pass_on_after_loss(broadcast);
            self.tell(broadcast);
            self.reach(broadcast, now);
            self.finish(broadcast);
        }
    }
}
