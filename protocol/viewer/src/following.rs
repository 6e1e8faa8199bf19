//! How a playlist is followed: what its reading changes, where to begin, when to read it again.

use crate::known::{Known, hash};
use crate::load::Slot;
use crate::pathways::Pathways;
use crate::reading::{self, Media, Reading};
use crate::upcoming::Upcoming;
use crate::{AskId, AskKind, Event, Failure, Reload, RungChoice, SwitchReason, Url, Viewer};
use std::time::{Duration, Instant};

/// Segments remembered ahead of what is held. More are taken from the playlist when these are gone.
pub(crate) const SEGMENTS_AHEAD: usize = 512;

/// Readings in a row of lists that end before what is wanted, until the viewer believes that the numbers began
/// anew and joins there.
const READINGS_BEHIND: u32 = 6;

/// The media playlist that is followed.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) rung: u8,
    pub(crate) pathway: u8,
    /// Where it came from in the end, redirects included: what its URIs are relative to.
    pub(crate) base: Url,
    /// A hash of its text: the same text need not be read again.
    body: u64,
    pub(crate) target: Duration,
    hold_back: Duration,
    can_block: bool,
    pub(crate) has_ended: bool,
    /// More is listed than is remembered.
    is_cut: bool,
    /// The number after the last one ever listed.
    pub(crate) next_sequence: u64,
    /// When something new was read last.
    advanced_at: Instant,
    /// Since when it is known to stand still.
    stale_at: Option<Instant>,
}

impl Viewer {
    /// The body of a playlist came.
    pub(crate) fn playlist(&mut self, id: AskId, body: &[u8], at: Instant) {
        if self.slot_of(id) != Some(Slot::List) {
            return;
        }
        let Some(load) = &mut self.loads[Slot::List as usize] else { return };
        let kind = load.kind;
        let Some(open) = load.find(id) else { return };
        let (url, pathway, began) = (open.url.clone(), open.pathway, open.due);
        let followed = self.following.as_ref().filter(|followed| followed.pathway == pathway);
        if followed.is_some_and(|followed| followed.body == hash(body) && !followed.is_cut) {
            self.cancel_others(id);
            return self.unchanged(pathway, began, at);
        }
        let mut steering = None;
        let reading = match reading::read(body) {
            Some(Reading::Multivariant(playlist)) if kind == AskKind::Multivariant => {
                steering = playlist.steering_uri.and_then(|uri| url.resolve(uri).ok());
                Pathways::of(&url, &playlist, self.options.pathways_max).map(|pathways| (pathways, None))
            }
            Some(Reading::Media(list)) if kind == AskKind::Multivariant => {
                Some((Pathways::single(url.clone()), Some(list)))
            }
            Some(Reading::Media(list)) => {
                self.cancel_others(id);
                return self.media(&list, hash(body), url, pathway, began, at);
            }
            _ => None,
        };
        let Some((pathways, list)) = reading else {
            return self.fail(Slot::List, id, Failure::Unreadable, at);
        };
        self.cancel_others(id);
        self.multivariant(pathways, at);
        self.steer_by(steering, at);
        match list {
            Some(list) => self.media(&list, hash(body), url, 0, began, at),
            None => self.load(Slot::List, AskKind::Media { rung: self.rung }, at, at),
        }
    }

    /// The load is done; who else was asked is told.
    fn cancel_others(&mut self, id: AskId) {
        if let Some(load) = &mut self.loads[Slot::List as usize] {
            load.take(id);
        }
        self.cancel(Slot::List);
    }

    fn multivariant(&mut self, pathways: Pathways, at: Instant) {
        self.startup.multivariant.get_or_insert(at);
        let before = self.pathways.origin(self.pathways.current());
        let now = pathways.origin(pathways.current());
        if !before.is_empty() && before != now {
            let (from, to) = (before.into(), now.into());
            self.tell(at, Event::Switched { from, to, why: SwitchReason::Reentered });
        }
        self.pathways = pathways;
        let bandwidths = || (0u8..).zip(self.pathways.bandwidths().iter().copied());
        let last = (self.pathways.bandwidths().len() - 1) as u8;
        self.rung = match self.options.rung {
            RungChoice::Adaptive => self.rung.min(last),
            RungChoice::Lowest => {
                bandwidths().min_by_key(|(_, bandwidth)| *bandwidth).map_or(0, |(rung, _)| rung)
            }
            RungChoice::Highest => {
                bandwidths().max_by_key(|(_, bandwidth)| *bandwidth).map_or(0, |(rung, _)| rung)
            }
            RungChoice::Index(rung) => rung.min(last),
        };
    }

    /// A media playlist that is not the same text as before.
    fn media(&mut self, list: &Media<'_>, body: u64, base: Url, pathway: u8, began: Instant, at: Instant) {
        for fault in self.known.check(list, pathway, began) {
            self.tell(at, Event::Fault(fault));
        }
        let before = self.following.take().filter(|followed| followed.rung == self.rung);
        let next = list.next_sequence();
        let known_next = before.as_ref().map_or(0, |followed| followed.next_sequence);
        let has_restarted = self.begins_anew(next, before.as_ref().is_some_and(|b| b.pathway == pathway));
        if has_restarted {
            self.wanted = None;
            self.upcoming.clear();
            self.cancel(Slot::Piece);
        }
        let has_advanced = next > known_next || list.has_ended || has_restarted || before.is_none();
        let stale_since = before.as_ref().and_then(|b| b.stale_at.map(|_| b.advanced_at));
        if let Some(since) = stale_since.filter(|_| has_advanced) {
            self.tell(at, Event::Advanced { after: at.saturating_duration_since(since) });
        }
        let hold_back = self.options.hold_back.or(list.hold_back).unwrap_or_else(|| list.target() * 3);
        self.following = Some(Following {
            rung: self.rung,
            pathway,
            base,
            body,
            target: list.target(),
            hold_back,
            can_block: list.can_block_reload,
            has_ended: list.has_ended,
            is_cut: false,
            next_sequence: if has_restarted { next } else { next.max(known_next) },
            advanced_at: before.as_ref().filter(|_| !has_advanced).map_or(at, |b| b.advanced_at),
            stale_at: before.as_ref().and_then(|b| b.stale_at).filter(|_| !has_advanced),
        });
        self.startup.media.get_or_insert(at);
        self.take_in(list, hold_back, at);
        self.stay_near(at);
        // RFC 8216bis, 6.3.4: a target duration after the last load began, half of it if nothing had changed; at
        // once if the server holds the answer back until there is something.
        if has_advanced {
            self.read_again(if self.blocks() { at } else { began + self.target() }, at);
        } else {
            self.unchanged(pathway, began, at);
        }
    }

    /// The text is what it was.
    fn unchanged(&mut self, pathway: u8, began: Instant, at: Instant) {
        let has_left = self.stands_still(pathway, at);
        self.read_again(if has_left { at } else { began + self.target() / 2 }, at);
    }

    /// Whether the numbers began anew, below what is wanted.
    fn begins_anew(&mut self, next: u64, is_same_pathway: bool) -> bool {
        let is_behind = self.wanted.is_some_and(|wanted| next < wanted);
        self.readings_behind = if is_behind { self.readings_behind + 1 } else { 0 };
        // Only a whole window back is another numbering; the edge that answers may change from time to time.
        let is_far = self.wanted.is_some_and(|wanted| next.saturating_add(READINGS_BEHIND.into()) < wanted);
        let begins = self.readings_behind >= READINGS_BEHIND || is_far && is_same_pathway;
        if begins {
            self.readings_behind = 0;
            self.known = Known::default();
        }
        begins
    }

    /// Remembers what is to be fetched of a list.
    fn take_in(&mut self, list: &Media<'_>, hold_back: Duration, at: Instant) {
        let (first, next) = (list.media_sequence, list.next_sequence());
        let join = || first + join(list, hold_back) as u64;
        // Another rendition may number differently; the calendar tells.
        let aligned = self.wanted_millis.take().and_then(|millis| {
            let is_it = |segment: &reading::Segment<'_>| {
                let half = segment.duration.as_millis() as i64 / 2;
                segment.unix_millis.is_some_and(|at| at + half >= millis)
            };
            let dated = list.segments.first()?.unix_millis?;
            (dated <= millis)
                .then(|| list.segments.iter().position(is_it))
                .flatten()
                .map(|at| first + at as u64)
        });
        let from = match aligned.or(self.wanted) {
            None => join(),
            Some(wanted) if wanted < first => {
                let to = join();
                self.tell(at, Event::Leapt { segments: to - wanted });
                to
            }
            Some(wanted) => wanted,
        };
        // What failed so far and is not listed any more is not asked for again.
        let waits = self.loads[Slot::Piece as usize].as_ref().is_some_and(|load| load.waits_until.is_some());
        let gone = self.upcoming.front().is_some_and(|front| front.sequence < first);
        if waits && gone && !self.upcoming.is_empty() {
            self.cancel(Slot::Piece);
            let before = self.upcoming.len();
            self.upcoming.retain(|segment| segment.sequence >= first);
            self.tell(at, Event::Leapt { segments: (before - self.upcoming.len()) as u64 });
        }
        self.wanted = Some(from);
        let mut is_cut = false;
        for sequence in from..next.max(from) {
            if self.upcoming.len() == SEGMENTS_AHEAD {
                is_cut = true;
                break;
            }
            self.upcoming.push_back(Upcoming::of(sequence, &list.segments[(sequence - first) as usize]));
            self.wanted = Some(sequence + 1);
        }
        if let Some(following) = &mut self.following {
            following.is_cut = is_cut;
        }
    }

    /// Leaps to where it would begin, if it is too far behind.
    fn stay_near(&mut self, at: Instant) {
        let Some(following) = self.following.as_ref().filter(|f| !f.has_ended && !f.is_cut) else { return };
        let Some(targets) = self.options.behind_targets_max else { return };
        let (most, hold_back) = (following.target * targets, following.hold_back);
        let listed: Duration = self.upcoming.iter().map(|segment| segment.duration).sum();
        if listed + self.playback.held(at) <= most || most <= hold_back {
            return;
        }
        // The one that is being fetched stays.
        let kept = usize::from(self.loads[Slot::Piece as usize].is_some());
        let (mut left, mut segments) = (listed, 0);
        while let Some(next) = self.upcoming.get(kept).filter(|next| left - next.duration >= hold_back) {
            left -= next.duration;
            segments += 1;
            self.upcoming.remove(kept);
        }
        if segments > 0 {
            self.tell(at, Event::Leapt { segments });
        }
    }

    /// A reading without anything new; a list that had nothing for longer than 1.5 target durations is stale
    /// (rule T06), and another pathway may have more. Whether it leaves for one.
    fn stands_still(&mut self, pathway: u8, at: Instant) -> bool {
        let Some(following) = &mut self.following else { return false };
        let so_far = at.saturating_duration_since(following.advanced_at);
        let patience = following.target * 3 / 2;
        let since = following.stale_at.unwrap_or(following.advanced_at);
        if following.has_ended || at.saturating_duration_since(since) <= patience {
            return false;
        }
        let is_told = following.stale_at.replace(at).is_some();
        if !is_told {
            self.tell(at, Event::Stale { so_far });
        }
        let leaves = self.options.leaves_stale && self.pathways.next(1 << pathway, at).is_some();
        if leaves {
            let due = at.checked_sub(so_far).unwrap_or(at) + (patience * 2 / 3);
            self.missed_at.get_or_insert((pathway, due));
            self.rest(pathway, SwitchReason::Stale, at);
        }
        leaves
    }

    /// The playlist is due again at `due`, or now if that is past; never if it has ended.
    fn read_again(&mut self, due: Instant, at: Instant) {
        self.reload_at = None;
        let Some(following) = &self.following else { return };
        if following.has_ended && !following.is_cut {
            return;
        }

        self.reload_at = Some(due.max(at));
    }

    /// Reloads the playlist when it is due, and gives up waiting for a held answer when the list is stale.
    pub(crate) fn reload_timer(&mut self, at: Instant) {
        if let Some(due) = self.reload_at.filter(|due| *due <= at)
            && self.loads[Slot::List as usize].is_none()
        {
            // The end is known and there is more of it than fits: when it is needed.
            let is_early = |following: &Following| following.has_ended && self.upcoming.len() > 2;
            if self.following.as_ref().is_some_and(is_early) {
                return;
            }
            self.reload_at = None;
            self.load(Slot::List, AskKind::Media { rung: self.rung }, due, at);
        }
        if let Some((pathway, _)) = self.stale_at().filter(|(_, stale)| *stale < at)
            && self.stands_still(pathway, at)
        {
            self.load(Slot::List, AskKind::Media { rung: self.rung }, at, at);
        }
    }

    /// When a held answer makes the list stale. A poll is stale when it is answered, not before.
    fn stale_at(&self) -> Option<(u8, Instant)> {
        let open = self.loads[Slot::List as usize].as_ref()?.open.as_ref()?;
        let is_held = open.is_blocking && open.head_at.is_none();
        let following = self.following.as_ref().filter(|followed| is_held && followed.stale_at.is_none())?;
        Some((open.pathway, following.advanced_at + following.target * 3 / 2))
    }

    /// When [`Self::reload_timer`] has something to do.
    pub(crate) fn reload_deadline(&self) -> Option<Instant> {
        let is_free = self.loads[Slot::List as usize].is_none();
        let is_early =
            self.following.as_ref().is_some_and(|following| following.has_ended) && self.upcoming.len() > 2;
        let reload = self.reload_at.filter(|_| is_free && !is_early);
        let stale = self.stale_at().map(|(_, stale)| stale + Duration::from_nanos(1));
        reload.into_iter().chain(stale).min()
    }

    /// Whether the next reload is a blocking one. A stale list is polled: what is held back there says nothing.
    pub(crate) fn blocks(&self) -> bool {
        let Some(following) = self.following.as_ref().filter(|f| f.rung == self.rung) else { return false };
        if following.has_ended || following.stale_at.is_some() {
            return false;
        }
        match self.options.reload {
            Reload::AsOffered => following.can_block,
            Reload::Poll => false,
            Reload::Block => true,
        }
    }

    /// Everything that will ever be listed is fetched.
    pub(crate) fn has_all(&self) -> bool {
        self.following.as_ref().is_some_and(|following| following.has_ended && !following.is_cut)
            && self.upcoming.is_empty()
    }

    pub(crate) fn target(&self) -> Duration {
        self.following.as_ref().map_or(Duration::ZERO, |following| following.target)
    }
}

/// Where to begin: the last segment that starts no nearer to the end than the hold-back; the first one of a list
/// that has ended.
fn join(list: &Media<'_>, hold_back: Duration) -> usize {
    if list.has_ended {
        return 0;
    }
    let mut left = Duration::ZERO;
    for (at, segment) in list.segments.iter().enumerate().rev() {
        left += segment.duration;
        if left >= hold_back {
            return at;
        }
    }
    0
}
