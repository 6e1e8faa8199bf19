//! What frames mean: one value per type, and its bytes.
//!
//! Does not live here: the way back, from bytes (`read`).

use crate::facts::{write_key, write_stream};
use crate::frame::{HEAD_BYTES, head};
use crate::hello::encode_keys;
use crate::tlv::Writer;
use crate::{FrameType, Have, Hello, Load, PeerWord, Standing, TicketKey, Welcome};
use bytes::Bytes;
use media::{
    BroadcastId, ContentHash, DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, ObjectKey, RunId,
    SegmentFacts, StreamFacts,
};

mod read;

/// An object's number on one publisher: short, so that DATA need not repeat the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

/// One frame, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`Welcome`].
    Welcome(Welcome),
    /// What a broadcast is.
    Stream(StreamFacts),
    /// See [`Have`].
    Have(Have),
    /// See [`Open`].
    Open(Open),
    /// Bytes of an object.
    Data {
        /// Of which object.
        object: ObjectId,
        /// Where in it they begin.
        offset: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// See [`Close`].
    Close(Close),
    /// No more bytes of this object will come on this link.
    Abort {
        /// Which object.
        object: ObjectId,
    },
    /// See [`Skip`].
    Skip(Skip),
    /// See [`Fetch`].
    Fetch(Fetch),
    /// Forget this object.
    Evict {
        /// Its name.
        key: ObjectKey,
    },
    /// See [`Lane`].
    Lane(Lane),
    /// A run is over.
    End {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// Which run.
        run: RunId,
        /// True if the sender holds nothing more of the broadcast: it may be forgotten.
        is_forgotten: bool,
    },
    /// See [`Load`].
    Load(Load),
    /// See [`Standing`].
    Drain(Standing),
    /// I am here.
    Ping {
        /// The sender's own clock in microseconds, for itself to read in the PONG.
        stamp: u64,
    },
    /// I heard you.
    Pong {
        /// The PING's.
        stamp: u64,
        /// The answerer's clock on the wall, in microseconds since the Unix epoch; 0 where it does not say.
        clock: u64,
        /// The answerer's clock that nobody sets, in microseconds since it likes; 0 where it does not say.
        steady: u64,
    },
    /// Chat, carried and not looked into.
    Chat(Bytes),
    /// The current ticket key and the one before.
    Keys(Vec<TicketKey>),
    /// See [`PeerWord`].
    Peer(PeerWord),
    /// A type this version does not know: skipped.
    Unknown(u8),
}

/// An object begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its number from here on.
    pub object: ObjectId,
    /// Its name.
    pub key: ObjectKey,
    /// Where it begins in time.
    pub start: MediaTime,
    /// How many discontinuities came before it.
    pub discontinuity: DiscontinuitySequence,
    /// Where its first DATA will begin; not 0 when a partial copy is resumed.
    pub from: u32,
}

/// An object is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which object.
    pub object: ObjectId,
    /// Where it begins in time.
    pub start: MediaTime,
    /// How long it lasts.
    pub duration: MediaSpan,
    /// How many discontinuities came before it.
    pub discontinuity: DiscontinuitySequence,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of it.
    pub hash: ContentHash,
    /// True if not all bytes were sent, because the subscriber said that it has them: only the hash is news.
    pub is_withheld: bool,
    /// When it was complete where it was made, by the sender's clock that nobody sets (as in PONG); 0 where it does
    /// not say.
    pub made: u64,
}

/// Why an object will not come. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SkipReason {
    /// It was never made, here.
    Gap = 1,
    /// It was too late for this link.
    Late = 2,
    /// It is not held here, or no more.
    NotHeld = 3,
    /// It is not made yet; it will come by itself.
    NotYet = 4,
}

/// An object, or a run of them, will not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The first of the run.
    pub key: ObjectKey,
    /// Where the first begins in time; each next begins one duration later.
    pub start: MediaTime,
    /// How long each lasts.
    pub duration: MediaSpan,
    /// How many discontinuities came before.
    pub discontinuity: DiscontinuitySequence,
    /// How many in a row, by sequence number: 1 to [`SKIP_RUN`].
    pub count: u64,
    /// Why.
    pub reason: SkipReason,
}

/// Send this object again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Its name.
    pub key: ObjectKey,
    /// How many of its bytes are there already.
    pub from: u32,
}

/// From `from` on, the sender's segments are made under this term; those of an older one are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// The term; an older one is refused.
    pub term: u64,
    /// From which segment.
    pub from: MediaSequence,
    /// What the sender's segments are worth beside another's of the same term.
    pub standing: LaneStanding,
}

/// What one ingest's segments are worth beside its twin's. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LaneStanding {
    /// It decides; its twin makes the same bytes.
    #[default]
    Leads = 0,
    /// It makes the same bytes as the one who leads.
    Follows = 1,
    /// It makes others, or stands in: its segments only fill holes.
    Second = 2,
}

impl LaneStanding {
    /// The standing of that number on the wire; an unknown one fills holes at most.
    fn from_wire(number: u64) -> Self {
        match number {
            0 => Self::Leads,
            1 => Self::Follows,
            _ => Self::Second,
        }
    }
}

impl Close {
    /// What a playlist must know of the object that is complete now.
    pub fn facts(&self, key: &ObjectKey) -> SegmentFacts {
        SegmentFacts {
            sequence: key.sequence,
            run: key.run,
            start: self.start,
            duration: self.duration,
            discontinuity: self.discontinuity,
            bytes: self.bytes,
            is_gap: false,
        }
    }
}

impl Skip {
    /// A single object that will not come.
    pub fn one(key: ObjectKey, facts: &SegmentFacts, reason: SkipReason) -> Self {
        let SegmentFacts { start, duration, discontinuity, .. } = *facts;
        Self { key, start, duration, discontinuity, count: 1, reason }
    }

    /// Each object of the run, with what a playlist must know of its gap.
    pub fn each(&self) -> impl Iterator<Item = (ObjectKey, SegmentFacts)> + '_ {
        (0..self.count).map(move |index| {
            let sequence = MediaSequence(self.key.sequence.0.saturating_add(index));
            let facts = SegmentFacts {
                sequence,
                run: self.key.run,
                start: self.start + self.duration * index,
                duration: self.duration,
                discontinuity: self.discontinuity,
                bytes: 0,
                is_gap: true,
            };
            (ObjectKey { sequence, ..self.key.clone() }, facts)
        })
    }
}

/// Bytes of DATA's own head: `obj:u64 off:u32`.
const DATA_HEAD_BYTES: usize = 12;

/// The head of a DATA frame whose body follows: frame head, object, offset.
pub(crate) fn data_head(object: ObjectId, offset: u32, len: usize) -> [u8; HEAD_BYTES + DATA_HEAD_BYTES] {
    let mut out = [0; HEAD_BYTES + DATA_HEAD_BYTES];
    out[..HEAD_BYTES].copy_from_slice(&head(FrameType::Data, 0, DATA_HEAD_BYTES + len));
    out[HEAD_BYTES..HEAD_BYTES + 8].copy_from_slice(&object.0.to_le_bytes());
    out[HEAD_BYTES + 8..].copy_from_slice(&offset.to_le_bytes());
    out
}

impl Message {
    /// The whole frame.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![0; HEAD_BYTES];
        let kind = self.encode_payload(&mut out);
        let head = head(kind, 0, out.len() - HEAD_BYTES);
        out[..HEAD_BYTES].copy_from_slice(&head);
        out.into()
    }

    fn encode_payload(&self, out: &mut Vec<u8>) -> FrameType {
        let w = &mut Writer::new(out);
        match self {
            Self::Hello(hello) => hello.encode(w),
            Self::Welcome(welcome) => welcome.encode(w),
            Self::Stream(facts) => write_stream(facts, w),
            Self::Have(have) => have.encode(w),
            Self::Open(open) => {
                w.number(1, open.object.0);
                w.group(2, |w| write_key(&open.key, w));
                w.number(3, open.start.ticks());
                w.number_unless_zero(4, open.discontinuity.0);
                w.number_unless_zero(5, u64::from(open.from));
            }
            Self::Data { object, offset, bytes } => {
                out.extend_from_slice(&data_head(*object, *offset, bytes.len())[HEAD_BYTES..]);
                out.extend_from_slice(bytes);
            }
            Self::Close(close) => {
                w.number(1, close.object.0);
                w.number(2, close.start.ticks());
                w.number(3, close.duration.ticks());
                w.number_unless_zero(4, close.discontinuity.0);
                w.number(5, close.bytes);
                w.bytes(6, &close.hash.0);
                w.number_unless_zero(7, u64::from(close.is_withheld));
                w.number_unless_zero(8, close.made);
            }
            Self::Abort { object } => w.number(1, object.0),
            Self::Skip(skip) => {
                w.group(1, |w| write_key(&skip.key, w));
                w.number(2, skip.start.ticks());
                w.number(3, skip.duration.ticks());
                w.number_unless_zero(4, skip.discontinuity.0);
                w.number(5, skip.count);
                w.number(6, skip.reason as u64);
            }
            Self::Fetch(fetch) => {
                w.group(1, |w| write_key(&fetch.key, w));
                w.number_unless_zero(2, u64::from(fetch.from));
            }
            Self::Evict { key } => w.group(1, |w| write_key(key, w)),
            Self::Lane(lane) => {
                w.text(1, lane.broadcast.as_str());
                w.number(2, lane.term);
                w.number(3, lane.from.0);
                w.number(4, lane.standing as u64);
            }
            Self::End { broadcast, run, is_forgotten } => {
                w.text(1, broadcast.as_str());
                w.number(2, run.0);
                w.number_unless_zero(3, u64::from(*is_forgotten));
            }
            Self::Load(load) => load.encode(w),
            Self::Drain(standing) => standing.encode(w),
            Self::Ping { stamp } => w.number(1, *stamp),
            Self::Pong { stamp, clock, steady } => {
                w.number(1, *stamp);
                w.number_unless_zero(2, *clock);
                w.number_unless_zero(3, *steady);
            }
            Self::Chat(bytes) => out.extend_from_slice(bytes),
            Self::Keys(keys) => encode_keys(keys, w),
            Self::Peer(word) => word.encode(w),
            Self::Unknown(_) => {}
        }
        self.kind()
    }

    fn kind(&self) -> FrameType {
        match self {
            Self::Hello(_) => FrameType::Hello,
            Self::Welcome(_) => FrameType::Welcome,
            Self::Stream(_) => FrameType::Stream,
            Self::Have(_) => FrameType::Have,
            Self::Open(_) => FrameType::Open,
            Self::Data { .. } => FrameType::Data,
            Self::Close(_) => FrameType::Close,
            Self::Abort { .. } => FrameType::Abort,
            Self::Skip(_) => FrameType::Skip,
            Self::Fetch(_) => FrameType::Fetch,
            Self::Evict { .. } => FrameType::Evict,
            Self::Lane(_) => FrameType::Lane,
            Self::End { .. } => FrameType::End,
            Self::Load(_) => FrameType::Load,
            Self::Drain(_) => FrameType::Drain,
            Self::Ping { .. } => FrameType::Ping,
            Self::Pong { .. } | Self::Unknown(_) => FrameType::Pong,
            Self::Chat(_) => FrameType::Chat,
            Self::Keys(_) => FrameType::Keys,
            Self::Peer(word) => word.kind(),
        }
    }
}
