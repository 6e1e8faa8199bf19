//! How many bytes the peer has acknowledged (`TCP_INFO`), which neither `rustix` nor `libc` offers yet.
//!
//! Unsafe here: one getsockopt into a buffer of our own.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Where `tcpi_bytes_acked` is in the kernel's `struct tcp_info` (linux/tcp.h; since Linux 4.1): eight bytes of
/// flags, twenty-four u32, two u64.
const BYTES_ACKED: usize = 120;

/// Bytes the peer has acknowledged since the connection began; `None` if the socket is gone.
pub(crate) fn bytes_acked(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut info = [0u8; BYTES_ACKED + size_of::<u64>()];
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
    let (_, acked) = info.split_at(BYTES_ACKED);
    Some(u64::from_ne_bytes(acked.try_into().ok()?))
}
