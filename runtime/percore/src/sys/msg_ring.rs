//! A message into another thread's ring without a ring of one's own (`IORING_REGISTER_SEND_MSG_RING`, Linux 6.13).
//!
//! Unsafe here: one system call that reads one request of ours. `io-uring` has the request, not yet the call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{opcode, squeue, types};

/// `IORING_REGISTER_SEND_MSG_RING` (linux/io_uring.h): without a ring, hence on descriptor -1.
const SEND_MSG_RING: libc::c_uint = 31;
/// `IORING_CQE_F_MORE`: the completion belongs to no request of the receiving ring, so none of its requests ends.
const MORE: u32 = 1 << 1;

/// Puts a completion with this key into `ring`, whose thread wakes up.
///
/// # Errors
/// The kernel does not know how (`EINVAL`), the ring's thread is gone, or there is no memory.
pub(crate) fn send(ring: BorrowedFd<'_>, key: u64) -> io::Result<()> {
    let to = types::Fd(ring.as_raw_fd());
    let entry: squeue::Entry = opcode::MsgRingData::new(to, 0, key, Some(MORE)).build();
    // SAFETY: the kernel copies one request (64 bytes, the size of an `Entry`, which is laid out as its `io_uring_sqe`)
    // from `entry`, which outlives the call; the request names no memory.
    let answer = unsafe {
        libc::syscall(libc::SYS_io_uring_register, -1, SEND_MSG_RING, std::ptr::from_ref(&entry), 1)
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_message_is_a_completion_of_the_ring_it_was_sent_to() {
        let mut ring = io_uring::IoUring::new(8).unwrap();
        // SAFETY: the ring lives to the end of the test.
        let fd = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
        match send(fd, 7) {
            Ok(()) => {
                ring.submit_and_wait(1).unwrap();
                let done = ring.completion().next().unwrap();
                assert_eq!((done.user_data(), done.result()), (7, 0));
                assert!(io_uring::cqueue::more(done.flags()));
            }
            // Linux before 6.13.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        }
    }

    #[test]
    fn what_is_no_ring_refuses() {
        assert!(send(io::stderr().as_fd(), 7).is_err());
    }
}
