//! Partial segments: fetchable while their segment is made and for a while after.

use crate::limits::{MOST_PARTS, MOST_PARTS_OF_A_SEGMENT, PARTS_BEHIND};
use crate::{Change, PartFacts, Refusal};
use media::{MediaSequence, PartIndex, RenditionId};
use std::collections::{BTreeMap, VecDeque};

/// The parts of one rendition.
#[derive(Debug)]
pub(crate) struct Parts<B> {
    held: BTreeMap<(MediaSequence, PartIndex), (PartFacts, B)>,
    bytes: u64,
}

impl<B: Clone> Parts<B> {
    pub(crate) fn new() -> Self {
        Self { held: BTreeMap::new(), bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a part; `newest` is the newest segment listed.
    pub(crate) fn push(
        &mut self,
        sequence: MediaSequence,
        facts: PartFacts,
        body: B,
        newest: Option<MediaSequence>,
    ) -> Result<bool, Refusal> {
        if newest.is_some_and(|newest| is_behind(sequence, newest)) {
            return Err(Refusal::TooOld);
        }
        if usize::from(facts.part.0) >= MOST_PARTS_OF_A_SEGMENT {
            return Err(Refusal::TooManyParts);
        }
        let key = (sequence, facts.part);
        if self.held.contains_key(&key) {
            return Ok(false);
        }
        self.bytes = self.bytes.saturating_add(facts.bytes);
        self.held.insert(key, (facts, body));
        Ok(true)
    }

    pub(crate) fn get(&self, sequence: MediaSequence, part: PartIndex) -> Option<&B> {
        self.held.get(&(sequence, part)).map(|(_, body)| body)
    }

    /// The parts of a segment from its first on, up to the first that is missing.
    pub(crate) fn of(&self, sequence: MediaSequence) -> Vec<hls::Part> {
        let all = (sequence, PartIndex(0))..=(sequence, PartIndex(u16::MAX));
        let contiguous = (0_u16..).zip(self.held.range(all)).take_while(|(at, (key, _))| key.1.0 == *at);
        contiguous
            .map(|(_, ((sequence, part), (facts, _)))| hls::Part {
                uri: format!("{sequence}.{part}.m4s"),
                duration: facts.duration,
                is_independent: facts.is_independent,
                is_gap: false,
            })
            .collect()
    }

    /// Lets go of what is behind, and of the oldest over the bound.
    pub(crate) fn expire(
        &mut self,
        rendition: &RenditionId,
        newest: Option<MediaSequence>,
        out: &mut VecDeque<Change<B>>,
    ) {
        while let Some(oldest) = self.held.first_entry() {
            let (sequence, part) = *oldest.key();
            let is_behind = newest.is_some_and(|newest| is_behind(sequence, newest));
            let (facts, _) = oldest.get();
            let bytes = facts.bytes;
            if !is_behind && self.held.len() <= MOST_PARTS {
                return;
            }
            self.held.pop_first();
            self.bytes = self.bytes.saturating_sub(bytes);
            out.push_back(Change::PartExpired { rendition: rendition.clone(), sequence, part });
        }
    }
}

fn is_behind(sequence: MediaSequence, newest: MediaSequence) -> bool {
    sequence.0.saturating_add(PARTS_BEHIND) < newest.0
}
