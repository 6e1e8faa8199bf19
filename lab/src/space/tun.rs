//! A TUN device: datagrams of the kernel as reads and writes of a descriptor. The lab's only unsafe code.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The kernel's `struct ifreq`, as far as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// A new device of that name in the network namespace of this thread. The descriptor may be used from anywhere.
pub(crate) fn open(name: &str) -> io::Result<OwnedFd> {
    let mut request = Request {
        name: [0; 16],
        // Bare IP, no head of the driver's own.
        flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; 22],
    };
    if name.is_empty() || name.len() >= request.name.len() {
        return Err(io::Error::other(format!("{name:?} is no name of a device: 1 to 15 bytes are allowed")));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which is 40 bytes; `Request` is that and outlives the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if made < 0 { Err(io::Error::last_os_error()) } else { Ok(device) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_the_kernels() {
        assert_eq!(size_of::<Request>(), 40);
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_before_the_kernel_sees_it() {
        assert!(open("0123456789abcdef").unwrap_err().to_string().contains("1 to 15"));
    }
}
