//! Behind proxies: who connects is whom a proxy of ours names, and nobody else is believed.

#![allow(clippy::unwrap_used, reason = "tests; Clippy does not see that of a function beside them")]

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::*;
use percore::rustls::version::TLS13;
use percore::rustls::{ClientConnection, StreamOwned};
use percore::{Config, Limits};
use proxy::{Between, SIGNATURE, head};

/// All of loopback's first addresses are proxies.
fn behind_proxies(config: Config) -> Config {
    Config { proxies: vec!["127.0.0.0/24".parse().unwrap()], ..config }
}

/// What a proxy says of somebody at this address.
fn of(viewer: &str) -> Vec<u8> {
    let to = SocketAddr::from(([192, 0, 2, 9], 443));
    head(Between { from: format!("{viewer}:4711").parse().unwrap(), to })
}

/// From another address of loopback, which is no proxy.
fn stranger(lit: &Lit) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 7, 7], 0)).into()).unwrap();
    socket.connect(&lit.plain.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn connections_are_counted_for_whom_the_proxy_names() {
    on_each_driver(|config| {
        let limits = Limits { connections_per_address: 2, ..limits() };
        let lit = lines(behind_proxies(Config { limits, ..config }));
        let through = |viewer: &str| {
            let mut peer = lit.connect();
            peer.write_all(&of(viewer)).unwrap();
            peer
        };
        let mut kept = Vec::new();
        for viewer in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"] {
            let mut peer = through(viewer);
            ask(&mut peer, "echo in\n", "in\n");
            kept.push(peer);
        }
        assert!(is_closed(&mut through("192.0.2.1")), "a third of one viewer");
        let counts = lit.until("it is counted", |it| it.refused_address == 1);
        assert_eq!((counts.proxied, counts.open, counts.refused_proxy), (4, 4, 0));
        drop(kept);
        lit.until("all have left", |it| it.open == 0);
        ask(&mut through("192.0.2.1"), "echo again\n", "again\n");
        lit.stop();
    });
}

#[test]
fn a_head_may_come_in_pieces_or_with_a_request_and_a_proxy_may_speak_for_itself() {
    on_each_driver(|config| {
        let lit = lines(behind_proxies(config));
        let mut slow = lit.connect();
        for byte in of("2001:db8::1".parse::<std::net::Ipv6Addr>().map(|_| "[2001:db8::1]").unwrap()) {
            slow.write_all(&[byte]).unwrap();
        }
        ask(&mut slow, "echo slow\n", "slow\n");
        let mut quick = lit.connect();
        quick.write_all(&[&of("192.0.2.1")[..], b"echo one\n"].concat()).unwrap();
        assert_eq!(hear(&mut quick, 4), b"one\n");
        ask(&mut quick, "echo two\n", "two\n");
        // A check of health, announced or not.
        let mut local = lit.connect();
        local.write_all(&[&SIGNATURE[..], &[0x20, 0, 0, 0], b"echo local\n"].concat()).unwrap();
        assert_eq!(hear(&mut local, 6), b"local\n");
        ask(&mut lit.connect(), "echo plain\n", "plain\n");
        assert_eq!(lit.running.counters().total.proxied, 2);
        lit.stop();
    });
}

#[test]
fn who_is_no_proxy_is_not_believed_and_a_proxy_that_says_nonsense_is_cut() {
    on_each_driver(|config| {
        let limits = Limits { handshake: Duration::from_millis(200), ..limits() };
        let lit = lines(behind_proxies(Config { limits, ..config }));
        // To the service it is a line like any other.
        let mut forger = stranger(&lit);
        forger.write_all(&of("192.0.2.1")).unwrap();
        assert_eq!(hear_all(&mut forger), b"what?\n");
        ask(&mut stranger(&lit), "echo honest\n", "honest\n");
        assert_eq!(lit.running.counters().total.proxied, 0);
        for fields in
            [[0x31, 0x11, 0, 12], [0x21, 0x51, 0, 12], [0x21, 0x11, 0, 11], [0x21, 0x11, 0xff, 0xff]]
        {
            let mut nonsense = lit.connect();
            nonsense.write_all(&[&SIGNATURE[..], &fields].concat()).unwrap();
            assert!(is_closed(&mut nonsense), "{fields:?}");
        }
        let (mut silent, mut half) = (lit.connect(), lit.connect());
        half.write_all(&SIGNATURE[..5]).unwrap();
        assert!(is_closed(&mut silent) && is_closed(&mut half));
        lit.until("all are counted", |it| it.refused_proxy == 6 && it.open == 0);
        lit.stop();
    });
}

#[test]
fn by_tls_the_head_comes_before_the_handshake() {
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let limits = Limits { connections_per_address: 1, ..config.limits.clone() };
        let lit = lines(behind_proxies(Config { limits, ..config }));
        let client = tls_client(&trusted, &TLS13);
        let through = |viewer: &str| {
            let mut stream = lit.connect();
            stream.write_all(&of(viewer)).unwrap();
            let session = ClientConnection::new(client.clone(), "localhost".try_into().unwrap()).unwrap();
            StreamOwned::new(session, stream)
        };
        let mut one = through("192.0.2.1");
        ask(&mut one, "echo one\n", "one\n");
        let mut two = through("192.0.2.2");
        ask(&mut two, "echo two\n", "two\n");
        let mut again = through("192.0.2.1");
        assert!(again.write_all(b"echo again\n").is_err() || is_closed(&mut again));
        assert_eq!(lit.until("it is counted", |it| it.refused_address == 1).proxied, 2);
        lit.stop();
    });
}
