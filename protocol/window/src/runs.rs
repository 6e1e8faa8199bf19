//! Where each run stands in the discontinuity sequence, so that the number never goes back (rules T04, T15).

use crate::limits::MOST_RUNS;
use media::{DiscontinuitySequence, RunId, SegmentFacts};
use std::collections::VecDeque;

/// The runs that were listed, oldest first.
///
/// An ingest that lost its count (a restart of everything) begins a run with a number that was shown before. Its
/// numbers are then raised, all by the same amount and on all renditions, so that the run's first is one above
/// the highest shown: to a viewer, one discontinuity.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    raised: VecDeque<(RunId, u64)>,
    highest: u64,
    /// Others were shown before the first of these.
    has_before: bool,
}

impl Runs {
    /// None listed yet, in a window that goes on where another was given up.
    pub(crate) fn above(highest: DiscontinuitySequence) -> Self {
        Self { raised: VecDeque::new(), highest: highest.0, has_before: true }
    }

    /// The highest number shown.
    pub(crate) fn highest(&self) -> DiscontinuitySequence {
        DiscontinuitySequence(self.highest)
    }

    /// The newest run that was listed.
    pub(crate) fn newest(&self) -> Option<RunId> {
        self.raised.back().map(|(run, _)| *run)
    }

    /// The number to show for a segment; its run is listed from now on.
    pub(crate) fn list(&mut self, facts: &SegmentFacts) -> DiscontinuitySequence {
        if self.newest().is_none_or(|newest| facts.run > newest) {
            let raise = match self.newest() {
                None if !self.has_before => 0,
                _ => (self.highest + 1).saturating_sub(facts.discontinuity.0),
            };
            if self.raised.len() == MOST_RUNS {
                self.raised.pop_front();
            }
            self.raised.push_back((facts.run, raise));
        }
        let shown = self.shown(facts);
        self.highest = self.highest.max(shown.0);
        shown
    }

    /// The number that would be shown.
    pub(crate) fn shown(&self, facts: &SegmentFacts) -> DiscontinuitySequence {
        let raise = match self.raised.iter().find(|(run, _)| *run == facts.run) {
            Some((_, raise)) => *raise,
            None if self.newest().map_or(self.has_before, |newest| facts.run > newest) => {
                (self.highest + 1).saturating_sub(facts.discontinuity.0)
            }
            None => 0,
        };
        DiscontinuitySequence(facts.discontinuity.0.saturating_add(raise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{MediaSequence, MediaSpan, MediaTime};

    fn facts(run: u64, discontinuity: u64) -> SegmentFacts {
        SegmentFacts {
            sequence: MediaSequence(0),
            run: RunId(run),
            start: MediaTime::from_ticks(0),
            duration: MediaSpan::from_secs(2),
            discontinuity: DiscontinuitySequence(discontinuity),
            bytes: 1,
            is_gap: false,
        }
    }

    #[test]
    fn a_run_that_lost_its_count_goes_on_one_above_the_highest() {
        let mut runs = Runs::default();
        assert_eq!(runs.list(&facts(1, 7)).0, 7);
        assert_eq!(runs.list(&facts(1, 8)).0, 8);
        assert_eq!(runs.list(&facts(2, 0)).0, 9);
        assert_eq!(runs.list(&facts(2, 1)).0, 10);
        assert_eq!(runs.list(&facts(1, 8)).0, 8, "another rendition still lists the old run");
        assert_eq!(runs.list(&facts(2, 0)).0, 9);
    }

    #[test]
    fn a_run_that_kept_its_count_is_shown_as_it_is() {
        let mut runs = Runs::default();
        assert_eq!(runs.list(&facts(1, 7)).0, 7);
        assert_eq!(runs.list(&facts(2, 8)).0, 8);
        assert_eq!(runs.list(&facts(3, 12)).0, 12);
    }
}
