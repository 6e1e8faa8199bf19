//! What a delivery is told.

use crate::{Denials, Page};
use media::{BroadcastId, MediaSequence, RenditionId};
use std::sync::Arc;
use std::time::Duration;

/// One change, told to every core in the same order. Bodies are stored before the playlist that names them.
#[derive(Clone, Debug)]
pub enum Update<B> {
    /// The broadcast is there, or its facts changed. First of all updates about it; the others are dropped before.
    Broadcast {
        /// Which.
        broadcast: BroadcastId,
        /// Its target duration: a reload is held for three of them (rule D05).
        target: Duration,
        /// Who may have it.
        access: Access,
    },
    /// A segment can be fetched.
    Stored {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
        /// It.
        segment: Segment<B>,
    },
    /// A segment can be fetched no more.
    Expired {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
    },
    /// A media playlist says something new.
    Playlist {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// Of which rendition.
        rendition: RenditionId,
        /// What it says.
        page: Arc<Page>,
        /// The last segment it lists.
        last: MediaSequence,
        /// It ends in EXT-X-ENDLIST.
        has_ended: bool,
    },
    /// A rendition is offered no more: its playlist answers 404, its segments stay (rule T12).
    Withdrawn {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// Which.
        rendition: RenditionId,
    },
    /// The multivariant playlist says something new.
    Multivariant {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// What it says.
        page: Arc<Page>,
    },
    /// There is a new still picture.
    Thumb {
        /// Of which broadcast.
        broadcast: BroadcastId,
        /// It.
        page: Arc<Page>,
    },
    /// Whether fresh segments reach this edge; when not, playlists answer 404 so that players go elsewhere.
    Fed {
        /// Which broadcast.
        broadcast: BroadcastId,
        /// Fresh ones do.
        is_fed: bool,
    },
    /// The broadcast is over and forgotten, with everything it had.
    Gone {
        /// Which.
        broadcast: BroadcastId,
    },
    /// News of a broadcast's chat, whether it is on the air or not.
    Chat {
        /// Who may read it.
        access: Access,
        /// What.
        told: chat::Told,
    },
    /// Who may have a broadcast is another from now on, be it on the air or only its chat.
    Access {
        /// Which.
        broadcast: BroadcastId,
        /// Who may have it.
        access: Access,
    },
    /// Whose tickets hold no more: all of them.
    Denied(Arc<Denials>),
    /// The keys tickets may be sealed with; `None` while no balancer has told any.
    Keys(Option<ticket::Keys>),
    /// Another process serves at this edge's address now, and nothing new comes here: who waits gets the playlist as it
    /// is, nobody waits any more.
    Moved,
    /// This edge lets its viewers go (true): playlists of all broadcasts answer 404, segments do not.
    Leaving(bool),
}

/// A segment as a core knows it.
#[derive(Clone, Debug)]
pub struct Segment<B> {
    /// A handle to it: head of [`crate::segment_head`] in front, body behind.
    pub body: B,
    /// Bytes of the body.
    pub len: u64,
    /// A hash of the body, the same on every edge.
    pub tag: u64,
}

/// Who may have a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Anybody, with or without a ticket.
    #[default]
    Public,
    /// Whoever has a valid ticket for it.
    Private,
}

impl Access {
    /// Whose caches may keep it (RFC 9111, 5.2.2): what is private is kept by viewers alone.
    pub(crate) fn caches(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}
