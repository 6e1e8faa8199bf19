//! Reads playlists: strictly for who wants a playlist ([`MediaPlaylist::parse`]), and to the end with every
//! complaint for who wants to know what is wrong with one ([`Reading`]).
//!
//! [`MediaPlaylist::parse`]: crate::MediaPlaylist::parse

mod attributes;
mod media;
mod multivariant;
mod tags;

pub(crate) use media::{MediaReading, read_media};
pub(crate) use multivariant::read_multivariant;
pub(crate) use tags::{Kind, Lines};

use crate::rules::{Level, RuleId, rule};
use crate::{MediaPlaylist, MultivariantPlaylist};
use std::fmt;

/// Bytes a playlist may have: an hour of half-second segments with dates and parts is under 3 MiB. Longer ones
/// are refused unread.
pub const MOST_BYTES: usize = 4 << 20;

/// Complaints kept about one playlist; what comes after would say the same.
pub const MOST_COMPLAINTS: usize = 100;

/// What is wrong with a playlist, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Which rule is broken.
    pub rule: RuleId,
    /// How much it matters.
    pub level: Level,
    /// Which line, from 1; 0 for the playlist as a whole.
    pub line: u32,
    /// Which tag; empty where it is none.
    pub tag: String,
    /// What was found and what was allowed.
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.tag.is_empty() {
            write!(f, "{}: ", self.tag)?;
        }
        f.write_str(&self.text)
    }
}

/// Why a text is not a playlist of that kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It breaks a rule that it must keep.
    #[error("{0} (rule {rule})", rule = .0.rule)]
    Broken(Complaint),
    /// It is the other kind.
    #[error("a {found} playlist, a {wanted} playlist was expected")]
    OtherKind {
        /// What it is.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// It is too long to be read.
    #[error("a playlist of {bytes} bytes, at most {limit} are read")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// A playlist read to its end: the best that could be made of it, and all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaints {
    list: Vec<Complaint>,
}

impl Complaints {
    pub(crate) fn new() -> Self {
        Self { list: Vec::new() }
    }

    pub(crate) fn must(&mut self, id: &'static str, line: u32, tag: &str, text: impl Into<String>) {
        self.add(id, Level::Must, line, tag, text.into());
    }

    pub(crate) fn should(&mut self, id: &'static str, line: u32, tag: &str, text: impl Into<String>) {
        self.add(id, Level::Should, line, tag, text.into());
    }

    fn add(&mut self, id: &'static str, level: Level, line: u32, tag: &str, text: String) {
        debug_assert!(rule(id).is_some(), "no rule {id}");
        if self.list.len() < MOST_COMPLAINTS {
            self.list.push(Complaint { rule: RuleId(id), level, line, tag: tag.to_owned(), text });
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Complaint> {
        self.list
    }

    pub(crate) fn first_broken(self) -> Option<Complaint> {
        self.list.into_iter().find(|complaint| complaint.level == Level::Must)
    }
}

fn lines(text: &[u8], complaints: &mut Complaints) -> Result<Lines, ParseError> {
    let (bytes, limit) = (text.len(), MOST_BYTES);
    if bytes > limit {
        return Err(ParseError::TooLong { bytes, limit });
    }
    Ok(Lines::read(text, complaints))
}

impl MediaPlaylist {
    /// Reads a media playlist that keeps every rule it must; the first it breaks is the error.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let mut complaints = Complaints::new();
        let lines = lines(text, &mut complaints)?;
        if lines.kind() == Kind::Multivariant {
            return Err(ParseError::OtherKind { found: "multivariant", wanted: "media" });
        }
        let reading = read_media(&lines, &mut complaints);
        match complaints.first_broken() {
            Some(complaint) => Err(ParseError::Broken(complaint)),
            None => Ok(reading.playlist),
        }
    }
}

impl MultivariantPlaylist {
    /// Reads a multivariant playlist that keeps every rule it must; the first it breaks is the error.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let mut complaints = Complaints::new();
        let lines = lines(text, &mut complaints)?;
        if lines.kind() == Kind::Media {
            return Err(ParseError::OtherKind { found: "media", wanted: "multivariant" });
        }
        let playlist = read_multivariant(&lines, &mut complaints);
        match complaints.first_broken() {
            Some(complaint) => Err(ParseError::Broken(complaint)),
            None => Ok(playlist),
        }
    }
}

#[cfg(test)]
mod tests;
