//! TLS as viewers speak it: which versions, which sessions are resumed, and what is refused.

#![allow(clippy::unwrap_used, reason = "tests; Clippy does not see that of a function beside them")]

mod common;

use std::io::{Read, Write};
use std::sync::Arc;

use aws_lc_rs::aead;
use common::*;
use percore::rustls::client::Resumption;
use percore::rustls::pki_types::CertificateDer;
use percore::rustls::version::{TLS12, TLS13};
use percore::rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, HandshakeKind, ProtocolVersion,
    SupportedProtocolVersion,
};
use percore::{Config, KernelTls, Listen, TlsSource};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Two nodes of one cluster: the same certificate, each with cores of its own.
fn two(config: &Config) -> ([(Lit, TlsSource); 2], CertificateDer<'static>) {
    let (chain, key) = certificate();
    let lit = || {
        let source = TlsSource::new(chain.clone(), key.clone_key()).unwrap();
        let listeners = vec![Listen::tls(([127, 0, 0, 1], 0).into(), source.clone())];
        (lines(Config { listeners, ..config.clone() }), source)
    };
    ([lit(), lit()], chain[0].clone())
}

/// One request on a connection of its own; how the handshake was done.
fn visit(lit: &Lit, client: &Arc<ClientConfig>) -> HandshakeKind {
    let mut peer = tls_connect(lit.plain, client);
    ask(&mut peer, "echo here\n", "here\n");
    peer.conn.handshake_kind().unwrap()
}

#[test]
fn a_viewer_resumes_at_another_edge_until_its_key_is_two_rotations_old() {
    on_each_driver(|config| {
        for version in VERSIONS {
            let ([(one, first), (other, second)], trusted) = two(&config);
            let rotate = |secrets: &[[u8; 32]]| {
                [&first, &second].iter().for_each(|it| it.share_tickets(secrets.iter().copied()));
            };
            let client = tls_client(&trusted, version);
            rotate(&[[1; 32]]);
            assert_eq!(visit(&one, &client), HandshakeKind::Full);
            assert_eq!(visit(&other, &client), HandshakeKind::Resumed, "{version:?}");
            // A ticket of TLS 1.3 is used once; take the next one from here, and go back.
            rotate(&[[2; 32], [1; 32]]);
            assert_eq!(visit(&one, &client), HandshakeKind::Resumed, "the key before this one");
            let counts = [&one, &other].map(|it| it.running.counters().total);
            assert_eq!(counts.map(|it| (it.handshakes, it.handshakes_resumed)), [(2, 1), (1, 1)]);
            // As if the viewer slept through two rotations.
            let asleep = tls_client(&trusted, version);
            rotate(&[[1; 32]]);
            visit(&one, &asleep);
            rotate(&[[3; 32], [2; 32]]);
            assert_eq!(visit(&other, &asleep), HandshakeKind::Full, "{version:?}");
            one.stop();
            other.stop();
        }
    });
}

#[test]
fn edges_that_share_nothing_resume_their_own_and_not_each_others() {
    on_each_driver(|config| {
        let ([(one, _), (other, _)], trusted) = two(&config);
        let client = tls_client(&trusted, &TLS13);
        assert_eq!(visit(&one, &client), HandshakeKind::Full);
        assert_eq!(visit(&one, &client), HandshakeKind::Resumed);
        assert_eq!(visit(&other, &client), HandshakeKind::Full);
        one.stop();
        other.stop();
    });
}

#[test]
fn a_session_is_resumed_under_a_new_certificate() {
    on_each_driver(|config| {
        let (config, source, trusted) = with_tls(config);
        let lit = lines(config);
        let client = tls_client(&trusted, &TLS13);
        visit(&lit, &client);
        let (chain, key) = certificate();
        source.replace(chain, key).unwrap();
        assert_eq!(visit(&lit, &client), HandshakeKind::Resumed);
        lit.stop();
    });
}

#[test]
fn both_versions_and_http_1_1_are_agreed_on_with_a_name_or_without() {
    on_each_driver(|config| {
        let (chain, key) = certificate();
        let listeners =
            vec![Listen::tls(([127, 0, 0, 1], 0).into(), TlsSource::new(chain.clone(), key).unwrap())];
        let lit = lines(Config { listeners, ..config });
        for (version, agreed) in
            VERSIONS.into_iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3])
        {
            for has_name in [true, false] {
                let mut client = (*tls_client(&chain[0], version)).clone();
                client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                client.enable_sni = has_name;
                client.resumption = Resumption::disabled();
                let mut peer = tls_connect(lit.plain, &Arc::new(client));
                ask(&mut peer, "echo on\n", "on\n");
                assert_eq!(peer.conn.protocol_version(), Some(agreed));
                assert_eq!(peer.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            }
        }
        assert_eq!(lit.running.counters().total.handshakes, 4);
        lit.stop();
    });
}

/// A ClientHello of TLS 1.1 as an old player says it: no extensions, a cipher of its time.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    record
}

#[test]
fn tls_1_1_is_refused_with_an_alert_that_says_why() {
    on_each_driver(|config| {
        let (config, _, _) = with_tls(config);
        let lit = lines(config);
        let mut peer = lit.connect();
        peer.write_all(&old_hello()).unwrap();
        let heard = hear_all(&mut peer);
        // Alert (21), fatal (2), handshake_failure (40): such a hello cannot name a signature we would make.
        assert_eq!((heard[0], &heard[5..]), (21, &[2, 40][..]), "{heard:?}");
        let counts = lit.until("it is gone", |it| it.open == 0);
        assert_eq!((counts.tls_failed, counts.handshakes), (1, 0));
        lit.stop();
    });
}

#[test]
fn a_hello_in_single_bytes_is_a_hello() {
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let lit = lines(config);
        let mut peer = lit.connect();
        let mut session =
            ClientConnection::new(tls_client(&trusted, &TLS13), "localhost".try_into().unwrap()).unwrap();
        while session.is_handshaking() {
            let mut said = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut said).unwrap();
            }
            said.chunks(1).for_each(|byte| peer.write_all(byte).unwrap());
            if session.is_handshaking() {
                session.read_tls(&mut peer).unwrap();
                session.process_new_packets().unwrap();
            }
        }
        let mut peer = TlsStream::new(session, peer);
        ask(&mut peer, "echo patient\n", "patient\n");
        lit.stop();
    });
}

/// A record of TLS 1.2 with AES-GCM: an explicit nonce, and the rest sealed.
struct Records {
    key: aead::LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Records {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            _ => panic!("not AES-GCM"),
        };
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key.as_ref()).unwrap());
        Self { key, iv: iv.as_ref().try_into().unwrap(), sequence }
    }

    fn associated(&mut self, kind: u8, len: usize) -> aead::Aad<Vec<u8>> {
        let mut associated = self.sequence.to_be_bytes().to_vec();
        associated.extend([kind, 3, 3, (len >> 8) as u8, len as u8]);
        self.sequence += 1;
        aead::Aad::from(associated)
    }

    fn seal(&mut self, kind: u8, plain: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        nonce.iter_mut().skip(4).zip(self.sequence.to_be_bytes()).for_each(|(byte, of)| *byte ^= of);
        let (mut sealed, associated) = (plain.to_vec(), self.associated(kind, plain.len()));
        let unique = aead::Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, associated, &mut sealed).unwrap();
        let len = sealed.len() + 8;
        [&[kind, 3, 3, (len >> 8) as u8, len as u8], &nonce[4..], &sealed].concat()
    }

    fn open(&mut self, peer: &mut impl Read) -> (u8, Vec<u8>) {
        let head = hear(peer, 5);
        let mut sealed = hear(peer, usize::from(head[3]) << 8 | usize::from(head[4]));
        let mut nonce = self.iv;
        nonce[4..].copy_from_slice(&sealed[..8]);
        let associated = self.associated(head[0], sealed.len() - 24);
        let unique = aead::Nonce::assume_unique_for_key(nonce);
        let plain = self.key.open_in_place(unique, associated, &mut sealed[8..]).unwrap();
        (head[0], plain.to_vec())
    }
}

#[test]
fn a_renegotiation_is_declined_and_the_connection_goes_on() {
    on_each_driver(|config| {
        let (config, _, trusted) = with_tls(config);
        let lit = lines(config);
        let mut client = (*tls_client(&trusted, &TLS12)).clone();
        client.enable_secret_extraction = true;
        let mut peer = tls_connect(lit.plain, &Arc::new(client));
        ask(&mut peer, "echo before\n", "before\n");
        let (session, mut socket) = peer.into_parts();
        let secrets = session.dangerous_extract_secrets().unwrap();
        let (mut to, mut from) = (Records::new(secrets.tx), Records::new(secrets.rx));
        socket.write_all(&to.seal(22, &old_hello()[5..])).unwrap();
        if kernel_tls() == KernelTls::Auto {
            // The kernel cannot say that; the connection ends in order.
            assert_eq!(from.open(&mut socket), (21, vec![1, 0]));
            assert_eq!(hear_all(&mut socket), b"");
            return drop(lit);
        }
        // Alert: warning (1), no_renegotiation (100).
        assert_eq!(from.open(&mut socket), (21, vec![1, 100]));
        socket.write_all(&to.seal(23, b"echo after\n")).unwrap();
        assert_eq!(from.open(&mut socket), (23, b"after\n".to_vec()));
        // close_notify is answered by close_notify and the end.
        socket.write_all(&to.seal(21, &[1, 0])).unwrap();
        assert_eq!(from.open(&mut socket), (21, vec![1, 0]));
        assert_eq!(hear_all(&mut socket), b"");
        lit.until("it is gone", |it| it.open == 0);
        lit.stop();
    });
}
