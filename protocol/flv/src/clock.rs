//! Time stamps of 32 bits, of which some use 31, unwrapped.

use media::Track;

/// Follows both tracks over 2^32 ms (49.7 days, or sooner: encoders may start anywhere), and over 2^31: an FLV time
/// stamp is signed (E.4.1), so ffmpeg 5.1 clears the top bit and goes from 2147483647 to 0 (seen at
/// `-output_ts_offset 4294965`).
///
/// So only 31 bits are looked at, and a step of less than 2^30 either way (12 days) is taken for what it is. Both tracks count from the same start, so that one
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
            // The low 31 bits of `last` are those of the time stamp it came from. Shifted up and down, the step keeps
            // its sign.
            Some(last) => last + i64::from((timestamp_ms.wrapping_sub(last as u32) << 1) as i32 >> 1),
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
    fn an_encoder_that_clears_the_top_bit_goes_on_too() {
        let mut clock = Clock::default();
        assert_eq!(clock.unwrap(Track::Video, 0x7fff_fff0), 0x7fff_fff0);
        assert_eq!(clock.unwrap(Track::Video, 0x10), 0x8000_0010);
        assert_eq!(clock.unwrap(Track::Audio, 0x7fff_fff8), 0x7fff_fff8);
        assert_eq!(clock.unwrap(Track::Video, 0x30), 0x8000_0030);
    }

    #[test]
    fn a_step_back_is_a_step_back_even_below_zero() {
        let mut clock = Clock::default();
        clock.unwrap(Track::Audio, 1000);
        assert_eq!(clock.unwrap(Track::Audio, 900), 900);
        assert_eq!(clock.unwrap(Track::Audio, 0xffff_ffff), -1);
    }
}
