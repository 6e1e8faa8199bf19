//! Numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014), enough for a day's weather.

/// A sequence of numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this seed for this purpose: what one purpose draws changes nothing for another.
    pub(crate) fn of(seed: u64, purpose: u64) -> Self {
        let mut random = Self(seed ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least `low`, less than `high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % high.saturating_sub(low).max(1)
    }

    /// True `times` in a hundred.
    pub(crate) fn happens(&mut self, times: u64) -> bool {
        self.next() % 100 < times
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.within(0, end as u64) as usize
    }
}
