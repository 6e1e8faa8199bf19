//! How often an address or an account may try something, in memory that does not grow: each falls into one of
//! [`BUCKETS`] by a hash nobody can foresee.

use crate::secret::random;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Different addresses, or accounts, that are told apart.
pub(crate) const BUCKETS: u64 = 16_384;

/// One kind of trying.
#[derive(Debug)]
pub(crate) struct Rate {
    limiter: DefaultKeyedRateLimiter<u16>,
    clock: DefaultClock,
    seed: RandomState,
    salt: [u8; 16],
}

impl Rate {
    /// So many in a minute, and as many at once.
    pub(crate) fn per_minute(count: u64) -> Self {
        let count = u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(count)),
            clock: DefaultClock::default(),
            seed: RandomState::new(),
            salt: random(),
        }
    }

    /// One more; or how long to wait.
    pub(crate) fn take(&self, who: impl Hash) -> Result<(), Duration> {
        let mut hasher = self.seed.build_hasher();
        self.salt.hash(&mut hasher);
        who.hash(&mut hasher);
        let bucket = (hasher.finish() % BUCKETS) as u16;
        self.limiter.check_key(&bucket).map_err(|not| not.wait_time_from(self.clock.now()))
    }
}

/// Who is one by his address: of IPv6 a network, because each home has 2^64 addresses.
pub(crate) fn neighbour(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => u128::from(address) >> 64 | 1 << 127,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tries_too_often_waits_and_others_do_not() {
        let rate = Rate::per_minute(3);
        assert!((0..3).all(|_| rate.take("eve").is_ok()));
        assert!(rate.take("eve").unwrap_err() <= Duration::from_secs(20));
        assert!(rate.take("ada").is_ok());
    }

    #[test]
    fn a_crowd_needs_no_more_memory_than_its_buckets() {
        let rate = Rate::per_minute(1);
        let refused = (0..100_000_u32).filter(|n| rate.take(n).is_err()).count();
        assert!(rate.limiter.len() as u64 <= BUCKETS);
        assert!(refused >= 100_000 - BUCKETS as usize);
    }

    #[test]
    fn a_home_is_one() {
        let of = |text: &str| neighbour(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
