//! What is measured, beside whom, and what is wanted: the table of goals as data.

use crate::ground::Network;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Our edge as it comes: segments on huge pages of a tmpfs of its own.
    Edge,
    /// Our edge, segments on 4 KB pages.
    EdgePages,
    /// Our edge on both cores.
    EdgeWide,
    Balancer,
    /// nginx, files on 4 KB pages.
    Nginx,
    /// nginx, files on the same huge pages.
    NginxHuge,
    /// nginx with a cache of open files.
    NginxCache,
    /// nginx with the answer in its settings (`return 200`), so in memory as HAProxy's.
    NginxText,
    /// nginx on both cores.
    NginxWide,
    HaProxy,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edge => "mascaret",
            Self::EdgePages => "mascaret, 4 KB pages",
            Self::EdgeWide => "mascaret, 2 cores",
            Self::Balancer => "mascaret lb",
            Self::Nginx => "nginx",
            Self::NginxHuge => "nginx, huge pages",
            Self::NginxCache => "nginx, open_file_cache",
            Self::NginxText => "nginx, return 200",
            Self::NginxWide => "nginx, 2 workers",
            Self::HaProxy => "haproxy",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Edge | Self::EdgePages | Self::EdgeWide | Self::Balancer)
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    CpuSecondsPerGb,
    CpuMicros,
    /// Of the server's processes alone: where it shares its cores with the viewers.
    ProcessMicros,
    PerCoreSecond,
    Bytes,
    Millis,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuSecondsPerGb => "CPU-s/GB",
            Self::CpuMicros => "CPU-µs each",
            Self::ProcessMicros => "process CPU-µs each",
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
    TlsBulk,
    Handshakes,
    /// Ten thousand idle connections.
    Idle {
        is_tls: bool,
    },
    /// Ten thousand held reloads.
    Reload,
    /// One message to ten thousand readers of chat.
    Chat,
    /// What such a reader costs in memory.
    ChatMemory,
    /// Messages at any moment, to a thousand readers.
    ChatShown,
    Far {
        connections: usize,
    },
    /// The playlist, by one core and by two.
    Cores,
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

const fn alone(ours: Who, bound: Bound) -> Goal {
    Goal { ours, theirs: None, bound }
}

use Bound::{AtLeast, AtMost, Told};
use Network::{Loopback, Veth};
use Who::{Balancer, Edge, EdgePages, EdgeWide, HaProxy, Nginx, NginxCache, NginxHuge, NginxText, NginxWide};

const SEGMENT: Kind = Kind::Segment { rendition: "1m", connections: 256 };

/// Every row, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        key: "segment",
        title: "1 MB segment, 256 connections",
        kind: SEGMENT,
        network: Veth,
        unit: Unit::CpuSecondsPerGb,
        who: &[Edge, Nginx, NginxHuge, EdgePages],
        goals: &[
            goal(Edge, Nginx, AtMost(0.75)),
            goal(Edge, NginxHuge, AtMost(1.0)),
            goal(EdgePages, Nginx, Told),
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
        who: &[Edge, Nginx, HaProxy, NginxCache, NginxText],
        goals: &[
            goal(Edge, Nginx, AtMost(0.55)),
            goal(Edge, HaProxy, AtMost(0.65)),
            goal(Edge, NginxCache, Told),
            goal(Edge, NginxText, AtMost(0.55)),
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
        who: &[Edge, Nginx, HaProxy, NginxText],
        goals: &[
            goal(Edge, Nginx, AtMost(0.75)),
            goal(Edge, HaProxy, Told),
            goal(Edge, NginxText, AtMost(0.75)),
        ],
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
    Row {
        key: "tls",
        title: "1 MB segment by TLS",
        kind: Kind::TlsBulk,
        network: Veth,
        unit: Unit::CpuSecondsPerGb,
        who: &[Edge, Nginx],
        goals: &[goal(Edge, Nginx, AtMost(0.30))],
        quick: &[Edge, Nginx],
    },
    Row {
        key: "tls-lo",
        title: "1 MB segment by TLS",
        kind: Kind::TlsBulk,
        network: Loopback,
        unit: Unit::CpuSecondsPerGb,
        who: &[Edge, Nginx],
        goals: &[goal(Edge, Nginx, AtMost(0.40))],
        quick: &[],
    },
    Row {
        key: "handshakes",
        title: "full TLS handshakes",
        kind: Kind::Handshakes,
        network: Veth,
        unit: Unit::PerCoreSecond,
        who: &[Edge, Nginx],
        goals: &[goal(Edge, Nginx, AtLeast(2.6))],
        quick: &[Edge, Nginx],
    },
    Row {
        key: "handshakes-lo",
        title: "full TLS handshakes",
        kind: Kind::Handshakes,
        network: Loopback,
        unit: Unit::PerCoreSecond,
        who: &[Edge, Nginx],
        goals: &[goal(Edge, Nginx, Told)],
        quick: &[],
    },
    Row {
        key: "idle",
        title: "memory of an idle connection, 10,000 of them",
        kind: Kind::Idle { is_tls: false },
        network: Veth,
        unit: Unit::Bytes,
        who: &[Edge, Nginx],
        goals: &[alone(Edge, AtMost(256.0)), alone(Nginx, Told)],
        quick: &[Edge],
    },
    Row {
        key: "idle-tls",
        title: "memory of an idle TLS connection, 10,000 of them",
        kind: Kind::Idle { is_tls: true },
        network: Veth,
        unit: Unit::Bytes,
        who: &[Edge, Nginx],
        goals: &[alone(Edge, AtMost(6.0 * 1024.0)), alone(Nginx, Told)],
        quick: &[],
    },
    Row {
        key: "reload",
        title: "10,000 held reloads released: the last answer after the segment",
        kind: Kind::Reload,
        network: Veth,
        unit: Unit::Millis,
        who: &[Edge],
        goals: &[alone(Edge, AtMost(50.0))],
        quick: &[Edge],
    },
    Row {
        key: "chat",
        title: "chat: a message to 10,000 readers, the last one has it",
        kind: Kind::Chat,
        network: Veth,
        unit: Unit::Millis,
        who: &[Edge],
        // By then the next batch is due.
        goals: &[alone(Edge, AtMost(200.0))],
        quick: &[],
    },
    Row {
        key: "chat-memory",
        title: "chat: memory of a reader, 10,000 of them",
        kind: Kind::ChatMemory,
        network: Veth,
        unit: Unit::Bytes,
        who: &[Edge],
        goals: &[alone(Edge, AtMost(512.0))],
        quick: &[],
    },
    Row {
        key: "chat-shown",
        title: "chat: said to shown at 1,000 readers, 99 of 100",
        kind: Kind::ChatShown,
        network: Veth,
        unit: Unit::Millis,
        who: &[Edge],
        goals: &[alone(Edge, AtMost(400.0))],
        quick: &[],
    },
    Row {
        key: "far",
        title: "far viewers, 200 at 20 Mbit/s",
        kind: Kind::Far { connections: 200 },
        network: Veth,
        unit: Unit::CpuSecondsPerGb,
        who: &[Edge, Nginx],
        goals: &[goal(Edge, Nginx, AtMost(1.0))],
        quick: &[],
    },
    Row {
        key: "cores",
        title: "2 KB playlist, one core and two",
        kind: Kind::Cores,
        network: Loopback,
        unit: Unit::ProcessMicros,
        who: &[Edge, EdgeWide, Nginx, NginxWide],
        goals: &[goal(EdgeWide, Edge, Told), goal(NginxWide, Nginx, Told)],
        quick: &[],
    },
];
