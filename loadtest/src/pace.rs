//! A viewer's downlink: a bucket of tokens, one for a byte.

use std::time::{Duration, Instant};

/// How much of the line's time a bucket holds: what may come at once after a silence.
const HOLDS: Duration = Duration::from_millis(50);
/// The least a bucket holds, so that a slow line is not read byte by byte.
const HOLDS_BYTES_MIN: f64 = 4096.0;
/// When to ask again at the soonest: as fine as timers are, and more than what rounding takes away.
const ASKED_AGAIN: Duration = Duration::from_millis(1);
/// Bounds of the receive buffer of a limited connection. The kernel takes that much ahead of the viewer.
const RECEIVE_BUFFER: (f64, f64) = (8_192.0, 4_194_304.0);

/// One viewer's line.
#[derive(Clone, Debug)]
pub(crate) struct Downlink {
    bytes_a_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Downlink {
    /// A line of so many bits a second, with a full bucket.
    pub(crate) fn new(bits_a_second: u64, now: Instant) -> Self {
        let bytes_a_second = (bits_a_second as f64 / 8.0).max(1.0);
        Self { bytes_a_second, tokens: holds(bytes_a_second), filled_at: now }
    }

    /// How many of `wanted` bytes may be read now, at least one if a good part of the bucket is there; else when
    /// to ask again.
    pub(crate) fn take(&mut self, wanted: u64, now: Instant) -> Result<u64, Instant> {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.bytes_a_second).min(holds(self.bytes_a_second));
        self.filled_at = now;
        // Half a bucket, or all that is left: many small reads would cost more than they are true to life.
        let least = (wanted as f64).min(holds(self.bytes_a_second) / 2.0);
        if self.tokens < least {
            let missing = (least - self.tokens) / self.bytes_a_second;
            return Err(now + Duration::from_secs_f64(missing).max(ASKED_AGAIN));
        }
        Ok(wanted.min(self.tokens as u64))
    }

    /// So many bytes were read.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.tokens -= bytes as f64;
    }
}

fn holds(bytes_a_second: f64) -> f64 {
    (bytes_a_second * HOLDS.as_secs_f64()).max(HOLDS_BYTES_MIN)
}

/// The receive buffer a connection behind such a line is given.
pub(crate) fn receive_buffer(bits_a_second: u64) -> usize {
    (bits_a_second as f64 / 8.0 * HOLDS.as_secs_f64()).clamp(RECEIVE_BUFFER.0, RECEIVE_BUFFER.1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_second_a_line_carries_what_it_may_and_no_more() {
        for bits in [300_000, 8_000_000, 100_000_000] {
            let begin = Instant::now();
            let (mut line, mut now, mut bytes) = (Downlink::new(bits, begin), begin, 0);
            while now < begin + Duration::from_secs(10) {
                match line.take(1_000_000, now) {
                    Ok(taken) => {
                        line.spend(taken);
                        bytes += taken;
                    }
                    Err(again) => now = again,
                }
            }
            let expected = bits * 10 / 8;
            assert!(bytes.abs_diff(expected) < expected / 50 + 2 * 4096, "{bits}: {bytes} of {expected}");
        }
    }

    #[test]
    fn what_is_left_of_a_body_does_not_wait_for_half_a_bucket() {
        let now = Instant::now();
        let mut line = Downlink::new(8_000_000, now);
        line.spend(50_000 - 100);
        assert_eq!(line.take(60, now), Ok(60));
        assert!(line.take(1_000_000, now).is_err());
    }
}
