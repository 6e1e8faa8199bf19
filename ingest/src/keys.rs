//! Who may publish what. A key is never kept, logged or compared as text: only its SHA-256 is, in constant time.
//!
//! Keys are 160 random bits (`mascaret ingest key`), so a fast hash loses nothing; passwords of people are another
//! matter and live in the lobby.

use media::BroadcastId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The longest key a publisher may send, in bytes. Ours have 32; a kilobyte is refused before it is hashed.
pub const KEY_BYTES: usize = 256;

/// SHA-256 of a publish key, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The bytes of it.
    pub(crate) fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:…")
    }
}

impl std::str::FromStr for KeyHash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            "a key is stored as its hash: `sha256:` and 64 hex digits are allowed; `mascaret ingest key` makes one".into()
        })
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a publisher is turned away, in words that can be told to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// No key came with the broadcast's name.
    #[error("a publish key is needed: write the stream key as <broadcast>?key=<publish key>")]
    Missing,
    /// The key is not that broadcast's, or there is no such broadcast: a stranger is not told which.
    #[error("this publish key does not open this broadcast")]
    Wrong,
    /// Who knows the keys does not answer, and this one was not seen lately.
    #[error("publish keys cannot be looked up now; try again in a moment")]
    Unknown,
    /// Longer than any key.
    #[error("the publish key has more than 256 bytes")]
    TooLong,
}

/// The keys an ingest knows by its settings.
#[derive(Clone, Debug, Default)]
pub struct PublishKeys {
    keys: Vec<(BroadcastId, KeyHash)>,
    is_open: bool,
}

impl PublishKeys {
    /// These keys; with `is_open`, a broadcast without a key here needs none.
    pub fn new(keys: Vec<(BroadcastId, KeyHash)>, is_open: bool) -> Self {
        Self { keys, is_open }
    }

    /// Whether a broadcast has a key here.
    pub fn knows(&self, broadcast: &BroadcastId) -> bool {
        self.keys.iter().any(|(of, _)| of == broadcast)
    }

    /// Whether that key opens that broadcast. Takes as long for a wrong key as for a right one.
    pub fn check(&self, broadcast: &BroadcastId, key: Option<&str>) -> Result<(), KeyRefusal> {
        if key.is_some_and(|key| key.len() > KEY_BYTES) {
            return Err(KeyRefusal::TooLong);
        }
        let sent = KeyHash::of(key.unwrap_or_default());
        let mut is_right = subtle::Choice::from(0);
        let mut is_known = false;
        for (of, hash) in &self.keys {
            if of == broadcast {
                is_known = true;
                is_right |= sent.0.ct_eq(&hash.0);
            }
        }
        match (key, bool::from(is_right)) {
            _ if !is_known && self.is_open => Ok(()),
            (None | Some(""), _) => Err(KeyRefusal::Missing),
            (Some(_), true) => Ok(()),
            (Some(_), false) => Err(KeyRefusal::Wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(is_open: bool) -> PublishKeys {
        let tide = BroadcastId::parse("tide").unwrap();
        PublishKeys::new(vec![(tide.clone(), KeyHash::of("old")), (tide, KeyHash::of("new"))], is_open)
    }

    #[test]
    fn a_right_key_opens_its_broadcast_and_no_other() {
        let (tide, bore) = (BroadcastId::parse("tide").unwrap(), BroadcastId::parse("bore").unwrap());
        assert_eq!(keys(false).check(&tide, Some("new")), Ok(()));
        assert_eq!(keys(false).check(&tide, Some("old")), Ok(()), "two keys while one is rotated");
        assert_eq!(keys(false).check(&tide, Some("wrong")), Err(KeyRefusal::Wrong));
        assert_eq!(keys(false).check(&tide, None), Err(KeyRefusal::Missing));
        assert_eq!(keys(false).check(&bore, Some("new")), Err(KeyRefusal::Wrong));
        assert_eq!(keys(false).check(&tide, Some(&"k".repeat(1024))), Err(KeyRefusal::TooLong));
    }

    #[test]
    fn an_open_ingest_still_guards_the_broadcasts_that_have_a_key() {
        let (tide, bore) = (BroadcastId::parse("tide").unwrap(), BroadcastId::parse("bore").unwrap());
        assert_eq!(keys(true).check(&bore, None), Ok(()));
        assert_eq!(keys(true).check(&tide, None), Err(KeyRefusal::Missing));
    }

    #[test]
    fn a_hash_is_written_as_it_is_read_and_is_not_shown_in_logs() {
        let hash = KeyHash::of("secret");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("sha256:12".parse::<KeyHash>().is_err());
        assert_eq!(format!("{hash:?}"), "sha256:…");
    }
}
