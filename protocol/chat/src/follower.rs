//! The edge's end: every room's ring as far as the lobby has told it, and what is new, rendered for all readers.
//!
//! It outlives the links: what it has stays while the lobby is away, and what it wants next is said when it is there again.

use crate::event::Breach;
use crate::limits::ROOMS;
use crate::{Have, Ring, RoomFacts, Run, Sequence, What, Word};
use media::BroadcastId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What every core is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// A room is there, or is something else than before, without a new entry.
    Room(BroadcastId, RoomFacts),
    /// New entries.
    Run(Arc<Run>),
    /// A room is over.
    Closed(BroadcastId),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Follower {
    rooms: BTreeMap<BroadcastId, Room>,
    /// Counts what is told, to know the room nothing was said in for the longest.
    turn: u64,
    out: VecDeque<Told>,
}

#[derive(Debug)]
struct Room {
    ring: Ring,
    slow: u32,
    turn: u64,
}

impl Room {
    fn facts(&self) -> RoomFacts {
        RoomFacts { log: self.ring.log(), next: self.ring.next(), slow: self.slow }
    }
}

impl Follower {
    /// Knows no room.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is said first on every link.
    pub fn have(&self) -> Word {
        let have = |(name, room): (&BroadcastId, &Room)| Have {
            room: name.clone(),
            log: room.ring.log(),
            next: room.ring.next(),
        };
        Word::Have(self.rooms.iter().map(have).collect())
    }

    /// Rooms it knows.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Takes one word of the lobby; what follows comes out of [`Follower::pull`].
    pub fn push(&mut self, word: Word) {
        match word {
            Word::Room(name, facts) => self.room(name, facts),
            Word::Batch { room, log, entries } => {
                let (mut wanted, mut breach) = (Sequence(1), Breach::default());
                if let Some(known) = self.rooms.get(&room) {
                    wanted = known.ring.next();
                    breach.is_other_log = known.ring.log() != log;
                }
                let Some(first) = entries.first().map(|entry| entry.sequence) else { return };
                if breach.is_other_log {
                    wanted = Sequence(1);
                }
                if first > wanted {
                    // Of a room never heard of nothing is lost: nobody has read anything yet.
                    let is_known = self.rooms.contains_key(&room);
                    breach.lost = is_known.then(|| (wanted, first.before()));
                    let slow = self.rooms.get(&room).map_or(0, |known| known.slow);
                    self.put(&room, Room { ring: Ring::new(log, first), slow, turn: 0 });
                } else if breach.is_other_log || !self.rooms.contains_key(&room) {
                    self.put(&room, Room { ring: Ring::new(log, wanted), slow: 0, turn: 0 });
                }
                self.entries(room, entries, breach);
            }
            Word::Closed(name) => {
                if self.rooms.remove(&name).is_some() {
                    self.out.push_back(Told::Closed(name));
                }
            }
            Word::Have(_) | Word::Unknown(_) => {}
        }
    }

    /// What the cores are to be told, oldest first.
    pub fn pull(&mut self) -> Option<Told> {
        self.out.pop_front()
    }

    fn room(&mut self, name: BroadcastId, facts: RoomFacts) {
        match self.rooms.get_mut(&name) {
            Some(known) if known.ring.log() == facts.log => {
                if known.slow == facts.slow {
                    return;
                }
                known.slow = facts.slow;
            }
            // Another log: what comes of it begins it. The lobby says from where.
            _ => {
                let ring = Ring::new(facts.log, facts.next);
                self.put(&name, Room { ring, slow: facts.slow, turn: 0 });
            }
        }
        if let Some(known) = self.rooms.get(&name) {
            self.out.push_back(Told::Room(name, known.facts()));
        }
    }

    fn put(&mut self, name: &BroadcastId, mut room: Room) {
        if !self.rooms.contains_key(name) && self.rooms.len() >= ROOMS {
            let quietest = self.rooms.iter().min_by_key(|(_, room)| room.turn).map(|(name, _)| name.clone());
            if let Some(quietest) = quietest {
                self.rooms.remove(&quietest);
                self.out.push_back(Told::Closed(quietest));
            }
        }
        self.turn += 1;
        room.turn = self.turn;
        self.rooms.insert(name.clone(), room);
    }

    fn entries(&mut self, name: BroadcastId, entries: Vec<crate::Entry>, breach: Breach) {
        self.turn += 1;
        let turn = self.turn;
        let Some(room) = self.rooms.get_mut(&name) else { return };
        room.turn = turn;
        let mut fresh = Vec::with_capacity(entries.len());
        let mut taken_back = Vec::new();
        for entry in entries {
            // A row has no hole, so the only entries that are not taken are those that came before.
            if room.ring.push(entry.clone()) != Ok(true) {
                continue;
            }
            match &entry.what {
                What::Said { .. } => {}
                What::Gone { of } => taken_back.push(*of),
                What::GoneBy { author } => taken_back.extend(said_by(&room.ring, author)),
                What::Slow { seconds } => room.slow = *seconds,
            }
            fresh.push(entry);
        }
        if fresh.is_empty() {
            return;
        }
        let run = Run::render(name, room.facts(), breach, &fresh, taken_back);
        self.out.push_back(Told::Run(Arc::new(run)));
    }
}

fn said_by(ring: &Ring, author: &str) -> Vec<Sequence> {
    let is_his = |entry: &&crate::Entry| matches!(&entry.what, What::Said { by, .. } if by.id == author);
    ring.since(Sequence(0)).filter(is_his).map(|entry| entry.sequence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Author, Badge, Entry, LogId};

    fn name(text: &str) -> BroadcastId {
        BroadcastId::parse(text).unwrap()
    }

    fn said(n: u64, id: &str) -> Entry {
        let by = Author { id: id.into(), name: id.into(), badge: Badge::Viewer };
        Entry { sequence: Sequence(n), at_ms: n, what: What::Said { by, text: format!("t{n}") } }
    }

    fn batch(log: u32, numbers: std::ops::RangeInclusive<u64>) -> Word {
        let entries = numbers.map(|n| said(n, if n % 2 == 0 { "even" } else { "odd" })).collect();
        Word::Batch { room: name("tide"), log: LogId(log), entries }
    }

    /// `n` to `m` as a run, with what is lost before it.
    fn runs(follower: &mut Follower) -> Vec<String> {
        let run = |told| match told {
            Told::Run(run) => {
                let text = String::from_utf8(run.bytes.to_vec()).unwrap();
                let lost = text.lines().find(|line| line.contains("\"from\"")).unwrap_or("").to_owned();
                format!("{lost}{}+{}", run.first, run.entries())
            }
            Told::Room(name, facts) => format!("{name} {}.{} slow {}", facts.log, facts.next, facts.slow),
            Told::Closed(name) => format!("{name} closed"),
        };
        std::iter::from_fn(|| follower.pull()).map(run).collect()
    }

    #[test]
    fn what_comes_twice_is_told_once_and_what_is_missing_is_said() {
        let mut edge = Follower::new();
        edge.push(Word::Room(name("tide"), RoomFacts { log: LogId(1), next: Sequence(1), slow: 3 }));
        edge.push(batch(1, 1..=3));
        edge.push(batch(1, 2..=5));
        edge.push(batch(1, 4..=5));
        assert_eq!(runs(&mut edge), ["tide 1.1 slow 3", "1+3", "4+2"]);
        edge.push(batch(1, 9..=10));
        assert_eq!(runs(&mut edge), ["data: {\"from\":6,\"to\":8}9+2"]);
        let Word::Have(have) = edge.have() else { panic!() };
        assert_eq!(have, [Have { room: name("tide"), log: LogId(1), next: Sequence(11) }]);
    }

    #[test]
    fn another_log_begins_anew() {
        let mut edge = Follower::new();
        edge.push(batch(1, 1..=3));
        edge.push(Word::Room(name("tide"), RoomFacts { log: LogId(2), next: Sequence(1), slow: 0 }));
        edge.push(batch(2, 1..=2));
        assert_eq!(runs(&mut edge), ["1+3", "tide 2.1 slow 0", "1+2"]);
        edge.push(batch(3, 4..=4));
        assert_eq!(runs(&mut edge), ["data: {\"from\":1,\"to\":3}4+1"]);
    }

    #[test]
    fn a_ban_takes_back_all_that_is_here_of_its_author() {
        let mut edge = Follower::new();
        edge.push(batch(1, 1..=4));
        let ban = Entry { what: What::GoneBy { author: "even".into() }, ..said(5, "x") };
        let gone = Entry { what: What::Gone { of: Sequence(1) }, ..said(6, "x") };
        edge.push(Word::Batch { room: name("tide"), log: LogId(1), entries: vec![ban, gone] });
        let mut taken_back = Vec::new();
        while let Some(told) = edge.pull() {
            if let Told::Run(run) = told {
                taken_back.extend(run.taken_back.iter().map(|sequence| sequence.0));
            }
        }
        assert_eq!(taken_back, [2, 4, 1]);
    }

    #[test]
    fn of_too_many_rooms_the_quietest_goes() {
        let mut edge = Follower::new();
        let facts = RoomFacts { log: LogId(1), next: Sequence(1), slow: 0 };
        edge.push(batch(1, 1..=1));
        for nth in 1..ROOMS {
            edge.push(Word::Room(name(&format!("r{nth}")), facts));
        }
        edge.push(batch(1, 2..=2));
        runs(&mut edge);
        edge.push(Word::Room(name("one-more"), facts));
        assert_eq!(runs(&mut edge), ["r1 closed", "one-more 1.1 slow 0"]);
        assert_eq!(edge.rooms(), ROOMS);
    }
}
