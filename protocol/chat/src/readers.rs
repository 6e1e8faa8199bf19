//! One core's readers: who is in which room, how far each has come, and what goes out to whom.
//!
//! Lives here: replay, passing runs on, silence. Does not live here: what a run says (`event`), who may read (`delivery`),
//! or sending (`percore`).
//!
//! A reader is *in step* (it has everything up to the room's end, and is sent each run as it is: one shared buffer, a count
//! that goes up) or *ahead*: it comes from an edge that is further than this one, and waits here until its place is reached.
//! So a reader that moves sees nothing twice, whichever of two edges is quicker.

use crate::event::{self, EventId, Line, Run, lost, preface};
use crate::limits::{KEEP_ALIVE, RING};
use crate::{RoomFacts, Sequence, Told};
use bytes::{Bytes, BytesMut};
use media::BroadcastId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Instant;

/// What became of a reader who came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// He reads; this is sent first.
    Reads(Vec<Bytes>),
    /// There are as many as there may be.
    Full,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadersCounts {
    /// Readers now.
    pub readers: u64,
    /// Rooms now.
    pub rooms: u64,
    /// Readers that came, since the start.
    pub joined: u64,
    /// Readers that were sent elsewhere because there were too many.
    pub refused: u64,
    /// Entries passed on to this core.
    pub entries: u64,
    /// Times something was handed out to a reader, keep-alives left out.
    pub sent: u64,
    /// Times a reader was told that entries are lost here.
    pub lost: u64,
}

/// See the module. `W` names a reader.
#[derive(Debug)]
pub struct Readers<W> {
    limit: usize,
    rooms: Vec<Room<W>>,
    free: Vec<u32>,
    names: FxHashMap<BroadcastId, u32>,
    seats: FxHashMap<W, Seat>,
    out: VecDeque<Sending<W>>,
    /// No room is silent for too long before this.
    due: Option<Instant>,
    counts: ReadersCounts,
}

#[derive(Debug)]
struct Room<W> {
    name: BroadcastId,
    /// `None` where no lobby has told of it: only readers are here.
    facts: Option<RoomFacts>,
    lines: VecDeque<Line>,
    /// All lines in one piece and where each ends, made for the first who needs them after a change.
    replay: Option<(Bytes, Vec<u32>)>,
    history: Option<Bytes>,
    in_step: Vec<W>,
    ahead: Vec<(W, Option<EventId>)>,
    /// When all of them were sent something last.
    spoken_at: Option<Instant>,
}

/// Where a reader is: which room, and his place among those in step; [`AHEAD`] if he is not.
#[derive(Clone, Copy, Debug)]
struct Seat {
    room: u32,
    at: u32,
}

const AHEAD: u32 = u32::MAX;

/// Between these a page waits before it comes back, in milliseconds.
const RETRY_MS: (u64, u64) = (500, 2500);

#[derive(Debug)]
enum Sending<W> {
    /// To those in step in a room, from this place on to that.
    InStep { room: u32, bytes: Bytes, at: usize, until: usize },
    /// To one.
    One(W, Bytes),
    /// He is let go.
    Over(W),
}

impl<W: Copy + Eq + Hash> Readers<W> {
    /// Nobody reads; at most `limit` may.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            rooms: Vec::new(),
            free: Vec::new(),
            names: FxHashMap::default(),
            seats: FxHashMap::default(),
            out: VecDeque::new(),
            due: None,
            counts: ReadersCounts::default(),
        }
    }

    /// Takes what the edge's follower says. Call [`Readers::pull`] until `None` after it, before anybody joins or leaves.
    pub fn push(&mut self, told: &Told, now: Instant) {
        match told {
            Told::Room(name, facts) => self.room(name, *facts, now),
            Told::Run(run) => self.run(run, now),
            Told::Closed(name) => self.close(name),
        }
    }

    /// Whether a lobby has told of this room.
    pub fn knows(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|&slot| self.rooms[slot as usize].facts.is_some())
    }

    /// A reader comes who has read up to `after`, or nothing.
    pub fn join(&mut self, reader: W, name: &BroadcastId, after: Option<EventId>, now: Instant) -> Joined {
        debug_assert!(self.out.is_empty(), "what is owed to those who are here goes out first");
        if self.seats.len() >= self.limit || self.seats.contains_key(&reader) {
            self.counts.refused += 1;
            return Joined::Full;
        }
        let slot = self.slot(name);
        let room = &mut self.rooms[slot as usize];
        if room.in_step.is_empty() && room.ahead.is_empty() {
            room.spoken_at = Some(now);
        }
        self.due = Some(self.due.map_or(now + KEEP_ALIVE, |due| due.min(now + KEEP_ALIVE)));
        // Who is let go comes back, and thousands who are let go together do not come back together.
        let retry_ms = RETRY_MS.0 + (self.counts.joined * 797 % (RETRY_MS.1 - RETRY_MS.0));
        let mut first = vec![preface(retry_ms, room.facts.as_ref())];
        let reach = room.reach(after);
        let at = match &reach {
            Some(_) => {
                room.in_step.push(reader);
                room.in_step.len() as u32 - 1
            }
            None => {
                room.ahead.push((reader, after));
                AHEAD
            }
        };
        self.counts.lost += u64::from(reach.as_ref().is_some_and(|reach| reach.lost.is_some()));
        first.extend(reach.into_iter().flat_map(Reach::bytes));
        self.seats.insert(reader, Seat { room: slot, at });
        self.counts.joined += 1;
        Joined::Reads(first)
    }

    /// A reader is gone; false if he was none.
    pub fn forget(&mut self, reader: W) -> bool {
        let Some(Seat { room: slot, at }) = self.seats.remove(&reader) else { return false };
        let room = &mut self.rooms[slot as usize];
        if at == AHEAD {
            room.ahead.retain(|(other, _)| *other != reader);
        } else {
            room.in_step.swap_remove(at as usize);
            if let Some(moved) = room.in_step.get(at as usize)
                && let Some(seat) = self.seats.get_mut(moved)
            {
                seat.at = at;
            }
        }
        self.tidy(slot);
        true
    }

    /// Everybody in this room is let go: who may read it has changed.
    pub fn let_go(&mut self, name: &str) {
        let Some(&slot) = self.names.get(name) else { return };
        let room = &mut self.rooms[slot as usize];
        let all: Vec<W> =
            room.in_step.drain(..).chain(room.ahead.drain(..).map(|(reader, _)| reader)).collect();
        self.let_all_go(all);
        self.tidy(slot);
    }

    /// This reader is let go, if he is one: his time is over.
    pub fn let_one_go(&mut self, reader: W) {
        if self.forget(reader) {
            self.out.push_back(Sending::Over(reader));
        }
    }

    /// Everybody is let go: this edge, or this process, is about to stop.
    pub fn let_everybody_go(&mut self) {
        let names: Vec<BroadcastId> = self.rooms.iter().map(|room| room.name.clone()).collect();
        names.iter().for_each(|name| self.let_go(name.as_str()));
    }

    /// What goes out, and to whom; `None` for the bytes: he is let go. Nothing is allocated for it.
    pub fn pull(&mut self) -> Option<(W, Option<Bytes>)> {
        loop {
            match self.out.front_mut()? {
                Sending::InStep { room, bytes, at, until } => {
                    let next = self.rooms[*room as usize].in_step.get(*at).filter(|_| *at < *until);
                    if let Some(&reader) = next {
                        *at += 1;
                        return Some((reader, Some(bytes.clone())));
                    }
                    self.out.pop_front();
                }
                Sending::One(..) | Sending::Over(_) => {
                    return match self.out.pop_front()? {
                        Sending::One(reader, bytes) => Some((reader, Some(bytes))),
                        Sending::Over(reader) => Some((reader, None)),
                        Sending::InStep { .. } => None,
                    };
                }
            }
        }
    }

    /// Time passes: where nothing was said for long, an empty comment is.
    pub fn tick(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        for (slot, room) in self.rooms.iter_mut().enumerate() {
            if !room.is_due(now) {
                continue;
            }
            room.spoken_at = Some(now);
            let bytes = Bytes::from_static(event::NOTHING);
            self.out.extend(room.ahead.iter().map(|(reader, _)| Sending::One(*reader, bytes.clone())));
            self.out.push_back(Sending::InStep {
                room: slot as u32,
                bytes,
                at: 0,
                until: room.in_step.len(),
            });
        }
        let occupied = self.rooms.iter().filter(|room| !room.in_step.is_empty() || !room.ahead.is_empty());
        self.due = occupied.filter_map(|room| Some(room.spoken_at? + KEEP_ALIVE)).min();
    }

    /// When [`Readers::tick`] wants to be called; may be early, never late.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// What was said in a room, as far as it is here, in JSON; `None` where no lobby has told of it.
    pub fn history(&mut self, name: &str) -> Option<Bytes> {
        let &slot = self.names.get(name)?;
        self.rooms[slot as usize].history()
    }

    /// What is counted.
    pub fn counts(&self) -> ReadersCounts {
        let rooms = self.rooms.iter().filter(|room| room.facts.is_some()).count() as u64;
        ReadersCounts { readers: self.seats.len() as u64, rooms, ..self.counts }
    }

    /// Whether nobody reads.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    fn slot(&mut self, name: &BroadcastId) -> u32 {
        if let Some(&slot) = self.names.get(name) {
            return slot;
        }
        let room = Room {
            name: name.clone(),
            facts: None,
            lines: VecDeque::new(),
            replay: None,
            history: None,
            in_step: Vec::new(),
            ahead: Vec::new(),
            spoken_at: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.rooms[slot as usize] = room;
                slot
            }
            None => {
                self.rooms.push(room);
                self.rooms.len() as u32 - 1
            }
        };
        self.names.insert(name.clone(), slot);
        slot
    }

    /// A room that nobody tells of and nobody reads is none.
    fn tidy(&mut self, slot: u32) {
        let room = &self.rooms[slot as usize];
        let is_empty = room.facts.is_none() && room.in_step.is_empty() && room.ahead.is_empty();
        if is_empty && self.names.remove(&room.name).is_some() {
            self.free.push(slot);
        }
    }

    fn room(&mut self, name: &BroadcastId, facts: RoomFacts, now: Instant) {
        let slot = self.slot(name);
        let room = &mut self.rooms[slot as usize];
        let is_same_log = room.facts.is_some_and(|known| known.log == facts.log);
        if !is_same_log {
            room.lines.clear();
        }
        room.facts = Some(facts);
        room.changed();
        let mut out = BytesMut::new();
        event::room_event(&mut out, &facts);
        let bytes = out.freeze();
        let ahead = self.rooms[slot as usize].ahead.iter();
        self.out.extend(ahead.map(|(reader, _)| Sending::One(*reader, bytes.clone())));
        self.pass_on(slot, &bytes, now);
        self.catch_up(slot);
    }

    fn run(&mut self, run: &Run, now: Instant) {
        let slot = self.slot(&run.room);
        let room = &mut self.rooms[slot as usize];
        let goes_on = !run.is_anew && room.facts.is_none_or(|facts| facts.next == run.first);
        if !goes_on {
            room.lines.clear();
        }
        self.counts.entries += run.lines.len() as u64;
        room.lines.extend(run.lines.iter().cloned());
        room.lines.drain(..room.lines.len().saturating_sub(RING));
        room.facts = Some(run.facts);
        run.taken_back.iter().for_each(|of| room.take_back(*of));
        room.changed();
        if run.is_anew {
            self.counts.lost += room.in_step.len() as u64;
        }
        self.pass_on(slot, &run.bytes, now);
        self.catch_up(slot);
    }

    /// To all in step.
    fn pass_on(&mut self, slot: u32, bytes: &Bytes, now: Instant) {
        let room = &mut self.rooms[slot as usize];
        // Those who are ahead are not spoken to by it: if nobody is in step, the silence goes on.
        if room.ahead.is_empty() {
            room.spoken_at = Some(now);
        }
        let until = room.in_step.len();
        self.counts.sent += until as u64;
        if until > 0 {
            self.out.push_back(Sending::InStep { room: slot, bytes: bytes.clone(), at: 0, until });
        }
    }

    /// Those who were ahead, if their place is reached.
    fn catch_up(&mut self, slot: u32) {
        let room = &mut self.rooms[slot as usize];
        if room.ahead.is_empty() {
            return;
        }
        for (reader, after) in std::mem::take(&mut room.ahead) {
            let Some(reach) = room.reach(after) else {
                room.ahead.push((reader, after));
                continue;
            };
            self.counts.lost += u64::from(reach.lost.is_some());
            for bytes in reach.bytes() {
                self.counts.sent += 1;
                self.out.push_back(Sending::One(reader, bytes));
            }
            if let Some(seat) = self.seats.get_mut(&reader) {
                seat.at = room.in_step.len() as u32;
            }
            room.in_step.push(reader);
        }
    }

    fn close(&mut self, name: &BroadcastId) {
        let Some(&slot) = self.names.get(name) else { return };
        let room = &mut self.rooms[slot as usize];
        room.facts = None;
        room.lines.clear();
        room.changed();
        self.let_go(name.as_str());
    }

    fn let_all_go(&mut self, readers: Vec<W>) {
        // What is owed to them in the meantime is not sent any more.
        for reader in readers {
            self.seats.remove(&reader);
            self.out.push_back(Sending::Over(reader));
        }
    }
}

/// What a reader is sent to be in step.
struct Reach {
    lost: Option<Bytes>,
    lines: Bytes,
}

impl Reach {
    fn bytes(self) -> impl Iterator<Item = Bytes> {
        self.lost.into_iter().chain([self.lines]).filter(|bytes| !bytes.is_empty())
    }
}

impl<W> Room<W> {
    fn changed(&mut self) {
        self.replay = None;
        self.history = None;
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_occupied = !self.in_step.is_empty() || !self.ahead.is_empty();
        is_occupied && self.spoken_at.is_none_or(|at| now.saturating_duration_since(at) >= KEEP_ALIVE)
    }

    /// The number of the oldest line.
    fn first(&self, facts: RoomFacts) -> Sequence {
        Sequence(facts.next.0 - self.lines.len() as u64)
    }

    fn take_back(&mut self, of: Sequence) {
        let Some(facts) = self.facts else { return };
        let at = of.0.checked_sub(self.first(facts).0).and_then(|at| usize::try_from(at).ok());
        if let Some(line) = at.and_then(|at| self.lines.get_mut(at))
            && line.said().is_some()
        {
            *line = Line::taken_back(facts.log, of);
        }
    }

    /// What brings somebody in step who has read up to `after`; `None` if he is ahead, or nothing is known of the room.
    fn reach(&mut self, after: Option<EventId>) -> Option<Reach> {
        let facts = self.facts?;
        let first = self.first(facts);
        let (all, ends) = self.replay();
        let from_first = Reach { lost: None, lines: all.clone() };
        let Some(after) = after else { return Some(from_first) };
        let say = |from, to| {
            let mut out = BytesMut::new();
            lost(&mut out, facts.log, from, to);
            Some(out.freeze())
        };
        if after.log.is_some_and(|log| log != facts.log) {
            // Nothing he has read is of this log.
            let lost = if first > Sequence(1) { say(Sequence(1), first.before()) } else { None };
            return Some(Reach { lost, ..from_first });
        }
        let wanted = after.sequence.next();
        if wanted > facts.next {
            return None;
        }
        if wanted < first {
            return Some(Reach { lost: say(wanted, first.before()), ..from_first });
        }
        let skipped = (wanted.0 - first.0) as usize;
        let from =
            if skipped == 0 { 0 } else { ends.get(skipped - 1).map_or(all.len(), |end| *end as usize) };
        Some(Reach { lost: None, lines: all.slice(from..) })
    }

    fn replay(&mut self) -> (&Bytes, &[u32]) {
        let lines = &self.lines;
        let (bytes, ends) = self.replay.get_or_insert_with(|| {
            let mut all = BytesMut::with_capacity(lines.iter().map(|line| line.bytes.len()).sum());
            let mut ends = Vec::with_capacity(lines.len());
            for line in lines {
                all.extend_from_slice(&line.bytes);
                ends.push(all.len() as u32);
            }
            (all.freeze(), ends)
        });
        (bytes, ends)
    }

    fn history(&mut self) -> Option<Bytes> {
        let facts = self.facts?;
        let first = self.first(facts);
        let lines = &self.lines;
        let history = self.history.get_or_insert_with(|| {
            let RoomFacts { log, next, slow } = facts;
            let head = format!(
                "{{\"log\":\"{log}\",\"first\":{first},\"next\":{next},\"slow\":{slow},\"messages\":["
            );
            let mut out = BytesMut::from(head.as_bytes());
            for (nth, said) in lines.iter().filter_map(Line::said).enumerate() {
                if nth > 0 {
                    out.extend_from_slice(b",");
                }
                out.extend_from_slice(said);
            }
            out.extend_from_slice(b"]}");
            out.freeze()
        });
        Some(history.clone())
    }
}
