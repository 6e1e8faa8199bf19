//! What a subscriber remembers of objects it is done with: complete with a hash, or gaps.
//!
//! Bounded per rendition, run and kind; what is older than everything remembered counts as settled too.

use crate::HaveRange;
use crate::limits::{RENDITIONS, SETTLED};
use media::{ContentHash, MediaSequence, ObjectKey, ObjectKind, PartIndex, RenditionId, RunId};
use std::collections::BTreeMap;

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
    /// `None` for a gap.
    objects: BTreeMap<Place, Option<ContentHash>>,
    /// Everything up to here is settled and forgotten.
    floor: Option<Place>,
}

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Complete(ContentHash),
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
            Some(Some(hash)) => Some(Known::Complete(*hash)),
            Some(None) => Some(Known::Gap),
            None => (Some(place) <= remembered.floor).then_some(Known::TooOld),
        }
    }

    pub(crate) fn insert(&mut self, key: &ObjectKey, hash: Option<ContentHash>) {
        if !self.lines.contains_key(&line(key)) && self.lines.len() >= LINES {
            self.lines.pop_first();
        }
        let remembered = self.lines.entry(line(key)).or_default();
        remembered.objects.insert((key.sequence, key.part), hash);
        if remembered.objects.len() > SETTLED {
            remembered.floor = remembered.objects.pop_first().map(|(place, _)| place);
        }
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
    fn what_is_forgotten_stays_settled() {
        let mut settled = Settled::default();
        for sequence in 100..100 + SETTLED as u64 + 5 {
            settled.insert(&key(sequence), Some(ContentHash([1; 32])));
        }
        assert_eq!(settled.find(&key(103)), Some(Known::TooOld));
        assert_eq!(settled.find(&key(50)), Some(Known::TooOld));
        assert_eq!(settled.find(&key(105)), Some(Known::Complete(ContentHash([1; 32]))));
        assert_eq!(settled.find(&key(100 + SETTLED as u64 + 5)), None);
        assert_eq!(settled.ranges()[0].sequences().count(), SETTLED);
    }
}
