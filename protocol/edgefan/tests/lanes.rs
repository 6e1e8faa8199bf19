//! Whose segments an edge takes: terms, second copies, quarantine; a subscriber with two sources played by hand.

#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a story must begin somewhere; only differences are looked at"
)]

use edgefan::*;
use media::*;
use std::time::{Duration, Instant};

const SEGMENT: MediaSpan = MediaSpan::from_secs(2);

struct Story {
    subscriber: Subscriber,
    now: Instant,
    next: u64,
}

fn key(sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: BroadcastId::parse("tide").unwrap(),
        run: RunId(1),
        rendition: RenditionId::parse("720p").unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

impl Story {
    /// An edge to which both ingests are linked, and have announced the broadcast.
    fn new() -> Self {
        let subscriber = Subscriber::new(SubscriberSettings::new(NodeId::parse("edge").unwrap()));
        let mut story = Self { subscriber, now: Instant::now(), next: 1 };
        (0..2).for_each(|id| story.link(id));
        story
    }

    fn link(&mut self, id: u32) {
        self.next += 1;
        self.subscriber.dialled(SourceId(id), self.next, self.now);
        for connection in 0..3 {
            let node = NodeId::parse(&format!("ingest{id}")).unwrap();
            let (layer, ingests) = (Layer::INGEST, Vec::new());
            let welcome = Welcome { node, role: Role::Ingest, version: String::new(), ingests, layer };
            self.say_on(id, connection, &Message::Welcome(welcome));
        }
        self.announce(id, 1);
    }

    fn announce(&mut self, id: u32, run: u64) {
        let facts = StreamFacts {
            broadcast: key(0).broadcast,
            run: RunId(run),
            segment: SEGMENT,
            window: 6,
            renditions: Vec::new(),
            has_ended: false,
        };
        self.say_on(id, 0, &Message::Stream(facts));
    }

    fn say_on(&mut self, id: u32, connection: usize, message: &Message) {
        self.subscriber.received(SourceId(id), connection, &message.encode(), self.now);
    }

    fn say(&mut self, id: u32, message: &Message) {
        self.say_on(id, 1, message);
    }

    fn lane(&mut self, id: u32, term: u64, from: u64, standing: LaneStanding) {
        let broadcast = key(0).broadcast;
        self.say(id, &Message::Lane(Lane { broadcast, term, from: MediaSequence(from), standing }));
    }

    fn lose(&mut self, id: u32) {
        self.subscriber.lost(SourceId(id), "killed", self.now);
    }

    /// That ingest sends a whole segment; what the edge has got by then, a word each.
    fn segment(&mut self, id: u32, sequence: u64, body: &'static str) -> String {
        let object = self.begins(id, sequence, body);
        self.say(
            id,
            &Message::Close(Close {
                object,
                start: Grid::new(SEGMENT).unwrap().start_of(MediaSequence(sequence)),
                duration: SEGMENT,
                discontinuity: DiscontinuitySequence(0),
                bytes: body.len() as u64,
                hash: ContentHash(*blake3::hash(body.as_bytes()).as_bytes()),
                is_withheld: false,
                made: 0,
            }),
        );
        self.got()
    }

    /// The beginning of a segment, and no more.
    fn begins(&mut self, id: u32, sequence: u64, body: &'static str) -> ObjectId {
        let object = ObjectId(self.next);
        self.next += 1;
        let start = Grid::new(SEGMENT).unwrap().start_of(MediaSequence(sequence));
        let discontinuity = DiscontinuitySequence(0);
        self.say(id, &Message::Open(Open { object, key: key(sequence), start, discontinuity, from: 0 }));
        self.say(id, &Message::Data { object, offset: 0, bytes: body.as_bytes().into() });
        object
    }

    fn got(&mut self) -> String {
        let mut words = Vec::new();
        while let Some(event) = self.subscriber.pull() {
            match event {
                Event::Complete { key, body, .. } => {
                    words.push(format!("{}={}", key.sequence, String::from_utf8_lossy(&body)));
                }
                Event::Skipped { key, .. } => words.push(format!("{} is a gap", key.sequence)),
                Event::Differs { key, .. } => words.push(format!("{} differs", key.sequence)),
                Event::Quarantined { source, .. } => words.push(format!("{} is in quarantine", source.0)),
                _ => {}
            }
        }
        words.join(", ")
    }
}

use LaneStanding::{Follows, Leads, Second};

#[test]
fn of_two_that_make_the_same_the_first_copy_counts() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Follows);
    assert_eq!(story.segment(1, 100, "a"), "100=a");
    assert_eq!(story.segment(0, 100, "a"), "");
    assert_eq!(story.subscriber.counters().agreed, 1);
}

#[test]
fn an_old_term_is_refused_from_the_number_on_that_the_new_one_begins_with() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Follows);
    // The leader hangs; the other leads from 102 on. Then the first one wakes and goes on as it was.
    story.lane(1, 2, 102, Leads);
    assert_eq!(story.segment(0, 101, "a"), "101=a", "before that number its word is as good as before");
    assert_eq!(story.segment(0, 102, "old"), "");
    assert_eq!(story.segment(0, 103, "old"), "");
    assert_eq!(story.segment(1, 102, "new"), "102=new");
    assert_eq!(story.subscriber.counters().refused, 2);
    // It has heard of the new term and makes the same from 104 on.
    story.lane(0, 2, 104, Follows);
    assert_eq!(story.segment(0, 104, "c"), "104=c");
}

#[test]
fn an_old_term_stays_refused_while_the_new_one_is_gone_for_a_moment_and_not_for_ever() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 2, 102, Leads);
    story.lose(1);
    assert_eq!(story.segment(0, 103, "old"), "");
    story.now += limits::REFUSED_FOR;
    assert_eq!(story.segment(0, 104, "old"), "104=old", "better than nothing");
}

#[test]
fn second_copies_fill_holes_and_nothing_else() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Second);
    assert_eq!(story.segment(1, 100, "second"), "");
    assert_eq!(story.segment(0, 100, "first"), "100=first", "and nobody is alarmed");
    assert_eq!(story.segment(0, 101, "first"), "101=first");
    assert_eq!(story.segment(1, 101, "second"), "");
    // The leader is lost while it makes 102: what the other has of it is taken at once.
    assert_eq!(story.segment(1, 102, "second"), "");
    story.lose(0);
    assert_eq!(story.got(), "102=second");
    assert_eq!(story.segment(1, 103, "second"), "103=second");
    assert_eq!(story.subscriber.counters().differed, 0);
}

#[test]
fn a_second_copy_is_taken_before_a_gap_is() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Second);
    assert_eq!(story.segment(1, 100, "second"), "");
    // The leader is there and never sends it.
    let mut got = String::new();
    for _ in 0..40 {
        story.now += Duration::from_millis(100);
        for id in 0..2 {
            (0..3).for_each(|connection| story.say_on(id, connection, &Message::Ping { stamp: 0 }));
        }
        story.subscriber.tick(story.now);
        got.push_str(&story.got());
    }
    assert_eq!(got, "100=second");
}

/// An ingest that hung follows its twin from the next number on that it would make; the twin had made that already, under
/// the term before.
#[test]
fn who_comes_to_follow_takes_nothing_back_that_the_leader_has_made() {
    let mut story = Story::new();
    story.lane(0, 1, 90, Leads);
    story.lane(1, 1, 90, Second);
    assert_eq!(story.segment(1, 100, "of the leader to be"), "");
    story.lane(1, 2, 101, Leads);
    story.lane(0, 2, 100, Follows);
    let mut got = String::new();
    for _ in 0..40 {
        story.now += Duration::from_millis(100);
        for id in 0..2 {
            (0..3).for_each(|connection| story.say_on(id, connection, &Message::Ping { stamp: 0 }));
        }
        story.subscriber.tick(story.now);
        got.push_str(&story.got());
    }
    assert_eq!(got, "100=of the leader to be");
}

/// An ingest that hung opens the next segment when it wakes, finds that its twin leads, and never closes it.
#[test]
fn a_second_copy_is_taken_where_the_better_one_was_begun_and_does_not_end() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Second);
    story.begins(0, 100, "begun");
    assert_eq!(story.segment(1, 100, "second"), "");
    let (mut got, mut after) = (String::new(), Duration::ZERO);
    while got.is_empty() && after < Duration::from_secs(4) {
        story.now += Duration::from_millis(100);
        after += Duration::from_millis(100);
        for id in 0..2 {
            (0..3).for_each(|connection| story.say_on(id, connection, &Message::Ping { stamp: 0 }));
        }
        story.subscriber.tick(story.now);
        got.push_str(&story.got());
    }
    assert_eq!(got, "100=second");
    assert!(after <= Duration::from_millis(1_100), "after {after:?} of a segment of {SEGMENT}");
}

/// The leader was killed; an edge's link to the one that leads now is cut and dialled anew in the middle of a segment. Its
/// terms are told again, oldest first: under the first of them it may not make that number, under the second it does.
#[test]
fn what_was_begun_is_not_given_up_between_two_terms_that_are_told_again() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Follows);
    story.lose(0);
    story.lane(1, 2, 102, Leads);
    story.begins(1, 102, "be");
    story.lose(1);
    story.link(1);
    story.lane(1, 1, 100, Follows);
    assert_eq!(story.got(), "", "it has not said all it will");
    story.lane(1, 2, 102, Leads);
    assert_eq!(story.segment(1, 102, "begun"), "102=begun");
    // And one that says no newer term than it did is waited for no longer than for anybody.
    story.begins(1, 103, "be");
    story.lose(1);
    story.link(1);
    story.lane(1, 1, 100, Follows);
    let (began, mut got) = (story.now, String::new());
    while got.is_empty() && story.now < began + Duration::from_secs(4) {
        story.now += Duration::from_millis(100);
        (0..3).for_each(|connection| story.say_on(1, connection, &Message::Ping { stamp: 0 }));
        story.subscriber.tick(story.now);
        got.push_str(&story.got());
    }
    assert_eq!(got, "103 is a gap");
    assert_eq!(story.now, began + Duration::from_secs(3), "one and a half segments");
}

#[test]
fn of_two_that_differ_the_younger_is_not_listened_to_until_another_term_or_run() {
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 102, Follows);
    assert_eq!(story.segment(1, 102, "b"), "102=b");
    assert_eq!(story.segment(0, 102, "a"), "102 differs, 1 is in quarantine", "whoever came first");
    assert_eq!(story.segment(1, 103, "b"), "");
    assert_eq!(story.segment(0, 103, "a"), "103=a");
    // Another term.
    story.lane(1, 2, 105, Leads);
    assert_eq!(story.segment(1, 105, "b"), "105=b");
    // And once more, until another run.
    let mut story = Story::new();
    story.lane(0, 1, 100, Leads);
    story.lane(1, 1, 100, Follows);
    story.segment(0, 100, "a");
    assert_eq!(story.segment(1, 100, "b"), "100 differs, 1 is in quarantine");
    story.announce(1, 2);
    assert_eq!(story.segment(1, 101, "b"), "101=b");
}

#[test]
fn without_a_lane_a_difference_is_an_alarm_and_no_more() {
    let mut story = Story::new();
    assert_eq!(story.segment(0, 100, "a"), "100=a");
    assert_eq!(story.segment(1, 100, "b"), "100 differs");
    assert_eq!(story.segment(1, 101, "b"), "101=b");
}

#[test]
fn what_is_missing_when_all_have_caught_up_may_be_on_its_way_and_is_a_gap_when_nobody_has_it() {
    let caught_up = |story: &mut Story| {
        for id in 0..2 {
            let (broadcast, reached) = (key(0).broadcast, Some(Reached::CaughtUp));
            let have = Have { broadcast, ranges: Vec::new(), partials: Vec::new(), is_whole: false, reached };
            story.say_on(id, 0, &Message::Have(have));
        }
        story.got()
    };
    // Of a burst the newest goes first, and "caught up" comes by another connection.
    let mut story = Story::new();
    assert_eq!(story.segment(0, 100, "a"), "100=a");
    assert_eq!(story.segment(0, 102, "c"), "102=c");
    assert_eq!(caught_up(&mut story), "");
    assert_eq!(story.subscriber.counters().fetches, 1, "one of them is asked");
    assert_eq!(story.segment(0, 101, "b"), "101=b");
    // And where both say that they do not hold it.
    let mut story = Story::new();
    story.segment(0, 100, "a");
    story.segment(0, 102, "c");
    assert_eq!(caught_up(&mut story), "");
    for id in 0..2 {
        let skip = Skip {
            key: key(101),
            start: MediaTime::default(),
            duration: MediaSpan::ZERO,
            discontinuity: DiscontinuitySequence(0),
            count: 1,
            reason: SkipReason::NotHeld,
        };
        story.say(id, &Message::Skip(skip));
    }
    assert_eq!(story.got(), "101 is a gap");
}
