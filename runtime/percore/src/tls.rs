//! TLS between the socket and the service: rustls, sans-IO.
//!
//! Lives here: certificates and ticket keys that can change while we run ([`TlsSource`]), and one connection's records.
//! Does not live here: files with certificates (`node`), or when to read and write (`engine`).

mod kernel;
mod records;
mod source;
mod tickets;

pub(crate) use kernel::{Aside, KernelRecords, KernelSuites};
pub(crate) use records::{Records, Scratch};
pub use source::TlsSource;
pub use tickets::TICKET_SECRETS;

/// Who makes the records of a connection.
#[derive(Debug)]
pub(crate) enum Tls {
    /// rustls, in the handshake and where the kernel cannot.
    Records(Box<Records>),
    /// The kernel.
    Kernel(KernelRecords),
}

impl Tls {
    /// Bytes that wait in this process; the kernel's are the kernel's.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Records(records) => records.waiting(),
            Self::Kernel(_) => 0,
        }
    }

    pub(crate) fn is_kernel(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }
}
