//! What is remembered of the numbering, and which promises about it were broken (RFC 8216, 6.2.1 and 6.2.2).

use crate::Fault;
use crate::reading::{Media, Segment};
use media::MediaSequence;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Segments remembered, the newest ones.
pub(crate) const SEGMENTS_KNOWN: usize = 64;

/// Faults told of one reading of a playlist; the rest would say the same.
pub(crate) const FAULTS_TOLD: usize = 8;

/// What one rendition's playlist said so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The number of the first print.
    first: u64,
    prints: VecDeque<Print>,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    pathway: u8,
    began: Instant,
    duration: Duration,
    media_sequence: u64,
    discontinuity_sequence: u64,
    target_secs: u64,
}

/// A segment as it was listed, and who listed it last: a hash of what must not change, and its discontinuity sequence
/// number.
#[derive(Debug, Clone, Copy)]
struct Print {
    segment: u32,
    discontinuity: u32,
    pathway: u8,
}

impl Known {
    /// The faults of a playlist that was read from `pathway`, by an ask of `began`.
    pub(crate) fn check(&mut self, list: &Media<'_>, pathway: u8, began: Instant) -> Vec<Fault> {
        let mut faults = Vec::new();
        let elsewhere = self.last.is_some_and(|last| last.pathway != pathway);
        if let Some(last) = self.last {
            self.check_heads(last, list, elsewhere, began, &mut faults);
        }
        let mut discontinuity = list.discontinuity_sequence;
        let skipped = list.segments.len().saturating_sub(SEGMENTS_KNOWN);
        for (at, segment) in list.segments.iter().enumerate() {
            discontinuity = discontinuity.saturating_add(u64::from(segment.is_discontinuous));
            if at >= skipped {
                let sequence = list.media_sequence.saturating_add(at as u64);
                let print = Print { segment: print(segment), discontinuity: discontinuity as u32, pathway };
                self.remember(sequence, print, &mut faults);
            }
        }
        self.last = Some(Last {
            pathway,
            began,
            duration: list.duration(),
            media_sequence: list.media_sequence,
            discontinuity_sequence: list.discontinuity_sequence,
            target_secs: list.target_secs,
        });
        faults.truncate(FAULTS_TOLD);
        faults
    }

    fn check_heads(
        &mut self,
        last: Last,
        list: &Media<'_>,
        elsewhere: bool,
        began: Instant,
        faults: &mut Vec<Fault>,
    ) {
        if last.target_secs != list.target_secs {
            faults.push(Fault::TargetChanged { from: last.target_secs, to: list.target_secs });
        }
        // Another edge may be a moment behind.
        if !elsewhere && list.media_sequence < last.media_sequence {
            faults.push(Fault::SequenceWentBack {
                from: MediaSequence(last.media_sequence),
                to: MediaSequence(list.media_sequence),
            });
            // The numbers mean something else from here on.
            self.prints.clear();
        } else if !elsewhere && list.discontinuity_sequence < last.discontinuity_sequence {
            faults.push(Fault::DiscontinuityWentBack {
                from: last.discontinuity_sequence,
                to: list.discontinuity_sequence,
            });
        }
        let expected = self.first.saturating_add(self.prints.len() as u64);
        let in_time = began.saturating_duration_since(last.began) < last.duration / 2;
        if !self.prints.is_empty() && list.media_sequence > expected && in_time {
            faults.push(Fault::NumbersSkipped {
                expected: MediaSequence(expected),
                found: MediaSequence(list.media_sequence),
            });
        }
    }

    fn remember(&mut self, sequence: u64, print: Print, faults: &mut Vec<Fault>) {
        let end = self.first.saturating_add(self.prints.len() as u64);
        if self.prints.is_empty() || sequence > end {
            self.prints.clear();
            self.first = sequence;
        } else if sequence < self.first {
            return;
        } else if sequence < end {
            let known = &mut self.prints[(sequence - self.first) as usize];
            let sequence = MediaSequence(sequence);
            // The playlist before this one may be of the same pathway, and not hold what another one listed.
            let elsewhere = known.pathway != print.pathway;
            if known.segment != print.segment {
                faults.push(Fault::SegmentChanged { sequence, elsewhere });
            } else if known.discontinuity != print.discontinuity {
                faults.push(Fault::DiscontinuityChanged { sequence, elsewhere });
            }
            *known = print;
            return;
        }
        if self.prints.len() == SEGMENTS_KNOWN {
            self.prints.pop_front();
            self.first += 1;
        }
        self.prints.push_back(print);
    }
}

/// A hash of the URI without origin and query (tokens and hosts may differ), the duration and the range.
fn print(segment: &Segment<'_>) -> u32 {
    let uri = segment.uri.split(['?', '#']).next().unwrap_or_default();
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => uri,
    };
    let mut hash = hash(path.as_bytes()) ^ segment.duration.as_nanos() as u64;
    if let Some((first, length)) = segment.range {
        hash ^= first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ length.rotate_left(32);
    }
    (hash ^ (hash >> 32)) as u32
}

/// A quick hash to tell one text from another; not against somebody who seeks two alike.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let words = bytes.chunks_exact(8);
    let tail = words.remainder();
    let hash = words.fold(bytes.len() as u64, |hash, word| {
        mix(hash, word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)))
    });
    let hash = mix(hash, tail.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list from `first` on; each letter is a segment, a capital one stands behind a discontinuity.
    fn list(first: u64, discontinuities: u64, segments: &'static str) -> Media<'static> {
        let segment = |at: usize| Segment {
            uri: &segments[at..=at],
            duration: Duration::from_secs(2),
            is_discontinuous: segments.as_bytes()[at].is_ascii_uppercase(),
            ..Segment::default()
        };
        Media {
            target_secs: 2,
            media_sequence: first,
            discontinuity_sequence: discontinuities,
            segments: (0..segments.len()).map(segment).collect(),
            ..Media::default()
        }
    }

    fn faults(lists: &[(u8, Media<'_>)]) -> Vec<Fault> {
        let mut known = Known::default();
        let began = crate::epoch();
        lists.iter().flat_map(|(pathway, list)| known.check(list, *pathway, began)).collect()
    }

    #[test]
    fn a_window_that_slides_is_without_fault() {
        assert_eq!(
            faults(&[
                (0, list(5, 0, "abc")),
                (0, list(6, 0, "bcD")),
                (0, list(8, 0, "De")),
                (0, list(9, 1, "ef"))
            ]),
            []
        );
    }

    #[test]
    fn numbers_do_not_go_back_but_another_edge_may_be_behind() {
        let back = Fault::SequenceWentBack { from: MediaSequence(6), to: MediaSequence(5) };
        assert_eq!(faults(&[(0, list(6, 0, "bc")), (0, list(5, 0, "ab"))]), [back]);
        assert_eq!(faults(&[(0, list(6, 0, "bc")), (1, list(5, 0, "ab"))]), []);
        let counts = Fault::DiscontinuityWentBack { from: 1, to: 0 };
        assert_eq!(faults(&[(0, list(5, 1, "ab")), (0, list(7, 0, "Cd"))]), [counts]);
    }

    #[test]
    fn a_number_keeps_what_it_names() {
        let sequence = MediaSequence(6);
        let changed = |elsewhere| Fault::SegmentChanged { sequence, elsewhere };
        assert_eq!(faults(&[(0, list(5, 0, "abc")), (0, list(6, 0, "xc"))]), [changed(false)]);
        assert_eq!(faults(&[(0, list(5, 0, "abc")), (1, list(6, 0, "xc"))]), [changed(true)]);
        let mut shorter = list(6, 0, "bc");
        shorter.segments[0].duration /= 2;
        assert_eq!(faults(&[(0, list(5, 0, "abc")), (0, shorter)]), [changed(false)]);
        let counted = Fault::DiscontinuityChanged { sequence, elsewhere: false };
        // The tag before 5 was removed and not counted.
        assert_eq!(faults(&[(0, list(5, 0, "Ab")), (0, list(6, 0, "b"))]), [counted]);
    }

    #[test]
    fn what_differs_is_laid_to_who_listed_it() {
        let sequence = MediaSequence(6);
        let there = Fault::DiscontinuityChanged { sequence, elsewhere: true };
        let said = || {
            let mut list = list(5, 0, "ab");
            list.segments[1].is_discontinuous = true;
            list
        };
        // The second edge lists 6 later than the first, and not in what is read of it first.
        let lists = [(0, list(5, 0, "ab")), (1, list(5, 0, "a")), (1, said()), (1, said())];
        assert_eq!(faults(&lists), [there], "and it is told once");
        let here = Fault::DiscontinuityChanged { sequence, elsewhere: false };
        assert_eq!(faults(&[(1, said()), (1, list(5, 0, "ab"))]), [here]);
    }

    #[test]
    fn the_same_path_at_another_host_is_the_same_segment() {
        let mut here = list(5, 0, "a");
        here.segments[0].uri = "http://e1/x/5.ts?token=1";
        let mut there = list(5, 0, "a");
        there.segments[0].uri = "https://e2/x/5.ts?token=2";
        assert_eq!(faults(&[(0, here), (1, there)]), []);
    }

    #[test]
    fn a_hole_in_the_numbers_is_the_servers_unless_the_viewer_was_late() {
        let skipped = Fault::NumbersSkipped { expected: MediaSequence(8), found: MediaSequence(9) };
        assert_eq!(faults(&[(0, list(5, 0, "abc")), (0, list(9, 0, "ef"))]), [skipped]);
        let (mut known, began) = (Known::default(), crate::epoch());
        assert_eq!(known.check(&list(5, 0, "abc"), 0, began), []);
        assert_eq!(known.check(&list(9, 0, "ef"), 0, began + Duration::from_secs(8)), []);
    }

    #[test]
    fn a_target_duration_is_constant() {
        let mut longer = list(5, 0, "ab");
        longer.target_secs = 3;
        assert_eq!(faults(&[(0, list(5, 0, "ab")), (0, longer)]), [Fault::TargetChanged { from: 2, to: 3 }]);
    }

    #[test]
    fn memory_and_telling_are_bounded() {
        let long = |offset: u64| Media {
            target_secs: 2,
            segments: (0..500)
                .map(|n| Segment { duration: Duration::from_secs(n + offset), ..Segment::default() })
                .collect(),
            ..Media::default()
        };
        let (mut known, began) = (Known::default(), crate::epoch());
        assert_eq!(known.check(&long(0), 0, began), []);
        assert_eq!(known.prints.len(), SEGMENTS_KNOWN);
        assert_eq!(known.check(&long(1), 0, began).len(), FAULTS_TOLD);
        assert_eq!(known.prints.len(), SEGMENTS_KNOWN);
    }
}
