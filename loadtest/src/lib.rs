//! Thousands of viewers without a decoder: what they ask for, what they measured, and what is said of it.
//!
//! Lives here: sockets, cores, arrival of viewers; counting and telling. Does not live here: what a player does next
//! (`protocol/viewer`), or what a playlist means (`protocol/hls`).

pub mod measure;
pub mod report;
