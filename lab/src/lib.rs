//! The whole cluster under faults, twice.
//!
//! ```text
//! day      all roles' rooms in one process, virtual time, a simulated network: hundreds of thousands of seeds
//! matrix   real processes in network namespaces (space), joined by a switch of TUN devices (switch): one cell per fault
//! ```
//!
//! Lives here: what goes wrong, and what may not be all the same. Does not live here: any rule about media, links or
//! viewers.

pub mod day;
pub mod matrix;
mod random;
pub mod seeds;
mod space;
mod switch;
