//! How many viewers are being moved off an edge, and when that is over.

use crate::Crowd;
use std::time::{Duration, Instant};

/// Without a viewer more for so long, a move is over: longer than the five seconds after which every player has
/// asked again.
pub const QUIET: Duration = Duration::from_secs(7);

/// One edge's move, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Moving(Option<Begun>);

#[derive(Debug)]
struct Begun {
    first: Instant,
    last: Instant,
    /// Boxed, because nearly always there is none.
    viewers: Box<Crowd>,
}

impl Moving {
    pub(crate) fn heard(&mut self, now: Instant, more: &Crowd) {
        let begun = self.0.get_or_insert_with(|| Begun { first: now, last: now, viewers: Box::default() });
        begun.last = now;
        begun.viewers.merge(more);
    }

    /// When it will be over, if nobody else comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().map(|begun| begun.last + QUIET)
    }

    /// Once it is over: how many, and how long it took. An edge that is forgotten is over in any case.
    pub(crate) fn settle(&mut self, now: Instant, is_kept: bool) -> Option<(u64, Duration)> {
        let begun = self.0.take_if(|begun| !is_kept || now >= begun.last + QUIET)?;
        Some((begun.viewers.count(), begun.last.saturating_duration_since(begun.first)))
    }
}
