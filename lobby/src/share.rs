//! The tickets that accounts and holders of links are given.

use crate::store::{ShareLink, UnixMillis};
use media::BroadcastId;
use ticket::{BroadcastHash, Flags, Keys, LinkSecret, Ticket, Token, UnixSeconds, ViewerId};

/// What the store calls the secret of links.
pub(crate) const SECRET: &str = "share-links";

/// Since 1970, whole.
fn seconds(at: UnixMillis) -> u64 {
    u64::try_from(at.0 / 1000).unwrap_or(0)
}

/// A ticket of a broadcast for whoever holds that, admitted to what is private.
pub(crate) fn ticket(keys: &Keys, broadcast: &BroadcastId, holder: u32, expires: UnixMillis) -> Token {
    let own = u32::from_be_bytes(crate::secret::random());
    Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(seconds(expires)),
        broadcast: BroadcastHash::of(broadcast),
        viewer: ViewerId(u64::from(holder) << 32 | u64::from(own)),
        flags: Flags::ADMITTED,
    }
    .seal(keys)
}

/// What is shared.
pub(crate) fn seal_link(secret: &LinkSecret, link: &ShareLink) -> String {
    secret.seal(&link.broadcast, &link.id, seconds(link.expires))
}

/// The id of a link for this broadcast that is not over.
pub(crate) fn open_link<'a>(
    secret: &LinkSecret,
    broadcast: &BroadcastId,
    text: &'a str,
    now: UnixMillis,
) -> Option<&'a str> {
    secret.open(broadcast, text, seconds(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticket::Key;

    #[test]
    fn a_ticket_is_of_one_broadcast_and_names_its_holder() {
        let keys = Keys::new(Key::from_secret([7; 32]), None);
        let (ebb, tide) = (BroadcastId::parse("ebb").unwrap(), BroadcastId::parse("tide").unwrap());
        let token = ticket(&keys, &ebb, 0xfeed_f00d, UnixMillis(60_000));
        let opened = keys.open(&token, 60, BroadcastHash::of(&ebb)).unwrap();
        assert_eq!(opened.viewer.0 >> 32, 0xfeed_f00d);
        assert!(opened.flags.has(Flags::ADMITTED));
        assert!(keys.open(&token, 60, BroadcastHash::of(&tide)).is_err());
        assert!(keys.open(&token, 61, BroadcastHash::of(&ebb)).is_err());
    }
}
