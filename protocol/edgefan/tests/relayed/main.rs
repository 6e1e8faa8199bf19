//! A fleet behind one layer of relays, under a seed: two ingests feed four relays, each of a hundred edges dials two of
//! them, and ten broadcasts are cut at the same instant.
//!
//! Every node has a port of 10 Gbit/s, each way, that all its connections share; a broadcast's ladder has 10 Mbit/s, a
//! segment 2 s. So that it runs beside other tests, bytes and rates are divided by `MASCARET_RELAYED_SCALE` (64; 1 is
//! the real thing and takes minutes): what takes time stays the same. `MASCARET_RELAYED_SEED` chooses another day.

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

mod fleet;
mod terms;

use edgefan::*;
use fleet::{EDGES, Fleet};
use std::time::{Duration, Instant};

/// Within this after the cut every edge has every segment.
const WITHIN_MS: u64 = 300;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn a_hundred_edges_have_ten_broadcasts_soon_after_the_cut() {
    let seed = number("MASCARET_RELAYED_SEED", 1);
    let mut fleet = Fleet::new(seed, number("MASCARET_RELAYED_SCALE", 64));
    fleet.lives(None);
    let (median, p99, worst) = fleet.after_the_cut();
    println!(
        "seed {seed}, {EDGES} edges: complete {median} ms after the cut (median), {p99} (p99), {worst} (worst)"
    );
    fleet.has_everything();
    assert!(worst <= WITHIN_MS, "seed {seed}: {worst} ms after the cut");
}

#[test]
fn a_relay_that_dies_in_mid_segment_is_not_missed() {
    let seed = number("MASCARET_RELAYED_SEED", 2);
    let mut fleet = Fleet::new(seed, number("MASCARET_RELAYED_SCALE", 64));
    fleet.lives(Some(0));
    let (median, p99, worst) = fleet.after_the_cut();
    println!(
        "seed {seed}, one relay killed: {median} ms after the cut (median), {p99} (p99), {worst} (worst)"
    );
    fleet.has_everything();
    assert!(worst <= WITHIN_MS, "seed {seed}: {worst} ms after the cut");
}

/// Says HELLO from one end and WELCOME from the other; why the link is over, if it is.
fn meet(publisher_at: Layer, subscriber_at: Layer) -> Option<String> {
    let now = epoch();
    let mut settings = PublisherSettings::new(NodeId::parse("one").unwrap());
    settings.layer = publisher_at;
    let mut publisher = Publisher::new(settings);
    let mut settings = SubscriberSettings::new(NodeId::parse("other").unwrap());
    (settings.layer, settings.media_connections) = (subscriber_at, 1);
    let mut subscriber = Subscriber::new(settings);
    subscriber.dialled(SourceId(0), 1, now);
    for lane in 0..2 {
        let (id, mut there, mut back) = (ConnectionId(lane), Vec::new(), Vec::new());
        publisher.accept(id, now);
        subscriber.transmit(SourceId(0), lane as usize, &mut there);
        publisher.received(id, &there, now);
        publisher.transmit(id, 1 << 16, &mut back);
        subscriber.received(SourceId(0), lane as usize, &back, now);
    }
    let closed = std::iter::from_fn(|| publisher.pull()).find_map(|event| match event {
        PublisherEvent::Close { why, .. } => Some(why),
        _ => None,
    });
    closed.or_else(|| {
        std::iter::from_fn(|| subscriber.pull_order()).find_map(|order| match order {
            SubscriberOrder::Close { why, .. } => Some(why),
            SubscriberOrder::Wake { .. } => None,
        })
    })
}

#[test]
fn nobody_feeds_who_might_feed_him() {
    assert_eq!(meet(Layer::INGEST, Layer(1)), None);
    assert_eq!(meet(Layer(1), Layer(2)), None);
    assert_eq!(meet(Layer(1), Layer::LAST), None);
    for (publisher, subscriber) in [(1, 1), (2, 1), (255, 255)] {
        let why = meet(Layer(publisher), Layer(subscriber)).expect("a link that could be a loop");
        assert!(why.contains("layer"), "{why}");
    }
}

/// Two processes of one node are linked side by side, a third ends the first, and one that dials anew its own former.
#[test]
fn an_edge_and_its_successor_are_both_fed() {
    let now = epoch();
    let mut publisher = Publisher::new(PublisherSettings::new(NodeId::parse("i").unwrap()));
    let mut next = 0;
    let mut joins = |publisher: &mut Publisher, process: u64, link: u64| {
        for connection in 0..2 {
            let hello = Hello {
                node: NodeId::parse("e").unwrap(),
                role: Role::Edge,
                version: String::new(),
                link,
                connection,
                media_connections: 1,
                edge: None,
                process,
                layer: Layer::LAST,
            };
            let id = ConnectionId(next);
            next += 1;
            publisher.accept(id, now + Duration::from_millis(next));
            publisher.received(id, &Message::Hello(hello).encode(), now + Duration::from_millis(next));
        }
        let events: Vec<PublisherEvent> = std::iter::from_fn(|| publisher.pull()).collect();
        let left = events.iter().filter(|event| matches!(event, PublisherEvent::LinkDown { .. })).count();
        (publisher.counters().links, left)
    };
    assert_eq!(joins(&mut publisher, 7, 1), (1, 0));
    assert_eq!(joins(&mut publisher, 8, 2), (2, 0), "its successor");
    assert_eq!(joins(&mut publisher, 8, 3), (2, 1), "which dialled anew");
    assert_eq!(joins(&mut publisher, 9, 4), (2, 1), "the successor's successor: the oldest goes");
    assert_eq!(joins(&mut publisher, 0, 5), (1, 2), "one that does not say which process it is");
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made from nothing; stories only add to it"
)]
fn epoch() -> Instant {
    Instant::now()
}
