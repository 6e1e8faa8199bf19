//! Who leads one broadcast, under which term.
//!
//! Lives here: claims, terms, what a lost link means, when leadership is handed over. Does not live here: media
//! (`reserve`, and the ingest's line), connections (`link`), or which copy an edge takes (`edgefan`).
//!
//! A term counts leaderships: each is greater than every one before it that anybody remembers, and not less than the
//! milliseconds since 2026, so that it is greater than those nobody remembers too. Of two who lead, the one with the greater
//! term is right; the other follows as soon as it hears of it.
//!
//! | who is lost | what the follower does |
//! | --- | --- |
//! | the leader, and there is an own feed | leads, under a new term |
//! | the leader, and there is none | stands in with filler, under the old term: should the leader be alive after all, edges go on with it |
//! | nobody, but the connection was garbled | waits for the next connection, as long as for an answer: what the leader makes reaches edges meanwhile |

use crate::{Lost, Said};
use ladder::Shed;
use media::{DiscontinuitySequence, MediaTime, RunId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timeline::Now;

/// How long the twin may take to answer, before it counts as one that does not.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(750);
/// How long after its start an ingest waits for its twin, which may know better, before it leads by itself.
pub const SETTLE_WITHIN: Duration = Duration::from_millis(1500);

/// 2026-01-01T00:00:00Z: before the first release.
const TERMS_FROM_UNIX_MS: u64 = 1_767_225_600_000;

/// Where a broadcast was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The greatest term known of.
    pub term: u64,
    /// The end of everything placed.
    pub end: MediaTime,
    /// The discontinuity sequence of the last segment.
    pub discontinuity: DiscontinuitySequence,
}

/// How one comes to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Nobody did; this is where the twin says it was left, if it was asked.
    Fresh(Option<Left>),
    /// The leader is lost, or has handed over: go on where it stands.
    GoOn,
}

/// What a seat wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Say it to the twin.
    Say(Said),
    /// Lead from here on.
    Lead(Lead),
    /// Follow from here on: what the own publisher sends is held, and steps come from the twin.
    Follow,
    /// Somebody follows: tell it everything it needs to begin, and each step from then on.
    Retell,
    /// Nobody follows any more.
    Alone,
    /// A publisher has come to who stood in, and leads for good: the new term counts from the next unit on.
    NewTerm,
}

/// Where a seat stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatState {
    /// Nobody leads here.
    Idle,
    /// Our publisher is there; the twin is not heard yet, and may know better.
    Settling {
        /// Until then.
        until: Instant,
    },
    /// The twin was asked whether we may lead.
    Claiming {
        /// It does not answer after that.
        until: Instant,
    },
    /// We lead.
    Leading {
        /// With filler, in place of one who was lost.
        stands_in: bool,
    },
    /// The twin leads.
    Following {
        /// It has said so, or must say so by then.
        leader_by: Option<Instant>,
    },
}

/// One broadcast's seat. See the module.
#[derive(Debug)]
pub struct Seat {
    state: SeatState,
    term: u64,
    run: RunId,
    /// The link: whether it is up, and whether we have the say where all else is equal.
    link: Option<IsFirst>,
    settles_at: Instant,
    has_feed: bool,
    /// What is known of where the broadcast was left, to answer a claim.
    left: Left,
    follower: Option<Follower>,
    out: VecDeque<Word>,
}

#[derive(Clone, Copy, Debug)]
struct IsFirst(bool);

/// What the leader knows of its follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Follower {
    has_feed: bool,
    is_aligned: bool,
    level: Shed,
}

impl Seat {
    /// A seat at an ingest that has a twin; `settles_at` is when it stops waiting to hear of it.
    pub fn new(left: Left, settles_at: Instant) -> Self {
        Self {
            state: SeatState::Idle,
            term: left.term,
            run: RunId(0),
            link: None,
            settles_at,
            has_feed: false,
            left,
            follower: None,
            out: VecDeque::new(),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> SeatState {
        self.state
    }

    /// We lead.
    pub fn leads(&self) -> bool {
        matches!(self.state, SeatState::Leading { .. })
    }

    /// We lead, with filler alone.
    pub fn stands_in(&self) -> bool {
        self.state == SeatState::Leading { stands_in: true }
    }

    /// The twin leads.
    pub fn follows(&self) -> bool {
        matches!(self.state, SeatState::Following { .. })
    }

    /// The greatest term known of; while we lead, ours.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Steps are to be told to the twin.
    pub fn is_followed(&self) -> bool {
        self.leads() && self.follower.is_some()
    }

    /// The twin is there.
    pub fn is_paired(&self) -> bool {
        self.link.is_some()
    }

    /// The follower has a feed of its own, and whether it is the same as ours.
    pub fn follower_feed(&self) -> Option<bool> {
        self.follower.filter(|follower| follower.has_feed).map(|follower| follower.is_aligned)
    }

    /// What the follower's encoder would give up.
    pub fn follower_level(&self) -> Shed {
        self.follower.map_or(Shed::None, |follower| follower.level)
    }

    /// Whether our publisher is there.
    pub fn feed(&mut self, has_feed: bool, is_aligned: bool, now: Now) {
        let was_there = std::mem::replace(&mut self.has_feed, has_feed);
        match self.state {
            SeatState::Idle if has_feed => self.want(now),
            SeatState::Settling { .. } | SeatState::Claiming { .. } if !has_feed => {
                self.state = SeatState::Idle
            }
            SeatState::Following { .. } => self.say(Said::Feed { is_there: has_feed, is_aligned }),
            SeatState::Leading { .. } if was_there && !has_feed => self.hand_over_if_better(now),
            _ => {}
        }
    }

    /// The own publisher is silent while the follower's goes on: the follower leads, if its feed is the same.
    pub fn hand_over_starved(&mut self, now: Now) -> bool {
        let can =
            self.leads() && self.follower.is_some_and(|follower| follower.has_feed && follower.is_aligned);
        if can {
            self.hand_over(now);
        }
        can
    }

    /// Our run has begun, or goes on.
    pub fn begun(&mut self, run: RunId) {
        self.run = self.run.max(run);
        if self.leads() {
            self.tell_lead();
        }
    }

    /// Units come, to one who stands in: it leads for good.
    pub fn fed(&mut self, now: Now) {
        if self.stands_in() {
            self.term = next_term(self.term, now);
            self.state = SeatState::Leading { stands_in: false };
            self.out.push_back(Word::NewTerm);
            self.tell_lead();
        }
    }

    /// Gives the lead to the follower; false if there is none.
    pub fn hand_over(&mut self, now: Now) -> bool {
        if !self.is_followed() {
            return false;
        }
        self.term = next_term(self.term, now);
        self.say(Said::HandOver { term: self.term });
        self.state = SeatState::Following { leader_by: Some(now.instant + ANSWER_WITHIN) };
        self.follower = None;
        self.out.push_back(Word::Follow);
        true
    }

    /// Where the broadcast was left by now.
    pub fn remember(&mut self, end: MediaTime, discontinuity: DiscontinuitySequence) {
        self.left.end = self.left.end.max(end);
        self.left.discontinuity = self.left.discontinuity.max(discontinuity);
    }

    /// The broadcast is over here and is let go.
    pub fn over(&mut self) {
        if self.leads() {
            self.say(Said::Over);
        }
        self.state = SeatState::Idle;
        self.follower = None;
    }

    /// The follower took no more: it is not told any more until it asks.
    pub fn dropped(&mut self) {
        if self.follower.take().is_some() {
            self.out.push_back(Word::Alone);
        }
    }

    /// The twin is there, perhaps by another connection than before.
    pub fn up(&mut self, is_first: bool, now: Now) {
        self.link = Some(IsFirst(is_first));
        self.dropped();
        match &mut self.state {
            SeatState::Idle => {}
            SeatState::Settling { .. } | SeatState::Claiming { .. } => self.want(now),
            SeatState::Leading { .. } => self.tell_lead(),
            SeatState::Following { leader_by } => {
                leader_by.get_or_insert(now.instant + ANSWER_WITHIN);
            }
        }
    }

    /// The twin is not heard any more.
    pub fn down(&mut self, lost: Lost, now: Now) {
        self.link = None;
        self.dropped();
        match (&mut self.state, lost) {
            (SeatState::Claiming { .. }, _) => self.lead(Lead::Fresh(None), now),
            (SeatState::Following { .. }, Lost::Gone) => self.lost(now),
            // However often it happens: the leader must have said that it leads within this, counted from the first time.
            (SeatState::Following { leader_by }, Lost::Garbled) => {
                leader_by.get_or_insert(now.instant + ANSWER_WITHIN);
            }
            _ => {}
        }
    }

    /// The twin said something. Steps are not for the seat.
    pub fn heard(&mut self, said: &Said, now: Now) {
        match *said {
            Said::Claim { term } => self.claimed(term, now),
            Said::Grant { term, end, discontinuity } => {
                let left = Left { term, end, discontinuity };
                let was = self.term;
                self.term = self.term.max(term);
                match self.state {
                    SeatState::Claiming { .. } => self.lead(Lead::Fresh(Some(left)), now),
                    // We have forgotten what edges have not: the next term, then.
                    SeatState::Leading { .. } if term >= self.term && was < term => {
                        self.term = next_term(term, now);
                        self.out.push_back(Word::NewTerm);
                        self.tell_lead();
                    }
                    _ => {}
                }
            }
            Said::Leads { term, run, stands_in } => self.led(term, run, stands_in),
            Said::Follow { term } => {
                if self.leads() && term == self.term {
                    self.follower = Some(Follower::default());
                    self.out.push_back(Word::Retell);
                }
            }
            Said::Unfollow => match self.state {
                SeatState::Leading { .. } => self.dropped(),
                SeatState::Following { .. } => {
                    // We were too slow: from the beginning, then.
                    self.out.push_back(Word::Follow);
                    self.follow();
                }
                _ => {}
            },
            Said::Feed { is_there, is_aligned } => {
                if let Some(follower) = &mut self.follower {
                    (follower.has_feed, follower.is_aligned) = (is_there, is_aligned);
                    self.hand_over_if_better(now);
                }
            }
            Said::Slow { level } => {
                if let Some(follower) = &mut self.follower {
                    follower.level = level;
                }
            }
            Said::HandOver { term } => {
                if self.follows() && term > self.term {
                    self.term = term;
                    self.state = SeatState::Leading { stands_in: false };
                    self.out.push_back(Word::Lead(Lead::GoOn));
                    self.tell_lead();
                }
            }
            Said::Over => {
                if self.follows() {
                    self.state = SeatState::Idle;
                    if self.has_feed {
                        self.want(now);
                    }
                }
            }
            Said::Step { .. } | Said::Ahead { .. } | Said::Made { .. } => {}
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        match self.state {
            SeatState::Settling { until } | SeatState::Claiming { until } if now.instant >= until => {
                self.lead(Lead::Fresh(None), now);
            }
            SeatState::Following { leader_by: Some(by) } if now.instant >= by => self.lost(now),
            _ => {}
        }
    }

    /// When [`Seat::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            SeatState::Settling { until } | SeatState::Claiming { until } => Some(until),
            SeatState::Following { leader_by } => leader_by,
            SeatState::Idle | SeatState::Leading { .. } => None,
        }
    }

    /// What is wanted next.
    pub fn pull(&mut self) -> Option<Word> {
        self.out.pop_front()
    }

    fn say(&mut self, said: Said) {
        if self.link.is_some() {
            self.out.push_back(Word::Say(said));
        }
    }

    fn tell_lead(&mut self) {
        let stands_in = self.stands_in();
        self.say(Said::Leads { term: self.term, run: self.run, stands_in });
    }

    /// Our publisher is there and nobody leads that we know of.
    fn want(&mut self, now: Now) {
        if self.link.is_some() {
            self.state = SeatState::Claiming { until: now.instant + ANSWER_WITHIN };
            self.say(Said::Claim { term: next_term(self.term, now) });
        } else if now.instant < self.settles_at {
            self.state = SeatState::Settling { until: self.settles_at };
        } else {
            self.lead(Lead::Fresh(None), now);
        }
    }

    fn lead(&mut self, how: Lead, now: Now) {
        self.term = next_term(self.term, now);
        self.state = SeatState::Leading { stands_in: false };
        self.out.push_back(Word::Lead(how));
        self.tell_lead();
    }

    /// The leader is lost.
    fn lost(&mut self, now: Now) {
        if self.has_feed {
            return self.lead(Lead::GoOn, now);
        }
        self.state = SeatState::Leading { stands_in: true };
        self.out.push_back(Word::Lead(Lead::GoOn));
        self.tell_lead();
    }

    fn follow(&mut self) {
        self.state = SeatState::Following { leader_by: None };
        self.say(Said::Follow { term: self.term });
        if self.has_feed {
            self.say(Said::Feed { is_there: true, is_aligned: false });
        }
    }

    fn claimed(&mut self, term: u64, now: Now) {
        match self.state {
            SeatState::Leading { .. } => self.tell_lead(),
            SeatState::Claiming { .. } => {
                // Both want it at once.
                if self.link.is_some_and(|IsFirst(is_first)| is_first) {
                    self.term = self.term.max(term);
                    self.lead(Lead::Fresh(None), now);
                }
            }
            // Who asks does not lead: it has lost what it knew.
            SeatState::Following { .. } => self.lost(now),
            SeatState::Idle | SeatState::Settling { .. } => {
                let Left { end, discontinuity, .. } = self.left;
                self.say(Said::Grant { term: self.term.max(term), end, discontinuity });
            }
        }
    }

    /// The twin leads, it says.
    fn led(&mut self, term: u64, run: RunId, stands_in: bool) {
        if let SeatState::Leading { stands_in: we_stand_in } = self.state {
            let is_first = self.link.is_some_and(|IsFirst(is_first)| is_first);
            let ours = (self.term, !we_stand_in, self.run, is_first);
            let theirs = (term, !stands_in, run, !is_first);
            if ours > theirs {
                return self.tell_lead();
            }
        } else if term < self.term && self.link.is_some() && !self.follows() {
            // It has forgotten; edges have not. It takes the next one.
            let Left { end, discontinuity, .. } = self.left;
            self.say(Said::Grant { term: self.term, end, discontinuity });
        }
        let was_new = !self.follows() || term != self.term;
        self.term = self.term.max(term);
        self.run = self.run.max(run);
        self.follower = None;
        let waits = matches!(self.state, SeatState::Following { leader_by: Some(_) });
        if was_new || waits {
            self.out.push_back(Word::Follow);
            self.state = SeatState::Following { leader_by: None };
            self.say(Said::Follow { term });
            if self.has_feed {
                self.say(Said::Feed { is_there: true, is_aligned: false });
            }
        }
    }

    /// Our feed is gone and the follower has one: it leads.
    fn hand_over_if_better(&mut self, now: Now) {
        let better = self.follower.is_some_and(|follower| follower.has_feed);
        if self.leads() && !self.has_feed && better {
            self.hand_over(now);
        }
    }
}

fn next_term(known: u64, now: Now) -> u64 {
    (known + 1).max(now.wall.unix_millis().saturating_sub(TERMS_FROM_UNIX_MS))
}
