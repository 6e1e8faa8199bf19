//! One broadcast's line: publisher → timeline → transcode process → edges. [`Line::carry`] is the only place that
//! knows the order of the rooms.
//!
//! Lives here: that order, and what becomes of a step. Does not live here: the life of the process (`line/worked`), what
//! the twin has to do with it (`line/seated`), sockets, pipes and clocks (`shell`, `process`).
//!
//! Between the timeline and the process stand *steps* ([`twin::Step`]): what was decided, once. Who leads decides them
//! and tells its twin; who follows carries out the same ones. So two processes are given the same orders.

use crate::assembly::{Assembly, Fed};
use crate::kept::Kept;
use crate::remembered::Left;
use crate::shed::Shedding;
use edgefan::Lane;
use ladder::{Begin, Ladder, Order, Report, Shed, SourceShape};
use media::{
    AudioConfig, BroadcastId, DiscontinuitySequence, Grid, MediaSequence, MediaSpan, MediaTime, RunId,
    VideoConfig,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timeline::{Now, Placed, Standing, Targets, Timeline};
use twin::{Lost, Reserve, Said, Seat, Splice, Step};

mod seated;
mod worked;

use worked::Process;

/// What happens to a line.
#[derive(Debug)]
pub(crate) enum Input {
    /// The publisher did something.
    Publisher(timeline::Input),
    /// A process said something.
    Report(Generation, Report),
    /// A process is gone.
    ProcessGone(Generation, String),
    /// Something about the twin.
    Twin(FromTwin),
    /// The operator wants the twin to lead, from the next cut on.
    HandOver,
    /// Time passed.
    Tick,
}

/// What a line hears of the twin.
#[derive(Debug)]
pub(crate) enum FromTwin {
    /// It is there; where all else is equal, we have the say.
    Up { is_first: bool },
    /// It is not heard any more.
    Down(Lost),
    /// It was too slow: what waited for it is dropped.
    Dropped,
    /// It said something about this broadcast.
    Said(Said),
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
    /// Tell the edges whose word counts from which segment on.
    Lane(Lane),
    /// Tell the twin.
    Say(Said),
    /// Ask the publisher to go: the twin takes it now.
    SendAway,
    /// Remember where the broadcast is.
    Remember(Left),
    /// Say in the log.
    Note(String),
}

/// Which process: a report of an earlier one is not listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u64);

/// What is decided while an earlier run's process finishes; past it the process is ended.
pub(crate) const WAITING_PLACED: usize = 2048;

/// What a line makes of a broadcast.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) broadcast: BroadcastId,
    pub(crate) grid: Grid,
    pub(crate) window: u32,
    pub(crate) grace: Duration,
    pub(crate) ladder: Ladder,
    /// When an ingest that has a twin stops waiting to hear of it.
    pub(crate) settles_at: Instant,
}

/// One broadcast. See the module.
#[derive(Debug)]
pub(crate) struct Line {
    plan: Plan,
    seat: Seat,
    /// While we lead.
    timeline: Timeline,
    /// While the twin does: what our own publisher sends.
    reserve: Reserve,
    splice: Option<Splice>,
    /// Where the run stands, whoever has placed it.
    standing: Option<Standing>,
    numbers: Numbers,
    /// The end of everything that was ever placed.
    floor: MediaTime,
    /// When the newest step came from the twin, and the newest unit from our publisher.
    stepped: Option<Instant>,
    published: Option<Instant>,
    said_ahead: Option<Instant>,
    was_aligned: bool,
    /// The ingest ends: the twin is not listened to any more.
    is_leaving: bool,
    /// The lead is handed over at the first cut after this segment.
    hand_over_after: Option<MediaSequence>,
    /// What decides a process' bytes, here and at the twin.
    digest: Option<String>,
    twin_digest: Option<String>,
    lane: Option<MediaSequence>,
    kept: Kept,
    assembly: Assembly,
    shedding: Shedding,
    /// What is given up now, by whoever's need.
    level: Shed,
    process: Process,
    newest: Generation,
    has_had_run: bool,
    /// The end of everything the process was given, and of what it has worked off.
    given_until: MediaTime,
    decoded_until: MediaTime,
    /// When the process last said anything.
    heard: Option<Instant>,
    /// A process that was told of a run that is under way has so long to come up with it.
    catches_up_until: Option<Instant>,
    settled: MediaSequence,
    deaths: u32,
    out: VecDeque<Act>,
}

/// How many discontinuities there were, as of what is decided.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    newest: DiscontinuitySequence,
    /// From which segment on, if that was decided here.
    from: Option<MediaSequence>,
}

impl Numbers {
    /// One more from this segment on; two at one segment are one.
    fn next(&mut self, from: MediaSequence) -> DiscontinuitySequence {
        if self.from.is_none_or(|last| from > last) {
            self.newest = DiscontinuitySequence(self.newest.0 + 1);
            self.from = Some(from);
        }
        self.newest
    }

    fn hear(&mut self, from: MediaSequence, number: DiscontinuitySequence) {
        if number > self.newest {
            *self = Self { newest: number, from: Some(from) };
        }
    }
}

impl Line {
    /// A broadcast that was left there, if anybody remembers.
    pub(crate) fn new(plan: Plan, left: Left, has_had_run: bool) -> Self {
        let targets = Targets { grid: plan.grid, grace: plan.grace };
        Self {
            seat: Seat::new(
                twin::Left { term: left.term, end: left.end(), discontinuity: left.discontinuity() },
                plan.settles_at,
            ),
            timeline: Timeline::new(targets, left.end()),
            reserve: Reserve::default(),
            splice: None,
            standing: None,
            numbers: Numbers { newest: left.discontinuity(), from: None },
            floor: left.end(),
            stepped: None,
            published: None,
            said_ahead: None,
            was_aligned: false,
            is_leaving: false,
            hand_over_after: None,
            digest: None,
            twin_digest: None,
            lane: None,
            assembly: Assembly::new(plan.broadcast.clone(), plan.grid, plan.window, left.discontinuity()),
            plan,
            kept: Kept::default(),
            shedding: Shedding::default(),
            level: Shed::None,
            process: Process::None,
            newest: Generation::default(),
            has_had_run,
            given_until: MediaTime::default(),
            decoded_until: MediaTime::default(),
            heard: None,
            catches_up_until: None,
            settled: MediaSequence::default(),
            deaths: 0,
            out: VecDeque::new(),
        }
    }

    /// One thing that happened; everything it sets free is carried as far as it will go.
    pub(crate) fn push(&mut self, input: Input, now: Now) {
        match input {
            Input::Publisher(input) => self.publisher(input, now),
            Input::Report(generation, report) => self.report(generation, report, now),
            Input::ProcessGone(generation, why) => self.gone(generation, &why, now),
            Input::Twin(heard) if !self.is_leaving => self.twin(heard, now),
            Input::HandOver => {
                let grid = self.plan.grid;
                self.hand_over_after = self.standing.as_ref().map(|standing| grid.sequence_at(standing.end));
            }
            Input::Twin(_) => {}
            Input::Tick => {}
        }
        if self.seat.leads() {
            self.timeline.tick(now);
        }
        self.seat.tick(now);
        self.mind_process(now);
        self.carry(now);
    }

    /// What the shell is to do next.
    pub(crate) fn pull(&mut self) -> Option<Act> {
        self.out.pop_front()
    }

    /// When time itself is an input.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timeline = self.timeline.deadline().filter(|_| self.seat.leads());
        [timeline, self.process_deadline(), self.seat.deadline()].into_iter().flatten().min()
    }

    /// A run is under way, here or at the twin, or a process still works for one.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.process, Process::None) || self.seat.follows()
    }

    /// Media given to the process that it has not worked off.
    pub(crate) fn behind(&self) -> MediaSpan {
        self.given_until.saturating_since(self.decoded_until)
    }

    /// The end of everything placed, to hold a publisher to the pace of the clock.
    pub(crate) fn end(&self) -> MediaTime {
        if self.seat.leads() { self.timeline.end() } else { MediaTime::default() }
    }

    /// What is given up now.
    pub(crate) fn shed(&self) -> Shed {
        self.level
    }

    /// Bytes held for a restart, in open segments, and of an own feed that is not needed.
    pub(crate) fn bytes_held(&self) -> u64 {
        (self.kept.bytes() + self.reserve.bytes()) as u64 + self.assembly.bytes_held()
    }

    fn carry(&mut self, now: Now) {
        loop {
            if let Some(word) = self.seat.pull() {
                self.word(word, now);
            } else if let Some(placed) = self.timeline.pull().filter(|_| self.seat.leads()) {
                self.decide(placed, now);
            } else {
                break;
            }
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

    /// What the timeline has placed becomes a step, here and at the twin.
    fn decide(&mut self, placed: Placed, now: Now) {
        let step = match placed {
            Placed::Begin { run, first, video, audio } => match self.beginning(run, first, video, audio) {
                Some(step) => step,
                None => return,
            },
            Placed::VideoConfig(config) => Step::Order(Order::VideoConfig(config)),
            Placed::AudioConfig(config) => Step::Order(Order::AudioConfig(config)),
            Placed::Discontinuity { from } => Step::Discontinuity { from, number: self.numbers.next(from) },
            Placed::Unit(unit) => {
                if self.seat.stands_in() {
                    self.lane = Some(self.plan.grid.sequence_at(unit.presentation_time));
                    self.seat.fed(now);
                }
                Step::Order(Order::Unit(unit))
            }
            Placed::Fill { until } => Step::Order(Order::Fill { until }),
            Placed::End => Step::End,
        };
        self.step(step, now);
        self.hand_over_at_the_cut(now);
    }

    fn beginning(
        &mut self,
        run: RunId,
        first: MediaSequence,
        video: Option<VideoConfig>,
        audio: Option<AudioConfig>,
    ) -> Option<Step> {
        let shape = match video.as_ref().map(SourceShape::of).transpose() {
            Ok(shape) => shape,
            Err(error) => {
                self.out.push_back(Act::Note(format!("the pictures cannot be used: {error}")));
                return None;
            }
        };
        let rungs = self.plan.ladder.rungs(shape.as_ref(), audio.is_some());
        let discontinuity = match std::mem::replace(&mut self.has_had_run, true) {
            true => self.numbers.next(first),
            false => self.numbers.newest,
        };
        let (broadcast, segment) = (self.plan.broadcast.clone(), self.plan.grid.segment());
        let begin = Box::new(Begin { broadcast, segment, from: first, rungs, video, audio });
        self.seat.begun(run);
        Some(Step::Begin { run, discontinuity, begin })
    }

    /// One more step of ours: the twin is told, and it is carried out.
    fn step(&mut self, step: Step, now: Now) {
        if self.seat.is_followed() {
            self.out.push_back(Act::Say(Said::Step { term: self.seat.term(), step: step.clone() }));
        }
        self.stands(&step);
        self.carry_out(step, now);
    }

    /// Where the run stands after this step.
    fn stands(&mut self, step: &Step) {
        match step {
            Step::Begin { run, begin, discontinuity } => {
                let start = self.plan.grid.start_of(begin.from);
                let (video, audio) = (begin.video.clone(), begin.audio.clone());
                self.standing = Some(Standing::begin(*run, start, video, audio));
                self.numbers.hear(begin.from, *discontinuity);
                self.has_had_run = true;
            }
            Step::Discontinuity { from, number } => self.numbers.hear(*from, *number),
            Step::End => self.standing = None,
            Step::Order(order) => {
                let Some(standing) = &mut self.standing else { return };
                match order {
                    Order::VideoConfig(config) => standing.video = Some(config.clone()),
                    Order::AudioConfig(config) => standing.audio = Some(config.clone()),
                    Order::Unit(unit) => standing.unit(unit),
                    Order::Fill { until } => standing.fill(*until),
                    Order::Begin(_) | Order::Shed { .. } | Order::End => {}
                }
                self.floor = self.floor.max(standing.end);
            }
        }
    }

    fn carry_out(&mut self, step: Step, now: Now) {
        if let Process::Finishes { generation, waiting, .. } = &mut self.process {
            waiting.push_back(step);
            if waiting.len() > WAITING_PLACED {
                let generation = *generation;
                self.out.push_back(Act::Kill(generation));
                self.finished(now);
            }
            return;
        }
        match step {
            Step::Begin { run, discontinuity, begin } => match self.process {
                Process::None => self.begin(run, discontinuity, *begin, now),
                _ if self.assembly.run() == run => self.begin_again(discontinuity, *begin, now),
                _ => self.finish(VecDeque::from([Step::Begin { run, discontinuity, begin }]), now),
            },
            Step::Discontinuity { from, number } => self.assembly.discontinuity(from, number),
            Step::Order(order) => {
                match &order {
                    Order::Unit(unit) => self.given_until = self.given_until.max(unit.decode_time),
                    Order::Fill { until } => self.given_until = self.given_until.max(*until),
                    Order::Shed { level, .. } => self.level = *level,
                    _ => {}
                }
                self.order(order);
            }
            Step::End => self.finish(VecDeque::from([Step::End]), now),
        }
    }

    fn mind_pace(&mut self, now: Now) {
        // What is told again is worked off faster than it was made, and is no sign of weakness.
        if self.catches_up_until.is_some_and(|until| now.instant < until && self.seat.is_paired()) {
            return;
        }
        let behind = self.behind();
        let Some(level) = self.shedding.push(behind, now.instant) else { return };
        self.out.push_back(Act::Note(match level {
            Shed::None => "the encoder has room again".into(),
            level => format!("the encoder is {behind} behind, too slow by {level:?}"),
        }));
        if self.seat.follows() {
            self.out.push_back(Act::Say(Said::Slow { level }));
        }
        self.agree_on_level(now);
    }

    /// Who leads gives up what either of the two must.
    fn agree_on_level(&mut self, now: Now) {
        let level = self.shedding.level().max(self.seat.follower_level());
        if !self.seat.leads() || level == self.level || matches!(self.process, Process::None) {
            return;
        }
        let from = self.plan.grid.sequence_at(self.given_until).next();
        self.out.push_back(Act::Note(match level {
            Shed::None => format!("everything is made from segment {from} on"),
            level => format!("{level:?} is given up from segment {from} on"),
        }));
        self.step(Step::Order(Order::Shed { level, from }), now);
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
        let end = self.floor.max(self.plan.grid.end_of(self.settled.next()));
        self.seat.remember(end, DiscontinuitySequence(discontinuity));
        let term = self.seat.term();
        self.out.push_back(Act::Remember(Left { end_ticks: end.ticks(), discontinuity, term }));
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin_tests;
