//! What to fetch, and when.

use super::Content;
use media::MediaSequence;
use std::collections::BTreeMap;

/// How to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// For how long, milliseconds.
    pub watch_ms: u64,
}

/// Something to fetch. Redirects are not to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// To be handed back in [`Fetched`].
    pub id: u64,
    /// From where.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// Milliseconds since watching began.
    pub not_before_ms: u64,
}

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A playlist: gzip is to be offered and taken off, `Content-Encoding` left among the headers.
    Playlist,
    /// A steering manifest.
    Text,
    /// A media segment: read, counted, not kept.
    Segment,
}

/// What came of a [`Want`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Which.
    pub want: u64,
    /// When the request was sent: milliseconds since watching began.
    pub sent_ms: u64,
    /// When the body was whole.
    pub at_ms: u64,
    /// What came.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, whatever its status.
    Answered {
        /// Its status.
        status: u16,
        /// Its headers as they came.
        headers: Vec<(String, String)>,
        /// Its body, for [`Kind::Playlist`] and [`Kind::Text`]; without content coding.
        text: Vec<u8>,
        /// For [`Kind::Segment`]: the body's bytes, and what they are where that could be read.
        media: Option<(u64, Option<Content>)>,
    },
    /// No answer.
    Failed {
        /// Why not.
        why: String,
    },
}

/// Why something is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Entry {
        redirects: usize,
    },
    Playlist {
        at: usize,
    },
    /// Listed when asked for; `until_ms` is how long it must be there by rule T08.
    Segment {
        at: usize,
        sequence: MediaSequence,
        until_ms: u64,
    },
    /// No longer listed, and still to be there until then.
    Removed {
        at: usize,
        sequence: MediaSequence,
        until_ms: u64,
    },
    /// The newest segment of a playlist that is gone.
    Withdrawn {
        at: usize,
    },
    Steering,
}

/// Requests waiting for their time and under way.
#[derive(Debug)]
pub(crate) struct Plan {
    watch: Watch,
    next_id: u64,
    waiting: Vec<(Want, Purpose)>,
    under_way: BTreeMap<u64, (Want, Purpose)>,
}

/// Requests that may wait: what a load of every playlist can ask for. More are dropped, and their rules counted
/// as not looked at.
const MOST_WAITING: usize = 1024;

impl Plan {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, next_id: 0, waiting: Vec::new(), under_way: BTreeMap::new() }
    }

    /// The latest moment that is still within watching.
    pub(crate) fn latest(&self, at_ms: u64) -> u64 {
        at_ms.min(self.watch.watch_ms)
    }

    /// Asks for something, unless its time is after watching ends.
    pub(crate) fn want(&mut self, url: String, kind: Kind, purpose: Purpose, not_before_ms: u64) {
        if not_before_ms > self.watch.watch_ms || self.waiting.len() == MOST_WAITING {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push((Want { id, url, kind, not_before_ms }, purpose));
    }

    /// The earliest; playlists before segments, so that nothing new is overlooked for a download's sake.
    pub(crate) fn next(&mut self) -> Option<Want> {
        let order = |(want, _): &(Want, Purpose)| (want.not_before_ms, want.kind == Kind::Segment, want.id);
        let at = self.waiting.iter().enumerate().min_by_key(|(_, waiting)| order(waiting))?.0;
        let (want, purpose) = self.waiting.remove(at);
        self.under_way.insert(want.id, (want.clone(), purpose));
        Some(want)
    }

    pub(crate) fn take(&mut self, id: u64) -> Option<(Want, Purpose)> {
        self.under_way.remove(&id)
    }
}
