//! How many different viewers were seen, without keeping who they were: HyperLogLog (Flajolet, Fusy, Gandouet,
//! Meunier 2007) with 4096 registers, and linear counting below two and a half times as many.
//!
//! Written here because its registers travel between cores and balancers, where the largest of two is the union,
//! so their layout is ours to keep. Viewers are named by random numbers (`ticket::ViewerId`), mixed once more.

use ticket::ViewerId;

/// Bits of a mixed number that name a register.
const INDEX_BITS: u32 = 12;

/// A set of viewers that can be counted to within 1.6 % (one standard deviation), and united with others.
#[derive(Clone, PartialEq, Eq)]
pub struct Crowd([u8; Self::REGISTERS]);

/// Why bytes are no crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrowdError {
    /// Not one byte for each register.
    #[error("a crowd of {0} bytes, {registers} are allowed", registers = Crowd::REGISTERS)]
    Length(usize),
    /// More than a register can hold.
    #[error("a crowd with {value} in register {at}, at most {most} is allowed", most = Crowd::MOST)]
    Register {
        /// Which.
        at: usize,
        /// What it holds.
        value: u8,
    },
}

impl Crowd {
    /// How many registers there are, one byte each.
    pub const REGISTERS: usize = 1 << INDEX_BITS;
    /// The most a register can hold.
    const MOST: u8 = (u64::BITS - INDEX_BITS + 1) as u8;

    /// One viewer, who may have been seen before.
    pub fn see(&mut self, viewer: ViewerId) {
        let mixed = mix(viewer.0);
        let register = &mut self.0[(mixed >> (u64::BITS - INDEX_BITS)) as usize];
        // The bits that name the register are shifted out; a one below them keeps the count within MOST.
        let rank = (mixed << INDEX_BITS | 1 << (INDEX_BITS - 1)).leading_zeros() as u8 + 1;
        *register = rank.max(*register);
    }

    /// Everybody the other has seen too.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(register, other)| *register = other.max(*register));
    }

    /// Whether nobody was seen.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&register| register == 0)
    }

    /// How many viewers were seen.
    pub fn count(&self) -> u64 {
        let registers = Self::REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|&register| (-f64::from(register)).exp2()).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        let zeros = self.0.iter().filter(|&&register| register == 0).count();
        let counted = if estimate <= 2.5 * registers && zeros > 0 {
            registers * (registers / zeros as f64).ln()
        } else {
            estimate
        };
        counted.round() as u64
    }

    /// Its registers, to be sent.
    pub fn registers(&self) -> &[u8; Self::REGISTERS] {
        &self.0
    }

    /// From what [`Crowd::registers`] gave elsewhere.
    pub fn from_registers(bytes: &[u8]) -> Result<Self, CrowdError> {
        let registers: [u8; Self::REGISTERS] =
            bytes.try_into().map_err(|_| CrowdError::Length(bytes.len()))?;
        match registers.iter().position(|&register| register > Self::MOST) {
            Some(at) => Err(CrowdError::Register { at, value: registers[at] }),
            None => Ok(Self(registers)),
        }
    }
}

impl Default for Crowd {
    fn default() -> Self {
        Self([0; Self::REGISTERS])
    }
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crowd({})", self.count())
    }
}

/// SplitMix64's finalizer: every bit depends on every bit.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(viewers: std::ops::Range<u64>) -> Crowd {
        let mut crowd = Crowd::default();
        viewers.for_each(|viewer| crowd.see(ViewerId(viewer)));
        crowd
    }

    #[test]
    fn a_handful_is_counted_exactly_and_many_within_a_few_hundredths() {
        assert_eq!([0, 1, 2, 12].map(|n| of(0..n).count()), [0, 1, 2, 12]);
        for many in [100, 1_000, 5_000, 12_000, 200_000] {
            let off = of(0..many).count() as f64 / many as f64 - 1.0;
            assert!(off.abs() < 0.05, "{many} were counted {off:+.3} off");
        }
    }

    #[test]
    fn who_is_seen_twice_is_counted_once_wherever_that_was() {
        let (mut one, other) = (of(0..1000), of(500..1500));
        one.merge(&other);
        assert_eq!(one, of(0..1500));
        (0..1500).for_each(|viewer| one.see(ViewerId(viewer)));
        assert_eq!(one, of(0..1500));
    }

    #[test]
    fn it_travels_as_bytes_and_strange_bytes_are_refused() {
        let crowd = of(0..300);
        assert_eq!(Crowd::from_registers(crowd.registers()), Ok(crowd.clone()));
        assert_eq!(Crowd::from_registers(&[0; 7]), Err(CrowdError::Length(7)));
        let mut strange = *crowd.registers();
        strange[9] = 54;
        assert_eq!(Crowd::from_registers(&strange), Err(CrowdError::Register { at: 9, value: 54 }));
        strange[9] = 53;
        assert!(Crowd::from_registers(&strange).is_ok());
    }
}
