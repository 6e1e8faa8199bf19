//! HLS playlists as values: written, read, and checked against the specification.
//!
//! Lives here: what a media playlist and a multivariant playlist are ([`MediaPlaylist`],
//! [`MultivariantPlaylist`]), how they are written (`render`) and read (`parse`), where a URI
//! of them leads ([`Url`]), and the checker ([`lint`]).
//! Does not live here: which segments are listed (`window`), who may have a playlist and when (`delivery`),
//! or any HTTP. "R" is RFC 8216 as revised by draft-pantos-hls-rfc8216bis; rule ids are those of docs/HLS.md.

pub mod lint;
mod media_playlist;
mod multivariant;
mod read;
pub mod rules;
mod text;
mod url;

pub use media_playlist::{
    ByteRange, InitSection, Key, MediaPlaylist, Part, PlaylistType, PreloadHint, RenditionReport, Segment,
    ServerControl, TargetDuration,
};
pub use multivariant::{
    Alternative, AlternativeKind, ContentSteering, MultivariantPlaylist, Pathway, SessionData, VariantStream,
};

pub use read::{Complaint, MOST_BYTES, MOST_COMPLAINTS, ParseError};
pub use url::{MOST_URL_BYTES, Url, UrlError};

/// The media type of both kinds of playlist (R 4; rule S07).
pub const MEDIA_TYPE: &str = "application/vnd.apple.mpegurl";
