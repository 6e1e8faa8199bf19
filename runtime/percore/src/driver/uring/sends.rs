//! Bodies that the kernel is sending from memory: kept alive here until it has said that it needs them no more.
//!
//! Unsafe here: handing their addresses to the kernel. A zero-copy send may need its memory long after its connection
//! is gone (until the last packet is acknowledged or given up), so bodies live here, not in the connection.

use std::io;
use std::os::fd::BorrowedFd;

use super::queue::Queue;
use crate::driver::memory;
use crate::service::{Body, ConnectionId};

/// Places that are kept while nothing is being sent.
const KEPT: usize = 1024;

/// Bodies by the key of their request.
#[derive(Debug, Default)]
pub(crate) struct Sends {
    places: Vec<Option<Send>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Send {
    id: ConnectionId,
    /// Never touched again: only held.
    _body: Body,
    is_zero_copy: bool,
}

impl Sends {
    /// Begins to send `body`; `key` makes the request's key from the place here.
    pub(crate) fn begin(
        &mut self,
        queue: &mut Queue,
        socket: BorrowedFd<'_>,
        id: ConnectionId,
        body: &Body,
        is_zero_copy: bool,
        key: impl FnOnce(u32) -> u64,
    ) -> io::Result<()> {
        let bytes = memory(body)?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some(Send { id, _body: body.clone(), is_zero_copy });
        // SAFETY: a body's bytes are on the heap or in a mapping, shared by count and never written; our clone keeps
        // them until `end`, which is called for the last completion. If the ring is dropped before that, so are
        // they never (`Uring::drop` leaks them).
        unsafe { queue.send(socket, bytes, is_zero_copy, key(place)) };
        Ok(())
    }

    /// Whose send it is, and whether it is without a copy.
    pub(crate) fn at(&self, place: u32) -> Option<(ConnectionId, bool)> {
        let send = self.places.get(place as usize)?.as_ref()?;
        Some((send.id, send.is_zero_copy))
    }

    /// The request's last completion has come.
    pub(crate) fn end(&mut self, place: u32) {
        if self.places.get_mut(place as usize).is_some_and(|it| it.take().is_some()) {
            self.free.push(place);
            if self.free.len() == self.places.len() && self.places.len() > KEPT {
                // Ten thousand waiters were released at once; nobody needs their places until the next time.
                *self = Self::default();
            }
        }
    }
}
