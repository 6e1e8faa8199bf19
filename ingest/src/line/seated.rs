//! What the twin has to do with a line: who decides its steps, and what becomes of the own publisher's units.
//!
//! Does not live here: who leads and under which term (`twin::Seat`), what is held of an own feed (`twin::Reserve`).

use super::{Act, FromTwin, Line, Process};
use edgefan::{Lane, LaneStanding};
use ladder::Order;
use media::{MediaSequence, MediaSpan, MediaTime};
use std::collections::VecDeque;
use std::time::Duration;
use timeline::{Input, Now, Targets, Timeline};
use twin::{Lead, Left, Reserve, Said, SeatState, Step, Word};

/// An own feed that is this far ahead of what the leader tells is one the leader does not get any more …
pub(crate) const AHEAD_OF_LEADER: MediaSpan = MediaSpan::from_millis(1000);
/// … if the leader has told nothing, or its publisher sent nothing, for so long.
pub(crate) const STARVED_AFTER: Duration = Duration::from_millis(750);

impl Line {
    /// What the own publisher does: to the timeline while we lead, into reserve while the twin does.
    pub(super) fn publisher(&mut self, input: Input, now: Now) {
        match &input {
            Input::Arrived => {
                self.splice = None;
                self.was_aligned = false;
            }
            Input::Unit(_) => self.published = Some(now.instant),
            _ => {}
        }
        let (arrives, leaves) = (input == Input::Arrived, matches!(input, Input::Left | Input::Over));
        if input == Input::Over {
            return self.leave(now);
        }
        if leaves {
            // Before the timeline hears of it: a follower with a feed goes on without a picture of filler.
            self.seat.feed(false, false, now);
            self.words(now);
        }
        if self.seat.leads() {
            self.reserve.leads(&input, now.instant);
            self.give_timeline(input, now);
        } else {
            self.reserve.push(input, now.instant);
            self.mind_reserve(now);
        }
        if arrives {
            self.seat.feed(true, false, now);
        }
    }

    /// Something about the twin.
    pub(super) fn twin(&mut self, heard: FromTwin, now: Now) {
        match heard {
            FromTwin::Up { is_first } => {
                self.seat.up(is_first, now);
                self.say_digest();
            }
            FromTwin::Down(lost) => {
                self.twin_digest = None;
                self.seat.down(lost, now);
            }
            FromTwin::Dropped => self.seat.dropped(),
            FromTwin::Said(Said::Step { term, step }) => {
                if self.seat.follows() && term == self.seat.term() {
                    self.stepped = Some(now.instant);
                    if let Step::Order(Order::Unit(unit)) = &step {
                        self.reserve.led(unit);
                        self.mind_alignment(now);
                    }
                    self.stands(&step);
                    self.carry_out(step, now);
                }
            }
            FromTwin::Said(Said::Made { digest }) => {
                self.twin_digest = Some(digest);
                self.lane_again();
            }
            FromTwin::Said(Said::Ahead { ms }) => {
                let is_starved =
                    self.published.is_none_or(|at| now.instant.duration_since(at) >= STARVED_AFTER);
                if is_starved && self.seat.hand_over_starved(now) {
                    let text =
                        format!("the publisher is silent, and {ms} ms of it are at the twin: it leads now");
                    self.out.push_back(Act::Note(text));
                }
            }
            FromTwin::Said(said) => {
                self.seat.heard(&said, now);
                if matches!(said, Said::Slow { .. }) {
                    self.agree_on_level(now);
                }
            }
        }
    }

    /// The broadcast is let go: the twin is told if we led it.
    pub(crate) fn let_go(&mut self, now: Now) {
        self.seat.over();
        self.carry(now);
    }

    /// What the operator is shown: our part, the term, whether the twin follows, and whether it has a feed.
    pub(crate) fn part(&self) -> (&'static str, u64, bool, Option<bool>) {
        let part = match self.seat.state() {
            SeatState::Idle => "idle",
            SeatState::Settling { .. } => "waits for the twin",
            SeatState::Claiming { .. } => "asks the twin",
            SeatState::Leading { stands_in: false } => "leads",
            SeatState::Leading { stands_in: true } => "stands in",
            SeatState::Following { .. } => "follows",
        };
        (part, self.seat.term(), self.seat.is_followed(), self.seat.follower_feed())
    }

    /// How the own feed stands that is held in reserve: `None` if there is none, or we lead.
    pub(crate) fn reserve_part(&self) -> Option<&'static str> {
        let is_held = self.seat.follows() && self.reserve.is_there();
        is_held.then(|| if self.reserve.is_aligned() { "aligned" } else { "standby" })
    }

    /// Everything the seat has to say.
    pub(super) fn words(&mut self, now: Now) {
        while let Some(word) = self.seat.pull() {
            self.word(word, now);
        }
    }

    pub(super) fn word(&mut self, word: Word, now: Now) {
        match word {
            Word::Say(said) => self.out.push_back(Act::Say(said)),
            Word::Lead(Lead::Fresh(left)) => self.lead(left, now),
            Word::Lead(Lead::GoOn) => self.go_on(now),
            Word::Follow => {
                // What a timeline has not let out yet nobody has heard of: the new leader places it.
                self.timeline = Timeline::new(self.targets(), self.floor);
                self.splice = None;
                self.hand_over_after = None;
                self.was_aligned = false;
                self.stepped = Some(now.instant);
                self.note(format!("the twin leads, term {}", self.seat.term()));
            }
            Word::Retell => self.retell(),
            Word::Alone => self.note("the twin follows no more".into()),
            Word::NewTerm => {
                let from = self.lane.unwrap_or_else(|| self.open_segment());
                self.lane(from);
            }
        }
    }

    /// Steps after this one are the twin's, if the operator wanted that and a cut is behind us.
    pub(super) fn hand_over_at_the_cut(&mut self, now: Now) {
        let (Some(after), Some(standing)) = (self.hand_over_after, &self.standing) else { return };
        let at = standing.last_decode.or(standing.audio_end).unwrap_or(standing.end);
        if self.plan.grid.sequence_at(at) > after {
            self.hand_over_after = None;
            let (feed, reading) = (self.seat.follower_feed(), self.timeline.reading());
            let has_no_feed = feed.is_none();
            if self.seat.hand_over(now) {
                self.note("the operator has handed the lead over".into());
                if has_no_feed {
                    // It is gone as far as we are concerned: the twin would hand back to who has a feed.
                    self.out.push_back(Act::SendAway);
                    self.reserve = Reserve::default();
                    self.seat.feed(false, false, now);
                }
                self.words(now);
                if let (Some(true), Some((source_ms, place))) = (feed, reading) {
                    self.reserve.lies(source_ms, place);
                }
            }
        }
    }

    /// Says which segments are made under which term, from this one on.
    pub(super) fn lane(&mut self, from: MediaSequence) {
        self.lane = Some(from);
        let standing = match self.seat.state() {
            SeatState::Leading { stands_in: true } => LaneStanding::Second,
            SeatState::Leading { stands_in: false } => LaneStanding::Leads,
            _ if self.makes_the_same() => LaneStanding::Follows,
            _ => LaneStanding::Second,
        };
        let (broadcast, term) = (self.plan.broadcast.clone(), self.seat.term());
        self.out.push_back(Act::Lane(Lane { broadcast, term, from, standing }));
    }

    /// A process says what decides its bytes; only what two ingests can differ in is compared: the rungs are the
    /// leader's.
    pub(super) fn made_by(&mut self, digest: &str) {
        let versions = digest.split(" segment ").next().unwrap_or(digest);
        self.digest = Some(versions.to_owned());
        self.say_digest();
        self.lane_again();
    }

    fn say_digest(&mut self) {
        if let Some(digest) = &self.digest {
            self.out.push_back(Act::Say(Said::Made { digest: digest.clone() }));
        }
    }

    fn makes_the_same(&self) -> bool {
        self.digest.is_none() || self.twin_digest.is_none() || self.digest == self.twin_digest
    }

    /// The twin's process is another version: our copies only fill holes.
    fn lane_again(&mut self) {
        if self.seat.follows()
            && !self.makes_the_same()
            && let Some(from) = self.lane
        {
            self.note("the twin's encoder is another one: our segments only fill holes".into());
            self.lane(from);
        }
    }

    fn targets(&self) -> Targets {
        Targets { grid: self.plan.grid, grace: self.plan.grace }
    }

    fn note(&mut self, text: String) {
        self.out.push_back(Act::Note(text));
    }

    fn give_timeline(&mut self, input: Input, now: Now) {
        if let (Input::Unit(unit), Some(splice)) = (&input, &mut self.splice) {
            if !splice.admits(unit) {
                return;
            }
            if splice.is_over() {
                self.splice = None;
            }
        }
        self.timeline.push(input, now);
    }

    /// Nobody leads, and we may.
    fn lead(&mut self, left: Option<Left>, now: Now) {
        if let Some(left) = left {
            self.floor = self.floor.max(left.end);
            self.has_had_run |= left.end > MediaTime::default();
            if left.discontinuity > self.numbers.newest {
                self.numbers.newest = left.discontinuity;
            }
        }
        self.timeline = Timeline::new(self.targets(), self.floor);
        self.splice = None;
        for input in self.reserve.begin() {
            self.give_timeline(input, now);
        }
    }

    /// The leader is lost, or has handed over: from here on the steps are ours.
    fn go_on(&mut self, now: Now) {
        let Some(standing) = self.standing.clone() else {
            if self.reserve.is_there() {
                self.lead(None, now);
            } else {
                self.seat.over();
            }
            return;
        };
        let heard = self.stepped.unwrap_or(now.instant);
        let feed = match (self.reserve.is_there(), self.reserve.is_aligned()) {
            (true, true) => "from our own feed, without a seam",
            (true, false) => "from our own feed, which is another one",
            (false, _) => "with filler: there is no feed here",
        };
        self.note(format!("we lead now, term {}, {feed}", self.seat.term()));
        let succession = self.reserve.succeed(&standing, heard, now.instant);
        self.timeline = Timeline::resume(self.targets(), &standing, succession.publisher, now);
        self.splice = succession.splice;
        self.hand_over_after = None;
        self.seat.begun(standing.run);
        let from = self.open_segment();
        self.lane(from);
        for input in succession.inputs {
            self.give_timeline(input, now);
        }
    }

    /// The first segment of which more may come: of the track that is behind.
    fn open_segment(&self) -> MediaSequence {
        let end = self.standing.as_ref().map_or(self.floor, |standing| {
            let tracks = [standing.video_end, standing.audio_end];
            tracks.into_iter().flatten().min().unwrap_or(standing.end)
        });
        self.plan.grid.sequence_at(end)
    }

    /// Tells the follower everything it needs to make the same from the next whole segment on.
    fn retell(&mut self) {
        let mut steps = VecDeque::new();
        match &self.process {
            Process::None => {}
            Process::Finishes { waiting, .. } => {
                steps.extend(waiting.iter().filter(|step| **step != Step::End).cloned());
            }
            Process::Works(_) | Process::StartAgain { .. } => {
                let from = self.assembly.settled_before();
                let (discontinuity, later) = self.assembly.discontinuities_from(from);
                let run = self.assembly.run();
                for order in self.kept.retell(from) {
                    match order {
                        Order::Begin(begin) => {
                            steps.push_back(Step::Begin { run, discontinuity, begin: Box::new(begin) });
                            let later = later.iter();
                            steps.extend(
                                later.map(|(from, number)| Step::Discontinuity {
                                    from: *from,
                                    number: *number,
                                }),
                            );
                        }
                        order => steps.push_back(Step::Order(order)),
                    }
                }
            }
        }
        self.note(format!("the twin follows; it is told {} steps", steps.len()));
        let term = self.seat.term();
        self.out.extend(steps.into_iter().map(|step| Act::Say(Said::Step { term, step })));
        self.say_digest();
    }

    /// The own feed is held: the leader is told when it turns out to be the same as its own, and when the leader has
    /// lost it.
    fn mind_reserve(&mut self, now: Now) {
        self.mind_alignment(now);
        let Some(standing) = self.standing.as_ref().filter(|_| self.seat.follows()) else { return };
        let ahead = self.reserve.ahead(standing);
        let is_late = |at: Option<std::time::Instant>| {
            at.is_none_or(|at| now.instant.duration_since(at) >= STARVED_AFTER)
        };
        if ahead >= AHEAD_OF_LEADER && is_late(self.said_ahead) {
            self.said_ahead = Some(now.instant);
            self.out.push_back(Act::Say(Said::Ahead { ms: ahead.as_millis() }));
        }
    }

    fn mind_alignment(&mut self, now: Now) {
        let is_aligned = self.reserve.is_aligned();
        if self.seat.follows() && is_aligned != self.was_aligned {
            self.was_aligned = is_aligned;
            self.seat.feed(self.reserve.is_there(), is_aligned, now);
            self.note(match is_aligned {
                true => "our publisher's feed is the leader's: it is laid on the same timeline".into(),
                false => "our publisher's feed is not the leader's any more".into(),
            });
        }
    }

    /// The ingest ends. A run that has another home goes on there; else it is over.
    fn leave(&mut self, now: Now) {
        self.is_leaving = true;
        if self.seat.leads() && !self.seat.hand_over(now) {
            self.timeline.push(Input::Over, now);
            return;
        }
        self.words(now);
        self.seat.feed(false, false, now);
        self.reserve = Reserve::default();
        if !self.seat.follows() {
            return;
        }
        if let Process::Works(generation) = self.process {
            self.out.push_back(Act::Kill(generation));
        }
        // Edges are not told that the run is over: it is not.
        self.process = Process::None;
        self.standing = None;
        self.seat.over();
    }
}
