//! When which picture is due: one clock that only goes forward, started at a moment of the wall clock.

use std::time::{Duration, Instant};

use media::{MediaTime, TICKS_PER_SECOND};

const DAY_MS: u64 = 86_400_000;

/// Counts pictures; asks nobody what time it is.
#[derive(Debug)]
pub(crate) struct Pace {
    begin: Instant,
    begin_ms: u64,
    frame_rate: u64,
    gop: u64,
    /// Pictures since `begin`, those that were left out included.
    index: u64,
}

/// A picture that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// When to draw it.
    pub(crate) at: Instant,
    /// Pictures since midnight (UTC) of the day on which the pattern began.
    pub(crate) number: u32,
    pub(crate) time: MediaTime,
    pub(crate) wall_ms: u64,
}

impl Pace {
    /// `wall_ms` is the time of day at `now`. The first picture is due at the next moment at which sync units
    /// fall on multiples of their distance since the epoch: there the ingest's segments begin too, and the
    /// source can be copied.
    pub(crate) fn new(now: Instant, wall_ms: u64, frame_rate: u64, gop: u64) -> Self {
        let distance_ms = (gop * 1_000 / frame_rate).max(1);
        let begin_ms = wall_ms.next_multiple_of(distance_ms);
        let begin = now + Duration::from_millis(begin_ms - wall_ms);
        Self { begin, begin_ms, frame_rate, gop, index: 0 }
    }

    /// When the first picture is due, in milliseconds since the epoch.
    pub(crate) fn begin_ms(&self) -> u64 {
        self.begin_ms
    }

    /// The next picture. When drawing and coding have fallen behind by more than a group of pictures, whole
    /// groups are left out, so that sync units stay where they belong; says how many pictures that were.
    pub(crate) fn next(&mut self, now: Instant) -> (Due, u64) {
        let elapsed = now.saturating_duration_since(self.begin).as_millis() as u64 * self.frame_rate / 1_000;
        let behind = elapsed.saturating_sub(self.index);
        let left_out = behind / self.gop * self.gop;
        self.index += left_out;
        let index = self.index;
        self.index += 1;
        let due = Due {
            at: self.begin + Duration::from_nanos(index * 1_000_000_000 / self.frame_rate),
            number: (self.begin_ms % DAY_MS * self.frame_rate / 1_000 + index) as u32,
            time: MediaTime::from_ticks(
                MediaTime::from_unix_millis(self.begin_ms).ticks()
                    + index * TICKS_PER_SECOND / self.frame_rate,
            ),
            wall_ms: self.begin_ms + index * 1_000 / self.frame_rate,
        };
        (due, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_waits_for_the_grid() {
        let now = Instant::now();
        let mut pace = Pace::new(now, 86_400_000 + 12_345, 25, 50);
        let (due, _) = pace.next(now);
        assert_eq!(due.wall_ms, 86_400_000 + 14_000);
        assert_eq!(due.at - now, Duration::from_millis(1_655));
        assert_eq!(due.number, 14 * 25);
        assert_eq!(due.time.unix_millis() % 2_000, 0);
        let (second, _) = pace.next(now);
        assert_eq!((second.number, second.at - due.at), (14 * 25 + 1, Duration::from_millis(40)));
    }

    #[test]
    fn who_falls_behind_leaves_whole_groups_out() {
        let now = Instant::now();
        let mut pace = Pace::new(now, 0, 25, 50);
        let (first, left_out) = pace.next(now);
        assert_eq!((first.number, left_out), (0, 0));
        // Not a whole group behind: caught up with, nothing is left out.
        assert_eq!(pace.next(now + Duration::from_millis(1_900)).1, 0);
        // Five seconds: 125 pictures, two groups and a half.
        let (late, left_out) = pace.next(now + Duration::from_millis(5_100));
        assert_eq!((late.number, left_out), (102, 100));
    }
}
