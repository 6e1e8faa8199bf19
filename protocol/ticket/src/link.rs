//! Links to what is private: sealed, so that only who was given one has one, and whoever comes by it can be told apart.
//!
//! `<id>.<seconds since 1970>.<seal>`, the seal being HMAC-SHA-256 over broadcast, id and seconds cut to 128 bits, in hex.
//! That a link was taken back only its maker knows.

use hmac::{Hmac, KeyInit, Mac};
use media::BroadcastId;
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Bytes of a seal that are written.
const SEAL_BYTES: usize = 16;

/// What links are sealed with: one for all who make and open them.
#[derive(Clone)]
pub struct LinkSecret([u8; 32]);

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(…)")
    }
}

impl LinkSecret {
    /// Of these bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Each part with its length, so that none runs into the next.
    fn mac(&self, parts: &[&str]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn holder(&self, parts: &[&str]) -> u32 {
        let [a, b, c, d, ..] = self.mac(parts);
        u32::from_be_bytes([a, b, c, d])
    }

    /// The half of a viewer's number that names an account to edges, of one broadcast: two broadcasters cannot compare.
    pub fn account(&self, account: &str, broadcast: &BroadcastId) -> u32 {
        self.holder(&["account", account, broadcast.as_str()])
    }

    /// The half that names a link.
    pub fn link(&self, id: &str) -> u32 {
        self.holder(&["link", id])
    }

    fn sealed(&self, broadcast: &BroadcastId, id: &str, expires: &str) -> String {
        let mac = self.mac(&["share", broadcast.as_str(), id, expires]);
        mac[..SEAL_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A link to this broadcast, good until then. An id is of letters and digits.
    pub fn seal(&self, broadcast: &BroadcastId, id: &str, expires: u64) -> String {
        let expires = expires.to_string();
        format!("{id}.{expires}.{}", self.sealed(broadcast, id, &expires))
    }

    /// The id of a link to this broadcast, if we sealed it and it is not over.
    pub fn open<'a>(&self, broadcast: &BroadcastId, text: &'a str, now: u64) -> Option<&'a str> {
        let mut parts = text.splitn(3, '.');
        let (id, expires, sealed) = (parts.next()?, parts.next()?, parts.next()?);
        let right = self.sealed(broadcast, id, expires);
        let is_right: bool = right.as_bytes().ct_eq(sealed.as_bytes()).into();
        let until: u64 = expires.parse().ok()?;
        (is_right && now <= until).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ebb() -> BroadcastId {
        BroadcastId::parse("ebb").unwrap()
    }

    #[test]
    fn a_link_opens_its_broadcast_until_it_is_over() {
        let text = LinkSecret::new([7; 32]).seal(&ebb(), "5f5f", 1_800_000_000);
        let open = |broadcast: &str, secret, now| {
            LinkSecret::new([secret; 32]).open(&BroadcastId::parse(broadcast).unwrap(), &text, now)
        };
        assert_eq!(open("ebb", 7, 1_800_000_000), Some("5f5f"));
        assert_eq!(open("ebb", 7, 1_800_000_001), None, "over");
        assert_eq!(open("tide", 7, 0), None, "another broadcast");
        assert_eq!(open("ebb", 8, 0), None, "another secret");
    }

    #[test]
    fn a_holder_is_one_of_one_broadcast() {
        let secret = LinkSecret::new([7; 32]);
        let tide = BroadcastId::parse("tide").unwrap();
        assert_ne!(secret.account("ada", &ebb()), secret.account("ada", &tide));
        assert_ne!(secret.account("ada", &ebb()), secret.account("bob", &ebb()));
        assert_ne!(secret.link("ada"), secret.account("ada", &ebb()));
    }

    proptest! {
        #[test]
        fn a_changed_link_opens_nothing(at in 0_usize..60, with in "[0-9a-f.]") {
            let text = LinkSecret::new([7; 32]).seal(&ebb(), &"5f".repeat(12), 1_800_000_000);
            let mut changed = text.clone();
            let at = at % text.len();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != text);
            prop_assert_eq!(LinkSecret::new([7; 32]).open(&ebb(), &changed, 0), None);
        }

        #[test]
        fn any_text_is_no_link(text in "\\PC{0,80}") {
            prop_assert_eq!(LinkSecret::new([7; 32]).open(&ebb(), &text, 0), None);
        }
    }
}
