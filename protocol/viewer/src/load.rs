//! One thing being loaded: the asks that are open for it, and what was tried.

use crate::{AskId, AskKind, Url};
use std::time::Instant;

/// Stands for "no pathway": the entry.
pub(crate) const ENTRY: u8 = u8::MAX;

/// Something that is wanted, until it is there or given up.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) kind: AskKind,
    pub(crate) open: Option<Open>,
    /// The hedge. Rarely there, so not in line.
    pub(crate) rival: Option<Box<Open>>,
    /// When a second pathway is asked too.
    pub(crate) hedge_at: Option<Instant>,
    /// Every pathway failed: the next round is then.
    pub(crate) waits_until: Option<Instant>,
    /// A bit for each pathway that was asked in this round.
    pub(crate) tried: u16,
    pub(crate) rounds: u32,
    /// The pathway that is asked once more before another one is.
    pub(crate) again: Option<u8>,
    /// How often that has been done.
    pub(crate) asked_again: u32,
}

/// An ask without its answer.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: AskId,
    pub(crate) url: Url,
    pub(crate) pathway: u8,
    pub(crate) redirects: u8,
    pub(crate) is_blocking: bool,
    pub(crate) due: Instant,
    pub(crate) head_at: Option<Instant>,
    /// It fails then: the bound of the first byte, after that of more to come.
    pub(crate) bound_at: Instant,
    pub(crate) whole_by: Instant,
}

/// Which of the things a viewer loads at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A playlist.
    List = 0,
    /// A segment or an initialization section.
    Piece = 1,
    /// A steering manifest.
    Steering = 2,
}

impl Slot {
    pub(crate) const ALL: [Self; 3] = [Self::List, Self::Piece, Self::Steering];
}

impl Load {
    pub(crate) fn new(kind: AskKind) -> Self {
        Self {
            kind,
            open: None,
            rival: None,
            hedge_at: None,
            waits_until: None,
            tried: 0,
            rounds: 0,
            again: None,
            asked_again: 0,
        }
    }

    pub(crate) fn opens(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().chain(self.rival.as_deref())
    }

    pub(crate) fn find(&mut self, id: AskId) -> Option<&mut Open> {
        self.open.iter_mut().chain(self.rival.as_deref_mut()).find(|open| open.id == id)
    }

    /// Removes an ask; the other one, if there is one, is the first then.
    pub(crate) fn take(&mut self, id: AskId) -> Option<Open> {
        if self.rival.as_ref().is_some_and(|rival| rival.id == id) {
            return self.rival.take().map(|rival| *rival);
        }
        let taken = self.open.take_if(|open| open.id == id)?;
        self.open = self.rival.take().map(|rival| *rival);
        Some(taken)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let bounds = self.opens().map(|open| open.bound_at);
        bounds.chain(self.hedge_at).chain(self.waits_until).min()
    }
}
