//! Who arrives when, and how long each stays.
//!
//! Lives here: the pattern as a row of moments after the start. Does not live here: a clock; the shell asks
//! which viewers are due and starts them.

use std::time::Duration;

use crate::chance::Chance;

/// How viewers arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrival {
    /// All in the first moment.
    Flash,
    /// Evenly over this time.
    Ramp(Duration),
    /// This many a second, until all are there.
    Rate(f64),
}

impl Arrival {
    /// When the viewer of this place (from 0) among `all` arrives, after the start.
    pub fn of(self, place: u32, all: u32) -> Duration {
        match self {
            Self::Flash => Duration::ZERO,
            Self::Ramp(over) => over.mul_f64(f64::from(place) / f64::from(all.max(1))),
            Self::Rate(a_second) => Duration::from_secs_f64(f64::from(place) / a_second.max(1e-3)),
        }
    }

    /// When the last of `all` has arrived.
    pub fn lasts(self, all: u32) -> Duration {
        self.of(all.saturating_sub(1), all)
    }
}

/// How long one viewer stays where the mean is `mean`: nobody knows when he will leave, so what is left of his
/// time does not depend on how long he is there already (exponential).
pub(crate) fn stay(mean: Duration, chance: &mut Chance) -> Duration {
    // At most ten times the mean: one in 22,000 would stay longer.
    mean.mul_f64((-chance.fraction().max(1e-9).ln()).min(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(arrival: Arrival, all: u32) -> Vec<u128> {
        (0..all).map(|place| arrival.of(place, all).as_millis()).collect()
    }

    #[test]
    fn a_ramp_is_even_a_rate_is_steady_and_a_flash_is_at_once() {
        assert_eq!(moments(Arrival::Ramp(Duration::from_secs(2)), 4), [0, 500, 1000, 1500]);
        assert_eq!(moments(Arrival::Rate(4.0), 4), [0, 250, 500, 750]);
        assert_eq!(moments(Arrival::Flash, 3), [0, 0, 0]);
        assert_eq!(Arrival::Rate(4.0).lasts(4).as_millis(), 750);
        assert_eq!(Arrival::Ramp(Duration::from_secs(2)).lasts(0), Duration::ZERO);
    }

    #[test]
    fn stays_differ_and_have_the_asked_mean() {
        let mut chance = Chance::seeded(7);
        let stays: Vec<f64> =
            (0..10_000).map(|_| stay(Duration::from_secs(30), &mut chance).as_secs_f64()).collect();
        let mean = stays.iter().sum::<f64>() / stays.len() as f64;
        assert!((29.0..31.0).contains(&mean), "{mean}");
        assert!(stays.iter().any(|stay| *stay < 3.0) && stays.iter().any(|stay| *stay > 90.0));
        assert!(stays.iter().all(|stay| *stay <= 300.0));
    }
}
