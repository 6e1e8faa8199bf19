//! The chunk stream: sizes, headers that leave things out, time stamps past 24 bits, what is begun and given up.

use crate::visit::{conversation, plain};
use media::Track;
use rtmp::{ChunkWriter, HELD_BYTES_UNPUBLISHED, MessageKind, script};

suite! { conversation();

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

}
