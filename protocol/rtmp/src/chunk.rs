//! Chunks: messages cut up so that a long one does not hold up a short one (5.3).
//!
//! Lives here: reading a stranger's chunks within bounds ([`ChunkReader`]), and writing our own ([`ChunkWriter`]).
//! Does not live here: what the messages mean.

mod reader;
mod writer;

pub use reader::{Caps, ChunkError, ChunkReader};
pub use writer::ChunkWriter;

/// How long chunks are until somebody says otherwise (5.4.1).
const FIRST_CHUNK_SIZE: u32 = 128;

/// Messages are at most this long, so no chunk is longer (5.4.1).
const LONGEST_MESSAGE: u32 = 0x00ff_ffff;

/// A time stamp field of this value says that the real one follows in four more bytes (5.3.1.3).
const EXTENDED: u32 = 0x00ff_ffff;
