//! The memory that connections hold, and who must go when it is full.
//!
//! Lives here: what a connection is charged with, and the choice of whom to cut. Does not live here: the memory itself
//! (`connection`, `tls`), or the kernel's (`net.ipv4.tcp_mem` bounds that).
//!
//! A connection that is served while it is called holds nothing but its share; what counts is what stays when the
//! peer does not take, or does not finish asking. So the books are written where a connection is held up and where it
//! goes on, not per request.

use super::Engine;
use crate::connection::Connection;
use crate::desk::Desk;
use crate::driver::{Driver, Farewell};
use crate::service::{ConnectionId, Service};

/// What a plain connection is charged with for being there: its slots here, in the driver and in the service, and its
/// entry in the wheel.
pub const PLAIN_BYTES: u64 = 512;
/// The same with TLS: keys, and the buffers rustls keeps while nothing is under way (measured: 3.9 KB; twice
/// that, for who is in the middle of something).
pub const TLS_BYTES: u64 = 8 * 1024;
/// At the bound, this part of it is made free at once: looking for those who have held us up the longest is looking at
/// everybody.
const FREED: u64 = 8;

/// What a connection is charged with for being there.
pub(super) fn share(is_tls: bool) -> u64 {
    if is_tls { TLS_BYTES } else { PLAIN_BYTES }
}

/// Whether it holds more than its share.
pub(super) fn is_holding(connection: &Connection) -> bool {
    u64::from(connection.held) > share(connection.tls.is_some())
}

fn held(connection: &Connection) -> u32 {
    let tls = connection.tls.as_ref().map_or(0, |it| it.waiting());
    let more = connection.kept.capacity() + connection.outbound.memory() + tls;
    u32::try_from(share(connection.tls.is_some()) + more as u64).unwrap_or(u32::MAX)
}

impl<S: Service> Desk<S> {
    /// Writes down what the connection holds now.
    pub(crate) fn charge(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        let (before, now) = (connection.held, held(connection));
        if before == now {
            return;
        }
        connection.held = now;
        if u64::from(before) <= share(connection.tls.is_some()) {
            connection.held_as = self.holds;
            self.holds = self.holds.wrapping_add(1);
        }
        self.held_bytes = self.held_bytes + u64::from(now) - u64::from(before);
    }

    /// The connection's socket has taken something, and takes no more: it is the last to be cut.
    pub(super) fn hold_anew(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.find_mut(id) {
            connection.held_as = self.holds;
            self.holds = self.holds.wrapping_add(1);
        }
    }

    /// Whether listener `listener` speaks TLS.
    pub(super) fn is_tls(&self, listener: usize) -> bool {
        self.tls.get(listener).is_some_and(Option::is_some)
    }
}

impl<S: Service, D: Driver> Engine<S, D> {
    /// Cuts those who have held us up the longest without taking anything until an eighth of the memory is free again. A
    /// viewer on a good line holds memory for milliseconds; whoever fills it on purpose must hold it.
    ///
    /// The gauge goes up here and nowhere else: what others read is what is held when the bound has been looked after,
    /// without the connection that is a moment from being cut.
    pub(super) fn shed(&mut self) {
        if self.desk.held_bytes > self.desk.limits.memory_per_core {
            self.cut_the_longest();
        }
        self.desk.counters.held_bytes.set(self.desk.held_bytes);
    }

    fn cut_the_longest(&mut self) {
        let mut holders: Vec<_> = self
            .desk
            .connections
            .ids()
            .into_iter()
            .filter_map(|id| Some((id, self.desk.connections.find(id).filter(|it| is_holding(it))?.held_as)))
            .collect();
        let holds = self.desk.holds;
        holders.sort_unstable_by_key(|(_, held_as)| std::cmp::Reverse(holds.wrapping_sub(*held_as)));
        let goal = self.desk.limits.memory_per_core - self.desk.limits.memory_per_core / FREED;
        for (id, _) in holders {
            if self.desk.held_bytes <= goal {
                break;
            }
            self.desk.counters.cut_memory.one();
            self.close(id, Farewell::Reset);
        }
    }
}
