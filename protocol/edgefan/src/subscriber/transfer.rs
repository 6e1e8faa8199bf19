//! The frames by which objects come in: OPEN, DATA, CLOSE, ABORT, SKIP.
//!
//! Does not live here: what is decided when a copy does not come to its end (`objects`).

use super::assembly::{Copy, Spare};
use super::lanes::Hearing;
use super::settled::Known;
use super::source::Source;
use super::{Done, Forward, Subscriber};
use crate::limits::{ASSEMBLIES, REPAIR_AFTER};
use crate::{Close, Event, ObjectId, Open, Skip, SkipReason, SourceId, WireError};
use bytes::Bytes;
use media::{ContentHash, MediaSpan, ObjectKey, ObjectKind, SegmentFacts};
use std::time::Instant;

impl Subscriber {
    pub(super) fn open(&mut self, id: SourceId, open: Open, now: Instant) -> Done {
        let Some(source) = self.sources.get_mut(&id) else { return Ok(()) };
        if !source.broadcasts.contains_key(&open.key.broadcast) {
            return Err(WireError::OutOfTurn { what: "OPEN", state: "its broadcast was not announced" });
        }
        if source.objects.len() >= ASSEMBLIES {
            let (count, limit) = (ASSEMBLIES as u64 + 1, ASSEMBLIES as u64);
            return Err(WireError::TooMuch { what: "OPEN", field: "open objects", count, limit });
        }
        source.saw(&open.key);
        if self.hearing(id, &open.key, now) == Hearing::Refused {
            self.counters.refused += 1;
            return Ok(());
        }
        let Some(source) = self.sources.get_mut(&id) else { return Ok(()) };
        source.objects.insert(open.object, open.key.clone());
        if self.known(&open.key).is_some() {
            return Ok(());
        }
        let Some(mut assembly) = self.take_or_new(&open.key) else { return Ok(()) };
        assembly.refused.retain(|&refused| refused != id);
        if let Some(former) = assembly.take_copy(id) {
            assembly.keep_prefix(former);
        }
        // It may begin before what is here (it has less itself), never behind it.
        let from = open.from as usize;
        if from <= assembly.prefix.len() {
            let mut prefix = match from {
                0 => Vec::new(),
                _ => std::mem::take(&mut assembly.prefix),
            };
            prefix.truncate(from);
            assembly.copies.push(Copy::new(id, open.object, prefix));
            if self.settings.relays {
                let Open { key, start, discontinuity, .. } = open.clone();
                self.forwards.push_back(Forward::Open { key, start, discontinuity, source: id });
            }
        }
        self.put(&open.key, assembly);
        self.consider(&open.key, now);
        Ok(())
    }

    pub(super) fn data(&mut self, id: SourceId, object: ObjectId, offset: u32, bytes: &Bytes, now: Instant) {
        self.counters.bytes_received += bytes.len() as u64;
        let Some(source) = self.sources.get(&id) else { return };
        let Some(key) = source.objects.get(&object) else { return };
        let Some(assembly) = self.assemblies.get_mut(key) else { return };
        let Some(copy) = assembly.copy(id).filter(|copy| copy.object == object) else { return };
        let has_room = self.assembly_bytes + bytes.len() <= self.settings.assembly_bytes;
        if has_room && copy.push(offset, bytes).is_ok() {
            self.assembly_bytes += bytes.len();
            if self.settings.relays {
                let (key, bytes) = (key.clone(), bytes.clone());
                self.forwards.push_back(Forward::Bytes { key, offset, bytes, source: id });
            }
            return;
        }
        let key = key.clone();
        if has_room {
            self.counters.corrupt += 1;
        } else {
            self.counters.starved += 1;
        }
        if let Some(mut assembly) = self.take(&key) {
            assembly.take_copy(id);
            assembly.failures += u32::from(has_room);
            assembly.failed = Some(id);
            self.put(&key, assembly);
            self.consider(&key, now);
        }
    }

    pub(super) fn close(&mut self, id: SourceId, close: &Close, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let Some(key) = source.objects.remove(&close.object) else { return };
        if let Some(made) = source.made(close.made).filter(|_| key.kind == ObjectKind::Segment) {
            self.events.push_back(Event::Made { key: key.clone(), made });
        }
        if let Some(known) = self.known(&key) {
            self.compare(id, &key, known, close.hash, now);
            return;
        }
        let Some(mut assembly) = self.take(&key) else { return };
        let copy = assembly.take_copy(id).filter(|copy| copy.object == close.object);
        match copy {
            Some(copy) if !close.is_withheld => match copy.finish(close) {
                Ok((body, hash)) => {
                    let facts = close.facts(&key);
                    if self.hearing(id, &key, now) == Hearing::Full {
                        self.complete(id, &key, facts, body, hash, now);
                    } else {
                        assembly.spare = Some(Spare { source: id, facts, body, hash });
                        self.put(&key, assembly);
                        self.consider(&key, now);
                    }
                    return;
                }
                Err(_) => {
                    self.counters.corrupt += 1;
                    assembly.failures += 1;
                    assembly.failed = Some(id);
                }
            },
            Some(copy) => assembly.keep_prefix(copy),
            None => {}
        }
        // Complete over there, if not here: a gap in its place would be this long.
        assembly.gap = Some(SegmentFacts { bytes: 0, is_gap: true, ..close.facts(&key) });
        self.put(&key, assembly);
        self.consider(&key, now);
    }

    pub(super) fn compare(
        &mut self,
        source: SourceId,
        key: &ObjectKey,
        known: Known,
        other: ContentHash,
        now: Instant,
    ) {
        match known {
            Known::Complete(kept, _) if kept == other => self.counters.agreed += 1,
            // Who only fills holes need not agree, nor who was replaced since.
            Known::Complete(..) if self.hearing(source, key, now) != Hearing::Full => {}
            Known::Complete(kept, by) => {
                self.counters.differed += 1;
                self.events.push_back(Event::Differs { key: key.clone(), kept, other, source });
                self.quarantine(by, source, key, now);
            }
            Known::Gap | Known::TooOld => {}
        }
    }

    pub(super) fn abort(&mut self, id: SourceId, object: ObjectId, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let Some(key) = source.objects.remove(&object) else { return };
        let Some(mut assembly) = self.take(&key) else { return };
        if let Some(copy) = assembly.take_copy(id) {
            assembly.keep_prefix(copy);
        }
        self.put(&key, assembly);
        self.consider(&key, now);
    }

    pub(super) fn skip(&mut self, id: SourceId, skip: &Skip, now: Instant) {
        let is_known = |source: &Source| source.broadcasts.contains_key(&skip.key.broadcast);
        if !self.sources.get(&id).is_some_and(is_known) {
            return;
        }
        for (key, facts) in skip.each() {
            if self.known(&key).is_some() || self.hearing(id, &key, now) == Hearing::Refused {
                continue;
            }
            let Some(mut assembly) = self.take_or_new(&key) else { return };
            if let Some((asked, _)) = assembly.asked
                && asked == id
            {
                assembly.asked = None;
            }
            match skip.reason {
                SkipReason::NotYet => {}
                SkipReason::NotHeld if facts.duration == MediaSpan::ZERO => assembly.refused.push(id),
                _ => {
                    if let Some(source) = self.sources.get_mut(&id) {
                        source.saw(&key);
                    }
                    assembly.refused.push(id);
                    if facts.duration != MediaSpan::ZERO || assembly.gap.is_none() {
                        assembly.gap = Some(facts);
                    }
                }
            }
            assembly.refused.sort_unstable();
            assembly.refused.dedup();
            self.put(&key, assembly);
            // Whoever has not made it yet sends it by itself: asking again would only be answered the same.
            match skip.reason {
                SkipReason::NotYet => self.look_later(&key, now + REPAIR_AFTER, now),
                _ => self.consider(&key, now),
            }
        }
    }
}
