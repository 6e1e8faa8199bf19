//! What is listed and sent at every edge, over all the time that somebody looks.

use crate::cluster::{Cluster, EDGES, fetch};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const RENDITIONS: [&str; 2] = ["source", "180p"];

/// What each edge says of a segment in its playlist, and the SHA-256 of what it sends.
type ByEdge = BTreeMap<usize, (String, [u8; 32])>;

/// Everything that was ever listed at the edges, and what was wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By rendition and number: what each edge says of it, and the hash of what it sends.
    segments: BTreeMap<(String, u64), ByEdge>,
    /// By rendition and edge: the first and the last number listed.
    last: BTreeMap<(String, usize), (u64, u64)>,
    pub(crate) discontinuities: BTreeSet<u64>,
    /// Each once, though a playlist is looked at again and again.
    faults: BTreeSet<String>,
}

impl Seen {
    pub(crate) fn look(&mut self, cluster: &Addresses, rendition: &str, edge: usize) {
        let address = &cluster.edges[edge];
        let Some(body) = fetch(address, &format!("/live/tide/{rendition}/index.m3u8")) else { return };
        let text = String::from_utf8(body).unwrap();
        let number = |tag: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(tag));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        let Some(first) = number("#EXT-X-MEDIA-SEQUENCE:") else { return };
        let mut discontinuity = number("#EXT-X-DISCONTINUITY-SEQUENCE:").unwrap_or(0);
        self.discontinuities.insert(discontinuity);
        let place = format!("edge {edge} {rendition}");
        let (mut at, mut facts) = (first, String::new());
        for line in text.lines() {
            if line == "#EXT-X-DISCONTINUITY" {
                discontinuity += 1;
                self.discontinuities.insert(discontinuity);
            } else if line.starts_with("#EXT-X-GAP") {
                self.faults.insert(format!("{place}: {at} is a gap"));
            } else if line.starts_with("#EXTINF") || line.starts_with("#EXT-X-PROGRAM-DATE-TIME") {
                facts.push_str(line);
            } else if !line.starts_with('#') && !line.is_empty() {
                let of = self.segments.entry((rendition.to_owned(), at)).or_default();
                if let std::collections::btree_map::Entry::Vacant(place_of_it) = of.entry(edge) {
                    match fetch(address, &format!("/live/tide/{rendition}/{line}")) {
                        Some(body) => {
                            place_of_it.insert((std::mem::take(&mut facts), Sha256::digest(&body).into()));
                        }
                        None => {
                            self.faults.insert(format!("{place}: {line} is listed and not there"));
                        }
                    }
                }
                facts.clear();
                at += 1;
            }
        }
        let known = self.last.entry((rendition.to_owned(), edge)).or_insert((first, at));
        if at < known.1 || first < known.0 {
            self.faults.insert(format!("{place}: went back from {known:?} to {first}, {at}"));
        }
        if first > known.1 {
            self.faults.insert(format!("{place}: {} to {first} were never listed", known.1));
        }
        *known = (first, at.max(known.1));
    }

    /// What does not agree between the edges.
    pub(crate) fn differences(&self) -> Vec<String> {
        let differing = self.segments.iter().filter(|(_, of)| {
            let mut said = of.values();
            let first = said.next();
            said.any(|other| Some(other) != first)
        });
        differing.map(|((rendition, number), of)| format!("{rendition}/{number} differs: {of:?}")).collect()
    }

    pub(crate) fn shared(&self) -> usize {
        self.segments.values().filter(|of| of.len() == EDGES).count()
    }
}

/// What a watching thread needs to know.
pub(crate) struct Addresses {
    edges: Vec<String>,
}

/// Watches all edges until it is told to stop.
pub(crate) struct Watching {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watching {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let addresses = Addresses { edges: (0..EDGES).map(|nth| cluster.edge(nth)).collect() };
        let (sees, stops) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stops.load(Ordering::Relaxed) {
                for rendition in RENDITIONS {
                    (0..EDGES).for_each(|edge| sees.lock().unwrap().look(&addresses, rendition, edge));
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// The last number listed anywhere.
    pub(crate) fn newest(&self) -> u64 {
        self.seen.lock().unwrap().last.values().map(|(_, last)| *last).max().unwrap_or(0)
    }

    /// Until so many more segments are listed at every edge, of every rendition.
    pub(crate) fn more(&self, cluster: &Cluster, segments: u64) {
        let until = self.newest() + segments;
        cluster.wait(&format!("{segments} more segments"), || {
            let seen = self.seen.lock().unwrap();
            let are_all = seen.last.len() == EDGES * RENDITIONS.len();
            (are_all && seen.last.values().all(|(_, last)| *last >= until)).then_some(())
        });
    }

    pub(crate) fn end(mut self, cluster: &Cluster) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let faults: Vec<String> = seen.faults.iter().cloned().chain(seen.differences()).collect();
        let differed: u64 = (0..EDGES).filter_map(|nth| differed(cluster, nth)).sum();
        if !faults.is_empty() || differed > 0 {
            cluster.show_logs();
            panic!("{differed} second copies differed; {}", faults.join("\n"));
        }
        seen
    }
}

/// Second copies whose hash was another one, at an edge.
pub(crate) fn differed(cluster: &Cluster, nth: usize) -> Option<u64> {
    let operator = cluster.edge(nth).replace(":8080", ":9090");
    let text = String::from_utf8(fetch(&operator, "/metrics")?).ok()?;
    let line = text.lines().find(|line| line.contains("differing") && !line.starts_with('#'))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|count| count as u64)
}
