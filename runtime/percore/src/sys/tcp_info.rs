//! What the kernel knows of a connection's way (`TCP_INFO`), which neither `rustix` nor `libc` offers yet.
//!
//! Unsafe here: one getsockopt into a buffer of our own.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Where `tcpi_bytes_acked` is in the kernel's `struct tcp_info` (linux/tcp.h; since Linux 4.1): eight bytes of
/// flags, twenty-four u32, two u64.
const BYTES_ACKED: usize = 120;

/// Where `tcpi_unacked` is (segments sent and not acknowledged, u32): after eight bytes of flags and four u32.
const UNACKED: usize = 24;
/// Where `tcpi_notsent_bytes` is (u32; since Linux 4.6): after two more u64 and two u32.
const NOTSENT_BYTES: usize = 144;

/// As much of `struct tcp_info` as we look at.
type Info = [u8; NOTSENT_BYTES + size_of::<u32>()];

/// Bytes the peer has acknowledged since the connection began; `None` if the socket is gone.
pub(crate) fn bytes_acked(socket: BorrowedFd<'_>) -> Option<u64> {
    let info = info(socket)?;
    Some(u64::from_ne_bytes(info[BYTES_ACKED..BYTES_ACKED + 8].try_into().ok()?))
}

/// Whether the kernel still holds something the peer has not taken.
pub(crate) fn is_owed(socket: BorrowedFd<'_>) -> bool {
    let Some(info) = info(socket) else { return false };
    let is_some = |at: usize| info[at..at + 4] != [0; 4];
    is_some(UNACKED) || is_some(NOTSENT_BYTES)
}

fn info(socket: BorrowedFd<'_>) -> Option<Info> {
    let mut info: Info = [0; size_of::<Info>()];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `info`, and the new length into `len`; both outlive
    // the call.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if answer != 0 || (len as usize) < info.len() {
        return None;
    }
    Some(info)
}
