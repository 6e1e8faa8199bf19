//! One broadcast's line without its shell: no process, socket or clock. For whoever brings those (`lab`).
//!
//! Lives here: a door to what `broadcasts` drives in a running ingest, and what it feeds the edges. Does not live here:
//! any decision.

use crate::assembly::Fed;
use crate::line::{Act, FromTwin, Generation, Input, Line, Plan};
use crate::remembered::Left;
use edgefan::Publisher;
use ladder::{Ladder, Order, Report};
use media::{BroadcastId, Grid, ObjectKey, RunId, SegmentFacts};
use std::time::{Duration, Instant};
use timeline::Now;
use twin::{Lost, Said};

/// Which transcode process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(Generation);

/// What an ingest remembers of a broadcast over its own restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(Left);

/// What the shell is to do, in this order; the edges have been fed already.
#[derive(Debug)]
pub enum Word {
    /// Start a process, and give it these orders.
    Start(Process, Vec<Order>),
    /// Give the process one more order.
    Order(Process, Order),
    /// End a process that does not answer.
    Kill(Process),
    /// The edges were told that a segment is whole, or will never be (`is_gap`).
    Settled(ObjectKey, SegmentFacts),
    /// The edges were told that a run is over.
    Ended(BroadcastId, RunId),
    /// Tell the twin.
    Say(Box<Said>),
    /// Ask the publisher to go: the twin takes it now.
    SendAway,
    /// Remember this.
    Remember(Memory),
    /// Say in the log.
    Note(String),
}

/// The line of one broadcast.
#[derive(Debug)]
pub struct Bare {
    line: Line,
}

impl Bare {
    /// A broadcast that was left there, if anybody remembers. Until `settles_at` one that has a twin waits to hear of it.
    #[expect(clippy::too_many_arguments, reason = "what the shell has of settings, disk and clock")]
    pub fn new(
        broadcast: BroadcastId,
        grid: Grid,
        window: u32,
        grace: Duration,
        ladder: Ladder,
        memory: Option<Memory>,
        settles_at: Instant,
        now: Now,
    ) -> Self {
        let plan = Plan { broadcast, grid, window, grace, ladder, settles_at };
        let left = memory.map_or_else(|| Left::unknown(now.wall), |Memory(left)| left);
        Self { line: Line::new(plan, left, memory.is_some()) }
    }

    /// The publisher did something.
    pub fn publisher(&mut self, input: timeline::Input, now: Now) {
        self.line.push(Input::Publisher(input), now);
    }

    /// A process said something.
    pub fn report(&mut self, process: Process, report: Report, now: Now) {
        self.line.push(Input::Report(process.0, report), now);
    }

    /// A process is gone.
    pub fn gone(&mut self, process: Process, why: String, now: Now) {
        self.line.push(Input::ProcessGone(process.0, why), now);
    }

    /// The twin is there (where all else is equal, `is_first` has the say), or is gone.
    pub fn twin(&mut self, is_first: Option<bool>, now: Now) {
        let from = is_first.map_or(FromTwin::Down(Lost::Gone), |is_first| FromTwin::Up { is_first });
        self.line.push(Input::Twin(from), now);
    }

    /// The twin said something of this broadcast.
    pub fn twin_said(&mut self, said: Said, now: Now) {
        self.line.push(Input::Twin(FromTwin::Said(said)), now);
    }

    /// Time went by.
    pub fn tick(&mut self, now: Now) {
        self.line.push(Input::Tick, now);
    }

    /// When [`Bare::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.line.deadline()
    }

    /// A run is under way, or a process still works for one.
    pub fn is_live(&self) -> bool {
        self.line.is_live()
    }

    /// Feeds the edges what is to be fed, and says what the shell is to do next.
    pub fn pull(&mut self, publisher: &mut Publisher, now: Instant) -> Option<Word> {
        while let Some(act) = self.line.pull() {
            let fed = match act {
                Act::Start(generation, orders) => return Some(Word::Start(Process(generation), orders)),
                Act::Order(generation, order) => return Some(Word::Order(Process(generation), order)),
                Act::Kill(generation) => return Some(Word::Kill(Process(generation))),
                Act::Remember(left) => return Some(Word::Remember(Memory(left))),
                Act::Note(text) => return Some(Word::Note(text)),
                Act::Say(said) => return Some(Word::Say(Box::new(said))),
                Act::SendAway => return Some(Word::SendAway),
                Act::Lane(lane) => {
                    publisher.lane(lane);
                    continue;
                }
                Act::Feed(fed) => fed,
            };
            match fed {
                Fed::Stream(facts) => publisher.stream(facts),
                Fed::Open { key, start, discontinuity } => publisher.open(&key, start, discontinuity),
                Fed::Bytes { key, bytes } => publisher.bytes(&key, bytes),
                Fed::Close { key, facts } => {
                    publisher.close(&key, &facts, now);
                    return Some(Word::Settled(key, facts));
                }
                Fed::Skip { key, facts } => {
                    publisher.skip(&key, facts.clone());
                    return Some(Word::Settled(key, facts));
                }
                Fed::End { broadcast, run } => {
                    publisher.end(&broadcast, run, now);
                    return Some(Word::Ended(broadcast, run));
                }
            }
        }
        None
    }
}
