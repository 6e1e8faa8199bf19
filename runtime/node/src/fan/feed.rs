//! The ingest's door to the fan-out: objects as they are made, through a bounded queue.
//!
//! Lives here: what crosses from the line's thread to the publisher's. Does not live here: what becomes of it
//! (`publisher`).

use bytes::Bytes;
use edgefan::Lane;
use media::{BroadcastId, DiscontinuitySequence, MediaTime, ObjectKey, RunId, SegmentFacts, StreamFacts};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Bytes of media waiting for the publisher's thread. At the bound [`Feed::bytes`] waits [`PATIENCE`], then the
/// object becomes a gap.
const WAITING_BYTES: usize = 64 << 20;

/// Things of any size waiting for the publisher's thread. At the bound as with [`WAITING_BYTES`]; what is not
/// media (a few per segment) is taken up to twice that, then it waits.
const WAITING_THINGS: usize = 16_384;

/// How long the line may be held up by one call.
const PATIENCE: Duration = Duration::from_millis(20);

/// One thing the line said.
#[derive(Debug)]
pub(super) enum Fed {
    Stream(StreamFacts),
    Open(ObjectKey, MediaTime, DiscontinuitySequence),
    Bytes(ObjectKey, Bytes),
    Close(ObjectKey, SegmentFacts, Instant),
    Skip(ObjectKey, SegmentFacts),
    End(BroadcastId, RunId),
    Lane(Lane),
}

/// Puts objects into the publisher; clone it and send it anywhere. Objects of one key come from one thread.
#[derive(Clone, Debug)]
pub struct Feed {
    queue: Arc<Queue>,
}

/// What lies between the line's thread and the publisher's.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    has_room: Condvar,
    has_something: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    things: VecDeque<Fed>,
    bytes: usize,
    /// Objects that lost bytes for want of room; their CLOSE becomes a SKIP.
    broken: HashSet<ObjectKey>,
    is_over: bool,
}

impl Feed {
    pub(super) fn new() -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        (Self { queue: queue.clone() }, queue)
    }

    /// What a broadcast is; say it before its first object and whenever it changes.
    pub fn stream(&self, facts: StreamFacts) {
        self.queue.put(Fed::Stream(facts));
    }

    /// An object begins. A number skipped since the rendition's last object is announced as a gap.
    pub fn open(&self, key: ObjectKey, start: MediaTime, discontinuity: DiscontinuitySequence) {
        self.queue.put(Fed::Open(key, start, discontinuity));
    }

    /// More bytes of an open object; they leave for the edges at once.
    pub fn bytes(&self, key: ObjectKey, bytes: Bytes) {
        self.queue.put_bytes(key, bytes);
    }

    /// An object is complete. Its size and hash are the publisher's business: `facts.bytes` is not read.
    pub fn close(&self, key: ObjectKey, facts: SegmentFacts) {
        self.close_made(key, facts, Instant::now());
    }

    /// The same of an object that is passed on, and was complete where it was made at that time.
    pub fn close_made(&self, key: ObjectKey, facts: SegmentFacts, made: Instant) {
        self.queue.put(Fed::Close(key, facts, made));
    }

    /// An object will not come, whether it was opened or not: a gap.
    pub fn skip(&self, key: ObjectKey, facts: SegmentFacts) {
        self.queue.put(Fed::Skip(key, facts));
    }

    /// From which segment on the broadcast is made under which term; say it before the first of them.
    pub fn lane(&self, lane: Lane) {
        self.queue.put(Fed::Lane(lane));
    }

    /// A run is over. Its objects stay for the window.
    pub fn end(&self, broadcast: BroadcastId, run: RunId) {
        self.queue.put(Fed::End(broadcast, run));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change below is whole before anything could panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, fed: Fed) {
        let waiting = self.lock();
        let is_full = |waiting: &mut Waiting| waiting.things.len() >= 2 * WAITING_THINGS && !waiting.is_over;
        let mut waiting = self.has_room.wait_while(waiting, is_full).unwrap_or_else(PoisonError::into_inner);
        let fed = match fed {
            Fed::Close(key, mut facts, _) if waiting.broken.remove(&key) => {
                facts.is_gap = true;
                Fed::Skip(key, facts)
            }
            Fed::Skip(key, facts) => {
                waiting.broken.remove(&key);
                Fed::Skip(key, facts)
            }
            fed => fed,
        };
        if !waiting.is_over {
            waiting.things.push_back(fed);
        }
        drop(waiting);
        self.has_something.notify_one();
    }

    fn put_bytes(&self, key: ObjectKey, bytes: Bytes) {
        let waiting = self.lock();
        if waiting.broken.contains(&key) {
            return;
        }
        let len = bytes.len();
        let is_full = |waiting: &mut Waiting| {
            let is_over_bytes = waiting.bytes > 0 && waiting.bytes + len > WAITING_BYTES;
            (is_over_bytes || waiting.things.len() >= WAITING_THINGS) && !waiting.is_over
        };
        let (mut waiting, waited) = self
            .has_room
            .wait_timeout_while(waiting, PATIENCE, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.is_over {
            return;
        }
        if waited.timed_out() {
            tracing::warn!(%key, "the publisher is too slow: the object becomes a gap");
            waiting.broken.insert(key);
            return;
        }
        waiting.bytes += len;
        waiting.things.push_back(Fed::Bytes(key, bytes));
        drop(waiting);
        self.has_something.notify_one();
    }

    /// Up to `at_most` things; waits until there is one.
    pub(super) async fn take(&self, at_most: usize) -> Vec<Fed> {
        loop {
            let notified = self.has_something.notified();
            let taken = self.take_now(at_most);
            if !taken.is_empty() {
                return taken;
            }
            notified.await;
        }
    }

    fn take_now(&self, at_most: usize) -> Vec<Fed> {
        let mut waiting = self.lock();
        let count = waiting.things.len().min(at_most);
        let taken: Vec<Fed> = waiting.things.drain(..count).collect();
        for fed in &taken {
            if let Fed::Bytes(_, bytes) = fed {
                waiting.bytes -= bytes.len();
            }
        }
        drop(waiting);
        if !taken.is_empty() {
            self.has_room.notify_all();
        }
        taken
    }

    /// The publisher has ended: nobody waits for it any more.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_over = true;
        waiting.things.clear();
        waiting.bytes = 0;
        drop(waiting);
        self.has_room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{MediaSequence, MediaSpan, ObjectKind, RenditionId};

    fn key(sequence: u64) -> ObjectKey {
        ObjectKey {
            broadcast: BroadcastId::parse("b").unwrap(),
            run: RunId(1),
            rendition: RenditionId::parse("r").unwrap(),
            sequence: MediaSequence(sequence),
            part: None,
            kind: ObjectKind::Segment,
        }
    }

    fn facts(sequence: u64) -> SegmentFacts {
        SegmentFacts {
            sequence: MediaSequence(sequence),
            run: RunId(1),
            start: MediaTime::from_ticks(0),
            duration: MediaSpan::from_secs(2),
            discontinuity: DiscontinuitySequence(0),
            bytes: 0,
            is_gap: false,
        }
    }

    #[test]
    fn an_object_that_found_no_room_becomes_a_gap_and_the_next_does_not() {
        let (feed, queue) = Feed::new();
        let half = Bytes::from(vec![0; WAITING_BYTES / 2]);
        feed.bytes(key(1), half.clone());
        feed.bytes(key(1), half.clone());
        // Full: this object waits its 20 ms and is given up, all of it.
        feed.bytes(key(2), half.clone());
        feed.bytes(key(2), half.clone());
        feed.close(key(1), facts(1));
        feed.close(key(2), facts(2));
        let taken = queue.take_now(100);
        assert!(matches!(
            &taken[..],
            [Fed::Bytes(..), Fed::Bytes(..), Fed::Close(whole, ..), Fed::Skip(gap, facts)]
                if *whole == key(1) && *gap == key(2) && facts.is_gap
        ));
        // Nothing is held against the key afterwards.
        feed.bytes(key(2), half);
        assert!(matches!(&queue.take_now(100)[..], [Fed::Bytes(..)]));
    }

    #[test]
    fn nobody_waits_for_a_publisher_that_has_ended() {
        let (feed, queue) = Feed::new();
        queue.close();
        for sequence in 0..3 * WAITING_THINGS as u64 {
            feed.close(key(sequence), facts(sequence));
        }
        assert!(queue.take_now(1).is_empty());
    }
}
