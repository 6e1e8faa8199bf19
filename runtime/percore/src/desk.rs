//! Where the service is called: everything of a core but its driver.
//!
//! Lives here: presenting input, telling messages, entering phases. Does not live here: sockets; what must happen to
//! one is marked on its connection, and the engine settles it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::addresses::Addresses;
use crate::config::{DataPath, Limits};
use crate::connection::{Connection, Connections, Ending, Phase};
use crate::counters::Counters;
use crate::engine::INBOUND_OVERSHOOT;
use crate::rows::Rows;
use crate::service::{ConnectionId, CoreIndex, Service, Turn};
use crate::start::{Orders, Seat};
use crate::tls::{KernelSuites, Scratch, Tls, TlsSource};
use crate::wheel::{Tick, Wheel};

/// A core's plaintext buffer is given back to the allocator above this.
const PLAINTEXT_KEPT: usize = 64 * 1024;

pub(crate) struct Desk<S: Service> {
    pub(crate) service: S,
    /// By slot, beside the connections, so that a [`Turn`] need not know their type.
    states: Rows<S::State>,
    pub(crate) connections: Connections,
    pub(crate) wheel: Wheel,
    pub(crate) core: CoreIndex,
    pub(crate) limits: Limits,
    pub(crate) data_path: DataPath,
    pub(crate) tls: Vec<Option<TlsSource>>,
    pub(crate) kernel: KernelSuites,
    pub(crate) counters: Arc<Counters>,
    pub(crate) everyone: Arc<Addresses>,
    pub(crate) inbox: Receiver<S::Message>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) started: Instant,
    pub(crate) now: Instant,
    pub(crate) tick: Tick,
    pub(crate) proxies: Vec<proxy::Network>,
    pub(crate) kept_bytes: usize,
    /// What all connections are charged with (`engine/held.rs`).
    pub(crate) held_bytes: u64,
    /// How often somebody has come to hold more than its share.
    pub(crate) holds: u32,
    plaintext: Vec<u8>,
    pub(crate) scratch: Scratch,
    is_draining: bool,
    /// It drains because somebody else serves at our address.
    pub(crate) is_handed_over: bool,
}

impl<S: Service> Desk<S> {
    /// `which` says for each of the core's sockets which of the configuration's listeners it is of.
    pub(crate) fn new(seat: Seat<S::Message>, which: &[usize], service: S) -> Self {
        let now = Instant::now();
        Self {
            service,
            states: Rows::default(),
            connections: Connections::new(seat.config.limits.outbound_bodies),
            wheel: Wheel::new(),
            core: seat.core,
            limits: seat.config.limits,
            data_path: seat.config.data_path,
            tls: which.iter().map(|which| seat.config.listeners[*which].tls.clone()).collect(),
            kernel: seat.kernel,
            counters: seat.counters,
            everyone: seat.everyone,
            inbox: seat.inbox,
            orders: seat.orders,
            started: now,
            now,
            tick: Tick(0),
            proxies: seat.config.proxies,
            kept_bytes: 0,
            held_bytes: 0,
            holds: 0,
            plaintext: Vec::new(),
            scratch: Scratch::default(),
            is_draining: false,
            is_handed_over: false,
        }
    }

    pub(crate) fn look_at_the_clock(&mut self) {
        self.now = Instant::now();
        self.tick = Tick::at(self.now - self.started);
    }

    fn parts(&mut self) -> (&mut S, &mut Rows<S::State>, Turn<'_>) {
        let turn = Turn {
            now: self.now,
            core: self.core,
            is_draining: self.is_draining,
            is_handed_over: self.is_handed_over,
            connections: &mut self.connections,
        };
        (&mut self.service, &mut self.states, turn)
    }

    /// A connection that was let in.
    pub(crate) fn admit(&mut self, connection: Connection) -> ConnectionId {
        let phase = connection.phase;
        let limit = if phase == Phase::Idle { self.limits.idle } else { self.limits.handshake };
        let id = self.connections.insert(connection);
        self.charge(id);
        self.states.reach(id.index());
        self.counters.accepted.one();
        self.counters.open.set(self.connections.len() as u64);
        self.enter(id, phase, limit);
        id
    }

    /// A connection that is gone; false if it was before.
    pub(crate) fn dismiss(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.remove(id) else { return false };
        if connection.phase != Phase::Unnamed {
            self.everyone.leave(connection.peer.ip());
        }
        self.kept_bytes -= connection.kept.len();
        self.held_bytes -= u64::from(connection.held);
        self.counters.held_bytes.lower(self.held_bytes);
        self.counters.open.set(self.connections.len() as u64);
        let state = std::mem::take(&mut self.states[id.index()]);
        let (service, _, mut turn) = self.parts();
        service.closed(&mut turn, id, state);
        true
    }

    /// Enters a phase that may last for `limit`.
    pub(crate) fn enter(&mut self, id: ConnectionId, phase: Phase, limit: Duration) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        connection.phase = phase;
        connection.deadline = self.tick.after(limit);
        if connection.deadline < connection.scheduled {
            connection.scheduled = self.wheel.insert(connection.deadline, id);
        }
    }

    /// The wheel's entry for `tick` came: has the connection's deadline passed? If not, another entry is made.
    pub(crate) fn is_due(&mut self, id: ConnectionId, tick: Tick) -> bool {
        let Some(connection) = self.connections.find_mut(id).filter(|it| it.scheduled == tick) else {
            return false;
        };
        connection.scheduled = Tick::NEVER;
        let is_due = connection.deadline <= self.tick;
        if !is_due {
            connection.scheduled = self.wheel.insert(connection.deadline, id);
        }
        is_due
    }

    /// Bytes from the socket.
    pub(crate) fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.counters.bytes_received.add(bytes.len() as u64);
        let Some(connection) = self.connections.find_mut(id) else { return };
        match connection.phase {
            Phase::Lingering => return,
            Phase::Unnamed => return self.hear_whose(id, bytes),
            _ => {}
        }
        self.taken(id, bytes);
    }

    /// Bytes of whoever speaks, behind what a proxy has said of him.
    pub(crate) fn taken(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        if connection.tls.as_ref().is_none_or(Tls::is_kernel) {
            return self.present(id, bytes);
        }
        let mut plaintext = std::mem::take(&mut self.plaintext);
        self.take_off_tls(id, bytes, &mut plaintext);
        if !plaintext.is_empty() {
            self.present(id, &plaintext);
        }
        plaintext.clear();
        plaintext.shrink_to(PLAINTEXT_KEPT);
        self.plaintext = plaintext;
    }

    fn take_off_tls(&mut self, id: ConnectionId, bytes: &[u8], plaintext: &mut Vec<u8>) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        let Some(Tls::Records(tls)) = &mut connection.tls else { return };
        let was_handshaking = tls.is_handshaking();
        let read = tls.read(bytes, plaintext);
        let (is_ready, is_resumed) = (was_handshaking && !tls.is_handshaking(), tls.is_resumed());
        let must_settle = is_ready || tls.wants_write() || !matches!(read, Ok(false));
        match read {
            Ok(has_ended) => connection.has_input_ended |= has_ended,
            Err(error) => {
                tracing::debug!(peer = %connection.peer, %error, "a TLS connection failed");
                self.counters.tls_failed.one();
                // The alert that rustls has made still goes out.
                connection.outbound = crate::connection::Outbound::default();
                connection.ending = Some(Ending::Finish);
                connection.owes_sent = false;
            }
        }
        if is_ready {
            self.counters.handshakes.one();
            self.counters.handshakes_resumed.add(u64::from(is_resumed));
            self.enter(id, Phase::Idle, self.limits.idle);
        }
        if must_settle {
            self.connections.mark(id);
        }
    }

    /// Offers the service what it has not consumed, and `input` behind it.
    fn present(&mut self, id: ConnectionId, input: &[u8]) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        if connection.ending.is_some() {
            return;
        }
        let mut kept = std::mem::take(&mut connection.kept);
        self.kept_bytes -= kept.len();
        let consumed = if kept.is_empty() {
            self.offer(id, input)
        } else {
            kept.extend_from_slice(input);
            self.offer(id, &kept)
        };
        if kept.is_empty() {
            kept.extend_from_slice(&input[consumed..]);
        } else if consumed == kept.len() {
            kept = Vec::new();
        } else {
            kept.drain(..consumed);
        }
        self.keep(id, kept, consumed > 0);
    }

    /// Calls the service until it consumes nothing; how much it has consumed.
    fn offer(&mut self, id: ConnectionId, input: &[u8]) -> usize {
        let mut at = 0;
        while at < input.len() {
            let (service, states, mut turn) = self.parts();
            let n = service.received(&mut turn, id, &mut states[id.index()], &input[at..]);
            if n == 0 {
                break;
            }
            at = (at + n).min(input.len());
            if self.connections.find(id).is_none_or(|it| it.ending.is_some()) {
                return input.len();
            }
        }
        at
    }

    fn keep(&mut self, id: ConnectionId, kept: Vec<u8>, has_consumed: bool) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        let is_full = kept.len() > self.limits.inbound_bytes;
        let is_partial = !kept.is_empty();
        self.kept_bytes += kept.len();
        connection.kept = kept;
        connection.has_asked |= has_consumed;
        let phase = connection.phase;
        if connection.kept.len() > self.limits.inbound_bytes + INBOUND_OVERSHOOT
            || self.kept_bytes > self.limits.inbound_bytes_per_core
        {
            self.counters.cut_inbound.one();
            return self.connections.end(id, Ending::Abort);
        }
        if is_full || connection.is_paused {
            self.connections.mark(id);
        }
        self.charge(id);
        if has_consumed && matches!(phase, Phase::Idle | Phase::Head) {
            self.enter(id, Phase::Answering, self.limits.answer);
        } else if is_partial && phase == Phase::Idle {
            self.enter(id, Phase::Head, self.limits.header);
        }
    }

    /// Everything handed over has left.
    pub(crate) fn all_sent(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        connection.owes_sent = false;
        if matches!(connection.phase, Phase::Answering | Phase::Writing { .. }) {
            let next = if connection.goes_on { Phase::Telling { acked: 0 } } else { Phase::Idle };
            self.enter(id, next, self.limits.idle);
        }
        let (service, states, mut turn) = self.parts();
        service.sent(&mut turn, id, &mut states[id.index()]);
        if self.connections.find(id).is_some_and(|it| !it.kept.is_empty()) {
            self.present(id, &[]);
        }
    }

    /// Nothing more will be presented.
    pub(crate) fn forget_input(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.find_mut(id) else { return };
        self.kept_bytes -= connection.kept.len();
        connection.kept = Vec::new();
    }

    pub(crate) fn told(&mut self, message: S::Message) {
        self.counters.messages.one();
        let (service, _, mut turn) = self.parts();
        service.message(&mut turn, message);
    }

    /// A request's head took too long.
    pub(crate) fn late(&mut self, id: ConnectionId) {
        self.counters.cut_header.one();
        let (service, states, mut turn) = self.parts();
        service.late(&mut turn, id, &mut states[id.index()]);
        self.connections.end(id, Ending::Finish);
    }

    pub(crate) fn expire_service(&mut self) {
        if self.service.deadline().is_some_and(|it| it <= self.now) {
            let (service, _, mut turn) = self.parts();
            service.expired(&mut turn);
        }
    }

    pub(crate) fn draining(&mut self) {
        self.is_draining = true;
        let (service, _, mut turn) = self.parts();
        service.draining(&mut turn);
    }
}
