//! What the network does with the wires of a day: bytes move, ends hear of ends.

use super::agenda::MILLI;
use super::network::{Pipe, What, Wire, WireId, corrupt};
use super::weather::Place;
use super::{Day, Happens, Life};

impl Day {
    /// A new connection; it is up at both ends.
    pub(super) fn open_wire(&mut self, what: What, ends: [Place; 2]) -> WireId {
        let latency = self.random.within(self.weather.latency.0, self.weather.latency.1);
        let ways = [Pipe::new(latency), Pipe::new(latency)];
        self.wires.push(Wire { what, ends, ways, is_held: [true; 2], corrupts: false });
        self.wires.len() - 1
    }

    /// Hands the network what this end has to say; way 0 is the dialler's.
    pub(super) fn transmit(&mut self, id: WireId, way: usize) {
        let place = self.wires[id].ends[way];
        if !self.wires[id].is_held[way] || !self.life(place).is_up() {
            return;
        }
        while self.wires[id].ways[way].takes() > 0 {
            let budget = self.wires[id].ways[way].takes();
            let mut out = Vec::new();
            match (self.wires[id].what, way) {
                (What::Media { edge, ingest, lane, .. }, 0) => self.edges[edge].say(ingest, lane, &mut out),
                (What::Media { ingest, id, .. }, _) => self.ingests[ingest].say(id, budget, &mut out),
                (What::Control { edge, balancer, .. }, 0) => self.edges[edge].say_control(balancer, &mut out),
                (What::Control { balancer, id, .. }, _) => self.balancers[balancer].say(id, &mut out),
            }
            if out.is_empty() {
                return;
            }
            if self.wires[id].corrupts && way == 1 {
                let by = self.random.next() as u8;
                if corrupt(&mut out, by) {
                    self.wires[id].corrupts = false;
                    self.say(|| format!("a byte changes on wire {id}"));
                }
            }
            self.send(id, way, out);
        }
    }

    fn send(&mut self, id: WireId, way: usize, bytes: Vec<u8>) {
        let ends = self.wires[id].ends;
        let condition = self.condition(ends[way], ends[1 - way]);
        // What is lost is sent again: after a round trip mostly, sometimes after a timeout.
        let lost_for = match self.random.happens(condition.loss) {
            true if self.random.happens(30) => self.random.within(200, 450) * MILLI,
            true => self.wires[id].ways[way].latency() * 2,
            false => 0,
        };
        self.wires[id].ways[way].send(self.now, bytes, condition, lost_for);
        self.await_way(id, way, 0);
    }

    fn await_way(&mut self, id: WireId, way: usize, late: u64) {
        let pipe = &mut self.wires[id].ways[way];
        if let (false, Some(at)) = (pipe.is_awaited, pipe.arrival()) {
            pipe.is_awaited = true;
            let at = at.max(self.now + late);
            self.agenda.put(at, Happens::Arrives { wire: id, way });
        }
    }

    pub(super) fn arrives(&mut self, id: WireId, way: usize) {
        let wire = &mut self.wires[id];
        wire.ways[way].is_awaited = false;
        let (from, to) = (wire.ends[way], wire.ends[1 - way]);
        if !wire.is_held[1 - way] {
            wire.ways[way].clear();
            // Whoever still speaks to it is told that it is over.
            if wire.is_held[way] {
                let at = self.now + wire.ways[way].latency();
                self.agenda.put(at, Happens::Ends { wire: id, end: way });
            }
            return;
        }
        // It waits for the network, or for the program, and is stirred when that is over.
        if !self.condition(from, to).is_open || matches!(self.life(to), Life::Paused(_)) {
            return;
        }
        let Some(bytes) = self.wires[id].ways[way].take() else { return };
        self.await_way(id, way, 0);
        match (self.wires[id].what, way) {
            (What::Media { ingest, id, .. }, 0) => self.ingest_hears(ingest, id, &bytes),
            (What::Media { edge, ingest, lane, .. }, _) => self.edge_hears(edge, ingest, lane, &bytes),
            (What::Control { balancer, id, .. }, 0) => self.balancer_hears(balancer, id, &bytes),
            (What::Control { edge, balancer, .. }, _) => self.edge_hears_control(edge, balancer, &bytes),
        }
        self.transmit(id, way);
    }

    /// This end lets go of it; the other hears of that if word gets through.
    pub(super) fn close_wire(&mut self, id: WireId, end: usize) {
        let wire = &mut self.wires[id];
        if !std::mem::take(&mut wire.is_held[end]) {
            return;
        }
        wire.ways[1 - end].clear();
        let at = self.now + wire.ways[end].latency();
        self.agenda.put(at, Happens::Ends { wire: id, end: 1 - end });
    }

    pub(super) fn ends(&mut self, id: WireId, end: usize) {
        let ends = self.wires[id].ends;
        if !self.wires[id].is_held[end] || !self.condition(ends[1 - end], ends[end]).is_open {
            return;
        }
        self.wires[id].is_held[end] = false;
        self.wires[id].ways.iter_mut().for_each(Pipe::clear);
        match (self.wires[id].what, end) {
            (What::Media { edge, ingest, .. }, 0) => self.edge_lost(edge, Place::Ingest(ingest), "reset"),
            (What::Media { ingest, id, .. }, _) => self.ingest_lost(ingest, id),
            (What::Control { edge, balancer, .. }, 0) => {
                self.edge_lost(edge, Place::Balancer(balancer), "reset")
            }
            (What::Control { balancer, id, .. }, _) => self.balancer_lost(balancer, id, "reset"),
        }
    }

    /// The network, or somebody, is well again: what waited is sent again, sooner or later.
    pub(super) fn stir(&mut self) {
        for id in 0..self.wires.len() {
            for way in 0..2 {
                let late = self.random.within(1, 400) * MILLI;
                self.await_way(id, way, late);
            }
        }
    }

    /// The wires that this place holds.
    pub(super) fn wires_of(&self, place: Place) -> Vec<(WireId, usize)> {
        let held = |(id, wire): (WireId, &Wire)| {
            (0..2).find(|end| wire.is_held[*end] && wire.ends[*end] == place).map(|end| (id, end))
        };
        self.wires.iter().enumerate().filter_map(held).collect()
    }
}
