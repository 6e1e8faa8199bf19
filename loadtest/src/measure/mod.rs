//! What a run was like, in numbers.
//!
//! A [`Tally`] belongs to one core and is written with plain adds; once a second it hands over what was new.
//!
//! Does not live here: how it is told (`report`).

mod differing;
mod kinds;
mod noticed;
mod own;
mod spread;
mod tally;

pub use differing::{Differing, Digest, SegmentSeen};
pub use kinds::{ErrorClass, FaultKind, Kind, Notice, PerKind, Phase, ViewerState};
pub use own::{CoreUse, OwnLimit, Verdict};
pub use spread::{Figures, Spread};
pub use tally::{Snapshot, Tally, Timing, hand_over};
