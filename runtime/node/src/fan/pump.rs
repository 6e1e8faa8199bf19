//! One TLS connection: bytes in, bytes out, at the same time, until somebody has enough.
//!
//! Lives here: what every connection between nodes has in common. Does not live here: which room the bytes are
//! for, and who dials whom.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Bytes written but not yet sent that the kernel takes: the less, the later it is decided what goes first.
const NOT_SENT_BYTES: u32 = 128 * 1024;

/// Bytes asked of a room at a time, and read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// How often a room that waits for nothing else is asked whether time has brought something.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the clock on the wall shows: microseconds since the Unix epoch.
pub(super) fn unix_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// Wakes a connection that waits for something to send, or ends it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    something: Notify,
    over: Notify,
    why: Mutex<Option<String>>,
}

impl Gate {
    /// The room has something to send.
    pub(super) fn wake(&self) {
        self.something.notify_one();
    }

    /// The room is done with the connection.
    pub(super) fn close(&self, why: &str) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
        self.over.notify_one();
    }
}

/// Options every connection between nodes has.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_BYTES)
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) why: String,
    /// TLS found that what came is not what was sent, here or at the other end: whoever sent it is alive.
    pub(super) is_garbled: bool,
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        // Everything else of TLS is known after the handshake (a certificate, a version), or is our own mistake.
        let is_garbled = inner.is_some_and(|error| {
            use rustls::AlertDescription::{BadRecordMac, DecodeError, RecordOverflow, UnexpectedMessage};
            use rustls::Error::{AlertReceived, DecryptError, InvalidMessage, PeerSentOversizedRecord};
            matches!(
                error,
                DecryptError
                    | InvalidMessage(_)
                    | PeerSentOversizedRecord
                    | AlertReceived(BadRecordMac | DecodeError | RecordOverflow | UnexpectedMessage)
            )
        });
        Self { why: error.to_string(), is_garbled }
    }
}

/// Whether a handshake ended because its bytes were changed on the way. Less counts than in a connection that is up:
/// whoever speaks no TLS at all, or one that does not suit ours, is to be dialled ever less often.
pub(super) fn is_garbled_handshake(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(
            rustls::Error::DecryptError
                | rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)
        )
    )
}

/// Carries bytes both ways until the connection or the room ends; answers why. Both ends always read: a TLS 1.3
/// peer that only writes loses its tail at close.
pub(super) async fn pump(
    stream: impl AsyncRead + AsyncWrite,
    gate: &Gate,
    received: impl FnMut(&[u8]),
    transmit: impl FnMut(usize, &mut Vec<u8>),
) -> Over {
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        () = gate.over.notified() => Ok(()),
        read = read(reader, received) => read,
        written = write(writer, gate, transmit) => written,
    };
    let why = gate.why.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (why, ended) {
        (None, Err(error)) => error.into(),
        (why, _) => Over { why: why.unwrap_or_else(|| "closed".to_owned()), is_garbled: false },
    }
}

async fn read(mut reader: impl AsyncRead + Unpin, mut received: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut piece).await? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end closed")),
            len => received(&piece[..len]),
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    gate: &Gate,
    mut transmit: impl FnMut(usize, &mut Vec<u8>),
) -> io::Result<()> {
    // An OPEN and a DATA's head fit beside the piece.
    let mut piece = Vec::with_capacity(PIECE_BYTES + 8 * 1024);
    loop {
        piece.clear();
        transmit(PIECE_BYTES, &mut piece);
        if piece.is_empty() {
            writer.flush().await?;
            gate.something.notified().await;
        } else {
            writer.write_all(&piece).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, Error};

    #[test]
    fn who_sent_what_was_garbled_is_there_and_who_closed_may_be_gone() {
        let by_tls = |error| Over::from(io::Error::new(io::ErrorKind::InvalidData, error)).is_garbled;
        assert!(by_tls(Error::DecryptError));
        assert!(by_tls(Error::AlertReceived(AlertDescription::BadRecordMac)));
        assert!(!by_tls(Error::AlertReceived(AlertDescription::CertificateExpired)));
        assert!(!by_tls(Error::NoCertificatesPresented));
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::InvalidData]
        {
            assert!(!Over::from(io::Error::new(kind, "closed")).is_garbled);
        }
    }

    #[test]
    fn who_speaks_no_tls_is_no_garbled_handshake() {
        let by_tls = |error: Error| is_garbled_handshake(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(by_tls(Error::DecryptError));
        assert!(by_tls(Error::AlertReceived(AlertDescription::BadRecordMac)));
        assert!(!by_tls(Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)));
        assert!(!by_tls(Error::AlertReceived(AlertDescription::HandshakeFailure)));
        assert!(!is_garbled_handshake(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
