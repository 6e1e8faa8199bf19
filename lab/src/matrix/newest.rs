//! When which edge had which segment: how late one of them is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// When which edge first listed which number.
#[derive(Default)]
pub(super) struct Newest {
    /// By number: by edge.
    first: BTreeMap<u64, Vec<Option<Instant>>>,
}

impl Newest {
    pub(super) fn see(&mut self, newest: &[Option<u64>]) {
        let now = Instant::now();
        for (edge, number) in newest.iter().enumerate() {
            let Some(number) = number else { continue };
            self.first.entry(*number).or_insert_with(|| vec![None; newest.len()])[edge].get_or_insert(now);
        }
    }

    /// How much later this edge had what any other has, as far as it has: those in between it listed at once with a
    /// later one. The first of all was there before anybody looked.
    pub(super) fn later(&self, of: usize) -> Vec<Duration> {
        let of_it = |number: u64| self.first.range(number..).find_map(|(_, edges)| edges[of]);
        let later = self.first.iter().skip(1).filter_map(|(number, edges)| {
            // Against the healthy ones: what the struck edge has first is no measure.
            let other = edges.iter().skip(1).flatten().min()?;
            Some(of_it(*number)?.saturating_duration_since(*other))
        });
        later.collect()
    }
}
