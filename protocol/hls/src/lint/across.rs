//! Media playlists against each other: rules C05, V06, T14.

use super::finding::Findings;
use super::url;
use super::versions::{Placed, Versions};
use media::{MediaSpan, MediaTime};

/// Boundaries closer than this are the same: dates have milliseconds, and pictures of two rates may be apart by
/// most of one.
const SAME: MediaSpan = MediaSpan::from_millis(50);

/// How two playlists belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinship {
    /// Two variant streams.
    Variants,
    /// A variant stream and an alternative of its.
    Alternatives,
    /// The same variant stream on two pathways.
    Copies,
}

/// Compares two playlists as they stand. `b` is the one that has just been loaded.
pub(crate) fn compare(a: &Versions, b: &Versions, kinship: Kinship, at_ms: u64, findings: &mut Findings) {
    let (Some(ours), Some(theirs)) = (a.playlist(), b.playlist()) else { return };
    if ours.target_duration != theirs.target_duration {
        let id = if kinship == Kinship::Alternatives { "C05" } else { "V06" };
        let text = format!(
            "the target duration is {} s, that of {} is {} s",
            theirs.target_duration.0,
            a.place(),
            ours.target_duration.0
        );
        findings.add(id, b.place(), at_ms, text);
    }
    let (ours, theirs) = (a.placed(), b.placed());
    if kinship == Kinship::Copies {
        compare_copies(&ours, &theirs, a, b, at_ms, findings);
    }
    let Some((from, until)) = shared_time(&ours, &theirs) else { return };
    let starts_in = |placed: &&Placed<'_>| placed.date.is_some_and(|date| date >= from && date < until);
    for placed in theirs.iter().filter(starts_in) {
        let Some(date) = placed.date else { continue };
        let twin = ours.iter().find(|twin| twin.date.is_some_and(|other| other.distance(date) < SAME));
        let Some(twin) = twin else {
            let text = format!("segment {} begins where no segment of {} does", placed.sequence, a.place());
            findings.advise("C05", b.place(), at_ms, text);
            continue;
        };
        if twin.segment.is_discontinuous != placed.segment.is_discontinuous && date > from + SAME {
            let text = format!(
                "EXT-X-DISCONTINUITY at segment {} is not at the same time as in {}",
                placed.sequence,
                a.place()
            );
            findings.add("C05", b.place(), at_ms, text);
        }
        if twin.discontinuity != placed.discontinuity {
            let (theirs, ours) = (placed.discontinuity.0, twin.discontinuity.0);
            let text = format!(
                "segment {} has the discontinuity number {theirs}, in {} it is {ours}",
                placed.sequence,
                a.place()
            );
            findings.add("V06", b.place(), at_ms, text);
        }
    }
}

fn compare_copies(
    ours: &[Placed<'_>],
    theirs: &[Placed<'_>],
    a: &Versions,
    b: &Versions,
    at_ms: u64,
    findings: &mut Findings,
) {
    for placed in theirs {
        let Some(twin) = ours.iter().find(|twin| twin.sequence == placed.sequence) else { continue };
        findings.look("T14");
        let (there, here) = (&placed.segment.uri, &twin.segment.uri);
        if url::file_name(there) != url::file_name(here) {
            let text = format!("number {} is {there}, at {} it is {here}", placed.sequence, a.place());
            findings.add("T14", b.place(), at_ms, text);
        } else if placed.segment.duration != twin.segment.duration {
            let text = format!("number {} has another duration than at {}", placed.sequence, a.place());
            findings.add("T14", b.place(), at_ms, text);
        }
    }
}

/// What both cover.
fn shared_time(a: &[Placed<'_>], b: &[Placed<'_>]) -> Option<(MediaTime, MediaTime)> {
    let covers = |list: &[Placed<'_>]| {
        let from = list.iter().find_map(|placed| placed.date)?;
        let last = list.last()?;
        Some((from, last.date? + last.segment.duration))
    };
    let ((a_from, a_until), (b_from, b_until)) = (covers(a)?, covers(b)?);
    let (from, until) = (a_from.max(b_from), a_until.min(b_until));
    (from < until).then_some((from, until))
}
