//! Viewers whose playlist reload is held: one list per rendition, released by one update.

use crate::page::Form;
use media::MediaSequence;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Who waits for one rendition's playlist.
#[derive(Debug)]
pub(crate) struct Waiting<W> {
    waiters: HashMap<W, Waiter>,
    /// Not after the first deadline of them; a waiter that was forgotten may leave it too early, which costs one look.
    earliest: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) wanted: MediaSequence,
    pub(crate) form: Form,
    pub(crate) until: Instant,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self { waiters: HashMap::new(), earliest: None }
    }
}

impl<W: Copy + Eq + Hash> Waiting<W> {
    pub(crate) fn hold(&mut self, id: W, waiter: Waiter) {
        self.earliest = Some(self.earliest.map_or(waiter.until, |earliest| earliest.min(waiter.until)));
        self.waiters.insert(id, waiter);
    }

    pub(crate) fn forget(&mut self, id: W) {
        self.waiters.remove(&id);
        if self.waiters.is_empty() {
            self.earliest = None;
        }
    }

    /// Lets go everybody who wanted at most `last`.
    pub(crate) fn reached(&mut self, last: MediaSequence) -> Vec<(W, Waiter)> {
        self.take(|waiter| waiter.wanted <= last)
    }

    /// Lets go everybody whose time is up.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(W, Waiter)> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        self.take(|waiter| waiter.until <= now)
    }

    /// Lets go everybody.
    pub(crate) fn all(&mut self) -> Vec<(W, Waiter)> {
        self.take(|_| true)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    fn take(&mut self, is_free: impl Fn(&Waiter) -> bool) -> Vec<(W, Waiter)> {
        let mut free = Vec::new();
        if self.waiters.values().all(&is_free) {
            // The usual end of a segment: everybody wanted just that one.
            free.extend(self.waiters.drain());
        } else {
            free.extend(self.waiters.extract_if(|_, waiter| is_free(waiter)));
        }
        self.earliest = self.waiters.values().map(|waiter| waiter.until).min();
        free
    }
}
