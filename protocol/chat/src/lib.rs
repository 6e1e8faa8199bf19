//! Chat: one room per broadcast, one gapless log per room.
//!
//! ```text
//! the store ─ entries ─▶ Source ─ words ─▶ Follower ─ runs ─▶ Readers ─ events ─▶ pages
//!             committed   (lobby)  (CHAT)   (edge)    shared   (a core)  (SSE)
//! ```
//!
//! Lives here: the log's ring, batches ([`Source`]), what travels from a lobby to an edge ([`Word`]), following it there
//! ([`Follower`]), rendering it once for everybody ([`Run`]), and who has read how far ([`Readers`]). Does not live here:
//! who may post or delete, or keeping what was said (the lobby and its store); links (`edgefan`, `node`); HTTP heads and
//! who may read (`delivery`).
//!
//! The one promise: a reader sees each entry once and in order, wherever it reads on; what it cannot be given any more it is
//! told of by its numbers ([`limits::RING`]). An entry is named by its place in the log, so saying it twice changes nothing.

mod entry;
mod event;
mod fields;
mod follower;
pub mod limits;
mod readers;
mod ring;
mod source;
mod word;

pub use entry::{Author, Badge, Entry, EntryError, LogId, Sequence, What};
pub use event::{EventId, Line, Run};
pub use follower::{Follower, Told};
pub use readers::{Joined, Readers, ReadersCounts};
pub use ring::{Gap, Ring};
pub use source::{LinkId, Source, SourceCounts};
pub use word::{Have, RoomFacts, Word, WordError};

/// Any moment to count from, for stories that bring their own time.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; tests only add to it")]
pub(crate) fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
