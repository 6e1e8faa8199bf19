//! Whom a ticket lets in, and what tickets came with.

use crate::Access;
use crate::refused::Refused;
use rustc_hash::FxHashMap;
use ticket::{BroadcastHash, EdgeNumber, Flags, Keys, Refusal, Ticket, Token};

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

/// Whose tickets of private broadcasts hold no more, though they are not over: an account's, or those of a link that was
/// shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denials(FxHashMap<(BroadcastHash, u32), u64>);

impl Denials {
    /// Of a broadcast, the upper half of a viewer's number, until that second since the Unix epoch.
    pub fn add(&mut self, broadcast: BroadcastHash, holder: u32, until: u64) {
        let kept = self.0.entry((broadcast, holder)).or_default();
        *kept = until.max(*kept);
    }

    /// Whether somebody is turned away from that broadcast whom `before` does not turn away.
    pub(crate) fn adds_to(&self, before: &Self, broadcast: BroadcastHash) -> bool {
        self.0.keys().any(|key| key.0 == broadcast && !before.0.contains_key(key))
    }

    fn turn_away(&self, ticket: &Ticket, unix_secs: u64) -> bool {
        let holder = (ticket.viewer.0 >> 32) as u32;
        self.0.get(&(ticket.broadcast, holder)).is_some_and(|until| unix_secs <= *until)
    }
}

/// What is known of tickets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Book<'a> {
    pub(crate) keys: Option<&'a Keys>,
    pub(crate) denials: &'a Denials,
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
///
/// What is private opens to who was admitted: balancers give anybody a ticket, and only the lobby, which knows who asks,
/// seals that word into it.
///
/// Answers until when what is private is open, in seconds since the Unix epoch: a request is answered at once, and who
/// reads on for hours has to go then.
pub(crate) fn admit(
    counts: &mut TicketCounts,
    book: Book<'_>,
    door: Door,
    token: Option<&str>,
    unix_secs: u64,
) -> Result<Option<u64>, Refused> {
    let is_public = door.access == Access::Public;
    let opened = match (token, book.keys) {
        (None, _) if is_public => return Ok(None),
        (None, _) => Err(None),
        (Some(token), keys) => Token::parse(token).map_err(Some).and_then(|token| match keys {
            Some(keys) => keys.open(&token, unix_secs, door.hash).map_err(Some),
            None => Err(None),
        }),
    };
    let until = opened.as_ref().ok().filter(|_| !is_public).map(|ticket| u64::from(ticket.expires.0));
    match opened {
        Ok(ticket)
            if !is_public
                && (!ticket.flags.has(Flags::ADMITTED) || book.denials.turn_away(&ticket, unix_secs)) =>
        {
            counts.refused += 1;
            return Err(Refused::Forbidden);
        }
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
    Ok(until)
}
