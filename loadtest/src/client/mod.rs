//! HTTP/1.1 from the viewer's side: sockets, TLS, answers.
//!
//! Lives here: one connection and one answer on it. Does not live here: who asks for what, and when (`core`).

pub(crate) mod answer;
mod connection;
mod socket;
mod trust;

pub(crate) use connection::{Connection, Read};
pub(crate) use socket::Socket;
pub use trust::{Trust, TrustError};
