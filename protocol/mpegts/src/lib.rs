//! Reads an MPEG transport stream (ISO/IEC 13818-1) far enough to say whether a player can use it.
//!
//! Lives here: packets, continuity counters, PAT and PMT, PES time stamps, what the first coded picture is.
//! Does not live here: making one (libavformat does, in the transcode process), decoding, or what a playlist
//! promised about it (`hls::lint`).
//!
//! Bytes go in by [`Reader::push`], in pieces of any size; [`Reader::finish`] says what they were. Nothing a
//! stranger sends panics or allocates more than the bounds in [`limits`].

mod elementary;
mod fault;
pub mod limits;
mod packet;
mod reader;
mod section;
mod summary;
#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultKind};
pub use reader::Reader;
pub use summary::{Codec, Summary, TrackSummary};

/// Every transport packet has so many bytes.
pub const PACKET_BYTES: usize = 188;

/// What every transport packet begins with.
pub const SYNC_BYTE: u8 = 0x47;

/// The media type of a transport stream segment (R 3.2; rule S09).
pub const MEDIA_TYPE: &str = "video/mp2t";
