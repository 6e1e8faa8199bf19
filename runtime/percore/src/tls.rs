//! TLS between the socket and the service: rustls, sans-IO.
//!
//! Lives here: certificates and ticket keys that can change while we run ([`TlsSource`]), and one connection's records.
//! Does not live here: files with certificates (`node`), or when to read and write (`engine`).

mod records;
mod source;
mod tickets;

pub(crate) use records::{Records, Scratch};
pub use source::TlsSource;
pub use tickets::TICKET_SECRETS;
