//! One core's delivery.

use crate::directives::Reload;
use crate::page::{Form, Kept, segment_etag, segment_out_of_range, segment_unchanged};
use crate::place::{Place, What};
use crate::refused::{Fixed, Refused};
use crate::tickets::{Door, admit};
use crate::waiting::{Waiter, Waiting};
use crate::{Access, Answer, Kind, Page, Reply, Segment, Stored, TicketCounts, Update, segment_head};
use http::{Cors, HttpDate, Method, Request, Status};
use media::{BroadcastId, MediaSequence, RenditionId};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticket::{BroadcastHash, EdgeNumber, Keys};

/// Reloads one core holds at once: as many as connections a core is ordinarily given. One more is answered 503,
/// Retry-After 1.
pub const WAITERS: usize = 20_000;

/// Now, by both clocks: the monotonic one for waiting, the wall's for dates and tickets.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For deadlines.
    pub at: Instant,
    /// For Date and for tickets' expiry.
    pub unix_secs: u64,
}

/// What holds for the delivery's whole life.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which pages of other origins may read answers.
    pub cors: Cors,
    /// This edge's number, to see which tickets name another.
    pub edge: Option<EdgeNumber>,
    /// Reloads held at once; ordinarily [`WAITERS`].
    pub waiters: usize,
}

/// Who may have what, and when. `B` is a handle to a stored segment, `W` names a viewer that may have to wait.
#[derive(Debug)]
pub struct Delivery<B, W> {
    policy: Policy,
    keys: Option<Keys>,
    is_leaving: bool,
    broadcasts: HashMap<BroadcastId, Broadcast<B, W>>,
    /// Where each waiter waits.
    waiters: HashMap<W, (BroadcastId, RenditionId)>,
    /// Not after the first deadline of all waiters.
    next: Option<Instant>,
    released: VecDeque<(W, Reply<B>)>,
    fixed: Fixed,
    date: HttpDate,
    tickets: TicketCounts,
}

#[derive(Debug)]
struct Broadcast<B, W> {
    access: Access,
    hash: BroadcastHash,
    hold: Duration,
    is_fed: bool,
    multivariant: Option<Kept>,
    thumb: Option<Kept>,
    renditions: HashMap<RenditionId, Rendition<B, W>>,
}

#[derive(Debug)]
struct Rendition<B, W> {
    listing: Option<Listing>,
    segments: HashMap<MediaSequence, Segment<B>>,
    waiting: Waiting<W>,
}

#[derive(Debug)]
struct Listing {
    kept: Kept,
    last: MediaSequence,
    has_ended: bool,
}

impl<B: Clone, W: Copy + Eq + Hash> Delivery<B, W> {
    /// Knows nothing yet: everything is answered 404.
    pub fn new(policy: Policy) -> Self {
        Self {
            fixed: Fixed::new(&policy.cors),
            policy,
            keys: None,
            is_leaving: false,
            broadcasts: HashMap::new(),
            waiters: HashMap::new(),
            next: None,
            released: VecDeque::new(),
            date: HttpDate::from_unix_secs(0),
            tickets: TicketCounts::default(),
        }
    }

    /// Takes one change; whoever waited for it is handed out by [`Delivery::pull`].
    pub fn push(&mut self, now: Moment, update: Update<B>) {
        self.turn_to(now);
        match update {
            Update::Broadcast { broadcast, target, access } => {
                let hold = target * 3;
                match self.broadcasts.get_mut(&broadcast) {
                    Some(known) => (known.access, known.hold) = (access, hold),
                    None => {
                        let known = Broadcast::new(&broadcast, access, hold);
                        self.broadcasts.insert(broadcast, known);
                    }
                }
            }
            Update::Stored { broadcast, rendition, sequence, segment } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast) {
                    known.renditions.entry(rendition).or_default().segments.insert(sequence, segment);
                }
            }
            Update::Expired { broadcast, rendition, sequence } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast)
                    && let Some(of) = known.renditions.get_mut(&rendition)
                {
                    of.segments.remove(&sequence);
                    if of.segments.is_empty() && of.listing.is_none() {
                        known.renditions.remove(&rendition);
                    }
                }
            }
            Update::Playlist { broadcast, rendition, page, last, has_ended } => {
                self.list(&broadcast, rendition, page, last, has_ended);
            }
            Update::Withdrawn { broadcast, rendition } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast)
                    && let Some(of) = known.renditions.get_mut(&rendition)
                {
                    of.listing = None;
                    let free = of.waiting.all();
                    self.let_go(free, Refused::NotFound);
                }
            }
            Update::Multivariant { broadcast, page } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast) {
                    known.multivariant = Some(Kept::new(page));
                }
            }
            Update::Thumb { broadcast, page } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast) {
                    known.thumb = Some(Kept::new(page));
                }
            }
            Update::Fed { broadcast, is_fed } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast) {
                    known.is_fed = is_fed;
                    if !is_fed {
                        let free = known.all_waiting();
                        self.let_go(free, Refused::NotFed);
                    }
                }
            }
            Update::Gone { broadcast } => {
                if let Some(mut known) = self.broadcasts.remove(&broadcast) {
                    self.let_go(known.all_waiting(), Refused::NotFound);
                }
            }
            Update::Keys(keys) => self.keys = keys,
            Update::Leaving(is_leaving) => {
                self.is_leaving = is_leaving;
                if is_leaving {
                    let free = self.broadcasts.values_mut().flat_map(Broadcast::all_waiting).collect();
                    self.let_go(free, Refused::Leaving);
                }
            }
        }
    }

    /// What this request is answered with. After [`Answer::Later`] the reply comes out of [`Delivery::pull`] under
    /// `waiter`, unless [`Delivery::forget`] is called first; until then `waiter` must not ask again.
    pub fn ask(&mut self, now: Moment, waiter: W, request: &Request<'_>) -> Answer<B> {
        self.turn_to(now);
        let form = Form::of(request);
        if request.method == Method::Options {
            return Answer::Now(self.fixed.options.reply(form, Kind::Other, &self.date));
        }
        match self.find(now, waiter, request, form) {
            Ok(Some(reply)) => Answer::Now(reply),
            Ok(None) => Answer::Later,
            Err((kind, refused)) => Answer::Never(self.fixed.refusal(refused).reply(form, kind, &self.date)),
        }
    }

    /// Replies of those whose wait is over.
    pub fn pull(&mut self) -> Option<(W, Reply<B>)> {
        self.released.pop_front()
    }

    /// When [`Delivery::tick`] wants to be called; may be early, never late.
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Lets go everybody who waited three target durations (rule D05).
    pub fn tick(&mut self, now: Moment) {
        self.turn_to(now);
        let mut free = Vec::new();
        self.next = None;
        for of in self.broadcasts.values_mut().flat_map(|known| known.renditions.values_mut()) {
            free.extend(of.waiting.overdue(now.at));
            self.next = sooner(self.next, of.waiting.deadline());
        }
        self.let_go(free, Refused::HeldTooLong);
    }

    /// The viewer is gone; nothing will be handed out for it, also not what [`Delivery::pull`] has not handed out yet.
    pub fn forget(&mut self, waiter: W) {
        if let Some((broadcast, rendition)) = self.waiters.remove(&waiter) {
            if let Some(known) = self.broadcasts.get_mut(&broadcast)
                && let Some(of) = known.renditions.get_mut(&rendition)
            {
                of.waiting.forget(waiter);
            }
        } else if !self.released.is_empty() {
            self.released.retain(|(id, _)| *id != waiter);
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// What tickets came with.
    pub fn tickets(&self) -> TicketCounts {
        self.tickets
    }

    fn turn_to(&mut self, now: Moment) {
        if self.date.unix_secs() != now.unix_secs {
            self.date = HttpDate::from_unix_secs(now.unix_secs);
        }
    }

    fn list(
        &mut self,
        broadcast: &BroadcastId,
        rendition: RenditionId,
        page: Arc<Page>,
        last: MediaSequence,
        has_ended: bool,
    ) {
        let Some(known) = self.broadcasts.get_mut(broadcast) else { return };
        let of = known.renditions.entry(rendition).or_default();
        let listing = of.listing.insert(Listing { kept: Kept::new(page), last, has_ended });
        // Rule D10: who waits for more than there will ever be gets the end.
        let free = if has_ended { of.waiting.all() } else { of.waiting.reached(last) };
        for (id, waiter) in free {
            self.waiters.remove(&id);
            let (status, bytes) = listing.kept.answer(waiter.form, None, &self.date);
            let keep_alive = waiter.form.keeps_alive();
            self.released
                .push_back((id, Reply { status, kind: Kind::Media, bytes, stored: None, keep_alive }));
        }
    }

    fn let_go(&mut self, free: Vec<(W, Waiter)>, why: Refused) {
        for (id, waiter) in free {
            self.waiters.remove(&id);
            let reply = self.fixed.refusal(why).reply(waiter.form, Kind::Media, &self.date);
            self.released.push_back((id, reply));
        }
    }

    fn find(
        &mut self,
        now: Moment,
        id: W,
        request: &Request<'_>,
        form: Form,
    ) -> Result<Option<Reply<B>>, (Kind, Refused)> {
        let unknown = (Kind::Other, Refused::NotFound);
        let place = Place::parse(request.path).ok_or(unknown)?;
        let (name, known) = self.broadcasts.get_key_value(place.broadcast).ok_or(unknown)?;
        let kind = place.what.kind();
        let door = Door { access: known.access, hash: known.hash, edge: self.policy.edge };
        admit(&mut self.tickets, self.keys.as_ref(), door, place.token, now.unix_secs)
            .map_err(|refused| (kind, refused))?;
        let not_found = (kind, Refused::NotFound);
        if let What::Segment { rendition, sequence } = place.what {
            let segment =
                known.renditions.get(rendition).and_then(|of| of.segments.get(&sequence)).ok_or(not_found)?;
            return Ok(Some(self.segment(segment, request, form)));
        }
        if self.is_leaving {
            return Err((kind, Refused::Leaving));
        }
        if !known.is_fed {
            return Err((kind, Refused::NotFed));
        }
        let name = name.clone();
        let known = self.broadcasts.get_mut(&name).ok_or(not_found)?;
        let held = request.if_none_match;
        let kept = match place.what {
            What::Multivariant => known.multivariant.as_mut().ok_or(not_found)?,
            What::Thumb => known.thumb.as_mut().ok_or(not_found)?,
            What::Segment { .. } => return Err(not_found),
            What::Media { rendition } => {
                let rendition = known.renditions.get_key_value(rendition).ok_or(not_found)?.0.clone();
                let of = known.renditions.get_mut(&rendition).ok_or(not_found)?;
                let listing = of.listing.as_mut().ok_or(not_found)?;
                // Rule D08: after the end directives mean nothing.
                if !listing.has_ended {
                    let bad = |_| (kind, Refused::BadDirective);
                    let reload = Reload::parse(request.query).map_err(bad)?;
                    if let Some(wanted) = reload.missing(listing.last).map_err(bad)? {
                        if self.waiters.len() >= self.policy.waiters {
                            return Err((kind, Refused::TooManyWait));
                        }
                        let until = now.at + known.hold;
                        of.waiting.hold(id, Waiter { wanted, form, until });
                        self.waiters.insert(id, (name, rendition));
                        self.next = sooner(self.next, Some(until));
                        return Ok(None);
                    }
                }
                &mut listing.kept
            }
        };
        let (status, bytes) = kept.answer(form, held, &self.date);
        Ok(Some(Reply { status, kind, bytes, stored: None, keep_alive: form.keeps_alive() }))
    }

    fn segment(&self, segment: &Segment<B>, request: &Request<'_>, form: Form) -> Reply<B> {
        let cors = &self.policy.cors;
        let Segment { body, len, tag } = segment;
        let keep_alive = form.keeps_alive();
        let reply = |status, bytes, stored| Reply { status, kind: Kind::Segment, bytes, stored, keep_alive };
        let etag = || segment_etag(*tag);
        if request.if_none_match.is_some_and(|held| http::etag_matches(held, &etag())) {
            let head = segment_unchanged(*tag, cors).dated(&self.date, form.connection, true);
            return reply(Status::NOT_MODIFIED, head, None);
        }
        // RFC 9110, 13.1.5: another tag (or a date, which we never gave) means the whole.
        let range = request.range.filter(|_| request.if_range.is_none_or(|tag| tag == etag()));
        match range.map(|range| range.of(*len)) {
            None if form.connection == http::Connection::Implied && !form.is_head => {
                reply(Status::OK, bytes::Bytes::new(), Some(Stored::WithHead(body.clone())))
            }
            None => {
                let head = segment_head(*len, *tag, None, cors).dated(&self.date, form.connection, true);
                let all = Stored::Range { body: body.clone(), from: 0, len: *len };
                reply(Status::OK, head, (!form.is_head).then_some(all))
            }
            Some(Ok(span)) => {
                let head =
                    segment_head(*len, *tag, Some(span), cors).dated(&self.date, form.connection, true);
                let some = Stored::Range { body: body.clone(), from: span.from, len: span.len };
                reply(Status::PARTIAL_CONTENT, head, Some(some))
            }
            Some(Err(_)) => {
                let answer = segment_out_of_range(*len, cors);
                reply(answer.status(), answer.dated(&self.date, form.connection, form.is_head), None)
            }
        }
    }
}

impl<B, W: Copy + Eq + Hash> Broadcast<B, W> {
    fn new(name: &BroadcastId, access: Access, hold: Duration) -> Self {
        Self {
            access,
            hash: BroadcastHash::of(name),
            hold,
            is_fed: true,
            multivariant: None,
            thumb: None,
            renditions: HashMap::new(),
        }
    }

    fn all_waiting(&mut self) -> Vec<(W, Waiter)> {
        self.renditions.values_mut().flat_map(|of| of.waiting.all()).collect()
    }
}

impl<B, W> Default for Rendition<B, W> {
    fn default() -> Self {
        Self { listing: None, segments: HashMap::new(), waiting: Waiting::default() }
    }
}

impl What<'_> {
    fn kind(self) -> Kind {
        match self {
            What::Multivariant => Kind::Multivariant,
            What::Thumb => Kind::Thumb,
            What::Media { .. } => Kind::Media,
            What::Segment { .. } => Kind::Segment,
        }
    }
}

fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
