//! The control link from every edge to every balancer: who is there, how loaded, and which ingests and keys.

pub mod client;
pub mod server;
