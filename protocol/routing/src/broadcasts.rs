//! Which broadcasts there are, and which edges have them.

use crate::{Change, Refused};
use media::{BitRate, BroadcastId, RunId, StreamFacts};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use ticket::{BroadcastHash, EdgeId};

/// Broadcasts one router knows. One more is refused and says so; the same number bounds what an edge takes.
pub const MAX_BROADCASTS: usize = 4096;

/// What a viewer is reckoned to take while its rendition's rate is not measured yet.
pub(crate) const RATE_UNTIL_MEASURED: BitRate = BitRate(4_000_000);

/// A broadcast as edges tell of it.
#[derive(Debug)]
pub struct Broadcast {
    facts: StreamFacts,
    hash: BroadcastHash,
    /// Who has it, and when it said so last.
    carriers: Vec<(EdgeId, Instant)>,
}

impl Broadcast {
    /// The newest that was told.
    pub fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    /// Its name, as tokens carry it.
    pub fn hash(&self) -> BroadcastHash {
        self.hash
    }

    /// Whether viewers can be sent to it: it goes on, and its renditions are known.
    pub fn is_live(&self) -> bool {
        !self.facts.has_ended && !self.facts.renditions.is_empty()
    }

    /// Whether that edge has it.
    pub fn is_carried_by(&self, edge: &EdgeId) -> bool {
        self.carriers.iter().any(|(carrier, _)| carrier == edge)
    }

    /// How many edges have it.
    pub fn carriers(&self) -> usize {
        self.carriers.len()
    }

    /// What a viewer of it takes: the top rendition, or the best after it.
    pub(crate) fn rate(&self, without_top: bool) -> BitRate {
        let renditions = &self.facts.renditions;
        let taken = if without_top { renditions.get(1) } else { None };
        let rate = taken.or_else(|| renditions.first()).map(|rendition| match rendition.average {
            BitRate(0) => rendition.peak,
            average => average,
        });
        rate.filter(|rate| rate.0 > 0).unwrap_or(RATE_UNTIL_MEASURED)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    known: BTreeMap<BroadcastId, Broadcast>,
}

impl Broadcasts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Broadcast> {
        self.known.values()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Broadcast> {
        self.known.get(name)
    }

    pub(crate) fn told(
        &mut self,
        now: Instant,
        by: EdgeId,
        facts: StreamFacts,
        changes: &mut VecDeque<Change>,
    ) -> Result<(), Refused> {
        let id = facts.broadcast.clone();
        let Some(broadcast) = self.known.get_mut(&id) else {
            if self.known.len() >= MAX_BROADCASTS {
                return Err(Refused::TooManyBroadcasts(id));
            }
            let hash = BroadcastHash::of(&id);
            let broadcast = Broadcast { facts, hash, carriers: vec![(by, now)] };
            if broadcast.is_live() {
                changes.push_back(Change::Live(id.clone()));
            }
            self.known.insert(id, broadcast);
            return Ok(());
        };
        match broadcast.carriers.iter_mut().find(|(carrier, _)| *carrier == by) {
            Some((_, told)) => *told = now,
            None => broadcast.carriers.push((by, now)),
        }
        // An edge that lags may tell of an old run after another told of the new one; and the end of a run that
        // one edge has seen is not taken back by an edge that has yet to see it.
        let is_older = facts.run < broadcast.facts.run;
        let is_taken_back = facts.run == broadcast.facts.run && broadcast.facts.has_ended && !facts.has_ended;
        if is_older || is_taken_back || facts == broadcast.facts {
            return Ok(());
        }
        let was_live = broadcast.is_live();
        broadcast.facts = facts;
        match (was_live, broadcast.is_live()) {
            (_, true) => changes.push_back(Change::Live(id)),
            (true, false) => changes.push_back(Change::Gone(id)),
            (false, false) => {}
        }
        Ok(())
    }

    /// That edge has that run no longer; a newer one it keeps.
    pub(crate) fn over(&mut self, by: &EdgeId, id: &BroadcastId, run: RunId, changes: &mut VecDeque<Change>) {
        if self.known.get(id).is_some_and(|broadcast| broadcast.facts.run <= run) {
            self.keep_of(id, |carrier, _| carrier != by, changes);
        }
    }

    fn keep_of(
        &mut self,
        id: &BroadcastId,
        holds: impl Fn(&EdgeId, Instant) -> bool,
        changes: &mut VecDeque<Change>,
    ) {
        let Some(broadcast) = self.known.get_mut(id) else { return };
        broadcast.carriers.retain(|(edge, told)| holds(edge, *told));
        if broadcast.carriers.is_empty() {
            if broadcast.is_live() {
                changes.push_back(Change::Gone(id.clone()));
            }
            self.known.remove(id);
        }
    }

    /// Forgets which edges have what, where `holds` says so, and what no edge has any more.
    pub(crate) fn keep(&mut self, holds: impl Fn(&EdgeId, Instant) -> bool, changes: &mut VecDeque<Change>) {
        let ids: Vec<BroadcastId> = self.known.keys().cloned().collect();
        ids.iter().for_each(|id| self.keep_of(id, &holds, changes));
    }
}
