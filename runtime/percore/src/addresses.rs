//! How many connections each address has, over all cores.
//!
//! Lives here: a count per IPv4 address or IPv6 /64. Does not live here: rates, or anything that outlives the last
//! connection of an address. Touched on accept and close only; sixteen locks keep the cores apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;

/// The counts of all cores.
#[derive(Debug)]
pub(crate) struct Addresses {
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
    hasher: RandomState,
    limit: usize,
}

impl Addresses {
    pub(crate) fn new(limit: usize) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), limit }
    }

    /// Counts a connection in; false if the address has as many as it may.
    pub(crate) fn admit(&self, address: IpAddr) -> bool {
        let network = network(address);
        let mut shard = self.shard(network).lock().unwrap_or_else(PoisonError::into_inner);
        let count = shard.entry(network).or_insert(0);
        let has_room = (*count as usize) < self.limit;
        *count += u32::from(has_room);
        if *count == 0 {
            shard.remove(&network);
        }
        has_room
    }

    /// Counts a connection out that was admitted.
    pub(crate) fn leave(&self, address: IpAddr) {
        let network = network(address);
        let mut shard = self.shard(network).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = shard.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&network);
            }
        }
    }

    fn shard(&self, network: u64) -> &Mutex<HashMap<u64, u32>> {
        &self.shards[self.hasher.hash_one(network) as usize % SHARDS]
    }
}

/// What one viewer's line is: an IPv4 address, or the /64 that an IPv6 line gets.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_as_many_as_the_limit_and_again_after_one_left() {
        let addresses = Addresses::new(2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(addresses.admit(one) && addresses.admit(mapped) && !addresses.admit(one));
        assert!(addresses.admit("192.0.2.2".parse().unwrap()), "others are not concerned");
        addresses.leave(one);
        assert!(addresses.admit(one) && !addresses.admit(one));
    }

    #[test]
    fn a_v6_line_is_its_64_and_nothing_is_kept_of_who_has_left() {
        let addresses = Addresses::new(1);
        assert!(addresses.admit("2001:db8::1".parse().unwrap()));
        assert!(!addresses.admit("2001:db8::2".parse().unwrap()));
        assert!(addresses.admit("2001:db8:0:1::1".parse().unwrap()));
        addresses.leave("2001:db8::1".parse().unwrap());
        addresses.leave("2001:db8:0:1::1".parse().unwrap());
        assert!(addresses.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
