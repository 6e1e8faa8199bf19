//! A TCP socket that waits by monoio and moves bytes by plain non-blocking calls.
//!
//! Readiness instead of completions, so that one path serves the ring and epoll, and so that a body can be thrown
//! away in the kernel: `recv` with `MSG_TRUNC` takes bytes off a TCP socket without copying them (tcp(7)).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use monoio::net::TcpStream;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use socket2::{Domain, Protocol, Socket as Raw, Type};

/// A connection, or the try to make one.
pub(crate) struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// Begins to connect; [`Socket::connected`] waits for it.
    pub(crate) fn connect(
        to: SocketAddr,
        from: Option<IpAddr>,
        receive_buffer: Option<usize>,
    ) -> io::Result<Self> {
        let raw = Raw::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if let Some(from) = from.filter(|from| from.is_ipv4() == to.is_ipv4()) {
            raw.bind(&SocketAddr::new(from, 0).into())?;
        }
        if let Some(bytes) = receive_buffer {
            // Before the handshake, which announces the window.
            raw.set_recv_buffer_size(bytes)?;
        }
        raw.set_tcp_nodelay(true)?;
        match raw.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(Self { stream: TcpStream::from_std(raw.into())? })
    }

    /// Waits until it is connected, or cannot be.
    pub(crate) async fn connected(&self) -> io::Result<()> {
        self.stream.writable(false).await?;
        rustix::net::sockopt::socket_error(self.fd())??;
        Ok(())
    }

    /// Waits until there is something to read, or the end.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable(false).await
    }

    /// Waits until something can be sent.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable(false).await
    }

    /// Reads what is there.
    pub(crate) fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        let (bytes, _) = rustix::net::recv(self.fd(), into, RecvFlags::DONTWAIT)?;
        Ok(bytes)
    }

    /// Throws away at most `bytes` of what is there. `unread` is never written to: only its length counts.
    pub(crate) fn discard(&self, bytes: u64, unread: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(unread.len());
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, gone) = rustix::net::recv(self.fd(), &mut unread[..most], flags)?;
        Ok(gone)
    }

    /// Sends what there is room for.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// Whoever waits for it is told that it has ended.
    pub(crate) fn cut(&self) {
        // One that the peer has ended already is none any more.
        let _ = rustix::net::shutdown(self.fd(), Shutdown::Both);
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream owns the descriptor and closes it only when it is dropped; it is borrowed as long as
        // the stream is.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    /// The story on either driver.
    fn on_both_drivers<F: Future<Output = ()>>(story: impl Fn() -> F) {
        let mut ring = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().enable_timer().build().unwrap();
        ring.block_on(story());
        drop(ring);
        let epoll = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
        epoll.unwrap().block_on(story());
    }

    #[test]
    fn a_body_is_thrown_away_unread_and_what_comes_behind_it_is_not() {
        on_both_drivers(|| async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = Socket::connect(listener.local_addr().unwrap(), None, None).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            socket.connected().await.unwrap();
            peer.write_all(&[b'x'; 100_000]).unwrap();
            peer.write_all(b"behind").unwrap();
            let (mut unread, mut left) = (vec![7; 1 << 20], 100_000);
            while left > 0 {
                match socket.discard(left, &mut unread) {
                    Ok(gone) => left -= gone as u64,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        socket.readable().await.unwrap()
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(unread.iter().all(|byte| *byte == 7), "nothing is written where nothing is read");
            socket.readable().await.unwrap();
            let mut behind = [0; 64];
            let count = socket.recv(&mut behind).unwrap();
            assert_eq!(&behind[..count], b"behind");
            assert_eq!(socket.recv(&mut behind).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    fn who_waits_for_a_socket_that_is_cut_wakes_up() {
        on_both_drivers(|| async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let to = listener.local_addr().unwrap();
            let socket =
                std::rc::Rc::new(Socket::connect(to, Some([127, 3, 2, 1].into()), Some(8192)).unwrap());
            socket.connected().await.unwrap();
            let (mut peer, from) = listener.accept().unwrap();
            assert_eq!(from.ip(), IpAddr::from([127, 3, 2, 1]));
            let other = socket.clone();
            monoio::spawn(async move {
                monoio::time::sleep(Duration::from_millis(20)).await;
                other.cut();
            });
            socket.readable().await.unwrap();
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 0);
            assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        });
    }

    #[test]
    fn nobody_there_is_a_refusal() {
        on_both_drivers(|| async {
            // Nobody who asks for any port comes to listen there meanwhile.
            let to = SocketAddr::from(([127, 0, 0, 1], 1));
            let refused = match Socket::connect(to, None, None) {
                Ok(socket) => socket.connected().await,
                Err(error) => Err(error),
            };
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        });
    }
}
