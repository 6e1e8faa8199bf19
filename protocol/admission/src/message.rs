//! The messages.

use media::BroadcastId;

/// The longest message: the longest list of broadcasts.
pub const MESSAGE_BYTES: usize = 512 << 10;
/// Rows of one list.
pub const ROWS: usize = 4096;

/// SHA-256 of a publish key. The key itself never leaves the ingest.
pub type KeyDigest = [u8; 32];

/// Whose tickets of a broadcast hold no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// Whose: the upper half of a ticket's viewer.
    pub holder: u32,
    /// Until when, in seconds since the Unix epoch.
    pub until: u64,
}

/// How what a publisher sends arrives. What is 0 is not known, or not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Pictures have come of late.
    pub has_pictures: bool,
    /// Sound has come of late.
    pub has_sound: bool,
    /// Bits a second.
    pub bits: u32,
    /// The rate of the ladder's rung of that size.
    pub ceiling_bits: u32,
    /// Milliseconds from the last sync unit to the one before it.
    pub picture_group_ms: u32,
    /// Milliseconds since the last sync unit, while pictures come.
    pub sync_age_ms: u32,
    /// Milliseconds of a segment.
    pub segment_ms: u32,
    /// Holes in the sound over the last minute.
    pub sound_gaps: u32,
    /// Milliseconds of media that the encoder has not worked off.
    pub behind_ms: u32,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// I am here, each second; silent after five.
    Beat,
    /// Ingest: does this key open that broadcast?
    Ask {
        /// Counts up on this connection.
        number: u64,
        /// Of the key.
        digest: KeyDigest,
        /// Which.
        broadcast: BroadcastId,
    },
    /// Lobby: so it is.
    Answer {
        /// Of the question.
        number: u64,
        /// Whether; nothing if the lobby itself does not know now.
        opens: Option<bool>,
    },
    /// Lobby: these keys open nothing any more. Whoever publishes by one is let go.
    Revoked(Vec<KeyDigest>),
    /// Ingest: a broadcast is on the air, or is not any more.
    Air {
        /// Which.
        broadcast: BroadcastId,
        /// Whether.
        is_on: bool,
    },
    /// Ingest: how a broadcast arrives.
    Health {
        /// Which.
        broadcast: BroadcastId,
        /// How.
        health: Health,
    },
    /// Lobby: these broadcasts are private, and no others.
    Private(Vec<BroadcastId>),
    /// Lobby: these are turned away, and no others.
    Denied(Vec<Denied>),
    /// Lobby: these are in no list that anybody may read, and no others; private ones are among them.
    Unlisted(Vec<BroadcastId>),
}

/// Why bytes are no message. Ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than any.
    #[error("a message of {announced} bytes, at most {MESSAGE_BYTES} are taken")]
    TooLong {
        /// What it says of itself.
        announced: usize,
    },
    /// Its bytes are not what its type says.
    #[error("a message of type {kind} is not what it should be: {problem}")]
    Bad {
        /// Its type.
        kind: u8,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Message {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend([0; 4]);
        match self {
            Self::Beat => out.push(1),
            Self::Ask { number, digest, broadcast } => {
                out.push(2);
                out.extend(number.to_le_bytes());
                out.extend(digest);
                name(broadcast, out);
            }
            Self::Answer { number, opens } => {
                out.push(3);
                out.extend(number.to_le_bytes());
                out.push(opens.map_or(2, u8::from));
            }
            Self::Revoked(digests) => {
                out.push(4);
                digests.iter().take(ROWS).for_each(|digest| out.extend(digest));
            }
            Self::Air { broadcast, is_on } => {
                out.push(5);
                out.push(u8::from(*is_on));
                name(broadcast, out);
            }
            Self::Health { broadcast, health: it } => {
                out.push(8);
                out.push(u8::from(it.has_pictures) | u8::from(it.has_sound) << 1);
                for number in [
                    it.bits,
                    it.ceiling_bits,
                    it.picture_group_ms,
                    it.sync_age_ms,
                    it.segment_ms,
                    it.sound_gaps,
                    it.behind_ms,
                ] {
                    out.extend(number.to_le_bytes());
                }
                name(broadcast, out);
            }
            Self::Private(names) => {
                out.push(6);
                names.iter().take(ROWS).for_each(|broadcast| name(broadcast, out));
            }
            Self::Unlisted(names) => {
                out.push(9);
                names.iter().take(ROWS).for_each(|broadcast| name(broadcast, out));
            }
            Self::Denied(rows) => {
                out.push(7);
                for row in rows.iter().take(ROWS) {
                    out.extend(row.holder.to_le_bytes());
                    out.extend(row.until.to_le_bytes());
                    name(&row.broadcast, out);
                }
            }
        }
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// A message's bytes without their length; nothing for a type that is not known here.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let Some((&kind, payload)) = bytes.split_first() else {
            return Err(WireError::Bad { kind: 0, problem: "it is empty" });
        };
        let mut from = Reader { kind, left: payload };
        let message = match kind {
            1 => Self::Beat,
            2 => Self::Ask {
                number: u64::from_le_bytes(from.take()?),
                digest: from.take()?,
                broadcast: from.name()?,
            },
            3 => Self::Answer { number: u64::from_le_bytes(from.take()?), opens: from.opens()? },
            4 => Self::Revoked(from.rows(Reader::take)?),
            5 => {
                let is_on = from.take::<1>()? == [1];
                Self::Air { broadcast: from.name()?, is_on }
            }
            6 => Self::Private(from.rows(Reader::name)?),
            7 => Self::Denied(from.rows(|from| {
                let (holder, until) = (u32::from_le_bytes(from.take()?), u64::from_le_bytes(from.take()?));
                Ok(Denied { holder, until, broadcast: from.name()? })
            })?),
            9 => Self::Unlisted(from.rows(Reader::name)?),
            8 => {
                let [has] = from.take()?;
                let mut number = || from.take().map(u32::from_le_bytes);
                let health = Health {
                    has_pictures: has & 1 != 0,
                    has_sound: has & 2 != 0,
                    bits: number()?,
                    ceiling_bits: number()?,
                    picture_group_ms: number()?,
                    sync_age_ms: number()?,
                    segment_ms: number()?,
                    sound_gaps: number()?,
                    behind_ms: number()?,
                };
                Self::Health { broadcast: from.name()?, health }
            }
            _ => return Ok(None),
        };
        match from.left {
            [] => Ok(Some(message)),
            _ => Err(from.bad("it goes on after its end")),
        }
    }
}

fn name(broadcast: &BroadcastId, out: &mut Vec<u8>) {
    let text = broadcast.as_str().as_bytes();
    out.push(text.len() as u8);
    out.extend(text);
}

struct Reader<'a> {
    kind: u8,
    left: &'a [u8],
}

impl Reader<'_> {
    fn bad(&self, problem: &'static str) -> WireError {
        WireError::Bad { kind: self.kind, problem }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, left) = self.left.split_first_chunk().ok_or_else(|| self.bad("it is cut short"))?;
        self.left = left;
        Ok(*taken)
    }

    fn name(&mut self) -> Result<BroadcastId, WireError> {
        let [length] = self.take()?;
        let (text, left) =
            self.left.split_at_checked(length.into()).ok_or_else(|| self.bad("a name is cut short"))?;
        self.left = left;
        let text = std::str::from_utf8(text).ok().and_then(|text| BroadcastId::parse(text).ok());
        text.ok_or_else(|| self.bad("a name is none"))
    }

    fn opens(&mut self) -> Result<Option<bool>, WireError> {
        match self.take()? {
            [0] => Ok(Some(false)),
            [1] => Ok(Some(true)),
            _ => Ok(None),
        }
    }

    fn rows<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        let mut rows = Vec::new();
        while !self.left.is_empty() {
            if rows.len() == ROWS {
                return Err(self.bad("it has too many rows"));
            }
            rows.push(read(self)?);
        }
        Ok(rows)
    }
}

/// Bytes as they come, messages as they are whole.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// What came. Pull until there is nothing before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is whole; those of unknown types are left out.
    pub fn pull(&mut self) -> Result<Option<Message>, WireError> {
        loop {
            let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(None) };
            let announced = u32::from_le_bytes(*length) as usize;
            if announced > MESSAGE_BYTES {
                return Err(WireError::TooLong { announced });
            }
            let Some(whole) = rest.get(..announced) else { return Ok(None) };
            let message = Message::decode(whole);
            self.bytes.drain(..4 + announced);
            if let Some(message) = message? {
                return Ok(Some(message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tide() -> BroadcastId {
        BroadcastId::parse("tide").unwrap()
    }

    fn all() -> Vec<Message> {
        vec![
            Message::Beat,
            Message::Ask { number: 7, digest: [9; 32], broadcast: tide() },
            Message::Answer { number: 7, opens: Some(true) },
            Message::Answer { number: 8, opens: None },
            Message::Revoked(vec![[1; 32], [2; 32]]),
            Message::Air { broadcast: tide(), is_on: true },
            Message::Health { broadcast: tide(), health: Health::default() },
            Message::Health {
                broadcast: tide(),
                health: Health {
                    has_pictures: true,
                    has_sound: true,
                    bits: 1,
                    ceiling_bits: 2,
                    picture_group_ms: 3,
                    sync_age_ms: 4,
                    segment_ms: 5,
                    sound_gaps: 6,
                    behind_ms: u32::MAX,
                },
            },
            Message::Private(vec![tide()]),
            Message::Private(vec![]),
            Message::Unlisted(vec![tide()]),
            Message::Denied(vec![Denied { broadcast: tide(), holder: u32::MAX, until: 1_800_000_000 }]),
        ]
    }

    #[test]
    fn every_message_comes_as_it_went_however_it_is_cut() {
        let mut bytes = Vec::new();
        all().iter().for_each(|message| message.encode(&mut bytes));
        for cut in [1, 3, bytes.len()] {
            let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(message) = decoder.pull().unwrap() {
                    heard.push(message);
                }
            }
            assert_eq!(heard, all());
        }
    }

    #[test]
    fn the_longest_list_fits() {
        let name = BroadcastId::parse(&"a".repeat(64)).unwrap();
        let mut bytes = Vec::new();
        let rows = vec![Denied { broadcast: name, holder: 0, until: 0 }; ROWS];
        Message::Denied(rows.clone()).encode(&mut bytes);
        assert!(bytes.len() <= MESSAGE_BYTES);
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert_eq!(decoder.pull(), Ok(Some(Message::Denied(rows))));
    }

    #[test]
    fn a_type_of_tomorrow_is_left_out_and_what_is_too_long_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[2, 0, 0, 0, 99, 1, 1, 0, 0, 0, 1]);
        assert_eq!(decoder.pull(), Ok(Some(Message::Beat)));
        decoder.push(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.pull(), Err(WireError::TooLong { announced: u32::MAX as usize }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
            framed.extend(&bytes);
            decoder.push(&framed);
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.pull() {}
        }
    }
}
