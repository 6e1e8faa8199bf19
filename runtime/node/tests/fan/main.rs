//! Links between nodes over real sockets and real mutual TLS, on loopback: what edges hear of ingests, here; of balancers,
//! in [`control`].

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

mod control;

use bytes::Bytes;
use edgefan::{Address, Event, NodeId, SourceId};
use media::*;
use node::certs::{CertificateSettings, Certificates, init};
use node::fan::{publisher, subscriber};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// The certificates of one cluster.
struct Cluster {
    certificates: Certificates,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &[]).unwrap();
        let settings = CertificateSettings { directory: directory.path().into(), ..Default::default() };
        Self { certificates: Certificates::new(settings), _directory: directory }
    }

    fn publish(&self, listen: &str) -> (publisher::Feed, publisher::Publishing) {
        let settings = publisher::Settings {
            node: NodeId::parse("ingest").unwrap(),
            version: "test".into(),
            listen: listen.parse().unwrap(),
            hub_bytes: edgefan::limits::HUB_BYTES,
        };
        publisher::start(settings, self.certificates.cluster_server_config().unwrap()).unwrap()
    }

    fn subscribe(&self, name: &str, ingests: &[SocketAddr]) -> Edge {
        let settings = subscriber::Settings {
            node: NodeId::parse(name).unwrap(),
            version: "test".into(),
            ingests: ingests.iter().copied().map(Address::from).collect(),
            assembly_bytes: edgefan::limits::ASSEMBLY_BYTES,
        };
        let (sender, events) = channel();
        let tls = self.certificates.cluster_client_config().unwrap();
        let subscription = subscriber::start(settings, tls, move |event| drop(sender.send(event))).unwrap();
        Edge { subscription, events, seen: Seen::default() }
    }
}

struct Edge {
    subscription: subscriber::Subscription,
    events: Receiver<Event>,
    seen: Seen,
}

/// What an edge was told.
#[derive(Default)]
struct Seen {
    complete: BTreeMap<(String, u64), Bytes>,
    skipped: Vec<u64>,
    differs: usize,
    caught_up: usize,
    ended: usize,
    up: Vec<SourceId>,
    streams: usize,
}

impl Edge {
    /// Takes events until `is_enough`.
    fn until(&mut self, what: &str, is_enough: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => self.seen.take(event),
                Err(_) => panic!("{what} did not happen: {:?}", self.subscription.counters()),
            }
        }
    }

    fn has(&self, sequences: impl Iterator<Item = u64>) -> bool {
        has(&self.seen, sequences)
    }
}

fn has(seen: &Seen, mut sequences: impl Iterator<Item = u64>) -> bool {
    sequences.all(|sequence| {
        ["360p", "720p"]
            .iter()
            .all(|rendition| seen.complete.contains_key(&((*rendition).to_owned(), sequence)))
    })
}

impl Seen {
    fn take(&mut self, event: Event) {
        match event {
            Event::Complete { key, facts, body, .. } => {
                assert_eq!(facts.bytes, body.len() as u64);
                assert_eq!(body, body_of(&key), "{key} is not what was fed");
                let place = (key.rendition.to_string(), key.sequence.0);
                assert!(self.complete.insert(place, body).is_none(), "{key} came twice");
            }
            Event::Skipped { key, .. } => self.skipped.push(key.sequence.0),
            Event::Differs { .. } => self.differs += 1,
            Event::CaughtUp { .. } => self.caught_up += 1,
            Event::Ended { .. } => self.ended += 1,
            Event::LinkUp { source, .. } => self.up.push(source),
            Event::LinkDown { source, .. } => self.up.retain(|up| *up != source),
            Event::Stream(_) => self.streams += 1,
            Event::Ready { .. } | Event::Made { .. } | Event::Quarantined { .. } => {}
        }
    }
}

fn broadcast() -> BroadcastId {
    BroadcastId::parse("tidal").unwrap()
}

fn stream() -> StreamFacts {
    StreamFacts {
        broadcast: broadcast(),
        run: RunId(7),
        segment: MediaSpan::from_secs(2),
        window: 8,
        renditions: ["720p", "360p"]
            .map(|id| Rendition {
                id: RenditionId::parse(id).unwrap(),
                video: None,
                audio: None,
                peak: BitRate(0),
                average: BitRate(0),
            })
            .into(),
        has_ended: false,
    }
}

fn key(rendition: &str, sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: broadcast(),
        run: RunId(7),
        rendition: RenditionId::parse(rendition).unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

fn facts(key: &ObjectKey) -> SegmentFacts {
    let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
    SegmentFacts {
        sequence: key.sequence,
        run: key.run,
        start: grid.start_of(key.sequence),
        duration: grid.segment(),
        discontinuity: DiscontinuitySequence(0),
        bytes: 0,
        is_gap: false,
    }
}

/// The bytes everybody must have under this key: 300 to 700 kB.
fn body_of(key: &ObjectKey) -> Bytes {
    let seed = key.sequence.0.wrapping_mul(31)
        + key.rendition.as_str().len() as u64
        + u64::from(key.rendition.as_str().as_bytes()[0]);
    let len = 300_000 + (seed * 7919 % 400_000) as usize;
    (0..len).map(|at| (at as u64).wrapping_mul(seed | 1).to_le_bytes()[2]).collect::<Vec<u8>>().into()
}

/// Feeds one number of both renditions, in pieces.
fn feed(feed: &publisher::Feed, sequence: u64) {
    for rendition in ["720p", "360p"] {
        let key = key(rendition, sequence);
        let facts = facts(&key);
        feed.open(key.clone(), facts.start, facts.discontinuity);
        let body = body_of(&key);
        for from in (0..body.len()).step_by(50_000) {
            feed.bytes(key.clone(), body.slice(from..body.len().min(from + 50_000)));
        }
        feed.close(key, facts);
    }
}

#[test]
fn four_edges_have_everything_and_one_that_was_killed_catches_up() {
    let cluster = Cluster::new();
    let (line, publishing) = cluster.publish("127.0.0.1:0");
    let ingests = [publishing.address()];
    let mut edges: Vec<Edge> =
        (0..4).map(|index| cluster.subscribe(&format!("edge-{index}"), &ingests)).collect();
    line.stream(stream());
    for sequence in 100..103 {
        feed(&line, sequence);
    }
    for edge in &mut edges {
        edge.until("the first three", |seen| has(seen, 100..103) && seen.caught_up > 0);
    }

    let killed = edges.pop().unwrap();
    killed.subscription.stop();
    drop(killed);
    for sequence in 103..107 {
        feed(&line, sequence);
    }
    for edge in &mut edges {
        edge.until("the next four", |seen| has(seen, 100..107));
    }

    // A new process under the old name has nothing: the newest three, then backfill, then it is caught up.
    let mut risen = cluster.subscribe("edge-3", &ingests);
    risen.until("all of the window", |seen| seen.caught_up > 0);
    assert!(risen.has(100..107), "caught up without the whole window");
    feed(&line, 107);
    line.end(broadcast(), RunId(7));
    for edge in edges.iter_mut().chain([&mut risen]) {
        edge.until("the end", |seen| seen.ended == 1 && has(seen, 100..108));
        assert!(edge.seen.skipped.is_empty() && edge.seen.differs == 0);
    }
    assert_eq!(publishing.counters().late, 0);
}

#[test]
fn an_edge_with_two_ingests_has_each_object_once_and_does_not_notice_that_one_dies() {
    let cluster = Cluster::new();
    let (first, first_publishing) = cluster.publish("127.0.0.1:0");
    let (second, second_publishing) = cluster.publish("127.0.0.1:0");
    let mut edge = cluster.subscribe("edge", &[first_publishing.address(), second_publishing.address()]);
    edge.until("both links", |seen| seen.up.len() == 2);
    for line in [&first, &second] {
        line.stream(stream());
    }
    for sequence in 100..104 {
        std::thread::scope(|scope| {
            scope.spawn(|| feed(&first, sequence));
            scope.spawn(|| feed(&second, sequence));
        });
        // One after the other, as they are made: in a burst the newest goes first, and what is behind it may be taken
        // for a hole by who hears from one of the two only then.
        edge.until("this number", |seen| has(seen, 100..=sequence));
    }

    // The first dies in the middle of a segment; what the second makes is all the same.
    let half = key("720p", 104);
    first.open(half.clone(), facts(&half).start, DiscontinuitySequence(0));
    first.bytes(half.clone(), body_of(&half).slice(..200_000));
    first_publishing.stop();
    for sequence in 104..108 {
        feed(&second, sequence);
    }
    edge.until("four more", |seen| has(seen, 100..108) && seen.up.len() == 1);
    assert!(edge.seen.skipped.is_empty() && edge.seen.differs == 0);
    let counters = edge.subscription.counters();
    assert!(counters.corrupt == 0 && counters.differed == 0, "{counters:?}");

    // The list may change while it runs: a third ingest with the same content is joined, the second let go.
    let (third, third_publishing) = cluster.publish("127.0.0.1:0");
    third.stream(stream());
    feed(&third, 108);
    edge.subscription.set_ingests(vec![third_publishing.address().into()]);
    edge.until("the third ingest's", |seen| has(seen, 100..109));
}

#[test]
fn who_shows_no_certificate_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (line, publishing) = ours.publish("127.0.0.1:0");
    line.stream(stream());

    // A node of another CA.
    let stranger = theirs.subscribe("edge", &[publishing.address()]);
    // Somebody who trusts our CA but has nothing to show.
    let ca = std::fs::read(ours.certificates.ca_path()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pki_types::pem::PemObject::pem_slice_iter(&ca) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut bare = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    bare.alpn_protocols = vec![b"edgefan/1".to_vec()];
    let settings = subscriber::Settings {
        node: NodeId::parse("bare").unwrap(),
        version: String::new(),
        ingests: vec![publishing.address().into()],
        assembly_bytes: 1 << 20,
    };
    let (sender, events) = channel();
    let _bare = subscriber::start(settings, bare.into(), move |event| drop(sender.send(event))).unwrap();

    let mut member = ours.subscribe("member", &[publishing.address()]);
    member.until("a member's link", |seen| seen.streams == 1);
    assert!(stranger.events.recv_timeout(Duration::from_millis(700)).is_err());
    assert!(events.try_recv().is_err());
    assert_eq!(publishing.counters().links, 1);
}

/// Certificates of this cluster with a leaf that is good for this node only.
fn named(cluster: &Cluster, node: &str) -> Certificates {
    let directory = cluster.certificates.ca_path().parent().unwrap().to_path_buf();
    node::certs::init_nodes(&directory, &[NodeId::parse(node).unwrap()]).unwrap();
    let leaf = |ending: &str| Some(directory.join(format!("node-{node}.{ending}")));
    let (cluster_chain, cluster_key) = (leaf("pem"), leaf("key"));
    Certificates::new(CertificateSettings { directory, cluster_chain, cluster_key, ..Default::default() })
}

#[test]
fn a_node_is_who_its_certificate_names() {
    let cluster = Cluster::new();
    let (line, publishing) = cluster.publish("127.0.0.1:0");
    line.stream(stream());
    let leaf = named(&cluster, "edge-1");
    let subscribe = |name: &str| {
        let settings = subscriber::Settings {
            node: NodeId::parse(name).unwrap(),
            version: "test".into(),
            ingests: vec![publishing.address().into()],
            assembly_bytes: 1 << 20,
        };
        let (sender, events) = channel();
        let tls = leaf.cluster_client_config().unwrap();
        let subscription = subscriber::start(settings, tls, move |event| drop(sender.send(event))).unwrap();
        Edge { subscription, events, seen: Seen::default() }
    };
    let stranger = subscribe("edge-2");
    let mut own = subscribe("edge-1");
    own.until("its own link", |seen| seen.streams == 1);
    assert!(stranger.events.recv_timeout(Duration::from_millis(500)).is_err(), "it is not edge-2");
    assert_eq!(publishing.counters().links, 1);

    // Who is dialled is checked too: this leaf is no ingest's.
    let settings = publisher::Settings {
        node: NodeId::parse("ingest").unwrap(),
        version: "test".into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        hub_bytes: 1 << 20,
    };
    let (false_line, false_publishing) =
        publisher::start(settings, leaf.cluster_server_config().unwrap()).unwrap();
    false_line.stream(stream());
    let edge = cluster.subscribe("edge-3", &[false_publishing.address()]);
    assert!(edge.events.recv_timeout(Duration::from_millis(500)).is_err());
}

#[test]
fn the_clock_at_a_links_other_end_is_compared() {
    let cluster = Cluster::new();
    let (line, publishing) = cluster.publish("127.0.0.1:0");
    line.stream(stream());
    let mut edge = cluster.subscribe("edge", &[publishing.address()]);
    edge.until("the link", |seen| seen.up.len() == 1);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let clocks = edge.subscription.counters().clocks;
        if let [clock] = &clocks[..]
            && let Some(offset) = clock.offset_us
        {
            // One machine has one clock; the rest is how late a busy one looks at it.
            assert!(offset.abs() < 5_000_000 && clock.node.as_str() == "ingest", "{clock:?}");
            break;
        }
        assert!(Instant::now() < deadline, "{clocks:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
