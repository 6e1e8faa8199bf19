//! The publisher's hub: every object of every broadcast's window, once, shared by all links.
//!
//! Lives here: what is held, until when, and what happens to an object's bytes. Does not live here: who gets
//! which object when (`link`).

use super::object::{Object, State, repeats};
use crate::limits::{BROADCASTS, HOLD_BEYOND_WINDOW, OBJECT_BYTES, RENDITIONS, SKIP_RUN};
use crate::{Close, ObjectId, Skip, SkipReason};
use bytes::{Bytes, BytesMut};
use media::{
    BroadcastId, ContentHash, DiscontinuitySequence, Grid, MediaSequence, MediaTime, ObjectKey, ObjectKind,
    PartIndex, RenditionId, RunId, SegmentFacts, StreamFacts,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Every object held.
#[derive(Debug)]
pub(crate) struct Hub {
    broadcasts: HashMap<BroadcastId, Broadcast>,
    objects: HashMap<ObjectId, Object>,
    by_key: HashMap<ObjectKey, ObjectId>,
    /// Settled objects, oldest first: what is let go when bytes run out.
    oldest: BTreeSet<(MediaTime, ObjectId)>,
    next: u64,
    bytes: usize,
    bytes_limit: usize,
    /// Whether a number that was left out is a gap.
    makes_gaps: bool,
}

/// One broadcast of the hub.
#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(crate) facts: StreamFacts,
    /// When and which run ended, unless a later one began.
    pub(crate) ended: Option<(RunId, Instant)>,
    renditions: HashMap<RenditionId, Held>,
}

/// What is held of one rendition.
#[derive(Debug, Default)]
struct Held {
    objects: BTreeMap<(MediaSequence, Option<PartIndex>, ObjectKind, RunId), ObjectId>,
    /// The greatest number of anything begun so far, held or not.
    newest: MediaSequence,
    /// The greatest number of a segment begun so far, held or not.
    last_segment: Option<MediaSequence>,
}

/// What bytes did to an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Grown {
    /// There is more of it.
    Longer(ObjectId),
    /// Nothing is new: it is not known, not open, or repeats itself.
    Same,
    /// It repeated itself up to here and then did not: `new` takes the place of `old`.
    Replaced { old: ObjectId, new: ObjectId },
    /// It outgrew what an object may have, and is a gap now.
    TooLong(ObjectId),
}

/// What beginning an object brought.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// New objects, gaps before the one that was opened included.
    pub(crate) added: Vec<ObjectId>,
    /// What had the rendition's greatest number until now.
    pub(crate) formerly_newest: Vec<ObjectId>,
    /// Objects that left the window: too late for whoever still waits for them. The caller tells the links,
    /// then lets go what [`Hub::is_beyond_hold`].
    pub(crate) late: Vec<ObjectId>,
    /// True if this is the rendition's first segment here.
    pub(crate) is_first: bool,
}

impl Hub {
    pub(crate) fn new(bytes_limit: usize, makes_gaps: bool) -> Self {
        Self {
            broadcasts: HashMap::new(),
            objects: HashMap::new(),
            by_key: HashMap::new(),
            oldest: BTreeSet::new(),
            next: 1,
            bytes: 0,
            bytes_limit,
            makes_gaps,
        }
    }

    pub(crate) fn object(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(&id)
    }

    pub(crate) fn find(&self, key: &ObjectKey) -> Option<ObjectId> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn broadcast(&self, id: &BroadcastId) -> Option<&Broadcast> {
        self.broadcasts.get(id)
    }

    pub(crate) fn broadcasts(&self) -> impl Iterator<Item = &Broadcast> {
        self.broadcasts.values()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes note of what a broadcast is; false if there is no room for it, or nothing new in it.
    pub(crate) fn stream(&mut self, facts: StreamFacts) -> bool {
        if let Some(broadcast) = self.broadcasts.get_mut(&facts.broadcast) {
            let is_new = broadcast.facts != facts;
            if broadcast.ended.is_some_and(|(run, _)| run < facts.run) {
                broadcast.ended = None;
            }
            broadcast.facts = facts;
            return is_new;
        }
        if self.broadcasts.len() >= BROADCASTS {
            return false;
        }
        let broadcast = Broadcast { facts: facts.clone(), ended: None, renditions: HashMap::new() };
        self.broadcasts.insert(facts.broadcast, broadcast);
        true
    }

    /// Begins an object; beginning a known one again means that its bytes will be said again.
    pub(crate) fn open(
        &mut self,
        key: &ObjectKey,
        start: MediaTime,
        discontinuity: DiscontinuitySequence,
    ) -> Begun {
        if let Some(object) = self.find(key).and_then(|id| self.objects.get_mut(&id)) {
            if let State::Making { replayed, .. } = &mut object.state {
                *replayed = Some(0);
            }
            return Begun::default();
        }
        let state = State::Making { hasher: Box::default(), replayed: None };
        self.begin(key, start, discontinuity, state)
    }

    /// A gap; an object that was open becomes one.
    pub(crate) fn skip(&mut self, key: &ObjectKey, facts: SegmentFacts) -> (Option<ObjectId>, Begun) {
        match self.find(key) {
            Some(id) => (self.spoil(id, facts).then_some(id), Begun::default()),
            None => {
                let (start, discontinuity) = (facts.start, facts.discontinuity);
                (None, self.begin(key, start, discontinuity, State::Gap(gap(facts))))
            }
        }
    }

    fn begin(
        &mut self,
        key: &ObjectKey,
        start: MediaTime,
        discontinuity: DiscontinuitySequence,
        state: State,
    ) -> Begun {
        let Some(broadcast) = self.broadcasts.get(&key.broadcast) else {
            return Begun::default();
        };
        let window = u64::from(broadcast.facts.window);
        let held = broadcast.renditions.get(&key.rendition);
        if held.is_none() && broadcast.renditions.len() >= 2 * RENDITIONS {
            return Begun::default();
        }
        let newest = held.map(|held| held.newest);
        // What the window has left behind already is not taken at all.
        if newest.is_some_and(|newest| key.sequence.0.saturating_add(window + HOLD_BEYOND_WINDOW) <= newest.0)
        {
            return Begun::default();
        }
        let last_segment = held.and_then(|held| held.last_segment);
        let mut begun = Begun::default();
        if let Some(newest) = newest
            && key.sequence > newest
        {
            begun.formerly_newest = broadcast.at(&key.rendition, newest).collect();
        }
        if key.kind == ObjectKind::Segment {
            begun.is_first = last_segment.is_none();
            let last = last_segment.filter(|_| self.makes_gaps);
            let gaps = last.map_or_else(Vec::new, |last| self.gaps_between(key, last, discontinuity));
            begun.added.extend(gaps.into_iter().map(|(key, facts)| {
                let (start, discontinuity) = (facts.start, facts.discontinuity);
                self.insert(Object::new(key, start, discontinuity, State::Gap(facts)))
            }));
        }
        begun.added.push(self.insert(Object::new(key.clone(), start, discontinuity, state)));
        begun.late = self.late(key);
        begun
    }

    /// The numbers nobody made between the rendition's last segment and this one, the newest of them.
    fn gaps_between(
        &self,
        key: &ObjectKey,
        last: MediaSequence,
        discontinuity: DiscontinuitySequence,
    ) -> Vec<(ObjectKey, SegmentFacts)> {
        let Some(broadcast) = self.broadcasts.get(&key.broadcast) else { return Vec::new() };
        // A gap belongs to what came before it, so that EXT-X-DISCONTINUITY stands before what came after.
        let before = broadcast.at(&key.rendition, last).find_map(|id| self.objects.get(&id));
        let discontinuity = before.map_or(discontinuity, |object| object.discontinuity);
        let first = (last.0 + 1).max(key.sequence.0.saturating_sub(self.skip_run(broadcast)));
        (first..key.sequence.0)
            .map(|sequence| broadcast.gap(key, MediaSequence(sequence), discontinuity))
            .collect()
    }

    fn skip_run(&self, broadcast: &Broadcast) -> u64 {
        u64::from(broadcast.facts.window).min(SKIP_RUN)
    }

    /// What an edge whose newest is `has` must be told before the first object held of a rendition: the gaps
    /// between, no more than a window of them.
    pub(crate) fn gaps_after(
        &self,
        rendition: &RenditionId,
        of: &BroadcastId,
        has: MediaSequence,
    ) -> Option<Skip> {
        let broadcast = self.broadcasts.get(of)?;
        let (&(first, ..), id) = broadcast
            .renditions
            .get(rendition)?
            .objects
            .iter()
            .find(|(place, _)| place.2 == ObjectKind::Segment)?;
        let object = self.objects.get(id)?;
        let from = has.0.saturating_add(1).max(first.0.saturating_sub(self.skip_run(broadcast)));
        let count = first.0.checked_sub(from).filter(|&count| count > 0)?;
        let (key, facts) = broadcast.gap(&object.key, MediaSequence(from), object.discontinuity);
        let mut skip = Skip::one(key, &facts, SkipReason::NotHeld);
        skip.count = count;
        Some(skip)
    }

    fn insert(&mut self, object: Object) -> ObjectId {
        let id = ObjectId(self.next);
        self.next += 1;
        if let Some(broadcast) = self.broadcasts.get_mut(&object.key.broadcast) {
            let key = &object.key;
            let place = (key.sequence, key.part, key.kind, key.run);
            let held = broadcast.renditions.entry(key.rendition.clone()).or_default();
            held.objects.insert(place, id);
            held.newest = held.newest.max(key.sequence);
            if key.kind == ObjectKind::Segment {
                held.last_segment = held.last_segment.max(Some(key.sequence));
            }
        }
        self.by_key.insert(object.key.clone(), id);
        if matches!(object.state, State::Gap(_)) {
            self.oldest.insert((object.start, id));
        }
        self.objects.insert(id, object);
        id
    }

    /// What the rendition's window has left behind.
    fn late(&self, key: &ObjectKey) -> Vec<ObjectId> {
        let Some(broadcast) = self.broadcasts.get(&key.broadcast) else { return Vec::new() };
        let Some(held) = broadcast.renditions.get(&key.rendition) else { return Vec::new() };
        let window = u64::from(broadcast.facts.window);
        let is_late = |sequence: MediaSequence| sequence.0.saturating_add(window) <= held.newest.0;
        held.objects.iter().take_while(|((sequence, ..), _)| is_late(*sequence)).map(|(_, &id)| id).collect()
    }

    /// Whether the window left this behind so far that it need not be held any more.
    pub(crate) fn is_beyond_hold(&self, id: ObjectId) -> bool {
        let Some(object) = self.objects.get(&id) else { return false };
        let Some(broadcast) = self.broadcasts.get(&object.key.broadcast) else { return true };
        let newest = broadcast.newest(&object.key.rendition).unwrap_or_default();
        let held = u64::from(broadcast.facts.window) + HOLD_BEYOND_WINDOW;
        object.key.sequence.0.saturating_add(held) <= newest.0
    }

    pub(crate) fn append(&mut self, key: &ObjectKey, bytes: Bytes) -> Grown {
        let Some(id) = self.find(key) else { return Grown::Same };
        let Some(object) = self.objects.get_mut(&id) else { return Grown::Same };
        let len = object.len();
        let State::Making { hasher, replayed } = &mut object.state else { return Grown::Same };
        let fresh = match *replayed {
            None => bytes,
            Some(at) => {
                let again = bytes.len().min(len.saturating_sub(at));
                *replayed = Some(at + again);
                if !repeats(&object.runs, at, &bytes[..again]) {
                    return self.replace(id, at, bytes);
                }
                bytes.slice(again..)
            }
        };
        if fresh.is_empty() {
            return Grown::Same;
        }
        if (len + fresh.len()) as u64 > OBJECT_BYTES {
            let facts = object.as_gap();
            self.spoil(id, facts);
            return Grown::TooLong(id);
        }
        hasher.update(&fresh);
        if let State::Making { replayed: Some(at), .. } = &mut object.state {
            *at += fresh.len();
        }
        self.bytes += fresh.len();
        object.ends.push(len + fresh.len());
        object.runs.push(fresh);
        Grown::Longer(id)
    }

    /// A repeated object that is not the same: begins it anew under another number.
    fn replace(&mut self, old: ObjectId, at: usize, bytes: Bytes) -> Grown {
        let Some(object) = self.objects.get(&old) else { return Grown::Same };
        let mut again = BytesMut::with_capacity(at + bytes.len());
        object.read(0, at, |run| again.extend_from_slice(run));
        again.extend_from_slice(&bytes);
        let (key, start, discontinuity) = (object.key.clone(), object.start, object.discontinuity);
        self.remove(old);
        let state = State::Making { hasher: Box::default(), replayed: None };
        let new = self.insert(Object::new(key.clone(), start, discontinuity, state));
        self.append(&key, again.freeze());
        Grown::Replaced { old, new }
    }

    /// `made` as in [`Close`].
    pub(crate) fn close(&mut self, key: &ObjectKey, facts: &SegmentFacts, made: u64) -> Option<ObjectId> {
        let id = self.find(key)?;
        let object = self.objects.get_mut(&id)?;
        let State::Making { hasher, replayed } = &object.state else { return None };
        if replayed.is_some_and(|at| at < object.len()) {
            // Repeated itself, and ended sooner: what was sent is not a copy of it.
            let facts = object.as_gap();
            self.spoil(id, facts);
            return Some(id);
        }
        let hash = ContentHash(*hasher.finalize().as_bytes());
        object.start = facts.start;
        object.discontinuity = facts.discontinuity;
        object.state = State::Closed(Close {
            object: id,
            start: facts.start,
            duration: facts.duration,
            discontinuity: facts.discontinuity,
            bytes: object.len() as u64,
            hash,
            is_withheld: false,
            made,
        });
        // One buffer of the exact size: runs may be slices of larger ones, and a late joiner reads it in one go.
        if object.runs.len() > 1 {
            let mut whole = BytesMut::with_capacity(object.len());
            object.runs.iter().for_each(|run| whole.extend_from_slice(run));
            object.ends = vec![whole.len()];
            object.runs = vec![whole.freeze()];
        }
        self.oldest.insert((object.start, id));
        Some(id)
    }

    /// The oldest settled object, if what is held does not fit.
    pub(crate) fn surplus(&self) -> Option<ObjectId> {
        let (_, id) = self.oldest.first().filter(|_| self.bytes > self.bytes_limit)?;
        Some(*id)
    }

    pub(crate) fn end(&mut self, broadcast: &BroadcastId, run: RunId, now: Instant) -> bool {
        match self.broadcasts.get_mut(broadcast) {
            Some(broadcast) if broadcast.facts.run <= run && broadcast.ended.is_none() => {
                broadcast.ended = Some((run, now));
                true
            }
            _ => false,
        }
    }

    /// The broadcasts whose last run ended a window ago.
    pub(crate) fn expired(&self, now: Instant) -> Vec<BroadcastId> {
        let is_over = |broadcast: &Broadcast| broadcast.forget_at().is_some_and(|at| at <= now);
        self.broadcasts.iter().filter(|(_, broadcast)| is_over(broadcast)).map(|(id, _)| id.clone()).collect()
    }

    /// Forgets a broadcast and all its objects.
    pub(crate) fn forget(&mut self, id: &BroadcastId) {
        let held: Vec<ObjectId> = self.broadcasts.get(id).into_iter().flat_map(Broadcast::objects).collect();
        held.into_iter().for_each(|object| self.remove(object));
        self.broadcasts.remove(id);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.broadcasts.values().filter_map(Broadcast::forget_at).min()
    }

    /// Turns an object into a gap; false if it is complete, or one already.
    pub(crate) fn spoil(&mut self, id: ObjectId, facts: SegmentFacts) -> bool {
        let Some(object) = self.objects.get_mut(&id) else { return false };
        if !matches!(object.state, State::Making { .. }) {
            return false;
        }
        self.bytes -= object.len();
        object.runs.clear();
        object.ends.clear();
        object.state = State::Gap(gap(facts));
        self.oldest.insert((object.start, id));
        true
    }

    /// Lets an object go.
    pub(crate) fn remove(&mut self, id: ObjectId) {
        let Some(object) = self.objects.remove(&id) else { return };
        self.bytes -= object.len();
        self.oldest.remove(&(object.start, id));
        self.by_key.remove(&object.key);
        let key = &object.key;
        if let Some(held) = self
            .broadcasts
            .get_mut(&key.broadcast)
            .and_then(|broadcast| broadcast.renditions.get_mut(&key.rendition))
        {
            held.objects.remove(&(key.sequence, key.part, key.kind, key.run));
        }
    }
}

impl Broadcast {
    /// The greatest number begun of a rendition.
    pub(crate) fn newest(&self, rendition: &RenditionId) -> Option<MediaSequence> {
        self.renditions.get(rendition).map(|held| held.newest)
    }

    /// Every object held of it, oldest first within a rendition.
    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.renditions.values().flat_map(|held| held.objects.values()).copied()
    }

    /// The renditions something is, or was, held of.
    pub(crate) fn renditions(&self) -> impl Iterator<Item = &RenditionId> {
        self.renditions.keys()
    }

    /// What is held of a rendition at one number.
    fn at(&self, rendition: &RenditionId, sequence: MediaSequence) -> impl Iterator<Item = ObjectId> {
        let held = self.renditions.get(rendition).into_iter().flat_map(|held| held.objects.iter().rev());
        held.skip_while(move |(place, _)| place.0 > sequence)
            .take_while(move |(place, _)| place.0 == sequence)
            .map(|(_, &id)| id)
    }

    fn gap(
        &self,
        like: &ObjectKey,
        sequence: MediaSequence,
        discontinuity: DiscontinuitySequence,
    ) -> (ObjectKey, SegmentFacts) {
        let duration = self.facts.segment;
        let start = Grid::new(duration).map_or_else(MediaTime::default, |grid| grid.start_of(sequence));
        let key = ObjectKey { sequence, part: None, kind: ObjectKind::Segment, ..like.clone() };
        let facts =
            SegmentFacts { sequence, run: key.run, start, duration, discontinuity, bytes: 0, is_gap: true };
        (key, facts)
    }

    fn forget_at(&self) -> Option<Instant> {
        let (_, at) = self.ended?;
        Some(at + self.facts.segment.as_duration() * self.facts.window.max(1) + Duration::from_secs(1))
    }
}

fn gap(facts: SegmentFacts) -> SegmentFacts {
    SegmentFacts { bytes: 0, is_gap: true, ..facts }
}
