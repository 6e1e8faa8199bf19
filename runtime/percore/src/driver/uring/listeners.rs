//! Accepting: one multishot request per listening socket.
//!
//! Lives here: arming it, and taking over what is queued when it ends. Does not live here: who may come in (`engine`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SocketFlags;

use super::queue::{Completion, Queue};
use super::{Kind, other_key};
use crate::driver::{Event, LAST_ACCEPTS_MAX};

/// The listening sockets of one core.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    socket: Option<OwnedFd>,
    is_accepting: bool,
    is_closing: bool,
    /// Taken over since it is closing.
    last: usize,
}

impl Listeners {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.all.iter().any(|it| it.socket.is_some())
    }

    pub(crate) fn add(&mut self, queue: &mut Queue, socket: OwnedFd) {
        self.all.push(Listener { socket: Some(socket), is_accepting: false, is_closing: false, last: 0 });
        self.resume(queue);
    }

    /// Accepts no more. What is queued already comes by [`Listeners::accept_the_last`].
    pub(crate) fn stop(&mut self, queue: &mut Queue) {
        for index in 0..self.all.len() {
            self.all[index].is_closing = true;
            self.stop_again(queue, index as u32);
        }
    }

    /// A cancel is done, which does not mean that it has found what it was to cancel: an accept that waits for another
    /// go of its own cannot be found. Each listener has one cancel under way and no more: were all of them cancelled
    /// whenever one is done, two listeners would double them each time.
    pub(crate) fn stop_again(&mut self, queue: &mut Queue, index: u32) {
        let is_left = |it: &Listener| it.is_accepting && it.is_closing;
        if self.all.get(index as usize).is_some_and(is_left) {
            queue.cancel(other_key(Kind::Accept, index), other_key(Kind::Sweep, index));
        }
    }

    /// Arms every listener that is not armed.
    pub(crate) fn resume(&mut self, queue: &mut Queue) {
        for (index, listener) in self.all.iter_mut().enumerate() {
            if let Some(socket) = &listener.socket
                && !listener.is_accepting
                && !listener.is_closing
            {
                queue.accept(socket.as_fd(), other_key(Kind::Accept, index as u32));
                listener.is_accepting = true;
            }
        }
    }

    pub(crate) fn accepted(&mut self, queue: &mut Queue, done: Completion) -> Option<Event> {
        let index = done.key as u32 as usize;
        let listener = self.all.get_mut(index)?;
        listener.is_accepting = done.has_more;
        let errno = done.errno();
        // SAFETY: only requests of kind `Accept` have such keys.
        let event = match (errno, unsafe { done.into_socket() }) {
            (_, Ok(socket)) => Some(Event::Accepted { listener: index, socket }),
            (Some(libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EAGAIN), _) => None,
            // Out of descriptors or memory: armed again by `resume`, a little later.
            (_, Err(error)) => return Some(Event::AcceptFailed(error)),
        };
        self.resume(queue);
        event
    }

    /// Takes over what the kernel has queued on a listener that accepts no more, then closes it: closing it with its
    /// queue would reset them.
    pub(crate) fn accept_the_last(&mut self) -> Option<Event> {
        for (index, listener) in self.all.iter_mut().enumerate() {
            if !listener.is_closing || listener.is_accepting {
                continue;
            }
            let Some(socket) = &listener.socket else { continue };
            listener.last += 1;
            if listener.last > LAST_ACCEPTS_MAX {
                listener.socket = None;
                continue;
            }
            match rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => return Some(Event::Accepted { listener: index, socket }),
                Err(error) => {
                    listener.socket = None;
                    if error != rustix::io::Errno::AGAIN {
                        return Some(Event::AcceptFailed(io::Error::from(error)));
                    }
                }
            }
        }
        None
    }
}
