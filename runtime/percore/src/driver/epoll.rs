//! The driver on epoll: where io_uring is refused (Docker's default seccomp profile since Engine 25) or too old.
//!
//! Lives here: readiness turned into the same events. Edge-triggered, both directions at once, so that a connection
//! costs one epoll_ctl in its life. Does not live here: anything unsafe.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event as Ready, EventData, EventFlags};
use rustix::net::{RecvFlags, SocketFlags};

use super::{
    Detached, Driver, Event, Farewell, How, Inbound, LAST_ACCEPTS_MAX, Reading, Sending, close, send_now,
};
use crate::rows::Rows;
use crate::service::{Body, ConnectionId};
use crate::start::Orders;

pub(crate) const NAME: &str = "epoll";

/// Events taken per wait.
const EVENTS_MAX: usize = 512;
/// Connections accepted per listener and wait, so that a storm of them does not starve those who are there.
const ACCEPTS_MAX: usize = 64;
/// Bytes read at a time. Larger than the ring's buffers, since there is only one of it.
const READ_MAX: usize = 16 * 1024;

/// Marks, in `EventData`, what is not a connection: generations are 32 bits and indices below 2^31.
const LISTENER: u64 = 1 << 63;
const BELL: u64 = LISTENER | (1 << 62);

pub(crate) struct Epoll {
    epoll: OwnedFd,
    ready: Vec<Ready>,
    tasks: VecDeque<Task>,
    /// What asks for another turn comes after the next wait, so that what is new is not starved.
    later: VecDeque<Task>,
    is_closing: bool,
    slots: Rows<Option<Slot>>,
    listeners: Vec<Option<OwnedFd>>,
    orders: Option<Arc<Orders>>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    socket: OwnedFd,
    is_paused: bool,
    /// An edge came while we did not read.
    has_unread: bool,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Accept { listener: usize, left: usize },
    Read(ConnectionId),
    Write(ConnectionId),
    Rung,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            ready: Vec::with_capacity(EVENTS_MAX),
            tasks: VecDeque::new(),
            later: VecDeque::new(),
            is_closing: false,
            slots: Rows::default(),
            listeners: Vec::new(),
            orders: None,
            buffer: vec![0; READ_MAX],
        })
    }

    fn slot(&self, id: ConnectionId) -> Option<&Slot> {
        self.slots.get(id.index())?.as_ref().filter(|slot| slot.generation == id.generation)
    }

    fn slot_mut(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index())?.as_mut().filter(|slot| slot.generation == id.generation)
    }

    fn accept(&mut self, listener: usize, left: usize) -> Option<Event> {
        let socket = self.listeners.get(listener)?.as_ref()?;
        match rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => {
                if left > 1 {
                    self.tasks.push_front(Task::Accept { listener, left: left - 1 });
                } else if self.is_closing {
                    self.listeners[listener] = None;
                }
                Some(Event::Accepted { listener, socket })
            }
            Err(rustix::io::Errno::AGAIN) => {
                if self.is_closing {
                    self.listeners[listener] = None;
                }
                None
            }
            // The connection died in the queue (accept(2) asks to treat these like EAGAIN).
            Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => {
                self.later.push_back(Task::Accept { listener, left });
                None
            }
            Err(error) if self.is_closing => {
                self.listeners[listener] = None;
                Some(Event::AcceptFailed(error.into()))
            }
            Err(error) => {
                // Level-triggered: it would be said again at once and for ever, so we do not listen for a while.
                let _ = epoll::modify(
                    &self.epoll,
                    socket,
                    EventData::new_u64(LISTENER | listener as u64),
                    EventFlags::empty(),
                );
                Some(Event::AcceptFailed(error.into()))
            }
        }
    }

    fn read(&mut self, id: ConnectionId) -> Option<Event> {
        let Self { slots, buffer, later, .. } = self;
        let slot = slots.get_mut(id.index())?.as_mut().filter(|slot| slot.generation == id.generation)?;
        if slot.is_paused {
            slot.has_unread = true;
            return None;
        }
        match rustix::net::recv(&slot.socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => Some(Event::Ended(id)),
            Ok((n, _)) => {
                // Again until it would block: the edge is not said twice. Behind the others, so that all get a turn.
                later.push_back(Task::Read(id));
                Some(Event::Received { id, inbound: Inbound { buffer: 0, len: n as u32 } })
            }
            Err(rustix::io::Errno::AGAIN) => None,
            Err(rustix::io::Errno::INTR) => {
                later.push_back(Task::Read(id));
                None
            }
            Err(_) => Some(Event::Failed(id)),
        }
    }
}

impl Driver for Epoll {
    fn listen_to(&mut self, orders: Arc<Orders>) -> io::Result<()> {
        epoll::add(&self.epoll, &orders.bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        self.orders = Some(orders);
        Ok(())
    }

    fn listen(&mut self, listener: usize, socket: OwnedFd) -> io::Result<()> {
        let data = EventData::new_u64(LISTENER | listener as u64);
        epoll::add(&self.epoll, &socket, data, EventFlags::IN)?;
        self.listeners.resize_with(self.listeners.len().max(listener + 1), || None);
        self.listeners[listener] = Some(socket);
        Ok(())
    }

    fn stop_listening(&mut self) {
        self.is_closing = true;
        for listener in 0..self.listeners.len() {
            let Some(socket) = self.listeners[listener].as_ref() else { continue };
            let _ = epoll::delete(&self.epoll, socket);
            // Who is through the handshake is ours; closing the queue would reset them.
            self.later.push_back(Task::Accept { listener, left: LAST_ACCEPTS_MAX });
        }
    }

    fn is_listening(&self) -> bool {
        self.listeners.iter().any(Option::is_some)
    }

    fn resume_listening(&mut self) {
        for (listener, socket) in self.listeners.iter().enumerate() {
            let Some(socket) = socket else { continue };
            let data = EventData::new_u64(LISTENER | listener as u64);
            let _ = epoll::modify(&self.epoll, socket, data, EventFlags::IN);
        }
    }

    fn attach(&mut self, id: ConnectionId, socket: OwnedFd, _: Reading) -> io::Result<()> {
        let data = EventData::new_u64(u64::from(id.generation) | u64::from(id.index) << 32);
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, data, both)?;
        *self.slots.reach(id.index()) =
            Some(Slot { generation: id.generation, socket, is_paused: false, has_unread: false });
        Ok(())
    }

    fn read_ahead(&mut self, _: ConnectionId) {
        // Every read is a system call of its own, made when its event is asked for.
    }

    fn socket(&self, id: ConnectionId) -> Option<BorrowedFd<'_>> {
        Some(self.slot(id)?.socket.as_fd())
    }

    fn pause(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slot_mut(id) {
            slot.is_paused = true;
        }
    }

    fn resume(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slot_mut(id) {
            slot.is_paused = false;
            if std::mem::take(&mut slot.has_unread) {
                self.later.push_back(Task::Read(id));
            }
        }
    }

    fn await_writable(&mut self, _: ConnectionId) {
        // The socket refused just now, so the next edge is to come, and is always listened for.
    }

    fn send(&mut self, id: ConnectionId, body: &Body, how: How) -> Sending {
        let Some(slot) = self.slot(id) else { return Sending::Done(Err(io::ErrorKind::NotConnected.into())) };
        Sending::Done(send_now(slot.socket.as_fd(), body, how == How::Now))
    }

    fn detach(&mut self, id: ConnectionId, farewell: Farewell) -> Detached {
        if let Some(slot) =
            self.slots.get_mut(id.index()).and_then(|it| it.take_if(|it| it.generation == id.generation))
        {
            // Closing takes it out of the epoll, since nothing else holds the open file.
            close(slot.socket, farewell);
        }
        Detached::Now
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.later.is_empty() { timeout } else { Some(Duration::ZERO) };
        let timeout = timeout.map(|it| Timespec {
            tv_sec: i64::try_from(it.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(it.subsec_nanos()),
        });
        self.ready.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.tasks.append(&mut self.later);
        for ready in &self.ready {
            let (data, flags) = (ready.data.u64(), ready.flags);
            if data == BELL {
                self.tasks.push_back(Task::Rung);
            } else if data & LISTENER != 0 {
                let listener = (data & !LISTENER) as usize;
                self.tasks.push_back(Task::Accept { listener, left: ACCEPTS_MAX });
            } else {
                let id = ConnectionId { index: (data >> 32) as u32, generation: data as u32 };
                if flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
                    self.tasks.push_back(Task::Write(id));
                }
                if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::ERR | EventFlags::HUP) {
                    self.tasks.push_back(Task::Read(id));
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Event> {
        while let Some(task) = self.tasks.pop_front() {
            let event = match task {
                Task::Accept { listener, left } => self.accept(listener, left),
                Task::Read(id) => self.read(id),
                Task::Write(id) => self.slot(id).map(|_| Event::Writable(id)),
                Task::Rung => Some(Event::Rung),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn bytes(&self, inbound: &Inbound) -> &[u8] {
        &self.buffer[..inbound.len as usize]
    }

    fn give_back(&mut self, _: Inbound) {}
}
