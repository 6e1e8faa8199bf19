//! The driver on io_uring (not written yet: `probe` refuses).
use std::io;

pub(crate) const NAME: &str = "io_uring";
pub(crate) type Uring = super::epoll::Epoll;

pub(crate) fn probe() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
