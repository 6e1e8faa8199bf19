//! One connection's records, by rustls.
//!
//! Lives here: what arrives becomes plaintext, plaintext becomes records, records leave. Does not live here: when to
//! read and write (`engine`, `flush`).
//!
//! Plaintext is encrypted up to 256 KB at a time and the records leave in one vectored send: one system call per 16
//! KB record is what makes user-space TLS dear (measured 1.25 against 0.32 CPU-seconds per GB).

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::net::{SendAncillaryBuffer, SendFlags};
use rustls::ServerConnection;

/// Plaintext encrypted at a time: the most, and so the most ciphertext that waits on one slow connection.
const BATCH_MAX: usize = 256 * 1024;
/// The least, for a connection that has not shown yet how much it takes.
const BATCH_MIN: usize = 64 * 1024;

/// One connection's TLS.
pub(crate) struct Tls {
    session: ServerConnection,
    batch: usize,
    /// About how many bytes of records wait for the socket.
    waiting: usize,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub(crate) fn new(mut session: ServerConnection) -> Self {
        // What we encrypt at once is bounded by `BATCH_MAX`; rustls need not bound it again.
        session.set_buffer_limit(None);
        Self { session, batch: BATCH_MIN, waiting: 0 }
    }

    /// Takes what arrived from the socket, and appends what it says to `plaintext`. Whether the peer has said that
    /// it ends is in the answer.
    pub(crate) fn read(&mut self, mut input: &[u8], plaintext: &mut Vec<u8>) -> Result<bool, rustls::Error> {
        let mut has_ended = false;
        while !input.is_empty() {
            let full = |_| rustls::Error::General("more handshake bytes than may be kept".to_owned());
            if self.session.read_tls(&mut input).map_err(full)? == 0 {
                break;
            }
            let state = self.session.process_new_packets()?;
            has_ended |= state.peer_has_closed();
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let start = plaintext.len();
                plaintext.resize(start + left, 0);
                let n = self.session.reader().read(&mut plaintext[start..]).unwrap_or(0);
                plaintext.truncate(start + n);
                left = if n == 0 { 0 } else { left - n };
            }
        }
        Ok(has_ended)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Whether records wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// How much plaintext to encrypt before the next write.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// About how many bytes of records wait for the socket.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Makes records of `plaintext`, all of it.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.waiting += plaintext.len();
        self.session.writer().write_all(plaintext)
    }

    /// Says that nothing more will come.
    pub(crate) fn say_goodbye(&mut self) {
        self.session.send_close_notify();
    }

    /// Sends records that wait, as many as the socket takes in one call.
    pub(crate) fn write(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let result = self.session.write_tls(&mut Socket(socket));
        self.waiting = match &result {
            Ok(n) if self.session.wants_write() => self.waiting.saturating_sub(*n),
            Ok(_) => 0,
            Err(_) => self.waiting,
        };
        match &result {
            // A socket that takes everything may get more at a time; one that fills up keeps less waiting here.
            Ok(_) if !self.session.wants_write() => self.batch = (self.batch * 2).min(BATCH_MAX),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.batch = (self.batch / 2).max(BATCH_MIN);
            }
            _ => {}
        }
        result
    }
}

struct Socket<'a>(BorrowedFd<'a>);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::sendmsg(self.0, slices, &mut SendAncillaryBuffer::default(), flags)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
