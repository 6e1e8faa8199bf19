//! How much an edge has promised: what it was measured to send, and what is on its way to it.
//!
//! A viewer sent to an edge is seen in the edge's egress only a moment later, and a flash crowd fits into that
//! moment many times. So each assignment reserves its rate:
//!
//! ```text
//! promised = max( egress now,
//!                 egress a second ago + reservations of the last SEEN_AFTER,     those not yet seen
//!                 egress 10 s ago     + reservations since, decaying )           those that are slow to come
//! ```
//!
//! "A second ago" is when the current second began. With the egress of now in its place, whoever came within that second
//! counts twice: a crowd of 3,400 for 4,050 places was refused 143 times.
//!
//! Taking `max(egress, reservations)` alone, without the egress the reservations come on top of, would let a
//! crowd of 800 Mbit/s into an edge that already sends 800 and has 1000.
//!
//! Two balancers that fill one edge know of each other's reservations only when these have travelled. So what was
//! reserved here within [`EXCHANGED`] is taken to have been reserved by each of them too: `n` balancers together
//! then take at most what each of them sees free, whatever each was asked ([`Room::may_come`]).

use crate::By;
use media::BitRate;
use std::time::{Duration, Instant};

/// How long a reservation counts in full.
pub const RESERVATION_HOLD: Duration = Duration::from_secs(5);
/// When a reservation counts for nothing any more; between [`RESERVATION_HOLD`] and this it falls steadily.
pub const RESERVATION_LIFE: Duration = Duration::from_secs(10);
/// Within this a reservation is known to the other balancers: they tell each other every 20 ms, and a link that is
/// slower than the rest of it is silent before long. Beyond it, an edge may be filled past nine tenths.
pub const EXCHANGED: Duration = Duration::from_millis(250);
/// Fifths of [`EXCHANGED`], and the one that is not over.
const SLICES: usize = 6;
const SLICE_MILLIS: u64 = EXCHANGED.as_millis() as u64 / (SLICES as u64 - 1);

/// When a viewer that came at once is seen in the egress: the edge's averaging, a heartbeat, a playlist.
const SEEN_AFTER_SECS: u64 = 2;

const SECONDS: usize = RESERVATION_LIFE.as_secs() as usize;

/// What was reserved, second by second. Seconds are counted from when the edge joined.
#[derive(Debug)]
pub(crate) struct Room {
    began: Instant,
    /// The last that many seconds; the one at `second % SECONDS` is the current one.
    ring: [Cohort; SECONDS],
    /// What this balancer reserved of late; the one at `slice % SLICES` is the current one.
    ours: [(u64, u64); SLICES],
    egress: u64,
    /// An edge that is heard for the first time sends what it sends: that is no rise of ours.
    is_measured: bool,
}

/// One second's reservations.
#[derive(Clone, Copy, Debug, Default)]
struct Cohort {
    second: u64,
    reserved: u64,
    /// Egress when the second began.
    egress_before: u64,
}

impl Room {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            ring: [Cohort::default(); SECONDS],
            ours: [(0, 0); SLICES],
            egress: 0,
            is_measured: false,
        }
    }

    pub(crate) fn measured(&mut self, now: Instant, egress: BitRate) {
        let second = self.turn(now);
        self.egress = egress.0;
        if !std::mem::replace(&mut self.is_measured, true) {
            self.ring[second as usize % SECONDS].egress_before = egress.0;
        }
    }

    pub(crate) fn reserve(&mut self, now: Instant, rate: BitRate, by: By) {
        let second = self.turn(now);
        let cohort = &mut self.ring[second as usize % SECONDS];
        cohort.reserved = cohort.reserved.saturating_add(rate.0);
        if by == By::Core {
            let slice = self.slice(now);
            let (at, reserved) = &mut self.ours[slice as usize % SLICES];
            if *at != slice {
                (*at, *reserved) = (slice, 0);
            }
            *reserved = reserved.saturating_add(rate.0);
        }
    }

    /// What `peers` other balancers may have reserved, or be about to, before they hear of what was reserved here,
    /// one more of `rate` among it.
    pub(crate) fn may_come(&self, now: Instant, rate: BitRate, peers: u32) -> BitRate {
        if peers == 0 {
            return BitRate(0);
        }
        let slice = self.slice(now);
        let fresh = self.ours.iter().filter(|(at, _)| slice.saturating_sub(*at) < SLICES as u64);
        let ours = fresh.fold(rate.0, |sum, (_, reserved)| sum.saturating_add(*reserved));
        BitRate(ours.saturating_mul(u64::from(peers)))
    }

    fn slice(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64 / SLICE_MILLIS
    }

    pub(crate) fn promised(&self, now: Instant) -> BitRate {
        let second = self.second(now);
        let mut unseen = 0_u64;
        let mut decaying = 0_u64;
        let mut before = None;
        // Who came at once is seen already: what the egress rose by in this second is of those who were reserved.
        let mut lately = self.egress;
        for cohort in &self.ring {
            let age = second.saturating_sub(cohort.second);
            if age >= RESERVATION_LIFE.as_secs() {
                continue;
            }
            if age < SEEN_AFTER_SECS {
                if age == 0 {
                    lately = cohort.egress_before.min(self.egress);
                }
                unseen = unseen.saturating_add(cohort.reserved);
            }
            let falls = age.saturating_sub(RESERVATION_HOLD.as_secs());
            let span = (RESERVATION_LIFE - RESERVATION_HOLD).as_secs();
            decaying = decaying.saturating_add(cohort.reserved / span * (span - falls));
            if before.is_none_or(|(oldest, _)| cohort.second < oldest) {
                before = Some((cohort.second, cohort.egress_before));
            }
        }
        let before = before.map_or(self.egress, |(_, egress)| egress);
        BitRate(self.egress.max(lately.saturating_add(unseen)).max(before.saturating_add(decaying)))
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs()
    }

    /// Begins the current second if it has not begun yet.
    fn turn(&mut self, now: Instant) -> u64 {
        let second = self.second(now);
        let egress_before = self.egress;
        let cohort = &mut self.ring[second as usize % SECONDS];
        if cohort.second != second {
            *cohort = Cohort { second, reserved: 0, egress_before };
        }
        second
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a story needs some instant to begin at")]
mod tests {
    use super::*;

    fn at(began: Instant, seconds: f64) -> Instant {
        began + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_reservation_holds_then_falls_to_nothing_in_ten_seconds() {
        let began = Instant::now();
        let mut room = Room::new(began);
        room.reserve(began, BitRate(1000), By::Core);
        let after = |seconds| room.promised(at(began, seconds)).0;
        assert_eq!([0.0, 4.9, 6.0, 8.0, 9.9, 10.0].map(after), [1000, 1000, 800, 400, 200, 0]);
    }

    #[test]
    fn a_crowd_comes_on_top_of_what_is_measured() {
        let began = Instant::now();
        let mut room = Room::new(began);
        room.measured(began, BitRate(800));
        room.reserve(began, BitRate(150), By::Core);
        assert_eq!(room.promised(began), BitRate(950));
    }

    #[test]
    fn a_viewer_that_came_is_not_counted_twice() {
        let began = Instant::now();
        let mut room = Room::new(began);
        room.reserve(began, BitRate(500), By::Core);
        room.measured(at(began, 2.5), BitRate(480));
        assert_eq!(room.promised(at(began, 2.5)), BitRate(500));
        room.measured(at(began, 9.0), BitRate(500));
        assert_eq!(room.promised(at(began, 12.0)), BitRate(500));
    }

    /// Ten viewers a second come and ten go: the promise stays near what is sent.
    #[test]
    fn coming_and_going_does_not_fill_an_edge() {
        let began = Instant::now();
        let mut room = Room::new(began);
        for quarter in 0..400 {
            let now = at(began, f64::from(quarter) / 4.0);
            room.measured(now, BitRate(10_000));
            room.reserve(now, BitRate(25), By::Core);
        }
        let promised = room.promised(at(began, 100.0)).0;
        assert!((10_000..11_000).contains(&promised), "{promised}");
    }

    #[test]
    fn each_other_balancer_may_have_reserved_as_much_as_we_did_just_now() {
        let began = Instant::now();
        let mut room = Room::new(began);
        room.reserve(at(began, 0.1), BitRate(100), By::Core);
        room.reserve(at(began, 0.2), BitRate(30), By::Core);
        // What they told is no news to them.
        room.reserve(at(began, 0.2), BitRate(1000), By::Balancer);
        let may_come = |seconds, peers| room.may_come(at(began, seconds), BitRate(5), peers).0;
        assert_eq!([may_come(0.2, 0), may_come(0.2, 1), may_come(0.2, 2)], [0, 135, 270]);
        assert_eq!([may_come(0.35, 1), may_come(0.41, 1), may_come(0.6, 1)], [135, 35, 5]);
    }
}
