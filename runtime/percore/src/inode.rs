//! One segment (or part) as one inode: a prerendered response head that ends exactly at byte 4096, and the body.
//!
//! Lives here: writing it once, sealing it, and its bytes for whoever must see them (TLS). Does not live here: what a
//! head says (`http`), or how long an inode is kept (whoever holds the `Arc`).
//!
//! An inode is never written again, so expiry is dropping the last `Arc`: pages that the kernel still sends keep
//! themselves alive. A tmpfs mounted with `huge=within_size` costs 0.7 × the CPU per byte of 4 KB pages, and a memfd
//! 1.4 × of it; huge pages are only taken when the file is written in one call.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

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

/// Where inodes are written.
#[derive(Clone, Debug, Default)]
pub struct InodeStore {
    directory: Option<PathBuf>,
}

impl InodeStore {
    /// Every inode is a memfd.
    pub fn memory() -> Self {
        Self::default()
    }

    /// Every inode is a nameless file (`O_TMPFILE`) in `directory`, best on a tmpfs with `huge=within_size`.
    ///
    /// # Errors
    /// `directory` cannot be written to, or is not on a tmpfs.
    pub fn directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        let directory = directory.as_ref().to_owned();
        if rustix::fs::statfs(&directory)?.f_type as i64 != TMPFS_MAGIC {
            let why =
                format!("{} is not on a tmpfs; segments would be written to a disk", directory.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let store = Self { directory: Some(directory) };
        store.write(b"", b"")?;
        Ok(store)
    }

    /// Writes head and body in one call, and seals.
    ///
    /// # Errors
    /// The head is longer than [`HEAD_END`], or the store is full.
    pub fn write(&self, head: &[u8], body: &[u8]) -> io::Result<Inode> {
        let head_len = head.len() as u64;
        if head_len > HEAD_END {
            let why = format!("a response head of {head_len} bytes, at most {HEAD_END} fit before the body");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let file = match &self.directory {
            None => rustix::fs::memfd_create("segment", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?,
            Some(directory) => rustix::fs::open(
                directory,
                OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
                Mode::RUSR | Mode::WUSR,
            )?,
        };
        let (mut head, mut body, mut at) = (head, body, HEAD_END - head_len);
        while !(head.is_empty() && body.is_empty()) {
            let n = rustix::io::pwritev(&file, &[IoSlice::new(head), IoSlice::new(body)], at)?;
            if n == 0 {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "the store of segments is full"));
            }
            at += n as u64;
            body = &body[n.saturating_sub(head.len())..];
            head = &head[n.min(head.len())..];
        }
        if self.directory.is_none() {
            let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&file, all)?;
        }
        Ok(Inode { file, head_len, body_len: at - HEAD_END, mapping: OnceLock::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores() -> Vec<InodeStore> {
        let mut stores = vec![InodeStore::memory()];
        stores.extend(InodeStore::directory("/dev/shm"));
        stores
    }

    #[test]
    fn the_head_ends_at_byte_4096_and_the_body_follows() {
        for store in stores() {
            let inode = store.write(b"HEAD\r\n\r\n", b"body").unwrap();
            let mut file = [0; 4100];
            let n = rustix::io::pread(&inode, &mut file, 0).unwrap();
            assert_eq!(n, 4100, "nothing follows the body");
            assert_eq!(&file[4088..], b"HEAD\r\n\r\nbody");
            assert_eq!(inode.bytes().unwrap(), b"HEAD\r\n\r\nbody");
            assert_eq!((inode.head_len(), inode.body_len()), (8, 4));
        }
    }

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

    #[test]
    fn a_directory_on_a_disk_is_refused_with_its_name() {
        let error = InodeStore::directory("/proc").unwrap_err();
        assert!(error.to_string().contains("/proc"), "{error}");
    }
}
