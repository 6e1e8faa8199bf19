//! What is told of a run: on the terminal while it goes on; as text, JSON, JUnit and HTML when it is over.
//!
//! [`Screen::follow`] is where the main thread stays while the cores work. Then [`Report::of`] the ledger, and the form
//! that is wanted: [`Report::text`], [`Report::json`], [`Report::junit`], [`Report::html`]. `report.passed` is the exit
//! status.
//!
//! Does not live here: counting (`measure`).

mod condition;
mod html;
mod junit;
mod metric;
mod plain;
mod schema;
mod screen;
#[cfg(test)]
mod tests;
mod text;

pub use condition::{Check, Condition, ConditionError, Op};
pub use metric::{Metric, Quantile, SpanOf};
pub use schema::{Bytes, Errors, Faults, Own, Playback, Report, Requests, SCHEMA, Throughput, ViewersTold};
pub use screen::{Manner, Screen};

use std::time::{Duration, SystemTime};

/// What run it is.
#[derive(Clone, Debug)]
pub struct About {
    /// What is asked: a URL.
    pub target: String,
    /// When it began.
    pub begun: SystemTime,
    /// How long it is to take; nothing where only a count or a human ends it.
    pub planned: Option<Duration>,
    /// What was asked for, in the order in which it is told: name and value.
    pub settings: Vec<(String, String)>,
}
