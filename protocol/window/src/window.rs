//! One broadcast's window.

use crate::{Change, Input};
use media::{MediaSequence, MediaTime, RenditionId, StreamFacts};
use std::collections::VecDeque;

/// The live window of one broadcast.
#[derive(Debug)]
pub struct Window<B> {
    facts: StreamFacts,
    out: VecDeque<Change<B>>,
}

impl<B: Clone> Window<B> {
    /// An empty window for this broadcast.
    pub fn new(facts: StreamFacts) -> Self {
        Self { facts, out: VecDeque::new() }
    }

    /// Takes what arrived.
    pub fn push(&mut self, input: Input<B>) {
        let _ = input;
    }

    /// What changed, oldest first.
    pub fn pull(&mut self) -> Option<Change<B>> {
        self.out.pop_front()
    }

    /// What this rendition's media playlist says now; `None` while it lists nothing, and once it is withdrawn.
    pub fn media_playlist(&self, rendition: &RenditionId) -> Option<hls::MediaPlaylist> {
        let _ = rendition;
        None
    }

    /// What the multivariant playlist says now, with relative URIs; `None` until every rendition lists a segment.
    pub fn multivariant(&self) -> Option<hls::MultivariantPlaylist> {
        None
    }

    /// The body of a segment that can be fetched.
    pub fn segment(&self, rendition: &RenditionId, sequence: MediaSequence) -> Option<&B> {
        let _ = (rendition, sequence);
        None
    }

    /// Where the newest segment ends that every rendition lists.
    pub fn newest(&self) -> Option<MediaTime> {
        None
    }

    /// Bytes of all bodies that can be fetched or wait to be listed.
    pub fn bytes_held(&self) -> u64 {
        0
    }

    /// The broadcast's facts as last pushed.
    pub fn facts(&self) -> &StreamFacts {
        &self.facts
    }
}
