//! One run, told in every form.

use super::*;
use crate::measure::{Digest, Kind, Ledger, Tally, Timing, ViewerState, hand_over};
use std::time::Instant;
use viewer::{AskId, AskKind, Event, Failure, Fault, Startup};

pub(super) fn about() -> About {
    About {
        target: "http://127.0.0.1:8080/live/studio/index.m3u8?a=1&b=<2>".into(),
        begun: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        planned: Some(Duration::from_secs(60)),
        settings: vec![("viewers".into(), "20".into()), ("arrival".into(), "ramp \"5 s\"".into())],
    }
}

/// Two cores, four seconds: twenty viewers, of which one stalls, one gives up; three errors, one fault, one segment that
/// is not the same everywhere.
pub(super) fn a_ledger() -> Ledger {
    let begin = Instant::now();
    let (sender, receiver) = hand_over();
    let mut ledger = Ledger::new(2);
    let mut tallies: Vec<_> = (0..2).map(|core| Tally::new(core, begin)).collect();
    let mut states = [ViewerState::Starting; 20];
    let at = |ms: u64| begin + Duration::from_millis(ms);
    let span = Duration::from_millis;
    let kind = AskKind::Segment { rung: 0, sequence: media::MediaSequence(7) };
    for second in 0..4u64 {
        for (place, state) in states.iter_mut().enumerate() {
            let (tally, ms) = (&mut tallies[place % 2], place as u64);
            if second == 0 {
                tally.moved(at(0), None, Some(*state));
                tally.phase(crate::measure::Phase::Connect, span(1 + ms));
                let startup = Startup {
                    multivariant: span(20 + ms),
                    media: span(10),
                    segment: span(100),
                    buffering: span(50 * ms),
                };
                tally.noticed(state, at(300 + ms), &Event::Started(startup));
            }
            tally.noticed(state, at(second * 1000 + 500), &Event::Latency(span(6000 + 40 * ms)));
            for kind in [Kind::Media, Kind::Segment] {
                let due = at(second * 1000 + 400);
                let (first_byte, done) = (due + span(2 + ms), due + span(20 + 3 * ms));
                tally.asked(kind);
                tally.received(kind, if kind == Kind::Segment { 250_000 } else { 900 });
                tally.answered(kind, 200, Timing { due, first_byte, done });
            }
            tally.woke(at(0), at(0) + Duration::from_micros(300));
        }
        match second {
            1 => tallies[1].noticed(&mut states[3], at(1500), &Event::Stalled),
            2 => {
                tallies[1].noticed(&mut states[3], at(2250), &Event::Resumed { after: span(750) });
                tallies[0].noticed(&mut states[4], at(2500), &Event::GaveUp { why: Failure::Status(503) });
                for why in [Failure::Status(503), Failure::Status(503), Failure::Truncated] {
                    tallies[0].noticed(&mut states[4], at(2400), &Event::Failed { ask: AskId(0), kind, why });
                }
                let fault = Fault::DiscontinuityWentBack { from: 3, to: 2 };
                tallies[0].noticed(&mut states[0], at(2400), &Event::Fault(fault));
                tallies[0].noticed(&mut states[0], at(2400), &Event::Hedged);
                tallies[0].segment_seen("studio/720p", 7, "http://a:1", Digest([1; 16]));
                tallies[1].segment_seen("studio/720p", 7, "http://b:1", Digest([1; 16]));
                tallies[0].segment_seen("<script>\u{1b}[2J", 8, "http://a:1", Digest([1; 16]));
                tallies[1].segment_seen("<script>\u{1b}[2J", 8, "http://b:1", Digest([2; 16]));
            }
            _ => {}
        }
        tallies.iter_mut().for_each(|tally| tally.turn(at(second * 1000 + 1000), &sender));
        receiver.try_iter().for_each(|snapshot| ledger.push(&snapshot));
    }
    ledger.end();
    // The story's clock is not the one of this test's thread.
    ledger
        .cores
        .iter_mut()
        .for_each(|core| *core = crate::measure::CoreUse { seconds: 4.0, ..Default::default() });
    ledger.series.points.iter_mut().for_each(|point| point.cpu_share = 0.25);
    ledger
}

pub(super) fn a_report() -> Report {
    Report::of(&a_ledger(), &about(), Duration::from_secs(4), &[])
}

fn with_conditions(conditions: &[&str]) -> Report {
    let conditions: Vec<_> = conditions.iter().map(|text| Condition::parse(text).unwrap()).collect();
    Report::of(&a_ledger(), &about(), Duration::from_secs(4), &conditions)
}

/// Every key and the kind of its value, arrays by their first element.
fn shape(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| shape(value, &format!("{path}.{key}"), out))
        }
        Value::Array(values) => match values.first() {
            Some(first) => shape(first, &format!("{path}[]"), out),
            None => out.push(format!("{path}[]")),
        },
        Value::Null => out.push(format!("{path}: null")),
        Value::Bool(_) => out.push(format!("{path}: bool")),
        Value::Number(_) => out.push(format!("{path}: number")),
        Value::String(_) => out.push(format!("{path}: string")),
    }
}

#[test]
fn the_shape_of_json_is_what_it_was() {
    let json: serde_json::Value = serde_json::from_str(&with_conditions(&["errors > 0"]).json()).unwrap();
    let mut lines = Vec::new();
    shape(&json, "", &mut lines);
    lines.sort();
    let found = lines.join("\n") + "\n";
    let golden = include_str!("schema-1.golden");
    assert_eq!(
        found, golden,
        "the shape changed: raise SCHEMA or add to src/report/schema-1.golden:\n{found}"
    );
}

#[test]
fn json_says_what_happened_and_is_read_back_as_it_was() {
    let report = a_report();
    let back: Report = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(back, report);
    assert_eq!((back.schema, back.begun_at.as_str()), (1, "2027-01-15T08:00:00Z"));
    assert_eq!((back.viewers.arrived, back.viewers.started, back.viewers.at_end.gave_up), (20, 20, 1));
    assert_eq!((back.playback.stalls, back.playback.stalled_seconds), (1, 0.75));
    assert_eq!(back.errors.by_class.values().sum::<u64>(), 3);
    assert_eq!((back.bytes.compared, back.bytes.differing), (2, 1));
    assert_eq!(back.series.points.len(), 4);
    assert_eq!(back.throughput.bytes, 4 * 20 * 250_900);
    assert_eq!(back.requests[&Kind::Segment].statuses[&200], 80);
}

#[test]
fn a_run_passes_by_what_is_always_looked_at_and_by_its_conditions() {
    assert!(!a_report().passed, "a segment differs");
    let mut report = with_conditions(&["stalls > 100"]);
    assert_eq!(report.checks.iter().filter(|check| !check.holds).count(), 1);
    report = with_conditions(&["stalls > 0", "errors > 2"]);
    assert_eq!(report.checks.iter().filter(|check| !check.holds).count(), 3);
    let nobody = Report::of(&Ledger::new(1), &about(), Duration::ZERO, &[]);
    assert!(!nobody.passed && !nobody.checks[0].holds, "{:?}", nobody.checks);
}

#[test]
fn junit_has_a_case_for_each_check() {
    let report = with_conditions(&["errors > 2", "stall_ratio > 50%"]);
    let xml = report.junit();
    let tree = roxmltree::Document::parse(&xml).expect("well-formed");
    let cases: Vec<_> = tree.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    let name = |node: &roxmltree::Node<'_, '_>| node.attribute("name").unwrap_or_default().to_owned();
    assert_eq!(cases.len(), 5);
    let failed: Vec<_> = cases
        .iter()
        .filter(|case| case.children().any(|child| child.has_tag_name("failure")))
        .map(name)
        .collect();
    assert_eq!(failed, ["the same bytes everywhere", "not errors > 2"]);
    let suite = tree.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("5"), Some("2")));
}

#[test]
fn a_load_tester_that_was_the_limit_skips_its_case_and_fails_nobody() {
    let mut ledger = a_ledger();
    ledger.cores[1].full_seconds = 4.0;
    let report = Report::of(&ledger, &about(), Duration::from_secs(4), &[]);
    let kept_up = report.checks.iter().find(|check| check.is_advice).unwrap();
    assert!(
        !kept_up.holds
            && report.junit().contains("<skipped message=\"the load tester was itself the limit: core 1")
    );
    assert!(
        report.html().contains("class=\"warning\"") && report.text().contains("NOTE the load tester kept up")
    );
}

#[test]
fn html_is_well_formed_stands_alone_and_says_it_all_without_pictures() {
    let page = with_conditions(&["errors > 2"]).html();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let tree = roxmltree::Document::parse_with_options(&page, options).expect("well-formed");
    let named = |name: &'static str| tree.descendants().filter(move |node| node.tag_name().name() == name);
    assert_eq!(named("figure").count(), 9);
    for figure in named("figure") {
        let id = figure.attribute("id").unwrap();
        let has = |name: &str| figure.descendants().any(|node| node.tag_name().name() == name);
        assert!(
            has("table") || figure.descendants().any(|node| node.attribute("class") == Some("nothing")),
            "{id}"
        );
        for svg in figure.children().filter(|node| node.tag_name().name() == "svg") {
            let described = svg.attribute("aria-labelledby").unwrap();
            for id in described.split(' ') {
                assert!(svg.descendants().any(|node| node.attribute("id") == Some(id)), "{id}");
            }
        }
    }
    // Nothing is fetched, nothing runs.
    for name in ["script", "link", "img", "iframe"] {
        assert_eq!(named(name).count(), 0, "{name}");
    }
    let attributes: Vec<_> =
        tree.descendants().flat_map(|node| node.attributes().collect::<Vec<_>>()).collect();
    assert!(attributes.iter().all(|attribute| !["src", "href", "style"].contains(&attribute.name())));
    assert!(!page.contains("url(") && !page.contains("@import"));
    // Each name once.
    let mut ids: Vec<_> =
        attributes.iter().filter(|attribute| attribute.name() == "id").map(|id| id.value()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for bad in ["NaN", "inf", "\u{1b}", "<script"] {
        assert!(!page.contains(bad), "{bad:?} is in the page");
    }
}

#[test]
fn a_run_in_which_nothing_happened_is_told_too() {
    let nobody = Report::of(&Ledger::new(1), &about(), Duration::ZERO, &[]);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let page = nobody.html();
    roxmltree::Document::parse_with_options(&page, options).expect("well-formed");
    assert!(page.contains("Nothing was measured.") && !page.contains("NaN"));
    roxmltree::Document::parse(&nobody.junit()).expect("well-formed");
    assert!(nobody.text().contains("FAIL somebody played: 0 of 0 viewers"));
    let _: Report = serde_json::from_str(&nobody.json()).unwrap();
}

#[test]
fn an_hours_run_makes_a_page_of_bounded_size() {
    let mut report = a_report();
    let point = report.series.points[1].clone();
    report.series.points =
        (0..3600).map(|second| crate::measure::Point { second, ..point.clone() }).collect();
    let page = report.html();
    assert!(page.len() < 300_000, "{}", page.len());
}

#[test]
fn text_says_the_figures_and_the_checks() {
    let text = with_conditions(&["errors > 2"]).text();
    for part in [
        "20 came, 20 played, 20 at once at most",
        "1, 1.",
        "behind live",
        "p99.9",
        "segment, first byte",
        "200: 80",
        "error: status 5xx",
        "fault: discontinuity sequence went back",
        "1 of 2 segments differ",
        "ok   somebody played",
        "FAIL not errors > 2: 3",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_page_about_load_testing_names_all_there_is() {
    use crate::measure::{ErrorClass, FaultKind, Notice, Phase};
    let page = include_str!("../../../docs/LOADTEST.md");
    let names = (Metric::simple().into_iter().map(|(name, _)| name))
        .chain(Kind::ALL.map(|kind| kind.as_str().into()))
        .chain(Phase::ALL.map(|phase| phase.as_str().into()))
        .chain(ErrorClass::ALL.map(|class| class.as_str().into()))
        .chain(FaultKind::ALL.map(|kind| kind.as_str().into()))
        .chain(Notice::ALL.map(|kind| kind.as_str().into()));
    for name in names {
        let is_there = page.contains(&format!("`{name}`")) || page.contains(&format!("`_{name}`"));
        assert!(is_there, "`{name}` is not in docs/LOADTEST.md");
    }
    assert!(page.contains(&format!("`\"schema\": {SCHEMA}`")));
}
