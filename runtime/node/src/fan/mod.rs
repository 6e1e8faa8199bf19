//! The links between nodes: tokio shells around `edgefan`'s rooms, mutual TLS on every connection.
//!
//! Lives here: sockets, handshakes, dialling again, the threads all of that runs on, and the handles a role
//! holds. Does not live here: what a frame means or who gets which object first (`edgefan`), or certificates
//! (`certs`).
//!
//! | who | starts | and gets |
//! | --- | --- | --- |
//! | ingest | [`publisher::start`] | a [`publisher::Feed`] to put objects in |
//! | ingest | [`twin::start`] | what its twin says |
//! | edge | [`subscriber::start`] | [`edgefan::Event`]s on the subscriber's thread |
//! | edge | [`control::client::start`] | [`control::client::Told`] from every balancer |
//! | edge | [`lobby::client::start`] | [`lobby::client::Told`]: what is new in rooms |
//! | ingest, edge | [`admission::start`] | who may publish and watch, as the lobby says |
//! | lobby | [`admission::Admissions`] | what it is asked, beside its server |
//! | lobby | [`lobby::server::start`] | a [`lobby::server::ChatFeed`] to say it by |
//! | lb | [`control::peers::start`] | a [`control::peers::Peers`] to tell other balancers by |
//! | lb | [`control::server::start`] | [`control::server::ControlEvent`]s from every edge |
//!
//! Each has one thread with a tokio runtime of its own; the handles are cheap to clone and send.

pub mod admission;
pub mod control;
mod dial;
mod feed;
mod feeders;
mod listen;
pub mod lobbies;
pub mod lobby;
pub mod publisher;
mod pump;
pub mod subscriber;
mod thread;
pub mod twin;
