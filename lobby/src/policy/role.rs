//! What an account may do.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// From the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watches and posts.
    #[default]
    Viewer,
    /// Takes messages away, mutes and bans, in every room.
    Moderator,
    /// Has broadcasts of his own, and moderates their rooms.
    Broadcaster,
    /// Everything, of everybody.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Moderator, Self::Broadcaster, Self::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Moderator => "moderator",
            Self::Broadcaster => "broadcaster",
            Self::Admin => "admin",
        }
    }

    /// Whether it may have broadcasts of its own.
    pub fn broadcasts(self) -> bool {
        matches!(self, Self::Broadcaster | Self::Admin)
    }

    /// Whether it may change and publish a broadcast, which is its own or not.
    pub fn runs(self, is_own: bool) -> bool {
        self == Self::Admin || (is_own && self.broadcasts())
    }

    /// Whether it may moderate a room, of its own broadcast or not.
    pub fn moderates(self, is_own: bool) -> bool {
        matches!(self, Self::Admin | Self::Moderator) || self.runs(is_own)
    }

    /// Whether it may act on somebody with that role in a room: nobody moderates his like, but for administrators.
    pub fn may_restrain(self, other: Self, is_own: bool) -> bool {
        self == Self::Admin || (self.moderates(is_own) && matches!(other, Self::Viewer | Self::Broadcaster))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no role; viewer, moderator, broadcaster and admin are"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_what() {
        assert_eq!(Role::ALL.map(Role::broadcasts), [false, false, true, true]);
        assert_eq!(Role::ALL.map(|role| role.runs(true)), [false, false, true, true]);
        assert_eq!(Role::ALL.map(|role| role.runs(false)), [false, false, false, true]);
        assert_eq!(Role::ALL.map(|role| role.moderates(true)), [false, true, true, true]);
        assert_eq!(Role::ALL.map(|role| role.moderates(false)), [false, true, false, true]);
        assert!(!Role::Moderator.may_restrain(Role::Admin, false));
        assert!(Role::Broadcaster.may_restrain(Role::Viewer, true));
    }

    #[test]
    fn a_role_is_written_as_it_is_read() {
        assert!(Role::ALL.iter().all(|role| role.as_str().parse() == Ok(*role)));
        assert!("root".parse::<Role>().unwrap_err().contains("admin"));
    }
}
