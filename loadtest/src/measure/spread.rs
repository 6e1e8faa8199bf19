//! How a span of time was spread over many events: a histogram in microseconds.
//!
//! Two significant figures, so a figure is off by at most 1 %: a core's whole set of histograms then fits into 600 kB.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest span told apart; longer ones count as this.
const LONGEST_US: u64 = 600_000_000;

/// Significant figures of a span.
const FIGURES: u8 = 2;

/// Microseconds, saturating.
pub(crate) fn us(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Spans of time, by how often each was seen. Takes memory with the first of them.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    seen: Option<Histogram<u64>>,
}

impl Spread {
    /// One event.
    pub fn record(&mut self, span: Duration) {
        self.record_us(us(span), 1);
    }

    fn record_us(&mut self, span_us: u64, times: u64) {
        if self.seen.is_none() {
            self.seen = Histogram::new_with_bounds(1, LONGEST_US, FIGURES).ok();
        }
        if let Some(seen) = &mut self.seen {
            seen.saturating_record_n(span_us, times);
        }
    }

    /// Takes all events of another one too.
    pub fn add(&mut self, other: &Self) {
        let Some(more) = &other.seen else { return };
        match &mut self.seen {
            // Both have the same bounds, so nothing can be refused.
            Some(mine) => mine.add(more).unwrap_or_default(),
            None => self.seen = Some(more.clone()),
        }
    }

    /// How many events there were.
    pub fn count(&self) -> u64 {
        self.seen.as_ref().map_or(0, Histogram::len)
    }

    /// What this share (0 to 1) of the events did not exceed; nothing where there was no event.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let seen = self.seen.as_ref().filter(|seen| !seen.is_empty())?;
        Some(seen.value_at_quantile(share))
    }

    /// The figures that are told; nothing where there was no event.
    pub fn figures(&self) -> Option<Figures> {
        let seen = self.seen.as_ref().filter(|seen| !seen.is_empty())?;
        Some(Figures {
            count: seen.len(),
            mean_us: seen.mean().round() as u64,
            p50_us: seen.value_at_quantile(0.5),
            p90_us: seen.value_at_quantile(0.9),
            p99_us: seen.value_at_quantile(0.99),
            p999_us: seen.value_at_quantile(0.999),
            max_us: seen.max(),
        })
    }

    /// The curve of quantiles: share of events against span, denser towards the slow ones; at most
    /// [`CURVE_POINTS`] of them.
    pub fn curve(&self) -> Vec<(f64, u64)> {
        let Some(seen) = self.seen.as_ref().filter(|seen| !seen.is_empty()) else { return Vec::new() };
        let rounded = |share: f64| (share * 1e6).round() / 1e6;
        // Past 1 - 1/count there is nothing but the slowest event.
        let most = seen.len() as f64;
        let mut curve: Vec<(f64, u64)> = Vec::with_capacity(CURVE_POINTS);
        for step in 0..CURVE_POINTS {
            // 0, then ten points for each further nine: 0.9, 0.99, 0.999 ...
            let above = 10f64.powf(-(step as f64) / 10.0);
            if above * most < 1.0 {
                break;
            }
            curve.push((rounded(1.0 - above), seen.value_at_quantile(1.0 - above)));
        }
        let end = rounded(1.0 - 1.0 / most);
        curve.retain(|point| point.0 < end);
        curve.push((end, seen.max()));
        curve
    }
}

/// Most points of [`Spread::curve`]: five nines, ten points each.
pub(crate) const CURVE_POINTS: usize = 50;

/// What is told of a [`Spread`], in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// How many events.
    pub count: u64,
    /// Their mean.
    pub mean_us: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 90 % of them took no longer.
    pub p90_us: u64,
    /// 99 % of them took no longer.
    pub p99_us: u64,
    /// 99.9 % of them took no longer.
    pub p999_us: u64,
    /// None took longer.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_seen_has_no_figures_and_takes_no_memory() {
        let spread = Spread::default();
        assert_eq!((spread.figures(), spread.quantile_us(0.5), spread.count()), (None, None, 0));
        assert!(spread.seen.is_none() && spread.curve().is_empty());
    }

    #[test]
    fn a_thousand_different_spans_are_told_within_one_percent() {
        let mut spread = Spread::default();
        (1..=1000).for_each(|ms| spread.record(Duration::from_millis(ms)));
        let figures = spread.figures().unwrap();
        for (told, exact) in [
            (figures.p50_us, 500_000),
            (figures.p90_us, 900_000),
            (figures.p99_us, 990_000),
            (figures.p999_us, 999_000),
            (figures.max_us, 1_000_000),
        ] {
            assert!(told.abs_diff(exact) <= exact / 100, "{told} for {exact}");
        }
    }

    #[test]
    fn two_cores_together_are_as_one_that_saw_all() {
        let (mut one, mut two, mut all) = (Spread::default(), Spread::default(), Spread::default());
        for ms in 0..500 {
            if ms % 3 == 0 { &mut one } else { &mut two }.record(Duration::from_millis(ms));
            all.record(Duration::from_millis(ms));
        }
        let mut sum = Spread::default();
        sum.add(&one);
        sum.add(&two);
        sum.add(&Spread::default());
        assert_eq!(sum.figures(), all.figures());
    }

    #[test]
    fn a_span_longer_than_any_counts_as_the_longest() {
        let mut spread = Spread::default();
        spread.record(Duration::MAX);
        assert!(spread.figures().unwrap().max_us >= LONGEST_US);
    }

    #[test]
    fn the_curve_of_few_ends_at_the_slowest_too() {
        for events in 1..=100 {
            let mut spread = Spread::default();
            (1..=events).for_each(|ms| spread.record(Duration::from_millis(ms)));
            assert_eq!(spread.curve().last().unwrap().1, spread.figures().unwrap().max_us, "{events}");
        }
    }

    #[test]
    fn the_curve_rises_and_ends_at_the_slowest() {
        let mut spread = Spread::default();
        (1..=200).for_each(|ms| spread.record(Duration::from_millis(ms)));
        let curve = spread.curve();
        assert!(curve.len() <= CURVE_POINTS + 1);
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{curve:?}");
        assert_eq!(curve.last().unwrap().1, spread.figures().unwrap().max_us);
    }
}
