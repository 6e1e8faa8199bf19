//! One broadcast's line: publisher → timeline → transcode process → edges. [`Line::carry`] is the only place that
//! knows the order of the rooms.
//!
//! Lives here: that order, and the life of the process as far as it can be decided without one (start, tell again,
//! give up, let finish). Does not live here: sockets, pipes and clocks (`shell`, `process`).

use crate::assembly::{Assembly, Fed};
use crate::kept::Kept;
use crate::remembered::Left;
use crate::shed::Shedding;
use ladder::{Begin, Ladder, Order, Report, Shed, SourceShape};
use media::{AudioConfig, BroadcastId, Grid, MediaSequence, MediaSpan, MediaTime, VideoConfig};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timeline::{Now, Placed, Targets, Timeline};

/// What happens to a line.
#[derive(Debug)]
pub(crate) enum Input {
    /// The publisher did something.
    Publisher(timeline::Input),
    /// A process said something.
    Report(Generation, Report),
    /// A process is gone.
    ProcessGone(Generation, String),
    /// Time passed.
    Tick,
}

/// What the shell is to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Start a process, and give it these orders.
    Start(Generation, Vec<Order>),
    /// Give the process one more order.
    Order(Generation, Order),
    /// End a process that does not answer.
    Kill(Generation),
    /// Tell the edges.
    Feed(Fed),
    /// Remember where the broadcast is.
    Remember(Left),
    /// Say in the log.
    Note(String),
}

/// Which process: a report of an earlier one is not listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

/// How long a process whose run is over may take to hand out its last segments.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// A process that is this far behind and has said nothing for [`HUNG_AFTER`] is hung.
pub(crate) const HUNG_BEHIND: MediaSpan = MediaSpan::from_secs(4);
/// See [`HUNG_BEHIND`].
pub(crate) const HUNG_AFTER: Duration = Duration::from_secs(6);
/// Deaths without a segment settled in between before what is kept is taken for the cause.
pub(crate) const DEATHS_BEFORE_SKIPPING: u32 = 3;
/// What is placed while an earlier run's process finishes; past it the process is ended.
pub(crate) const WAITING_PLACED: usize = 2048;

/// What a line makes of a broadcast.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) broadcast: BroadcastId,
    pub(crate) grid: Grid,
    pub(crate) window: u32,
    pub(crate) grace: Duration,
    pub(crate) ladder: Ladder,
}

/// One broadcast. See the module.
#[derive(Debug)]
pub(crate) struct Line {
    plan: Plan,
    timeline: Timeline,
    kept: Kept,
    assembly: Assembly,
    shedding: Shedding,
    process: Process,
    newest: Generation,
    has_had_run: bool,
    /// The end of everything the process was given, and of what it has worked off.
    given_until: MediaTime,
    decoded_until: MediaTime,
    /// When the process last said anything.
    heard: Option<Instant>,
    settled: MediaSequence,
    deaths: u32,
    out: VecDeque<Act>,
}

#[derive(Debug)]
enum Process {
    /// No run, no process.
    None,
    /// It works.
    Works(Generation),
    /// It died; another is started then.
    StartAgain { at: Instant },
    /// Its run is over; what was placed since waits for it to be gone.
    Finishes { generation: Generation, until: Instant, waiting: VecDeque<Placed> },
}

impl Line {
    /// A broadcast that was left there, if anybody remembers.
    pub(crate) fn new(plan: Plan, left: Left, has_had_run: bool) -> Self {
        let targets = Targets { grid: plan.grid, grace: plan.grace };
        Self {
            timeline: Timeline::new(targets, left.end()),
            assembly: Assembly::new(plan.broadcast.clone(), plan.grid, plan.window, left.discontinuity()),
            plan,
            kept: Kept::default(),
            shedding: Shedding::default(),
            process: Process::None,
            newest: Generation::default(),
            has_had_run,
            given_until: MediaTime::default(),
            decoded_until: MediaTime::default(),
            heard: None,
            settled: MediaSequence::default(),
            deaths: 0,
            out: VecDeque::new(),
        }
    }

    /// One thing that happened; everything it sets free is carried as far as it will go.
    pub(crate) fn push(&mut self, input: Input, now: Now) {
        match input {
            Input::Publisher(input) => self.timeline.push(input, now),
            Input::Report(generation, report) => self.report(generation, report, now),
            Input::ProcessGone(generation, why) => self.gone(generation, &why, now),
            Input::Tick => self.timeline.tick(now),
        }
        self.mind_process(now);
        self.carry(now);
    }

    /// What the shell is to do next.
    pub(crate) fn pull(&mut self) -> Option<Act> {
        self.out.pop_front()
    }

    /// When time itself is an input.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let process = match &self.process {
            Process::None => None,
            Process::Works(_) => self.heard.map(|heard| heard + HUNG_AFTER),
            Process::StartAgain { at } => Some(*at),
            Process::Finishes { until, .. } => Some(*until),
        };
        [self.timeline.deadline(), process].into_iter().flatten().min()
    }

    /// A run is under way or a process still works for one.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.process, Process::None)
    }

    /// Media given to the process that it has not worked off.
    pub(crate) fn behind(&self) -> MediaSpan {
        self.given_until.saturating_since(self.decoded_until)
    }

    /// The end of everything placed, to hold a publisher to the pace of the clock.
    pub(crate) fn end(&self) -> MediaTime {
        self.timeline.end()
    }

    /// What is given up now.
    pub(crate) fn shed(&self) -> Shed {
        self.shedding.level()
    }

    /// Bytes held for a restart and in open segments.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.kept.bytes() as u64 + self.assembly.bytes_held()
    }

    fn carry(&mut self, now: Now) {
        while let Some(placed) = self.timeline.pull() {
            self.place(placed, now);
        }
        while let Some(fed) = self.assembly.pull() {
            if matches!(fed, Fed::Close { .. } | Fed::Skip { .. }) {
                self.segment_settled();
            }
            self.out.push_back(Act::Feed(fed));
        }
        while let Some(note) = self.assembly.pull_note() {
            self.out.push_back(Act::Note(note));
        }
    }

    fn place(&mut self, placed: Placed, now: Now) {
        if let Process::Finishes { generation, waiting, .. } = &mut self.process {
            waiting.push_back(placed);
            if waiting.len() > WAITING_PLACED {
                let generation = *generation;
                self.out.push_back(Act::Kill(generation));
                self.finished(now);
            }
            return;
        }
        match placed {
            Placed::Begin { run, first, video, audio } => match self.process {
                Process::None => self.begin(run, first, video, audio, now),
                _ => self.finish(VecDeque::from([Placed::Begin { run, first, video, audio }]), now),
            },
            Placed::VideoConfig(config) => self.order(Order::VideoConfig(config)),
            Placed::AudioConfig(config) => self.order(Order::AudioConfig(config)),
            Placed::Discontinuity { from } => self.assembly.discontinuity(from),
            Placed::Unit(unit) => {
                self.given_until = self.given_until.max(unit.decode_time);
                self.order(Order::Unit(unit));
            }
            Placed::Fill { until } => {
                self.given_until = self.given_until.max(until);
                self.order(Order::Fill { until });
            }
            Placed::End => self.finish(VecDeque::from([Placed::End]), now),
        }
    }

    fn begin(
        &mut self,
        run: media::RunId,
        first: MediaSequence,
        video: Option<VideoConfig>,
        audio: Option<AudioConfig>,
        now: Now,
    ) {
        let shape = match video.as_ref().map(SourceShape::of).transpose() {
            Ok(shape) => shape,
            Err(error) => {
                self.out.push_back(Act::Note(format!("the pictures cannot be used: {error}")));
                return;
            }
        };
        let rungs = self.plan.ladder.rungs(shape.as_ref(), audio.is_some());
        let ids = rungs.iter().map(|rung| rung.id.clone()).collect();
        self.assembly.begin(run, first, ids, self.has_had_run);
        self.has_had_run = true;
        let (broadcast, segment) = (self.plan.broadcast.clone(), self.plan.grid.segment());
        self.kept.begin(Begin { broadcast, segment, from: first, rungs, video, audio });
        self.settled = first;
        self.deaths = 0;
        self.shedding = Shedding::default();
        self.given_until = self.plan.grid.start_of(first);
        self.decoded_until = self.given_until;
        self.start(now);
    }

    fn start(&mut self, now: Now) {
        self.newest.0 += 1;
        self.heard = Some(now.instant);
        self.assembly.process_restarted();
        let mut orders = self.kept.retell(self.assembly.settled_before());
        if self.shedding.level() != Shed::None {
            // A new process is told at once: what it makes again was made at this level or a lesser one.
            let from = self.assembly.settled_before().next();
            orders.insert(1, Order::Shed { level: self.shedding.level(), from });
        }
        self.process = Process::Works(self.newest);
        self.out.push_back(Act::Start(self.newest, orders));
    }

    fn order(&mut self, order: Order) {
        self.kept.push(order.clone());
        if let Process::Works(generation) = self.process {
            self.out.push_back(Act::Order(generation, order));
        }
    }

    /// The run is over: the process hands out its last segments, and what comes next waits for that.
    fn finish(&mut self, waiting: VecDeque<Placed>, now: Now) {
        match self.process {
            Process::Works(generation) => {
                self.out.push_back(Act::Order(generation, Order::End));
                self.process = Process::Finishes { generation, until: now.instant + FINISH_WITHIN, waiting };
            }
            _ => {
                self.process = Process::Finishes { generation: self.newest, until: now.instant, waiting };
                self.finished(now);
            }
        }
    }

    fn finished(&mut self, now: Now) {
        let Process::Finishes { waiting, .. } = std::mem::replace(&mut self.process, Process::None) else {
            return;
        };
        for placed in waiting {
            match placed {
                Placed::End => {
                    self.assembly.end();
                    self.remember();
                }
                placed => self.place(placed, now),
            }
        }
    }

    fn report(&mut self, generation: Generation, report: Report, now: Now) {
        let is_ours = match &self.process {
            Process::Works(ours) | Process::Finishes { generation: ours, .. } => *ours == generation,
            Process::None | Process::StartAgain { .. } => false,
        };
        if !is_ours {
            return;
        }
        self.heard = Some(now.instant);
        match &report {
            Report::Progress { decoded_until } => {
                self.decoded_until = self.decoded_until.max(*decoded_until);
                self.mind_pace(now);
            }
            Report::Ready { digest } => {
                self.out.push_back(Act::Note(format!("transcode is ready: {digest}")))
            }
            Report::Note { text } => self.out.push_back(Act::Note(text.clone())),
            _ => {}
        }
        self.assembly.push(report);
    }

    fn mind_pace(&mut self, now: Now) {
        let Some(level) = self.shedding.push(self.behind(), now.instant) else { return };
        let from = self.plan.grid.sequence_at(self.given_until).next();
        let behind = self.behind();
        self.out.push_back(Act::Note(match level {
            Shed::None => format!("the encoder has room again: everything is made from segment {from} on"),
            level => format!("the encoder is {behind} behind: {level:?} is given up from segment {from} on"),
        }));
        self.order(Order::Shed { level, from });
    }

    fn segment_settled(&mut self) {
        let settled = self.assembly.settled_before();
        if settled <= self.settled {
            return;
        }
        self.settled = settled;
        self.deaths = 0;
        // One segment more than is open, so that a death right after a cut finds its picture group.
        self.kept.settle(self.plan.grid.start_of(MediaSequence(settled.0.saturating_sub(1))));
        self.remember();
    }

    fn remember(&mut self) {
        let discontinuity = self.assembly.newest_discontinuity().0;
        // Two segments on: a crash may come before the next note.
        let end = self.timeline.end().max(self.plan.grid.end_of(self.settled.next()));
        self.out.push_back(Act::Remember(Left { end_ticks: end.ticks(), discontinuity }));
    }

    fn gone(&mut self, generation: Generation, why: &str, now: Now) {
        match &self.process {
            Process::Finishes { generation: ours, .. } if *ours == generation => self.finished(now),
            Process::Works(ours) if *ours == generation => self.died(why, now),
            _ => {}
        }
    }

    fn died(&mut self, why: &str, now: Now) {
        self.deaths += 1;
        let from = self.assembly.settled_before();
        let mut note = format!("transcode is gone ({why}); started again from segment {from}");
        let mut at = now.instant;
        if self.deaths > 1 {
            at += Duration::from_millis(500);
        }
        if self.deaths >= DEATHS_BEFORE_SKIPPING {
            self.kept.skip_to_newest_sync();
            let next = self.plan.grid.sequence_at(self.given_until).next();
            self.assembly.give_up_before(next);
            note = format!(
                "transcode is gone ({why}) {} times in a row; segments before {next} are given up",
                self.deaths
            );
        }
        self.out.push_back(Act::Note(note));
        self.process = Process::StartAgain { at };
    }

    fn mind_process(&mut self, now: Now) {
        match &self.process {
            Process::StartAgain { at } if now.instant >= *at => self.start(now),
            Process::Works(generation) => {
                let generation = *generation;
                let is_hung = self.behind() > HUNG_BEHIND
                    && self.heard.is_some_and(|heard| now.instant.duration_since(heard) >= HUNG_AFTER);
                if is_hung {
                    self.out.push_back(Act::Kill(generation));
                    self.died("it is hung", now);
                } else if self.heard.is_some_and(|heard| now.instant.duration_since(heard) >= HUNG_AFTER) {
                    // Nothing to do is no silence.
                    self.heard = Some(now.instant);
                }
            }
            Process::Finishes { generation, until, .. } if now.instant >= *until => {
                let generation = *generation;
                self.out.push_back(Act::Kill(generation));
                self.finished(now);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
