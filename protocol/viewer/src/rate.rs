//! Which rung the throughput allows: hls.js' estimate (two exponentially weighted means, of which the lower
//! counts) and its factors.

use std::time::Duration;

/// abrEwmaFastLive and abrEwmaSlowLive: half-lives in seconds of download time.
const FAST_HALF_LIFE: f64 = 3.0;
const SLOW_HALF_LIFE: f64 = 9.0;
/// abrBandWidthFactor: a rung at or below the current one may take so much of the estimate, ...
const STAY_FACTOR: f64 = 0.95;
/// ... abrBandWidthUpFactor: a higher one so much.
const UP_FACTOR: f64 = 0.7;
/// A download shorter than this counts as this long: what comes out of a cache says nothing of the line.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(50);

/// What the line carries, as far as downloads have shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Throughput {
    fast: Mean,
    slow: Mean,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Mean {
    value: f64,
    weight: f64,
}

impl Mean {
    fn sample(&mut self, half_life: f64, weight: f64, value: f64) {
        let kept = 0.5f64.powf(weight / half_life);
        self.value = value * (1.0 - kept) + kept * self.value;
        self.weight += weight;
    }

    fn estimate(&self, half_life: f64) -> f64 {
        // The mean began at zero, and that is taken out again.
        self.value / (1.0 - 0.5f64.powf(self.weight / half_life))
    }
}

impl Throughput {
    /// A body of so many bytes took so long from its first byte.
    pub(crate) fn sample(&mut self, bytes: u64, took: Duration) {
        let secs = took.max(SHORTEST_SAMPLE).as_secs_f64();
        let bits_per_second = bytes as f64 * 8.0 / secs;
        self.fast.sample(FAST_HALF_LIFE, secs, bits_per_second);
        self.slow.sample(SLOW_HALF_LIFE, secs, bits_per_second);
    }

    /// Bits per second; `None` before the first download.
    pub(crate) fn estimate(&self) -> Option<f64> {
        (self.fast.weight > 0.0)
            .then(|| self.fast.estimate(FAST_HALF_LIFE).min(self.slow.estimate(SLOW_HALF_LIFE)))
    }

    /// The best of these BANDWIDTHs that fits; the lowest if none does; the current one while nothing is known.
    pub(crate) fn choose(&self, bandwidths: &[u64], current: u8) -> u8 {
        let Some(estimate) = self.estimate() else { return current };
        let Some(&now) = bandwidths.get(usize::from(current)) else { return current };
        let fits = |&(_, bandwidth): &(u8, u64)| {
            let factor = if bandwidth <= now { STAY_FACTOR } else { UP_FACTOR };
            bandwidth as f64 <= estimate * factor
        };
        let rungs = || (0u8..).zip(bandwidths.iter().copied());
        let best = rungs().filter(fits).max_by_key(|&(rung, bandwidth)| (bandwidth, rung == current));
        let lowest = || rungs().min_by_key(|&(rung, bandwidth)| (bandwidth, rung != current));
        best.or_else(lowest).map_or(current, |(rung, _)| rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: [u64; 3] = [2_000_000, 5_000_000, 400_000];

    fn line(bits_per_second: u64) -> Throughput {
        let mut throughput = Throughput::default();
        for _ in 0..10 {
            throughput.sample(bits_per_second / 8, Duration::from_secs(1));
        }
        throughput
    }

    #[test]
    fn a_steady_line_is_estimated_at_what_it_carries() {
        let estimate = line(4_000_000).estimate().unwrap();
        assert!((estimate - 4_000_000.0).abs() < 1.0, "{estimate}");
        assert_eq!(Throughput::default().estimate(), None);
    }

    #[test]
    fn up_needs_more_than_staying() {
        assert_eq!(Throughput::default().choose(&LADDER, 0), 0);
        // 5 Mbit/s is up from 2 and needs 7.15; it is kept from 5.27 on.
        assert_eq!(line(7_000_000).choose(&LADDER, 0), 0);
        assert_eq!(line(7_200_000).choose(&LADDER, 0), 1);
        assert_eq!(line(5_300_000).choose(&LADDER, 1), 1);
        assert_eq!(line(5_200_000).choose(&LADDER, 1), 0);
        assert_eq!(line(100_000).choose(&LADDER, 1), 2);
    }

    #[test]
    fn a_line_that_drops_is_noticed_in_seconds() {
        let mut throughput = line(8_000_000);
        throughput.sample(250_000, Duration::from_secs(2));
        throughput.sample(250_000, Duration::from_secs(2));
        assert_eq!(throughput.choose(&LADDER, 1), 0);
    }

    #[test]
    fn equal_rungs_do_not_alternate() {
        assert_eq!(line(9_000_000).choose(&[1_000_000, 1_000_000], 0), 0);
        assert_eq!(line(9_000_000).choose(&[1_000_000, 1_000_000], 1), 1);
        assert_eq!(line(1).choose(&[1_000_000, 1_000_000], 1), 1);
    }
}
