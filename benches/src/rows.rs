//! What is measured, beside whom, and what is wanted: the table of goals as data.

use crate::ground::Network;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Our edge, segments on huge pages: how it is meant to be run.
    Edge,
    /// Our edge, segments on 4 KB pages.
    EdgePages,
    /// Our edge without a segment store.
    EdgeMemfd,
    /// Our edge on both cores.
    EdgeWide,
    Balancer,
    /// nginx, files on 4 KB pages.
    Nginx,
    /// nginx, files on the same huge pages.
    NginxHuge,
    /// nginx with a cache of open files.
    NginxCache,
    /// nginx on both cores.
    NginxWide,
    HaProxy,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edge => "mascaret",
            Self::EdgePages => "mascaret, 4 KB pages",
            Self::EdgeMemfd => "mascaret, memfd",
            Self::EdgeWide => "mascaret, 2 cores",
            Self::Balancer => "mascaret lb",
            Self::Nginx => "nginx",
            Self::NginxHuge => "nginx, huge pages",
            Self::NginxCache => "nginx, open_file_cache",
            Self::NginxWide => "nginx, 2 workers",
            Self::HaProxy => "haproxy",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Edge | Self::EdgePages | Self::EdgeMemfd | Self::EdgeWide | Self::Balancer)
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    CpuSecondsPerGb,
    CpuMicros,
    PerCoreSecond,
    Bytes,
    Millis,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuSecondsPerGb => "CPU-s/GB",
            Self::CpuMicros => "CPU-µs each",
            Self::PerCoreSecond => "per core-second",
            Self::Bytes => "bytes each",
            Self::Millis => "ms",
        }
    }
}

/// What viewers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment {
        rendition: &'static str,
        connections: usize,
    },
    Playlist,
    /// The same, asked by wrk.
    Wrk,
    Redirect,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What `--only` calls it.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) network: Network,
    pub(crate) unit: Unit,
    pub(crate) who: &'static [Who],
    pub(crate) goals: &'static [Goal],
    /// Whether `make bench-quick` has it, and whom it leaves in.
    pub(crate) quick: &'static [Who],
}

/// One comparison, or one figure by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) ours: Who,
    pub(crate) theirs: Option<Who>,
    pub(crate) bound: Bound,
}

/// What is wanted of the quotient, or of the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing; it is told for whom it helps.
    Told,
}

impl Bound {
    pub(crate) fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(value <= most),
            Self::AtLeast(least) => Some(value >= least),
            Self::Told => None,
        }
    }
}

const fn goal(ours: Who, theirs: Who, bound: Bound) -> Goal {
    Goal { ours, theirs: Some(theirs), bound }
}

use Bound::{AtMost, Told};
use Network::{Loopback, Veth};
use Who::{Balancer, Edge, EdgeMemfd, EdgePages, HaProxy, Nginx, NginxCache, NginxHuge};

const SEGMENT: Kind = Kind::Segment { rendition: "1m", connections: 256 };

/// Every row, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        key: "segment",
        title: "1 MB segment, 256 connections",
        kind: SEGMENT,
        network: Veth,
        unit: Unit::CpuSecondsPerGb,
        who: &[Edge, Nginx, NginxHuge, EdgePages, EdgeMemfd],
        goals: &[
            goal(Edge, Nginx, AtMost(0.75)),
            goal(Edge, NginxHuge, AtMost(1.0)),
            goal(EdgePages, Nginx, Told),
            goal(EdgeMemfd, Nginx, Told),
        ],
        quick: &[Edge, Nginx],
    },
    Row {
        key: "segment-lo",
        title: "1 MB segment, 256 connections",
        kind: SEGMENT,
        network: Loopback,
        unit: Unit::CpuSecondsPerGb,
        who: &[Edge, Nginx, NginxHuge],
        goals: &[goal(Edge, Nginx, Told), goal(Edge, NginxHuge, Told)],
        quick: &[],
    },
    Row {
        key: "part-200",
        title: "200 KB part",
        kind: Kind::Segment { rendition: "200k", connections: 128 },
        network: Veth,
        unit: Unit::CpuMicros,
        who: &[Edge, Nginx, NginxHuge, NginxCache],
        goals: &[goal(Edge, Nginx, AtMost(0.60)), goal(Edge, NginxHuge, Told), goal(Edge, NginxCache, Told)],
        quick: &[],
    },
    Row {
        key: "part-64",
        title: "64 KB part",
        kind: Kind::Segment { rendition: "64k", connections: 128 },
        network: Veth,
        unit: Unit::CpuMicros,
        who: &[Edge, Nginx, NginxHuge, NginxCache],
        goals: &[goal(Edge, Nginx, AtMost(0.55)), goal(Edge, NginxHuge, Told), goal(Edge, NginxCache, Told)],
        quick: &[Edge, Nginx],
    },
    Row {
        key: "part-20",
        title: "20 KB part",
        kind: Kind::Segment { rendition: "20k", connections: 128 },
        network: Veth,
        unit: Unit::CpuMicros,
        who: &[Edge, Nginx, NginxHuge, NginxCache],
        goals: &[goal(Edge, Nginx, AtMost(0.50)), goal(Edge, NginxHuge, Told), goal(Edge, NginxCache, Told)],
        quick: &[],
    },
    Row {
        key: "playlist",
        title: "2 KB playlist",
        kind: Kind::Playlist,
        network: Veth,
        unit: Unit::CpuMicros,
        who: &[Edge, Nginx, HaProxy, NginxCache],
        goals: &[
            goal(Edge, Nginx, AtMost(0.55)),
            goal(Edge, HaProxy, AtMost(0.65)),
            goal(Edge, NginxCache, Told),
        ],
        quick: &[Edge, Nginx, HaProxy],
    },
    Row {
        key: "playlist-lo",
        title: "2 KB playlist",
        kind: Kind::Playlist,
        network: Loopback,
        unit: Unit::CpuMicros,
        who: &[Edge, Nginx, HaProxy],
        goals: &[goal(Edge, Nginx, Told), goal(Edge, HaProxy, Told)],
        quick: &[],
    },
    Row {
        key: "playlist-wrk",
        title: "2 KB playlist, asked by wrk",
        kind: Kind::Wrk,
        network: Veth,
        unit: Unit::CpuMicros,
        who: &[Edge, Nginx, HaProxy],
        goals: &[goal(Edge, Nginx, AtMost(0.75)), goal(Edge, HaProxy, Told)],
        quick: &[],
    },
    Row {
        key: "redirect",
        title: "redirect, with decision and token",
        kind: Kind::Redirect,
        network: Veth,
        unit: Unit::CpuMicros,
        who: &[Balancer, Nginx, HaProxy],
        goals: &[goal(Balancer, Nginx, AtMost(0.75)), goal(Balancer, HaProxy, AtMost(0.65))],
        quick: &[Balancer, Nginx, HaProxy],
    },
];
