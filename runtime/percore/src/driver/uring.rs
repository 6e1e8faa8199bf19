//! The driver on io_uring: everything that can be asked once is asked once.
//!
//! A connection costs one multishot receive in its life, and from the first time its socket is full one multishot
//! poll. Its socket is closed when no request names it any more: there is no future to drop and no buffer that the
//! kernel could still write to.
//!
//! Lives here: which requests are in flight for which connection. Does not live here: the ring itself (`queue`), the
//! memory it fills (`buffers`) and sends from (`sends`), where the unsafe code is, or accepting (`listeners`).

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Detached, Driver, Event, Farewell, How, Inbound, Reading, Sending, close, send_now};
use crate::rows::Rows;
use crate::service::{Body, ConnectionId};
use crate::start::Orders;

mod buffers;
mod listeners;
mod queue;
mod sends;
#[cfg(test)]
mod tests;

use buffers::Buffers;
use listeners::Listeners;
use queue::{Completion, Queue};
use sends::Sends;

pub(crate) const NAME: &str = "io_uring";

pub(crate) struct Uring {
    queue: Queue,
    buffers: ManuallyDrop<Buffers>,
    sends: ManuallyDrop<Sends>,
    slots: Rows<Option<Slot>>,
    listeners: Listeners,
    orders: Option<Arc<Orders>>,
    /// Connections whose cancel has not found everything: it is said again with the next wait. Not at once: only in a
    /// wait does the kernel work out what was cancelled, and with more connections than the ring has places, saying it
    /// again would never come to an end.
    to_cancel: Vec<ConnectionId>,
    no_buffers: u64,
}

/// What a request is for; the top byte of its key. Below it 24 bits of generation, and an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Receive = 1,
    Poll,
    Send,
    /// A cancel that belongs to a connection.
    Cancel,
    Accept,
    Bell,
    /// Not a request of ours: another thread's message.
    Message,
    /// A cancel that belongs to nobody.
    Sweep,
}

const GENERATION_BITS: u32 = 24;

fn key(kind: Kind, id: ConnectionId) -> u64 {
    let generation = u64::from(id.generation) & ((1 << GENERATION_BITS) - 1);
    (kind as u64) << 56 | generation << 32 | u64::from(id.index)
}

fn other_key(kind: Kind, index: u32) -> u64 {
    (kind as u64) << 56 | u64::from(index)
}

#[derive(Debug)]
struct Slot {
    id: ConnectionId,
    socket: OwnedFd,
    /// Requests that name the socket and will have another completion.
    in_flight: u16,
    receiving: Receiving,
    wants_input: bool,
    /// It has sent more than was consumed before. A multishot receive hands over 64 KB before we can stop it, so this
    /// one is asked for one buffer at a time from then on.
    is_careful: bool,
    /// With one receive at a time, the next one is prepared before the last one is told, and submitted after it was
    /// dealt with.
    reading: Reading,
    is_polling: bool,
    leaving: Option<Farewell>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Off,
    On,
    Stopping,
}

/// Whether everything this driver needs works here: a ring, a ring of buffers, and a multishot receive.
pub(crate) fn probe() -> io::Result<()> {
    // On a thread of its own, since a ring of this kind belongs to the thread that made it.
    let probe = std::thread::spawn(|| {
        let mut driver = Uring::new()?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let id = ConnectionId { index: 0, generation: 0 };
        driver.attach(id, ours.into(), Reading::Ahead)?;
        io::Write::write_all(&mut &theirs, b"?")?;
        driver.wait(Some(Duration::from_secs(1)))?;
        let works =
            matches!(driver.next(), Some(Event::Received { inbound, .. }) if driver.bytes(&inbound) == b"?");
        driver.detach(id, Farewell::Close);
        let refused =
            || io::Error::new(io::ErrorKind::Unsupported, "no multishot receive (Linux 6.0 has it)");
        works.then_some(()).ok_or_else(refused)
    });
    probe.join().unwrap_or_else(|_| Err(io::Error::other("the probe panicked")))
}

impl Uring {
    pub(crate) fn new() -> io::Result<Self> {
        Self::with(queue::SUBMISSIONS, buffers::COUNT)
    }

    fn with(submissions: u32, buffers: u16) -> io::Result<Self> {
        let queue = Queue::new(submissions)?;
        let mut buffers = Buffers::new(buffers)?;
        // SAFETY: `drop` waits until no request is left, or leaks the buffers.
        unsafe { buffers.register(&queue.submitter())? };
        Ok(Self {
            queue,
            buffers: ManuallyDrop::new(buffers),
            sends: ManuallyDrop::default(),
            slots: Rows::default(),
            listeners: Listeners::default(),
            orders: None,
            to_cancel: Vec::new(),
            no_buffers: 0,
        })
    }

    fn slot_mut(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index())?.as_mut().filter(|slot| slot.id == id)
    }

    /// The slot a completion is for. The kernel has 24 bits of its generation; a slot is not reused while it has
    /// anything in flight, so they are a check and not a necessity.
    fn slot_of(&mut self, key: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key as u32 as usize)?.as_mut()?;
        let generation = (key >> 32) as u32 & ((1 << GENERATION_BITS) - 1);
        (slot.id.generation & ((1 << GENERATION_BITS) - 1) == generation).then_some(slot)
    }

    fn receive(queue: &mut Queue, slot: &mut Slot) {
        let key = key(Kind::Receive, slot.id);
        if slot.is_careful || slot.reading == Reading::Singly {
            queue.receive_once(slot.socket.as_fd(), key);
        } else {
            queue.receive(slot.socket.as_fd(), key);
        }
        slot.receiving = Receiving::On;
        slot.in_flight += 1;
    }

    fn received(&mut self, done: Completion) -> Option<Event> {
        let inbound = done
            .buffer
            .map(|buffer| Inbound { buffer, len: done.result.as_ref().copied().unwrap_or_default() });
        let Some(slot) = self.slot_of(done.key) else {
            debug_assert!(false, "a receive outlived its slot");
            inbound.into_iter().for_each(|it| self.buffers.give_back(it));
            return None;
        };
        let id = slot.id;
        if !done.has_more {
            slot.in_flight -= 1;
            slot.receiving = Receiving::Off;
        }
        if slot.leaving.is_some() {
            inbound.into_iter().for_each(|it| self.buffers.give_back(it));
            return self.let_go(id);
        }
        let event = match (done.errno(), inbound) {
            (None, Some(inbound)) if inbound.len > 0 => Some(Event::Received { id, inbound }),
            (None, inbound) => {
                slot.wants_input = false;
                inbound.into_iter().for_each(|it| self.buffers.give_back(it));
                Some(Event::Ended(id))
            }
            (Some(libc::ENOBUFS), _) => {
                self.no_buffers += 1;
                None
            }
            (Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN), _) => None,
            (Some(_), _) => {
                slot.wants_input = false;
                Some(Event::Failed(id))
            }
        };
        let Self { queue, slots, .. } = self;
        if let Some(slot) = slots.get_mut(id.index()).and_then(Option::as_mut)
            && slot.wants_input
            && slot.receiving == Receiving::Off
        {
            Self::receive(queue, slot);
        }
        event
    }

    fn polled(&mut self, done: &Completion) -> Option<Event> {
        let slot = self.slot_of(done.key)?;
        if !done.has_more {
            slot.in_flight -= 1;
            slot.is_polling = false;
        }
        let id = slot.id;
        if slot.leaving.is_some() { self.let_go(id) } else { Some(Event::Writable(id)) }
    }

    fn sent(&mut self, done: Completion) -> Option<Event> {
        let place = done.key as u32;
        let (id, is_zero_copy) = self.sends.at(place)?;
        if !done.has_more {
            self.sends.end(place);
        }
        if done.is_notice {
            return done.was_copied().then_some(Event::Copied);
        }
        let slot = self.slot_mut(id)?;
        slot.in_flight -= 1;
        if slot.leaving.is_some() {
            return self.let_go(id);
        }
        Some(Event::Sent { id, result: done.result.map(|n| n as usize), is_zero_copy })
    }

    /// A cancel is done, which does not mean that it has found what it was to cancel: a receive that waits for another
    /// go of its own cannot be found.
    fn cancelled(&mut self, done: &Completion) -> Option<Event> {
        let slot = self.slot_of(done.key)?;
        slot.in_flight -= 1;
        let id = slot.id;
        if slot.leaving.is_some() {
            return self.let_go(id).or_else(|| {
                self.to_cancel.push(id);
                None
            });
        }
        if slot.receiving == Receiving::Stopping && !slot.wants_input {
            slot.receiving = Receiving::On;
            self.pause(id);
        }
        None
    }

    fn cancel_all_of(&mut self, id: ConnectionId) {
        let Self { queue, slots, .. } = self;
        if let Some(slot) = slots.get_mut(id.index()).and_then(Option::as_mut).filter(|slot| slot.id == id) {
            slot.in_flight += 1;
            queue.cancel_all_of(slot.socket.as_fd(), key(Kind::Cancel, id));
        }
    }

    /// Closes the socket if no request names it any more.
    fn let_go(&mut self, id: ConnectionId) -> Option<Event> {
        let slot = self.slots.get_mut(id.index())?;
        let slot = slot.take_if(|it| it.id == id && it.in_flight == 0)?;
        close(slot.socket, slot.leaving.unwrap_or(Farewell::Close));
        Some(Event::Detached(id))
    }

    fn rung(&mut self, done: &Completion) -> Option<Event> {
        if !done.has_more
            && done.errno() != Some(libc::ECANCELED)
            && let Some(orders) = &self.orders
        {
            self.queue.poll(orders.bell.as_fd(), libc::POLLIN, other_key(Kind::Bell, 0));
        }
        Some(Event::Rung)
    }
}

impl Driver for Uring {
    fn listen_to(&mut self, orders: Arc<Orders>) -> io::Result<()> {
        self.queue.poll(orders.bell.as_fd(), libc::POLLIN, other_key(Kind::Bell, 0));
        orders.bell.use_ring(self.queue.as_fd(), other_key(Kind::Message, 0))?;
        self.orders = Some(orders);
        Ok(())
    }

    fn listen(&mut self, listener: usize, socket: OwnedFd) -> io::Result<()> {
        debug_assert_eq!(listener, self.listeners.len(), "listeners come in order");
        self.listeners.add(&mut self.queue, socket);
        Ok(())
    }

    fn stop_listening(&mut self) {
        self.listeners.stop(&mut self.queue);
    }

    fn is_listening(&self) -> bool {
        self.listeners.is_open()
    }

    fn resume_listening(&mut self) {
        self.listeners.resume(&mut self.queue);
    }

    fn attach(&mut self, id: ConnectionId, socket: OwnedFd, reading: Reading) -> io::Result<()> {
        let mut slot = Slot {
            id,
            socket,
            in_flight: 0,
            receiving: Receiving::Off,
            wants_input: true,
            is_careful: false,
            reading,
            is_polling: false,
            leaving: None,
        };
        Self::receive(&mut self.queue, &mut slot);
        let place = self.slots.reach(id.index());
        debug_assert!(place.is_none(), "a slot is given away once");
        *place = Some(slot);
        Ok(())
    }

    fn read_ahead(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slot_mut(id) {
            slot.reading = Reading::Ahead;
        }
    }

    fn socket(&self, id: ConnectionId) -> Option<BorrowedFd<'_>> {
        let slot = self.slots.get(id.index())?.as_ref()?;
        (slot.id == id).then(|| slot.socket.as_fd())
    }

    fn pause(&mut self, id: ConnectionId) {
        let Self { queue, slots, .. } = self;
        let Some(slot) = slots.get_mut(id.index()).and_then(Option::as_mut) else { return };
        slot.wants_input = false;
        slot.is_careful = true;
        if slot.id == id && slot.receiving == Receiving::On {
            slot.receiving = Receiving::Stopping;
            slot.in_flight += 1;
            queue.cancel(key(Kind::Receive, id), key(Kind::Cancel, id));
        }
    }

    fn resume(&mut self, id: ConnectionId) {
        let Self { queue, slots, .. } = self;
        let Some(slot) = slots.get_mut(id.index()).and_then(Option::as_mut) else { return };
        slot.wants_input = true;
        if slot.id == id && slot.receiving == Receiving::Off {
            Self::receive(queue, slot);
        }
    }

    fn await_writable(&mut self, id: ConnectionId) {
        let Self { queue, slots, .. } = self;
        let Some(slot) = slots.get_mut(id.index()).and_then(Option::as_mut) else { return };
        if slot.id == id && !slot.is_polling {
            slot.is_polling = true;
            slot.in_flight += 1;
            queue.poll(slot.socket.as_fd(), libc::POLLOUT, key(Kind::Poll, id));
        }
    }

    fn send(&mut self, id: ConnectionId, body: &Body, how: How) -> Sending {
        let Self { queue, slots, sends, .. } = self;
        let slot = slots.get_mut(id.index()).and_then(Option::as_mut).filter(|slot| slot.id == id);
        let Some(slot) = slot else { return Sending::Done(Err(io::ErrorKind::NotConnected.into())) };
        if how == How::Now {
            return Sending::Done(send_now(slot.socket.as_fd(), body, true));
        }
        let is_zero_copy = how == How::ZeroCopy;
        let send_key = |place| other_key(Kind::Send, place);
        match sends.begin(queue, slot.socket.as_fd(), id, body, is_zero_copy, send_key) {
            Ok(()) => {
                slot.in_flight += 1;
                Sending::Later
            }
            Err(error) => Sending::Done(Err(error)),
        }
    }

    fn detach(&mut self, id: ConnectionId, farewell: Farewell) -> Detached {
        let Some(slot) = self.slot_mut(id) else { return Detached::Now };
        slot.leaving = Some(farewell);
        slot.wants_input = false;
        if self.let_go(id).is_some() {
            return Detached::Now;
        }
        self.cancel_all_of(id);
        Detached::Later
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        for id in std::mem::take(&mut self.to_cancel) {
            self.cancel_all_of(id);
        }
        self.queue.wait(timeout)
    }

    fn next(&mut self) -> Option<Event> {
        while let Some(done) = self.queue.next() {
            let event = match (done.key >> 56) as u8 {
                it if it == Kind::Receive as u8 => self.received(done),
                it if it == Kind::Poll as u8 => self.polled(&done),
                it if it == Kind::Send as u8 => self.sent(done),
                it if it == Kind::Accept as u8 => self.listeners.accepted(&mut self.queue, done),
                it if it == Kind::Bell as u8 => self.rung(&done),
                it if it == Kind::Message as u8 => Some(Event::Rung),
                it if it == Kind::Cancel as u8 => self.cancelled(&done),
                it if it == Kind::Sweep as u8 => {
                    self.listeners.stop_again(&mut self.queue, done.key as u32);
                    None
                }
                _ => None,
            };
            if event.is_some() {
                return event;
            }
        }
        self.listeners.accept_the_last()
    }

    fn bytes(&self, inbound: &Inbound) -> &[u8] {
        self.buffers.bytes(inbound)
    }

    fn give_back(&mut self, inbound: Inbound) {
        self.buffers.give_back(inbound);
    }

    fn shortages(&self) -> (u64, u64) {
        (self.no_buffers, self.queue.overflows())
    }
}

/// How long `drop` waits for the last requests to be cancelled.
const SWEEP_MAX: Duration = Duration::from_secs(1);

impl Drop for Uring {
    fn drop(&mut self) {
        let until = Instant::now() + SWEEP_MAX;
        self.queue.cancel_everything(other_key(Kind::Sweep, 0));
        while self.queue.in_flight() > 0 && Instant::now() < until {
            if self.queue.wait(Some(Duration::from_millis(10))).is_err() {
                break;
            }
            while let Some(done) = self.queue.next() {
                if done.key >> 56 == Kind::Accept as u64 {
                    // SAFETY: only requests of kind `Accept` have such keys.
                    drop(unsafe { done.into_socket() });
                }
            }
        }
        if self.queue.in_flight() > 0 {
            // A zero-copy send whose peer does not answer. The memory stays where it is for the kernel's sake.
            tracing::debug!(
                left = self.queue.in_flight(),
                "requests outlive their ring; their memory is leaked"
            );
            return;
        }
        // SAFETY: neither is used again, and no request is left that names their memory.
        unsafe {
            ManuallyDrop::drop(&mut self.buffers);
            ManuallyDrop::drop(&mut self.sends);
        }
    }
}
