//! Thousands come at once to four unequal edges. Everything follows from the seed.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]
#![allow(clippy::disallowed_methods, reason = "a simulation needs some instant to begin at")]

use media::{BitRate, BroadcastId, MediaSpan, Rendition, RenditionId, RunId, StreamFacts};
use routing::{Ask, Decision, Declared, Heard, Load, Router, State};
use std::time::{Duration, Instant};
use ticket::EdgeId;

/// Mbit/s.
const CAPACITIES: [u64; 4] = [1000, 1000, 2000, 500];
const RATE: u64 = 1_000_000;
const STEP: Duration = Duration::from_millis(10);

/// One viewer: where it was sent, and when it will begin to load from there.
struct Viewer {
    edge: usize,
    begins: Instant,
}

struct Outcome {
    /// Viewers by edge.
    sent: [u64; 4],
    refused: u64,
    /// The most that was ever promised by one edge, of its capacity.
    fullest: f64,
    /// Where each viewer went, in order.
    log: Vec<usize>,
}

/// `viewers` come evenly over `crowd`, those refused are gone; then it goes on for 15 s.
fn play(seed: u64, viewers: u64, crowd: Duration, slowest: Duration) -> Outcome {
    let ids = [0, 1, 2, 3].map(|n| EdgeId::parse(&format!("edge{n}")).unwrap());
    let mut router = Router::new();
    let start = Instant::now();
    for (id, capacity) in ids.iter().zip(CAPACITIES) {
        let declared = Declared { id: id.clone(), capacity: BitRate(capacity * 1_000_000), weight: 100 };
        router.push(start, Heard::Joined(declared)).unwrap();
        router.push(start, Heard::Stream(id.clone(), tide())).unwrap();
    }
    let mut random = seed;
    let mut outcome = Outcome { sent: [0; 4], refused: 0, fullest: 0.0, log: Vec::new() };
    let mut all: Vec<Viewer> = Vec::new();
    let mut averaged = [0.0_f64; 4];
    let mut asked = 0;
    for step in 0.. {
        let now = start + STEP * step;
        if now > start + crowd + Duration::from_secs(15) {
            break;
        }
        // An edge measures with a time constant of half a second, and tells every 250 ms.
        for (edge, averaged) in averaged.iter_mut().enumerate() {
            let begun = all.iter().filter(|viewer| viewer.edge == edge && viewer.begins <= now).count();
            *averaged += ((begun as u64 * RATE) as f64 - *averaged) * 0.02;
            if step % 25 == edge as u32 * 6 {
                let load = Load {
                    egress: BitRate(*averaged as u64),
                    viewers: begun as u32,
                    newest_segment_age: None,
                    lag: None,
                    state: State::Ready,
                };
                router.push(now, Heard::Load(ids[edge].clone(), load)).unwrap();
                while router.pull().is_some() {}
            }
        }
        let due =
            (viewers as f64 * (STEP * step).as_secs_f64() / crowd.as_secs_f64()).min(viewers as f64) as u64;
        while asked < due {
            asked += 1;
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match router.decide(now, Ask { broadcast: "tide", last: None, random }) {
                Decision::Go { edge, .. } => {
                    let edge = ids.iter().position(|id| *id == edge).unwrap();
                    let late = slowest.mul_f64((random >> 40) as f64 / (1 << 24) as f64);
                    all.push(Viewer { edge, begins: now + late });
                    outcome.sent[edge] += 1;
                    outcome.log.push(edge);
                }
                Decision::Full { .. } => outcome.refused += 1,
                other => panic!("{other:?}"),
            }
        }
        for (edge, capacity) in CAPACITIES.into_iter().enumerate() {
            let promised = (outcome.sent[edge] * RATE) as f64 / (capacity * 1_000_000) as f64;
            outcome.fullest = outcome.fullest.max(promised);
        }
    }
    outcome
}

fn tide() -> StreamFacts {
    let rendition = Rendition {
        id: RenditionId::parse("source").unwrap(),
        video: None,
        audio: None,
        peak: BitRate(RATE),
        average: BitRate(RATE),
    };
    StreamFacts {
        broadcast: BroadcastId::parse("tide").unwrap(),
        run: RunId(1),
        segment: MediaSpan::from_secs(2),
        window: 6,
        renditions: vec![rendition],
        has_ended: false,
    }
}

/// 6,000 ask for the 4,050 places of four edges: no edge is ever promised more than it has, and nearly every
/// place is taken.
#[test]
fn a_crowd_too_large_fills_every_edge_and_overfills_none() {
    for seed in 0..10 {
        for (crowd, slowest) in [(1, 1), (1, 4), (5, 3), (12, 2)] {
            let outcome = play(seed, 6000, Duration::from_secs(crowd), Duration::from_secs(slowest));
            let story = format!("seed {seed}, over {crowd} s, slowest {slowest} s: {:?}", outcome.sent);
            assert!(outcome.fullest <= 1.0, "{story}: {:.3} of an edge's capacity", outcome.fullest);
            let sent: u64 = outcome.sent.iter().sum();
            assert!(sent >= 3600, "{story}: only {sent} were let in");
            assert_eq!(sent + outcome.refused, 6000);
        }
    }
}

/// 2,000 are less than half of the places: each edge gets its share by capacity.
#[test]
fn a_crowd_that_fits_is_spread_by_capacity() {
    for seed in 0..10 {
        let outcome = play(seed, 2000, Duration::from_secs(3), Duration::from_secs(3));
        assert_eq!(outcome.refused, 0);
        for (sent, capacity) in outcome.sent.into_iter().zip(CAPACITIES) {
            let fair = 2000.0 * capacity as f64 / 4500.0;
            let off = (sent as f64 / fair - 1.0).abs();
            assert!(off < 0.04, "seed {seed}: {sent} where {fair:.0} were fair");
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let play = |seed| play(seed, 3000, Duration::from_secs(2), Duration::from_secs(2)).log;
    assert_eq!(play(7), play(7));
    assert_ne!(play(7), play(8));
}

/// 3,700 for 4,050 places: who has come already is in the egress, and is not reckoned as still on his way besides.
#[test]
fn a_crowd_that_fits_is_let_in_to_the_last_though_it_comes_at_once() {
    for seed in 0..3 {
        for (viewers, crowd, slowest) in
            [(3400, 1, 1), (3400, 3, 1), (3700, 3, 1), (3700, 5, 1), (3700, 12, 2)]
        {
            let outcome = play(seed, viewers, Duration::from_secs(crowd), Duration::from_secs(slowest));
            let story = format!("seed {seed}, {viewers} over {crowd} s, slowest {slowest} s");
            assert_eq!(outcome.refused, 0, "{story}");
            assert!(outcome.fullest <= 1.0, "{story}: {:.3} of an edge's capacity", outcome.fullest);
        }
    }
}
