//! What a subscriber tells its edge.

use crate::NodeId;
use bytes::Bytes;
use media::{BroadcastId, ContentHash, ObjectKey, RunId, SegmentFacts, StreamFacts};
use std::time::Instant;

/// Which of a subscriber's sources: its place in the list the subscriber was given, stable while it stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// What a subscriber tells its edge, in order. Each key is either [`Event::Complete`] or [`Event::Skipped`],
/// and only once.
#[derive(Clone, Debug)]
pub enum Event {
    /// What a broadcast is; again whenever that changes.
    Stream(StreamFacts),
    /// A source has told when a segment was complete where it was made, by our clock, to half a round trip: before the
    /// [`Event::Complete`] of its copy, or later, where another's was first. Not told of what was made before the
    /// link was up.
    Made {
        /// Its name.
        key: ObjectKey,
        /// When that was.
        made: Instant,
    },
    /// An object whose size and hash agree with what its source announced.
    Complete {
        /// Its name.
        key: ObjectKey,
        /// What a playlist must know of it.
        facts: SegmentFacts,
        /// All of it.
        body: Bytes,
        /// BLAKE3 of `body`.
        hash: ContentHash,
        /// Whose copy came first.
        source: SourceId,
    },
    /// An object no source will send: a gap.
    Skipped {
        /// Its name.
        key: ObjectKey,
        /// What a playlist must know of it; `is_gap` is set.
        facts: SegmentFacts,
    },
    /// The newest three segments of every rendition are here: the edge may serve it, older ones follow.
    Ready {
        /// Of which broadcast.
        broadcast: BroadcastId,
    },
    /// Everything the sources had inside the window is here or skipped; said again after a reconnect.
    CaughtUp {
        /// Of which broadcast.
        broadcast: BroadcastId,
    },
    /// Every source that fed this run has ended it.
    Ended {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// Which run.
        run: RunId,
    },
    /// A second source's copy has another hash. The first copy stays; somebody should look.
    Differs {
        /// Its name.
        key: ObjectKey,
        /// The hash of the copy that is kept.
        kept: ContentHash,
        /// The hash the second source announced.
        other: ContentHash,
        /// The second source.
        source: SourceId,
    },
    /// Of two sources whose copies differ the younger is not listened to any more, for this broadcast, until it makes
    /// it under another term, or another run begins.
    Quarantined {
        /// The object that differed.
        key: ObjectKey,
        /// Who is not listened to.
        source: SourceId,
    },
    /// A source is there: all its connections are up.
    LinkUp {
        /// Which.
        source: SourceId,
        /// Who it says it is.
        node: NodeId,
    },
    /// A source is gone.
    LinkDown {
        /// Which.
        source: SourceId,
        /// Why.
        why: String,
    },
}
