//! What all cores counted, summed: over the run, and second by second.
//!
//! One door in, [`Ledger::push`]; it is read at any time, for the screen and for the report.

use super::differing::{Comparison, Differing};
use super::own::{CoreUse, Verdict};
use super::series::{Point, Series, Viewers};
use super::spread::Spread;
use super::tally::Snapshot;
use super::{ErrorClass, FaultKind, Kind, Notice, PerKind, Phase, ViewerState};
use std::collections::BTreeMap;

/// Seconds for which a core may be late; the oldest is closed without it.
pub(crate) const OPEN_SECONDS: usize = 4;

/// A second of which not every core has spoken.
#[derive(Debug, Default)]
struct Open {
    point: Point,
    heard: Vec<usize>,
    live_latency: Spread,
    segment_first_byte: Spread,
    lag: Spread,
}

/// The sum.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Each core's thread.
    pub cores: Vec<CoreUse>,
    /// Viewers that came.
    pub arrived: u64,
    /// Viewers that left before the end.
    pub left: u64,
    /// Viewers that found no way to play on, whether they left or not.
    pub gave_up: u64,
    /// Most that watched at the end of a second.
    pub most_watching: u64,
    /// Stalls that began.
    pub stalls: u64,
    /// Bytes received by kind.
    pub bytes: PerKind<{ Kind::ALL.len() }>,
    /// Requests sent by kind.
    pub asked: PerKind<{ Kind::ALL.len() }>,
    /// Answers by kind and status.
    pub statuses: BTreeMap<(Kind, u16), u64>,
    /// Requests that came to nothing, by kind and reason.
    pub errors: BTreeMap<(Kind, ErrorClass), u64>,
    /// Broken promises by kind.
    pub faults: PerKind<{ FaultKind::ALL.len() }>,
    /// What breaks no promise, by kind.
    pub notices: PerKind<{ Notice::ALL.len() }>,
    /// Startup by phase.
    pub phases: [Spread; Phase::ALL.len()],
    /// Due to first byte by kind; of blocking reloads that is the time they were held.
    pub first_byte: [Spread; Kind::ALL.len()],
    /// Due to last byte by kind.
    pub total: [Spread; Kind::ALL.len()],
    /// Length of stalls that are over.
    pub stalled_for: Spread,
    /// How far behind the calendar viewers play.
    pub live_latency: Spread,
    /// For how long playlists stood still that stood still for too long.
    pub staleness: Spread,
    /// From when something was due that an edge did not give until a segment from another one was whole.
    pub got_away: Spread,
    /// How late the load tester itself was.
    pub lag: Spread,
    /// Second by second, as far as it is complete.
    pub series: Series,
    spent_us: [i64; ViewerState::ALL.len()],
    comparison: Comparison,
    viewers: Vec<[u64; ViewerState::ALL.len()]>,
    open: BTreeMap<u64, Open>,
    /// Seconds below this are closed.
    closed: u64,
}

impl Ledger {
    /// For so many cores.
    pub fn new(cores: usize) -> Self {
        Self {
            cores: vec![CoreUse::default(); cores],
            viewers: vec![Default::default(); cores],
            ..Self::default()
        }
    }

    /// What one core had to say.
    pub fn push(&mut self, new: &Snapshot) {
        if new.core >= self.cores.len() {
            self.cores.resize(new.core + 1, CoreUse::default());
            self.viewers.resize(new.core + 1, Default::default());
        }
        self.add_counts(new);
        self.viewers[new.core] = new.viewers.0;
        if new.second < self.closed {
            let mut open = Open::default();
            open.take(new);
            self.series.push_late(open.close());
            return;
        }
        let open = self.open.entry(new.second).or_default();
        open.take(new);
        let is_complete = open.heard.len() >= self.cores.len();
        if is_complete {
            self.close_up_to(new.second);
        }
        while self.open.len() > OPEN_SECONDS
            && let Some(oldest) = self.open.keys().next().copied()
        {
            self.close_up_to(oldest);
        }
    }

    /// Every core has said its last.
    pub fn end(&mut self) {
        while let Some(last) = self.open.keys().next_back().copied() {
            self.close_up_to(last);
        }
    }

    fn close_up_to(&mut self, second: u64) {
        while let Some(entry) = self.open.first_entry().filter(|entry| *entry.key() <= second) {
            let (second, open) = entry.remove_entry();
            let mut point = open.close();
            point.second = second;
            point.viewers = self.viewers();
            self.most_watching = self.most_watching.max(point.viewers.watching());
            self.series.push(point);
            self.closed = second + 1;
        }
    }

    fn add_counts(&mut self, new: &Snapshot) {
        self.cores[new.core].add(new.own);
        self.arrived += new.arrived;
        self.left += new.left;
        self.gave_up += new.gave_up;
        self.stalls += new.stalls;
        self.bytes.add(&new.bytes);
        self.asked.add(&new.asked);
        self.faults.add(&new.faults);
        self.notices.add(&new.notices);
        for (mine, more) in self.spent_us.iter_mut().zip(new.spent_us) {
            *mine = mine.saturating_add(more);
        }
        for (key, times) in &new.statuses {
            *self.statuses.entry(*key).or_default() += times;
        }
        for (key, times) in &new.errors {
            *self.errors.entry(*key).or_default() += times;
        }
        let each = |mine: &mut [Spread], more: &[Spread]| {
            mine.iter_mut().zip(more).for_each(|(mine, more)| mine.add(more));
        };
        each(&mut self.phases, &new.phases);
        each(&mut self.first_byte, &new.first_byte);
        each(&mut self.total, &new.total);
        self.stalled_for.add(&new.stalled_for);
        self.live_latency.add(&new.live_latency);
        self.staleness.add(&new.staleness);
        self.got_away.add(&new.got_away);
        self.lag.add(&new.lag);
        new.segments.iter().for_each(|segment| {
            self.comparison.push(segment);
        });
    }

    /// Viewers now.
    pub fn viewers(&self) -> Viewers {
        let mut viewers = Viewers::default();
        self.viewers.iter().for_each(|core| viewers.add(*core));
        viewers
    }

    /// Viewer time spent in that state, seconds.
    pub fn spent_seconds(&self, state: ViewerState) -> f64 {
        self.spent_us[state as usize].max(0) as f64 / 1e6
    }

    /// Rebuffering ratio: time stalled over time played or stalled.
    pub fn stall_ratio(&self) -> f64 {
        let stalled = self.spent_seconds(ViewerState::Stalled);
        super::own::share(stalled, stalled + self.spent_seconds(ViewerState::Fine))
    }

    /// Requests that came to nothing.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Answers that came to their end.
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Segments that more than one origin sent.
    pub fn compared(&self) -> u64 {
        self.comparison.compared
    }

    /// Segments that were not the same everywhere: how many, and the first of them.
    pub fn differing(&self) -> (u64, &[Differing]) {
        (self.comparison.differing, &self.comparison.told)
    }

    /// Whether the figures are the server's or the load tester's own.
    pub fn verdict(&self) -> Verdict {
        let own = self.errors.iter().filter(|((_, class), _)| *class == ErrorClass::Own);
        Verdict::of(self.lag.quantile_us(0.99), &self.cores, own.map(|(_, times)| times).sum())
    }
}

impl Open {
    fn take(&mut self, new: &Snapshot) {
        if !self.heard.contains(&new.core) {
            self.heard.push(new.core);
        }
        self.live_latency.add(&new.live_latency);
        self.segment_first_byte.add(&new.first_byte[Kind::Segment as usize]);
        self.lag.add(&new.lag);
        let point = &mut self.point;
        point.covers_seconds = point.covers_seconds.max(new.covered.as_secs_f64());
        point.arrived += new.arrived;
        point.left += new.left;
        point.started += new.phases[Phase::Total as usize].count();
        point.stalls += new.stalls;
        // A move told late takes a little from a second that is over; that shows nowhere but here.
        point.played_seconds += new.spent_us[ViewerState::Fine as usize] as f64 / 1e6;
        point.stalled_seconds += new.spent_us[ViewerState::Stalled as usize] as f64 / 1e6;
        point.asked += new.asked.sum();
        point.answered += new.statuses.iter().map(|(_, times)| times).sum::<u64>();
        point.bytes += new.bytes.sum();
        point.errors += new.errors.iter().map(|(_, times)| times).sum::<u64>();
        point.faults += new.faults.sum();
        point.switches += new.notices.0[Notice::Switched as usize];
        point.got_away += new.got_away.count();
        point.cpu_share = point.cpu_share.max(new.own.cpu_share());
    }

    fn close(self) -> Point {
        let mut point = self.point;
        point.live_latency_p50_us = self.live_latency.quantile_us(0.5);
        point.live_latency_p99_us = self.live_latency.quantile_us(0.99);
        point.segment_first_byte_p50_us = self.segment_first_byte.quantile_us(0.5);
        point.segment_first_byte_p99_us = self.segment_first_byte.quantile_us(0.99);
        point.lag_p99_us = self.lag.quantile_us(0.99);
        point
    }
}
