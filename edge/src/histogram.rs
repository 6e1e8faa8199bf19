//! How long things took, counted in buckets: an add to memory that no other core writes.
//!
//! A bucket is twice as wide as the one before it, so the place of a time is its number of leading zeros. Quantiles are
//! right to within a factor of two, and a second is told from a millisecond, which is what an alarm needs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// One number that one thread writes: a relaxed store of what was loaded and more, so no bus lock is needed.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.set(self.read().wrapping_add(n));
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Times up to 2^FIRST µs in the first of N buckets, up to twice that in the second, and so on; the last has no end.
#[derive(Debug)]
pub(crate) struct Histogram<const FIRST: u32, const N: usize> {
    buckets: [Count; N],
    sum_micros: Count,
}

/// 64 µs to 16.8 s: an answer that leaves.
pub(crate) type Answering = Histogram<6, 20>;
/// 4 ms to 67 s: a reload that is held.
pub(crate) type Holding = Histogram<12, 16>;

impl<const FIRST: u32, const N: usize> Default for Histogram<FIRST, N> {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Count::default()), sum_micros: Count::default() }
    }
}

impl<const FIRST: u32, const N: usize> Histogram<FIRST, N> {
    pub(crate) fn took(&self, micros: u32) {
        // 2^n is the last of its bucket, as `le` has it.
        let log = u32::BITS - micros.saturating_sub(1).leading_zeros();
        let place = (log.saturating_sub(FIRST) as usize).min(N - 1);
        self.buckets[place].one();
        self.sum_micros.add(u64::from(micros));
    }
}

/// Histograms of several cores or kinds, summed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Times {
    /// Upper end in seconds (the last has infinity), and how many in this bucket alone.
    pub(crate) buckets: Vec<(f64, u64)>,
    pub(crate) count: u64,
    pub(crate) sum_seconds: f64,
}

impl Times {
    pub(crate) fn of<'a, const FIRST: u32, const N: usize>(
        all: impl Iterator<Item = &'a Histogram<FIRST, N>>,
    ) -> Self {
        let (mut counts, mut micros) = ([0; N], 0_u64);
        for one in all {
            counts.iter_mut().zip(&one.buckets).for_each(|(sum, bucket)| *sum += bucket.read());
            micros += one.sum_micros.read();
        }
        let end = |place: usize| match place + 1 < N {
            true => (1_u64 << (FIRST as usize + place)) as f64 / 1e6,
            false => f64::INFINITY,
        };
        let buckets = counts.iter().enumerate().map(|(place, count)| (end(place), *count)).collect();
        // The count is that of the buckets, whatever was added meanwhile.
        Self { buckets, count: counts.iter().sum(), sum_seconds: micros as f64 / 1e6 }
    }
}

/// What was counted at moments of the last seconds, so that a quantile is one of now and not of all time.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<(Instant, Times)>);

/// A quantile is over at least so long, and over at most twice as long where somebody asks each second.
const OVER: Duration = Duration::from_secs(10);
/// Moments closer together are one: whoever asks more often does not make the memory longer.
const APART: Duration = Duration::from_secs(1);

impl Recent {
    /// The upper end, in seconds, of the bucket in which 99 of 100 are reached; `None` where nothing was counted.
    pub(crate) fn p99(&mut self, now: Instant, times: Times) -> Option<f64> {
        while self.0.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= OVER) {
            self.0.pop_front();
        }
        let before = self.0.front().map(|(_, before)| before.buckets.as_slice()).unwrap_or_default();
        let since =
            |place: usize, count: u64| count - before.get(place).map_or(0, |(_, before)| *before).min(count);
        let counts: Vec<(f64, u64)> = times
            .buckets
            .iter()
            .enumerate()
            .map(|(place, (end, count))| (*end, since(place, *count)))
            .collect();
        let all: u64 = counts.iter().map(|(_, count)| count).sum();
        let wanted = all - all / 100;
        let mut reached = 0;
        let found = counts.iter().find(|(_, count)| {
            reached += count;
            reached >= wanted && all > 0
        });
        // The last bucket has no end; its beginning is what is known.
        let p99 = found.map(|(end, _)| if end.is_finite() { *end } else { counts[counts.len() - 2].0 });
        if self.0.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= APART) {
            self.0.push_back((now, times));
        }
        p99
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_where_it_ends() {
        for (micros, place) in [
            (0, 0),
            (1, 0),
            (64, 0),
            (65, 1),
            (128, 1),
            (129, 2),
            (1 << 24, 18),
            ((1 << 24) + 1, 19),
            (u32::MAX, 19),
        ] {
            let histogram = Answering::default();
            histogram.took(micros);
            let full = histogram.buckets.iter().position(|bucket| bucket.read() == 1);
            assert_eq!(full, Some(place), "{micros} µs");
        }
    }

    #[test]
    fn the_sum_of_two_is_that_of_both() {
        let [one, other] = [Holding::default(), Holding::default()];
        [1_000_000, 2_000_000].into_iter().for_each(|micros| one.took(micros));
        other.took(70_000_000);
        let times = Times::of([&one, &other].into_iter());
        assert_eq!((times.count, times.sum_seconds), (3, 73.0));
        assert_eq!((times.buckets.len(), times.buckets[15]), (16, (f64::INFINITY, 1)));
        assert_eq!(times.buckets[8], (1.048_576, 1));
    }

    #[test]
    fn a_quantile_is_one_of_the_last_seconds() {
        let (histogram, mut recent, start) = (Answering::default(), Recent::default(), Instant::now());
        let at = |seconds: u64, recent: &mut Recent| {
            let p99 = recent.p99(start + Duration::from_secs(seconds), Times::of([&histogram].into_iter()));
            p99.map(|p99| (p99 * 1e6) as u64)
        };
        assert_eq!(at(0, &mut recent), None);
        (0..99).for_each(|_| histogram.took(100));
        histogram.took(1_000_000);
        assert_eq!(at(1, &mut recent), Some(128), "one of a hundred is slow");
        histogram.took(1_000_000);
        assert_eq!(at(2, &mut recent), Some(1_048_576), "two of 101");
        (0..100).for_each(|_| histogram.took(100));
        for second in 3..14 {
            at(second, &mut recent);
        }
        assert_eq!(at(14, &mut recent), None, "nothing for ten seconds");
        histogram.took(u32::MAX);
        assert_eq!(at(15, &mut recent), Some(16_777_216), "the last bucket has no end");
    }
}
