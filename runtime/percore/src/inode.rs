//! One segment (or part) as one inode: a prerendered response head that ends exactly at byte 4096, and the body.
//!
//! Lives here: its bytes for whoever must see them (TLS, small answers). Does not live here: where it is written
//! (`store`), what a head says (`http`), or how long it is kept (whoever holds the `Arc`).
//!
//! An inode is never written again, so expiry is dropping the last `Arc`: pages that the kernel still sends keep
//! themselves alive.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use crate::store::InodeStore;
use crate::sys::mapping::Mapping;

/// Where the body begins, and the most a head may be.
pub const HEAD_END: u64 = 4096;

/// A response head and a body in one file without a name.
#[derive(Debug)]
pub struct Inode {
    file: OwnedFd,
    head_len: u64,
    body_len: u64,
    mapping: OnceLock<Option<Mapping>>,
}

impl Inode {
    /// Writes an inode in memory (memfd), sealed against every change.
    ///
    /// # Errors
    /// The head is longer than [`HEAD_END`], or the system is out of memory or descriptors.
    pub fn write(head: &[u8], body: &[u8]) -> io::Result<Self> {
        InodeStore::memory().write(head, body)
    }

    /// A file that holds all of it and is never written again.
    pub(crate) fn of(file: OwnedFd, head_len: u64, body_len: u64) -> Self {
        Self { file, head_len, body_len, mapping: OnceLock::new() }
    }

    /// Bytes of the prerendered head.
    pub fn head_len(&self) -> u64 {
        self.head_len
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Head and body as they travel. Mapped on the first call, for all cores at once.
    ///
    /// # Errors
    /// The system refuses the mapping.
    pub fn bytes(&self) -> io::Result<&[u8]> {
        let mapping = self.mapping.get_or_init(|| {
            Mapping::of_sealed(&self.file, (HEAD_END + self.body_len) as usize)
                .inspect_err(|error| tracing::warn!(%error, "an inode cannot be mapped"))
                .ok()
        });
        let Some(mapping) = mapping else {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "an inode cannot be mapped"));
        };
        Ok(&mapping.bytes()[self.offset(0) as usize..])
    }

    /// Where byte `from`, counted from the head's first, is in the file.
    pub(crate) fn offset(&self, from: u64) -> u64 {
        HEAD_END - self.head_len + from
    }
}

impl AsFd for Inode {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_inode_cannot_be_written_or_shortened() {
        let inode = Inode::write(b"h", b"body").unwrap();
        assert!(rustix::io::pwrite(&inode, b"x", 4096).is_err());
        assert!(rustix::fs::ftruncate(&inode, 0).is_err());
    }

    #[test]
    fn an_empty_body_and_a_head_that_just_fits_are_fine_and_one_byte_more_is_refused() {
        let inode = Inode::write(&[b'h'; 4096], b"").unwrap();
        assert_eq!(inode.bytes().unwrap().len(), 4096);
        let error = Inode::write(&[b'h'; 4097], b"").unwrap_err();
        assert!(error.to_string().contains("4097"), "{error}");
    }
}
