//! What goes into a window and what comes out.

use media::{
    BroadcastId, MediaSequence, MediaSpan, PartIndex, RenditionId, RunId, SegmentFacts, StreamFacts,
};

/// What a window is told.
#[derive(Clone, Debug)]
pub enum Input<B> {
    /// The broadcast's facts, new or changed: renditions, their rates, the run.
    Facts(StreamFacts),
    /// A segment that is whole, or that will never be.
    Segment {
        /// Of which rendition.
        rendition: RenditionId,
        /// What a playlist must know of it.
        facts: SegmentFacts,
        /// Its bytes; `None` for a gap.
        body: Option<B>,
    },
    /// A part of a segment that is not whole yet.
    Part {
        /// Of which rendition.
        rendition: RenditionId,
        /// Of which segment.
        sequence: MediaSequence,
        /// What a playlist must know of it.
        facts: PartFacts,
        /// Its bytes.
        body: B,
    },
    /// Somebody who feeds us came, or came back, and hands over what we missed, the newest first: what follows without a
    /// hole is listed, holes wait for [`Input::CaughtUp`], at most for a window.
    Behind,
    /// What was there before us has been handed over: listing may begin.
    CaughtUp,
    /// The run is over and nothing more will come of it.
    Ended {
        /// Which run; one that a newer run has already followed is past caring.
        run: RunId,
    },
}

/// What a playlist must know of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartFacts {
    /// Which part of its segment.
    pub part: PartIndex,
    /// How long it lasts.
    pub duration: MediaSpan,
    /// It starts with a sync unit.
    pub is_independent: bool,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What changed, in the order in which to act on it: bodies are stored before the playlist that names them is
/// announced, and a body expires only after the playlists that named it have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<B> {
    /// The segment can be fetched from now on.
    Stored {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number, which is its name.
        sequence: MediaSequence,
        /// Its bytes.
        body: B,
    },
    /// The part can be fetched from now on.
    PartStored {
        /// Of which rendition.
        rendition: RenditionId,
        /// Of which segment.
        sequence: MediaSequence,
        /// Which part of it.
        part: PartIndex,
        /// Its bytes.
        body: B,
    },
    /// This rendition's media playlist says something new: ask [`crate::Window::media_playlist`].
    Listed {
        /// Which rendition.
        rendition: RenditionId,
    },
    /// This rendition is offered no more: its media playlist answers 404 from now on (rule T12), its segments
    /// stay fetchable until they expire.
    Withdrawn {
        /// Which rendition.
        rendition: RenditionId,
    },
    /// The multivariant playlist says something new: ask [`crate::Window::multivariant`].
    MultivariantChanged,
    /// The segment can be fetched no more.
    Expired {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
    },
    /// The part can be fetched no more.
    PartExpired {
        /// Of which rendition.
        rendition: RenditionId,
        /// Of which segment.
        sequence: MediaSequence,
        /// Which part of it.
        part: PartIndex,
    },
    /// What was pushed was not taken. Duplicates are not worth a word and are dropped without one.
    Refused {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
        /// Why.
        why: Refusal,
    },
    /// The facts that were pushed were not taken.
    FactsRefused(FactsRefusal),
    /// Every playlist now ends in EXT-X-ENDLIST.
    Ended,
}

/// Why facts were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsRefusal {
    /// Facts of an older run, from whoever has not heard of the newer one.
    #[error("facts of run {offered}, and run {current} has begun")]
    OlderRun {
        /// The run they are of.
        offered: RunId,
        /// The newest run known.
        current: RunId,
    },
    /// Facts of something else.
    #[error("facts of broadcast {0}")]
    OtherBroadcast(BroadcastId),
    /// The target duration never changes (rule T01), and numbers are counted in pitches: a broadcast with
    /// another pitch is another window, made when this one is gone.
    #[error("facts with segments of {offered}, and the broadcast's are {current}")]
    OtherPitch {
        /// The pitch they name.
        offered: MediaSpan,
        /// The pitch there is.
        current: MediaSpan,
    },
    /// More renditions than a broadcast may have.
    #[error("facts with {offered} renditions, at most {limit} are taken")]
    TooManyRenditions {
        /// How many they name.
        offered: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// Why a segment or a part was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It would have expired already.
    #[error("it is older than anything that can still be fetched")]
    TooOld,
    /// Its place has been listed as a gap, and a listed segment does not change (rule T05).
    #[error("its place has been listed as a gap")]
    ListedAsGap,
    /// The facts name no such rendition.
    #[error("the broadcast's facts name no such rendition")]
    UnknownRendition,
    /// More segments than the window keeps ahead of its playlist.
    #[error("more segments are waiting to be listed than the window keeps")]
    TooManyWaiting,
    /// More parts than a segment may have.
    #[error("the segment has more parts than the window keeps")]
    TooManyParts,
    /// Its run is over.
    #[error("its run is over")]
    RunIsOver,
}
