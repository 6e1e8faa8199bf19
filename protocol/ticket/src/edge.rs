//! Names and numbers of edges.
//!
//! An edge's number is the first two bytes of the SHA-256 of its id, never 0. It is derived, not given out, so
//! that two balancers that never speak to each other write the same number into their tokens, and so that an
//! edge knows its own without being told.
//!
//! Two edges may share a number (among 30 edges with a chance of 1 in 150, among 100 of 1 in 13). That is
//! harmless by construction: every edge serves every valid token, and the number only says whether a viewer
//! is counted as at home. `routing` reports a clash so that an operator may choose another id.

use sha2::{Digest, Sha256};
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

/// The name of an edge. It is also its PATHWAY-ID, whose characters the draft limits (rule V10).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(Arc<str>);

/// Why a text is not the name of an edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgeIdError {
    /// Too short or too long.
    #[error("the edge id has {0} bytes; 1 to {max} are allowed", max = EdgeId::MAX_BYTES)]
    Length(usize),
    /// A character that a PATHWAY-ID may not have.
    #[error("the edge id has {found:?} at byte {at}; letters, digits, '.', '-' and '_' are allowed")]
    BadCharacter {
        /// The character.
        found: char,
        /// Its byte offset.
        at: usize,
    },
    /// `.` is what a variant stream without PATHWAY-ID belongs to (rule V10).
    #[error("the edge id is '.', which HLS keeps for variant streams of no pathway")]
    Reserved,
}

impl EdgeId {
    /// The most bytes an id may have.
    pub const MAX_BYTES: usize = 64;

    /// The only way to have one.
    pub fn parse(text: &str) -> Result<Self, EdgeIdError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(EdgeIdError::Length(text.len()));
        }
        if text == "." {
            return Err(EdgeIdError::Reserved);
        }
        match text.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
        {
            Some((at, found)) => Err(EdgeIdError::BadCharacter { found, at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its number, as tokens carry it.
    pub fn number(&self) -> EdgeNumber {
        let hash = Sha256::digest(self.0.as_bytes());
        let number = u16::from_be_bytes([hash[0], hash[1]]);
        // 0 means "none" in a token; 1 is as good a number as any for the one id in 65,536 that would have it.
        EdgeNumber(NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN))
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for EdgeId {
    type Err = EdgeIdError;
    fn from_str(text: &str) -> Result<Self, EdgeIdError> {
        Self::parse(text)
    }
}

/// An edge as a token names it; see the head of this file for how it comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeNumber(pub NonZeroU16);

impl EdgeNumber {
    /// What a token carries for it, or for none.
    pub(crate) fn to_wire(number: Option<Self>) -> u16 {
        number.map_or(0, |number| number.0.get())
    }

    /// What a token's two bytes say.
    pub fn from_wire(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_id_is_a_pathway_id() {
        assert_eq!(EdgeId::parse("edge-1.ams_2").unwrap().as_str(), "edge-1.ams_2");
        assert_eq!(EdgeId::parse("a\"b"), Err(EdgeIdError::BadCharacter { found: '"', at: 1 }));
        assert_eq!(EdgeId::parse("."), Err(EdgeIdError::Reserved));
        assert_eq!(EdgeId::parse(""), Err(EdgeIdError::Length(0)));
        assert_eq!(EdgeId::parse(&"e".repeat(65)), Err(EdgeIdError::Length(65)));
    }

    /// Written down, because balancers and edges of different versions must agree for ever.
    #[test]
    fn the_number_of_an_id_never_changes() {
        let number = |id| EdgeId::parse(id).unwrap().number().0.get();
        assert_eq!([number("edge1"), number("edge2")], [0xb4ba, 0xbee9]);
    }
}
