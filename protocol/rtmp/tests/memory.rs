//! What a connection really takes from the allocator, against what it says and what it may.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use media::Track;
use rtmp::script;
use rtmp::{
    ChunkWriter, Conversation, Door, HELD_BYTES_PUBLISHING, HELD_BYTES_UNPUBLISHED, Limits, MessageKind,
    Output,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

/// Counts what this thread holds, and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new at once, as a reallocation that has to move does.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs the story with a fresh conversation, and after it, if there is more, the story of one who was accepted. Gives
/// the most it held, and checks its own account of it all along.
fn most_held(bytes: &[u8], accepted: Option<&[u8]>, cut: usize) -> isize {
    #[allow(clippy::disallowed_methods, reason = "a test has no caller to ask for the time")]
    let now = Instant::now();
    let before = HELD.get();
    MOST.set(before);
    let mut door = Conversation::new(Limits::default(), [0; 32], now);
    for piece in bytes.chunks(cut).chain(accepted.unwrap_or_default().chunks(cut)) {
        let told = door.push(piece, now);
        let (really, said) = (HELD.get() - before, door.held_bytes() as isize);
        // An error's text and the allocator's rounding are not in the account.
        assert!(really <= said + 1024, "holds {really} bytes and says {said}");
        while let Some(output) = door.pull() {
            if accepted.is_some() && matches!(output, Output::Publish(_)) {
                door.accept(now);
            }
        }
        if told.is_err() {
            assert!(accepted.is_none(), "{told:?}");
            break;
        }
    }
    let most = MOST.get() - before;
    drop(door);
    assert_eq!(HELD.get(), before, "something was leaked");
    most
}

/// The worst a stranger without a key has been seen to do.
fn greediest() -> Vec<Vec<u8>> {
    let chunks = ChunkWriter::default();
    let long_names = script::opening(
        &format!("live?{}", "a=%61&".repeat(330)),
        &format!("name?{}", "b=%62&".repeat(330)),
        &chunks,
    );
    // Just under the cap on chunk streams and on open messages, then pings.
    let mut open = long_names.clone();
    for stream in 4..64 {
        let message = script::message(MessageKind::CommandAmf0, 0, 0, vec![5; 250]);
        open.extend(chunks.chunks(stream, &message).next().into_iter().flatten());
    }
    let ping = script::message(MessageKind::UserControl, 0, 0, vec![0, 6, 1, 2, 3, 4]);
    (0..440).for_each(|_| chunks.write(2, &ping, &mut open));
    let mut single = script::handshake();
    chunks.write(3, &script::message(MessageKind::CommandAmf0, 0, 0, vec![5; 16 * 1024]), &mut single);
    vec![script::handshake(), long_names, open, single]
}

#[test]
fn a_stranger_holds_at_most_64_kib() {
    for (i, bytes) in greediest().iter().enumerate() {
        for cut in [1, 100, 4096, 65_536] {
            let most = most_held(bytes, None, cut);
            assert!(most <= HELD_BYTES_UNPUBLISHED as isize, "input {i} in pieces of {cut}: {most} bytes");
        }
    }
}

#[test]
fn who_is_connected_and_idle_holds_little() {
    let mut bytes = script::handshake();
    ChunkWriter::default().write(3, &script::connect("live"), &mut bytes);
    #[allow(clippy::disallowed_methods, reason = "a test has no caller to ask for the time")]
    let now = Instant::now();
    let before = HELD.get();
    let mut door = Conversation::new(Limits::default(), [0; 32], now);
    door.push(&bytes, now).unwrap();
    while door.pull().is_some() {}
    let held = HELD.get() - before + size_of::<Conversation>() as isize;
    // 10,000 of them in 512 MiB leaves 53,687 bytes each; sockets and tasks need the rest.
    assert!(held <= 2048, "{held} bytes");
}

#[test]
fn a_publisher_holds_at_most_32_mib() {
    let mut chunks = ChunkWriter::default();
    let opening = script::opening("live", "name", &chunks);
    let mut bytes = script::set_chunk_size(&mut chunks, 65_536);
    // Messages of 16 KiB less a byte on each of 60 chunk streams, over and over; then nine of them at 1 MiB less a byte.
    for (streams, len) in [(4..64, 16 * 1024), (4..13, 1 << 20)] {
        let rows: Vec<Vec<Vec<u8>>> = streams
            .map(|stream| {
                let message = script::media(Track::Video, 0, vec![7; len]);
                let mut row: Vec<_> = chunks.chunks(stream, &message).collect();
                let last = row.pop().unwrap();
                let (most, end) = last.split_at(last.len() - 1);
                row.extend([most.to_vec(), end.to_vec()]);
                row
            })
            .collect();
        // All but the last byte of each can stay open only if chunks may stop anywhere, so only the last stays so.
        for turn in 0..rows[0].len() - 2 {
            rows.iter().for_each(|row| bytes.extend(&row[turn]));
        }
        for row in &rows {
            bytes.extend(row[row.len() - 2..].concat());
        }
    }
    for cut in [1000, 65_536] {
        let most = most_held(&opening, Some(&bytes), cut);
        assert!(most <= HELD_BYTES_PUBLISHING as isize, "in pieces of {cut}: {most} bytes");
    }
    // Two-byte messages: what a push costs in entries, not in bytes.
    let mut crumbs = vec![4, 0, 0, 0, 0, 0, 1, 9, 1, 0, 0, 0, 7];
    crumbs.extend([0xc4, 7].repeat(100_000));
    let most = most_held(&opening, Some(&crumbs), 65_536);
    assert!(most <= HELD_BYTES_PUBLISHING as isize, "{most} bytes for crumbs");
}
