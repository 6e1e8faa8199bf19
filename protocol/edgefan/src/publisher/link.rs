//! One edge's link at a publisher: which objects wait for it, and which goes next.
//!
//! Lives here: the queue of references of each media connection, its order, and how far backfill has come.
//! Does not live here: the objects (`hub`), frames going in and connections coming and going (`publisher`).
//!
//! The order, decided when the socket takes more and not before: control frames (not here), chat and
//! initialization sections, the newest segment of each rendition in turns, other live ones oldest first (a
//! playlist goes on at its oldest hole), backfill newest first. The tail of the segment before the newest goes
//! before it: a link with 80 % of the rate then carries 4 segments of 5, where strictly newest first carries none.

use super::hub::Hub;
use super::object::{Object, State};
use crate::limits::{DATA_PIECE_BYTES, QUEUED_REFERENCES};
use crate::message::data_head;
use crate::{Message, NodeId, ObjectId, Open, Reached, Skip, SkipReason};
use media::{BroadcastId, MediaSequence, ObjectKey, ObjectKind, RenditionId, RunId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One edge, over all its connections.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) lanes: Vec<Lane>,
    /// What the edge has answered a STREAM for: only these flow.
    pub(crate) subscribed: BTreeMap<BroadcastId, Subscribed>,
}

/// One broadcast on one link.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    /// What must be sent until the edge may serve.
    until_ready: HashSet<ObjectId>,
    /// What must be sent until it has everything.
    until_caught_up: HashSet<ObjectId>,
    reached: Option<Reached>,
    /// Runs that end as soon as the last of their objects is sent.
    pub(crate) ending: Vec<RunId>,
    /// The greatest number the edge has settled of each rendition.
    pub(crate) settled: HashMap<RenditionId, MediaSequence>,
}

/// What waits for one media connection.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    references: HashMap<ObjectId, Reference>,
    ready: BTreeSet<(Rank, ObjectId)>,
    turn: u64,
}

/// Why an object waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Live,
    Backfill,
}

#[derive(Debug)]
struct Reference {
    urgency: Urgency,
    sent: u32,
    is_opened: bool,
    is_withheld: bool,
    turn: u64,
    rank: Option<Rank>,
}

/// Smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: Class,
    order: u64,
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Small,
    /// The rest of the segment that was newest until the cut, if the link had begun it.
    Tail,
    Newest,
    Live,
    Backfill,
}

/// What one step of [`Lane::send`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing waits.
    Nothing,
    /// So many bytes of an object, and more will follow.
    Some(u64),
    /// The last of an object: it is off the queue.
    All(ObjectId, u64),
}

impl Link {
    pub(crate) fn new(node: NodeId, media_connections: u8) -> Self {
        let lanes = (0..media_connections).map(|_| Lane::default()).collect();
        Self { node, lanes, subscribed: BTreeMap::new() }
    }

    /// Which media connection carries a broadcast: all of it on one, so that it stays in order.
    pub(crate) fn lane_of(&self, broadcast: &BroadcastId) -> usize {
        // FNV-1a: the same on every machine, unlike the standard library's.
        let hash = broadcast.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash % self.lanes.len().max(1) as u64) as usize
    }

    /// Puts an object of a subscribed broadcast in the queue. At the queue's bound the least urgent goes:
    /// the answer, for the caller to say SKIP.
    pub(crate) fn add(
        &mut self,
        hub: &Hub,
        id: ObjectId,
        urgency: Urgency,
        from: u32,
    ) -> Option<(ObjectId, Dropped)> {
        let object = hub.object(id)?;
        if !self.subscribed.contains_key(&object.key.broadcast) {
            return None;
        }
        let lane = self.lane_of(&object.key.broadcast);
        self.lanes[lane].add(hub, id, object, urgency, from)
    }

    /// Marks how far this broadcast's backfill has to go, from what is queued now.
    pub(crate) fn begin_backfill(
        &mut self,
        broadcast: &BroadcastId,
        until_ready: HashSet<ObjectId>,
        until_caught_up: HashSet<ObjectId>,
    ) {
        if let Some(subscribed) = self.subscribed.get_mut(broadcast) {
            (subscribed.until_ready, subscribed.until_caught_up) = (until_ready, until_caught_up);
        }
    }

    /// An object of this broadcast is off the queue, or none ever was on it: what is to be said now.
    pub(crate) fn settle(
        &mut self,
        hub: &Hub,
        broadcast: &BroadcastId,
        id: Option<ObjectId>,
    ) -> Vec<Message> {
        let lane = self.lane_of(broadcast);
        let Some(subscribed) = self.subscribed.get_mut(broadcast) else { return Vec::new() };
        if let Some(id) = id {
            subscribed.until_ready.remove(&id);
            subscribed.until_caught_up.remove(&id);
        }
        let mut said = Vec::new();
        let is_ready = subscribed.until_ready.is_empty();
        let is_caught_up = is_ready && subscribed.until_caught_up.is_empty();
        for (reached, is_so) in [(Reached::Ready, is_ready), (Reached::CaughtUp, is_caught_up)] {
            if is_so && subscribed.reached < Some(reached) {
                subscribed.reached = Some(reached);
                said.push(Message::Have(crate::Have {
                    broadcast: broadcast.clone(),
                    ranges: Vec::new(),
                    partials: Vec::new(),
                    is_whole: false,
                    reached: Some(reached),
                }));
            }
        }
        if !subscribed.ending.is_empty() {
            let waits = |run: RunId| {
                let objects = self.lanes[lane].references.keys().filter_map(|&id| hub.object(id));
                objects.into_iter().any(|object| object.key.broadcast == *broadcast && object.key.run == run)
            };
            let (later, now): (Vec<RunId>, Vec<RunId>) =
                std::mem::take(&mut subscribed.ending).into_iter().partition(|&run| waits(run));
            subscribed.ending = later;
            said.extend(now.into_iter().map(|run| Message::End {
                broadcast: broadcast.clone(),
                run,
                is_forgotten: false,
            }));
        }
        said
    }
}

/// How far a reference had come when it was taken off the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) was_opened: bool,
}

impl Dropped {
    /// What the edge must be told.
    pub(crate) fn say(self, id: ObjectId, key: &ObjectKey, object: &Object) -> Vec<Message> {
        let skip = Message::Skip(Skip::one(key.clone(), &object.as_gap(), SkipReason::Late));
        match self.was_opened {
            true => vec![Message::Abort { object: id }, skip],
            false => vec![skip],
        }
    }
}

impl Lane {
    pub(crate) fn has_something(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn holds(&self, id: ObjectId) -> bool {
        self.references.contains_key(&id)
    }

    fn add(
        &mut self,
        hub: &Hub,
        id: ObjectId,
        object: &Object,
        urgency: Urgency,
        from: u32,
    ) -> Option<(ObjectId, Dropped)> {
        if let Some(reference) = self.references.get_mut(&id) {
            // Asked for after all: from where the edge says, with a new OPEN.
            if reference.is_withheld {
                reference.is_withheld = false;
                reference.is_opened = false;
                reference.sent = from.min(object.len() as u32);
            }
            if urgency == Urgency::Live {
                reference.urgency = Urgency::Live;
            }
            self.rank(hub, id);
            return None;
        }
        let sent = from.min(object.len() as u32);
        let reference =
            Reference { urgency, sent, is_opened: false, is_withheld: false, turn: self.turn, rank: None };
        self.references.insert(id, reference);
        self.rank(hub, id);
        if self.references.len() <= QUEUED_REFERENCES {
            return None;
        }
        let (_, least) = *self.ready.last()?;
        self.drop(least).map(|dropped| (least, dropped))
    }

    /// The edge has it from elsewhere: no more bytes, only the hash when it is known.
    pub(crate) fn withhold(&mut self, hub: &Hub, id: ObjectId) -> bool {
        let Some(reference) = self.references.get_mut(&id) else { return false };
        let is_news = !std::mem::replace(&mut reference.is_withheld, true);
        self.rank(hub, id);
        is_news
    }

    /// Takes an object off the queue.
    pub(crate) fn drop(&mut self, id: ObjectId) -> Option<Dropped> {
        let reference = self.references.remove(&id)?;
        if let Some(rank) = reference.rank {
            self.ready.remove(&(rank, id));
        }
        Some(Dropped { was_opened: reference.is_opened })
    }

    /// Finds the object's place again, after it grew, was settled, or is no longer the newest.
    pub(crate) fn rank(&mut self, hub: &Hub, id: ObjectId) {
        let (Some(reference), Some(object)) = (self.references.get_mut(&id), hub.object(id)) else { return };
        let rank = reference.has_something(object).then(|| reference.rank(hub, object));
        if reference.rank == rank {
            return;
        }
        if let Some(old) = std::mem::replace(&mut reference.rank, rank) {
            self.ready.remove(&(old, id));
        }
        if let Some(rank) = rank {
            self.ready.insert((rank, id));
        }
    }

    /// Appends the most urgent frames: an OPEN if it is the first, one DATA, a CLOSE if it is the last.
    pub(crate) fn send(&mut self, hub: &Hub, out: &mut Vec<u8>) -> Sent {
        let Some(&(_, id)) = self.ready.first() else { return Sent::Nothing };
        let (Some(reference), Some(object)) = (self.references.get_mut(&id), hub.object(id)) else {
            // Whoever lets an object go takes its references off first.
            debug_assert!(false, "a reference to an object that is gone");
            self.drop(id);
            return Sent::All(id, 0);
        };
        if let State::Gap(facts) = &object.state {
            if reference.is_opened {
                out.extend_from_slice(&Message::Abort { object: id }.encode());
            }
            let skip = Skip::one(object.key.clone(), facts, SkipReason::Gap);
            out.extend_from_slice(&Message::Skip(skip).encode());
            self.drop(id);
            return Sent::All(id, 0);
        }
        if !reference.is_opened {
            reference.is_opened = true;
            let open = Open {
                object: id,
                key: object.key.clone(),
                start: object.start,
                discontinuity: object.discontinuity,
                from: reference.sent,
            };
            out.extend_from_slice(&Message::Open(open).encode());
        }
        let at = reference.sent as usize;
        let len = object.len();
        let piece = if reference.is_withheld { 0 } else { (len - at).min(DATA_PIECE_BYTES) };
        if piece > 0 {
            out.extend_from_slice(&data_head(id, reference.sent, piece));
            object.read(at, piece, |run| out.extend_from_slice(run));
            reference.sent += piece as u32;
        }
        if let State::Closed(close) = &object.state
            && (reference.is_withheld || at + piece == len)
        {
            let mut close = close.clone();
            close.is_withheld = at + piece < len;
            out.extend_from_slice(&Message::Close(close).encode());
            self.drop(id);
            return Sent::All(id, piece as u64);
        }
        self.turn += 1;
        reference.turn = self.turn;
        self.rank(hub, id);
        Sent::Some(piece as u64)
    }
}

impl Reference {
    fn has_something(&self, object: &Object) -> bool {
        let has_bytes = !self.is_withheld && (self.sent as usize) < object.len();
        object.is_settled() || !self.is_opened || has_bytes
    }

    fn rank(&self, hub: &Hub, object: &Object) -> Rank {
        let start = object.start.ticks();
        let key = &object.key;
        let newest = || hub.broadcast(&key.broadcast).and_then(|broadcast| broadcast.newest(&key.rendition));
        let (class, order) = match (key.kind, self.urgency) {
            (ObjectKind::Chat | ObjectKind::Init, _) => (Class::Small, 0),
            (_, Urgency::Backfill) => (Class::Backfill, u64::MAX - start),
            _ if newest() <= Some(key.sequence) => (Class::Newest, 0),
            _ if self.sent > 0 && object.is_settled() && newest() == Some(key.sequence.next()) => {
                (Class::Tail, start)
            }
            _ => (Class::Live, start),
        };
        Rank { class, order, turn: self.turn }
    }
}
