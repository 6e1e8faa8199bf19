//! A thousand days with trouble: whatever happens, time is counted right, nothing spins, and a viewer with an edge
//! left and six seconds held does not notice that another is gone.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on is a failed test")]

mod simulation;

use simulation::{ARRIVES, Edge, Steering, Story, Trouble, World};
use std::time::Duration;
use viewer::{Event, Options, RungChoice, State};

const SEEDS: u64 = 1000;
const DAY: Duration = Duration::from_secs(120);

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    fn yes(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

fn trouble(chance: &mut Chance) -> Trouble {
    match chance.below(5) {
        0 => Trouble::Killed,
        1 => Trouble::BlackHole,
        2 => Trouble::Stale,
        3 => Trouble::Status(503),
        _ => Trouble::Status(404),
    }
}

fn options(chance: &mut Chance) -> Options {
    let base = if chance.yes(3) { Options::page() } else { Options::default() };
    Options { rung: RungChoice::Index(0), ..base }
}

#[test]
fn one_edge_of_three_lost_is_not_noticed() {
    let (mut switches, mut held_least) = (0, Duration::MAX);
    for seed in 0..SEEDS {
        let chance = &mut Chance(seed);
        let trouble = trouble(chance);
        let can_block = chance.yes(2);
        let world = World {
            can_block,
            by_edge_list: chance.yes(2),
            round_trip: chance.millis(1, 80),
            bits_per_second: 8_000_000 + chance.below(50_000_000),
            ..World::default()
        };
        let steering = chance.yes(2).then(|| Steering {
            notices_after: chance.millis(300, 4000),
            // As often as not nobody is there when it matters.
            away: chance
                .yes(3)
                .then(|| (ARRIVES + chance.millis(0, 20_000), ARRIVES + chance.millis(20_000, 90_000))),
            ..Steering::default()
        });
        let world = World { steering, ..world };
        // From when the buffer is full.
        let world = world.trouble(0, ARRIVES + chance.millis(4000, 60_000), trouble);
        let mut story = Story::new(world, options(chance), seed);
        story.run(DAY);
        let tally = story.tally();
        assert_eq!(
            (tally.stalls, tally.state),
            (0, State::Playing),
            "seed {seed}, {trouble:?}: {:?}",
            story.events
        );
        assert_eq!((tally.stalls, tally.stalled, tally.played), story.counted(), "seed {seed}");
        let switched = story.count(|event| matches!(event, Event::Switched { .. }));
        assert_eq!(switched, 1, "seed {seed}, {trouble:?}: {:?}", story.events);
        switches += switched;
        let faults = story
            .count(|event| matches!(event, Event::Fault(_) | Event::Leapt { .. } | Event::Reentered { .. }));
        assert_eq!(faults, 0, "seed {seed}, {trouble:?}: {:?}", story.events);
        held_least = held_least.min(tally.held);
    }
    println!("{SEEDS} seeds: {switches} switches, 0 stalls, at the end at least {held_least:?} held");
}

#[test]
fn whatever_happens_time_is_counted_right() {
    let (mut stalls, mut stalled, mut over) = (0, Duration::ZERO, 0);
    for seed in 0..SEEDS {
        let chance = &mut Chance(seed ^ 0x5eed);
        let mut edges: Vec<Edge> = Vec::new();
        for _ in 0..=chance.below(4) {
            let from = ARRIVES + chance.millis(0, 90_000);
            let until = from + chance.millis(100, 60_000);
            let trouble = trouble(chance);
            edges.push(Edge {
                trouble: (!chance.yes(3)).then_some((from, until, trouble)),
                lag: chance.millis(0, 1500),
                differs: false,
            });
        }
        let world = World {
            edges,
            by_edge_list: chance.yes(2),
            can_block: chance.yes(2),
            round_trip: chance.millis(1, 300),
            bits_per_second: 500_000 + chance.below(20_000_000),
            window: 6 + chance.below(10),
            pause: chance.yes(3).then(|| (ARRIVES + chance.millis(1000, 60_000), chance.millis(100, 30_000))),
            last: chance.yes(5).then(|| 60 + chance.below(30)),
            gaps: (0..chance.below(4)).map(|_| 45 + chance.below(50)).collect(),
            steering: chance.yes(2).then(|| Steering {
                ttl: Duration::from_secs(1 + chance.below(8)),
                notices_after: chance.millis(0, 8000),
                away: chance.yes(3).then(|| (ARRIVES, ARRIVES + chance.millis(0, 90_000))),
                refuses: chance.yes(4).then(|| (ARRIVES, if chance.yes(2) { 410 } else { 429 }, None)),
                wishes: chance.yes(3).then(|| (ARRIVES + chance.millis(0, 90_000), 0)),
            }),
            ..World::default()
        };
        let options = Options {
            rung: if chance.yes(2) { RungChoice::Adaptive } else { RungChoice::Lowest },
            resume_held: Duration::ZERO,
            ..options(chance)
        };
        let mut story = Story::new(world, options, seed);
        // Looked at in odd moments, it counts the same.
        let mut at = Duration::ZERO;
        while at < DAY {
            at += chance.millis(10, 20_000);
            story.run(at.min(DAY));
        }
        let tally = story.tally();
        if tally.state != State::Over {
            assert_eq!(
                (tally.stalls, tally.stalled, tally.played),
                story.counted(),
                "seed {seed}: {:?}",
                story.events
            );
        }
        let resumed: Duration = story
            .events
            .iter()
            .map(|(_, event)| match event {
                Event::Resumed { after } => *after,
                _ => Duration::ZERO,
            })
            .sum();
        assert!(resumed <= tally.stalled, "seed {seed}");
        assert!(story.asks.len() < 600, "seed {seed}: {} asks", story.asks.len());
        stalls += tally.stalls;
        stalled += tally.stalled;
        over += u32::from(tally.state == State::Over);
    }
    println!("{SEEDS} seeds: {stalls} stalls, {stalled:?} stalled, {over} ended");
    assert!(stalls > 100, "a day without trouble tells nothing");
}

#[test]
fn playlists_that_are_garbled_do_not_stop_it() {
    let (mut unreadable, mut faults) = (0, 0);
    for seed in 0..SEEDS / 5 {
        let world = World { garbles_one_in: Some(4), can_block: seed % 2 == 0, ..World::default() };
        let mut story = Story::new(world, options(&mut Chance(seed)), seed);
        story.run(DAY);
        // From here on they are well.
        story.world.garbles_one_in = Some(u64::MAX);
        let state = story.tally().state;
        story.run(DAY * 2);
        if state != State::Over {
            assert_eq!(story.tally().state, State::Playing, "seed {seed}: {:?}", story.events);
        }
        let failed = |event: &Event| matches!(event, Event::Failed { why: viewer::Failure::Unreadable, .. });
        unreadable += story.count(failed);
        faults += story.count(|event| matches!(event, Event::Fault(_)));
    }
    println!("{} seeds: {unreadable} unreadable playlists, {faults} faults told", SEEDS / 5);
    assert!(unreadable > 100 && faults > 100, "{unreadable} {faults}");
}
