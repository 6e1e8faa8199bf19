//! What a run was like, in numbers.
//!
//! A [`Tally`] belongs to one core and is written with plain adds; once a second it hands over what was new.
//!
//! Does not live here: how it is told (`report`).

mod kinds;

pub use kinds::{ErrorClass, FaultKind, Kind, PerKind, Phase, ViewerState};
