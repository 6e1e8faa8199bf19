//! The live window: which segments are listed, which are only fetchable, and what has left.
//!
//! Lives here: what a broadcast's playlists say at this moment, and for how long a segment that has left them
//! can still be fetched. Does not live here: how a playlist is written (`hls`), where bodies are kept (the
//! window is generic over them), who is waiting for one (`delivery`), or how segments arrive (`edgefan`).
//!
//! One door in, [`Window::push`]; one door out, [`Window::pull`]. Media time is the only clock.

mod doors;
pub mod limits;
mod listing;
mod measure;
mod parts;
mod runs;
#[cfg(test)]
mod tests;
mod window;

pub use doors::{Change, FactsRefusal, Input, PartFacts, Refusal};
pub use measure::{Measure, Rates};
pub use window::Window;
