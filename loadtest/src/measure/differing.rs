//! Whether all origins send the same bytes for the same segment (docs/ARCHITECTURE.md, what never happens, 2).
//!
//! Only segments of the last minutes are remembered; one that differs is remembered with who said what.

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Segments whose digests are remembered: 16 renditions × 4 minutes of 2 s segments.
pub(crate) const SEGMENTS_REMEMBERED: usize = 2048;

/// Origins told apart for one segment.
pub(crate) const ORIGINS_OF_A_SEGMENT: usize = 64;

/// Differing segments that are told one by one; the rest is counted.
pub(crate) const DIFFERING_TOLD: usize = 100;

/// Bytes of a rendition's or origin's name that are kept.
pub(crate) const NAME_BYTES: usize = 256;

/// What the bytes of a whole segment come to: the first half of a BLAKE3 hash or the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One whole segment as one origin sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSeen {
    /// Which rendition, named alike at every origin: without host, without token.
    pub rendition: Arc<str>,
    /// Its media sequence number.
    pub sequence: u64,
    /// Who sent it: scheme, host, port.
    pub origin: Arc<str>,
    /// What its bytes come to.
    pub digest: Digest,
}

/// A segment that is not the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// Which rendition.
    pub rendition: String,
    /// Its media sequence number.
    pub sequence: u64,
    /// Who sent what: origin, digest in hexadecimal.
    pub sent: Vec<(String, String)>,
}

/// Rendition and media sequence number.
type Name = (Arc<str>, u64);

/// What was seen of recent segments, and which of them differed.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    seen: HashMap<Name, Vec<(Arc<str>, Digest)>>,
    /// In the order they came, the oldest first.
    order: VecDeque<Name>,
    /// Segments that more than one origin sent.
    pub(crate) compared: u64,
    /// Segments that were not the same.
    pub(crate) differing: u64,
    /// The first of them.
    pub(crate) told: Vec<Differing>,
}

impl Comparison {
    /// Another one; whether it says anything that was not known.
    pub(crate) fn push(&mut self, segment: &SegmentSeen) -> bool {
        let key = (segment.rendition.clone(), segment.sequence);
        if !self.seen.contains_key(&key) {
            if self.order.len() >= SEGMENTS_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        let sent = self.seen.entry(key).or_default();
        if sent.iter().any(|(origin, digest)| *origin == segment.origin && *digest == segment.digest)
            || sent.len() >= ORIGINS_OF_A_SEGMENT
        {
            return false;
        }
        let origins_differ = |sent: &[(Arc<str>, Digest)]| sent.windows(2).any(|two| two[0].0 != two[1].0);
        let digests_differ = |sent: &[(Arc<str>, Digest)]| sent.windows(2).any(|two| two[0].1 != two[1].1);
        let (was_compared, did_differ) = (origins_differ(sent), digests_differ(sent));
        sent.push((segment.origin.clone(), segment.digest));
        self.compared += u64::from(!was_compared && origins_differ(sent));
        if digests_differ(sent) {
            self.differing += u64::from(!did_differ);
            let sent = sent.iter().map(|(origin, digest)| (origin.to_string(), digest.hex())).collect();
            let differing =
                Differing { rendition: segment.rendition.to_string(), sequence: segment.sequence, sent };
            let place = self.told.iter().position(|told| {
                told.sequence == differing.sequence && told.rendition == differing.rendition
            });
            match place {
                Some(place) => self.told[place] = differing,
                None if self.told.len() < DIFFERING_TOLD => self.told.push(differing),
                None => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rendition: &str, sequence: u64, origin: &str, byte: u8) -> SegmentSeen {
        SegmentSeen {
            rendition: rendition.into(),
            sequence,
            origin: origin.into(),
            digest: Digest([byte; 16]),
        }
    }

    #[test]
    fn the_same_bytes_from_two_edges_are_compared_and_do_not_differ() {
        let mut comparison = Comparison::default();
        assert!(comparison.push(&seen("720p", 7, "a", 1)));
        assert!(comparison.push(&seen("720p", 7, "b", 1)));
        assert!(!comparison.push(&seen("720p", 7, "b", 1)), "known already");
        assert_eq!((comparison.compared, comparison.differing), (1, 0));
    }

    #[test]
    fn a_segment_that_differs_is_counted_once_and_told_with_everybody() {
        let mut comparison = Comparison::default();
        for (origin, byte) in [("a", 1), ("b", 2), ("c", 1), ("a", 1)] {
            comparison.push(&seen("720p", 7, origin, byte));
        }
        comparison.push(&seen("180p", 7, "b", 9));
        assert_eq!((comparison.compared, comparison.differing, comparison.told.len()), (1, 1, 1));
        let origins: Vec<_> = comparison.told[0].sent.iter().map(|(origin, _)| origin.as_str()).collect();
        assert_eq!(origins, ["a", "b", "c"]);
    }

    #[test]
    fn an_edge_that_sends_two_things_for_one_segment_differs_from_itself() {
        let mut comparison = Comparison::default();
        comparison.push(&seen("720p", 7, "a", 1));
        comparison.push(&seen("720p", 7, "a", 2));
        assert_eq!((comparison.compared, comparison.differing), (0, 1));
    }

    #[test]
    fn only_recent_segments_are_remembered_and_a_flood_of_faults_stays_small() {
        let mut comparison = Comparison::default();
        for sequence in 0..3 * SEGMENTS_REMEMBERED as u64 {
            comparison.push(&seen("720p", sequence, "a", 1));
            comparison.push(&seen("720p", sequence, "b", 2));
        }
        assert_eq!(
            (comparison.seen.len(), comparison.order.len()),
            (SEGMENTS_REMEMBERED, SEGMENTS_REMEMBERED)
        );
        assert_eq!(comparison.told.len(), DIFFERING_TOLD);
        assert_eq!(comparison.differing, 3 * SEGMENTS_REMEMBERED as u64);
    }
}
