//! RTMP: the chunks, and the whole conversation.

use crate::Chance;
use media::Track;
use rtmp::script;
use rtmp::{
    Caps, ChunkReader, ChunkWriter, Conversation, Door, DoorError, Farewell, HELD_BYTES_PUBLISHING,
    HELD_BYTES_UNPUBLISHED, Limits, Message, MessageKind, Output,
};
use std::time::Instant;

/// The same messages come out however the bytes are cut, and no more is held than may be. The first byte says how
/// they are cut, and whose caps hold.
pub fn rtmp_chunks(bytes: &[u8]) {
    let Some((&cuts, bytes)) = bytes.split_first() else { return };
    let caps = if cuts & 1 == 0 { Caps::UNPUBLISHED } else { Caps::PUBLISHING };
    let read = |pieces: Pieces<'_>| {
        let mut reader = ChunkReader::new(caps);
        let mut messages = Vec::new();
        for mut piece in pieces {
            loop {
                match reader.read(&mut piece) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    // Which byte it is noticed at depends on the cut; what is noticed does not.
                    Err(error) => return (messages, Some(std::mem::discriminant(&error))),
                }
            }
            assert!(piece.is_empty(), "bytes left over");
            assert!(reader.held_bytes() <= caps.open_bytes + 64 * 128, "{} bytes held", reader.held_bytes());
        }
        (messages, None)
    };
    let whole = read(Pieces::new(bytes, None));
    let cut = read(Pieces::new(bytes, Some(u64::from(cuts))));
    assert!(whole == cut, "whole: {whole:?}\ncut: {cut:?}");
}

/// The same is understood however the bytes are cut, no more is held than may be, and it ends once. The handshake is
/// put in front (it is half of any conversation, and nothing is in it), unless the first byte says otherwise; the
/// first byte also says how they are cut.
pub fn rtmp_door(bytes: &[u8]) {
    let Some((&cuts, bytes)) = bytes.split_first() else { return };
    let with_handshake = cuts != 0;
    let byte_by_byte = Story::of(bytes.chunks(1), with_handshake);
    // Whoever publishes must wait for the answer, so a cut falls there.
    let (before, after) = bytes.split_at(byte_by_byte.asked_at.unwrap_or(0));
    let seed = u64::from(cuts);
    let cut =
        Story::of(Pieces::new(before, Some(seed)).chain(Pieces::new(after, Some(!seed))), with_handshake);
    // How many answers wait unsent does depend on the cut.
    let asked_too_much =
        |story: &Story| matches!(&story.farewell, Some(Farewell::Fault(DoorError::TooManyQuestions { .. })));
    if !asked_too_much(&byte_by_byte) && !asked_too_much(&cut) {
        assert!(byte_by_byte.agrees_with(&cut), "byte by byte: {byte_by_byte:?}\ncut: {cut:?}");
    }
}

/// What one conversation came to.
#[derive(Debug, Default)]
struct Story {
    asked_at: Option<usize>,
    media: Vec<(Track, u32, Vec<u8>)>,
    metadata: usize,
    farewell: Option<Farewell>,
}

impl Story {
    fn of<'a>(pieces: impl Iterator<Item = &'a [u8]>, with_handshake: bool) -> Self {
        let mut story = Self::default();
        let now = Instant::now();
        let mut door = Conversation::new(Limits::default(), [0; 32], now);
        if with_handshake {
            door.push(&script::handshake(), now).expect("a good handshake");
            story.pull(&mut door, now, 0);
        }
        let mut read = 0;
        for piece in pieces {
            read += piece.len();
            let told = door.push(piece, now);
            let most = if door.is_publishing() { HELD_BYTES_PUBLISHING } else { HELD_BYTES_UNPUBLISHED };
            // A publisher who has just been cut off may still have all it sent waiting.
            let most = if told.is_err() { HELD_BYTES_PUBLISHING } else { most };
            assert!(door.held_bytes() <= most, "{} bytes held", door.held_bytes());
            story.pull(&mut door, now, read);
            assert_eq!(told.is_err(), matches!(story.farewell, Some(Farewell::Fault(_))), "{told:?}");
            if story.farewell.is_some() {
                assert_eq!(door.push(piece, now), Ok(()));
                assert!(door.pull().is_none() && door.deadline().is_none(), "something after the farewell");
                break;
            }
        }
        story
    }

    fn pull(&mut self, door: &mut Conversation, now: Instant, read: usize) {
        while let Some(output) = door.pull() {
            assert!(self.farewell.is_none(), "{output:?} after the farewell");
            match output {
                Output::Send(bytes) => assert!(!bytes.is_empty()),
                Output::Publish(_) => {
                    assert!(self.asked_at.is_none(), "asked twice");
                    self.asked_at = Some(read);
                    door.accept(now);
                }
                Output::Media { track, timestamp_ms, body } => {
                    assert!(self.asked_at.is_some() && !body.is_empty());
                    self.media.push((track, timestamp_ms, body.to_vec()));
                }
                Output::Metadata(_) => self.metadata += 1,
                Output::Over(farewell) => self.farewell = Some(farewell),
            }
        }
    }

    fn agrees_with(&self, other: &Self) -> bool {
        // What a chunk error says of the byte depends on the cut.
        let kind = |story: &Self| match &story.farewell {
            Some(Farewell::Fault(DoorError::Chunk(error))) => format!("{:?}", std::mem::discriminant(error)),
            other => format!("{other:?}"),
        };
        self.media == other.media && self.metadata == other.metadata && kind(self) == kind(other)
    }
}

/// Bytes cut by chance, or whole.
struct Pieces<'a> {
    rest: &'a [u8],
    chance: Option<Chance>,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], cuts: Option<u64>) -> Self {
        Self { rest: bytes, chance: cuts.map(Chance::new) }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = match &mut self.chance {
            None => self.rest.len(),
            Some(chance) => {
                let most = 1 << chance.below(11);
                1 + chance.below(most)
            }
        };
        let (piece, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        (!piece.is_empty()).then_some(piece)
    }
}

/// What an encoder says after its handshake, and a byte in front.
pub fn good_conversation(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = vec![chance.byte() | 2];
    let mut chunks = if chance.one_in(4) { ChunkWriter::like_old_obs() } else { ChunkWriter::default() };
    if chance.one_in(64) {
        bytes = vec![0];
        bytes.extend(script::handshake());
    }
    let app = chance.pick(&["live", "live?user=1", "/live/", ""]);
    let name = chance.pick(&["name", "name?key=secret&token=%41", "a?b", ""]);
    for message in [
        script::connect(app),
        script::call("releaseStream", 2.0, Some(name)),
        script::call("FCPublish", 3.0, Some(name)),
        script::call("createStream", 4.0, None),
        script::publish(name),
    ] {
        if !chance.one_in(20) {
            chunks.write(3, &message, &mut bytes);
        }
    }
    messages(&mut chunks, &mut bytes, chance);
    bytes
}

/// What an encoder says once it publishes, and a byte in front.
pub fn good_chunks(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = vec![chance.byte()];
    let mut chunks = if chance.one_in(2) { ChunkWriter::like_old_obs() } else { ChunkWriter::default() };
    messages(&mut chunks, &mut bytes, chance);
    bytes
}

fn messages(chunks: &mut ChunkWriter, bytes: &mut Vec<u8>, chance: &mut Chance) {
    let mut time = chance.awkward(32);
    for _ in 0..chance.below(8) {
        time = time.wrapping_add(33);
        match chance.below(12) {
            0 => {
                let size = chance.pick(&[1, 2, 127, 128, 4096, 65_536, 0x00ff_ffff, 0x7fff_ffff]);
                bytes.extend(script::set_chunk_size(chunks, size));
            }
            1 => chunks.write(2, &control(chance), bytes),
            2 => chunks.write(3, &command(chance), bytes),
            3 => chunks.write(4, &script::metadata(), bytes),
            4 => chunks.write(4, &aggregate(time, chance), bytes),
            // Compressed headers, of a message on the chunk stream of the media before it.
            5 => {
                bytes.extend([0x84, 0, 0, 33]);
                bytes.extend(vec![0x27; chance.below(40)]);
            }
            6 => {
                let kind = 8 + chance.below(2) as u8;
                bytes.extend([0x44, 0, 0, 20, 0, 0, 5, kind, 0xaf, 1, 2, 3, 4]);
                bytes.extend([0xc4, 0xaf, 1, 2, 3, 4]);
            }
            7 => interleaved(chunks, bytes, time, chance),
            _ => chunks.write(4, &media(time, chance), bytes),
        }
    }
}

fn media(time: u32, chance: &mut Chance) -> Message {
    match chance.below(3) {
        0 => script::media(Track::Audio, time, script::aac_unit(chance.below(300))),
        _ => script::media(Track::Video, time, script::avc_unit(chance.one_in(2), 0, chance.below(700))),
    }
}

fn control(chance: &mut Chance) -> Message {
    let number = chance.awkward(32);
    match chance.below(4) {
        0 => script::control(MessageKind::Abort, 4 + chance.below(8) as u32),
        1 => script::control(MessageKind::WindowAcknowledgementSize, number),
        2 => script::control(MessageKind::Acknowledgement, number),
        _ => {
            let [a, b, c, d] = number.to_be_bytes();
            script::message(MessageKind::UserControl, 0, 0, vec![0, chance.pick(&[0, 3, 6, 7]), a, b, c, d])
        }
    }
}

fn command(chance: &mut Chance) -> Message {
    let name = chance.pick(&[
        "FCUnpublish",
        "deleteStream",
        "play",
        "publish",
        "connect",
        "createStream",
        "nonsense",
    ]);
    script::call(name, chance.below(9) as f64, Some("name"))
}

fn aggregate(time: u32, chance: &mut Chance) -> Message {
    let mut body = Vec::new();
    for i in 0..chance.below(4) as u32 {
        let inside = media(time.wrapping_add(i), chance);
        let [t3, t2, t1, t0] = inside.timestamp_ms.to_be_bytes();
        let [_, l2, l1, l0] = (inside.body.len() as u32).to_be_bytes();
        body.extend([inside.kind.id(), l2, l1, l0, t2, t1, t0, t3, 0, 0, 0]);
        body.extend(&inside.body);
        body.extend((inside.body.len() as u32 + 11).to_be_bytes());
    }
    script::message(MessageKind::Aggregate, 1, time, body)
}

/// Several messages on their own chunk streams, a chunk of each in turn.
fn interleaved(chunks: &ChunkWriter, bytes: &mut Vec<u8>, time: u32, chance: &mut Chance) {
    let messages: Vec<Message> = (0..2 + chance.below(4)).map(|_| media(time, chance)).collect();
    let rows: Vec<Vec<Vec<u8>>> = messages
        .iter()
        .enumerate()
        .map(|(i, message)| chunks.chunks(5 + i as u8, message).collect())
        .collect();
    for turn in 0..rows.iter().map(Vec::len).max().unwrap_or(0) {
        rows.iter().filter_map(|row| row.get(turn)).for_each(|chunk| bytes.extend(chunk));
    }
}
