//! How many Gbit/s one core reads, with every guard on.
//!
//! ```text
//! cargo run --release -p rtmp --example throughput
//! ```
//!
//! A broadcast of 30 pictures and 47 sounds a second, one picture in 60 six times as large, read in pushes of 64 KiB:
//! first by the chunk reader alone, then by the whole conversation, pulled after each push.

use media::Track;
use rtmp::{Caps, ChunkReader, ChunkWriter, Conversation, Door, Limits, Output, PUSH_BYTES, script};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each row runs.
const RUN: Duration = Duration::from_millis(700);

fn main() {
    println!(
        "{:>10} {:>12} {:>12} {:>14} {:>14}",
        "chunk size", "picture", "messages/s", "chunk reader", "conversation"
    );
    for (chunk_size, picture_bytes) in
        [(128, 25_000), (4096, 2500), (4096, 25_000), (60_000, 25_000), (65_536, 100_000)]
    {
        let bytes = broadcast(chunk_size, picture_bytes);
        let (reader, messages) = measure(bytes.len(), || read(&bytes));
        let (whole, _) = measure(bytes.len(), || converse(&bytes));
        println!(
            "{chunk_size:>10} {picture_bytes:>10} B {:>10.2} M {reader:>7.1} Gbit/s {whole:>7.1} Gbit/s",
            messages / 1e6
        );
    }
}

/// About 4 MiB of it, which stays in the cache, as what a socket has just written does.
fn broadcast(chunk_size: u32, picture_bytes: usize) -> Vec<u8> {
    let mut chunks = ChunkWriter::default();
    let mut bytes = script::set_chunk_size(&mut chunks, chunk_size);
    let mut i = 0;
    while bytes.len() < 4 << 20 {
        let size = if i % 60 == 0 { 6 * picture_bytes } else { picture_bytes };
        chunks.write(
            6,
            &script::media(Track::Video, i * 33, script::avc_unit(i % 60 == 0, 0, size)),
            &mut bytes,
        );
        chunks.write(4, &script::media(Track::Audio, i * 33, script::aac_unit(350)), &mut bytes);
        i += 1;
    }
    bytes
}

#[allow(clippy::disallowed_methods, reason = "a bench is its own caller, and has a clock")]
fn measure(len: usize, mut once: impl FnMut() -> usize) -> (f64, f64) {
    let began = Instant::now();
    let (mut times, mut messages) = (0_usize, 0_usize);
    while began.elapsed() < RUN {
        messages += once();
        times += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    ((times * len) as f64 * 8.0 / 1e9 / seconds, messages as f64 / seconds)
}

fn read(bytes: &[u8]) -> usize {
    let mut reader = ChunkReader::new(Caps::PUBLISHING);
    let mut messages = 0;
    for mut piece in bytes.chunks(PUSH_BYTES) {
        while let Some(message) = reader.read(&mut piece).expect("good chunks") {
            black_box(&message.body);
            messages += 1;
        }
    }
    messages
}

#[allow(clippy::disallowed_methods, reason = "a bench is its own caller, and has a clock")]
fn converse(bytes: &[u8]) -> usize {
    let now = Instant::now();
    let mut door = Conversation::new(Limits::default(), [0; 32], now);
    door.push(&script::opening("live", "name", &ChunkWriter::default()), now).expect("a good opening");
    let mut messages = 0;
    while door.pull().is_some() {}
    door.accept(now);
    for piece in bytes.chunks(PUSH_BYTES) {
        door.push(piece, now).expect("a good broadcast");
        while let Some(output) = door.pull() {
            messages += usize::from(matches!(black_box(output), Output::Media { .. }));
        }
    }
    messages
}
