//! Wakes a core from another thread: an eventfd that is written once per nap, however many ring.
//!
//! Lives here: the eventfd and whether it is rung. Does not live here: what there is to say (an inbox, an order).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::EventfdFlags;

/// One core's bell.
#[derive(Debug)]
pub(crate) struct Bell {
    event: OwnedFd,
    is_rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event, is_rung: AtomicBool::new(false) })
    }

    /// Call it after what is to be heard has been put down.
    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            // It cannot fail: the counter is far from full, since it is written once per `hear`.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// Call it before looking for what there is to hear: whoever rings after this rings again.
    pub(crate) fn hear(&self) {
        let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
        self.is_rung.store(false, Ordering::SeqCst);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
