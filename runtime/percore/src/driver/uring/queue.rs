//! Submission and completion: one ring, and how many requests it has that are not done.
//!
//! Unsafe here: putting requests into the ring, and owning the sockets it accepts. All requests but one name no
//! memory of ours, so nothing can go wrong with them; the one that does (`send`) is unsafe to call.
//!
//! `SINGLE_ISSUER | DEFER_TASKRUN`: only this core's thread submits, and completions are worked out in its own wait,
//! never in the middle of something else.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{GROUP, SIZE};

/// Requests prepared per submission; more are submitted in between.
pub(crate) const SUBMISSIONS: u32 = 1024;
/// Completions the kernel can put down before it keeps them elsewhere (nothing is lost), for each submission. One turn
/// may release 10,000 waiters, each with a send of its own.
const COMPLETIONS_PER_SUBMISSION: u32 = 8;

/// One ring.
pub(crate) struct Queue {
    ring: IoUring,
    done: Vec<cqueue::Entry>,
    at: usize,
    /// Requests that will have another completion.
    in_flight: usize,
    overflows: u64,
}

impl Queue {
    /// Prepares so many requests at a time; eight times as many completions may wait.
    pub(crate) fn new(submissions: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS_PER_SUBMISSION * submissions)
            .build(submissions)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel's io_uring is too old"));
        }
        Ok(Self { ring, done: Vec::new(), at: 0, in_flight: 0, overflows: 0 })
    }

    pub(crate) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// For who sends messages into this ring.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring is open as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn overflows(&self) -> u64 {
        self.overflows
    }

    pub(crate) fn accept(&mut self, socket: BorrowedFd<'_>, key: u64) {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        self.put(opcode::AcceptMulti::new(Fd(socket.as_raw_fd())).flags(flags).build(), key);
    }

    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, key: u64) {
        self.put(opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build(), key);
    }

    /// Receives once, at most one buffer's worth.
    pub(crate) fn receive_once(&mut self, socket: BorrowedFd<'_>, key: u64) {
        let receive = opcode::Recv::new(Fd(socket.as_raw_fd()), std::ptr::null_mut(), SIZE as u32);
        self.put(receive.buf_group(GROUP).build().flags(squeue::Flags::BUFFER_SELECT), key);
    }

    pub(crate) fn poll(&mut self, file: BorrowedFd<'_>, events: i16, key: u64) {
        let poll = opcode::PollAdd::new(Fd(file.as_raw_fd()), events as u32).multi(true);
        self.put(poll.build(), key);
    }

    /// Cancels the request with this key.
    pub(crate) fn cancel(&mut self, which: u64, key: u64) {
        self.put(opcode::AsyncCancel2::new(CancelBuilder::user_data(which)).build(), key);
    }

    /// Cancels every request on a socket.
    pub(crate) fn cancel_all_of(&mut self, socket: BorrowedFd<'_>, key: u64) {
        let all = CancelBuilder::fd(Fd(socket.as_raw_fd())).all();
        self.put(opcode::AsyncCancel2::new(all).build(), key);
    }

    /// Cancels every request there is.
    pub(crate) fn cancel_everything(&mut self, key: u64) {
        self.put(opcode::AsyncCancel2::new(CancelBuilder::any()).build(), key);
    }

    /// Sends `bytes`, as many as the socket takes now; without a copy, if so wished.
    ///
    /// # Safety
    /// `bytes` must stay where and as they are until the last completion with this key.
    pub(crate) unsafe fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8], is_zero_copy: bool, key: u64) {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        let (fd, len) = (Fd(socket.as_raw_fd()), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let entry = if is_zero_copy {
            let zero_copy = opcode::SendZc::new(fd, bytes.as_ptr(), len).flags(flags);
            zero_copy.zc_flags(REPORT_USAGE).build()
        } else {
            opcode::Send::new(fd, bytes.as_ptr(), len).flags(flags).build()
        };
        self.put(entry, key);
    }

    /// Private, and its callers are above: each entry names no memory of ours, or is covered by the promise of
    /// `send`'s caller.
    fn put(&mut self, entry: squeue::Entry, key: u64) {
        let entry = entry.user_data(key);
        self.in_flight += 1;
        loop {
            // SAFETY: see above; a descriptor that is closed meanwhile makes the request fail, no more.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            if pushed.is_ok() {
                return;
            }
            // Full: what is there goes now. Completions are taken meanwhile, so that they do not overflow; if they
            // have, the kernel refuses to submit until they are taken.
            let _ = self.ring.submit();
            self.reap();
        }
    }

    /// Submits, and waits for a completion or the time-out.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let waited = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        };
        if self.ring.submission().cq_overflow() {
            self.overflows += 1;
        }
        self.reap();
        match waited.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) | Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    fn reap(&mut self) {
        self.done.extend(self.ring.completion());
    }

    /// The next completion.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        let Some(entry) = self.done.get(self.at) else {
            self.done.clear();
            self.at = 0;
            return None;
        };
        self.at += 1;
        let flags = entry.flags();
        let has_more = cqueue::more(flags);
        self.in_flight -= usize::from(!has_more);
        let result = entry.result();
        Some(Completion {
            key: entry.user_data(),
            result: u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg())),
            raw: result,
            has_more,
            is_notice: cqueue::notif(flags),
            buffer: cqueue::buffer_select(flags),
        })
    }
}

/// `IORING_SEND_ZC_REPORT_USAGE`: the notice says whether the kernel copied after all.
const REPORT_USAGE: u16 = 1 << 3;
/// `IORING_NOTIF_USAGE_ZC_COPIED` in a notice's result: the sign bit.
const COPIED: i32 = i32::MIN;

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) key: u64,
    pub(crate) result: io::Result<u32>,
    raw: i32,
    /// The request goes on.
    pub(crate) has_more: bool,
    /// The kernel does not need the memory of a zero-copy send any more.
    pub(crate) is_notice: bool,
    pub(crate) buffer: Option<u16>,
}

impl Completion {
    pub(crate) fn was_copied(&self) -> bool {
        self.is_notice && self.raw & COPIED != 0
    }

    /// The socket that an accept has made.
    ///
    /// # Safety
    /// The request was an accept.
    pub(crate) unsafe fn into_socket(self) -> io::Result<OwnedFd> {
        // SAFETY: the kernel has made this descriptor for us with this completion, which is consumed here, so nobody
        // else knows it. (It was a non-negative `i32` before.)
        self.result.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
    }

    pub(crate) fn errno(&self) -> Option<i32> {
        self.result.as_ref().err().and_then(io::Error::raw_os_error)
    }
}
