//! What any [`Door`] must do with honest, awkward and hostile publishers. Generic over the implementation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use media::Track;
use rtmp::amf0::Writer;
use rtmp::script;
use rtmp::{
    COMMANDS_BEFORE_PUBLISH, ChunkWriter, Conversation, Door, Farewell, HELD_BYTES_PUBLISHING,
    HELD_BYTES_UNPUBLISHED, Limits, Message, MessageKind, Output, PublishRequest, Refusal,
};
use std::time::{Duration, Instant};

/// One run against one implementation: pushes in pieces, pulls after each, and keeps what came out.
struct Visit<D> {
    door: D,
    now: Instant,
    sent: Vec<u8>,
    asked: Option<Box<PublishRequest>>,
    media: Vec<(Track, u32, Vec<u8>)>,
    metadata: usize,
    over: Option<Farewell>,
    most_held: usize,
}

fn conversation() -> Visit<Conversation> {
    #[allow(clippy::disallowed_methods, reason = "a test has no caller to ask for the time")]
    let now = Instant::now();
    Visit::new(Conversation::new(Limits::default(), [9; 32], now), now)
}

impl<D: Door> Visit<D> {
    fn new(door: D, now: Instant) -> Self {
        let media = Vec::new();
        Self { door, now, sent: Vec::new(), asked: None, media, metadata: 0, over: None, most_held: 0 }
    }

    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        self.push_cut(bytes, 4096)
    }

    fn push_cut(&mut self, bytes: &[u8], cut: usize) -> &mut Self {
        for piece in bytes.chunks(cut) {
            let told = self.door.push(piece, self.now);
            self.most_held = self.most_held.max(self.door.held_bytes());
            self.pull();
            assert!(
                told.is_ok() || matches!(self.over, Some(Farewell::Fault(_))),
                "{told:?}, {:?}",
                self.over
            );
        }
        self
    }

    fn pull(&mut self) {
        while let Some(output) = self.door.pull() {
            assert!(self.over.is_none(), "{output:?} after the farewell");
            match output {
                Output::Send(bytes) => self.sent.extend(bytes),
                Output::Publish(request) => self.asked = Some(request),
                Output::Media { track, timestamp_ms, body } => {
                    self.media.push((track, timestamp_ms, body.to_vec()))
                }
                Output::Metadata(_) => self.metadata += 1,
                Output::Over(farewell) => self.over = Some(farewell),
            }
        }
    }

    fn messages(&mut self, chunks: &ChunkWriter, messages: &[Message]) -> &mut Self {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| chunks.write(4, message, &mut bytes));
        self.push(&bytes)
    }

    fn publish(&mut self, chunks: &ChunkWriter) -> &mut Self {
        self.push(&script::opening("live", "tidal-bore?key=secret", chunks));
        assert!(self.asked.is_some(), "nobody asked: {:?}", self.over);
        self.door.accept(self.now);
        self.pull();
        self
    }

    fn after(&mut self, wait: Duration) -> &mut Self {
        self.now += wait;
        if self.door.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.door.expired(self.now);
        }
        self.pull();
        self
    }

    fn fault(&self) -> String {
        match &self.over {
            Some(Farewell::Fault(error)) => error.to_string(),
            other => panic!("no fault but {other:?}"),
        }
    }

    /// The body of each command we sent that has this name.
    fn was_told(&self, text: &str) -> bool {
        self.sent.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

fn plain() -> ChunkWriter {
    ChunkWriter::default()
}

/// The suite, once for each implementation there is.
macro_rules! suite {
    ($open:expr; $($(#[$doc:meta])* fn $name:ident($visit:ident) $story:block)*) => {
        $($(#[$doc])* #[test] fn $name() { let mut $visit = $open; $story })*
    };
}

suite! { conversation();

fn a_publish_is_asked_accepted_and_heard(visit) {
    visit.publish(&plain());
    let asked = visit.asked.take().unwrap();
    assert_eq!((asked.app.name.as_str(), asked.name.reveal()), ("live", "tidal-bore"));
    assert_eq!(asked.query.value("key").unwrap().reveal(), "secret");
    assert_eq!(asked.tc_url.unwrap().reveal(), "rtmp://127.0.0.11:1935/live");
    assert!(visit.was_told("NetConnection.Connect.Success") && visit.was_told("NetStream.Publish.Start"));
    let sound = script::media(Track::Audio, 21, script::aac_unit(200));
    let picture = script::media(Track::Video, 33, script::avc_unit(true, 0, 5000));
    visit.messages(&plain(), &[script::metadata(), sound.clone(), picture.clone()]);
    assert_eq!(visit.media, [(Track::Audio, 21, sound.body.to_vec()), (Track::Video, 33, picture.body.to_vec())]);
    assert_eq!(visit.metadata, 1);
    visit.messages(&plain(), &[script::call("FCUnpublish", 5.0, Some("tidal-bore"))]);
    assert_eq!(visit.over, Some(Farewell::Unpublished));
}

fn it_does_not_matter_how_the_bytes_are_cut(visit) {
    let mut bytes = script::opening("live", "name", &plain());
    visit.push_cut(&bytes, 1);
    visit.door.accept(visit.now);
    visit.pull();
    bytes.clear();
    let picture = script::media(Track::Video, 0x0123_4567, script::avc_unit(true, 0, 700));
    plain().write(6, &picture, &mut bytes);
    for cut in 1..bytes.len() {
        visit.push_cut(&bytes, cut);
        assert_eq!(visit.media.pop(), Some((Track::Video, 0x0123_4567, picture.body.to_vec())), "cut at {cut}");
    }
}

fn chunk_sizes_from_1_to_16_mib_are_read(visit) {
    visit.publish(&plain());
    let picture = script::media(Track::Video, 40, script::avc_unit(true, 0, 300_000));
    let mut chunks = plain();
    for size in [1, 128, 4096, 65_536, 0x00ff_ffff, 0x7fff_ffff] {
        let mut bytes = Vec::new();
        plain().write(2, &script::control(MessageKind::SetChunkSize, size), &mut bytes);
        // Announced in chunks of the size before: a control message is longer than 1.
        if size == 128 {
            bytes = script::set_chunk_size(&mut chunks, 128);
        }
        chunks.set_chunk_size(size);
        chunks.write(4, &picture, &mut bytes);
        visit.push_cut(&bytes, 65_536);
        assert_eq!(visit.media.pop().map(|(_, _, body)| body), Some(picture.body.to_vec()), "chunk size {size}");
    }
    assert_eq!(visit.over, None);
}

fn a_chunk_size_of_nothing_is_a_fault(visit) {
    visit.publish(&plain()).messages(&plain(), &[script::control(MessageKind::SetChunkSize, 0)]);
    assert!(visit.fault().contains("chunk size Some(0)"), "{}", visit.fault());
}

fn a_chunk_size_with_the_forbidden_bit_is_a_fault(visit) {
    visit.publish(&plain()).messages(&plain(), &[script::control(MessageKind::SetChunkSize, 0x8000_0000)]);
    assert!(visit.fault().contains("2147483648"), "{}", visit.fault());
}

/// Hostile input 1: 101 KB of nested arrays in one command, before any authentication.
fn nested_arrays_are_refused_before_they_are_read(visit) {
    let mut body = Writer::new().text("connect").bytes().to_vec();
    body.extend([0x0a, 0, 0, 0, 1].repeat(20_200));
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, body)]);
    assert!(visit.fault().contains("message of 101010 bytes, at most 16384"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

/// … and 15 KB of them, which is read.
fn nested_arrays_that_fit_are_refused_at_depth_17(visit) {
    let mut body = Writer::new().text("connect").number(1.0).bytes().to_vec();
    body.push(0x03);
    body.extend([0, 1, b'a', 0x0a, 0, 0, 0, 1]);
    body.extend([0x0a, 0, 0, 0, 1].repeat(3000));
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, body)]);
    assert!(visit.fault().contains("nests deeper than 16"), "{}", visit.fault());
}

/// Hostile input 2: chunk streams interleaved, 64 of them, each with its own message.
fn sixty_four_chunk_streams_may_be_interleaved(visit) {
    visit.publish(&plain());
    // Chunk stream 2 and 3 are known from the opening; 62 more make the bound.
    let messages: Vec<_> = (0..61_u32)
        .map(|i| script::media(Track::Video, i, vec![i as u8 + 1; 500 + i as usize]))
        .collect();
    let rows: Vec<Vec<Vec<u8>>> =
        messages.iter().enumerate().map(|(i, m)| plain().chunks(3 + i as u8, m).collect()).collect();
    let mut bytes = Vec::new();
    for turn in 0..rows.iter().map(Vec::len).max().unwrap() {
        rows.iter().filter_map(|row| row.get(turn)).for_each(|chunk| bytes.extend(chunk));
    }
    visit.push(&bytes);
    visit.media.sort_by_key(|(_, timestamp, _)| *timestamp);
    let expected: Vec<_> = messages.iter().map(|m| (Track::Video, m.timestamp_ms, m.body.to_vec())).collect();
    assert!(visit.media == expected, "{:?} and {} of 61 messages", visit.over, visit.media.len());
}

fn one_chunk_stream_too_many_is_a_fault(visit) {
    visit.push(&script::handshake());
    // One byte of a long message on each of 65 chunk streams, by the two-byte basic header.
    for stream in 0..65_u8 {
        visit.push(&[0, stream, 0, 0, 0, 0, 0, 200, 20, 0, 0, 0, 0]);
        visit.push(&[5; 128]);
    }
    assert!(visit.fault().contains("one more than the 64"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED, "{} bytes held", visit.most_held);
}

fn open_messages_are_bounded_together(visit) {
    visit.push(&script::handshake());
    // 15 KiB each, all but the last byte.
    let body = vec![5; 15 * 1024];
    for stream in 3..8 {
        let message = script::message(MessageKind::CommandAmf0, 0, 0, body.clone());
        let chunks: Vec<_> = plain().chunks(stream, &message).collect();
        visit.push(&chunks[..chunks.len() - 1].concat());
    }
    assert!(visit.fault().contains("at most 16384 are kept"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED, "{} bytes held", visit.most_held);
}

fn open_messages_of_a_publisher_are_bounded_too(visit) {
    visit.publish(&plain());
    let mut chunks = plain();
    visit.push(&script::set_chunk_size(&mut chunks, 65_536));
    let body = vec![5; 5 << 20];
    for stream in 4..10 {
        let message = script::message(MessageKind::Video, 1, 0, body.clone());
        let rows: Vec<_> = chunks.chunks(stream, &message).collect();
        visit.push_cut(&rows[..rows.len() - 1].concat(), 65_536);
    }
    assert!(visit.fault().contains("at most 10485760 are kept"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_PUBLISHING, "{} bytes held", visit.most_held);
}

/// Hostile input 3: 16 MB of 1-byte nulls.
fn sixteen_megabytes_of_nulls_are_refused_at_the_header(visit) {
    let mut body = Writer::new().text("connect").number(1.0).bytes().to_vec();
    body.resize(16_000_000, 5);
    visit.push(&script::handshake());
    let message = script::message(MessageKind::CommandAmf0, 0, 0, body);
    visit.messages(&plain(), std::slice::from_ref(&message));
    assert!(visit.fault().contains("message of 16000000 bytes"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

/// … and 64 KiB of them from somebody who publishes.
fn nulls_of_a_publisher_are_counted(visit) {
    let mut body = Writer::new().text("publish").number(1.0).bytes().to_vec();
    body.resize(64 * 1024 + 1, 5);
    visit.publish(&plain()).messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, body)]);
    assert!(visit.fault().contains("AMF0 of 65537 bytes"), "{}", visit.fault());
    assert!(visit.most_held < 1 << 20, "{} bytes held", visit.most_held);
}

/// Hostile input 4: commands with fewer than three values, and a lone `@setDataFrame`.
fn commands_with_too_few_values_and_a_lone_set_data_frame(visit) {
    let only = |name: &str| {
        let mut body = Writer::new();
        body.text(name);
        body.into_bytes()
    };
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::connect("live")]);
    for name in ["createStream", "releaseStream", "FCPublish", "deleteStream", "nonsense", "@setDataFrame", ""] {
        visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, only(name))]);
        assert_eq!(visit.over, None, "{name}");
    }
    visit.messages(&plain(), &[script::publish("name")]);
    visit.door.accept(visit.now);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, only("@setDataFrame"))]);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, vec![])]);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, vec![0x11, 0x22])]);
    assert_eq!((visit.over.clone(), visit.metadata), (None, 0));
    visit.messages(&plain(), &[script::message(MessageKind::CommandAmf0, 0, 0, only("publish"))]);
    assert!(matches!(visit.over, Some(Farewell::Refused(_))), "{:?}", visit.over);
}

fn a_publish_without_a_name_is_refused_in_words(visit) {
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::connect("live"), script::publish("")]);
    assert!(matches!(visit.over, Some(Farewell::Refused(_))) && visit.was_told("no stream name"), "{:?}", visit.over);
}

/// Hostile input 5: Date, LongString, Reference and XML; neither they nor what stood before them is lost.
fn unusual_values_do_no_harm(visit) {
    let mut odd = vec![0x0b];
    odd.extend(0.0_f64.to_be_bytes());
    odd.extend([0, 0]);
    odd.extend([0x0c, 0, 0, 0, 1, b'l', 0x07, 0, 0, 0x0f, 0, 0, 0, 1, b'x']);
    let mut connect = Writer::new().text("connect").number(1.0).bytes().to_vec();
    connect.push(3);
    for (key, value) in [("date", &odd[..11]), ("long", &odd[11..17]), ("ref", &odd[17..20]), ("xml", &odd[20..])] {
        connect.extend((key.len() as u16).to_be_bytes());
        connect.extend(key.as_bytes());
        connect.extend(value);
    }
    connect.extend([0, 3, b'a', b'p', b'p', 2, 0, 4, b'l', b'i', b'v', b'e', 0, 0, 9]);
    let mut metadata = Writer::new().text("onMetaData").bytes().to_vec();
    metadata.extend([8, 0, 0, 0, 1, 0, 1, b'd']);
    metadata.extend(&odd[..11]);
    metadata.extend([0, 0, 9]);
    visit.push(&script::handshake());
    let connect = script::message(MessageKind::CommandAmf0, 0, 0, connect);
    visit.messages(&plain(), &[connect, script::publish("name")]);
    assert!(visit.asked.is_some(), "{:?}", visit.over);
    visit.door.accept(visit.now);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, metadata)]);
    visit.messages(&plain(), &[script::message(MessageKind::DataAmf0, 1, 0, [&[2, 0, 1, b'x'][..], &odd].concat())]);
    visit.messages(&plain(), &[script::media(Track::Audio, 0, script::aac_unit(10))]);
    assert_eq!((visit.over.clone(), visit.metadata, visit.media.len()), (None, 1, 1));
}

/// Hostile input 6: Abort in mid-message, then the next message on the same chunk stream.
fn an_abort_forgets_what_was_begun(visit) {
    visit.publish(&plain());
    let lost = script::media(Track::Video, 10, vec![1; 400]);
    let kept = script::media(Track::Video, 20, vec![2; 400]);
    let chunks: Vec<_> = plain().chunks(6, &lost).collect();
    visit.push(&chunks[..2].concat());
    let mut bytes = Vec::new();
    plain().write(2, &script::control(MessageKind::Abort, 6), &mut bytes);
    plain().write(2, &script::control(MessageKind::Abort, 60), &mut bytes);
    plain().write(6, &kept, &mut bytes);
    visit.push(&bytes);
    assert_eq!(visit.media, [(Track::Video, 20, vec![2; 400])]);
    assert_eq!(visit.over, None);
}

fn an_abort_gives_back_what_it_held(visit) {
    visit.push(&script::handshake());
    for _ in 0..20 {
        let message = script::message(MessageKind::CommandAmf0, 0, 0, vec![5; 15 * 1024]);
        let chunks: Vec<_> = plain().chunks(6, &message).collect();
        visit.push(&chunks[..chunks.len() - 1].concat());
        visit.messages(&plain(), &[script::control(MessageKind::Abort, 6)]);
    }
    assert_eq!(visit.over, None);
    assert!(visit.door.held_bytes() < 2048, "{} bytes held", visit.door.held_bytes());
}

/// Hostile input 6, second half: aggregate messages are split, whole or not.
fn an_aggregate_is_split(visit) {
    let tag = |kind: u8, timestamp: u8, body: &[u8]| {
        let mut tag = vec![kind, 0, 0, body.len() as u8, 0, 0, timestamp, 0, 0, 0, 0];
        tag.extend(body);
        tag.extend([0, 0, 0, body.len() as u8 + 11]);
        tag
    };
    let body = [tag(8, 5, b"sound"), tag(9, 7, b"picture"), tag(22, 9, b"not again")].concat();
    visit.publish(&plain());
    visit.messages(&plain(), &[script::message(MessageKind::Aggregate, 1, 1000, body.clone())]);
    assert_eq!(visit.media, [(Track::Audio, 1000, b"sound".to_vec()), (Track::Video, 1002, b"picture".to_vec())]);
    visit.messages(&plain(), &[script::message(MessageKind::Aggregate, 1, 1000, body[..25].to_vec())]);
    assert!(visit.fault().contains("aggregate message of 25 bytes"), "{}", visit.fault());
}

/// Hostile input 7: type 3 chunks with and without the extended time stamp, past 4 h 39 min and over 2^32.
fn continuations_with_and_without_extended_timestamps(visit) {
    visit.publish(&plain());
    for chunks in [ChunkWriter::default(), ChunkWriter::like_old_obs()] {
        for timestamp in [0x00ff_fffe, 0x00ff_ffff, 0x0100_0000, 0x7fff_ffff, 0xffff_ffff, 0, 33] {
            // A body that looks like the beginning of the time stamp wherever a chunk begins.
            let mut body = vec![0x5a; 700];
            for at in [128, 256, 384, 512, 640] {
                body[at..at + 3].copy_from_slice(&u32::to_be_bytes(timestamp)[..3]);
            }
            let picture = script::media(Track::Video, timestamp, body);
            let mut bytes = Vec::new();
            chunks.write(6, &picture, &mut bytes);
            for cut in [1, 2, 3, 131, 4096] {
                visit.push_cut(&bytes, cut);
                let told = visit.media.pop();
                let expected = Some((Track::Video, timestamp, picture.body.to_vec()));
                assert!(told == expected, "{timestamp:#x} cut {cut}: {:?}", told.map(|t| (t.1, t.2.len())));
            }
        }
    }
    assert_eq!(visit.over, None);
}

fn a_chunk_size_of_1_without_extended_timestamps(visit) {
    visit.publish(&plain());
    let mut chunks = ChunkWriter::like_old_obs();
    visit.push(&script::set_chunk_size(&mut chunks, 1));
    let picture = script::media(Track::Video, 0x0100_0000, (0..200).map(|i| i as u8 | 2).collect());
    for cut in [1, 7, 4096] {
        let mut bytes = Vec::new();
        chunks.write(6, &picture, &mut bytes);
        visit.push_cut(&bytes, cut);
        assert_eq!(visit.media.pop(), Some((Track::Video, 0x0100_0000, picture.body.to_vec())), "cut {cut}");
    }
}

/// What was taken for a repeated time stamp and is not may be the last of one body and the header of the next.
fn a_body_that_almost_looks_like_a_timestamp(visit) {
    visit.publish(&plain());
    let mut chunks = ChunkWriter::like_old_obs();
    visit.push(&script::set_chunk_size(&mut chunks, 1));
    // On the wire, after each 0xc6 header: 01 c6 01 …; the time stamp is 01 c6 55 55.
    // (At the very end it would be waited for.)
    let picture = script::media(Track::Video, 0x01c6_5555, [vec![1; 50], vec![2]].concat());
    for cut in [1, 2, 3, 4096] {
        let mut bytes = Vec::new();
        chunks.write(6, &picture, &mut bytes);
        visit.push_cut(&bytes, cut);
        assert_eq!(visit.media.pop(), Some((Track::Video, 0x01c6_5555, picture.body.to_vec())), "cut {cut}");
    }
}

/// A type 1 header with an extended delta: some repeat the delta in continuations, some the time it comes to.
fn a_continuation_may_repeat_the_delta_or_the_time(visit) {
    visit.publish(&plain());
    for repeated in [0x0100_0000_u32, 0x0100_0064] {
        visit.push(&[4, 0, 0, 100, 0, 0, 1, 9, 1, 0, 0, 0, 7]);
        visit.push(&[0x44, 0xff, 0xff, 0xff, 0, 0, 200, 9, 1, 0, 0, 0]).push(&[5; 128]);
        visit.push(&[0xc4]).push(&repeated.to_be_bytes()).push(&[6; 72]);
        let body = [vec![5; 128], vec![6; 72]].concat();
        assert_eq!(visit.media.pop(), Some((Track::Video, 0x0100_0064, body)), "{repeated:#x}");
    }
}

/// Type 1, 2 and 3 headers add up, and wrap at 2^32.
fn compressed_headers_add_up(visit) {
    visit.publish(&plain());
    visit.push(&[4, 0xff, 0xff, 0xff, 0, 0, 2, 9, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0, b'a', b'a']);
    visit.push(&[0x44, 0, 0, 8, 0, 0, 1, 8, b'b']);
    visit.push(&[0x84, 0, 0, 9, b'c']);
    visit.push(&[0xc4, b'd']);
    let told: Vec<_> = visit.media.iter().map(|(track, timestamp, body)| (*track, *timestamp, body[0])).collect();
    let sound = Track::Audio;
    assert_eq!(told, [
        (Track::Video, 0xffff_fff0, b'a'), (sound, 0xffff_fff8, b'b'), (sound, 1, b'c'), (sound, 10, b'd'),
    ]);
}

fn a_continuation_of_nothing_is_a_fault(visit) {
    visit.push(&script::handshake()).push(&[0xc7, 1, 2, 3, 4]);
    assert!(visit.fault().contains("chunk stream 7 continues"), "{}", visit.fault());
}

fn a_header_inside_a_message_is_a_fault(visit) {
    visit.publish(&plain());
    let picture = script::media(Track::Video, 0, vec![0; 300]);
    let first = plain().chunks(6, &picture).next().unwrap();
    visit.push(&first).push(&first);
    assert!(visit.fault().contains("172 bytes of the last one missing"), "{}", visit.fault());
}

/// librtmp's first word on chunk stream 2 has no stream id.
fn a_type_1_header_may_be_the_first_of_its_chunk_stream(visit) {
    visit.push(&script::handshake()).push(&[0x42, 0, 0, 0, 0, 0, 4, 5, 0, 0x26, 0x25, 0xa0]);
    assert_eq!(visit.over, None);
}

/// Hostile input 8: what `connect` says, and that it is answered honestly.
fn connect_fields_surface(visit) {
    let mut body = Writer::new();
    body.text("connect").number(1.0).object().key("app").text("live?user=1").key("tcUrl").text("rtmp://h/live?user=1");
    body.key("fourCcList").array(2).text("hvc1").text("Opus").end();
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::command(body), script::publish("key?key=s3cret&token=t%31")]);
    let asked = visit.asked.take().unwrap();
    assert_eq!((asked.app.name.as_str(), asked.app.query.value("user").unwrap().reveal()), ("live", "1"));
    assert_eq!(asked.query.value("token").unwrap().reveal(), "t1");
    assert_eq!(format!("{:?}", asked.four_cc_list), "Some([hvc1, Opus])");
    assert!(visit.was_told("fourCcList\x0a\0\0\0\0"), "the list of codecs we take by FourCC is empty, and said");
    let told = format!("{asked:?}");
    assert!(!told.contains("s3cret") && !told.contains("rtmp://"), "{told}");
}

fn a_key_of_1_kib_is_handled(visit) {
    let key = "k".repeat(1024);
    visit.push(&script::opening("live", &format!("name?key={key}"), &plain()));
    assert_eq!(visit.asked.as_ref().unwrap().query.value("key").unwrap().reveal(), key);
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

fn a_wrong_key_is_refused_before_any_media(visit) {
    visit.push(&script::opening("live", "name?key=wrong", &plain()));
    visit.door.refuse(Refusal::unauthorized());
    visit.pull();
    assert!(visit.was_told("NetStream.Publish.Unauthorized") && !visit.was_told("wrong"));
    visit.messages(&plain(), &[script::media(Track::Video, 0, vec![1])]);
    assert!(visit.media.is_empty());
    assert_eq!(visit.over, Some(Farewell::Refused(Refusal::unauthorized())));
}

fn a_codec_nobody_takes_is_refused_by_name(visit) {
    visit.publish(&plain());
    visit.door.refuse(Refusal::unsupported_codec("HEVC"));
    visit.pull();
    assert!(visit.was_told("HEVC is not taken here"));
    assert!(matches!(visit.over, Some(Farewell::Refused(_))));
}

fn media_before_an_accepted_publish_is_a_fault(visit) {
    visit.push(&script::opening("live", "name", &plain()));
    visit.messages(&plain(), &[script::media(Track::Video, 0, vec![1])]);
    assert_eq!(visit.fault(), "media before a publish was accepted");
    assert!(visit.media.is_empty());
}

fn a_viewer_is_told_where_to_go(visit) {
    visit.push(&script::handshake());
    visit.messages(&plain(), &[script::connect("live"), script::call("play", 0.0, Some("name"))]);
    assert!(visit.was_told("NetStream.Play.Failed") && visit.was_told("watched over HTTP"));
    assert!(matches!(visit.over, Some(Farewell::Refused(_))));
}

fn a_second_publish_on_the_same_connection_is_refused(visit) {
    visit.publish(&plain()).messages(&plain(), &[script::publish("other")]);
    assert!(visit.was_told("NetStream.Publish.BadName"));
    assert!(matches!(visit.over, Some(Farewell::Refused(_))));
}

fn a_connect_to_nothing_is_refused(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::connect("/?a=b")]);
    assert!(visit.was_told("NetConnection.Connect.InvalidApp"));
}

fn publish_before_connect_is_a_fault(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::publish("name")]);
    assert!(visit.fault().contains("before connect"), "{}", visit.fault());
}

fn commands_without_end_are_a_fault(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::connect("live")]);
    for _ in 1..COMMANDS_BEFORE_PUBLISH {
        visit.messages(&plain(), &[script::call("createStream", 2.0, None)]);
        assert_eq!(visit.over, None);
    }
    visit.messages(&plain(), &[script::call("createStream", 2.0, None)]);
    assert!(visit.fault().contains("more than 64 commands"), "{}", visit.fault());
}

fn pings_are_answered_and_too_many_at_once_are_a_fault(visit) {
    let ping = script::message(MessageKind::UserControl, 0, 0, vec![0, 6, 1, 2, 3, 4]);
    visit.push(&script::handshake());
    visit.sent.clear();
    visit.messages(&plain(), std::slice::from_ref(&ping));
    assert_eq!(visit.sent, [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4]);
    let mut flood = Vec::new();
    (0..1000).for_each(|_| plain().write(2, &ping, &mut flood));
    visit.push_cut(&flood, 65_536);
    assert!(visit.fault().contains("answers of"), "{}", visit.fault());
    assert!(visit.most_held <= HELD_BYTES_UNPUBLISHED);
}

/// The count is of all bytes received so far, handshake included, once per window.
fn acknowledgements_say_how_much_was_received(visit) {
    visit.publish(&plain());
    let window = script::control(MessageKind::WindowAcknowledgementSize, 10_000);
    visit.messages(&plain(), &[window]);
    visit.sent.clear();
    let opening = script::opening("live", "tidal-bore?key=secret", &plain()).len() + 16;
    let mut bytes = Vec::new();
    plain().write(6, &script::media(Track::Video, 0, vec![0; 20_000]), &mut bytes);
    // Nothing was acknowledged yet, so what came before counts towards the first window.
    let wanted = 10_000 - opening;
    visit.push_cut(&bytes[..wanted - 1], wanted);
    assert!(visit.sent.is_empty());
    visit.push_cut(&bytes[wanted - 1..wanted], 1);
    assert_eq!(visit.sent, [2, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0x27, 0x10]);
}

fn a_slow_handshake_ends_at_5_s_however_it_drips(visit) {
    for byte in script::handshake().iter().take(9) {
        visit.push(&[*byte]).after(Duration::from_millis(500));
        assert_eq!(visit.over, None);
    }
    visit.after(Duration::from_millis(500));
    assert_eq!(visit.over, Some(Farewell::HandshakeTooSlow(Duration::from_secs(5))));
}

fn who_publishes_nothing_is_gone_at_10_s_whatever_else_they_say(visit) {
    visit.push(&script::handshake()).messages(&plain(), &[script::connect("live")]);
    for _ in 0..9 {
        visit.after(Duration::from_secs(1)).messages(&plain(), &[script::call("createStream", 2.0, None)]);
        assert_eq!(visit.over, None);
    }
    visit.after(Duration::from_secs(1));
    assert_eq!(visit.over, Some(Farewell::NothingPublished(Duration::from_secs(10))));
}

fn a_publisher_is_silent_after_5_s_without_a_byte(visit) {
    visit.publish(&plain());
    for _ in 0..3 {
        visit.after(Duration::from_millis(4900)).messages(&plain(), &[script::media(Track::Audio, 0, vec![0xaf])]);
        assert_eq!(visit.over, None);
    }
    visit.after(Duration::from_secs(5));
    assert_eq!(visit.over, Some(Farewell::Silent(Duration::from_secs(5))));
    assert_eq!(visit.door.deadline(), None);
}

fn a_caller_who_never_pulls_is_stopped(visit) {
    visit.publish(&plain());
    let mut bytes = Vec::new();
    plain().write(6, &script::media(Track::Video, 0, vec![0; 60_000]), &mut bytes);
    let mut pushed = 0;
    while visit.door.push(&bytes, visit.now).is_ok() {
        pushed += bytes.len();
        assert!(pushed < 20 << 20 && visit.door.held_bytes() <= HELD_BYTES_PUBLISHING);
    }
    visit.pull();
    assert!(visit.fault().contains("wait to be pulled"), "{}", visit.fault());
    assert!(visit.door.held_bytes() < 4096, "{} bytes held after the end", visit.door.held_bytes());
}

fn nothing_comes_after_the_farewell(visit) {
    visit.publish(&plain()).messages(&plain(), &[script::call("deleteStream", 0.0, None)]);
    assert_eq!(visit.over, Some(Farewell::Unpublished));
    let now = visit.now + Duration::from_secs(60);
    visit.door.refuse(Refusal::in_use());
    visit.door.accept(now);
    visit.door.expired(now);
    visit.door.push(&[0xff; 100], now).unwrap();
    assert!(visit.door.pull().is_none() && visit.door.deadline().is_none());
}

fn another_protocol_is_named(visit) {
    visit.push(b"\x16\x03\x01\x02\x00");
    assert!(visit.fault().contains("TLS"), "{}", visit.fault());
}

}
