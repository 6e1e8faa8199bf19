//! What an ingest remembers of the lobby's answers, so that a publisher who comes again need not wait for a lobby that is
//! away.

use crate::KeyDigest;
use media::BroadcastId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a key that opened is good for while the lobby does not answer.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// Keys remembered; the oldest go.
pub const REMEMBERED: usize = 1024;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It opened lately, and was not revoked since.
    Opens,
    /// Nothing: the lobby is to be asked.
    Nothing,
}

/// Keys that opened lately. What did not is not remembered: a key that was just made must open at once.
#[derive(Debug, Default)]
pub struct Verified {
    keys: BTreeMap<(KeyDigest, BroadcastId), Instant>,
}

impl Verified {
    /// The lobby says that it opens.
    pub fn opened(&mut self, digest: KeyDigest, broadcast: BroadcastId, now: Instant) {
        self.keys.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED_FOR);
        if self.keys.len() >= REMEMBERED
            && let Some(oldest) = self.keys.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
        {
            self.keys.remove(&oldest);
        }
        self.keys.insert((digest, broadcast), now);
    }

    /// What is known of it.
    pub fn ask(&self, digest: &KeyDigest, broadcast: &BroadcastId, now: Instant) -> Known {
        match self.keys.get(&(*digest, broadcast.clone())) {
            Some(at) if now.saturating_duration_since(*at) < REMEMBERED_FOR => Known::Opens,
            _ => Known::Nothing,
        }
    }

    /// It opens nothing any more.
    pub fn revoked(&mut self, digest: &KeyDigest) {
        self.keys.retain(|(known, _), _| known != digest);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a story needs some moment to begin at")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_ten_minutes_unless_it_is_revoked() {
        let (tide, ebb) = (BroadcastId::parse("tide").unwrap(), BroadcastId::parse("ebb").unwrap());
        let (mut verified, noon) = (Verified::default(), Instant::now());
        verified.opened([1; 32], tide.clone(), noon);
        assert_eq!(verified.ask(&[1; 32], &tide, noon + Duration::from_secs(599)), Known::Opens);
        assert_eq!(verified.ask(&[1; 32], &tide, noon + REMEMBERED_FOR), Known::Nothing);
        assert_eq!(verified.ask(&[1; 32], &ebb, noon), Known::Nothing);
        verified.revoked(&[1; 32]);
        assert_eq!(verified.ask(&[1; 32], &tide, noon), Known::Nothing);
    }

    #[test]
    fn so_many_and_no_more() {
        let (tide, mut verified, noon) =
            (BroadcastId::parse("tide").unwrap(), Verified::default(), Instant::now());
        for n in 0..2 * REMEMBERED as u32 {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&n.to_be_bytes());
            verified.opened(digest, tide.clone(), noon + Duration::from_millis(n.into()));
        }
        assert_eq!(verified.keys.len(), REMEMBERED);
        assert_eq!(verified.ask(&[0; 32], &tide, noon), Known::Nothing, "the oldest went");
    }
}
