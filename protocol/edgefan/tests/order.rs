//! What leaves a publisher first, last, and not at all; read off the wire of one link.

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

use bytes::Bytes;
use edgefan::*;
use media::*;
use std::collections::BTreeMap;
use std::time::Instant;

const SEGMENT: MediaSpan = MediaSpan::from_secs(2);

/// A publisher with one edge on it.
struct Story {
    publisher: Publisher,
    now: Instant,
    media: ConnectionId,
    reader: FrameReader,
    names: BTreeMap<u64, u64>,
}

fn key(sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: BroadcastId::parse("b").unwrap(),
        run: RunId(1),
        rendition: RenditionId::parse("720p").unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

fn facts(sequence: u64) -> SegmentFacts {
    SegmentFacts {
        sequence: MediaSequence(sequence),
        run: RunId(1),
        start: Grid::new(SEGMENT).unwrap().start_of(MediaSequence(sequence)),
        duration: SEGMENT,
        discontinuity: DiscontinuitySequence(0),
        bytes: 0,
        is_gap: false,
    }
}

impl Story {
    /// A broadcast whose playlist lists six.
    fn new() -> Self {
        let mut publisher = Publisher::new(PublisherSettings::new(NodeId::parse("i").unwrap()));
        publisher.stream(StreamFacts {
            broadcast: key(0).broadcast,
            run: RunId(1),
            segment: SEGMENT,
            window: 6,
            renditions: Vec::new(),
            has_ended: false,
        });
        let (media, reader) = (ConnectionId(1), FrameReader::new());
        Self { publisher, now: epoch(), media, reader, names: BTreeMap::new() }
    }

    fn open(&mut self, sequence: u64) {
        let facts = facts(sequence);
        self.publisher.open(&key(sequence), facts.start, facts.discontinuity);
    }

    fn bytes(&mut self, sequence: u64, bytes: &[u8]) {
        self.publisher.bytes(&key(sequence), Bytes::copy_from_slice(bytes));
    }

    fn close(&mut self, sequence: u64) {
        self.publisher.close(&key(sequence), &facts(sequence), self.now);
    }

    fn whole(&mut self, sequence: u64) {
        self.open(sequence);
        self.bytes(sequence, &[sequence as u8; 100]);
        self.close(sequence);
    }

    /// The edge comes, over one media connection, and says what it has.
    fn join(&mut self, ranges: Vec<HaveRange>) {
        for connection in 0..2 {
            let hello = Hello {
                node: NodeId::parse("e").unwrap(),
                role: Role::Edge,
                version: String::new(),
                link: 1,
                connection,
                media_connections: 1,
                edge: None,
                process: 1,
                layer: Layer::LAST,
            };
            let id = ConnectionId(u64::from(connection));
            self.publisher.accept(id, self.now);
            self.publisher.received(id, &Message::Hello(hello).encode(), self.now);
        }
        let broadcast = key(0).broadcast;
        let have = Have { broadcast, ranges, partials: Vec::new(), is_whole: true, reached: None };
        self.publisher.received(ConnectionId(0), &Message::Have(have).encode(), self.now);
    }

    /// The media connection takes about this much; in short: `o5` OPEN of number 5, `d5` its bytes, `c5` CLOSE,
    /// `a5` ABORT, `s5` SKIP, `ready`, `caught-up`, `end`.
    fn sent(&mut self, budget: usize) -> String {
        let mut out = Vec::new();
        self.publisher.transmit(self.media, budget, &mut out);
        self.reader.push(&out);
        let mut said: Vec<String> = Vec::new();
        while let Some(frame) = self.reader.pull().unwrap() {
            let name = |names: &BTreeMap<u64, u64>, object: ObjectId| names[&object.0];
            said.push(match Message::decode(frame).unwrap() {
                Message::Open(open) => {
                    self.names.insert(open.object.0, open.key.sequence.0);
                    format!("o{}", open.key.sequence)
                }
                Message::Data { object, .. } => format!("d{}", name(&self.names, object)),
                Message::Close(close) => format!("c{}", name(&self.names, close.object)),
                Message::Abort { object } => format!("a{}", name(&self.names, object)),
                Message::Skip(skip) => format!("s{}", skip.key.sequence),
                Message::Have(Have { reached: Some(Reached::Ready), .. }) => "ready".into(),
                Message::Have(Have { reached: Some(Reached::CaughtUp), .. }) => "caught-up".into(),
                Message::End { .. } => "end".into(),
                _ => continue,
            });
        }
        said.join(" ")
    }
}

#[test]
fn a_late_joiner_gets_what_is_being_made_then_three_then_the_rest_newest_first() {
    let mut story = Story::new();
    (1..=8).for_each(|sequence| story.whole(sequence));
    story.open(9);
    story.bytes(9, b"begun");
    story.join(Vec::new());
    assert_eq!(
        story.sent(1 << 20),
        "o9 d9 o6 d6 c6 o7 d7 c7 o8 d8 c8 ready \
         o5 d5 c5 o4 d4 c4 o3 d3 c3 o2 d2 c2 o1 d1 c1 caught-up"
    );
    // What comes meanwhile goes at once.
    story.bytes(9, b" and done");
    story.close(9);
    assert_eq!(story.sent(1 << 20), "d9 c9");
}

#[test]
fn nothing_is_backfilled_while_something_live_waits() {
    let mut story = Story::new();
    (1..=5).for_each(|sequence| story.whole(sequence));
    story.join(Vec::new());
    while !story.sent(1).ends_with("ready") {}
    story.open(6);
    story.bytes(6, b"live");
    assert_eq!(story.sent(1 << 20), "o6 d6 o2 d2 c2 o1 d1 c1 caught-up");
}

#[test]
fn an_edge_that_comes_back_is_sent_what_it_misses_and_nothing_else() {
    let mut story = Story::new();
    (1..=6).for_each(|sequence| story.whole(sequence));
    let has = [1, 2, 4, 6].map(MediaSequence).into_iter();
    let range = HaveRange::of(RunId(1), key(0).rendition, ObjectKind::Segment, has);
    story.join(range.into_iter().collect());
    assert_eq!(story.sent(1 << 20), "o5 d5 c5 ready o3 d3 c3 caught-up");
}

#[test]
fn an_edge_is_told_what_lies_between_its_newest_and_our_oldest() {
    let mut story = Story::new();
    (8..=9).for_each(|sequence| story.whole(sequence));
    let has = [3, 4].map(MediaSequence).into_iter();
    let range = HaveRange::of(RunId(1), key(0).rendition, ObjectKind::Segment, has);
    story.join(range.into_iter().collect());
    // One SKIP of three: 5, 6 and 7.
    assert_eq!(story.sent(1 << 20), "s5 o9 d9 c9 o8 d8 c8 ready caught-up");
}

#[test]
fn what_leaves_the_window_while_it_waits_is_a_skip_and_a_number_nobody_made_too() {
    let mut story = Story::new();
    story.join(Vec::new());
    assert_eq!(story.sent(1 << 20), "ready caught-up");
    story.open(1);
    story.bytes(1, &[1; 200_000]);
    assert_eq!(story.sent(1000), "o1 d1");
    // 2 is never opened; 7 pushes 1 out of the window of six.
    for sequence in [3, 4, 5, 6, 7] {
        story.whole(sequence);
    }
    assert_eq!(story.sent(1 << 20), "a1 s1 o7 d7 c7 s2 o3 d3 c3 o4 d4 c4 o5 d5 c5 o6 d6 c6");
    assert_eq!(story.publisher.counters().late, 1);
}

#[test]
fn an_end_waits_for_the_last_object() {
    let mut story = Story::new();
    story.join(Vec::new());
    story.whole(1);
    story.publisher.end(&key(0).broadcast, RunId(1), story.now);
    assert_eq!(story.sent(1 << 20), "ready caught-up o1 d1 c1 end");
}

#[test]
fn a_transcoder_that_repeats_itself_changes_nothing_and_one_that_does_not_begins_anew() {
    let mut story = Story::new();
    story.join(Vec::new());
    story.sent(1 << 20);
    story.open(1);
    story.bytes(1, b"the same");
    assert_eq!(story.sent(1 << 20), "o1 d1");
    // Killed and started again: the first bytes once more, in other pieces.
    story.open(1);
    story.bytes(1, b"the");
    assert_eq!(story.sent(1 << 20), "");
    story.bytes(1, b" same, and more");
    assert_eq!(story.sent(1 << 20), "d1");
    // Again, and this time otherwise.
    story.open(1);
    story.bytes(1, b"the sane");
    story.close(1);
    assert_eq!(story.sent(1 << 20), "a1 o1 d1 c1");
}

#[test]
fn a_link_with_four_fifths_of_the_rate_carries_most_segments_whole() {
    let mut story = Story::new();
    story.join(Vec::new());
    let mut whole = 0;
    for sequence in 1..=50 {
        story.open(sequence);
        for _ in 0..100 {
            story.bytes(sequence, &[0; 10_000]);
            let mut left = 8000;
            // A socket that takes 8000 bytes a step, whatever the size of frames.
            while left > 0 {
                let mut out = Vec::new();
                story.publisher.transmit(story.media, left.min(2000), &mut out);
                if out.is_empty() {
                    break;
                }
                left = left.saturating_sub(out.len());
                story.reader.push(&out);
                while let Some(frame) = story.reader.pull().unwrap() {
                    whole += usize::from(matches!(Message::decode(frame).unwrap(), Message::Close(_)));
                }
            }
        }
        story.close(sequence);
    }
    assert!(whole >= 33, "{whole} of 50 segments came whole");
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; tests only add to it")]
fn epoch() -> Instant {
    Instant::now()
}
