//! What a condition may be about: each metric has a name, a dimension, and a value in a report.

use super::Report;
use super::plain::{number, percent, rate, span};
use crate::measure::{Figures, Kind, Phase};

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A part of a whole, 0 to 1.
    Ratio(RatioOf),
    /// How many.
    Count(CountOf),
    /// Bits per second.
    Rate(RateOf),
    /// Microseconds.
    Span(SpanOf, Quantile),
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($member:ident = $name:literal, $what:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $(#[doc = $what] $member,)+ }

        impl $type {
            const ALL: &[(Self, &'static str)] = &[$((Self::$member, $name)),+];
        }
    };
}

named! {
    /// Ratios.
    RatioOf {
        Stall = "stall_ratio", "time stalled over time played and stalled";
        Error = "error_ratio", "requests that came to nothing over requests sent";
        Started = "started_ratio", "viewers that began to play over viewers that came";
        Cpu = "cpu_max", "the share of its time that the busiest of the load tester's threads computed";
    }
}

named! {
    /// Counts.
    CountOf {
        Stalls = "stalls", "stalls that began";
        Errors = "errors", "requests that came to nothing";
        Faults = "faults", "broken promises of playlists";
        Differing = "differing", "segments whose bytes differ between edges";
        Compared = "compared", "segments that more than one edge sent";
        Viewers = "viewers", "most viewers at once";
        Started = "started", "viewers that began to play";
        GaveUp = "gave_up", "viewers that found no way to play on";
        Switches = "switches", "viewers that went on with another pathway";
        Requests = "requests", "requests sent";
        OwnLimits = "own_limits", "ways in which the load tester was itself the limit";
    }
}

named! {
    /// Rates.
    RateOf {
        Mean = "throughput", "bits received per second, over the run";
        Min = "throughput_min", "in the slowest step in which nearly all viewers were there";
        Max = "throughput_max", "in the fastest of them";
    }
}

/// A span of time that is told by quantiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOf {
    /// Until the first picture, or a phase of it.
    Startup(Phase),
    /// Due to first byte.
    FirstByte(Kind),
    /// Due to last byte.
    Total(Kind),
    /// Behind the calendar.
    Latency,
    /// Length of a stall.
    Stall,
    /// How long a playlist stood still.
    Staleness,
    /// From what an edge did not give to a segment from another.
    GotAway,
    /// How late the load tester woke up.
    Lag,
}

/// Which one of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// Half.
    P50,
    /// 90 %.
    P90,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
    /// All.
    Max,
}

impl Quantile {
    /// Each, with its ending.
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::P50, "p50"),
        (Self::P90, "p90"),
        (Self::P99, "p99"),
        (Self::P999, "p999"),
        (Self::Max, "max"),
    ];

    fn of(self, figures: &Figures) -> u64 {
        match self {
            Self::P50 => figures.p50_us,
            Self::P90 => figures.p90_us,
            Self::P99 => figures.p99_us,
            Self::P999 => figures.p999_us,
            Self::Max => figures.max_us,
        }
    }
}

impl SpanOf {
    /// Every one, with the name that stands before the quantile.
    pub(crate) fn all() -> impl Iterator<Item = (Self, String)> {
        let phases = Phase::ALL.into_iter().map(|phase| match phase {
            Phase::Total => (Self::Startup(phase), "startup".into()),
            _ => (Self::Startup(phase), format!("startup_{}", phase.as_str())),
        });
        let first =
            Kind::ALL.into_iter().map(|kind| (Self::FirstByte(kind), format!("ttfb_{}", kind.as_str())));
        let total = Kind::ALL.into_iter().map(|kind| (Self::Total(kind), format!("total_{}", kind.as_str())));
        let others = [
            (Self::Latency, "latency"),
            (Self::Stall, "stall"),
            (Self::Staleness, "staleness"),
            (Self::GotAway, "got_away"),
            (Self::Lag, "lag"),
        ];
        phases.chain(first).chain(total).chain(others.map(|(span, name)| (span, name.into())))
    }

    fn of(self, report: &Report) -> Option<Figures> {
        match self {
            Self::Startup(phase) => report.startup.get(&phase).copied(),
            Self::FirstByte(kind) => report.requests.get(&kind)?.first_byte,
            Self::Total(kind) => report.requests.get(&kind)?.total,
            Self::Latency => report.playback.live_latency,
            Self::Stall => report.playback.stalled_for,
            Self::Staleness => report.playback.staleness,
            Self::GotAway => report.playback.got_away,
            Self::Lag => report.own.lag,
        }
    }
}

impl Metric {
    /// Every one, with its name.
    pub(crate) fn all() -> Vec<(String, Self)> {
        let mut all: Vec<(String, Self)> = Self::simple();
        for (span, name) in SpanOf::all() {
            all.extend(Quantile::ALL.map(|(which, end)| (format!("{name}_{end}"), Self::Span(span, which))));
        }
        all
    }

    /// Those that are no span.
    pub(crate) fn simple() -> Vec<(String, Self)> {
        let ratios = RatioOf::ALL.iter().map(|(of, name)| ((*name).into(), Self::Ratio(*of)));
        let counts = CountOf::ALL.iter().map(|(of, name)| ((*name).into(), Self::Count(*of)));
        let rates = RateOf::ALL.iter().map(|(of, name)| ((*name).into(), Self::Rate(*of)));
        ratios.chain(counts).chain(rates).collect()
    }

    /// Its value, in its own unit; nothing where nothing was measured.
    pub fn of(self, report: &Report) -> Option<f64> {
        match self {
            Self::Ratio(of) => match of {
                RatioOf::Stall => {
                    let playback = &report.playback;
                    (playback.played_seconds + playback.stalled_seconds > 0.0).then_some(playback.stall_ratio)
                }
                RatioOf::Error => (report.asked() + report.errors.total > 0).then_some(report.errors.ratio),
                RatioOf::Started => {
                    let viewers = &report.viewers;
                    (viewers.arrived > 0).then(|| viewers.started as f64 / viewers.arrived as f64)
                }
                RatioOf::Cpu => report.own.cores.iter().map(|core| core.cpu_share()).max_by(f64::total_cmp),
            },
            Self::Count(of) => Some(match of {
                CountOf::Stalls => report.playback.stalls,
                CountOf::Errors => report.errors.total,
                CountOf::Faults => report.faults.total,
                CountOf::Differing => report.bytes.differing,
                CountOf::Compared => report.bytes.compared,
                CountOf::Viewers => report.viewers.most_watching,
                CountOf::Started => report.viewers.started,
                CountOf::GaveUp => report.viewers.gave_up,
                CountOf::Switches => {
                    report.notices.get(&crate::measure::Notice::Switched).copied().unwrap_or_default()
                }
                CountOf::Requests => report.asked(),
                CountOf::OwnLimits => report.own.limits.len() as u64,
            } as f64),
            Self::Rate(of) => match of {
                RateOf::Mean => Some(report.throughput.bits_per_second),
                RateOf::Min => report.throughput.bits_per_second_min,
                RateOf::Max => report.throughput.bits_per_second_max,
            },
            Self::Span(span, which) => span.of(report).map(|figures| which.of(&figures) as f64),
        }
    }

    /// A value of it, for people.
    pub(crate) fn told(self, value: f64) -> String {
        match self {
            Self::Ratio(_) => percent(value),
            Self::Count(_) => number(value as u64),
            Self::Rate(_) => rate(value),
            Self::Span(..) => span(value as u64),
        }
    }

    /// The units it takes, each with what it is multiplied by.
    pub(crate) fn units(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Ratio(_) => &[("%", 0.01), ("", 1.0)],
            Self::Count(_) => &[("", 1.0), ("k", 1e3), ("M", 1e6)],
            Self::Rate(_) => &[
                ("Gbit/s", 1e9),
                ("Mbit/s", 1e6),
                ("kbit/s", 1e3),
                ("bit/s", 1.0),
                ("G", 1e9),
                ("M", 1e6),
                ("k", 1e3),
            ],
            Self::Span(..) => &[("ms", 1e3), ("s", 1e6), ("us", 1.0), ("µs", 1.0), ("min", 60e6)],
        }
    }
}

impl Report {
    /// Requests sent, of all kinds.
    pub fn asked(&self) -> u64 {
        self.requests.values().map(|requests| requests.asked).sum()
    }
}
