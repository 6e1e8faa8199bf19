//! Messages on a pipe: `len:u32 LE, type:u8, payload`.

use bytes::{Bytes, BytesMut};
use std::marker::PhantomData;

/// The most bytes one message's payload may have: a raw 4:2:0 picture of 2560×1440 is 5.3 MiB. A longer one is
/// refused on either side of the pipe.
pub const MAX_PAYLOAD: usize = 8 << 20;

const HEAD: usize = 5;

/// Why a pipe cannot be read on: the peer is broken, and the process (or its parent) should end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A payload over [`MAX_PAYLOAD`].
    #[error("a message of type {kind} has {len} bytes, at most {limit} are allowed")]
    TooLong {
        /// The message's type.
        kind: u8,
        /// Its announced length.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A type this direction of the pipe does not have.
    #[error("message type {kind} is not one of {what}")]
    UnknownType {
        /// The message's type.
        kind: u8,
        /// Which messages were expected.
        what: &'static str,
    },
    /// A payload that ends inside a field.
    #[error("message type {kind}: {field} ends after {len} bytes")]
    Short {
        /// The message's type.
        kind: u8,
        /// Which field.
        field: &'static str,
        /// How long the payload is.
        len: usize,
    },
    /// A field with a value that is not allowed.
    #[error("message type {kind}: {field}: {why}")]
    Bad {
        /// The message's type.
        kind: u8,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// One kind of conversation over a pipe.
pub trait Message: Sized {
    /// What the messages are called in an error.
    const WHAT: &'static str;

    /// The type byte of this message.
    fn kind(&self) -> u8;

    /// Appends the payload.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a payload of this type.
    fn take(kind: u8, payload: Bytes) -> Result<Self, WireError>;

    /// Appends the message as the pipe carries it. On an error `out` is as it was.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let begin = out.len();
        out.extend([0, 0, 0, 0, self.kind()]);
        self.put(out);
        let len = out.len() - begin - HEAD;
        if len > MAX_PAYLOAD {
            out.truncate(begin);
            return Err(WireError::TooLong { kind: self.kind(), len, limit: MAX_PAYLOAD });
        }
        out[begin..begin + 4].copy_from_slice(&(len as u32).to_le_bytes());
        Ok(())
    }
}

/// Puts a pipe's bytes together to messages: [`Reader::push`] what was read, then [`Reader::pull`] until `None`.
///
/// Holds at most one unfinished message ([`MAX_PAYLOAD`]) and whatever one `push` brought. Payloads are not copied:
/// a message's bytes are a share of what was pushed.
#[derive(Debug)]
pub struct Reader<M> {
    held: BytesMut,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for Reader<M> {
    fn default() -> Self {
        Self { held: BytesMut::new(), message: PhantomData }
    }
}

impl<M: Message> Reader<M> {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what the pipe gave.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Room for the pipe to be read into directly: fill from its end and nothing is copied twice.
    pub fn room(&mut self) -> &mut BytesMut {
        &mut self.held
    }

    /// The next whole message; `None` until more is pushed. After an error the pipe has lost its step.
    pub fn pull(&mut self) -> Result<Option<M>, WireError> {
        let Some(head) = self.held.first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, kind] = *head;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if len > MAX_PAYLOAD {
            return Err(WireError::TooLong { kind, len, limit: MAX_PAYLOAD });
        }
        if self.held.len() < HEAD + len {
            self.held.reserve(HEAD + len - self.held.len());
            return Ok(None);
        }
        let mut message = self.held.split_to(HEAD + len).freeze();
        M::take(kind, message.split_off(HEAD)).map(Some)
    }

    /// True when the pipe may end here: no message is half read.
    pub fn is_between_messages(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Order, OrderReader};
    use media::MediaTime;

    #[test]
    fn a_message_comes_whole_however_the_pipe_cuts_it() {
        let order = Order::Fill { until: MediaTime::from_ticks(7) };
        let mut bytes = Vec::new();
        order.encode(&mut bytes).unwrap();
        Order::End.encode(&mut bytes).unwrap();
        let mut reader = OrderReader::new();
        let mut pulled = Vec::new();
        for byte in bytes {
            reader.push(&[byte]);
            pulled.extend(reader.pull().unwrap());
        }
        assert_eq!(pulled, [order, Order::End]);
        assert!(reader.is_between_messages());
    }

    #[test]
    fn an_announced_length_over_the_bound_is_refused_before_it_is_waited_for() {
        let mut reader = OrderReader::new();
        reader.push(&[0xff, 0xff, 0xff, 0x7f, 4]);
        assert!(matches!(reader.pull(), Err(WireError::TooLong { kind: 4, .. })));
    }

    #[test]
    fn an_unknown_type_is_refused() {
        let mut reader = OrderReader::new();
        reader.push(&[0, 0, 0, 0, 200]);
        assert!(matches!(reader.pull(), Err(WireError::UnknownType { kind: 200, .. })));
    }
}
