//! Peers that break off, talk nonsense, or come back as others; and ends of our own.

mod common;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use percore::rustls::version::{TLS12, TLS13};
use percore::{Config, Inode, Limits};

/// Closes with a reset.
fn reset(stream: std::net::TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("a socket has a linger option");
}

#[test]
fn a_reset_in_the_middle_of_an_answer_concerns_nobody_else() {
    on_each_driver(|config| {
        let lit = lines_with(config, Inode::write(b"HEAD\n", &pattern(24 << 20)).unwrap());
        let mut other = lit.connect();
        for _ in 0..20 {
            let mut peer = lit.connect();
            peer.write_all(b"inode\n").unwrap();
            hear(&mut peer, 100_000);
            reset(peer);
            ask(&mut other, "echo on\n", "on\n");
        }
        let counts = lit.until("they are gone", |it| it.open == 1);
        assert_eq!(counts.accepted, 21);
        lit.stop();
    });
}

#[test]
fn a_slot_that_is_used_again_says_nothing_meant_for_who_had_it_before() {
    on_each_driver(|config| {
        let lit = lines(Config { cores: 1, ..config });
        for round in 0..20 {
            let mut waiting: Vec<_> = (0..20).map(|_| lit.connect()).collect();
            waiting.iter_mut().for_each(|it| it.write_all(b"wait\n").unwrap());
            let bytes = 20 * 5 + round * (20 * 5 + 20 * 9);
            lit.until("all wait", |it| it.bytes_received == bytes);
            drop(waiting);
            lit.until("all have left", |it| it.open == 0);
            // In the same slots, others; the service still shouts at the first.
            let mut others: Vec<_> = (0..20).map(|_| lit.connect()).collect();
            lit.running.handle().tell_all(|_| Tell::Shout(Bytes::from_static(b"not yours\n"))).unwrap();
            others.iter_mut().for_each(|it| ask(it, "echo one\n", "one\n"));
            drop(others);
            lit.until("all have left", |it| it.open == 0);
        }
        lit.stop();
    });
}

#[test]
fn tls_answers_as_plain_does_in_both_versions() {
    let body = pattern(3 << 20);
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let lit = lines_with(config, Inode::write(b"HEAD\n", &body).unwrap());
        for version in [&TLS12, &TLS13] {
            let client = tls_client(&trusted, version);
            let mut peer = tls_connect(lit.plain, &client);
            ask(&mut peer, "echo one\necho two\n", "one\ntwo\n");
            peer.write_all(b"inode\n").unwrap();
            assert_eq!(hear(&mut peer, 5), b"HEAD\n");
            let mut heard = Vec::new();
            while heard.len() < body.len() {
                let more = hear(&mut peer, (body.len() - heard.len()).min(333_333));
                heard.extend(more);
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(heard == body);
            ask(&mut peer, "range 5 300000\n", "piece:");
            assert!(hear(&mut peer, 300_000) == body[5..300_005]);
            peer.write_all(b"bye farewell\n").unwrap();
            // Read to the end: without a goodbye rustls would call it a truncation.
            assert_eq!(hear_all(&mut peer), b"farewell\n");
            drop(peer);
            // The next one resumes.
            ask(&mut tls_connect(lit.plain, &client), "echo resumed\n", "resumed\n");
        }
        let counts = lit.until("they are gone", |it| it.open == 0);
        assert_eq!((counts.handshakes, counts.handshakes_resumed, counts.tls_failed), (4, 2, 0));
        assert!(counts.bytes_tls + counts.bytes_ktls > 2 * body.len() as u64);
        let others = counts.bytes_sendfile + counts.bytes_send;
        assert_eq!(others, counts.bytes_ktls, "nothing leaves in the clear");
        lit.stop();
    });
}

#[test]
fn forty_tls_readers_get_the_same_bytes_while_others_break_off() {
    let body = std::sync::Arc::new(pattern(2 << 20));
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let lit = lines_with(config, Inode::write(b"HEAD\n", &body).unwrap());
        let client = tls_client(&trusted, &TLS13);
        let readers: Vec<_> = (0..40)
            .map(|i| {
                let (address, client, body) = (lit.plain, client.clone(), body.clone());
                std::thread::spawn(move || {
                    let mut peer = tls_connect(address, &client);
                    peer.write_all(b"inode\n").unwrap();
                    if i % 4 == 0 {
                        hear(&mut peer, 70_000);
                        return reset(peer.sock);
                    }
                    assert_eq!(hear(&mut peer, 5), b"HEAD\n");
                    assert!(hear(&mut peer, body.len()) == *body);
                })
            })
            .collect();
        let ended: Vec<_> = readers.into_iter().map(std::thread::JoinHandle::join).collect();
        assert!(ended.iter().all(Result::is_ok), "{:?}", lit.running.counters().total);
        lit.until("they are gone", |it| it.open == 0);
        lit.stop();
    });
}

#[test]
fn a_new_certificate_is_shown_to_who_comes_next_and_the_others_stay() {
    on_each_driver(|config| {
        let (config, source, trusted) = with_tls(config);
        let lit = lines(config);
        let mut early = tls_connect(lit.plain, &tls_client(&trusted, &TLS13));
        ask(&mut early, "echo early\n", "early\n");
        let (chain, key) = certificate();
        let next = chain[0].clone();
        source.replace(chain, key).unwrap();
        let refused = tls_connect(lit.plain, &tls_client(&trusted, &TLS13)).write_all(b"echo x\n");
        assert!(refused.is_err(), "the old certificate is not shown any more");
        ask(&mut tls_connect(lit.plain, &tls_client(&next, &TLS13)), "echo late\n", "late\n");
        ask(&mut early, "echo still\n", "still\n");
        lit.stop();
    });
}

#[test]
fn a_key_that_does_not_belong_to_the_certificate_changes_nothing() {
    let (chain, _) = certificate();
    let (_, key) = certificate();
    assert!(percore::TlsSource::new(chain, key).is_err());
}

#[test]
fn nonsense_instead_of_tls_is_told_so_and_closed() {
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let lit = lines(config);
        for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], &[0; 5000]] {
            let mut peer = lit.connect();
            peer.write_all(nonsense).unwrap();
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = peer.read_to_end(&mut Vec::new());
        }
        let counts = lit.until("they are gone", |it| it.open == 0);
        assert_eq!((counts.tls_failed, counts.handshakes), (3, 0), "{counts:?}");
        ask(&mut tls_connect(lit.plain, &tls_client(&trusted, &TLS13)), "echo on\n", "on\n");
        lit.stop();
    });
}

#[test]
fn garbage_is_the_services_to_judge_and_harms_nobody() {
    on_each_driver(|config| {
        let lit = lines(Config {
            limits: Limits {
                header: Duration::from_millis(300),
                linger: Duration::from_millis(300),
                ..limits()
            },
            ..config
        });
        let mut good = lit.connect();
        let mut endless = lit.connect();
        // A head without an end: read as far as the limit, then the time-out.
        let _ = endless.write_all(&vec![b'x'; 4 << 20]);
        ask(&mut good, "echo on\n", "on\n");
        let mut garbage = lit.connect();
        garbage.write_all(&[0, 255, 10, 13, 7]).unwrap();
        assert_eq!(hear_all(&mut garbage), b"what?\n");
        let counts = lit.until("both are cut", |it| it.open == 1);
        assert!(counts.cut_header == 1 && counts.bytes_received < 8 << 20, "{counts:?}");
        lit.stop();
    });
}

#[test]
fn a_drain_lets_answers_finish_and_accepts_nobody() {
    on_each_driver(|config| {
        let lit = lines_with(config, Inode::write(b"HEAD\n", &pattern(24 << 20)).unwrap());
        let (mut idle, mut waiting, mut reading) = (lit.connect(), lit.connect(), lit.connect());
        ask(&mut idle, "echo here\n", "here\n");
        // One segment with both lines: who has heard the first has been read to the end of the second.
        ask(&mut waiting, "echo there\nwait\n", "there\n");
        reading.write_all(b"inode\n").unwrap();
        hear(&mut reading, 5);
        let handle = lit.running.handle();
        handle.drain(Duration::from_secs(10));
        assert_eq!(hear_all(&mut idle), b"");
        assert_eq!(hear_all(&mut waiting), b"draining\n");
        let until = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(lit.plain).is_ok() {
            assert!(Instant::now() < until, "the port stays open");
        }
        assert_eq!(hear_all(&mut reading).len(), 24 << 20);
        drop((idle, waiting, reading));
        lit.running.join().unwrap();
        let counts = handle.counters().total;
        assert_eq!((counts.open, counts.cut_draining), (0, 0));
    });
}

#[test]
fn a_drain_of_nobody_ends_at_once_and_whoever_came_just_before_is_answered() {
    on_each_driver(|config| {
        let lit = lines(config);
        let mut last: Vec<_> = (0..50).map(|_| lit.connect()).collect();
        let (handle, began) = (lit.running.handle(), Instant::now());
        handle.drain(Duration::from_secs(10));
        last.iter_mut().for_each(|it| ask(it, "echo just in time\n", "just in time\n"));
        last.iter_mut().for_each(|it| assert_eq!(hear_all(it), b""));
        drop(last);
        lit.running.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(handle.counters().total.accepted, 50);
    });
}

#[test]
fn a_drain_has_a_bound() {
    on_each_driver(|config| {
        let lit = lines_with(config, Inode::write(b"HEAD\n", &pattern(24 << 20)).unwrap());
        let mut stuck = lit.connect();
        stuck.write_all(b"inode\n").unwrap();
        hear(&mut stuck, 5);
        let (handle, began) = (lit.running.handle(), Instant::now());
        handle.drain(Duration::from_millis(400));
        lit.running.join().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(400) && began.elapsed() < Duration::from_secs(3));
        assert_eq!(handle.counters().total.cut_draining, 1);
    });
}

#[test]
fn a_stop_ends_everything_at_once() {
    on_each_driver(|config| {
        let lit = lines_with(config, Inode::write(b"HEAD\n", &pattern(24 << 20)).unwrap());
        let mut peers: Vec<_> = (0..20).map(|_| lit.connect()).collect();
        for (i, peer) in peers.iter_mut().enumerate() {
            peer.write_all(if i % 2 == 0 { b"inode\n" } else { b"wait\n" }).unwrap();
        }
        lit.until("all are in", |it| it.open == 20);
        let (handle, began) = (lit.running.handle(), Instant::now());
        handle.stop();
        lit.running.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
        peers.iter_mut().for_each(|it| assert!(is_closed(it)));
        assert_eq!(lit.closed.try_iter().count(), 20);
    });
}

#[test]
fn cores_that_are_dropped_free_their_port() {
    on_each_driver(|config| {
        let lit = lines(config.clone());
        let address = lit.plain;
        lit.stop();
        let again = Config { listeners: vec![percore::Listen::plain(address)], ..config };
        ask(&mut lines(again).connect(), "echo again\n", "again\n");
    });
}
