//! A thousand who say nothing and a thousand who never stop talking, and a publisher among them.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod stage;

use node::settings::Number;
use stage::{ENCODE, SOURCE, Stage, ffmpeg, must_play};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const STRANGERS: usize = 1000;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A handshake, then bytes that are the beginning of a large message on ever another chunk stream.
fn talk(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    stream.write_all(&[3])?;
    stream.write_all(&[0; 1536])?;
    stream.write_all(&[0; 1536])?;
    for chunk_stream in 4..60_u8 {
        // fmt 0, a message of 8000 bytes, type 20 (command): 128 bytes of it.
        stream.write_all(&[chunk_stream, 0, 0, 0, 0, 0x1f, 0x40, 20, 0, 0, 0, 0])?;
        stream.write_all(&[0; 128])?;
    }
    Ok(())
}

#[test]
fn two_thousand_strangers_stay_within_their_bounds_and_a_publisher_publishes() {
    let stage = Stage::set(|settings| settings.connections = Number::new(2500));
    let before = resident_bytes();
    let idle: Vec<_> = (0..STRANGERS).map(|_| TcpStream::connect(stage.addresses.rtmp).unwrap()).collect();
    let mut talkers: Vec<_> =
        (0..STRANGERS).map(|_| TcpStream::connect(stage.addresses.rtmp).unwrap()).collect();
    // One that has been closed for what it said is as good as one that goes on.
    talkers.iter_mut().for_each(|talker| drop(talk(talker)));
    let looks = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        resident_bytes()
    });
    let grown = looks.max().unwrap_or_default().saturating_sub(before);
    println!("{} strangers: {} KiB each", 2 * STRANGERS, grown / (2 * STRANGERS) / 1024);
    assert!(
        grown <= 2 * STRANGERS * rtmp::HELD_BYTES_UNPUBLISHED,
        "{grown} bytes for {} strangers",
        2 * STRANGERS
    );

    let _publisher = ffmpeg(&format!("-re {SOURCE} -t 30 {ENCODE}"), &stage.url("tide"));
    stage.wait_segments("tide", 3);
    stage.with(|got| must_play(got, "tide"));

    // Who said nothing is closed: a handshake has 5 s.
    let until = Instant::now() + Duration::from_secs(30);
    for mut stream in idle {
        stream
            .set_read_timeout(Some(
                until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
            ))
            .unwrap();
        let mut byte = [0];
        assert!(matches!(stream.read(&mut byte), Ok(0)), "an idle stranger is still there");
    }
}

#[test]
fn one_connection_too_many_is_closed_and_the_others_go_on() {
    let stage = Stage::set(|settings| settings.connections = Number::new(3));
    let _publisher = ffmpeg(&format!("-re {SOURCE} -t 30 {ENCODE}"), &stage.url("tide"));
    stage.wait_segments("tide", 1);
    let mut held: Vec<_> = (0..3).map(|_| TcpStream::connect(stage.addresses.rtmp).unwrap()).collect();
    let mut refused = held.pop().unwrap();
    refused.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut byte = [0];
    // At once, not after the 5 s that a handshake has.
    assert!(matches!(refused.read(&mut byte), Ok(0) | Err(_)), "a fourth was let in");
    stage.wait_segments("tide", 3);
}
