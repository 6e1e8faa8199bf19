//! One connection to an origin, plain or TLS, used for one answer after the other.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use viewer::Failure;

use super::Socket;
use crate::origin::Origin;

/// What a read came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Read {
    /// So many bytes came.
    Bytes(usize),
    /// Nothing is there; wait for [`Socket::readable`].
    Nothing,
    /// The peer has ended.
    End,
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) socket: Rc<Socket>,
    tls: Option<Box<ClientConnection>>,
    pub(crate) origin: Arc<Origin>,
    /// Answers it has brought.
    pub(crate) answers: u32,
    /// Since when nobody uses it.
    pub(crate) idle_since: Instant,
}

impl Connection {
    /// Begins a connection from there to here.
    pub(crate) fn begin(
        origin: Arc<Origin>,
        to: SocketAddr,
        from: Option<IpAddr>,
        receive_buffer: Option<usize>,
        now: Instant,
    ) -> Result<Self, Failure> {
        let socket = Socket::connect(to, from, receive_buffer).map_err(|error| told(&error))?;
        Ok(Self { socket: Rc::new(socket), tls: None, origin, answers: 0, idle_since: now })
    }

    /// Waits until TCP is connected.
    pub(crate) async fn connected(&self) -> Result<(), Failure> {
        self.socket.connected().await.map_err(|error| told(&error))
    }

    /// Shakes hands.
    pub(crate) async fn greet(&mut self, client: &Arc<ClientConfig>) -> Result<(), Failure> {
        let name = ServerName::try_from(self.origin.host.to_string()).map_err(|_| Failure::Tls)?;
        let tls = ClientConnection::new(client.clone(), name).map_err(|_| Failure::Tls)?;
        let tls = self.tls.insert(Box::new(tls));
        let mut port = Port(&self.socket);
        while tls.is_handshaking() || tls.wants_write() {
            if tls.wants_write() {
                match tls.write_tls(&mut port) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.socket.writable().await.map_err(|error| told(&error))?;
                    }
                    Err(error) => return Err(told(&error)),
                }
                continue;
            }
            match tls.read_tls(&mut port) {
                Ok(0) => return Err(Failure::Tls),
                Ok(_) => {
                    tls.process_new_packets().map_err(|_| Failure::Tls)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.readable().await.map_err(|error| told(&error))?;
                }
                Err(error) => return Err(told(&error)),
            }
        }
        Ok(())
    }

    /// Sends a whole request.
    pub(crate) async fn send(&mut self, mut request: &[u8]) -> Result<(), Failure> {
        if let Some(tls) = &mut self.tls {
            // Far below what rustls holds back before it refuses more.
            io::Write::write_all(&mut tls.writer(), request).map_err(|_| Failure::Tls)?;
            request = &[];
        }
        loop {
            let sent = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut Port(&self.socket)),
                _ if request.is_empty() => return Ok(()),
                _ => self.socket.send(request),
            };
            match sent {
                Ok(sent) => request = &request[sent.min(request.len())..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.writable().await.map_err(|error| told(&error))?;
                }
                Err(error) => return Err(told(&error)),
            }
        }
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<Read, Failure> {
        let Some(tls) = &mut self.tls else { return progress(self.socket.recv(into)) };
        let mut port = Port(&self.socket);
        loop {
            match io::Read::read(&mut tls.reader(), into) {
                Ok(0) => return Ok(Read::End),
                Ok(bytes) => return Ok(Read::Bytes(bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Without a close_notify; whether something is missing the answer's length says.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Read::End),
                Err(_) => return Err(Failure::Tls),
            }
            match tls.read_tls(&mut port) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Read::Nothing),
                Err(error) => return Err(told(&error)),
                Ok(_) => {
                    tls.process_new_packets().map_err(|_| Failure::Tls)?;
                }
            }
        }
    }

    /// Takes at most `bytes` of what is there off the connection, and leaves what it is to the kernel where it can;
    /// `scratch` may be written to.
    pub(crate) fn discard(&mut self, bytes: u64, scratch: &mut [u8]) -> Result<Read, Failure> {
        if self.tls.is_none() {
            return progress(self.socket.discard(bytes, scratch));
        }
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(scratch.len());
        self.read(&mut scratch[..most])
    }

    /// Whether bodies are thrown away in the kernel.
    pub(crate) fn discards_unread(&self) -> bool {
        self.tls.is_none()
    }
}

fn progress(read: io::Result<usize>) -> Result<Read, Failure> {
    match read {
        Ok(0) => Ok(Read::End),
        Ok(bytes) => Ok(Read::Bytes(bytes)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Read::Nothing),
        Err(error) => Err(told(&error)),
    }
}

/// What the kernel said, in a viewer's words.
fn told(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Failure::Other,
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => Failure::Other,
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ETIMEDOUT) => {
            Failure::Refused
        }
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => Failure::Reset,
        _ => Failure::Closed,
    }
}

/// A socket as rustls wants one.
struct Port<'a>(&'a Socket);

impl io::Read for Port<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.recv(into)
    }
}

impl io::Write for Port<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
