//! What a publisher sends, measured as the operator and the publisher want to see it: its rate, how far its sync units are
//! apart, what is missing.
//!
//! Does not live here: what is done with it (`line`).

use ::admission::Health;
use flv::SourceUnit;
use media::Track;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long a rate is taken: shorter, and a sync unit a second makes it jump.
const OVER: Duration = Duration::from_secs(4);
/// Without a unit of a track for so long it is not there.
const TRACK_GONE: Duration = Duration::from_secs(3);
/// A step of the sound's clock that somebody hears.
const SOUND_GAP_MS: i64 = 100;
/// Pictures further apart have a hole between them: slower than this nobody films.
const PICTURE_HOLE_MS: i64 = 1000;
/// Over how long holes in the sound are counted, and how many at most.
const GAPS_OVER: Duration = Duration::from_secs(60);
const GAPS: usize = 100;

/// One broadcast's.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    begun: Option<Instant>,
    bytes: u64,
    bits_per_second: Option<u64>,
    last_picture_ms: Option<i64>,
    /// None, where something is missing since: how far sync units are apart is not to be seen by the next one.
    last_sync_ms: Option<i64>,
    picture_group_ms: Option<u64>,
    pictures_at: Option<Instant>,
    sync_at: Option<Instant>,
    sound_at: Option<Instant>,
    sound_due_ms: Option<i64>,
    sound_gaps: VecDeque<Instant>,
}

impl Intake {
    /// A unit has come.
    pub(crate) fn see(&mut self, unit: &SourceUnit, now: Instant) {
        self.settle(now);
        self.begun.get_or_insert(now);
        self.bytes += unit.payload.len() as u64;
        match unit.track {
            Track::Video => self.look(unit, now),
            Track::Audio => self.hear(unit, now),
        }
    }

    fn look(&mut self, unit: &SourceUnit, now: Instant) {
        self.pictures_at = Some(now);
        if unit.is_sync || self.sync_at.is_none() {
            self.sync_at = Some(now);
        }
        // An encoder that is behind leaves out a whole picture group, and the next sync unit comes where it belongs.
        let since_last = self.last_picture_ms.replace(unit.decode_ms).map(|last| unit.decode_ms - last);
        if since_last.is_some_and(|since| since > PICTURE_HOLE_MS) {
            self.last_sync_ms = None;
        }
        if unit.is_sync
            && let Some(last) = self.last_sync_ms.replace(unit.decode_ms)
        {
            self.picture_group_ms = u64::try_from(unit.decode_ms - last).ok().filter(|apart| *apart > 0);
        }
    }

    fn hear(&mut self, unit: &SourceUnit, now: Instant) {
        self.sound_at = Some(now);
        let late = self.sound_due_ms.map(|due| unit.decode_ms - due);
        self.sound_due_ms = Some(unit.decode_ms);
        // From one stretch of sound to the next: what it lasts is far below that.
        if late.is_some_and(|late| !(0..SOUND_GAP_MS).contains(&late)) {
            if self.sound_gaps.len() == GAPS {
                self.sound_gaps.pop_front();
            }
            self.sound_gaps.push_back(now);
        }
    }

    /// How it arrives, as far as it is seen here.
    pub(crate) fn health(&mut self, now: Instant) -> Health {
        let is_here =
            |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < TRACK_GONE);
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        while self.sound_gaps.front().is_some_and(|at| now.saturating_duration_since(*at) > GAPS_OVER) {
            self.sound_gaps.pop_front();
        }
        let has_pictures = is_here(self.pictures_at);
        let since_sync = self.sync_at.map(|at| millis(now.saturating_duration_since(at)));
        Health {
            has_pictures,
            has_sound: is_here(self.sound_at),
            bits: narrow(self.bits_per_second(now).unwrap_or(0)),
            picture_group_ms: narrow(self.picture_group_ms.unwrap_or(0)),
            sync_age_ms: since_sync.filter(|_| has_pictures).unwrap_or(0),
            sound_gaps: narrow(self.sound_gaps.len() as u64),
            ..Health::default()
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
    fn a_picture_group_that_was_left_out_does_not_make_the_others_longer() {
        let (mut intake, start) = (Intake::default(), Instant::now());
        let mut see = |pictures: std::ops::Range<u32>| {
            for picture in pictures {
                let at = start + Duration::from_millis((picture * 40).into());
                intake.see(&unit(i64::from(picture) * 40, picture % 50 == 0, 100), at);
            }
            intake.picture_group_ms()
        };
        assert_eq!(see(0..100), Some(2000));
        assert_eq!(see(150..151), Some(2000), "a group is missing, the encoder's setting is as it was");
        assert_eq!(see(151..201), Some(2000));
        // Nothing is missing, and a sync unit where one is due is none.
        assert_eq!(see(201..250), Some(2000));
        assert_eq!(see(251..301), Some(4000));
    }

    fn sound(decode_ms: i64) -> SourceUnit {
        SourceUnit { track: Track::Audio, duration_ms: 21, ..unit(decode_ms, true, 100) }
    }

    #[test]
    fn what_is_missing_is_seen() {
        let (mut intake, start) = (Intake::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        for picture in 0..250_u64 {
            // The sound leaves out a second at 4 s; the last sync unit is at 6 s.
            let ms = picture * 40;
            intake.see(&unit(ms as i64, picture % 50 == 0 && ms <= 6000, 5000), at(ms));
            if !(4000..5000).contains(&ms) {
                intake.see(&sound(ms as i64), at(ms));
            }
        }
        let health = intake.health(at(10_000));
        assert!(health.has_pictures && health.has_sound);
        assert_eq!((health.sync_age_ms, health.sound_gaps, health.picture_group_ms), (4000, 1, 2000));
        for millis in (10_000..14_000).step_by(40) {
            intake.see(&sound(millis), at(millis as u64));
        }
        let health = intake.health(at(14_000));
        assert_eq!((health.has_pictures, health.has_sound, health.sync_age_ms), (false, true, 0));
        assert_eq!(intake.health(at(70_000)).sound_gaps, 0, "that was a while ago");
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
