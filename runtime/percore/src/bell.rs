//! Wakes a core from another thread, once per nap, however many ring: by a message into its ring (`MSG_RING`), or by an
//! eventfd where the core has no ring or the kernel is older than 6.13.
//!
//! Lives here: the two ways and whether it is rung. Does not live here: what there is to say (an inbox, an order).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::EventfdFlags;

use crate::sys::msg_ring;

/// One core's bell.
#[derive(Debug)]
pub(crate) struct Bell {
    event: OwnedFd,
    ring: OnceLock<Ring>,
    is_rung: AtomicBool,
    /// The eventfd was written and not read yet.
    is_event_set: AtomicBool,
}

/// The core's ring, held open by us: a number of a closed file could be anybody's tomorrow.
#[derive(Debug)]
struct Ring {
    ring: OwnedFd,
    key: u64,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            event,
            ring: OnceLock::new(),
            is_rung: AtomicBool::new(false),
            is_event_set: AtomicBool::new(false),
        })
    }

    /// From now on the core is woken by a completion with this key in its ring. The eventfd stays for when that fails.
    pub(crate) fn use_ring(&self, ring: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let _ = self.ring.set(Ring { ring: ring.try_clone_to_owned()?, key });
        Ok(())
    }

    /// Call it after what is to be heard has been put down.
    pub(crate) fn ring(&self) {
        if self.is_rung.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(Ring { ring, key }) = self.ring.get()
            && msg_ring::send(ring.as_fd(), *key).is_ok()
        {
            return;
        }
        self.is_event_set.store(true, Ordering::SeqCst);
        // It cannot fail: the counter is far from full, since it is written once per `hear`.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Call it before looking for what there is to hear: whoever rings after this rings again.
    pub(crate) fn hear(&self) {
        if self.is_event_set.swap(false, Ordering::SeqCst) {
            let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
        }
        self.is_rung.store(false, Ordering::SeqCst);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
