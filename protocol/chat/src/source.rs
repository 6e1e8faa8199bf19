//! The lobby's end: what the store has committed, in batches to every edge.
//!
//! Lives here: the newest entries of every room, when a batch leaves, how far each link has come. Does not live here: the
//! store, or who may say what.
//!
//! There is no queue: a link is a number per room, and what it is sent next is made of the ring when its socket takes more.
//! A link that is too slow loses what has left the ring meanwhile, and its edge says so to its readers. The batch that
//! everybody is sent is made once and shared.

use crate::limits::{BATCH_ENTRIES, BATCH_EVERY, LINKS, ROOMS};
use crate::word::encode_batch;
use crate::{Entry, Gap, Have, LogId, Ring, RoomFacts, Sequence, What, Word};
use bytes::Bytes;
use media::BroadcastId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// One link of an edge, numbered by whoever accepts it; a number is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What it has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Rooms there are.
    pub rooms: u64,
    /// Edges that are linked.
    pub links: u64,
    /// Entries taken.
    pub entries: u64,
    /// Batches made.
    pub batches: u64,
    /// Entries an edge was too slow for, or away for too long.
    pub skipped: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Source {
    rooms: BTreeMap<BroadcastId, Room>,
    links: BTreeMap<LinkId, Link>,
    turn: u64,
    wake: VecDeque<LinkId>,
    counts: SourceCounts,
}

#[derive(Debug)]
struct Room {
    ring: Ring,
    slow: u32,
    turn: u64,
    /// What links are sent goes up to here.
    until: Sequence,
    /// When the last batch left.
    left_at: Option<Instant>,
    /// The batch that whoever is up to date is sent, from its first number on.
    newest: Option<(Sequence, Bytes, u64)>,
}

#[derive(Debug, Default)]
struct Link {
    /// What it has; `None` before it has said so.
    has: Option<BTreeMap<BroadcastId, Reached>>,
    /// Rooms of which there may be news.
    stale: BTreeSet<BroadcastId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    log: LogId,
    next: Sequence,
    /// What it was told of the room, if anything.
    told: Option<RoomFacts>,
}

impl Room {
    fn facts(&self) -> RoomFacts {
        RoomFacts { log: self.ring.log(), next: self.ring.first(), slow: self.slow }
    }

    fn pending(&self) -> u64 {
        self.ring.next().0 - self.until.0
    }
}

impl Source {
    /// Knows no room.
    pub fn new() -> Self {
        Self::default()
    }

    /// A room is there, with the newest entries the store has of it (oldest first, in a row; up to [`crate::limits::RING`] of
    /// them are kept), and `next` for one without any. Of a room that is here already only another log replaces what is here.
    pub fn open(&mut self, name: &BroadcastId, log: LogId, slow: u32, next: Sequence, newest: Vec<Entry>) {
        if self.rooms.get(name).is_some_and(|room| room.ring.log() == log) {
            for entry in newest {
                // Those that are here are known; a hole is the caller's to fill.
                let _ = self.push(name, entry, None);
            }
            return self.slow(name, slow);
        }
        if !self.rooms.contains_key(name) && self.rooms.len() >= ROOMS {
            let quietest = self.rooms.iter().min_by_key(|(_, room)| room.turn).map(|(name, _)| name.clone());
            quietest.iter().for_each(|quietest| self.close(quietest));
        }
        let mut ring = Ring::new(log, newest.first().map_or(next, |entry| entry.sequence));
        for entry in newest {
            if ring.push(entry).is_err() {
                break;
            }
        }
        self.turn += 1;
        let until = ring.next();
        let room = Room { ring, slow, turn: self.turn, until, left_at: None, newest: None };
        self.rooms.insert(name.clone(), room);
        self.news(name);
    }

    /// Rooms there are, each with its log.
    pub fn rooms(&self) -> impl Iterator<Item = (&BroadcastId, LogId)> {
        self.rooms.iter().map(|(name, room)| (name, room.ring.log()))
    }

    /// Whether there is such a room.
    pub fn has(&self, name: &BroadcastId) -> bool {
        self.rooms.contains_key(name)
    }

    /// The number that comes next in a room.
    pub fn next(&self, name: &BroadcastId) -> Option<Sequence> {
        self.rooms.get(name).map(|room| room.ring.next())
    }

    /// A room is over.
    pub fn close(&mut self, name: &BroadcastId) {
        if self.rooms.remove(name).is_some() {
            self.news(name);
        }
    }

    /// What the store has committed; entries come in order. Said twice is said once. With `now` it leaves with the next batch,
    /// else at once.
    ///
    /// # Errors
    /// Entries before it are missing: nothing is taken, and the caller reads them from the store. A room that is not there
    /// wants number 0.
    pub fn push(&mut self, name: &BroadcastId, entry: Entry, now: Option<Instant>) -> Result<(), Gap> {
        let found = entry.sequence;
        let Some(room) = self.rooms.get_mut(name) else { return Err(Gap { wanted: Sequence(0), found }) };
        let slow = if let What::Slow { seconds } = entry.what { Some(seconds) } else { None };
        if !room.ring.push(entry)? {
            return Ok(());
        }
        self.turn += 1;
        room.turn = self.turn;
        room.slow = slow.unwrap_or(room.slow);
        self.counts.entries += 1;
        let is_due = match (room.left_at, now) {
            (Some(left), Some(now)) => now.saturating_duration_since(left) >= BATCH_EVERY,
            _ => true,
        };
        if is_due || room.pending() >= BATCH_ENTRIES as u64 {
            self.release(name, now);
        }
        Ok(())
    }

    /// Lets batches go whose time has come.
    pub fn tick(&mut self, now: Instant) {
        let is_due = |room: &Room| {
            room.pending() > 0
                && room.left_at.is_none_or(|left| now.saturating_duration_since(left) >= BATCH_EVERY)
        };
        let due: Vec<_> =
            self.rooms.iter().filter(|(_, room)| is_due(room)).map(|(name, _)| name.clone()).collect();
        due.iter().for_each(|name| self.release(name, Some(now)));
    }

    /// When [`Source::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = self.rooms.values().filter(|room| room.pending() > 0);
        waits.filter_map(|room| Some(room.left_at? + BATCH_EVERY)).min()
    }

    /// An edge is linked; nothing is sent before it has said what it has. False: there are too many.
    pub fn joined(&mut self, link: LinkId) -> bool {
        let is_room = self.links.len() < LINKS;
        if is_room {
            self.links.insert(link, Link::default());
        }
        is_room
    }

    /// An edge said something.
    pub fn heard(&mut self, link: LinkId, word: Word) {
        let (Word::Have(have), Some(known)) = (word, self.links.get_mut(&link)) else { return };
        let reached = |Have { room, log, next }| (room, Reached { log, next, told: None });
        let has: BTreeMap<_, _> = have.into_iter().map(reached).collect();
        known.stale = self.rooms.keys().chain(has.keys()).cloned().collect();
        known.has = Some(has);
        self.wake.push_back(link);
    }

    /// A link is gone.
    pub fn left(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// A link that has something to be sent.
    pub fn pull_wake(&mut self) -> Option<LinkId> {
        self.wake.pop_front()
    }

    /// The next payload for this link, made now.
    pub fn pull(&mut self, link: LinkId) -> Option<Bytes> {
        let Link { has: Some(has), stale } = self.links.get_mut(&link)? else { return None };
        while let Some(name) = stale.first().cloned() {
            let Some(room) = self.rooms.get_mut(&name) else {
                stale.remove(&name);
                if has.remove(&name).is_some() {
                    return Some(Word::Closed(name).encode());
                }
                continue;
            };
            let (facts, log) = (room.facts(), room.ring.log());
            let reached = has.entry(name.clone()).or_default();
            let is_told = reached.told.is_some_and(|told| told.log == facts.log);
            if !is_told {
                if reached.log != log || reached.next > room.ring.next() {
                    // It begins where we begin, or where the log stands if we have nothing of it.
                    *reached = Reached { log, next: facts.next, told: None };
                }
                reached.told = Some(facts);
                return Some(Word::Room(name, facts).encode());
            }
            if reached.next >= room.until {
                stale.remove(&name);
                // Slow mode that was changed by an entry is known by it.
                if reached.told.replace(facts).is_some_and(|told| told.slow != facts.slow) {
                    return Some(Word::Room(name, facts).encode());
                }
                continue;
            }
            if reached.next < facts.next {
                self.counts.skipped += facts.next.0 - reached.next.0;
                reached.next = facts.next;
            } else if let Some(slow) = room.slow_since(reached.next) {
                reached.told = Some(RoomFacts { slow, ..facts });
            }
            let (bytes, count) = room.batch(&name, reached.next, &mut self.counts.batches);
            reached.next = Sequence(reached.next.0 + count.max(1));
            return Some(bytes);
        }
        None
    }

    /// What it has counted.
    pub fn counts(&self) -> SourceCounts {
        SourceCounts { rooms: self.rooms.len() as u64, links: self.links.len() as u64, ..self.counts }
    }

    fn slow(&mut self, name: &BroadcastId, slow: u32) {
        if let Some(room) = self.rooms.get_mut(name)
            && room.slow != slow
        {
            room.slow = slow;
            self.news(name);
        }
    }

    fn release(&mut self, name: &BroadcastId, now: Option<Instant>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.until = room.ring.next();
        room.left_at = now.or(room.left_at);
        room.newest = None;
        self.news(name);
    }

    fn news(&mut self, name: &BroadcastId) {
        for (id, link) in self.links.iter_mut().filter(|(_, link)| link.has.is_some()) {
            if link.stale.is_empty() {
                self.wake.push_back(*id);
            }
            link.stale.insert(name.clone());
        }
    }
}

impl Room {
    /// What the newest entry on slow mode says, from this one on and up to where links are sent.
    fn slow_since(&self, from: Sequence) -> Option<u32> {
        let sent = self.ring.since(from).take_while(|entry| entry.sequence < self.until);
        let slow = |entry: &Entry| if let What::Slow { seconds } = entry.what { Some(seconds) } else { None };
        sent.filter_map(slow).last()
    }

    fn batch(&mut self, name: &BroadcastId, from: Sequence, made: &mut u64) -> (Bytes, u64) {
        if let Some((first, bytes, count)) = &self.newest
            && *first == from
        {
            return (bytes.clone(), *count);
        }
        *made += 1;
        let until = self.until;
        let entries = self.ring.since(from).take_while(|entry| entry.sequence < until);
        let (bytes, count) = encode_batch(name, self.ring.log(), entries);
        self.newest = Some((from, bytes.clone(), count));
        (bytes, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RING;
    use crate::{Author, Badge, Follower, Told};
    use std::time::Duration;

    fn name(text: &str) -> BroadcastId {
        BroadcastId::parse(text).unwrap()
    }

    fn said(n: u64) -> Entry {
        let by = Author { id: "7".into(), name: "Ana".into(), badge: Badge::Viewer };
        Entry { sequence: Sequence(n), at_ms: n, what: What::Said { by, text: format!("t{n}") } }
    }

    /// What the edge makes of everything this link is sent: `n+m` for a run of m from n on.
    fn carry(source: &mut Source, link: LinkId, edge: &mut Follower) -> Vec<String> {
        while let Some(payload) = source.pull(link) {
            edge.push(Word::decode(&payload).unwrap());
        }
        let told = |told| match told {
            Told::Run(run) => format!("{}+{}", run.first, run.entries()),
            Told::Room(name, facts) => format!("{name} {}.{}", facts.log, facts.next),
            Told::Closed(name) => format!("{name} closed"),
        };
        std::iter::from_fn(|| edge.pull()).map(told).collect()
    }

    fn join(source: &mut Source, link: u64, edge: &Follower) -> LinkId {
        assert!(source.joined(LinkId(link)));
        assert_eq!(source.pull(LinkId(link)), None, "it has not said what it has");
        source.heard(LinkId(link), edge.have());
        LinkId(link)
    }

    #[test]
    fn the_first_leaves_at_once_and_what_follows_every_200_ms() {
        let (mut source, mut edge, start) = (Source::new(), Follower::new(), crate::epoch());
        source.open(&name("tide"), LogId(1), 0, Sequence(1), Vec::new());
        let link = join(&mut source, 1, &edge);
        assert_eq!(carry(&mut source, link, &mut edge), ["tide 1.1"]);
        let at = |ms| start + Duration::from_millis(ms);
        source.push(&name("tide"), said(1), Some(at(0))).unwrap();
        assert_eq!(carry(&mut source, link, &mut edge), ["1+1"]);
        for (n, ms) in [(2, 10), (3, 150), (4, 199)] {
            source.push(&name("tide"), said(n), Some(at(ms))).unwrap();
        }
        source.tick(at(199));
        assert_eq!(carry(&mut source, link, &mut edge), Vec::<String>::new());
        assert_eq!(source.deadline(), Some(at(200)));
        source.tick(at(200));
        assert_eq!(carry(&mut source, link, &mut edge), ["2+3"]);
        assert_eq!(source.deadline(), None);
        for n in 5..5 + BATCH_ENTRIES as u64 {
            source.push(&name("tide"), said(n), Some(at(210))).unwrap();
        }
        assert_eq!(carry(&mut source, link, &mut edge), ["5+100"], "a full one does not wait");
    }

    #[test]
    fn who_comes_back_is_sent_what_it_has_not_and_loses_what_is_past() {
        let (mut source, mut edge) = (Source::new(), Follower::new());
        source.open(&name("tide"), LogId(1), 0, Sequence(1), (1..=5).map(said).collect());
        let link = join(&mut source, 1, &edge);
        assert_eq!(carry(&mut source, link, &mut edge), ["tide 1.1", "1+5"]);
        source.left(link);
        (6..=8).for_each(|n| source.push(&name("tide"), said(n), None).unwrap());
        let link = join(&mut source, 2, &edge);
        assert_eq!(carry(&mut source, link, &mut edge), ["6+3"]);
        source.left(link);
        (9..=8 + RING as u64 + 10).for_each(|n| source.push(&name("tide"), said(n), None).unwrap());
        let link = join(&mut source, 3, &edge);
        assert_eq!(carry(&mut source, link, &mut edge), ["19+100", "119+100"]);
        assert_eq!(source.counts().skipped, 10);
    }

    #[test]
    fn two_links_share_one_batch() {
        let (mut source, edge) = (Source::new(), Follower::new());
        source.open(&name("tide"), LogId(1), 0, Sequence(1), Vec::new());
        let links = [join(&mut source, 1, &edge), join(&mut source, 2, &edge)];
        links.iter().for_each(|link| drop(source.pull(*link)));
        source.push(&name("tide"), said(1), None).unwrap();
        let sent: Vec<Bytes> = links.iter().map(|link| source.pull(*link).unwrap()).collect();
        assert_eq!((sent[0].as_ptr(), source.counts().batches), (sent[1].as_ptr(), 1));
    }

    #[test]
    fn a_hole_is_refused_and_a_second_time_changes_nothing() {
        let mut source = Source::new();
        let (wanted, found) = (Sequence(0), Sequence(1));
        assert_eq!(source.push(&name("tide"), said(1), None), Err(Gap { wanted, found }));
        source.open(&name("tide"), LogId(1), 0, Sequence(4), Vec::new());
        let (wanted, found) = (Sequence(4), Sequence(6));
        assert_eq!(source.push(&name("tide"), said(6), None), Err(Gap { wanted, found }));
        assert_eq!(source.push(&name("tide"), said(4), None), Ok(()));
        assert_eq!(source.push(&name("tide"), said(4), None), Ok(()));
        assert_eq!(source.next(&name("tide")), Some(Sequence(5)));
    }

    #[test]
    fn rooms_that_are_over_and_other_logs_are_told() {
        let (mut source, mut edge) = (Source::new(), Follower::new());
        source.open(&name("tide"), LogId(1), 0, Sequence(1), (1..=2).map(said).collect());
        source.open(&name("bore"), LogId(1), 5, Sequence(1), Vec::new());
        let link = join(&mut source, 1, &edge);
        assert_eq!(carry(&mut source, link, &mut edge), ["bore 1.1", "tide 1.1", "1+2"]);
        source.close(&name("bore"));
        source.open(&name("tide"), LogId(2), 0, Sequence(1), vec![said(1)]);
        assert_eq!(carry(&mut source, link, &mut edge), ["bore closed", "tide 2.1", "1+1"]);
        source.left(link);
        source.close(&name("tide"));
        let link = join(&mut source, 2, &edge);
        assert_eq!(carry(&mut source, link, &mut edge), ["tide closed"]);
        for nth in 0..=ROOMS {
            source.open(&name(&format!("r{nth}")), LogId(1), 0, Sequence(1), Vec::new());
        }
        assert_eq!(source.counts().rooms, ROOMS as u64);
        assert!(!source.has(&name("r0")) && source.has(&name("r1")));
    }
}
