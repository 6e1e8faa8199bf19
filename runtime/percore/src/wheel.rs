//! When which connection has waited too long: one wheel per core, no timer per request.
//!
//! Lives here: entries by tick. Does not live here: the deadlines themselves (each connection has one), or a clock.
//!
//! An entry is a reminder to look, not a deadline: a connection whose deadline moves later leaves its entry where it
//! is, and is looked at once too often. So a request costs no work here.

use std::time::Duration;

use crate::service::ConnectionId;

/// How coarse time-outs are.
pub(crate) const TICK: Duration = Duration::from_millis(64);
/// A power of two; `SLOTS` ticks (65 s) is how far ahead the wheel looks; what is later is looked at then.
const SLOTS: u32 = 1024;

/// A moment, in ticks since the core began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(crate) u32);

impl Tick {
    pub(crate) const NEVER: Self = Self(u32::MAX);

    /// The tick that `since_start` is in.
    pub(crate) fn at(since_start: Duration) -> Self {
        Self(u32::try_from(since_start.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX - 1))
    }

    /// The first tick at which `span` has surely passed.
    pub(crate) fn after(self, span: Duration) -> Self {
        let ticks = u32::try_from(span.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX);
        Self(self.0.saturating_add(ticks).saturating_add(1).min(u32::MAX - 1))
    }

    /// When it begins.
    pub(crate) fn start(self) -> Duration {
        TICK * self.0
    }
}

/// The entries of one core.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<ConnectionId>>,
    /// Everything up to here has been taken out.
    past: Tick,
    /// No entry is before this one.
    soonest: Tick,
    len: usize,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize], past: Tick(0), soonest: Tick::NEVER, len: 0 }
    }

    /// Enters `id`, and says for when: `at`, unless that is past or beyond the horizon.
    pub(crate) fn insert(&mut self, at: Tick, id: ConnectionId) -> Tick {
        let at = Tick(at.0.clamp(self.past.0 + 1, self.past.0 + SLOTS - 1));
        self.slots[(at.0 % SLOTS) as usize].push(id);
        self.len += 1;
        self.soonest = self.soonest.min(at);
        at
    }

    /// Takes out the entries of the next tick that has any, if it is not after `now`.
    pub(crate) fn expire(&mut self, now: Tick) -> Option<(Tick, Vec<ConnectionId>)> {
        if self.soonest > now {
            self.past = self.past.max(now);
            return None;
        }
        let tick = self.soonest;
        // Taken whole, allocation and all: a slot that once held 20,000 should not hold their memory for ever.
        let ids = std::mem::take(&mut self.slots[(tick.0 % SLOTS) as usize]);
        self.len -= ids.len();
        self.past = tick;
        self.soonest = self.search();
        Some((tick, ids))
    }

    /// The next tick that has entries.
    pub(crate) fn next(&self) -> Option<Tick> {
        (self.len > 0).then_some(self.soonest)
    }

    fn search(&self) -> Tick {
        if self.len == 0 {
            return Tick::NEVER;
        }
        let ahead = (1..SLOTS).find(|n| !self.slots[((self.past.0 + n) % SLOTS) as usize].is_empty());
        ahead.map_or(Tick::NEVER, |ahead| Tick(self.past.0 + ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> ConnectionId {
        ConnectionId { index, generation: 0 }
    }

    #[test]
    fn entries_come_out_at_their_tick_and_not_before() {
        let mut wheel = Wheel::new();
        wheel.insert(Tick(5), id(1));
        wheel.insert(Tick(3), id(2));
        assert_eq!(wheel.next(), Some(Tick(3)));
        assert_eq!(wheel.expire(Tick(2)), None);
        assert_eq!(wheel.expire(Tick(9)), Some((Tick(3), vec![id(2)])));
        assert_eq!(wheel.next(), Some(Tick(5)));
        assert_eq!(wheel.expire(Tick(9)), Some((Tick(5), vec![id(1)])));
        assert_eq!((wheel.expire(Tick(9)), wheel.next()), (None, None));
    }

    #[test]
    fn what_is_beyond_the_horizon_is_looked_at_early_and_what_is_past_at_once() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.expire(Tick(10)), None);
        assert_eq!(wheel.insert(Tick(1_000_000), id(1)), Tick(10 + SLOTS - 1));
        assert_eq!(wheel.insert(Tick(2), id(2)), Tick(11));
    }

    #[test]
    fn a_span_has_surely_passed_at_the_tick_after_it() {
        let late = Tick::at(Duration::from_millis(63)).after(Duration::from_millis(64));
        assert!(late.start() >= Duration::from_millis(63 + 64));
    }
}
