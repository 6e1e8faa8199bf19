//! A viewer and its steering server. Time is virtual, so the numbers are exact.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on is a failed test")]

mod simulation;

use simulation::{ARRIVES, Steering, Story, Trouble, World};
use std::time::Duration;
use viewer::{AskKind, Event, Failure, Options, Player, RungChoice, State, SwitchReason};

const MINUTE: Duration = Duration::from_secs(60);

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

/// So long after the viewer came.
fn after(wait: f64) -> Duration {
    ARRIVES + secs(wait)
}

fn player(player: Player) -> Options {
    Options { rung: RungChoice::Index(0), ..Options::of(player) }
}

fn steered(steering: Steering) -> World {
    World { steering: Some(steering), ..World::default() }
}

fn watched(world: World, options: Options, long: Duration) -> Story {
    let mut story = Story::new(world, options, 7);
    story.run(long);
    story
}

/// When the steering server was asked, seconds after the viewer came, and what it was told.
fn asked(story: &Story) -> Vec<(f64, String)> {
    let steering = story.asks.iter().filter(|(_, ask)| ask.kind == AskKind::Steering);
    let told = |target: &str| target.split_once('?').map_or("", |(_, query)| query).to_owned();
    steering
        .map(|(at, ask)| (((*at - ARRIVES).as_secs_f64() * 10.0).round() / 10.0, told(ask.url.target())))
        .collect()
}

/// Every switch: when, where to, why.
fn switches(story: &Story) -> Vec<(Duration, &str, SwitchReason)> {
    let switched = |(at, event): &'_ (Duration, Event)| match event {
        Event::Switched { .. } => Some(*at),
        _ => None,
    };
    story
        .events
        .iter()
        .filter_map(|event| Some((switched(event)?, &event.1)))
        .filter_map(|(at, event)| match event {
            Event::Switched { to, why, .. } => Some((at, &**to, *why)),
            _ => None,
        })
        .collect()
}

#[test]
fn it_is_asked_at_the_start_and_after_each_ttl_with_where_the_viewer_is() {
    let story = watched(steered(Steering::default()), player(Player::Page), secs(12.0));
    let asked = asked(&story);
    let at: Vec<f64> = asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [0.0, 5.1, 10.1]);
    assert_eq!(asked[0].1, "_HLS_pathway=%22edge0%22", "nothing is known of the line yet");
    let (_, throughput) = asked[1].1.split_once("&_HLS_throughput=").unwrap();
    let throughput: u64 = throughput.parse().unwrap();
    assert!((15_000_000..=20_000_000).contains(&throughput), "{throughput}");
    assert_eq!(switches(&story), []);
}

#[test]
fn a_wish_moves_it_at_the_next_segment_without_anything_lost() {
    let story = watched(
        steered(Steering { wishes: Some((after(12.0), 2)), ..Steering::default() }),
        player(Player::Page),
        MINUTE,
    );
    let switches = switches(&story);
    let [(at, to, SwitchReason::Steered)] = switches[..] else { panic!("{switches:?}") };
    assert_eq!(to, "http://e2");
    assert!(at > after(12.0) && at < after(17.2), "{at:?}");
    let segments = || story.asks.iter().filter(|(_, ask)| matches!(ask.kind, AskKind::Segment { .. }));
    assert!(segments().filter(|(asked, _)| *asked > at).all(|(_, ask)| ask.url.host() == "e2"));
    let numbers: Vec<u64> = segments()
        .filter_map(|(_, ask)| match ask.kind {
            AskKind::Segment { sequence, .. } => Some(sequence.0),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!((story.tally().stalls, story.count(|event| matches!(event, Event::GotAway { .. }))), (0, 0));
}

#[test]
fn a_server_that_is_away_leaves_the_last_order_and_is_asked_again() {
    let steering = Steering {
        wishes: Some((Duration::ZERO, 1)),
        away: Some((after(3.0), after(22.0))),
        ..Steering::default()
    };
    let story = watched(steered(steering), player(Player::Page), secs(32.0));
    let at: Vec<f64> = asked(&story).into_iter().map(|(at, _)| at).collect();
    assert_eq!(at, [0.0, 5.1, 10.1, 15.1, 20.1, 25.1, 30.2], "after a TTL, whether it answered or not");
    let failed =
        |event: &Event| matches!(event, Event::Failed { kind: AskKind::Steering, why: Failure::Refused, .. });
    assert_eq!(story.count(failed), 4);
    assert_eq!(switches(&story).len(), 1, "to where it wished at the start, and nowhere else");
}

#[test]
fn gone_is_for_good_and_busy_is_for_as_long_as_it_says() {
    let refuses =
        |status, wait| Steering { refuses: Some((after(3.0), status, wait)), ..Steering::default() };
    let times = |steering| {
        let story = watched(steered(steering), player(Player::Page), secs(40.0));
        asked(&story).into_iter().map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(times(refuses(410, None)), [0.0, 5.1]);
    assert_eq!(times(refuses(429, Some(secs(20.0)))), [0.0, 5.1, 25.1]);
    assert_eq!(times(refuses(429, None)).len(), 8);
    assert_eq!(times(refuses(503, None)).len(), 8);
}

#[test]
fn an_order_does_not_bring_it_back_to_where_it_failed() {
    // The server notices nothing for as long as the viewer watches.
    let steering = Steering { notices_after: secs(1000.0), ..Steering::default() };
    let world = steered(steering).trouble(0, after(10.0), Trouble::Killed);
    let story = watched(world, player(Player::Page), secs(40.0));
    let switches = switches(&story);
    assert_eq!(switches.len(), 1, "{switches:?}");
    assert_eq!(switches[0].2, SwitchReason::Failed(Failure::Refused));
}

#[test]
fn who_takes_no_notice_asks_nobody() {
    let options = Options { steering: None, ..player(Player::Page) };
    let story =
        watched(steered(Steering { wishes: Some((ARRIVES, 2)), ..Steering::default() }), options, MINUTE);
    assert_eq!((asked(&story), switches(&story)), (vec![], vec![]));
}

/// How long after the fault the first segment from elsewhere was whole, and how many stalls there were.
fn away(trouble: Trouble, options: Options, steering: Option<Steering>) -> (Option<f64>, u32) {
    let world = World { steering, ..World::default() }.trouble(0, after(10.0), trouble);
    let mut story = Story::new(world, options, 7);
    // A hold-back of 6 s, as players have.
    story.run(Duration::from_secs(120));
    let got_away = story.events.iter().find_map(|(at, event)| match event {
        Event::GotAway { .. } => Some((*at - after(10.0)).as_secs_f64()),
        _ => None,
    });
    (got_away, story.tally().stalls)
}

#[test]
fn players_leave_a_silent_edge_when_they_do() {
    let steering = || Some(Steering::default());
    let hole = Trouble::BlackHole;
    // The page: 300 ms and one segment; without its hedges a time-out of 2.5 s; neither needs a server for it.
    let (page, stalls) = away(hole, Options { rung: RungChoice::Index(0), ..Options::page() }, None);
    assert!(page.unwrap() < 2.9 && stalls == 0, "{page:?}");
    let (patient, stalls) = away(hole, player(Player::Page), None);
    assert!(patient.unwrap() < 5.5 && stalls == 0, "{patient:?}");
    // hls.js: 10 s, five times over; with a steering server within a TTL and what it takes to notice.
    let (alone, stalls) = away(hole, player(Player::HlsJs), None);
    assert!(alone.unwrap() > 25.0 && stalls == 1, "{alone:?}");
    // Who holds more than that does not notice.
    for (hold_back, noticed) in [(6.0, 1), (8.0, 0)] {
        let options = Options { hold_back: Some(secs(hold_back)), ..player(Player::HlsJs) };
        let (steered, stalls) = away(hole, options, steering());
        assert!(
            steered.unwrap() < 6.5 && stalls == noticed,
            "{hold_back} s back: {steered:?}, {stalls} stalls"
        );
    }
    // A refusal is believed at once by both; 5xx is not, by one of them.
    for trouble in [Trouble::Killed, Trouble::Status(404)] {
        let (hls_js, stalls) = away(trouble, player(Player::HlsJs), None);
        assert!(hls_js.unwrap() < 2.3 && stalls == 0, "{trouble:?} {hls_js:?}");
    }
    let (busy, _) = away(Trouble::Status(503), player(Player::HlsJs), None);
    assert!(busy.unwrap() > 3.0, "{busy:?}");
}

#[test]
fn ffmpeg_goes_nowhere_else() {
    let world = steered(Steering::default()).trouble(0, after(10.0), Trouble::Killed);
    let story = watched(world, player(Player::Ffmpeg), MINUTE);
    assert_eq!((switches(&story), asked(&story)), (vec![], vec![]));
    assert_eq!(story.tally().state, State::Over);
    assert!(story.asks.iter().all(|(_, ask)| ["lb", "e0"].contains(&ask.url.host())));
}
