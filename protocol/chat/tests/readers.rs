//! Readers between edges: whatever the lobby's batches, the links' speeds and the readers' moves, each sees every entry once
//! and in order, and what it cannot be given is told by its numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

use chat::limits::RING;
use chat::{
    Author, Badge, Entry, EventId, Follower, Joined, LinkId, LogId, Readers, Sequence, Source, Told, What,
    Word,
};
use media::BroadcastId;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn room() -> BroadcastId {
    BroadcastId::parse("tide").unwrap()
}

fn said(n: u64) -> Entry {
    let by = Author { id: "7".into(), name: "Ana".into(), badge: Badge::Viewer };
    Entry { sequence: Sequence(n), at_ms: n, what: What::Said { by, text: format!("t{n}\n\n") } }
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing; tests only add to it")]
fn epoch() -> Instant {
    Instant::now()
}

/// An edge: what its link has brought, and who reads.
struct Edge {
    follower: Follower,
    readers: Readers<usize>,
    /// Payloads that are on their way.
    way: Vec<bytes::Bytes>,
}

/// A reader's page: what it was shown.
#[derive(Default)]
struct Page {
    at: Option<usize>,
    last: Option<EventId>,
    unread: String,
    seen: Vec<u64>,
    lost: Vec<(u64, u64)>,
}

impl Page {
    /// Reads events as a browser does.
    fn hears(&mut self, bytes: &[u8]) {
        self.unread.push_str(std::str::from_utf8(bytes).unwrap());
        while let Some(end) = self.unread.find("\n\n") {
            let event: String = self.unread.drain(..end + 2).collect();
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let Some(id) = field("id: ") {
                self.last = Some(EventId::parse(&id).expect("an id"));
            }
            let Some(data) = field("data: ") else { continue };
            let data: serde_json::Value = serde_json::from_str(&data).unwrap();
            match field("event: ").as_deref() {
                Some("message" | "gone" | "slow") => self.seen.push(data["n"].as_u64().unwrap()),
                Some("lost") => {
                    self.lost.push((data["from"].as_u64().unwrap(), data["to"].as_u64().unwrap()))
                }
                Some("room") => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Every number up to `newest` once and in order, seen or told lost.
    fn check(&self, newest: u64) {
        let mut all: BTreeMap<u64, u64> = self.seen.iter().map(|&n| (n, n)).collect();
        assert_eq!(all.len(), self.seen.len(), "one was seen twice: {:?}", self.seen);
        assert!(self.seen.is_sorted(), "out of order: {:?}", self.seen);
        for &(from, to) in &self.lost {
            assert!(all.insert(from, to).is_none(), "{from} is lost and seen");
        }
        let Some((&first, _)) = all.first_key_value() else { return };
        let mut wanted = first;
        for (from, to) in all {
            assert_eq!(from, wanted, "a hole, or twice");
            wanted = to + 1;
        }
        assert_eq!(wanted, newest + 1, "not up to the end");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So many entries are posted.
    Post(u64),
    /// So many milliseconds pass.
    Pass(u64),
    /// An edge's link brings so many payloads.
    Carry(usize, usize),
    /// An edge's link ends, and what was on its way with it; it is linked again at once.
    Relink(usize),
    /// A reader goes to an edge, from wherever it is.
    Go(usize, usize),
    /// A reader leaves.
    Leave(usize),
    /// An entry is taken back.
    TakeBack(u64),
}

const EDGES: usize = 3;
const PAGES: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..30).prop_map(Step::Post),
        1 => (100u64..350).prop_map(Step::Post),
        6 => (1u64..400).prop_map(Step::Pass),
        8 => (0..EDGES, 1usize..5).prop_map(|(edge, n)| Step::Carry(edge, n)),
        1 => (0..EDGES).prop_map(Step::Relink),
        6 => (0..PAGES, 0..EDGES).prop_map(|(page, edge)| Step::Go(page, edge)),
        1 => (0..PAGES).prop_map(Step::Leave),
        1 => (1u64..40).prop_map(Step::TakeBack),
    ];
    prop::collection::vec(step, 1..120)
}

struct Stage {
    source: Source,
    edges: Vec<Edge>,
    links: Vec<LinkId>,
    pages: Vec<Page>,
    now: Instant,
    posted: u64,
    linked: u64,
}

impl Stage {
    fn new() -> Self {
        let mut source = Source::new();
        source.open(&room(), LogId(0xabc), 0, Sequence(1), Vec::new());
        let edge = |_| Edge { follower: Follower::new(), readers: Readers::new(100), way: Vec::new() };
        let mut stage = Self {
            source,
            edges: (0..EDGES).map(edge).collect(),
            links: vec![LinkId(0); EDGES],
            pages: (0..PAGES).map(|_| Page::default()).collect(),
            now: epoch(),
            posted: 0,
            linked: 0,
        };
        (0..EDGES).for_each(|edge| stage.relink(edge));
        stage
    }

    fn relink(&mut self, edge: usize) {
        self.source.left(self.links[edge]);
        self.edges[edge].way.clear();
        self.linked += 1;
        self.links[edge] = LinkId(self.linked);
        assert!(self.source.joined(self.links[edge]));
        self.source.heard(self.links[edge], self.edges[edge].follower.have());
    }

    fn post(&mut self, entry: impl FnOnce(u64) -> Entry) {
        self.posted += 1;
        self.source.push(&room(), entry(self.posted), Some(self.now)).unwrap();
    }

    /// The link brings so many payloads.
    fn carry(&mut self, edge: usize, count: usize) {
        for _ in 0..count {
            let Some(payload) = self.source.pull(self.links[edge]) else { return };
            let of = &mut self.edges[edge];
            of.follower.push(Word::decode(&payload).unwrap());
            while let Some(told) = of.follower.pull() {
                of.readers.push(&told, self.now);
                while let Some((page, bytes)) = of.readers.pull() {
                    self.pages[page].hears(&bytes.expect("nobody is let go here"));
                }
            }
        }
    }

    fn leave(&mut self, page: usize) {
        if let Some(edge) = self.pages[page].at.take() {
            assert!(self.edges[edge].readers.forget(page));
        }
    }

    fn go(&mut self, page: usize, edge: usize) {
        self.leave(page);
        // What was heard in halves is lost with the connection.
        self.pages[page].unread.clear();
        let after = self.pages[page].last;
        let joined = self.edges[edge].readers.join(page, &room(), after, self.now);
        let Joined::Reads(first) = joined else { panic!("there is room") };
        self.pages[page].at = Some(edge);
        first.iter().for_each(|bytes| self.pages[page].hears(bytes));
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::Post(count) => (0..count).for_each(|_| self.post(said)),
                Step::Pass(ms) => {
                    self.now += Duration::from_millis(ms);
                    self.source.tick(self.now);
                }
                Step::Carry(edge, count) => self.carry(edge, count),
                Step::Relink(edge) => self.relink(edge),
                Step::Go(page, edge) => self.go(page, edge),
                Step::Leave(page) => self.leave(page),
                Step::TakeBack(of) => {
                    self.post(|n| Entry { what: What::Gone { of: Sequence(of) }, ..said(n) });
                }
            }
        }
        self.now += Duration::from_secs(1);
        self.source.tick(self.now);
        (0..EDGES).for_each(|edge| self.carry(edge, usize::MAX));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_entry_once_and_in_order_wherever_one_reads(steps in steps()) {
        let mut stage = Stage::new();
        stage.run(&steps);
        let posted = stage.posted;
        for page in stage.pages.iter().filter(|page| page.at.is_some()) {
            page.check(posted);
        }
        for edge in &stage.edges {
            prop_assert!(edge.readers.counts().readers <= PAGES as u64);
        }
    }
}

#[test]
fn a_reader_that_outruns_an_edge_waits_there_for_its_place() {
    let mut stage = Stage::new();
    stage.run(&[Step::Post(5)]);
    stage.go(0, 0);
    (0..5).for_each(|_| stage.post(said));
    stage.now += Duration::from_secs(1);
    stage.source.tick(stage.now);
    stage.carry(0, 9);
    assert_eq!(stage.pages[0].seen, (1..=10).collect::<Vec<_>>());
    stage.go(0, 1);
    assert_eq!(stage.pages[0].seen.len(), 10, "edge 1 has five of them, and they are known");
    (0..2).for_each(|_| stage.post(said));
    stage.now += Duration::from_secs(1);
    stage.source.tick(stage.now);
    stage.carry(1, 9);
    assert_eq!(stage.pages[0].seen, (1..=12).collect::<Vec<_>>());
    assert!(stage.pages[0].lost.is_empty());
}

#[test]
fn who_was_away_for_longer_than_the_ring_is_told_what_is_lost() {
    let mut stage = Stage::new();
    stage.run(&[Step::Post(3), Step::Carry(0, 9), Step::Go(0, 0), Step::Leave(0)]);
    stage.go(0, 0);
    stage.leave(0);
    stage.run(&[Step::Post(RING as u64 + 7)]);
    stage.go(0, 0);
    assert_eq!(stage.pages[0].lost, [(4, 10)]);
    stage.pages[0].check(stage.posted);
}

#[test]
fn what_was_taken_back_is_shown_to_nobody_who_comes_later() {
    let mut stage = Stage::new();
    stage.run(&[Step::Post(3), Step::TakeBack(2)]);
    let readers = &mut stage.edges[0].readers;
    let history = String::from_utf8(readers.history("tide").unwrap().to_vec()).unwrap();
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    let shown: Vec<u64> =
        history["messages"].as_array().unwrap().iter().map(|it| it["n"].as_u64().unwrap()).collect();
    assert_eq!((shown, history["next"].as_u64(), history["first"].as_u64()), (vec![1, 3], Some(5), Some(1)));
    let Joined::Reads(first) = readers.join(9, &room(), None, stage.now) else { panic!() };
    let text = first.concat();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(!text.contains("t2") && text.contains("id: abc.2\nevent: gone\n"), "{text}");
    assert_eq!(readers.history("nowhere"), None);
}

#[test]
fn rooms_are_silent_for_15_s_at_most_and_readers_are_as_many_as_may_be() {
    let mut readers: Readers<usize> = Readers::new(2);
    let start = epoch();
    // Of a room that no lobby has told of nothing is known: readers wait.
    assert!(matches!(readers.join(1, &room(), None, start), Joined::Reads(_)));
    assert!(matches!(readers.join(2, &room(), EventId::parse("abc.3"), start), Joined::Reads(_)));
    assert_eq!(readers.join(3, &room(), None, start), Joined::Full);
    assert_eq!(readers.deadline(), Some(start + Duration::from_secs(15)));
    readers.tick(start + Duration::from_secs(14));
    assert_eq!(readers.pull(), None);
    readers.tick(start + Duration::from_secs(15));
    let mut spoken: Vec<_> = std::iter::from_fn(|| readers.pull()).collect();
    spoken.sort_by_key(|(reader, _)| *reader);
    let nothing = Some(bytes::Bytes::from_static(b":\n\n"));
    assert_eq!(spoken, [(1, nothing.clone()), (2, nothing)]);
    let facts = chat::RoomFacts { log: LogId(0xabc), next: Sequence(1), slow: 0 };
    readers.push(&Told::Room(room(), facts), start);
    let told: Vec<_> = std::iter::from_fn(|| readers.pull()).map(|(reader, _)| reader).collect();
    assert_eq!(told, [1, 2], "what the room is, and no more: 1 has everything there is, 2 is ahead");
    readers.push(&Told::Closed(room()), start);
    let over: Vec<_> = std::iter::from_fn(|| readers.pull()).collect();
    assert_eq!(over, [(1, None), (2, None)]);
    readers.tick(start + Duration::from_secs(60));
    assert!(readers.is_empty() && readers.pull().is_none() && readers.deadline().is_none());
}
