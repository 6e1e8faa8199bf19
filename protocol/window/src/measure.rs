//! BANDWIDTH and AVERAGE-BANDWIDTH, measured (rules V01, C06).

use media::{BitRate, MediaSpan, RenditionId, StreamFacts};
use std::collections::BTreeMap;

/// What a rendition's segments have come to so far, in steps, so that a multivariant playlist does not change
/// with every segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// The largest rate of any segment of the run, rounded up to a step; only grows.
    pub peak: BitRate,
    /// The average over all of the run, rounded up to a step; moves only when it is a whole step off.
    pub average: BitRate,
}

/// Measures one run of a broadcast.
#[derive(Clone, Debug)]
pub struct Measure {
    pitch: MediaSpan,
    renditions: BTreeMap<RenditionId, Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    bytes: u64,
    duration: MediaSpan,
    /// Segments too short to have a rate of their own, until they make half a pitch together.
    short_bytes: u64,
    short: MediaSpan,
    shown: Rates,
}

/// A step is a sixteenth of the power of two below: 3 to 6 per cent.
const STEPS_PER_OCTAVE_LOG2: u32 = 4;

impl Measure {
    /// Measures segments that aim at this pitch.
    pub fn new(pitch: MediaSpan) -> Self {
        Self { pitch, renditions: BTreeMap::new() }
    }

    /// Takes a segment; answers the rendition's rates if they are no longer what was last answered.
    ///
    /// The peak is over contiguous segments of together at least half a pitch, as R 4.4.6.2 has it (BANDWIDTH):
    /// the cut-short last segment of a run with one sync unit in it has no say of its own.
    pub fn push(&mut self, rendition: &RenditionId, bytes: u64, duration: MediaSpan) -> Option<Rates> {
        let sums = self.renditions.entry(rendition.clone()).or_default();
        sums.bytes = sums.bytes.saturating_add(bytes);
        sums.duration += duration;
        sums.short_bytes = sums.short_bytes.saturating_add(bytes);
        sums.short += duration;
        let before = sums.shown;
        if sums.short * 2 >= self.pitch {
            let rate = step_up(BitRate::of(sums.short_bytes, sums.short));
            sums.shown.peak = sums.shown.peak.max(rate);
            (sums.short_bytes, sums.short) = (0, MediaSpan::ZERO);
        }
        let average = BitRate::of(sums.bytes, sums.duration);
        let off = average.0.abs_diff(sums.shown.average.0);
        if average > sums.shown.average || off > 2 * step_of(average.0) {
            sums.shown.average = step_up(average);
        }
        // An average over the peak would be read as a mistake; it happens while a first short segment waits.
        sums.shown.average = sums.shown.average.min(sums.shown.peak);
        (sums.shown != before).then_some(sums.shown)
    }

    /// What was last answered; `None` while nothing is measured.
    pub fn rates(&self, rendition: &RenditionId) -> Option<Rates> {
        self.renditions.get(rendition).map(|sums| sums.shown).filter(|rates| rates.peak.0 > 0)
    }

    /// Writes the rates into a broadcast's facts; true if that changed them.
    pub fn apply(&self, facts: &mut StreamFacts) -> bool {
        let mut has_changed = false;
        for rendition in &mut facts.renditions {
            let Some(rates) = self.rates(&rendition.id) else { continue };
            has_changed |= (rendition.peak, rendition.average) != (rates.peak, rates.average);
            (rendition.peak, rendition.average) = (rates.peak, rates.average);
        }
        has_changed
    }
}

fn step_of(rate: u64) -> u64 {
    1 << rate.max(1).ilog2().saturating_sub(STEPS_PER_OCTAVE_LOG2)
}

fn step_up(rate: BitRate) -> BitRate {
    let step = step_of(rate.0);
    BitRate(rate.0.div_ceil(step).saturating_mul(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: MediaSpan = MediaSpan::from_secs(2);

    fn id() -> RenditionId {
        RenditionId::parse("720p").unwrap()
    }

    #[test]
    fn a_peak_only_grows_and_is_never_understated() {
        let mut measure = Measure::new(TWO);
        let mut peak = 0;
        for bytes in [500_000_u64, 700_000, 300_000, 650_000] {
            measure.push(&id(), bytes, TWO);
            let shown = measure.rates(&id()).unwrap().peak.0;
            assert!(shown >= peak && shown >= bytes * 4);
            assert!(shown <= 700_000 * 4 * 17 / 16, "over-stated by more than a step: {shown}");
            peak = shown;
        }
    }

    #[test]
    fn a_steady_source_changes_nothing_after_its_first_segments() {
        let mut measure = Measure::new(TWO);
        let wobble = [500_000_u64, 510_000, 495_000, 505_000, 499_000];
        let changes = (0..300).filter(|at| measure.push(&id(), wobble[at % 5], TWO).is_some()).count();
        assert!(changes <= 2, "{changes} changes");
    }

    #[test]
    fn an_average_follows_a_source_that_calms_down() {
        let mut measure = Measure::new(TWO);
        measure.push(&id(), 1_000_000, TWO);
        (0..200).for_each(|_| {
            measure.push(&id(), 250_000, TWO);
        });
        let rates = measure.rates(&id()).unwrap();
        assert!(rates.peak.0 >= 4_000_000 && rates.average.0 < 1_250_000, "{rates:?}");
    }

    #[test]
    fn a_stump_of_a_segment_has_no_rate_of_its_own() {
        let mut measure = Measure::new(TWO);
        measure.push(&id(), 500_000, TWO);
        let before = measure.rates(&id()).unwrap().peak;
        // One sync unit of 100 kB lasting a thirtieth of a second would be 24 Mbit/s.
        measure.push(&id(), 100_000, MediaSpan::from_ticks(3000));
        assert_eq!(measure.rates(&id()).unwrap().peak, before);
    }
}
