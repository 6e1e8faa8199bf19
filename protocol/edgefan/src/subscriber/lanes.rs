//! Whose segments are listened to: terms, copies that only fill holes, and who is in quarantine.
//!
//! Whoever relays passes on the best that its sources say of each number. It makes nothing itself, so nothing that it sends
//! puts it in quarantine, and while it has said nothing (an earlier version never does) it is heard as one without terms.
//!
//! Does not live here: what becomes of a copy that is taken (`transfer`, `objects`).

use super::source::View;

use super::{Forward, Subscriber};
use crate::limits::{LANES, REFUSED_FOR};
use crate::{Event, Lane, LaneStanding, SourceId};
use media::{BroadcastId, MediaSequence, ObjectKey};
use std::cmp::Reverse;
use std::time::Instant;

/// How one source's copy of one object is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hearing {
    /// As if it had not been sent: of an older term, or from one in quarantine.
    Refused,
    /// Kept, and taken when nobody better has it.
    FillsHoles,
    /// As good as any.
    Full,
}

/// The newest term of a broadcast, and when the last source that had it went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewestTerm {
    term: u64,
    /// From here on it counts: as who leads by it says, else as any who has it.
    from: MediaSequence,
    is_of_leader: bool,
    gone_at: Option<Instant>,
}

impl NewestTerm {
    /// Whether it counts for this object, and `term` is older.
    fn is_above(self, term: u64, key: &ObjectKey, now: Instant) -> bool {
        let counts = self.gone_at.is_none_or(|at| now.saturating_duration_since(at) < REFUSED_FOR);
        counts && key.sequence >= self.from && term < self.term
    }

    /// When those of an older term are heard again, if whoever had this one is gone.
    pub(super) fn until(self) -> Option<Instant> {
        self.gone_at.map(|at| at + REFUSED_FOR)
    }
}

fn next(sequence: MediaSequence) -> MediaSequence {
    MediaSequence(sequence.0.saturating_add(1))
}

impl Subscriber {
    /// A source says under which term its segments are made.
    pub(super) fn lane_is(&mut self, id: SourceId, lane: Lane) {
        let broadcast = lane.broadcast.clone();
        let Some(source) = self.sources.get_mut(&id) else { return };
        let Some(view) = source.broadcasts.get_mut(&broadcast) else { return };
        if view.lanes.last().is_none_or(|last| last.term != lane.term) {
            view.is_quarantined = false;
        }
        view.lanes.retain(|earlier| earlier.from < lane.from);
        view.lanes.push(lane.clone());
        if view.lanes.len() > LANES {
            view.lanes.remove(0);
        }
        if let Some(known) = self.broadcasts.get_mut(&broadcast) {
            let (newest, is_of_leader) = (&mut known.newest_term, lane.standing == LaneStanding::Leads);
            if lane.term > newest.term {
                *newest = NewestTerm { term: lane.term, from: lane.from, is_of_leader, gone_at: None };
            } else if lane.term == newest.term {
                // One who comes to follow says it of numbers that it has not made, and the leader had made under the term
                // before: what there is of those is not to be refused.
                if is_of_leader && !newest.is_of_leader {
                    (newest.from, newest.is_of_leader) = (lane.from, true);
                } else if is_of_leader || !newest.is_of_leader {
                    newest.from = newest.from.min(lane.from);
                }
                newest.gone_at = None;
            }
        }
        self.lanes_said.insert(broadcast);
    }

    /// Whoever is dialled anew, and a relay whose ingest was, tells terms one after the other, oldest first: what follows of
    /// them is done when something else comes, or nothing. By the first alone what is on its way would be let go, and be
    /// asked for once more.
    pub(super) fn lanes_are_said(&mut self, now: Instant) {
        for broadcast in std::mem::take(&mut self.lanes_said) {
            // It may be the last that had the newest one: a relay that lost who leads.
            self.note_gone(&broadcast, now);
            if self.settings.relays {
                let best = self.best_lanes(&broadcast);
                self.pass_on(&broadcast, best);
            }
            self.drop_refused(&broadcast, now);
            self.tell(&broadcast);
        }
    }

    /// What the sources that are there say of each number, the best of it: the newest term, and under it who leads.
    fn best_lanes(&self, broadcast: &BroadcastId) -> Vec<Lane> {
        let views = self.sources.values().filter_map(|source| source.broadcasts.get(broadcast));
        let views: Vec<&View> = views.filter(|view| !view.is_quarantined && !view.lanes.is_empty()).collect();
        let mut froms: Vec<_> = views.iter().flat_map(|view| &view.lanes).map(|lane| lane.from).collect();
        froms.sort_unstable();
        froms.dedup();
        let mut best: Vec<Lane> = Vec::new();
        for from in froms {
            let at = views.iter().filter(|view| view.lanes.first().is_some_and(|lane| lane.from <= from));
            let at = at.map(|view| view.lane_at(from));
            let Some((term, standing)) = at.max_by_key(|(term, standing)| (*term, Reverse(*standing))) else {
                continue;
            };
            if best.last().is_none_or(|last| (last.term, last.standing) != (term, standing)) {
                best.push(Lane { broadcast: broadcast.clone(), term, from, standing });
            }
        }
        let surplus = best.len().saturating_sub(LANES);
        best.split_off(surplus)
    }

    /// A source is gone: what comes from the next number on is worth what those that are left say. What is here was passed
    /// on as what it is.
    pub(super) fn pass_on_after_loss(&mut self, broadcast: &BroadcastId) {
        if !self.settings.relays {
            return;
        }
        let Some(known) = self.broadcasts.get(broadcast) else { return };
        let (best, next) =
            (self.best_lanes(broadcast), known.settled.newest().map_or(MediaSequence(0), next));
        // With nobody there nothing comes that could be worth less.
        let Some(at) = best.iter().rev().find(|lane| lane.from <= next).or_else(|| best.first()) else {
            return;
        };
        let mut wanted = known.passed_on.clone();
        wanted.retain(|lane| lane.from < next.max(at.from));
        if wanted.last().is_none_or(|last| (last.term, last.standing) != (at.term, at.standing)) {
            wanted.push(Lane { from: next.max(at.from), ..at.clone() });
        }
        wanted.extend(best.iter().filter(|lane| lane.from > next.max(at.from)).cloned());
        let surplus = wanted.len().saturating_sub(LANES);
        self.pass_on(broadcast, wanted.split_off(surplus));
    }

    /// Says as little as makes what was passed on before into `wanted`: a lane takes the place of all that begin with its
    /// number or later.
    fn pass_on(&mut self, broadcast: &BroadcastId, wanted: Vec<Lane>) {
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        let Some(first) = wanted.first() else { return };
        // Too long ago for anybody to know.
        known.passed_on.retain(|lane| lane.from >= first.from);
        let same = known.passed_on.iter().zip(&wanted).take_while(|(one, other)| one == other).count();
        let is_covered = match (known.passed_on.get(same), wanted.get(same)) {
            (None, _) => true,
            (Some(said), Some(wanted)) => wanted.from <= said.from,
            (Some(_), None) => false,
        };
        let again = if is_covered { same } else { same.saturating_sub(1) };
        self.forwards.extend(wanted[again..].iter().cloned().map(Forward::Lane));
        known.passed_on = wanted;
    }

    /// A source is gone, or not listened to any more: its term still counts for a while.
    pub(super) fn note_gone(&mut self, broadcast: &BroadcastId, now: Instant) {
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        let term = known.newest_term.term;
        let views = self.sources.values().filter_map(|source| source.broadcasts.get(broadcast));
        let has_it = |view: &View| view.lanes.last().is_some_and(|lane| lane.term == term);
        let is_there = views.into_iter().any(|view| !view.is_quarantined && has_it(view));
        if !is_there {
            known.newest_term.gone_at.get_or_insert(now);
        }
    }

    /// Whether a source has said by which term it makes this broadcast.
    pub(super) fn has_lane(&self, id: SourceId, key: &ObjectKey) -> bool {
        let view = self.sources.get(&id).and_then(|source| source.broadcasts.get(&key.broadcast));
        view.is_some_and(|view| !view.lanes.is_empty())
    }

    /// Whether this source makes this object under an older term than one that counts here: what it sends of it is not
    /// to be shown.
    pub fn is_of_an_old_term(&self, id: SourceId, key: &ObjectKey, now: Instant) -> bool {
        let view = self.sources.get(&id).and_then(|source| source.broadcasts.get(&key.broadcast));
        let known = self.broadcasts.get(&key.broadcast);
        view.zip(known)
            .is_some_and(|(view, known)| known.newest_term.is_above(view.lane_at(key.sequence).0, key, now))
    }

    pub(super) fn hearing(&self, id: SourceId, key: &ObjectKey, now: Instant) -> Hearing {
        let view = |id: &SourceId| self.sources.get(id)?.broadcasts.get(&key.broadcast);
        let Some(ours) = view(&id) else { return Hearing::Refused };
        if ours.is_quarantined {
            return Hearing::Refused;
        }
        if ours.lanes.is_empty() && self.sources.get(&id).is_some_and(|source| source.is_relay) {
            return Hearing::Full;
        }
        let (term, standing) = ours.lane_at(key.sequence);
        let known = self.broadcasts.get(&key.broadcast);
        if known.is_some_and(|known| known.newest_term.is_above(term, key, now)) {
            return Hearing::Refused;
        }
        let others = self.sources.keys().filter(|other| **other != id).filter_map(view);
        let best = others.filter(|view| !view.is_quarantined).map(|view| view.lane_at(key.sequence));
        let is_second = standing == LaneStanding::Second
            && best.into_iter().any(|(other, standing)| other == term && standing != LaneStanding::Second);
        if is_second { Hearing::FillsHoles } else { Hearing::Full }
    }

    /// Two sources made different bytes of one object under one term: the younger is not listened to any more.
    pub(super) fn quarantine(&mut self, one: SourceId, other: SourceId, key: &ObjectKey, now: Instant) {
        let view = |id: SourceId| self.sources.get(&id)?.broadcasts.get(&key.broadcast);
        let (Some(of_one), Some(of_other)) = (view(one), view(other)) else { return };
        // Whoever relays it has it of somebody.
        let is_relay = |id: SourceId| self.sources.get(&id).is_some_and(|source| source.is_relay);
        if is_relay(one) || is_relay(other) {
            return;
        }
        // Without a lane nobody knows who is right: it is said, and no more.
        if of_one.lanes.is_empty() || of_other.lanes.is_empty() {
            return;
        }
        if of_one.lane_at(key.sequence).0 != of_other.lane_at(key.sequence).0 {
            return;
        }
        let age = |view: &View| view.newest_lane();
        let younger = if (age(of_one), one) > (age(of_other), other) { one } else { other };
        let source = self.sources.get_mut(&younger);
        let Some(view) = source.and_then(|source| source.broadcasts.get_mut(&key.broadcast)) else { return };
        if std::mem::replace(&mut view.is_quarantined, true) {
            return;
        }
        self.counters.quarantined += 1;
        self.events.push_back(Event::Quarantined { key: key.clone(), source: younger });
        self.note_gone(&key.broadcast, now);
        self.pass_on_after_loss(&key.broadcast);
        self.drop_refused(&key.broadcast, now);
        self.reach(&key.broadcast, now);
    }

    /// Copies that are not listened to any more are let go, and what they were is asked for elsewhere.
    fn drop_refused(&mut self, broadcast: &BroadcastId, now: Instant) {
        let keys = self.assemblies.keys().filter(|key| key.broadcast == *broadcast);
        let keys: Vec<ObjectKey> = keys.cloned().collect();
        for key in keys {
            let Some(mut assembly) = self.take(&key) else { continue };
            let refused = assembly.copies.iter().map(|copy| copy.source);
            let refused = refused.chain(assembly.spare.iter().map(|spare| spare.source));
            let refused: Vec<SourceId> =
                refused.filter(|id| self.hearing(*id, &key, now) == Hearing::Refused).collect();
            for id in &refused {
                assembly.take_copy(*id);
                assembly.spare = assembly.spare.take().filter(|spare| spare.source != *id);
                if let Some(source) = self.sources.get_mut(id) {
                    source.objects.retain(|_, of| *of != key);
                }
            }
            self.put(&key, assembly);
            // Touched or not: who is taken out and put back is looked at by nobody until it is considered.
            self.consider(&key, now);
        }
    }
}
