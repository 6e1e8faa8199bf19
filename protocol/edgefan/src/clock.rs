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
}
