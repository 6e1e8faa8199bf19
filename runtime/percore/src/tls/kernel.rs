//! TLS connections whose records the kernel makes and takes off, so that segments leave by sendfile(2) here too.
//!
//! Lives here: whether this kernel can, giving it a connection's keys, and what is left to say and to hear after that.
//! Does not live here: when (`engine::kernel`), or the socket options (`sys::ktls`).
//!
//! The kernel does not change keys (Linux can since 6.14, and we do not ask it to): a peer that changes its own is
//! answered to the end and closed, and so is one that has been sent as many records as one key is good for.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustls::server::UnbufferedServerConnection;
use rustls::{CipherSuite, ConnectionTrafficSecrets, ProtocolVersion};

use crate::config::KernelTls;
use crate::sys::ktls::{self, ALERT, Cipher, Direction, Keys, Version};

/// Records that one key of AES-GCM may make: 2^24.5 (RFC 8446, section 5.5). Some less, for those made before the
/// hand-over and for the last answer.
const RECORDS_MAX: u32 = 1 << 24;
const RECORD_BYTES: usize = 16 * 1024;

/// How long the probe waits for its own byte.
const PROBE_MAX: Duration = Duration::from_secs(1);

const EVERY: [(Version, Cipher); 6] = [
    (Version::Tls13, Cipher::Aes128Gcm),
    (Version::Tls13, Cipher::Aes256Gcm),
    (Version::Tls13, Cipher::Chacha20Poly1305),
    (Version::Tls12, Cipher::Aes128Gcm),
    (Version::Tls12, Cipher::Aes256Gcm),
    (Version::Tls12, Cipher::Chacha20Poly1305),
];

/// What this kernel's TLS is good for.
#[derive(Clone, Debug, Default)]
pub(crate) struct KernelSuites {
    works: Vec<(Version, Cipher)>,
}

impl KernelSuites {
    /// Tries everything there is once, by a byte sent to ourselves; says in the log what came of it.
    pub(crate) fn probe(asked: KernelTls) -> Self {
        if asked == KernelTls::Off {
            tracing::info!("TLS records are made by this program: `off` was asked for");
            return Self::default();
        }
        let mut why = None;
        let mut works = |&(version, cipher): &(Version, Cipher)| match try_out(version, cipher) {
            Ok(()) => true,
            Err(error) => {
                why.get_or_insert(error);
                false
            }
        };
        let works: Vec<_> = EVERY.into_iter().filter(&mut works).collect();
        match why {
            None => tracing::info!("TLS records are made by the kernel: it can"),
            Some(error) if works.is_empty() => {
                tracing::info!(
                    "TLS records are made by this program, the kernel cannot (module `tls`?): {error}"
                );
            }
            Some(error) => {
                tracing::info!(?works, "some TLS records are made by the kernel; the others: {error}")
            }
        }
        Self { works }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    /// Whether what was agreed on is something this kernel can do.
    pub(crate) fn can(&self, session: &UnbufferedServerConnection) -> Option<Version> {
        let version = match session.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Version::Tls12,
            ProtocolVersion::TLSv1_3 => Version::Tls13,
            _ => return None,
        };
        let cipher = match session.negotiated_cipher_suite()?.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Cipher::Aes128Gcm,
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Cipher::Aes256Gcm,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Cipher::Chacha20Poly1305,
            _ => return None,
        };
        self.works.contains(&(version, cipher)).then_some(version)
    }
}

fn try_out(version: Version, cipher: Cipher) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut one = TcpStream::connect(listener.local_addr()?)?;
    let (mut other, _) = listener.accept()?;
    let keys = Keys::example(version, cipher);
    for (socket, direction) in [(&one, Direction::Send), (&other, Direction::Receive)] {
        ktls::prepare(socket.as_fd())?;
        ktls::install(socket.as_fd(), direction, &keys)?;
    }
    other.set_read_timeout(Some(PROBE_MAX))?;
    one.write_all(b"?")?;
    let mut heard = [0];
    other.read_exact(&mut heard)?;
    if heard == *b"?" { Ok(()) } else { Err(io::Error::other("a byte came back as another")) }
}

/// What is left of a connection that the kernel has: how many more records its key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelRecords {
    left: u32,
}

/// What the peer has said that is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It ends.
    Goodbye,
    /// Another alert, or what we cannot follow: new keys, a renegotiation.
    Unanswerable,
}

impl KernelRecords {
    /// Gives the kernel the keys of `session`, whose records have all left, and of whose peer nothing waits undecrypted.
    /// On an error the connection is of no use any more.
    pub(crate) fn take_over(
        socket: BorrowedFd<'_>,
        session: UnbufferedServerConnection,
        version: Version,
    ) -> io::Result<Self> {
        let (secrets, _) = session.dangerous_into_kernel_connection().map_err(io::Error::other)?;
        let keys = |(sequence, secrets): (u64, ConnectionTrafficSecrets)| {
            let unknown = || io::Error::other("a cipher the kernel does not know");
            Keys::new(version, sequence, &secrets).ok_or_else(unknown)
        };
        ktls::install(socket, Direction::Send, &keys(secrets.tx)?)?;
        ktls::install(socket, Direction::Receive, &keys(secrets.rx)?)?;
        Ok(Self { left: RECORDS_MAX })
    }

    /// `n` bytes have left by one call. Whether the key is still good for another answer.
    pub(crate) fn spend(&mut self, n: usize) -> bool {
        let records = u32::try_from(n / RECORD_BYTES).unwrap_or(u32::MAX).saturating_add(2);
        self.left = self.left.saturating_sub(records);
        self.left > 0
    }

    /// Says that nothing more will come. The kernel first sends what it still has of the last record.
    pub(crate) fn say_goodbye(self, socket: BorrowedFd<'_>) {
        // Warning, close_notify. If the socket does not take it now, it stays unsaid.
        let _ = ktls::send_record(socket, ALERT, &[1, 0]);
    }

    /// A receive has failed: because of a record that is no data?
    pub(crate) fn hear(self, socket: BorrowedFd<'_>) -> io::Result<Aside> {
        let mut content = [0; RECORD_BYTES];
        match ktls::receive_record(socket, &mut content)? {
            (ALERT, 2) if content[1] == 0 => Ok(Aside::Goodbye),
            (kind, n) => {
                tracing::debug!(kind, n, "a record that the kernel's TLS cannot follow");
                Ok(Aside::Unanswerable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_so_many_records_and_the_last_answer_may_be_long() {
        let mut records = KernelRecords { left: 10 };
        assert!(records.spend(1));
        assert!(records.spend(5 * RECORD_BYTES));
        assert!(!records.spend(64 << 20));
        assert!(!records.spend(1), "and it stays so");
        // What one answer can be (64 MB) is far from what is left between our bound and that of RFC 8446.
        const { assert!(RECORDS_MAX + (64 << 20) / 16_384 < 23_726_566) };
    }

    #[test]
    fn what_is_off_is_not_tried() {
        assert!(KernelSuites::probe(KernelTls::Off).is_empty());
    }

    #[test]
    fn the_probe_and_the_socket_option_agree() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let has_module = ktls::prepare(one.as_fd()).is_ok();
        assert!(has_module || KernelSuites::probe(KernelTls::Auto).is_empty());
    }
}
