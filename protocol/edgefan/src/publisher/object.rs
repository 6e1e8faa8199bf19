//! One object of the hub: its bytes as they lie in shared runs, and where it stands.
//!
//! Does not live here: which objects are held (`hub`).

use crate::Close;
use bytes::Bytes;
use media::{DiscontinuitySequence, MediaSpan, MediaTime, ObjectKey, SegmentFacts};

/// One object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: ObjectKey,
    pub(crate) start: MediaTime,
    pub(crate) discontinuity: DiscontinuitySequence,
    pub(crate) state: State,
    pub(super) runs: Vec<Bytes>,
    /// Where each run ends in the object.
    pub(super) ends: Vec<usize>,
}

/// Where an object stands.
#[derive(Debug)]
pub(crate) enum State {
    Making {
        hasher: Box<blake3::Hasher>,
        /// A second OPEN began the object again: so many of its bytes have been seen to repeat themselves.
        replayed: Option<usize>,
    },
    Closed(Close),
    Gap(SegmentFacts),
}

impl Object {
    pub(crate) fn new(
        key: ObjectKey,
        start: MediaTime,
        discontinuity: DiscontinuitySequence,
        state: State,
    ) -> Self {
        Self { key, start, discontinuity, state, runs: Vec::new(), ends: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self.state, State::Making { .. })
    }

    /// What a playlist would know of it as a gap.
    pub(crate) fn as_gap(&self) -> SegmentFacts {
        let duration = match &self.state {
            State::Closed(close) => close.duration,
            State::Gap(facts) => facts.duration,
            State::Making { .. } => MediaSpan::ZERO,
        };
        SegmentFacts {
            sequence: self.key.sequence,
            run: self.key.run,
            start: self.start,
            duration,
            discontinuity: self.discontinuity,
            bytes: 0,
            is_gap: true,
        }
    }

    /// Up to `len` bytes from `at`, in as many pieces as they lie in.
    pub(crate) fn read(&self, at: usize, len: usize, mut piece: impl FnMut(&[u8])) {
        read(&self.runs, &self.ends, at, len, &mut piece);
    }
}

fn read(runs: &[Bytes], ends: &[usize], mut at: usize, mut len: usize, piece: &mut impl FnMut(&[u8])) {
    let mut index = ends.partition_point(|&end| end <= at);
    while len > 0
        && let (Some(run), Some(&end)) = (runs.get(index), ends.get(index))
    {
        let from = run.len() - (end - at);
        let take = (run.len() - from).min(len);
        piece(&run[from..from + take]);
        at += take;
        len -= take;
        index += 1;
    }
}

/// Whether `again` is what lies at `at`.
pub(crate) fn repeats(runs: &[Bytes], at: usize, again: &[u8]) -> bool {
    let ends: Vec<usize> = runs
        .iter()
        .scan(0, |end, run| {
            *end += run.len();
            Some(*end)
        })
        .collect();
    let (mut rest, mut is_same) = (again, true);
    read(runs, &ends, at, again.len(), &mut |piece| {
        let (head, tail) = rest.split_at(piece.len());
        is_same &= head == piece;
        rest = tail;
    });
    is_same && rest.is_empty()
}
