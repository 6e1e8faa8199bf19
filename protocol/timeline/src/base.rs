//! From a publisher's milliseconds to the epoch: one offset, until its clock jumps.

use crate::JUMP;
use media::{MediaSpan, MediaTime};

/// A unit this much before the end of its track is rounding; more is a clock that was set back.
const BACK: MediaSpan = MediaSpan::from_millis(100);

/// One reading of the publisher's clock: its `source_ms` is that `place`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    source_ms: i64,
    place: MediaTime,
}

impl Base {
    /// Where that moment of the publisher's clock is; `None` before the epoch.
    fn at(self, source_ms: i64) -> Option<MediaTime> {
        let later = source_ms.saturating_sub(self.source_ms);
        let span = MediaSpan::from_millis(later.unsigned_abs());
        if later >= 0 {
            Some(self.place + span)
        } else {
            self.place.ticks().checked_sub(span.ticks()).map(MediaTime::from_ticks)
        }
    }
}

/// The base in force, and the one before: when a clock jumps, one track says so first, and the other's last units
/// of the old clock are still to come.
#[derive(Debug)]
pub(crate) struct Bases {
    current: Base,
    before: Option<Base>,
}

impl Bases {
    pub(crate) fn new(source_ms: i64, place: MediaTime) -> Self {
        Self { current: Base { source_ms, place }, before: None }
    }

    /// The reading in force.
    pub(crate) fn current(&self) -> (i64, MediaTime) {
        (self.current.source_ms, self.current.place)
    }

    /// A publisher came back: its clock has nothing to do with the one before.
    pub(crate) fn restart(&mut self, source_ms: i64, place: MediaTime) {
        *self = Self::new(source_ms, place);
    }

    /// The place of this moment on a track that reaches to `end` so far, in a run whose newest track reaches to
    /// `newest`. Moves the base if the clock has jumped; a track that only left something out while the other went
    /// on says nothing of the clock, however much that was.
    ///
    /// `None`: before the epoch.
    pub(crate) fn place(
        &mut self,
        source_ms: i64,
        end: Option<MediaTime>,
        newest: MediaTime,
    ) -> Option<MediaTime> {
        let Some(end) = end else {
            // The first unit of a track takes the base as it is, even a little before the run's start.
            return self.current.at(source_ms);
        };
        let latest = end.max(newest) + JUMP;
        let fits = |base: &Base| base.at(source_ms).filter(|&place| place <= latest && place + BACK >= end);
        if let Some(place) = fits(&self.current) {
            return Some(place);
        }
        if let Some(place) = self.before.as_ref().and_then(fits) {
            return Some(place);
        }
        self.before = Some(self.current);
        self.current = Base { source_ms, place: end };
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: MediaTime = MediaTime::from_unix_millis(1_000_000);

    fn ms(millis: u64) -> MediaTime {
        START + MediaSpan::from_millis(millis)
    }

    #[test]
    fn a_small_hole_is_kept_and_a_large_one_is_closed() {
        let mut bases = Bases::new(500, START);
        assert_eq!(bases.place(1500, Some(ms(40)), ms(40)), Some(ms(1000)));
        assert_eq!(bases.place(11_500, Some(ms(1040)), ms(1040)), Some(ms(1040)));
        assert_eq!(bases.place(11_540, Some(ms(1080)), ms(1080)), Some(ms(1080)));
    }

    #[test]
    fn the_other_track_may_be_late_to_jump() {
        let mut bases = Bases::new(0, START);
        assert_eq!(bases.place(13_000, Some(ms(3000)), ms(3000)), Some(ms(3000)));
        assert_eq!(bases.place(2980, Some(ms(2980)), ms(3040)), Some(ms(2980)), "old clock");
        assert_eq!(bases.place(13_001, Some(ms(3001)), ms(3040)), Some(ms(3001)), "new clock, in step");
    }

    #[test]
    fn a_track_that_left_seconds_out_while_the_other_went_on_is_in_step_with_it_afterwards() {
        let mut bases = Bases::new(0, START);
        assert_eq!(bases.place(9000, Some(ms(1000)), ms(8980)), Some(ms(9000)));
    }

    #[test]
    fn a_clock_that_jumps_back_goes_on_where_it_was() {
        let mut bases = Bases::new(100_000, START);
        assert_eq!(bases.place(40, Some(ms(5000)), ms(5000)), Some(ms(5000)));
    }
}
