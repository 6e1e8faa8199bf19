//! Messages: what chunks add up to (6.1), and the two kinds that hold others or control the connection.
//!
//! Lives here: the kinds, the splitting of aggregate messages (7.1.6), user control messages (7.1.7). Does not live
//! here: how messages are cut into chunks (`chunk`), what commands say (`command`).

use crate::limits::AGGREGATED_MESSAGES;
use bytes::Bytes;

/// Which message stream a message belongs to; 0 is the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageStream(pub u32);

/// What a message is, by its type id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// 1: from here on chunks are this long.
    SetChunkSize,
    /// 2: forget the message begun on that chunk stream.
    Abort,
    /// 3: so many bytes have arrived.
    Acknowledgement,
    /// 4: pings and stream events.
    UserControl,
    /// 5: acknowledge every so many bytes.
    WindowAcknowledgementSize,
    /// 6: send no more than so many bytes unacknowledged.
    SetPeerBandwidth,
    /// 8: an FLV audio tag's body.
    Audio,
    /// 9: an FLV video tag's body.
    Video,
    /// 15: data in AMF3, which in practice is a zero byte and AMF0.
    DataAmf3,
    /// 17: a command in AMF3, likewise.
    CommandAmf3,
    /// 18: data (`@setDataFrame`, `onMetaData`).
    DataAmf0,
    /// 20: a command.
    CommandAmf0,
    /// 22: several messages in one.
    Aggregate,
    /// Anything else: shared objects, and what nobody has defined.
    Other(u8),
}

impl MessageKind {
    /// The kind with this type id.
    pub fn from_id(id: u8) -> Self {
        match id {
            1 => Self::SetChunkSize,
            2 => Self::Abort,
            3 => Self::Acknowledgement,
            4 => Self::UserControl,
            5 => Self::WindowAcknowledgementSize,
            6 => Self::SetPeerBandwidth,
            8 => Self::Audio,
            9 => Self::Video,
            15 => Self::DataAmf3,
            17 => Self::CommandAmf3,
            18 => Self::DataAmf0,
            20 => Self::CommandAmf0,
            22 => Self::Aggregate,
            other => Self::Other(other),
        }
    }

    /// Its type id.
    pub fn id(self) -> u8 {
        match self {
            Self::SetChunkSize => 1,
            Self::Abort => 2,
            Self::Acknowledgement => 3,
            Self::UserControl => 4,
            Self::WindowAcknowledgementSize => 5,
            Self::SetPeerBandwidth => 6,
            Self::Audio => 8,
            Self::Video => 9,
            Self::DataAmf3 => 15,
            Self::CommandAmf3 => 17,
            Self::DataAmf0 => 18,
            Self::CommandAmf0 => 20,
            Self::Aggregate => 22,
            Self::Other(id) => id,
        }
    }
}

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// Whose it is.
    pub stream: MessageStream,
    /// Milliseconds on the publisher's clock, mod 2^32.
    pub timestamp_ms: u32,
    /// What it says.
    pub body: Bytes,
}

impl Message {
    /// The first four bytes as a big-endian number: all that a protocol control message says.
    pub fn number(&self) -> Option<u32> {
        self.body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The messages inside an aggregate, their times moved so that the first has the aggregate's own (7.1.6).
    /// `None` if it ends inside one, or holds more than [`AGGREGATED_MESSAGES`].
    pub fn split(&self) -> Option<Vec<Self>> {
        /// Kind, size, timestamp with its extension, stream id: an FLV tag's header.
        const HEADER_BYTES: usize = 11;
        /// What follows each: the size of what was.
        const BACK_POINTER_BYTES: usize = 4;
        let mut messages = Vec::new();
        let mut first = None;
        let mut at = 0;
        while at < self.body.len() {
            let header = self.body.get(at..at + HEADER_BYTES)?;
            let len = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let timestamp_ms = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
            let from = at + HEADER_BYTES;
            if self.body.len() < from + len || messages.len() == AGGREGATED_MESSAGES {
                return None;
            }
            let first = *first.get_or_insert(timestamp_ms);
            messages.push(Self {
                kind: MessageKind::from_id(header[0]),
                stream: self.stream,
                timestamp_ms: self.timestamp_ms.wrapping_add(timestamp_ms.wrapping_sub(first)),
                body: self.body.slice(from..from + len),
            });
            // The last back pointer is left out by some; nobody needs it.
            at = from + len + BACK_POINTER_BYTES;
        }
        Some(messages)
    }
}

/// The user control messages a publisher's server has to do with (7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// 0: this message stream may be used now.
    StreamBegin(MessageStream),
    /// 6: answer this at once.
    PingRequest(u32),
    /// 7: the answer.
    PingResponse(u32),
    /// Any other event.
    Other(u16),
}

impl UserControl {
    /// Reads a user control message's body; `None` if it is too short to say anything.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (event, rest) = body.split_first_chunk()?;
        let number = rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        Some(match (u16::from_be_bytes(*event), number) {
            (0, Some(stream)) => Self::StreamBegin(MessageStream(stream)),
            (6, Some(stamp)) => Self::PingRequest(stamp),
            (7, Some(stamp)) => Self::PingResponse(stamp),
            (event, _) => Self::Other(event),
        })
    }

    /// The body that says this; `None` for what we never say.
    pub fn body(self) -> Option<[u8; 6]> {
        let (event, number) = match self {
            Self::StreamBegin(stream) => (0, stream.0),
            Self::PingRequest(stamp) => (6, stamp),
            Self::PingResponse(stamp) => (7, stamp),
            Self::Other(_) => return None,
        };
        let [a, b, c, d] = u32::to_be_bytes(number);
        Some([0, event, a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(kind: u8, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
        let [high, t2, t1, t0] = timestamp_ms.to_be_bytes();
        let mut tag = vec![kind, 0, 0, body.len() as u8, t2, t1, t0, high, 0, 0, 0];
        tag.extend(body);
        tag.extend((body.len() as u32 + 11).to_be_bytes());
        tag
    }

    fn aggregate(timestamp_ms: u32, body: Vec<u8>) -> Message {
        Message { kind: MessageKind::Aggregate, stream: MessageStream(1), timestamp_ms, body: body.into() }
    }

    #[test]
    fn an_aggregate_starts_at_its_own_time_whatever_its_first_message_says() {
        let body = [inside(8, 0x0100_0000, b"sound"), inside(9, 0x0100_0028, b"picture")].concat();
        let inside = aggregate(500, body).split().unwrap();
        let told: Vec<_> = inside.iter().map(|m| (m.kind, m.timestamp_ms, &m.body[..])).collect();
        assert_eq!(
            told,
            [(MessageKind::Audio, 500, &b"sound"[..]), (MessageKind::Video, 540, &b"picture"[..])]
        );
    }

    #[test]
    fn an_aggregate_cut_short_is_nothing_and_without_its_last_back_pointer_is_whole() {
        let whole = inside(8, 0, b"sound");
        let len = whole.len();
        for cut in 1..len - 4 {
            assert!(aggregate(0, whole[..cut].to_vec()).split().is_none(), "{cut} bytes were taken");
        }
        for cut in len - 4..len {
            assert_eq!(aggregate(0, whole[..cut].to_vec()).split().unwrap().len(), 1);
        }
    }

    #[test]
    fn an_aggregate_of_too_many_is_refused() {
        let one = inside(8, 0, b"");
        assert!(aggregate(0, one.repeat(AGGREGATED_MESSAGES)).split().is_some());
        assert!(aggregate(0, one.repeat(AGGREGATED_MESSAGES + 1)).split().is_none());
    }
}
