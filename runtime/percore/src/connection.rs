//! The connections of one core: a slab with generations, and what is known of each.
//!
//! Lives here: who is there, what waits to go out, in which phase it is. Does not live here: sockets (a driver owns
//! them), or deciding anything (`engine`).
//!
//! Invariant: a slot is given to a new connection only after `release`, which a driver orders when nothing it has in
//! flight names the slot any more.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::counters::Counters;
use crate::rows::Rows;
use crate::service::{Body, ConnectionId};
use crate::tls::Tls;
use crate::wheel::Tick;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) tls: Option<Tls>,
    /// Plain bytes the service has not consumed.
    pub(crate) kept: Vec<u8>,
    pub(crate) outbound: Outbound,
    pub(crate) phase: Phase,
    /// When the phase has lasted too long.
    pub(crate) deadline: Tick,
    /// For when the wheel has an entry that counts.
    pub(crate) scheduled: Tick,
    /// Bytes of memory this connection is charged with, and its place among those who hold some (`engine/held.rs`).
    pub(crate) held: u32,
    pub(crate) held_as: u32,
    pub(crate) ending: Option<Ending>,
    /// In the list of those to be settled.
    pub(crate) is_dirty: bool,
    /// The driver holds the first body until its send completes.
    pub(crate) is_sending: bool,
    /// The socket takes no more; the driver will say when it does.
    pub(crate) is_blocked: bool,
    /// We do not read until the service has consumed.
    pub(crate) is_paused: bool,
    /// The peer sends no more.
    pub(crate) has_input_ended: bool,
    /// Something was handed over since the service was last told that everything has left.
    pub(crate) owes_sent: bool,
    /// At least one request was consumed.
    pub(crate) has_asked: bool,
    /// What was answered goes on: the service speaks again and again, unasked.
    pub(crate) goes_on: bool,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, tls: Option<Tls>) -> Self {
        let phase = Phase::first(&tls);
        Self {
            peer,
            phase,
            tls,
            kept: Vec::new(),
            outbound: Outbound::default(),
            deadline: Tick::NEVER,
            scheduled: Tick::NEVER,
            held: 0,
            held_as: 0,
            ending: None,
            is_dirty: false,
            is_sending: false,
            is_blocked: false,
            is_paused: false,
            has_input_ended: false,
            owes_sent: false,
            has_asked: false,
            goes_on: false,
        }
    }
}

impl Connection {
    /// One from a proxy, which may have to say whose it is.
    pub(crate) fn unnamed(proxy: SocketAddr, tls: Option<Tls>) -> Self {
        Self { phase: Phase::Unnamed, ..Self::new(proxy, tls) }
    }

    /// Bytes of the first body have left.
    pub(crate) fn has_left(&mut self, n: usize, counters: &Counters) {
        self.outbound.advance(n);
        if let Some(Tls::Kernel(records)) = &mut self.tls {
            counters.bytes_ktls.add(n as u64);
            // A key that has made all the records it may ends its connection, after this answer.
            self.has_input_ended |= !records.spend(n);
        }
    }
}

/// Where a connection stands. Each phase has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It comes from a proxy that has not said whose it is. It is not counted for any address yet.
    Unnamed,
    /// TLS is not ready.
    Handshaking,
    /// No request is under way.
    Idle,
    /// Some bytes of a request are here, and the service has consumed none.
    Head,
    /// The service has consumed a request, and the socket does not hold us up.
    Answering,
    /// The socket holds us up.
    Writing {
        /// Since when.
        since: Tick,
        /// Bytes the peer had acknowledged when it was last judged.
        acked: u64,
    },
    /// The service goes on speaking, and the socket does not hold us up. Looked at as often as an idle connection may last.
    Telling {
        /// Bytes the peer had acknowledged when it was last looked at.
        acked: u64,
    },
    /// Everything is said; what the peer still says is thrown away.
    Lingering,
}

impl Phase {
    /// Where a connection stands of which is known whose it is.
    pub(crate) fn first(tls: &Option<Tls>) -> Self {
        if tls.is_some() { Self::Handshaking } else { Self::Idle }
    }
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// When everything has left.
    Finish,
    /// Now, by reset.
    Abort,
    /// Now, by reset, because too many bodies wait.
    Overfull,
}

/// What waits to go out, in order. Almost always one body, so one is kept without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    first: Option<Body>,
    #[allow(clippy::box_collection, reason = "8 bytes instead of 32 in every idle connection")]
    others: Option<Box<VecDeque<Body>>>,
}

impl Outbound {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, |it| it.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn push(&mut self, body: Body) {
        if self.first.is_none() {
            self.first = Some(body);
        } else {
            self.others.get_or_insert_default().push_back(body);
        }
    }

    /// Bytes of memory that wait; an inode is not memory of ours.
    pub(crate) fn memory(&self) -> usize {
        let others = self.others.iter().flat_map(|it| it.iter());
        let all = self.first.iter().chain(others);
        all.map(|it| if let Body::Bytes(bytes) = it { bytes.len() } else { 0 }).sum()
    }

    pub(crate) fn first(&self) -> Option<&Body> {
        self.first.as_ref()
    }

    /// `n` bytes of the first body have left; if that was all of it, the next one is first.
    pub(crate) fn advance(&mut self, n: usize) {
        let Some(body) = &mut self.first else { return };
        body.advance(n);
        if body.is_empty() {
            self.first = self.others.as_mut().and_then(|it| it.pop_front());
            self.others.take_if(|it| it.is_empty());
        }
    }
}

/// All connections of one core.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Rows<Slot>,
    /// Slots that were ever given away.
    made: u32,
    free: Vec<u32>,
    open: usize,
    dirty: VecDeque<ConnectionId>,
    bodies_max: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl Connections {
    pub(crate) fn new(bodies_max: usize) -> Self {
        Self {
            slots: Rows::default(),
            made: 0,
            free: Vec::new(),
            open: 0,
            dirty: VecDeque::new(),
            bodies_max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open
    }

    /// Slots in use, including those whose driver has not let go yet.
    pub(crate) fn occupied(&self) -> usize {
        self.made as usize - self.free.len()
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> ConnectionId {
        self.open += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            self.made - 1
        });
        let slot = self.slots.reach(index as usize);
        slot.connection = Some(connection);
        ConnectionId { index, generation: slot.generation }
    }

    /// Takes a connection out; its slot is not given away before [`Connections::release`].
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.open -= 1;
        Some(connection)
    }

    /// The driver has nothing left that names the slot.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        debug_assert!(self.slots[id.index as usize].connection.is_none(), "released while open");
        self.free.push(id.index);
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        slot.connection.as_ref().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn find_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.connection.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// Everyone, for a drain.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let open = self.slots.iter().enumerate().filter(|(_, slot)| slot.connection.is_some());
        open.map(|(i, slot)| ConnectionId { index: i as u32, generation: slot.generation }).collect()
    }

    pub(crate) fn send(&mut self, id: ConnectionId, body: Body) {
        let bodies_max = self.bodies_max;
        let Some(connection) = self.find_mut(id) else { return };
        if connection.ending.is_some() || connection.phase == Phase::Lingering {
            return;
        }
        connection.owes_sent = true;
        if !body.is_empty() {
            if connection.outbound.len() >= bodies_max {
                connection.ending = Some(Ending::Overfull);
            } else {
                connection.outbound.push(body);
            }
        }
        self.mark(id);
    }

    pub(crate) fn end(&mut self, id: ConnectionId, ending: Ending) {
        let Some(connection) = self.find_mut(id) else { return };
        let is_stronger = connection.ending.is_none_or(|it| it == Ending::Finish);
        if is_stronger && !(connection.phase == Phase::Lingering && ending == Ending::Finish) {
            connection.ending = Some(ending);
            self.mark(id);
        }
    }

    /// Has the connection settled at the end of the call.
    pub(crate) fn mark(&mut self, id: ConnectionId) {
        let Some(connection) = self.find_mut(id) else { return };
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push_back(id);
        }
    }

    pub(crate) fn next_dirty(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.dirty.pop_front() {
            if let Some(connection) = self.find_mut(id) {
                connection.is_dirty = false;
                return Some(id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn someone() -> Connection {
        Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), None)
    }

    #[test]
    fn an_id_names_one_connection_for_ever() {
        let mut connections = Connections::new(4);
        let first = connections.insert(someone());
        assert!(connections.remove(first).is_some());
        let meanwhile = connections.insert(someone());
        assert_ne!(meanwhile.index, first.index, "the slot is not free before its driver let go");
        connections.release(first);
        let second = connections.insert(someone());
        assert_eq!(second.index, first.index);
        assert!(connections.find(first).is_none() && connections.find(second).is_some());
        connections.send(first, Body::from(Bytes::from_static(b"not yours")));
        assert!(connections.find(second).is_some_and(|it| it.outbound.is_empty()));
    }

    #[test]
    fn one_body_more_than_may_wait_cuts_the_connection() {
        let mut connections = Connections::new(2);
        let id = connections.insert(someone());
        for _ in 0..2 {
            connections.send(id, Body::from(Bytes::from_static(b"x")));
        }
        assert_eq!(connections.find(id).unwrap().ending, None);
        connections.send(id, Body::from(Bytes::from_static(b"x")));
        assert_eq!(connections.find(id).unwrap().ending, Some(Ending::Overfull));
        assert_eq!(connections.find(id).unwrap().outbound.len(), 2);
    }

    #[test]
    fn bodies_leave_in_order_and_partly() {
        let mut outbound = Outbound::default();
        for text in [&b"abc"[..], b"de", b"f"] {
            outbound.push(Body::from(Bytes::from_static(text)));
        }
        let mut seen = Vec::new();
        while let Some(Body::Bytes(first)) = outbound.first() {
            seen.push(first.clone());
            let n = first.len().min(2);
            outbound.advance(n);
        }
        assert_eq!(seen, [&b"abc"[..], b"c", b"de", b"f"]);
        assert!(outbound.others.is_none(), "an idle connection keeps no queue");
    }

    #[test]
    fn an_idle_plain_connection_is_small() {
        let slot = size_of::<Slot>();
        assert!(slot <= 192, "{slot} bytes for each idle connection");
    }
}
