//! Whatever reads a stranger's bytes, fed with spoilt ones.
//!
//! Lives here: one [`Target`] per reader (what must hold for any bytes, and how good bytes are made), the spoiling
//! ([`spoil`]), and the seeded chance that both are made by. Does not live here: threads and figures (`main.rs`).
//!
//! A case is a function of the target and a 64-bit seed, so a failure is repeated by its seed:
//!
//! ```text
//! cargo run --profile fuzz -p fuzz -- rtmp_door --cases 10000000 --seed 1
//! cargo run --profile fuzz -p fuzz -- rtmp_door --replay 8243721
//! ```
//!
//! (`--release` does as well; the profile `fuzz` also checks every sum.)
//!
//! To add a target: a module under `targets` with `pub fn name(bytes: &[u8])` (panics if something does not hold) and
//! `fn good(chance: &mut Chance) -> Vec<u8>`, and a line in [`TARGETS`]. The function takes plain bytes, so any other
//! driver (cargo-fuzz, AFL) can call it as well.

mod chance;
mod spoil;
pub mod targets;

pub use chance::Chance;
pub use spoil::spoil;

use Spoiling::{Little, Much};
use targets::{amf0, flv, http, lobby, proxies, rtmp, twins, viewers};

/// A reader of strangers' bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Panics if something does not hold for these bytes.
    pub run: fn(&[u8]),
    /// Bytes as an honest peer would send them, different each time.
    pub good: fn(&mut Chance) -> Vec<u8>,
    /// How they are spoilt.
    pub spoiling: Spoiling,
}

/// How much of what is good is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiling {
    /// Nearly always: a long conversation goes on behind what is wrong in it.
    Much,
    /// Half of the time, and little: a strict reader of a short text refuses at the first wrong byte.
    Little,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "rtmp_door", run: rtmp::rtmp_door, good: rtmp::good_conversation, spoiling: Much },
    Target { name: "rtmp_chunks", run: rtmp::rtmp_chunks, good: rtmp::good_chunks, spoiling: Much },
    Target { name: "amf0", run: amf0::amf0, good: amf0::good_command, spoiling: Much },
    Target { name: "flv", run: flv::flv, good: flv::good_tags, spoiling: Much },
    Target { name: "http_heads", run: http::http_heads, good: http::good_heads, spoiling: Little },
    Target { name: "http_ranges", run: http::http_ranges, good: http::good_range, spoiling: Little },
    Target { name: "directives", run: viewers::directives, good: viewers::good_query, spoiling: Little },
    Target { name: "proxy_heads", run: proxies::proxy_heads, good: proxies::good_head, spoiling: Little },
    Target { name: "tickets", run: viewers::tickets, good: viewers::good_token, spoiling: Little },
    Target { name: "links", run: lobby::links, good: lobby::good_link, spoiling: Little },
    Target { name: "admission", run: lobby::admission, good: lobby::good_admission, spoiling: Much },
    Target { name: "chat", run: lobby::chat, good: lobby::good_chat, spoiling: Much },
    Target { name: "twin_link", run: twins::twin_link, good: twins::good_link, spoiling: Much },
];

impl Target {
    /// The bytes of that case: mostly good ones spoilt in a few places, sometimes left good, sometimes mere noise.
    pub fn case(&self, seed: u64) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        if chance.one_in(32) {
            let len = chance.below(600);
            return chance.bytes(len);
        }
        let mut bytes = (self.good)(&mut chance);
        if chance.one_in(8) {
            let other = (self.good)(&mut chance);
            spoil::splice(&mut bytes, &other, &mut chance);
        }
        let (left_good, most_places) = match self.spoiling {
            Much => (16, 5),
            Little => (2, 3),
        };
        if !chance.one_in(left_good) {
            // Few places mostly: a peer that is wrong everywhere is refused at the first.
            let places = 1 << chance.below(most_places);
            for _ in 0..places {
                spoil(&mut bytes, &mut chance);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long runs are `cargo run`'s business; this keeps every target alive.
    #[test]
    fn every_target_holds_for_its_first_cases() {
        for target in TARGETS {
            for seed in 0..3000 {
                (target.run)(&target.case(seed));
            }
        }
    }

    #[test]
    fn a_case_is_a_function_of_its_seed() {
        for target in TARGETS {
            assert_eq!(target.case(7), target.case(7));
            assert_ne!(target.case(7), target.case(8), "{}", target.name);
        }
    }

    #[test]
    fn good_bytes_are_good_and_most_cases_are_not() {
        for target in TARGETS {
            let spoilt = (0..200).filter(|&seed| {
                let good = (target.good)(&mut Chance::new(seed));
                (target.run)(&good);
                good != target.case(seed)
            });
            assert!(spoilt.count() > 50, "{}", target.name);
        }
    }
}
