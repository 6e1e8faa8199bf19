//! How long the fan-out adds and how much it carries, on loopback, over mutual TLS. Figures, not a test:
//! `cargo test --release -p node --test fan_measure -- --ignored --nocapture`

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

use bytes::Bytes;
use edgefan::{Address, Event, NodeId};
use media::*;
use node::certs::{CertificateSettings, Certificates, init};
use node::fan::{publisher, subscriber};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SEGMENT_BYTES: usize = 1 << 20;

fn key(sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: BroadcastId::parse("b").unwrap(),
        run: RunId(1),
        rendition: RenditionId::parse("720p").unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

fn facts(sequence: u64) -> SegmentFacts {
    let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
    SegmentFacts {
        sequence: MediaSequence(sequence),
        run: RunId(1),
        start: grid.start_of(MediaSequence(sequence)),
        duration: grid.segment(),
        discontinuity: DiscontinuitySequence(0),
        bytes: 0,
        is_gap: false,
    }
}

/// An ingest, `count` edges that have caught up, and what they say.
struct Bench {
    feed: publisher::Feed,
    publishing: publisher::Publishing,
    _edges: Vec<subscriber::Subscription>,
    completed: Receiver<(MediaSequence, Instant)>,
    count: usize,
}

impl Bench {
    fn new(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &[]).unwrap();
        let certificates = Certificates::new(CertificateSettings {
            directory: directory.path().into(),
            ..Default::default()
        });
        let settings = publisher::Settings {
            node: NodeId::parse("i").unwrap(),
            version: String::new(),
            listen: "127.0.0.1:0".parse().unwrap(),
            hub_bytes: edgefan::limits::HUB_BYTES,
        };
        let (feed, publishing) =
            publisher::start(settings, certificates.cluster_server_config().unwrap()).unwrap();
        feed.stream(StreamFacts {
            broadcast: key(0).broadcast,
            run: RunId(1),
            segment: MediaSpan::from_secs(2),
            window: 8,
            renditions: Vec::new(),
            has_ended: false,
        });
        let (sender, completed) = channel();
        let (ready, is_ready) = channel();
        let edge = |index| {
            let settings = subscriber::Settings {
                node: NodeId::parse(&format!("e{index}")).unwrap(),
                version: String::new(),
                ingests: vec![Address::from(publishing.address())],
                assembly_bytes: edgefan::limits::ASSEMBLY_BYTES,
            };
            let (sender, ready) = (sender.clone(), ready.clone());
            let hear = move |event| match event {
                Event::Complete { key, .. } => drop(sender.send((key.sequence, Instant::now()))),
                Event::CaughtUp { .. } => drop(ready.send(())),
                // Only of a feed that outruns the link for a whole window; counted as late.
                Event::Skipped { key, .. } => drop(sender.send((key.sequence, Instant::now()))),
                _ => {}
            };
            subscriber::start(settings, certificates.cluster_client_config().unwrap(), hear).unwrap()
        };
        let edges = (0..count).map(edge).collect();
        for _ in 0..count {
            is_ready.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        Self { feed, publishing, _edges: edges, completed, count }
    }

    fn begin(&self, sequence: u64) {
        self.feed.open(key(sequence), facts(sequence).start, DiscontinuitySequence(0));
    }

    fn end(&self, sequence: u64) {
        self.feed.close(key(sequence), facts(sequence));
    }
}

fn body() -> Bytes {
    (0..SEGMENT_BYTES).map(|at| (at * 31 / 7) as u8).collect::<Vec<u8>>().into()
}

#[test]
#[ignore = "measures; nothing can fail"]
fn from_close_to_complete() {
    let body = body();
    for count in [1, 4] {
        let bench = Bench::new(count);
        let mut took = Vec::new();
        for sequence in 1000..1080 {
            bench.begin(sequence);
            // As a transcoder would: in pieces, over 100 ms.
            for piece in 0..16 {
                let at = piece * SEGMENT_BYTES / 16;
                bench.feed.bytes(key(sequence), body.slice(at..at + SEGMENT_BYTES / 16));
                std::thread::sleep(Duration::from_millis(6));
            }
            let closed = Instant::now();
            bench.end(sequence);
            for _ in 0..count {
                let (_, at) = bench.completed.recv_timeout(Duration::from_secs(5)).unwrap();
                took.push(at - closed);
            }
        }
        took.sort();
        let at = |share: f64| took[(took.len() as f64 * share) as usize];
        println!(
            "CLOSE to Complete, {count} edge(s), 1 MiB in 100 ms: p50 {:?}, p99 {:?}, max {:?}",
            at(0.5),
            at(0.99),
            took[took.len() - 1]
        );
    }
}

#[test]
#[ignore = "measures; nothing can fail"]
fn as_much_as_it_carries() {
    let body = body();
    for count in [1, 4] {
        let bench = Bench::new(count);
        let (first, last) = (1000_u64, 1000 + 800 / count as u64);
        let began = Instant::now();
        let mut missing: BTreeMap<u64, usize> = BTreeMap::new();
        for sequence in first..last {
            // The oldest on the way is never more than four behind, or the window would leave it.
            while missing.keys().min().is_some_and(|oldest| oldest + 4 <= sequence) {
                let (sequence, _) = bench.completed.recv_timeout(Duration::from_secs(10)).unwrap();
                let left = missing.entry(sequence.0).or_default();
                *left -= 1;
                if *left == 0 {
                    missing.remove(&sequence.0);
                }
            }
            bench.begin(sequence);
            for at in (0..SEGMENT_BYTES).step_by(64 * 1024) {
                bench.feed.bytes(key(sequence), body.slice(at..at + 64 * 1024));
            }
            bench.end(sequence);
            missing.insert(sequence, bench.count);
        }
        let sent = (last - first) as f64 * SEGMENT_BYTES as f64 * count as f64;
        assert_eq!(bench.publishing.counters().late, 0, "the figure would count what was not carried");
        let rate = sent * 8.0 / began.elapsed().as_secs_f64() / 1e9;
        println!("{count} edge(s): {rate:.2} Gbit/s in all");
    }
}
