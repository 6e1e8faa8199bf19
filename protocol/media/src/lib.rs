//! The ground every room stands on: times, names, access units, renditions, segments.
//!
//! Lives here: values that more than one room must agree on, each made only by a constructor that checks it.
//! Does not live here: how any of them is written in a format (`flv`, `hls`, `mpegts`, `edgefan`), or any
//! behaviour that takes more than one of them at a time (the stages).

mod grid;
mod id;
mod object;
mod rendition;
mod time;
mod unit;

pub use grid::{Grid, MediaSequence, PartIndex};
pub use id::{BroadcastId, NameError, RenditionId, RunId};
pub use object::{ContentHash, DiscontinuitySequence, ObjectKey, ObjectKind, SegmentFacts};
pub use rendition::{AudioShape, BitRate, FrameRate, Rendition, StreamFacts, VideoShape};
pub use time::{MediaSpan, MediaTime, TICKS_PER_SECOND};
pub use unit::{AccessUnit, AudioConfig, ConfigError, Track, VideoConfig};
