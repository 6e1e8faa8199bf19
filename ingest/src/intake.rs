//! What a publisher sends, measured as the operator wants to see it: its rate, and how far its sync units are apart.
//!
//! Does not live here: what is done with it (`line`).

use flv::SourceUnit;
use media::Track;
use std::time::{Duration, Instant};

/// Over how long a rate is taken: shorter, and a sync unit a second makes it jump.
const OVER: Duration = Duration::from_secs(4);

/// One broadcast's.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    begun: Option<Instant>,
    bytes: u64,
    bits_per_second: Option<u64>,
    last_sync_ms: Option<i64>,
    picture_group_ms: Option<u64>,
}

impl Intake {
    /// A unit has come.
    pub(crate) fn see(&mut self, unit: &SourceUnit, now: Instant) {
        self.settle(now);
        self.begun.get_or_insert(now);
        self.bytes += unit.payload.len() as u64;
        if unit.track == Track::Video
            && unit.is_sync
            && let Some(last) = self.last_sync_ms.replace(unit.decode_ms)
        {
            self.picture_group_ms = u64::try_from(unit.decode_ms - last).ok().filter(|apart| *apart > 0);
        }
    }

    /// Media a second, over the last whole measure; `None` before the first, and when nothing comes any more.
    pub(crate) fn bits_per_second(&mut self, now: Instant) -> Option<u64> {
        self.settle(now);
        self.bits_per_second
    }

    /// From the last sync unit to the one before it.
    pub(crate) fn picture_group_ms(&self) -> Option<u64> {
        self.picture_group_ms
    }

    /// Ends a measure that is full.
    fn settle(&mut self, now: Instant) {
        let Some(begun) = self.begun else { return };
        let lasted = now.saturating_duration_since(begun);
        if lasted < OVER {
            return;
        }
        self.bits_per_second =
            (self.bytes > 0).then(|| (self.bytes as f64 * 8.0 / lasted.as_secs_f64()) as u64);
        self.begun = (self.bytes > 0).then_some(now);
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(decode_ms: i64, is_sync: bool, bytes: usize) -> SourceUnit {
        SourceUnit {
            track: Track::Video,
            decode_ms,
            composition_ms: 0,
            duration_ms: 40,
            is_sync,
            payload: vec![0; bytes].into(),
        }
    }

    #[test]
    fn a_rate_is_that_of_whole_measures_and_ends_with_the_publisher() {
        let (mut intake, start) = (Intake::default(), Instant::now());
        for picture in 0_u32..=200 {
            // 25 pictures a second, 5000 bytes each: 1 Mbit/s; a sync unit each 2 s.
            let at = picture * 40;
            intake
                .see(&unit(i64::from(at), picture % 50 == 0, 5000), start + Duration::from_millis(at.into()));
        }
        let bits = intake.bits_per_second(start + Duration::from_secs(8)).unwrap();
        assert!((990_000..=1_010_000).contains(&bits), "{bits}");
        assert_eq!(intake.picture_group_ms(), Some(2000));
        intake.bits_per_second(start + Duration::from_secs(13));
        assert_eq!(intake.bits_per_second(start + Duration::from_secs(18)), None, "nobody publishes");
    }

    #[test]
    fn a_clock_that_goes_back_has_no_group() {
        let (mut intake, now) = (Intake::default(), Instant::now());
        intake.see(&unit(5000, true, 1), now);
        intake.see(&unit(0, true, 1), now);
        assert_eq!(intake.picture_group_ms(), None);
        intake.see(&unit(1000, true, 1), now);
        assert_eq!(intake.picture_group_ms(), Some(1000));
    }
}
