//! `edgefan/1`: segments pushed to every edge while they are being made (docs/WIRE.md).
//!
//! Lives here: the wire ([`FrameReader`], [`Message`]), the ingest's end ([`Publisher`]: a hub of objects and a
//! link per edge), the edge's end ([`Subscriber`]: several sources, each object once), and both ends of the
//! links between an edge and a balancer ([`control`]) or a lobby ([`lobby`]). Does not live here: sockets, TLS, dialling and
//! waiting (`node::fan`), what a playlist lists (`window`), or which edge a viewer gets (`routing`).
//!
//! Everything is sans-IO: bytes and `now` come in, bytes and events go out, `deadline` says when to be called.

mod beat;
mod clock;
pub mod control;
mod event;
mod facts;
mod frame;
mod have;
mod hello;
pub mod limits;
mod load;
pub mod lobby;
mod message;
mod peer;
mod publisher;
mod relay;
mod subscriber;
mod tlv;

pub use beat::{Heartbeat, Pulse, Tick};
pub use clock::LinkClock;
pub use event::{Event, SourceId};
pub use frame::{Frame, FrameReader, FrameType, WireError};
pub use have::{Have, HaveRange, Partial, Reached};
pub use hello::{Address, AddressError, EdgeFacts, Hello, Layer, Names, NodeId, Role, TicketKey, Welcome};
pub use load::{EdgeState, Load, Standing};
pub use message::{Close, Fetch, Lane, LaneStanding, Message, ObjectId, Open, Skip, SkipReason};
pub use peer::{PeerEnd, PeerWord};
pub use publisher::{ConnectionId, Publisher, PublisherCounters, PublisherEvent, PublisherSettings};
pub use relay::{Relay, Relayed};
pub use subscriber::{Forward, Subscriber, SubscriberCounters, SubscriberOrder, SubscriberSettings};

/// Any moment to count from, for stories that bring their own time.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; tests only add to it")]
pub(crate) fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
