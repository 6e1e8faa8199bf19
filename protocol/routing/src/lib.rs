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
mod edge;
mod room;

pub use broadcasts::{Broadcast, MAX_BROADCASTS};
pub use choice::{Ask, Decision, MAX_OTHERS, Saturation};
pub use edge::{Declared, Edge, Health, Load, PROBE_FALL, PROBE_RISE, SILENCE, SLOW_START, State};
pub use room::{RESERVATION_HOLD, RESERVATION_LIFE};

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
    Reserved(EdgeId, BitRate),
    /// Its control link closed.
    Left(EdgeId),
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
    /// When an edge that came back must have told what it has.
    recheck: Option<Instant>,
}

impl Router {
    /// One that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was heard at `now`.
    pub fn push(&mut self, now: Instant, heard: Heard) -> Result<(), Refused> {
        match heard {
            Heard::Joined(declared) => self.joined(now, declared)?,
            Heard::Load(id, load) => self.known(id)?.heard_load(now, load),
            Heard::Probed(id, answered) => self.known(id)?.probed(now, answered),
            Heard::Reserved(id, rate) => self.known(id)?.reserve(now, rate),
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
        self.edges.values().map(Edge::deadline).chain(self.recheck).min()
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
        self.edges.insert(declared.id.clone(), Edge::new(now, declared));
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
