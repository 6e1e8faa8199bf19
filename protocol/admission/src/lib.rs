//! `admission/1`: who may publish and who may watch, as ingests and edges hear it from the lobby.
//!
//! Lives here: the messages and their bytes ([`Message`], [`Decoder`]), and what an ingest remembers of the answers
//! ([`Verified`]). Does not live here: sockets (`node::fan::admission`), or who decides (the lobby).
//!
//! ```text
//! message = len:u32  type:u8  payload       little endian; texts u8 length and bytes
//! ```

mod message;
mod verified;

pub use message::{Decoder, Denied, Health, KeyDigest, MESSAGE_BYTES, Message, ROWS, WireError};
pub use verified::{Known, REMEMBERED, REMEMBERED_FOR, Verified};
