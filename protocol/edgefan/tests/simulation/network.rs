//! One direction of one connection: in order, late, at a rate, sometimes stalled.
//!
//! A lost TCP segment is, to what is above, a stall; connections of one link stall apart, so what was sent on two
//! of them arrives in any order.

use crate::random::Random;
use std::collections::VecDeque;

/// Milliseconds since the day began.
pub(crate) type Millis = u64;

pub(crate) struct Pipe {
    latency: Millis,
    /// Bytes per millisecond.
    rate: usize,
    flying: VecDeque<(Millis, Vec<u8>)>,
    stalled_until: Millis,
    /// Bytes the sender's kernel takes before it says no.
    room: usize,
    /// When the wire is free again, in microseconds.
    busy_until: u64,
}

impl Pipe {
    pub(crate) fn new(latency: Millis, rate: usize) -> Self {
        Self { latency, rate, flying: VecDeque::new(), stalled_until: 0, room: 16 * 1024, busy_until: 0 }
    }

    pub(crate) fn stall(&mut self, until: Millis) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// How many bytes may be handed over now: what is on the way is bounded, as by TCP_NOTSENT_LOWAT.
    pub(crate) fn takes(&self) -> usize {
        self.room.saturating_sub(self.flying.iter().map(|(_, bytes)| bytes.len()).sum())
    }

    pub(crate) fn send(&mut self, bytes: Vec<u8>, now: Millis) {
        let begins = self.busy_until.max(now * 1000);
        self.busy_until = begins + (bytes.len() * 1000 / self.rate) as u64;
        self.flying.push_back((self.busy_until / 1000 + self.latency, bytes));
    }

    /// What arrives by now, cut as the network likes.
    pub(crate) fn arrive(&mut self, now: Millis, random: &mut Random) -> Option<Vec<u8>> {
        if now < self.stalled_until || self.flying.front()?.0 > now {
            return None;
        }
        let (at, mut bytes) = self.flying.pop_front()?;
        if bytes.len() > 1 && random.happens(2000) {
            let cut = random.within(1, bytes.len() as u64) as usize;
            self.flying.push_front((at, bytes.split_off(cut)));
        }
        Some(bytes)
    }
}

/// Changes one byte of one DATA frame: what TLS cannot see, because it happened before it.
pub(crate) fn corrupt(frames: &mut [u8], random: &mut Random) {
    let mut at = 0;
    while let Some(&[kind, _, _, _, a, b, c, d]) = frames[at..].first_chunk::<8>() {
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        // Behind the object's number and the offset.
        if kind == edgefan::FrameType::Data as u8 && len > 12 {
            frames[at + 8 + 12 + random.within(0, len as u64 - 12) as usize] ^= 1 << random.within(0, 8);
            return;
        }
        at += 8 + len;
    }
}
