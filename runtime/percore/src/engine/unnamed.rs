//! Connections from a proxy, until it is known whose they are.
//!
//! Lives here: what is done with the head. Does not live here: reading it (`proxy`).
//!
//! Only addresses that the settings name are asked (the head is anybody's word), and they need not answer: a balancer that
//! passes viewers through also looks whether we live, and says nothing then. No request and no TLS record begins like a
//! head, so nothing is guessed.

use std::net::IpAddr;

use crate::connection::{Ending, Phase};
use crate::desk::Desk;
use crate::service::{ConnectionId, Service};

impl<S: Service> Desk<S> {
    /// Whether connections from there may be somebody else's.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// The first bytes from a proxy.
    pub(crate) fn hear_whose(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.find_mut(id).filter(|it| it.ending.is_none()) else { return };
        let mut said = std::mem::take(&mut connection.kept);
        self.kept_bytes -= said.len();
        said.extend_from_slice(bytes);
        let (between, consumed) = match proxy::read(&said) {
            Ok(proxy::Read::Incomplete) => {
                // At most `proxy::HEAD_BYTES`, and what arrived with the last of them.
                self.kept_bytes += said.len();
                connection.kept = said;
                return self.charge(id);
            }
            Ok(proxy::Read::Absent) => (None, 0),
            Ok(proxy::Read::Whole { between, consumed }) => (between, consumed),
            Err(refused) => {
                tracing::debug!(proxy = %connection.peer, %refused, "what a proxy says is no PROXY head");
                self.counters.refused_proxy.one();
                return self.connections.end(id, Ending::Abort);
            }
        };
        let peer = between.map_or(connection.peer, |it| it.from);
        if !self.everyone.admit(peer.ip()) {
            self.counters.refused_address.one();
            return self.connections.end(id, Ending::Abort);
        }
        // From here on it is counted for that address.
        connection.peer = peer;
        let phase = Phase::first(&connection.tls);
        let limit = if phase == Phase::Idle { self.limits.idle } else { self.limits.handshake };
        self.counters.proxied.add(u64::from(between.is_some()));
        self.enter(id, phase, limit);
        self.charge(id);
        if consumed < said.len() {
            self.taken(id, &said[consumed..]);
        }
    }
}
