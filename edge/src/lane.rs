//! One broadcast on this edge: its window, and how fresh it is.
//!
//! Age is counted from when something new was listed *here*, by this machine's monotonic clock: neither a clock that
//! was set nor an ingest whose clock differs can make a fresh broadcast look old, or an old one fresh.

use crate::lag::{Half, Lag};
use delivery::Segment;
use media::{MediaTime, StreamFacts};
use std::time::{Duration, Instant};
use window::Window;

/// One broadcast.
#[derive(Debug)]
pub(crate) struct Lane<B> {
    /// As last told by an ingest.
    pub(crate) facts: StreamFacts,
    /// `None` while nothing has come of it for long: its memory is given back, its facts are kept, because links tell
    /// them only when they change.
    pub(crate) window: Option<Window<Segment<B>>>,
    /// Listing begins then at the latest.
    pub(crate) list_at: Option<Instant>,
    /// How late its segments come.
    pub(crate) lag: Lag,
    /// What was said of that.
    pub(crate) lags: bool,
    /// What the cores were told.
    pub(crate) is_fed: bool,
    /// In which run which ingest was found to make other bytes than its elder, and is not listened to.
    pub(crate) quarantined: Option<(media::RunId, String)>,
    /// All that its links had when we joined is here, or has had its time.
    pub(crate) is_whole: bool,
    /// An empty window that knows what the one before sleeping had shown.
    shown: Option<Window<Segment<B>>>,
    newest: Option<MediaTime>,
    newer_at: Instant,
    ended_at: Option<Instant>,
}

/// Whether a lane's memory is still worth having.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Awake,
    /// Give back the window.
    Sleep,
    /// Give back everything.
    Forget,
}

impl<B: Clone> Lane<B> {
    pub(crate) fn new(facts: StreamFacts, now: Instant) -> Self {
        let window = Some(Window::new(facts.clone()));
        Self {
            facts,
            window,
            list_at: None,
            lag: Lag::default(),
            lags: false,
            is_fed: true,
            quarantined: None,
            is_whole: false,
            shown: None,
            newest: None,
            newer_at: now,
            ended_at: None,
        }
    }

    /// Begins again with an empty window.
    pub(crate) fn wake(&mut self, now: Instant) {
        let window = Window::new(self.facts.clone());
        let window = match &self.shown {
            Some(shown) => window.in_place_of(shown),
            None => window,
        };
        *self = Self { window: Some(window), ..Self::new(self.facts.clone(), now) };
    }

    /// Gives the memory back; what it has shown is remembered, so that numbers do not go back.
    pub(crate) fn sleeps(&mut self) {
        if let Some(window) = self.window.take() {
            self.shown = Some(Window::new(self.facts.clone()).in_place_of(&window));
        }
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.window.is_none()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Half its target duration: what may pass from when a segment is made until it is complete here.
    pub(crate) fn half(&self) -> Half {
        Half(hls::TargetDuration::of_pitch(self.facts.segment).span().as_duration() / 2)
    }

    /// Something is listed.
    pub(crate) fn is_listed(&self) -> bool {
        self.newest.is_some()
    }

    pub(crate) fn bytes_held(&self) -> u64 {
        self.window.as_ref().map_or(0, Window::bytes_held)
    }

    /// Since when nothing newer was listed.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.newer_at)
    }

    /// Looks at what the window lists now.
    pub(crate) fn see(&mut self, now: Instant) {
        let Some(window) = &self.window else { return };
        let newest = window.newest();
        if newest > self.newest {
            (self.newest, self.newer_at) = (newest, now);
        }
        self.ended_at = window.has_ended().then(|| self.ended_at.unwrap_or(now));
    }

    pub(crate) fn rest(&self, now: Instant, keep_unfed: Duration, keep_ended: Duration) -> Rest {
        match self.ended_at {
            Some(at) if now.saturating_duration_since(at) >= keep_ended => Rest::Forget,
            None if !self.is_asleep() && self.age(now) > keep_unfed => Rest::Sleep,
            _ => Rest::Awake,
        }
    }
}
