//! FLV audio and video message bodies to access units with a known duration.
//!
//! ```text
//!  tag ──▶ body ──▶ clock ──▶ one unit held back per track ──▶ config, unit
//!          H.264,    2^32     its duration is the next
//!          AAC       unwrapped one's time less its own
//! ```
//!
//! Lives here: what stands in an audio or video tag (Adobe's Video File Format 10.1, annex E), its time stamps, and
//! whether a picture's NAL units add up. Does not live here: chunks and commands (`rtmp`), nor any sense of when a
//! unit happened in the world, of gaps, or of jumps (`timeline`).
//!
//! One door in, [`Demuxer::push`]; one door out, [`Demuxer::pull`].
//!
//! # What is broken
//!
//! An error from `push` means: this publisher sends what we cannot use, tell them so. What is merely damaged (NAL
//! lengths that do not add up, an empty frame, a picture before its configuration) is dropped and counted in
//! [`Dropped`]: a radio link damages a unit now and then, and the next one is fine.

mod body;
mod clock;
mod demuxer;
mod nal;

pub use body::FlvError;
pub use demuxer::{Demuxed, Demuxer, Dropped, LONGEST_GAP_MS, SourceUnit, Tag, WAITING};
