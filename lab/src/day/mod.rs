//! One day of a whole cluster in one process: the roles' own rooms on virtual time, wired over a simulated network, under
//! a seed.
//!
//! ```text
//! feed ─▶ ingest::bare ─▶ edgefan ═wires═▶ edgefan ─▶ edge::bare ─▶ delivery ◀─ asks ─ viewer
//!            ▲  │ orders                      │ load, streams ═wires═▶ lb::bare ◀─ asks ─┘
//!            └ encoder (reports)              ▼
//!                                  laws: checked at every step
//! ```
//!
//! Lives here: what happens in which order. Does not live here: what goes wrong (`weather`), what may not be (`laws`),
//! how many days are lived (`seeds`). Nothing is left to chance but by the seed: a day can be lived again, step by step.

mod agenda;
mod balancer;
mod edge;
mod encoder;
mod feed;
mod ingest;
mod laws;
mod network;
mod planted;

mod strike;
mod watcher;
mod weather;
mod wires;

pub use planted::Planted;

use crate::random::Random;
use agenda::{Agenda, MILLI, Micros, SECOND};
use balancer::Balancer;
use edge::Edge;
use feed::Feed;
use ingest::Ingest;
use laws::Laws;
use media::MediaTime;
use network::{Condition, Wire, WireId};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use timeline::Input;
use watcher::Watcher;
use weather::{Fault, Place, Weather};

/// What ran, when nothing broke.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lived {
    /// Steps taken.
    pub steps: u64,
    /// Segments that edges showed.
    pub segments: u64,
    /// Stalls of all viewers, and how long they lasted.
    pub stalls: u64,
    /// Their sum.
    pub stalled: Duration,
    /// A sum over everything edges and viewers saw: equal for two lives of one seed.
    pub digest: u64,
}

/// A law that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The seed of the day.
    pub seed: u64,
    /// The step it showed at.
    pub step: u64,
    /// Which law.
    pub law: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, step {}: {}: {}", self.seed, self.step, self.law, self.what)
    }
}

/// How a day is lived.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Every step's word on standard output.
    pub is_told: bool,
    /// No further than this step.
    pub until: Option<u64>,
    /// Without these of its faults.
    pub without: Vec<usize>,
    /// With this mistake planted.
    pub planted: Option<Planted>,
}

/// When the day began, for everybody's calendar: a moment that is on no grid.
const CALENDAR_MS: u64 = 1_795_000_000_700;

/// How often a node looks at the clock.
const LOOK_EVERY: Micros = 50 * MILLI;

/// Whether a node runs, and for which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Up(u64),
    Paused(u64),
    Down(u64),
}

impl Life {
    fn is_up(self) -> bool {
        matches!(self, Self::Up(_))
    }

    fn number(self) -> u64 {
        match self {
            Self::Up(number) | Self::Paused(number) | Self::Down(number) => number,
        }
    }
}

/// What is on the agenda.
#[derive(Debug)]
enum Happens {
    /// A node looks at the clock.
    Look { place: Place, life: u64 },
    /// The publisher makes a picture.
    Picture,
    /// What a publisher said reaches an ingest.
    Published { ingest: usize, life: u64, said: Vec<(Input, MediaTime)> },
    /// Something of its twin reaches an ingest; nothing: its link has changed.
    Twin { ingest: usize, life: u64, number: u64, said: Option<Box<twin::Said>> },
    /// What the transcode process makes of its orders reaches its ingest.
    Reported { ingest: usize, life: u64, work: ingest::Work },
    /// The first bytes of a way are at its end.
    Arrives { wire: WireId, way: usize },
    /// Word that the other end has ended is at this end.
    Ends { wire: WireId, end: usize },
    /// An edge dials.
    Dials { edge: usize, life: u64, peer: Place, attempt: u64 },
    /// What came of it.
    Dialled { edge: usize, life: u64, peer: Place, attempt: u64, tries: u32 },
    /// A balancer tried an edge's public URL.
    Probed { balancer: usize, life: u64, edge: usize, answered: bool },
    /// A viewer comes.
    Comes { viewer: usize },
    /// A viewer's deadline.
    Wakes { viewer: usize },
    /// A request reaches its server.
    Requests { viewer: usize, ask: viewer::AskId },
    /// Something of an answer reaches its viewer.
    Answers { viewer: usize, ask: viewer::AskId, said: watcher::Said },
    /// Viewers ask a balancer and are not seen again.
    Crowd { viewers: u64 },
    /// A fault begins.
    Strikes { fault: usize },
    /// It is over.
    Heals { fault: usize },
    /// Within a fault: the next of many restarts.
    Again { fault: usize, left: u64 },
}

/// A day under way.
pub struct Day {
    seed: u64,
    weather: Weather,
    manner: Manner,
    began: Instant,
    now: Micros,
    step: u64,
    agenda: Agenda<Happens>,
    random: Random,
    ingests: Vec<Ingest>,
    edges: Vec<Edge>,
    balancers: Vec<Balancer>,
    watchers: Vec<Watcher>,
    wires: Vec<Wire>,
    feed: Feed,
    twin: ingest::Twin,
    /// By fault: it strikes now.
    is_struck: Vec<bool>,
    /// By how much somebody's wall clock is off.
    off_ms: BTreeMap<Place, i64>,
    /// What happened to somebody who was paused.
    inbox: Vec<(Place, Happens)>,
    next_number: u64,
    laws: Laws,
    broken: Option<Broken>,
}

impl Day {
    /// The day of this seed.
    pub fn new(seed: u64, manner: Manner) -> Self {
        let mut weather = Weather::of(seed);
        let mut nth = 0;
        weather.faults.retain(|_| {
            nth += 1;
            !manner.without.contains(&(nth - 1))
        });
        let mut day = Self {
            seed,
            began: Instant::now(),
            now: 0,
            step: 0,
            agenda: Agenda::new(),
            random: Random::of(seed, 2),
            ingests: Vec::new(),
            edges: Vec::new(),
            balancers: Vec::new(),
            watchers: Vec::new(),
            wires: Vec::new(),
            feed: Feed::default(),
            twin: ingest::Twin::default(),
            is_struck: vec![false; weather.faults.len()],
            off_ms: BTreeMap::new(),
            inbox: Vec::new(),
            next_number: 1,
            laws: Laws::new(&weather),
            broken: None,
            weather,
            manner,
        };
        day.people();
        day
    }

    /// What goes wrong on it, a line each.
    pub fn faults(&self) -> Vec<String> {
        self.weather.faults.iter().map(ToString::to_string).collect()
    }

    /// Lives it to its end, or to the first law that does not hold.
    pub fn live(&mut self) -> Result<Lived, Broken> {
        if self.manner.is_told {
            let Weather { kind, feeding, edges, viewers, capacity, .. } = &self.weather;
            println!(
                "seed {}: {kind:?}, {feeding:?} fed, {edges} edges of {capacity} bit/s, {viewers} viewers",
                self.seed
            );
            self.weather
                .faults
                .iter()
                .enumerate()
                .for_each(|(nth, fault)| println!("  fault {nth}: {fault}"));
        }
        while let Some((at, happens)) = self.agenda.take() {
            if at > self.weather.ends || self.manner.until.is_some_and(|until| self.step >= until) {
                break;
            }
            self.now = at;
            self.step += 1;
            self.happen(happens);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        if self.manner.until.is_none() {
            self.judge_night();
        }
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(self.lived()),
        }
    }

    /// The step under way; after a panic, the one that panicked.
    pub fn step(&self) -> u64 {
        self.step
    }

    fn people(&mut self) {
        for index in 0..2 {
            self.ingests.push(Ingest::new());
            self.start(Place::Ingest(index));
        }
        for index in 0..2 {
            self.balancers.push(Balancer::new(self.seed, index));
            self.start(Place::Balancer(index));
        }
        for index in 0..self.weather.edges {
            self.edges.push(Edge::new(index, &self.weather));
            self.start(Place::Edge(index));
        }
        self.agenda.put(300 * MILLI, Happens::Picture);
        for viewer in 0..self.weather.viewers {
            let watcher = Watcher::new(&mut self.random, self.seed, viewer);
            self.watchers.push(watcher);
            let at = self.random.within(10 * SECOND, 12 * SECOND);
            self.agenda.put(at, Happens::Comes { viewer });
        }
        for (at, viewers) in self.weather.crowds.clone() {
            self.agenda.put(at, Happens::Crowd { viewers });
        }
        for (fault, Fault { from, until, .. }) in self.weather.faults.iter().enumerate() {
            self.agenda.put(*from, Happens::Strikes { fault });
            self.agenda.put(*until, Happens::Heals { fault });
        }
    }

    fn happen(&mut self, happens: Happens) {
        if let Some(place) = self.paused(&happens) {
            self.inbox.push((place, happens));
            return;
        }
        match happens {
            Happens::Look { place, life } => self.look(place, life),
            Happens::Picture => self.publish(),
            Happens::Published { ingest, life, said } => self.published(ingest, life, said),
            Happens::Twin { ingest, life, number, said } => self.twin_says(ingest, life, number, said),
            Happens::Reported { ingest, life, work } => self.reported(ingest, life, work),
            Happens::Arrives { wire, way } => self.arrives(wire, way),
            Happens::Ends { wire, end } => self.ends(wire, end),
            Happens::Dials { edge, life, peer, attempt } => self.dials(edge, life, peer, attempt),
            Happens::Dialled { edge, life, peer, attempt, tries } => {
                self.dialled(edge, life, peer, attempt, tries);
            }
            Happens::Probed { balancer, life, edge, answered } => self.probed(balancer, life, edge, answered),
            Happens::Comes { viewer } => self.comes(viewer),
            Happens::Wakes { viewer } => self.wakes(viewer),
            Happens::Requests { viewer, ask } => self.requests(viewer, ask),
            Happens::Answers { viewer, ask, said } => self.answers(viewer, ask, said),
            Happens::Crowd { viewers } => self.crowd(viewers),
            Happens::Strikes { fault } => self.strikes(fault),
            Happens::Heals { fault } => self.heals(fault),
            Happens::Again { fault, left } => self.strikes_again(fault, left),
        }
    }

    /// Who is paused and so hears of this later.
    fn paused(&self, happens: &Happens) -> Option<Place> {
        let place = match happens {
            Happens::Published { ingest, .. }
            | Happens::Twin { ingest, .. }
            | Happens::Reported { ingest, .. } => Place::Ingest(*ingest),
            Happens::Ends { wire, end } => self.wires[*wire].ends[*end],
            Happens::Dials { edge, .. } => Place::Edge(*edge),
            Happens::Look { place, .. } => *place,
            _ => return None,
        };
        matches!(self.life(place), Life::Paused(_)).then_some(place)
    }

    fn look(&mut self, place: Place, life: u64) {
        if self.life(place) != Life::Up(life) {
            return;
        }
        self.agenda.put(self.now + LOOK_EVERY, Happens::Look { place, life });
        match place {
            Place::Ingest(index) => self.look_ingest(index),
            Place::Edge(index) => self.look_edge(index),
            Place::Balancer(index) => self.look_balancer(index),
            Place::Publisher | Place::Viewer(_) => {}
        }
    }

    fn life(&self, place: Place) -> Life {
        match place {
            Place::Ingest(index) => self.ingests[index].life,
            Place::Edge(index) => self.edges[index].life,
            Place::Balancer(index) => self.balancers[index].life,
            Place::Publisher | Place::Viewer(_) => Life::Up(0),
        }
    }

    fn set_life(&mut self, place: Place, life: Life) {
        match place {
            Place::Ingest(index) => self.ingests[index].life = life,
            Place::Edge(index) => self.edges[index].life = life,
            Place::Balancer(index) => self.balancers[index].life = life,
            Place::Publisher | Place::Viewer(_) => {}
        }
    }

    /// A node that is down comes up.
    fn start(&mut self, place: Place) {
        let number = self.life(place).number() + 1;
        self.set_life(place, Life::Up(number));
        match place {
            Place::Ingest(index) => self.start_ingest(index),
            Place::Edge(index) => self.start_edge(index),
            Place::Balancer(index) => self.start_balancer(index),
            Place::Publisher | Place::Viewer(_) => {}
        }
        let first = self.now + self.random.within(MILLI, LOOK_EVERY);
        self.agenda.put(first, Happens::Look { place, life: number });
    }

    fn clock(&self) -> Instant {
        self.began + Duration::from_micros(self.now)
    }

    /// Milliseconds since the Unix epoch, as somebody's wall clock has it.
    fn unix_millis(&self, place: Place) -> u64 {
        let off = self.off_ms.get(&place).copied().unwrap_or(0);
        (CALENDAR_MS + self.now / MILLI).saturating_add_signed(off)
    }

    fn active(&self) -> impl Iterator<Item = &Fault> {
        self.weather.faults.iter().zip(&self.is_struck).filter(|(_, struck)| **struck).map(|(fault, _)| fault)
    }

    fn condition(&self, from: Place, to: Place) -> Condition {
        network::condition(from, to, self.active())
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.manner.is_told {
            println!("{:>6} {:>9.3}  {}", self.step, self.now as f64 / SECOND as f64, text());
        }
    }

    fn breaks(&mut self, law: &'static str, what: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(Broken { seed: self.seed, step: self.step, law, what: what.into() });
        }
    }

    fn lived(&self) -> Lived {
        let mut lived = Lived {
            steps: self.step,
            segments: self.laws.shown(),
            digest: self.laws.digest(),
            ..Lived::default()
        };
        for watcher in &self.watchers {
            if let Some(tally) = watcher.tally(self) {
                lived.stalls += u64::from(tally.stalls);
                lived.stalled += tally.stalled;
            }
        }
        lived
    }
}
