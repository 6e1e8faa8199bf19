//! What is told apart: kinds of requests, phases of a start, states of a viewer, classes of errors, kinds of faults.

use serde::{Deserialize, Serialize};

/// A small closed set whose members index an array and have one word each.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$member_doc:meta])* $member:ident = $word:literal, $title:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$member_doc])* #[serde(rename = $word)] $member,)+ }

        impl $type {
            /// Every one, in the order they are told.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$member),+];

            /// Its word in JSON, and in conditions.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$member => $word,)+ }
            }

            /// Its words for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$member => $title,)+ }
            }
        }
    };
}

words! {
    /// What is asked for.
    Kind {
        /// A multivariant playlist, with the redirects before it.
        Multivariant = "multivariant", "multivariant playlist";
        /// A media playlist that is answered at once.
        Media = "media", "media playlist";
        /// A media playlist that is answered when it has what was asked for: held on purpose, so apart.
        Blocking = "blocking", "blocking reload";
        /// A media segment.
        Segment = "segment", "segment";
        /// A steering manifest.
        Steering = "steering", "steering manifest";
        /// Anything else: initialization sections, keys.
        Other = "other", "other";
    }
}

words! {
    /// What a viewer waits for before its first picture.
    Phase {
        /// Name to address.
        Resolve = "resolve", "resolve";
        /// TCP connect.
        Connect = "connect", "connect";
        /// TLS handshake.
        Tls = "tls", "TLS";
        /// Multivariant playlist, with redirects.
        Multivariant = "multivariant", "multivariant playlist";
        /// First media playlist.
        Media = "media", "media playlist";
        /// First segment, to its last byte.
        FirstSegment = "first_segment", "first segment";
        /// Until enough is held to play.
        Buffering = "buffering", "buffering";
        /// From the moment the viewer was due to its first picture.
        Total = "total", "all of it";
    }
}

words! {
    /// How a viewer is.
    ViewerState {
        /// No picture yet.
        Starting = "starting", "starting";
        /// Plays.
        Fine = "fine", "fine";
        /// Played, and has nothing to play.
        Stalled = "stalled", "stalled";
        /// Saw the end of the broadcast.
        Ended = "ended", "ended";
        /// Found no way to play on.
        GaveUp = "gave_up", "gave up";
    }
}

words! {
    /// What went wrong with a request.
    ErrorClass {
        /// A name without an address.
        Resolve = "resolve", "name not resolved";
        /// Nobody listens, or no way there.
        Refused = "refused", "connection refused";
        /// The connection ended before the answer began.
        Closed = "closed", "closed without an answer";
        /// The connection was reset.
        Reset = "reset", "connection reset";
        /// A TLS handshake that failed, or a record that did not open.
        Tls = "tls", "TLS failed";
        /// The answer ended before its length.
        Truncated = "truncated", "answer truncated";
        /// An answer that is no HTTP.
        Malformed = "malformed", "malformed answer";
        /// The load tester's own: out of ports, descriptors, memory.
        Own = "own", "the load tester's own";
        /// Status 400 to 499.
        Status4xx = "status_4xx", "status 4xx";
        /// Status 500 to 599.
        Status5xx = "status_5xx", "status 5xx";
        /// Any other status that is no answer.
        StatusOther = "status_other", "unexpected status";
        /// No head in time.
        FirstByte = "first_byte", "no first byte in time";
        /// A body that stopped coming.
        Idle = "idle", "body stopped coming";
        /// A head in time, the end of the body not.
        Whole = "whole", "not whole in time";
        /// More redirects than a player follows, or to nowhere.
        Redirect = "redirect", "bad redirect";
        /// A playlist that does not parse.
        Playlist = "playlist", "unreadable playlist";
    }
}

words! {
    /// A promise of the playlists that was broken.
    FaultKind {
        /// The media sequence number went back.
        SequenceBack = "sequence_back", "media sequence went back";
        /// The list begins behind what can follow.
        SequenceSkipped = "sequence_skipped", "media sequence skipped";
        /// A number has another URI, duration or range than before.
        SegmentChanged = "segment_changed", "listed segment changed";
        /// The same, between two pathways.
        SegmentElsewhere = "segment_elsewhere", "segment listed otherwise by another pathway";
        /// The discontinuity sequence number went back.
        DiscontinuityBack = "discontinuity_back", "discontinuity sequence went back";
        /// A number has another discontinuity sequence number than before.
        DiscontinuityChanged = "discontinuity_changed", "discontinuity sequence changed";
        /// The same, between two pathways.
        DiscontinuityElsewhere = "discontinuity_elsewhere", "discontinuity sequence differs on another pathway";
        /// The target duration changed.
        TargetChanged = "target_changed", "target duration changed";
        /// A listed segment whose URI is none.
        Unnamed = "unnamed", "segment without a usable URI";
        /// No news for longer than 1.5 target durations.
        Stale = "stale", "playlist stood still";
    }
}

words! {
    /// What a viewer did or met that breaks no promise.
    Notice {
        /// It went on with another pathway.
        Switched = "switched", "pathway switched";
        /// It did so because content steering said so.
        Steered = "steered", "of these by content steering";
        /// It asked a second pathway because the first said nothing.
        Hedged = "hedged", "second pathway asked";
        /// It began again at the entry.
        Reentered = "reentered", "began again at the entry";
        /// It fetches another rung.
        RungChanged = "rung_changed", "rung changed";
        /// Segments its playhead leapt over.
        Leapt = "leapt", "segments leapt over";
        /// A listed segment without media (EXT-X-GAP).
        Gap = "gap", "gap";
    }
}

/// One number for each member of a small set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerKind<const N: usize>(pub [u64; N]);

impl<const N: usize> Default for PerKind<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> PerKind<N> {
    /// Both added up.
    pub fn add(&mut self, other: &Self) {
        for (mine, more) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(more);
        }
    }

    /// All members together.
    pub fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, more| sum.saturating_add(*more))
    }
}
