//! A read-only mapping of a file that nobody can change any more.
//!
//! Unsafe here: a slice over mapped pages. It would be wrong if the file could shrink (SIGBUS) or be written.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};

/// `len` bytes of a file, from its first.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: the pages are never written, neither through this mapping (PROT_READ) nor through the file (see
// `of_sealed`), so any thread may read them, and munmap may be called from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which the caller has written completely and never writes again: it is
    /// either sealed, or has no name and its only descriptor belongs to the caller.
    pub(crate) fn of_sealed(file: impl AsFd, len: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choosing touches no memory of ours.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len.max(1),
                ProtFlags::READ,
                MapFlags::SHARED | MapFlags::POPULATE,
                file,
                0,
            )?
        };
        let start = NonNull::new(start).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(Self { start, len })
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start..start+len` stays mapped until `drop`, and the file neither shrinks nor changes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<u8>(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of_sealed` with this length, and no slice of it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.len.max(1)) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}
