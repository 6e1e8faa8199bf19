//! Each bound is met once: who exceeds it is cut, it is counted, and the others are served on.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use percore::{Config, CoreIndex, Inode, Limits, TellError};

/// Small limits, so that a test meets them soon.
fn impatient() -> Limits {
    Limits {
        handshake: Duration::from_millis(200),
        header: Duration::from_millis(200),
        answer: Duration::from_millis(200),
        idle: Duration::from_millis(200),
        drain_window: Duration::from_millis(300),
        drain_rate_min: 1024 * 1024,
        ..limits()
    }
}

#[test]
fn one_connection_more_than_a_core_may_have_is_closed_at_once() {
    on_each_driver(|config| {
        let limits = Limits { connections_per_core: 3, ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let mut kept: Vec<_> = (0..3).map(|_| lit.connect()).collect();
        kept.iter_mut().for_each(|it| ask(it, "echo in\n", "in\n"));
        assert!(is_closed(&mut lit.connect()));
        assert_eq!(lit.until("it is counted", |it| it.refused_full == 1).open, 3);
        drop(kept.pop());
        lit.until("one has left", |it| it.open == 2);
        ask(&mut lit.connect(), "echo room again\n", "room again\n");
        lit.stop();
    });
}

#[test]
fn one_connection_more_than_an_address_may_have_is_closed_whichever_core_it_meets() {
    on_each_driver(|config| {
        let lit = lines(Config { limits: Limits { connections_per_address: 3, ..limits() }, ..config });
        let mut kept: Vec<_> = (0..3).map(|_| lit.connect()).collect();
        kept.iter_mut().for_each(|it| ask(it, "echo in\n", "in\n"));
        for _ in 0..5 {
            assert!(is_closed(&mut lit.connect()));
        }
        lit.until("it is counted", |it| it.refused_address == 5);
        drop(kept);
        lit.until("all have left", |it| it.open == 0);
        ask(&mut lit.connect(), "echo room again\n", "room again\n");
        lit.stop();
    });
}

#[test]
fn half_a_head_is_waited_for_so_long_and_then_told_so() {
    on_each_driver(|config| {
        let limits = Limits { header: Duration::from_millis(200), ..limits() };
        let lit = lines(Config { limits, ..config });
        let began = Instant::now();
        let mut slow = lit.connect();
        slow.write_all(b"echo ne").unwrap();
        // One byte now and then does not help.
        let mut dripping = slow.try_clone().unwrap();
        let drips = std::thread::spawn(move || {
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(60));
                let _ = dripping.write_all(b"v");
            }
        });
        assert_eq!(hear_all(&mut slow), b"too late\n");
        assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(2));
        drips.join().unwrap();
        assert_eq!(lit.running.counters().total.cut_header, 1);
        lit.stop();
    });
}

#[test]
fn who_asks_nothing_is_closed_and_so_is_who_asks_nothing_more() {
    on_each_driver(|config| {
        let limits = Limits { idle: Duration::from_millis(300), ..limits() };
        let lit = lines(Config { limits, ..config });
        let (mut silent, mut once) = (lit.connect(), lit.connect());
        std::thread::sleep(Duration::from_millis(150));
        ask(&mut once, "echo one\n", "one\n");
        let asked = Instant::now();
        assert_eq!(hear_all(&mut silent), b"");
        assert_eq!(hear_all(&mut once), b"");
        assert!(asked.elapsed() >= Duration::from_millis(295), "idle counts from the last answer");
        assert_eq!(lit.running.counters().total.cut_idle, 2);
        lit.stop();
    });
}

#[test]
fn a_request_that_the_service_never_answers_is_cut() {
    on_each_driver(|config| {
        let limits = Limits { answer: Duration::from_millis(200), ..limits() };
        let lit = lines(Config { limits, ..config });
        let mut peer = lit.connect();
        peer.write_all(b"never\n").unwrap();
        assert!(is_closed(&mut peer));
        assert_eq!(lit.running.counters().total.cut_unanswered, 1);
        lit.stop();
    });
}

#[test]
fn a_reader_that_takes_nothing_is_cut_and_one_that_takes_enough_is_not() {
    on_each_driver(|config| {
        let limits =
            Limits { drain_window: Duration::from_millis(300), drain_rate_min: 64 * 1024, ..limits() };
        let lit =
            lines_with(Config { limits, ..config }, Inode::write(b"HEAD\n", &pattern(24 << 20)).unwrap());
        let mut stuck = lit.connect();
        stuck.write_all(b"inode\n").unwrap();
        let mut slow = lit.connect();
        slow.write_all(b"inode\n").unwrap();
        let began = Instant::now();
        let mut taken = 0;
        let mut buffer = vec![0; 256 * 1024];
        while began.elapsed() < Duration::from_millis(1500) {
            taken += slow.read(&mut buffer).unwrap();
            std::thread::sleep(Duration::from_millis(40));
        }
        let counts = lit.running.counters().total;
        assert_eq!((counts.cut_slow, counts.open), (1, 1), "after {taken} bytes: {counts:?}");
        std::io::copy(&mut slow.take((24 << 20) + 5 - taken as u64), &mut std::io::sink()).unwrap();
        lit.stop();
    });
}

#[test]
fn an_answer_has_a_whole_time_even_for_a_steady_reader() {
    on_each_driver(|config| {
        let limits = Limits {
            drain_window: Duration::from_millis(100),
            drain_rate_min: 1,
            write: Duration::from_millis(500),
            ..limits()
        };
        let lit =
            lines_with(Config { limits, ..config }, Inode::write(b"HEAD\n", &pattern(48 << 20)).unwrap());
        let mut steady = lit.connect();
        steady.write_all(b"inode\n").unwrap();
        let mut buffer = vec![0; 256 * 1024];
        let began = Instant::now();
        while matches!(steady.read(&mut buffer), Ok(1..)) && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        lit.until("it is cut", |it| it.cut_overdue == 1 && it.open == 0);
        lit.stop();
    });
}

#[test]
fn a_handshake_that_is_not_done_in_time_is_cut() {
    on_each_driver(|config| {
        let (config, _, _) = with_tls(config);
        let lit = lines(Config { limits: impatient(), ..config });
        let mut silent = lit.connect();
        assert!(is_closed(&mut silent));
        assert_eq!(lit.running.counters().total.cut_handshake, 1);
        lit.stop();
    });
}

#[test]
fn who_talks_on_while_it_waits_is_not_read_any_more_and_loses_nothing() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        let mut writer = peer.try_clone().unwrap();
        peer.write_all(b"wait\n").unwrap();
        lit.until("it waits", |it| it.bytes_received == 5);
        let count = 200_000;
        let writing = std::thread::spawn(move || {
            let asked: String = (0..count).map(|i| format!("echo {i}\n")).collect();
            writer.write_all(asked.as_bytes()).unwrap();
        });
        std::thread::sleep(Duration::from_millis(200));
        let received = lit.running.counters().total.bytes_received;
        assert!(received < (16 + 256) * 1024, "{received} bytes were taken of one who waits");
        lit.running.handle().tell_all(|_| Tell::Release(Bytes::from_static(b"now\n"))).unwrap();
        assert_eq!(hear(&mut peer, 4), b"now\n");
        let expected: String = (0..count).map(|i| format!("{i}\n")).collect();
        assert!(hear(&mut peer, expected.len()) == expected.as_bytes());
        writing.join().unwrap();
        assert_eq!(lit.running.counters().total.cut_inbound, 0);
        lit.stop();
    });
}

#[test]
fn a_core_keeps_so_much_inbound_and_no_more() {
    on_each_driver(|config| {
        let limits = Limits { inbound_bytes_per_core: 100_000, ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let mut peers: Vec<_> = (0..10).map(|_| lit.connect()).collect();
        for peer in &mut peers {
            // Never a line's end.
            let _ = peer.write_all(&[b'x'; 15_000]);
        }
        let counts = lit.until("somebody is cut", |it| it.cut_inbound > 0);
        assert!(counts.open >= 5, "those who were within the bound stay: {counts:?}");
        ask(&mut lit.connect(), "echo on\n", "on\n");
        lit.stop();
    });
}

#[test]
fn one_body_more_than_may_wait_cuts_the_connection() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut peer = lit.connect();
        peer.write_all(b"flood 65\n").unwrap();
        assert!(is_closed(&mut peer));
        assert_eq!(lit.running.counters().total.cut_outbound, 1);
        lit.stop();
    });
}

#[test]
fn a_full_inbox_is_said_to_the_teller_and_a_core_that_has_ended_too() {
    on_each_driver(|config| {
        let limits = Limits { messages: 2, ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let handle = lit.running.handle();
        let told: Vec<_> = (0..1000)
            .map(|_| handle.tell(CoreIndex(0), Tell::Release(Bytes::from_static(b"x"))))
            .filter(Result::is_err)
            .collect();
        assert!(told.iter().all(|it| *it == Err(TellError::Full { core: CoreIndex(0), limit: 2 })));
        lit.running.stop();
        lit.running.join().unwrap();
        let gone = handle.tell(CoreIndex(0), Tell::Release(Bytes::new()));
        assert_eq!(gone, Err(TellError::Stopped { core: CoreIndex(0) }));
    });
}

#[test]
fn three_thousand_who_idle_are_closed_in_one_go_and_the_core_goes_on() {
    // More than the ring has places for requests: cancelling theirs must come to an end.
    on_each_driver(|config| {
        let limits = Limits { idle: Duration::from_secs(3), ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let mut peers: Vec<_> = (0..3000).map(|_| TcpStream::connect(lit.plain).unwrap()).collect();
        lit.until("all are in", |it| it.accepted == 3000);
        let counts = lit.until("all are closed", |it| it.open == 0);
        assert_eq!(counts.cut_idle, 3000, "{counts:?}");
        assert_eq!(peers[2999].read(&mut [0]).unwrap(), 0);
        ask(&mut lit.connect(), "echo on\n", "on\n");
        // And again by an end of ours.
        peers = (0..3000).map(|_| TcpStream::connect(lit.plain).unwrap()).collect();
        lit.until("all are in", |it| it.open >= 3000);
        lit.stop();
        assert!(is_closed(&mut peers[0]));
    });
}

#[test]
fn two_thousand_come_and_go_and_those_who_stay_do_not_notice() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut staying = lit.connect();
        let address = lit.plain;
        let storms: Vec<_> = (0..4)
            .map(|kind| {
                std::thread::spawn(move || {
                    for i in 0..500 {
                        let mut peer = TcpStream::connect(address).unwrap();
                        match (kind + i) % 3 {
                            0 => {}
                            1 => peer.write_all(b"echo half a li").unwrap(),
                            _ => ask(&mut peer, "echo whole\n", "whole\n"),
                        }
                    }
                })
            })
            .collect();
        for i in 0..50 {
            ask(&mut staying, &format!("echo {i}\n"), &format!("{i}\n"));
        }
        storms.into_iter().for_each(|it| it.join().unwrap());
        let counts = lit.until("all but one have left", |it| it.accepted == 2001 && it.open == 1);
        assert_eq!(counts.accept_failed, 0);
        ask(&mut staying, "echo still\n", "still\n");
        drop(staying);
        lit.until("all have left", |it| it.open == 0);
        assert_eq!(lit.closed.try_iter().count(), 2001, "the service heard of each");
        lit.stop();
    });
}

#[test]
fn who_is_told_more_and_more_is_not_idle_and_who_takes_none_of_it_is_cut() {
    on_each_driver(|config| {
        let limits = Limits { idle: Duration::from_millis(200), ..limits() };
        let lit = lines(Config { cores: 1, limits, ..config });
        let mut listens = lit.connect();
        ask(&mut listens, "tell\n", "listen\n");
        let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        deaf.set_recv_buffer_size(4 << 10).unwrap();
        deaf.connect(&lit.plain.into()).unwrap();
        let mut deaf = TcpStream::from(deaf);
        ask(&mut deaf, "tell\n", "listen\n");
        std::thread::sleep(Duration::from_secs(1));
        let counts = lit.until("both are there", |it| it.open == 2);
        assert_eq!((counts.cut_idle, counts.cut_slow), (0, 0), "five times as long as an idle one lasts");
        // Over what the deaf one's kernel takes for it, and not over what ours holds.
        let told = Bytes::from(vec![b'x'; 64 << 10]);
        lit.running.handle().tell(CoreIndex(0), Tell::Shout(told.clone())).unwrap();
        let mut heard = vec![0; told.len()];
        listens.read_exact(&mut heard).unwrap();
        assert_eq!(heard, told);
        lit.until("the deaf one is cut", |it| it.cut_slow == 1 && it.open == 1);
        lit.running.handle().tell(CoreIndex(0), Tell::Shout(Bytes::from_static(b"on\n"))).unwrap();
        let mut heard = [0; 3];
        listens.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"on\n");
        lit.stop();
    });
}
