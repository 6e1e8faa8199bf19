//! Objects that are not settled yet: the copies that are coming in, and what was heard of them.
//!
//! Lives here: one copy's bytes and hash, and one object's copies. Does not live here: what to do when a copy
//! fails (`subscriber`).

use crate::{Close, ObjectId, SourceId};
use bytes::Bytes;
use media::{ContentHash, SegmentFacts};
use std::time::Instant;

/// One object that is not settled.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    pub(crate) copies: Vec<Copy>,
    /// The longest beginning that a lost copy left behind: whoever sends the object next may go on from there.
    pub(crate) prefix: Vec<u8>,
    /// Sources that will not send it.
    pub(crate) refused: Vec<SourceId>,
    /// The last source it was asked of, and when.
    pub(crate) asked: Option<(SourceId, Instant)>,
    /// Copies that were whole and wrong.
    pub(crate) failures: u32,
    /// The source of the last of those: asked only if there is no other.
    pub(crate) failed: Option<SourceId>,
    /// A whole copy from a source that only fills holes.
    pub(crate) spare: Option<Spare>,
    /// What a playlist would have to know of the gap, if one was announced.
    pub(crate) gap: Option<SegmentFacts>,
    /// When to look at it again.
    pub(crate) look: Option<Instant>,
    /// When to stop waiting for it.
    pub(crate) give_up: Option<Instant>,
}

/// One source's copy of an object, as far as it has come.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) source: SourceId,
    pub(crate) object: ObjectId,
    bytes: Vec<u8>,
    hasher: Box<blake3::Hasher>,
}

/// A whole copy that waits for a better one.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) source: SourceId,
    pub(crate) facts: SegmentFacts,
    pub(crate) body: Bytes,
    pub(crate) hash: ContentHash,
}

/// What is wrong with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corrupt {
    /// Bytes are missing, or came twice.
    Offset,
    /// It is not as long as announced, or longer than any object.
    Size,
    /// It is not what was announced.
    Hash,
}

impl Copy {
    /// A copy that goes on from `prefix`.
    pub(crate) fn new(source: SourceId, object: ObjectId, prefix: Vec<u8>) -> Self {
        let mut hasher = Box::<blake3::Hasher>::default();
        hasher.update(&prefix);
        Self { source, object, bytes: prefix, hasher }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn push(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Corrupt> {
        if offset as usize != self.bytes.len() {
            return Err(Corrupt::Offset);
        }
        if (self.bytes.len() + bytes.len()) as u64 > crate::limits::OBJECT_BYTES {
            return Err(Corrupt::Size);
        }
        self.bytes.extend_from_slice(bytes);
        self.hasher.update(bytes);
        Ok(())
    }

    /// The whole object, if it is what was announced.
    pub(crate) fn finish(self, close: &Close) -> Result<(Bytes, ContentHash), Corrupt> {
        if self.bytes.len() as u64 != close.bytes {
            return Err(Corrupt::Size);
        }
        let hash = ContentHash(*self.hasher.finalize().as_bytes());
        match hash == close.hash {
            true => Ok((self.bytes.into(), hash)),
            false => Err(Corrupt::Hash),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Assembly {
    /// Bytes held for it.
    pub(crate) fn bytes(&self) -> usize {
        let spare = self.spare.as_ref().map_or(0, |spare| spare.body.len());
        self.prefix.len() + spare + self.copies.iter().map(Copy::len).sum::<usize>()
    }

    pub(crate) fn copy(&mut self, source: SourceId) -> Option<&mut Copy> {
        self.copies.iter_mut().find(|copy| copy.source == source)
    }

    pub(crate) fn take_copy(&mut self, source: SourceId) -> Option<Copy> {
        let index = self.copies.iter().position(|copy| copy.source == source)?;
        Some(self.copies.swap_remove(index))
    }

    /// A copy that will not go on: its bytes stay if no longer beginning is there.
    pub(crate) fn keep_prefix(&mut self, copy: Copy) {
        if copy.len() > self.prefix.len() {
            self.prefix = copy.into_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{DiscontinuitySequence, MediaSpan, MediaTime};

    fn close(body: &[u8]) -> Close {
        Close {
            object: ObjectId(1),
            start: MediaTime::default(),
            duration: MediaSpan::from_secs(2),
            discontinuity: DiscontinuitySequence(0),
            bytes: body.len() as u64,
            hash: ContentHash(*blake3::hash(body).as_bytes()),
            is_withheld: false,
            made: 0,
        }
    }

    fn copy() -> Copy {
        Copy::new(SourceId(0), ObjectId(1), Vec::new())
    }

    #[test]
    fn a_copy_is_taken_whole_or_not_at_all() {
        let mut whole = copy();
        whole.push(0, b"hel").unwrap();
        whole.push(3, b"lo").unwrap();
        assert_eq!(&whole.finish(&close(b"hello")).unwrap().0[..], b"hello");

        let mut short = copy();
        short.push(0, b"hell").unwrap();
        assert_eq!(short.finish(&close(b"hello")), Err(Corrupt::Size));

        let mut wrong = copy();
        wrong.push(0, b"hallo").unwrap();
        assert_eq!(wrong.finish(&close(b"hello")), Err(Corrupt::Hash));

        let mut holed = copy();
        holed.push(0, b"he").unwrap();
        assert_eq!(holed.push(3, b"lo"), Err(Corrupt::Offset));
    }

    #[test]
    fn a_resumed_copy_hashes_what_it_had_before() {
        let mut resumed = Copy::new(SourceId(0), ObjectId(1), b"hel".to_vec());
        resumed.push(3, b"lo").unwrap();
        resumed.finish(&close(b"hello")).unwrap();
    }
}
