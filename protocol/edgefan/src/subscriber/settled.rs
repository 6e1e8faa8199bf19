//! What a subscriber remembers of objects it is done with: complete with a hash, or gaps.
//!
//! Bounded per rendition, run and kind; what is older than everything remembered counts as settled too.

use crate::limits::{RENDITIONS, SETTLED};
use crate::{HaveRange, SourceId};
use media::{
    ContentHash, DiscontinuitySequence, MediaSequence, ObjectKey, ObjectKind, PartIndex, RenditionId, RunId,
};
use std::collections::{BTreeMap, HashMap};

type Line = (RunId, RenditionId, ObjectKind);
type Place = (MediaSequence, Option<PartIndex>);

/// Runs times renditions times kinds remembered of one broadcast: two runs of all of them. At the bound the
/// oldest run's go.
const LINES: usize = 4 * RENDITIONS;

/// The settled objects of one broadcast.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    lines: BTreeMap<Line, Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    objects: BTreeMap<Place, Fate>,
    /// Everything up to here is settled and forgotten.
    floor: Option<Place>,
}

#[derive(Debug)]
struct Fate {
    /// Its hash, and whose copy it is; `None` for a gap, and for what no copy need agree with.
    copy: Option<(ContentHash, SourceId)>,
    discontinuity: DiscontinuitySequence,
}

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Complete(ContentHash, SourceId),
    Gap,
    /// Older than anything remembered.
    TooOld,
}

fn line(key: &ObjectKey) -> Line {
    (key.run, key.rendition.clone(), key.kind)
}

impl Settled {
    pub(crate) fn find(&self, key: &ObjectKey) -> Option<Known> {
        let remembered = self.lines.get(&line(key))?;
        let place = (key.sequence, key.part);
        match remembered.objects.get(&place) {
            Some(Fate { copy: Some((hash, source)), .. }) => Some(Known::Complete(*hash, *source)),
            Some(Fate { copy: None, .. }) => Some(Known::Gap),
            None => (Some(place) <= remembered.floor).then_some(Known::TooOld),
        }
    }

    pub(crate) fn insert(
        &mut self,
        key: &ObjectKey,
        copy: Option<(ContentHash, SourceId)>,
        discontinuity: DiscontinuitySequence,
    ) {
        if !self.lines.contains_key(&line(key)) && self.lines.len() >= LINES {
            self.lines.pop_first();
        }
        let remembered = self.lines.entry(line(key)).or_default();
        remembered.objects.insert((key.sequence, key.part), Fate { copy, discontinuity });
        if remembered.objects.len() > SETTLED {
            remembered.floor = remembered.objects.pop_first().map(|(place, _)| place);
        }
    }

    /// How many discontinuities came before an object nobody told us of: as many as before its predecessor, so
    /// that EXT-X-DISCONTINUITY stands before what came after; with no predecessor, as its successor.
    pub(crate) fn discontinuity_at(&self, key: &ObjectKey) -> DiscontinuitySequence {
        let mut before = None;
        let mut after = None;
        for ((_, rendition, kind), remembered) in &self.lines {
            if *rendition != key.rendition || *kind != ObjectKind::Segment {
                continue;
            }
            let place = (key.sequence, None);
            let former = remembered.objects.range(..place).next_back();
            before = before.max(former.map(|((sequence, _), fate)| (*sequence, fate.discontinuity)));
            let next = remembered
                .objects
                .range(place..)
                .next()
                .map(|((sequence, _), fate)| (*sequence, fate.discontinuity));
            after = match (after, next) {
                (Some(after), Some(next)) => Some(std::cmp::min(after, next)),
                (after, next) => after.or(next),
            };
        }
        before.or(after).map(|(_, discontinuity)| discontinuity).unwrap_or_default()
    }

    /// The greatest number of a segment that is settled, of any run and rendition.
    pub(crate) fn newest(&self) -> Option<MediaSequence> {
        let segments = self.lines.iter().filter(|((_, _, kind), _)| *kind == ObjectKind::Segment);
        segments
            .filter_map(|(_, remembered)| remembered.objects.last_key_value())
            .map(|((it, _), _)| *it)
            .max()
    }

    /// The segments of the newest `window` numbers of each rendition that are missing between two that are not;
    /// each with the run of the next one that is there.
    pub(crate) fn holes(&self, window: u64) -> Vec<(RunId, RenditionId, MediaSequence)> {
        let mut there: HashMap<&RenditionId, BTreeMap<MediaSequence, RunId>> = HashMap::new();
        for ((run, rendition, kind), remembered) in &self.lines {
            if *kind == ObjectKind::Segment {
                let numbers = remembered.objects.keys().map(|(sequence, _)| (*sequence, *run));
                there.entry(rendition).or_default().extend(numbers);
            }
        }
        let mut holes = Vec::new();
        for (rendition, numbers) in there {
            let newest = numbers.last_key_value().map_or(0, |(newest, _)| newest.0);
            let of_window = numbers.range(MediaSequence(newest.saturating_sub(window))..);
            let mut next_expected = None;
            for (sequence, run) in of_window {
                let missing = next_expected.unwrap_or(sequence.0)..sequence.0;
                holes.extend(missing.map(|hole| (*run, rendition.clone(), MediaSequence(hole))));
                next_expected = Some(sequence.0 + 1);
            }
        }
        holes
    }

    /// All of it that bitmaps can say.
    pub(crate) fn ranges(&self) -> Vec<HaveRange> {
        let in_bitmap = self.lines.iter().filter(|((.., kind), _)| *kind != ObjectKind::Part);
        in_bitmap
            .filter_map(|((run, rendition, kind), remembered)| {
                let sequences = remembered.objects.keys().map(|&(sequence, _)| sequence);
                HaveRange::of(*run, rendition.clone(), *kind, sequences)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::BroadcastId;

    fn key(sequence: u64) -> ObjectKey {
        ObjectKey {
            broadcast: BroadcastId::parse("b").unwrap(),
            run: RunId(1),
            rendition: RenditionId::parse("r").unwrap(),
            sequence: MediaSequence(sequence),
            part: None,
            kind: ObjectKind::Segment,
        }
    }

    #[test]
    fn a_hole_is_between_two_that_are_there_and_belongs_to_what_came_before() {
        let mut settled = Settled::default();
        for (sequence, discontinuity) in [(90, 1), (100, 3), (101, 3), (104, 4)] {
            settled.insert(&key(sequence), None, DiscontinuitySequence(discontinuity));
        }
        let holes: Vec<u64> = settled.holes(6).into_iter().map(|(_, _, hole)| hole.0).collect();
        assert_eq!(holes, [102, 103]);
        assert_eq!(settled.discontinuity_at(&key(102)), DiscontinuitySequence(3));
        assert_eq!(settled.discontinuity_at(&key(80)), DiscontinuitySequence(1));
        assert_eq!(settled.discontinuity_at(&key(105)), DiscontinuitySequence(4));
    }

    #[test]
    fn what_is_forgotten_stays_settled() {
        let mut settled = Settled::default();
        for sequence in 100..100 + SETTLED as u64 + 5 {
            let copy = Some((ContentHash([1; 32]), SourceId(0)));
            settled.insert(&key(sequence), copy, DiscontinuitySequence(0));
        }
        assert_eq!(settled.find(&key(103)), Some(Known::TooOld));
        assert_eq!(settled.find(&key(50)), Some(Known::TooOld));
        assert_eq!(settled.find(&key(105)), Some(Known::Complete(ContentHash([1; 32]), SourceId(0))));
        assert_eq!(settled.find(&key(100 + SETTLED as u64 + 5)), None);
        assert_eq!(settled.ranges()[0].sequences().count(), SETTLED);
    }
}
