//! The viewers of the day: `viewer` on virtual time, and HTTP between them and the nodes.

use super::agenda::{MILLI, Micros, SECOND};
use super::edge;
use super::weather::Place;
use super::{Day, Happens, Life};
use crate::random::Random;
use bytes::Bytes;
use delivery::{Answer, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;
use viewer::{
    Ask, AskId, AskKind, Event, Failure, Input, Now, Options, Output, RungChoice, Tally, Url, Viewer,
};

/// One viewer.
pub(crate) struct Watcher {
    viewer: Option<Viewer>,
    options: Arc<Options>,
    seed: u64,
    latency: Micros,
    /// Bytes per millisecond.
    rate: u64,
    asked: BTreeMap<AskId, Asked>,
    /// The edge's life in which it last read a playlist there, by rendition.
    lives: BTreeMap<(usize, String), u64>,
    /// What it reads now is the first of an edge's new life.
    reads_anew: bool,
    /// Which balancer's address is tried next.
    turn: usize,
    wakes_at: Option<Micros>,
}

/// An ask that is open.
struct Asked {
    ask: Ask,
    server: Place,
    /// Whose answer it is; 0 until it has reached its server.
    life: u64,
    waiter: u64,
}

/// Part of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Head(u16),
    Progress,
    Body(Bytes),
    Failed(Failure),
}

impl Watcher {
    pub(crate) fn new(random: &mut Random, seed: u64, index: usize) -> Self {
        let base = if random.happens(40) { Options::page() } else { Options::default() };
        let rung = [RungChoice::Highest, RungChoice::Lowest, RungChoice::Adaptive][random.below(3)];
        Self {
            viewer: None,
            options: Arc::new(Options { rung, ..base }),
            seed: seed.wrapping_mul(31).wrapping_add(index as u64),
            latency: random.within(1, 40) * MILLI,
            rate: random.within(100, 2000),
            asked: BTreeMap::new(),
            lives: BTreeMap::new(),
            reads_anew: false,
            turn: random.below(2),
            wakes_at: None,
        }
    }

    pub(crate) fn tally(&self, day: &Day) -> Option<Tally> {
        self.viewer.as_ref().map(|viewer| viewer.tally(day.viewer_now()))
    }
}

impl Day {
    pub(super) fn viewer_now(&self) -> Now {
        Now { at: self.clock(), unix_millis: super::CALENDAR_MS + self.now / MILLI }
    }

    pub(super) fn comes(&mut self, index: usize) {
        let now = self.viewer_now();
        let Ok(entry) = Url::parse("http://house/live/tide/index.m3u8") else { return };
        let watcher = &mut self.watchers[index];
        watcher.viewer = Some(Viewer::new(now, watcher.options.clone(), entry, watcher.seed));
        self.say(|| format!("viewer{index} comes"));
        self.settle_viewer(index);
    }

    pub(super) fn wakes(&mut self, index: usize) {
        if self.watchers[index].wakes_at != Some(self.now) {
            return;
        }
        self.watchers[index].wakes_at = None;
        self.tell_viewer(index, Input::Tick);
    }

    fn tell_viewer(&mut self, index: usize, input: Input<'_>) {
        let now = self.viewer_now();
        if let Some(viewer) = &mut self.watchers[index].viewer {
            viewer.push(now, input);
        }
        self.settle_viewer(index);
    }

    fn settle_viewer(&mut self, index: usize) {
        while let Some(output) = self.watchers[index].viewer.as_mut().and_then(Viewer::pull) {
            match output {
                Output::Ask(ask) => self.viewer_asks(index, ask),
                Output::Cancel(id) => {
                    if let Some(asked) = self.watchers[index].asked.remove(&id)
                        && let Place::Edge(edge) = asked.server
                        && self.edges[edge].waiters.remove(&asked.waiter).is_some()
                    {
                        self.edges[edge].core.forget(asked.waiter);
                    }
                }
                Output::Event { event, .. } => self.viewer_noticed(index, &event),
            }
        }
        let began = self.began;
        let deadline = self.watchers[index].viewer.as_ref().and_then(Viewer::deadline);
        if let Some(deadline) = deadline {
            // Rounded up: a viewer that is woken too early asks to be woken again at once.
            let at = (deadline.saturating_duration_since(began).as_nanos().div_ceil(1000) as Micros)
                .max(self.now + 1);
            let watcher = &mut self.watchers[index];
            if watcher.wakes_at.is_none_or(|known| known > at || known <= self.now) {
                watcher.wakes_at = Some(at);
                self.agenda.put(at, Happens::Wakes { viewer: index });
            }
        }
    }

    fn viewer_noticed(&mut self, index: usize, event: &Event) {
        if !matches!(event, Event::Latency(_)) {
            self.say(|| format!("viewer{index}: {event:?}"));
        }
        let reads_anew = self.watchers[index].reads_anew;
        if let Err((law, what)) = self.laws.noticed(index, event, reads_anew, &self.weather) {
            self.breaks(law, what);
        }
    }

    fn viewer_asks(&mut self, index: usize, ask: Ask) {
        let watcher = &mut self.watchers[index];
        let host = ask.url.host();
        let server = match host.strip_prefix("edge").and_then(|number| number.parse().ok()) {
            Some(edge) => Place::Edge(edge),
            None if host == "house" => {
                watcher.turn += 1;
                Place::Balancer(watcher.turn % 2)
            }
            None => {
                Place::Balancer(host.strip_prefix("lb").and_then(|number| number.parse().ok()).unwrap_or(0))
            }
        };
        let id = ask.id;
        let latency = watcher.latency;
        self.say(|| format!("viewer{index} asks {server} for {}", short(ask.url.path())));
        self.watchers[index].asked.insert(id, Asked { ask, server, life: 0, waiter: 0 });
        let late = self.condition(Place::Viewer(index), server).late;
        self.agenda.put(self.now + latency + late, Happens::Requests { viewer: index, ask: id });
    }

    pub(super) fn requests(&mut self, index: usize, ask: AskId) {
        let Some(asked) = self.watchers[index].asked.get(&ask) else { return };
        let (server, target) = (asked.server, asked.ask.url.target().to_owned());
        let us = Place::Viewer(index);
        let is_open = self.condition(us, server).is_open && self.condition(server, us).is_open;
        match self.life(server) {
            // Sent again by TCP.
            _ if !is_open => self.agenda.put(self.now + SECOND, Happens::Requests { viewer: index, ask }),
            Life::Down(_) => {
                // A browser tries a name's other address at once.
                let other = match server {
                    Place::Balancer(balancer) => Some(Place::Balancer(1 - balancer)),
                    _ => None,
                };
                match other.filter(|other| !matches!(self.life(*other), Life::Down(_))) {
                    Some(other) => {
                        if let Some(asked) = self.watchers[index].asked.get_mut(&ask) {
                            asked.server = other;
                        }
                        let at = self.now + 2 * self.watchers[index].latency;
                        self.agenda.put(at, Happens::Requests { viewer: index, ask });
                    }
                    None => self.answer_at(index, ask, 0, Said::Failed(Failure::Refused)),
                }
            }
            Life::Paused(_) => {
                self.agenda.put(self.now + 50 * MILLI, Happens::Requests { viewer: index, ask })
            }
            Life::Up(life) => {
                if let Some(asked) = self.watchers[index].asked.get_mut(&ask) {
                    asked.life = life;
                }
                match server {
                    Place::Edge(edge) => self.edge_answers(edge, index, ask, &target),
                    Place::Balancer(balancer) => {
                        let (status, body) = self.balancer_answers(balancer, &target);
                        self.answer(index, ask, status, body.into());
                    }
                    Place::Publisher | Place::Ingest(_) | Place::Viewer(_) => {}
                }
            }
        }
    }

    fn edge_answers(&mut self, edge: usize, viewer: usize, ask: AskId, target: &str) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: edge{edge}\r\n\r\n");
        let http::Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else {
            return self.breaks("a viewer's request is HTTP", head);
        };
        let (moment, waiter) = (self.moment(edge), self.number());
        match self.edges[edge].core.ask(moment, waiter, &request) {
            Answer::Now(reply) | Answer::Never(reply) | Answer::GoesOn(reply) => {
                self.reply(edge, viewer, ask, reply);
            }
            Answer::Later => {
                self.edges[edge].waiters.insert(waiter, (viewer, ask));
                if let Some(asked) = self.watchers[viewer].asked.get_mut(&ask) {
                    asked.waiter = waiter;
                }
            }
        }
    }

    /// An edge's reply goes to its viewer.
    pub(super) fn reply(&mut self, edge: usize, viewer: usize, ask: AskId, reply: Reply<Bytes>) {
        let body = edge::body(&reply);
        self.edges[edge].sent += body.len() as u64 + 200;
        self.answer(viewer, ask, reply.status.code(), body);
    }

    fn answer(&mut self, viewer: usize, ask: AskId, status: u16, body: Bytes) {
        let Some(asked) = self.watchers[viewer].asked.get(&ask) else { return };
        let condition = self.condition(asked.server, Place::Viewer(viewer));
        let rate = self.watchers[viewer].rate.min(condition.rate).max(1);
        let lost = if self.random.happens(condition.loss) { 250 * MILLI } else { 0 };
        self.answer_at(viewer, ask, lost, Said::Head(status));
        if (200..300).contains(&status) {
            let whole = lost + 100 + body.len() as u64 * MILLI / rate;
            let mut progress = lost + 500 * MILLI;
            while progress < whole {
                self.answer_at(viewer, ask, progress, Said::Progress);
                progress += 500 * MILLI;
            }
            self.answer_at(viewer, ask, whole, Said::Body(body));
        }
    }

    fn answer_at(&mut self, viewer: usize, ask: AskId, after: Micros, said: Said) {
        let Some(asked) = self.watchers[viewer].asked.get(&ask) else { return };
        let late = self.condition(asked.server, Place::Viewer(viewer)).late;
        let at = self.now + self.watchers[viewer].latency + late + after;
        self.agenda.put(at, Happens::Answers { viewer, ask, said });
    }

    pub(super) fn answers(&mut self, viewer: usize, ask: AskId, said: Said) {
        let Some(asked) = self.watchers[viewer].asked.get(&ask) else { return };
        let (server, kind) = (asked.server, asked.ask.kind);
        if !self.condition(server, Place::Viewer(viewer)).is_open {
            let again = Happens::Answers { viewer, ask, said };
            return self.agenda.put(self.now + 300 * MILLI, again);
        }
        match said {
            Said::Head(status) => {
                if !(200..300).contains(&status) {
                    self.watchers[viewer].asked.remove(&ask);
                }
                self.tell_viewer(viewer, Input::Head { ask, status, location: None, retry_after: None });
            }
            Said::Progress => self.tell_viewer(viewer, Input::Progress { ask }),
            Said::Body(body) => {
                let asked = self.watchers[viewer].asked.remove(&ask);
                match (kind, asked) {
                    (AskKind::Segment { .. }, Some(asked)) => {
                        if let Err((law, what)) = self.laws.fetched(viewer, asked.ask.url.path(), &body) {
                            self.breaks(law, what);
                        }
                        self.tell_viewer(viewer, Input::Segment { ask, bytes: body.len() as u64 });
                    }
                    (AskKind::Steering, _) => self.tell_viewer(viewer, Input::Steering { ask, body: &body }),
                    (AskKind::Init { .. }, _) => {
                        self.tell_viewer(viewer, Input::Segment { ask, bytes: body.len() as u64 });
                    }
                    (_, asked) => {
                        let watcher = &mut self.watchers[viewer];
                        if let Some(Asked { server: Place::Edge(edge), life, ask, .. }) = asked {
                            let rendition = ask.url.path().rsplit('/').nth(1).unwrap_or_default();
                            let before = watcher.lives.insert((edge, rendition.to_owned()), life);
                            watcher.reads_anew = before.is_some_and(|before| before != life);
                        }
                        self.tell_viewer(viewer, Input::Playlist { ask, body: &body });
                        self.watchers[viewer].reads_anew = false;
                    }
                }
            }
            Said::Failed(why) => {
                self.watchers[viewer].asked.remove(&ask);
                self.tell_viewer(viewer, Input::Failed { ask, why });
            }
        }
    }

    /// A server was killed: who waits for it reads a reset, if that gets through.
    pub(super) fn reset_asks(&mut self, server: Place) {
        for viewer in 0..self.watchers.len() {
            let asked = self.watchers[viewer].asked.iter();
            let lost: Vec<AskId> = asked
                .filter(|(_, asked)| asked.server == server && asked.life > 0)
                .map(|(id, _)| *id)
                .collect();
            for ask in lost {
                self.answer_at(viewer, ask, 0, Said::Failed(Failure::Reset));
            }
        }
    }
}

/// A path without its token.
fn short(path: &str) -> &str {
    path.strip_prefix("/v/").and_then(|rest| rest.split_once('/')).map_or(path, |(_, rest)| rest)
}
