//! The choice: power of two, drawn by room.
//!
//! Two edges are drawn, each with a chance in proportion to its free Mbit/s, its weight and its warmth; the one
//! filled less of what it can hold wins. Drawing by room makes unequal edges fill evenly, comparing two keeps
//! balancers that know the same slightly old numbers from running to the same edge.

use crate::broadcasts::RATE_UNTIL_MEASURED;
use crate::{By, Edge, Health, Router};
use media::BitRate;
use std::time::{Duration, Instant};
use ticket::EdgeId;

/// Pathways behind the assigned one.
pub const MAX_OTHERS: usize = 2;

/// Of the fleet's usable Mbit/s: from here on new viewers get no top rendition.
const TOP_FOR_OLD_VIEWERS_ONLY: f64 = 0.85;
/// From here on nobody should.
const TOP_FOR_NOBODY: f64 = 0.95;
/// Refused viewers are asked to come back after 2 to 5 seconds, so that they do not come back together.
const RETRY_AFTER_SECS: std::ops::Range<u64> = 2..6;

/// What a viewer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What it wants to watch.
    pub broadcast: &'a str,
    /// Where it was until now: it stays while that edge is fit and has room.
    pub last: Option<&'a EdgeId>,
    /// A random number; the choice depends on this and on what was heard, on nothing else.
    pub random: u64,
}

/// Where a viewer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There.
    Go {
        /// Where.
        edge: EdgeId,
        /// Where else, best first, should that edge fail.
        others: Vec<EdgeId>,
        /// The fleet is short of room: leave out the top rendition.
        without_top: bool,
        /// What was reserved there, for other cores and balancers to know.
        reserved: BitRate,
    },
    /// Every edge is full.
    Full {
        /// When to ask again.
        retry_after: Duration,
    },
    /// No edge may be used.
    NoEdge {
        /// When to ask again.
        retry_after: Duration,
    },
    /// There is no such broadcast, or it has ended.
    NoBroadcast,
}

/// How full the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saturation {
    /// Room for all.
    Room,
    /// From 85 %: new viewers get no top rendition.
    TopForOldViewersOnly,
    /// From 95 %: no viewer should get the top rendition.
    TopForNobody,
    /// 100 %: new viewers are refused.
    Full,
}

impl Saturation {
    /// For people and for labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::TopForOldViewersOnly => "top for old viewers only",
            Self::TopForNobody => "top for nobody",
            Self::Full => "full",
        }
    }

    /// Of so many bits per second usable, so many promised.
    pub fn of(promised: BitRate, usable: BitRate) -> Self {
        if promised >= usable {
            return Self::Full;
        }
        match promised.0 as f64 / usable.0 as f64 {
            share if share >= TOP_FOR_NOBODY => Self::TopForNobody,
            share if share >= TOP_FOR_OLD_VIEWERS_ONLY => Self::TopForOldViewersOnly,
            _ => Self::Room,
        }
    }
}

/// An edge that may be chosen, with what the choice needs of it.
struct Candidate<'a> {
    id: &'a EdgeId,
    edge: &'a Edge,
    promised: BitRate,
    usable: BitRate,
    /// How likely it is drawn.
    chance: f64,
    /// How full it is for its weight.
    filled: f64,
}

impl<'a> Candidate<'a> {
    fn of(id: &'a EdgeId, edge: &'a Edge, now: Instant) -> Self {
        let (promised, usable) = (edge.promised(now), edge.usable());
        let free = BitRate(usable.0.saturating_sub(promised.0));
        let weight = f64::from(edge.weight());
        // Never nothing: when all are full, some edge must still be second in the list.
        let chance = (free.0 as f64).max(1.0) * weight * edge.warmth(now);
        let filled = promised.0 as f64 / (usable.0.max(1) as f64 * weight);
        Self { id, edge, promised, usable, chance, filled }
    }
}

impl Router {
    /// Where this viewer goes, and reserves its rate there.
    pub fn decide(&mut self, now: Instant, ask: Ask<'_>) -> Decision {
        let mut random = Random(ask.random);
        let retry_after = Duration::from_secs(random.within(RETRY_AFTER_SECS));
        let Some(broadcast) = self.broadcasts.named(ask.broadcast).filter(|broadcast| broadcast.is_live())
        else {
            return Decision::NoBroadcast;
        };
        let (mut fit, mut lagging, mut doubtful) = (Vec::new(), Vec::new(), Vec::new());
        for (id, edge) in &self.edges {
            if edge.refuses() || !broadcast.is_carried_by(id) {
                continue;
            }
            let side = match edge.health(now) {
                Health::Ready => &mut fit,
                Health::Lagging => &mut lagging,
                _ => &mut doubtful,
            };
            side.push(Candidate::of(id, edge, now));
        }
        // The panic rule: when more than half of the fleet seems gone or late, it is likelier that we see badly, or that
        // what is late is late for all. Then lag is no reason against an edge, and health refuses nobody any more, it
        // only puts the doubtful behind the fit that have room.
        let panics = fit.len() < lagging.len() + doubtful.len();
        if panics {
            fit.append(&mut lagging);
        }
        let (promised, usable) = total(if fit.is_empty() { &doubtful } else { &fit });
        let without_top = Saturation::of(promised, usable) >= Saturation::TopForOldViewersOnly;
        let rate = broadcast.rate(without_top);
        let peers = self.peers;
        let has_room = |candidate: &Candidate<'_>| candidate.edge.has_room(now, rate, peers);

        let mut pool: Vec<Candidate<'_>> = fit;
        let mut spare = if panics { doubtful } else { Vec::new() };
        if !pool.iter().any(has_room) {
            pool.append(&mut spare);
        }
        if pool.is_empty() {
            return Decision::NoEdge { retry_after };
        }
        let stays = ask.last.and_then(|last| pool.iter().position(|edge| edge.id == last && has_room(edge)));
        let Some(place) = stays.or_else(|| draw(&pool, has_room, &mut random)) else {
            return Decision::Full { retry_after };
        };
        let edge = pool.remove(place).id.clone();
        let mut others = Vec::with_capacity(MAX_OTHERS);
        for pool in [&mut pool, &mut spare] {
            while others.len() < MAX_OTHERS
                && let Some(place) =
                    draw(pool, has_room, &mut random).or_else(|| draw(pool, |_| true, &mut random))
            {
                others.push(pool.remove(place).id.clone());
            }
        }
        if let Some(chosen) = self.edges.get_mut(&edge) {
            chosen.reserve(now, rate, By::Core);
        }
        Decision::Go { edge, others, without_top, reserved: rate }
    }

    /// Up to `count` edges for somebody of whom nothing is known, not even what he watches, best first; those that
    /// are full last. What a viewer takes is reserved at the first.
    pub fn pick(&mut self, now: Instant, random: u64, count: usize) -> Vec<EdgeId> {
        let (mut random, peers) = (Random(random), self.peers);
        let mut pool = self.taking(now);
        let has_room = |candidate: &Candidate<'_>| candidate.edge.has_room(now, RATE_UNTIL_MEASURED, peers);
        let mut picked = Vec::with_capacity(count);
        while picked.len() < count
            && let Some(place) =
                draw(&pool, has_room, &mut random).or_else(|| draw(&pool, |_| true, &mut random))
        {
            picked.push(pool.remove(place).id.clone());
        }
        if let Some(edge) = picked.first().and_then(|id| self.edges.get_mut(id)) {
            edge.reserve(now, RATE_UNTIL_MEASURED, By::Core);
        }
        picked
    }

    /// How full the edges are that viewers may be sent to.
    pub fn saturation(&self, now: Instant) -> Saturation {
        let (promised, usable) = total(&self.taking(now));
        Saturation::of(promised, usable)
    }

    /// Edges that viewers may be sent to, whatever they watch.
    fn taking(&self, now: Instant) -> Vec<Candidate<'_>> {
        let is_lag_ignored = self.panics(now, |_| true);
        let may = |edge: &Edge| match edge.health(now) {
            Health::Ready => !edge.refuses(),
            Health::Lagging => is_lag_ignored && !edge.refuses(),
            _ => false,
        };
        let fit = self.edges.iter().filter(|(_, edge)| may(edge));
        fit.map(|(id, edge)| Candidate::of(id, edge, now)).collect()
    }
}

fn total(candidates: &[Candidate<'_>]) -> (BitRate, BitRate) {
    let sum = |of: fn(&Candidate<'_>) -> u64| BitRate(candidates.iter().map(of).fold(0, u64::saturating_add));
    (sum(|edge| edge.promised.0), sum(|edge| edge.usable.0))
}

/// The better of two drawn among those that `may` be taken.
fn draw(pool: &[Candidate<'_>], may: impl Fn(&Candidate<'_>) -> bool, random: &mut Random) -> Option<usize> {
    let first = draw_one(pool, &may, None, random)?;
    let Some(second) = draw_one(pool, &may, Some(first), random) else {
        return Some(first);
    };
    Some(if pool[second].filled < pool[first].filled { second } else { first })
}

fn draw_one(
    pool: &[Candidate<'_>],
    may: &impl Fn(&Candidate<'_>) -> bool,
    but: Option<usize>,
    random: &mut Random,
) -> Option<usize> {
    let drawn = |place: usize| Some(place) != but && may(&pool[place]);
    let sum: f64 = (0..pool.len()).filter(|&place| drawn(place)).map(|place| pool[place].chance).sum();
    let mut point = random.unit() * sum;
    let mut last = None;
    for place in (0..pool.len()).filter(|&place| drawn(place)) {
        last = Some(place);
        point -= pool[place].chance;
        if point < 0.0 {
            break;
        }
    }
    last
}

/// SplitMix64 (Steele, Lea, Flood 2014): several numbers out of the one a viewer brings.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to but not including 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}
