//! What a core asks of the kernel, and what the kernel says: two drivers behind the same doors.
//!
//! Lives here: the doors. The engine holds the state machine, once, and a driver holds sockets: it is the only one
//! that can close them, and closes none that the kernel still has a request for.
//!
//! ```text
//!  wait ─▶ next ─▶ Event::{Accepted, Received, Ended, Writable, Sent, Detached, Rung}
//!  attach · send · await_writable · pause · resume · detach
//! ```

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::service::{Body, ConnectionId};
use crate::start::Orders;

pub(crate) mod epoll;
pub(crate) mod uring;

/// When a listener is closed: how many it may still have queued that are taken over. As many as a backlog holds by
/// default; who comes faster than we accept should not keep the listener open.
pub(crate) const LAST_ACCEPTS_MAX: usize = 4096;

/// A way to wait for the kernel.
pub(crate) trait Driver: Sized {
    /// Rings when this core is to look at its inbox and its orders.
    fn listen_to(&mut self, orders: Arc<Orders>) -> io::Result<()>;

    /// Accepts on `socket` from now on.
    fn listen(&mut self, listener: usize, socket: OwnedFd) -> io::Result<()>;

    /// Accepts no more on any socket. What the kernel has finished already still comes as events.
    fn stop_listening(&mut self);

    /// Whether somebody may still be accepted.
    fn is_listening(&self) -> bool;

    /// Accept has failed for want of something; try again now.
    fn resume_listening(&mut self);

    /// Takes a socket over, and reads from it.
    fn attach(&mut self, id: ConnectionId, socket: OwnedFd, reading: Reading) -> io::Result<()>;

    /// A connection that was [`Reading::Singly`] may be read ahead from now on.
    fn read_ahead(&mut self, id: ConnectionId);

    /// The socket of a connection that is attached.
    fn socket(&self, id: ConnectionId) -> Option<BorrowedFd<'_>>;

    /// Stops reading.
    fn pause(&mut self, id: ConnectionId);

    /// Reads again.
    fn resume(&mut self, id: ConnectionId);

    /// Says [`Event::Writable`] once the socket, which has just refused, takes more.
    fn await_writable(&mut self, id: ConnectionId);

    /// Sends from memory; at most one send per connection at a time.
    fn send(&mut self, id: ConnectionId, body: &Body, how: How) -> Sending;

    /// Lets a connection go and closes its socket, at once or later.
    fn detach(&mut self, id: ConnectionId, farewell: Farewell) -> Detached;

    /// Tells the kernel what was asked, and waits until it says something or `timeout` has passed.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// What the kernel has said, one by one.
    fn next(&mut self) -> Option<Event>;

    /// The bytes of [`Event::Received`].
    fn bytes(&self, inbound: &Inbound) -> &[u8];

    /// The bytes are dealt with.
    fn give_back(&mut self, inbound: Inbound);

    /// Times there was no buffer for what arrived, and times the completion queue overflowed.
    fn shortages(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// How much a driver may have read of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As much as it likes.
    Ahead,
    /// Nothing beyond the last [`Event::Received`], until that has been dealt with: what the socket says next may mean
    /// something else by then.
    Singly,
}

/// How a body in memory is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Now, by a system call of its own, because something follows at once.
    Now,
    /// With the next batch, if the driver has batches.
    Batched,
    /// Without a copy, if the driver can.
    ZeroCopy,
}

/// What became of a send.
#[derive(Debug)]
pub(crate) enum Sending {
    /// So many bytes, or why none.
    Done(io::Result<usize>),
    /// [`Event::Sent`] will say.
    Later,
}

/// How a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// In order.
    Close,
    /// By reset: nothing that has not left is worth sending.
    Reset,
}

/// Whether a connection's slot may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// It may.
    Now,
    /// After [`Event::Detached`].
    Later,
}

/// Bytes that arrived, in a buffer of the driver's.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) buffer: u16,
    pub(crate) len: u32,
}

/// Something the kernel has said.
#[derive(Debug)]
pub(crate) enum Event {
    Accepted {
        listener: usize,
        socket: OwnedFd,
    },
    AcceptFailed(io::Error),
    Received {
        id: ConnectionId,
        inbound: Inbound,
    },
    /// The peer sends no more.
    Ended(ConnectionId),
    /// The connection is broken.
    Failed(ConnectionId),
    Writable(ConnectionId),
    Sent {
        id: ConnectionId,
        result: io::Result<usize>,
        is_zero_copy: bool,
    },
    /// A zero-copy send was copied after all.
    Copied,
    Detached(ConnectionId),
    Rung,
}

/// Closes `socket`, by reset if so wished.
pub(crate) fn close(socket: OwnedFd, farewell: Farewell) {
    if farewell == Farewell::Reset {
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    }
}

/// Sends bytes now, as many as the socket takes.
pub(crate) fn send_now(socket: BorrowedFd<'_>, body: &Body, has_more: bool) -> io::Result<usize> {
    use rustix::net::SendFlags;
    let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    flags.set(SendFlags::MORE, has_more);
    Ok(rustix::net::send(socket, memory(body)?, flags)?)
}

/// The bytes of a body that are still to go, in memory.
pub(crate) fn memory(body: &Body) -> io::Result<&[u8]> {
    match body {
        Body::Bytes(bytes) => Ok(bytes),
        Body::Inode { inode, from, .. } => {
            let all = inode.bytes()?;
            let from = usize::try_from(*from).unwrap_or(usize::MAX).min(all.len());
            Ok(&all[from..from + body.len() as usize])
        }
    }
}
