//! What viewers saw, against what was promised.
//!
//! Does not live here: where it is kept (`record`).

use super::cell::Cell;
use serde_json::{Value, json};
use std::time::Duration;

/// What was measured in one cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What `mascaret loadtest` says.
    pub(crate) watched: Option<Value>,
    /// After the fault, the last request that reached for the node.
    pub(crate) left: Option<Duration>,
    /// The slowest first ask of a new viewer; `None` where one came to nothing.
    pub(crate) entry: Option<Duration>,
    pub(crate) entries_failed: u32,
    /// Segment by segment, how much later the struck edge had it than the first of the others.
    pub(crate) later: Vec<Duration>,
    /// The same of the other edges, against the first of all.
    pub(crate) others_later: Vec<Duration>,
    /// After the fault, since when the struck edge called itself not ready without a break to the fault's end.
    pub(crate) not_ready: Option<Duration>,
    /// From the end of the fault until everything was well.
    pub(crate) well_after: Option<Duration>,
    /// What went wrong in the lab itself, or did not come back.
    pub(crate) trouble: Option<String>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) wrong: Vec<String>,
    pub(crate) line: Value,
}

/// An edge that calls itself not ready is empty so soon after: as one that is drained.
const EMPTY_WITHIN: Duration = Duration::from_secs(15);

fn p99(spans: &[Duration]) -> Option<Duration> {
    let mut spans = spans.to_vec();
    spans.sort_unstable();
    spans.get((spans.len() * 99 / 100).min(spans.len().saturating_sub(1))).copied()
}

pub(crate) fn judge(cell: &Cell, seen: &Seen) -> Verdict {
    let mut wrong: Vec<String> = seen.trouble.iter().cloned().collect();
    let watched = seen.watched.clone().unwrap_or(Value::Null);
    let number = |at: &str| watched.pointer(at).and_then(Value::as_f64).unwrap_or(0.0);
    let promise = &cell.promise;
    if watched.is_null() {
        wrong.push("the load test told nothing".into());
    }
    let stall_ratio = number("/playback/stall_ratio");
    if stall_ratio > promise.stall_ratio_max {
        wrong.push(format!(
            "{:.2} % stalled, {:.2} % may be",
            stall_ratio * 100.0,
            promise.stall_ratio_max * 100.0
        ));
    }
    let faults = number("/faults/total");
    if faults > promise.faults_max as f64 {
        let kinds = watched.pointer("/faults/by_kind").map(ToString::to_string).unwrap_or_default();
        wrong.push(format!("{faults} broken promises: {kinds}"));
    }
    let gaps = number("/notices/gap");
    if gaps > 0.0 && !promise.has_gaps {
        wrong.push(format!("{gaps} gaps met"));
    }
    let differing = number("/bytes/differing");
    if differing > 0.0 {
        wrong.push(format!("{differing} segments whose bytes differ between edges"));
    }
    if number("/viewers/gave_up") > 0.0 {
        wrong.push(format!("{} viewers gave up", number("/viewers/gave_up")));
    }
    let (arrived, started) = (number("/viewers/arrived"), number("/viewers/started"));
    if started < arrived {
        wrong.push(format!("{started} of {arrived} viewers began to play"));
    }
    if let Some(within) = promise.left_within
        && seen.left.is_some_and(|left| left > within)
    {
        let left = seen.left.unwrap_or_default().as_secs_f64();
        wrong.push(format!(
            "the last viewer left after {left:.1} s, {:.1} s is promised",
            within.as_secs_f64()
        ));
    }
    if let Some(within) = promise.entry_within {
        if seen.entries_failed > 0 {
            wrong.push(format!("{} new viewers were given no edge", seen.entries_failed));
        }
        if let Some(entry) = seen.entry.filter(|entry| *entry > within) {
            wrong.push(format!("a new viewer waited {} ms for its edge", entry.as_millis()));
        }
    }
    let (p99, others_p99) = (p99(&seen.later), p99(&seen.others_later));
    if let Some(within) = promise.complete_within {
        if p99.is_none_or(|p99| p99 > within) {
            let what =
                p99.map_or_else(|| "never".into(), |p99| format!("{} ms after the others", p99.as_millis()));
            let what = format!("99 of 100 segments are there {what}, {} ms are promised", within.as_millis());
            match seen.not_ready {
                None => wrong.push(format!("{what}, and the edge calls itself ready")),
                // What asked for the last time before that is long gone.
                Some(since) if seen.left.is_some_and(|left| left > since + EMPTY_WITHIN) => {
                    let left = seen.left.unwrap_or_default().as_secs_f64();
                    let since = since.as_secs_f64();
                    wrong.push(format!(
                        "{what}; not ready after {since:.1} s, it was asked until {left:.1} s"
                    ));
                }
                Some(_) => {}
            }
        }
        if others_p99.is_none_or(|p99| p99 > within) {
            wrong.push(format!("the other edges have 99 of 100 segments after {others_p99:?}"));
        }
    }
    // Nobody had to leave an edge that was in time; when the fault was over is no moment at which anybody left.
    let left = seen.left.filter(|_| promise.left_within.is_some() || seen.not_ready.is_some());
    let seconds = |span: Option<Duration>| span.map(|span| (span.as_secs_f64() * 10.0).round() / 10.0);
    let line = json!({
        "cell": cell.to_string(),
        "holds": wrong.is_empty(),
        "wrong": wrong,
        "viewers": arrived,
        "stalls": number("/playback/stalls"),
        "stall_ratio": stall_ratio,
        "errors": number("/errors/total"),
        "faults": faults,
        "gaps": gaps,
        "switched": number("/notices/switched"),
        "compared": number("/bytes/compared"),
        "differing": differing,
        "left_seconds": seconds(left),
        "entry_ms": seen.entry.map(|entry| entry.as_millis() as u64),
        "entries_failed": seen.entries_failed,
        "well_after_seconds": seconds(seen.well_after),
        "later_p99_ms": p99.map(|p99| p99.as_millis() as u64),
        "others_later_p99_ms": others_p99.map(|p99| p99.as_millis() as u64),
        "not_ready_seconds": seconds(seen.not_ready),
    });
    Verdict { name: cell.to_string(), wrong, line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::cell::cells;

    fn watched(stall_ratio: f64, differing: u64) -> Option<Value> {
        Some(json!({
            "viewers": { "arrived": 10, "started": 10, "gave_up": 0 },
            "playback": { "stalls": 1, "stall_ratio": stall_ratio },
            "bytes": { "compared": 5, "differing": differing },
            "faults": { "total": 0 },
        }))
    }

    #[test]
    fn what_was_promised_holds_and_what_was_not_does_not() {
        let cell = cells().into_iter().find(|cell| cell.to_string() == "edge/sigkill").unwrap();
        let left = Some(Duration::from_secs(2));
        assert!(judge(&cell, &Seen { watched: watched(0.0, 0), left, ..Seen::default() }).wrong.is_empty());
        for (seen, part) in [
            (Seen { watched: watched(0.01, 0), ..Seen::default() }, "1.00 % stalled"),
            (Seen { watched: watched(0.0, 2), ..Seen::default() }, "differ"),
            (
                Seen { watched: watched(0.0, 0), left: Some(Duration::from_secs(9)), ..Seen::default() },
                "9.0 s",
            ),
            (Seen { watched: watched(0.0, 0), entries_failed: 1, ..Seen::default() }, "given no edge"),
            (Seen::default(), "told nothing"),
        ] {
            let verdict = judge(&cell, &seen);
            assert!(verdict.wrong.iter().any(|wrong| wrong.contains(part)), "{part}: {:?}", verdict.wrong);
        }
    }

    #[test]
    fn an_edge_whose_segments_come_late_must_say_so_and_be_left() {
        let cell = cells().into_iter().find(|cell| cell.to_string() == "edge/poor-feed").unwrap();
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        let seen = |late, not_ready, left| Seen {
            watched: watched(0.0, 0),
            later: vec![late; 30],
            others_later: vec![ms(20); 60],
            not_ready,
            left,
            ..Seen::default()
        };
        let holds = |seen: &Seen| judge(&cell, seen).wrong.is_empty();
        assert!(holds(&seen(ms(900), None, Some(s(60)))), "late, and soon enough");
        assert!(holds(&seen(ms(1_500), Some(s(12)), Some(s(20)))));
        assert!(!holds(&seen(ms(1_500), None, Some(s(20)))), "it calls itself ready");
        assert!(!holds(&seen(ms(1_500), Some(s(12)), Some(s(58)))), "viewers are still there");
        assert!(!holds(&Seen { others_later: vec![ms(1_200); 60], ..seen(ms(900), None, None) }));
        assert!(!holds(&Seen { later: Vec::new(), ..seen(ms(900), None, None) }), "never");

        let left = |seen: &Seen| judge(&cell, seen).line["left_seconds"].clone();
        assert_eq!(left(&seen(ms(1_500), Some(s(12)), Some(s(20)))), 20.0);
        assert_eq!(left(&seen(ms(900), None, Some(s(60)))), Value::Null, "nobody had to leave");
    }
}
