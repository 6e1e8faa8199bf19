//! Reads a stranger's chunks: one buffer per chunk stream, none larger than what has really arrived calls for.
//!
//! Lives here: headers and their compression, reassembly, Set Chunk Size and Abort (which change how the next bytes
//! are read), the caps. Does not live here: any other meaning of a message.
//!
//! Invariant: `open_bytes` is the sum of the capacities of all bodies begun and not complete.

use super::{EXTENDED, FIRST_CHUNK_SIZE, LONGEST_MESSAGE};
use crate::limits::CHUNK_STREAMS;
use crate::{Message, MessageKind, MessageStream};

/// How much one connection may make a [`ChunkReader`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Bytes one message may announce; a longer one closes the connection.
    pub message_bytes: u32,
    /// Bytes all the messages begun and not complete may take; more closes the connection.
    pub open_bytes: usize,
    /// What is set aside for a message when its first byte comes (less if it is shorter); from there it doubles.
    first_bytes: usize,
}

impl Caps {
    /// For a stranger: `connect` with a long URL is 1 KiB, and all must stay within 64 KiB.
    pub const UNPUBLISHED: Self = Self { message_bytes: 16 * 1024, open_bytes: 16 * 1024, first_bytes: 512 };
    /// For a publisher: a sync unit of 4K video at 100 Mbit/s is 2 MiB, and all must stay within 32 MiB.
    pub const PUBLISHING: Self =
        Self { message_bytes: 6 << 20, open_bytes: 10 << 20, first_bytes: 64 * 1024 };
}

/// Why these bytes are not chunks we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A header refers to one before it on its chunk stream, and there is none.
    #[error("chunk stream {stream} continues a message it never began (byte {at})")]
    NothingToContinue {
        /// The chunk stream.
        stream: u32,
        /// Bytes of chunks read before.
        at: u64,
    },
    /// A message is begun before the last on its chunk stream is complete: we are out of step.
    #[error(
        "chunk stream {stream} begins a message with {missing} bytes of the last one missing (byte {at})"
    )]
    HeaderInsideMessage {
        /// The chunk stream.
        stream: u32,
        /// Bytes the open message still wants.
        missing: u32,
        /// Bytes of chunks read before.
        at: u64,
    },
    /// The announced message length is over what one message may hold.
    #[error("message of {announced} bytes, at most {limit} are taken (byte {at})")]
    TooLong {
        /// What the header says.
        announced: u32,
        /// What is allowed.
        limit: u32,
        /// Bytes of chunks read before.
        at: u64,
    },
    /// All the open messages together take too much.
    #[error("incomplete messages take {wanted} bytes, at most {limit} are kept (byte {at})")]
    TooMuchOpen {
        /// With this chunk.
        wanted: usize,
        /// What is allowed.
        limit: usize,
        /// Bytes of chunks read before.
        at: u64,
    },
    /// More chunk streams than anyone needs.
    #[error("chunk stream {stream} would be one more than the {limit} that are kept (byte {at})")]
    TooManyChunkStreams {
        /// The chunk stream.
        stream: u32,
        /// What is allowed.
        limit: usize,
        /// Bytes of chunks read before.
        at: u64,
    },
    /// A Set Chunk Size message of 0, with the forbidden top bit, or without a number (5.4.1).
    #[error("chunk size {announced:?}, allowed is 1 to 2147483647 (byte {at})")]
    ChunkSize {
        /// What it says, if it says anything.
        announced: Option<u32>,
        /// Bytes of chunks read before.
        at: u64,
    },
}

/// Puts messages together from chunks.
#[derive(Debug)]
pub struct ChunkReader {
    caps: Caps,
    chunk_size: u32,
    streams: Vec<ChunkStream>,
    /// For chunk streams up to 63, which is all that encoders use: 1 + where in `streams`; 0 for nowhere.
    near: [u8; 64],
    /// The header being collected, when a push ended inside one.
    header: [u8; LONGEST_HEADER],
    header_len: usize,
    /// The chunk being read: where in `streams`, and the bytes it still wants.
    chunk: Option<(usize, usize)>,
    open_bytes: usize,
    at: u64,
}

/// What is remembered of a chunk stream: its last header, and the message it has open.
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    is_open: bool,
    kind: u8,
    length: u32,
    stream: u32,
    timestamp_ms: u32,
    delta_ms: u32,
    /// The four bytes after the last header, if it had them.
    extended: Option<u32>,
    body: Vec<u8>,
}

/// A header as it stands on the wire. What its format leaves out is `None`.
struct Header {
    len: usize,
    chunk_stream: u32,
    time: Option<Time>,
    shape: Option<(u32, u8)>,
    stream: Option<u32>,
}

/// A time stamp field, its extension applied.
struct Time {
    value: u32,
    is_extended: bool,
}

/// Three bytes of basic header, eleven of message header, four of extended time stamp.
const LONGEST_HEADER: usize = 18;

impl ChunkReader {
    /// A reader at the first byte after the handshake.
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            chunk_size: FIRST_CHUNK_SIZE,
            streams: Vec::new(),
            near: [0; 64],
            header: [0; LONGEST_HEADER],
            header_len: 0,
            chunk: None,
            open_bytes: 0,
            at: 0,
        }
    }

    /// From here on other caps hold; for what is open already, from its next byte.
    pub fn set_caps(&mut self, caps: Caps) {
        self.caps = caps;
    }

    /// Heap bytes held.
    pub fn held_bytes(&self) -> usize {
        self.open_bytes + self.streams.capacity() * size_of::<ChunkStream>()
    }

    /// Takes from `input` up to the end of the next message; `None` when all is taken and no message is complete.
    ///
    /// Set Chunk Size and Abort are obeyed and not handed out.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            if let Some((index, left)) = self.chunk {
                if left > 0 && input.is_empty() {
                    return Ok(None);
                }
                let (taken, rest) = input.split_at(input.len().min(left));
                *input = rest;
                self.at += taken.len() as u64;
                if let Some(message) = self.fill(index, left, taken)? {
                    return Ok(Some(message));
                }
            } else if self.header_len == 0 {
                // The common case: the whole header is in this push.
                if input.is_empty() {
                    return Ok(None);
                }
                match self.parse(input) {
                    Some(header) => {
                        *input = &input[header.len..];
                        self.at += header.len as u64;
                        self.begin(header)?;
                    }
                    None => {
                        self.header[..input.len()].copy_from_slice(input);
                        self.header_len = input.len();
                        self.at += input.len() as u64;
                        *input = &[];
                    }
                }
            } else if let Some(header) = self.parse(&self.header[..self.header_len]) {
                if let Some(message) = self.begin_with_surplus(header)? {
                    return Ok(Some(message));
                }
            } else {
                let Some((&first, rest)) = input.split_first() else { return Ok(None) };
                self.header[self.header_len] = first;
                self.header_len += 1;
                self.at += 1;
                *input = rest;
            }
        }
    }

    /// Begins the chunk whose header was collected. Collecting may have gone up to three bytes past its end, while
    /// they looked like an extended time stamp: those belong to the body, or even to the header after it.
    fn begin_with_surplus(&mut self, header: Header) -> Result<Option<Message>, ChunkError> {
        let mut surplus = [0; LONGEST_HEADER];
        let len = self.header_len - header.len;
        surplus[..len].copy_from_slice(&self.header[header.len..self.header_len]);
        self.begin(header)?;
        let (index, left) = self.chunk.unwrap_or((0, 0));
        let (body, rest) = surplus[..len].split_at(len.min(left));
        self.header[..rest.len()].copy_from_slice(rest);
        self.header_len = rest.len();
        if body.is_empty() { Ok(None) } else { self.fill(index, left, body) }
    }

    /// The header these bytes begin with; `None` if more are needed to tell.
    fn parse(&self, bytes: &[u8]) -> Option<Header> {
        let (&first, _) = bytes.split_first()?;
        let (chunk_stream, basic) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => (64 + u32::from(u16::from_le_bytes([*bytes.get(1)?, *bytes.get(2)?])), 3),
            near => (u32::from(near), 1),
        };
        let message_bytes = match first >> 6 {
            0 => 11,
            1 => 7,
            2 => 3,
            _ => return self.parse_continuation(chunk_stream, basic, &bytes[basic..]),
        };
        let fields = bytes.get(basic..basic + message_bytes)?;
        let mut len = basic + message_bytes;
        let mut value = u32::from_be_bytes([0, fields[0], fields[1], fields[2]]);
        let is_extended = value == EXTENDED;
        if is_extended {
            value = u32::from_be_bytes(*bytes[len..].first_chunk()?);
            len += 4;
        }
        Some(Header {
            len,
            chunk_stream,
            time: Some(Time { value, is_extended }),
            shape: fields.get(3..7).map(|f| (u32::from_be_bytes([0, f[0], f[1], f[2]]), f[3])),
            stream: fields.get(7..11).map(|f| u32::from_le_bytes([f[0], f[1], f[2], f[3]])),
        })
    }

    /// A type 3 header repeats the extended time stamp of the header it stands for (5.3.1.3), but OBS before 2024
    /// leaves it out. So: four bytes that are the expected time stamp are one, all others are the body already.
    /// "Expected" is either what the last header said or the message's absolute time; encoders do both.
    fn parse_continuation(&self, chunk_stream: u32, basic: usize, rest: &[u8]) -> Option<Header> {
        let header = |len| Header { len, chunk_stream, time: None, shape: None, stream: None };
        let Some(last) = self.find(chunk_stream).map(|index| &self.streams[index]) else {
            return Some(header(basic));
        };
        let Some(extended) = last.extended else { return Some(header(basic)) };
        let candidate = &rest[..rest.len().min(4)];
        let looks_repeated =
            [extended, last.timestamp_ms].iter().any(|e| e.to_be_bytes().starts_with(candidate));
        match (looks_repeated, candidate.len()) {
            (false, _) => Some(header(basic)),
            (true, 4) => Some(header(basic + 4)),
            (true, _) => None,
        }
    }

    fn find(&self, chunk_stream: u32) -> Option<usize> {
        match self.near.get(chunk_stream as usize) {
            Some(0) => None,
            Some(&index) => Some(usize::from(index) - 1),
            None => self.streams.iter().position(|stream| stream.id == chunk_stream),
        }
    }

    fn find_or_add(&mut self, header: &Header) -> Result<usize, ChunkError> {
        let (id, at) = (header.chunk_stream, self.at);
        if let Some(index) = self.find(id) {
            return Ok(index);
        }
        // librtmp's first control message has no stream id (type 1), so that much is forgiven: it is 0.
        if header.shape.is_none() {
            return Err(ChunkError::NothingToContinue { stream: id, at });
        }
        if self.streams.len() == CHUNK_STREAMS {
            return Err(ChunkError::TooManyChunkStreams { stream: id, limit: CHUNK_STREAMS, at });
        }
        self.streams.push(ChunkStream {
            id,
            is_open: false,
            kind: 0,
            length: 0,
            stream: 0,
            timestamp_ms: 0,
            delta_ms: 0,
            extended: None,
            body: Vec::new(),
        });
        if let Some(near) = self.near.get_mut(id as usize) {
            *near = self.streams.len() as u8;
        }
        Ok(self.streams.len() - 1)
    }

    /// A chunk begins: of the message its chunk stream has open, or of a new one.
    fn begin(&mut self, header: Header) -> Result<(), ChunkError> {
        self.header_len = 0;
        let index = self.find_or_add(&header)?;
        let stream = &mut self.streams[index];
        if stream.is_open {
            if header.time.is_some() {
                let missing = stream.length - stream.body.len() as u32;
                return Err(ChunkError::HeaderInsideMessage { stream: stream.id, missing, at: self.at });
            }
        } else {
            if let Some((length, kind)) = header.shape {
                (stream.length, stream.kind) = (length, kind);
            }
            if let Some(time) = &header.time {
                stream.delta_ms = time.value;
                stream.extended = time.is_extended.then_some(time.value);
            }
            // A type 3 header that begins a message adds the last delta, and after a type 0 header that is the time
            // itself (5.3.1.2.4).
            match header.stream {
                Some(id) => (stream.stream, stream.timestamp_ms) = (id, stream.delta_ms),
                None => stream.timestamp_ms = stream.timestamp_ms.wrapping_add(stream.delta_ms),
            }
            stream.is_open = true;
        }
        let (announced, limit) = (stream.length, self.caps.message_bytes);
        if announced > limit {
            return Err(ChunkError::TooLong { announced, limit, at: self.at });
        }
        let left = (announced as usize - stream.body.len()).min(self.chunk_size as usize);
        self.chunk = Some((index, left));
        Ok(())
    }

    /// Bytes of the chunk being read; gives the message if they complete it.
    fn fill(&mut self, index: usize, left: usize, taken: &[u8]) -> Result<Option<Message>, ChunkError> {
        let stream = &mut self.streams[index];
        let (had, needed) = (stream.body.capacity(), stream.body.len() + taken.len());
        if needed > had {
            // Doubled from the first, so that it depends on what has come and not on how it was cut. Never more than
            // announced, so that a complete body fits exactly and is not copied again.
            let first = self.caps.first_bytes;
            let wanted = (first * needed.div_ceil(first).next_power_of_two()).min(stream.length as usize);
            let open_bytes = self.open_bytes - had + wanted;
            if open_bytes > self.caps.open_bytes {
                let (wanted, limit) = (open_bytes, self.caps.open_bytes);
                return Err(ChunkError::TooMuchOpen { wanted, limit, at: self.at });
            }
            stream.body.reserve_exact(wanted - stream.body.len());
            self.open_bytes = self.open_bytes - had + stream.body.capacity();
        }
        stream.body.extend_from_slice(taken);
        if taken.len() < left {
            self.chunk = Some((index, left - taken.len()));
            return Ok(None);
        }
        self.chunk = None;
        if stream.body.len() < stream.length as usize {
            return Ok(None);
        }
        stream.is_open = false;
        self.open_bytes -= stream.body.capacity();
        let message = Message {
            kind: MessageKind::from_id(stream.kind),
            stream: MessageStream(stream.stream),
            timestamp_ms: stream.timestamp_ms,
            body: std::mem::take(&mut stream.body).into(),
        };
        match message.kind {
            MessageKind::SetChunkSize => self.set_chunk_size(&message).map(|()| None),
            MessageKind::Abort => {
                self.abort(&message);
                Ok(None)
            }
            _ => Ok(Some(message)),
        }
    }

    fn set_chunk_size(&mut self, message: &Message) -> Result<(), ChunkError> {
        match message.number() {
            Some(size @ 1..=0x7fff_ffff) => {
                self.chunk_size = size.min(LONGEST_MESSAGE);
                Ok(())
            }
            announced => Err(ChunkError::ChunkSize { announced, at: self.at }),
        }
    }

    /// Forgets the message begun on a chunk stream (5.4.2). One that has none open is no fault.
    fn abort(&mut self, message: &Message) {
        if let Some(index) = message.number().and_then(|id| self.find(id)) {
            let stream = &mut self.streams[index];
            self.open_bytes -= stream.body.capacity();
            stream.body = Vec::new();
            stream.is_open = false;
        }
    }
}
