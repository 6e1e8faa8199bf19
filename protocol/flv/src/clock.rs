//! Time stamps of 32 bits, unwrapped.

use media::Track;

/// Follows both tracks over 2^32 ms (49.7 days, or sooner: encoders may start anywhere).
///
/// A step of less than 2^31 either way is taken for what it is. Both tracks count from the same start, so that one
/// that begins after the wrap is beside the other, not 49 days before it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    audio: Option<i64>,
    video: Option<i64>,
}

impl Clock {
    pub(crate) fn unwrap(&mut self, track: Track, timestamp_ms: u32) -> i64 {
        let (own, other) = match track {
            Track::Audio => (&mut self.audio, self.video),
            Track::Video => (&mut self.video, self.audio),
        };
        let unwrapped = match own.or(other) {
            // The low 32 bits of `last` are the time stamp it came from.
            Some(last) => last + i64::from(timestamp_ms.wrapping_sub(last as u32) as i32),
            None => i64::from(timestamp_ms),
        };
        *own = Some(unwrapped);
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tracks_pass_the_wrap_together() {
        let mut clock = Clock::default();
        assert_eq!(clock.unwrap(Track::Video, 0xffff_fff0), 0xffff_fff0);
        assert_eq!(clock.unwrap(Track::Audio, 5), 0x1_0000_0005);
        assert_eq!(clock.unwrap(Track::Video, 0x20), 0x1_0000_0020);
        assert_eq!(clock.unwrap(Track::Video, 0xffff_fff8), 0xffff_fff8);
    }

    #[test]
    fn a_step_back_is_a_step_back_even_below_zero() {
        let mut clock = Clock::default();
        clock.unwrap(Track::Audio, 1000);
        assert_eq!(clock.unwrap(Track::Audio, 900), 900);
        assert_eq!(clock.unwrap(Track::Audio, 0xffff_ffff), -1);
    }
}
