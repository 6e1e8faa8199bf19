//! Days of the whole cluster: a thousand of them, and those with a mistake planted.
//!
//! `LAB_SEEDS=20000` lives so many instead. A failing seed is printed with its step;
//! `cargo run -p lab -- replay --seed N --trace` walks it, `--shrink` looks for the faults that are enough.

use lab::day::{Manner, Planted};
use lab::seeds;

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

#[test]
fn on_a_thousand_days_every_law_holds() {
    let count = std::env::var("LAB_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let sum = seeds::run(0, count, jobs(), false, |_| ());
    println!(
        "{} days, {} steps, {} segments shown, {} stalls",
        sum.days, sum.steps, sum.segments, sum.stalls
    );
    let told: Vec<String> = sum.broken.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(sum.segments > count * 50, "a day on which nothing is shown tells nothing");
}

/// Days on which a law was broken once, and what was mended, or decided, since.
#[test]
fn days_that_broke_a_law_once_hold_now() {
    for (seed, what) in [
        (10_982, "night fell before an edge that had lagged was calm for long enough"),
        (
            46_306,
            "what waited in a narrow line came 16 s before the night, and the edge that lagged was not calm yet",
        ),
        (60_821, "a restarted edge listed a longer window than before it was killed (decision 22)"),
        (68_411, "a viewer laid one edge's count of discontinuities to another"),
        (82_745, "a restarted edge counted discontinuities otherwise (decision 22)"),
    ] {
        let lived = seeds::live(seed, Manner::default());
        assert!(
            lived.is_ok(),
            "seed {seed}, {what}: {}",
            lived.err().map_or_else(String::new, |it| it.to_string())
        );
    }
}

#[test]
fn a_day_is_the_same_when_it_is_lived_again() {
    for seed in 0..20 {
        let digest = || seeds::live(seed, Manner::default()).map(|lived| (lived.steps, lived.digest));
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}

/// A law that never finds anything is none: each mistake is found within a few days, as what it is.
#[test]
fn every_mistake_that_is_planted_is_found() {
    for planted in Planted::ALL {
        let law = match planted {
            Planted::ListsUnsettled => "no number is listed that is not settled",
            Planted::ForgetsListed => "an acknowledged key is not lost inside the window",
            Planted::OtherBytes | Planted::OtherHash => "no key has two hashes",
            Planted::GoesBack => "numbers never go back",
            Planted::CountsOtherwise => "playlists agree on every shared sequence",
            Planted::ShowsTwice => "no key is visible twice",
            Planted::AssignsDown => "no viewer is assigned to an edge that both balancers call down",
            Planted::Overstates => "reserved bits never exceed capacity",
            Planted::ShowsNothing => "no viewer stalls where the table says nothing",
            Planted::NeverDials => "everybody is back when everything is over",
            Planted::OldTerm => "an old term is refused",
        };
        let manner = Manner { planted: Some(planted), ..Manner::default() };
        let mut told =
            (0..400).filter_map(|seed| seeds::live(seed, manner.clone()).err().map(|broken| broken.law));
        assert!(told.any(|found| found == law), "{planted:?} was not found as {law:?} in 400 days");
    }
}
