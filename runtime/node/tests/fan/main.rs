//! Links between nodes over real sockets and real mutual TLS, on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

use bytes::Bytes;
use edgefan::{Address, EdgeFacts, EdgeState, Event, Load, NodeId, SourceId, Standing, TicketKey};
use media::*;
use node::certs::{CertificateSettings, Certificates, init};
use node::fan::control::{client, client::Told, peers, server, server::ControlEvent};
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

#[test]
fn balancers_hear_edges_and_edges_hear_balancers() {
    let cluster = Cluster::new();
    let key = |kid| TicketKey { kid, secret: [kid; 32] };
    let serve = |name: &str| {
        let settings = server::Settings {
            node: NodeId::parse(name).unwrap(),
            version: "test".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            ingests: vec![Address::parse("127.0.0.11:7001").unwrap()],
            keys: vec![key(1)],
        };
        let (sender, events) = channel();
        let tls = cluster.certificates.cluster_server_config().unwrap();
        (server::start(settings, tls, move |event| drop(sender.send(event))).unwrap(), events)
    };
    let ((first, at_first), (second, at_second)) = (serve("lb-1"), serve("lb-2"));

    let dial = |balancers| {
        let settings = client::Settings {
            node: NodeId::parse("edge-1").unwrap(),
            version: "test".into(),
            edge: EdgeFacts { http: "http://127.0.0.21:8080".into(), weight: 100, ..EdgeFacts::default() },
            balancers,
        };
        let (sender, told) = channel();
        let tls = cluster.certificates.cluster_client_config().unwrap();
        (client::start(settings, tls, move |said| drop(sender.send(said))).unwrap(), told)
    };
    let (edge, told) = dial(vec![first.address().into(), second.address().into()]);
    edge.load(Load { viewers: 5, state: EdgeState::Ready, ..Load::default() });
    edge.stream(stream());

    for events in [&at_first, &at_second] {
        wait(
            events,
            "HELLO",
            |event| matches!(event, ControlEvent::Joined(hello) if hello.node.as_str() == "edge-1"),
        );
        let facts = stream();
        let mut heard = [false; 2];
        wait(events, "stream facts and two loads", |event| {
            heard[0] |= matches!(&event, ControlEvent::Stream { facts: told, .. } if *told == facts);
            heard[1] |= matches!(event, ControlEvent::Load { load, .. } if load.viewers == 5);
            heard == [true; 2]
        });
    }
    wait(
        &told,
        "ingests",
        |said| matches!(said, Told::Welcome { welcome, .. } if welcome.ingests[0].as_str() == "127.0.0.11:7001"),
    );
    first.set_keys(vec![key(2), key(1)]);
    wait(&told, "the new keys", |said| matches!(said, Told::Keys { keys, .. } if keys == [key(2), key(1)]));
    second.set_standing(NodeId::parse("edge-1").unwrap(), Standing::Drain);
    wait(&told, "the drain", |said| matches!(said, Told::Standing { standing: Standing::Drain, .. }));

    // The load is the heartbeat: four a second.
    let began = Instant::now();
    for _ in 0..4 {
        wait(&at_first, "a heartbeat", |event| matches!(event, ControlEvent::Load { .. }));
    }
    assert!(began.elapsed() < Duration::from_secs(3));

    // An edge that dies leaves; one that comes back says everything again.
    edge.stop();
    wait(&at_first, "leaving", |event| matches!(event, ControlEvent::Left { .. }));
    let (edge, _told) = dial(vec![first.address().into()]);
    edge.stream(stream());
    wait(&at_first, "joining again", |event| matches!(event, ControlEvent::Joined(_)));
    wait(&at_first, "the facts again", |event| matches!(event, ControlEvent::Stream { .. }));
    edge.end(broadcast(), RunId(7));
    wait(&at_first, "the end", |event| matches!(event, ControlEvent::Ended { .. }));
}

fn wait<T: std::fmt::Debug>(events: &Receiver<T>, what: &str, mut is_it: impl FnMut(T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => {
                if is_it(event) {
                    return;
                }
            }
            Err(_) => panic!("{what} did not come"),
        }
    }
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

fn balancer(cluster: &Cluster, name: &str) -> (server::ControlServer, Receiver<ControlEvent>) {
    let settings = server::Settings {
        node: NodeId::parse(name).unwrap(),
        version: "test".into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        ingests: Vec::new(),
        keys: Vec::new(),
    };
    let (sender, events) = channel();
    let tls = cluster.certificates.cluster_server_config().unwrap();
    (server::start(settings, tls, move |event| drop(sender.send(event))).unwrap(), events)
}

/// A process of the same edge.
fn edge_dials(cluster: &Cluster, balancer: &server::ControlServer, http: &str) -> client::ControlClient {
    let settings = client::Settings {
        node: NodeId::parse("edge-1").unwrap(),
        version: "test".into(),
        edge: EdgeFacts { http: http.into(), ..EdgeFacts::default() },
        balancers: vec![balancer.address().into()],
    };
    let tls = cluster.certificates.cluster_client_config().unwrap();
    client::start(settings, tls, |_| {}).unwrap()
}

#[test]
fn of_two_processes_the_later_is_heard_once_it_is_ready_and_nobody_has_left() {
    let cluster = Cluster::new();
    let (balancer, events) = balancer(&cluster, "lb");
    let dial = |http: &str| edge_dials(&cluster, &balancer, http);
    let load = |viewers, state| Load { viewers, state, ..Load::default() };
    let former = dial("http://former");
    former.load(load(1, EdgeState::Ready));
    wait(
        &events,
        "the former's load",
        |event| matches!(event, ControlEvent::Load { load, .. } if load.viewers == 1),
    );
    let later = dial("http://later");
    later.stream(stream());
    later.load(load(2, EdgeState::NotFed));
    // The former goes on being heard, a second long, and the later is not.
    for _ in 0..4 {
        wait(&events, "the former", |event| match event {
            ControlEvent::Load { load, .. } => {
                assert_eq!(load.viewers, 1);
                true
            }
            event => panic!("{event:?}"),
        });
    }
    later.load(load(2, EdgeState::Ready));
    let mut said = Vec::new();
    wait(&events, "the later's word", |event| {
        let is_load = matches!(&event, ControlEvent::Load { load, .. } if load.viewers == 2);
        if !matches!(&event, ControlEvent::Load { load, .. } if load.viewers == 1) {
            said.push(event);
        }
        is_load
    });
    let [ControlEvent::Joined(hello), ControlEvent::Stream { .. }, ControlEvent::Load { .. }] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(hello.edge.as_ref().unwrap().http, "http://later");
    // The former serves on until it is relieved, and says so; it does not take the word back.
    for _ in 0..8 {
        wait(&events, "the later alone", |event| match event {
            ControlEvent::Load { load, .. } => {
                assert_eq!(load.viewers, 2);
                true
            }
            event => panic!("{event:?}"),
        });
    }
    // The former ends, and that is nobody's business; when the later ends, the edge has left.
    former.stop();
    wait(
        &events,
        "the later goes on",
        |event| matches!(event, ControlEvent::Load { load, .. } if load.viewers == 2),
    );
    later.stop();
    wait(&events, "leaving", |event| matches!(event, ControlEvent::Left { .. }));
}

/// The next process is heard and gives up before it relieves the one before it: that one is heard again, with all that it has
/// said.
#[test]
fn an_edge_that_falls_back_to_its_other_process_carries_what_that_carries() {
    let cluster = Cluster::new();
    let (balancer, events) = balancer(&cluster, "lb");
    let load = |viewers| Load { viewers, state: EdgeState::Ready, ..Load::default() };
    let is_of = |event: &ControlEvent, viewers| matches!(event, ControlEvent::Load { load, .. } if load.viewers == viewers);
    let former = edge_dials(&cluster, &balancer, "http://former");
    former.stream(stream());
    former.load(load(1));
    wait(&events, "the former", |event| is_of(&event, 1));
    let later = edge_dials(&cluster, &balancer, "http://later");
    later.load(load(2));
    wait(&events, "the later", |event| is_of(&event, 2));
    later.stop();
    let mut said = Vec::new();
    wait(&events, "the former's word again", |event| {
        let is_load = is_of(&event, 1);
        if !is_of(&event, 2) {
            said.push(event);
        }
        is_load
    });
    let [ControlEvent::Joined(hello), ControlEvent::Stream { facts, .. }, ControlEvent::Load { .. }] =
        &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(
        (&*hello.edge.as_ref().unwrap().http, &facts.broadcast),
        ("http://former", &stream().broadcast)
    );
}

#[test]
fn a_balancer_that_stands_aside_lets_go_of_the_others_until_it_is_its_turn() {
    let cluster = Cluster::new();
    let (other, events) = balancer(&cluster, "lb2");
    let peers = |is_aside| {
        let settings = peers::Settings {
            node: NodeId::parse("lb1").unwrap(),
            version: "test".into(),
            peers: vec![other.address().into()],
        };
        let tls = cluster.certificates.cluster_client_config().unwrap();
        peers::start(settings, tls, is_aside).unwrap()
    };
    let former = peers(false);
    wait(&events, "the former", |event| matches!(event, ControlEvent::PeerJoined(_)));
    // The next process dials only when it is told to: else each would end the other's link.
    let later = peers(true);
    assert!(events.recv_timeout(Duration::from_millis(300)).is_err(), "it waits for its turn");
    former.stand_aside(true);
    wait(&events, "the former's end", |event| matches!(event, ControlEvent::PeerLeft(_)));
    later.stand_aside(false);
    wait(&events, "the later", |event| matches!(event, ControlEvent::PeerJoined(_)));
    // One that gives up gives the links back.
    drop(later);
    wait(&events, "the later's end", |event| matches!(event, ControlEvent::PeerLeft(_)));
    former.stand_aside(false);
    wait(&events, "the former again", |event| matches!(event, ControlEvent::PeerJoined(_)));
}
