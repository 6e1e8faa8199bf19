//! A viewer's ask to its answer: now, later, never.
//!
//! Lives here: which path means what, who may have it, blocking playlist reload, and the answers rendered
//! beforehand and shared by everybody who gets the same. Does not live here: what a playlist says (`window`,
//! `hls`), how a body is kept (it is generic: `B`), or how an answer leaves the box (`percore`).
//!
//! There is one [`Delivery`] per core and nothing is shared between cores. Doors: [`Delivery::push`] tells it what
//! changed, [`Delivery::ask`] answers a request or has it wait, [`Delivery::pull`] hands out the answers of those
//! whose wait is over and [`Delivery::pull_chat`] what readers of chat are sent, [`Delivery::deadline`] says when [`Delivery::tick`] wants to be called.
//!
//! A path cannot leave its tree, because there is no tree: its elements are looked up in maps.

mod chatting;
mod delivery;
mod directives;
mod page;
mod place;
mod refused;
mod reply;
mod segment;
mod tickets;
mod update;
mod waiting;

pub use delivery::{Delivery, Moment, Policy, WAITERS};
pub use page::{Page, picture, playlist};
pub use reply::{Answer, Kind, Reply, Stored};
pub use segment::segment_head;
pub use tickets::{Denials, TicketCounts};
pub use update::{Access, Segment, Update};
