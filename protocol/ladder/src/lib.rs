//! The ladder, and the words between a parent (`ingest`, `source`) and its `mascaret-transcode` process.
//!
//! Lives here: which rungs a source gets ([`Ladder`]), what the parent orders ([`Order`], [`PatternOrder`]) and
//! what the process reports ([`Report`], [`PatternReport`]), and how all of these are written on a pipe
//! ([`Reader`], [`Message`]). Does not live here: pictures, sound or FFmpeg (`transcode`), nor the process's life
//! (`ingest`).
//!
//! On the pipe every message is `len:u32 LE, type:u8, payload`, where `len` counts the payload alone. The two ends
//! are always of one build, so there is no version: a type that is not known is an error.

mod fields;
mod order;
mod pattern;
mod report;
mod settings;
mod source_shape;
mod wire;

pub use order::{Begin, Encoding, Order, Preset, Rung, RungVideo, Shed};
pub use pattern::{PatternBegin, PatternOrder, PatternReport};
pub use report::Report;
pub use settings::{Ladder, Step, StepError};
pub use source_shape::SourceShape;
pub use wire::{MAX_PAYLOAD, Message, Reader, WireError};

/// Reads what the parent orders.
pub type OrderReader = Reader<Order>;
/// Reads what the process reports.
pub type ReportReader = Reader<Report>;
/// Reads what `source` orders of the pattern encoder.
pub type PatternOrderReader = Reader<PatternOrder>;
/// Reads what the pattern encoder reports.
pub type PatternReportReader = Reader<PatternReport>;
