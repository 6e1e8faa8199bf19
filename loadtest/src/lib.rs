//! Thousands of viewers without a decoder: what they ask for, what they measured, and what is said of it.
//!
//! Lives here: sockets, cores, arrival of viewers; counting and telling. Does not live here: what a player does next
//! (`protocol/viewer`), or what a playlist means (`protocol/hls`).

mod arrival;
mod chance;
mod client;
mod core;
mod exchange;
pub mod measure;
mod origin;
mod pace;
pub mod plan;
pub mod report;
mod run;

pub use arrival::Arrival;
pub use client::{Trust, TrustError};
pub use origin::Refusal;
pub use plan::Plan;
pub use run::{Run, RunError, Stopper};
pub use viewer;
