//! One core's viewers: bytes to asks, replies to bodies.
//!
//! Lives here: one request at a time per connection, in order, pipelined or not. Does not live here: what is answered
//! (`delivery`), sockets and time-outs (`percore`).

use crate::counts::CoreRequests;
use delivery::{Answer, Delivery, Kind, Moment, Reply, Stored, Update};
use http::{Cors, HttpDate, Parsed, Refusal};
use percore::{Body, ConnectionId, Inode, Service, Turn};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// What this core is told by the line.
pub(crate) type Updates = Vec<Update<Arc<Inode>>>;

/// One core's service.
pub(crate) struct Viewers {
    delivery: Delivery<Arc<Inode>, ConnectionId>,
    counts: Arc<CoreRequests>,
    cors: Cors,
}

/// Where one connection stands.
#[derive(Debug, Default)]
pub(crate) enum Seat {
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
        Self { cors: policy.cors.clone(), delivery: Delivery::new(policy), counts }
    }

    fn reply(&self, turn: &mut Turn<'_>, id: ConnectionId, reply: Reply<Arc<Inode>>) {
        self.counts.answered(reply.kind, reply.status);
        if !reply.bytes.is_empty() {
            turn.send(id, reply.bytes);
        }
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
    fn refuse(&self, turn: &mut Turn<'_>, id: ConnectionId, refused: &Refusal) {
        self.counts.answered(Kind::Other, refused.status);
        let date = HttpDate::from_unix_secs(turn.unix_millis() / 1000);
        turn.send(id, http::refusal(refused, &date, &self.cors));
    }

    fn release(&mut self, turn: &mut Turn<'_>) {
        while let Some((id, reply)) = self.delivery.pull() {
            self.reply(turn, id, reply);
        }
        self.counts.waiting.store(self.delivery.waiting() as u64, Relaxed);
    }
}

fn moment(turn: &Turn<'_>) -> Moment {
    Moment { at: turn.now(), unix_secs: turn.unix_millis() / 1000 }
}

impl Service for Viewers {
    type Message = Updates;
    type State = Seat;

    fn received(&mut self, turn: &mut Turn<'_>, id: ConnectionId, seat: &mut Seat, input: &[u8]) -> usize {
        match seat {
            Seat::Free => {}
            Seat::Busy => return 0,
            Seat::Over => return input.len(),
        }
        match http::parse(input) {
            Parsed::Incomplete => 0,
            Parsed::Refused(refused) => {
                *seat = Seat::Over;
                self.refuse(turn, id, &refused);
                turn.finish(id);
                input.len()
            }
            Parsed::Whole { request, consumed } => {
                *seat = if request.keep_alive { Seat::Busy } else { Seat::Over };
                match self.delivery.ask(moment(turn), id, &request) {
                    Answer::Now(reply) | Answer::Never(reply) => self.reply(turn, id, reply),
                    Answer::Later => {
                        self.counts.held.fetch_add(1, Relaxed);
                        self.counts.waiting.store(self.delivery.waiting() as u64, Relaxed);
                    }
                }
                consumed
            }
        }
    }

    fn message(&mut self, turn: &mut Turn<'_>, updates: Updates) {
        let now = moment(turn);
        for update in updates {
            self.delivery.push(now, update);
        }
        self.release(turn);
        self.counts.see_tickets(self.delivery.tickets());
    }

    fn sent(&mut self, _turn: &mut Turn<'_>, _id: ConnectionId, seat: &mut Seat) {
        if matches!(seat, Seat::Busy) {
            *seat = Seat::Free;
        }
    }

    fn late(&mut self, turn: &mut Turn<'_>, id: ConnectionId, seat: &mut Seat) {
        *seat = Seat::Over;
        self.refuse(turn, id, &Refusal::TOO_SLOW);
    }

    fn closed(&mut self, _turn: &mut Turn<'_>, id: ConnectionId, _seat: Seat) {
        self.delivery.forget(id);
        self.counts.waiting.store(self.delivery.waiting() as u64, Relaxed);
    }

    fn deadline(&self) -> Option<Instant> {
        self.delivery.deadline()
    }

    fn expired(&mut self, turn: &mut Turn<'_>) {
        self.delivery.tick(moment(turn));
        self.release(turn);
    }

    fn draining(&mut self, turn: &mut Turn<'_>) {
        self.delivery.push(moment(turn), Update::Leaving(true));
        self.release(turn);
    }
}
