//! Names: a name that exists has been checked, so whoever holds one need not check it again.

use std::fmt;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between the slashes.
    #[error("the {what} is empty; 1 to {limit} characters are allowed")]
    Empty {
        /// Which name.
        what: &'static str,
        /// How many characters it may have.
        limit: usize,
    },
    /// Longer than a path element should be.
    #[error("the {what} has {len} bytes; 1 to {limit} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A character that would need escaping in a path, a log or a file name.
    #[error("the {what} has {found:?} at byte {at}; letters, digits, '-' and '_' are allowed")]
    BadCharacter {
        /// Which name.
        what: &'static str,
        /// The character.
        found: char,
        /// Its byte offset.
        at: usize,
    },
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what, limit });
    }
    if text.len() > limit {
        return Err(NameError::TooLong { what, len: text.len(), limit });
    }
    match text.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some((at, found)) => Err(NameError::BadCharacter { what, found, at }),
        None => Ok(text.into()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The most bytes this name may have.
            pub const MAX_BYTES: usize = $limit;

            /// The only way to have one: letters, digits, `-` and `_`, at least one of them.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check($what, text, $limit).map(Self)
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The live thing a viewer chooses; a path element of every URL.
    BroadcastId,
    "broadcast",
    64
);
name!(
    /// Which rendition of a broadcast (`720p`, `source`, `audio`); a path element of every media URL.
    RenditionId,
    "rendition",
    32
);

/// One unbroken publish: the milliseconds since the Unix epoch at which its timeline was stamped.
///
/// A later run of the same broadcast has a greater id, on whichever ingest it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_safe_path_element_or_nothing() {
        assert_eq!(BroadcastId::parse("tidal-bore_1").unwrap().as_str(), "tidal-bore_1");
        for bad in ["", ".", "..", "a/b", "a b", "a%2f", "ü", "a\0"] {
            assert!(BroadcastId::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(BroadcastId::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn a_refusal_names_what_and_where() {
        let refused = BroadcastId::parse("ab/c").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the broadcast has '/' at byte 2; letters, digits, '-' and '_' are allowed"
        );
    }
}
