//! How things are asked for: which pathway, how long, what is done when it fails.

use crate::load::{ENTRY, Load, Open, Slot};
use crate::{Ask, AskId, AskKind, Bounds, Event, Failure, Output, Range, SwitchReason, Url, Viewer};
use std::time::{Duration, Instant};

/// Redirects followed for one ask.
pub(crate) const REDIRECTS: u8 = 5;

/// Pathways asked in one round of one load (EDGES_ASKED_MAX of hedge.js).
const PATHWAYS_ASKED: u32 = 4;

impl Viewer {
    /// Wants something, due at `due`.
    pub(crate) fn load(&mut self, slot: Slot, kind: AskKind, due: Instant, at: Instant) {
        self.cancel(slot);
        self.ask(slot, Box::new(Load::new(kind)), due, at);
    }

    /// Asks the next pathway, or waits for the next round; the load goes into its slot either way, unless it is
    /// given up.
    fn ask(&mut self, slot: Slot, mut load: Box<Load>, due: Instant, at: Instant) {
        load.waits_until = None;
        let Some((pathway, url, range)) = self.next_place(&mut load, at) else {
            // There is nowhere to ask; what is open stays.
            self.loads[slot as usize] = Some(load).filter(|load| load.open.is_some());
            return;
        };
        let is_blocking = matches!(load.kind, AskKind::Media { .. }) && load.rounds == 0 && self.blocks();
        let url = match self.following.as_ref().filter(|_| is_blocking) {
            Some(following) => {
                let blocking = url.with_query(format_args!("_HLS_msn={}", following.next_sequence));
                blocking.unwrap_or(url)
            }
            None => url,
        };
        let is_hedge = load.open.is_some();
        let open = self.open(load.kind, url, range, pathway, is_blocking, due, at);
        if is_hedge {
            load.rival = Some(Box::new(open));
        } else {
            load.hedge_at = self.hedge_at(load.kind, is_blocking, at).filter(|_| pathway != ENTRY);
            load.open = Some(open);
        }
        self.loads[slot as usize] = Some(load);
    }

    /// Which pathway comes next, and what the URL is there.
    fn next_place(&mut self, load: &mut Load, at: Instant) -> Option<(u8, Url, Option<Range>)> {
        match load.kind {
            AskKind::Multivariant => {
                load.tried = 1;
                return Some((ENTRY, self.entry.clone(), None));
            }
            AskKind::Steering => return Some((ENTRY, self.steering_url()?, None)),
            _ => {}
        }
        let pathway = load.again.take().or_else(|| self.pathways.next(load.tried, at))?;
        load.tried |= 1 << pathway;
        let (url, range) = self.place(load.kind, pathway)?;
        Some((pathway, url, range))
    }

    #[expect(clippy::too_many_arguments, reason = "an ask is made of this much, in two places")]
    fn open(
        &mut self,
        kind: AskKind,
        url: Url,
        range: Option<Range>,
        pathway: u8,
        is_blocking: bool,
        due: Instant,
        at: Instant,
    ) -> Open {
        let id = AskId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let bounds = match kind {
            AskKind::Multivariant | AskKind::Media { .. } => self.bounds(Slot::List),
            AskKind::Steering => self.bounds(Slot::Steering),
            AskKind::Init { .. } | AskKind::Segment { .. } => self.bounds(Slot::Piece),
        };
        let held_back = if is_blocking { self.target() } else { Duration::ZERO };
        let whole_by = at + bounds.whole + held_back;
        let bound_at = (at + bounds.first_byte + held_back).min(whole_by);
        self.out.push_back(Output::Ask(Ask { id, url: url.clone(), kind, range, due, is_blocking }));
        Open { id, url, pathway, redirects: 0, is_blocking, due, head_at: None, bound_at, whole_by }
    }

    fn hedge_at(&self, kind: AskKind, is_blocking: bool, at: Instant) -> Option<Instant> {
        let hedge = self.options.hedge?;
        Some(match kind {
            AskKind::Multivariant | AskKind::Steering => return None,
            AskKind::Media { .. } if is_blocking => at + hedge.playlist + self.target(),
            AskKind::Media { .. } => at + hedge.playlist,
            AskKind::Init { .. } | AskKind::Segment { .. } => at + hedge.segment,
        })
    }

    /// A head came.
    pub(crate) fn head(
        &mut self,
        id: AskId,
        status: u16,
        location: Option<&str>,
        retry_after: Option<Duration>,
        at: Instant,
    ) {
        let Some(slot) = self.slot_of(id) else { return };
        match status {
            200..=299 => self.answered(slot, id, at),
            301 | 302 | 303 | 307 | 308 => self.redirected(slot, id, location, at),
            _ => {
                if slot == Slot::Steering {
                    self.steering_refused(status, retry_after);
                }
                self.fail(slot, id, Failure::Status(status), at);
            }
        }
    }

    fn bounds(&self, slot: Slot) -> Bounds {
        match slot {
            Slot::List | Slot::Steering => self.options.playlist_bounds,
            Slot::Piece => self.options.segment_bounds,
        }
    }

    /// More of a body came.
    pub(crate) fn progress(&mut self, id: AskId, at: Instant) {
        let Some(slot) = self.slot_of(id) else { return };
        let idle = self.bounds(slot).idle;
        let open = self.loads[slot as usize].as_mut().and_then(|load| load.find(id));
        if let Some(open) = open.filter(|open| open.head_at.is_some()) {
            open.bound_at = open.whole_by.min(at + idle);
        }
    }

    /// It is going to be an answer: who else was asked has lost.
    fn answered(&mut self, slot: Slot, id: AskId, at: Instant) {
        let idle = self.bounds(slot).idle;
        let Some(load) = &mut self.loads[slot as usize] else { return };
        load.hedge_at = None;
        let loser = load.opens().find(|open| open.id != id).map(|open| open.id);
        let loser = loser.and_then(|loser| load.take(loser));
        let Some(open) = load.find(id) else { return };
        open.head_at = Some(at);
        open.bound_at = open.whole_by.min(at + idle);
        let pathway = open.pathway;
        if let Some(loser) = loser {
            self.out.push_back(Output::Cancel(loser.id));
            // Who was asked later has had no time yet.
            if loser.id < id {
                self.missed(&loser);
                self.rest(loser.pathway, SwitchReason::Slower, at);
            }
        }
        if pathway == ENTRY {
            return;
        }
        let current = self.pathways.current();
        // An answer that was under way when its pathway lost its place does not bring it back.
        if pathway != current && !self.pathways.rests(current, at) {
            return;
        }
        if pathway != current {
            let [from, to] = [current, pathway].map(|pathway| self.pathways.origin(pathway).into());
            self.tell(at, Event::Switched { from, to, why: self.rest_reason });
        }
        self.pathways.settle(pathway);
    }

    fn redirected(&mut self, slot: Slot, id: AskId, location: Option<&str>, at: Instant) {
        let Some(open) = self.loads[slot as usize].as_mut().and_then(|load| load.find(id)) else { return };
        let (pathway, redirects, is_blocking) = (open.pathway, open.redirects + 1, open.is_blocking);
        if redirects > REDIRECTS {
            return self.fail(slot, id, Failure::Redirects, at);
        }
        let Some(url) = location.and_then(|location| open.url.resolve(location).ok()) else {
            return self.fail(slot, id, Failure::Redirect, at);
        };
        let Some(mut load) = self.loads[slot as usize].take() else { return };
        let range = self.place(load.kind, pathway).and_then(|(_, range)| range);
        let next = self.open(load.kind, url, range, pathway, is_blocking, at, at);
        if let Some(open) = load.find(id) {
            *open = Open { redirects, ..next };
        }
        self.loads[slot as usize] = Some(load);
    }

    /// An ask failed: the next pathway at once; when there is none, another round later; after the last round,
    /// from the beginning.
    pub(crate) fn fail(&mut self, slot: Slot, id: AskId, why: Failure, at: Instant) {
        let Some(mut load) = self.loads[slot as usize].take() else { return };
        let Some(failed) = load.take(id) else {
            self.loads[slot as usize] = Some(load);
            return;
        };
        self.tell(at, Event::Failed { ask: id, kind: load.kind, why });
        if slot == Slot::Steering {
            return self.steering_failed(at);
        }
        self.missed(&failed);
        if self.asks_again(slot, &mut load, &failed, why, at) {
            self.loads[slot as usize] = Some(load);
            return;
        }
        self.rest(failed.pathway, SwitchReason::Failed(why), at);
        if load.open.is_some() {
            load.hedge_at = None;
            self.loads[slot as usize] = Some(load);
            return;
        }
        let is_entry = load.kind == AskKind::Multivariant;
        let may_go_on = !is_entry && load.tried.count_ones() < PATHWAYS_ASKED;
        if may_go_on && self.pathways.next(load.tried, at).is_some() {
            return self.ask(slot, load, at, at);
        }
        load.rounds += 1;
        if load.rounds > self.options.retry.rounds {
            return self.reenter(why, at);
        }
        load.tried = 0;
        load.asked_again = 0;
        load.hedge_at = None;
        load.waits_until = Some(at + self.delay(load.rounds));
        self.loads[slot as usize] = Some(load);
    }

    /// Whether the same pathway is to be asked once more: some players do not believe the first time.
    fn asks_again(&mut self, slot: Slot, load: &mut Load, failed: &Open, why: Failure, at: Instant) -> bool {
        let bounds = self.bounds(slot);
        let (most, wait) = match why {
            Failure::FirstByte | Failure::Idle | Failure::Whole => (bounds.again_when_silent, Duration::ZERO),
            Failure::Status(500..600) => {
                (bounds.again_when_refused, self.delay(load.asked_again.saturating_add(1)))
            }
            _ => (0, Duration::ZERO),
        };
        let asks = load.open.is_none() && failed.pathway != ENTRY && load.asked_again < most;
        if asks {
            load.asked_again += 1;
            load.again = Some(failed.pathway);
            load.hedge_at = None;
            load.waits_until = Some(at + wait);
        } else {
            load.asked_again = 0;
        }
        asks
    }

    /// Something did not come from where it was asked for. How long it takes to be elsewhere counts from when it
    /// was due; a held reload is due when a segment may be there.
    pub(crate) fn missed(&mut self, open: &Open) {
        let due = open.due + if open.is_blocking { self.target() } else { Duration::ZERO };
        if open.pathway != ENTRY {
            self.missed_at.get_or_insert((open.pathway, due));
        }
    }

    /// Doubles from round to round, and is never the same for two viewers.
    fn delay(&mut self, round: u32) -> Duration {
        let retry = self.options.retry;
        let doubled = retry.delay.saturating_mul(1 << (round - 1).min(20)).min(retry.delay_max);
        doubled + doubled.mul_f64(self.chance() / 4.0)
    }

    /// The next number from 0 to 1 (splitmix64).
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Asks this pathway last for a while.
    pub(crate) fn rest(&mut self, pathway: u8, why: SwitchReason, at: Instant) {
        if pathway == ENTRY {
            return;
        }
        if pathway == self.pathways.current() {
            self.rest_reason = why;
        }
        self.pathways.rest(pathway, at + self.options.rest);
    }

    /// What is due by now for what is being loaded.
    pub(crate) fn load_timers(&mut self, slot: Slot, at: Instant) {
        while let Some(load) = &mut self.loads[slot as usize] {
            let overdue = load.opens().find(|open| open.bound_at <= at);
            let overdue = overdue.map(|open| (open.id, open.head_at, open.whole_by));
            if let Some((id, head_at, whole_by)) = overdue {
                let why = match head_at {
                    None => Failure::FirstByte,
                    Some(_) if whole_by <= at => Failure::Whole,
                    Some(_) => Failure::Idle,
                };
                self.out.push_back(Output::Cancel(id));
                self.fail(slot, id, why, at);
            } else if let Some(due) = load.waits_until.filter(|until| *until <= at) {
                if let Some(load) = self.loads[slot as usize].take() {
                    self.ask(slot, load, due, at);
                }
            } else if load.hedge_at.take_if(|hedge| *hedge <= at).is_some() {
                self.hedge(slot, at);
            } else {
                return;
            }
        }
    }

    fn hedge(&mut self, slot: Slot, at: Instant) {
        let Some(load) = self.loads[slot as usize].take() else { return };
        if self.pathways.next(load.tried, at).is_some() && load.tried.count_ones() < PATHWAYS_ASKED {
            self.tell(at, Event::Hedged);
            self.ask(slot, load, at, at);
        } else {
            self.loads[slot as usize] = Some(load);
        }
    }

    /// Wants it no longer.
    pub(crate) fn cancel(&mut self, slot: Slot) {
        if let Some(load) = self.loads[slot as usize].take() {
            self.out.extend(load.opens().map(|open| Output::Cancel(open.id)));
        }
    }

    pub(crate) fn slot_of(&mut self, id: AskId) -> Option<Slot> {
        Slot::ALL
            .into_iter()
            .find(|slot| self.loads[*slot as usize].as_mut().is_some_and(|load| load.find(id).is_some()))
    }
}
