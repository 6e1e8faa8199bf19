//! The clock on the wall, as far as two nodes compare theirs. Nothing depends on it: numbers come from the grid, waiting
//! from a clock that nobody sets. It is for the operator, who wants to know that a node's clock is wrong before a ticket
//! is refused for it.

use crate::NodeId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// This node's clock on the wall, as whoever holds it said last: between two words it goes on by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WallClock(Option<(Instant, u64)>);

impl WallClock {
    pub(crate) fn set(&mut self, unix_micros: u64, now: Instant) {
        self.0 = Some((now, unix_micros));
    }

    /// Microseconds since the Unix epoch; 0 where nobody has said.
    pub(crate) fn at(self, now: Instant) -> u64 {
        self.0.map_or(0, |(said, micros)| micros + now.saturating_duration_since(said).as_micros() as u64)
    }
}

/// How a link's other end keeps time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkClock {
    /// Who is there.
    pub node: NodeId,
    /// A PING's way there and back, of late.
    pub round_trip: Duration,
    /// How far its clock is ahead of ours in microseconds, give or take half the round trip; `None` where it does not
    /// say, or we do not know ours.
    pub offset_us: Option<i64>,
}

/// PONGs looked at together: the quickest of them says most.
const SAMPLES: usize = 8;

/// The last few answers of one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets(VecDeque<(Duration, i64)>);

impl Offsets {
    /// A PONG that was `round_trip` on its way says that it is `theirs` there; it is `ours` here.
    pub(crate) fn heard(&mut self, round_trip: Duration, theirs: u64, ours: u64) {
        if theirs == 0 || ours == 0 {
            return;
        }
        let then = ours.saturating_sub((round_trip / 2).as_micros() as u64);
        let offset = i128::from(theirs) - i128::from(then);
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((round_trip, offset.clamp(i64::MIN.into(), i64::MAX.into()) as i64));
    }

    pub(crate) fn offset_us(&self) -> Option<i64> {
        self.0.iter().min_by_key(|(round_trip, _)| *round_trip).map(|(_, offset)| *offset)
    }
}

/// A clock that nobody sets, by which a publisher says when something was made: microseconds since it was first read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SteadyClock(Option<Instant>);

impl SteadyClock {
    /// Never 0, which says nothing on the wire.
    pub(crate) fn at(&mut self, now: Instant) -> u64 {
        let began = *self.0.get_or_insert(now);
        now.saturating_duration_since(began).as_micros() as u64 + 1
    }
}

/// For so long a PONG's word on the other's steady clock counts, and for as long again while none that was quicker has
/// come: two crystals drift a few milliseconds apart in that time.
const STEADY_FOR: Duration = Duration::from_secs(30);

/// How another's [`SteadyClock`] stands to ours, by the quickest PONG of the last [`STEADY_FOR`] to twice that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TheirSteady {
    best: Option<Reading>,
    /// The best of the span before.
    before: Option<Reading>,
    turned: Option<Instant>,
}

/// By our clock `at` it was `theirs` there, give or take half the round trip.
#[derive(Clone, Copy, Debug)]
struct Reading {
    round_trip: Duration,
    at: Instant,
    theirs: u64,
}

impl TheirSteady {
    /// A PONG that was `round_trip` on its way says that it is `theirs` there.
    pub(crate) fn heard(&mut self, round_trip: Duration, theirs: u64, now: Instant) {
        if theirs == 0 {
            return;
        }
        let turned = *self.turned.get_or_insert(now);
        if now.saturating_duration_since(turned) >= STEADY_FOR {
            (self.before, self.best, self.turned) = (self.best, None, Some(now));
        }
        let Some(at) = now.checked_sub(round_trip / 2) else { return };
        if self.best.is_none_or(|best| round_trip <= best.round_trip) {
            self.best = Some(Reading { round_trip, at, theirs });
        }
    }

    /// When it was `theirs` there.
    pub(crate) fn when(&self, theirs: u64) -> Option<Instant> {
        let of = [self.best, self.before].into_iter().flatten().min_by_key(|reading| reading.round_trip)?;
        match theirs.checked_sub(of.theirs) {
            _ if theirs == 0 => None,
            Some(later) => of.at.checked_add(Duration::from_micros(later)),
            None => of.at.checked_sub(Duration::from_micros(of.theirs - theirs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_answer_says_most_and_old_ones_are_forgotten() {
        let mut offsets = Offsets::default();
        let ms = Duration::from_millis;
        assert_eq!(offsets.offset_us(), None);
        offsets.heard(ms(10), 0, 5_000_000);
        assert_eq!(offsets.offset_us(), None, "it does not say");
        // 700 ms ahead, heard 200 ms late by a full socket, and then at once.
        offsets.heard(ms(200), 5_700_000, 5_200_000);
        offsets.heard(ms(2), 5_901_000, 5_202_000);
        assert_eq!(offsets.offset_us(), Some(700_000));
        // Somebody set it right.
        for _ in 0..SAMPLES {
            offsets.heard(ms(4), 6_002_000, 6_004_000);
        }
        assert_eq!(offsets.offset_us(), Some(0));
    }

    #[test]
    fn a_clock_goes_on_between_two_words() {
        let (mut clock, now) = (WallClock::default(), crate::epoch());
        assert_eq!(clock.at(now), 0);
        clock.set(1_000_000, now);
        assert_eq!(clock.at(now + Duration::from_millis(50)), 1_050_000);
    }

    #[test]
    fn when_something_was_made_over_there_is_known_to_half_the_quickest_round_trip() {
        let (start, ms) = (crate::epoch() + Duration::from_secs(100), Duration::from_millis);
        let mut theirs = TheirSteady::default();
        theirs.heard(ms(10), 0, start);
        assert_eq!(theirs.when(5), None, "it does not say");
        // Its clock began 7 s before; a PONG that waited in a full socket is worth less than one that did not.
        theirs.heard(ms(900), 7_000_000, start + ms(900));
        theirs.heard(ms(20), 8_000_000, start + ms(1_010));
        theirs.heard(ms(300), 9_000_000, start + ms(2_290));
        assert_eq!(theirs.when(8_500_000), Some(start + ms(1_500)));
        assert_eq!(theirs.when(7_900_000), Some(start + ms(900)));
        assert_eq!(theirs.when(0), None);
        // A minute on the quick one is forgotten.
        theirs.heard(ms(40), 40_000_000, start + ms(33_020));
        theirs.heard(ms(60), 70_000_000, start + ms(63_030 + 100));
        assert_eq!(theirs.when(71_000_000), Some(start + ms(64_000)));
    }
}
