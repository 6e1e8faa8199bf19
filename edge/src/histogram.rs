//! How long things took, counted in buckets: an add to memory that no other core writes.
//!
//! A bucket is twice as wide as the one before it, so the place of a time is its number of leading zeros. Quantiles are
//! right to within a factor of two, and a second is told from a millisecond, which is what an alarm needs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
}
