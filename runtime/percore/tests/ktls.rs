//! TLS whose records the kernel makes: run by `make ktls` in a small machine with Debian's kernel, which has it.
//!
//! Every story counts the connections that the kernel has taken over, so none of them passes without it.

#![allow(clippy::unwrap_used, reason = "tests; Clippy does not see that of a function beside them")]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use percore::rustls::crypto::CryptoProvider;
use percore::rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use percore::rustls::pki_types::CertificateDer;
use percore::rustls::version::{TLS12, TLS13};
use percore::rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use percore::{Config, DataPath, Inode, KernelTls, Limits};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const SUITES: [(&SupportedProtocolVersion, SupportedCipherSuite); 6] = [
    (&TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256),
    (&TLS13, cipher_suite::TLS13_AES_256_GCM_SHA384),
    (&TLS13, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
];

fn lit(config: Config, body: &[u8]) -> (Lit, percore::TlsSource, CertificateDer<'static>) {
    let (config, source, trusted) = with_tls(Config { kernel_tls: KernelTls::Auto, ..config });
    (lines_with(config, Inode::write(b"HEAD\n", body).unwrap()), source, trusted)
}

/// Ends the cores, once that many connections were the kernel's.
fn ends(lit: Lit, taken_over: u64) {
    let counts = lit.until("they are gone", |it| it.open == 0);
    assert_eq!(counts.ktls, taken_over, "{counts:?}");
    lit.stop();
}

fn only(
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    suite: SupportedCipherSuite,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
    let config =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[version]).unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Reads to the end, which TLS must have announced.
fn hear_goodbye(peer: &mut TlsStream) -> Vec<u8> {
    hear_all(peer)
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn an_inode_travels_by_sendfile_in_every_suite_whole_in_ranges_and_pipelined() {
    let body = pattern(3 * 1024 * 1024 + 17);
    on_each_driver(|config| {
        let (lit, _, trusted) = lit(config, &body);
        for (version, suite) in SUITES {
            println!("{:?}", suite.suite());
            let before = lit.running.counters().total;
            let mut peer = tls_connect(lit.plain, &only(&trusted, version, suite));
            peer.write_all(b"head\ninode\nrange 1000000 70000\nrange 3145700 100\necho end\n").unwrap();
            assert_eq!(hear(&mut peer, 10), b"HEAD\nHEAD\n");
            assert!(hear(&mut peer, body.len()) == body, "{:?}", suite.suite());
            assert_eq!(hear(&mut peer, 6), b"piece:");
            assert!(hear(&mut peer, 70_000) == body[1_000_000..1_070_000]);
            assert_eq!(hear(&mut peer, 6), b"piece:");
            assert_eq!(hear(&mut peer, 45), body[3_145_700..]);
            ask(&mut peer, "echo more\n", "end\nmore\n");
            let pieces = 10 + body.len() as u64 + 70_000 + 45;
            let after =
                lit.until("all is counted", |it| it.bytes_ktls - before.bytes_ktls == pieces + 12 + 9);
            assert_eq!(after.ktls - before.ktls, 1);
            assert_eq!(after.bytes_sendfile - before.bytes_sendfile, pieces);
        }
        ends(lit, 6);
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn every_data_path_gives_the_same_bytes() {
    let body = pattern(1024 * 1024 + 17);
    on_each_driver(|config| {
        for data_path in [DataPath::Auto, DataPath::Sendfile, DataPath::SendZc, DataPath::Copy] {
            let (lit, _, trusted) = lit(Config { data_path, ..config.clone() }, &body);
            let mut peer = tls_connect(lit.plain, &tls_client(&trusted, &TLS13));
            peer.write_all(b"inode\necho end\n").unwrap();
            assert_eq!(hear(&mut peer, 5), b"HEAD\n");
            assert!(hear(&mut peer, body.len()) == body, "{data_path:?}");
            ask(&mut peer, "echo more\n", "end\nmore\n");
            drop(peer);
            ends(lit, 1);
        }
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn readers_slow_and_fast_get_every_byte_and_the_last_word() {
    let body = Arc::new(pattern(6 * 1024 * 1024 + 1));
    on_each_driver(|config| {
        let (lit, _, trusted) = lit(config, &body);
        let readers: Vec<_> = (0..8)
            .map(|i| {
                let mut peer = tls_connect(lit.plain, &tls_client(&trusted, VERSIONS[i % 2]));
                let body = Arc::clone(&body);
                std::thread::spawn(move || {
                    // The end is ordered while the answer still fills the socket: no FIN may overtake it.
                    peer.write_all(b"inode\nbye now\n").unwrap();
                    if i % 4 > 1 {
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    let heard = hear_goodbye(&mut peer);
                    assert_eq!(heard.len(), 5 + body.len() + 4, "reader {i}");
                    assert!(heard[5..5 + body.len()] == **body && heard.ends_with(b"now\n"));
                })
            })
            .collect();
        readers.into_iter().for_each(|it| it.join().unwrap());
        assert!(lit.running.counters().total.blocked > 0, "somebody was slower than we are");
        ends(lit, 8);
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn who_says_goodbye_hears_it_too() {
    on_each_driver(|config| {
        for version in VERSIONS {
            let (lit, _, trusted) = lit(config.clone(), b"body");
            let mut peer = tls_connect(lit.plain, &tls_client(&trusted, version));
            ask(&mut peer, "echo on\n", "on\n");
            peer.conn.send_close_notify();
            peer.conn.write_tls(&mut peer.sock).unwrap();
            assert_eq!(hear_goodbye(&mut peer), b"");
            assert!(
                is_closed(&mut peer.sock),
                "and the connection is closed, though we have not closed ours"
            );
            let counts = lit.until("it is gone", |it| it.open == 0);
            assert_eq!((counts.tls_failed, counts.failed), (0, 0), "{counts:?}");
            ends(lit, 1);
        }
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn an_answer_that_is_under_way_is_finished_for_who_says_goodbye() {
    let body = pattern(4 * 1024 * 1024);
    on_each_driver(|config| {
        let (lit, _, trusted) = lit(config, &body);
        let mut peer = tls_connect(lit.plain, &tls_client(&trusted, &TLS13));
        ask(&mut peer, "echo on\n", "on\n");
        peer.conn.writer().write_all(b"inode\n").unwrap();
        peer.conn.send_close_notify();
        while peer.conn.wants_write() {
            peer.conn.write_tls(&mut peer.sock).unwrap();
        }
        let heard = hear_goodbye(&mut peer);
        assert!(heard.len() == 5 + body.len() && heard[5..] == body);
        ends(lit, 1);
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn who_changes_keys_is_answered_to_the_end_and_let_go_in_order() {
    let body = pattern(2 * 1024 * 1024);
    on_each_driver(|config| {
        let (lit, _, trusted) = lit(config, &body);
        let mut peer = tls_connect(lit.plain, &tls_client(&trusted, &TLS13));
        ask(&mut peer, "echo on\n", "on\n");
        peer.conn.writer().write_all(b"inode\n").unwrap();
        peer.conn.refresh_traffic_keys().unwrap();
        peer.conn.writer().write_all(b"echo under the new key\n").unwrap();
        while peer.conn.wants_write() {
            peer.conn.write_tls(&mut peer.sock).unwrap();
        }
        let heard = hear_goodbye(&mut peer);
        assert!(heard.len() == 5 + body.len() && heard[5..] == body, "{} bytes", heard.len());
        drop(peer);
        assert_eq!(lit.until("it is gone", |it| it.open == 0).tls_failed, 1);
        ends(lit, 1);
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn records_that_cannot_be_opened_end_their_connection_and_no_other() {
    on_each_driver(|config| {
        let (lit, _, trusted) = lit(config, b"body");
        let client = tls_client(&trusted, &TLS13);
        let (mut good, mut bad) = (tls_connect(lit.plain, &client), tls_connect(lit.plain, &client));
        ask(&mut good, "echo on\n", "on\n");
        ask(&mut bad, "echo on\n", "on\n");
        bad.sock.write_all(&[&[23, 3, 3, 0, 40][..], &[0x5a; 40]].concat()).unwrap();
        assert!(is_closed(&mut bad.sock));
        ask(&mut good, "echo still\n", "still\n");
        drop((good, bad));
        ends(lit, 2);
    });
}

/// A viewer who says the last word of the handshake and the first request in one breath, cut in two there if so wished.
fn in_one_breath(lit: &Lit, client: &Arc<ClientConfig>, cut: Option<usize>) -> TlsStream {
    let mut socket: TcpStream = lit.connect();
    let mut session = ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
    loop {
        let mut said = Vec::new();
        let is_last = !session.is_handshaking();
        if is_last {
            session.writer().write_all(b"echo at once\necho and again\n").unwrap();
        }
        while session.wants_write() {
            session.write_tls(&mut said).unwrap();
        }
        let (first, second) =
            said.split_at(cut.filter(|_| is_last).map_or(said.len(), |it| said.len().saturating_sub(it)));
        socket.write_all(first).unwrap();
        if is_last {
            std::thread::sleep(Duration::from_millis(50));
            socket.write_all(second).unwrap();
            return TlsStream::new(session, socket);
        }
        session.read_tls(&mut socket).unwrap();
        session.process_new_packets().unwrap();
    }
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn a_request_on_the_heels_of_the_handshake_is_answered_wherever_it_is_cut() {
    on_each_driver(|config| {
        let (lit, _, trusted) = lit(config, b"body");
        let mut count = 0;
        for version in VERSIONS {
            for cut in [None, Some(1), Some(20), Some(45), Some(60)] {
                let client = only(
                    &trusted,
                    version,
                    SUITES.iter().find(|(it, _)| *it == version).map(|(_, suite)| *suite).unwrap(),
                );
                let mut peer = in_one_breath(&lit, &client, cut);
                assert_eq!(hear(&mut peer, 18), b"at once\nand again\n", "{version:?} {cut:?}");
                ask(&mut peer, "echo on\n", "on\n");
                ask(&mut peer, "inode\n", "HEAD\nbody");
                count += 1;
            }
        }
        ends(lit, count);
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn sessions_are_resumed_and_certificates_replaced_as_ever() {
    on_each_driver(|config| {
        for version in VERSIONS {
            let (lit, source, trusted) = lit(config.clone(), b"body");
            let client = tls_client(&trusted, version);
            source.share_tickets([[1; 32]]);
            let mut early = tls_connect(lit.plain, &client);
            ask(&mut early, "echo one\n", "one\n");
            let (chain, key) = certificate();
            let next = chain[0].clone();
            source.replace(chain, key).unwrap();
            let mut again = tls_connect(lit.plain, &client);
            ask(&mut again, "inode\n", "HEAD\nbody");
            assert_eq!(again.conn.handshake_kind(), Some(HandshakeKind::Resumed));
            let mut late = tls_connect(lit.plain, &tls_client(&next, version));
            ask(&mut late, "echo two\n", "two\n");
            ask(&mut early, "echo three\n", "three\n");
            drop((early, again, late));
            ends(lit, 3);
        }
    });
}

#[test]
#[ignore = "needs a kernel with TLS: make ktls"]
fn a_drain_and_a_time_out_say_goodbye() {
    on_each_driver(|config| {
        let limits = Limits { header: Duration::from_millis(300), ..limits() };
        let (lit, _, trusted) = lit(Config { limits, ..config }, b"body");
        let client = tls_client(&trusted, &TLS13);
        let mut late = tls_connect(lit.plain, &client);
        ask(&mut late, "echo on\n", "on\n");
        late.write_all(b"ec").unwrap();
        assert_eq!(hear_goodbye(&mut late), b"too late\n");
        drop(late);
        let mut idle = tls_connect(lit.plain, &client);
        ask(&mut idle, "echo on\n", "on\n");
        let handle = lit.running.handle();
        handle.drain(Duration::from_secs(10));
        assert_eq!(hear_goodbye(&mut idle), b"");
        drop(idle);
        lit.running.join().unwrap();
        assert_eq!((handle.counters().total.ktls, handle.counters().total.open), (2, 0));
    });
}
