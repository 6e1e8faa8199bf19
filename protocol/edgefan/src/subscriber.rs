//! The edge's end: several sources, each object once.
//!
//! Lives here: the conversation with ingests, and when an object is complete, asked for again, or given up.
//! Does not live here: bytes of copies (`assembly`), what is remembered (`settled`), connections (`source`).
//!
//! An object is settled exactly once: complete when one copy has the announced size and hash, or a gap when
//! every source that is there has refused it, or when it has been missing for one and a half segments while
//! a source was there.

use crate::assembly::{Assembly, Copy};
use crate::limits::{ASSEMBLIES, ASSEMBLY_BYTES, BROADCASTS, FETCHES, MEDIA_CONNECTIONS, REPAIR_AFTER};
use crate::settled::{Known, Settled};
use crate::source::{Source, View};
use crate::{
    Close, Event, Fetch, Have, HaveRange, Heartbeat, Hello, Message, NodeId, ObjectId, Open, Partial,
    Reached, Role, Skip, SkipReason, SourceId, WireError,
};
use bytes::Bytes;
use media::{
    BroadcastId, ContentHash, DiscontinuitySequence, Grid, MediaTime, ObjectKey, ObjectKind, RunId,
    SegmentFacts, StreamFacts,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

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
        }
    }
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
    /// Copies whose bytes did not have the announced size or hash.
    pub corrupt: u64,
    /// Objects asked for again.
    pub fetches: u64,
    /// Bytes of objects that are not complete yet.
    pub assembly_bytes: u64,
    /// Copies whose bytes found no room.
    pub starved: u64,
}

/// The edge's end of `edgefan/1`.
#[derive(Debug)]
pub struct Subscriber {
    settings: SubscriberSettings,
    sources: BTreeMap<SourceId, Source>,
    broadcasts: HashMap<BroadcastId, Broadcast>,
    assemblies: HashMap<ObjectKey, Assembly>,
    /// When which object is to be looked at: no more than one entry each.
    looks: BTreeSet<(Instant, ObjectKey)>,
    assembly_bytes: usize,
    events: VecDeque<Event>,
    orders: VecDeque<SubscriberOrder>,
    wake: BTreeSet<(SourceId, usize)>,
    counters: SubscriberCounters,
}

#[derive(Debug, Default)]
struct Broadcast {
    /// As last told to the edge.
    told: Option<StreamFacts>,
    reached: Option<Reached>,
    ended: Option<RunId>,
    settled: Settled,
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
            assemblies: HashMap::new(),
            looks: BTreeSet::new(),
            assembly_bytes: 0,
            events: VecDeque::new(),
            orders: VecDeque::new(),
            wake: BTreeSet::new(),
            counters: SubscriberCounters::default(),
        }
    }

    /// How many connections a link has: one for control, then the media ones.
    pub fn connections(&self) -> usize {
        usize::from(self.settings.media_connections) + 1
    }

    /// All connections to a source are open. `link` is any number this node has not used before with it.
    pub fn dialled(&mut self, source: SourceId, link: u64, now: Instant) {
        let hello = Hello {
            node: self.settings.node.clone(),
            role: Role::Edge,
            version: self.settings.version.clone(),
            link,
            connection: 0,
            media_connections: self.settings.media_connections,
            edge: None,
        };
        self.lose(source, "dialled anew", now);
        let new = Source::new(&hello, self.settings.heartbeat, now);
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
                Ok(None) => return,
                Ok(Some(frame)) => Message::decode(frame),
                Err(error) => Err(error),
            };
            if let Err(error) = message.and_then(|message| self.message(source, connection, message, now)) {
                self.cut(source, &error.to_string(), now);
            }
        }
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
            ..self.counters.clone()
        }
    }

    // What a frame does.

    fn message(&mut self, id: SourceId, lane: usize, message: Message, now: Instant) -> Done {
        let Some(source) = self.sources.get_mut(&id) else { return Ok(()) };
        match message {
            Message::Welcome(welcome) => {
                if source.welcome(lane, welcome.node.clone()) {
                    self.events.push_back(Event::LinkUp { source: id, node: welcome.node });
                }
                Ok(())
            }
            Message::Ping { stamp } => {
                self.say(id, lane, &Message::Pong { stamp }, now);
                Ok(())
            }
            Message::Pong { stamp } => {
                source.pong(stamp, now);
                Ok(())
            }
            _ if !source.is_up() => {
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
                self.reach(&have.broadcast);
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

    fn stream(&mut self, id: SourceId, facts: StreamFacts, now: Instant) {
        let broadcast = facts.broadcast.clone();
        if !self.broadcasts.contains_key(&broadcast) && !self.make_room() {
            return;
        }
        self.broadcasts.entry(broadcast.clone()).or_default();
        let Some(source) = self.sources.get_mut(&id) else { return };
        match source.broadcasts.get_mut(&broadcast) {
            Some(view) => view.facts = facts,
            None => {
                let view = View { facts, reached: None, ended: None, newest: HashMap::new() };
                source.broadcasts.insert(broadcast.clone(), view);
            }
        }
        self.tell(&broadcast);
        // Each STREAM is answered: only the source knows whether it has had one.
        let have = self.have(&broadcast);
        self.say(id, 0, &Message::Have(have), now);
        self.reach(&broadcast);
    }

    /// A source holds nothing of a broadcast any more; the last one takes all memory of it along.
    fn forget(&mut self, id: SourceId, broadcast: &BroadcastId, now: Instant) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.broadcasts.remove(broadcast);
            source.objects.retain(|_, key| key.broadcast != *broadcast);
        }
        let keys: Vec<ObjectKey> =
            self.assemblies.keys().filter(|key| key.broadcast == *broadcast).cloned().collect();
        let is_last = !self.sources.values().any(|source| source.broadcasts.contains_key(broadcast));
        for key in keys {
            let Some(mut assembly) = self.take(&key) else { continue };
            assembly.take_copy(id);
            if !is_last {
                self.put(&key, assembly);
                self.consider(&key, now);
            }
        }
        if is_last {
            self.broadcasts.remove(broadcast);
        }
    }

    /// Room for one more broadcast: at the bound one that no source has any more is forgotten.
    fn make_room(&mut self) -> bool {
        if self.broadcasts.len() < BROADCASTS {
            return true;
        }
        let is_announced =
            |id: &BroadcastId| self.sources.values().any(|source| source.broadcasts.contains_key(id));
        let Some(stale) = self.broadcasts.keys().find(|id| !is_announced(id)).cloned() else { return false };
        self.broadcasts.remove(&stale);
        let orphans: Vec<ObjectKey> =
            self.assemblies.keys().filter(|key| key.broadcast == stale).cloned().collect();
        orphans.iter().for_each(|key| drop(self.take(key)));
        true
    }

    /// All that is settled or begun of a broadcast.
    fn have(&self, broadcast: &BroadcastId) -> Have {
        let ranges = self.broadcasts.get(broadcast).map(|known| known.settled.ranges()).unwrap_or_default();
        let begun = self.assemblies.iter().filter(|(key, assembly)| {
            key.broadcast == *broadcast && !assembly.prefix.is_empty() && assembly.copies.is_empty()
        });
        let partials =
            begun.map(|(key, assembly)| Partial { key: key.clone(), bytes: assembly.prefix.len() as u32 });
        Have {
            broadcast: broadcast.clone(),
            ranges,
            partials: partials.collect(),
            is_whole: true,
            reached: None,
        }
    }

    fn open(&mut self, id: SourceId, open: Open, now: Instant) -> Done {
        let Some(source) = self.sources.get_mut(&id) else { return Ok(()) };
        if !source.broadcasts.contains_key(&open.key.broadcast) {
            return Err(WireError::OutOfTurn { what: "OPEN", state: "its broadcast was not announced" });
        }
        if source.objects.len() >= ASSEMBLIES {
            let (count, limit) = (ASSEMBLIES as u64 + 1, ASSEMBLIES as u64);
            return Err(WireError::TooMuch { what: "OPEN", field: "open objects", count, limit });
        }
        source.saw(&open.key);
        source.objects.insert(open.object, open.key.clone());
        if self.known(&open.key).is_some() {
            return Ok(());
        }
        let Some(mut assembly) = self.take_or_new(&open.key) else { return Ok(()) };
        assembly.refused.retain(|&refused| refused != id);
        if let Some(former) = assembly.take_copy(id) {
            assembly.keep_prefix(former);
        }
        // It may begin before what is here (it has less itself), never behind it.
        let from = open.from as usize;
        if from <= assembly.prefix.len() {
            let mut prefix = match from {
                0 => Vec::new(),
                _ => std::mem::take(&mut assembly.prefix),
            };
            prefix.truncate(from);
            assembly.copies.push(Copy::new(id, open.object, prefix));
        }
        self.put(&open.key, assembly);
        self.consider(&open.key, now);
        Ok(())
    }

    fn data(&mut self, id: SourceId, object: ObjectId, offset: u32, bytes: &[u8], now: Instant) {
        self.counters.bytes_received += bytes.len() as u64;
        let Some(source) = self.sources.get(&id) else { return };
        let Some(key) = source.objects.get(&object) else { return };
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        let Some(copy) = assembly.copy(id).filter(|copy| copy.object == object) else { return };
        let has_room = self.assembly_bytes + bytes.len() <= self.settings.assembly_bytes;
        if has_room && copy.push(offset, bytes).is_ok() {
            self.assembly_bytes += bytes.len();
            return;
        }
        let key = key.clone();
        if has_room {
            self.counters.corrupt += 1;
        } else {
            self.counters.starved += 1;
        }
        if let Some(mut assembly) = self.take(&key) {
            assembly.take_copy(id);
            assembly.failures += u32::from(has_room);
            assembly.failed = Some(id);
            self.put(&key, assembly);
            self.consider(&key, now);
        }
    }

    fn close(&mut self, id: SourceId, close: &Close, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let Some(key) = source.objects.remove(&close.object) else { return };
        if let Some(known) = self.known(&key) {
            self.compare(id, &key, known, close.hash);
            return;
        }
        let Some(mut assembly) = self.take(&key) else { return };
        let copy = assembly.take_copy(id).filter(|copy| copy.object == close.object);
        match copy {
            Some(copy) if !close.is_withheld => match copy.finish(close) {
                Ok((body, hash)) => {
                    self.complete(id, &key, close.facts(&key), body, hash, now);
                    return;
                }
                Err(_) => {
                    self.counters.corrupt += 1;
                    assembly.failures += 1;
                    assembly.failed = Some(id);
                }
            },
            Some(copy) => assembly.keep_prefix(copy),
            None => {}
        }
        // Complete over there, if not here: a gap in its place would be this long.
        assembly.gap = Some(SegmentFacts { bytes: 0, is_gap: true, ..close.facts(&key) });
        self.put(&key, assembly);
        self.consider(&key, now);
    }

    fn compare(&mut self, source: SourceId, key: &ObjectKey, known: Known, other: ContentHash) {
        match known {
            Known::Complete(kept) if kept == other => self.counters.agreed += 1,
            Known::Complete(kept) => {
                self.counters.differed += 1;
                self.events.push_back(Event::Differs { key: key.clone(), kept, other, source });
            }
            Known::Gap | Known::TooOld => {}
        }
    }

    fn abort(&mut self, id: SourceId, object: ObjectId, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let Some(key) = source.objects.remove(&object) else { return };
        let Some(mut assembly) = self.take(&key) else { return };
        if let Some(copy) = assembly.take_copy(id) {
            assembly.keep_prefix(copy);
        }
        self.put(&key, assembly);
        self.consider(&key, now);
    }

    fn skip(&mut self, id: SourceId, skip: &Skip, now: Instant) {
        let is_known = |source: &Source| source.broadcasts.contains_key(&skip.key.broadcast);
        if !self.sources.get(&id).is_some_and(is_known) {
            return;
        }
        for (key, facts) in skip.each() {
            if self.known(&key).is_some() {
                continue;
            }
            let Some(mut assembly) = self.take_or_new(&key) else { return };
            if let Some((asked, _)) = assembly.asked
                && asked == id
            {
                assembly.asked = None;
            }
            match skip.reason {
                SkipReason::NotYet => {}
                SkipReason::NotHeld if facts.duration == media::MediaSpan::ZERO => assembly.refused.push(id),
                _ => {
                    if let Some(source) = self.sources.get_mut(&id) {
                        source.saw(&key);
                    }
                    assembly.refused.push(id);
                    if facts.duration != media::MediaSpan::ZERO || assembly.gap.is_none() {
                        assembly.gap = Some(facts);
                    }
                }
            }
            assembly.refused.sort_unstable();
            assembly.refused.dedup();
            self.put(&key, assembly);
            // Whoever has not made it yet sends it by itself: asking again would only be answered the same.
            match skip.reason {
                SkipReason::NotYet => self.look_later(&key, now + REPAIR_AFTER, now),
                _ => self.consider(&key, now),
            }
        }
    }

    // What becomes of an object.

    /// What is known of an object that is settled.
    fn known(&self, key: &ObjectKey) -> Option<Known> {
        self.broadcasts.get(&key.broadcast)?.settled.find(key)
    }

    fn complete(
        &mut self,
        source: SourceId,
        key: &ObjectKey,
        facts: SegmentFacts,
        body: Bytes,
        hash: ContentHash,
        now: Instant,
    ) {
        self.counters.complete += 1;
        self.settle(Some(source), key, Some(hash), now);
        self.events.push_back(Event::Complete { key: key.clone(), facts, body, hash, source });
    }

    /// Remembers it, and tells the sources that need not send it any more.
    fn settle(&mut self, by: Option<SourceId>, key: &ObjectKey, hash: Option<ContentHash>, now: Instant) {
        if let Some(broadcast) = self.broadcasts.get_mut(&key.broadcast) {
            broadcast.settled.insert(key, hash);
        }
        if key.part.is_some() {
            return;
        }
        let range = HaveRange::of(key.run, key.rendition.clone(), key.kind, std::iter::once(key.sequence));
        let have = Message::Have(Have {
            broadcast: key.broadcast.clone(),
            ranges: range.into_iter().collect(),
            partials: Vec::new(),
            is_whole: false,
            reached: None,
        });
        for id in self.announcing(&key.broadcast) {
            if Some(id) != by {
                self.say(id, 0, &have, now);
            }
        }
    }

    /// The sources that are there and have announced this broadcast.
    fn announcing(&self, broadcast: &BroadcastId) -> Vec<SourceId> {
        let announces = |source: &Source| source.is_up() && source.broadcasts.contains_key(broadcast);
        self.sources.iter().filter(|(_, source)| announces(source)).map(|(&id, _)| id).collect()
    }

    /// Decides on an object of which no copy may be coming: wait, ask, or give up.
    fn consider(&mut self, key: &ObjectKey, now: Instant) {
        let sources = self.announcing(&key.broadcast);
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        if !assembly.copies.is_empty() || sources.is_empty() {
            assembly.give_up = None;
            assembly.asked = None;
            self.look(key, None);
            return;
        }
        let patience = self.patience(&key.broadcast);
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        let give_up = *assembly.give_up.get_or_insert(now + patience);
        let can: Vec<SourceId> =
            sources.iter().copied().filter(|id| !assembly.refused.contains(id)).collect();
        if can.is_empty() || assembly.failures >= FETCHES || now >= give_up {
            self.give_up(key, now);
            return;
        }
        if let Some((asked, at)) = assembly.asked
            && let Some(source) = self.sources.get(&asked)
            && now < at + source.round_trip + REPAIR_AFTER
        {
            let again = (at + source.round_trip + REPAIR_AFTER).min(give_up);
            self.look(key, Some(again));
            return;
        }
        // Another than the one asked last, and the one that failed only if there is no other.
        let asked = assembly.asked.map(|(id, _)| id);
        let worth = |id: &SourceId| (Some(*id) == assembly.failed, Some(*id) == asked, *id);
        let Some(chosen) = can.iter().copied().min_by_key(worth) else { return };
        assembly.asked = Some((chosen, now));
        let fetch = Fetch { key: key.clone(), from: assembly.prefix.len() as u32 };
        let wait =
            self.sources.get(&chosen).map_or(Duration::ZERO, |source| source.round_trip) + REPAIR_AFTER;
        self.counters.fetches += 1;
        self.look(key, Some((now + wait).min(give_up)));
        self.say(chosen, 0, &Message::Fetch(fetch), now);
    }

    /// How long an object may be missing while a source is there: one and a half segments.
    fn patience(&self, broadcast: &BroadcastId) -> Duration {
        let facts = self.broadcasts.get(broadcast).and_then(|broadcast| broadcast.told.as_ref());
        facts.map_or(Duration::from_secs(3), |facts| facts.segment.as_duration() * 3 / 2)
    }

    fn give_up(&mut self, key: &ObjectKey, now: Instant) {
        let Some(assembly) = self.take(key) else { return };
        let facts = assembly.gap.filter(|facts| facts.duration != media::MediaSpan::ZERO);
        let facts = facts.unwrap_or_else(|| self.gap_on_grid(key));
        self.settle(None, key, None, now);
        // Of a kind that no playlist lists, a gap is no news.
        if key.kind == ObjectKind::Segment || key.kind == ObjectKind::Part {
            self.counters.skipped += 1;
            self.events.push_back(Event::Skipped { key: key.clone(), facts });
        }
    }

    /// The gap that the grid says was there.
    fn gap_on_grid(&self, key: &ObjectKey) -> SegmentFacts {
        let facts = self.broadcasts.get(&key.broadcast).and_then(|broadcast| broadcast.told.as_ref());
        let duration = facts.map_or(media::MediaSpan::ZERO, |facts| facts.segment);
        SegmentFacts {
            sequence: key.sequence,
            run: key.run,
            start: Grid::new(duration).map_or_else(MediaTime::default, |grid| grid.start_of(key.sequence)),
            duration,
            discontinuity: DiscontinuitySequence(0),
            bytes: 0,
            is_gap: true,
        }
    }

    // Assemblies are taken out, changed and put back, so that their bytes are always counted.

    fn take(&mut self, key: &ObjectKey) -> Option<Assembly> {
        let assembly = self.assemblies.remove(key)?;
        self.assembly_bytes -= assembly.bytes();
        if let Some(at) = assembly.look {
            self.looks.remove(&(at, key.clone()));
        }
        Some(assembly)
    }

    fn take_or_new(&mut self, key: &ObjectKey) -> Option<Assembly> {
        match self.take(key) {
            Some(assembly) => Some(assembly),
            None => (self.assemblies.len() < ASSEMBLIES).then(Assembly::default),
        }
    }

    fn put(&mut self, key: &ObjectKey, mut assembly: Assembly) {
        self.assembly_bytes += assembly.bytes();
        assembly.look = None;
        self.assemblies.insert(key.clone(), assembly);
    }

    fn look(&mut self, key: &ObjectKey, at: Option<Instant>) {
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut assembly.look, at) {
            self.looks.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.looks.insert((at, key.clone()));
        }
    }

    fn look_later(&mut self, key: &ObjectKey, at: Instant, now: Instant) {
        let patience = self.patience(&key.broadcast);
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        if assembly.copies.is_empty() {
            let give_up = *assembly.give_up.get_or_insert(now + patience);
            self.look(key, Some(at.min(give_up)));
        }
    }

    // What all sources together amount to.

    /// The facts of the source to be believed: the greatest run, then the first in the list.
    fn tell(&mut self, broadcast: &BroadcastId) {
        let views = self.sources.values().filter_map(|source| source.broadcasts.get(broadcast));
        let mut best: Option<&StreamFacts> = None;
        for view in views {
            if best.is_none_or(|best| best.run < view.facts.run) {
                best = Some(&view.facts);
            }
        }
        let (Some(facts), Some(known)) = (best, self.broadcasts.get_mut(broadcast)) else { return };
        // A lesser run is a source that lags behind another that was here before.
        let is_news = known.told.as_ref().is_none_or(|told| told != facts && told.run <= facts.run);
        if is_news {
            known.told = Some(facts.clone());
            self.events.push_back(Event::Stream(facts.clone()));
        }
    }

    /// Ready, or caught up, is what every source that is there has said.
    fn reach(&mut self, broadcast: &BroadcastId) {
        let sources = self.announcing(broadcast);
        let reached = sources
            .iter()
            .filter_map(|id| self.sources[id].broadcasts.get(broadcast))
            .map(|view| view.reached)
            .min();
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        // With nobody there the edge has what it had.
        let Some(reached) = reached else { return };
        let before = std::mem::replace(&mut known.reached, reached);
        if before < Some(Reached::Ready) && reached >= Some(Reached::Ready) {
            self.events.push_back(Event::Ready { broadcast: broadcast.clone() });
        }
        if before < Some(Reached::CaughtUp) && reached == Some(Reached::CaughtUp) {
            self.events.push_back(Event::CaughtUp { broadcast: broadcast.clone() });
        }
    }

    /// A run is over when every source that feeds it has said so.
    fn finish(&mut self, broadcast: &BroadcastId) {
        let sources = self.announcing(broadcast);
        let views: Vec<&View> =
            sources.iter().filter_map(|id| self.sources[id].broadcasts.get(broadcast)).collect();
        let Some(run) = views.iter().map(|view| view.facts.run).max() else { return };
        let is_over = views.iter().filter(|view| view.facts.run == run).all(|view| view.ended >= Some(run));
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        if is_over && known.ended < Some(run) {
            known.ended = Some(run);
            self.events.push_back(Event::Ended { broadcast: broadcast.clone(), run });
        }
    }

    // Sources.

    fn lane(&mut self, source: SourceId, connection: usize) -> Option<&mut crate::source::Lane> {
        self.sources.get_mut(&source)?.lanes.get_mut(connection)
    }

    fn say(&mut self, source: SourceId, connection: usize, message: &Message, now: Instant) {
        let Some(lane) = self.lane(source, connection) else { return };
        match lane.say(message) {
            Ok(()) => {
                self.wake.insert((source, connection));
            }
            Err(_) => self.cut(source, "it does not read: too many frames wait", now),
        }
    }

    fn cut(&mut self, id: SourceId, why: &str, now: Instant) {
        if self.sources.contains_key(&id) {
            self.orders.push_back(SubscriberOrder::Close { source: id, why: why.to_owned() });
            self.lose(id, why, now);
        }
    }

    /// A source is gone: its copies stop where they are, and everything it was awaited for is looked at again.
    fn lose(&mut self, id: SourceId, why: &str, now: Instant) {
        let Some(source) = self.sources.remove(&id) else { return };
        self.wake.retain(|(of, _)| *of != id);
        if source.is_up() {
            self.events.push_back(Event::LinkDown { source: id, why: why.to_owned() });
        }
        let keys: Vec<ObjectKey> = self.assemblies.keys().cloned().collect();
        for key in keys {
            let Some(mut assembly) = self.take(&key) else { continue };
            assembly.refused.retain(|&refused| refused != id);
            if let Some(copy) = assembly.take_copy(id) {
                assembly.keep_prefix(copy);
            }
            self.put(&key, assembly);
            self.consider(&key, now);
        }
        for broadcast in source.broadcasts.keys() {
            self.tell(broadcast);
            self.reach(broadcast);
            self.finish(broadcast);
        }
    }
}
