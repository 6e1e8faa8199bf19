//! What a viewer is answered with.

use bytes::Bytes;
use http::Status;

/// The outcome of an ask.
#[derive(Clone, Debug)]
pub enum Answer<B> {
    /// Send this.
    Now(Reply<B>),
    /// Send this, and keep the connection: [`crate::Delivery::pull_chat`] hands out what follows, under the reader's id.
    GoesOn(Reply<B>),
    /// Nothing yet: [`crate::Delivery::pull`] will hand out the reply under the waiter's id.
    Later,
    /// Send this refusal; asking again for the same is pointless or has to wait.
    Never(Reply<B>),
}

/// An answer ready to leave.
#[derive(Clone, Debug)]
pub struct Reply<B> {
    /// What its head says.
    pub status: Status,
    /// What it is about, for counters.
    pub kind: Kind,
    /// Sent first: a head, maybe with its body. Empty when the stored head is sent.
    pub bytes: Bytes,
    /// Sent after that, in this order.
    pub more: Vec<Bytes>,
    /// Sent after that.
    pub stored: Option<Stored<B>>,
    /// Whether another request may follow.
    pub keep_alive: bool,
}

/// What of a stored body is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored<B> {
    /// The head that was stored with it, and all of it.
    WithHead(B),
    /// Some bytes of the body, without the stored head.
    Range {
        /// Which body.
        body: B,
        /// Offset in the body.
        from: u64,
        /// How many.
        len: u64,
    },
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A multivariant playlist.
    Multivariant,
    /// A media playlist.
    Media,
    /// A media segment.
    Segment,
    /// A still picture.
    Thumb,
    /// Chat.
    Chat,
    /// Anything else, mostly nothing.
    Other,
}

impl Kind {
    /// Every kind, for counters with one place each.
    pub const ALL: [Self; 6] =
        [Self::Multivariant, Self::Media, Self::Segment, Self::Thumb, Self::Chat, Self::Other];

    /// Its label on a counter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::Media => "media",
            Self::Segment => "segment",
            Self::Thumb => "thumb",
            Self::Chat => "chat",
            Self::Other => "other",
        }
    }
}
