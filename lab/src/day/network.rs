//! The wires between nodes, as programs see TCP: in order, late, at a rate; what is lost comes later; what cannot get
//! through waits; and the other end hears of an end only if word of it gets through.

use super::agenda::{MILLI, Micros};
use super::weather::{Fault, Place, Side, Trouble};
use edgefan::ConnectionId;
use std::collections::VecDeque;

/// Which wire.
pub(crate) type WireId = usize;

/// A connection between two nodes. Way 0 leads from the dialler to the dialled, way 1 back.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) what: What,
    pub(crate) ends: [Place; 2],
    pub(crate) ways: [Pipe; 2],
    /// Whether that end still has it.
    pub(crate) is_held: [bool; 2],
    /// One byte of the next object on it is to change.
    pub(crate) corrupts: bool,
}

/// What goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One connection of an edge's link to an ingest.
    Media { edge: usize, ingest: usize, lane: usize, id: ConnectionId },
    /// An edge's link to a balancer.
    Control { edge: usize, balancer: usize, id: u64 },
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    latency: Micros,
    flying: VecDeque<(Micros, Vec<u8>)>,
    bytes: usize,
    busy_until: Micros,
    last_arrival: Micros,
    /// Somebody will look when the first arrives.
    pub(crate) is_awaited: bool,
}

/// Bytes the sender's kernel takes before it says no.
const ROOM: usize = 32 * 1024;
/// Bytes per millisecond where nothing narrows it.
const RATE: u64 = 12_500;

impl Pipe {
    pub(crate) fn new(latency: Micros) -> Self {
        Self { latency, flying: VecDeque::new(), bytes: 0, busy_until: 0, last_arrival: 0, is_awaited: false }
    }

    /// How many bytes may be handed over now.
    pub(crate) fn takes(&self) -> usize {
        ROOM.saturating_sub(self.bytes)
    }

    pub(crate) fn send(&mut self, now: Micros, bytes: Vec<u8>, condition: Condition, lost_for: Micros) {
        let rate = condition.rate.clamp(1, RATE);
        self.busy_until = self.busy_until.max(now) + bytes.len() as u64 * MILLI / rate;
        let at = (self.busy_until + self.latency + condition.late + lost_for).max(self.last_arrival);
        self.last_arrival = at;
        self.bytes += bytes.len();
        self.flying.push_back((at, bytes));
    }

    /// When the first of what flies arrives.
    pub(crate) fn arrival(&self) -> Option<Micros> {
        self.flying.front().map(|(at, _)| *at)
    }

    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let (_, bytes) = self.flying.pop_front()?;
        self.bytes -= bytes.len();
        Some(bytes)
    }

    /// How long word takes that overtakes the bytes.
    pub(crate) fn latency(&self) -> Micros {
        self.latency
    }

    pub(crate) fn clear(&mut self) {
        self.flying.clear();
        self.bytes = 0;
    }
}

/// How it is between two places now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) is_open: bool,
    pub(crate) late: Micros,
    /// In a hundred.
    pub(crate) loss: u64,
    pub(crate) rate: u64,
}

/// How it is from one place to another while these faults last.
pub(crate) fn condition<'a>(from: Place, to: Place, faults: impl Iterator<Item = &'a Fault>) -> Condition {
    let mut condition = Condition { is_open: true, late: 0, loss: 0, rate: u64::MAX };
    for fault in faults {
        let touches = |place: Place| place == from || place == to;
        match fault.trouble {
            Trouble::BlackHole(place, side) => {
                let stops = (place == to && side != Side::Out) || (place == from && side != Side::In);
                condition.is_open &= !stops;
            }
            Trouble::Cut(one, other, side) => {
                let stops = (one == from && other == to && side != Side::In)
                    || (one == to && other == from && side != Side::Out);
                condition.is_open &= !stops;
            }
            Trouble::Slow(place, by) if touches(place) => condition.late += by,
            Trouble::Loss(place, percent) if touches(place) => condition.loss = condition.loss.max(percent),
            Trouble::Narrow(place, rate) if touches(place) => condition.rate = condition.rate.min(rate),
            _ => {}
        }
    }
    condition
}

/// Changes one byte of the first DATA frame in it; false if there is none.
pub(crate) fn corrupt(frames: &mut [u8], by: u8) -> bool {
    let mut at = 0;
    while let Some(&[kind, _, _, _, a, b, c, d]) = frames.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        // Behind the object's number and the offset.
        if kind == edgefan::FrameType::Data as u8 && len > 12 && frames.len() > at + 20 {
            frames[at + 20] ^= by | 1;
            return true;
        }
        at += 8 + len;
    }
    false
}
