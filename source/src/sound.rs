//! What the pattern sounds like: a beep of a tenth of a second at each full second, soft noise of water between.

use std::f32::consts::TAU;

/// How long the beep sounds; the picture's corner is white for as long.
pub(crate) const BEEP_MS: u64 = 100;

const BEEP_HZ: f32 = 1_000.0;
/// Each tenth second, so that a listener can tell how far two players are apart.
const TENTH_BEEP_HZ: f32 = 1_500.0;

/// Makes samples one after the other; where in time they are is counted in samples.
#[derive(Debug)]
pub(crate) struct Sound {
    rate: u64,
    channels: usize,
    /// Samples since the Unix epoch of the next one.
    at: u64,
    noise: u32,
}

impl Sound {
    pub(crate) fn new(rate: u32, channels: usize, wall_ms: u64) -> Self {
        let rate = u64::from(rate);
        Self { rate, channels, at: wall_ms * rate / 1_000, noise: 0x9e37_79b9 }
    }

    /// The next `count` samples, 16 bit little-endian, channels interleaved.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * self.channels * 2);
        for _ in 0..count {
            let sample = self.next().to_le_bytes();
            for _ in 0..self.channels {
                bytes.extend_from_slice(&sample);
            }
        }
        bytes
    }

    fn next(&mut self) -> i16 {
        let (second, within) = (self.at / self.rate, self.at % self.rate);
        self.at += 1;
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hiss = (self.noise >> 16) as i16 / 400;
        if within * 1_000 >= BEEP_MS * self.rate {
            return hiss;
        }
        let hertz = if second.is_multiple_of(10) { TENTH_BEEP_HZ } else { BEEP_HZ };
        // Both tones fit whole into a tenth of a second, so the beep ends at zero and does not click.
        let turn = within as f32 * hertz / self.rate as f32;
        ((turn * TAU).sin() * 9_000.0) as i16 + hiss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loudness(bytes: &[u8]) -> f64 {
        let squares: f64 =
            bytes.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])).powi(2)).sum();
        (squares / (bytes.len() / 2) as f64).sqrt()
    }

    #[test]
    fn it_beeps_at_the_full_second_and_then_whispers() {
        let mut sound = Sound::new(48_000, 2, 1_700_000_003_000);
        let beep = sound.take(4_800);
        assert_eq!(beep.len(), 4_800 * 2 * 2);
        let rest = sound.take(43_200);
        assert!(loudness(&beep) > 5_000.0 && loudness(&rest) < 100.0);
        assert!(loudness(&sound.take(4_800)) > 5_000.0, "the next second beeps again");
    }
}
