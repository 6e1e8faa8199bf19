//! RTMP at the door: a guard between a stranger's bytes and typed messages.
//!
//! ```text
//!  bytes ──▶ handshake ──▶ chunk reader ──▶ message ──┬─▶ command ──▶ conversation ──▶ reply ──▶ bytes
//!                          one buffer per             ├─▶ metadata        │
//!                          chunk stream, capped       └─▶ audio, video ───┴─▶ whoever called `pull`
//! ```
//!
//! Lives here: the server side of a publish (Adobe's RTMP 1.0; the section numbers in comments are its), and every
//! bound on what a stranger may make us hold. Does not live here: who may publish (the caller of
//! [`Door::accept`] decides), what the media bytes mean (`flv`), sockets and TLS (`ingest`).
//!
//! One door in, [`Door::push`]; one door out, [`Door::pull`]; [`Conversation`] is the implementation.

pub mod amf0;
mod chunk;
mod command;
mod conversation;
mod door;
mod handshake;
mod limits;
mod message;
mod metadata;
mod name;
mod reply;
pub mod script;

pub use chunk::{Caps, ChunkError, ChunkReader, ChunkWriter};
pub use command::{Command, CommandError, Connect, FourCc, Transaction};
pub use conversation::Conversation;
pub use door::{Door, DoorError, Farewell, Output, PublishRequest, Refusal};
pub use handshake::{Handshake, HandshakeError};
pub use limits::{
    AGGREGATED_MESSAGES, CHUNK_STREAMS, COMMANDS_BEFORE_PUBLISH, HELD_BYTES_PUBLISHING,
    HELD_BYTES_UNPUBLISHED, Limits, NAME_BYTES, PUSH_BYTES, QUERY_PAIRS, QUEUED_BYTES, UNSENT_BYTES,
};
pub use message::{Message, MessageKind, MessageStream, UserControl};
pub use metadata::Metadata;
pub use name::{App, Query, Secret};
