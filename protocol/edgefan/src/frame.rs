//! Frames: eight bytes of head, then at most 1 MiB of payload.
//!
//! Lives here: finding frames in a byte stream, and what may be wrong with one. What a payload means is in
//! `message`.

use crate::limits::FRAME_PAYLOAD_BYTES;
use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a frame's head: `type:u8 flags:u8 chan:u16 len:u32`, little endian.
pub(crate) const HEAD_BYTES: usize = 8;

macro_rules! frame_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame is. The numbers are the wire's and never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FrameType { $($(#[$doc])* $name = $number,)* }

        impl FrameType {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The type of that number; `None` for one this version does not know and skips.
            pub fn from_wire(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

frame_types! {
    /// First on every connection: who dials, and which connection of which link this is.
    Hello = 1,
    /// The answer: who was dialled.
    Welcome = 2,
    /// What a broadcast is.
    Stream = 3,
    /// Which objects the sender has (subscriber), or how far backfill has come (publisher).
    Have = 4,
    /// An object begins.
    Open = 5,
    /// Bytes of an object.
    Data = 6,
    /// An object is complete: its size and hash.
    Close = 7,
    /// No more bytes of this object will come on this link.
    Abort = 8,
    /// An object, or a run of them, will not come.
    Skip = 9,
    /// Send this object again.
    Fetch = 10,
    /// Forget this object.
    Evict = 11,
    /// From this number on, this term's ingest is the one to believe.
    Lane = 12,
    /// A run is over.
    End = 13,
    /// How loaded an edge is.
    Load = 14,
    /// How an edge stands with the operator.
    Drain = 15,
    /// I am here.
    Ping = 16,
    /// I heard you.
    Pong = 17,
    /// Chat, carried and not looked into.
    Chat = 18,
    /// Ticket keys.
    Keys = 19,
    /// What a balancer has sent edges of late, said to another.
    Reserved = 24,
    /// Ticket keys, said from balancer to balancer.
    Seals = 25,
    /// Viewers seen by a balancer, said to another.
    Seen = 26,
}

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type's number, known or not.
    pub kind: u8,
    /// Bits whose meaning is the type's; unknown ones are ignored.
    pub flags: u8,
    /// Reserved for lanes: 0 when sent, ignored when received.
    pub chan: u16,
    /// What it carries.
    pub payload: Bytes,
}

/// Why a peer's bytes cannot be taken; the connection they came on is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A head announced more than a frame may hold.
    #[error("frame type {kind} announces {announced} bytes, at most {limit} are taken (byte {at})")]
    FrameTooLong {
        /// The type's number.
        kind: u8,
        /// What the head says.
        announced: u32,
        /// What it may say.
        limit: u32,
        /// Where the head began in the connection's bytes.
        at: u64,
    },
    /// A payload ends inside a field.
    #[error("{what}: a field at byte {at} needs {needed} bytes, {left} are left")]
    Short {
        /// Which frame.
        what: &'static str,
        /// Where in the payload.
        at: usize,
        /// Bytes the field needs.
        needed: u64,
        /// Bytes there.
        left: usize,
    },
    /// A number longer than ten bytes or over 64 bits.
    #[error("{what}: the number at byte {at} is over 64 bits")]
    BadNumber {
        /// Which frame.
        what: &'static str,
        /// Where in the payload.
        at: usize,
    },
    /// A field that must be there is not.
    #[error("{what}: no {field}")]
    Missing {
        /// Which frame.
        what: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// A field says what it may not.
    #[error("{what}: {field} is {found:?}, allowed is {allowed}")]
    Bad {
        /// Which frame.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// What it says, cut to 64 characters.
        found: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// More of something than there may be.
    #[error("{what}: {count} of {field}, at most {limit} are taken")]
    TooMuch {
        /// Which frame.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// How many, or how long.
        count: u64,
        /// How many, or how long, it may be.
        limit: u64,
    },
    /// A frame that has no place at this point of the conversation.
    #[error("{what} while {state}")]
    OutOfTurn {
        /// Which frame.
        what: &'static str,
        /// Where the conversation stands.
        state: &'static str,
    },
}

/// Finds frames in a connection's bytes, however they are cut.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
    /// How many bytes of the connection came before `buffer`.
    before: u64,
}

impl FrameReader {
    /// A reader at the first byte of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they came. Call [`FrameReader::pull`] until `None` after each push: what is kept between is at
    /// most one incomplete frame.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn pull(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(&[kind, flags, chan_low, chan_high, a, b, c, d]) = self.buffer.first_chunk::<HEAD_BYTES>()
        else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([a, b, c, d]);
        if len > FRAME_PAYLOAD_BYTES {
            let limit = FRAME_PAYLOAD_BYTES;
            return Err(WireError::FrameTooLong { kind, announced: len, limit, at: self.before });
        }
        let whole = HEAD_BYTES + len as usize;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let payload = self.buffer.split_to(len as usize).freeze();
        self.before += whole as u64;
        Ok(Some(Frame { kind, flags, chan: u16::from_le_bytes([chan_low, chan_high]), payload }))
    }

    /// Bytes kept of a frame that is not whole yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
}

/// A frame's head.
pub(crate) fn head(kind: FrameType, flags: u8, payload_bytes: usize) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = (payload_bytes as u32).to_le_bytes();
    [kind as u8, flags, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_however_its_bytes_are_cut() {
        let mut wire = head(FrameType::Ping, 3, 5).to_vec();
        wire.extend(b"hello");
        wire.extend(head(FrameType::Pong, 0, 0));
        for cut in 0..wire.len() {
            let mut reader = FrameReader::new();
            let mut found = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                reader.push(part);
                while let Some(frame) = reader.pull().unwrap() {
                    found.push((frame.kind, frame.flags, frame.payload));
                }
            }
            assert_eq!(found, [(16, 3, Bytes::from_static(b"hello")), (17, 0, Bytes::new())]);
            assert_eq!(reader.buffered(), 0);
        }
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_before_its_payload_is_there() {
        let mut reader = FrameReader::new();
        reader.push(&head(FrameType::Ping, 0, 0));
        reader.push(&head(FrameType::Data, 0, (1 << 20) + 1));
        assert_eq!(reader.pull().unwrap().unwrap().kind, 16);
        let refused = reader.pull().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "frame type 6 announces 1048577 bytes, at most 1048576 are taken (byte 8)"
        );
    }

    #[test]
    fn every_type_is_the_type_of_its_number() {
        for &kind in FrameType::ALL {
            assert_eq!(FrameType::from_wire(kind as u8), Some(kind));
        }
        assert_eq!(FrameType::from_wire(0), None);
        assert_eq!(FrameType::from_wire(20), None);
    }
}
