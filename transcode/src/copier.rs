//! Which of the source's own units go into which segment of the copy rung.
//!
//! Lives here: whether a segment can be copied, and where its last unit is. Does not live here: how a segment is made
//! that cannot be (the rung encodes it at the source's size).
//!
//! Units come here in decode order, as the decoder gets them; cuts come later, when the decoder hands out the picture
//! they fall on. A segment is copied when that picture is the source's own IDR picture: nothing after it looks back
//! past it. Its last unit is the last one that is shown before the next cut; units in front of that one which are shown
//! after the cut go along, because it may look at them.

use crate::cutter::Opening;
use bytes::Bytes;
use media::{MediaSequence, MediaTime};
use std::collections::VecDeque;

/// The most units held between a decoder's two ends: 16 pictures it may hold back (H.264, A.3.1), the slack of a
/// queue, and those past a boundary. At the bound the oldest are dropped, and the next segment is encoded.
const MAX_HELD: usize = 96;

/// How many segments in a row may have to be encoded before the copy rung is given up, of a source that had a sync unit on
/// a boundary, or as yet no picture on any: three of 2 s are enough for a publisher to come back in step; encoding the
/// source's size for longer is more than the machine was planned for.
const MAX_MISSES: u32 = 3;

/// One of the source's units, as Annex B.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceUnit {
    pub(crate) decode: MediaTime,
    pub(crate) presentation: MediaTime,
    pub(crate) is_clean_start: bool,
    pub(crate) bytes: Bytes,
}

/// How a segment of the copy rung is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    /// Of the source's units.
    Copied,
    /// By the encoder, at the source's size.
    Encoded,
    /// Not at all: the rung is given up here. The open segment must not be closed either.
    GivenUp,
}

/// See the module's head.
pub(crate) struct Copier {
    state: State,
    held: VecDeque<SourceUnit>,
    /// Boundaries that fell on a sync unit so far.
    has_proven: bool,
    misses: u32,
    out: VecDeque<(MediaSequence, SourceUnit)>,
}

#[derive(Clone, Copy)]
enum State {
    /// No cut yet.
    Waiting,
    Copying {
        sequence: MediaSequence,
        end: MediaTime,
    },
    Encoding {
        end: MediaTime,
    },
}

impl Copier {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Waiting,
            held: VecDeque::new(),
            has_proven: false,
            misses: 0,
            out: VecDeque::new(),
        }
    }

    /// The source's next unit, in decode order.
    pub(crate) fn push(&mut self, unit: SourceUnit) {
        if self.held.len() == MAX_HELD {
            self.held.pop_front();
        }
        self.held.push_back(unit);
        self.release();
    }

    /// A segment begins at `start` and ends at the boundary `end`; `opening` is what the source had for its beginning,
    /// shown at `start` or, after a repeat of the picture before, later.
    pub(crate) fn cut(
        &mut self,
        sequence: MediaSequence,
        start: MediaTime,
        end: MediaTime,
        opening: Opening,
    ) -> Making {
        let begins = |unit: &SourceUnit| {
            opening != Opening::Nothing && unit.is_clean_start && unit.presentation == start
        };
        let first = self.held.iter().position(begins);
        let was_waiting = matches!(self.state, State::Waiting);
        if let Some(first) = first {
            self.held.drain(..first);
            self.state = State::Copying { sequence, end };
            self.has_proven |= !was_waiting && opening == Opening::Picture;
            self.misses = 0;
            self.release();
            return Making::Copied;
        }
        self.state = State::Encoding { end };
        self.release();
        match opening {
            Opening::Picture => self.misses += 1,
            // The picture on the boundary was left out, and with it what would have said where sync units fall; where that
            // is known, this says only that the source is short of time or of a network.
            Opening::PictureAfterHole if !self.has_proven => self.misses += 1,
            // A cut the source had no part in.
            Opening::PictureAfterHole | Opening::Nothing => {}
        }
        let is_off_the_grid = opening == Opening::Picture && !self.has_proven;
        if is_off_the_grid || self.misses > MAX_MISSES { Making::GivenUp } else { Making::Encoded }
    }

    /// The source is gone: the rest of the segment is not the source's.
    pub(crate) fn source_is_gone(&mut self) {
        if let State::Copying { end, .. } = self.state {
            self.state = State::Encoding { end };
        }
        self.held.clear();
    }

    /// True while the open segment is made of the source's units.
    pub(crate) fn is_copying(&self) -> bool {
        matches!(self.state, State::Copying { .. })
    }

    /// The next unit of a segment.
    pub(crate) fn pull(&mut self) -> Option<(MediaSequence, SourceUnit)> {
        self.out.pop_front()
    }

    /// Lets go whatever is known to be within the open segment.
    fn release(&mut self) {
        match self.state {
            State::Waiting => {}
            State::Copying { sequence, end } => {
                let within = self.held.iter().rposition(|unit| unit.presentation < end);
                let count = within.map_or(0, |last| last + 1);
                self.out.extend(self.held.drain(..count).map(|unit| (sequence, unit)));
            }
            State::Encoding { end } => {
                // Only an IDR picture past the boundary may begin a copy.
                let first = self.held.iter().position(|unit| unit.is_clean_start && unit.presentation >= end);
                self.held.drain(..first.unwrap_or(self.held.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boundaries each 10 ticks.
    fn unit(decode: u64, presentation: u64, is_clean_start: bool) -> SourceUnit {
        SourceUnit {
            decode: MediaTime::from_ticks(decode),
            presentation: MediaTime::from_ticks(presentation),
            is_clean_start,
            bytes: Bytes::new(),
        }
    }

    fn cut(copier: &mut Copier, sequence: u64, start: u64) -> Making {
        opened(copier, sequence, start, Opening::Picture)
    }

    fn opened(copier: &mut Copier, sequence: u64, start: u64, opening: Opening) -> Making {
        let end = MediaTime::from_ticks((sequence + 1) * 10);
        copier.cut(MediaSequence(sequence), MediaTime::from_ticks(start), end, opening)
    }

    fn pulled(copier: &mut Copier) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| copier.pull()).map(|(of, unit)| (of.0, unit.presentation.ticks())).collect()
    }

    #[test]
    fn a_sync_unit_on_the_boundary_begins_a_copied_segment() {
        let mut copier = Copier::new();
        for (decode, shown, is_clean_start) in
            [(0, 0, true), (2, 6, false), (4, 3, false), (9, 10, true), (11, 12, false)]
        {
            copier.push(unit(decode, shown, is_clean_start));
        }
        assert_eq!(cut(&mut copier, 0, 0), Making::Copied);
        assert_eq!(pulled(&mut copier), [(0, 0), (0, 6), (0, 3)]);
        assert_eq!(cut(&mut copier, 1, 10), Making::Copied);
        assert_eq!(pulled(&mut copier), [(1, 10), (1, 12)]);
    }

    #[test]
    fn a_source_whose_sync_units_are_off_the_grid_is_refused_at_the_first_boundary() {
        let mut copier = Copier::new();
        copier.push(unit(3, 3, true));
        assert_eq!(cut(&mut copier, 0, 3), Making::Copied);
        copier.push(unit(11, 11, false));
        assert_eq!(cut(&mut copier, 1, 11), Making::GivenUp);
    }

    #[test]
    fn a_source_that_left_its_second_boundary_out_is_copied_from_the_next() {
        let mut copier = Copier::new();
        copier.push(unit(0, 0, true));
        assert_eq!(cut(&mut copier, 0, 0), Making::Copied);
        copier.push(unit(16, 16, false));
        assert_eq!(opened(&mut copier, 1, 16, Opening::PictureAfterHole), Making::Encoded);
        assert_eq!(opened(&mut copier, 2, 20, Opening::Nothing), Making::Encoded);
        copier.push(unit(30, 30, true));
        assert_eq!(cut(&mut copier, 3, 30), Making::Copied);
    }

    #[test]
    fn a_segment_that_begins_with_a_repeat_is_encoded_though_a_sync_unit_follows() {
        let mut copier = Copier::new();
        copier.push(unit(0, 0, true));
        assert_eq!(cut(&mut copier, 0, 0), Making::Copied);
        copier.push(unit(16, 16, true));
        assert_eq!(opened(&mut copier, 1, 10, Opening::PictureAfterHole), Making::Encoded);
        copier.push(unit(20, 20, true));
        assert_eq!(cut(&mut copier, 2, 20), Making::Copied);
        assert_eq!(pulled(&mut copier), [(0, 0), (2, 20)]);
    }

    #[test]
    fn a_source_that_leaves_every_boundary_out_is_refused_after_three_unless_it_is_proven() {
        let hole = |copier: &mut Copier, sequence| {
            opened(copier, sequence, sequence * 10 + 6, Opening::PictureAfterHole)
        };
        let mut copier = Copier::new();
        copier.push(unit(0, 0, true));
        assert_eq!(cut(&mut copier, 0, 0), Making::Copied);
        let rest: Vec<_> = (1..5).map(|sequence| hole(&mut copier, sequence)).collect();
        assert_eq!(rest, [Making::Encoded, Making::Encoded, Making::Encoded, Making::GivenUp]);

        let mut proven = Copier::new();
        for sequence in 0..2 {
            proven.push(unit(sequence * 10, sequence * 10, true));
            assert_eq!(cut(&mut proven, sequence, sequence * 10), Making::Copied);
        }
        assert!((2..20).all(|sequence| hole(&mut proven, sequence) == Making::Encoded));
        proven.push(unit(200, 200, true));
        assert_eq!(cut(&mut proven, 20, 200), Making::Copied);
    }

    #[test]
    fn a_hole_that_ends_with_a_sync_unit_proves_nothing() {
        let mut copier = Copier::new();
        copier.push(unit(3, 3, true));
        assert_eq!(cut(&mut copier, 0, 3), Making::Copied);
        copier.push(unit(13, 13, true));
        assert_eq!(opened(&mut copier, 1, 13, Opening::PictureAfterHole), Making::Copied);
        copier.push(unit(21, 21, false));
        assert_eq!(cut(&mut copier, 2, 21), Making::GivenUp);
    }

    #[test]
    fn a_proven_source_may_miss_three_boundaries() {
        let mut copier = Copier::new();
        copier.push(unit(0, 0, true));
        assert_eq!(cut(&mut copier, 0, 0), Making::Copied);
        copier.push(unit(10, 10, true));
        assert_eq!(cut(&mut copier, 1, 10), Making::Copied);
        let rest: Vec<_> = (2..6).map(|sequence| cut(&mut copier, sequence, sequence * 10 + 1)).collect();
        assert_eq!(rest, [Making::Encoded, Making::Encoded, Making::Encoded, Making::GivenUp]);
    }

    #[test]
    fn what_the_last_picture_may_look_at_goes_along() {
        let mut copier = Copier::new();
        copier.push(unit(0, 0, true));
        cut(&mut copier, 0, 0);
        // 12 is past the boundary and coded before 9, which is not.
        for (decode, shown) in [(7, 12), (8, 9), (12, 14)] {
            copier.push(unit(decode, shown, false));
        }
        assert_eq!(pulled(&mut copier), [(0, 0), (0, 12), (0, 9)]);
    }

    #[test]
    fn a_source_that_is_gone_is_not_copied_any_more() {
        let mut copier = Copier::new();
        copier.push(unit(0, 0, true));
        cut(&mut copier, 0, 0);
        copier.source_is_gone();
        assert!(!copier.is_copying());
        copier.push(unit(15, 15, false));
        assert_eq!(pulled(&mut copier), [(0, 0)]);
    }
}
