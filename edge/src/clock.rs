//! One core's two clocks, read as seldom as will do.
//!
//! A turn's `now` is read once by the runtime, before anything is done. What leaves in the turn in which it was asked
//! for left later than that: the clock is read again after each segment, and after every sixteenth of other answers,
//! which take a few microseconds each. A read costs 25 ns.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Answers that leave between two reads.
const ANSWERS_PER_READ: u32 = 16;

/// The clocks.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// The latest that is known.
    latest: Instant,
    answers: u32,
    unix_secs: u64,
    /// When that second is over.
    next_second: Instant,
}

/// Microseconds since the start, round the clock every 71 minutes; longer than any answer may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Micros(u32);

impl Micros {
    pub(crate) fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl Clock {
    pub(crate) fn new(now: Instant) -> Self {
        Self { start: now, latest: now, answers: 0, unix_secs: 0, next_second: now }
    }

    /// Of a turn's `now`.
    pub(crate) fn at(&self, now: Instant) -> Micros {
        Micros(now.saturating_duration_since(self.start).as_micros() as u32)
    }

    /// The second it is by the system's clock; a clock that is set is noticed within one.
    pub(crate) fn unix_secs(&mut self, now: Instant) -> u64 {
        if now >= self.next_second {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            self.unix_secs = since.as_secs();
            let rest = Duration::from_secs(1) - Duration::from_nanos(u64::from(since.subsec_nanos()));
            self.next_second = now + rest;
        }
        self.unix_secs
    }

    /// When what has just left did so.
    pub(crate) fn after_work(&mut self, turn: Instant, is_long: bool) -> Micros {
        self.answers = self.answers.wrapping_add(1);
        if is_long || self.answers.is_multiple_of(ANSWERS_PER_READ) {
            self.latest = Instant::now();
        }
        self.latest = self.latest.max(turn);
        self.at(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_go_round_the_clock() {
        let start = Instant::now();
        let clock = Clock::new(start);
        let before = clock.at(start + Duration::from_micros(u64::from(u32::MAX)));
        let after = clock.at(start + Duration::from_micros(u64::from(u32::MAX) + 10));
        assert_eq!((after.since(before), before.since(before)), (10, 0));
    }

    #[test]
    fn what_leaves_in_a_long_turn_did_not_leave_at_its_beginning() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        std::thread::sleep(Duration::from_millis(2));
        let times: Vec<_> = (0..32).map(|_| clock.after_work(start, false).since(clock.at(start))).collect();
        assert!(times[0] == 0 && times[15] >= 2_000 && times[16] >= times[15], "{times:?}");
        assert!(clock.after_work(start, true).since(clock.at(start)) >= times[31]);
    }

    #[test]
    fn a_second_is_read_once() {
        let now = Instant::now();
        let mut clock = Clock::new(now);
        let second = clock.unix_secs(now);
        assert!(second > 1_700_000_000 && clock.unix_secs(now) == second);
        assert!(clock.next_second > now && clock.next_second <= now + Duration::from_secs(1));
    }
}
