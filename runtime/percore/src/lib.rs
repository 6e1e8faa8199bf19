//! Thread per core: one ring, one slab of connections, no futures.
//!
//! ```text
//!  other threads ── tell ──▶ inbox ─┐
//!                                   ▼
//!  kernel ◀── sockets ──▶ driver ─▶ engine ◀─▶ Service      (once per core; nothing is shared between cores
//!            io_uring | epoll       │  │                     but the count of connections per address)
//!                          wheel ───┘  └─── TLS
//! ```
//!
//! Lives here: sockets, TLS, time-outs, limits, and how bytes leave a box cheaply. Does not live here: HTTP, media, or
//! what to answer: a [`Service`] is called with bytes and orders bodies to be sent.
//!
//! Doors: [`start`] makes the cores run; a [`Service`] is called on each; a [`Handle`] tells them things.

mod addresses;
mod bell;
mod config;
mod connection;
mod counters;
mod desk;
mod driver;
mod engine;
mod flush;
mod inode;
mod listen;
mod rows;
mod service;
mod start;
mod store;
mod sys;
mod tls;
mod wheel;

pub use config::{Config, DataPath, Driver, KernelTls, Limits, Listen};
pub use counters::{CoreCounts, DriverReport, Snapshot};
pub use engine::{INBOUND_OVERSHOOT, PLAIN_BYTES, TLS_BYTES};
pub use inode::{HEAD_END, Inode};
pub use listen::bind;
pub use rustls;
pub use service::{Body, ConnectionId, CoreIndex, Service, Turn};
pub use start::{CorePanicked, Handle, Running, StartError, TellError, start};
pub use store::InodeStore;
pub use tls::{TICKET_SECRETS, TlsSource};
