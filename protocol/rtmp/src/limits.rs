//! How much a stranger may make us hold, and how long they may keep us waiting.
//!
//! Lives here: every bound of the room that is not one reader's own (those stand beside their reader: [`crate::Caps`],
//! [`crate::amf0::MAX_DEPTH`]). Does not live here: how many connections there may be (`ingest`).

use std::time::Duration;

/// Chunk streams one connection may use. Encoders use up to eight; the specification allows 65,597 (5.3.1.1), and
/// each costs a remembered header. One more closes the connection.
pub const CHUNK_STREAMS: usize = 64;

/// Commands a stranger may send before being published. Encoders send five; one more than this closes the
/// connection.
pub const COMMANDS_BEFORE_PUBLISH: u32 = 64;

/// Bytes of an app, a stream name or a `tcUrl`. Keys of 1 KiB with a query are seen; a longer name closes the
/// connection.
pub const NAME_BYTES: usize = 2048;

/// `name=value` pairs of a query that are kept; the rest is dropped unread.
pub const QUERY_PAIRS: usize = 16;

/// Messages in one aggregate message (7.1.6). A second of audio and video is about 80; more closes the connection.
pub const AGGREGATED_MESSAGES: usize = 1024;

/// Bytes of one [`crate::Door::push`] that the other bounds are computed for; what a socket read yields at most.
/// A larger push is taken, but answers to it may pass [`QUEUED_BYTES`].
pub const PUSH_BYTES: usize = 64 * 1024;

/// Bytes of answers waiting for [`crate::Door::pull`]. The longest honest burst is the 3,073 of a handshake; a
/// stranger who asks more in one push closes the connection.
pub const UNSENT_BYTES: usize = 8 * 1024;

/// Bytes of media waiting for [`crate::Door::pull`], each with [`QUEUED_OVERHEAD`]. All the partial messages there
/// may be, completed by one push, and room above; more means nobody pulls, and closes the connection.
pub const QUEUED_BYTES: usize = 14 * 1024 * 1024;

/// What one waiting output costs beside its bytes: the queue's entry (doubled while the queue grows) and the
/// allocator's own.
pub(crate) const QUEUED_OVERHEAD: usize = 160;

/// The most [`crate::Door::held_bytes`] says before a publish is accepted.
pub const HELD_BYTES_UNPUBLISHED: usize = 64 * 1024;

/// The most [`crate::Door::held_bytes`] says of a connection that publishes.
pub const HELD_BYTES_PUBLISHING: usize = 32 * 1024 * 1024;

/// How long a stranger may keep us waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection's first moment to the end of its handshake, however slowly it drips. 5 s.
    pub handshake_within: Duration,
    /// From the end of the handshake to a `publish`. 10 s.
    pub publish_within: Duration,
    /// Without a byte while publishing: the encoder has been killed, or its network has (5 s).
    pub silent_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_within: Duration::from_secs(5),
            publish_within: Duration::from_secs(10),
            silent_after: Duration::from_secs(5),
        }
    }
}
