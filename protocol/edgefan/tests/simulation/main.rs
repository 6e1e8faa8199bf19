//! Two ingests and several edges over a bad network, under a seed.
//!
//! Two publishers are fed the same objects at different moments; subscribers join, leave, lose links, wait on
//! stalled connections, and read bytes that were changed on the way. Whatever happens: every object is visible
//! exactly once or is a gap, with the bytes everybody has, and memory stays within its bounds. On a good day
//! there is no gap at all and every segment is there soon after it was made.
//!
//! `EDGEFAN_SEEDS=20000` runs so many of each kind instead of what fits a developer's patience. A failing seed
//! is printed; `EDGEFAN_SEED=123 cargo test -p edgefan --test simulation` runs that one again,
//! step by step on stdout with `-- --nocapture`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

mod day;
mod network;
mod random;
mod weather;

use day::Day;
use std::sync::atomic::{AtomicU64, Ordering};
use weather::Weather;

/// Runs `count` seeds from `first`, on all cores; panics with the seed of the first that fails.
fn run(weather: fn(u64) -> Weather, first: u64, count: u64) {
    if let Ok(seed) = std::env::var("EDGEFAN_SEED") {
        let seed = seed.parse().expect("EDGEFAN_SEED is a number");
        Day::new(seed, weather(seed), true).live();
        return;
    }
    let count = std::env::var("EDGEFAN_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(count);
    let failed = AtomicU64::new(0);
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.load(Ordering::Relaxed) != 0 {
                        return;
                    }
                    let lived = std::panic::catch_unwind(|| Day::new(seed, weather(seed), false).live());
                    if lived.is_err() {
                        failed.store(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == 0, "seed {failed} failed: run it again with EDGEFAN_SEED={failed}");
}

#[test]
fn on_a_good_day_every_segment_is_everywhere_at_once() {
    run(Weather::good, 1, 500);
}

#[test]
fn on_a_bad_day_every_object_is_visible_once_or_a_gap() {
    run(Weather::bad, 1_000_000, 1500);
}
