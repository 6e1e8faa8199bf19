//! Moments and spans of media, in 90 kHz ticks.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

/// The clock of MPEG systems (ISO/IEC 13818-1, 2.4.2), and of every time in the house.
pub const TICKS_PER_SECOND: u64 = 90_000;

/// A moment of a broadcast: 90 kHz ticks since the Unix epoch, never wrapped.
///
/// 2^64 ticks are six million years, so sums do not overflow in practice; they saturate where a stranger's
/// numbers could make them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(u64);

/// How long something lasts: 90 kHz ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaSpan(u64);

impl MediaTime {
    /// The moment `ticks` after the Unix epoch.
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(TICKS_PER_SECOND / 1000))
    }

    /// 90 kHz ticks since the Unix epoch.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down (EXT-X-PROGRAM-DATE-TIME).
    pub const fn unix_millis(self) -> u64 {
        self.0 / (TICKS_PER_SECOND / 1000)
    }

    /// The 33 bits an MPEG-TS time stamp has room for (ISO/IEC 13818-1, 2.4.3.7).
    pub const fn ticks_33_bits(self) -> u64 {
        self.0 & ((1 << 33) - 1)
    }

    /// How long after `earlier` this moment is; `None` if it is before.
    pub fn since(self, earlier: Self) -> Option<MediaSpan> {
        self.0.checked_sub(earlier.0).map(MediaSpan)
    }

    /// How long after `earlier` this moment is, or nothing at all if it is before.
    pub fn saturating_since(self, earlier: Self) -> MediaSpan {
        MediaSpan(self.0.saturating_sub(earlier.0))
    }

    /// How far the two moments are apart, whichever comes first.
    pub fn distance(self, other: Self) -> MediaSpan {
        MediaSpan(self.0.abs_diff(other.0))
    }

    /// This moment moved back by `span`, at most to the epoch.
    pub fn saturating_sub(self, span: MediaSpan) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl MediaSpan {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of so many 90 kHz ticks.
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// A span of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(TICKS_PER_SECOND / 1000))
    }

    /// A span of so many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(TICKS_PER_SECOND))
    }

    /// 90 kHz ticks.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / (TICKS_PER_SECOND / 1000)
    }

    /// Seconds, for people and for playlists; sums are made in ticks.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / TICKS_PER_SECOND as f64
    }

    /// The least whole number of seconds that EXTINF of this span rounds to or under (EXT-X-TARGETDURATION).
    pub const fn rounded_secs(self) -> u64 {
        (self.0 + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND
    }

    /// This span less `other`, at least zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// As wall time.
    pub fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_mul(100_000) / 9)
    }

    /// From wall time, rounded down to a tick.
    pub fn from_duration(duration: std::time::Duration) -> Self {
        Self((duration.as_nanos().saturating_mul(9) / 100_000).min(u128::from(u64::MAX)) as u64)
    }
}

impl Add<MediaSpan> for MediaTime {
    type Output = Self;
    fn add(self, span: MediaSpan) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<MediaSpan> for MediaTime {
    fn add_assign(&mut self, span: MediaSpan) {
        *self = *self + span;
    }
}

impl Add for MediaSpan {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for MediaSpan {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for MediaSpan {
    type Output = Self;
    /// Saturates at zero: a span is never negative.
    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Mul<u64> for MediaSpan {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl fmt::Display for MediaSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_before_another_is_not_since_it() {
        let (early, late) = (MediaTime::from_ticks(10), MediaTime::from_ticks(30));
        assert_eq!(late.since(early), Some(MediaSpan::from_ticks(20)));
        assert_eq!(early.since(late), None);
        assert_eq!(early.distance(late), MediaSpan::from_ticks(20));
    }

    #[test]
    fn ts_time_wraps_at_33_bits_and_media_time_does_not() {
        let before = MediaTime::from_ticks((1 << 33) - 1);
        let after = before + MediaSpan::from_ticks(2);
        assert_eq!(after.ticks_33_bits(), 1);
        assert!(after > before);
    }

    #[test]
    fn wall_time_and_ticks_agree() {
        assert_eq!(MediaSpan::from_secs(2).as_duration(), std::time::Duration::from_secs(2));
        assert_eq!(
            MediaSpan::from_duration(std::time::Duration::from_millis(40)),
            MediaSpan::from_millis(40)
        );
        assert_eq!(MediaTime::from_unix_millis(1_700_000_000_123).unix_millis(), 1_700_000_000_123);
    }
}
