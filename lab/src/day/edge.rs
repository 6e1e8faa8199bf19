//! An edge of the day: the subscriber's end of edgefan, `edge::bare`, one core, and links to balancers.

use super::agenda::{MILLI, Micros, SECOND};
use super::network::{What, WireId};
use super::planted::Planted;
use super::weather::{Place, Weather};
use super::{Day, Happens, Life, ingest};
use bytes::Bytes;
use delivery::{Answer, Delivery, Moment, Policy, Reply, Update};
use edge::bare::{Bare, Word};
use edgefan::control::{EdgeEnd, EdgeWord, ToEdge};
use edgefan::{
    Address, EdgeFacts, EdgeState, Event, Heartbeat, Hello, Layer, NodeId, Role, SourceId, Subscriber,
    SubscriberOrder, SubscriberSettings,
};
use media::BitRate;
use node::fan::control::client::Told;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use ticket::EdgeId;
use viewer::AskId;

/// One edge.
pub(crate) struct Edge {
    pub(crate) life: Life,
    index: usize,
    facts: EdgeFacts,
    blocking_reload: bool,
    subscriber: Subscriber,
    bare: Bare,
    pub(crate) core: Delivery<Bytes, u64>,
    word: EdgeWord,
    links: BTreeMap<Place, Link>,
    ends: BTreeMap<usize, EdgeEnd>,
    ingests: BTreeSet<usize>,
    looks: u64,
    /// Bytes sent to viewers.
    pub(crate) sent: u64,
    /// Who waits for a reload.
    pub(crate) waiters: BTreeMap<u64, (usize, AskId)>,
}

/// One peer that is dialled.
#[derive(Debug, Default)]
struct Link {
    attempt: u64,
    wires: Vec<WireId>,
    since: Micros,
    backoff: Micros,
}

const SHORTEST: Micros = 100 * MILLI;
const LONGEST: Micros = 2 * SECOND;

fn node(index: usize) -> NodeId {
    NodeId::parse(&format!("edge{index}")).expect("a name and a digit")
}

pub(crate) fn id(index: usize) -> EdgeId {
    EdgeId::parse(&format!("edge{index}")).expect("a name and a digit")
}

fn address(text: &str, index: usize) -> Address {
    Address::parse(&format!("{text}{index}:7001")).expect("a name, a digit and a port")
}

pub(crate) fn ingests() -> Vec<Address> {
    (0..2).map(|index| address("ingest", index)).collect()
}

fn rooms(index: usize, life: u64, blocking_reload: bool) -> (Subscriber, Bare, Delivery<Bytes, u64>) {
    let subscriber =
        Subscriber::new(SubscriberSettings { process: life, ..SubscriberSettings::new(node(index)) });
    // Half of them learn the ingests from the balancers.
    let own = if index.is_multiple_of(2) { ingests() } else { Vec::new() };
    let bare = Bare::new(own, 64 << 20, blocking_reload, Duration::from_secs(60));
    let policy =
        Policy { cors: http::Cors::anybody(), edge: Some(id(index).number()), waiters: 1000, readers: 0 };
    (subscriber, bare, Delivery::new(policy))
}

impl Edge {
    pub(crate) fn new(index: usize, weather: &Weather) -> Self {
        let facts = EdgeFacts {
            http: format!("http://edge{index}:8080"),
            https: String::new(),
            capacity: BitRate(weather.capacity),
            relay: None,
            weight: 100,
        };
        let (subscriber, bare, core) = rooms(index, 1, weather.blocking_reload);
        Self {
            life: Life::Down(0),
            index,
            facts,
            blocking_reload: weather.blocking_reload,
            subscriber,
            bare,
            core,
            word: EdgeWord::default(),
            links: BTreeMap::new(),
            ends: BTreeMap::new(),
            ingests: BTreeSet::new(),
            looks: 0,
            sent: 0,
            waiters: BTreeMap::new(),
        }
    }

    /// Everything in memory is gone.
    pub(crate) fn stop(&mut self) {
        (self.subscriber, self.bare, self.core) =
            rooms(self.index, self.life.number() + 1, self.blocking_reload);
        self.word = EdgeWord::default();
        self.links.clear();
        self.ends.clear();
        self.ingests.clear();
        self.waiters.clear();
        self.sent = 0;
    }

    pub(crate) fn say(&mut self, ingest: usize, lane: usize, out: &mut Vec<u8>) {
        self.subscriber.transmit(SourceId(ingest as u32), lane, out);
    }

    pub(crate) fn say_control(&mut self, balancer: usize, out: &mut Vec<u8>) {
        if let Some(end) = self.ends.get_mut(&balancer) {
            end.transmit(out);
        }
    }

    pub(crate) fn state(&self) -> EdgeState {
        self.bare.state()
    }

    pub(crate) fn links(&self) -> u64 {
        self.subscriber.counters().links
    }

    pub(crate) fn controls(&self) -> usize {
        self.ends.len()
    }

    /// What it really can send.
    pub(crate) fn capacity(&self) -> BitRate {
        self.facts.capacity
    }

    pub(crate) fn unfinished_bytes(&self) -> u64 {
        self.subscriber.counters().assembly_bytes
    }
}

impl Day {
    pub(super) fn moment(&self, edge: usize) -> Moment {
        Moment { at: self.clock(), unix_secs: self.unix_millis(Place::Edge(edge)) / 1000 }
    }

    pub(super) fn start_edge(&mut self, index: usize) {
        self.say(|| format!("edge{index} starts"));
        self.laws.edge_starts(index);
        for balancer in 0..2 {
            self.dial_soon(index, Place::Balancer(balancer), MILLI);
        }
        self.settle_edge(index);
    }

    fn dial_soon(&mut self, edge: usize, peer: Place, wait: Micros) {
        if self.planted() == Some(Planted::NeverDials) {
            return;
        }
        let link = self.edges[edge].links.entry(peer).or_default();
        link.attempt += 1;
        let (attempt, life) = (link.attempt, self.edges[edge].life.number());
        self.agenda.put(self.now + wait, Happens::Dials { edge, life, peer, attempt });
    }

    fn is_current(&self, edge: usize, life: u64, peer: Place, attempt: u64) -> bool {
        self.edges[edge].life.number() == life
            && !matches!(self.edges[edge].life, Life::Down(_))
            && self.edges[edge].links.get(&peer).is_some_and(|link| link.attempt == attempt)
    }

    pub(super) fn dials(&mut self, edge: usize, life: u64, peer: Place, attempt: u64) {
        if self.is_current(edge, life, peer, attempt) {
            // TCP's and TLS' round trips.
            let wait = self.random.within(self.weather.latency.0, self.weather.latency.1) * 4;
            self.agenda.put(self.now + wait, Happens::Dialled { edge, life, peer, attempt, tries: 0 });
        }
    }

    pub(super) fn dialled(&mut self, edge: usize, life: u64, peer: Place, attempt: u64, tries: u32) {
        if !self.is_current(edge, life, peer, attempt) {
            return;
        }
        let us = Place::Edge(edge);
        let is_open = self.condition(us, peer).is_open && self.condition(peer, us).is_open;
        match self.life(peer) {
            Life::Up(_) if is_open && self.edges[edge].life.is_up() => self.connect(edge, peer),
            Life::Down(_) if is_open => self.dial_again(edge, peer, "refused"),
            _ if tries >= 5 => self.dial_again(edge, peer, "no answer in 5 s"),
            _ => {
                let tries = tries + 1;
                self.agenda.put(self.now + SECOND, Happens::Dialled { edge, life, peer, attempt, tries });
            }
        }
    }

    fn dial_again(&mut self, edge: usize, peer: Place, why: &str) {
        let now = self.now;
        let link = self.edges[edge].links.entry(peer).or_default();
        if now.saturating_sub(link.since) > 2 * SECOND && link.since > 0 {
            link.backoff = 0;
        }
        link.since = 0;
        let wait = link.backoff.max(SHORTEST);
        link.backoff = (wait * 2).min(LONGEST);
        let wait = wait / 2 + self.random.within(0, wait / 2);
        self.say(|| format!("edge{edge} has no link to {peer}: {why}"));
        self.dial_soon(edge, peer, wait);
    }

    fn connect(&mut self, edge: usize, peer: Place) {
        let (clock, us) = (self.clock(), Place::Edge(edge));
        let mut wires = Vec::new();
        match peer {
            Place::Ingest(ingest) => {
                for lane in 0..self.edges[edge].subscriber.connections() {
                    let number = self.number();
                    let what = self.media_what(edge, ingest, lane, number);
                    let wire = self.open_wire(what, [us, peer]);
                    if let What::Media { id, .. } = what {
                        self.ingest_accepts(ingest, id, wire);
                    }
                    wires.push(wire);
                }
                let number = self.number();
                self.edges[edge].subscriber.dialled(SourceId(ingest as u32), number, clock);
            }
            Place::Balancer(balancer) => {
                let id = self.number();
                let wire = self.open_wire(What::Control { edge, balancer, id }, [us, peer]);
                self.balancer_accepts(balancer, id, wire);
                let times = self.overstates();
                let it = &mut self.edges[edge];
                let mut facts = it.facts.clone();
                facts.capacity.0 *= times;
                let hello = Hello {
                    node: node(edge),
                    role: Role::Edge,
                    version: "lab".into(),
                    link: id,
                    connection: 0,
                    media_connections: 0,
                    edge: Some(facts),
                    process: it.life.number(),
                    layer: Layer::LAST,
                };
                it.ends.insert(balancer, EdgeEnd::new(hello, &it.word, Heartbeat::default(), clock));
                wires.push(wire);
            }
            Place::Publisher | Place::Edge(_) | Place::Viewer(_) => return,
        }
        let now = self.now;
        let link = self.edges[edge].links.entry(peer).or_default();
        (link.wires, link.since) = (wires.clone(), now);
        self.settle_edge(edge);
        wires.into_iter().for_each(|wire| self.transmit(wire, 0));
    }

    /// A link is over: its connections too, and it is dialled again.
    pub(super) fn edge_lost(&mut self, edge: usize, peer: Place, why: &str) {
        let clock = self.clock();
        let Some(link) = self.edges[edge].links.get_mut(&peer) else { return };
        let wires = std::mem::take(&mut link.wires);
        if wires.is_empty() {
            return;
        }
        wires.into_iter().for_each(|wire| self.close_wire(wire, 0));
        match peer {
            Place::Ingest(ingest) => self.edges[edge].subscriber.lost(SourceId(ingest as u32), why, clock),
            Place::Balancer(balancer) => {
                self.edges[edge].ends.remove(&balancer);
                let told = Told::Down { balancer: address("lb", balancer), why: why.into() };
                self.edges[edge].bare.told(told);
            }
            Place::Publisher | Place::Edge(_) | Place::Viewer(_) => {}
        }
        self.dial_again(edge, peer, why);
        self.settle_edge(edge);
    }

    pub(super) fn edge_hears(&mut self, edge: usize, ingest: usize, lane: usize, bytes: &[u8]) {
        let clock = self.clock();
        self.edges[edge].subscriber.received(SourceId(ingest as u32), lane, bytes, clock);
        self.settle_edge(edge);
    }

    pub(super) fn edge_hears_control(&mut self, edge: usize, balancer: usize, bytes: &[u8]) {
        let clock = self.clock();
        let Some(end) = self.edges[edge].ends.get_mut(&balancer) else { return };
        end.received(bytes, clock);
        loop {
            let Some(end) = self.edges[edge].ends.get_mut(&balancer) else { return };
            let from = address("lb", balancer);
            let told = match end.pull() {
                Ok(Some(ToEdge::Welcome(welcome))) => Told::Welcome { balancer: from, welcome },
                Ok(Some(ToEdge::Keys(keys))) => Told::Keys { balancer: from, keys },
                Ok(Some(ToEdge::Standing(standing))) => Told::Standing { balancer: from, standing },
                Ok(None) => break,
                Err(error) => {
                    let why = error.to_string();
                    return self.edge_lost(edge, Place::Balancer(balancer), &why);
                }
            };
            self.edges[edge].bare.told(told);
        }
        self.settle_edge(edge);
        self.transmit_control(edge, balancer);
    }

    fn transmit_control(&mut self, edge: usize, balancer: usize) {
        let wires = self.edges[edge].links.get(&Place::Balancer(balancer)).map(|link| link.wires.clone());
        wires.into_iter().flatten().for_each(|wire| self.transmit(wire, 0));
    }

    pub(super) fn look_edge(&mut self, index: usize) {
        let (clock, moment) = (self.clock(), self.moment(index));
        let edge = &mut self.edges[index];
        edge.looks += 1;
        edge.subscriber.tick(clock);
        edge.core.tick(moment);
        if edge.looks.is_multiple_of(2) {
            let viewers = edge.waiters.len() as u64;
            edge.bare.tick(clock, moment.unix_secs, edge.sent, viewers);
        }
        self.settle_edge(index);
        self.check_bounds(index);
        for balancer in 0..2 {
            let edge = &mut self.edges[index];
            let Some(end) = edge.ends.get_mut(&balancer) else { continue };
            match end.tick(&edge.word, clock) {
                Ok(()) => self.transmit_control(index, balancer),
                Err(error) => self.edge_lost(index, Place::Balancer(balancer), &error.to_string()),
            }
        }
    }

    /// Everything that is free to go on goes on.
    fn settle_edge(&mut self, index: usize) {
        let moment = self.moment(index);
        while let Some(event) = self.edges[index].subscriber.pull() {
            let event = self.spoil_event(index, event);
            self.see_event(index, &event);
            if self.planted() == Some(Planted::ShowsTwice) {
                self.see_event(index, &event);
            }
            self.edges[index].bare.event(moment.at, moment.unix_secs, event);
            self.carry_edge(index);
        }
        self.carry_edge(index);
        while let Some(order) = self.edges[index].subscriber.pull_order() {
            match order {
                SubscriberOrder::Wake { source, connection } => {
                    let link = self.edges[index].links.get(&Place::Ingest(source.0 as usize));
                    if let Some(&wire) = link.and_then(|link| link.wires.get(connection)) {
                        self.transmit(wire, 0);
                    }
                }
                SubscriberOrder::Close { source, why } => {
                    self.edge_lost(index, Place::Ingest(source.0 as usize), &why);
                }
            }
        }
    }

    fn see_event(&mut self, index: usize, event: &Event) {
        match event {
            Event::Complete { key, hash, body, source, .. } => {
                self.say(|| format!("edge{index} has {key} by ingest{}", source.0));
                if let Err((law, what)) = self.laws.complete(index, key, *hash, body, self.now) {
                    self.breaks(law, what);
                }
                if self.edges[index].subscriber.is_of_an_old_term(*source, key, self.clock()) {
                    let what = format!("edge{index} shows {key} of ingest{}, whose term is over", source.0);
                    self.breaks("an old term is refused", what);
                }
            }
            Event::Skipped { key, .. } => {
                self.say(|| format!("edge{index} passes over {key}"));
                if let Err((law, what)) = self.laws.skipped(index, key) {
                    self.breaks(law, what);
                }
            }
            // What an ingest that hung makes when it wakes is refused; only where nobody hung may it never differ.
            Event::Differs { key, .. } if self.weather.sees_nothing_of_ingests() => {
                self.breaks(
                    "no key with two hashes",
                    format!("edge{index}: the second copy of {key} differs"),
                );
            }
            event => self.say(|| format!("edge{index}: {event:?}")),
        }
    }

    fn carry_edge(&mut self, index: usize) {
        while let Some(word) = self.edges[index].bare.pull() {
            match word {
                Word::Cores(update) => self.tell_core(index, *update),
                Word::Stream(facts) => {
                    let edge = &mut self.edges[index];
                    if edge.word.stream(&facts) {
                        edge.ends.values_mut().for_each(|end| end.stream(&facts));
                        (0..2).for_each(|balancer| self.transmit_control(index, balancer));
                    }
                }
                Word::End(broadcast, run) => {
                    let edge = &mut self.edges[index];
                    if edge.word.end(&broadcast) {
                        edge.ends.values_mut().for_each(|end| end.broadcast_ended(broadcast.clone(), run));
                        (0..2).for_each(|balancer| self.transmit_control(index, balancer));
                    }
                }
                Word::Ingests(list) => {
                    let wanted = (0..2).filter(|ingest| list.contains(&address("ingest", *ingest)));
                    for ingest in wanted.collect::<Vec<_>>() {
                        if self.edges[index].ingests.insert(ingest) {
                            self.dial_soon(index, Place::Ingest(ingest), MILLI);
                        }
                    }
                }
                Word::Load(load) => self.edges[index].word.load(load),
            }
        }
    }

    fn tell_core(&mut self, index: usize, update: Update<Bytes>) {
        let moment = self.moment(index);
        let listed = match &update {
            Update::Playlist { rendition, .. } => Some(rendition.clone()),
            _ => None,
        };
        if let Update::Fed { is_fed, .. } = &update {
            self.say(|| format!("edge{index} says it is {}fed", if *is_fed { "" } else { "not " }));
        }
        let Some(update) = self.spoil(index, update) else { return };
        self.edges[index].core.push(moment, update);
        while let Some((waiter, reply)) = self.edges[index].core.pull() {
            if let Some((viewer, ask)) = self.edges[index].waiters.remove(&waiter) {
                self.reply(index, viewer, ask, reply);
            }
        }
        if let Some(rendition) = listed {
            if let Some(list) = self.edges[index].bare.listed(&ingest::tide(), &rendition) {
                self.laws.lists(index, &rendition, &list);
            }
            let path = format!("/live/tide/{rendition}/index.m3u8");
            if let Some((200, text)) = self.read(index, &path)
                && let Err((law, what)) = self.check_listing(index, &rendition, &text)
            {
                self.breaks(law, what);
            }
        }
    }

    /// What this edge would answer now, status and body; `None` where it would wait.
    pub(super) fn read(&mut self, index: usize, path: &str) -> Option<(u16, Bytes)> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: edge{index}\r\n\r\n");
        let http::Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else { return None };
        let moment = self.moment(index);
        match self.edges[index].core.ask(moment, 0, &request) {
            Answer::Now(reply) | Answer::Never(reply) => Some((reply.status.code(), body(&reply))),
            Answer::Later | Answer::GoesOn(_) => {
                self.edges[index].core.forget(0);
                None
            }
        }
    }
}

/// What follows the head.
pub(crate) fn body(reply: &Reply<Bytes>) -> Bytes {
    match &reply.stored {
        Some(delivery::Stored::WithHead(body)) => body.clone(),
        Some(delivery::Stored::Range { body, from, len }) => {
            body.slice(*from as usize..(*from + *len) as usize)
        }
        None => {
            let end = reply.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            end.map_or_else(Bytes::new, |end| reply.bytes.slice(end + 4..))
        }
    }
}
