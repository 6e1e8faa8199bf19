//! What goes into a viewer and what comes out of it.

use crate::Url;
use media::MediaSequence;
use std::time::{Duration, Instant};

/// The moment something is pushed: on the clock that only goes forward, and on the calendar (for the latency
/// against EXT-X-PROGRAM-DATE-TIME).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub at: Instant,
    /// Milliseconds since the Unix epoch.
    pub unix_millis: u64,
}

/// Names one [`Ask`] of one viewer; never used twice by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u32);

/// What happened. Anything about an ask that is not open (cancelled, answered, failed) is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The head of an answer is here. With a status that is a redirect the viewer follows `location` with a new
    /// ask (the shell follows nothing); with any other that is not 2xx the ask has failed; in both cases the
    /// ask is over, and the shell discards the body, or closes, as it likes.
    Head {
        /// Which ask.
        ask: AskId,
        /// HTTP status.
        status: u16,
        /// The Location field of a redirect.
        location: Option<&'a str>,
        /// The Retry-After field, where it is a number of seconds.
        retry_after: Option<Duration>,
    },
    /// More of a body came. While bytes come, the shell says so every now and then: well within
    /// [`crate::Bounds::idle`], every second or half of one. Small bodies need none.
    Progress {
        /// Which ask.
        ask: AskId,
    },
    /// The whole body of a playlist (after its `Head`), content coding undone. The ask is over.
    Playlist {
        /// Which ask.
        ask: AskId,
        /// The body.
        body: &'a [u8],
    },
    /// The whole body of a steering manifest (after its `Head`), content coding undone. The ask is over.
    Steering {
        /// Which ask.
        ask: AskId,
        /// The body.
        body: &'a [u8],
    },
    /// The whole body of a segment or an initialization section went by (after its `Head`). The ask is over.
    Segment {
        /// Which ask.
        ask: AskId,
        /// How long it was.
        bytes: u64,
    },
    /// It could not be had. The ask is over.
    Failed {
        /// Which ask.
        ask: AskId,
        /// Why.
        why: Failure,
    },
    /// Time went by; due at [`crate::Viewer::deadline`].
    Tick,
    /// The human closes the page: open asks are cancelled, nothing more is asked.
    Stop,
}

/// Why an ask failed. The shell says those up to `Other`, the viewer finds the rest itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Failure {
    /// The name has no address.
    #[error("name not resolved")]
    Name,
    /// Nobody listens.
    #[error("connection refused")]
    Refused,
    /// The connection ended before the answer began.
    #[error("connection closed without an answer")]
    Closed,
    /// The connection was reset.
    #[error("connection reset")]
    Reset,
    /// The TLS handshake failed.
    #[error("TLS failed")]
    Tls,
    /// The answer ended before its length.
    #[error("answer truncated")]
    Truncated,
    /// The answer is not HTTP, or breaks a limit of the shell.
    #[error("malformed answer")]
    Malformed,
    /// Something else in the shell (no descriptor, no port, ...).
    #[error("local failure")]
    Other,
    /// A status that is neither 2xx nor a redirect.
    #[error("status {0}")]
    Status(u16),
    /// No head within the bound; the ask was cancelled.
    #[error("no first byte in time")]
    FirstByte,
    /// A head, and then nothing for too long; the ask was cancelled.
    #[error("nothing more came")]
    Idle,
    /// A head, but not the whole body within the bound; the ask was cancelled.
    #[error("not whole in time")]
    Whole,
    /// A redirect without a Location, or one that cannot be followed.
    #[error("redirect that leads nowhere")]
    Redirect,
    /// More redirects in a row than are followed.
    #[error("too many redirects")]
    Redirects,
    /// What came is no playlist, or no steering manifest, that a player can read.
    #[error("not a playlist")]
    Unreadable,
}

/// What the shell is to do, or to note.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Ask for this.
    Ask(Ask),
    /// Give this ask up; nothing about it is wanted any more. Comes after time-outs (then an
    /// [`Event::Failed`] says so), and for asks that lost against a hedge or are without a purpose.
    Cancel(AskId),
    /// Something worth counting.
    Event {
        /// When it was so: the exact moment, which may lie before the push that found it (a buffer that ran
        /// empty between two ticks).
        at: Instant,
        /// What.
        event: Event,
    },
}

/// A GET to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its name.
    pub id: AskId,
    /// Where.
    pub url: Url,
    /// What for.
    pub kind: AskKind,
    /// Which bytes of it, for a Range field; `None` for all.
    pub range: Option<Range>,
    /// When it was due: latencies count from here. A redirect followed, a retry and a hedge have a moment of
    /// their own.
    pub due: Instant,
    /// The server may hold the answer back (`_HLS_msn`): the time to its first byte is no latency.
    pub is_blocking: bool,
}

/// `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

/// What an ask is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AskKind {
    /// The entry: a multivariant playlist, or a media playlist straight away. Answer with [`Input::Playlist`].
    Multivariant,
    /// The media playlist of a rung. Answer with [`Input::Playlist`].
    Media {
        /// Which entry of the multivariant playlist, within a pathway.
        rung: u8,
    },
    /// A media initialization section. Answer with [`Input::Segment`].
    Init {
        /// As in `Media`.
        rung: u8,
    },
    /// A media segment. Answer with [`Input::Segment`]. The same segment at another edge has the same
    /// [`Url::tail`]: that is what a shell that hashes bodies compares.
    Segment {
        /// As in `Media`.
        rung: u8,
        /// Its number.
        sequence: MediaSequence,
    },
    /// The steering manifest. Answer with [`Input::Steering`].
    Steering,
}

/// Something a viewer noticed.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It plays for the first time (or, without segments, has its first media playlist).
    Started(Startup),
    /// The buffer is empty, the picture stands.
    Stalled,
    /// It plays again.
    Resumed {
        /// How long the picture stood.
        after: Duration,
    },
    /// Another pathway is used from here on.
    Switched {
        /// The origin that was used.
        from: Box<str>,
        /// The one that is used now.
        to: Box<str>,
        /// Why.
        why: SwitchReason,
    },
    /// An edge did not give what was due, and a segment from another one is whole now.
    GotAway {
        /// Since what was not given was due.
        after: Duration,
    },
    /// Another rung is fetched from here on.
    RungChanged {
        /// Before.
        from: u8,
        /// Now.
        to: u8,
    },
    /// The media playlist has not advanced for longer than 1.5 target durations. Said once until `Advanced`.
    Stale {
        /// For how long so far.
        so_far: Duration,
    },
    /// A stale playlist has advanced.
    Advanced {
        /// After so long.
        after: Duration,
    },
    /// A promise about the numbering was broken.
    Fault(Fault),
    /// How far behind the calendar the playhead is; once per segment while it plays.
    Latency(Duration),
    /// A listed segment has no media (EXT-X-GAP) and was passed over.
    Gap {
        /// Its number.
        sequence: MediaSequence,
    },
    /// A segment was passed over because its URI is none.
    Unnamed {
        /// Its number.
        sequence: MediaSequence,
    },
    /// The playhead leapt over media that is not there any more, or was too far behind.
    Leapt {
        /// Segments passed over.
        segments: u64,
    },
    /// An ask failed.
    Failed {
        /// Which.
        ask: AskId,
        /// What for.
        kind: AskKind,
        /// Why.
        why: Failure,
    },
    /// A second pathway was asked for the same thing because the first said nothing.
    Hedged,
    /// No pathway gave what is needed after all retries: begins again at the entry.
    Reentered {
        /// What failed last.
        why: Failure,
    },
    /// EXT-X-ENDLIST was read and everything is played. Nothing more is asked.
    Ended,
    /// It gave up for good. Nothing more is asked.
    GaveUp {
        /// What failed last.
        why: Failure,
    },
}

/// Where the time went until the first picture. Each phase begins where the one before ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// From the start until the multivariant playlist was read, redirects included.
    pub multivariant: Duration,
    /// Until the media playlist was read (retries and waiting for media included).
    pub media: Duration,
    /// Until the first segment was whole; zero without segments.
    pub segment: Duration,
    /// Until enough was held to play.
    pub buffering: Duration,
}

impl Startup {
    /// From the start to the first picture.
    pub fn total(&self) -> Duration {
        self.multivariant + self.media + self.segment + self.buffering
    }
}

/// Why another pathway is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchReason {
    /// An ask failed there.
    Failed(Failure),
    /// Its playlist stands still.
    Stale,
    /// Another one answered first.
    Slower,
    /// Content steering names another one before it.
    Steered,
    /// A multivariant playlist read anew begins elsewhere.
    Reentered,
}

/// A broken promise (RFC 8216, 6.2.1 and 6.2.2; rules T01 to T05 and T14 of docs/HLS.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EXT-X-MEDIA-SEQUENCE went back.
    SequenceWentBack {
        /// Before.
        from: MediaSequence,
        /// Now.
        to: MediaSequence,
    },
    /// The list begins behind what can follow, though it was read in time.
    NumbersSkipped {
        /// The number after the last one known.
        expected: MediaSequence,
        /// The first one listed.
        found: MediaSequence,
    },
    /// A number has another URI, duration or byte range than before.
    SegmentChanged {
        /// Its number.
        sequence: MediaSequence,
        /// The two were read from different pathways.
        elsewhere: bool,
    },
    /// A number has another discontinuity sequence number than before.
    DiscontinuityChanged {
        /// Its number.
        sequence: MediaSequence,
        /// The two were read from different pathways.
        elsewhere: bool,
    },
    /// EXT-X-DISCONTINUITY-SEQUENCE went back.
    DiscontinuityWentBack {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
    },
    /// EXT-X-TARGETDURATION changed.
    TargetChanged {
        /// Before, seconds.
        from: u64,
        /// Now, seconds.
        to: u64,
    },
}

/// How a viewer is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has not played yet.
    Starting,
    /// Plays (or, without segments, follows the playlist).
    Playing,
    /// Stands, because nothing is held.
    Stalled,
    /// Ended, stopped, or gave up.
    Over,
}

/// What one viewer adds up to, a stall that lasts included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How it is.
    pub state: State,
    /// Media played.
    pub played: Duration,
    /// Time stood, after the first picture.
    pub stalled: Duration,
    /// Stalls begun.
    pub stalls: u32,
    /// Media held ahead of the playhead.
    pub held: Duration,
    /// The rung that is fetched.
    pub rung: u8,
}
