//! One thread: its viewers, their asks, its clock.
//!
//! ```text
//!   clock ──arrivals, deadlines──▶ seats ──Ask──▶ exchange (a task each) ──Head, Playlist, Segment, Failed──▶ seats
//! ```
//!
//! One timer for all viewers of a core: the earliest deadline, or the next tick. What an ask does on its connection
//! is `exchange`'s; an ask that a viewer cancels is ended by cutting its connection.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use slab::Slab;
use viewer::{AskId, Event, Input, Now, Output, Url, Viewer};

use crate::arrival::stay;
use crate::chance::Chance;
use crate::client::{Connection, Socket};
use crate::exchange::exchange;
use crate::measure::{Snapshot, Tally, ViewerState};
use crate::origin::Origin;
use crate::pace::Downlink;
use crate::run::Shared;

/// How often a core looks whether it is late.
const TICK: Duration = Duration::from_millis(10);
/// How often it hands over what it counted.
const TURN: Duration = Duration::from_secs(1);
/// How long the last answers may take once all viewers have left.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);
/// Connections that a viewer keeps for later.
pub(crate) const IDLE_OF_A_VIEWER: usize = 4;
/// How long it keeps one that it does not use.
const IDLE_KEPT: Duration = Duration::from_secs(30);
/// The most bytes read at a time.
const READ_BYTES: usize = 64 << 10;
/// The most bytes thrown away at a time.
const DISCARD_BYTES: usize = 1 << 20;

/// Names one viewer of a core; never used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SeatKey {
    index: u32,
    /// Which viewer that had this seat.
    turn: u32,
}

/// Where one viewer sits.
struct Seat {
    turn: u32,
    /// Its number over all cores and all time.
    place: u32,
    viewer: Viewer,
    state: ViewerState,
    stalled_at: Option<Instant>,
    /// Its own address.
    from: Option<IpAddr>,
    downlink: Option<Downlink>,
    open: Vec<Open>,
    idle: Vec<Connection>,
    /// The moment the clock will come to it.
    armed: Option<Instant>,
    leaves_at: Option<Instant>,
}

/// An ask that is not over.
struct Open {
    id: AskId,
    /// The connection it waits for.
    socket: Option<Rc<Socket>>,
}

/// One thread's share of a run.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    index: u32,
    seats: RefCell<Slab<Seat>>,
    turns: Cell<u32>,
    /// Who comes next: place, and when.
    arriving: Cell<Option<(u32, Instant)>>,
    due: RefCell<BinaryHeap<Reverse<(Instant, SeatKey)>>>,
    /// Until when the clock sleeps, and how to wake it before.
    sleeps_until: Cell<Instant>,
    clock: RefCell<Option<Waker>>,
    pub(crate) tally: RefCell<Tally>,
    origins: RefCell<HashMap<Box<str>, Arc<Origin>>>,
    /// Where answers are read to; used between two waits only.
    pub(crate) scratch: RefCell<Vec<u8>>,
    /// As long as what is thrown away at a time, and never written to.
    pub(crate) unread: RefCell<Vec<u8>>,
    pub(crate) exchanges: Cell<usize>,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, index: u32) -> Rc<Self> {
        let begin = shared.begin;
        let core = Self {
            index,
            seats: RefCell::default(),
            turns: Cell::default(),
            arriving: Cell::new(None),
            due: RefCell::default(),
            sleeps_until: Cell::new(begin),
            clock: RefCell::default(),
            tally: RefCell::new(Tally::new(index as usize, begin)),
            origins: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BYTES]),
            unread: RefCell::new(vec![0; DISCARD_BYTES]),
            exchanges: Cell::default(),
            shared,
        };
        core.next_arrival(index);
        Rc::new(core)
    }

    /// Everything, until the end of the run.
    pub(crate) async fn run(self: Rc<Self>, teller: Sender<Box<Snapshot>>) {
        let ends_at = self.shared.begin + self.shared.plan.lasts;
        let (mut tick_at, mut turn_at) = (self.shared.begin + TICK, self.shared.begin + TURN);
        loop {
            self.sleep(tick_at).await;
            let now = Instant::now();
            while tick_at <= now {
                // Each tick that was slept through was late by as much.
                self.tally.borrow_mut().woke(tick_at, now);
                tick_at += TICK;
            }
            if now >= ends_at || self.shared.is_stopped() {
                break;
            }
            self.let_arrive(now);
            self.serve_due(now);
            if now >= turn_at {
                self.tally.borrow_mut().turn(now, &teller);
                turn_at += TURN;
            }
        }
        self.leave_all().await;
        let now = Instant::now();
        let last = self.tally.replace(Tally::new(self.index as usize, now));
        last.finish(now, &teller);
    }

    /// Until `tick_at`, the next arrival or the earliest deadline; one that becomes earlier is heeded.
    async fn sleep(&self, tick_at: Instant) {
        let deadline = self.due.borrow().peek().map(|Reverse((at, _))| *at);
        let arrival = self.arriving.get().map(|(_, at)| at);
        let until = [deadline, arrival].into_iter().flatten().fold(tick_at, Instant::min);
        self.sleeps_until.set(until);
        let mut sleep = pin!(monoio::time::sleep_until(until.into()));
        std::future::poll_fn(|context| {
            if self.sleeps_until.get() < until {
                return Poll::Ready(());
            }
            *self.clock.borrow_mut() = Some(context.waker().clone());
            sleep.as_mut().poll(context)
        })
        .await;
    }

    /// What is due.
    fn serve_due(self: &Rc<Self>, now: Instant) {
        loop {
            let (at, key) = match self.due.borrow_mut().peek_mut() {
                Some(first) if first.0.0 <= now => std::collections::binary_heap::PeekMut::pop(first).0,
                _ => return,
            };
            let is_leaving = {
                let mut seats = self.seats.borrow_mut();
                // Only the entry that was made last counts; one that an earlier deadline went before is void.
                let seat = seat_of(&mut seats, key).filter(|seat| seat.armed == Some(at));
                let Some(seat) = seat else { continue };
                seat.armed = None;
                if seat.viewer.deadline().is_some_and(|at| at <= now) {
                    seat.viewer.push(self.shared.calendar(now), Input::Tick);
                }
                seat.leaves_at.is_some_and(|at| at <= now)
            };
            if is_leaving {
                self.replace(key, now);
            } else {
                self.carry(key);
            }
        }
    }

    /// Who is due to arrive, arrives.
    fn let_arrive(self: &Rc<Self>, now: Instant) {
        while let Some((place, at)) = self.arriving.get().filter(|(_, at)| *at <= now) {
            self.seat(place, at);
            self.next_arrival(place + self.shared.threads);
        }
    }

    fn next_arrival(&self, place: u32) {
        let plan = &self.shared.plan;
        let next =
            (place < plan.viewers).then(|| (place, self.shared.begin + plan.arrival.of(place, plan.viewers)));
        self.arriving.set(next);
    }

    /// A viewer that was due at `at` begins.
    fn seat(self: &Rc<Self>, place: u32, at: Instant) {
        let shared = &self.shared;
        let mut chance = Chance::seeded(shared.plan.seed ^ (u64::from(place) << 20));
        let viewer = Viewer::new(
            shared.calendar(at),
            shared.options.clone(),
            shared.plan.entry.clone(),
            chance.next(),
        );
        self.turns.set(self.turns.get() + 1);
        let seat = Seat {
            turn: self.turns.get(),
            place,
            viewer,
            state: ViewerState::Starting,
            stalled_at: None,
            from: shared.block.map(|block| block.of(place)),
            downlink: shared.plan.downlink.map(|bits| Downlink::new(bits, at)),
            open: Vec::new(),
            idle: Vec::new(),
            armed: None,
            leaves_at: shared.plan.churn.map(|mean| at + stay(mean, &mut chance)),
        };
        self.tally.borrow_mut().moved(at, None, Some(ViewerState::Starting));
        let index = self.seats.borrow_mut().insert(seat);
        self.carry(SeatKey { index: index as u32, turn: self.turns.get() });
    }

    /// A viewer leaves, another one takes its place.
    fn replace(self: &Rc<Self>, key: SeatKey, now: Instant) {
        if let Some(place) = self.leave(key, now, true) {
            self.seat(place.wrapping_add(self.shared.plan.viewers), now);
        }
    }

    /// A viewer closes the page.
    fn leave(self: &Rc<Self>, key: SeatKey, now: Instant, is_counted: bool) -> Option<u32> {
        seat_of(&mut self.seats.borrow_mut(), key)?.viewer.push(self.shared.calendar(now), Input::Stop);
        self.carry(key);
        let mut seats = self.seats.borrow_mut();
        let seat = seat_of(&mut seats, key)?;
        let mut tally = self.tally.borrow_mut();
        if let Some(since) = seat.stalled_at {
            tally.stall_over(now.saturating_duration_since(since));
        }
        if is_counted {
            tally.moved(now, Some(seat.state), None);
        }
        let place = seat.place;
        seats.remove(key.index as usize);
        Some(place)
    }

    /// The run is over: everybody closes the page, and what is under way ends.
    async fn leave_all(self: &Rc<Self>) {
        let now = Instant::now();
        let keys: Vec<SeatKey> = self
            .seats
            .borrow()
            .iter()
            .map(|(index, seat)| SeatKey { index: index as u32, turn: seat.turn })
            .collect();
        for key in keys {
            self.leave(key, now, false);
        }
        while self.exchanges.get() > 0 && now.elapsed() < LEAVE_WITHIN {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Something happened to a viewer.
    pub(crate) fn push(self: &Rc<Self>, key: SeatKey, input: Input<'_>) {
        if let Some(seat) = seat_of(&mut self.seats.borrow_mut(), key) {
            seat.viewer.push(self.shared.calendar(Instant::now()), input);
        }
        self.carry(key);
    }

    /// What a viewer wants and says is done and counted.
    fn carry(self: &Rc<Self>, key: SeatKey) {
        let mut seats = self.seats.borrow_mut();
        let Some(seat) = seat_of(&mut seats, key) else { return };
        while let Some(output) = seat.viewer.pull() {
            match output {
                Output::Ask(ask) => {
                    seat.open.push(Open { id: ask.id, socket: None });
                    self.exchanges.set(self.exchanges.get() + 1);
                    monoio::spawn(exchange(self.clone(), key, ask));
                }
                Output::Cancel(id) => {
                    let Some(at) = seat.open.iter().position(|open| open.id == id) else { continue };
                    if let Some(socket) = seat.open.swap_remove(at).socket {
                        socket.cut();
                    }
                }
                Output::Event { at, event } => {
                    match event {
                        Event::Stalled => seat.stalled_at = Some(at),
                        Event::Resumed { .. } => seat.stalled_at = None,
                        _ => {}
                    }
                    self.tally.borrow_mut().noticed(&mut seat.state, at, &event);
                }
            }
        }
        let next = [seat.viewer.deadline(), seat.leaves_at].into_iter().flatten().min();
        let Some(next) = next.filter(|next| seat.armed.is_none_or(|armed| *next < armed)) else { return };
        seat.armed = Some(next);
        self.due.borrow_mut().push(Reverse((next, key)));
        if next < self.sleeps_until.get() {
            self.sleeps_until.set(next);
            if let Some(clock) = self.clock.borrow_mut().take() {
                clock.wake();
            }
        }
    }

    /// The origin of a URL.
    pub(crate) fn origin(&self, url: &Url) -> Arc<Origin> {
        let mut origins = self.origins.borrow_mut();
        match origins.get(url.origin()) {
            Some(origin) => origin.clone(),
            None => {
                let origin = self.shared.origins.of(url);
                origins.insert(url.origin().into(), origin.clone());
                origin
            }
        }
    }

    /// Whether anybody still waits for this ask.
    pub(crate) fn is_wanted(&self, key: SeatKey, id: AskId) -> bool {
        seat_of(&mut self.seats.borrow_mut(), key)
            .is_some_and(|seat| seat.open.iter().any(|open| open.id == id))
    }

    /// This ask waits for that connection now; `false` if nobody waits for the ask any more.
    pub(crate) fn waits_for(&self, key: SeatKey, id: AskId, socket: &Rc<Socket>) -> bool {
        let mut seats = self.seats.borrow_mut();
        let open = seat_of(&mut seats, key).and_then(|seat| seat.open.iter_mut().find(|open| open.id == id));
        open.map(|open| open.socket = Some(socket.clone())).is_some()
    }

    /// Nobody waits for this ask any more; whether somebody did.
    pub(crate) fn close(&self, key: SeatKey, id: AskId) -> bool {
        let mut seats = self.seats.borrow_mut();
        let Some(seat) = seat_of(&mut seats, key) else { return false };
        let Some(at) = seat.open.iter().position(|open| open.id == id) else { return false };
        seat.open.swap_remove(at);
        true
    }

    /// A connection to that origin that the viewer has kept.
    pub(crate) fn take_idle(&self, key: SeatKey, origin: &Arc<Origin>) -> Option<Connection> {
        let mut seats = self.seats.borrow_mut();
        let idle = &mut seat_of(&mut seats, key)?.idle;
        let at = idle.iter().rposition(|connection| Arc::ptr_eq(&connection.origin, origin))?;
        Some(idle.swap_remove(at))
    }

    /// A connection is kept for the next ask of its viewer.
    pub(crate) fn keep(&self, key: SeatKey, mut connection: Connection, now: Instant) {
        let mut seats = self.seats.borrow_mut();
        let Some(seat) = seat_of(&mut seats, key) else { return };
        connection.idle_since = now;
        seat.idle.retain(|kept| now.saturating_duration_since(kept.idle_since) < IDLE_KEPT);
        if seat.idle.len() >= IDLE_OF_A_VIEWER {
            seat.idle.remove(0);
        }
        seat.idle.push(connection);
    }

    /// The viewer's own address.
    pub(crate) fn from(&self, key: SeatKey) -> Option<IpAddr> {
        seat_of(&mut self.seats.borrow_mut(), key)?.from
    }

    /// How many of `wanted` bytes the viewer's line carries now; else when to ask again.
    pub(crate) fn allowance(&self, key: SeatKey, wanted: u64, now: Instant) -> Result<u64, Instant> {
        let mut seats = self.seats.borrow_mut();
        match seat_of(&mut seats, key).and_then(|seat| seat.downlink.as_mut()) {
            Some(downlink) => downlink.take(wanted, now),
            None => Ok(wanted),
        }
    }

    /// So many bytes came over the viewer's line.
    pub(crate) fn spend(&self, key: SeatKey, bytes: u64) {
        if let Some(downlink) =
            seat_of(&mut self.seats.borrow_mut(), key).and_then(|seat| seat.downlink.as_mut())
        {
            downlink.spend(bytes);
        }
    }
}

fn seat_of(seats: &mut Slab<Seat>, key: SeatKey) -> Option<&mut Seat> {
    seats.get_mut(key.index as usize).filter(|seat| seat.turn == key.turn)
}

impl Shared {
    /// That moment on the calendar too.
    pub(crate) fn calendar(&self, at: Instant) -> Now {
        let since = at.saturating_duration_since(self.begin).as_millis() as u64;
        Now { at, unix_millis: self.begin_unix_millis + since }
    }
}
