//! What travels from ingest to edge, and what makes two of them the same.

use crate::{BroadcastId, MediaSequence, MediaSpan, MediaTime, PartIndex, RenditionId, RunId};
use std::fmt;

/// How many discontinuities came before a segment (EXT-X-DISCONTINUITY-SEQUENCE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiscontinuitySequence(pub u64);

/// What an object is. The numbers are those of the wire (docs/WIRE.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// A media initialization section.
    Init = 1,
    /// A whole media segment.
    Segment = 2,
    /// A partial segment.
    Part = 3,
    /// A still picture of the broadcast.
    Thumb = 4,
    /// A page of chat.
    Chat = 5,
}

impl ObjectKind {
    /// The kind of that number on the wire.
    pub fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Init,
            2 => Self::Segment,
            3 => Self::Part,
            4 => Self::Thumb,
            5 => Self::Chat,
            _ => return None,
        })
    }
}

/// The name of an object: same key, same bytes, on every edge and from both ingests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// Of which run of it.
    pub run: RunId,
    /// Of which rendition.
    pub rendition: RenditionId,
    /// Which segment it is, or is a part of.
    pub sequence: MediaSequence,
    /// Which part; `None` unless `kind` is [`ObjectKind::Part`].
    pub part: Option<PartIndex>,
    /// What it is.
    pub kind: ObjectKind,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.broadcast, self.rendition, self.sequence)?;
        match self.part {
            Some(part) => write!(f, ".{part}"),
            None => Ok(()),
        }
    }
}

/// BLAKE3 of an object's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

/// What a playlist must know of a segment that is complete, or that will never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its number.
    pub sequence: MediaSequence,
    /// The run it belongs to.
    pub run: RunId,
    /// Where it begins (EXT-X-PROGRAM-DATE-TIME).
    pub start: MediaTime,
    /// How long it lasts: the next cut less this one, exact (EXTINF).
    pub duration: MediaSpan,
    /// How many discontinuities came before it; greater than its predecessor's means EXT-X-DISCONTINUITY.
    pub discontinuity: DiscontinuitySequence,
    /// Its size in bytes; 0 for a gap.
    pub bytes: u64,
    /// True for a segment nobody can fetch (EXT-X-GAP).
    pub is_gap: bool,
}
