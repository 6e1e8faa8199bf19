//! What must be true: at every step, when an edge has caught up, and in the evening.

use super::ingest::{FIRST, Ingest, RENDITIONS, SEGMENT_MS, WINDOW, broadcast, key};
use super::{Day, Edge};
use crate::network::Millis;
use edgefan::*;
use media::*;

impl Day {
    pub(super) fn check_bounds(&self) {
        for edge in &self.edges {
            let counters = edge.subscriber.counters();
            assert!(counters.assembly_bytes <= self.weather.assembly_bytes as u64, "{counters:?}");
        }
        for ingest in &self.ingests {
            let held = ingest.publisher.counters().hub_bytes;
            // What is being made is never let go: both renditions of both broadcasts.
            let making = 2 * self.weather.broadcasts as u64 * 12_000;
            assert!(held <= self.weather.hub_bytes as u64 + making, "{held} bytes in the hub");
            let most =
                (WINDOW + limits::HOLD_BEYOND_WINDOW + 1) * 2 * self.weather.broadcasts as u64 * 12_000;
            assert!(held <= most, "{held} bytes in the hub");
        }
    }

    pub(super) fn check_evening(&self) {
        for (index, edge) in self.edges.iter().enumerate() {
            let counters = edge.subscriber.counters();
            assert_eq!(counters.links, 2, "edge {index} has not both links again");
            assert_eq!(counters.assembly_bytes, 0, "edge {index} still waits for something: {counters:?}");
            for of in 0..self.weather.broadcasts {
                assert!(edge.ended.contains(&broadcast(of)), "edge {index} was not told of the end");
                for rendition in RENDITIONS {
                    self.check_rendition(index, edge, of, rendition);
                }
            }
            // Whatever went wrong, nobody asks for ever: a few times per object, and per link that was lost.
            let asked = counters.fetches;
            let objects = self.weather.segments * 2 * self.weather.broadcasts as u64;
            assert!(asked <= objects * 20, "edge {index} asked {asked} times for {objects} objects");
        }
    }

    fn check_rendition(&self, index: usize, edge: &Edge, of: usize, rendition: &str) {
        let last = FIRST + self.weather.segments - 1;
        let is_complete = |sequence| edge.complete.contains_key(&key(of, rendition, sequence));
        let is_settled =
            |sequence| is_complete(sequence) || edge.skipped.contains_key(&key(of, rendition, sequence));
        // No hole from the first that is settled to the very last: a playlist would stop there.
        let at = key(of, rendition, FIRST);
        let first = edge.whole_from.get(&(at.broadcast, at.rendition)).copied().unwrap_or(FIRST);
        let first = (first..=last).find(|&sequence| is_settled(sequence)).expect("nothing is settled");
        for sequence in first..=last {
            assert!(is_settled(sequence), "edge {index}: {rendition}/{sequence} is neither there nor a gap");
        }
        if !self.weather.is_good {
            return;
        }
        for sequence in first..=last {
            if let Some(at) = edge.skipped.get(&key(of, rendition, sequence)) {
                let has_left = FIRST + at / SEGMENT_MS >= sequence + WINDOW;
                assert!(has_left, "edge {index}: {rendition}/{sequence} is a gap for no reason");
                continue;
            }
            // Made while this edge was there: visible one way and a few pieces after the first ingest's CLOSE.
            let closed = self.ingests[0].closed[&key(of, rendition, sequence)];
            let there = edge.complete[&key(of, rendition, sequence)];
            if closed > edge.joined + 1500 {
                assert!(
                    there <= closed + 40 + 60,
                    "edge {index}: {rendition}/{sequence} took {} ms",
                    there - closed
                );
            }
        }
    }
}

/// On a good day, caught up means just that: all of the window that both ingests had closed when the edge came.
pub(super) fn check_caught_up(edge: &Edge, ingests: &[Ingest], broadcast: &BroadcastId, now: Millis) {
    let both = |key: &ObjectKey, at: Millis| {
        ingests.iter().all(|ingest| ingest.closed.get(key) <= Some(&at) && ingest.closed.contains_key(key))
    };
    let closed: Vec<&ObjectKey> = ingests[0]
        .closed
        .keys()
        .filter(|key| key.broadcast == *broadcast && both(key, edge.joined))
        .collect();
    let newest = closed.iter().map(|key| key.sequence.0).max().unwrap_or(0);
    // What is being made, and what came between joining and now, has pushed as many out of the window.
    let margin = (now - edge.joined) / SEGMENT_MS + 3;
    for key in closed {
        if key.sequence.0 + WINDOW > newest + margin {
            assert!(edge.complete.contains_key(key), "caught up without {key}");
        }
    }
}
