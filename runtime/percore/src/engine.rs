//! One core: events in, calls to the service, bodies out. The state machine, once for both drivers.
//!
//! ```text
//!             accept
//!  (Unnamed: a proxy says whose it is)
//!   TLS: Handshaking ──▶ Idle ──first byte──▶ Head ──consumed──▶ Answering ──socket full──▶ Writing
//!                         ▲                                        │ all has left              │
//!                         └────────────────────────────────────────┴───────────────────────────┘
//!                                         finish: all has left ──▶ Lingering ──▶ closed
//! ```
//!
//! Lives here: the loop, and what follows from each event. Does not live here: how sockets are waited for (`driver`),
//! what is known of a connection (`connection`), how a body leaves (`flush`), the service's calls (`desk`), or what
//! happens because time has passed (`overdue`).

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Ending, Phase};
use crate::desk::Desk;
use crate::driver::{Detached, Driver, Event, Farewell, Reading, close};
use crate::flush::{Flushed, flush};
use crate::service::{ConnectionId, Service};
use crate::start::{Order, Seat};
use crate::sys::tcp_info;
use crate::tls::Tls;
use crate::wheel::Tick;

mod held;
mod kernel;
mod overdue;
mod unnamed;

pub use held::{PLAIN_BYTES, TLS_BYTES};

/// Inbound bytes that one connection may have kept beyond [`crate::Limits::inbound_bytes`]: what the kernel had
/// already handed over when we stopped reading (a ring completes 32 receives of 2 KB at once, and may have a second and
/// a third such burst under way).
pub const INBOUND_OVERSHOOT: usize = 256 * 1024;

/// Messages taken per turn, so that a flood of them does not starve the sockets.
const MESSAGES_PER_TURN: usize = 1024;
/// After a failed accept (out of descriptors), how long until the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// When the core ends: how long the driver may take to let go of the last socket.
const DETACH_MAX: Duration = Duration::from_secs(1);

/// One core.
pub(crate) struct Engine<S: Service, D> {
    driver: D,
    desk: Desk<S>,
    has_mail: bool,
    /// Sockets to accept on once we are told to.
    listeners: Vec<OwnedFd>,
    accept_again: Option<Tick>,
    drain_until: Option<Tick>,
}

impl<S: Service, D: Driver> Engine<S, D> {
    pub(crate) fn new(seat: Seat<S::Message>, mut driver: D, make: impl FnOnce() -> S) -> io::Result<Self> {
        let mut seat = seat;
        driver.listen_to(std::sync::Arc::clone(&seat.orders))?;
        let (which, listeners): (Vec<_>, _) = seat.listeners.drain(..).unzip();
        let desk = Desk::new(seat, &which, make());
        let mut engine =
            Self { driver, desk, has_mail: true, listeners, accept_again: None, drain_until: None };
        if engine.desk.orders.order() != Order::Wait {
            engine.listen()?;
        }
        Ok(engine)
    }

    fn listen(&mut self) -> io::Result<()> {
        for (listener, socket) in self.listeners.drain(..).enumerate() {
            self.driver.listen(listener, socket)?;
        }
        Ok(())
    }

    pub(crate) fn run(mut self) {
        while !self.is_over() {
            if let Err(error) = self.driver.wait(self.timeout()) {
                tracing::error!(core = self.desk.core.0, %error, "a core cannot wait any more and ends");
                break;
            }
            self.desk.look_at_the_clock();
            while let Some(event) = self.driver.next() {
                self.happened(event);
                self.settle();
            }
            self.read_mail();
            self.look_at_deadlines();
            self.obey();
            self.settle();
            self.count_turn();
        }
        self.end();
    }

    fn is_over(&self) -> bool {
        match self.desk.orders.order() {
            Order::Wait | Order::Go => false,
            Order::Stop => true,
            Order::Drain { .. } => self.drain_until.is_some_and(|until| {
                let is_closed = !self.driver.is_listening() || self.desk.tick >= until;
                is_closed && self.desk.connections.occupied() == 0
            }),
        }
    }

    /// How long there is nothing to do unless something happens.
    fn timeout(&self) -> Option<Duration> {
        if self.has_mail {
            return Some(Duration::ZERO);
        }
        let ticks = [self.desk.wheel.next(), self.accept_again, self.drain_until];
        let tick = ticks.into_iter().flatten().min().map(|it| self.desk.started + it.start());
        let due = [tick, self.desk.service.deadline()].into_iter().flatten().min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Accepted { listener, socket } => self.accept(listener, socket),
            Event::AcceptFailed(error) => {
                self.desk.counters.accept_failed.one();
                tracing::warn!(core = self.desk.core.0, %error, "a connection could not be accepted");
                self.accept_again = Some(self.desk.tick.after(ACCEPT_PAUSE));
            }
            Event::Received { id, inbound } => {
                self.desk.received(id, self.driver.bytes(&inbound));
                self.driver.give_back(inbound);
                self.hand_over(id);
            }
            Event::Ended(id) => {
                if let Some(connection) = self.desk.connections.find_mut(id) {
                    connection.has_input_ended = true;
                    self.desk.connections.mark(id);
                }
            }
            Event::Failed(id) if self.hear_aside(id) => {}
            Event::Failed(id) => {
                self.desk.counters.failed.one();
                self.close(id, Farewell::Reset);
            }
            Event::Writable(id) => {
                if let Some(connection) = self.desk.connections.find_mut(id)
                    && connection.is_blocked
                {
                    connection.is_blocked = false;
                    self.desk.connections.mark(id);
                }
            }
            Event::Sent { id, result, is_zero_copy } => self.has_sent(id, result, is_zero_copy),
            Event::Copied => self.desk.counters.send_zc_copied.one(),
            Event::Detached(id) => self.desk.connections.release(id),
            Event::Rung => {
                self.desk.orders.bell.hear();
                self.desk.counters.wakeups.one();
                self.has_mail = true;
            }
        }
    }

    fn accept(&mut self, listener: usize, socket: OwnedFd) {
        let desk = &mut self.desk;
        let peer = rustix::net::getpeername(&socket).ok().flatten().and_then(|it| it.try_into().ok());
        let Some(peer): Option<std::net::SocketAddr> = peer else {
            // It is gone already.
            desk.counters.failed.one();
            return;
        };
        if desk.connections.len() >= desk.limits.connections_per_core {
            desk.counters.refused_full.one();
            return close(socket, Farewell::Reset);
        }
        if desk.held_bytes + held::share(desk.is_tls(listener)) > desk.limits.memory_per_core {
            desk.counters.refused_memory.one();
            return close(socket, Farewell::Reset);
        }
        let is_proxy = desk.is_proxy(peer.ip());
        if !is_proxy && !desk.everyone.admit(peer.ip()) {
            desk.counters.refused_address.one();
            return close(socket, Farewell::Reset);
        }
        let tls = match desk.tls.get(listener).and_then(Option::as_ref).map(|source| source.connection()) {
            None => None,
            Some(Ok(tls)) => Some(tls),
            Some(Err(error)) => {
                tracing::error!(%error, "a TLS connection cannot be set up");
                desk.counters.tls_failed.one();
                if !is_proxy {
                    desk.everyone.leave(peer.ip());
                }
                return;
            }
        };
        let is_for_kernel = tls.is_some() && !desk.kernel.is_empty();
        let reading = if is_for_kernel { Reading::Singly } else { Reading::Ahead };
        let connection = if is_proxy { Connection::unnamed(peer, tls) } else { Connection::new(peer, tls) };
        let id = desk.admit(connection);
        if let Err(error) = self.driver.attach(id, socket, reading) {
            tracing::warn!(%error, "a connection could not be taken over");
            self.desk.counters.failed.one();
            self.close(id, Farewell::Reset);
        } else if self.drain_until.is_some() {
            self.hurry(id);
        }
    }

    fn has_sent(&mut self, id: ConnectionId, result: io::Result<usize>, is_zero_copy: bool) {
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        connection.is_sending = false;
        match result {
            Ok(n) => {
                let counters = &self.desk.counters;
                connection.has_left(n, counters);
                let path = if is_zero_copy { &counters.bytes_send_zc } else { &counters.bytes_send };
                path.add(n as u64);
                self.desk.connections.mark(id);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.block(id),
            Err(_) => {
                self.desk.counters.failed.one();
                self.close(id, Farewell::Reset);
            }
        }
    }

    /// Does what was ordered, and what follows from it, until nothing follows any more; memory is looked at after each,
    /// since one turn may wake ten thousand.
    fn settle(&mut self) {
        while let Some(id) = self.desk.connections.next_dirty() {
            self.settle_one(id);
            self.shed();
        }
        self.shed();
    }

    fn settle_one(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        if let Some(Ending::Abort | Ending::Overfull) = connection.ending {
            if connection.ending == Some(Ending::Overfull) {
                self.desk.counters.cut_outbound.one();
            }
            return self.close(id, Farewell::Reset);
        }
        if connection.is_sending || connection.is_blocked {
            return self.hold_back(id);
        }
        match flush(&mut self.driver, &mut self.desk, id) {
            Flushed::All => self.has_flushed(id),
            Flushed::Later => {}
            Flushed::Blocked => self.block(id),
            Flushed::Failed => {
                self.desk.counters.failed.one();
                return self.close(id, Farewell::Reset);
            }
        }
        self.hold_back(id);
    }

    /// Nothing waits to go out.
    fn has_flushed(&mut self, id: ConnectionId) {
        if self.desk.connections.find(id).is_some_and(held::is_holding) {
            self.desk.charge(id);
        }
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        if connection.owes_sent {
            self.desk.all_sent(id);
        }
        let is_draining = self.drain_until.is_some();
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        if connection.owes_sent || connection.ending.is_some_and(|it| it != Ending::Finish) {
            return; // The service has ordered more, and it is marked.
        }
        if self.has_unsent_record(id, is_draining) {
            return self.block(id);
        }
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        if connection.phase == Phase::Lingering || connection.has_input_ended {
            if connection.has_input_ended {
                self.say_goodbye(id);
                self.close(id, Farewell::Close);
            }
            return;
        }
        let is_done = is_draining
            && connection.phase == Phase::Idle
            && connection.has_asked
            && !self.desk.is_handed_over;
        if is_done || connection.ending == Some(Ending::Finish) {
            self.say_goodbye(id);
            if let Some(socket) = self.driver.socket(id) {
                let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
            }
            let linger = self.desk.limits.linger;
            self.desk.forget_input(id);
            self.desk.enter(id, Phase::Lingering, linger);
        }
    }

    /// TLS says that what follows is no truncation; if the socket does not take it now, it stays unsaid.
    fn say_goodbye(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        match (&mut connection.tls, self.driver.socket(id)) {
            (Some(Tls::Records(tls)), Some(socket)) => {
                tls.say_goodbye();
                let _ = tls.write(socket);
            }
            (Some(Tls::Kernel(records)), Some(socket)) => records.say_goodbye(socket),
            _ => {}
        }
    }

    /// The socket takes no more.
    fn block(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        connection.is_blocked = true;
        let phase = connection.phase;
        self.driver.await_writable(id);
        self.desk.counters.blocked.one();
        self.desk.charge(id);
        self.desk.hold_anew(id);
        if matches!(phase, Phase::Idle | Phase::Head | Phase::Answering | Phase::Telling { .. }) {
            let acked = self.driver.socket(id).and_then(tcp_info::bytes_acked).unwrap_or(0);
            let window = self.desk.limits.drain_window;
            self.desk.enter(id, Phase::Writing { since: self.desk.tick, acked }, window);
        }
    }

    /// Reads no more while the service does not consume, and again when it has.
    fn hold_back(&mut self, id: ConnectionId) {
        let limit = self.desk.limits.inbound_bytes;
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        let is_full = connection.kept.len() > limit;
        if is_full && !connection.is_paused {
            connection.is_paused = true;
            self.driver.pause(id);
        } else if !is_full && connection.is_paused {
            connection.is_paused = false;
            self.driver.resume(id);
        }
    }

    fn close(&mut self, id: ConnectionId, farewell: Farewell) {
        if self.desk.dismiss(id) && self.driver.detach(id, farewell) == Detached::Now {
            self.desk.connections.release(id);
        }
    }

    fn read_mail(&mut self) {
        if !self.has_mail {
            return;
        }
        for _ in 0..MESSAGES_PER_TURN {
            let Ok(message) = self.desk.inbox.try_recv() else {
                self.has_mail = false;
                return;
            };
            self.desk.told(message);
            self.settle();
        }
    }

    fn count_turn(&mut self) {
        let counters = &self.desk.counters;
        counters.turns.one();
        let (no_buffers, overflows) = self.driver.shortages();
        counters.no_buffers.set(no_buffers);
        counters.overflows.set(overflows);
    }

    /// Closes what is left, and waits until the driver has let go of it.
    fn end(&mut self) {
        self.driver.stop_listening();
        for id in self.desk.connections.ids() {
            self.close(id, Farewell::Reset);
        }
        let until = Instant::now() + DETACH_MAX;
        while self.desk.connections.occupied() > 0 && Instant::now() < until {
            if self.driver.wait(Some(Duration::from_millis(10))).is_err() {
                break;
            }
            while let Some(event) = self.driver.next() {
                match event {
                    Event::Detached(id) => self.desk.connections.release(id),
                    Event::Accepted { socket, .. } => close(socket, Farewell::Reset),
                    Event::Received { inbound, .. } => self.driver.give_back(inbound),
                    _ => {}
                }
            }
        }
    }
}
