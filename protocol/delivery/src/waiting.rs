//! Viewers whose playlist reload is held: one list per playlist, released by one update.
//!
//! Lives here: who waits for what, where in its list, until when. Does not live here: what it is answered with.
//!
//! A list is flat, so that releasing ten thousand is walking over memory; a waiter that leaves is found by its place
//! and the last one takes it.

use crate::page::Form;
use media::MediaSequence;
use rustc_hash::FxHashMap;
use slab::Slab;
use std::hash::Hash;
use std::time::Instant;

/// Everybody who waits on one core.
#[derive(Debug)]
pub(crate) struct Waiting<W> {
    lists: Slab<Vec<Waiter<W>>>,
    /// Keyed by the runtime's own numbers, so no stranger chooses them.
    places: FxHashMap<W, Spot>,
    /// Not after the first deadline of them all; a waiter that has left may leave it too early, which costs one look.
    earliest: Option<Instant>,
}

/// The list of one playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListId(usize);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter<W> {
    pub(crate) id: W,
    pub(crate) wanted: MediaSequence,
    pub(crate) form: Form,
    pub(crate) until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Spot {
    list: ListId,
    at: usize,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self { lists: Slab::new(), places: FxHashMap::default(), earliest: None }
    }
}

impl<W: Copy + Eq + Hash> Waiting<W> {
    /// A list for a playlist; it stays until [`Waiting::close`].
    pub(crate) fn open(&mut self) -> ListId {
        ListId(self.lists.insert(Vec::new()))
    }

    /// Lets go everybody on it, and forgets it.
    pub(crate) fn close(&mut self, list: ListId) -> Vec<Waiter<W>> {
        let free = self.all(list);
        self.lists.remove(list.0);
        free
    }

    pub(crate) fn hold(&mut self, list: ListId, waiter: Waiter<W>) {
        self.earliest = Some(self.earliest.map_or(waiter.until, |earliest| earliest.min(waiter.until)));
        let waiters = &mut self.lists[list.0];
        self.places.insert(waiter.id, Spot { list, at: waiters.len() });
        waiters.push(waiter);
    }

    /// Whether it was there.
    pub(crate) fn forget(&mut self, id: W) -> bool {
        let Some(Spot { list, at }) = self.places.remove(&id) else { return false };
        let waiters = &mut self.lists[list.0];
        waiters.swap_remove(at);
        if let Some(moved) = waiters.get(at)
            && let Some(spot) = self.places.get_mut(&moved.id)
        {
            spot.at = at;
        }
        if self.places.is_empty() {
            self.earliest = None;
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Not after the first deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Lets go everybody on the list who wanted at most `last`.
    pub(crate) fn reached(&mut self, list: ListId, last: MediaSequence) -> Vec<Waiter<W>> {
        self.take(list, |waiter| waiter.wanted <= last)
    }

    /// Lets go everybody on the list.
    pub(crate) fn all(&mut self, list: ListId) -> Vec<Waiter<W>> {
        self.take(list, |_| true)
    }

    /// Lets go everybody whose time is up.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<Waiter<W>> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let lists: Vec<_> = self.lists.iter().map(|(list, _)| ListId(list)).collect();
        let free = lists.into_iter().flat_map(|list| self.take(list, |waiter| waiter.until <= now)).collect();
        self.earliest = self.lists.iter().flat_map(|(_, list)| list).map(|waiter| waiter.until).min();
        free
    }

    fn take(&mut self, list: ListId, is_free: impl Fn(&Waiter<W>) -> bool) -> Vec<Waiter<W>> {
        let waiters = &mut self.lists[list.0];
        let free = if waiters.iter().all(&is_free) {
            // The usual end of a segment: everybody wanted just that one.
            std::mem::take(waiters)
        } else {
            waiters.extract_if(.., |waiter| is_free(waiter)).collect()
        };
        if free.len() == self.places.len() {
            self.places.clear();
            self.earliest = None;
            return free;
        }
        for waiter in &free {
            self.places.remove(&waiter.id);
        }
        if !free.is_empty() {
            for (at, waiter) in waiters.iter().enumerate() {
                if let Some(spot) = self.places.get_mut(&waiter.id) {
                    spot.at = at;
                }
            }
        }
        free
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "some clock must begin the tale")]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn waiter(id: u32, wanted: u64, until: Instant) -> Waiter<u32> {
        let form = Form { connection: http::Connection::Implied, is_head: false, takes_gzip: false };
        Waiter { id, wanted: MediaSequence(wanted), form, until }
    }

    fn ids(free: &[Waiter<u32>]) -> BTreeSet<u32> {
        free.iter().map(|waiter| waiter.id).collect()
    }

    #[test]
    fn who_leaves_or_is_let_go_leaves_the_others_where_they_can_be_found() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let [one, other] = [waiting.open(), waiting.open()];
        for id in 0..10 {
            waiting.hold(one, waiter(id, 7 + u64::from(id % 2), start));
        }
        waiting.hold(other, waiter(10, 7, start));
        assert!(waiting.forget(0) && waiting.forget(9) && !waiting.forget(9));
        assert_eq!(ids(&waiting.reached(one, MediaSequence(7))), BTreeSet::from([2, 4, 6, 8]));
        // Every one of those that stayed is still found where it is now.
        assert!(waiting.forget(5) && waiting.forget(1));
        assert_eq!(ids(&waiting.reached(one, MediaSequence(8))), BTreeSet::from([3, 7]));
        assert_eq!((waiting.len(), ids(&waiting.close(other))), (1, BTreeSet::from([10])));
        assert_eq!((waiting.len(), waiting.deadline()), (0, None));
    }

    #[test]
    fn only_those_whose_time_is_up_are_let_go_by_it() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let list = waiting.open();
        let at = |ms| start + Duration::from_millis(ms);
        for (id, ms) in [(1, 10), (2, 30), (3, 20)] {
            waiting.hold(list, waiter(id, 7, at(ms)));
        }
        assert_eq!(waiting.deadline(), Some(at(10)));
        assert!(waiting.overdue(at(9)).is_empty());
        assert_eq!(ids(&waiting.overdue(at(20))), BTreeSet::from([1, 3]));
        assert_eq!(waiting.deadline(), Some(at(30)));
        waiting.forget(2);
        assert_eq!(waiting.deadline(), None);
    }
}
