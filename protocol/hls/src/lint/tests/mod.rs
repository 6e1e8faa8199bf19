//! A small server, watched for half a minute; and one fault planted at a time.

mod planted;
mod server;

use super::*;
use crate::rules::{Level, RuleId, rule};
use planted::{OTHERS, PLANTED, late, variants};
use server::*;

#[test]
fn a_server_that_keeps_the_rules_is_not_blamed() {
    let report = watch(&Fault::Multivariant(|_| {}));
    assert_eq!(report.findings, [], "{}", report.render());
    assert!(!report.has_failures());
    assert!(report.segments > 20 && report.loads > 40, "{}", report.render());
    let unchecked: Vec<_> = report.unchecked.iter().map(|(rule, _)| rule.0).collect();
    assert_eq!(unchecked, ["M11", "T10", "T12", "T15", "C04", "V13"], "{}", report.render());
}

#[test]
fn a_media_playlist_can_be_watched_by_itself() {
    let report = watch_at("https://e1/live/demo/720p/index.m3u8", &Fault::Multivariant(|_| {}));
    assert_eq!(report.findings, [], "{}", report.render());
    assert!(report.unchecked.iter().any(|(rule, why)| rule.0 == "V03" && why.contains("no multivariant")));
}

#[test]
fn what_is_not_there_is_a_failure_and_not_a_clean_sheet() {
    let report = watch(&Fault::Entry(|answer| answer.status = 503));
    assert!(report.has_failures());
    assert_eq!(report.unreached[0], format!("{ENTRY}: answered with status 503"));
    let report = watch(&Fault::Entry(|answer| answer.text = b"<html>".to_vec()));
    assert!(report.has_failures());
}

#[test]
fn every_planted_fault_is_found() {
    for (id, fault) in PLANTED.iter().filter(|(id, _)| *id != "T12") {
        let report = watch(fault);
        assert!(ids(&report).contains(id), "{id} was planted and not found:\n{}", report.render());
    }
}

#[test]
fn every_planted_fault_is_found_in_its_other_shapes() {
    for (at, (id, fault)) in OTHERS.iter().enumerate() {
        let report = watch(fault);
        assert!(
            ids(&report).contains(id),
            "fault {at} of {id} was planted and not found:\n{}",
            report.render()
        );
    }
}

#[test]
fn a_withdrawn_playlist_must_leave_its_segments() {
    // Every playlist is gone after ten seconds, and so is what it listed.
    fn gone(asked: &Asked, answer: &mut Answer) {
        if asked.at_ms >= 10_000 {
            answer.status = 410;
        }
    }
    let report = watch(&Fault::Playlist(gone));
    assert!(!ids(&report).contains("T12"), "{}", report.render());
    assert!(!report.unchecked.iter().any(|(rule, _)| rule.0 == "T12"));

    let mut lint = Lint::new(ENTRY, Watch { watch_ms: WATCH_MS });
    let mut now_ms = 0;
    while let Some(want) = lint.next() {
        now_ms = now_ms.max(want.not_before_ms);
        let Answer { mut status, headers, text, media, .. } = serve(&want, now_ms, &Fault::Playlist(gone));
        if now_ms >= 10_000 {
            status = 404;
        }
        let outcome = Outcome::Answered { status, headers, text, media };
        lint.push(Fetched { want: want.id, sent_ms: now_ms, at_ms: now_ms + 1, outcome });
    }
    assert!(ids(&lint.finish(now_ms)).contains("T12"));
}

#[test]
fn a_rule_is_planted_or_says_that_it_is_not_checked() {
    for rule in RULES {
        let is_planted = PLANTED.iter().any(|(id, _)| *id == rule.id.0);
        let is_unchecked = matches!(rule.reach, Reach::NotChecked(_));
        assert!(is_planted != is_unchecked, "{}", rule.id);
    }
}

#[test]
fn advice_alone_is_no_failure() {
    let report = watch(&Fault::Multivariant(|m| variants(m, |v| v.uri = v.uri.replace("https", "http"))));
    assert!(
        report.findings.iter().all(|finding| finding.level == Level::Should) && !report.findings.is_empty()
    );
    assert!(!report.has_failures());
    assert_eq!(rule("V12").unwrap().id, RuleId("V12"));
}

#[test]
fn a_report_names_rule_place_and_count_for_people_and_programs() {
    let report = watch(&Fault::List(|asked, l| {
        if late(asked) {
            l.discontinuity_sequence.0 = 1
        }
    }));
    let text = report.render();
    assert!(text.contains("MUST   T04 https://e1/live/demo/720p/index.m3u8: "), "{text}");
    assert!(text.contains("\nnot checked    C04 fMP4 is not read\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.render_json()).unwrap();
    assert_eq!(json["failed"], true);
    assert_eq!(json["findings"][0]["rule"], "T04");
}

#[test]
fn redirects_are_followed_to_the_entry_only() {
    let mut lint = Lint::new("https://lb/go/demo", Watch { watch_ms: 100 });
    let want = lint.next().unwrap();
    let headers = vec![("Location".to_owned(), "/live/demo/index.m3u8".to_owned())];
    let outcome = Outcome::Answered { status: 307, headers, text: vec![], media: None };
    lint.push(Fetched { want: want.id, sent_ms: 0, at_ms: 1, outcome });
    assert_eq!(lint.next().unwrap().url, ENTRY);
}

proptest::proptest! {
    #[test]
    fn whatever_a_server_answers_nothing_panics(
        answers in proptest::collection::vec(
            (100_u16..600, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), 0_u64..5000), 0..40,
        ),
        kept in 0_usize..60,
    ) {
        let mut lint = Lint::new(ENTRY, Watch { watch_ms: 5000 });
        let (mut now_ms, mut at) = (0, 0);
        while let Some(want) = lint.next() {
            now_ms = now_ms.max(want.not_before_ms);
            let mut answer = serve(&want, now_ms, &Fault::Multivariant(|_| {}));
            if let Some((status, junk, took_ms)) = (at >= kept).then(|| answers.get(at - kept)).flatten() {
                let cut = junk.len().min(answer.text.len());
                answer.text[..cut].copy_from_slice(&junk[..cut]);
                (answer.status, answer.took_ms) = (*status, *took_ms);
            }
            at += 1;
            let Answer { status, headers, text, media, took_ms } = answer;
            let outcome = Outcome::Answered { status, headers, text, media };
            lint.push(Fetched { want: want.id, sent_ms: now_ms, at_ms: now_ms + took_ms, outcome });
        }
        lint.finish(now_ms);
    }
}
