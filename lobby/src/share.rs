//! Links that are shared, and the tickets they and accounts are given: sealed, so that who holds one can be told apart
//! and turned away, and nothing of it can be made up.

use crate::store::{AccountId, ShareLink, UnixMillis};
use hmac::{Hmac, KeyInit, Mac};
use media::BroadcastId;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use ticket::{BroadcastHash, Flags, Keys, Ticket, Token, UnixSeconds, ViewerId};

type Secret = [u8; 32];
/// What the store calls it.
pub(crate) const SECRET: &str = "share-links";

fn mac(secret: &Secret, parts: &[&str]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

fn holder(secret: &Secret, parts: &[&str]) -> u32 {
    let [a, b, c, d, ..] = mac(secret, parts);
    u32::from_be_bytes([a, b, c, d])
}

/// The half of a viewer's number that names an account to edges, of one broadcast: two broadcasters cannot compare.
pub(crate) fn account_holder(secret: &Secret, account: &AccountId, broadcast: &BroadcastId) -> u32 {
    holder(secret, &["account", &account.0, broadcast.as_str()])
}

/// The half that names a link.
pub(crate) fn link_holder(secret: &Secret, id: &str) -> u32 {
    holder(secret, &["link", id])
}

/// A ticket of a broadcast for whoever holds that, admitted to what is private.
pub(crate) fn ticket(keys: &Keys, broadcast: &BroadcastId, holder: u32, expires: UnixMillis) -> Token {
    let own = u32::from_be_bytes(crate::secret::random());
    Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(u64::try_from(expires.0 / 1000).unwrap_or(0)),
        broadcast: BroadcastHash::of(broadcast),
        viewer: ViewerId(u64::from(holder) << 32 | u64::from(own)),
        flags: Flags::ADMITTED,
    }
    .seal(keys)
}

/// What a link says, its seal being right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
}

fn seal(secret: &Secret, broadcast: &BroadcastId, id: &str, expires: &str) -> String {
    crate::secret::hex(&mac(secret, &["share", broadcast.as_str(), id, expires])[..16])
}

/// What is shared: `<id>.<seconds since 1970>.<seal>`.
pub(crate) fn seal_link(secret: &Secret, link: &ShareLink) -> String {
    let expires = (link.expires.0 / 1000).to_string();
    format!("{}.{expires}.{}", link.id, seal(secret, &link.broadcast, &link.id, &expires))
}

/// A link for this broadcast that is not over.
pub(crate) fn open_link(
    secret: &Secret,
    broadcast: &BroadcastId,
    text: &str,
    now: UnixMillis,
) -> Option<Known> {
    let mut parts = text.splitn(3, '.');
    let (id, expires, sealed) = (parts.next()?, parts.next()?, parts.next()?);
    let right = seal(secret, broadcast, id, expires);
    let is_right: bool = right.as_bytes().ct_eq(sealed.as_bytes()).into();
    let until: i64 = expires.parse().ok()?;
    (is_right && now.0 / 1000 <= until).then(|| Known { id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ticket::Key;

    fn link() -> ShareLink {
        ShareLink {
            id: "5f".repeat(12),
            broadcast: BroadcastId::parse("ebb").unwrap(),
            made_by: None,
            made: UnixMillis(0),
            expires: UnixMillis(1_800_000_000_000),
        }
    }

    #[test]
    fn a_link_opens_its_broadcast_until_it_is_over() {
        let (link, text) = (link(), seal_link(&[7; 32], &link()));
        let open = |broadcast: &str, secret, now| {
            open_link(&[secret; 32], &BroadcastId::parse(broadcast).unwrap(), &text, UnixMillis(now))
                .is_some()
        };
        assert!(open("ebb", 7, link.expires.0));
        assert!(!open("ebb", 7, link.expires.0 + 1000), "over");
        assert!(!open("tide", 7, 0), "another broadcast");
        assert!(!open("ebb", 8, 0), "another secret");
    }

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

    proptest! {
        #[test]
        fn a_changed_link_opens_nothing(at in 0_usize..60, with in "[0-9a-f.]") {
            let text = seal_link(&[7; 32], &link());
            let mut changed = text.clone();
            let at = at % text.len();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != text);
            prop_assert_eq!(open_link(&[7; 32], &link().broadcast, &changed, UnixMillis(0)), None);
        }

        #[test]
        fn any_text_is_no_link(text in "\\PC{0,80}") {
            prop_assert_eq!(open_link(&[7; 32], &link().broadcast, &text, UnixMillis(0)), None);
        }
    }
}
