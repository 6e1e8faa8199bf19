//! What a broadcast is, and how far it has come, over all sources together.
//!
//! Does not live here: its objects (`objects`).

use super::Subscriber;
use super::source::{Source, View};
use crate::limits::BROADCASTS;
use crate::{Event, Have, LaneStanding, Message, Partial, Reached, SourceId};
use media::{BroadcastId, ObjectKey, ObjectKind, StreamFacts};
use std::time::{Duration, Instant};

impl Subscriber {
    pub(super) fn stream(&mut self, id: SourceId, facts: StreamFacts, now: Instant) {
        let broadcast = facts.broadcast.clone();
        if !self.broadcasts.contains_key(&broadcast) && !self.make_room() {
            return;
        }
        self.broadcasts.entry(broadcast.clone()).or_default();
        let Some(source) = self.sources.get_mut(&id) else { return };
        match source.broadcasts.get_mut(&broadcast) {
            Some(view) => {
                // A new run is a new chance.
                view.is_quarantined &= view.facts.run == facts.run;
                view.facts = facts;
            }
            None => {
                source.broadcasts.insert(broadcast.clone(), View::new(facts));
            }
        }
        self.tell(&broadcast);
        // Each STREAM is answered: only the source knows whether it has had one.
        let have = self.have(&broadcast);
        self.say(id, 0, &Message::Have(have), now);
        // What others left unfinished may be here.
        let unfinished = self.assemblies.iter().filter(|(key, assembly)| {
            key.broadcast == broadcast && assembly.copies.is_empty() && assembly.asked.is_none()
        });
        let unfinished: Vec<ObjectKey> = unfinished.map(|(key, _)| key.clone()).collect();
        unfinished.iter().for_each(|key| self.consider(key, now));
        self.reach(&broadcast, now);
    }

    /// A source holds nothing of a broadcast any more; the last one takes all memory of it along.
    pub(super) fn forget(&mut self, id: SourceId, broadcast: &BroadcastId, now: Instant) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.broadcasts.remove(broadcast);
            source.objects.retain(|_, key| key.broadcast != *broadcast);
        }
        let keys: Vec<ObjectKey> =
            self.assemblies.keys().filter(|key| key.broadcast == *broadcast).cloned().collect();
        let is_last = !self.sources.values().any(|source| source.broadcasts.contains_key(broadcast));
        for key in keys {
            let Some(mut assembly) = self.take(&key) else { continue };
            assembly.take_copy(id);
            if !is_last {
                self.put(&key, assembly);
                self.consider(&key, now);
            }
        }
        if is_last {
            self.broadcasts.remove(broadcast);
        } else {
            self.note_gone(broadcast, now);
            self.pass_on_after_loss(broadcast);
        }
    }

    /// Room for one more broadcast: at the bound one that no source has any more is forgotten.
    pub(super) fn make_room(&mut self) -> bool {
        if self.broadcasts.len() < BROADCASTS {
            return true;
        }
        let is_announced =
            |id: &BroadcastId| self.sources.values().any(|source| source.broadcasts.contains_key(id));
        let Some(stale) = self.broadcasts.keys().find(|id| !is_announced(id)).cloned() else { return false };
        self.broadcasts.remove(&stale);
        let orphans: Vec<ObjectKey> =
            self.assemblies.keys().filter(|key| key.broadcast == stale).cloned().collect();
        orphans.iter().for_each(|key| drop(self.take(key)));
        true
    }

    /// All that is settled or begun of a broadcast.
    pub(super) fn have(&self, broadcast: &BroadcastId) -> Have {
        let ranges = self.broadcasts.get(broadcast).map(|known| known.settled.ranges()).unwrap_or_default();
        let begun = self.assemblies.iter().filter(|(key, assembly)| {
            key.broadcast == *broadcast && !assembly.prefix.is_empty() && assembly.copies.is_empty()
        });
        let partials =
            begun.map(|(key, assembly)| Partial { key: key.clone(), bytes: assembly.prefix.len() as u32 });
        Have {
            broadcast: broadcast.clone(),
            ranges,
            partials: partials.collect(),
            is_whole: true,
            reached: None,
        }
    }

    /// The sources that are there and have announced this broadcast.
    pub(super) fn announcing(&self, broadcast: &BroadcastId) -> Vec<SourceId> {
        let announces =
            |source: &Source| source.broadcasts.get(broadcast).is_some_and(|view| !view.is_quarantined);
        self.sources.iter().filter(|(_, source)| announces(source)).map(|(&id, _)| id).collect()
    }

    /// How long an object may be missing while a source is there: one and a half segments.
    pub(super) fn patience(&self, broadcast: &BroadcastId) -> Duration {
        let facts = self.broadcasts.get(broadcast).and_then(|broadcast| broadcast.told.as_ref());
        facts.map_or(Duration::from_secs(3), |facts| facts.segment.as_duration() * 3 / 2)
    }

    /// How long a whole copy that only fills holes waits for the end of a better one: half a segment, before a player
    /// that reloads misses it.
    pub(super) fn spare_patience(&self, broadcast: &BroadcastId) -> Duration {
        self.patience(broadcast) / 3
    }

    /// The facts of the source to be believed: the greatest run, then the one who leads, then the first in the list.
    pub(super) fn tell(&mut self, broadcast: &BroadcastId) {
        let views = self.sources.values().filter_map(|source| source.broadcasts.get(broadcast));
        let mut best: Option<&View> = None;
        let worth = |view: &View| {
            let leads = view.newest_lane().0 == LaneStanding::Leads;
            (view.facts.run, leads && !view.is_quarantined)
        };
        for view in views {
            if best.is_none_or(|best| worth(best) < worth(view)) {
                best = Some(view);
            }
        }
        let (Some(facts), Some(known)) = (best.map(|view| &view.facts), self.broadcasts.get_mut(broadcast))
        else {
            return;
        };
        // A lesser run is a source that lags behind another that was here before.
        let is_news = known.told.as_ref().is_none_or(|told| told != facts && told.run <= facts.run);
        if is_news {
            known.told = Some(facts.clone());
            self.events.push_back(Event::Stream(facts.clone()));
        }
    }

    /// Ready, or caught up, is what every source that is there has said.
    pub(super) fn reach(&mut self, broadcast: &BroadcastId, now: Instant) {
        let sources = self.announcing(broadcast);
        let reached = sources
            .iter()
            .filter_map(|id| self.sources[id].broadcasts.get(broadcast))
            .map(|view| view.reached)
            .min();
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        // With nobody there the edge has what it had.
        let Some(reached) = reached else { return };
        let before = std::mem::replace(&mut known.reached, reached);
        if before < Some(Reached::Ready) && reached >= Some(Reached::Ready) {
            self.events.push_back(Event::Ready { broadcast: broadcast.clone() });
        }
        if before < Some(Reached::CaughtUp) && reached == Some(Reached::CaughtUp) {
            self.fill_holes(broadcast, now);
            self.events.push_back(Event::CaughtUp { broadcast: broadcast.clone() });
        }
    }

    /// Everybody has sent what he had: a number between two that are here and on nobody's way is asked for, and is a gap
    /// when nobody has it. (A source died in the middle of its backfill, and what it alone held went with it.) It is not
    /// a gap at once: "caught up" comes by another connection than segments, and the newest of a burst go first, so what
    /// is missing may only be on its way.
    fn fill_holes(&mut self, broadcast: &BroadcastId, now: Instant) {
        let Some(known) = self.broadcasts.get(broadcast) else { return };
        let window = known.told.as_ref().map_or(0, |facts| u64::from(facts.window));
        for (run, rendition, sequence) in known.settled.holes(window) {
            let kind = ObjectKind::Segment;
            let key = ObjectKey { broadcast: broadcast.clone(), run, rendition, sequence, part: None, kind };
            if self.assemblies.contains_key(&key) {
                continue;
            }
            let Some(assembly) = self.take_or_new(&key) else { continue };
            self.put(&key, assembly);
            self.consider(&key, now);
        }
    }

    /// A run is over when every source that feeds it has said so.
    pub(super) fn finish(&mut self, broadcast: &BroadcastId) {
        let sources = self.announcing(broadcast);
        let views: Vec<&View> =
            sources.iter().filter_map(|id| self.sources[id].broadcasts.get(broadcast)).collect();
        let Some(run) = views.iter().map(|view| view.facts.run).max() else { return };
        let is_over = views.iter().filter(|view| view.facts.run == run).all(|view| view.ended >= Some(run));
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        if is_over && known.ended < Some(run) {
            known.ended = Some(run);
            self.events.push_back(Event::Ended { broadcast: broadcast.clone(), run });
        }
    }
}
