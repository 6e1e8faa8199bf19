//! Which edge a viewer gets.
//!
//! Lives here: what a balancer knows of edges and broadcasts, and the choice between edges. Does not live here:
//! the links it learns from (`edgefan`, `node`), the token that says what was chosen (`ticket`), the answer a
//! viewer reads (`lb`).
//!
//! Doors: [`Router::push`] what was heard, [`Router::pull`] what changed by it, [`Router::expire`] at
//! [`Router::deadline`] what time changed, and [`Router::decide`] for each viewer. A router belongs to one
//! thread; several of them (cores, balancers) agree by telling each other what they reserved.

mod broadcasts;
mod choice;
mod crowd;
mod edge;
mod moving;
mod room;
mod standing;
mod steer;

pub use broadcasts::{Broadcast, MAX_BROADCASTS};
pub use choice::{Ask, Decision, MAX_OTHERS, Saturation};
pub use crowd::{Crowd, CrowdError};
pub use edge::{Declared, Edge, Health, Load, PROBE_FALL, PROBE_RISE, SILENCE, SLOW_START, State};
pub use moving::QUIET;
pub use room::{EXCHANGED, RESERVATION_HOLD, RESERVATION_LIFE};
pub use standing::{Ruling, Standing};
pub use steer::{DRAIN_OVER, LEFT_GRACE, Moved, Steer, Steered, TTL, TTL_SHORT, Why};

use broadcasts::Broadcasts;
use media::{BitRate, BroadcastId, RunId, StreamFacts};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use ticket::EdgeId;

/// Edges one router knows. One more is refused and says so; the fleet of 100 the design aims at fits ten times.
pub const MAX_EDGES: usize = 1024;

/// How long an edge that left is remembered: its broadcasts answer 503 ("no edge") and not 404 meanwhile, and
/// it still counts as part of the fleet for the panic rule.
pub const FORGET: Duration = Duration::from_secs(60);

/// What a router may hear.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An edge came, or came back.
    Joined(Declared),
    /// Its heartbeat, every 250 ms.
    Load(EdgeId, Load),
    /// It has this broadcast, or has newer facts of it.
    Stream(EdgeId, StreamFacts),
    /// It has this run of a broadcast no longer.
    Over(EdgeId, BroadcastId, RunId),
    /// Its public URL answered our probe as it should, or did not.
    Probed(EdgeId, bool),
    /// Another core or balancer sent viewers there.
    Reserved(EdgeId, BitRate, By),
    /// So many other balancers are linked to this one, and tell what they reserve.
    Peers(u32),
    /// Viewers were told to leave it, here or at another core.
    Moved(EdgeId, Box<Crowd>),
    /// What the operator says of an edge, all of it, whether it has joined or not: its standing, and what holds
    /// in place of what it declares. [`Ruling::default`] takes it all back.
    Ruled(EdgeId, Ruling),
    /// Its control link closed.
    Left(EdgeId),
}

/// Who reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Another core of this balancer: what other balancers may not know of yet.
    Core,
    /// Another balancer.
    Balancer,
}

/// What became different. For logs, metrics and other routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An edge's health is another than before (`None`: it was not known, or is forgotten).
    Health {
        /// Which edge.
        edge: EdgeId,
        /// Before.
        from: Option<Health>,
        /// Now.
        to: Option<Health>,
        /// Viewers it had at its last heartbeat.
        viewers: u32,
    },
    /// The operator said otherwise of an edge.
    Standing {
        /// Which edge.
        edge: EdgeId,
        /// Before.
        from: Standing,
        /// Now.
        to: Standing,
        /// Viewers it had at its last heartbeat; 0 where it has not joined.
        viewers: u32,
    },
    /// Viewers were moved off an edge, and since [`QUIET`] no more of them.
    Moved {
        /// Which edge.
        edge: EdgeId,
        /// How many, each counted once.
        viewers: u64,
        /// From the first to the last.
        lasted: Duration,
    },
    /// Two edges have the same number in tokens (see `ticket`); harmless, another id would be better.
    NumberClash(EdgeId, EdgeId),
    /// A broadcast can be watched now, or has new facts.
    Live(BroadcastId),
    /// A broadcast is over, or no edge has it any more.
    Gone(BroadcastId),
}

/// Why something heard was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many edges.
    #[error("edge {0} is one more than the {MAX_EDGES} a balancer knows")]
    TooManyEdges(EdgeId),
    /// Too many broadcasts.
    #[error("broadcast {0} is one more than the {MAX_BROADCASTS} a balancer knows")]
    TooManyBroadcasts(BroadcastId),
    /// It has not said who it is.
    #[error("edge {0} has not joined")]
    NotJoined(EdgeId),
}

/// The fleet as one thread of a balancer sees it.
#[derive(Debug, Default)]
pub struct Router {
    /// Ordered, so that a choice depends on the seed and on nothing else.
    edges: BTreeMap<EdgeId, Edge>,
    broadcasts: Broadcasts,
    changes: VecDeque<Change>,
    /// What the operator said, of edges that have not joined too; what says nothing is not kept.
    rulings: BTreeMap<EdgeId, Ruling>,
    /// Other balancers that send viewers to the same edges.
    peers: u32,
    drain_over: DrainOver,
    /// When an edge that came back must have told what it has.
    recheck: Option<Instant>,
}

/// Over how long the viewers of a drained edge are moved.
#[derive(Clone, Copy, Debug)]
struct DrainOver(Duration);

impl Default for DrainOver {
    fn default() -> Self {
        Self(DRAIN_OVER)
    }
}

impl Router {
    /// One that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, moving the viewers of a drained edge over so long in place of [`DRAIN_OVER`].
    #[must_use]
    pub fn draining_over(mut self, window: Duration) -> Self {
        self.drain_over = DrainOver(window);
        self
    }

    /// Takes what was heard at `now`.
    pub fn push(&mut self, now: Instant, heard: Heard) -> Result<(), Refused> {
        match heard {
            Heard::Joined(declared) => self.joined(now, declared)?,
            Heard::Load(id, load) => self.known(id)?.heard_load(now, load),
            Heard::Probed(id, answered) => self.known(id)?.probed(now, answered),
            Heard::Reserved(id, rate, by) => self.known(id)?.reserve(now, rate, by),
            Heard::Peers(count) => self.peers = count,
            Heard::Moved(id, crowd) => self.known(id)?.moving.heard(now, &crowd),
            Heard::Ruled(id, ruling) => self.ruled(now, id, ruling)?,
            Heard::Left(id) => self.known(id)?.left(now),
            Heard::Over(id, broadcast, run) => {
                self.known(id.clone())?.heard(now);
                self.broadcasts.over(&id, &broadcast, run, &mut self.changes);
            }
            Heard::Stream(id, facts) => {
                self.known(id.clone())?.heard(now);
                self.broadcasts.told(now, id, facts, &mut self.changes)?;
            }
        }
        self.expire(now);
        Ok(())
    }

    /// What changed since the last call. Bounded by what was pushed and not pulled: a caller pulls until `None`
    /// after each push.
    pub fn pull(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`Router::expire`] is due, if nothing is heard until then.
    pub fn deadline(&self) -> Option<Instant> {
        let moving = self.edges.values().filter_map(|edge| edge.moving.deadline());
        self.edges.values().map(Edge::deadline).chain(moving).chain(self.recheck).min()
    }

    /// Lets time do what it does: edges fall silent, and are forgotten. Late or never called, the decisions are
    /// the same; only [`Change`]s come late.
    pub fn expire(&mut self, now: Instant) {
        let changes = &mut self.changes;
        let mut recheck = self.recheck.take_if(|due| now >= *due).is_some();
        self.edges.retain(|id, edge| {
            let keeps = !edge.is_forgotten(now);
            recheck |= !keeps;
            let health = keeps.then(|| edge.health(now));
            if health != edge.announced {
                let from = std::mem::replace(&mut edge.announced, health);
                let viewers = edge.load().map_or(0, |load| load.viewers);
                changes.push_back(Change::Health { edge: id.clone(), from, to: health, viewers });
            }
            if let Some((viewers, lasted)) = edge.moving.settle(now, keeps) {
                changes.push_back(Change::Moved { edge: id.clone(), viewers, lasted });
            }
            keeps
        });
        // Not at every heartbeat: a fleet of 100 edges has 400 of them a second.
        if recheck {
            let edges = &self.edges;
            self.broadcasts
                .keep(|id, told| edges.get(id).is_some_and(|edge| edge.still_carries(told, now)), changes);
        }
    }

    /// All edges, by id.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeId, &Edge)> {
        self.edges.iter()
    }

    /// One edge.
    pub fn edge(&self, id: &EdgeId) -> Option<&Edge> {
        self.edges.get(id)
    }

    /// All broadcasts, by name, those that ended and are still remembered among them.
    pub fn broadcasts(&self) -> impl Iterator<Item = &Broadcast> {
        self.broadcasts.iter()
    }

    /// What the operator said of edges, of those that have not joined too.
    pub fn rulings(&self) -> impl Iterator<Item = (&EdgeId, &Ruling)> {
        self.rulings.iter()
    }

    /// Other balancers that are linked.
    pub fn peers(&self) -> u32 {
        self.peers
    }

    /// One broadcast; a text that is no name is no broadcast.
    pub fn broadcast(&self, name: &str) -> Option<&Broadcast> {
        self.broadcasts.named(name)
    }

    fn joined(&mut self, now: Instant, declared: Declared) -> Result<(), Refused> {
        if let Some(edge) = self.edges.get_mut(&declared.id) {
            edge.joined_again(now, declared);
            self.recheck = Some(now + edge::RETELL);
            return Ok(());
        }
        if self.edges.len() >= MAX_EDGES {
            return Err(Refused::TooManyEdges(declared.id));
        }
        let number = declared.id.number();
        if let Some(other) = self.edges.keys().find(|id| id.number() == number) {
            self.changes.push_back(Change::NumberClash(other.clone(), declared.id.clone()));
        }
        let ruling = self.rulings.get(&declared.id).copied().unwrap_or_default();
        self.edges.insert(declared.id.clone(), Edge::new(now, declared, ruling));
        Ok(())
    }

    fn ruled(&mut self, now: Instant, id: EdgeId, ruling: Ruling) -> Result<(), Refused> {
        let is_new = !self.rulings.contains_key(&id);
        if is_new && ruling != Ruling::default() && self.rulings.len() >= MAX_EDGES {
            return Err(Refused::TooManyEdges(id));
        }
        let before = if ruling == Ruling::default() {
            self.rulings.remove(&id)
        } else {
            self.rulings.insert(id.clone(), ruling)
        };
        let mut viewers = 0;
        if let Some(edge) = self.edges.get_mut(&id) {
            edge.ruled(now, ruling);
            viewers = edge.load().map_or(0, |load| load.viewers);
        }
        let from = before.unwrap_or_default().standing;
        if from != ruling.standing {
            self.changes.push_back(Change::Standing { edge: id, from, to: ruling.standing, viewers });
        }
        Ok(())
    }

    fn known(&mut self, id: EdgeId) -> Result<&mut Edge, Refused> {
        match self.edges.get_mut(&id) {
            Some(edge) => Ok(edge),
            None => Err(Refused::NotJoined(id)),
        }
    }
}

#[cfg(test)]
mod tests;
