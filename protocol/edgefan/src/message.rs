//! What frames mean: one value per type, to bytes and back.

use crate::facts::{NAME_ALLOWED, read_key, read_stream, write_key, write_stream};
use crate::frame::{HEAD_BYTES, head};
use crate::hello::{decode_keys, encode_keys};
use crate::limits::{OBJECT_BYTES, SKIP_RUN};
use crate::tlv::{Fields, Writer};
use crate::{Frame, FrameType, Have, Hello, Load, PeerWord, Standing, TicketKey, Welcome, WireError};
use bytes::{Buf, Bytes};
use media::{
    BroadcastId, ContentHash, DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, ObjectKey, RunId,
    SegmentFacts, StreamFacts,
};

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

    /// What the frame means; a type nobody knows is [`Message::Unknown`], not an error.
    pub fn decode(frame: Frame) -> Result<Self, WireError> {
        let Some(kind) = FrameType::from_wire(frame.kind) else {
            return Ok(Self::Unknown(frame.kind));
        };
        let payload = &frame.payload[..];
        Ok(match kind {
            FrameType::Hello => Self::Hello(Hello::decode(payload)?),
            FrameType::Welcome => Self::Welcome(Welcome::decode(payload)?),
            FrameType::Stream => Self::Stream(read_stream(payload)?),
            FrameType::Have => Self::Have(Have::decode(payload)?),
            FrameType::Open => Self::Open(read_open(payload)?),
            FrameType::Data => return read_data(frame.payload),
            FrameType::Close => Self::Close(read_close(payload)?),
            FrameType::Abort => Self::Abort { object: read_abort(payload)? },
            FrameType::Skip => Self::Skip(read_skip(payload)?),
            FrameType::Fetch => Self::Fetch(read_fetch("FETCH", payload)?),
            FrameType::Evict => Self::Evict { key: read_fetch("EVICT", payload)?.key },
            FrameType::Lane => Self::Lane(read_lane(payload)?),
            FrameType::End => read_end(payload)?,
            FrameType::Load => Self::Load(Load::decode(payload)?),
            FrameType::Drain => Self::Drain(Standing::decode(payload)?),
            FrameType::Ping => Self::Ping { stamp: read_stamps("PING", payload)?.0 },
            FrameType::Pong => {
                let (stamp, clock, steady) = read_stamps("PONG", payload)?;
                Self::Pong { stamp, clock, steady }
            }
            FrameType::Chat => Self::Chat(frame.payload),
            FrameType::Keys => Self::Keys(decode_keys(payload)?),
            FrameType::Reserved => Self::Peer(PeerWord::decode_reserved(payload)?),
            FrameType::Seals => Self::Peer(PeerWord::decode_seals(payload)?),
            FrameType::Seen => Self::Peer(PeerWord::decode_seen(&frame.payload)?),
        })
    }
}

fn read_open(payload: &[u8]) -> Result<Open, WireError> {
    const WHAT: &str = "OPEN";
    let (mut object, mut key, mut start) = (None, None, None);
    let (mut discontinuity, mut from) = (DiscontinuitySequence(0), 0);
    let mut fields = Fields::new(WHAT, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => object = Some(ObjectId(field.number()?)),
            2 => key = Some(read_key(WHAT, field.group())?),
            3 => start = Some(MediaTime::from_ticks(field.number()?)),
            4 => discontinuity = DiscontinuitySequence(field.number()?),
            5 => from = field.number_to("first byte", OBJECT_BYTES)? as u32,
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what: WHAT, field };
    Ok(Open {
        object: object.ok_or_else(|| missing("object"))?,
        key: key.ok_or_else(|| missing("key"))?,
        start: start.ok_or_else(|| missing("start"))?,
        discontinuity,
        from,
    })
}

fn read_data(mut payload: Bytes) -> Result<Message, WireError> {
    if payload.len() < DATA_HEAD_BYTES {
        let (needed, left) = (DATA_HEAD_BYTES as u64, payload.len());
        return Err(WireError::Short { what: "DATA", at: 0, needed, left });
    }
    let object = ObjectId(payload.get_u64_le());
    let offset = payload.get_u32_le();
    Ok(Message::Data { object, offset, bytes: payload })
}

fn read_close(payload: &[u8]) -> Result<Close, WireError> {
    const WHAT: &str = "CLOSE";
    let (mut object, mut start, mut duration, mut bytes, mut hash) = (None, None, None, None, None);
    let (mut discontinuity, mut is_withheld, mut made) = (DiscontinuitySequence(0), false, 0);
    let mut fields = Fields::new(WHAT, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => object = Some(ObjectId(field.number()?)),
            2 => start = Some(MediaTime::from_ticks(field.number()?)),
            3 => duration = Some(MediaSpan::from_ticks(field.number()?)),
            4 => discontinuity = DiscontinuitySequence(field.number()?),
            5 => bytes = Some(field.number()?),
            6 => hash = Some(ContentHash(field.array("hash", "32 bytes")?)),
            7 => is_withheld = field.number()? != 0,
            8 => made = field.number()?,
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what: WHAT, field };
    Ok(Close {
        object: object.ok_or_else(|| missing("object"))?,
        start: start.ok_or_else(|| missing("start"))?,
        duration: duration.ok_or_else(|| missing("duration"))?,
        discontinuity,
        bytes: bytes.ok_or_else(|| missing("size"))?,
        hash: hash.ok_or_else(|| missing("hash"))?,
        is_withheld,
        made,
    })
}

fn read_abort(payload: &[u8]) -> Result<ObjectId, WireError> {
    let mut fields = Fields::new("ABORT", payload);
    while let Some(field) = fields.next()? {
        if field.tag == 1 {
            return field.number().map(ObjectId);
        }
    }
    Err(WireError::Missing { what: "ABORT", field: "object" })
}

fn read_skip(payload: &[u8]) -> Result<Skip, WireError> {
    const WHAT: &str = "SKIP";
    let (mut key, mut start, mut duration) = (None, MediaTime::default(), MediaSpan::ZERO);
    let (mut discontinuity, mut count, mut reason) = (DiscontinuitySequence(0), 1, SkipReason::NotHeld);
    let mut fields = Fields::new(WHAT, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => key = Some(read_key(WHAT, field.group())?),
            2 => start = MediaTime::from_ticks(field.number()?),
            3 => duration = MediaSpan::from_ticks(field.number()?),
            4 => discontinuity = DiscontinuitySequence(field.number()?),
            5 => count = field.number_to("objects in a run", SKIP_RUN)?,
            6 => {
                reason = match field.number()? {
                    1 => SkipReason::Gap,
                    2 => SkipReason::Late,
                    4 => SkipReason::NotYet,
                    _ => SkipReason::NotHeld,
                }
            }
            _ => {}
        }
    }
    let key = key.ok_or(WireError::Missing { what: WHAT, field: "key" })?;
    Ok(Skip { key, start, duration, discontinuity, count, reason })
}

fn read_fetch(what: &'static str, payload: &[u8]) -> Result<Fetch, WireError> {
    let (mut key, mut from) = (None, 0);
    let mut fields = Fields::new(what, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => key = Some(read_key(what, field.group())?),
            2 => from = field.number_to("first byte", OBJECT_BYTES)? as u32,
            _ => {}
        }
    }
    Ok(Fetch { key: key.ok_or(WireError::Missing { what, field: "key" })?, from })
}

fn read_lane(payload: &[u8]) -> Result<Lane, WireError> {
    const WHAT: &str = "LANE";
    let (mut broadcast, mut term, mut from) = (None, None, None);
    let mut standing = LaneStanding::default();
    let mut fields = Fields::new(WHAT, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => broadcast = Some(field.parse("broadcast", NAME_ALLOWED)?),
            2 => term = Some(field.number()?),
            3 => from = Some(MediaSequence(field.number()?)),
            4 => standing = LaneStanding::from_wire(field.number()?),
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what: WHAT, field };
    Ok(Lane {
        broadcast: broadcast.ok_or_else(|| missing("broadcast"))?,
        term: term.ok_or_else(|| missing("term"))?,
        from: from.ok_or_else(|| missing("first segment"))?,
        standing,
    })
}

fn read_end(payload: &[u8]) -> Result<Message, WireError> {
    const WHAT: &str = "END";
    let (mut broadcast, mut run, mut is_forgotten) = (None, None, false);
    let mut fields = Fields::new(WHAT, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => broadcast = Some(field.parse("broadcast", NAME_ALLOWED)?),
            2 => run = Some(RunId(field.number()?)),
            3 => is_forgotten = field.number()? != 0,
            _ => {}
        }
    }
    let missing = |field| WireError::Missing { what: WHAT, field };
    let broadcast = broadcast.ok_or_else(|| missing("broadcast"))?;
    Ok(Message::End { broadcast, run: run.ok_or_else(|| missing("run"))?, is_forgotten })
}

/// A PING without a stamp still says that somebody is there, and so does a PONG without a clock.
fn read_stamps(what: &'static str, payload: &[u8]) -> Result<(u64, u64, u64), WireError> {
    let (mut stamp, mut clock, mut steady) = (0, 0, 0);
    let mut fields = Fields::new(what, payload);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => stamp = field.number()?,
            2 => clock = field.number()?,
            3 => steady = field.number()?,
            _ => {}
        }
    }
    Ok((stamp, clock, steady))
}
