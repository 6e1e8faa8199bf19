//! One core's delivery.

use crate::chatting::Chatting;
use crate::directives::Reload;
use crate::page::{Form, Kept};
use crate::place::{Place, What};
use crate::refused::{Fixed, Refused};
use crate::tickets::{Book, Door, admit};
use crate::waiting::{ListId, Waiter, Waiting};
use crate::{Access, Answer, Denials, Kind, Page, Reply, Segment, TicketCounts, Update};
use http::{Cors, HttpDate, Method, Request};
use media::{BroadcastId, MediaSequence, RenditionId};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
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
    /// Readers of chat at once; ordinarily [`chat::limits::READERS`]. 0: there is no chat here.
    pub readers: usize,
}

/// Who may have what, and when. `B` is a handle to a stored segment, `W` names a viewer that may have to wait.
#[derive(Debug)]
pub struct Delivery<B, W> {
    pub(crate) policy: Policy,
    pub(crate) keys: Option<Keys>,
    pub(crate) denials: Arc<Denials>,
    pub(crate) is_leaving: bool,
    has_moved: bool,
    /// By names that ingests chose, never viewers: whoever asks for a name that is not there adds none.
    pub(crate) broadcasts: FxHashMap<BroadcastId, Broadcast<B>>,
    waiting: Waiting<W>,
    released: VecDeque<Released<W>>,
    pub(crate) chatting: Chatting<W>,
    fixed: Fixed,
    pub(crate) date: HttpDate,
    pub(crate) tickets: TicketCounts,
}

/// Viewers who are let go together, and with what. Made into replies as they are pulled, so that ten thousand of them
/// are ten thousand times a count that goes up, not ten thousand replies in memory.
#[derive(Debug)]
struct Released<W> {
    with: With,
    waiters: std::vec::IntoIter<Waiter<W>>,
}

#[derive(Debug)]
enum With {
    Page(Kept),
    Refused(Refused),
}

#[derive(Debug)]
pub(crate) struct Broadcast<B> {
    pub(crate) access: Access,
    hash: BroadcastHash,
    hold: Duration,
    is_fed: bool,
    multivariant: Option<Kept>,
    thumb: Option<Kept>,
    /// Few, so that looking at each is quicker than a hash.
    renditions: Vec<Rendition<B>>,
}

#[derive(Debug)]
struct Rendition<B> {
    id: RenditionId,
    listing: Option<Listing>,
    segments: FxHashMap<MediaSequence, Segment<B>>,
    waiting: ListId,
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
            chatting: Chatting::new(&policy.cors, policy.readers),
            policy,
            keys: None,
            is_leaving: false,
            has_moved: false,
            broadcasts: FxHashMap::default(),
            waiting: Waiting::default(),
            released: VecDeque::new(),
            date: HttpDate::from_unix_secs(0),
            denials: Arc::default(),
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
                    Some(known) => {
                        self.chatting.narrows(&broadcast, known.access, access);
                        self.chatting.is_open_to(&broadcast, access);
                        (known.access, known.hold) = (access, hold);
                    }
                    None => {
                        let known = Broadcast::new(&broadcast, access, hold);
                        self.broadcasts.insert(broadcast, known);
                    }
                }
            }
            Update::Stored { broadcast, rendition, sequence, segment } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast) {
                    known.add(rendition, &mut self.waiting).segments.insert(sequence, segment);
                }
            }
            Update::Expired { broadcast, rendition, sequence } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast)
                    && let Some(at) = known.place(rendition.as_str())
                {
                    let of = &mut known.renditions[at];
                    of.segments.remove(&sequence);
                    if of.segments.is_empty() && of.listing.is_none() {
                        let of = known.renditions.swap_remove(at);
                        let free = self.waiting.close(of.waiting);
                        self.let_go(free, Refused::NotFound);
                    }
                }
            }
            Update::Playlist { broadcast, rendition, page, last, has_ended } => {
                self.list(&broadcast, rendition, page, last, has_ended);
            }
            Update::Withdrawn { broadcast, rendition } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast)
                    && let Some(at) = known.place(rendition.as_str())
                {
                    known.renditions[at].listing = None;
                    let free = self.waiting.all(known.renditions[at].waiting);
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
                        let lists = known.lists();
                        self.let_all_go(lists, Refused::NotFed);
                    }
                }
            }
            Update::Gone { broadcast } => {
                if let Some(known) = self.broadcasts.remove(&broadcast) {
                    for list in known.lists() {
                        let free = self.waiting.close(list);
                        self.let_go(free, Refused::NotFound);
                    }
                }
            }
            Update::Chat { access, told } => self.chatting.push(now, access, &told),
            Update::Access { broadcast, access } => {
                if let Some(known) = self.broadcasts.get_mut(&broadcast) {
                    self.chatting.narrows(&broadcast, known.access, access);
                    known.access = access;
                }
                self.chatting.is_open_to(&broadcast, access);
            }
            Update::Denied(denials) => {
                let before = std::mem::replace(&mut self.denials, denials);
                self.chatting.denied(&before, &self.denials);
            }
            Update::Keys(keys) => self.keys = keys,
            Update::Moved => {
                self.chatting.readers.let_everybody_go();
                self.move_on();
            }
            Update::Leaving(is_leaving) => {
                self.is_leaving = is_leaving;
                if is_leaving {
                    let lists = self.broadcasts.values().flat_map(Broadcast::lists).collect();
                    self.let_all_go(lists, Refused::Leaving);
                    self.chatting.readers.let_everybody_go();
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
        let found = match Place::parse(request.path) {
            Some(place) if place.what.is_chat() => self.chat(now, waiter, request, form, place),
            Some(place) => self.find(now, waiter, request, form, place).map(|reply| match reply {
                Some(reply) => Answer::Now(reply),
                None => Answer::Later,
            }),
            None => Err((Kind::Other, Refused::NotFound)),
        };
        match found {
            Ok(answer) => answer,
            Err((kind, refused)) => Answer::Never(self.fixed.refusal(refused).reply(form, kind, &self.date)),
        }
    }

    /// Replies of those whose wait is over.
    pub fn pull(&mut self) -> Option<(W, Reply<B>)> {
        loop {
            let released = self.released.front_mut()?;
            let Some(waiter) = released.waiters.next() else {
                self.released.pop_front();
                continue;
            };
            let reply = match &mut released.with {
                With::Page(kept) => {
                    let (status, bytes) = kept.answer(waiter.form, None, &self.date);
                    let keep_alive = waiter.form.keeps_alive();
                    Reply { status, kind: Kind::Media, bytes, more: Vec::new(), stored: None, keep_alive }
                }
                With::Refused(why) => self.fixed.refusal(*why).reply(waiter.form, Kind::Media, &self.date),
            };
            return Some((waiter.id, reply));
        }
    }

    /// When [`Delivery::tick`] wants to be called; may be early, never late.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline().into_iter().chain(self.chatting.deadline()).min()
    }

    /// Lets go everybody who waited three target durations (rule D05).
    pub fn tick(&mut self, now: Moment) {
        self.turn_to(now);
        let free = self.waiting.overdue(now.at);
        self.let_go(free, Refused::HeldTooLong);
        self.chatting.tick(now.at);
    }

    /// The viewer is gone; nothing will be handed out for it, also not what [`Delivery::pull`] has not handed out yet.
    pub fn forget(&mut self, waiter: W) {
        if self.chatting.forget(waiter) || self.waiting.forget(waiter) {
            return;
        }
        for released in &mut self.released {
            let mut others = std::mem::take(&mut released.waiters);
            if others.as_slice().iter().any(|it| it.id == waiter) {
                others = others.filter(|it| it.id != waiter).collect::<Vec<_>>().into_iter();
            }
            released.waiters = others;
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
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
        let of = known.add(rendition, &mut self.waiting);
        // Rule D10: who waits for more than there will ever be gets the end.
        let free = match has_ended {
            true => self.waiting.all(of.waiting),
            false => self.waiting.reached(of.waiting, last),
        };
        let mut kept = Kept::new(page);
        if !free.is_empty() {
            kept.stamp(&self.date);
            self.released.push_back(Released { with: With::Page(kept.clone()), waiters: free.into_iter() });
        }
        of.listing = Some(Listing { kept, last, has_ended });
    }

    fn move_on(&mut self) {
        self.has_moved = true;
        for of in self.broadcasts.values_mut().flat_map(|known| &mut known.renditions) {
            let Some(listing) = &mut of.listing else { continue };
            let free = self.waiting.all(of.waiting);
            if !free.is_empty() {
                listing.kept.stamp(&self.date);
                let with = With::Page(listing.kept.clone());
                self.released.push_back(Released { with, waiters: free.into_iter() });
            }
        }
    }

    fn let_all_go(&mut self, lists: Vec<ListId>, why: Refused) {
        for list in lists {
            let free = self.waiting.all(list);
            self.let_go(free, why);
        }
    }

    fn let_go(&mut self, free: Vec<Waiter<W>>, why: Refused) {
        if !free.is_empty() {
            self.released.push_back(Released { with: With::Refused(why), waiters: free.into_iter() });
        }
    }

    fn find(
        &mut self,
        now: Moment,
        id: W,
        request: &Request<'_>,
        form: Form,
        place: Place<'_>,
    ) -> Result<Option<Reply<B>>, (Kind, Refused)> {
        let unknown = (Kind::Other, Refused::NotFound);
        let known = self.broadcasts.get_mut(place.broadcast).ok_or(unknown)?;
        let kind = place.what.kind();
        let door = Door { access: known.access, hash: known.hash, edge: self.policy.edge };
        let book = Book { keys: self.keys.as_ref(), denials: &self.denials };
        admit(&mut self.tickets, book, door, place.token, now.unix_secs)
            .map_err(|refused| (kind, refused))?;
        let not_found = (kind, Refused::NotFound);
        if let What::Segment { rendition, sequence } = place.what {
            let of = known.place(rendition).map(|at| &known.renditions[at]).ok_or(not_found)?;
            let segment = of.segments.get(&sequence).ok_or(not_found)?;
            let reply = segment.reply(request, form, known.access, &self.policy.cors, &self.date);
            return reply.map(Some).map_err(|refused| (kind, refused));
        }
        if self.is_leaving {
            return Err((kind, Refused::Leaving));
        }
        if !known.is_fed {
            return Err((kind, Refused::NotFed));
        }
        let kept = match place.what {
            What::Multivariant => known.multivariant.as_mut().ok_or(not_found)?,
            What::Thumb => known.thumb.as_mut().ok_or(not_found)?,
            What::Segment { .. } | What::Chat | What::ChatHistory => return Err(not_found),
            What::Media { rendition } => {
                let at = known.place(rendition).ok_or(not_found)?;
                let of = &mut known.renditions[at];
                let listing = of.listing.as_mut().ok_or(not_found)?;
                // Rule D08: after the end directives mean nothing.
                if !listing.has_ended && !self.has_moved {
                    let bad = |_| (kind, Refused::BadDirective);
                    let reload = Reload::parse(request.query).map_err(bad)?;
                    if let Some(wanted) = reload.missing(listing.last).map_err(bad)? {
                        if self.waiting.len() >= self.policy.waiters {
                            return Err((kind, Refused::TooManyWait));
                        }
                        let until = now.at + known.hold;
                        self.waiting.hold(of.waiting, Waiter { id, wanted, form, until });
                        return Ok(None);
                    }
                }
                &mut listing.kept
            }
        };
        if request.if_match.is_some_and(|tags| !http::etag_is_among(tags, kept.etag(form))) {
            return Err((kind, Refused::OtherTag));
        }
        let (status, bytes) = kept.answer(form, request.if_none_match, &self.date);
        let keep_alive = form.keeps_alive();
        Ok(Some(Reply { status, kind, bytes, more: Vec::new(), stored: None, keep_alive }))
    }
}

impl<B> Broadcast<B> {
    fn new(name: &BroadcastId, access: Access, hold: Duration) -> Self {
        Self {
            access,
            hash: BroadcastHash::of(name),
            hold,
            is_fed: true,
            multivariant: None,
            thumb: None,
            renditions: Vec::new(),
        }
    }

    fn place(&self, rendition: &str) -> Option<usize> {
        self.renditions.iter().position(|of| of.id.as_str() == rendition)
    }

    /// That rendition, new if it was not there.
    fn add<W: Copy + Eq + Hash>(&mut self, id: RenditionId, waiting: &mut Waiting<W>) -> &mut Rendition<B> {
        let at = self.place(id.as_str()).unwrap_or_else(|| {
            let segments = FxHashMap::default();
            self.renditions.push(Rendition { id, listing: None, segments, waiting: waiting.open() });
            self.renditions.len() - 1
        });
        &mut self.renditions[at]
    }

    fn lists(&self) -> Vec<ListId> {
        self.renditions.iter().map(|of| of.waiting).collect()
    }
}

impl What<'_> {
    pub(crate) fn is_chat(self) -> bool {
        matches!(self, What::Chat | What::ChatHistory)
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            What::Chat | What::ChatHistory => Kind::Chat,
            What::Multivariant => Kind::Multivariant,
            What::Thumb => Kind::Thumb,
            What::Media { .. } => Kind::Media,
            What::Segment { .. } => Kind::Segment,
        }
    }
}
