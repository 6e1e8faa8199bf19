//! The life of a line's process, as far as it can be decided without one: started, told again, given up, let finish.
//!
//! Does not live here: what it is told (`line`), its pipes and its clock (`process`, `shell`).

use super::{Act, Generation, Line};
use crate::shed::Shedding;
use ladder::{Begin, Order, Report, Shed};
use media::{DiscontinuitySequence, MediaSpan, RunId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timeline::Now;
use twin::Step;

/// How long a process whose run is over may take to hand out its last segments.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// A process that is this far behind and has said nothing for [`HUNG_AFTER`] is hung.
pub(crate) const HUNG_BEHIND: MediaSpan = MediaSpan::from_secs(4);
/// See [`HUNG_BEHIND`].
pub(crate) const HUNG_AFTER: Duration = Duration::from_secs(6);
/// Deaths without a segment settled in between before what is kept is taken for the cause.
pub(crate) const DEATHS_BEFORE_SKIPPING: u32 = 3;

#[derive(Debug)]
pub(super) enum Process {
    /// No run, no process.
    None,
    /// It works.
    Works(Generation),
    /// It died; another is started then.
    StartAgain { at: Instant },
    /// Its run is over; what was decided since waits for it to be gone.
    Finishes { generation: Generation, until: Instant, waiting: VecDeque<Step> },
}

impl Line {
    pub(super) fn begin(&mut self, run: RunId, discontinuity: DiscontinuitySequence, begin: Begin, now: Now) {
        let first = begin.from;
        let ids = begin.rungs.iter().map(|rung| rung.id.clone()).collect();
        self.assembly.begin(run, first, ids, discontinuity);
        self.kept.begin(begin);
        self.settled = first;
        self.deaths = 0;
        self.shedding = Shedding::default();
        self.level = Shed::None;
        self.given_until = self.plan.grid.start_of(first);
        self.decoded_until = self.given_until;
        self.lane(first);
        self.start(now);
    }

    /// The run that is under way, told again by who leads it now.
    pub(super) fn begin_again(&mut self, discontinuity: DiscontinuitySequence, begin: Begin, now: Now) {
        if let Process::Works(generation) = self.process {
            self.out.push_back(Act::Kill(generation));
        }
        let ids: Vec<_> = begin.rungs.iter().map(|rung| rung.id.clone()).collect();
        self.assembly.discontinuity(begin.from, discontinuity);
        self.assembly.go_on(begin.from, &ids);
        let from = self.assembly.settled_before().max(begin.from);
        self.kept.begin(begin);
        self.settled = from;
        self.given_until = self.plan.grid.start_of(from);
        self.decoded_until = self.given_until;
        self.lane(from);
        self.start(now);
    }

    fn start(&mut self, now: Now) {
        self.newest.0 += 1;
        self.heard = Some(now.instant);
        self.catches_up_until = Some(now.instant + FINISH_WITHIN);
        self.assembly.process_restarted();
        let orders = self.kept.retell(self.assembly.settled_before());
        self.process = Process::Works(self.newest);
        self.out.push_back(Act::Start(self.newest, orders));
    }

    pub(super) fn order(&mut self, order: Order) {
        self.kept.push(order.clone());
        if let Process::Works(generation) = self.process {
            self.out.push_back(Act::Order(generation, order));
        }
    }

    /// The run is over: the process hands out its last segments, and what comes next waits for that.
    pub(super) fn finish(&mut self, waiting: VecDeque<Step>, now: Now) {
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

    pub(super) fn finished(&mut self, now: Now) {
        let Process::Finishes { waiting, .. } = std::mem::replace(&mut self.process, Process::None) else {
            return;
        };
        for step in waiting {
            match step {
                Step::End => {
                    self.assembly.end();
                    self.remember();
                }
                step => self.carry_out(step, now),
            }
        }
    }

    pub(super) fn report(&mut self, generation: Generation, report: Report, now: Now) {
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
                self.out.push_back(Act::Note(format!("transcode is ready: {digest}")));
                self.made_by(digest);
            }
            Report::Refused { rung, .. } => self.kept.refuse(rung),
            Report::Note { text } => self.out.push_back(Act::Note(text.clone())),
            _ => {}
        }
        self.assembly.push(report);
    }

    pub(super) fn gone(&mut self, generation: Generation, why: &str, now: Now) {
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

    /// When [`Line::mind_process`] has something to look at.
    pub(super) fn process_deadline(&self) -> Option<Instant> {
        match &self.process {
            Process::None => None,
            Process::Works(_) => self.heard.map(|heard| heard + HUNG_AFTER),
            Process::StartAgain { at } => Some(*at),
            Process::Finishes { until, .. } => Some(*until),
        }
    }

    pub(super) fn mind_process(&mut self, now: Now) {
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
