//! The lobbies of a fleet: each holds the same, so any will do, and they are tried in turn.

use super::dial::Backoff;
use edgefan::{Address, AddressError};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Lobbies of one fleet.
pub const LOBBIES: usize = 8;

/// Where they are dialled, `host:port` each, with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lobbies(Vec<Address>);

/// Why a text names none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LobbiesError {
    /// One of them is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There are too many.
    #[error("{count} lobbies; at most {LOBBIES} are dialled")]
    Many {
        /// How many.
        count: usize,
    },
}

impl FromStr for Lobbies {
    type Err = LobbiesError;
    fn from_str(text: &str) -> Result<Self, LobbiesError> {
        let all: Vec<Address> = text.split(',').map(|one| one.trim().parse()).collect::<Result<_, _>>()?;
        match all.len() {
            count if count > LOBBIES => Err(LobbiesError::Many { count }),
            _ => Ok(Self(all)),
        }
    }
}

impl fmt::Display for Lobbies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, address) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

impl From<SocketAddr> for Lobbies {
    fn from(address: SocketAddr) -> Self {
        Self(vec![address.into()])
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    lobbies: Vec<Address>,
    nth: usize,
    /// Tried since anybody waited.
    tried: usize,
    backoff: Backoff,
}

impl Turns {
    pub(super) fn new(lobbies: Lobbies) -> Self {
        Self { lobbies: lobbies.0, nth: 0, tried: 0, backoff: Backoff::new() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.lobbies[self.nth]
    }

    /// It did not answer, or its link is over, which was a good one: how long to wait before the next. Each is tried before
    /// anybody waits.
    pub(super) fn next(&mut self, was_good: bool) -> Duration {
        if was_good {
            self.backoff.reset();
            self.tried = 0;
        }
        self.nth = (self.nth + 1) % self.lobbies.len();
        self.tried += 1;
        if self.tried < self.lobbies.len() {
            return Duration::ZERO;
        }
        self.tried = 0;
        self.backoff.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_tried_before_anybody_waits() {
        let lobbies: Lobbies = "a:7003, b:7003".parse().unwrap();
        assert_eq!(lobbies.to_string(), "a:7003,b:7003");
        let mut turns = Turns::new(lobbies);
        assert_eq!(turns.address().as_str(), "a:7003");
        assert!(turns.next(false).is_zero());
        assert_eq!(turns.address().as_str(), "b:7003");
        assert!(!turns.next(false).is_zero(), "both were tried");
        assert_eq!(turns.address().as_str(), "a:7003");
        assert!(turns.next(true).is_zero(), "it was good: the other one at once");
        let mut alone = Turns::new("a:7003".parse().unwrap());
        assert!(!alone.next(true).is_zero(), "never without a pause to the same one");
    }

    #[test]
    fn what_names_none_is_refused() {
        for bad in ["", "a:7003,", "a", "a:7003 b:7003", &["a:1"; LOBBIES + 1].join(",")] {
            assert!(bad.parse::<Lobbies>().is_err(), "{bad:?}");
        }
    }
}
