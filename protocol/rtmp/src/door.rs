//! The door: what goes in, what comes out, and how it ends.
//!
//! Lives here: the words that the room and its caller speak, and the trait that any implementation of the server side
//! fits behind, so that one conformance suite tells them apart. Does not live here: an implementation
//! (`conversation`).

use crate::command::{CommandError, FourCc};
use crate::{App, ChunkError, HandshakeError, Metadata, Query, Secret};
use bytes::Bytes;
use media::Track;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The server side of one publisher's connection.
///
/// After every call that is not `pull`, pull until there is nothing. Exactly one [`Output::Over`] comes, last.
pub trait Door {
    /// Bytes that arrived, in any cut; not more than [`crate::PUSH_BYTES`] at once. An error ends the conversation: what was
    /// understood before it, and [`Output::Over`], are still to be pulled. Whatever comes after the end is ignored.
    fn push(&mut self, bytes: &[u8], now: Instant) -> Result<(), DoorError>;

    /// The next thing to do. Bytes to send come before anything else.
    fn pull(&mut self) -> Option<Output>;

    /// When to call [`Door::expired`], unless bytes come first.
    fn deadline(&self) -> Option<Instant>;

    /// It may be later than the deadline; if it is, that is the end.
    fn expired(&mut self, now: Instant);

    /// Answers [`Output::Publish`]: media may come. Without effect when nobody waits for the answer any more.
    fn accept(&mut self, now: Instant);

    /// Answers [`Output::Publish`] with no, or ends a publish that was accepted: the publisher is told why in an
    /// `onStatus`, and that is the end. Without effect after the end.
    fn refuse(&mut self, refusal: Refusal);

    /// Heap bytes held, accounted: at most [`crate::HELD_BYTES_UNPUBLISHED`] before [`Door::accept`], and
    /// [`crate::HELD_BYTES_PUBLISHING`] after it.
    fn held_bytes(&self) -> usize;
}

/// What the caller must do, or may want to know.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Send(Bytes),
    /// Somebody wants to publish: [`Door::accept`] or [`Door::refuse`].
    Publish(Box<PublishRequest>),
    /// The body of an audio or video message, which is that of an FLV tag. Never empty.
    Media {
        /// Sound or pictures.
        track: Track,
        /// Milliseconds on the publisher's clock, mod 2^32.
        timestamp_ms: u32,
        /// The body.
        body: Bytes,
    },
    /// What the encoder says of its stream.
    Metadata(Box<Metadata>),
    /// It is over: send what there is to send, and close.
    Over(Farewell),
}

/// Who wants to publish what.
#[derive(Debug)]
pub struct PublishRequest {
    /// The application and its query.
    pub app: App,
    /// The stream name without its query. Some put the key here, so it is a secret until the caller knows better.
    pub name: Secret,
    /// The query of the stream name (`?key=…`).
    pub query: Query,
    /// The whole URL the publisher was given, if it says.
    pub tc_url: Option<Secret>,
    /// What the publisher calls itself.
    pub flash_version: Option<String>,
    /// The codecs it could send by Enhanced RTMP; `None` if it has not heard of it.
    pub four_cc_list: Option<Vec<FourCc>>,
}

/// How a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The publisher said it is done.
    Unpublished,
    /// The caller refused, or we did: somebody wants to play, or publishes twice.
    Refused(Refusal),
    /// The handshake took longer than this.
    HandshakeTooSlow(Duration),
    /// No `publish` within this of the handshake.
    NothingPublished(Duration),
    /// No byte for this long while publishing.
    Silent(Duration),
    /// They broke a rule, or a bound.
    Fault(DoorError),
}

/// Why somebody may not publish, in the words of an `onStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// E.g. `NetStream.Publish.BadName`.
    pub code: Cow<'static, str>,
    /// For the person at the encoder.
    pub description: String,
}

impl Refusal {
    /// Any code and description.
    pub fn new(code: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self { code: code.into(), description: description.into() }
    }

    /// Somebody else is publishing under this name.
    pub fn in_use() -> Self {
        Self::new("NetStream.Publish.BadName", "somebody is publishing under this name already")
    }

    /// The key is wrong, or there is no such name; which of the two is nobody's business.
    pub fn unauthorized() -> Self {
        Self::new("NetStream.Publish.Unauthorized", "the stream name and the publish key do not fit")
    }

    /// The media is in a codec we do not take.
    pub fn unsupported_codec(name: &str) -> Self {
        Self::new(
            "NetStream.Publish.Rejected",
            format!("{name} is not taken here: set the encoder to H.264 video and AAC audio"),
        )
    }

    pub(crate) fn play() -> Self {
        Self::new("NetStream.Play.Failed", "broadcasts are published here; they are watched over HTTP")
    }

    pub(crate) fn second_publish() -> Self {
        Self::new("NetStream.Publish.BadName", "this connection publishes already, and may do so once")
    }
}

/// Which rule or bound was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// In the handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// In the chunks.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// In a command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// `connect` must be the first command, and come once; `publish` must follow it.
    #[error("{command} does not belong {place}")]
    OutOfOrder {
        /// The command.
        command: &'static str,
        /// Where it came.
        place: &'static str,
    },
    /// Sound or pictures from somebody who may not publish (yet).
    #[error("media before a publish was accepted")]
    MediaUnasked,
    /// Commands without end.
    #[error("more than {limit} commands and nothing published")]
    TooManyCommands {
        /// How many are allowed.
        limit: u32,
    },
    /// Questions faster than the answers can leave.
    #[error("answers of {held} bytes wait to be sent, at most {limit} may")]
    TooManyQuestions {
        /// How many wait.
        held: usize,
        /// How many may.
        limit: usize,
    },
    /// An aggregate message that is cut short, or holds too many.
    #[error("an aggregate message of {len} bytes ends inside a message, or holds more than {limit}")]
    Aggregate {
        /// Its length.
        len: usize,
        /// How many messages it may hold.
        limit: usize,
    },
    /// The caller does not pull.
    #[error("{held} bytes of media wait to be pulled, at most {limit} may")]
    NotPulled {
        /// How many wait.
        held: usize,
        /// How many may.
        limit: usize,
    },
}
