//! Peers that vanish without a word, and peers that leave their answer with our kernel.
//!
//! A peer vanishes when nothing reaches it any more and nothing comes of it. Here its socket gets a filter that drops
//! whatever arrives, acknowledgements included: from where we sit, that is a line that was cut.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::*;
use percore::{Config, Inode, Limits};
use socket2::{SockFilter, SockRef};

/// From now on nothing reaches `peer`.
fn vanish(peer: &TcpStream) {
    const RETURN: u16 = 0x06;
    SockRef::from(peer)
        .attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
        .expect("a filter for our own socket");
}

#[test]
fn who_waits_for_an_answer_and_is_not_there_any_more_is_found_by_keepalive() {
    on_each_driver(|config| {
        let limits = Limits { keepalive: Duration::from_secs(1), ..limits() };
        let lit = lines(Config { limits, ..config });
        let (mut gone, mut here) = (lit.connect(), lit.connect());
        gone.write_all(b"wait\n").unwrap();
        here.write_all(b"wait\n").unwrap();
        lit.until("both wait", |it| it.bytes_received == 10);
        vanish(&gone);
        let began = Instant::now();
        let counts = lit.until("one is given up", |it| it.open == 1);
        assert!(began.elapsed() >= Duration::from_secs(3), "it was asked three times: {:?}", began.elapsed());
        assert_eq!((counts.failed, counts.cut_unanswered, counts.cut_idle), (1, 0, 0), "{counts:?}");
        lit.running.handle().tell_all(|_| Tell::Release("at last\n".into())).unwrap();
        assert_eq!(hear(&mut here, 8), b"at last\n");
        lit.stop();
    });
}

#[test]
fn who_vanishes_in_the_middle_of_an_answer_is_cut_as_a_slow_reader() {
    on_each_driver(|config| {
        let limits = Limits { drain_window: Duration::from_millis(500), ..limits() };
        let lit =
            lines_with(Config { limits, ..config }, Inode::write(b"HEAD\n", &pattern(24 << 20)).unwrap());
        let mut gone = lit.connect();
        gone.write_all(b"inode\n").unwrap();
        hear(&mut gone, 5);
        vanish(&gone);
        let counts = lit.until("it is given up", |it| it.open == 0);
        assert_eq!((counts.cut_slow, counts.failed), (1, 0), "{counts:?}");
        lit.stop();
    });
}

#[test]
fn an_answer_that_fits_into_the_kernel_is_not_left_there_for_ever() {
    on_each_driver(|config| {
        let limits = Limits { idle: Duration::from_millis(400), ..limits() };
        // Less than the kernel takes before it says that it is full, and more than a small window.
        let lit =
            lines_with(Config { limits, ..config }, Inode::write(b"HEAD\n", &pattern(200_000)).unwrap());
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&lit.plain.into()).unwrap();
        let mut lazy = TcpStream::from(socket);
        lazy.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        lazy.write_all(b"inode\n").unwrap();
        let counts = lit.until("it is cut", |it| it.accepted == 1 && it.open == 0);
        assert_eq!((counts.cut_slow, counts.cut_idle), (1, 0), "{counts:?}");
        let mut heard = Vec::new();
        let error = std::io::Read::read_to_end(&mut lazy, &mut heard).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "after {} bytes", heard.len());
        lit.stop();
    });
}
