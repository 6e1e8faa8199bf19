//! One day: what is fed, who is there, what goes wrong, and what must be true all the same.

use crate::network::{Millis, Pipe, corrupt};
use crate::random::Random;
use bytes::Bytes;
use edgefan::*;
use media::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

const STEP: Millis = 10;
const SEGMENT_MS: u64 = 500;
const FIRST: u64 = 1000;
const RENDITIONS: [&str; 2] = ["hi", "lo"];
const WINDOW: u64 = 6;
/// After the last segment the network is healed and everybody has this long to settle.
const EVENING: Millis = 4000;

/// What can go wrong; numbers in ten thousand per step and link unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// No reason for anybody to miss anything, or to wait for it.
    is_good: bool,
    segments: u64,
    edges: usize,
    broadcasts: usize,
    latency: (Millis, Millis),
    /// Bytes per millisecond.
    rate: (u64, u64),
    cut: u64,
    stall: u64,
    corrupt: u64,
    /// An ingest loses its memory.
    restart: u64,
    /// An edge loses its memory.
    rejoin: u64,
    /// Objects an ingest fails to make, in ten thousand objects.
    hole: u64,
    /// Objects the second ingest makes otherwise than the first, in ten thousand objects.
    differ: u64,
    /// How far the second ingest is behind the first.
    behind: Millis,
    assembly_bytes: usize,
    hub_bytes: usize,
}

impl Weather {
    pub(crate) fn good(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x600d);
        Self {
            is_good: true,
            segments: 8,
            edges: random.within(1, 4) as usize,
            broadcasts: random.within(1, 3) as usize,
            latency: (1, 40),
            rate: (2000, 8000),
            cut: 0,
            stall: 0,
            corrupt: 0,
            restart: 0,
            rejoin: if random.happens(5000) { 20 } else { 0 },
            hole: 0,
            differ: 0,
            behind: random.within(0, 200),
            assembly_bytes: 1 << 20,
            hub_bytes: 4 << 20,
        }
    }

    pub(crate) fn bad(seed: u64) -> Self {
        let mut random = Random(seed ^ 0xbad);
        let mut sometimes = |most: u64| if random.happens(5000) { random.within(0, most) } else { 0 };
        let (cut, stall, corrupt) = (sometimes(60), sometimes(200), sometimes(30));
        let (restart, rejoin, hole, differ) = (sometimes(30), sometimes(30), sometimes(800), sometimes(800));
        let behind = sometimes(900);
        Self {
            is_good: false,
            segments: random.within(6, 14),
            edges: random.within(1, 4) as usize,
            broadcasts: random.within(1, 3) as usize,
            latency: (1, random.within(2, 150)),
            rate: (random.within(30, 200), 4000),
            cut,
            stall,
            corrupt,
            restart,
            rejoin,
            hole,
            differ,
            behind,
            assembly_bytes: if random.happens(2000) { 20_000 } else { 1 << 20 },
            hub_bytes: if random.happens(2000) { 60_000 } else { 4 << 20 },
        }
    }
}

pub(crate) struct Day {
    random: Random,
    weather: Weather,
    began: Instant,
    now: Millis,
    ingests: Vec<Ingest>,
    edges: Vec<Edge>,
    links: BTreeMap<(usize, usize), Link>,
    next_connection: u64,
    is_told: bool,
}

struct Ingest {
    publisher: Publisher,
    /// What it will be told, and when.
    line: Vec<(Millis, Fed)>,
    /// When it closed which object: known to the checks only.
    closed: HashMap<ObjectKey, Millis>,
    connections: HashMap<ConnectionId, (usize, usize)>,
}

#[derive(Clone)]
enum Fed {
    Stream(StreamFacts),
    Open(ObjectKey),
    Bytes(ObjectKey, Bytes),
    Close(ObjectKey),
    Skip(ObjectKey),
    End(BroadcastId),
}

struct Edge {
    subscriber: Subscriber,
    complete: BTreeMap<ObjectKey, Millis>,
    skipped: BTreeMap<ObjectKey, Millis>,
    is_caught_up: BTreeSet<BroadcastId>,
    /// From when on there may be no hole, per broadcast and rendition: a window before its first being caught up.
    whole_from: BTreeMap<(BroadcastId, RenditionId), u64>,
    ended: BTreeSet<BroadcastId>,
    joined: Millis,
    next_link: u64,
}

/// One edge's connections to one ingest.
enum Link {
    Up { connections: Vec<ConnectionId>, there: Vec<Pipe>, back: Vec<Pipe> },
    Down { until: Millis },
}

fn broadcast(index: usize) -> BroadcastId {
    BroadcastId::parse(["alpha", "beta"][index]).unwrap()
}

fn key(of: usize, rendition: &str, sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: broadcast(of),
        run: RunId(1),
        rendition: RenditionId::parse(rendition).unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

fn stream(of: usize) -> StreamFacts {
    StreamFacts {
        broadcast: broadcast(of),
        run: RunId(1),
        segment: MediaSpan::from_millis(SEGMENT_MS),
        window: WINDOW as u32,
        renditions: Vec::new(),
        has_ended: false,
    }
}

fn facts(key: &ObjectKey, is_gap: bool) -> SegmentFacts {
    let grid = Grid::new(MediaSpan::from_millis(SEGMENT_MS)).unwrap();
    SegmentFacts {
        sequence: key.sequence,
        run: key.run,
        start: grid.start_of(key.sequence),
        duration: grid.segment(),
        discontinuity: DiscontinuitySequence(0),
        bytes: 0,
        is_gap,
    }
}

/// The bytes of a key; `other` is what a twin that is not byte-equal makes.
fn body(key: &ObjectKey, other: bool) -> Bytes {
    let mut random =
        Random(key.sequence.0 * 31 + u64::from(key.rendition.as_str().as_bytes()[0]) + u64::from(other));
    let len = random.within(1, if key.rendition.as_str() == "hi" { 12_000 } else { 4000 }) as usize;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

fn node(text: &str, index: usize) -> NodeId {
    NodeId::parse(&format!("{text}-{index}")).unwrap()
}

impl Ingest {
    fn publisher(index: usize, weather: &Weather) -> Publisher {
        let mut settings = PublisherSettings::new(node("ingest", index));
        settings.hub_bytes = weather.hub_bytes;
        Publisher::new(settings)
    }

    fn new(index: usize, weather: &Weather, random: &mut Random) -> Self {
        let mut line = Vec::new();
        let behind = index as u64 * weather.behind;
        for of in 0..weather.broadcasts {
            line.push((behind, Fed::Stream(stream(of))));
            for sequence in FIRST..FIRST + weather.segments {
                let begins = behind + (sequence - FIRST) * SEGMENT_MS;
                for rendition in RENDITIONS {
                    let key = key(of, rendition, sequence);
                    if random.happens(weather.hole) {
                        // It never began, or broke in the middle; either is said at its end.
                        if random.happens(5000) {
                            line.push((begins, Fed::Open(key.clone())));
                        }
                        line.push((begins + SEGMENT_MS, Fed::Skip(key)));
                        continue;
                    }
                    let body = body(&key, index == 1 && random.happens(weather.differ));
                    line.push((begins, Fed::Open(key.clone())));
                    let mut at = 0;
                    while at < body.len() {
                        let to = (at + random.within(1, 4000) as usize).min(body.len());
                        let when = begins + SEGMENT_MS * to as u64 / body.len() as u64;
                        line.push((when, Fed::Bytes(key.clone(), body.slice(at..to))));
                        at = to;
                    }
                    line.push((begins + SEGMENT_MS, Fed::Close(key)));
                }
            }
            line.push((behind + weather.segments * SEGMENT_MS + 10, Fed::End(broadcast(of))));
        }
        // In order of time; a thing said earlier at the same moment stays earlier.
        line.sort_by_key(|(at, _)| *at);
        line.reverse();
        Self {
            publisher: Self::publisher(index, weather),
            line,
            closed: HashMap::new(),
            connections: HashMap::new(),
        }
    }

    fn has_more(&self, broadcast: &BroadcastId) -> bool {
        self.line.iter().any(|(_, fed)| matches!(fed, Fed::End(ends) if ends == broadcast))
    }

    fn work(&mut self, now: Millis, clock: Instant) {
        while self.line.last().is_some_and(|(at, _)| *at <= now) {
            let Some((_, fed)) = self.line.pop() else { return };
            match fed {
                Fed::Stream(facts) => self.publisher.stream(facts),
                Fed::Open(key) => {
                    let facts = facts(&key, false);
                    self.publisher.open(&key, facts.start, facts.discontinuity);
                }
                Fed::Bytes(key, bytes) => self.publisher.bytes(&key, bytes),
                Fed::Close(key) => {
                    self.publisher.close(&key, &facts(&key, false), clock);
                    self.closed.insert(key, now);
                }
                Fed::Skip(key) => {
                    let facts = facts(&key, true);
                    self.publisher.skip(&key, facts);
                }
                Fed::End(broadcast) => self.publisher.end(&broadcast, RunId(1), clock),
            }
        }
    }
}

impl Edge {
    fn new(index: usize, weather: &Weather, joined: Millis) -> Self {
        let mut settings = SubscriberSettings::new(node("edge", index));
        settings.assembly_bytes = weather.assembly_bytes;
        Self {
            subscriber: Subscriber::new(settings),
            complete: BTreeMap::new(),
            skipped: BTreeMap::new(),
            is_caught_up: BTreeSet::new(),
            whole_from: BTreeMap::new(),
            ended: BTreeSet::new(),
            joined,
            next_link: joined * 100 + 1,
        }
    }
}

impl Edge {
    fn note_whole(&mut self, broadcast: &BroadcastId) {
        let mut newest: BTreeMap<RenditionId, u64> = BTreeMap::new();
        for key in self.complete.keys().chain(self.skipped.keys()).filter(|key| key.broadcast == *broadcast) {
            let at = newest.entry(key.rendition.clone()).or_default();
            *at = key.sequence.0.max(*at);
        }
        for (rendition, newest) in newest {
            self.whole_from
                .entry((broadcast.clone(), rendition))
                .or_insert_with(|| (newest + 1).saturating_sub(WINDOW));
        }
    }
}

impl Day {
    pub(crate) fn new(seed: u64, weather: Weather, is_told: bool) -> Self {
        let mut random = Random(seed);
        let ingests = (0..2).map(|index| Ingest::new(index, &weather, &mut random)).collect();
        let edges: Vec<Edge> = (0..weather.edges).map(|index| Edge::new(index, &weather, 0)).collect();
        let links = (0..2).flat_map(|ingest| (0..edges.len()).map(move |edge| (ingest, edge)));
        let links = links.map(|place| (place, Link::Down { until: random.within(0, 300) })).collect();
        if is_told {
            println!("{weather:?}");
        }
        Self { random, weather, began: epoch(), now: 0, ingests, edges, links, next_connection: 0, is_told }
    }

    fn clock(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>6} ms  {}", self.now, text());
        }
    }

    pub(crate) fn live(mut self) {
        let last = self.weather.segments * SEGMENT_MS + self.weather.behind;
        let healed = last - SEGMENT_MS;
        // Before the hubs forget the broadcasts, so that what is there can be looked at.
        let night = (last + WINDOW * SEGMENT_MS).min(last + EVENING);
        while self.now < night {
            self.now += STEP;
            if self.now < healed {
                self.weather_strikes();
            }
            let clock = self.clock();
            for ingest in &mut self.ingests {
                ingest.work(self.now, clock);
                ingest.publisher.tick(clock);
            }
            for edge in &mut self.edges {
                edge.subscriber.tick(clock);
            }
            self.carry();
            self.listen();
            self.check_bounds();
        }
        self.check_evening();
    }

    fn weather_strikes(&mut self) {
        let clock = self.clock();
        for index in 0..self.ingests.len() {
            if self.random.happens(self.weather.restart) {
                self.say(|| format!("ingest {index} restarts with nothing"));
                self.ingests[index].publisher = Ingest::publisher(index, &self.weather);
                self.ingests[index].connections.clear();
                for of in 0..self.weather.broadcasts {
                    // One whose broadcast is over has nothing to say of it any more.
                    if self.ingests[index].has_more(&broadcast(of)) {
                        self.ingests[index].publisher.stream(stream(of));
                    }
                }
                for edge in 0..self.edges.len() {
                    self.cut(index, edge, "the ingest restarted");
                }
            }
        }
        for index in 0..self.edges.len() {
            if self.random.happens(self.weather.rejoin) {
                self.say(|| format!("edge {index} restarts with nothing"));
                for ingest in 0..self.ingests.len() {
                    self.cut(ingest, index, "the edge restarted");
                }
                self.edges[index] = Edge::new(index, &self.weather, self.now);
            }
        }
        let places: Vec<(usize, usize)> = self.links.keys().copied().collect();
        for (ingest, edge) in places {
            if self.random.happens(self.weather.cut) {
                self.cut(ingest, edge, "cut");
            }
            if self.random.happens(self.weather.stall) {
                let until = self.now + self.random.within(50, 1200);
                let (lane, is_back) = (self.random.within(0, 3) as usize, self.random.happens(5000));
                if let Some(Link::Up { there, back, .. }) = self.links.get_mut(&(ingest, edge)) {
                    if is_back { back[lane].stall(until) } else { there[lane].stall(until) }
                }
                self.say(|| format!("connection {lane} of {ingest}-{edge} stalls until {until}"));
            }
        }
        let _ = clock;
    }

    /// Both ends hear of it; what was on the way is lost.
    fn cut(&mut self, ingest: usize, edge: usize, why: &str) {
        let until = self.now + self.random.within(20, 500);
        let Some(link) = self.links.get_mut(&(ingest, edge)) else { return };
        let former = std::mem::replace(link, Link::Down { until });
        if let Link::Up { connections, .. } = former {
            self.say(|| format!("link {ingest}-{edge} is over: {why}"));
            for id in connections {
                self.ingests[ingest].connections.remove(&id);
                self.ingests[ingest].publisher.lost(id, why);
            }
            let clock = self.clock();
            self.edges[edge].subscriber.lost(SourceId(ingest as u32), why, clock);
        }
    }

    fn dial(&mut self, ingest: usize, edge: usize) {
        let clock = self.clock();
        let count = self.edges[edge].subscriber.connections();
        let (mut connections, mut there, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for lane in 0..count {
            let id = ConnectionId(self.next_connection);
            self.next_connection += 1;
            self.ingests[ingest].publisher.accept(id, clock);
            self.ingests[ingest].connections.insert(id, (edge, lane));
            connections.push(id);
            let latency = self.random.within(self.weather.latency.0, self.weather.latency.1);
            let rate = self.random.within(self.weather.rate.0, self.weather.rate.1) as usize;
            there.push(Pipe::new(latency, rate));
            back.push(Pipe::new(latency, rate));
        }
        let number = self.edges[edge].next_link;
        self.edges[edge].next_link += 1;
        self.edges[edge].subscriber.dialled(SourceId(ingest as u32), number, clock);
        self.links.insert((ingest, edge), Link::Up { connections, there, back });
    }

    /// Moves bytes: each connection sends what it has, each receives what arrives.
    fn carry(&mut self) {
        let clock = self.clock();
        let places: Vec<(usize, usize)> = self.links.keys().copied().collect();
        for (ingest, edge) in places {
            if let Some(Link::Down { until }) = self.links.get(&(ingest, edge)) {
                if *until <= self.now {
                    self.dial(ingest, edge);
                }
                continue;
            }
            let source = SourceId(ingest as u32);
            let Some(Link::Up { connections, there, back }) = self.links.get_mut(&(ingest, edge)) else {
                continue;
            };
            let publisher = &mut self.ingests[ingest].publisher;
            let subscriber = &mut self.edges[edge].subscriber;
            let rate = if self.now < self.weather.segments * SEGMENT_MS { self.weather.corrupt } else { 0 };
            for lane in 0..connections.len() {
                while back[lane].takes() > 0 {
                    let mut out = Vec::new();
                    publisher.transmit(connections[lane], back[lane].takes(), &mut out);
                    if out.is_empty() {
                        break;
                    }
                    if self.random.happens(rate) {
                        corrupt(&mut out, &mut self.random);
                    }
                    back[lane].send(out, self.now);
                }
                let mut out = Vec::new();
                subscriber.transmit(source, lane, &mut out);
                if !out.is_empty() {
                    there[lane].send(out, self.now);
                }
                while let Some(bytes) = there[lane].arrive(self.now, &mut self.random) {
                    publisher.received(connections[lane], &bytes, clock);
                }
                while let Some(bytes) = back[lane].arrive(self.now, &mut self.random) {
                    subscriber.received(source, lane, &bytes, clock);
                }
            }
        }
    }

    /// Takes what both kinds of room say.
    fn listen(&mut self) {
        for ingest in 0..self.ingests.len() {
            while let Some(event) = self.ingests[ingest].publisher.pull() {
                if let PublisherEvent::Close { connection, why } = event
                    && let Some(&(edge, _)) = self.ingests[ingest].connections.get(&connection)
                {
                    self.cut(ingest, edge, &format!("the ingest says: {why}"));
                }
            }
        }
        for edge in 0..self.edges.len() {
            while let Some(event) = self.edges[edge].subscriber.pull() {
                self.hear(edge, event);
            }
            while let Some(order) = self.edges[edge].subscriber.pull_order() {
                if let SubscriberOrder::Close { source, why } = order {
                    self.cut(source.0 as usize, edge, &format!("the edge says: {why}"));
                }
            }
        }
    }

    fn hear(&mut self, index: usize, event: Event) {
        if self.is_told {
            match &event {
                Event::Complete { key, source, .. } => {
                    println!("{:>6} ms  edge {index} has {key} by {source:?}", self.now)
                }
                event => println!("{:>6} ms  edge {index}: {event:?}", self.now),
            }
        }
        let weather = &self.weather;
        let edge = &mut self.edges[index];
        match event {
            Event::Complete { key, facts: told, body: bytes, .. } => {
                assert!(!edge.skipped.contains_key(&key), "{key} is complete after it was a gap");
                let right = bytes == body(&key, false) || (weather.differ > 0 && bytes == body(&key, true));
                assert!(right, "{key} has other bytes than were fed");
                assert_eq!(told, SegmentFacts { bytes: bytes.len() as u64, ..facts(&key, false) });
                assert!(edge.complete.insert(key.clone(), self.now).is_none(), "{key} is complete twice");
            }
            Event::Skipped { key, facts: told } => {
                assert!(!edge.complete.contains_key(&key), "{key} is a gap after it was complete");
                assert_eq!(told, facts(&key, true));
                assert!(edge.skipped.insert(key.clone(), self.now).is_none(), "{key} is a gap twice");
            }
            Event::CaughtUp { broadcast } => {
                edge.note_whole(&broadcast);
                if weather.is_good && edge.is_caught_up.insert(broadcast.clone()) {
                    check_caught_up(edge, &self.ingests, &broadcast, self.now);
                }
            }
            Event::Ended { broadcast, .. } => {
                assert!(edge.ended.insert(broadcast), "a run ended twice");
            }
            // Nobody here says a lane.
            Event::Quarantined { key, .. } => panic!("{key}: somebody is in quarantine"),
            Event::Differs { key, .. } => {
                assert!(weather.differ > 0, "{key} differs, but nobody made it differ")
            }
            Event::Stream(_)
            | Event::Made { .. }
            | Event::Ready { .. }
            | Event::LinkUp { .. }
            | Event::LinkDown { .. } => {}
        }
    }

    fn check_bounds(&self) {
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

    fn check_evening(&self) {
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
fn check_caught_up(edge: &Edge, ingests: &[Ingest], broadcast: &BroadcastId, now: Millis) {
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

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made from nothing; the day only adds to it"
)]
fn epoch() -> Instant {
    Instant::now()
}
