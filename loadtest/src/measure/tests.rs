//! Cores that count, and the ledger that sums it: told as stories.

use super::tally::STATUSES;
use super::*;
use std::time::{Duration, Instant};
use viewer::{AskId, AskKind, Event, Failure, Startup};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A tally per core, and turns as the clock of the story says.
struct Cores {
    begin: Instant,
    tallies: Vec<Tally>,
    ledger: Ledger,
}

impl Cores {
    fn new(cores: usize) -> Self {
        let begin = Instant::now();
        let tallies = (0..cores).map(|core| Tally::new(core, begin)).collect();
        Self { begin, tallies, ledger: Ledger::new(cores) }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.begin + Duration::from_secs_f64(seconds)
    }

    fn turn(&mut self, core: usize, seconds: f64) {
        let now = self.at(seconds);
        let (sender, receiver) = hand_over();
        self.tallies[core].turn(now, &sender);
        receiver.try_iter().for_each(|snapshot| self.ledger.push(&snapshot));
    }
}

#[test]
fn time_played_and_stalled_follows_from_the_moves() {
    //  0 s      1 s          3 s      4 s        6 s
    //  arrives  plays        stalls   plays on   turn
    let mut cores = Cores::new(1);
    let mut state = ViewerState::Starting;
    cores.tallies[0].moved(cores.begin, None, Some(state));
    let events = [
        (1.0, Event::Started(Startup { media: SECOND, ..Startup::default() })),
        (3.0, Event::Stalled),
        (4.0, Event::Resumed { after: SECOND }),
    ];
    for (at, event) in &events {
        let at = cores.at(*at);
        cores.tallies[0].noticed(&mut state, at, event);
    }
    cores.turn(0, 6.0);
    let ledger = &cores.ledger;
    assert_eq!(ledger.spent_seconds(ViewerState::Starting), 1.0);
    assert_eq!(ledger.spent_seconds(ViewerState::Fine), 4.0);
    assert_eq!(ledger.spent_seconds(ViewerState::Stalled), 1.0);
    assert_eq!((ledger.stalls, ledger.stall_ratio(), ledger.viewers().fine), (1, 0.2, 1));
    assert_eq!(ledger.stalled_for.count(), 1);
    assert_eq!(ledger.phases[Phase::Total as usize].figures().unwrap().count, 1);
}

#[test]
fn a_stall_that_is_found_late_counts_from_when_it_was() {
    let mut cores = Cores::new(1);
    let mut state = ViewerState::Fine;
    cores.tallies[0].moved(cores.begin, None, Some(state));
    // The turn comes between the stall and the tick that finds it: the second before gets its due back.
    cores.turn(0, 1.0);
    cores.turn(0, 2.0);
    let at = cores.at(1.5);
    cores.tallies[0].noticed(&mut state, at, &Event::Stalled);
    cores.turn(0, 3.0);
    assert_eq!(cores.ledger.spent_seconds(ViewerState::Fine), 1.5);
    assert_eq!(cores.ledger.spent_seconds(ViewerState::Stalled), 1.5);
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    let mut cores = Cores::new(1);
    let due = cores.begin;
    let tally = &mut cores.tallies[0];
    tally.asked(Kind::Segment);
    // Sent 90 ms late, because the load tester was; the server took 10 ms. The viewer waited 100 ms.
    tally.answered(Kind::Segment, 200, Timing { due, first_byte: due + 100 * MS, done: due + 200 * MS });
    cores.turn(0, 1.0);
    let first_byte = cores.ledger.first_byte[Kind::Segment as usize].figures().unwrap();
    assert!(first_byte.p50_us.abs_diff(100_000) <= 1000, "{first_byte:?}");
    assert_eq!(cores.ledger.statuses[&(Kind::Segment, 200)], 1);
}

#[test]
fn a_request_that_comes_to_nothing_is_one_error_with_its_reason() {
    let mut cores = Cores::new(1);
    let begin = cores.begin;
    let mut state = ViewerState::Starting;
    let kind = AskKind::Segment { rung: 0, sequence: media::MediaSequence(7) };
    for why in [Failure::Status(404), Failure::Status(503), Failure::Status(304), Failure::Whole] {
        let event = Event::Failed { ask: AskId(0), kind, why };
        cores.tallies[0].noticed(&mut state, begin, &event);
    }
    cores.turn(0, 1.0);
    let errors: Vec<_> =
        cores.ledger.errors.iter().map(|((_, class), times)| (class.as_str(), *times)).collect();
    assert_eq!(errors, [("status_4xx", 1), ("status_5xx", 1), ("status_other", 1), ("whole", 1)]);
}

#[test]
fn a_server_with_a_thousand_statuses_fills_no_memory() {
    let mut cores = Cores::new(1);
    let due = cores.begin;
    for status in 0..1000 {
        cores.tallies[0].answered(Kind::Media, status, Timing { due, first_byte: due, done: due });
    }
    cores.turn(0, 1.0);
    assert!(cores.ledger.statuses.len() <= STATUSES + 1);
    assert_eq!(cores.ledger.answered(), 1000);
}

#[test]
fn a_second_is_told_when_every_core_has_spoken_of_it() {
    let mut cores = Cores::new(2);
    cores.tallies[0].received(Kind::Segment, 1000);
    cores.tallies[1].received(Kind::Segment, 500);
    cores.turn(0, 1.001);
    assert!(cores.ledger.series.points.is_empty());
    cores.turn(1, 0.999);
    let points = &cores.ledger.series.points;
    assert_eq!(points.iter().map(|point| (point.second, point.bytes)).collect::<Vec<_>>(), [(0, 1500)]);
}

#[test]
fn a_core_that_hangs_holds_nobody_up_and_what_it_says_later_is_counted() {
    let mut cores = Cores::new(2);
    for second in 1..=10 {
        cores.tallies[0].received(Kind::Segment, 1);
        cores.turn(0, f64::from(second));
    }
    assert!(cores.ledger.series.points.len() >= 6, "{}", cores.ledger.series.points.len());
    cores.tallies[1].received(Kind::Segment, 100);
    cores.turn(1, 2.0);
    cores.ledger.end();
    assert_eq!(cores.ledger.series.points.iter().map(|point| point.bytes).sum::<u64>(), 110);
    assert_eq!(cores.ledger.bytes.sum(), 110);
    assert_eq!(cores.ledger.series.points.len(), 10);
}

#[test]
fn a_teller_that_is_behind_is_told_all_of_it_later() {
    let begin = Instant::now();
    let mut tally = Tally::new(0, begin);
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let mut ledger = Ledger::new(1);
    for second in 1..=5 {
        tally.received(Kind::Segment, 1);
        tally.turn(begin + second * SECOND, &sender);
    }
    receiver.try_iter().for_each(|snapshot| ledger.push(&snapshot));
    tally.finish(begin + 6 * SECOND, &sender);
    receiver.try_iter().for_each(|snapshot| ledger.push(&snapshot));
    ledger.end();
    assert_eq!(ledger.bytes.sum(), 5);
    let covered: f64 = ledger.series.points.iter().map(|point| point.covers_seconds).sum();
    assert!((covered - 6.0).abs() < 1e-6, "{covered}");
    assert!((ledger.cores[0].seconds - 6.0).abs() < 1e-6, "{:?}", ledger.cores);
}

#[test]
fn bytes_that_differ_between_edges_are_found_across_cores() {
    let mut cores = Cores::new(2);
    cores.tallies[0].segment_seen("studio/720p", 7, "http://a", Digest([1; 16]));
    cores.tallies[1].segment_seen("studio/720p", 7, "http://b", Digest([2; 16]));
    cores.tallies[1].segment_seen("studio/720p", 8, "http://b", Digest([2; 16]));
    cores.turn(0, 1.0);
    cores.turn(1, 1.0);
    let (differing, told) = cores.ledger.differing();
    assert_eq!((differing, cores.ledger.compared(), told[0].sequence), (1, 1, 7));
}

#[test]
fn a_name_without_end_is_cut_between_characters() {
    let mut cores = Cores::new(1);
    cores.tallies[0].segment_seen(&"ß".repeat(1000), 7, "x", Digest([1; 16]));
    cores.tallies[0].segment_seen(&"€".repeat(1000), 7, "x", Digest([1; 16]));
    cores.turn(0, 1.0);
    assert_eq!(cores.ledger.compared(), 0);
}

#[test]
fn who_watches_is_summed_over_cores_and_the_most_is_kept() {
    let mut cores = Cores::new(2);
    let begin = cores.begin;
    for tally in &mut cores.tallies {
        (0..10).for_each(|_| tally.moved(begin, None, Some(ViewerState::Starting)));
    }
    (0..2).for_each(|core| cores.turn(core, 1.0));
    let later = cores.at(1.5);
    (0..4).for_each(|_| cores.tallies[0].moved(later, Some(ViewerState::Starting), None));
    (0..2).for_each(|core| cores.turn(core, 2.0));
    let ledger = &cores.ledger;
    assert_eq!(
        (ledger.viewers().starting, ledger.most_watching, ledger.arrived, ledger.left),
        (16, 20, 20, 4)
    );
}

#[test]
fn who_gave_up_and_left_has_still_given_up() {
    let mut cores = Cores::new(1);
    let begin = cores.begin;
    let mut state = ViewerState::Starting;
    cores.tallies[0].moved(begin, None, Some(state));
    cores.tallies[0].noticed(&mut state, begin, &Event::GaveUp { why: Failure::Refused });
    cores.tallies[0].moved(begin, Some(state), None);
    cores.turn(0, 1.0);
    assert_eq!((cores.ledger.gave_up, cores.ledger.viewers().gave_up, cores.ledger.left), (1, 0, 1));
}

#[test]
fn late_wake_ups_make_the_load_tester_the_limit() {
    let mut cores = Cores::new(1);
    let begin = cores.begin;
    (0..100).for_each(|_| cores.tallies[0].woke(begin, begin + 5 * MS));
    cores.turn(0, 1.0);
    assert!(!cores.ledger.verdict().was_the_limit());
    (0..3).for_each(|_| cores.tallies[0].woke(begin, begin + 50 * MS));
    cores.turn(0, 2.0);
    assert!(cores.ledger.verdict().was_the_limit());
}
