//! One edge as a balancer knows it.

use crate::moving::Moving;
use crate::room::Room;
use crate::{By, FORGET, Ruling, Standing};
use media::BitRate;
use std::time::{Duration, Instant};
use ticket::{EdgeId, EdgeNumber};

/// Three heartbeats of 250 ms: an edge not heard for longer is silent.
pub const SILENCE: Duration = Duration::from_millis(750);
/// How long an edge that has just become ready is drawn less often than its room would have it: its caches are
/// cold and its first heartbeats say little.
pub const SLOW_START: Duration = Duration::from_secs(30);
/// Failed probes in a row that make an edge unreachable.
pub const PROBE_FALL: u32 = 2;
/// Answered probes in a row that make it reachable again.
pub const PROBE_RISE: u32 = 2;
/// Of its declared capacity an edge is filled to nine tenths; the rest is for what nobody foresaw.
const USABLE_TENTHS: u64 = 9;
/// The least a starting edge is drawn.
const SLOW_START_FLOOR: f64 = 0.1;
/// After joining again an edge says at once what it has; what it has not said by then it lost.
pub(crate) const RETELL: Duration = Duration::from_secs(10);

/// What an edge says of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name, and its PATHWAY-ID.
    pub id: EdgeId,
    /// What it can send.
    pub capacity: BitRate,
    /// Against other edges of the same capacity, 100 by habit; 0 takes no viewers.
    pub weight: u32,
}

/// A heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What it sends now.
    pub egress: BitRate,
    /// To how many.
    pub viewers: u32,
    /// How long ago its newest segment was complete; `None` without any.
    pub newest_segment_age: Option<Duration>,
    /// How late the worst of its last segments was complete; for the operator, as what follows of it is in `state`.
    pub lag: Option<Duration>,
    /// What it thinks of itself.
    pub state: State,
}

/// What an edge thinks of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has the newest segments.
    Ready,
    /// It lives, and has nothing new to show.
    NotFed,
    /// It wants to be empty.
    Draining,
    /// It has everything, late.
    Lagging,
}

/// What the balancer thinks of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Viewers may go there.
    Ready,
    /// It has no new segments, by its own word (or has not said yet).
    NotFed,
    /// It has everything, and late, by its own word: nobody is sent there, and who is there goes elsewhere.
    Lagging,
    /// It shall be empty, by its own word or the operator's.
    Draining,
    /// The operator is at work on it.
    Maintenance,
    /// Not heard for [`SILENCE`].
    Silent,
    /// Its public URL does not answer.
    Unreachable,
    /// Its control link closed.
    Left,
}

impl Health {
    /// For people and for labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotFed => "not fed",
            Self::Lagging => "lagging",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Left => "left",
        }
    }
}

/// One edge.
#[derive(Debug)]
pub struct Edge {
    declared: Declared,
    /// Its name in tokens.
    number: EdgeNumber,
    ruling: Ruling,
    /// Since when it shall be empty.
    draining_since: Option<Instant>,
    pub(crate) moving: Moving,
    load: Option<Load>,
    joined: Instant,
    /// Since when it has been ready without a break.
    ready_since: Option<Instant>,
    last_heard: Instant,
    left: Option<Instant>,
    probe: Probe,
    room: Room,
    /// The health last told by a `Change`.
    pub(crate) announced: Option<Health>,
}

/// Where the probing stands; an edge never probed is reachable.
#[derive(Clone, Copy, Debug)]
enum Probe {
    Reachable { failed: u32 },
    Unreachable { answered: u32 },
}

impl Edge {
    pub(crate) fn new(now: Instant, declared: Declared, ruling: Ruling) -> Self {
        let mut edge = Self {
            number: declared.id.number(),
            declared,
            ruling: Ruling::default(),
            draining_since: None,
            moving: Moving::default(),
            load: None,
            joined: now,
            ready_since: None,
            last_heard: now,
            left: None,
            probe: Probe::Reachable { failed: 0 },
            room: Room::new(now),
            announced: None,
        };
        edge.ruled(now, ruling);
        edge
    }

    /// What it said when it joined.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Its name in tokens.
    pub fn number(&self) -> EdgeNumber {
        self.number
    }

    /// What the operator says of it.
    pub fn ruling(&self) -> Ruling {
        self.ruling
    }

    /// What it can send: by the operator's word, else by its own.
    pub fn capacity(&self) -> BitRate {
        self.ruling.capacity.unwrap_or(self.declared.capacity)
    }

    /// Against other edges of the same capacity, by the operator's word, else by its own.
    pub fn weight(&self) -> u32 {
        self.ruling.weight.unwrap_or(self.declared.weight)
    }

    /// Since when it shall be empty, and `None` while it need not be.
    pub fn draining_since(&self) -> Option<Instant> {
        self.draining_since
    }

    /// Its last heartbeat; `None` before the first.
    pub fn load(&self) -> Option<&Load> {
        self.load.as_ref()
    }

    /// When it joined last.
    pub fn joined(&self) -> Instant {
        self.joined
    }

    /// What to think of it now.
    pub fn health(&self, now: Instant) -> Health {
        if self.left.is_some() {
            return Health::Left;
        }
        if now.saturating_duration_since(self.last_heard) > SILENCE {
            return Health::Silent;
        }
        match self.ruling.standing {
            Standing::Maintenance => return Health::Maintenance,
            Standing::Drain => return Health::Draining,
            Standing::Active => {}
        }
        match (self.own_word(), self.probe) {
            (State::Draining, _) => Health::Draining,
            (State::NotFed, _) => Health::NotFed,
            (State::Ready | State::Lagging, Probe::Unreachable { .. }) => Health::Unreachable,
            (State::Lagging, Probe::Reachable { .. }) => Health::Lagging,
            (State::Ready, Probe::Reachable { .. }) => Health::Ready,
        }
    }

    /// By its own last word, whatever became of the link, viewers would find nothing there, or the operator
    /// wants none there. No rule overrules that.
    pub(crate) fn refuses(&self) -> bool {
        let has_nothing = !matches!(self.own_word(), State::Ready | State::Lagging);
        has_nothing || self.weight() == 0 || self.ruling.standing != Standing::Active
    }

    /// For how long its control link has been closed.
    pub(crate) fn left_for(&self, now: Instant) -> Option<Duration> {
        self.left.map(|left| now.saturating_duration_since(left))
    }

    fn own_word(&self) -> State {
        self.load.map_or(State::NotFed, |load| load.state)
    }

    /// What it may be filled to.
    pub fn usable(&self) -> BitRate {
        BitRate(self.capacity().0 / 10 * USABLE_TENTHS)
    }

    /// What it sends, or has been promised to send.
    pub fn promised(&self, now: Instant) -> BitRate {
        self.room.promised(now)
    }

    /// What is left of it.
    pub fn free(&self, now: Instant) -> BitRate {
        BitRate(self.usable().0.saturating_sub(self.promised(now).0))
    }

    /// Whether one more of that rate has room, with `peers` other balancers that may at this moment send it as
    /// many as this one has.
    pub(crate) fn has_room(&self, now: Instant, rate: BitRate, peers: u32) -> bool {
        let may_come = self.room.may_come(now, rate, peers);
        rate.0.saturating_add(may_come.0) <= self.free(now).0
    }

    /// 0.1 when it has just become ready, 1 from [`SLOW_START`] on.
    pub(crate) fn warmth(&self, now: Instant) -> f64 {
        let ready = self.ready_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (ready.as_secs_f64() / SLOW_START.as_secs_f64()).clamp(SLOW_START_FLOOR, 1.0)
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    pub(crate) fn heard_load(&mut self, now: Instant, load: Load) {
        let was_silent = now.saturating_duration_since(self.last_heard) > SILENCE;
        self.heard(now);
        self.room.measured(now, load.egress);
        self.load = Some(load);
        match load.state {
            State::Ready if was_silent || self.ready_since.is_none() => self.ready_since = Some(now),
            State::Ready => {}
            State::NotFed | State::Draining | State::Lagging => self.ready_since = None,
        }
        self.look_at_draining(now);
    }

    pub(crate) fn ruled(&mut self, now: Instant, ruling: Ruling) {
        let was_away = self.ruling.standing != Standing::Active;
        self.ruling = ruling;
        if was_away && ruling.standing == Standing::Active {
            // Empty until now: as cold as one that has just come.
            self.ready_since = self.ready_since.map(|_| now);
        }
        self.look_at_draining(now);
    }

    fn look_at_draining(&mut self, now: Instant) {
        let shall_be_empty = self.ruling.standing != Standing::Active || self.own_word() == State::Draining;
        self.draining_since = shall_be_empty.then(|| self.draining_since.unwrap_or(now));
    }

    pub(crate) fn probed(&mut self, now: Instant, answered: bool) {
        self.probe = match (self.probe, answered) {
            (Probe::Reachable { .. }, true) => Probe::Reachable { failed: 0 },
            (Probe::Reachable { failed }, false) if failed + 1 >= PROBE_FALL => {
                Probe::Unreachable { answered: 0 }
            }
            (Probe::Reachable { failed }, false) => Probe::Reachable { failed: failed + 1 },
            (Probe::Unreachable { .. }, false) => Probe::Unreachable { answered: 0 },
            (Probe::Unreachable { answered }, true) if answered + 1 >= PROBE_RISE => {
                self.ready_since = self.ready_since.map(|_| now);
                Probe::Reachable { failed: 0 }
            }
            (Probe::Unreachable { answered }, true) => Probe::Unreachable { answered: answered + 1 },
        };
    }

    pub(crate) fn reserve(&mut self, now: Instant, rate: BitRate, by: By) {
        self.room.reserve(now, rate, by);
    }

    pub(crate) fn joined_again(&mut self, now: Instant, declared: Declared) {
        // One that is here has been succeeded by another process, which is filled: it is what it was until that speaks.
        let is_succeeded = self.left.is_none() && now.saturating_duration_since(self.last_heard) <= SILENCE;
        // The room stays: what was promised before a link broke for a moment is still on its way.
        self.declared = declared;
        self.joined = now;
        self.last_heard = now;
        self.left = None;
        if !is_succeeded {
            self.load = None;
            self.ready_since = None;
            self.probe = Probe::Reachable { failed: 0 };
        }
    }

    pub(crate) fn left(&mut self, now: Instant) {
        self.left.get_or_insert(now);
    }

    pub(crate) fn is_forgotten(&self, now: Instant) -> bool {
        let forgets = self.left.unwrap_or(self.last_heard) + FORGET;
        now >= forgets
    }

    /// Whether a broadcast it told us of at `told` may be believed to be there still.
    pub(crate) fn still_carries(&self, told: Instant, now: Instant) -> bool {
        told >= self.joined || now < self.joined + RETELL
    }

    /// When time alone changes its health.
    pub(crate) fn deadline(&self) -> Instant {
        match (self.left, self.announced) {
            (Some(left), _) => left + FORGET,
            (None, Some(Health::Silent)) => self.last_heard + FORGET,
            // One past the silence: at the end of it an edge is not silent yet.
            (None, _) => self.last_heard + SILENCE + Duration::from_millis(1),
        }
    }
}
