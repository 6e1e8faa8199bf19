//! What one core counts: plain adds to memory that no other core sees, handed over once a second.
//!
//! Lives here: what a viewer's shell calls. Does not live here: the sum over cores and seconds (`ledger`).

use super::differing::{Comparison, NAME_BYTES};
use super::own::{CPU_SHARE_MAX, CoreUse, ThreadUse};
use super::spread::{Spread, us};
use super::{Digest, ErrorClass, FaultKind, Kind, Notice, PerKind, Phase, SegmentSeen, ViewerState};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Snapshots that wait for the teller, over all cores: 4 s of 64 cores.
pub(crate) const SNAPSHOTS_WAITING: usize = 256;

/// Pairs of kind and status counted apart; the rest counts as status 0.
pub(crate) const STATUSES: usize = 64;

/// Segments compared between two turns of a core; more wait for nobody, they are left out.
pub(crate) const SEGMENTS_A_TURN: usize = 4096;

/// The way from the cores to the teller.
pub fn hand_over() -> (Sender<Box<Snapshot>>, Receiver<Box<Snapshot>>) {
    crossbeam_channel::bounded(SNAPSHOTS_WAITING)
}

/// When a request was due, and what came of it when.
///
/// Latency counts from `due`, not from when the request was sent: a load tester that is late, or waits for its turn on
/// a connection, would else measure only what it did not disturb (coordinated omission).
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When the player wanted it.
    pub due: Instant,
    /// First byte of the answer.
    pub first_byte: Instant,
    /// Last byte of the answer.
    pub done: Instant,
}

/// What was new on one core since it last handed over.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which core.
    pub(crate) core: usize,
    /// Which second of the run it is for.
    pub(crate) second: u64,
    /// How long it took.
    pub(crate) covered: Duration,
    pub(crate) own: CoreUse,
    /// Viewers by state, now.
    pub(crate) viewers: PerKind<{ ViewerState::ALL.len() }>,
    pub(crate) arrived: u64,
    pub(crate) left: u64,
    pub(crate) gave_up: u64,
    pub(crate) stalls: u64,
    /// Viewer time spent in each state, microseconds.
    pub(crate) spent_us: [i64; ViewerState::ALL.len()],
    pub(crate) bytes: PerKind<{ Kind::ALL.len() }>,
    pub(crate) asked: PerKind<{ Kind::ALL.len() }>,
    pub(crate) statuses: Vec<((Kind, u16), u64)>,
    pub(crate) errors: Vec<((Kind, ErrorClass), u64)>,
    pub(crate) faults: PerKind<{ FaultKind::ALL.len() }>,
    pub(crate) notices: PerKind<{ Notice::ALL.len() }>,
    pub(crate) phases: [Spread; Phase::ALL.len()],
    pub(crate) first_byte: [Spread; Kind::ALL.len()],
    pub(crate) total: [Spread; Kind::ALL.len()],
    pub(crate) stalled_for: Spread,
    pub(crate) live_latency: Spread,
    pub(crate) staleness: Spread,
    pub(crate) got_away: Spread,
    pub(crate) lag: Spread,
    pub(crate) segments: Vec<SegmentSeen>,
}

impl Snapshot {
    fn empty(core: usize) -> Box<Self> {
        Box::new(Self {
            core,
            second: 0,
            covered: Duration::ZERO,
            own: CoreUse::default(),
            viewers: PerKind::default(),
            arrived: 0,
            left: 0,
            gave_up: 0,
            stalls: 0,
            spent_us: Default::default(),
            bytes: PerKind::default(),
            asked: PerKind::default(),
            statuses: Vec::new(),
            errors: Vec::new(),
            faults: PerKind::default(),
            notices: PerKind::default(),
            phases: Default::default(),
            first_byte: Default::default(),
            total: Default::default(),
            stalled_for: Spread::default(),
            live_latency: Spread::default(),
            staleness: Spread::default(),
            got_away: Spread::default(),
            lag: Spread::default(),
            segments: Vec::new(),
        })
    }
}

/// One core's counts.
#[derive(Debug)]
pub struct Tally {
    begin: Instant,
    turned: Instant,
    used: ThreadUse,
    /// The second after the last one handed over.
    next_second: u64,
    viewers: PerKind<{ ViewerState::ALL.len() }>,
    /// Up to when `spent_us` is right.
    spent_until: Instant,
    /// What this core has said of segments already.
    told: Comparison,
    new: Box<Snapshot>,
}

impl Tally {
    /// For the thread of that core; `begin` is the same on all cores. Called on that thread, since it reads its CPU
    /// clock.
    pub fn new(core: usize, begin: Instant) -> Self {
        Self {
            begin,
            turned: begin,
            used: ThreadUse::of_this_thread(),
            next_second: 0,
            viewers: PerKind::default(),
            spent_until: begin,
            told: Comparison::default(),
            new: Snapshot::empty(core),
        }
    }

    /// A viewer went from one state to another: from nothing when it arrives, to nothing when it leaves. Time played
    /// and stalled follows from this. `at` may lie a little back: a buffer that ran empty between two ticks.
    pub fn moved(&mut self, at: Instant, from: Option<ViewerState>, to: Option<ViewerState>) {
        self.spend(at);
        // What was counted since then belongs to the new state.
        let late_us = i64::try_from(us(self.spent_until.saturating_duration_since(at))).unwrap_or(0);
        match from {
            Some(state) => {
                let count = &mut self.viewers.0[state as usize];
                *count = count.saturating_sub(1);
                self.new.spent_us[state as usize] -= late_us;
            }
            None => self.new.arrived += 1,
        }
        match to {
            Some(state) => {
                self.viewers.0[state as usize] += 1;
                self.new.spent_us[state as usize] += late_us;
            }
            None => self.new.left += 1,
        }
        self.new.gave_up += u64::from(to == Some(ViewerState::GaveUp) && from != to);
        self.new.stalls += u64::from(to == Some(ViewerState::Stalled) && from != to);
    }

    /// A stall ended, or the viewer did: how long it was.
    pub fn stall_over(&mut self, length: Duration) {
        self.new.stalled_for.record(length);
    }

    /// A viewer that starts has that behind it.
    pub fn phase(&mut self, phase: Phase, took: Duration) {
        self.new.phases[phase as usize].record(took);
    }

    /// How far behind the encoder a viewer plays.
    pub fn live_latency(&mut self, behind: Duration) {
        self.new.live_latency.record(behind);
    }

    /// A playlist that had stood still for longer than it may went on, after so long.
    pub fn staleness(&mut self, stood: Duration) {
        self.new.staleness.record(stood);
    }

    /// An edge did not give what was due, and so long after that a segment from another one was whole.
    pub fn got_away(&mut self, after: Duration) {
        self.new.got_away.record(after);
    }

    /// Bytes came, heads and bodies alike; told as they come, so that the rate is right for each second.
    pub fn received(&mut self, kind: Kind, bytes: u64) {
        self.new.bytes.0[kind as usize] += bytes;
    }

    /// A request was sent.
    pub fn asked(&mut self, kind: Kind) {
        self.new.asked.0[kind as usize] += 1;
    }

    /// A request was answered to its last byte, whatever its status; that a status is an error says
    /// [`Tally::noticed`].
    pub fn answered(&mut self, kind: Kind, status: u16, timing: Timing) {
        let new = &mut self.new;
        new.first_byte[kind as usize].record(timing.first_byte.saturating_duration_since(timing.due));
        new.total[kind as usize].record(timing.done.saturating_duration_since(timing.due));
        let is_known = new.statuses.iter().any(|(seen, _)| *seen == (kind, status));
        let status = if is_known || new.statuses.len() < STATUSES { status } else { 0 };
        add(&mut new.statuses, (kind, status), 1);
    }

    /// A request came to nothing. What the viewer says of it comes by [`Tally::noticed`]; this is for what no
    /// viewer sees.
    pub fn failed(&mut self, kind: Kind, class: ErrorClass) {
        add(&mut self.new.errors, (kind, class), 1);
    }

    /// A promise of a playlist was broken.
    pub fn fault(&mut self, kind: FaultKind) {
        self.new.faults.0[kind as usize] += 1;
    }

    /// Something happened so many times that breaks no promise.
    pub fn notice(&mut self, kind: Notice, times: u64) {
        let count = &mut self.new.notices.0[kind as usize];
        *count = count.saturating_add(times);
    }

    /// A whole segment, as that origin sent it. `rendition` is the same text for all origins: no host, no token.
    pub fn segment_seen(&mut self, rendition: &str, sequence: u64, origin: &str, digest: Digest) {
        let segment = SegmentSeen { rendition: name(rendition), sequence, origin: name(origin), digest };
        if self.new.segments.len() < SEGMENTS_A_TURN && self.told.push(&segment) {
            self.new.segments.push(segment);
        }
    }

    /// Something was due then, and its turn is now: the load tester's own lag.
    pub fn woke(&mut self, due: Instant, now: Instant) {
        self.new.lag.record(now.saturating_duration_since(due));
    }

    /// Viewers in that state on this core.
    pub fn viewers(&self, state: ViewerState) -> u64 {
        self.viewers.0[state as usize]
    }

    /// Once a second, on this core's own thread: hands over what is new. Where the teller is behind, it goes with the
    /// next turn; nothing is lost, and nobody waits.
    pub fn turn(&mut self, now: Instant, teller: &Sender<Box<Snapshot>>) {
        let snapshot = self.close(now);
        if let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) = teller.try_send(snapshot) {
            self.next_second = back.second;
            self.turned = now.checked_sub(back.covered).unwrap_or(self.begin);
            self.new = back;
        }
    }

    /// At the end: the last of it, waiting for the teller if it must.
    pub fn finish(mut self, now: Instant, teller: &Sender<Box<Snapshot>>) {
        let snapshot = self.close(now);
        // A teller that has gone is told nothing more.
        let _ = teller.send(snapshot);
    }

    fn close(&mut self, now: Instant) -> Box<Snapshot> {
        self.spend(now);
        let covered = now.saturating_duration_since(self.turned);
        let used = ThreadUse::of_this_thread();
        let cpu = used.cpu.saturating_sub(self.used.cpu).as_secs_f64();
        let waited =
            used.waited.zip(self.used.waited).map(|(now, then)| now.saturating_sub(then).as_secs_f64());
        let seconds = covered.saturating_sub(self.new.covered).as_secs_f64();
        let is_full = cpu > CPU_SHARE_MAX * seconds;
        let full_seconds = if is_full { seconds } else { 0.0 };
        self.new.own.add(CoreUse { seconds, cpu_seconds: cpu, waited_seconds: waited, full_seconds });
        let elapsed = now.saturating_duration_since(self.begin).as_secs_f64();
        self.new.second = (elapsed.round() as u64).saturating_sub(1).max(self.next_second);
        self.new.covered = covered;
        self.new.viewers = self.viewers;
        self.next_second = self.new.second + 1;
        self.turned = now;
        self.used = used;
        let core = self.new.core;
        std::mem::replace(&mut self.new, Snapshot::empty(core))
    }

    fn spend(&mut self, now: Instant) {
        let span_us = us(now.saturating_duration_since(self.spent_until));
        for (spent, viewers) in self.new.spent_us.iter_mut().zip(self.viewers.0) {
            *spent += i64::try_from(viewers.saturating_mul(span_us)).unwrap_or(i64::MAX / 4);
        }
        self.spent_until += Duration::from_micros(span_us);
    }
}

/// So many more of these.
pub(crate) fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K, more: u64) {
    match counts.iter_mut().find(|(seen, _)| *seen == key) {
        Some((_, times)) => *times += more,
        None => counts.push((key, more)),
    }
}

/// A name, cut to what is kept of it.
fn name(text: &str) -> Arc<str> {
    let mut end = text.len().min(NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}
