//! An edge that feeds other edges: what comes in at its subscriber's side goes out at its publisher's, byte by byte.
//!
//! ```text
//! Subscriber ── forwards: copies as they come ──┐
//!            ── events: complete, gap, ended ───┴─▶ Relay ── relayed ──▶ Publisher
//! ```
//!
//! Lives here: which copy's bytes are passed on before anybody has checked them, what makes them good in the end, and
//! when a broadcast is announced at all. Does not live here: either of the two rooms, or who may feed whom
//! ([`crate::Layer`]).
//!
//! - Bytes leave as they come, from whichever copy is ahead. At CLOSE the relay's own subscriber has checked size and hash;
//!   bytes that went out and are not those of the object are taken back (ABORT, and a new OPEN), as the publisher does
//!   with any object that is said again and is another.
//! - A broadcast is announced when all of its window is here: whoever was told "that is all" too early would make gaps
//!   of what is on its way.
//! - Terms are passed on before what is made under them (which is the best of what several sources say, the subscriber
//!   knows).
//! - Gaps are told by those who know; a number that is left out is only late.

use crate::limits::{BROADCASTS, HUB_BYTES};
use crate::subscriber::Forward;
use crate::{Event, Lane, SourceId};
use bytes::Bytes;
use media::{BroadcastId, DiscontinuitySequence, MediaTime, ObjectKey, RunId, SegmentFacts, StreamFacts};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long after a broadcast's newest segments are here the rest of its window may take before it is announced without.
const BACKFILL: Duration = Duration::from_secs(2);

/// What the publisher is to be told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// [`crate::Publisher::stream`].
    Stream(StreamFacts),
    /// [`crate::Publisher::lane`].
    Lane(Lane),
    /// [`crate::Publisher::open`].
    Open(ObjectKey, MediaTime, DiscontinuitySequence),
    /// [`crate::Publisher::bytes`].
    Bytes(ObjectKey, Bytes),
    /// [`crate::Publisher::close`]; when it was made, if that is known.
    Close(ObjectKey, SegmentFacts, Option<Instant>),
    /// [`crate::Publisher::skip`].
    Skip(ObjectKey, SegmentFacts),
    /// [`crate::Publisher::end`].
    End(BroadcastId, RunId),
}

/// The way from one side to the other.
#[derive(Debug, Default)]
pub struct Relay {
    broadcasts: BTreeMap<BroadcastId, Stage>,
    making: BTreeMap<ObjectKey, Making>,
    held_bytes: usize,
    /// What was told last of when something was made.
    made: Option<(ObjectKey, Instant)>,
    out: VecDeque<Relayed>,
}

/// Where a broadcast stands.
#[derive(Debug)]
enum Stage {
    /// Its window is on its way; what is here of it waits.
    Filling { facts: StreamFacts, until: Option<Instant>, held: BTreeMap<ObjectKey, Held> },
    /// Edges know of it.
    Announced { has_ended: bool },
}

#[derive(Debug)]
enum Held {
    Whole(SegmentFacts, Bytes),
    Gap(SegmentFacts),
}

/// An object of which bytes have gone out.
#[derive(Debug)]
struct Making {
    source: SourceId,
    sent: u32,
    /// They are of more than one copy: nobody has checked whether together they are the object.
    is_mixed: bool,
}

impl Relay {
    /// With nothing to relay yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy comes in.
    pub fn forward(&mut self, forward: Forward) {
        match forward {
            // The publisher keeps it, whether edges know of the broadcast yet or not.
            Forward::Lane(lane) => self.out.push_back(Relayed::Lane(lane)),
            Forward::Open { key, start, discontinuity, source } => {
                if !matches!(self.broadcasts.get(&key.broadcast), Some(Stage::Announced { .. })) {
                    return;
                }
                if let Some(making) = self.making.get_mut(&key) {
                    // A copy that begins again may be another.
                    making.is_mixed |= making.source == source;
                    return;
                }
                self.making.insert(key.clone(), Making { source, sent: 0, is_mixed: false });
                self.out.push_back(Relayed::Open(key, start, discontinuity));
            }
            Forward::Bytes { key, offset, mut bytes, source } => {
                let Some(making) = self.making.get_mut(&key) else { return };
                let end = u64::from(offset) + bytes.len() as u64;
                if offset > making.sent || end <= u64::from(making.sent) {
                    return;
                }
                making.is_mixed |= making.source != source;
                let bytes = bytes.split_off((making.sent - offset) as usize);
                making.sent = end as u32;
                self.out.push_back(Relayed::Bytes(key, bytes));
            }
        }
    }

    /// The subscriber tells its edge something; forwards before it have been handed in.
    pub fn push(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Stream(facts) => self.stream(facts),
            Event::Complete { key, facts, body, source, .. } => self.complete(key, facts, body, *source),
            Event::Skipped { key, facts } => match self.broadcasts.get_mut(&key.broadcast) {
                Some(Stage::Filling { held, .. }) => drop(held.insert(key.clone(), Held::Gap(facts.clone()))),
                Some(Stage::Announced { .. }) => {
                    self.making.remove(key);
                    self.out.push_back(Relayed::Skip(key.clone(), facts.clone()));
                }
                None => {}
            },
            Event::Ready { broadcast } => {
                if let Some(Stage::Filling { until, .. }) = self.broadcasts.get_mut(broadcast) {
                    until.get_or_insert(now + BACKFILL);
                }
            }
            Event::CaughtUp { broadcast } => self.announce(broadcast),
            Event::Ended { broadcast, run } => {
                self.announce(broadcast);
                if let Some(Stage::Announced { has_ended }) = self.broadcasts.get_mut(broadcast) {
                    *has_ended = true;
                    self.making.retain(|key, _| key.broadcast != *broadcast || key.run > *run);
                    self.out.push_back(Relayed::End(broadcast.clone(), *run));
                }
            }
            Event::Made { key, made } => self.made = Some((key.clone(), *made)),
            Event::Differs { .. }
            | Event::Quarantined { .. }
            | Event::LinkUp { .. }
            | Event::LinkDown { .. } => {}
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let is_due =
            |stage: &Stage| matches!(stage, Stage::Filling { until: Some(until), .. } if *until <= now);
        let due: Vec<BroadcastId> =
            self.broadcasts.iter().filter(|(_, stage)| is_due(stage)).map(|(id, _)| id.clone()).collect();
        due.iter().for_each(|broadcast| self.announce(broadcast));
    }

    /// What the publisher is to be told next.
    pub fn pull(&mut self) -> Option<Relayed> {
        self.out.pop_front()
    }

    fn stream(&mut self, facts: &StreamFacts) {
        match self.broadcasts.get_mut(&facts.broadcast) {
            Some(Stage::Filling { facts: known, .. }) => *known = facts.clone(),
            Some(Stage::Announced { has_ended }) => {
                *has_ended = false;
                self.out.push_back(Relayed::Stream(facts.clone()));
            }
            None => {
                if self.broadcasts.len() >= BROADCASTS {
                    let is_over = |stage: &Stage| matches!(stage, Stage::Announced { has_ended: true });
                    let over =
                        self.broadcasts.iter().find(|(_, stage)| is_over(stage)).map(|(id, _)| id.clone());
                    let Some(over) = over else { return };
                    self.broadcasts.remove(&over);
                }
                let stage = Stage::Filling { facts: facts.clone(), until: None, held: BTreeMap::new() };
                self.broadcasts.insert(facts.broadcast.clone(), stage);
            }
        }
    }

    fn complete(&mut self, key: &ObjectKey, facts: &SegmentFacts, body: &Bytes, source: SourceId) {
        match self.broadcasts.get_mut(&key.broadcast) {
            Some(Stage::Filling { held, .. }) => {
                self.held_bytes += body.len();
                held.insert(key.clone(), Held::Whole(facts.clone(), body.clone()));
                // Rather without the rest of the window than with memory nobody foresaw.
                if self.held_bytes > HUB_BYTES {
                    self.announce(&key.broadcast);
                }
            }
            Some(Stage::Announced { .. }) => {
                let making = self.making.remove(key);
                let is_out =
                    |it: &Making| !it.is_mixed && it.source == source && it.sent as usize == body.len();
                if !making.as_ref().is_some_and(is_out) {
                    self.whole(key, facts, body);
                }
                // Told right before; of a copy that waited for a better one it is not known any more.
                let made = self.made.take().filter(|(of, _)| of == key).map(|(_, made)| made);
                self.out.push_back(Relayed::Close(key.clone(), facts.clone(), made));
            }
            None => {}
        }
    }

    /// Says all of it: what has gone out already is compared, and taken back if it was wrong.
    fn whole(&mut self, key: &ObjectKey, facts: &SegmentFacts, body: &Bytes) {
        self.out.push_back(Relayed::Open(key.clone(), facts.start, facts.discontinuity));
        self.out.push_back(Relayed::Bytes(key.clone(), body.clone()));
    }

    /// Edges hear of the broadcast, and of all that is here of it, in order.
    fn announce(&mut self, broadcast: &BroadcastId) {
        let Some(stage @ Stage::Filling { .. }) = self.broadcasts.get_mut(broadcast) else { return };
        let announced = Stage::Announced { has_ended: false };
        let Stage::Filling { facts, held, .. } = std::mem::replace(stage, announced) else { return };
        self.out.push_back(Relayed::Stream(facts));
        for (key, held) in held {
            match held {
                Held::Whole(facts, body) => {
                    self.held_bytes -= body.len();
                    self.whole(&key, &facts, &body);
                    self.out.push_back(Relayed::Close(key, facts, None));
                }
                Held::Gap(facts) => self.out.push_back(Relayed::Skip(key, facts)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{ContentHash, MediaSequence, MediaSpan, ObjectKind, RenditionId};

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
        let segment = MediaSpan::from_secs(2);
        SegmentFacts {
            sequence: MediaSequence(sequence),
            run: RunId(1),
            start: MediaTime::default() + segment * sequence,
            duration: segment,
            discontinuity: DiscontinuitySequence(0),
            bytes: 0,
            is_gap: false,
        }
    }

    /// What goes out, in short: `stream`, `o5` OPEN of number 5, `b5=abc` its bytes, `c5` CLOSE, `s5` SKIP, `end`.
    struct Story {
        relay: Relay,
        now: Instant,
    }

    impl Story {
        fn new() -> Self {
            let mut story = Self { relay: Relay::new(), now: crate::epoch() };
            story.hears(&Event::Stream(StreamFacts {
                broadcast: key(0).broadcast,
                run: RunId(1),
                segment: MediaSpan::from_secs(2),
                window: 6,
                renditions: Vec::new(),
                has_ended: false,
            }));
            story
        }

        fn announced() -> Self {
            let mut story = Self::new();
            story.hears(&Event::CaughtUp { broadcast: key(0).broadcast });
            assert_eq!(story.says(), "stream");
            story
        }

        fn hears(&mut self, event: &Event) {
            self.relay.push(event, self.now);
        }

        fn opens(&mut self, sequence: u64, source: u32) {
            let (start, discontinuity) = (facts(sequence).start, DiscontinuitySequence(0));
            self.relay.forward(Forward::Open {
                key: key(sequence),
                start,
                discontinuity,
                source: SourceId(source),
            });
        }

        fn comes(&mut self, sequence: u64, source: u32, offset: u32, bytes: &'static str) {
            let bytes = Bytes::from_static(bytes.as_bytes());
            self.relay.forward(Forward::Bytes {
                key: key(sequence),
                offset,
                bytes,
                source: SourceId(source),
            });
        }

        fn completes(&mut self, sequence: u64, source: u32, body: &'static str) {
            self.hears(&Event::Complete {
                key: key(sequence),
                facts: facts(sequence),
                body: Bytes::from_static(body.as_bytes()),
                hash: ContentHash([0; 32]),
                source: SourceId(source),
            });
        }

        fn says(&mut self) -> String {
            let word = |relayed| match relayed {
                Relayed::Stream(_) => "stream".to_owned(),
                Relayed::Lane(lane) => format!("t{}@{}", lane.term, lane.from),
                Relayed::Open(key, ..) => format!("o{}", key.sequence),
                Relayed::Bytes(key, bytes) => {
                    format!("b{}={}", key.sequence, String::from_utf8_lossy(&bytes))
                }
                Relayed::Close(key, ..) => format!("c{}", key.sequence),
                Relayed::Skip(key, _) => format!("s{}", key.sequence),
                Relayed::End(..) => "end".to_owned(),
            };
            std::iter::from_fn(|| self.relay.pull()).map(word).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn bytes_leave_as_they_come_and_are_closed_when_they_are_checked() {
        let mut story = Story::announced();
        story.opens(5, 0);
        story.comes(5, 0, 0, "ab");
        assert_eq!(story.says(), "o5 b5=ab");
        story.comes(5, 0, 2, "c");
        story.completes(5, 0, "abc");
        assert_eq!(story.says(), "b5=c c5");
        story.hears(&Event::Ended { broadcast: key(0).broadcast, run: RunId(1) });
        assert_eq!(story.says(), "end");
    }

    #[test]
    fn whichever_copy_is_ahead_leads_and_what_is_of_two_is_said_again_to_be_compared() {
        let mut story = Story::announced();
        story.opens(5, 0);
        story.opens(5, 1);
        story.comes(5, 1, 0, "ab");
        story.comes(5, 0, 0, "a");
        story.comes(5, 0, 1, "bcd");
        assert_eq!(story.says(), "o5 b5=ab b5=cd");
        story.completes(5, 0, "abcd");
        assert_eq!(story.says(), "o5 b5=abcd c5", "the publisher compares, and sends what is new");
    }

    #[test]
    fn a_copy_that_was_wrong_is_followed_by_the_right_one() {
        let mut story = Story::announced();
        story.opens(5, 0);
        story.comes(5, 0, 0, "xyz");
        assert_eq!(story.says(), "o5 b5=xyz");
        // It did not have its hash, and is fetched of the other.
        story.opens(5, 1);
        story.comes(5, 1, 0, "abc");
        story.completes(5, 1, "abc");
        assert_eq!(story.says(), "o5 b5=abc c5");
        story.opens(6, 0);
        story.hears(&Event::Skipped { key: key(6), facts: facts(6) });
        story.comes(6, 0, 0, "late");
        assert_eq!(story.says(), "o6 s6");
    }

    #[test]
    fn a_broadcast_is_announced_with_all_of_its_window_in_order() {
        let mut story = Story::new();
        story.opens(105, 0);
        story.comes(105, 0, 0, "li");
        for sequence in [103, 104, 102] {
            story.completes(sequence, 0, "x");
        }
        story.hears(&Event::Ready { broadcast: key(0).broadcast });
        story.hears(&Event::Skipped { key: key(101), facts: facts(101) });
        assert_eq!(story.says(), "");
        story.hears(&Event::CaughtUp { broadcast: key(0).broadcast });
        assert_eq!(story.says(), "stream s101 o102 b102=x c102 o103 b103=x c103 o104 b104=x c104");
        // What had begun before goes out when it is whole.
        story.comes(105, 0, 2, "ve");
        story.completes(105, 0, "live");
        assert_eq!(story.says(), "o105 b105=live c105");
        assert_eq!(story.relay.held_bytes, 0);
    }

    #[test]
    fn a_backfill_that_takes_long_does_not_keep_edges_waiting() {
        let mut story = Story::new();
        story.completes(103, 0, "x");
        story.hears(&Event::Ready { broadcast: key(0).broadcast });
        story.relay.tick(story.now + BACKFILL / 2);
        assert_eq!(story.says(), "");
        story.relay.tick(story.now + BACKFILL);
        assert_eq!(story.says(), "stream o103 b103=x c103");
    }
}
