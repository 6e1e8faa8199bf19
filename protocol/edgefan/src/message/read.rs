//! From the bytes of a frame to what it means.

use super::{Close, DATA_HEAD_BYTES, Fetch, Lane, LaneStanding, Message, ObjectId, Open, Skip, SkipReason};
use crate::facts::{NAME_ALLOWED, read_key, read_stream};
use crate::hello::decode_keys;
use crate::limits::{OBJECT_BYTES, SKIP_RUN};
use crate::tlv::Fields;
use crate::{Frame, FrameType, Have, Hello, Load, PeerWord, Standing, Welcome, WireError};
use bytes::{Buf, Bytes};
use media::{ContentHash, DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, RunId};

impl Message {
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
