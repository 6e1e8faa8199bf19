//! A core of the balancer: percore's connections on one side, the desk on the other.

use crate::desk::{Desk, Moment};
use crate::hub::Event;
use crate::told::Told;
use http::{Parsed, Refusal};
use media::BitRate;
use percore::{ConnectionId, Handle, Service, Turn};
use routing::{By, Heard};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use ticket::EdgeId;

/// How long reservations are gathered before the other cores are told. Within it a core may send an edge what
/// the others have just filled it with: at 100,000 viewers a second, 2,000 of them.
const TELL_RESERVED: Duration = Duration::from_millis(20);

/// How often the hub is told whom steering saw and moved.
const TELL_SEEN: Duration = Duration::from_secs(1);

/// The service of one core.
pub(crate) struct Core {
    desk: Desk,
    /// All cores, known once they run.
    cores: Arc<OnceLock<Handle<Told>>>,
    hub: SyncSender<Event>,
    tell_at: Option<Instant>,
    seen_at: Option<Instant>,
}

impl Core {
    pub(crate) fn new(desk: Desk, cores: Arc<OnceLock<Handle<Told>>>, hub: SyncSender<Event>) -> Self {
        Self { desk, cores, hub, tell_at: None, seen_at: None }
    }

    fn tell_reserved(&mut self, turn: &Turn<'_>) {
        self.tell_at = None;
        let Some(cores) = self.cores.get() else { return };
        let reserved: Vec<(EdgeId, BitRate)> = self.desk.reserved.drain().collect();
        for (edge, rate) in &reserved {
            for core in (0..cores.core_count()).map(percore::CoreIndex).filter(|core| *core != turn.core()) {
                // A full inbox loses a reservation, which the edge's heartbeat makes good.
                let _ = cores.tell(core, Told::Heard(Heard::Reserved(edge.clone(), *rate, By::Core)));
            }
        }
        // So does a hub that is behind, for other balancers.
        let _ = self.hub.try_send(Event::Reserved(reserved));
    }

    fn tell_seen(&mut self) {
        self.seen_at = None;
        let seen = self.desk.seen.drain().collect();
        let moved = self.desk.moved.drain().collect();
        // Who is lost here is seen again in five seconds.
        let _ = self.hub.try_send(Event::Seen { seen, moved });
    }

    /// When what was gathered is told.
    fn gather(&mut self, now: Instant) {
        if !self.desk.reserved.is_empty() && self.tell_at.is_none() {
            self.tell_at = Some(now + TELL_RESERVED);
        }
        if !self.desk.seen.is_empty() && self.seen_at.is_none() {
            self.seen_at = Some(now + TELL_SEEN);
        }
    }
}

/// Where one connection stands: one answer at a time, however many requests are ahead.
#[derive(Debug, Default)]
pub(crate) enum Seat {
    /// The next request may be read.
    #[default]
    Free,
    /// An answer is on its way.
    Busy,
}

impl Service for Core {
    type Message = Told;
    type State = Seat;

    fn received(&mut self, turn: &mut Turn<'_>, id: ConnectionId, seat: &mut Seat, input: &[u8]) -> usize {
        if matches!(seat, Seat::Busy) {
            return 0;
        }
        let unix_secs = turn.unix_millis() / 1000;
        match http::parse(input) {
            Parsed::Incomplete => 0,
            Parsed::Refused(refusal) => {
                let bytes = self.desk.refused(unix_secs, &refusal);
                turn.send(id, bytes);
                turn.finish(id);
                input.len()
            }
            Parsed::Whole { mut request, consumed } => {
                request.keep_alive &= !turn.is_draining();
                *seat = Seat::Busy;
                let moment = Moment { now: turn.now(), unix_secs, is_tls: turn.is_tls(id) };
                let answer = self.desk.answer(moment, &request);
                turn.send(id, answer.bytes);
                if !answer.page.is_empty() {
                    turn.send(id, answer.page);
                }
                if !request.keep_alive {
                    turn.finish(id);
                }
                self.gather(moment.now);
                consumed
            }
        }
    }

    fn sent(&mut self, _turn: &mut Turn<'_>, _id: ConnectionId, seat: &mut Seat) {
        *seat = Seat::Free;
    }

    fn late(&mut self, turn: &mut Turn<'_>, id: ConnectionId, _seat: &mut Seat) {
        let bytes = self.desk.refused(turn.unix_millis() / 1000, &Refusal::TOO_SLOW);
        turn.send(id, bytes);
    }

    fn message(&mut self, turn: &mut Turn<'_>, message: Told) {
        self.desk.told(turn.now(), message);
    }

    fn deadline(&self) -> Option<Instant> {
        self.desk.router.deadline().into_iter().chain(self.tell_at).chain(self.seen_at).min()
    }

    fn expired(&mut self, turn: &mut Turn<'_>) {
        if self.tell_at.is_some_and(|at| at <= turn.now()) {
            self.tell_reserved(turn);
        }
        if self.seen_at.is_some_and(|at| at <= turn.now()) {
            self.tell_seen();
        }
        self.desk.expire(turn.now());
    }
}
