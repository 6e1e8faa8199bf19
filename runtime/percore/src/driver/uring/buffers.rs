//! The ring of buffers that the kernel fills with what arrives, on whichever connection.
//!
//! Unsafe here: memory shared with the kernel. The rule that makes it sound: a buffer belongs to the kernel from
//! `give_back` until a completion names it, and to us from then until it is given back; an `Inbound` stands for one
//! that is ours.
//!
//! Not used, on purpose: incremental consumption and bundles on receive (kernel bugs, liburing#1433 and #1619).

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags};

use crate::driver::Inbound;

/// Buffers per core; a power of two. When all are in use the kernel says so and the receive is armed again.
pub(crate) const COUNT: u16 = 1024;
/// Bytes in each: a request head with cookies fits.
pub(crate) const SIZE: usize = 2048;
/// The one group of buffers in a ring.
pub(crate) const GROUP: u16 = 0;

const RING_LEN: usize = COUNT as usize * size_of::<BufRingEntry>();
const LEN: usize = RING_LEN + COUNT as usize * SIZE;

/// Ring and buffers, in one mapping: the ring first, since it must begin on a page.
#[derive(Debug)]
pub(crate) struct Buffers {
    start: NonNull<u8>,
    tail: u16,
}

impl Buffers {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a fresh private mapping at an address of the kernel's choosing touches no memory of ours.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                LEN,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(Self { start, tail: 0 })
    }

    /// Gives all buffers to the kernel.
    ///
    /// # Safety
    /// `self` must outlive every request of the ring that selects buffers.
    pub(crate) unsafe fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let ring = self.start.as_ptr() as u64;
        // SAFETY: the mapping begins on a page, holds COUNT entries, and the caller lets it live long enough.
        unsafe { submitter.register_buf_ring_with_flags(ring, COUNT, GROUP, 0)? };
        for buffer in 0..COUNT {
            self.give_back(Inbound { buffer, len: 0 });
        }
        Ok(())
    }

    /// What arrived.
    pub(crate) fn bytes(&self, inbound: &Inbound) -> &[u8] {
        let at = RING_LEN + (inbound.buffer % COUNT) as usize * SIZE;
        let len = (inbound.len as usize).min(SIZE);
        // SAFETY: within the mapping. `inbound` exists, so the buffer is ours until `give_back` takes it, which the
        // borrow of `self` keeps away.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at), len) }
    }

    /// The kernel may fill this buffer again.
    pub(crate) fn give_back(&mut self, inbound: Inbound) {
        let buffer = inbound.buffer % COUNT;
        let at = (self.tail % COUNT) as usize;
        self.tail = self.tail.wrapping_add(1);
        let ring = self.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: entry `at` and the buffer are within the mapping, which is zeroed and so holds valid entries. The
        // kernel reads entry `at` only after it has seen the new tail, which is stored after the entry, and with
        // release. `tail` is a u16 in the first entry that nobody else writes.
        unsafe {
            let entry = &mut *ring.add(at);
            entry.set_addr(self.start.as_ptr().add(RING_LEN + buffer as usize * SIZE) as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(buffer);
            let tail = AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut());
            tail.store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no slice of it outlives `self`, and the kernel has no request
        // left that could fill it (see `register`).
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), LEN) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}
