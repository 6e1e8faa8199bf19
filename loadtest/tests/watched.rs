//! Viewers at real sockets: what they count is what the origin counts, and what is planted is found.

#[path = "watched/origin.rs"]
mod origin;

use std::time::{Duration, Instant};

use loadtest::measure::{ErrorClass, FaultKind, Kind, Ledger};
use loadtest::viewer::Url;
use loadtest::{Arrival, Plan, Refusal, Run, RunError};
use origin::{Oddity, Origin};

/// A few viewers for a few seconds.
fn plan(origin: &Origin, viewers: u32, seconds: u64) -> Plan {
    Plan {
        viewers,
        lasts: Duration::from_secs(seconds),
        arrival: Arrival::Ramp(Duration::from_secs(1)),
        ..Plan::new(Url::parse(&origin.entry()).expect("a URL"))
    }
}

/// What was counted, and where viewers did not go.
fn watch(plan: Plan) -> (Ledger, Vec<Refusal>) {
    let run = Run::start(plan).expect("a run");
    let mut ledger = Ledger::new(run.threads());
    while let Ok(snapshot) = run.told().recv() {
        ledger.push(&snapshot);
    }
    ledger.end();
    let (_, refused) = run.end().expect("no thread broke");
    (ledger, refused)
}

#[test]
fn fifty_viewers_play_and_count_what_the_origin_counts() {
    let origin = Origin::start(30_000, Oddity::default());
    let (ledger, refused) = watch(Plan { threads: Some(2), ..plan(&origin, 50, 8) });
    assert_eq!((ledger.arrived, ledger.viewers().fine, refused.len()), (50, 50, 0));
    assert_eq!((ledger.stalls, ledger.errors(), ledger.faults.sum()), (0, 0, 0), "{:?}", ledger.errors);
    // What was asked for in the last moment may not have been read any more.
    let (asked, answered) = (ledger.asked.sum(), origin.answered());
    assert!(asked.abs_diff(answered) * 50 <= answered, "{asked} asked, {answered} answered");
    // Three segments behind the edge at the start, then one a second.
    let segments = ledger.asked.0[Kind::Segment as usize];
    assert!(segments >= 50 * 6, "{segments} segments");
    let bytes = ledger.bytes.0[Kind::Segment as usize];
    assert!(bytes >= (segments - 50) * 30_000, "{bytes} bytes of {segments} segments");
}

#[test]
fn bytes_that_differ_between_origins_are_found() {
    let forged = Origin::start(30_000, Oddity { is_forged: true, ..Oddity::default() });
    let oddity = Oddity { redirects_to: Some(forged.entry()), ..Oddity::default() };
    let honest = Origin::start(30_000, oddity);
    let (ledger, _) = watch(Plan { hash_every: Some(1), ..plan(&honest, 10, 5) });
    let (differing, told) = ledger.differing();
    assert!(differing > 0 && ledger.compared() >= differing, "{differing} of {}", ledger.compared());
    assert_eq!(told[0].sent.len(), 2, "{:?}", told[0]);
    assert_eq!((ledger.errors(), ledger.stalls), (0, 0));

    let honest = Origin::start(30_000, Oddity::default());
    let first = Origin::start(30_000, Oddity { redirects_to: Some(honest.entry()), ..Oddity::default() });
    let (ledger, _) = watch(Plan { hash_every: Some(1), ..plan(&first, 10, 5) });
    assert_eq!(ledger.differing().0, 0);
    assert!(ledger.compared() > 0, "both were watched");
}

#[test]
fn a_line_that_is_too_slow_stalls_and_one_that_is_not_does_not() {
    // 1.6 Mbit/s of media.
    let origin = Origin::start(200_000, Oddity::default());
    let (slow, _) = watch(Plan { downlink: Some(800_000), ..plan(&origin, 4, 10) });
    assert!(slow.stall_ratio() > 0.1, "{}", slow.stall_ratio());
    let (fast, _) = watch(Plan { downlink: Some(20_000_000), ..plan(&origin, 4, 6) });
    assert_eq!((fast.stalls, fast.errors(), fast.viewers().fine), (0, 0, 4), "{:?}", fast.errors);
}

#[test]
fn who_leaves_is_replaced() {
    let origin = Origin::start(1_000, Oddity::default());
    let (ledger, _) = watch(Plan { churn: Some(Duration::from_secs(1)), ..plan(&origin, 20, 5) });
    assert!(ledger.arrived > 40, "{} arrived", ledger.arrived);
    assert_eq!(ledger.arrived - ledger.left, 20);
    assert_eq!(ledger.errors(), 0, "{:?}", ledger.errors);
}

#[test]
fn nobody_is_led_to_somebody_elses_host() {
    let elsewhere = Some("http://203.0.113.7/live/tide/index.m3u8".to_owned());
    let origin = Origin::start(1_000, Oddity { redirects_to: elsewhere, ..Oddity::default() });
    let (ledger, refused) = watch(plan(&origin, 1, 2));
    assert!(matches!(&refused[..], [Refusal::NotOurs { host, .. }] if host == "203.0.113.7"), "{refused:?}");
    assert!(ledger.errors.keys().any(|(_, class)| *class == ErrorClass::Resolve), "{:?}", ledger.errors);

    let foreign = Url::parse("http://203.0.113.7/live/tide/index.m3u8").expect("a URL");
    let error = Run::start(Plan::new(foreign)).err().expect("refused");
    assert!(matches!(error, RunError::Refused(_)), "{error}");
}

#[test]
fn an_answer_that_ends_in_the_middle_is_an_error_of_its_own() {
    let origin = Origin::start(30_000, Oddity { truncates: true, ..Oddity::default() });
    let (ledger, _) = watch(plan(&origin, 3, 3));
    let truncated = ledger.errors.get(&(Kind::Segment, ErrorClass::Truncated)).copied().unwrap_or(0);
    assert!(truncated > 0, "{:?}", ledger.errors);
    assert_eq!(ledger.viewers().fine, 0);
    assert_eq!(ledger.faults.0[FaultKind::SequenceBack as usize], 0);
}

#[test]
fn a_run_that_is_told_to_end_ends_and_says_what_it_saw() {
    let origin = Origin::start(1_000, Oddity::default());
    let run = Run::start(plan(&origin, 5, 3600)).expect("a run");
    let stopper = run.stopper();
    let mut ledger = Ledger::new(run.threads());
    while let Ok(snapshot) = run.told().recv() {
        ledger.push(&snapshot);
        // Everybody was seen: enough.
        if ledger.viewers().watching() == 5 {
            stopper.stop();
        }
    }
    let asked = Instant::now();
    let (lasted, _) = run.end().expect("no thread broke");
    assert!(lasted < Duration::from_secs(60) && asked.elapsed() < Duration::from_secs(5));
    assert_eq!(ledger.arrived, 5);
}
