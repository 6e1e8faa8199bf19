//! A viewer watches a simulated broadcast. Time is virtual, so the numbers are exact.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on is a failed test")]

mod simulation;

use simulation::{ARRIVES, Edge, SEGMENT, Story, Trouble, World};
use std::time::Duration;
use viewer::{
    AskKind, Event, Failure, Fault, Hedge, Input, Options, Reload, Retry, RungChoice, State, SwitchReason,
};

const MINUTE: Duration = Duration::from_secs(60);

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

/// So long after the viewer came.
fn after(wait: f64) -> Duration {
    ARRIVES + secs(wait)
}

fn plain() -> Options {
    Options { rung: RungChoice::Index(0), ..Options::default() }
}

fn watched(world: World, options: Options, long: Duration) -> Story {
    let mut story = Story::new(world, options, 7);
    story.run(long);
    let tally = story.tally();
    assert_eq!((tally.stalls, tally.stalled, tally.played), story.counted(), "{:?}", story.events);
    story
}

/// When playlists were asked for, seconds after the first one.
fn reloads(story: &Story) -> Vec<f64> {
    let media = story.asks.iter().filter(|(_, ask)| matches!(ask.kind, AskKind::Media { .. }));
    let times: Vec<_> = media.map(|(at, _)| at.as_secs_f64()).collect();
    times.iter().map(|at| ((at - times[0]) * 1000.0).round() / 1000.0).collect()
}

fn sequences(story: &Story) -> Vec<u64> {
    story
        .asks
        .iter()
        .filter_map(|(_, ask)| match ask.kind {
            AskKind::Segment { sequence, .. } => Some(sequence.0),
            _ => None,
        })
        .collect()
}

#[test]
fn a_quiet_minute_is_without_event() {
    let story = watched(World::default(), plain(), MINUTE);
    let Event::Started(startup) = &story.events[0].1 else { panic!("{:?}", story.events[0]) };
    // A redirect and the playlist, each a round trip of 20 ms; the body of a playlist takes 0.1 ms. A segment of
    // 500 kB at 20 Mbit/s takes 200 ms.
    assert_eq!(startup.multivariant, secs(0.0401));
    assert_eq!(startup.media, secs(0.0201));
    assert_eq!(startup.segment, secs(0.22));
    assert_eq!((startup.buffering, startup.total()), (Duration::ZERO, secs(0.2802)));
    // Listed up to second 100; begins at 94, seen at 100.5802.
    let latencies = story.count(|event| *event == Event::Latency(Duration::from_millis(6580)));
    assert_eq!(latencies, story.events.len() - 1, "{:?}", story.events);
    assert_eq!(sequences(&story), (47..47 + latencies as u64).collect::<Vec<_>>());
    assert_eq!(story.tally().state, State::Playing);
}

#[test]
fn a_playlist_is_polled_once_in_a_target_duration() {
    let story = watched(World::default(), plain(), secs(9.0));
    assert_eq!(reloads(&story), [0.0, 2.0, 4.0, 6.0, 8.0]);
    // Nothing new: half of it, and at once at another edge when it is stale. The publisher is away from second 103 to 107, what was due at 104 comes at 108.
    let world = World { pause: Some((secs(103.0), secs(4.0))), ..World::default() };
    let story = watched(world, plain(), secs(9.0));
    assert_eq!(reloads(&story), [0.0, 2.0, 4.0, 5.0, 6.0, 6.02, 7.02, 8.02]);
}

#[test]
fn a_blocking_reload_is_answered_when_there_is_something() {
    let world = World { can_block: true, ..World::default() };
    let story = watched(world.clone(), plain(), MINUTE);
    // Each answer asks for the next at once, and each is there 10 ms after the segment is listed.
    assert_eq!(reloads(&story)[..4], [0.0, 0.02, 1.67, 3.67]);
    let targets: Vec<_> =
        story.asks.iter().filter(|(_, ask)| ask.is_blocking).map(|(_, ask)| ask.url.target()).collect();
    assert_eq!(targets[1], "/v/token/demo/r0/index.m3u8?_HLS_msn=51");
    assert_eq!(story.tally().stalls, 0);
    let polled = watched(world, Options { reload: Reload::Poll, ..plain() }, MINUTE);
    assert!(polled.asks.iter().all(|(_, ask)| !ask.is_blocking));
}

#[test]
fn an_edge_that_is_lost_costs_no_stall() {
    let reason = |trouble, can_block| match trouble {
        Trouble::Killed if can_block => SwitchReason::Failed(Failure::Reset),
        Trouble::Killed => SwitchReason::Failed(Failure::Refused),
        // A held answer that never comes cannot be told from a list that stands still.
        Trouble::BlackHole if !can_block => SwitchReason::Failed(Failure::FirstByte),
        Trouble::BlackHole | Trouble::Stale => SwitchReason::Stale,
        Trouble::Status(status) => SwitchReason::Failed(Failure::Status(status)),
    };
    for trouble in
        [Trouble::Killed, Trouble::BlackHole, Trouble::Stale, Trouble::Status(503), Trouble::Status(404)]
    {
        for can_block in [false, true] {
            for by_edge_list in [false, true] {
                let world =
                    World { can_block, by_edge_list, ..World::default() }.trouble(0, after(10.0), trouble);
                let story = watched(world, plain(), MINUTE);
                assert_eq!(story.tally().stalls, 0, "{trouble:?}");
                let switches: Vec<_> = story
                    .events
                    .iter()
                    .filter(|(_, event)| matches!(event, Event::Switched { .. }))
                    .collect();
                let [(at, Event::Switched { from, to, why })] = &switches[..] else { panic!("{switches:?}") };
                assert_eq!((&**from, &**to), ("http://e0", "http://e1"));
                assert_eq!(*why, reason(trouble, can_block), "{trouble:?} {can_block}");
                assert!(*at < after(14.5), "{trouble:?} {at:?}");
                assert_eq!(sequences(&story).last(), Some(&(if can_block { 79 } else { 78 })), "{trouble:?}");
            }
        }
    }
}

#[test]
fn a_stall_is_as_long_as_the_publisher_was_away() {
    // The playhead is 6.58 s behind; what is made at second 110 comes at second 130.
    let world = World { pause: Some((secs(109.0), secs(20.0))), ..World::default() };
    let story = watched(world, plain(), secs(90.0));
    let stalls: Vec<_> =
        story.events.iter().filter(|(_, e)| matches!(e, Event::Stalled | Event::Resumed { .. })).collect();
    // 47 to 53 are played from 100.5802 to 114.5802; 54 is listed at 130 and polled each second meanwhile.
    let [(stalled, Event::Stalled), (resumed, Event::Resumed { after: stood })] = &stalls[..] else {
        panic!("{stalls:?}")
    };
    assert_eq!(*stalled, secs(114.5802));
    assert_eq!(*stood, *resumed - *stalled);
    assert_eq!(story.tally().stalled, *stood);
    assert!(*resumed > secs(130.24) && *resumed < secs(131.3), "{resumed:?}");
    let stale: Vec<_> = story
        .events
        .iter()
        .filter(|(_, e)| matches!(e, Event::Stale { .. } | Event::Advanced { .. }))
        .collect();
    let [(_, Event::Stale { so_far }), (_, Event::Advanced { after: stood })] = &stale[..] else {
        panic!("{stale:?}")
    };
    assert!(*so_far > SEGMENT * 3 / 2 && *so_far < SEGMENT * 5 / 2, "{so_far:?}");
    assert!(*stood > secs(20.0) && *stood < secs(23.1), "{stood:?}");
    // The discontinuity is announced, so nothing is a fault.
    assert_eq!(story.count(|event| matches!(event, Event::Fault(_) | Event::Leapt { .. })), 0);
}

#[test]
fn with_every_edge_lost_it_comes_back_when_one_does() {
    let mut world = World::default();
    for edge in &mut world.edges {
        edge.trouble = Some((after(10.0), after(100.0), Trouble::Killed));
    }
    let options = Options { retry: Retry { rounds: 3, ..Options::default().retry }, ..plain() };
    let story = watched(world, options, secs(150.0));
    assert!(story.count(|event| matches!(event, Event::Reentered { why: Failure::Refused })) > 3);
    assert_eq!(story.count(|event| *event == Event::Stalled), 1);
    assert_eq!(story.tally().state, State::Playing);
    // Rounds of it wait longer and longer: 3 pathways each, no storm.
    assert!(story.asks.len() < 230, "{}", story.asks.len());
    let resumed = story.events.iter().find(|(_, event)| matches!(event, Event::Resumed { .. })).unwrap();
    assert!(resumed.0 < after(109.0), "{resumed:?}");
    assert_eq!(story.count(|event| matches!(event, Event::Leapt { .. })), 1);
}

#[test]
fn it_gives_up_when_it_may() {
    let world = World { edges: vec![Edge::default()], ..World::default() }.trouble(
        0,
        after(0.0),
        Trouble::Status(404),
    );
    let retry = Retry { rounds: 1, ..Options::default().retry };
    let mut story = Story::new(world, Options { retry, reentries_max: 2, ..plain() }, 1);
    story.run(MINUTE);
    assert_eq!(story.events.last().unwrap().1, Event::GaveUp { why: Failure::Status(404) });
    assert_eq!((story.tally().state, story.viewer.deadline()), (State::Over, None));
    // The redirect and what it leads to, twice a round, three times.
    assert_eq!(story.asks.len(), 12);
}

#[test]
fn a_hedge_is_won_by_who_answers() {
    let hedge = Some(Hedge { playlist: secs(0.5), segment: secs(0.3) });
    let world = World::default().trouble(0, after(10.0), Trouble::BlackHole);
    let story = watched(world, Options { hedge, ..plain() }, MINUTE);
    assert_eq!((story.count(|event| *event == Event::Hedged), story.cancels), (1, 1));
    assert_eq!(story.count(|event| matches!(event, Event::Failed { .. })), 0);
    let (at, _) = story
        .events
        .iter()
        .find(|(_, e)| matches!(e, Event::Switched { why: SwitchReason::Slower, .. }))
        .unwrap();
    // Asked after 0.5 s, answered a round trip later.
    assert_eq!(*at, secs(110.8601));
}

#[test]
fn it_comes_back_to_an_edge_that_rested() {
    let mut world = World::default().trouble(0, after(10.0), Trouble::Killed);
    world.edges[0].trouble = Some((after(10.0), after(20.0), Trouble::Killed));
    world.edges[1].trouble = Some((after(60.0), after(99.0), Trouble::Killed));
    let story = watched(world, plain(), secs(90.0));
    let to: Vec<_> = story
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Switched { to, .. } => Some(&**to),
            _ => None,
        })
        .collect();
    assert_eq!(to, ["http://e1", "http://e0"]);
}

#[test]
fn an_edge_that_is_a_little_behind_is_no_fault() {
    let mut world = World::default().trouble(0, after(10.0), Trouble::Killed);
    world.edges[1].lag = secs(1.5);
    let story = watched(world, plain(), MINUTE);
    assert_eq!(
        story.count(|event| matches!(event, Event::Fault(_) | Event::Stalled | Event::Leapt { .. })),
        0
    );
}

#[test]
fn another_name_for_a_number_at_another_edge_is_a_fault() {
    let mut world = World::default().trouble(0, after(10.0), Trouble::Killed);
    world.edges[1].differs = true;
    let story = watched(world, plain(), MINUTE);
    // A window of ten, nine of them known.
    let faults =
        story.count(|event| matches!(event, Event::Fault(Fault::SegmentChanged { elsewhere: true, .. })));
    assert_eq!(faults, 8, "told at most eight times for one reading");
}

#[test]
fn numbers_that_begin_anew_are_a_fault_and_it_goes_on() {
    let world = World { restart: Some((after(20.0), 40)), ..World::default() };
    let story = watched(world, plain(), MINUTE);
    assert_eq!(story.count(|event| matches!(event, Event::Fault(Fault::SequenceWentBack { .. }))), 1);
    assert_eq!(story.tally().state, State::Playing);
    assert_eq!(story.tally().stalls, 0);
}

#[test]
fn a_gap_is_passed_over() {
    let world = World { gaps: [52].into(), ..World::default() };
    let story = watched(world, plain(), MINUTE);
    assert_eq!(story.count(|event| matches!(event, Event::Gap { .. })), 1);
    assert!(!sequences(&story).contains(&52));
    // What is not there is not waited for: the playhead is nearer to the edge by it.
    let last = story.events.iter().rev().find_map(|(_, event)| match event {
        Event::Latency(latency) => Some(*latency),
        _ => None,
    });
    assert_eq!(last, Some(Duration::from_millis(4580)));
}

#[test]
fn an_end_is_played_to_the_end() {
    let world = World { last: Some(60), ..World::default() };
    let mut story = Story::new(world, plain(), 1);
    story.run(MINUTE);
    // 47 to 60 from 100.5802 on.
    assert_eq!(story.events.last(), Some(&(secs(128.5802), Event::Ended)));
    let tally = story.tally();
    assert_eq!((tally.state, tally.played, tally.stalls), (State::Over, SEGMENT * 14, 0));
    assert_eq!(story.viewer.deadline(), None);
}

#[test]
fn a_throughput_chooses_the_rung() {
    let adaptive = |bits_per_second| {
        let world = World { bits_per_second, ..World::default() };
        watched(world, Options::default(), MINUTE)
    };
    assert_eq!(adaptive(20_000_000).tally().rung, 1);
    assert_eq!(adaptive(5_000_000).tally().rung, 0);
    let poor = adaptive(1_500_000);
    assert_eq!(poor.tally().rung, 2);
    assert_eq!(poor.count(|event| matches!(event, Event::RungChanged { from: 0, to: 2 })), 1);
    // Not a segment twice, and none left out, through the change.
    let numbers = sequences(&poor);
    assert_eq!(numbers, (numbers[0]..numbers[0] + numbers.len() as u64).collect::<Vec<_>>());
    for (choice, rung) in [(RungChoice::Lowest, 2), (RungChoice::Highest, 1), (RungChoice::Index(9), 2)] {
        let options = Options { rung: choice, ..Options::default() };
        assert_eq!(watched(World::default(), options, secs(10.0)).tally().rung, rung);
    }
}

#[test]
fn without_segments_only_playlists_are_asked_for() {
    let options = Options { fetch_segments: false, ..plain() };
    let mut story = Story::new(World::default(), options, 1);
    story.run(MINUTE);
    assert!(sequences(&story).is_empty());
    assert_eq!(reloads(&story).len(), 30);
    let [(at, Event::Started(startup))] = &story.events[..] else { panic!("{:?}", story.events) };
    assert_eq!((*at, startup.segment), (secs(100.3602), Duration::ZERO));
    assert_eq!(story.tally().state, State::Playing);
}

#[test]
fn it_waits_to_play_and_to_play_again_as_told() {
    let options = Options { start_segments: 2, resume_held: SEGMENT * 2, ..plain() };
    let world = World { pause: Some((secs(109.0), secs(20.0))), ..World::default() };
    let mut story = Story::new(world, options, 1);
    story.run(MINUTE);
    let Event::Started(startup) = &story.events[0].1 else { panic!("{:?}", story.events[0]) };
    assert_eq!(startup.buffering, secs(0.22));
    let resumed = story.events.iter().find(|(_, event)| matches!(event, Event::Resumed { .. })).unwrap();
    // Two segments after the pause: the second is listed at 132.
    assert!(resumed.0 > secs(132.2), "{resumed:?}");
}

#[test]
fn it_fetches_ahead_as_far_as_told() {
    let options =
        Options { hold_back: Some(secs(20.0)), ahead: secs(6.0), behind_targets_max: None, ..plain() };
    let mut story = Story::new(World::default(), options, 1);
    let mut most = Duration::ZERO;
    for tenth in 0..400 {
        story.run(secs(f64::from(tenth) / 10.0));
        most = most.max(story.tally().held);
    }
    assert!(most > secs(7.5) && most <= secs(8.0), "{most:?}");
    assert_eq!(story.tally().stalls, 0);
}

#[test]
fn who_stops_asks_for_nothing_more() {
    let mut story = Story::new(World::default(), plain(), 1);
    story.run(secs(2.1)).push(Input::Stop);
    let asked = story.asks.len();
    story.run(MINUTE);
    assert_eq!((story.asks.len(), story.tally().state), (asked, State::Over));
    assert!(story.viewer.is_over());
}
