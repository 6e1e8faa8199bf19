//! The fleet: nodes with a port each, links between them, and what is fed when.

use bytes::Bytes;
use edgefan::*;
use media::*;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) const EDGES: usize = 100;
const INGESTS: usize = 2;
const RELAYS: usize = 4;
const BROADCASTS: usize = 10;
const SEGMENT_MS: u64 = 2_000;
const SEGMENTS: u64 = 3;
const FIRST: u64 = 1_000;
/// Bytes of a segment of 2 s, by rendition: a ladder of 10 Mbit/s.
const RENDITIONS: [(&str, usize); 2] = [("hi", 1_875_000), ("lo", 625_000)];
/// A picture's worth of a segment is made at a time.
const PIECE_MS: u64 = 40;
/// 10 Gbit/s, in bytes a millisecond.
const PORT_RATE: u64 = 1_250_000;
/// What a connection may hand to its port in one turn, as TCP_NOTSENT_LOWAT has it.
const TURN_BYTES: u64 = 128 << 10;
/// The fleet has this long to link up before the first segment, and to settle after the last.
const MARGIN_MS: u64 = 500;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }
}

struct Node {
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    relay: Relay,
    /// When its port is free again, in microseconds: what it sends, and what it receives.
    sends_until: u64,
    receives_until: u64,
    /// (link, lane, is it the publisher's side), in turns.
    lanes: VecDeque<(usize, usize, bool)>,
    complete: HashMap<ObjectKey, u64>,
    skipped: usize,
    is_dead: bool,
}

struct Link {
    from: usize,
    to: usize,
    source: SourceId,
    latency_us: u64,
    lanes: Vec<Lane>,
}

struct Lane {
    id: ConnectionId,
    /// What flies to the subscriber, and back: when it is there, and what.
    down: VecDeque<(u64, Vec<u8>)>,
    up: VecDeque<(u64, Vec<u8>)>,
    has_down: bool,
    has_up: bool,
}

enum Fed {
    Open(ObjectKey),
    Bytes(ObjectKey, Bytes),
    Close(ObjectKey),
}

pub(crate) struct Fleet {
    began: Instant,
    now: u64,
    scale: u64,
    nodes: Vec<Node>,
    links: Vec<Link>,
    lines: Vec<VecDeque<(u64, Fed)>>,
    dies_at: u64,
}

fn key(of: usize, rendition: &str, sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: BroadcastId::parse(&format!("b{of}")).unwrap(),
        run: RunId(1),
        rendition: RenditionId::parse(rendition).unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

fn keys() -> impl Iterator<Item = (ObjectKey, usize)> {
    (FIRST..FIRST + SEGMENTS).flat_map(|sequence| {
        (0..BROADCASTS)
            .flat_map(move |of| RENDITIONS.map(|(rendition, len)| (key(of, rendition, sequence), len)))
    })
}

fn facts(key: &ObjectKey) -> SegmentFacts {
    let grid = Grid::new(MediaSpan::from_millis(SEGMENT_MS)).unwrap();
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

/// When this number is cut, in milliseconds of the day.
fn cut(sequence: u64) -> u64 {
    MARGIN_MS + (sequence - FIRST + 1) * SEGMENT_MS
}

impl Node {
    fn new(publisher: Option<Publisher>, subscriber: Option<Subscriber>) -> Self {
        Self {
            publisher,
            subscriber,
            relay: Relay::new(),
            sends_until: 0,
            receives_until: 0,
            lanes: VecDeque::new(),
            complete: HashMap::new(),
            skipped: 0,
            is_dead: false,
        }
    }
}

fn publisher(name: &str, layer: Layer) -> Publisher {
    let mut settings = PublisherSettings::new(NodeId::parse(name).unwrap());
    (settings.layer, settings.makes_gaps) = (layer, layer == Layer::INGEST);
    let mut publisher = Publisher::new(settings);
    for of in 0..if layer == Layer::INGEST { BROADCASTS } else { 0 } {
        publisher.stream(StreamFacts {
            broadcast: key(of, "hi", 0).broadcast,
            run: RunId(1),
            segment: MediaSpan::from_millis(SEGMENT_MS),
            window: 6,
            renditions: Vec::new(),
            has_ended: false,
        });
    }
    publisher
}

fn subscriber(name: &str, layer: Layer) -> Subscriber {
    let mut settings = SubscriberSettings::new(NodeId::parse(name).unwrap());
    (settings.layer, settings.relays) = (layer, layer != Layer::LAST);
    Subscriber::new(settings)
}

impl Fleet {
    pub(crate) fn new(seed: u64, scale: u64) -> Self {
        let mut random = Random(seed);
        let mut nodes = Vec::new();
        for nth in 0..INGESTS {
            nodes.push(Node::new(Some(publisher(&format!("ingest{nth}"), Layer::INGEST)), None));
        }
        for nth in 0..RELAYS {
            let name = format!("relay{nth}");
            nodes.push(Node::new(Some(publisher(&name, Layer(1))), Some(subscriber(&name, Layer(1)))));
        }
        for nth in 0..EDGES {
            nodes.push(Node::new(None, Some(subscriber(&format!("edge{nth}"), Layer::LAST))));
        }
        // One ingest may be behind the other, as encoders are.
        let behind = random.within(0, 120);
        let lines = (0..INGESTS as u64).map(|nth| line(nth * behind, scale)).collect();
        let dies_at = cut(FIRST + 1) + random.within(200, SEGMENT_MS - 200);
        let mut fleet =
            Self { began: super::epoch(), now: 0, scale, nodes, links: Vec::new(), lines, dies_at };
        for relay in INGESTS..INGESTS + RELAYS {
            (0..INGESTS).for_each(|ingest| fleet.dial(ingest, relay, ingest as u32, &mut random));
        }
        for edge in 0..EDGES {
            let first = edge % RELAYS;
            let second = (first + 1 + edge / RELAYS % (RELAYS - 1)) % RELAYS;
            for (source, relay) in [first, second].into_iter().enumerate() {
                fleet.dial(INGESTS + relay, INGESTS + RELAYS + edge, source as u32, &mut random);
            }
        }
        fleet
    }

    fn dial(&mut self, from: usize, to: usize, source: u32, random: &mut Random) {
        let (link, now) = (self.links.len(), self.clock());
        let count = self.nodes[to].subscriber.as_ref().unwrap().connections();
        let mut lanes = Vec::new();
        for lane in 0..count {
            let id = ConnectionId((link * 8 + lane) as u64);
            self.nodes[from].publisher.as_mut().unwrap().accept(id, now);
            self.nodes[from].lanes.push_back((link, lane, true));
            self.nodes[to].lanes.push_back((link, lane, false));
            let (down, up) = (VecDeque::new(), VecDeque::new());
            lanes.push(Lane { id, down, up, has_down: false, has_up: false });
        }
        let source = SourceId(source);
        self.nodes[to].subscriber.as_mut().unwrap().dialled(source, link as u64 + 1, now);
        self.links.push(Link { from, to, source, latency_us: random.within(100, 1_500), lanes });
    }

    fn clock(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    /// The whole day; in the third segment this relay dies, if one is named.
    pub(crate) fn lives(&mut self, dying: Option<usize>) {
        while self.now < cut(FIRST + SEGMENTS - 1) + MARGIN_MS {
            self.now += 1;
            if let Some(relay) = dying.filter(|_| self.now == self.dies_at) {
                self.kill(INGESTS + relay);
            }
            self.feed();
            if self.now.is_multiple_of(25) {
                let now = self.clock();
                for node in self.nodes.iter_mut().filter(|node| !node.is_dead) {
                    node.relay.tick(now);
                    node.publisher.iter_mut().for_each(|it| it.tick(now));
                    node.subscriber.iter_mut().for_each(|it| it.tick(now));
                }
            }
            (0..self.nodes.len()).for_each(|node| self.listen(node));
            (0..self.nodes.len()).for_each(|node| self.send(node));
            self.arrive();
        }
    }

    fn kill(&mut self, relay: usize) {
        let now = self.clock();
        self.nodes[relay].is_dead = true;
        for link in self.links.iter_mut().filter(|link| link.from == relay || link.to == relay) {
            for lane in &mut link.lanes {
                (lane.down, lane.up) = (VecDeque::new(), VecDeque::new());
                if link.to == relay {
                    self.nodes[link.from].publisher.as_mut().unwrap().lost(lane.id, "killed");
                }
            }
            if link.from == relay {
                self.nodes[link.to].subscriber.as_mut().unwrap().lost(link.source, "killed", now);
            }
        }
    }

    fn feed(&mut self) {
        let now = self.clock();
        for (nth, line) in self.lines.iter_mut().enumerate() {
            let publisher = self.nodes[nth].publisher.as_mut().unwrap();
            while line.front().is_some_and(|(at, _)| *at <= self.now) {
                match line.pop_front().unwrap().1 {
                    Fed::Open(key) => publisher.open(&key, facts(&key).start, DiscontinuitySequence(0)),
                    Fed::Bytes(key, bytes) => publisher.bytes(&key, bytes),
                    Fed::Close(key) => publisher.close(&key, &facts(&key), now),
                }
            }
        }
    }

    /// What the rooms of a node have to say to each other, and to their links.
    fn listen(&mut self, index: usize) {
        let now = self.clock();
        let node = &mut self.nodes[index];
        if node.is_dead {
            return;
        }
        if let Some(subscriber) = &mut node.subscriber {
            while let Some(forward) = subscriber.pull_forward() {
                node.relay.forward(forward);
            }
            while let Some(event) = subscriber.pull() {
                match &event {
                    Event::Complete { key, .. } => drop(node.complete.insert(key.clone(), self.now)),
                    Event::Skipped { .. } => node.skipped += 1,
                    Event::Differs { key, .. } => panic!("{key} differs"),
                    _ => {}
                }
                if node.publisher.is_some() {
                    node.relay.push(&event, now);
                }
            }
            while let Some(order) = subscriber.pull_order() {
                match order {
                    SubscriberOrder::Wake { source, connection } => {
                        let of = |link: &&mut Link| link.to == index && link.source == source;
                        let link = self.links.iter_mut().find(of).unwrap();
                        link.lanes[connection].has_up = true;
                    }
                    SubscriberOrder::Close { why, .. } => panic!("node {index} ends a link: {why}"),
                }
            }
        }
        if let Some(publisher) = &mut node.publisher {
            while let Some(relayed) = node.relay.pull() {
                match relayed {
                    Relayed::Stream(facts) => publisher.stream(facts),
                    Relayed::Lane(lane) => publisher.lane(lane),
                    Relayed::Open(key, start, discontinuity) => publisher.open(&key, start, discontinuity),
                    Relayed::Bytes(key, bytes) => publisher.bytes(&key, bytes),
                    Relayed::Close(key, facts, made) => {
                        publisher.close(&key, &facts, made.unwrap_or(now));
                    }
                    Relayed::Skip(key, facts) => publisher.skip(&key, facts),
                    Relayed::End(broadcast, run) => publisher.end(&broadcast, run, now),
                }
            }
            while let Some(event) = publisher.pull() {
                match event {
                    PublisherEvent::Wake(ConnectionId(id)) => {
                        self.links[id as usize / 8].lanes[id as usize % 8].has_down = true;
                    }
                    PublisherEvent::Close { connection, why } if why != "killed" => {
                        panic!("node {index} closes {connection:?}: {why}")
                    }
                    _ => {}
                }
            }
        }
    }

    /// Fills a node's port for the next millisecond, connection by connection in turns.
    fn send(&mut self, index: usize) {
        let (until, rate) = ((self.now + 1) * 1000, PORT_RATE / self.scale);
        let turn_bytes = (TURN_BYTES / self.scale).max(4 << 10) as usize;
        let node = &mut self.nodes[index];
        let mut idle = 0;
        while !node.is_dead && node.sends_until < until && idle < node.lanes.len() {
            let Some((link, lane, is_down)) = node.lanes.pop_front() else { return };
            node.lanes.push_back((link, lane, is_down));
            let (link, mut out) = (&mut self.links[link], Vec::new());
            let (source, latency, lane_of) = (link.source, link.latency_us, &mut link.lanes[lane]);
            match is_down {
                true if lane_of.has_down => {
                    node.publisher.as_mut().unwrap().transmit(lane_of.id, turn_bytes, &mut out);
                }
                false if lane_of.has_up => node.subscriber.as_mut().unwrap().transmit(source, lane, &mut out),
                _ => {}
            }
            if out.is_empty() {
                if is_down {
                    lane_of.has_down = false
                } else {
                    lane_of.has_up = false
                }
                idle += 1;
                continue;
            }
            idle = 0;
            node.sends_until = node.sends_until.max(self.now * 1000) + out.len() as u64 * 1000 / rate;
            let there = node.sends_until + latency;
            if is_down { lane_of.down.push_back((there, out)) } else { lane_of.up.push_back((there, out)) }
        }
    }

    /// What has reached the other end's port, and fits through it.
    fn arrive(&mut self) {
        let (now, until, rate) = (self.clock(), self.now * 1000, PORT_RATE / self.scale);
        for link in &mut self.links {
            for (index, lane) in link.lanes.iter_mut().enumerate() {
                let to = &mut self.nodes[link.to];
                while !to.is_dead
                    && lane.down.front().is_some_and(|(at, _)| *at.max(&to.receives_until) <= until)
                {
                    let (at, bytes) = lane.down.pop_front().unwrap();
                    to.receives_until = to.receives_until.max(at) + bytes.len() as u64 * 1000 / rate;
                    to.subscriber.as_mut().unwrap().received(link.source, index, &bytes, now);
                }
                let from = &mut self.nodes[link.from];
                while !from.is_dead && lane.up.front().is_some_and(|(at, _)| *at <= until) {
                    let (_, bytes) = lane.up.pop_front().unwrap();
                    from.publisher.as_mut().unwrap().received(lane.id, &bytes, now);
                }
            }
        }
    }

    fn edges(&self) -> &[Node] {
        &self.nodes[INGESTS + RELAYS..]
    }

    /// Milliseconds from the cut to complete, over all segments and edges: median, 99th percentile, worst.
    pub(crate) fn after_the_cut(&self) -> (u64, u64, u64) {
        let waits = self
            .edges()
            .iter()
            .flat_map(|edge| edge.complete.iter().map(|(key, at)| at.saturating_sub(cut(key.sequence.0))));
        let mut waits: Vec<u64> = waits.collect();
        waits.sort_unstable();
        (waits[waits.len() / 2], waits[waits.len() * 99 / 100], waits[waits.len() - 1])
    }

    /// Every edge has every segment, and nobody made a gap.
    pub(crate) fn has_everything(&self) {
        for (nth, edge) in self.edges().iter().enumerate() {
            assert_eq!(edge.skipped, 0, "edge {nth}");
            for (key, _) in keys() {
                assert!(edge.complete.contains_key(&key), "edge {nth} has no {key}");
            }
        }
    }
}

/// What one ingest is fed: every segment of every broadcast, piece by piece, all cut at the same moment.
fn line(behind: u64, scale: u64) -> VecDeque<(u64, Fed)> {
    let mut by_time: BTreeMap<u64, Vec<Fed>> = BTreeMap::new();
    for (key, len) in keys() {
        let len = len / scale as usize;
        let seed = key.sequence.0 * 31 + u64::from(key.rendition.as_str().as_bytes()[0]);
        let mut random = Random(seed ^ u64::from(key.broadcast.as_str().as_bytes()[1]));
        let mut body: Vec<u8> =
            std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(len).collect();
        body.shrink_to_fit();
        let (body, ends) = (Bytes::from(body), cut(key.sequence.0) + behind);
        let begins = ends - SEGMENT_MS;
        by_time.entry(begins).or_default().push(Fed::Open(key.clone()));
        let pieces = SEGMENT_MS / PIECE_MS;
        for piece in 0..pieces {
            let at = |piece: u64| len * piece as usize / pieces as usize;
            let bytes = body.slice(at(piece)..at(piece + 1));
            by_time.entry(begins + (piece + 1) * PIECE_MS).or_default().push(Fed::Bytes(key.clone(), bytes));
        }
        by_time.entry(ends).or_default().push(Fed::Close(key));
    }
    by_time.into_iter().flat_map(|(at, fed)| fed.into_iter().map(move |fed| (at, fed))).collect()
}
