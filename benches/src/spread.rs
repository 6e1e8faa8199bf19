//! What several windows said together.

use serde::Serialize;

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
        Some(Self { median, min, max })
    }

    /// Of the quotients of windows that were taken next to each other.
    pub(crate) fn of_ratio(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let quotients: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self::of(&quotients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).map(|it| it.median), Some(2.5));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn neighbours_are_compared_with_each_other() {
        // The machine slowed down by half between the two rounds: no ratio shows it.
        let spread = Spread::of_ratio(&[1.0, 2.0], &[2.0, 4.0]);
        assert_eq!(spread, Some(Spread { median: 0.5, min: 0.5, max: 0.5 }));
    }
}
