//! Writes messages as chunks: one full header, then bare continuations.

use super::{EXTENDED, FIRST_CHUNK_SIZE, LONGEST_MESSAGE};
use crate::Message;

/// Cuts our messages into chunks.
///
/// Headers are never compressed: what a server says to a publisher is a kilobyte in all.
#[derive(Clone, Debug)]
pub struct ChunkWriter {
    chunk_size: u32,
    /// Whether continuations repeat an extended time stamp, as 5.3.1.3 wants. OBS before 2024 did not.
    repeats_extended_timestamp: bool,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: FIRST_CHUNK_SIZE, repeats_extended_timestamp: true }
    }
}

impl ChunkWriter {
    /// A writer like OBS before 2024: continuations do not repeat the extended time stamp.
    pub fn like_old_obs() -> Self {
        Self { repeats_extended_timestamp: false, ..Self::default() }
    }

    /// From the next message on chunks are this long. The peer must have been told by a Set Chunk Size message.
    pub fn set_chunk_size(&mut self, bytes: u32) {
        self.chunk_size = bytes.clamp(1, LONGEST_MESSAGE);
    }

    /// Appends the message to `out`, on this chunk stream (2..=63).
    pub fn write(&self, chunk_stream: u8, message: &Message, out: &mut Vec<u8>) {
        for chunk in self.chunks(chunk_stream, message) {
            out.extend_from_slice(&chunk);
        }
    }

    /// The message's chunks one by one, for whoever wants to interleave them.
    pub fn chunks<'a>(
        &self,
        chunk_stream: u8,
        message: &'a Message,
    ) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        debug_assert!(
            (2..64).contains(&chunk_stream),
            "chunk stream {chunk_stream} needs a longer basic header"
        );
        debug_assert!(message.body.len() <= LONGEST_MESSAGE as usize, "a length has 24 bits");
        let size = self.chunk_size as usize;
        let extended = (message.timestamp_ms >= EXTENDED).then_some(message.timestamp_ms.to_be_bytes());
        let repeated = extended.filter(|_| self.repeats_extended_timestamp);
        (0..message.body.len().div_ceil(size).max(1)).map(move |index| {
            let from = index * size;
            let body = &message.body[from..message.body.len().min(from + size)];
            let mut chunk = Vec::with_capacity(body.len() + 16);
            if index == 0 {
                chunk.push(chunk_stream);
                chunk.extend_from_slice(&message.timestamp_ms.min(EXTENDED).to_be_bytes()[1..]);
                chunk.extend_from_slice(&(message.body.len() as u32).to_be_bytes()[1..]);
                chunk.push(message.kind.id());
                chunk.extend_from_slice(&message.stream.0.to_le_bytes());
                chunk.extend_from_slice(extended.as_ref().map_or(&[], |bytes| &bytes[..]));
            } else {
                chunk.push(0xc0 | chunk_stream);
                chunk.extend_from_slice(repeated.as_ref().map_or(&[], |bytes| &bytes[..]));
            }
            chunk.extend_from_slice(body);
            chunk
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageKind, MessageStream};

    #[test]
    fn a_long_message_is_one_header_and_continuations() {
        let body = vec![7; 300];
        let message = Message {
            kind: MessageKind::Audio,
            stream: MessageStream(1),
            timestamp_ms: 5,
            body: body.into(),
        };
        let chunks: Vec<_> = ChunkWriter::default().chunks(4, &message).collect();
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [12 + 128, 1 + 128, 1 + 44]);
        assert_eq!(chunks[0][..12], [4, 0, 0, 5, 0, 1, 44, 8, 1, 0, 0, 0]);
        assert_eq!(chunks[1][0], 0xc4);
    }
}
