//! Sound by its samples: FLV's milliseconds are too coarse for units of 1024 samples, so they are snapped to the
//! grid those samples make, and only a real gap moves the grid (ingest cases 10 and 13).

use crate::{JUMP, silence};
use media::{AccessUnit, AudioConfig, MediaSpan, MediaTime, Track};

/// A unit this near to its place on the sample grid is on it.
pub(crate) const SNAP: MediaSpan = MediaSpan::from_millis(50);

/// Where the samples of an unbroken stretch of sound fall.
#[derive(Debug, Default)]
pub(crate) struct SampleGrid {
    stretch: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    start: MediaTime,
    units: u64,
}

/// A unit on the grid, and how many silent ones go before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapped {
    pub(crate) time: MediaTime,
    pub(crate) duration: MediaSpan,
    gap: Option<(MediaTime, u64)>,
}

impl SampleGrid {
    /// The grid of a stretch that others have placed up to there.
    pub(crate) fn from(end: MediaTime) -> Self {
        Self { stretch: Some(Stretch { start: end, units: 0 }) }
    }

    /// The next unit begins a new stretch.
    pub(crate) fn forget(&mut self) {
        self.stretch = None;
    }

    /// The place of a unit that came at about `near`; `None` if that place is already taken.
    pub(crate) fn snap(&mut self, near: MediaTime, config: &AudioConfig) -> Option<Snapped> {
        let stretch = self.stretch.get_or_insert(Stretch { start: near, units: 0 });
        let due = stretch.start + config.span_of(stretch.units);
        if near.distance(due) <= SNAP {
            return Some(stretch.take(config, None));
        }
        // Behind by more than the snap: those samples have been played already.
        let missing = near.since(due)?;
        // Whole units of silence, on the old grid, so that the grid never moves by a fraction.
        let gap_units = missing.ticks().div_ceil(config.span_of(1).ticks().max(1)).saturating_sub(1).max(1);
        stretch.units += gap_units;
        // More than a jump of the clock is too much to be told unit by unit; whoever makes the segments fills it.
        let told = (missing <= JUMP).then_some((due, gap_units));
        Some(stretch.take(config, told))
    }
}

impl Stretch {
    fn take(&mut self, config: &AudioConfig, gap: Option<(MediaTime, u64)>) -> Snapped {
        let time = self.start + config.span_of(self.units);
        self.units += 1;
        let duration = (self.start + config.span_of(self.units)).saturating_since(time);
        Snapped { time, duration, gap }
    }
}

impl Snapped {
    /// The silent units that go before this one. At most [`JUMP`] of them.
    pub(crate) fn silence(&self, config: &AudioConfig) -> impl Iterator<Item = AccessUnit> + use<> {
        let (from, units) = self.gap.unwrap_or((self.time, 0));
        let payload = silence::unit(config);
        let config = config.clone();
        (0..units).filter_map(move |unit| {
            let decode_time = from + config.span_of(unit);
            let duration = config.span_of(unit + 1) - config.span_of(unit);
            let payload = payload.clone()?;
            Some(AccessUnit {
                track: Track::Audio,
                decode_time,
                presentation_time: decode_time,
                duration,
                is_sync: true,
                payload,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn config() -> AudioConfig {
        AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap()
    }

    #[test]
    fn rounding_to_milliseconds_leaves_no_trace_over_a_day() {
        let (config, mut grid) = (config(), SampleGrid::default());
        let start = MediaTime::from_unix_millis(1_000_000_000);
        for unit in 0..4_050_000_u64 {
            let exact = config.span_of(unit);
            let rounded = start + MediaSpan::from_millis(exact.as_millis());
            assert_eq!(grid.snap(rounded, &config).unwrap().time, start + exact);
        }
    }

    #[test]
    fn a_gap_is_filled_with_whole_silent_units() {
        let (config, mut grid) = (config(), SampleGrid::default());
        let start = MediaTime::from_unix_millis(1_000_000_000);
        grid.snap(start, &config).unwrap();
        let after = grid.snap(start + MediaSpan::from_millis(1000), &config).unwrap();
        let silent: Vec<_> = after.silence(&config).collect();
        assert_eq!(silent.len(), 45, "1000 ms less the first unit, in units of 21.3 ms");
        assert_eq!(silent[0].decode_time, start + config.span_of(1));
        let last = silent.last().unwrap();
        assert_eq!(last.decode_time + last.duration, after.time, "no hole before the next unit");
        assert!(after.time.distance(start + MediaSpan::from_millis(1000)) <= config.span_of(1));
    }

    #[test]
    fn a_gap_of_minutes_is_not_told_unit_by_unit() {
        let (config, mut grid) = (config(), SampleGrid::default());
        let start = MediaTime::from_unix_millis(1_000_000_000);
        grid.snap(start, &config).unwrap();
        let later = start + MediaSpan::from_secs(300);
        let after = grid.snap(later, &config).unwrap();
        assert_eq!(after.silence(&config).count(), 0);
        assert!(after.time.distance(later) <= config.span_of(1));
    }

    #[test]
    fn sound_that_was_already_played_has_no_place() {
        let (config, mut grid) = (config(), SampleGrid::default());
        let start = MediaTime::from_unix_millis(1_000_000_000);
        for unit in 0..100 {
            grid.snap(start + config.span_of(unit), &config).unwrap();
        }
        assert_eq!(grid.snap(start, &config), None);
    }
}
