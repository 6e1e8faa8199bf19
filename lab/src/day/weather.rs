//! A day's plan, all of it from the seed: who is there, what is published to whom, what goes wrong and when.
//!
//! Lives here: faults as values. Does not live here: what they do (`strike`), what may not happen all the same (`laws`).

use super::agenda::{MILLI, Micros, SECOND};
use crate::random::Random;
use std::fmt;

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Publisher,
    Ingest(usize),
    Edge(usize),
    Balancer(usize),
    Viewer(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher => f.write_str("publisher"),
            Self::Ingest(index) => write!(f, "ingest{index}"),
            Self::Edge(index) => write!(f, "edge{index}"),
            Self::Balancer(index) => write!(f, "lb{index}"),
            Self::Viewer(index) => write!(f, "viewer{index}"),
        }
    }
}

/// Which of the two directions of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    In,
    Out,
    Both,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// SIGKILL, and a start with nothing but what is on disk when it is over.
    Kill(Place),
    /// SIGSTOP, and SIGCONT when it is over.
    Pause(Place),
    /// Nothing comes to it, leaves it, or both.
    BlackHole(Place, Side),
    /// Nothing goes from the first to the second, or back, or both.
    Cut(Place, Place, Side),
    /// So much later each way.
    Slow(Place, Micros),
    /// Of a hundred segments of TCP so many are lost.
    Loss(Place, u64),
    /// So many bytes per millisecond and connection.
    Narrow(Place, u64),
    /// A byte of an object changes where TLS does not see it.
    CorruptObject(usize, usize),
    /// A byte on the wire changes: TLS ends the connection.
    CorruptWire(usize, usize),
    /// Its wall clock is set by so many milliseconds.
    ClockStep(Place, i64),
    /// The transcode process of an ingest dies.
    EncoderDies(usize),
    /// The publisher's connection breaks; it comes back when it is over.
    PublisherGone,
    /// Killed and started so many times.
    RestartStorm(Place, u64),
}

/// One thing that goes wrong, from when to when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) trouble: Trouble,
    pub(crate) from: Micros,
    pub(crate) until: Micros,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Micros| at as f64 / SECOND as f64;
        write!(f, "{:?} from {:.2} s to {:.2} s", self.trouble, seconds(self.from), seconds(self.until))
    }
}

/// What kind of day it is, and so what viewers may see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing goes wrong: no gap, no stall.
    Calm,
    /// One fault of which the cluster promises that viewers see nothing.
    Unnoticed,
    /// One fault that may be seen, and must be over when it is over.
    Seen,
    /// Several at once: safety alone, and that everything comes back.
    Storm,
}

/// Who is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feeding {
    /// One, and through it its twin.
    Both,
    /// One, which has no twin; the other when that one is gone.
    One,
}

/// The plan.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    pub(crate) kind: Kind,
    pub(crate) feeding: Feeding,
    pub(crate) edges: usize,
    pub(crate) viewers: usize,
    pub(crate) blocking_reload: bool,
    /// What each edge declares, bit/s.
    pub(crate) capacity: u64,
    /// One way, of links between nodes.
    pub(crate) latency: (Micros, Micros),
    /// Viewers that ask a balancer at once, and then are not seen again; when.
    pub(crate) crowds: Vec<(Micros, u64)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) ends: Micros,
}

/// When nothing has gone wrong yet, and every edge lists three segments.
const NOON: Micros = 17 * SECOND;
/// Faults are over by then.
const DUSK: Micros = 30 * SECOND;
/// Everybody has had time to come back: backoffs of 2 s, a window of 12 s; and an edge that lagged the 16 s in which
/// nothing may come late, after what the fault has held back.
const NIGHT: Micros = 52 * SECOND;

impl Weather {
    /// Nothing happens to an ingest, nor between the two.
    pub(crate) fn sees_nothing_of_ingests(&self) -> bool {
        self.faults.iter().all(|fault| match fault.trouble {
            Trouble::Kill(place)
            | Trouble::Pause(place)
            | Trouble::BlackHole(place, _)
            | Trouble::Slow(place, _)
            | Trouble::Loss(place, _)
            | Trouble::Narrow(place, _)
            | Trouble::ClockStep(place, _)
            | Trouble::RestartStorm(place, _) => !matches!(place, Place::Ingest(_)),
            Trouble::PublisherGone | Trouble::EncoderDies(_) => false,
            Trouble::Cut(..) | Trouble::CorruptObject(..) | Trouble::CorruptWire(..) => true,
        })
    }

    /// An ingest that led may have been silent to its twin and not gone: the twin stands in with filler under the same
    /// term, and what the first makes when it is heard again is another picture of the same number. Two cannot know which
    /// of them is cut off; which edge shows which is the one thing left to chance (`twin::Seat`).
    pub(crate) fn splits_twins(&self) -> bool {
        let splits = |fault: &Fault| {
            matches!(
                fault.trouble,
                Trouble::Pause(Place::Ingest(_)) | Trouble::BlackHole(Place::Ingest(_), _)
            )
        };
        self.feeding == Feeding::Both && self.faults.iter().any(splits)
    }

    /// The plan of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let kind = match random.below(10) {
            0 => Kind::Calm,
            1..=4 => Kind::Unnoticed,
            5..=6 => Kind::Seen,
            _ => Kind::Storm,
        };
        let edges = 2 + random.below(3);
        let mut weather = Self {
            kind,
            feeding: if random.happens(60) { Feeding::Both } else { Feeding::One },
            edges,
            viewers: 2 + random.below(3),
            blocking_reload: random.happens(50),
            capacity: random.within(400_000, 2_000_000),
            latency: (200, random.within(1, 40) * MILLI),
            crowds: (0..random.below(3))
                .map(|_| (random.within(10, 40) * SECOND, random.within(5, 160)))
                .collect(),
            faults: Vec::new(),
            ends: NIGHT,
        };
        let count = match kind {
            Kind::Calm => 0,
            Kind::Unnoticed | Kind::Seen => 1,
            Kind::Storm => 2 + random.below(4),
        };
        for _ in 0..count {
            let trouble = match kind {
                Kind::Unnoticed => unnoticed(&mut random, &mut weather),
                _ => any(&mut random, edges),
            };
            let from = random.within(NOON, NOON + 5 * SECOND);
            let until = match trouble {
                Trouble::RestartStorm(..) => DUSK - SECOND,
                _ => from + random.within(SECOND / 2, 8 * SECOND),
            };
            weather.faults.push(Fault { trouble, from, until });
        }
        weather
    }
}

/// What the design's table says "nothing" of.
fn unnoticed(random: &mut Random, weather: &mut Weather) -> Trouble {
    let (edge, ingest, balancer) = (random.below(weather.edges), random.below(2), random.below(2));
    let side = side(random);
    match random.below(12) {
        0 => {
            weather.feeding = Feeding::Both;
            Trouble::Kill(Place::Ingest(ingest))
        }
        1 => {
            weather.feeding = Feeding::Both;
            Trouble::Pause(Place::Ingest(ingest))
        }
        2 => Trouble::Kill(Place::Edge(edge)),
        3 => Trouble::Pause(Place::Edge(edge)),
        4 => Trouble::BlackHole(Place::Edge(edge), side),
        5 => {
            weather.feeding = Feeding::Both;
            Trouble::Cut(Place::Ingest(ingest), Place::Edge(edge), side)
        }
        6 => Trouble::Kill(Place::Balancer(balancer)),
        7 => Trouble::BlackHole(Place::Balancer(balancer), side),
        8 => {
            weather.feeding = Feeding::Both;
            Trouble::CorruptObject(ingest, edge)
        }
        9 => {
            weather.feeding = Feeding::Both;
            Trouble::CorruptWire(ingest, edge)
        }
        10 => Trouble::EncoderDies(ingest),
        _ => Trouble::ClockStep(
            [Place::Ingest(ingest), Place::Edge(edge), Place::Balancer(balancer)][random.below(3)],
            step(random),
        ),
    }
}

fn any(random: &mut Random, edges: usize) -> Trouble {
    let (edge, ingest, balancer) = (random.below(edges), random.below(2), random.below(2));
    let place = [Place::Ingest(ingest), Place::Edge(edge), Place::Balancer(balancer)][random.below(3)];
    match random.below(13) {
        0 => Trouble::Kill(place),
        1 => Trouble::Pause(place),
        2 => Trouble::BlackHole(place, side(random)),
        3 => Trouble::Cut(Place::Ingest(ingest), Place::Edge(edge), side(random)),
        4 => Trouble::Cut(Place::Balancer(balancer), Place::Edge(edge), side(random)),
        5 => Trouble::Slow(place, random.within(20, 300) * MILLI),
        6 => Trouble::Loss(place, random.within(1, 15)),
        7 => Trouble::Narrow(place, random.within(1, 40)),
        8 => Trouble::CorruptObject(ingest, edge),
        9 => Trouble::CorruptWire(ingest, edge),
        10 => Trouble::ClockStep(place, step(random)),
        11 if random.happens(50) => Trouble::EncoderDies(ingest),
        11 => Trouble::PublisherGone,
        _ => Trouble::RestartStorm(place, random.within(2, 6)),
    }
}

fn side(random: &mut Random) -> Side {
    [Side::In, Side::Out, Side::Both][random.below(3)]
}

/// Up to an hour, either way.
fn step(random: &mut Random) -> i64 {
    let by = random.within(100, 3_600_000) as i64;
    if random.happens(50) { by } else { -by }
}
