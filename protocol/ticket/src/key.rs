//! The secrets that seal tickets: 32 bytes each, up to two made by every balancer, all of them known to edges.
//!
//! A key has no number of its own to administer: its id is the first byte of the SHA-256 of the secret, so two
//! balancers given the same file agree without speaking. Should two living keys share an id (1 in 256), both
//! are tried.

use crate::base64url;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// Keys one side holds at once: current and previous of each of two balancers that are rotated one after the
/// other. More are ignored, the ones that were named first stay.
pub const MAX_KEYS: usize = 4;

/// One secret.
#[derive(Clone)]
pub struct Key {
    id: u8,
    secret: [u8; Self::BYTES],
    /// HMAC with the key's block already taken in: half of the work of a short message, done once.
    begun: Hmac<Sha256>,
}

/// Why a text is not a key. Never says what the text was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither hex nor base64 of 32 bytes.
    #[error("the ticket key has {0} characters; 64 of hex, or 43 or 44 of base64, are allowed (32 bytes)")]
    Length(usize),
    /// A character that neither spelling has.
    #[error("the ticket key's character {at} is neither {spelling}")]
    BadCharacter {
        /// Counted from 1.
        at: usize,
        /// What was expected.
        spelling: &'static str,
    },
    /// One byte over and over: a placeholder, not a secret.
    #[error("the ticket key is one byte repeated; make one with `openssl rand -hex 32`")]
    Placeholder,
}

impl Key {
    /// Length of the secret.
    pub const BYTES: usize = 32;

    /// A key of these bytes.
    pub fn from_secret(secret: [u8; Self::BYTES]) -> Self {
        let begun = Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length");
        Self { id: Sha256::digest(secret)[0], secret, begun }
    }

    /// What a key file holds: 32 bytes in hex (64 characters) or in base64 of either alphabet (43, or 44 with
    /// its `=`), with white space around them.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let secret = match text.len() {
            64 => hex(text.as_bytes())?,
            43 => base64(text.as_bytes())?,
            44 if text.ends_with('=') => base64(&text.as_bytes()[..43])?,
            other => return Err(KeyError::Length(other)),
        };
        if secret.iter().all(|&byte| byte == secret[0]) {
            return Err(KeyError::Placeholder);
        }
        Ok(Self::from_secret(secret))
    }

    /// What a token sealed with it names.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The secret itself, for the link that carries it to edges.
    pub fn secret(&self) -> &[u8; Self::BYTES] {
        &self.secret
    }

    /// HMAC-SHA-256 of `message`, cut to 128 bits.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; 16] {
        let mut mac = self.begun.clone();
        mac.update(message);
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = whole;
        head
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.secret[..], &other.secret[..]).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {{ id: {}, secret: … }}", self.id)
    }
}

fn hex(text: &[u8]) -> Result<[u8; 32], KeyError> {
    let mut secret = [0; 32];
    for (at, &character) in text.iter().enumerate() {
        let nibble = (character as char)
            .to_digit(16)
            .ok_or(KeyError::BadCharacter { at: at + 1, spelling: "a digit nor a to f" })?;
        secret[at / 2] = secret[at / 2] << 4 | nibble as u8;
    }
    Ok(secret)
}

/// 43 characters hold 258 bits: the last two are not looked at.
fn base64(text: &[u8]) -> Result<[u8; 32], KeyError> {
    let mut bits = [0_u8; 33];
    for (at, &character) in text.iter().enumerate() {
        let six = base64url::value(character, [b'+', b'/'])
            .ok_or(KeyError::BadCharacter { at: at + 1, spelling: "a letter, a digit nor one of + / - _" })?;
        for place in 0..6 {
            let bit = at * 6 + place;
            bits[bit / 8] |= (six >> (5 - place) & 1) << (7 - bit % 8);
        }
    }
    let [secret @ .., _] = bits;
    Ok(secret)
}

/// The keys of a side: the current one seals, all of them open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    current: Key,
    others: Vec<Key>,
}

impl Keys {
    /// What a balancer is given: the key to seal with, and the one before it while its tokens live.
    pub fn new(current: Key, previous: Option<Key>) -> Self {
        Self { current, others: previous.into_iter().collect() }
    }

    /// One that seals, and others that open too, at most [`MAX_KEYS`] in all; each once.
    pub fn of(current: Key, others: impl IntoIterator<Item = Key>) -> Self {
        let mut keys = Self::new(current, None);
        for key in others {
            keys.add(&key);
        }
        keys
    }

    fn add(&mut self, key: &Key) {
        if self.iter().count() < MAX_KEYS && self.iter().all(|known| known != key) {
            self.others.push(key.clone());
        }
    }

    /// What an edge opens with: everything its balancers told it, at most [`MAX_KEYS`]. `None` of nothing.
    pub fn union<'a>(told: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut all = told.into_iter().flat_map(Self::iter);
        let mut keys = Self::new(all.next()?.clone(), None);
        all.for_each(|key| keys.add(key));
        Some(keys)
    }

    /// Keys as they came over a link, the one that seals first. `None` of nothing.
    pub fn from_secrets(secrets: impl IntoIterator<Item = [u8; Key::BYTES]>) -> Option<Self> {
        let each: Vec<Self> = secrets
            .into_iter()
            .take(MAX_KEYS)
            .map(|secret| Self::new(Key::from_secret(secret), None))
            .collect();
        Self::union(&each)
    }

    /// The one that seals.
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// All of them, the one that seals first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    #[test]
    fn hex_and_both_base64s_spell_the_same_key() {
        let key = Key::parse(HEX).unwrap();
        assert_eq!(key.secret()[..3], [0, 1, 2]);
        assert_eq!(Key::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap(), key);
        assert_eq!(Key::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap(), key);
        let plus = Key::parse("++++++++++++++++++++++++++++++++++++//////8").unwrap();
        assert_eq!(Key::parse("------------------------------------______8").unwrap(), plus);
        assert_ne!(plus, key);
    }

    #[test]
    fn a_bad_key_is_refused_without_being_shown() {
        assert_eq!(Key::parse("secret"), Err(KeyError::Length(6)));
        let refused = Key::parse(&HEX.replace("1f", "1g").replace("1F", "1g")).unwrap_err();
        assert_eq!(refused.to_string(), "the ticket key's character 64 is neither a digit nor a to f");
        assert_eq!(Key::parse(&"00".repeat(32)), Err(KeyError::Placeholder));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let shown = format!("{:?}", Keys::new(Key::parse(HEX).unwrap(), None));
        assert_eq!(shown, format!("Keys {{ current: Key {{ id: {}, secret: … }}, others: [] }}", 0x63));
    }

    /// RFC 4231, test case 1 has a 20-byte key, so its 32-byte neighbour is made here by padding with zeros,
    /// which HMAC does anyway.
    #[test]
    fn the_mac_is_hmac_sha_256_cut_to_128_bits() {
        let mut secret = [0; 32];
        secret[..20].fill(0x0b);
        let mac = Key::from_secret(secret).mac(b"Hi There");
        assert_eq!(mac[..4], [0xb0, 0x34, 0x4c, 0x61]);
        assert_eq!(mac[12..], [0xaf, 0x0b, 0xf1, 0x2b]);
    }

    #[test]
    fn an_edge_with_two_balancers_knows_the_keys_of_both() {
        let [old, new, newer] = [1, 2, 3].map(|n| Key::from_secret([n; 32]));
        let first = Keys::new(newer.clone(), Some(new.clone()));
        let second = Keys::new(new.clone(), Some(old.clone()));
        let all: Vec<_> = Keys::union([&first, &second]).unwrap().iter().cloned().collect();
        assert_eq!(all, [newer, new, old]);
        let [newer, new, old] = [3, 2, 1].map(|n| Key::from_secret([n; 32]));
        assert_eq!(Keys::of(new.clone(), [newer, new, old]).iter().count(), 3);
        assert!(Keys::union([]).is_none());
        let many = Keys::from_secrets((0..9).map(|n| [n; 32])).unwrap();
        assert_eq!(many.iter().count(), MAX_KEYS);
    }
}
