//! How late a broadcast's segments become complete on this edge, and whether that is too late.
//!
//! Lives here: the lag of each of the last numbers, and since when they are late or in time again. Does not live here:
//! when a segment was made (`edgefan` tells it by our clock, [`edgefan::Event::Made`]), what an edge that lags says of
//! itself (`board`).
//!
//! ```text
//!                 LATE of the last NUMBERS came later than half a target duration
//!        keeps up ─────────────────────────────────────────────────────────────▶ lags
//!                 ◀─────────────────────────────────────────────────────────────
//!                 for CALM_TARGETS target durations none came later than a quarter;
//!                 twice as long each time it lags again within RELAPSE_TARGETS
//! ```
//!
//! What was made before the link was up is not told of, so that neither a late joiner's backfill nor what a cut of the
//! link has kept back counts; what an ingest is slow with is made late, and in time here.

use media::{MediaSequence, RenditionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Numbers that are looked at together: half a minute of two-second segments.
pub(crate) const NUMBERS: u64 = 16;

/// Segments remembered of one broadcast: [`NUMBERS`] of as many renditions as a broadcast may have.
pub(crate) const SEGMENTS: usize = NUMBERS as usize * edgefan::limits::RENDITIONS;

/// So many late ones make it lag. One alone is a breath that anything may have held.
const LATE: usize = 2;

/// For how many target durations nothing may come late until it keeps up again.
const CALM_TARGETS: u32 = 8;

/// A lag that begins within so many target durations of the end of another is a relapse: viewers shall not be sent to
/// and fro by a line that is good enough half of the time.
const RELAPSE_TARGETS: u32 = 60;

/// Relapses that are counted: two minutes of two-second segments is the longest calm that is asked for.
const RELAPSES: u32 = 3;

/// One broadcast's.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    segments: BTreeMap<(MediaSequence, RenditionId), Segment>,
    /// Those that came later than half a target duration.
    late: BTreeSet<MediaSequence>,
    /// While it lags: when something came later than a quarter of one last.
    lags: Option<Instant>,
    /// When it kept up again last, and how often in a row that did not last.
    over: Option<Instant>,
    relapses: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// By the first who told.
    made: Option<Instant>,
    complete: Option<Instant>,
}

impl Segment {
    fn lag(&self) -> Option<Duration> {
        Some(self.complete?.saturating_duration_since(self.made?))
    }
}

impl Lag {
    /// A source has told when it made this one.
    pub(crate) fn made(
        &mut self,
        sequence: MediaSequence,
        rendition: &RenditionId,
        made: Instant,
        half: Half,
    ) {
        let known = self.segment(sequence, rendition);
        known.made = Some(known.made.map_or(made, |known| known.min(made)));
        self.see(sequence, rendition, half);
    }

    /// It is complete.
    pub(crate) fn complete(
        &mut self,
        sequence: MediaSequence,
        rendition: &RenditionId,
        now: Instant,
        half: Half,
    ) {
        self.segment(sequence, rendition).complete.get_or_insert(now);
        self.see(sequence, rendition, half);
    }

    /// Time passes; true while it lags.
    pub(crate) fn tick(&mut self, now: Instant, half: Half) -> bool {
        let calm = half.0 * 2 * (CALM_TARGETS << self.relapses);
        if self.lags.is_some_and(|slow| now.saturating_duration_since(slow) >= calm) {
            *self = Self { over: Some(now), relapses: self.relapses, ..Self::default() };
        }
        self.lags.is_some()
    }

    /// How many of the last numbers came late.
    pub(crate) fn late(&self) -> usize {
        self.late.len()
    }

    /// The worst of the last numbers; `None` while nothing is known of any.
    pub(crate) fn worst(&self) -> Option<Duration> {
        self.segments.values().filter_map(Segment::lag).max()
    }

    fn segment(&mut self, sequence: MediaSequence, rendition: &RenditionId) -> &mut Segment {
        self.segments.entry((sequence, rendition.clone())).or_default()
    }

    fn see(&mut self, sequence: MediaSequence, rendition: &RenditionId, half: Half) {
        let segment = self.segments.get(&(sequence, rendition.clone())).copied().unwrap_or_default();
        if let (Some(lag), Some(complete)) = (segment.lag(), segment.complete) {
            if lag > half.0 {
                self.late.insert(sequence);
            }
            if lag > half.0 / 2
                && let Some(slow) = &mut self.lags
            {
                *slow = complete.max(*slow);
            }
            if self.late.len() >= LATE && self.lags.is_none() {
                self.lags = Some(complete);
                let held = self.over.map(|over| complete.saturating_duration_since(over));
                let is_relapse = held.is_some_and(|held| held < half.0 * 2 * RELAPSE_TARGETS);
                self.relapses = if is_relapse { (self.relapses + 1).min(RELAPSES) } else { 0 };
            }
        }
        let newest = self.segments.last_key_value().map_or(sequence, |((newest, _), _)| *newest);
        let is_old = |of: &MediaSequence| of.0.saturating_add(NUMBERS) <= newest.0;
        while self.segments.first_key_value().is_some_and(|((of, _), _)| is_old(of))
            || self.segments.len() > SEGMENTS
        {
            self.segments.pop_first();
        }
        self.late.retain(|of| !is_old(of));
    }
}

/// Half a target duration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half(pub(crate) Duration);

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Half = Half(Duration::from_secs(1));

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A broadcast of two-second segments.
    struct Story {
        lag: Lag,
        began: Instant,
        number: u64,
    }

    impl Story {
        fn new() -> Self {
            Self { lag: Lag::default(), began: Instant::now(), number: 100 }
        }

        fn now(&self) -> Instant {
            self.began + ms(2_000) * (self.number - 100) as u32
        }

        /// The next segment of each rendition, so many milliseconds after it was made; whether the edge lags then.
        fn comes(&mut self, late: &[u64]) -> bool {
            self.number += 1;
            let (sequence, made) = (MediaSequence(self.number), self.now());
            for (index, late) in late.iter().enumerate() {
                let rendition = RenditionId::parse(&format!("r{index}")).unwrap();
                self.lag.made(sequence, &rendition, made, HALF);
                self.lag.complete(sequence, &rendition, made + ms(*late), HALF);
            }
            self.lag.tick(made + ms(1_900), HALF)
        }
    }

    #[test]
    fn one_late_segment_is_a_breath_and_two_are_a_lag() {
        let mut story = Story::new();
        assert!(!story.comes(&[40, 60]));
        assert!(!story.comes(&[1_200, 1_900]), "one number in two renditions is late once");
        assert!((0..5).all(|_| !story.comes(&[900, 900])));
        assert!(story.comes(&[40, 1_001]));
        assert_eq!((story.lag.late(), story.lag.worst()), (2, Some(ms(1_900))));
    }

    #[test]
    fn what_was_late_half_a_minute_ago_is_forgotten() {
        let mut story = Story::new();
        assert!(!story.comes(&[1_500]));
        assert!((0..NUMBERS).all(|_| !story.comes(&[30])));
        assert!(!story.comes(&[1_500]));
        assert_eq!((story.lag.late(), story.lag.segments.len()), (1, NUMBERS as usize));
    }

    #[test]
    fn it_keeps_up_again_when_nothing_was_late_by_a_quarter_for_eight_target_durations() {
        let mut story = Story::new();
        story.comes(&[1_500]);
        assert!(story.comes(&[1_500]));
        assert!((0..6).all(|_| story.comes(&[400])));
        assert!(story.comes(&[600]), "in time is not yet soon enough");
        assert!((0..7).all(|_| story.comes(&[400])));
        assert!(!story.comes(&[400]));
        assert!(!story.comes(&[1_500]), "what was before is over");
    }

    #[test]
    fn who_lags_again_soon_is_asked_for_a_longer_calm() {
        let mut story = Story::new();
        let calm_after = |story: &mut Story| {
            while !story.comes(&[1_500]) {}
            (1..).find(|_| !story.comes(&[100])).unwrap()
        };
        let calms: Vec<u32> = (0..5).map(|_| calm_after(&mut story)).collect();
        // The last late one came a little after its number's time; a number every two seconds.
        assert_eq!(calms, [8, 16, 32, 64, 64]);
        assert!((0..RELAPSE_TARGETS).all(|_| !story.comes(&[100])));
        assert_eq!(calm_after(&mut story), 8, "that was long ago");
    }

    #[test]
    fn it_counts_from_the_first_who_made_it_though_he_tells_last() {
        let mut story = Story::new();
        let (rendition, began) = (RenditionId::parse("r").unwrap(), story.began);
        for number in [1, 2] {
            // The other ingest made it a second later, and its copy is here at once.
            story.lag.made(MediaSequence(number), &rendition, began + ms(1_300), HALF);
            story.lag.complete(MediaSequence(number), &rendition, began + ms(1_310), HALF);
            assert!(story.lag.lags.is_none());
        }
        for number in [1, 2] {
            story.lag.made(MediaSequence(number), &rendition, began, HALF);
        }
        assert!(story.lag.lags.is_some());
    }

    #[test]
    fn of_what_nobody_has_told_when_it_was_made_nothing_is_known() {
        let mut story = Story::new();
        let rendition = RenditionId::parse("r").unwrap();
        for number in 0..50 {
            // A backfill: complete, and long after.
            story.lag.complete(MediaSequence(number), &rendition, story.began + ms(60_000), HALF);
        }
        assert_eq!((story.lag.lags.is_some(), story.lag.worst()), (false, None));
        // An ingest's clock that seems ahead of ours makes nothing late.
        story.lag.made(MediaSequence(49), &rendition, story.began + ms(90_000), HALF);
        assert_eq!(story.lag.worst(), Some(Duration::ZERO));
    }

    #[test]
    fn numbers_that_come_in_any_order_are_no_more_than_the_bound() {
        let mut lag = Lag::default();
        let now = Instant::now();
        for number in (0..10_000_u64).map(|number| number * 7919 % 10_007) {
            for rendition in 0..40 {
                let rendition = RenditionId::parse(&format!("r{rendition}")).unwrap();
                lag.made(MediaSequence(number), &rendition, now, HALF);
            }
            assert!(lag.segments.len() <= SEGMENTS && lag.late.len() <= NUMBERS as usize);
        }
    }
}
