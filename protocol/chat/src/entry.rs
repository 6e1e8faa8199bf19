//! What a log is made of.
//!
//! A tombstone, a ban and a change of slow mode are entries too, each with a number of its own: so whoever has all numbers
//! knows everything.

use crate::limits::{NAME_BYTES, SLOW_SECONDS, TEXT_BYTES};
use std::fmt;

/// An entry's place in its room's log: 1, 2, 3, … without a hole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before it; 0 has none.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which log a number belongs to. A room that is made anew, or a store that was put back to an older state, has another one:
/// its numbers begin again, and nobody takes them for the old ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// What somebody is in a room. The numbers are the wire's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Badge {
    /// Watches.
    #[default]
    Viewer = 0,
    /// Publishes here.
    Broadcaster = 1,
    /// Keeps order here.
    Moderator = 2,
    /// Keeps order everywhere.
    Admin = 3,
}

impl Badge {
    const ALL: [Self; 4] = [Self::Viewer, Self::Broadcaster, Self::Moderator, Self::Admin];

    pub(crate) fn from_wire(number: u64) -> Self {
        Self::ALL.into_iter().find(|badge| *badge as u64 == number).unwrap_or_default()
    }

    /// As pages know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Broadcaster => "broadcaster",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }
}

/// Who says something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The same for as long as the account is: what a ban names.
    pub id: String,
    /// What readers see.
    pub name: String,
    /// What he is here.
    pub badge: Badge,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody said something.
    Said {
        /// Who.
        by: Author,
        /// What.
        text: String,
    },
    /// One entry was taken back: nobody is to show it any more.
    Gone {
        /// Which.
        of: Sequence,
    },
    /// Everything of an author was taken back: he is banned.
    GoneBy {
        /// Whose, by id.
        author: String,
    },
    /// How long each viewer waits from now on between two messages.
    Slow {
        /// Seconds; 0 for not at all.
        seconds: u32,
    },
}

/// One entry of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub sequence: Sequence,
    /// When, in milliseconds since the Unix epoch, by the lobby's clock.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// Why something is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Longer than it may be.
    #[error("the {what} has {bytes} bytes, at most {limit} are taken")]
    TooLong {
        /// What of it.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Nothing to read.
    #[error("the {what} is empty")]
    Empty {
        /// What of it.
        what: &'static str,
    },
    /// Slower than slow.
    #[error("slow mode of {seconds} s, at most {limit} are taken")]
    TooSlow {
        /// Seconds asked for.
        seconds: u32,
        /// Seconds that may be.
        limit: u32,
    },
}

impl Entry {
    /// Whether it is within its bounds; whoever makes entries asks, and whoever reads them from a wire.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn check(&self) -> Result<(), EntryError> {
        let within = |what, text: &str, limit| match text.len() {
            0 => Err(EntryError::Empty { what }),
            bytes if bytes > limit => Err(EntryError::TooLong { what, bytes, limit }),
            _ => Ok(()),
        };
        match &self.what {
            What::Said { by, text } => {
                within("author's id", &by.id, NAME_BYTES)?;
                within("author's name", &by.name, NAME_BYTES)?;
                within("message", text, TEXT_BYTES)
            }
            What::GoneBy { author } => within("author's id", author, NAME_BYTES),
            What::Slow { seconds } if *seconds > SLOW_SECONDS => {
                Err(EntryError::TooSlow { seconds: *seconds, limit: SLOW_SECONDS })
            }
            What::Gone { .. } | What::Slow { .. } => Ok(()),
        }
    }

    /// Bytes of it, about.
    pub(crate) fn weight(&self) -> usize {
        const SHARE: usize = 64;
        SHARE
            + match &self.what {
                What::Said { by, text } => by.id.len() + by.name.len() + text.len(),
                What::GoneBy { author } => author.len(),
                What::Gone { .. } | What::Slow { .. } => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> Entry {
        let by = Author { id: "7".into(), name: name.into(), badge: Badge::Viewer };
        Entry { sequence: Sequence(1), at_ms: 1, what: What::Said { by, text: text.into() } }
    }

    #[test]
    fn an_entry_says_what_it_has_too_much_of() {
        assert_eq!(said("Ana", &"x".repeat(TEXT_BYTES)).check(), Ok(()));
        let refused = said("Ana", &"x".repeat(TEXT_BYTES + 1)).check().unwrap_err().to_string();
        assert_eq!(refused, "the message has 2001 bytes, at most 2000 are taken");
        assert_eq!(said("", "x").check(), Err(EntryError::Empty { what: "author's name" }));
        let slow = Entry { what: What::Slow { seconds: SLOW_SECONDS + 1 }, ..said("Ana", "x") };
        assert!(slow.check().is_err());
    }
}
