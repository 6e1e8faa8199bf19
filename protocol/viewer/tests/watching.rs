//! A viewer watches a simulated broadcast; numbers are exact because time is virtual.

mod simulation;

use simulation::{Edge, SEGMENT, Story, Trouble, World};
use std::time::Duration;
use viewer::{Event, Fault, Options, Reload, RungChoice, State, SwitchReason};

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn page() -> Options {
    Options { rung: RungChoice::Index(0), ..Options::default() }
}

#[test]
fn a_quiet_minute() {
    let mut story = Story::new(World::default(), page(), 1);
    story.run(secs(60.0));
    println!("{:#?}", story.events.iter().take(8).collect::<Vec<_>>());
    let tally = story.tally();
    println!("{tally:?} {:?}", story.counted());
    assert_eq!((tally.state, tally.stalls, tally.stalled), (State::Playing, 0, Duration::ZERO));
    assert_eq!(
        story.count(|event| matches!(event, Event::Failed { .. } | Event::Fault(_) | Event::Stale { .. })),
        0
    );
}

#[test]
fn blocking() {
    for reload in [Reload::AsOffered, Reload::Block] {
        let world = World { can_block: true, ..World::default() };
        let mut story = Story::new(world, Options { reload, ..page() }, 1);
        story.run(secs(60.0));
        println!("{:?} {}", story.tally(), story.asks.len());
    }
}

#[test]
fn troubles() {
    let _ = (Edge::default(), SEGMENT, Fault::TargetChanged { from: 0, to: 0 }, SwitchReason::Stale);
    for can_block in [false, true] {
        for trouble in
            [Trouble::Killed, Trouble::BlackHole, Trouble::Stale, Trouble::Status(503), Trouble::Status(404)]
        {
            let world =
                World { can_block, ..World::default() }.trouble(0, simulation::ARRIVES + secs(10.0), trouble);
            let mut story = Story::new(world, page(), 1);
            story.run(secs(60.0));
            println!("{trouble:?} block {can_block} {:?} {:?}", story.tally(), story.counted());
            for (at, event) in story.events.iter().filter(|(_, e)| !matches!(e, Event::Latency(_))) {
                println!("   {:?} {event:?}", *at - simulation::ARRIVES);
            }
        }
    }
}
