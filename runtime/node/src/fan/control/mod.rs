//! The control link from every edge to every balancer: who is there, how loaded, and which ingests and keys; and
//! the link from every balancer to every other.

pub mod client;
mod link;
pub mod peers;
pub mod server;
