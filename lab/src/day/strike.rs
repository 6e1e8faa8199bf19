//! What faults do, and what undoes them.

use super::agenda::SECOND;
use super::network::What;
use super::weather::{Fault, Place, Trouble};
use super::{Day, Happens, Life};

impl Day {
    pub(super) fn strikes(&mut self, index: usize) {
        self.is_struck[index] = true;
        let Fault { trouble, until, .. } = self.weather.faults[index];
        self.say(|| format!("FAULT {trouble:?}"));
        match trouble {
            Trouble::Kill(place) => self.kill(place),
            Trouble::Pause(place) => {
                if let Life::Up(number) = self.life(place) {
                    self.set_life(place, Life::Paused(number));
                }
            }
            Trouble::CorruptObject(ingest, edge) => {
                for wire in &mut self.wires {
                    if matches!(wire.what, What::Media { edge: e, ingest: i, .. } if e == edge && i == ingest)
                    {
                        wire.corrupts = true;
                    }
                }
            }
            Trouble::CorruptWire(ingest, edge) => {
                let of =
                    |what| matches!(what, What::Media { edge: e, ingest: i, .. } if e == edge && i == ingest);
                let broken: Vec<_> = (0..self.wires.len()).filter(|id| of(self.wires[*id].what)).collect();
                // The end that read it gives up the connection.
                broken
                    .into_iter()
                    .take(1)
                    .for_each(|_| self.edge_lost(edge, Place::Ingest(ingest), "a bad record"));
            }
            Trouble::ClockStep(place, by) => *self.off_ms.entry(place).or_default() += by,
            Trouble::EncoderDies(ingest) => self.encoder_dies(ingest),
            Trouble::RestartStorm(place, times) => {
                let until = until.saturating_sub(SECOND);
                let every = until.saturating_sub(self.now) / (times * 2);
                self.kill(place);
                self.agenda.put(self.now + every, Happens::Again { fault: index, left: times * 2 - 1 });
            }
            Trouble::BlackHole(..)
            | Trouble::Cut(..)
            | Trouble::Slow(..)
            | Trouble::Loss(..)
            | Trouble::Narrow(..)
            | Trouble::PublisherGone => {}
        }
    }

    pub(super) fn strikes_again(&mut self, index: usize, left: u64) {
        let Fault { trouble: Trouble::RestartStorm(place, times), from, until } = self.weather.faults[index]
        else {
            return;
        };
        match self.life(place) {
            Life::Down(_) => self.start(place),
            _ if left > 1 => self.kill(place),
            _ => {}
        }
        if left > 1 {
            let every = (until.saturating_sub(SECOND)).saturating_sub(from) / (times * 2);
            self.agenda.put(self.now + every, Happens::Again { fault: index, left: left - 1 });
        }
    }

    pub(super) fn heals(&mut self, index: usize) {
        self.is_struck[index] = false;
        let trouble = self.weather.faults[index].trouble;
        self.say(|| format!("over: {trouble:?}"));
        match trouble {
            Trouble::Kill(place) | Trouble::RestartStorm(place, _) => {
                if matches!(self.life(place), Life::Down(_)) {
                    self.start(place);
                }
            }
            Trouble::Pause(place) => {
                if let Life::Paused(number) = self.life(place) {
                    self.set_life(place, Life::Up(number));
                    let (its, others) =
                        std::mem::take(&mut self.inbox).into_iter().partition(|(of, _)| *of == place);
                    self.inbox = others;
                    let its: Vec<(Place, Happens)> = its;
                    its.into_iter().for_each(|(_, happens)| self.agenda.put(self.now, happens));
                }
            }
            _ => {}
        }
        self.stir();
    }

    fn kill(&mut self, place: Place) {
        let number = self.life(place).number();
        if matches!(self.life(place), Life::Down(_)) {
            return;
        }
        self.set_life(place, Life::Down(number));
        self.inbox.retain(|(of, _)| *of != place);
        for (wire, end) in self.wires_of(place) {
            self.close_wire(wire, end);
        }
        match place {
            Place::Ingest(index) => {
                self.ingests[index].stop();
                self.end_session(index, "reset");
            }
            Place::Edge(index) => self.edges[index].stop(),
            Place::Balancer(index) => self.balancers[index].stop(),
            Place::Publisher | Place::Viewer(_) => {}
        }
        self.reset_asks(place);
    }
}
