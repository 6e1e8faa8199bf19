//! What happens because time has passed, or because the core is ordered to come to an end.
//!
//! Lives here: what each phase that lasted too long leads to, whether a reader is too slow, and the drain. Does not
//! live here: how long phases may last (`config`), or finding whose time is up (`wheel`).

use std::time::Duration;

use super::Engine;
use crate::connection::Phase;
use crate::driver::{Driver, Farewell};
use crate::service::{ConnectionId, Service};
use crate::start::Order;
use crate::sys::tcp_info;
use crate::wheel::Tick;

/// In a drain: how long a connection that has asked nothing yet may take to ask. It was let in just before.
const DRAIN_FIRST_ASK: Duration = Duration::from_secs(1);

impl<S: Service, D: Driver> Engine<S, D> {
    pub(super) fn look_at_deadlines(&mut self) {
        let now = self.desk.tick;
        while let Some((tick, ids)) = self.desk.wheel.expire(now) {
            for id in ids {
                if self.desk.is_due(id, tick) {
                    self.overdue(id);
                }
            }
        }
        if self.accept_again.is_some_and(|it| it <= now) {
            self.accept_again = None;
            self.driver.resume_listening();
        }
        self.desk.expire_service();
    }

    /// A phase has lasted too long.
    fn overdue(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.find_mut(id) else { return };
        let counters = &self.desk.counters;
        match connection.phase {
            Phase::Unnamed => {
                counters.refused_proxy.one();
                self.close(id, Farewell::Reset);
            }
            Phase::Handshaking => {
                counters.cut_handshake.one();
                self.close(id, Farewell::Reset);
            }
            // The kernel took all of the answer, and the peer has not taken all of it from the kernel, in all that time:
            // an orderly close would leave that with the kernel for as long as the peer likes.
            Phase::Idle if self.driver.socket(id).is_some_and(tcp_info::is_owed) => {
                counters.cut_slow.one();
                self.close(id, Farewell::Reset);
            }
            Phase::Idle => {
                counters.cut_idle.one();
                self.say_goodbye(id);
                self.close(id, Farewell::Close);
            }
            Phase::Telling { acked } => self.look_whether_it_listens(id, acked),
            Phase::Head => self.desk.late(id),
            Phase::Answering => {
                counters.cut_unanswered.one();
                self.close(id, Farewell::Reset);
            }
            Phase::Writing { since, acked } => self.judge(id, since, acked),
            Phase::Lingering => self.close(id, Farewell::Close),
        }
    }

    /// Somebody we go on speaking to asks nothing, which is as it should be; but who has taken nothing of what is owed to him
    /// since we last looked is gone.
    fn look_whether_it_listens(&mut self, id: ConnectionId, before: u64) {
        let socket = self.driver.socket(id);
        let acked = socket.and_then(tcp_info::bytes_acked).unwrap_or(before);
        if acked == before && socket.is_some_and(tcp_info::is_owed) {
            self.desk.counters.cut_slow.one();
            return self.close(id, Farewell::Reset);
        }
        let idle = self.desk.limits.idle;
        self.desk.enter(id, Phase::Telling { acked }, idle);
    }

    /// Has the reader taken enough since it was last judged?
    fn judge(&mut self, id: ConnectionId, since: Tick, before: u64) {
        let limits = &self.desk.limits;
        let acked = self.driver.socket(id).and_then(tcp_info::bytes_acked).unwrap_or(before);
        let wanted = limits.drain_rate_min as f64 * limits.drain_window.as_secs_f64();
        if self.desk.tick >= since.after(limits.write) {
            self.desk.counters.cut_overdue.one();
            self.close(id, Farewell::Reset);
        } else if (acked.saturating_sub(before) as f64) < wanted {
            self.desk.counters.cut_slow.one();
            self.close(id, Farewell::Reset);
        } else {
            let window = limits.drain_window;
            self.desk.enter(id, Phase::Writing { since, acked }, window);
        }
    }

    pub(super) fn obey(&mut self) {
        let (within, is_handed_over) = match self.desk.orders.order() {
            Order::Drain { within, is_handed_over } => (within, is_handed_over),
            Order::Go if !self.listeners.is_empty() => return self.begin(),
            Order::Wait | Order::Go | Order::Stop => return,
        };
        let Some(until) = self.drain_until else {
            self.desk.is_handed_over = is_handed_over;
            self.listeners.clear();
            self.drain_until = Some(self.desk.tick.after(within));
            self.driver.stop_listening();
            self.desk.draining();
            self.settle();
            for id in self.desk.connections.ids() {
                self.desk.connections.mark(id);
                self.hurry(id);
            }
            return;
        };
        if self.desk.tick >= until {
            for id in self.desk.connections.ids() {
                let is_idle = self.desk.connections.find(id).is_some_and(|it| it.phase == Phase::Idle);
                if is_handed_over && is_idle {
                    self.say_goodbye(id);
                    self.close(id, Farewell::Close);
                } else {
                    self.desk.counters.cut_draining.one();
                    self.close(id, Farewell::Reset);
                }
            }
        }
    }

    /// We are told to accept.
    fn begin(&mut self) {
        if let Err(error) = self.listen() {
            tracing::error!(core = self.desk.core.0, %error, "a core cannot accept");
        }
    }

    /// In a drain: a connection that has asked nothing yet may have its first request on the way, but not for long, unless
    /// it is to find no closed connection anywhere.
    pub(super) fn hurry(&mut self, id: ConnectionId) {
        let Some(connection) = self.desk.connections.find(id) else { return };
        if !connection.has_asked
            && !self.desk.is_handed_over
            && matches!(connection.phase, Phase::Unnamed | Phase::Handshaking | Phase::Idle)
        {
            self.desk.enter(id, connection.phase, DRAIN_FIRST_ASK);
        }
    }
}
