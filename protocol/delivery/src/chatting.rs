//! Chat at this core: who may read, and with which head.
//!
//! Does not live here: who has read how far, and what goes out (`chat::Readers`).

use crate::delivery::Broadcast;
use crate::page::Form;
use crate::place::{Place, What};
use crate::refused::Refused;
use crate::tickets::{Book, Door, admit};
use crate::{Access, Answer, Delivery, Denials, Kind, Moment, Reply};
use bytes::Bytes;
use chat::{EventId, Joined, Readers, ReadersCounts, Told};
use http::{Connection, Cors, Head, Method, Request, Stamped, Status};
use media::BroadcastId;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::{Duration, Instant};
use ticket::BroadcastHash;

/// What this core knows of chat.
#[derive(Debug)]
pub(crate) struct Chatting<W> {
    pub(crate) readers: Readers<W>,
    /// Of rooms that the lobby has told of; a broadcast need not be on the air.
    access: FxHashMap<BroadcastId, Access>,
    /// Of those who read what is private: when their tickets are over.
    leave: Leave<W>,
    is_there: bool,
    /// What a stream of events begins with. No length: it ends with its connection.
    head: Stamped,
}

impl<W: Copy + Eq + Hash> Chatting<W> {
    pub(crate) fn new(cors: &Cors, readers: usize) -> Self {
        let head = Head::new(Status::OK)
            .cache_control("no-store")
            .field("Content-Type", "text/event-stream")
            // Asks nginx, where one stands between, to pass on what comes as it comes.
            .field("X-Accel-Buffering", "no")
            .field("Connection", "close")
            .cors(cors);
        Self {
            readers: Readers::new(readers),
            access: FxHashMap::default(),
            leave: Leave::default(),
            is_there: readers > 0,
            head: Stamped::new(head.alone()),
        }
    }

    pub(crate) fn push(&mut self, now: Moment, access: Access, told: &Told) {
        match told {
            Told::Room(name, _) if !self.access.contains_key(name) => {
                self.access.insert(name.clone(), access);
            }
            Told::Room(name, _) => self.is_open_to(name, access),
            Told::Run(run) => self.is_open_to(&run.room, access),
            Told::Closed(name) => drop(self.access.remove(name)),
        }
        self.readers.push(told, now.at);
    }

    /// Who may read a room from now on. Where that is fewer than before, who reads has to ask again.
    pub(crate) fn is_open_to(&mut self, name: &BroadcastId, access: Access) {
        if let Some(known) = self.access.get_mut(name) {
            let before = std::mem::replace(known, access);
            self.narrows(name, before, access);
        }
    }

    /// Somebody more is turned away: who reads his room, which may be himself, has to ask again.
    pub(crate) fn denied(&mut self, before: &Denials, now: &Denials) {
        for (name, access) in &self.access {
            if *access != Access::Public && now.adds_to(before, BroadcastHash::of(name)) {
                self.readers.let_go(name.as_str());
            }
        }
    }

    /// A reader is gone; false if he was none.
    pub(crate) fn forget(&mut self, reader: W) -> bool {
        self.leave.forget(reader);
        self.readers.forget(reader)
    }

    /// Time passes: who has read as long as his ticket lasts is let go.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some(reader) = self.leave.over(now) {
            self.readers.let_one_go(reader);
        }
        self.readers.tick(now);
    }

    /// When [`Chatting::tick`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.readers.deadline().into_iter().chain(self.leave.first()).min()
    }

    /// Who may read a room changes so.
    pub(crate) fn narrows(&mut self, name: &BroadcastId, before: Access, access: Access) {
        if before == Access::Public && access != Access::Public {
            self.readers.let_go(name.as_str());
        }
    }
}

/// Who has to go when; nobody twice, and nobody who has gone.
#[derive(Debug)]
struct Leave<W> {
    by_time: BTreeMap<Instant, Vec<W>>,
    of: FxHashMap<W, Instant>,
}

impl<W> Default for Leave<W> {
    fn default() -> Self {
        Self { by_time: BTreeMap::new(), of: FxHashMap::default() }
    }
}

impl<W: Copy + Eq + Hash> Leave<W> {
    fn add(&mut self, reader: W, at: Instant) {
        self.by_time.entry(at).or_default().push(reader);
        self.of.insert(reader, at);
    }

    fn forget(&mut self, reader: W) {
        let Some(at) = self.of.remove(&reader) else { return };
        if let Some(all) = self.by_time.get_mut(&at) {
            all.retain(|other| *other != reader);
            if all.is_empty() {
                self.by_time.remove(&at);
            }
        }
    }

    fn over(&mut self, now: Instant) -> Option<W> {
        let first = self.by_time.first_entry().filter(|first| *first.key() <= now)?;
        let reader = first.get().last().copied()?;
        self.forget(reader);
        Some(reader)
    }

    fn first(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|(at, _)| *at)
    }
}

impl<B: Clone, W: Copy + Eq + Hash> Delivery<B, W> {
    /// What readers of chat are sent, and to whom; `None` for the bytes: he is let go when everything has left. Call it
    /// until `None` after [`Delivery::push`] and [`Delivery::tick`].
    pub fn pull_chat(&mut self) -> Option<(W, Option<Bytes>)> {
        self.chatting.readers.pull()
    }

    /// What readers of chat amount to.
    pub fn chat_counts(&self) -> ReadersCounts {
        self.chatting.readers.counts()
    }

    pub(crate) fn chat(
        &mut self,
        now: Moment,
        reader: W,
        request: &Request<'_>,
        form: Form,
        place: Place<'_>,
    ) -> Result<Answer<B>, (Kind, Refused)> {
        let not_found = (Kind::Chat, Refused::NotFound);
        if !self.chatting.is_there {
            return Err(not_found);
        }
        let name = BroadcastId::parse(place.broadcast).map_err(|_| not_found)?;
        let on_air = self.broadcasts.get(&name).map(|known: &Broadcast<B>| known.access);
        let access = on_air.or_else(|| self.chatting.access.get(&name).copied()).ok_or(not_found)?;
        let door = Door { access, hash: BroadcastHash::of(&name), edge: self.policy.edge };
        let book = Book { keys: self.keys.as_ref(), denials: &self.denials };
        let until = admit(&mut self.tickets, book, door, place.token, now.unix_secs)
            .map_err(|refused| (Kind::Chat, refused))?;
        if self.is_leaving {
            return Err((Kind::Chat, Refused::Leaving));
        }
        let mut reply = Reply {
            status: Status::OK,
            kind: Kind::Chat,
            bytes: Bytes::new(),
            more: Vec::new(),
            stored: None,
            keep_alive: true,
        };
        if place.what == What::ChatHistory {
            let history = self.chatting.readers.history(name.as_str()).ok_or(not_found)?;
            let head = Head::new(Status::OK)
                .cache_control("no-cache")
                .content("application/json", history.len() as u64)
                .field("X-Content-Type-Options", "nosniff")
                .cors(&self.policy.cors);
            reply.bytes = head.alone().dated(&self.date, form.connection, true);
            reply.keep_alive = form.keeps_alive();
            if !form.is_head {
                reply.more.push(history);
            }
            return Ok(Answer::Now(reply));
        }
        let head = |stamped: &mut Stamped| stamped.at(&self.date, Connection::Implied, true);
        if request.method == Method::Head {
            reply.bytes = head(&mut self.chatting.head);
            reply.keep_alive = false;
            return Ok(Answer::Now(reply));
        }
        // A page that goes to another edge cannot set the field: it says the same in its query.
        let after = request.last_event_id.or_else(|| request.query.value("after")).and_then(EventId::parse);
        match self.chatting.readers.join(reader, &name, after, now.at) {
            Joined::Full => Err((Kind::Chat, Refused::TooManyRead)),
            Joined::Reads(first) => {
                if let Some(until) = until {
                    // A second more: whoever it is is let in for all of the last one.
                    let left = Duration::from_secs(until.saturating_sub(now.unix_secs) + 1);
                    self.chatting.leave.add(reader, now.at + left);
                }
                reply.bytes = head(&mut self.chatting.head);
                reply.more = first;
                Ok(Answer::GoesOn(reply))
            }
        }
    }
}
