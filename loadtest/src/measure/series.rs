//! A run second by second; of a long one, every two, four, eight seconds, so that it never takes more room.

use serde::{Deserialize, Serialize};

/// Points of a series: an hour of seconds. One more, and pairs become one.
pub(crate) const POINTS: usize = 3600;

/// Viewers by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewers {
    /// No picture yet.
    pub starting: u64,
    /// Play.
    pub fine: u64,
    /// Have nothing to play.
    pub stalled: u64,
    /// Saw the end.
    pub ended: u64,
    /// Found no way to play on.
    pub gave_up: u64,
}

impl Viewers {
    pub(crate) fn add(&mut self, [starting, fine, stalled, ended, gave_up]: [u64; 5]) {
        self.starting += starting;
        self.fine += fine;
        self.stalled += stalled;
        self.ended += ended;
        self.gave_up += gave_up;
    }

    /// Those who watch, or would.
    pub fn watching(&self) -> u64 {
        self.starting + self.fine + self.stalled
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.watching() + self.ended + self.gave_up
    }
}

/// One step of a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Seconds after the begin at which it begins.
    pub second: u64,
    /// How many seconds it covers; the last one is shorter than the others.
    pub covers_seconds: f64,
    /// Viewers at its end; of stalled and given up, the most at the end of any second in it.
    pub viewers: Viewers,
    /// Viewers that came.
    pub arrived: u64,
    /// Viewers that left.
    pub left: u64,
    /// Viewers that began to play.
    pub started: u64,
    /// Stalls that began.
    pub stalls: u64,
    /// Viewer time played.
    pub played_seconds: f64,
    /// Viewer time stalled.
    pub stalled_seconds: f64,
    /// Requests sent.
    pub asked: u64,
    /// Answers that came to their end.
    pub answered: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Requests that came to nothing.
    pub errors: u64,
    /// Broken promises.
    pub faults: u64,
    /// Pathway switches.
    pub switches: u64,
    /// Viewers that had missed something at one edge and have a segment from another one now.
    pub got_away: u64,
    /// Half of the viewers that said so were at most so far behind; of several seconds, the last that had any.
    pub live_latency_p50_us: Option<u64>,
    /// 99 % of them; of several seconds, the worst.
    pub live_latency_p99_us: Option<u64>,
    /// Time to first byte of segments, half of them; of several seconds, the last that had any.
    pub segment_first_byte_p50_us: Option<u64>,
    /// 99 % of them; of several seconds, the worst.
    pub segment_first_byte_p99_us: Option<u64>,
    /// How late the load tester itself woke up, 99 %; of several seconds, the worst.
    pub lag_p99_us: Option<u64>,
    /// Share of its time that the busiest of the load tester's threads computed; of several seconds, the worst.
    pub cpu_share: f64,
}

impl Point {
    /// Bits received per second.
    pub fn bits_per_second(&self) -> f64 {
        super::own::share(self.bytes as f64 * 8.0, self.covers_seconds)
    }

    /// Takes what came after it.
    fn take(&mut self, next: &Self) {
        self.covers_seconds += next.covers_seconds;
        let before = self.viewers;
        self.viewers = next.viewers;
        self.viewers.stalled = before.stalled.max(next.viewers.stalled);
        self.viewers.gave_up = before.gave_up.max(next.viewers.gave_up);
        self.add_counts(next);
        self.live_latency_p50_us = next.live_latency_p50_us.or(self.live_latency_p50_us);
        self.segment_first_byte_p50_us = next.segment_first_byte_p50_us.or(self.segment_first_byte_p50_us);
    }

    /// Counts are summed, and of what is bad the worst remains.
    fn add_counts(&mut self, more: &Self) {
        self.arrived += more.arrived;
        self.left += more.left;
        self.started += more.started;
        self.stalls += more.stalls;
        self.played_seconds += more.played_seconds;
        self.stalled_seconds += more.stalled_seconds;
        self.asked += more.asked;
        self.answered += more.answered;
        self.bytes += more.bytes;
        self.errors += more.errors;
        self.faults += more.faults;
        self.switches += more.switches;
        self.got_away += more.got_away;
        self.live_latency_p99_us = self.live_latency_p99_us.max(more.live_latency_p99_us);
        self.segment_first_byte_p99_us = self.segment_first_byte_p99_us.max(more.segment_first_byte_p99_us);
        self.lag_p99_us = self.lag_p99_us.max(more.lag_p99_us);
        self.cpu_share = self.cpu_share.max(more.cpu_share);
    }
}

/// A run, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Seconds of one step: 1, 2, 4 ...
    pub step_seconds: u64,
    /// The steps, in order; a step in which no core said anything is left out.
    pub points: Vec<Point>,
}

impl Default for Series {
    fn default() -> Self {
        Self { step_seconds: 1, points: Vec::new() }
    }
}

impl Series {
    /// The next second.
    pub(crate) fn push(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) if last.second / self.step_seconds == point.second / self.step_seconds => {
                last.take(&point);
            }
            _ => self.points.push(point),
        }
        if self.points.len() > POINTS {
            self.halve();
        }
    }

    /// What a core said of a second that is over: its counts go to the newest step, where nothing is lost.
    pub(crate) fn push_late(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) => last.add_counts(&point),
            None => self.points.push(point),
        }
    }

    fn halve(&mut self) {
        self.step_seconds *= 2;
        let step = self.step_seconds;
        self.points.dedup_by(|next, kept| {
            let is_same = next.second / step == kept.second / step;
            if is_same {
                kept.take(next);
            }
            is_same
        });
    }

    /// Steps of which rates are told: nine tenths of the most viewers watched, in the step before it already, and all
    /// of it was measured. While viewers arrive a rate says how they arrive.
    pub fn steady(&self) -> impl Iterator<Item = &Point> + Clone {
        let most = self.points.iter().map(|point| point.viewers.watching()).max().unwrap_or_default();
        let is_full = move |point: &Point| most > 0 && point.viewers.watching() * 10 >= most * 9;
        let whole_seconds = 0.9 * self.step_seconds as f64;
        let pairs = self.points.windows(2).map(|two| (&two[0], &two[1]));
        pairs
            .filter(move |(before, point)| {
                is_full(before) && is_full(point) && point.covers_seconds >= whole_seconds
            })
            .map(|(_, point)| point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: u64) -> Point {
        let viewers = Viewers { fine: 10, stalled: second % 7, ..Viewers::default() };
        Point { second, covers_seconds: 1.0, viewers, bytes: 1000, stalls: second % 2, ..Point::default() }
    }

    #[test]
    fn a_day_of_seconds_is_told_in_an_hours_room_and_nothing_is_lost() {
        let mut series = Series::default();
        const DAY: u64 = 86_400;
        for second in 0..DAY {
            series.push(point(second));
            assert!(series.points.len() <= POINTS);
        }
        assert_eq!(series.step_seconds, 32);
        assert_eq!(series.points.iter().map(|point| point.bytes).sum::<u64>(), DAY * 1000);
        assert_eq!(series.points.iter().map(|point| point.stalls).sum::<u64>(), DAY / 2);
        assert!(series.points.windows(2).all(|two| two[0].second + 32 == two[1].second));
        assert!(
            series.points.iter().all(|point| point.viewers.stalled == 6),
            "the worst second stays visible"
        );
        assert!((series.points[5].bits_per_second() - 8000.0).abs() < 1e-6);
    }

    #[test]
    fn a_late_word_is_counted_though_its_second_is_over() {
        let mut series = Series::default();
        series.push(point(0));
        series.push(point(1));
        series.push_late(Point { second: 0, bytes: 7, errors: 3, ..Point::default() });
        assert_eq!((series.points.len(), series.points[1].bytes, series.points[1].errors), (2, 1007, 3));
        assert_eq!(series.points[1].viewers.fine, 10, "who watches is not changed by it");
    }

    #[test]
    fn rates_are_told_of_steps_in_which_the_viewers_are_there() {
        //         arrive       all there       a short last one
        let watching = [2, 9, 20, 20, 19, 5, 20, 20];
        let mut series = Series::default();
        for (second, fine) in watching.into_iter().enumerate() {
            let covers_seconds = if second == 7 { 0.3 } else { 1.0 };
            let viewers = Viewers { fine, ..Viewers::default() };
            series.push(Point { second: second as u64, covers_seconds, viewers, ..Point::default() });
        }
        assert_eq!(series.steady().map(|point| point.second).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(Series::default().steady().count(), 0);
    }
}
