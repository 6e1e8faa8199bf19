//! Browsers' sockets: so many at once, so many of one address, each silent for so long at most, with TLS or without.

use crate::rates::neighbour;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take.
const TLS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may say nothing, be it within a request or after one.
pub(crate) const SILENT_WITHIN: Duration = Duration::from_secs(20);
/// How long a connection may last: a drip of a byte a second holds a place no longer than this.
pub(crate) const LASTS: Duration = Duration::from_secs(300);
/// Connections whose TLS is up and that wait to be taken.
const SHAKEN: usize = 64;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection, and its place among so many.
pub(crate) struct Held {
    socket: Box<dyn Socket>,
    silent: Pin<Box<Sleep>>,
    until: Instant,
    _place: Place,
}

/// Places for connections, over all listeners, and how many of them one neighbour has.
#[derive(Debug)]
pub(crate) struct Places {
    most: u64,
    most_of_one: u64,
    taken: Mutex<(u64, HashMap<u128, u64>)>,
}

impl Places {
    pub(crate) fn new(most: u64, most_of_one: u64) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, taken: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u128, u64>)> {
        // Counters: nothing between them can panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, who: u128) -> Option<Place> {
        let mut taken = self.lock();
        let (all, each) = &mut *taken;
        let of_one = each.get(&who).copied().unwrap_or(0);
        if *all >= self.most || of_one >= self.most_of_one {
            return None;
        }
        *all += 1;
        each.insert(who, of_one + 1);
        Some(Place { places: self.clone(), who })
    }
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    who: u128,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let (all, each) = &mut *taken;
        *all -= 1;
        match each.get_mut(&self.who) {
            Some(of_one) if *of_one > 1 => *of_one -= 1,
            _ => drop(each.remove(&self.who)),
        }
    }
}

/// Takes connections; handshakes go on beside it.
pub(crate) struct Door {
    accepted: mpsc::Receiver<(Held, SocketAddr)>,
    address: SocketAddr,
}

impl Door {
    pub(crate) fn open(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        places: Arc<Places>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (ready, accepted) = mpsc::channel(SHAKEN);
        tokio::spawn(accept(listener, tls, places, ready));
        Ok(Self { accepted, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Places>,
    ready: mpsc::Sender<(Held, SocketAddr)>,
) {
    while !ready.is_closed() {
        let Ok((socket, from)) = listener.accept().await else {
            // Out of descriptors, most likely: they come back when connections end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One over the bound is closed at once.
        let Some(place) = places.take(neighbour(from.ip())) else { continue };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            if let Some(socket) = shake(socket, tls).await {
                let now = Instant::now();
                let silent = Box::pin(tokio::time::sleep_until(now + SILENT_WITHIN));
                // Nobody takes any more when we end.
                let _ = ready.send((Held { socket, silent, until: now + LASTS, _place: place }, from)).await;
            }
        });
    }
}

async fn shake(socket: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Socket>> {
    // A failure costs only latency.
    let _ = socket.set_nodelay(true);
    match tls {
        None => Some(Box::new(socket)),
        Some(tls) => match tokio::time::timeout(TLS_WITHIN, tls.accept(socket)).await {
            Ok(Ok(socket)) => Some(Box::new(socket)),
            _ => None,
        },
    }
}

impl Listener for Door {
    type Io = Held;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Held, SocketAddr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        match Pin::new(&mut self.socket).poll_read(context, into) {
            Poll::Pending => match self.silent.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
            Poll::Ready(Ok(())) if into.filled().len() > before => {
                let until = self.until.min(Instant::now() + SILENT_WITHIN);
                self.silent.as_mut().reset(until);
                Poll::Ready(Ok(()))
            }
            ended => ended,
        }
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_neighbour_leaves_room_for_others_and_what_is_given_back_is_taken_again() {
        let places = Places::new(3, 2);
        let one = [places.take(1), places.take(1)];
        assert!(one.iter().all(Option::is_some));
        assert!(places.take(1).is_none(), "he has his");
        let other = places.take(2);
        assert!(other.is_some() && places.take(3).is_none(), "there are no more");
        drop(one);
        assert!(places.take(3).is_some() && places.take(1).is_some());
        drop(other);
        assert_eq!(places.lock().0, 0);
        assert!(places.lock().1.is_empty(), "nobody is remembered");
    }
}
