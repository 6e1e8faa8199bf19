//! What is asked is answered: exactly, in order, to everybody.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use percore::{Config, DataPath, Inode, InodeStore};

#[test]
fn a_line_is_answered_and_another_on_the_same_connection() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        ask(&mut peer, "echo one\n", "one\n");
        ask(&mut peer, "echo two\n", "two\n");
        peer.write_all(b"ec").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        ask(&mut peer, "ho in pieces\n", "in pieces\n");
        assert_eq!(lit.running.counters().total.accepted, 1);
        lit.stop();
    });
}

#[test]
fn the_driver_that_was_asked_for_runs() {
    on_each_driver(|config| {
        let asked = config.driver;
        let lit = lines(config);
        let name = lit.running.counters().driver.name;
        assert_eq!(name, if asked == percore::Driver::Epoll { "epoll" } else { "io_uring" });
        lit.stop();
    });
}

#[test]
fn pipelined_lines_are_answered_in_order_however_they_are_cut() {
    on_each_driver(|config| {
        let lit = lines(config);
        let asked: String = (0..2000).map(|i| format!("echo {i}\n")).collect();
        let expected: String = (0..2000).map(|i| format!("{i}\n")).collect();
        for piece in [7, 1000, usize::MAX] {
            let mut peer = lit.connect();
            let mut writer = peer.try_clone().unwrap();
            let asked = asked.clone();
            let writing = std::thread::spawn(move || {
                asked.as_bytes().chunks(piece.min(asked.len())).for_each(|it| writer.write_all(it).unwrap());
            });
            assert_eq!(hear(&mut peer, expected.len()), expected.as_bytes());
            writing.join().unwrap();
        }
        lit.stop();
    });
}

#[test]
fn an_inode_goes_to_fifty_readers_slow_and_fast_byte_for_byte() {
    let body = Arc::new(pattern(8 * 1024 * 1024));
    on_each_driver(|config| {
        let lit = lines_with(config, Inode::write(b"HEAD\n", &body).unwrap());
        let readers: Vec<_> = (0..50)
            .map(|i| {
                let (mut peer, body) = (lit.connect(), Arc::clone(&body));
                std::thread::spawn(move || {
                    peer.write_all(b"inode\n").unwrap();
                    read_in_steps(&mut peer, &body, if i % 5 == 0 { 30_000 } else { 1 << 20 }, i % 5 == 0);
                    // The connection is as good as new.
                    ask(&mut peer, "echo again\n", "again\n");
                })
            })
            .collect();
        readers.into_iter().for_each(|it| it.join().unwrap());
        let counts = lit.running.counters().total;
        assert_eq!(counts.bytes_sendfile, 50 * (body.len() as u64 + 5));
        assert!(counts.blocked > 50, "somebody was slower than we are");
        lit.stop();
    });
}

/// Reads head and body, some bytes at a time, and rests now and then.
fn read_in_steps(peer: &mut impl Read, body: &[u8], step: usize, rests: bool) {
    assert_eq!(hear(peer, 5), b"HEAD\n");
    let mut buffer = vec![0; step];
    let mut at = 0;
    while at < body.len() {
        let n = peer.read(&mut buffer[..step.min(body.len() - at)]).expect("the answer goes on");
        assert!(n > 0, "ended after {at} bytes");
        assert!(buffer[..n] == body[at..at + n], "other bytes within {at}..{}", at + n);
        at += n;
        if rests && at % 7 == 0 {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

#[test]
fn every_data_path_and_store_gives_the_same_bytes() {
    let body = pattern(3 * 1024 * 1024 + 17);
    on_each_driver(|config| {
        for data_path in [DataPath::Auto, DataPath::Sendfile, DataPath::SendZc, DataPath::Copy] {
            for store in [InodeStore::memory(), InodeStore::directory("/dev/shm").unwrap()] {
                let config = Config { data_path, ..config.clone() };
                let lit = lines_with(config, store.write(b"HEAD\n", &body).unwrap());
                let mut peer = lit.connect();
                peer.write_all(b"inode\nrange 1000000 70000\necho end\n").unwrap();
                read_in_steps(&mut peer, &body, 100_000, true);
                assert_eq!(hear(&mut peer, 6), b"piece:");
                assert!(hear(&mut peer, 70_000) == body[1_000_000..1_070_000], "{data_path:?}");
                assert_eq!(hear(&mut peer, 4), b"end\n");
                let it = lit.running.counters().total;
                let sent = [it.bytes_sendfile, it.bytes_send_zc, it.bytes_copy].into_iter().max();
                assert_eq!(sent, Some(5 + body.len() as u64 + 70_000), "all by one path");
                lit.stop();
            }
        }
    });
}

#[test]
fn a_range_beyond_the_end_is_cut_off_there() {
    on_each_driver(|config| {
        let lit = lines_with(config, Inode::write(b"HEAD\n", b"0123456789").unwrap());
        let mut peer = lit.connect();
        ask(&mut peer, "range 8 100\n", "piece:89");
        ask(&mut peer, "range 100 100\n", "piece:");
        ask(&mut peer, "echo on\n", "on\n");
        lit.stop();
    });
}

#[test]
fn five_hundred_waiters_are_released_by_one_message_per_core() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peers: Vec<_> = (0..500).map(|_| lit.connect()).collect();
        peers.iter_mut().for_each(|it| it.write_all(b"wait\necho behind\n").unwrap());
        lit.until("all ask", |it| it.bytes_received == 500 * 17);
        let wakeups = lit.running.counters().total.wakeups;
        lit.running.handle().tell_all(|_| Tell::Release(Bytes::from_static(b"now\n"))).unwrap();
        for peer in &mut peers {
            assert_eq!(hear(peer, 11), b"now\nbehind\n");
        }
        let counts = lit.running.counters().total;
        assert_eq!((counts.messages, counts.wakeups - wakeups), (2, 2), "one wake-up per core");
        lit.stop();
    });
}

#[test]
fn a_peer_that_has_said_all_it_will_still_gets_its_whole_answer() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        peer.write_all(b"inode\necho last\n").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let heard = hear_all(&mut peer);
        assert_eq!(heard.len(), 5 + 1024 * 1024 + 5);
        assert!(heard.ends_with(b"last\n"));
        lit.until("it is gone", |it| it.open == 0);
        lit.stop();
    });
}

#[test]
fn a_finished_connection_closes_in_order_even_if_the_peer_talks_on() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        peer.write_all(b"bye farewell\n").unwrap();
        peer.write_all(&[b'x'; 100_000]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        // No reset may overtake the answer.
        assert_eq!(hear_all(&mut peer), b"farewell\n");
        drop(peer);
        lit.until("it is gone", |it| it.open == 0);
        lit.stop();
    });
}

#[test]
fn an_aborted_connection_is_reset() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        peer.write_all(b"abort\n").unwrap();
        let error = peer.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        lit.until("it is gone", |it| it.open == 0);
        lit.stop();
    });
}

#[test]
fn many_small_bodies_arrive_in_order() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        ask(&mut peer, "flood 64\necho end\n", &format!("{}end\n", "x".repeat(64)));
        lit.stop();
    });
}
