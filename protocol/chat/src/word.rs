//! What a lobby and an edge say to each other: the payloads of CHAT (docs/WIRE.md).
//!
//! ```text
//! word = kind:varint  fields        1 ROOM  2 BATCH  3 HAVE  4 CLOSED
//! ```

use crate::fields::{Fields, bytes, number, take, varint};
use crate::limits::{BATCH_ENTRIES, ROOMS, SLOW_SECONDS};
use crate::{Author, Badge, Entry, EntryError, LogId, Sequence, What};
use bytes::Bytes;
use media::BroadcastId;

/// What a room is, beside its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomFacts {
    /// Which log it has.
    pub log: LogId,
    /// The number that comes next in it.
    pub next: Sequence,
    /// Seconds each viewer waits between two messages.
    pub slow: u32,
}

/// How much of a room an edge has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Which room.
    pub room: BroadcastId,
    /// Of which log.
    pub log: LogId,
    /// The number it wants next.
    pub next: Sequence,
}

/// One payload of CHAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Lobby: this room is there; again when its log or slow mode is another.
    Room(BroadcastId, RoomFacts),
    /// Lobby: entries in a row.
    Batch {
        /// Of which room.
        room: BroadcastId,
        /// Of which log.
        log: LogId,
        /// At least one; each number is one more than the one before.
        entries: Vec<Entry>,
    },
    /// Edge, first: everything it has. Before it nothing is sent.
    Have(Vec<Have>),
    /// Lobby: this room is over.
    Closed(BroadcastId),
    /// Of a later version: skipped.
    Unknown(u64),
}

/// Why bytes are no word; the link they came on is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// It ends inside a field.
    #[error("CHAT: a field needs {needed} bytes, {left} are left")]
    Short {
        /// Bytes the field needs.
        needed: u64,
        /// Bytes there.
        left: usize,
    },
    /// A number that is none, or over what it may be.
    #[error("CHAT: a number that is none, or too great")]
    BadNumber,
    /// A field that must be there is not.
    #[error("CHAT: no {what}")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// A field says what it may not.
    #[error("CHAT: a {what} that is none")]
    Bad {
        /// Which.
        what: &'static str,
    },
    /// More of something than there may be.
    #[error("CHAT: {count} of {what}, at most {limit} are taken")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// An entry out of its bounds.
    #[error("CHAT: {0}")]
    Entry(#[from] EntryError),
}

const ROOM: u64 = 1;
const BATCH: u64 = 2;
const HAVE: u64 = 3;
const CLOSED: u64 = 4;

const SAID: u64 = 1;
const GONE: u64 = 2;
const GONE_BY: u64 = 3;
const SLOW: u64 = 4;

impl Word {
    /// To bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Room(room, facts) => {
                varint(&mut out, ROOM);
                bytes(&mut out, 1, room.as_str().as_bytes());
                number(&mut out, 2, u64::from(facts.log.0));
                number(&mut out, 3, facts.next.0);
                number(&mut out, 4, u64::from(facts.slow));
            }
            Self::Batch { room, log, entries } => return encode_batch(room, *log, entries.iter()).0,
            Self::Have(rooms) => {
                varint(&mut out, HAVE);
                for have in rooms.iter().take(ROOMS) {
                    let mut group = Vec::new();
                    bytes(&mut group, 1, have.room.as_str().as_bytes());
                    number(&mut group, 2, u64::from(have.log.0));
                    number(&mut group, 3, have.next.0);
                    bytes(&mut out, 1, &group);
                }
            }
            Self::Closed(room) => {
                varint(&mut out, CLOSED);
                bytes(&mut out, 1, room.as_str().as_bytes());
            }
            Self::Unknown(kind) => varint(&mut out, *kind),
        }
        out.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(payload: &[u8]) -> Result<Self, WordError> {
        let (kind, rest) = take(payload)?;
        let mut fields = Fields::new(rest);
        let (mut room, mut facts) = (None, RoomFacts::default());
        let (mut entries, mut have) = (Vec::new(), Vec::new());
        while let Some(field) = fields.next()? {
            match (kind, field.tag) {
                (HAVE, 1) => {
                    have.push(read_have(field.group())?);
                    at_most("rooms", have.len(), ROOMS)?;
                }
                (ROOM | BATCH | CLOSED, 1) => room = Some(read_room(field.text("room")?)?),
                (ROOM | BATCH, 2) => facts.log = LogId(field.small()?),
                (ROOM, 3) => facts.next = Sequence(field.number()?),
                (ROOM, 4) => facts.slow = field.small()?.min(SLOW_SECONDS),
                (BATCH, 3) => {
                    entries.push(read_entry(field.group())?);
                    at_most("entries", entries.len(), BATCH_ENTRIES)?;
                }
                _ => {}
            }
        }
        let room = || room.ok_or(WordError::Missing { what: "room" });
        Ok(match kind {
            ROOM => Self::Room(room()?, facts),
            HAVE => Self::Have(have),
            CLOSED => Self::Closed(room()?),
            BATCH => {
                let follows = |pair: &[Entry]| pair[1].sequence == pair[0].sequence.next();
                if entries.is_empty() || !entries.windows(2).all(follows) {
                    return Err(WordError::Bad { what: "row of entries" });
                }
                Self::Batch { room: room()?, log: facts.log, entries }
            }
            other => Self::Unknown(other),
        })
    }
}

/// A batch of as many of these as it may have, and how many that are.
pub(crate) fn encode_batch<'e>(
    room: &BroadcastId,
    log: LogId,
    entries: impl Iterator<Item = &'e Entry>,
) -> (Bytes, u64) {
    let mut out = Vec::new();
    varint(&mut out, BATCH);
    bytes(&mut out, 1, room.as_str().as_bytes());
    number(&mut out, 2, u64::from(log.0));
    let mut count = 0;
    for entry in entries.take(BATCH_ENTRIES) {
        if count > 0 && out.len() + entry.weight() > crate::limits::BATCH_BYTES {
            break;
        }
        let mut group = Vec::with_capacity(entry.weight());
        write_entry(&mut group, entry);
        bytes(&mut out, 3, &group);
        count += 1;
    }
    (out.into(), count)
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    number(out, 1, entry.sequence.0);
    number(out, 2, entry.at_ms);
    match &entry.what {
        What::Said { by, text } => {
            number(out, 3, SAID);
            bytes(out, 4, by.id.as_bytes());
            bytes(out, 5, by.name.as_bytes());
            number(out, 6, by.badge as u64);
            bytes(out, 7, text.as_bytes());
        }
        What::Gone { of } => {
            number(out, 3, GONE);
            number(out, 8, of.0);
        }
        What::GoneBy { author } => {
            number(out, 3, GONE_BY);
            bytes(out, 4, author.as_bytes());
        }
        What::Slow { seconds } => {
            number(out, 3, SLOW);
            number(out, 9, u64::from(*seconds));
        }
    }
}

fn read_entry(mut fields: Fields<'_>) -> Result<Entry, WordError> {
    let (mut sequence, mut at_ms, mut kind) = (Sequence(0), 0, 0);
    let (mut by, mut text, mut of, mut seconds) = (Author::default(), String::new(), Sequence(0), 0);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => sequence = Sequence(field.number()?),
            2 => at_ms = field.number()?,
            3 => kind = field.number()?,
            4 => by.id = field.text("author's id")?.to_owned(),
            5 => by.name = field.text("author's name")?.to_owned(),
            6 => by.badge = Badge::from_wire(field.number()?),
            7 => text = field.text("message")?.to_owned(),
            8 => of = Sequence(field.number()?),
            9 => seconds = field.small()?,
            _ => {}
        }
    }
    if sequence.0 == 0 || sequence.0 == u64::MAX {
        return Err(WordError::Missing { what: "number of an entry" });
    }
    let what = match kind {
        SAID => What::Said { by, text },
        GONE => What::Gone { of },
        GONE_BY => What::GoneBy { author: by.id },
        SLOW => What::Slow { seconds },
        // A later version's: it has a number like any other, and means nothing here.
        _ => What::Gone { of: Sequence(0) },
    };
    let entry = Entry { sequence, at_ms, what };
    entry.check()?;
    Ok(entry)
}

fn read_have(mut fields: Fields<'_>) -> Result<Have, WordError> {
    let (mut room, mut log, mut next) = (None, LogId(0), Sequence(0));
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => room = Some(read_room(field.text("room")?)?),
            2 => log = LogId(field.small()?),
            3 => next = Sequence(field.number()?),
            _ => {}
        }
    }
    Ok(Have { room: room.ok_or(WordError::Missing { what: "room" })?, log, next })
}

fn read_room(text: &str) -> Result<BroadcastId, WordError> {
    BroadcastId::parse(text).map_err(|_| WordError::Bad { what: "room" })
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), WordError> {
    match count <= limit {
        true => Ok(()),
        false => Err(WordError::TooMuch { what, count, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn room() -> BroadcastId {
        BroadcastId::parse("tide").unwrap()
    }

    fn entries() -> Vec<Entry> {
        let by = Author { id: "7".into(), name: "Ana".into(), badge: Badge::Moderator };
        let whats = [
            What::Said { by, text: "hé\n\"you\"".into() },
            What::Gone { of: Sequence(3) },
            What::GoneBy { author: "9".into() },
            What::Slow { seconds: 30 },
            What::Slow { seconds: 0 },
        ];
        let entry = |(at, what)| Entry { sequence: Sequence(40 + at as u64), at_ms: 1_800_000_000_000, what };
        whats.into_iter().enumerate().map(entry).collect()
    }

    #[test]
    fn every_word_comes_back() {
        let facts = RoomFacts { log: LogId(u32::MAX), next: Sequence(45), slow: 30 };
        for word in [
            Word::Room(room(), facts),
            Word::Room(room(), RoomFacts::default()),
            Word::Batch { room: room(), log: LogId(5), entries: entries() },
            Word::Have(vec![Have { room: room(), log: LogId(5), next: Sequence(45) }]),
            Word::Have(Vec::new()),
            Word::Closed(room()),
            Word::Unknown(77),
        ] {
            assert_eq!(Word::decode(&word.encode()), Ok(word));
        }
    }

    #[test]
    fn a_row_with_a_hole_or_without_an_entry_is_refused() {
        let mut holed = entries();
        holed.remove(1);
        for entries in [holed, Vec::new()] {
            let word = Word::Batch { room: room(), log: LogId(5), entries };
            assert_eq!(Word::decode(&word.encode()), Err(WordError::Bad { what: "row of entries" }));
        }
    }

    #[test]
    fn a_batch_takes_what_fits_and_says_how_many() {
        let long = |number| Entry {
            sequence: Sequence(number),
            at_ms: 1,
            what: What::Said {
                by: Author { id: "1".into(), name: "A".into(), badge: Badge::Viewer },
                text: "x".repeat(crate::limits::TEXT_BYTES),
            },
        };
        let many: Vec<Entry> = (1..=BATCH_ENTRIES as u64).map(long).collect();
        let (bytes, count) = encode_batch(&room(), LogId(1), many.iter());
        assert!(bytes.len() <= crate::limits::BATCH_BYTES && (50..70).contains(&count), "{count}");
        let Ok(Word::Batch { entries, .. }) = Word::decode(&bytes) else { panic!("no batch") };
        assert_eq!(entries.len() as u64, count);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Word::decode(&payload);
        }

        #[test]
        fn no_word_with_a_byte_changed_panics(at in 0usize..200, byte: u8) {
            let mut payload = Word::Batch { room: room(), log: LogId(5), entries: entries() }.encode().to_vec();
            let at = at % payload.len();
            payload[at] = byte;
            if let Ok(Word::Batch { entries, .. }) = Word::decode(&payload) {
                prop_assert!(entries.iter().all(|entry| entry.check().is_ok()));
            }
        }
    }
}
