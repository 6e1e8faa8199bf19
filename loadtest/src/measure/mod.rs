//! What a run was like, in numbers.
//!
//! A [`Tally`] belongs to one core and is written with plain adds. Once a second it hands over what was new, through a
//! bounded channel, to the one thread that holds the [`Ledger`]: the sum over cores, and the series of seconds.
//!
//! Does not live here: how it is told (`report`), or what a viewer does (`viewer`).

mod differing;
mod kinds;
mod ledger;
mod noticed;
mod own;
mod series;
mod spread;
mod tally;
#[cfg(test)]
mod tests;

pub use differing::{Differing, Digest, SegmentSeen};
pub use kinds::{ErrorClass, FaultKind, Kind, Notice, PerKind, Phase, ViewerState};
pub use ledger::Ledger;
pub use own::{CoreUse, OwnLimit, Verdict};
pub use series::{Point, Series, Viewers};
pub use spread::{Figures, Spread};
pub use tally::{Snapshot, Tally, Timing, hand_over};
