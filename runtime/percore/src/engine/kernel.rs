//! TLS connections that the kernel takes over: when, and what is different from then on.
//!
//! Lives here: the moments. Does not live here: keys and records (`tls::kernel`).

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Engine;
use crate::connection::{Ending, Phase};
use crate::driver::{Driver, Farewell};
use crate::service::{ConnectionId, Service};
use crate::tls::{Aside, KernelRecords, Tls};

impl<S: Service, D: Driver> Engine<S, D> {
    /// Gives the kernel a connection's keys, if its handshake is done and nothing is on the way that rustls would have to
    /// see. Called when what has just been received is dealt with: the driver has read nothing beyond it
    /// ([`crate::driver::Reading::Singly`]).
    pub(super) fn hand_over(&mut self, id: ConnectionId) {
        if self.desk.kernel.is_empty() {
            return;
        }
        let (Some(connection), Some(socket)) = (self.desk.connections.find_mut(id), self.driver.socket(id))
        else {
            return;
        };
        let Some(Tls::Records(records)) = &mut connection.tls else { return };
        if records.is_handshaking() || connection.ending.is_some() || connection.has_input_ended {
            return;
        }
        // Session tickets, as a rule.
        while records.wants_write() {
            match records.write(socket) {
                Ok(n) => self.desk.counters.bytes_tls.add(n as u64),
                Err(_) => return,
            }
        }
        let Some(version) = records.is_for(&self.desk.kernel) else {
            // A suite that the kernel does not know, for ever.
            return self.driver.read_ahead(id);
        };
        if !records.is_aligned() {
            return;
        }
        if let Err(error) = crate::sys::ktls::prepare(socket) {
            tracing::debug!(%error, "the kernel takes no TLS connection over");
            return;
        }
        let Some(Tls::Records(records)) = connection.tls.take() else { return };
        match KernelRecords::take_over(socket, records.into_session(), version) {
            Ok(records) => {
                connection.tls = Some(Tls::Kernel(records));
                self.desk.counters.ktls.one();
                self.driver.read_ahead(id);
            }
            Err(error) => {
                tracing::warn!(%error, "the kernel could not take a TLS connection over");
                self.desk.counters.tls_failed.one();
                self.close(id, Farewell::Reset);
            }
        }
    }

    /// A receive has failed. If it was for a record that is no data, it is heard, and the connection ends in order: with
    /// it the peer says goodbye, or that it changes its keys, which the kernel cannot follow.
    pub(super) fn hear_aside(&mut self, id: ConnectionId) -> bool {
        let (Some(connection), Some(socket)) = (self.desk.connections.find_mut(id), self.driver.socket(id))
        else {
            return false;
        };
        let Some(Tls::Kernel(records)) = connection.tls else { return false };
        let Ok(aside) = records.hear(socket) else { return false };
        match aside {
            Aside::Goodbye => {
                connection.has_input_ended = true;
                self.desk.connections.mark(id);
            }
            // Not closed at once: what it still says would be answered by a reset, which overtakes our last words.
            Aside::Unanswerable => {
                self.desk.counters.tls_failed.one();
                self.desk.connections.end(id, Ending::Finish);
            }
        }
        true
    }

    /// Whether the connection is about to end, and the kernel may still hold a record that it made and the socket did not
    /// take: it counts as sent, and a FIN would overtake it.
    pub(super) fn has_unsent_record(&self, id: ConnectionId, is_draining: bool) -> bool {
        let (Some(connection), Some(socket)) = (self.desk.connections.find(id), self.driver.socket(id))
        else {
            return false;
        };
        let is_done = is_draining && connection.phase == Phase::Idle && connection.has_asked;
        let is_ending = connection.has_input_ended || is_done || connection.ending == Some(Ending::Finish);
        if !is_ending || !connection.tls.as_ref().is_some_and(Tls::is_kernel) {
            return false;
        }
        // Writable: there is room for it, and the goodbye that follows takes it along.
        let mut files = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
        matches!(poll(&mut files, Some(&Timespec::default())), Ok(0))
    }
}
