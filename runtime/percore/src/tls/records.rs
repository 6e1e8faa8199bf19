//! One connection's records, by rustls without buffers of its own.
//!
//! Lives here: what arrives becomes plaintext, bodies become records, records leave. Does not live here: when to read
//! and write (`engine`, `flush`), or connections whose records the kernel makes (`kernel`).
//!
//! Bodies are encrypted 256 KB at a time into one buffer of the core's, and leave in one send: a system call per 16 KB
//! record is what makes user-space TLS dear. Only what the socket has not taken is kept for the connection.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::net::SendFlags;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, WriteTraffic};
use rustls::{HandshakeKind, ServerConfig};

use crate::connection::Outbound;
use crate::driver::memory;
use crate::sys::ktls::Version;
use crate::tls::KernelSuites;

/// Plaintext encrypted at a time: the most, and so the most ciphertext that waits on one slow connection.
const BATCH_MAX: usize = 256 * 1024;
/// The least, for a connection that has not shown yet how much it takes.
const BATCH_MIN: usize = 64 * 1024;

/// Undecrypted bytes that are kept until a record, or a handshake message over several of them, is whole. The longest
/// message that rustls takes is 64 KB, and one record may follow it.
pub(crate) const UNDECRYPTED_BYTES: usize = 88 * 1024;

/// Plaintext of a record (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;
/// What a record costs beside its plaintext: head 5, tag 16, and 1 (TLS 1.3) or 8 (TLS 1.2).
const RECORD_EXTRA: usize = 5 + 16 + 8;
/// For a KeyUpdate that rustls puts before the next record, and for an alert.
const ASIDE: usize = 256;

/// A core's buffer for records that leave at once.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    fn room(&mut self) -> &mut [u8] {
        // Every body ends a record, so there may be one more than full ones for each; allocated by the first who needs it.
        const BODIES: usize = 64;
        self.0.resize(BATCH_MAX + (BATCH_MAX / RECORD + BODIES) * RECORD_EXTRA + ASIDE, 0);
        &mut self.0
    }
}

/// Why a connection's TLS is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error("a record or handshake message of more than {UNDECRYPTED_BYTES} bytes")]
    TooLong,
}

/// One connection's TLS.
pub(crate) struct Records {
    session: UnbufferedServerConnection,
    undecrypted: Vec<u8>,
    unsent: Unsent,
    batch: usize,
    /// rustls must not be asked again: it would make a second alert.
    has_failed: bool,
}

/// Records that wait for the socket.
#[derive(Default)]
struct Unsent {
    bytes: Vec<u8>,
    at: usize,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

impl Records {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let session = UnbufferedServerConnection::new(config)?;
        Ok(Self {
            session,
            undecrypted: Vec::new(),
            unsent: Unsent::default(),
            batch: BATCH_MIN,
            has_failed: false,
        })
    }

    /// Takes what arrived from the socket, and appends what it says to `plaintext`. Whether the peer has said that
    /// it ends is in the answer.
    pub(crate) fn read(&mut self, input: &[u8], plaintext: &mut Vec<u8>) -> Result<bool, RecordError> {
        if self.has_failed {
            return Ok(false);
        }
        self.undecrypted.extend_from_slice(input);
        let mut used = 0;
        let mut result = self.process(&mut used, plaintext);
        if result.is_ok() && self.undecrypted.len() - used > UNDECRYPTED_BYTES {
            result = Err(RecordError::TooLong);
        }
        if result.is_err() {
            self.has_failed = true;
            self.take_alert(used);
            used = self.undecrypted.len();
        }
        if used == self.undecrypted.len() {
            self.undecrypted = Vec::new();
        } else {
            self.undecrypted.drain(..used);
        }
        result
    }

    fn process(&mut self, used: &mut usize, plaintext: &mut Vec<u8>) -> Result<bool, RecordError> {
        let mut has_ended = false;
        loop {
            let status = self.session.process_tls_records(&mut self.undecrypted[*used..]);
            *used += status.discard;
            match status.state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        plaintext.extend_from_slice(record.payload);
                        *used += record.discard;
                    }
                }
                ConnectionState::EncodeTlsData(said) => self.unsent.encode(said),
                ConnectionState::TransmitTlsData(said) => said.done(),
                ConnectionState::PeerClosed => has_ended = true,
                // Early data is never asked for.
                _ => return Ok(has_ended),
            }
        }
    }

    /// What rustls has to say to the peer about an error still goes out.
    fn take_alert(&mut self, used: usize) {
        while self.session.wants_write() {
            match self.session.process_tls_records(&mut self.undecrypted[used..]).state {
                Ok(ConnectionState::EncodeTlsData(said)) => self.unsent.encode(said),
                _ => break,
            }
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Bytes that this connection keeps: records the socket has not taken, and what is not decrypted.
    pub(crate) fn waiting(&self) -> usize {
        self.unsent.bytes.capacity() + self.undecrypted.capacity()
    }

    /// Whether nothing of the peer waits undecrypted.
    pub(crate) fn is_aligned(&self) -> bool {
        self.undecrypted.is_empty() && !self.has_failed
    }

    /// Whether the kernel knows what was agreed on.
    pub(crate) fn is_for(&self, kernel: &KernelSuites) -> Option<Version> {
        kernel.can(&self.session)
    }

    pub(crate) fn into_session(self) -> UnbufferedServerConnection {
        self.session
    }

    /// Whether records wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.unsent.at < self.unsent.bytes.len()
    }

    /// Sends records that wait, as many as the socket takes in one call.
    pub(crate) fn write(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let result = send(socket, &self.unsent.bytes[self.unsent.at..]);
        if let Ok(n) = &result {
            self.unsent.at += n;
        }
        if !self.wants_write() {
            self.unsent = Unsent::default();
        }
        result
    }

    /// Makes records of the bodies that wait, a batch of them, and sends what the socket takes; the rest waits here.
    pub(crate) fn write_bodies(
        &mut self,
        socket: BorrowedFd<'_>,
        outbound: &mut Outbound,
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        let (records, mut len, mut room) = (scratch.room(), 0, self.batch);
        while room > 0
            && let Some(body) = outbound.first()
        {
            let bytes = memory(body)?;
            let n = bytes.len().min(room);
            // Too little room for the records of many small bodies: they make the next batch.
            if records.len() - len < n + (n / RECORD + 1) * RECORD_EXTRA + ASIDE {
                break;
            }
            len += self.encrypt(&bytes[..n], &mut records[len..])?;
            outbound.advance(n);
            room -= n;
        }
        let sent = match send(socket, &records[..len]) {
            // The records are made and must go in this order, so they wait.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(0)
            }
            other => other,
        }?;
        if sent < len {
            self.batch = (self.batch / 2).max(BATCH_MIN);
            self.unsent = Unsent { bytes: records[sent..len].to_vec(), at: 0 };
        } else {
            // A socket that takes everything may get more at a time; one that fills up keeps less waiting here.
            self.batch = (self.batch * 2).min(BATCH_MAX);
        }
        Ok(sent)
    }

    fn encrypt(&mut self, plaintext: &[u8], records: &mut [u8]) -> io::Result<usize> {
        let Some(mut traffic) = self.traffic() else {
            return Err(io::Error::other("TLS cannot send any more"));
        };
        traffic.encrypt(plaintext, records).map_err(io::Error::other)
    }

    /// The way to write, once the handshake is done and until both sides have ended.
    fn traffic(&mut self) -> Option<WriteTraffic<'_, rustls::server::ServerConnectionData>> {
        if self.has_failed {
            return None;
        }
        match self.session.process_tls_records(&mut self.undecrypted).state {
            Ok(ConnectionState::WriteTraffic(traffic)) => Some(traffic),
            _ => None,
        }
    }

    /// Says that nothing more will come.
    pub(crate) fn say_goodbye(&mut self) {
        let mut alert = [0; ASIDE];
        let Some(mut traffic) = self.traffic() else { return };
        if let Ok(n) = traffic.queue_close_notify(&mut alert) {
            self.unsent.bytes.extend_from_slice(&alert[..n]);
        }
    }
}

impl Unsent {
    fn encode(&mut self, mut said: EncodeTlsData<'_, rustls::server::ServerConnectionData>) {
        let start = self.bytes.len();
        // Asked with no room, it says how much it needs.
        if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
            said.encode(&mut [])
        {
            self.bytes.resize(start + required_size, 0);
            let encoded = said.encode(&mut self.bytes[start..]);
            self.bytes.truncate(start + encoded.unwrap_or(0));
        }
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

    use super::*;
    use crate::tls::{Tls, TlsSource};

    struct Pair {
        ours: Records,
        theirs: ClientConnection,
        heard: Vec<u8>,
    }

    fn source() -> (TlsSource, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        (TlsSource::new(vec![made.cert.der().clone()], key.into()).unwrap(), made.cert.der().clone())
    }

    impl Pair {
        fn new(
            (source, trusted): &(TlsSource, CertificateDer<'static>),
            version: &'static SupportedProtocolVersion,
        ) -> Self {
            let Tls::Records(ours) = source.connection().unwrap() else {
                panic!("the kernel has it already")
            };
            let mut roots = RootCertStore::empty();
            roots.add(trusted.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let client =
                ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
            let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
            let theirs = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
            Self { ours: *ours, theirs, heard: Vec::new() }
        }

        fn says(&mut self) -> Vec<u8> {
            let mut said = Vec::new();
            while self.theirs.wants_write() {
                self.theirs.write_tls(&mut said).unwrap();
            }
            said
        }

        /// Carries what both have to say, in pieces, until neither has any more.
        fn carry(&mut self, piece: usize) {
            loop {
                let said = self.says();
                let answered = std::mem::take(&mut self.ours.unsent).bytes;
                if said.is_empty() && answered.is_empty() {
                    return;
                }
                for piece in said.chunks(piece) {
                    self.ours.read(piece, &mut self.heard).unwrap();
                }
                let mut answered = answered.as_slice();
                while !answered.is_empty() {
                    self.theirs.read_tls(&mut answered).unwrap();
                    self.theirs.process_new_packets().unwrap();
                }
            }
        }
    }

    #[test]
    fn an_idle_connection_keeps_no_buffer_however_its_bytes_came() {
        let source = source();
        for (version, piece) in [(&TLS13, 1), (&TLS13, 7), (&TLS12, 3), (&TLS12, 1 << 16)] {
            let mut pair = Pair::new(&source, version);
            pair.carry(piece);
            assert!(!pair.ours.is_handshaking() && pair.ours.is_aligned());
            pair.theirs.writer().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            pair.carry(piece);
            assert_eq!(pair.heard, b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!((pair.ours.undecrypted.capacity(), pair.ours.unsent.bytes.capacity()), (0, 0));
        }
    }

    #[test]
    fn goodbyes_are_said_once_and_heard() {
        let source = source();
        for version in [&TLS13, &TLS12] {
            let mut pair = Pair::new(&source, version);
            pair.carry(1 << 16);
            pair.ours.say_goodbye();
            pair.ours.say_goodbye();
            pair.carry(1 << 16);
            assert_eq!(pair.theirs.reader().read(&mut [0; 1]).unwrap(), 0, "the end, and no truncation");
            pair.theirs.send_close_notify();
            let said = pair.says();
            assert!(pair.ours.read(&said, &mut Vec::new()).unwrap());
        }
    }

    #[test]
    fn a_record_without_an_end_is_kept_so_long_and_no_longer() {
        let source = source();
        let mut pair = Pair::new(&source, &TLS13);
        pair.carry(1 << 16);
        // A handshake message of 16 MB, begun in records of 16 KB that rustls can open only one by one.
        let mut kept = 0;
        let result = (0..100).try_for_each(|_| {
            let read = pair.ours.read(&[&[23, 3, 3, 0x40, 0][..], &[0; 8000]].concat(), &mut Vec::new());
            kept = kept.max(pair.ours.undecrypted.len());
            read.map(drop)
        });
        assert!(result.is_err() && kept <= UNDECRYPTED_BYTES, "{kept}");
        assert_eq!(pair.ours.undecrypted.capacity(), 0);
        assert!(pair.ours.read(&[0; 8000], &mut Vec::new()).is_ok(), "and is not asked again");
    }

    #[test]
    fn any_bytes_at_any_time_are_an_error_at_most() {
        let source = source();
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for case in 0..1500 {
            let mut pair = Pair::new(&source, if case % 2 == 0 { &TLS13 } else { &TLS12 });
            // Before, within and after the handshake.
            for _ in 0..next(3) {
                let said = pair.says();
                pair.ours.read(&said, &mut pair.heard).unwrap();
                let answered = std::mem::take(&mut pair.ours.unsent).bytes;
                pair.theirs.read_tls(&mut answered.as_slice()).unwrap();
                pair.theirs.process_new_packets().unwrap();
            }
            if !pair.theirs.is_handshaking() {
                pair.theirs.writer().write_all(&[b'x'; 300]).unwrap();
            }
            let mut said = pair.says();
            for _ in 0..=next(4) {
                match next(4) {
                    0 if !said.is_empty() => {
                        let at = next(said.len());
                        said[at] ^= 1 << next(8);
                    }
                    1 if !said.is_empty() => said.truncate(next(said.len())),
                    2 => said.extend_from_within(..),
                    _ => said.extend((0..next(40)).map(|_| next(256) as u8)),
                }
            }
            let (mut rest, mut failures) = (said.as_slice(), 0);
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + next(rest.len()));
                failures += usize::from(pair.ours.read(piece, &mut Vec::new()).is_err());
                rest = after;
            }
            pair.ours.say_goodbye();
            assert!(failures <= 1, "an error is said once");
        }
    }
}
