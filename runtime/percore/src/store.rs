//! Where inodes are written: a tmpfs of our own with huge pages, a directory on a tmpfs, or memfds.
//!
//! Lives here: which of them, and the one write of an inode. Does not live here: what an inode is (`inode`), or how
//! much may be stored (the window's bound, in the roles).
//!
//! Measured, CPU per byte sent: a tmpfs with `huge=within_size` 0.7 × that of a tmpfs with 4 KB pages, a memfd 1.1–1.4
//! ×. Huge pages are only taken when the file is written in one call. A tmpfs of our own is mounted nowhere (fsopen and
//! fsmount without move_mount): nothing has to be set up or cleaned up, and it is gone with the process.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::inode::{HEAD_END, Inode};

/// Where inodes are written. Clones share it.
#[derive(Clone, Debug)]
pub struct InodeStore {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memfd,
    Directory(Arc<OwnedFd>),
    Own(Arc<OwnedFd>),
}

impl InodeStore {
    /// The cheapest that works here: a tmpfs of our own with huge pages, which takes the right to mount
    /// (`CAP_SYS_ADMIN`), else memfds; and in the second case why.
    pub fn best() -> (Self, Option<io::Error>) {
        match Self::own_tmpfs() {
            Ok(store) => (store, None),
            Err(error) => (Self::memory(), Some(error)),
        }
    }

    /// Every inode is a memfd.
    pub fn memory() -> Self {
        Self { place: Place::Memfd }
    }

    /// Every inode is a nameless file on a tmpfs that nobody else sees, with `huge=within_size`. Unlimited in size,
    /// as memfds are: whoever keeps inodes bounds them.
    ///
    /// # Errors
    /// The system does not let us mount, or has no huge pages for tmpfs.
    pub fn own_tmpfs() -> io::Result<Self> {
        let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let context_fd = &context;
        rustix::mount::fsconfig_set_string(context_fd, "huge", "within_size")?;
        rustix::mount::fsconfig_set_string(context_fd, "size", "0")?;
        rustix::mount::fsconfig_set_string(context_fd, "mode", "0700")?;
        rustix::mount::fsconfig_create(context_fd)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        let root = rustix::mount::fsmount(context_fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let store = Self { place: Place::Own(Arc::new(root)) };
        store.write(b"", b"")?;
        Ok(store)
    }

    /// Every inode is a nameless file (`O_TMPFILE`) in `directory`, best on a tmpfs with `huge=within_size`.
    ///
    /// # Errors
    /// `directory` cannot be written to, or is not on a tmpfs.
    pub fn directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        let directory = directory.as_ref();
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
        if rustix::fs::fstatfs(&root)?.f_type as i64 != TMPFS_MAGIC {
            let why =
                format!("{} is not on a tmpfs; segments would be written to a disk", directory.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let store = Self { place: Place::Directory(Arc::new(root)) };
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
        let file = self.file()?;
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
        if matches!(self.place, Place::Memfd) {
            let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            rustix::fs::fcntl_add_seals(&file, all)?;
        }
        Ok(Inode::of(file, head_len, at - HEAD_END))
    }

    fn file(&self) -> rustix::io::Result<OwnedFd> {
        match &self.place {
            Place::Memfd => {
                rustix::fs::memfd_create("segment", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            }
            Place::Directory(root) | Place::Own(root) => {
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                rustix::fs::openat(root, ".", flags, Mode::RUSR | Mode::WUSR)
            }
        }
    }
}

impl fmt::Display for InodeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::Memfd => "memfds with 4 KB pages",
            Place::Directory(_) => "a directory on a tmpfs",
            Place::Own(_) => "a tmpfs of its own with huge pages",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_at_byte_4096_and_the_body_follows_wherever_it_is_written() {
        let mut stores = vec![InodeStore::memory(), InodeStore::best().0];
        stores.extend(InodeStore::directory("/dev/shm"));
        for store in stores {
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
    fn the_best_store_says_why_it_is_not_the_one_with_huge_pages() {
        match InodeStore::best() {
            (store, None) => assert_eq!(store.to_string(), "a tmpfs of its own with huge pages"),
            (store, Some(error)) => {
                assert_eq!(store.to_string(), "memfds with 4 KB pages");
                assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn a_directory_on_a_disk_is_refused_with_its_name() {
        let error = InodeStore::directory("/proc").unwrap_err();
        assert!(error.to_string().contains("/proc"), "{error}");
    }
}
