//! What happened, counted: per core, written by that core alone, read by anybody.
//!
//! Lives here: the numbers. Does not live here: their names in an exporter (the roles), or anything per request.
//!
//! A counter is a relaxed store of one more than was loaded: there is one writer, so no bus lock is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One number that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Sets it to `n` if that is less.
    pub(crate) fn lower(&self, n: u64) {
        self.set(n.min(self.0.load(Relaxed)));
    }
}

macro_rules! counters {
    ($(#[doc = $about:literal] $name:ident,)*) => {
        /// The counters of one core, alone on its cache lines.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* }

        /// What one core, or all together, have counted so far.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CoreCounts { $(#[doc = $about] pub $name: u64,)* }

        impl Counters {
            pub(crate) fn read(&self) -> CoreCounts {
                CoreCounts { $($name: self.$name.0.load(Relaxed),)* }
            }
        }

        impl CoreCounts {
            /// What each count is of, by its name.
            pub const ABOUT: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $about),)*];

            /// Every count with its name, for an exporter.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Whether the count of this name says how much there is now, and not how often something happened.
            pub fn is_gauge(name: &str) -> bool {
                matches!(name, "open" | "held_bytes")
            }
        }

        impl std::ops::AddAssign for CoreCounts {
            fn add_assign(&mut self, other: Self) { $(self.$name += other.$name;)* }
        }
    };
}

counters! {
    /// Connections open now.
    open,
    /// Connections accepted and kept.
    accepted,
    /// Connections closed because the core has as many as it may.
    refused_full,
    /// Connections closed because their address has as many as it may.
    refused_address,
    /// Connections closed because the core's memory for them was full.
    refused_memory,
    /// Connections closed because what a proxy said of them is no PROXY head, or came too late.
    refused_proxy,
    /// Of those accepted, connections of which a proxy has said whose they are.
    proxied,
    /// Times accept failed (out of descriptors or memory).
    accept_failed,
    /// Connections cut because their TLS handshake took too long.
    cut_handshake,
    /// Connections cut because a request's head took too long.
    cut_header,
    /// Connections cut because the service gave no answer in time.
    cut_unanswered,
    /// Connections closed because they were idle too long.
    cut_idle,
    /// Connections cut because they took an answer too slowly.
    cut_slow,
    /// Connections cut because an answer was not taken within the whole time for it.
    cut_overdue,
    /// Connections cut because they sent more than may be kept.
    cut_inbound,
    /// Connections cut because too many bodies waited on them.
    cut_outbound,
    /// Connections cut because the core's memory for them was full and they had held us up the longest.
    cut_memory,
    /// Bytes of memory held for connections now.
    held_bytes,
    /// Connections cut because a drain had reached its bound.
    cut_draining,
    /// Connections that the peer reset, or that failed below us.
    failed,
    /// Bytes received, before TLS is taken off.
    bytes_received,
    /// Bytes sent from memory.
    bytes_send,
    /// Bytes sent by sendfile(2).
    bytes_sendfile,
    /// Bytes sent by SEND_ZC.
    bytes_send_zc,
    /// Bytes of inodes sent by send(2) from their mapping.
    bytes_copy,
    /// Bytes sent by TLS, records and all.
    bytes_tls,
    /// Of the bytes sent, those of TLS connections whose records the kernel makes.
    bytes_ktls,
    /// Zero-copy sends the kernel copied after all.
    send_zc_copied,
    /// Times a socket took no more and we waited for it.
    blocked,
    /// TLS handshakes finished.
    handshakes,
    /// Of those, resumed ones.
    handshakes_resumed,
    /// Of those, connections whose records the kernel makes from then on.
    ktls,
    /// TLS connections that failed, in the handshake or after it.
    tls_failed,
    /// Messages delivered to the service.
    messages,
    /// Times other threads woke this core.
    wakeups,
    /// Turns of the core's loop.
    turns,
    /// Times the ring had no buffer left for what arrived.
    no_buffers,
    /// Times the completion queue overflowed (nothing is lost: the kernel keeps them).
    overflows,
}

/// Which driver runs, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverReport {
    /// `io_uring` or `epoll`.
    pub name: &'static str,
    /// One sentence: asked for, works, or what refused.
    pub why: String,
}

/// All counters at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which driver runs.
    pub driver: DriverReport,
    /// Everything summed over the cores.
    pub total: CoreCounts,
    /// Core by core.
    pub cores: Vec<CoreCounts>,
}

pub(crate) fn snapshot(driver: &DriverReport, cores: &[Arc<Counters>]) -> Snapshot {
    let cores: Vec<_> = cores.iter().map(|core| core.read()).collect();
    let mut total = CoreCounts::default();
    for core in &cores {
        total += *core;
    }
    Snapshot { driver: driver.clone(), total, cores }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_over_the_cores_and_names_are_the_fields() {
        let cores = [Arc::new(Counters::default()), Arc::new(Counters::default())];
        cores[0].accepted.add(2);
        cores[1].accepted.one();
        cores[1].open.set(7);
        let driver = DriverReport { name: "epoll", why: "asked for".to_owned() };
        let seen = snapshot(&driver, &cores);
        assert_eq!((seen.total.accepted, seen.cores[0].accepted, seen.total.open), (3, 2, 7));
        assert!(seen.total.each().any(|it| it == ("accepted", 3)));
    }
}
