//! How what waits on a connection leaves: by SEND, by sendfile(2), or through TLS.
//!
//! Lives here: the choice, and carrying it out until nothing waits or the socket takes no more. Does not live here:
//! what follows (`engine`).
//!
//! Measured: one sendfile for the whole remainder (64 KB at a time costs a third more); SEND_ZC is no better and is
//! copied on loopback and veth; io_uring's SPLICE is always punted to worker threads. Hence a direct, non-blocking
//! sendfile(2) from the loop, but for bodies up to 256 KB, where a copy is cheaper.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::config::DataPath;
use crate::connection::Connection;
use crate::counters::Counters;
use crate::desk::Desk;
use crate::driver::{Driver, How, Sending, send_now};
use crate::inode::Inode;
use crate::service::{Body, ConnectionId, Service};
use crate::tls::{Scratch, Tls};

/// An inode with a body up to here is copied, not spliced, where nobody has asked for a path: splicing has a price per
/// page and per 64 KB, and what goes to one viewer goes to thousands, so it is in the processor's cache. Measured over veth,
/// copied and spliced: 20 KB 8.8 and 19 µs, 64 KB 17.5 and 24.8, 200 KB 35 and 49; at 1 MB 0.186 and 0.202 CPU-s/GB,
/// but over loopback 0.12 and 0.10, and with more of them in flight than the cache holds it is memory that pays.
const COPIED: u64 = 256 * 1024;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits.
    All,
    /// The driver sends, or the handshake is not done: an event will come.
    Later,
    /// The socket takes no more.
    Blocked,
    /// The connection is broken.
    Failed,
}

pub(crate) fn flush<S: Service, D: Driver>(driver: &mut D, desk: &mut Desk<S>, id: ConnectionId) -> Flushed {
    let (path, counters) = (desk.data_path, &desk.counters);
    let Some(connection) = desk.connections.find_mut(id) else { return Flushed::Failed };
    let is_ktls = connection.tls.as_ref().is_some_and(Tls::is_kernel);
    if connection.tls.is_some() && !is_ktls {
        let Some(socket) = driver.socket(id) else { return Flushed::Failed };
        return by_tls(socket, counters, connection, &mut desk.scratch);
    }
    while let Some(body) = connection.outbound.first() {
        let Some(socket) = driver.socket(id) else { return Flushed::Failed };
        let has_more = connection.outbound.len() > 1;
        let (sending, counter) = match body {
            Body::Bytes(_) if has_more => (Sending::Done(send_now(socket, body, true)), &counters.bytes_send),
            Body::Bytes(_) => (driver.send(id, body, How::Batched), &counters.bytes_send),
            // The kernel refuses SEND_ZC where it makes the records.
            Body::Inode { .. } if path == DataPath::SendZc && !is_ktls => {
                (driver.send(id, body, How::ZeroCopy), &counters.bytes_send_zc)
            }
            Body::Inode { .. } if path == DataPath::Copy => {
                (Sending::Done(send_now(socket, body, has_more)), &counters.bytes_copy)
            }
            Body::Inode { inode, .. }
                if path == DataPath::Auto && !has_more && inode.body_len() <= COPIED =>
            {
                (driver.send(id, body, How::Batched), &counters.bytes_send)
            }
            Body::Inode { inode, from, .. } => {
                (Sending::Done(by_sendfile(socket, inode, *from, body.len())), &counters.bytes_sendfile)
            }
        };
        match sending {
            Sending::Later => {
                connection.is_sending = true;
                return Flushed::Later;
            }
            Sending::Done(Ok(n)) => {
                counter.add(n as u64);
                connection.has_left(n, counters);
            }
            Sending::Done(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Flushed::Blocked;
            }
            Sending::Done(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Sending::Done(Err(_)) => return Flushed::Failed,
        }
    }
    Flushed::All
}

fn by_sendfile(socket: BorrowedFd<'_>, inode: &Arc<Inode>, from: u64, len: u64) -> io::Result<usize> {
    let mut at = inode.offset(from);
    match rustix::fs::sendfile(socket, inode, Some(&mut at), usize::try_from(len).unwrap_or(usize::MAX))? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an inode is shorter than was written")),
        n => Ok(n),
    }
}

fn by_tls(
    socket: BorrowedFd<'_>,
    counters: &Counters,
    connection: &mut Connection,
    scratch: &mut Scratch,
) -> Flushed {
    let Connection { tls: Some(Tls::Records(tls)), outbound, .. } = connection else {
        return Flushed::Failed;
    };
    loop {
        let sent = if tls.wants_write() {
            tls.write(socket)
        } else if outbound.is_empty() {
            return Flushed::All;
        } else if tls.is_handshaking() {
            return Flushed::Later;
        } else {
            tls.write_bodies(socket, outbound, scratch)
        };
        match sent {
            Ok(n) => counters.bytes_tls.add(n as u64),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Flushed::Failed,
        }
    }
}
