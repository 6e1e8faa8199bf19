//! One core's viewers: bytes to asks, replies to bodies.
//!
//! Lives here: one request at a time per connection, in order, pipelined or not; and how long each took. Does not live
//! here: what is answered (`delivery`), sockets and time-outs (`percore`).

use crate::clock::{Clock, Micros};
use crate::counts::{Answered, CoreRequests};
use delivery::{Answer, Delivery, Kind, Moment, Reply, Stored, Update};
use http::{Cors, HttpDate, Parsed, Refusal};
use percore::{Body, ConnectionId, Inode, Service, Turn};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What this core is told by the line.
pub(crate) type Updates = Vec<Update<Arc<Inode>>>;

/// One core's service.
pub(crate) struct Viewers {
    delivery: Delivery<Arc<Inode>, ConnectionId>,
    counts: Arc<CoreRequests>,
    cors: Cors,
    clock: Clock,
    /// Viewers are turned away: who asks nothing is let go then, and again and again.
    let_go_at: Option<Instant>,
}

/// How long after viewers were first turned away those who ask nothing are let go, and how often again. Who plays asks
/// for a playlist more often than that, and is told to go with the answer.
const LET_GO_EVERY: Duration = Duration::from_secs(1);

/// Where one connection stands: 8 bytes of every idle one.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    stage: Stage,
    /// The answer that is owed or on its way.
    owed: Option<Answered>,
    /// Since when.
    since: Micros,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The next request may be read.
    #[default]
    Free,
    /// An answer is owed or on its way.
    Busy,
    /// Nothing more is read.
    Over,
}

impl Viewers {
    pub(crate) fn new(policy: delivery::Policy, counts: Arc<CoreRequests>) -> Self {
        let cors = policy.cors.clone();
        let clock = Clock::new(Instant::now());
        Self { cors, delivery: Delivery::new(policy), counts, clock, let_go_at: None }
    }

    fn moment(&mut self, turn: &Turn<'_>) -> Moment {
        Moment { at: turn.now(), unix_secs: self.clock.unix_secs(turn.now()) }
    }

    fn reply(&self, turn: &mut Turn<'_>, id: ConnectionId, reply: Reply<Arc<Inode>>) {
        self.counts.answered(reply.kind, reply.status);
        if !reply.bytes.is_empty() {
            turn.send(id, reply.bytes);
        }
        reply.more.into_iter().for_each(|more| turn.send(id, more));
        match reply.stored {
            Some(Stored::WithHead(inode)) => turn.send(id, Body::whole(inode)),
            Some(Stored::Range { body, from, len }) => turn.send(id, Body::range(body, from, len)),
            None => {}
        }
        if !reply.keep_alive {
            turn.finish(id);
        }
    }

    /// What is said to a head that is none; the connection ends with it.
    fn refuse(&mut self, turn: &mut Turn<'_>, id: ConnectionId, seat: &mut Seat, refused: &Refusal) {
        let owed = Some(Answered::AtOnce(Kind::Other));
        *seat = Seat { stage: Stage::Over, owed, since: self.clock.at(turn.now()) };
        self.counts.answered(Kind::Other, refused.status);
        let date = HttpDate::from_unix_secs(self.clock.unix_secs(turn.now()));
        turn.send(id, http::refusal(refused, &date, &self.cors));
    }

    fn release(&mut self, turn: &mut Turn<'_>) {
        while let Some((id, reply)) = self.delivery.pull() {
            self.reply(turn, id, reply);
        }
        // One shared buffer to everybody who has come as far: a count that goes up for each.
        while let Some((id, bytes)) = self.delivery.pull_chat() {
            match bytes {
                Some(bytes) => turn.send(id, bytes),
                None => turn.finish(id),
            }
        }
        self.counts.waiting.set(self.delivery.waiting() as u64);
        self.counts.see_chat(self.delivery.chat_counts());
    }
}

impl Service for Viewers {
    type Message = Updates;
    type State = Seat;

    fn received(&mut self, turn: &mut Turn<'_>, id: ConnectionId, seat: &mut Seat, input: &[u8]) -> usize {
        match seat.stage {
            Stage::Free => {}
            Stage::Busy => return 0,
            Stage::Over => return input.len(),
        }
        match http::parse(input) {
            Parsed::Incomplete => 0,
            Parsed::Refused(refused) => {
                self.refuse(turn, id, seat, &refused);
                turn.finish(id);
                input.len()
            }
            Parsed::Whole { mut request, consumed } => {
                // The next request goes to whoever is at our address then.
                request.keep_alive &= !turn.is_draining() && self.let_go_at.is_none();
                let moment = self.moment(turn);
                let mut stage = if request.keep_alive { Stage::Busy } else { Stage::Over };
                let answered = match self.delivery.ask(moment, id, &request) {
                    Answer::Now(reply) | Answer::Never(reply) => {
                        let kind = reply.kind;
                        self.reply(turn, id, reply);
                        Answered::AtOnce(kind)
                    }
                    Answer::GoesOn(reply) => {
                        let kind = reply.kind;
                        turn.goes_on(id);
                        self.reply(turn, id, reply);
                        // Whoever reads on asks nothing more here.
                        stage = Stage::Over;
                        Answered::AtOnce(kind)
                    }
                    Answer::Later => {
                        self.counts.held.one();
                        self.counts.waiting.set(self.delivery.waiting() as u64);
                        Answered::WhenItCame
                    }
                };
                *seat = Seat { stage, owed: Some(answered), since: self.clock.at(moment.at) };
                consumed
            }
        }
    }

    fn message(&mut self, turn: &mut Turn<'_>, updates: Updates) {
        let now = self.moment(turn);
        for update in updates {
            if let Update::Leaving(is_leaving) = update {
                self.let_go_at = is_leaving.then(|| now.at + LET_GO_EVERY);
            }
            self.delivery.push(now, update);
        }
        self.release(turn);
        self.counts.see_tickets(self.delivery.tickets());
    }

    fn sent(&mut self, turn: &mut Turn<'_>, _id: ConnectionId, seat: &mut Seat) {
        if let Some(answered) = seat.owed.take() {
            let is_long = answered == Answered::AtOnce(Kind::Segment);
            let left = self.clock.after_work(turn.now(), is_long);
            self.counts.took(answered, left.since(seat.since));
        }
        if seat.stage == Stage::Busy {
            seat.stage = Stage::Free;
        }
    }

    fn late(&mut self, turn: &mut Turn<'_>, id: ConnectionId, seat: &mut Seat) {
        self.refuse(turn, id, seat, &Refusal::TOO_SLOW);
    }

    fn closed(&mut self, _turn: &mut Turn<'_>, id: ConnectionId, _seat: Seat) {
        self.delivery.forget(id);
        self.counts.waiting.set(self.delivery.waiting() as u64);
        self.counts.see_chat(self.delivery.chat_counts());
    }

    fn deadline(&self) -> Option<Instant> {
        self.delivery.deadline().into_iter().chain(self.let_go_at).min()
    }

    fn expired(&mut self, turn: &mut Turn<'_>) {
        let now = self.moment(turn);
        self.delivery.tick(now);
        self.release(turn);
        if self.let_go_at.is_some_and(|at| at <= now.at) {
            self.let_go_at = Some(now.at + LET_GO_EVERY);
            turn.finish_idle();
        }
    }

    fn draining(&mut self, turn: &mut Turn<'_>) {
        let now = self.moment(turn);
        let is_handed_over = turn.is_handed_over();
        self.delivery.push(now, if is_handed_over { Update::Moved } else { Update::Leaving(true) });
        self.release(turn);
    }
}

const _: () = assert!(size_of::<Seat>() <= 8, "every idle connection has one");
