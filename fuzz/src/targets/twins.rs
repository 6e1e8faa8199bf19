//! `twin/1`: what an ingest reads of the other.

use crate::Chance;
use edgefan::NodeId;
use ladder::{Begin, Encoding, Message as _, Order, Preset, Reader, Rung, RungVideo, Shed};
use media::{
    AccessUnit, AudioConfig, BitRate, BroadcastId, DiscontinuitySequence, MediaSequence, MediaSpan,
    MediaTime, RenditionId, RunId, Track, VideoConfig,
};
use std::time::Instant;
use twin::{ConnectionId, Link, LinkEvent, Message, Said, Step};

const NAMES: [&str; 2] = ["tide", "ebb"];
const ONE: ConnectionId = ConnectionId(1);
/// The instance of who reads.
const OURS: u64 = 1;

fn broadcast(chance: &mut Chance) -> BroadcastId {
    BroadcastId::parse(chance.pick(&NAMES)).expect("a name")
}

/// What comes in pieces says what it says at once; what is understood is written again and is the same; and the link says
/// nothing of a broadcast before its twin has greeted, nor after it is closed.
pub fn twin_link(bytes: &[u8]) {
    let (whole, error) = read(&[bytes]);
    let (cut, end) = (bytes.len() / 3, bytes.len());
    let pieces = [&bytes[..cut], &bytes[cut..end - end / 4], &bytes[end - end / 4..]];
    assert_eq!((&whole, &error), (&read(&pieces).0, &read(&pieces).1));
    for message in &whole {
        let mut again = Vec::new();
        message.encode(&mut again).expect("what was carried can be carried");
        assert_eq!(read(&[&again]).0, std::slice::from_ref(message));
    }
    let now = Instant::now();
    let mut link = Link::new(NodeId::parse("ingest1").expect("a name"), OURS, "fuzz".into());
    link.opened(ONE, false, now);
    let (mut is_up, mut is_closed, mut said) = (false, false, 0);
    for piece in pieces {
        link.received(ONE, piece, now);
        while let Some(event) = link.pull() {
            match event {
                LinkEvent::Up { .. } => {
                    assert!(!is_up && !is_closed, "one connection comes up once");
                    is_up = true;
                }
                LinkEvent::Said(..) => {
                    assert!(is_up && !is_closed, "who has not greeted says nothing");
                    said += 1;
                }
                LinkEvent::Down { .. } => is_up = false,
                LinkEvent::Close { connection, why } => {
                    assert!(connection == ONE && !why.is_empty() && !is_closed);
                    is_closed = true;
                }
                LinkEvent::Wake(_) | LinkEvent::Dropped(_) => {}
            }
        }
        assert_eq!(link.is_up(), is_up);
    }
    assert!(said <= whole.len());
    assert!(error.is_none() || is_closed, "a link that has lost its step is closed");
}

/// Messages until the first that is none, and what is wrong with that.
fn read(pieces: &[&[u8]]) -> (Vec<Message>, Option<String>) {
    let (mut reader, mut all) = (Reader::<Message>::new(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.pull() {
                Ok(Some(message)) => all.push(message),
                Ok(None) => break,
                Err(error) => return (all, Some(error.to_string())),
            }
        }
    }
    (all, None)
}

/// A greeting, and what a twin says after it.
pub fn good_link(chance: &mut Chance) -> Vec<u8> {
    let mut out = Vec::new();
    let mut say = |message: Message| message.encode(&mut out).expect("a short message");
    // Now and then it does not greet, or is this ingest itself.
    if !chance.one_in(12) {
        let node = NodeId::parse(chance.pick(&["ingest1", "ingest2"])).expect("a name");
        let instance = if chance.one_in(12) { OURS } else { chance.bits() };
        say(Message::Hello { node, instance, version: "0.1.0".into() });
    }
    for _ in 0..chance.below(8) {
        let message = match chance.one_in(8) {
            true => Message::Beat,
            false => Message::Said(broadcast(chance), said(chance)),
        };
        say(message);
    }
    out
}

fn said(chance: &mut Chance) -> Said {
    let term = u64::from(chance.awkward(32));
    match chance.below(12) {
        0 => Said::Claim { term },
        1 => Said::Grant {
            term,
            end: MediaTime::from_ticks(chance.bits()),
            discontinuity: DiscontinuitySequence(chance.bits()),
        },
        2 => Said::Leads { term, run: RunId(chance.bits()), stands_in: chance.one_in(2) },
        3 => Said::Follow { term },
        4 => Said::Unfollow,
        5 => Said::Feed { is_there: chance.one_in(2), is_aligned: chance.one_in(2) },
        6 => Said::Ahead { ms: chance.bits() },
        7 => Said::HandOver { term },
        8 => Said::Made { digest: "x264 164 r3095".into() },
        9 => Said::Slow { level: shed(chance) },
        10 => Said::Over,
        _ => Said::Step { term, step: step(chance) },
    }
}

fn shed(chance: &mut Chance) -> Shed {
    chance.pick(&[Shed::None, Shed::Lookahead, Shed::TopRung, Shed::FrameRate])
}

fn step(chance: &mut Chance) -> Step {
    match chance.below(6) {
        0 => Step::End,
        1 => Step::Discontinuity {
            from: MediaSequence(chance.bits()),
            number: DiscontinuitySequence(chance.bits()),
        },
        2 => Step::Begin {
            run: RunId(chance.bits()),
            discontinuity: DiscontinuitySequence(chance.bits()),
            begin: Box::new(begin(chance)),
        },
        _ => Step::Order(order(chance)),
    }
}

fn order(chance: &mut Chance) -> Order {
    match chance.below(5) {
        0 => Order::VideoConfig(video()),
        1 => Order::AudioConfig(audio()),
        2 => Order::Fill { until: MediaTime::from_ticks(chance.bits()) },
        3 => Order::Shed { level: shed(chance), from: MediaSequence(chance.bits()) },
        _ => {
            let len = chance.below(200);
            Order::Unit(AccessUnit {
                track: chance.pick(&[Track::Video, Track::Audio]),
                decode_time: MediaTime::from_ticks(chance.bits()),
                presentation_time: MediaTime::from_ticks(chance.bits()),
                duration: MediaSpan::from_ticks(u64::from(chance.awkward(32))),
                is_sync: chance.one_in(2),
                payload: chance.bytes(len).into(),
            })
        }
    }
}

fn begin(chance: &mut Chance) -> Begin {
    let encoding = |chance: &mut Chance| Encoding {
        width: 640,
        height: 360,
        bitrate: BitRate(u64::from(chance.awkward(24))),
        preset: chance.pick(&[Preset::Ultrafast, Preset::Medium]),
        crf: chance.below(52) as u8,
    };
    let rungs = (0..chance.below(4)).map(|nth| Rung {
        id: RenditionId::parse(&format!("{nth}p")).expect("a name"),
        video: match chance.below(3) {
            0 => RungVideo::Copy { instead: encoding(chance) },
            1 => RungVideo::Encode(encoding(chance)),
            _ => RungVideo::None,
        },
        has_audio: chance.one_in(2),
    });
    Begin {
        rungs: rungs.collect(),
        broadcast: broadcast(chance),
        segment: MediaSpan::from_secs(2),
        from: MediaSequence(chance.bits()),
        video: chance.one_in(2).then(video),
        audio: chance.one_in(2).then(audio),
    }
}

/// One SPS of four bytes and one PPS of one.
fn video() -> VideoConfig {
    let record = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 1, 0x68];
    VideoConfig::parse(record.to_vec().into()).expect("a record")
}

fn audio() -> AudioConfig {
    AudioConfig::parse(vec![0x11, 0x90].into()).expect("a record")
}
