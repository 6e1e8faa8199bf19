//! The epoch grid: a segment's number is where its time falls, so nobody has to remember a counter.

use crate::{MediaSpan, MediaTime};
use std::fmt;

/// A segment's number in its playlist (EXT-X-MEDIA-SEQUENCE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaSequence(pub u64);

/// Which partial segment of its segment, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartIndex(pub u16);

impl MediaSequence {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for MediaSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PartIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a broadcast may be cut: at every whole multiple of the segment duration since the Unix epoch.
///
/// Two ingests with the same timeline, and one that was restarted, agree on every number without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    segment: MediaSpan,
}

impl Grid {
    /// The shortest and the longest segment a broadcast may have.
    pub const SHORTEST: MediaSpan = MediaSpan::from_millis(500);
    /// See [`Grid::SHORTEST`].
    pub const LONGEST: MediaSpan = MediaSpan::from_secs(20);

    /// A grid of this pitch; `None` outside [`Grid::SHORTEST`]..=[`Grid::LONGEST`].
    pub fn new(segment: MediaSpan) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST).contains(&segment).then_some(Self { segment })
    }

    /// The pitch: the duration every segment aims at.
    pub fn segment(self) -> MediaSpan {
        self.segment
    }

    /// By how much less than this a segment may be longer than the pitch: a longer one's EXTINF, rounded to whole seconds,
    /// would be more than the target duration (RFC 8216bis, 4.4.3.1).
    pub fn leeway(self) -> MediaSpan {
        let target = MediaSpan::from_secs(self.segment.rounded_secs().max(1));
        (target + MediaSpan::from_millis(500)).saturating_sub(self.segment)
    }

    /// The segment this moment belongs to: `floor(time / segment duration)`.
    pub fn sequence_at(self, time: MediaTime) -> MediaSequence {
        MediaSequence(time.ticks() / self.segment.ticks())
    }

    /// Where that segment begins.
    pub fn start_of(self, sequence: MediaSequence) -> MediaTime {
        MediaTime::from_ticks(sequence.0.saturating_mul(self.segment.ticks()))
    }

    /// Where that segment ends, which is where the next begins.
    pub fn end_of(self, sequence: MediaSequence) -> MediaTime {
        self.start_of(sequence.next())
    }

    /// The last grid point at or before this moment.
    pub fn floor(self, time: MediaTime) -> MediaTime {
        self.start_of(self.sequence_at(time))
    }

    /// The first grid point at or after this moment.
    pub fn ceil(self, time: MediaTime) -> MediaTime {
        let floor = self.floor(time);
        if floor == time { time } else { floor + self.segment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_holds_its_start_and_not_its_end() {
        let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
        let seven = MediaSequence(7);
        assert_eq!(grid.sequence_at(grid.start_of(seven)), seven);
        assert_eq!(grid.sequence_at(grid.end_of(seven)), MediaSequence(8));
        assert_eq!(grid.ceil(grid.start_of(seven)), grid.start_of(seven));
        assert_eq!(grid.ceil(grid.start_of(seven) + MediaSpan::from_ticks(1)), grid.end_of(seven));
    }

    #[test]
    fn a_segment_longer_by_less_than_the_leeway_rounds_to_the_target_duration() {
        for (pitch_ms, leeway_ms) in [(500, 1000), (1500, 1000), (2000, 500), (2400, 100), (6000, 500)] {
            let grid = Grid::new(MediaSpan::from_millis(pitch_ms)).unwrap();
            assert_eq!(grid.leeway(), MediaSpan::from_millis(leeway_ms), "{pitch_ms} ms");
            let target = grid.segment().rounded_secs();
            let longest = grid.segment() + grid.leeway();
            assert_eq!(longest.rounded_secs(), target.max(1) + 1, "{pitch_ms} ms");
            assert_eq!(longest.saturating_sub(MediaSpan::from_ticks(1)).rounded_secs(), target.max(1));
        }
    }

    #[test]
    fn a_pitch_nobody_can_play_is_refused() {
        assert!(Grid::new(MediaSpan::ZERO).is_none());
        assert!(Grid::new(MediaSpan::from_secs(21)).is_none());
    }
}
