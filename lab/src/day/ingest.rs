//! An ingest of the day: `ingest::bare`, the publisher's end of edgefan, and an encoder beside it.

use super::agenda::{MILLI, Micros};
use super::encoder::Encoder;
use super::network::{What, WireId};
use super::weather::{Feeding, Place};
use super::{Day, Happens, Life};
use edgefan::{ConnectionId, NodeId, Publisher, PublisherEvent, PublisherSettings};
use ingest::bare::{Bare, Memory, Process, Word};
use ladder::{Ladder, Order, Report};
use media::{BroadcastId, Grid, MediaSpan, MediaTime};
use std::collections::BTreeMap;
use std::time::Duration;
use timeline::Input;

/// One ingest.
pub(crate) struct Ingest {
    pub(crate) life: Life,
    publisher: Publisher,
    line: Option<Bare>,
    encoder: Option<(Process, Encoder)>,
    /// What is on its disk.
    memory: Option<Memory>,
    /// The wall clock as its program read it, and when.
    wall_then: MediaTime,
    started: Micros,
    wires: BTreeMap<ConnectionId, WireId>,
}

/// The link of the two ingests.
#[derive(Debug, Default)]
pub(crate) struct Twin {
    is_up: bool,
    /// Since when it is otherwise than it is taken for.
    changed: Option<Micros>,
    /// Which link; what an earlier one still carries is lost.
    number: u64,
}

/// What a transcode process does to its ingest.
#[derive(Debug)]
pub(crate) enum Work {
    Reports(Process, Vec<Report>),
    Gone(Process),
}

/// From an order to its reports.
const WORKS_FOR: Micros = 60 * MILLI;

/// The one broadcast there is.
pub(crate) fn tide() -> BroadcastId {
    BroadcastId::parse("tide").expect("a constant that is a name")
}

pub(crate) fn grid() -> Grid {
    Grid::new(MediaSpan::from_secs(2)).expect("a constant that is a pitch")
}

pub(crate) const WINDOW: u32 = 6;

fn publisher(index: usize) -> Publisher {
    let node = NodeId::parse(&format!("ingest{index}")).expect("a name and a digit");
    Publisher::new(PublisherSettings::new(node))
}

/// The wall clock that an ingest stamps with: read when it started, moved on by the clock that never jumps.
pub(crate) fn wall(day: &Day, index: usize) -> MediaTime {
    let ingest = &day.ingests[index];
    ingest.wall_then + MediaSpan::from_duration(Duration::from_micros(day.now - ingest.started))
}

impl Ingest {
    pub(crate) fn new() -> Self {
        Self {
            life: Life::Down(0),
            publisher: publisher(0),
            line: None,
            encoder: None,
            memory: None,
            wall_then: MediaTime::default(),
            started: 0,
            wires: BTreeMap::new(),
        }
    }

    /// Everything in memory is gone.
    pub(crate) fn stop(&mut self) {
        (self.line, self.encoder) = (None, None);
        self.wires.clear();
    }

    pub(crate) fn say(&mut self, id: ConnectionId, budget: usize, out: &mut Vec<u8>) {
        self.publisher.transmit(id, budget, out);
    }

    pub(crate) fn links(&self) -> u64 {
        self.publisher.counters().links
    }

    pub(crate) fn hub_bytes(&self) -> u64 {
        self.publisher.counters().hub_bytes
    }
}

impl Day {
    pub(super) fn start_ingest(&mut self, index: usize) {
        let wall = MediaTime::from_unix_millis(self.unix_millis(Place::Ingest(index)));
        let ingest = &mut self.ingests[index];
        ingest.publisher = publisher(index);
        (ingest.wall_then, ingest.started) = (wall, self.now);
        self.say(|| format!("ingest{index} starts"));
    }

    fn media_now(&self, wall: MediaTime) -> timeline::Now {
        timeline::Now { instant: self.clock(), wall }
    }

    pub(super) fn published(&mut self, index: usize, life: u64, said: Vec<(Input, MediaTime)>) {
        if self.ingests[index].life != Life::Up(life) {
            return;
        }
        for (input, wall) in said {
            let now = self.media_now(wall);
            self.line(index).publisher(input, now);
        }
        self.settle_ingest(index);
    }

    /// Its line of the broadcast; made where there is none.
    fn line(&mut self, index: usize) -> &mut Bare {
        let now = self.media_now(wall(self, index));
        let has_twin = self.weather.feeding == Feeding::Both;
        let twin = self.twin.is_up.then_some(index == 0);
        let ingest = &mut self.ingests[index];
        ingest.line.get_or_insert_with(|| {
            let steps = ["360p 600k", "180p 250k"].into_iter().filter_map(|step| step.parse().ok()).collect();
            let ladder = Ladder { copy: false, steps };
            let settles_at = now.instant + if has_twin { twin::SETTLE_WITHIN } else { Duration::ZERO };
            let grace = Duration::from_secs(30);
            let mut line = Bare::new(tide(), grid(), WINDOW, grace, ladder, ingest.memory, settles_at, now);
            if twin.is_some() {
                line.twin(twin, now);
            }
            line
        })
    }

    /// The link of the two ingests: up and down as the network and they are.
    pub(super) fn mind_twin(&mut self) {
        if self.weather.feeding != Feeding::Both {
            return;
        }
        let (one, other) = (Place::Ingest(0), Place::Ingest(1));
        let are_up = self.ingests.iter().all(|ingest| ingest.life.is_up());
        let is_down = self.ingests.iter().any(|ingest| matches!(ingest.life, Life::Down(_)));
        let is_well = are_up && self.condition(one, other).is_open && self.condition(other, one).is_open;
        let since = self.twin.changed.get_or_insert(self.now);
        if is_well == self.twin.is_up {
            self.twin.changed = None;
            return;
        }
        // Three heartbeats of silence, or a reset; and a dialling that takes as long as it takes.
        let patience = if self.twin.is_up && is_down { 0 } else { 750 * MILLI };
        if self.now - *since < patience {
            return;
        }
        (self.twin.is_up, self.twin.changed) = (is_well, None);
        self.twin.number += 1;
        self.say(|| format!("the twins' link is {}", if is_well { "up" } else { "down" }));
        for index in 0..2 {
            if matches!(self.ingests[index].life, Life::Down(_)) {
                continue;
            }
            let (life, number) = (self.ingests[index].life.number(), self.twin.number);
            let said = Happens::Twin { ingest: index, life, number, said: None };
            self.agenda.put(self.now + MILLI, said);
        }
    }

    /// Something of the twin reaches an ingest; `None` that its link has changed.
    pub(super) fn twin_says(&mut self, index: usize, life: u64, number: u64, said: Option<Box<twin::Said>>) {
        if self.ingests[index].life != Life::Up(life) {
            return;
        }
        let now = self.media_now(wall(self, index));
        let is_up = self.twin.is_up;
        match said {
            None => {
                if self.ingests[index].line.is_some() {
                    self.line(index).twin(is_up.then_some(index == 0), now);
                } else if is_up {
                    self.line(index);
                }
            }
            Some(said) if number == self.twin.number && is_up => self.line(index).twin_said(*said, now),
            Some(_) => return,
        }
        self.settle_ingest(index);
    }

    pub(super) fn reported(&mut self, index: usize, life: u64, work: Work) {
        if self.ingests[index].life != Life::Up(life) {
            return;
        }
        let now = self.media_now(wall(self, index));
        let Some(line) = &mut self.ingests[index].line else { return };
        match work {
            Work::Reports(process, reports) => {
                reports.into_iter().for_each(|report| line.report(process, report, now));
            }
            Work::Gone(process) => line.gone(process, "it has ended".into(), now),
        }
        self.settle_ingest(index);
    }

    pub(super) fn encoder_dies(&mut self, index: usize) {
        let Some((process, _)) = self.ingests[index].encoder.take() else { return };
        let life = self.ingests[index].life.number();
        self.agenda
            .put(self.now + MILLI, Happens::Reported { ingest: index, life, work: Work::Gone(process) });
    }

    pub(super) fn look_ingest(&mut self, index: usize) {
        self.mind_twin();
        let (clock, now) = (self.clock(), self.media_now(wall(self, index)));
        let ingest = &mut self.ingests[index];
        ingest.publisher.tick(clock);
        if let Some(line) = &mut ingest.line
            && line.deadline().is_some_and(|at| at <= clock)
        {
            line.tick(now);
        }
        self.settle_ingest(index);
    }

    pub(super) fn ingest_accepts(&mut self, index: usize, id: ConnectionId, wire: WireId) {
        let clock = self.clock();
        self.ingests[index].publisher.accept(id, clock);
        self.ingests[index].wires.insert(id, wire);
    }

    pub(super) fn ingest_hears(&mut self, index: usize, id: ConnectionId, bytes: &[u8]) {
        let clock = self.clock();
        self.ingests[index].publisher.received(id, bytes, clock);
        self.settle_ingest(index);
    }

    pub(super) fn ingest_lost(&mut self, index: usize, id: ConnectionId) {
        self.ingests[index].wires.remove(&id);
        self.ingests[index].publisher.lost(id, "reset");
        self.settle_ingest(index);
    }

    /// Everything that is free to go on goes on.
    fn settle_ingest(&mut self, index: usize) {
        let clock = self.clock();
        loop {
            let ingest = &mut self.ingests[index];
            let Some(word) = ingest.line.as_mut().and_then(|line| line.pull(&mut ingest.publisher, clock))
            else {
                break;
            };
            match word {
                Word::Start(process, orders) => {
                    ingest.encoder = Some((process, Encoder::new()));
                    self.order(index, process, orders);
                }
                Word::Order(process, order) => self.order(index, process, vec![order]),
                Word::Kill(process) => {
                    ingest.encoder.take_if(|(of, _)| *of == process);
                }
                Word::Remember(memory) => ingest.memory = Some(memory),
                Word::Settled(key, facts) => {
                    let is_gap = facts.is_gap;
                    self.say(|| {
                        format!("ingest{index} settles {key}{}", if is_gap { " as a gap" } else { "" })
                    });
                    let now = self.now;
                    self.laws.made(index, &key, &facts, now);
                    if let Some(lane) = self.usurped(index, &key) {
                        self.ingests[index].publisher.lane(lane);
                    }
                }
                Word::Ended(_, run) => self.say(|| format!("ingest{index} ends run {run}")),
                Word::Say(said) => {
                    let (to, number) = (1 - index, self.twin.number);
                    if self.twin.is_up {
                        let life = self.ingests[to].life.number();
                        let said = Happens::Twin { ingest: to, life, number, said: Some(said) };
                        self.agenda.put(self.now + 3 * MILLI, said);
                    }
                }
                Word::SendAway => self.end_session(index, "the twin takes it"),
                Word::Note(text) => self.say(|| format!("ingest{index} notes: {text}")),
            }
        }
        while let Some(event) = self.ingests[index].publisher.pull() {
            match event {
                PublisherEvent::Wake(id) => {
                    if let Some(&wire) = self.ingests[index].wires.get(&id) {
                        self.transmit(wire, 1);
                    }
                }
                PublisherEvent::Close { connection, why } => {
                    if let Some(wire) = self.ingests[index].wires.remove(&connection) {
                        self.say(|| format!("ingest{index} closes {:?}: {why}", self.wires[wire].what));
                        self.close_wire(wire, 1);
                    }
                }
                PublisherEvent::LinkUp { node } => {
                    self.say(|| format!("ingest{index}: link of {node} is up"))
                }
                PublisherEvent::LinkDown { node, why } => {
                    self.say(|| format!("ingest{index}: link of {node} is over: {why}"));
                }
            }
        }
    }

    fn order(&mut self, index: usize, process: Process, orders: Vec<Order>) {
        let ingest = &mut self.ingests[index];
        let Some((of, encoder)) = &mut ingest.encoder else { return };
        if *of != process {
            return;
        }
        let mut reports = Vec::new();
        orders.into_iter().for_each(|order| encoder.work(order, &mut reports));
        let (is_over, life) = (encoder.is_over, ingest.life.number());
        // The second is a little behind the first, as twins are.
        let at = self.now + WORKS_FOR + index as u64 * 25 * MILLI;
        self.agenda.put(at, Happens::Reported { ingest: index, life, work: Work::Reports(process, reports) });
        if is_over {
            ingest.encoder = None;
            self.agenda.put(at, Happens::Reported { ingest: index, life, work: Work::Gone(process) });
        }
    }

    pub(super) fn media_what(&self, edge: usize, ingest: usize, lane: usize, number: u64) -> What {
        What::Media { edge, ingest, lane, id: ConnectionId(number) }
    }
}
