//! One media playlist under watch, and what it is in its multivariant playlist.

use super::content::Samples;
use super::{Versions, url};
use crate::{MultivariantPlaylist, VariantStream};
use media::{MediaSequence, MediaSpan};

/// One media playlist under watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) url: String,
    pub(super) versions: Versions,
    pub(super) role: Role,
    pub(super) samples: Samples,
    /// The newest segment asked for.
    pub(super) sampled: Option<MediaSequence>,
    /// When it was last seen to list what it lists.
    pub(super) listed_at_ms: u64,
    pub(super) longest: MediaSpan,
    pub(super) removed: usize,
    pub(super) loads_after_end: u32,
    pub(super) is_gone: bool,
}

/// What a media playlist is in its multivariant playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It was watched by itself.
    Alone,
    /// The first time this variant stream is listed.
    Variant(usize),
    /// The same variant stream on another pathway: which it is, and which of those watched it copies.
    Copy { variant: usize, of: usize },
    /// An alternative.
    Alternative,
}

impl Watched {
    pub(super) fn new(url: String, role: Role) -> Self {
        Self {
            versions: Versions::new(url.clone()),
            url,
            role,
            samples: Samples::default(),
            sampled: None,
            listed_at_ms: 0,
            longest: MediaSpan::ZERO,
            removed: 0,
            loads_after_end: 0,
            is_gone: false,
        }
    }
}

/// What a list holds that may be gone from the next one.
pub(super) fn removable(watched: &Watched) -> Vec<(MediaSequence, String, MediaSpan)> {
    let placed = watched.versions.placed();
    let whole = placed.iter().filter(|placed| !placed.segment.is_gap && placed.segment.byte_range.is_none());
    whole
        .map(|placed| {
            let url = url::resolve(&watched.url, &placed.segment.uri);
            (placed.sequence, url, placed.segment.duration)
        })
        .collect()
}

pub(super) fn newest_whole(watched: &Watched) -> Option<(String, MediaSequence)> {
    let (sequence, url, _) = removable(watched).pop()?;
    Some((url, sequence))
}

pub(super) fn variants_of(playlist: Option<&MultivariantPlaylist>, role: Role) -> Vec<&VariantStream> {
    let Some(playlist) = playlist else { return Vec::new() };
    match role {
        Role::Variant(at) | Role::Copy { variant: at, .. } => {
            // Several variant streams may share a media playlist (with other alternatives).
            let uri = playlist.variant_streams.get(at).map(|variant| &variant.uri);
            playlist.variant_streams.iter().filter(|variant| Some(&variant.uri) == uri).collect()
        }
        Role::Alone | Role::Alternative => Vec::new(),
    }
}

/// The same variant stream from somewhere else (A 10.2).
pub(super) fn is_copy(a: &VariantStream, b: &VariantStream) -> bool {
    let anywhere =
        |variant: &VariantStream| VariantStream { uri: String::new(), pathway_id: None, ..variant.clone() };
    a.uri != b.uri && anywhere(a) == anywhere(b)
}
