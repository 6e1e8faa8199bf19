//! `twin/1`: what two ingests say to each other, and how it is written.
//!
//! `len:u32 LE, type:u8, payload`, as on a transcode process' pipe ([`ladder::Reader`]); numbers are u64 LE, texts have
//! their length in one byte in front. What is said of a broadcast has its name first.

use crate::Step;
use bytes::{Buf, Bytes};
use edgefan::NodeId;
use ladder::{Message as Framed, Order, Shed, WireError};
use media::{BroadcastId, DiscontinuitySequence, MediaSequence, MediaTime, RunId};

/// One message of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first of each end on each connection.
    Hello {
        /// Who speaks.
        node: NodeId,
        /// A number this process has drawn: another one is another process.
        instance: u64,
        /// Its software, for the log.
        version: String,
    },
    /// I am here.
    Beat,
    /// Something about a broadcast.
    Said(BroadcastId, Said),
}

/// What is said of one broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// May I lead, under this term?
    Claim {
        /// The term it would be.
        term: u64,
    },
    /// You may; and this is where it was left as far as I know.
    Grant {
        /// The greatest term I know of.
        term: u64,
        /// The end of everything placed.
        end: MediaTime,
        /// The discontinuity sequence of the last segment.
        discontinuity: DiscontinuitySequence,
    },
    /// I lead. Answered by [`Said::Follow`], or by [`Said::Leads`] of who knows better.
    Leads {
        /// Under which term.
        term: u64,
        /// Of which run.
        run: RunId,
        /// I only stand in for a leader that was lost, with filler: I have no feed.
        stands_in: bool,
    },
    /// I follow: tell me what there is, and go on telling.
    Follow {
        /// The leader's term.
        term: u64,
    },
    /// Tell me nothing more; from the leader: you were too slow, ask again.
    Unfollow,
    /// What the leader has decided.
    Step {
        /// The leader's term; one of another is not carried out.
        term: u64,
        /// What it is.
        step: Step,
    },
    /// From the follower: whether it has a feed of its own.
    Feed {
        /// A publisher is there.
        is_there: bool,
        /// It sends the same units as the leader's.
        is_aligned: bool,
    },
    /// From the follower: its own feed, laid on the timeline, is that much ahead of what it was told.
    Ahead {
        /// Milliseconds.
        ms: u64,
    },
    /// From the leader: you lead from here on.
    HandOver {
        /// Under this term.
        term: u64,
    },
    /// What decides my process' bytes beside the steps (FFmpeg, x264).
    Made {
        /// As the process reports it.
        digest: String,
    },
    /// From the follower: its encoder is too slow by this level.
    Slow {
        /// What it would give up.
        level: Shed,
    },
    /// From the leader: the broadcast is over and let go.
    Over,
}

const HELLO: u8 = 1;
const BEAT: u8 = 2;
const CLAIM: u8 = 3;
const GRANT: u8 = 4;
const LEADS: u8 = 5;
const FOLLOW: u8 = 6;
const UNFOLLOW: u8 = 7;
const STEP: u8 = 8;
const FEED: u8 = 9;
const AHEAD: u8 = 10;
const HAND_OVER: u8 = 11;
const MADE: u8 = 12;
const SLOW: u8 = 13;
const OVER: u8 = 14;

const STEP_BEGIN: u8 = 1;
const STEP_ORDER: u8 = 2;
const STEP_DISCONTINUITY: u8 = 3;
const STEP_END: u8 = 4;

impl Framed for Message {
    const WHAT: &'static str = "the twin's messages";

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => HELLO,
            Self::Beat => BEAT,
            Self::Said(_, said) => match said {
                Said::Claim { .. } => CLAIM,
                Said::Grant { .. } => GRANT,
                Said::Leads { .. } => LEADS,
                Said::Follow { .. } => FOLLOW,
                Said::Unfollow => UNFOLLOW,
                Said::Step { .. } => STEP,
                Said::Feed { .. } => FEED,
                Said::Ahead { .. } => AHEAD,
                Said::HandOver { .. } => HAND_OVER,
                Said::Made { .. } => MADE,
                Said::Slow { .. } => SLOW,
                Said::Over => OVER,
            },
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { node, instance, version } => {
                number(out, *instance);
                text(out, node.as_str());
                text(out, version);
            }
            Self::Beat => {}
            Self::Said(broadcast, said) => {
                text(out, broadcast.as_str());
                said.put(out);
            }
        }
    }

    fn take(kind: u8, payload: Bytes) -> Result<Self, WireError> {
        let mut take = Take { kind, len: payload.len(), left: payload };
        match kind {
            HELLO => {
                let instance = take.number("instance")?;
                let (node, version) = (take.text("node")?, take.text("version")?);
                let node = NodeId::parse(&node).map_err(|error| take.bad("node", error))?;
                Ok(Self::Hello { node, instance, version })
            }
            BEAT => Ok(Self::Beat),
            CLAIM..=OVER => {
                let name = take.text("broadcast")?;
                let broadcast = BroadcastId::parse(&name).map_err(|error| take.bad("broadcast", error))?;
                Ok(Self::Said(broadcast, Said::take(take)?))
            }
            _ => Err(WireError::UnknownType { kind, what: Self::WHAT }),
        }
    }
}

impl Said {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Claim { term } | Self::Follow { term } | Self::HandOver { term } => number(out, *term),
            Self::Grant { term, end, discontinuity } => {
                number(out, *term);
                number(out, end.ticks());
                number(out, discontinuity.0);
            }
            Self::Leads { term, run, stands_in } => {
                number(out, *term);
                number(out, run.0);
                out.push(u8::from(*stands_in));
            }
            Self::Unfollow | Self::Over => {}
            Self::Step { term, step } => {
                number(out, *term);
                step.put(out);
            }
            Self::Feed { is_there, is_aligned } => {
                out.extend([u8::from(*is_there), u8::from(*is_aligned)]);
            }
            Self::Ahead { ms } => number(out, *ms),
            Self::Made { digest } => text(out, digest),
            Self::Slow { level } => out.push(*level as u8),
        }
    }

    fn take(mut take: Take) -> Result<Self, WireError> {
        Ok(match take.kind {
            CLAIM => Self::Claim { term: take.number("term")? },
            GRANT => Self::Grant {
                term: take.number("term")?,
                end: MediaTime::from_ticks(take.number("end")?),
                discontinuity: DiscontinuitySequence(take.number("discontinuity")?),
            },
            LEADS => Self::Leads {
                term: take.number("term")?,
                run: RunId(take.number("run")?),
                stands_in: take.is("stands in")?,
            },
            FOLLOW => Self::Follow { term: take.number("term")? },
            UNFOLLOW => Self::Unfollow,
            STEP => Self::Step { term: take.number("term")?, step: Step::take(take)? },
            FEED => Self::Feed { is_there: take.is("is there")?, is_aligned: take.is("is aligned")? },
            AHEAD => Self::Ahead { ms: take.number("ahead")? },
            HAND_OVER => Self::HandOver { term: take.number("term")? },
            MADE => Self::Made { digest: take.text("digest")? },
            SLOW => {
                let number = take.byte("level")?;
                let levels = [Shed::None, Shed::Lookahead, Shed::TopRung, Shed::FrameRate];
                let level = levels.into_iter().find(|level| *level as u8 == number);
                Self::Slow {
                    level: level.ok_or_else(|| take.bad("level", format_args!("{number} is none")))?,
                }
            }
            _ => Self::Over,
        })
    }
}

impl Step {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Begin { run, discontinuity, begin } => {
                out.push(STEP_BEGIN);
                number(out, run.0);
                number(out, discontinuity.0);
                let order = Order::Begin((**begin).clone());
                out.push(order.kind());
                order.put(out);
            }
            Self::Order(order) => {
                out.push(STEP_ORDER);
                out.push(order.kind());
                order.put(out);
            }
            Self::Discontinuity { from, number: count } => {
                out.push(STEP_DISCONTINUITY);
                number(out, from.0);
                number(out, count.0);
            }
            Self::End => out.push(STEP_END),
        }
    }

    fn take(mut take: Take) -> Result<Self, WireError> {
        match take.byte("step")? {
            STEP_BEGIN => {
                let run = RunId(take.number("run")?);
                let discontinuity = DiscontinuitySequence(take.number("discontinuity")?);
                match take.order()? {
                    Order::Begin(begin) => Ok(Self::Begin { run, discontinuity, begin: Box::new(begin) }),
                    _ => Err(WireError::Bad { kind: STEP, field: "begin", why: "is another order".into() }),
                }
            }
            STEP_ORDER => match take.order()? {
                Order::Begin(_) | Order::End => {
                    Err(WireError::Bad { kind: STEP, field: "order", why: "begins or ends a run".into() })
                }
                order => Ok(Self::Order(order)),
            },
            STEP_DISCONTINUITY => {
                let from = MediaSequence(take.number("from")?);
                Ok(Self::Discontinuity { from, number: DiscontinuitySequence(take.number("number")?) })
            }
            STEP_END => Ok(Self::End),
            other => Err(take.bad("step", format_args!("{other} is none of 1 to 4"))),
        }
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

/// Up to 255 bytes of it: names are shorter, and what is for the log may be cut.
fn text(out: &mut Vec<u8>, value: &str) {
    let mut len = value.len().min(usize::from(u8::MAX));
    while !value.is_char_boundary(len) {
        len -= 1;
    }
    out.push(len as u8);
    out.extend_from_slice(&value.as_bytes()[..len]);
}

/// Fields off the front of a payload.
struct Take {
    kind: u8,
    len: usize,
    left: Bytes,
}

impl Take {
    fn need(&self, field: &'static str, bytes: usize) -> Result<(), WireError> {
        match self.left.len() < bytes {
            true => Err(WireError::Short { kind: self.kind, field, len: self.len }),
            false => Ok(()),
        }
    }

    fn bad(&self, field: &'static str, why: impl ToString) -> WireError {
        WireError::Bad { kind: self.kind, field, why: why.to_string() }
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.need(field, 1)?;
        Ok(self.left.get_u8())
    }

    fn is(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.bad(field, format_args!("{other} is neither 0 nor 1"))),
        }
    }

    fn number(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.need(field, 8)?;
        Ok(self.left.get_u64_le())
    }

    fn text(&mut self, field: &'static str) -> Result<String, WireError> {
        let len = usize::from(self.byte(field)?);
        self.need(field, len)?;
        String::from_utf8(self.left.split_to(len).to_vec()).map_err(|error| self.bad(field, error))
    }

    /// The rest, as a process' pipe carries it.
    fn order(mut self) -> Result<Order, WireError> {
        let kind = self.byte("order")?;
        Order::take(kind, self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ladder::Begin;
    use media::{AccessUnit, AudioConfig, MediaSpan, Track};

    fn messages() -> Vec<Message> {
        let tide = || BroadcastId::parse("tide").unwrap();
        let audio = AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
        let begin = Begin {
            broadcast: tide(),
            segment: MediaSpan::from_secs(2),
            from: MediaSequence(900),
            rungs: Vec::new(),
            video: None,
            audio: Some(audio),
        };
        let unit = AccessUnit {
            track: Track::Audio,
            decode_time: MediaTime::from_ticks(77),
            presentation_time: MediaTime::from_ticks(77),
            duration: MediaSpan::from_ticks(1920),
            is_sync: true,
            payload: Bytes::from_static(b"sound"),
        };
        let said = [
            Said::Claim { term: 7 },
            Said::Grant { term: 7, end: MediaTime::from_ticks(3), discontinuity: DiscontinuitySequence(9) },
            Said::Leads { term: 7, run: RunId(8), stands_in: true },
            Said::Follow { term: 7 },
            Said::Unfollow,
            Said::Step {
                term: 7,
                step: Step::Begin {
                    run: RunId(8),
                    discontinuity: DiscontinuitySequence(9),
                    begin: Box::new(begin),
                },
            },
            Said::Step { term: 7, step: Step::Order(Order::Unit(unit)) },
            Said::Step {
                term: 7,
                step: Step::Discontinuity { from: MediaSequence(4), number: DiscontinuitySequence(10) },
            },
            Said::Step { term: 7, step: Step::End },
            Said::Feed { is_there: true, is_aligned: false },
            Said::Ahead { ms: 1200 },
            Said::HandOver { term: 8 },
            Said::Made { digest: "x264 164".into() },
            Said::Slow { level: Shed::TopRung },
            Said::Over,
        ];
        let hello =
            Message::Hello { node: NodeId::parse("ingest1").unwrap(), instance: 5, version: "0.1.0".into() };
        let said = said.into_iter().map(|said| Message::Said(tide(), said));
        [hello, Message::Beat].into_iter().chain(said).collect()
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let mut reader = ladder::Reader::<Message>::new();
        for message in messages() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes).unwrap();
            reader.push(&bytes);
            assert_eq!(reader.pull().unwrap(), Some(message));
        }
    }

    #[test]
    fn a_message_cut_or_spoiled_is_an_error_or_another_message_and_never_a_panic() {
        for message in messages() {
            let mut payload = Vec::new();
            message.put(&mut payload);
            for len in 0..payload.len() {
                let _ = Message::take(message.kind(), Bytes::copy_from_slice(&payload[..len]));
                let mut spoiled = payload.clone();
                spoiled[len] ^= 0xff;
                let _ = Message::take(message.kind(), spoiled.into());
            }
        }
        for kind in [0, 15, 255] {
            assert!(Message::take(kind, Bytes::new()).is_err());
        }
    }
}
