//! Which plots there are.

use super::super::Report;
use super::super::plain::{Markup, number, percent, rate, span};
use super::bars::Bars;
use super::curves::Curves;
use super::plot::{COLUMNS, Drawn, OverTime, Trace, Unit, nothing};
use crate::measure::{Kind, Phase, Point};

const COUNT: Unit = Unit { say: |value| number(value.round() as u64), axis: |_| (1.0, ""), is_whole: true };
const SPAN: Unit = Unit {
    say: |us| span(us.round() as u64),
    axis: |most| match most {
        most if most >= 1e6 => (1e6, "s"),
        most if most >= 1e3 => (1e3, "ms"),
        _ => (1.0, "µs"),
    },
    is_whole: false,
};
const RATE: Unit = Unit {
    say: rate,
    axis: |most| match most {
        most if most >= 1e9 => (1e9, "Gbit/s"),
        most if most >= 1e6 => (1e6, "Mbit/s"),
        most if most >= 1e3 => (1e3, "kbit/s"),
        _ => (1.0, "bit/s"),
    },
    is_whole: false,
};
const SHARE: Unit = Unit { say: percent, axis: |_| (0.01, "%"), is_whole: false };

/// A power of ten of microseconds.
fn decade(us: f64) -> String {
    let (one, name) = (SPAN.axis)(us);
    format!("{} {name}", us / one)
}

/// A run in at most [`COLUMNS`] steps.
struct Steps<'a> {
    /// The seconds of each.
    groups: Vec<&'a [Point]>,
    times: Vec<f64>,
}

impl<'a> Steps<'a> {
    fn of(report: &'a Report) -> Self {
        let points = &report.series.points;
        let groups: Vec<_> = points.chunks(points.len().div_ceil(COLUMNS).max(1)).collect();
        let mut times: Vec<_> = groups.iter().map(|group| group[0].second as f64).collect();
        times.extend(points.last().map(|last| last.second as f64 + last.covers_seconds));
        Self { groups, times }
    }

    /// What each step comes to.
    fn each(&self, of: impl Fn(&[Point]) -> Option<f64>) -> Vec<Option<f64>> {
        self.groups.iter().map(|group| of(group)).collect()
    }

    /// The most in each step: for what is bad.
    fn most(&self, of: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
        self.each(|group| group.iter().filter_map(&of).max_by(f64::total_cmp))
    }

    /// What it is at the end of each step.
    fn last(&self, of: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
        self.each(|group| group.iter().rev().find_map(&of))
    }

    fn sum(&self, of: impl Fn(&Point) -> u64) -> Vec<Option<f64>> {
        self.each(|group| Some(group.iter().map(&of).sum::<u64>() as f64))
    }
}

/// All of them.
pub(super) fn all(report: &Report, page: &mut Markup) {
    let steps = Steps::of(report);
    viewers(report, &steps, page);
    stalls(report, &steps, page);
    throughput(report, &steps, page);
    live_latency(report, &steps, page);
    first_byte(report, page);
    startup(report, page);
    errors(report, &steps, page);
    error_classes(report, page);
    own(report, &steps, page);
}

fn viewers(report: &Report, steps: &Steps<'_>, page: &mut Markup) {
    let trace = |name, color, of: fn(&Point) -> u64| Trace {
        name,
        color,
        drawn: Drawn::Stacked,
        values: steps.last(|point| Some(of(point) as f64)),
    };
    let viewers = &report.viewers;
    let mut traces = vec![
        trace("fine", "c1", |point| point.viewers.fine),
        trace("starting", "c5", |point| point.viewers.starting),
        trace("stalled", "cbad", |point| point.viewers.stalled),
    ];
    if viewers.gave_up > 0 {
        traces.push(trace("gave up", "c2", |point| point.viewers.gave_up));
    }
    OverTime {
        id: "viewers",
        title: "Viewers",
        says: format!(
            "{} at once at most; {} came, {} began to play, {} left before the end.",
            number(viewers.most_watching),
            number(viewers.arrived),
            number(viewers.started),
            number(viewers.left)
        ),
        times: &steps.times,
        traces,
        unit: COUNT,
    }
    .draw(page);
}

fn stalls(report: &Report, steps: &Steps<'_>, page: &mut Markup) {
    let playback = &report.playback;
    OverTime {
        id: "stalls",
        title: "Stalls",
        says: format!(
            "{} began; {} of the time watched was spent in them.",
            number(playback.stalls),
            percent(playback.stall_ratio)
        ),
        times: &steps.times,
        traces: vec![
            Trace {
                name: "stalls begun",
                color: "c2",
                drawn: Drawn::Bars,
                values: steps.sum(|point| point.stalls),
            },
            Trace {
                name: "viewers stalled",
                color: "cbad",
                drawn: Drawn::Line,
                values: steps.most(|point| Some(point.viewers.stalled as f64)),
            },
        ],
        unit: COUNT,
    }
    .draw(page);
}

fn throughput(report: &Report, steps: &Steps<'_>, page: &mut Markup) {
    let mean = |group: &[Point]| {
        let seconds: f64 = group.iter().map(|point| point.covers_seconds).sum();
        let bytes: u64 = group.iter().map(|point| point.bytes).sum();
        (seconds > 0.0).then(|| bytes as f64 * 8.0 / seconds)
    };
    OverTime {
        id: "throughput",
        title: "Throughput",
        says: format!("{}.", report.throughput_told()),
        times: &steps.times,
        traces: vec![Trace { name: "received", color: "c3", drawn: Drawn::Filled, values: steps.each(mean) }],
        unit: RATE,
    }
    .draw(page);
}

fn live_latency(report: &Report, steps: &Steps<'_>, page: &mut Markup) {
    let says = match &report.playback.live_latency {
        Some(live) => format!(
            "Half of the time at most {} behind the calendar, 99 % at most {}.",
            span(live.p50_us),
            span(live.p99_us)
        ),
        None => "No playlist said when its segments were recorded.".into(),
    };
    OverTime {
        id: "latency",
        title: "Live latency",
        says,
        times: &steps.times,
        traces: vec![
            Trace {
                name: "p50",
                color: "c1",
                drawn: Drawn::Line,
                values: steps.last(|point| point.live_latency_p50_us.map(|us| us as f64)),
            },
            Trace {
                name: "p99",
                color: "c2",
                drawn: Drawn::Dashed,
                values: steps.most(|point| point.live_latency_p99_us.map(|us| us as f64)),
            },
        ],
        unit: SPAN,
    }
    .draw(page);
}

fn first_byte(report: &Report, page: &mut Markup) {
    let looks = |kind| match kind {
        Kind::Multivariant => Some(("c4", Drawn::Line)),
        Kind::Media => Some(("c3", Drawn::Dashed)),
        Kind::Segment => Some(("c1", Drawn::Line)),
        // Held on purpose: in the tables.
        Kind::Blocking | Kind::Steering | Kind::Other => None,
    };
    let curves: Vec<_> = report
        .requests
        .iter()
        .filter(|(_, requests)| requests.first_byte.is_some())
        .filter_map(|(kind, requests)| {
            let (color, drawn) = looks(*kind)?;
            Some((kind.title(), color, drawn, requests.first_byte_curve.clone()))
        })
        .collect();
    let says = match report.requests.get(&Kind::Segment).and_then(|requests| requests.first_byte) {
        Some(first) => format!(
            "From when it was due. Segments: half within {}, 99 % within {}, all within {}.",
            span(first.p50_us),
            span(first.p99_us),
            span(first.max_us)
        ),
        None => "From when it was due to the first byte of its answer.".into(),
    };
    Curves { id: "first-byte", title: "Time to first byte", says, curves, decade, say: SPAN.say }.draw(page);
}

fn startup(report: &Report, page: &mut Markup) {
    let rows: Vec<_> = report
        .startup
        .iter()
        .map(|(phase, figures)| (phase.title(), figures.p50_us as f64, Some(figures.p99_us as f64)))
        .collect();
    let Some(total) = report.startup.get(&Phase::Total) else {
        return nothing(page, "startup", "Startup", "Nobody began to play.");
    };
    Bars {
        id: "startup",
        title: "Startup",
        says: format!(
            "Bars to p50, whiskers to p99. First picture: half within {}, 99 % within {}.",
            span(total.p50_us),
            span(total.p99_us)
        ),
        color: "c4",
        heads: ["phase", "p50", "p99"],
        rows,
        say: |us| span(us as u64),
    }
    .draw(page);
}

fn errors(report: &Report, steps: &Steps<'_>, page: &mut Markup) {
    OverTime {
        id: "errors",
        title: "Errors and broken promises",
        says: format!(
            "{} requests came to nothing ({}); {} promises of playlists were broken.",
            number(report.errors.total),
            percent(report.errors.ratio),
            number(report.faults.total)
        ),
        times: &steps.times,
        traces: vec![
            Trace {
                name: "errors",
                color: "cbad",
                drawn: Drawn::Bars,
                values: steps.sum(|point| point.errors),
            },
            Trace {
                name: "broken promises",
                color: "c4",
                drawn: Drawn::Line,
                values: steps.sum(|point| point.faults),
            },
        ],
        unit: COUNT,
    }
    .draw(page);
}

fn error_classes(report: &Report, page: &mut Markup) {
    let errors = report.errors.by_class.iter().map(|(class, times)| (class.title(), *times as f64, None));
    let faults = report.faults.by_kind.iter().map(|(kind, times)| (kind.title(), *times as f64, None));
    let rows: Vec<_> = errors.chain(faults).collect();
    if rows.is_empty() {
        return nothing(page, "classes", "What went wrong", "Nothing: no errors, no broken promises.");
    }
    Bars {
        id: "classes",
        title: "What went wrong",
        says: "Errors by reason, then broken promises by kind.".into(),
        color: "cbad",
        heads: ["what", "times", ""],
        rows,
        say: |count| number(count as u64),
    }
    .draw(page);
}

fn own(report: &Report, steps: &Steps<'_>, page: &mut Markup) {
    let lag = report.own.lag.map_or_else(|| "–".into(), |lag| span(lag.p99_us));
    OverTime {
        id: "own",
        title: "The load tester itself",
        says: format!(
            "CPU of its busiest thread; full at 90 %. 99 % of its wake-ups were at most {lag} late."
        ),
        times: &steps.times,
        traces: vec![Trace {
            name: "CPU of the busiest thread",
            color: "c5",
            drawn: Drawn::Filled,
            values: steps.most(|point| Some(point.cpu_share)),
        }],
        unit: SHARE,
    }
    .draw(page);
}
