//! Whom a ticket lets in, and what tickets came with.

use crate::Access;
use crate::refused::Refused;
use ticket::{BroadcastHash, EdgeNumber, Keys, Refusal, Token};

/// What tickets came with, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TicketCounts {
    /// Valid, and for this edge or for none.
    pub home: u64,
    /// Valid, and for another edge: its viewers were moved here or moved themselves.
    pub away: u64,
    /// Let through unchecked or out of date, to a public broadcast.
    pub unchecked: u64,
    /// Refused.
    pub refused: u64,
}

/// What is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) access: Access,
    pub(crate) hash: BroadcastHash,
    /// Where it is.
    pub(crate) edge: Option<EdgeNumber>,
}

/// Whether this ticket, or none, opens this broadcast.
///
/// Availability first: a public broadcast is there for anybody under `/live/`, so an old ticket, or one sealed with
/// keys that no balancer has told us yet, keeps nobody out. A broken seal does: it is not a viewer of ours.
pub(crate) fn admit(
    counts: &mut TicketCounts,
    keys: Option<&Keys>,
    door: Door,
    token: Option<&str>,
    unix_secs: u64,
) -> Result<(), Refused> {
    let is_public = door.access == Access::Public;
    let opened = match (token, keys) {
        (None, _) if is_public => return Ok(()),
        (None, _) => Err(None),
        (Some(token), keys) => Token::parse(token).map_err(Some).and_then(|token| match keys {
            Some(keys) => keys.open(&token, unix_secs, door.hash).map_err(Some),
            None => Err(None),
        }),
    };
    match opened {
        Ok(ticket) if ticket.edge.is_none() || door.edge.is_none() || ticket.edge == door.edge => {
            counts.home += 1
        }
        Ok(_) => counts.away += 1,
        Err(None | Some(Refusal::Expired { .. } | Refusal::UnknownKey(_) | Refusal::UnknownVersion(_)))
            if is_public =>
        {
            counts.unchecked += 1;
        }
        Err(_) => {
            counts.refused += 1;
            return Err(Refused::Forbidden);
        }
    }
    Ok(())
}
