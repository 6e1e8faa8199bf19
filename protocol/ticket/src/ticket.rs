//! A ticket and its sealed form.

use crate::{EdgeNumber, Keys, base64url};
use media::BroadcastId;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The one layout there is so far.
const VERSION: u8 = 1;
const BODY_BYTES: usize = 23;
const MAC_BYTES: usize = 16;

/// What a balancer promises an edge about a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Where the viewer was sent.
    pub edge: Option<EdgeNumber>,
    /// Where it goes next if that edge fails.
    pub other: Option<EdgeNumber>,
    /// Refused from the second after this one.
    pub expires: UnixSeconds,
    /// What it may watch.
    pub broadcast: BroadcastHash,
    /// Who it is: a random number, the same for as long as the page is open. No cookie, no address.
    pub viewer: ViewerId,
    /// What the edge should do differently for this viewer.
    pub flags: Flags,
}

/// Seconds since the Unix epoch; 32 bits last until 2106.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u32);

impl UnixSeconds {
    /// That many seconds, or the last moment there is.
    pub fn from_u64(seconds: u64) -> Self {
        Self(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// A viewer, for as long as its tokens are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerId(pub u64);

/// The first four bytes of the SHA-256 of a broadcast's name. A token of one broadcast opens another with a
/// chance of 1 in 4,294,967,296, and who names broadcasts could search for such a pair: the hash keeps tokens
/// apart, it does not keep secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BroadcastHash(pub u32);

impl BroadcastHash {
    /// Worth keeping beside the broadcast: one SHA-256.
    pub fn of(broadcast: &BroadcastId) -> Self {
        let hash = Sha256::digest(broadcast.as_str().as_bytes());
        Self(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
    }
}

/// Bits of a ticket. Unknown ones are kept and ignored, so that balancers may be upgraded before edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// The fleet is short of bandwidth: this viewer's multivariant playlist leaves out the top rendition.
    pub const WITHOUT_TOP: Self = Self(1);

    /// May have what is private: the lobby knows who this is, or who shared a link.
    pub const ADMITTED: Self = Self(2);

    /// Whether all bits of `these` are set.
    pub fn has(self, these: Self) -> bool {
        self.0 & these.0 == these.0
    }

    /// Both.
    #[must_use]
    pub fn with(self, these: Self) -> Self {
        Self(self.0 | these.0)
    }
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not 52 characters.
    #[error("the token has {0} characters, {chars} are allowed", chars = Token::CHARS)]
    BadLength(usize),
    /// A character that base64url has not.
    #[error("the token's character {0} is not of base64url")]
    BadCharacter(usize),
    /// Of another layout.
    #[error("the token has version {0}, {VERSION} is allowed")]
    UnknownVersion(u8),
    /// Sealed with a key that is not (or no longer) known.
    #[error("the token is sealed with key {0}, which is not known")]
    UnknownKey(u8),
    /// Changed, or sealed by somebody else.
    #[error("the token's seal is broken")]
    BadMac,
    /// Too old.
    #[error("the token expired {ago_secs} s ago")]
    Expired {
        /// Seconds since then.
        ago_secs: u64,
    },
    /// Made for something else.
    #[error("the token is for another broadcast")]
    OtherBroadcast,
}

impl Ticket {
    /// The token for it, sealed with the current key.
    pub fn seal(&self, keys: &Keys) -> Token {
        let key = keys.current();
        let mut bytes = [0; Token::BYTES];
        let (body, mac) = bytes.split_at_mut(BODY_BYTES);
        body[0] = VERSION;
        body[1] = key.id();
        body[2..4].copy_from_slice(&EdgeNumber::to_wire(self.edge).to_be_bytes());
        body[4..6].copy_from_slice(&EdgeNumber::to_wire(self.other).to_be_bytes());
        body[6..10].copy_from_slice(&self.expires.0.to_be_bytes());
        body[10..14].copy_from_slice(&self.broadcast.0.to_be_bytes());
        body[14..22].copy_from_slice(&self.viewer.0.to_be_bytes());
        body[22] = self.flags.0;
        mac.copy_from_slice(&key.mac(body));
        Token(bytes)
    }

    fn of(body: &[u8; BODY_BYTES]) -> Self {
        let [_, _, e0, e1, a0, a1, x0, x1, x2, x3, s0, s1, s2, s3, viewer @ .., flags] = *body;
        Self {
            edge: EdgeNumber::from_wire(u16::from_be_bytes([e0, e1])),
            other: EdgeNumber::from_wire(u16::from_be_bytes([a0, a1])),
            expires: UnixSeconds(u32::from_be_bytes([x0, x1, x2, x3])),
            broadcast: BroadcastHash(u32::from_be_bytes([s0, s1, s2, s3])),
            viewer: ViewerId(u64::from_be_bytes(viewer)),
            flags: Flags(flags),
        }
    }
}

impl Keys {
    /// What the token says, if one of these keys sealed it, it has not expired and it is for that broadcast.
    /// The seal is checked first, and in constant time: an unsealed token learns nothing of the rest.
    pub fn open(
        &self,
        token: &Token,
        now_unix_secs: u64,
        broadcast: BroadcastHash,
    ) -> Result<Ticket, Refusal> {
        let ticket = self.open_any(token, now_unix_secs)?;
        if ticket.broadcast != broadcast {
            return Err(Refusal::OtherBroadcast);
        }
        Ok(ticket)
    }

    /// As [`Keys::open`], for whoever has yet to learn which broadcast it is about (steering).
    pub fn open_any(&self, token: &Token, now_unix_secs: u64) -> Result<Ticket, Refusal> {
        let (body, mac) = token.parts();
        if body[0] != VERSION {
            return Err(Refusal::UnknownVersion(body[0]));
        }
        let mut refusal = Refusal::UnknownKey(body[1]);
        for key in self.iter().filter(|key| key.id() == body[1]) {
            if key.mac(body).ct_eq(mac).into() {
                let ticket = Ticket::of(body);
                let ago_secs = now_unix_secs.saturating_sub(u64::from(ticket.expires.0));
                return if ago_secs == 0 { Ok(ticket) } else { Err(Refusal::Expired { ago_secs }) };
            }
            refusal = Refusal::BadMac;
        }
        Err(refusal)
    }
}

/// A ticket as it stands in a path. Well formed; whether it is worth anything, [`Keys::open`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; Self::BYTES]);

impl Token {
    /// Length of its bytes.
    pub const BYTES: usize = BODY_BYTES + MAC_BYTES;
    /// Length of its text.
    pub const CHARS: usize = Self::BYTES / 3 * 4;

    /// Reads the path element after `/v/`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() != Self::CHARS {
            return Err(Refusal::BadLength(text.chars().count()));
        }
        let mut bytes = [0; Self::BYTES];
        base64url::decode(text.as_bytes(), &mut bytes).map_err(|at| Refusal::BadCharacter(at + 1))?;
        Ok(Self(bytes))
    }

    /// Its text, ASCII.
    pub fn to_chars(&self) -> [u8; Self::CHARS] {
        let mut text = [0; Self::CHARS];
        base64url::encode(&self.0, &mut text);
        text
    }

    fn parts(&self) -> (&[u8; BODY_BYTES], &[u8]) {
        self.0.split_first_chunk().expect("a token is longer than its body")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_chars()).expect("base64url is ASCII"))
    }
}

/// Whoever holds a token may watch, so a log gets its head only.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_chars();
        write!(f, "Token({}…)", String::from_utf8_lossy(&text[..8]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EdgeId, Key};
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::new(Key::from_secret([7; 32]), Some(Key::from_secret([6; 32])))
    }

    fn tide() -> BroadcastHash {
        BroadcastHash::of(&BroadcastId::parse("tide").unwrap())
    }

    const NOON: u64 = 1_800_000_000;

    fn ticket() -> Ticket {
        Ticket {
            edge: Some(EdgeId::parse("edge1").unwrap().number()),
            other: None,
            expires: UnixSeconds::from_u64(NOON + 60),
            broadcast: tide(),
            viewer: ViewerId(0x0123_4567_89ab_cdef),
            flags: Flags::WITHOUT_TOP,
        }
    }

    #[test]
    fn a_token_is_52_characters_and_opens_to_what_was_sealed() {
        let text = ticket().seal(&keys()).to_string();
        assert_eq!(text.len(), 52);
        let opened = keys().open(&Token::parse(&text).unwrap(), NOON, tide());
        assert_eq!(opened, Ok(ticket()));
    }

    #[test]
    fn a_token_lives_until_the_second_it_names() {
        let token = ticket().seal(&keys());
        assert!(keys().open(&token, NOON + 60, tide()).is_ok());
        assert_eq!(keys().open(&token, NOON + 61, tide()), Err(Refusal::Expired { ago_secs: 1 }));
    }

    #[test]
    fn a_token_is_for_one_broadcast() {
        let other = BroadcastHash::of(&BroadcastId::parse("ebb").unwrap());
        assert_eq!(keys().open(&ticket().seal(&keys()), NOON, other), Err(Refusal::OtherBroadcast));
    }

    #[test]
    fn the_key_before_this_one_still_opens_and_the_one_before_that_does_not() {
        let [older, old, new] = [5, 6, 7].map(|n| Keys::new(Key::from_secret([n; 32]), None));
        assert_eq!(keys().open(&ticket().seal(&old), NOON, tide()), Ok(ticket()));
        assert_eq!(keys().open(&ticket().seal(&new), NOON, tide()), Ok(ticket()));
        let refused = keys().open(&ticket().seal(&older), NOON, tide());
        assert_eq!(refused, Err(Refusal::UnknownKey(older.current().id())));
    }

    #[test]
    fn two_living_keys_with_one_id_are_both_tried() {
        let first = Key::from_secret([1; 32]);
        let second = (0_u64..)
            .map(|n| {
                let mut secret = [9; 32];
                secret[..8].copy_from_slice(&n.to_be_bytes());
                Key::from_secret(secret)
            })
            .find(|key| key.id() == first.id())
            .unwrap();
        let token = ticket().seal(&Keys::new(second.clone(), None));
        assert_eq!(Keys::new(first.clone(), Some(second)).open(&token, NOON, tide()), Ok(ticket()));
        assert_eq!(Keys::new(first, None).open(&token, NOON, tide()), Err(Refusal::BadMac));
    }

    #[test]
    fn what_is_no_token_says_why() {
        assert_eq!(Token::parse("abc"), Err(Refusal::BadLength(3)));
        assert_eq!(Token::parse(&"ü".repeat(26)), Err(Refusal::BadCharacter(1)));
        let text = ticket().seal(&keys()).to_string();
        assert_eq!(Token::parse(&format!("{}=", &text[..51])), Err(Refusal::BadCharacter(52)));
    }

    #[test]
    fn a_token_is_not_shown_whole_in_a_log() {
        let token = ticket().seal(&keys());
        assert!(!format!("{token:?}").contains(&token.to_string()[..16]));
    }

    /// Written down, because balancers and edges of different versions must agree for ever.
    #[test]
    fn the_layout_never_changes() {
        let text = ticket().seal(&Keys::new(Key::from_secret([7; 32]), None)).to_string();
        assert_eq!(text, "AUu0ugAAa0nSPIookpoBI0VniavN7wGg0MTcwTx4ryYN8KXfKzk4");
    }

    prop_compose! {
        fn any_ticket()(edge: u16, alt: u16, expires: u32, broadcast: u32, viewer: u64, flags: u8) -> Ticket {
            Ticket {
                edge: EdgeNumber::from_wire(edge),
                other: EdgeNumber::from_wire(alt),
                expires: UnixSeconds(expires),
                broadcast: BroadcastHash(broadcast),
                viewer: ViewerId(viewer),
                flags: Flags(flags),
            }
        }
    }

    proptest! {
        #[test]
        fn any_ticket_comes_back_as_it_went(ticket in any_ticket()) {
            let text = ticket.seal(&keys()).to_string();
            let token = Token::parse(&text).unwrap();
            prop_assert_eq!(token.to_string(), text);
            prop_assert_eq!(keys().open(&token, 0, ticket.broadcast), Ok(ticket));
        }

        #[test]
        fn any_one_bit_turned_is_refused(ticket in any_ticket()) {
            let token = ticket.seal(&keys());
            for bit in 0..Token::BYTES * 8 {
                let mut turned = token;
                turned.0[bit / 8] ^= 0x80 >> (bit % 8);
                // A bit of the key id may name the other living key: its seal is broken all the same.
                let refused = keys().open_any(&turned, 0).unwrap_err();
                prop_assert!(matches!(
                    refused,
                    Refusal::BadMac | Refusal::UnknownKey(_) | Refusal::UnknownVersion(_)
                ));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}") {
            let _ = Token::parse(&text).map(|token| keys().open_any(&token, 0));
        }
    }
}
