//! The cells of the matrix: who is struck, by what, and what viewers may see of it.

use std::fmt;
use std::time::Duration;

/// Who is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The ingest that has the publisher.
    Ingest,
    Edge,
    Balancer,
    /// The directory.
    Etcd,
}

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Sigkill,
    Sigstop,
    BlackHoleIn,
    BlackHoleOut,
    BlackHole,
    /// Of a hundred datagrams five.
    Loss,
    /// 200 ms later, each way.
    Late,
    /// 1 Mbit/s, each way.
    Narrow,
    /// One in two hundred segments between nodes has another byte in it: TLS ends each link once or twice a second.
    CorruptByte,
    /// One in fifty: ten times a second.
    CorruptOften,
    /// The wall clock goes an hour on.
    ClockStep,
    /// Killed and started five times.
    RestartStorm,
    /// All of its kind are killed, for five minutes.
    AllGone,
    /// Between the ingests and it alone: of a hundred datagrams five are lost, all are 40 ms late.
    PoorFeed,
}

/// What befalls every kind of node.
const EVERYBODYS: [Trouble; 11] = [
    Trouble::Sigkill,
    Trouble::Sigstop,
    Trouble::BlackHoleIn,
    Trouble::BlackHoleOut,
    Trouble::BlackHole,
    Trouble::Loss,
    Trouble::Late,
    Trouble::Narrow,
    Trouble::CorruptByte,
    Trouble::ClockStep,
    Trouble::RestartStorm,
];

/// What may be seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Promise {
    /// Of viewers' time so much may be stalled.
    pub(crate) stall_ratio_max: f64,
    /// Viewers' broken promises (numbers back, other bytes behind one name, ...).
    pub(crate) faults_max: u64,
    /// Segments without media that viewers meet, over all of them.
    pub(crate) has_gaps: bool,
    /// Viewers have left the node by then.
    pub(crate) left_within: Option<Duration>,
    /// A new viewer is given an edge within this, all the time.
    pub(crate) entry_within: Option<Duration>,
    /// The edge has 99 of 100 segments so soon after the first of the others, or lets its viewers go.
    pub(crate) complete_within: Option<Duration>,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) target: Target,
    pub(crate) trouble: Trouble,
    pub(crate) promise: Promise,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match self.target {
            Target::Ingest => "ingest",
            Target::Edge => "edge",
            Target::Balancer => "lb",
            Target::Etcd => "etcd",
        };
        let trouble = match self.trouble {
            Trouble::Sigkill => "sigkill",
            Trouble::Sigstop => "sigstop",
            Trouble::BlackHoleIn => "black-hole-in",
            Trouble::BlackHoleOut => "black-hole-out",
            Trouble::BlackHole => "black-hole",
            Trouble::Loss => "loss-5",
            Trouble::Late => "200ms",
            Trouble::Narrow => "1mbit",
            Trouble::CorruptByte => "corrupt-byte",
            Trouble::CorruptOften => "corrupt-often",
            Trouble::ClockStep => "clock-step",
            Trouble::RestartStorm => "restart-storm",
            Trouble::AllGone => "all-gone-5min",
            Trouble::PoorFeed => "poor-feed",
        };
        write!(f, "{target}/{trouble}")
    }
}

/// What the design's table calls "nothing".
const NOTHING: Promise = Promise {
    stall_ratio_max: 0.0,
    faults_max: 0,
    has_gaps: false,
    left_within: None,
    entry_within: Some(Duration::from_millis(900)),
    complete_within: None,
};

/// The matrix, row by row.
pub(crate) fn cells() -> Vec<Cell> {
    use Trouble::*;
    let mut cells = Vec::new();
    let mut cell = |target, trouble, promise| cells.push(Cell { target, trouble, promise });
    let left = |seconds: f64| Promise { left_within: Some(Duration::from_secs_f64(seconds)), ..NOTHING };
    // The twin goes on with the last picture until the publisher has come to it; players play that.
    for trouble in EVERYBODYS {
        cell(Target::Ingest, trouble, NOTHING);
    }
    cell(Target::Ingest, CorruptOften, NOTHING);
    for (trouble, promise) in [
        (Sigkill, left(6.5)),
        (Sigstop, left(6.5)),
        (BlackHoleIn, left(6.5)),
        (BlackHoleOut, left(6.5)),
        (BlackHole, left(6.5)),
        (Loss, NOTHING),
        (Late, NOTHING),
        // The edge's own viewers share it with its feed; those who find it slow go.
        (Narrow, Promise { stall_ratio_max: 0.05, ..NOTHING }),
        (CorruptByte, NOTHING),
        (CorruptOften, NOTHING),
        (ClockStep, NOTHING),
        (RestartStorm, NOTHING),
    ] {
        cell(Target::Edge, trouble, promise);
    }
    for target in [Target::Balancer, Target::Etcd] {
        for trouble in EVERYBODYS {
            cell(target, trouble, NOTHING);
        }
    }
    // Half a target duration of two seconds.
    cell(Target::Edge, PoorFeed, Promise { complete_within: Some(Duration::from_secs(1)), ..NOTHING });
    cell(Target::Balancer, AllGone, Promise { entry_within: None, ..NOTHING });
    cell(Target::Etcd, AllGone, NOTHING);
    cells
}

impl Cell {
    /// How long the fault lasts.
    pub(crate) fn lasts(&self) -> Duration {
        match self.trouble {
            Trouble::AllGone => Duration::from_secs(300),
            Trouble::PoorFeed => Duration::from_secs(60),
            _ => Duration::from_secs(10),
        }
    }

    /// Whether it takes minutes, and so is lived only by whoever asks for it.
    pub(crate) fn is_long(&self) -> bool {
        self.lasts() > Duration::from_secs(60)
    }
}

/// Whether a name fits a pattern in which `*` is anything.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            let Some(rest) = name.strip_prefix(before) else { return false };
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| fits(after, &rest[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_it_says() {
        for (pattern, name, wanted) in [
            ("edge/*", "edge/sigkill", true),
            ("edge/*", "ingest/sigkill", false),
            ("*/black-hole*", "lb/black-hole-in", true),
            ("*", "lb/black-hole-in", true),
            ("edge/sigkill", "edge/sigkill", true),
            ("edge/sig", "edge/sigkill", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names: Vec<String> = cells().iter().map(ToString::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (49, 49));
    }
}
