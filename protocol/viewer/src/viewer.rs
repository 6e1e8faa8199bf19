//! The viewer itself: its doors, and what comes of a segment.

use crate::following::Following;
use crate::known::Known;
use crate::load::{Load, Slot};
use crate::pathways::Pathways;
use crate::playback::{Playback, Turn};
use crate::rate::Throughput;
use crate::steering::Steering;
use crate::upcoming::{Init, Upcoming};
use crate::{
    AskId, AskKind, Event, Failure, Input, Now, Options, Output, Range, RungChoice, Startup, State,
    SwitchReason, Tally, Url,
};
use media::MediaSequence;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    pub(crate) options: Arc<Options>,
    pub(crate) entry: Url,
    pub(crate) seed: u64,
    /// Bounded by what one push makes: the shell pulls until there is nothing.
    pub(crate) out: VecDeque<Output>,
    pub(crate) next_id: u32,
    pub(crate) pathways: Pathways,
    /// Why the current pathway rests, if it does.
    pub(crate) rest_reason: SwitchReason,
    pub(crate) rung: u8,
    /// Most of the time there is none, so not in line.
    pub(crate) loads: [Option<Box<Load>>; 3],
    pub(crate) steering: Option<Box<Steering>>,
    /// Where something was missed that was due then, until a segment comes.
    pub(crate) missed_at: Option<(u8, Instant)>,
    pub(crate) following: Option<Following>,
    pub(crate) reload_at: Option<Instant>,
    pub(crate) reenter_at: Option<Instant>,
    reentries: u32,
    pub(crate) known: Known,
    pub(crate) upcoming: VecDeque<Upcoming>,
    /// The number that comes after `upcoming`.
    pub(crate) wanted: Option<u64>,
    /// Its date, when it is to be found in another rendition.
    pub(crate) wanted_millis: Option<i64>,
    pub(crate) readings_behind: u32,
    /// The initialization section that is there.
    init: Option<Box<Init>>,
    pub(crate) playback: Playback,
    pub(crate) throughput: Throughput,
    pub(crate) startup: Marks,
    is_over: bool,
}

/// When the phases of the start ended.
#[derive(Debug)]
pub(crate) struct Marks {
    began: Instant,
    pub(crate) multivariant: Option<Instant>,
    pub(crate) media: Option<Instant>,
    segment: Option<Instant>,
    is_told: bool,
}

impl Viewer {
    /// A viewer that opens `entry` now: a multivariant playlist, or a media playlist. `seed` is all the randomness
    /// it has.
    pub fn new(now: Now, options: Arc<Options>, entry: Url, seed: u64) -> Self {
        let began = now.at;
        let startup = Marks { began, multivariant: None, media: None, segment: None, is_told: false };
        let mut viewer = Self {
            options,
            entry,
            seed,
            out: VecDeque::new(),
            next_id: 0,
            pathways: Pathways::default(),
            rest_reason: SwitchReason::Reentered,
            rung: 0,
            loads: [None, None, None],
            steering: None,
            missed_at: None,
            following: None,
            reload_at: None,
            reenter_at: None,
            reentries: 0,
            known: Known::default(),
            upcoming: VecDeque::new(),
            wanted: None,
            wanted_millis: None,
            readings_behind: 0,
            init: None,
            playback: Playback::new(),
            throughput: Throughput::default(),
            startup,
            is_over: false,
        };
        viewer.load(Slot::List, AskKind::Multivariant, began, began);
        viewer
    }

    /// Something happened.
    pub fn push(&mut self, now: Now, input: Input<'_>) {
        if self.is_over {
            return;
        }
        let at = now.at;
        // A segment that comes at the very moment the buffer is empty comes in time.
        let is_in_time = matches!(input, Input::Segment { .. }) && self.playback.empties_at() == Some(at);
        if !is_in_time && let Some((when, turn)) = self.playback.pass(at) {
            self.turn(when, turn);
        }
        match input {
            Input::Head { ask, status, location, retry_after } => {
                self.head(ask, status, location, retry_after, at);
            }
            Input::Progress { ask } => self.progress(ask, at),
            Input::Playlist { ask, body } => self.playlist(ask, body, at),
            Input::Steering { ask, body } => self.steered(ask, body, at),
            Input::Segment { ask, bytes } => self.segment(ask, bytes, now),
            Input::Failed { ask, why } => {
                if let Some(slot) = self.slot_of(ask) {
                    self.fail(slot, ask, why, at);
                }
            }
            Input::Tick => {}
            Input::Stop => self.end(),
        }
        if !self.is_over {
            self.timers(at);
        }
    }

    /// What to do next, and what was noticed; until it is `None`.
    pub fn pull(&mut self) -> Option<Output> {
        let next = self.out.pop_front();
        if next.is_none() {
            // Thousands of viewers wait most of the time, with nothing in here.
            self.out = VecDeque::new();
        }
        next
    }

    /// When to push [`Input::Tick`] at the latest; `None` when it waits for answers alone, or is over.
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let loads = self.loads.iter().flatten().filter_map(|load| load.deadline());
        let is_idle = self.loads[Slot::Piece as usize].is_none() && !self.upcoming.is_empty();
        let fetch = self.playback.held_is(self.ahead()).filter(|_| is_idle);
        loads
            .chain(self.playback.empties_at())
            .chain(self.reload_deadline())
            .chain(self.reenter_at)
            .chain(self.steering_deadline())
            .chain(fetch)
            .min()
    }

    /// What it adds up to.
    pub fn tally(&self, now: Now) -> Tally {
        let state = if self.is_over {
            State::Over
        } else if self.playback.is_stalled() {
            State::Stalled
        } else if self.startup.is_told {
            State::Playing
        } else {
            State::Starting
        };
        Tally {
            state,
            played: self.playback.position(now.at),
            stalled: self.playback.stalled(now.at),
            stalls: self.playback.stalls(),
            held: self.playback.held(now.at),
            rung: self.rung,
        }
    }

    /// Ended, stopped or given up: nothing more comes out of it once `pull` is empty.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn tell(&mut self, at: Instant, event: Event) {
        self.out.push_back(Output::Event { at, event });
    }

    fn turn(&mut self, at: Instant, turn: Turn) {
        match turn {
            Turn::Started => self.started(at),
            Turn::Stalled => self.tell(at, Event::Stalled),
            Turn::Resumed { after } => self.tell(at, Event::Resumed { after }),
            Turn::Ended => {
                self.tell(at, Event::Ended);
                self.end();
            }
        }
    }

    fn started(&mut self, at: Instant) {
        let marks = &mut self.startup;
        if std::mem::replace(&mut marks.is_told, true) {
            return;
        }
        let multivariant = marks.multivariant.unwrap_or(at);
        let media = marks.media.unwrap_or(at);
        let segment = marks.segment.unwrap_or(media);
        let startup = Startup {
            multivariant: multivariant.saturating_duration_since(marks.began),
            media: media.saturating_duration_since(multivariant),
            segment: segment.saturating_duration_since(media),
            buffering: at.saturating_duration_since(segment),
        };
        self.tell(at, Event::Started(startup));
    }

    fn end(&mut self) {
        Slot::ALL.into_iter().for_each(|slot| self.cancel(slot));
        self.upcoming = VecDeque::new();
        self.is_over = true;
    }

    /// Begins again at the entry, or gives up. What is held plays on meanwhile.
    pub(crate) fn reenter(&mut self, why: Failure, at: Instant) {
        let Some(after) = self.options.reenter_after.filter(|_| self.reentries < self.options.reentries_max)
        else {
            self.tell(at, Event::GaveUp { why });
            return self.end();
        };
        self.tell(at, Event::Reentered { why });
        self.reentries += 1;
        Slot::ALL.into_iter().for_each(|slot| self.cancel(slot));
        self.steering = None;
        self.want_front();
        self.following = None;
        self.reload_at = None;
        self.reenter_at = Some(at + after);
    }

    /// Forgets what is ahead, to take it from another list.
    fn want_front(&mut self) {
        if let Some(front) = self.upcoming.front() {
            self.wanted = Some(front.sequence);
            self.wanted_millis = front.unix_millis;
        }
        self.upcoming.clear();
    }

    /// The body of a segment, or of an initialization section, went by.
    fn segment(&mut self, id: AskId, bytes: u64, now: Now) {
        if self.slot_of(id) != Some(Slot::Piece) {
            return;
        }
        let Some(load) = &mut self.loads[Slot::Piece as usize] else { return };
        let kind = load.kind;
        let Some(open) = load.take(id) else { return };
        self.cancel(Slot::Piece);
        if let Some((from, due)) = self.missed_at.take()
            && from != open.pathway
        {
            self.tell(now.at, Event::GotAway { after: now.at.saturating_duration_since(due) });
        }
        let took = now.at.saturating_duration_since(open.head_at.unwrap_or(open.due));
        self.throughput.sample(bytes, took);
        let Some(front) = self.upcoming.front() else { return };
        if matches!(kind, AskKind::Init { .. }) {
            self.init.clone_from(&front.init);
            return;
        }
        let (duration, unix_millis) = (front.duration, front.unix_millis);
        self.upcoming.pop_front();
        self.reentries = 0;
        self.startup.segment.get_or_insert(now.at);
        self.playback.append(duration, unix_millis);
        self.play(now.at);
        if self.playback.is_playing()
            && let Some(millis) = self.playback.unix_millis(now.at)
        {
            let behind = i64::try_from(now.unix_millis).unwrap_or(i64::MAX).saturating_sub(millis);
            self.tell(now.at, Event::Latency(Duration::from_millis(behind.max(0).unsigned_abs())));
        }
        if self.options.rung == RungChoice::Adaptive {
            self.adapt(now.at);
        }
    }

    fn play(&mut self, at: Instant) {
        let (segments, held) = match self.playback.is_waiting() {
            true => (self.options.start_segments, self.options.start_held),
            false => (1, self.options.resume_held),
        };
        if let Some(turn) = self.playback.play(at, segments, held) {
            self.turn(at, turn);
        }
    }

    fn adapt(&mut self, at: Instant) {
        let rung = self.throughput.choose(self.pathways.bandwidths(), self.rung);
        if rung == self.rung || self.has_all() {
            return;
        }
        self.tell(at, Event::RungChanged { from: self.rung, to: rung });
        self.rung = rung;
        self.known = Known::default();
        self.init = None;
        self.want_front();
        self.following = None;
        self.reload_at = None;
        self.load(Slot::List, AskKind::Media { rung }, at, at);
    }

    /// How much is held before it stops fetching.
    fn ahead(&self) -> Duration {
        self.options.ahead.max(self.options.start_held).max(self.options.resume_held)
    }

    fn timers(&mut self, at: Instant) {
        if let Some(due) = self.reenter_at.take_if(|due| *due <= at) {
            self.load(Slot::List, AskKind::Multivariant, due, at);
        }
        Slot::ALL.into_iter().for_each(|slot| self.load_timers(slot, at));
        if self.is_over {
            return;
        }
        self.steering_timer(at);
        self.reload_timer(at);
        if self.options.fetch_segments {
            self.fetch(at);
        } else {
            self.look_on(at);
        }
    }

    /// Fetches the next segment if there is one and room for it.
    fn fetch(&mut self, at: Instant) {
        if self.loads[Slot::Piece as usize].is_some() {
            return;
        }
        while let Some(front) = self.upcoming.front() {
            let sequence = MediaSequence(front.sequence);
            let kind = match front.init == self.init {
                true => AskKind::Segment { rung: self.rung, sequence },
                false => AskKind::Init { rung: self.rung },
            };
            if front.is_gap {
                self.tell(at, Event::Gap { sequence });
            } else if self.place(kind, self.pathways.current()).is_none() {
                self.tell(at, Event::Unnamed { sequence });
            } else if self.playback.is_playing() && self.playback.held(at) > self.ahead() {
                return;
            } else {
                return self.load(Slot::Piece, kind, at, at);
            }
            self.upcoming.pop_front();
        }
        if self.has_all() {
            self.playback.finish();
            self.play(at);
        }
    }

    /// Without segments: what is listed counts as seen.
    fn look_on(&mut self, at: Instant) {
        self.upcoming.clear();
        if self.following.is_some() {
            self.reentries = 0;
            self.started(at);
        }
        if self.has_all() {
            self.tell(at, Event::Ended);
            self.end();
        }
    }

    /// Where something is at a pathway.
    pub(crate) fn place(&self, kind: AskKind, pathway: u8) -> Option<(Url, Option<Range>)> {
        let (uri, range) = match kind {
            AskKind::Multivariant => return Some((self.entry.clone(), None)),
            AskKind::Steering => return None,
            AskKind::Media { rung } => return Some((self.pathways.url(pathway, rung)?, None)),
            AskKind::Init { .. } => {
                let init = self.upcoming.front()?.init.as_ref()?;
                (&init.uri, init.range)
            }
            AskKind::Segment { .. } => {
                let front = self.upcoming.front()?;
                (&front.uri, front.range)
            }
        };
        let following = self.following.as_ref();
        let resolved = match following.filter(|followed| followed.pathway == pathway) {
            Some(followed) => followed.base.resolve(uri),
            None => self.pathways.url(pathway, self.rung)?.resolve(uri),
        };
        Some((self.pathways.moved(resolved.ok()?, pathway), range))
    }
}
