//! The viewer itself.

use crate::{Input, Now, Options, Output, State, Tally, Url};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    options: Arc<Options>,
    entry: Url,
    seed: u64,
    out: VecDeque<Output>,
}

impl Viewer {
    /// A viewer that opens `entry` now: a multivariant playlist, or a media playlist. `seed` is all the randomness
    /// it has.
    pub fn new(now: Now, options: Arc<Options>, entry: Url, seed: u64) -> Self {
        let _ = now;
        Self { options, entry, seed, out: VecDeque::new() }
    }

    /// Something happened.
    pub fn push(&mut self, now: Now, input: Input<'_>) {
        let _ = (now, input, &self.options, &self.entry, self.seed);
    }

    /// What to do next, and what was noticed; until it is `None`.
    pub fn pull(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to push [`Input::Tick`] at the latest; `None` when it waits for answers alone, or is over.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What it adds up to.
    pub fn tally(&self, now: Now) -> Tally {
        let _ = now;
        Tally {
            state: State::Starting,
            played: Duration::ZERO,
            stalled: Duration::ZERO,
            stalls: 0,
            held: Duration::ZERO,
            rung: 0,
        }
    }

    /// Ended, stopped or given up: nothing more comes out of it once `pull` is empty.
    pub fn is_over(&self) -> bool {
        false
    }
}
