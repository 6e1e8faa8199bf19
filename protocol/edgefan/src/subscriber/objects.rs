//! What becomes of an object: settled, waited for, asked for again, or given up.
//!
//! Does not live here: the frames that bring it (`transfer`).

use super::Subscriber;
use super::assembly::{Assembly, Spare};
use super::lanes::Hearing;
use super::settled::Known;
use crate::limits::{ASSEMBLIES, FETCHES, REPAIR_AFTER};
use crate::{Event, Fetch, Have, HaveRange, Message, SourceId};
use bytes::Bytes;
use media::{ContentHash, Grid, MediaSpan, MediaTime, ObjectKey, ObjectKind, SegmentFacts};
use std::time::{Duration, Instant};

impl Subscriber {
    /// What is known of an object that is settled.
    pub(super) fn known(&self, key: &ObjectKey) -> Option<Known> {
        self.broadcasts.get(&key.broadcast)?.settled.find(key)
    }

    pub(super) fn complete(
        &mut self,
        source: SourceId,
        key: &ObjectKey,
        facts: SegmentFacts,
        body: Bytes,
        hash: ContentHash,
        now: Instant,
    ) {
        self.counters.complete += 1;
        self.settle(Some(source), &facts, key, Some((hash, source)), now);
        self.events.push_back(Event::Complete { key: key.clone(), facts, body, hash, source });
    }

    /// Remembers it, and tells the sources that need not send it any more.
    pub(super) fn settle(
        &mut self,
        by: Option<SourceId>,
        facts: &SegmentFacts,
        key: &ObjectKey,
        copy: Option<(ContentHash, SourceId)>,
        now: Instant,
    ) {
        if let Some(broadcast) = self.broadcasts.get_mut(&key.broadcast) {
            broadcast.settled.insert(key, copy, facts.discontinuity);
        }
        if key.part.is_some() {
            return;
        }
        let range = HaveRange::of(key.run, key.rendition.clone(), key.kind, std::iter::once(key.sequence));
        let have = Message::Have(Have {
            broadcast: key.broadcast.clone(),
            ranges: range.into_iter().collect(),
            partials: Vec::new(),
            is_whole: false,
            reached: None,
        });
        for id in self.announcing(&key.broadcast) {
            if Some(id) != by {
                self.say(id, 0, &have, now);
            }
        }
    }

    /// Decides on an object of which no copy may be coming: wait, ask, or give up.
    pub(super) fn consider(&mut self, key: &ObjectKey, now: Instant) {
        let sources = self.announcing(&key.broadcast);
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        let is_awaited = assembly
            .copies
            .iter()
            .any(|copy| Some(copy.source) != assembly.spare.as_ref().map(|spare| spare.source));
        if is_awaited && assembly.spare.is_some() {
            // A better copy is coming in, and may never come to its end: a leader that hung opens what it will not close.
            assembly.asked = None;
            let patience = self.spare_patience(&key.broadcast);
            let Some(assembly) = self.assemblies.get_mut(key) else { return };
            let give_up = *assembly.give_up.get_or_insert(now + patience);
            if now >= give_up {
                return self.give_up(key, now);
            }
            self.look(key, Some(give_up));
            return;
        }
        if is_awaited || (sources.is_empty() && assembly.spare.is_none()) {
            assembly.give_up = None;
            assembly.asked = None;
            self.look(key, None);
            return;
        }
        let spare = assembly.spare.as_ref().map(|spare| spare.source);
        let there: Vec<SourceId> = sources.into_iter().filter(|id| Some(*id) != spare).collect();
        // A link that was dialled anew announces on one connection and says its term on another: who has not said it yet
        // has refused nothing.
        let is_heard =
            |id: &SourceId| self.hearing(*id, key, now) != Hearing::Refused || !self.has_lane(*id, key);
        let heard: Vec<SourceId> = there.iter().copied().filter(is_heard).collect();
        // Who is of an older term may be about to say a newer one: terms are told one by one, oldest first.
        let is_hope = spare.is_none() && heard.len() < there.len();
        let patience = self.patience(&key.broadcast);
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        let give_up = *assembly.give_up.get_or_insert(now + patience);
        let can: Vec<SourceId> = heard.into_iter().filter(|id| !assembly.refused.contains(id)).collect();
        if (can.is_empty() && !is_hope) || assembly.failures >= FETCHES || now >= give_up {
            self.give_up(key, now);
            return;
        }
        if can.is_empty() {
            // Or when the newest term counts no more, as nobody is there who has it.
            let until = self.broadcasts.get(&key.broadcast).and_then(|known| known.newest_term.until());
            let at = until.filter(|at| *at > now).map_or(give_up, |at| at.min(give_up));
            self.look(key, Some(at));
            return;
        }
        if let Some((asked, at)) = assembly.asked
            && let Some(source) = self.sources.get(&asked)
            && now < at + source.round_trip + REPAIR_AFTER
        {
            let again = (at + source.round_trip + REPAIR_AFTER).min(give_up);
            self.look(key, Some(again));
            return;
        }
        // Another than the one asked last, and the one that failed only if there is no other.
        let asked = assembly.asked.map(|(id, _)| id);
        let worth = |id: &SourceId| (Some(*id) == assembly.failed, Some(*id) == asked, *id);
        let Some(chosen) = can.iter().copied().min_by_key(worth) else { return };
        assembly.asked = Some((chosen, now));
        let fetch = Fetch { key: key.clone(), from: assembly.prefix.len() as u32 };
        let wait =
            self.sources.get(&chosen).map_or(Duration::ZERO, |source| source.round_trip) + REPAIR_AFTER;
        self.counters.fetches += 1;
        self.look(key, Some((now + wait).min(give_up)));
        self.say(chosen, 0, &Message::Fetch(fetch), now);
    }

    pub(super) fn give_up(&mut self, key: &ObjectKey, now: Instant) {
        let Some(mut assembly) = self.take(key) else { return };
        if let Some(Spare { source, facts, body, hash }) = assembly.spare.take() {
            self.counters.complete += 1;
            // Another's copy of it may differ, and nobody need be alarmed: so its hash is not remembered.
            self.settle(Some(source), &facts, key, None, now);
            self.events.push_back(Event::Complete { key: key.clone(), facts, body, hash, source });
            return;
        }
        let facts = assembly.gap.filter(|facts| facts.duration != MediaSpan::ZERO);
        let facts = facts.unwrap_or_else(|| self.gap_on_grid(key));
        self.gap(key, facts, now);
    }

    /// Nobody will ever send it.
    pub(super) fn gap(&mut self, key: &ObjectKey, facts: SegmentFacts, now: Instant) {
        self.settle(None, &facts, key, None, now);
        // Of a kind that no playlist lists, a gap is no news.
        if key.kind == ObjectKind::Segment || key.kind == ObjectKind::Part {
            self.counters.skipped += 1;
            self.events.push_back(Event::Skipped { key: key.clone(), facts });
        }
    }

    /// The gap that the grid says was there.
    pub(super) fn gap_on_grid(&self, key: &ObjectKey) -> SegmentFacts {
        let broadcast = self.broadcasts.get(&key.broadcast);
        let facts = broadcast.and_then(|broadcast| broadcast.told.as_ref());
        let duration = facts.map_or(MediaSpan::ZERO, |facts| facts.segment);
        SegmentFacts {
            sequence: key.sequence,
            run: key.run,
            start: Grid::new(duration).map_or_else(MediaTime::default, |grid| grid.start_of(key.sequence)),
            duration,
            discontinuity: broadcast.map(|known| known.settled.discontinuity_at(key)).unwrap_or_default(),
            bytes: 0,
            is_gap: true,
        }
    }

    // Assemblies are taken out, changed and put back, so that their bytes are always counted.

    pub(super) fn take(&mut self, key: &ObjectKey) -> Option<Assembly> {
        let assembly = self.assemblies.remove(key)?;
        self.assembly_bytes -= assembly.bytes();
        if let Some(at) = assembly.look {
            self.looks.remove(&(at, key.clone()));
        }
        Some(assembly)
    }

    pub(super) fn take_or_new(&mut self, key: &ObjectKey) -> Option<Assembly> {
        match self.take(key) {
            Some(assembly) => Some(assembly),
            None => (self.assemblies.len() < ASSEMBLIES).then(Assembly::default),
        }
    }

    pub(super) fn put(&mut self, key: &ObjectKey, mut assembly: Assembly) {
        self.assembly_bytes += assembly.bytes();
        assembly.look = None;
        self.assemblies.insert(key.clone(), assembly);
    }

    pub(super) fn look(&mut self, key: &ObjectKey, at: Option<Instant>) {
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut assembly.look, at) {
            self.looks.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.looks.insert((at, key.clone()));
        }
    }

    pub(super) fn look_later(&mut self, key: &ObjectKey, at: Instant, now: Instant) {
        let patience = self.patience(&key.broadcast);
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        if assembly.copies.is_empty() {
            let give_up = *assembly.give_up.get_or_insert(now + patience);
            self.look(key, Some(at.min(give_up)));
        }
    }
}
