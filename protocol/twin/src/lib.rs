//! Two ingests, one picture (docs/WIRE.md, `twin/1`).
//!
//! One of the two *leads* a broadcast: it stamps the timeline, and every decision that a clock has a part in (where a
//! run begins, what a jump means, filler, what is given up) is made there, once. What is decided goes to the other as
//! [`Step`]s, in order; both give the same orders to their transcode processes, and so make the same bytes.
//!
//! ```text
//!            encoder ──feed──▶ ingest A (leads)   timeline ─▶ steps ─▶ process ─▶ segments ─▶ every edge
//!                └────feed──▶ ingest B (follows)  reserve       └────▶ process ─▶ segments ─▶ every edge
//!                                                 (its own feed, held, laid on A's timeline)
//! ```
//!
//! Lives here: the link between the two ([`Link`]), who leads a broadcast and under which term ([`Seat`]), what they
//! say ([`Message`]), and an own feed that is held until it is needed ([`Reserve`]). Does not live here: sockets and
//! TLS (`node::fan::twin`), the timeline itself (`timeline`), what a segment is made of (`transcode`), or which of two
//! copies an edge takes (`edgefan`).

mod link;
mod message;
mod reserve;
mod seat;
mod step;

pub use edgefan::ConnectionId;
pub use link::{Link, LinkEvent, Lost, QUEUED_BYTES};
pub use message::{Message, Said};
pub use reserve::{RESERVE_BYTES, RESERVE_SPAN, Reserve, STANDBY_AFTER, Splice, Succession};
pub use seat::{ANSWER_WITHIN, Lead, Left, SETTLE_WITHIN, Seat, SeatState, Word};
pub use step::Step;

/// Any moment to count from, for stories that bring their own time.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; tests only add to it")]
pub(crate) fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
