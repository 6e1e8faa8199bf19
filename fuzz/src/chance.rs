//! Seeded chance: SplitMix64 (Steele, Lea and Flood, 2014). Fast, and good enough to be unlucky with.

/// A row of numbers that looks random and is not.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The row that belongs to this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.bits() as u8
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A number of the kind that programs trip over, in so many bits.
    pub fn awkward(&mut self, bits: u32) -> u32 {
        let most = u32::MAX >> (32 - bits);
        let around = self.pick(&[0, 1, most, most / 2, 1 << (bits - 1), 127, 128, 255, 256, 0x00ff_ffff]);
        match self.below(4) {
            0 => around,
            1 => around.wrapping_add(1),
            2 => around.wrapping_sub(1),
            _ => self.bits() as u32,
        }
    }
}
