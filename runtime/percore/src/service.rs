//! The doors between the runtime and what it runs: [`Service`] is called, [`Turn`] is what it may do meanwhile.
//!
//! Lives here: the trait, the turn, a body. Does not live here: sockets, timers, TLS (`engine` and below), or any
//! idea of HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};

use crate::connection::{Connection, Connections, Ending, Phase};
use crate::inode::Inode;

/// What one core runs. It lives on its core's thread from [`crate::start`] to the end and is never shared.
///
/// All methods are called on that thread, one at a time, and must not block.
pub trait Service: Sized {
    /// What other threads may tell this core.
    type Message: Send + 'static;
    /// What the service keeps per connection.
    type State: Default;

    /// Plain bytes that have arrived (after TLS) and are not consumed yet. Returns how many are consumed now.
    ///
    /// Consumed > 0: a request was taken; an answer is owed (within [`crate::Limits::answer`]), and if bytes are
    /// left, the call comes again at once with them. A service that answers in order returns 0 while it is busy.
    /// Consumed = 0: the bytes are kept, and presented again with what follows, or after [`Service::sent`].
    fn received(
        &mut self,
        turn: &mut Turn<'_>,
        id: ConnectionId,
        state: &mut Self::State,
        input: &[u8],
    ) -> usize;

    /// Something another thread told this core by [`crate::Handle::tell`].
    fn message(&mut self, turn: &mut Turn<'_>, message: Self::Message);

    /// Everything handed to [`Turn::send`] has left for the kernel; kept input, if any, is presented next.
    fn sent(&mut self, turn: &mut Turn<'_>, id: ConnectionId, state: &mut Self::State) {
        let _ = (turn, id, state);
    }

    /// A request's head took longer than [`crate::Limits::header`]. Last words may be sent; the connection is
    /// finished after this call.
    fn late(&mut self, turn: &mut Turn<'_>, id: ConnectionId, state: &mut Self::State) {
        let _ = (turn, id, state);
    }

    /// The connection is gone, whoever ended it. `id` is never used again.
    fn closed(&mut self, turn: &mut Turn<'_>, id: ConnectionId, state: Self::State) {
        let _ = (turn, id, state);
    }

    /// When [`Service::expired`] wants to be called; asked after every turn.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn expired(&mut self, turn: &mut Turn<'_>) {
        let _ = turn;
    }

    /// A drain began: no connection will be accepted, one that owes no answer is closed after this call, the others
    /// when what was handed over has left. Answer those who wait.
    fn draining(&mut self, turn: &mut Turn<'_>) {
        let _ = turn;
    }
}

/// One connection of one core. Never reused: a later connection in the same slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// The slot, small and dense, for tables beside the runtime's own. Reused by later connections.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Which core, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreIndex(pub usize);

/// What goes out on a connection. Shared by count, never copied by the runtime.
#[derive(Clone, Debug)]
pub enum Body {
    /// Bytes in memory: small answers.
    Bytes(Bytes),
    /// A piece of an inode.
    Inode {
        /// Which.
        inode: Arc<Inode>,
        /// First byte, counted from the first byte of the head: 0 begins with the head, `inode.head_len()` with the
        /// body.
        from: u64,
        /// How many bytes. What goes beyond the inode's end is cut off.
        len: u64,
    },
}

impl Body {
    /// Head and body of an inode.
    pub fn whole(inode: Arc<Inode>) -> Self {
        let len = inode.head_len() + inode.body_len();
        Self::Inode { inode, from: 0, len }
    }

    /// Only the head of an inode: the answer to HEAD.
    pub fn head(inode: Arc<Inode>) -> Self {
        let len = inode.head_len();
        Self::Inode { inode, from: 0, len }
    }

    /// `len` bytes of an inode's body from byte `from` of the body: an answer to a range, after a head of its own.
    pub fn range(inode: Arc<Inode>, from: u64, len: u64) -> Self {
        let from = inode.head_len() + from;
        Self::Inode { inode, from, len }
    }

    /// Bytes that are still to go.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Inode { inode, from, len } => {
                (*len).min((inode.head_len() + inode.body_len()).saturating_sub(*from))
            }
        }
    }

    /// Whether nothing is left to go.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn advance(&mut self, n: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(n),
            Self::Inode { from, len, .. } => {
                *from += n as u64;
                *len -= n as u64;
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

/// What a service may do while it is called. What it orders here is done when the call returns.
///
/// An order for a connection that is gone or going is ignored: [`Service::closed`] has been or will be called.
#[derive(Debug)]
pub struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) core: CoreIndex,
    pub(crate) is_draining: bool,
    pub(crate) is_handed_over: bool,
    pub(crate) connections: &'a mut Connections,
}

impl Turn<'_> {
    /// When this turn of the core began.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Milliseconds since the Unix epoch, by the system's clock.
    pub fn unix_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Which core this is.
    pub fn core(&self) -> CoreIndex {
        self.core
    }

    /// Whether this core drains: an answer should tell its viewer to come back elsewhere.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Whether another process serves at our address already: an answer should tell its viewer to connect anew, and is
    /// to be the right one all the same.
    pub fn is_handed_over(&self) -> bool {
        self.is_handed_over
    }

    /// How many connections this core holds.
    pub fn open(&self) -> usize {
        self.connections.len()
    }

    /// Who is at the other end; the unspecified address if the connection is gone.
    pub fn peer(&self, id: ConnectionId) -> SocketAddr {
        self.connections.find(id).map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |it| it.peer)
    }

    /// Whether the connection speaks TLS.
    pub fn is_tls(&self, id: ConnectionId) -> bool {
        self.connections.find(id).is_some_and(|it| it.tls.is_some())
    }

    /// Sends `body` after everything handed over before.
    pub fn send(&mut self, id: ConnectionId, body: impl Into<Body>) {
        self.connections.send(id, body.into());
    }

    /// The answer that is owed goes on: after it the service speaks unasked, as often as it likes, until it says
    /// [`Turn::finish`]. Such a connection is not idle; it is over when the peer takes nothing of what it is sent for as long as
    /// an idle one may last ([`crate::Limits::idle`], `cut_slow`), or when too much waits for it (`cut_outbound`).
    pub fn goes_on(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.find_mut(id) {
            connection.goes_on = true;
        }
    }

    /// Closes when everything handed over has left. What the peer still says is thrown away.
    pub fn finish(&mut self, id: ConnectionId) {
        self.connections.end(id, Ending::Finish);
    }

    /// Closes, as [`Turn::finish`] does, every connection that has been answered and asks for nothing now.
    pub fn finish_idle(&mut self) {
        for id in self.connections.ids() {
            let is_idle = |it: &Connection| it.phase == Phase::Idle && it.has_asked && it.outbound.is_empty();
            if self.connections.find(id).is_some_and(is_idle) {
                self.connections.end(id, Ending::Finish);
            }
        }
    }

    /// Resets the connection: what has not left is thrown away.
    pub fn abort(&mut self, id: ConnectionId) {
        self.connections.end(id, Ending::Abort);
    }
}
