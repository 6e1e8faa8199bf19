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

/// Ring and buffers, in one mapping: the ring first, since it must begin on a page.
#[derive(Debug)]
pub(crate) struct Buffers {
    start: NonNull<u8>,
    /// A power of two.
    count: u16,
    tail: u16,
}

impl Buffers {
    /// `count` is a power of two.
    pub(crate) fn new(count: u16) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "a ring of {count} buffers");
        // SAFETY: a fresh private mapping at an address of the kernel's choosing touches no memory of ours.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                ring_len(count) + usize::from(count) * SIZE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(Self { start, count, tail: 0 })
    }

    /// Gives all buffers to the kernel.
    ///
    /// # Safety
    /// `self` must outlive every request of the ring that selects buffers.
    pub(crate) unsafe fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let ring = self.start.as_ptr() as u64;
        // SAFETY: the mapping begins on a page, holds `count` entries, and the caller lets it live long enough.
        unsafe { submitter.register_buf_ring_with_flags(ring, self.count, GROUP, 0)? };
        for buffer in 0..self.count {
            self.give_back(Inbound { buffer, len: 0 });
        }
        Ok(())
    }

    /// What arrived.
    pub(crate) fn bytes(&self, inbound: &Inbound) -> &[u8] {
        let at = ring_len(self.count) + usize::from(inbound.buffer % self.count) * SIZE;
        let len = (inbound.len as usize).min(SIZE);
        // SAFETY: within the mapping. `inbound` exists, so the buffer is ours until `give_back` takes it, which the
        // borrow of `self` keeps away.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at), len) }
    }

    /// The kernel may fill this buffer again.
    pub(crate) fn give_back(&mut self, inbound: Inbound) {
        let buffer = inbound.buffer % self.count;
        let at = usize::from(self.tail % self.count);
        self.tail = self.tail.wrapping_add(1);
        let ring = self.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: entry `at` and the buffer are within the mapping, which is zeroed and so holds valid entries. The
        // kernel reads entry `at` only after it has seen the new tail, which is stored after the entry, and with
        // release. `tail` is a u16 in the first entry that nobody else writes.
        unsafe {
            let entry = &mut *ring.add(at);
            entry.set_addr(self.start.as_ptr().add(ring_len(self.count) + usize::from(buffer) * SIZE) as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(buffer);
            let tail = AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut());
            tail.store(self.tail, Ordering::Release);
        }
    }
}

fn ring_len(count: u16) -> usize {
    usize::from(count) * size_of::<BufRingEntry>()
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let len = ring_len(self.count) + usize::from(self.count) * SIZE;
        // SAFETY: mapped by `new` with this length; no slice of it outlives `self`, and the kernel has no request
        // left that could fill it (see `register`).
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), len) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}
