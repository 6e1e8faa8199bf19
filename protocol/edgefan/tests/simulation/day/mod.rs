//! One day: who is there, what goes wrong, and how it gets from one end to the other.
//!
//! Does not live here: what may go wrong (`weather`), what an ingest is told (`ingest`), what must be true all the same
//! (`checks`).

mod checks;
mod ingest;

use crate::network::{Millis, Pipe, corrupt};
use crate::random::Random;
use crate::weather::Weather;
use edgefan::*;
use ingest::{Ingest, SEGMENT_MS, WINDOW, body, broadcast, facts, node, stream};
use media::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const STEP: Millis = 10;
/// After the last segment the network is healed and everybody has this long to settle.
const EVENING: Millis = 4000;

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
                    checks::check_caught_up(edge, &self.ingests, &broadcast, self.now);
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
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made from nothing; the day only adds to it"
)]
fn epoch() -> Instant {
    Instant::now()
}
