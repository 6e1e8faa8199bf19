//! What happens when the ring runs short: of buffers, and of room for completions.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;

/// A driver with `count` peers, each of which has said its number so many times.
fn crowd(driver: &mut Uring, count: u32, times: usize) -> Vec<UnixStream> {
    let mut peers = Vec::new();
    for index in 0..count {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        driver.attach(ConnectionId { index, generation: 0 }, ours.into(), Reading::Ahead).unwrap();
        theirs.write_all(&index.to_be_bytes().repeat(times)).unwrap();
        peers.push(theirs);
    }
    peers
}

/// Hears `bytes` of everybody. Gives buffers back when it has `kept` of them.
fn hear_all(driver: &mut Uring, bytes: usize, kept: usize) -> HashMap<u32, Vec<u8>> {
    let (mut heard, mut held, mut left) = (HashMap::new(), Vec::new(), bytes);
    let until = Instant::now() + Duration::from_secs(10);
    while left > 0 {
        assert!(Instant::now() < until, "{left} of {bytes} bytes have not been heard");
        driver.wait(Some(Duration::from_millis(10))).unwrap();
        while let Some(event) = driver.next() {
            let Event::Received { id, inbound } = event else { panic!("{event:?}") };
            let heard = heard.entry(id.index).or_insert_with(Vec::new);
            heard.extend_from_slice(driver.bytes(&inbound));
            left -= inbound.len as usize;
            held.push(inbound);
            if held.len() >= kept {
                held.drain(..).for_each(|it| driver.give_back(it));
            }
        }
    }
    heard
}

fn nothing_was_lost(heard: &HashMap<u32, Vec<u8>>, times: usize) {
    for (index, bytes) in heard {
        assert!(*bytes == index.to_be_bytes().repeat(times), "peer {index}");
    }
}

#[test]
fn who_finds_no_buffer_is_heard_when_there_is_one() {
    let mut driver = Uring::with(64, 4).unwrap();
    let peers = crowd(&mut driver, 30, 1);
    nothing_was_lost(&hear_all(&mut driver, 30 * 4, 4), 1);
    assert!(driver.shortages().0 > 0, "four buffers were enough for thirty peers");
    drop(peers);
}

#[test]
fn completions_for_which_there_is_no_room_are_not_lost() {
    // Room for 16 completions, and 40 peers with 32 buffers' worth each. Whether the ring says that it overflowed
    // depends on when the kernel puts down the rest, so that is not looked at.
    let mut driver = Uring::with(2, 1024).unwrap();
    let peers = crowd(&mut driver, 40, 16 * 1024);
    nothing_was_lost(&hear_all(&mut driver, 40 * 64 * 1024, 1), 16 * 1024);
    drop(peers);
}
