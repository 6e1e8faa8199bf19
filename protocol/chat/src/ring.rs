//! The newest entries of one room's log, without a hole.

use crate::limits::RING;
use crate::{Entry, LogId, Sequence};
use std::collections::VecDeque;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    log: LogId,
    /// The number that comes next.
    next: Sequence,
    entries: VecDeque<Entry>,
}

/// An entry that is not the next one: those between are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {found} came where {wanted} is the next")]
pub struct Gap {
    /// The number that comes next.
    pub wanted: Sequence,
    /// The one that came.
    pub found: Sequence,
}

impl Ring {
    /// An empty one that goes on with `next`.
    pub fn new(log: LogId, next: Sequence) -> Self {
        Self { log, next: next.max(Sequence(1)), entries: VecDeque::new() }
    }

    /// Which log it is of.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// The number that comes next.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// The oldest that is here; `next` if there is none.
    pub fn first(&self) -> Sequence {
        self.entries.front().map_or(self.next, |entry| entry.sequence)
    }

    /// Takes the next entry; false if it was here before.
    ///
    /// # Errors
    /// It is a later one.
    pub fn push(&mut self, entry: Entry) -> Result<bool, Gap> {
        if entry.sequence > self.next {
            return Err(Gap { wanted: self.next, found: entry.sequence });
        }
        if entry.sequence < self.next {
            return Ok(false);
        }
        if self.entries.len() == RING {
            self.entries.pop_front();
        }
        self.next = entry.sequence.next();
        self.entries.push_back(entry);
        Ok(true)
    }

    /// What is here from `from` on, oldest first.
    pub fn since(&self, from: Sequence) -> impl Iterator<Item = &Entry> {
        let skipped = from.0.saturating_sub(self.first().0);
        self.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::What;

    fn entry(number: u64) -> Entry {
        Entry { sequence: Sequence(number), at_ms: number, what: What::Slow { seconds: 0 } }
    }

    #[test]
    fn it_holds_the_newest_without_a_hole() {
        let mut ring = Ring::new(LogId(1), Sequence(0));
        assert_eq!((ring.first(), ring.next()), (Sequence(1), Sequence(1)));
        for number in 1..=RING as u64 + 5 {
            assert_eq!(ring.push(entry(number)), Ok(true));
        }
        assert_eq!((ring.first(), ring.next()), (Sequence(6), Sequence(206)));
        assert_eq!(ring.push(entry(9)), Ok(false), "said twice changes nothing");
        assert_eq!(ring.push(entry(300)), Err(Gap { wanted: Sequence(206), found: Sequence(300) }));
        let since = |from| ring.since(Sequence(from)).map(|entry| entry.sequence.0).collect::<Vec<_>>();
        assert_eq!(since(204), [204, 205]);
        assert_eq!((since(1).len(), since(206).len(), since(999).len()), (RING, 0, 0));
    }
}
