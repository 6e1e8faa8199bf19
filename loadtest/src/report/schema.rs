//! The report as values: what JSON says, and what every other form is drawn from. Documented in docs/LOADTEST.md.
//!
//! A field once there keeps its name and meaning while [`SCHEMA`] stays what it is; new ones may be added.

use super::plain::plain;
use super::{About, Check, Condition};
use crate::measure::{
    CoreUse, Differing, ErrorClass, FaultKind, Figures, Kind, Ledger, Notice, OwnLimit, Phase, Point, Series,
    Spread, ViewerState, Viewers,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The form of the report.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which program, which version.
    pub tool: String,
    /// What was asked.
    pub target: String,
    /// RFC 3339, UTC.
    pub begun_at: String,
    /// How long it took.
    pub seconds: f64,
    /// What was asked for, in order: name and value.
    pub settings: Vec<(String, String)>,
    /// Whether every check holds: the exit status.
    pub passed: bool,
    /// Each check: what is always looked at, and each `--fail-if`.
    pub checks: Vec<Check>,
    /// Who watched.
    pub viewers: ViewersTold,
    /// From the moment a viewer was due to its first picture, by phase; only those that were.
    pub startup: BTreeMap<Phase, Figures>,
    /// How it played.
    pub playback: Playback,
    /// What was asked for, by kind; only those that were.
    pub requests: BTreeMap<Kind, Requests>,
    /// How much came.
    pub throughput: Throughput,
    /// What came to nothing.
    pub errors: Errors,
    /// Broken promises.
    pub faults: Faults,
    /// What breaks no promise.
    pub notices: BTreeMap<Notice, u64>,
    /// Whether all origins sent the same bytes.
    pub bytes: Bytes,
    /// The load tester itself.
    pub own: Own,
    /// Step by step.
    pub series: Series,
}

/// Who watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewersTold {
    /// Viewers that came.
    pub arrived: u64,
    /// Viewers that began to play.
    pub started: u64,
    /// Viewers that left before the end.
    pub left: u64,
    /// Viewers that found no way to play on.
    pub gave_up: u64,
    /// Most that watched at once, at the end of a second.
    pub most_watching: u64,
    /// At the end of the run.
    pub at_end: Viewers,
}

/// How it played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Playback {
    /// Viewer time played.
    pub played_seconds: f64,
    /// Viewer time stalled, after the first picture.
    pub stalled_seconds: f64,
    /// Rebuffering ratio: stalled over played and stalled.
    pub stall_ratio: f64,
    /// Stalls that began.
    pub stalls: u64,
    /// Length of stalls that are over.
    pub stalled_for: Option<Figures>,
    /// How far behind the calendar viewers played.
    pub live_latency: Option<Figures>,
    /// For how long playlists stood still that did so for more than 1.5 target durations.
    pub staleness: Option<Figures>,
    /// From when something was due that an edge did not give until a segment from another one was whole.
    pub got_away: Option<Figures>,
}

/// What was asked for, of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// Requests sent.
    pub asked: u64,
    /// Answers that came to their end.
    pub answered: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Answers by status; 0 is any beyond the 64 told apart.
    pub statuses: BTreeMap<u16, u64>,
    /// From when it was due to the first byte; of blocking reloads that is the time they were held.
    pub first_byte: Option<Figures>,
    /// From when it was due to the last byte.
    pub total: Option<Figures>,
    /// The curve of `first_byte`: share of the answers, microseconds.
    pub first_byte_curve: Vec<(f64, u64)>,
}

/// How much came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Bytes received.
    pub bytes: u64,
    /// Mean over the run.
    pub bits_per_second: f64,
    /// The slowest step in which (nearly) all viewers were there.
    pub bits_per_second_min: Option<f64>,
    /// The fastest of them.
    pub bits_per_second_max: Option<f64>,
}

/// What came to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// All of them.
    pub total: u64,
    /// Over requests sent.
    pub ratio: f64,
    /// By reason.
    pub by_class: BTreeMap<ErrorClass, u64>,
    /// By what was asked for, and reason.
    pub by_kind: BTreeMap<Kind, BTreeMap<ErrorClass, u64>>,
}

/// Broken promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// All of them.
    pub total: u64,
    /// By kind.
    pub by_kind: BTreeMap<FaultKind, u64>,
}

/// Whether all origins sent the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bytes {
    /// Segments that more than one origin sent.
    pub compared: u64,
    /// Segments that were not the same everywhere.
    pub differing: u64,
    /// The first of them.
    pub told: Vec<Differing>,
}

/// The load tester itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// Whether it was itself the limit.
    pub was_the_limit: bool,
    /// The same in words.
    pub verdict: String,
    /// Why.
    pub limits: Vec<OwnLimit>,
    /// How late it woke up.
    pub lag: Option<Figures>,
    /// Its threads.
    pub cores: Vec<CoreUse>,
}

impl Report {
    /// Everything there is to say of a run that took so long.
    pub fn of(ledger: &Ledger, about: &About, took: Duration, conditions: &[Condition]) -> Self {
        let seconds = took.as_secs_f64();
        let verdict = ledger.verdict();
        let (differing, told) = ledger.differing();
        let mut report = Self {
            schema: SCHEMA,
            tool: concat!("mascaret loadtest ", env!("CARGO_PKG_VERSION")).into(),
            target: plain(&about.target).into(),
            begun_at: humantime::format_rfc3339_seconds(about.begun).to_string(),
            seconds,
            settings: about
                .settings
                .iter()
                .map(|(name, value)| (plain(name).into(), plain(value).into()))
                .collect(),
            passed: true,
            checks: Vec::new(),
            viewers: ViewersTold {
                arrived: ledger.arrived,
                started: ledger.phases[Phase::Total as usize].count(),
                left: ledger.left,
                gave_up: ledger.gave_up,
                most_watching: ledger.most_watching,
                at_end: ledger.viewers(),
            },
            startup: Phase::ALL
                .into_iter()
                .filter_map(|phase| Some((phase, ledger.phases[phase as usize].figures()?)))
                .collect(),
            playback: Playback {
                played_seconds: ledger.spent_seconds(ViewerState::Fine),
                stalled_seconds: ledger.spent_seconds(ViewerState::Stalled),
                stall_ratio: ledger.stall_ratio(),
                stalls: ledger.stalls,
                stalled_for: ledger.stalled_for.figures(),
                live_latency: ledger.live_latency.figures(),
                staleness: ledger.staleness.figures(),
                got_away: ledger.got_away.figures(),
            },
            requests: Kind::ALL
                .into_iter()
                .filter_map(|kind| Some((kind, requests(ledger, kind)?)))
                .collect(),
            throughput: throughput(ledger, seconds),
            errors: errors(ledger),
            faults: Faults {
                total: ledger.faults.sum(),
                by_kind: FaultKind::ALL
                    .into_iter()
                    .map(|kind| (kind, ledger.faults.0[kind as usize]))
                    .filter(|(_, times)| *times > 0)
                    .collect(),
            },
            notices: Notice::ALL
                .into_iter()
                .map(|kind| (kind, ledger.notices.0[kind as usize]))
                .filter(|(_, times)| *times > 0)
                .collect(),
            bytes: Bytes {
                compared: ledger.compared(),
                differing,
                told: told.iter().map(without_controls).collect(),
            },
            own: Own {
                was_the_limit: verdict.was_the_limit(),
                verdict: verdict.to_string(),
                limits: verdict.limits,
                lag: ledger.lag.figures(),
                cores: ledger.cores.clone(),
            },
            series: ledger.series.clone(),
        };
        let mut checks = Check::always(&report);
        checks.extend(conditions.iter().map(|condition| condition.check(&report)));
        report.checks = checks;
        report.passed = report.checks.iter().all(|check| check.holds || check.is_advice);
        report
    }

    /// As JSON, with line breaks.
    pub fn json(&self) -> String {
        // Nothing in it can fail: keys are words, and numbers are finite or null.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn requests(ledger: &Ledger, kind: Kind) -> Option<Requests> {
    let place = kind as usize;
    let of_kind = ledger.statuses.range((kind, 0)..=(kind, u16::MAX));
    let statuses: BTreeMap<_, _> = of_kind.map(|((_, status), times)| (*status, *times)).collect();
    let (asked, bytes) = (ledger.asked.0[place], ledger.bytes.0[place]);
    if asked == 0 && bytes == 0 && statuses.is_empty() {
        return None;
    }
    let figures = Spread::figures;
    Some(Requests {
        asked,
        answered: statuses.values().sum(),
        bytes,
        statuses,
        first_byte: figures(&ledger.first_byte[place]),
        total: figures(&ledger.total[place]),
        first_byte_curve: ledger.first_byte[place].curve(),
    })
}

fn throughput(ledger: &Ledger, seconds: f64) -> Throughput {
    let bytes = ledger.bytes.sum();
    let rates = || ledger.series.steady().map(Point::bits_per_second);
    Throughput {
        bytes,
        bits_per_second: if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 },
        bits_per_second_min: rates().min_by(f64::total_cmp),
        bits_per_second_max: rates().max_by(f64::total_cmp),
    }
}

fn errors(ledger: &Ledger) -> Errors {
    let mut by_class = BTreeMap::new();
    let mut by_kind: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for ((kind, class), times) in &ledger.errors {
        *by_class.entry(*class).or_default() += times;
        by_kind.entry(*kind).or_default().insert(*class, *times);
    }
    let (total, asked) = (ledger.errors(), ledger.asked.sum());
    let ratio = if total == 0 { 0.0 } else { total as f64 / asked.max(total) as f64 };
    Errors { total, ratio, by_class, by_kind }
}

fn without_controls(differing: &Differing) -> Differing {
    Differing {
        rendition: plain(&differing.rendition).into(),
        sequence: differing.sequence,
        sent: differing.sent.iter().map(|(origin, digest)| (plain(origin).into(), digest.clone())).collect(),
    }
}
