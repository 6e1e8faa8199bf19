//! Stories of one edge's line: events in, what one core then answers out.

use super::*;
use crate::privacy::Patience;
use bytes::Bytes;
use delivery::{Answer, Delivery, Moment, Policy, Stored};
use media::{
    AudioShape, BitRate, ContentHash, DiscontinuitySequence, MediaSequence, MediaTime, Rendition, RenditionId,
};

const PITCH: MediaSpan = MediaSpan::from_secs(2);
/// The number of the first segment of each story.
const FIRST: u64 = 850_000_000;

/// A line and one core that hears it. A body is its own bytes, head left out.
struct Edge {
    line: Line<Bytes>,
    core: Delivery<Bytes, u32>,
    now: Now,
    to_balancers: Vec<String>,
}

fn tide() -> BroadcastId {
    BroadcastId::parse("tide").unwrap()
}

fn facts(run: u64) -> StreamFacts {
    let rendition = Rendition {
        id: RenditionId::parse("audio").unwrap(),
        video: None,
        audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
        peak: BitRate(128_000),
        average: BitRate(120_000),
    };
    let (broadcast, run) = (tide(), RunId(run));
    StreamFacts { broadcast, run, segment: PITCH, window: 6, renditions: vec![rendition], has_ended: false }
}

fn key(run: u64, nth: u64) -> ObjectKey {
    ObjectKey {
        broadcast: tide(),
        run: RunId(run),
        rendition: RenditionId::parse("audio").unwrap(),
        sequence: MediaSequence(FIRST + nth),
        part: None,
        kind: ObjectKind::Segment,
    }
}

impl Edge {
    fn with(window_bytes: u64) -> Self {
        Self::beside(LobbyWord::None, window_bytes)
    }

    fn beside(lobby: LobbyWord, window_bytes: u64) -> Self {
        let cors = http::Cors::anybody();
        let rules = Rules {
            cors: cors.clone(),
            private: HashSet::new(),
            lobby,
            blocking_reload: true,
            window_bytes,
            keep_ended: Duration::from_secs(20),
        };
        let now = Now { at: Instant::now(), unix_secs: 1_800_000_000 };
        let store: Store<Bytes> = Box::new(|_, body| Ok(Bytes::copy_from_slice(body)));
        let core = Delivery::new(Policy { cors, edge: None, waiters: 10, readers: 10 });
        Self { line: Line::new(rules, store), core, now, to_balancers: Vec::new() }
    }

    fn new() -> Self {
        Self::with(1 << 30)
    }

    fn hears(&mut self, event: Event) {
        self.line.push(self.now, event);
        self.deliver();
    }

    fn passes(&mut self, millis: u64) {
        self.now.at += Duration::from_millis(millis);
        self.line.tick(self.now);
        self.deliver();
    }

    fn deliver(&mut self) {
        let moment = Moment { at: self.now.at, unix_secs: self.now.unix_secs };
        while let Some(output) = self.line.pull() {
            match output {
                Output::Cores(update) => self.core.push(moment, update),
                Output::Stream(facts) => self.to_balancers.push(format!("stream {}", facts.run)),
                Output::End(_, run) => self.to_balancers.push(format!("end {run}")),
            }
        }
    }

    fn begins(&mut self, run: u64) {
        self.hears(Event::Stream(facts(run)));
        self.hears(Event::CaughtUp { broadcast: tide() });
    }

    /// An ingest tells that it made this one so many milliseconds ago.
    fn made(&mut self, run: u64, nth: u64, ago: u64) {
        let made = self.now.at - Duration::from_millis(ago);
        self.hears(Event::Made { key: key(run, nth), made });
    }

    fn segment(&mut self, run: u64, nth: u64, body: &'static [u8]) {
        let (key, sequence) = (key(run, nth), MediaSequence(FIRST + nth));
        let facts = SegmentFacts {
            sequence,
            run: RunId(run),
            start: MediaTime::from_ticks(sequence.0 * PITCH.ticks()),
            duration: PITCH,
            discontinuity: DiscontinuitySequence(0),
            bytes: body.len() as u64,
            is_gap: false,
        };
        let hash = ContentHash([nth as u8; 32]);
        self.hears(Event::Complete { key, facts, body: Bytes::from_static(body), hash, source: SourceId(0) });
    }

    /// Status, and the body if it is text.
    fn says(&mut self, path: &str) -> (u16, String) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: e\r\n\r\n");
        let http::Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else { panic!("no head") };
        let moment = Moment { at: self.now.at, unix_secs: self.now.unix_secs };
        match self.core.ask(moment, 0, &request) {
            Answer::Now(reply) | Answer::Never(reply) => {
                let body = match reply.stored {
                    Some(Stored::WithHead(body)) => body,
                    Some(Stored::Range { .. }) => panic!("nobody asked for a range"),
                    None => {
                        let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
                        text.split_once("\r\n\r\n").unwrap().1.to_owned().into()
                    }
                };
                (reply.status.code(), String::from_utf8(body.to_vec()).unwrap())
            }
            Answer::Later | Answer::GoesOn(_) => panic!("must wait"),
        }
    }

    fn playlist(&mut self) -> (u16, String) {
        self.says("/live/tide/audio/index.m3u8")
    }
}

#[test]
fn a_segment_is_listed_and_served_the_moment_it_is_whole() {
    let mut edge = Edge::new();
    edge.begins(1);
    assert_eq!(edge.playlist().0, 404, "nothing is listed yet");
    edge.segment(1, 0, b"zero");
    let (status, text) = edge.playlist();
    assert_eq!(status, 200);
    assert!(text.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{FIRST}\n")), "{text}");
    assert!(text.contains(&format!("\n{FIRST}.ts\n")) && text.contains("CAN-BLOCK-RELOAD=YES"), "{text}");
    assert_eq!(edge.says(&format!("/live/tide/audio/{FIRST}.ts")), (200, "zero".into()));
    let (status, text) = edge.says("/live/tide/index.m3u8");
    assert!(status == 200 && text.contains("audio/index.m3u8"), "{status} {text}");
    assert_eq!(edge.to_balancers, ["stream 1"]);
}

#[test]
fn two_and_a_half_targets_without_a_segment_turn_playlists_to_404_and_the_next_one_back() {
    let mut edge = Edge::new();
    edge.begins(1);
    edge.segment(1, 0, b"0");
    edge.passes(5_000);
    assert_eq!(edge.playlist().0, 200, "2.5 targets are allowed");
    edge.passes(1);
    assert_eq!((edge.playlist().0, edge.says("/live/tide/index.m3u8").0), (404, 404));
    assert_eq!(edge.says(&format!("/live/tide/audio/{FIRST}.ts")).0, 200, "what is buffered may be fetched");
    edge.segment(1, 1, b"1");
    assert_eq!(edge.playlist().0, 200);
}

#[test]
fn an_edge_whose_segments_come_late_lags_and_serves_all_the_same() {
    use crate::board::Notice;
    use edgefan::EdgeState;
    let mut edge = Edge::new();
    edge.hears(Event::LinkUp { source: SourceId(0), node: edgefan::NodeId::parse("ingest1").unwrap() });
    edge.begins(1);
    edge.passes(300);
    let mut state_after = |nth: u64, late: u64| {
        edge.passes(2_000);
        edge.made(1, nth, late);
        edge.segment(1, nth, b"0123456789");
        edge.passes(100);
        assert_eq!(edge.playlist().0, 200);
        Notice::of(&edge.line, edge.now.at, false)
    };
    let ready = state_after(0, 40);
    assert_eq!((ready.state, ready.lag_ms), (EdgeState::Ready, Some(40)));
    assert_eq!(state_after(1, 1_400).state, EdgeState::Ready, "one may be late");
    let lags = state_after(2, 1_300);
    assert_eq!(lags.state, EdgeState::Lagging);
    assert_eq!(lags.why, "segments of tide come late, one 1400 ms after it was made");
    assert!((3..10).all(|nth| state_after(nth, 100).state == EdgeState::Lagging));
    assert_eq!(state_after(10, 100).state, EdgeState::Ready);
    // Who lets viewers go does so, and what is over cannot be late.
    assert_eq!(
        (state_after(11, 1_400).state, state_after(12, 1_400).state),
        (EdgeState::Ready, EdgeState::Lagging)
    );
    assert_eq!(Notice::of(&edge.line, edge.now.at, true).state, EdgeState::Draining);
    edge.hears(Event::Ended { broadcast: tide(), run: RunId(1) });
    assert_eq!(Notice::of(&edge.line, edge.now.at, false).state, EdgeState::Ready);
}

#[test]
fn an_ended_broadcast_stays_for_its_time_and_is_forgotten() {
    let mut edge = Edge::new();
    edge.begins(1);
    edge.segment(1, 0, b"0");
    edge.hears(Event::Ended { broadcast: tide(), run: RunId(1) });
    edge.passes(19_000);
    let (status, text) = edge.playlist();
    assert!(status == 200 && text.ends_with("#EXT-X-ENDLIST\n"), "{status} {text}");
    edge.passes(1_000);
    assert_eq!(edge.playlist().0, 404);
    assert_eq!(edge.line.lanes().count(), 0);
    assert_eq!(edge.to_balancers, ["stream 1", "end 1"]);
}

#[test]
fn a_broadcast_that_nothing_comes_of_gives_its_memory_back_and_wakes_with_its_next_segment() {
    let mut edge = Edge::new();
    edge.begins(1);
    edge.segment(1, 0, b"0");
    edge.passes(20_001);
    assert_eq!((edge.line.bytes_held(), edge.line.lanes().count()), (0, 1));
    assert_eq!(edge.says(&format!("/live/tide/audio/{FIRST}.ts")).0, 404);
    // Its link never broke, so nothing but the segment says that it goes on.
    edge.segment(1, 11, b"11");
    edge.passes(1_000);
    assert_eq!(edge.playlist().0, 200);
    assert_eq!(edge.to_balancers, ["stream 1", "end 1", "stream 1"]);
}

#[test]
fn a_backfill_that_takes_long_does_not_keep_the_newest_back() {
    let mut edge = Edge::new();
    edge.hears(Event::Stream(facts(1)));
    for nth in 0..3 {
        edge.segment(1, nth, b"x");
    }
    edge.hears(Event::Ready { broadcast: tide() });
    assert_eq!(edge.playlist().0, 404, "the rest may come at once");
    edge.passes(1_000);
    let (status, text) = edge.playlist();
    assert_eq!((status, text.matches(".ts\n").count()), (200, 3));
}

/// Seeds 170, 545 and 913 of the lab: cut off for some seconds, and then handed 11, 12 and 13 before 10.
#[test]
fn what_was_missed_while_no_ingest_was_there_is_no_gap_because_the_newest_came_first() {
    let mut edge = Edge::new();
    let up = || Event::LinkUp { source: SourceId(0), node: edgefan::NodeId::parse("ingest1").unwrap() };
    edge.hears(up());
    edge.begins(1);
    edge.segment(1, 0, b"0");
    edge.hears(Event::LinkDown { source: SourceId(0), why: "silent".into() });
    edge.passes(5_500);
    edge.hears(up());
    for nth in [2, 3, 4] {
        edge.segment(1, nth, b"x");
    }
    edge.segment(1, 1, b"x");
    assert_eq!(edge.playlist().1.matches(".ts\n").count(), 5, "the hole is filled: all of it is listed");
    edge.hears(Event::Ready { broadcast: tide() });
    edge.hears(Event::CaughtUp { broadcast: tide() });
    let (status, text) = edge.playlist();
    assert_eq!(
        (status, text.matches(".ts\n").count(), text.contains("EXT-X-GAP")),
        (200, 5, false),
        "{text}"
    );
}

/// Seed 2738 of the lab: an ingest comes that knows nothing of the broadcast, and a number is missing for good.
#[test]
fn a_hole_does_not_wait_for_an_ingest_that_hands_over_nothing() {
    let mut edge = Edge::new();
    let up =
        |source| Event::LinkUp { source: SourceId(source), node: edgefan::NodeId::parse("ingest").unwrap() };
    edge.hears(up(0));
    edge.begins(1);
    edge.segment(1, 0, b"0");
    edge.hears(up(1));
    for nth in [2, 3] {
        edge.segment(1, nth, b"x");
    }
    assert_eq!(edge.playlist().1.matches(".ts\n").count(), 1, "the hole waits for the backfill");
    edge.passes(3_000);
    edge.segment(1, 4, b"x");
    let (_, text) = edge.playlist();
    assert_eq!((text.matches(".ts\n").count(), text.matches("EXT-X-GAP").count()), (5, 1), "{text}");
}

#[test]
fn a_segment_without_room_becomes_a_gap_and_no_broadcast_is_begun_then() {
    let mut edge = Edge::with(20);
    edge.begins(1);
    edge.segment(1, 0, b"ten bytes.");
    edge.segment(1, 1, b"nine byte");
    edge.segment(1, 2, b"two");
    edge.segment(1, 3, b"");
    let (_, text) = edge.playlist();
    assert_eq!(text.matches("#EXT-X-GAP").count(), 1, "{text}");
    assert_eq!(edge.says(&format!("/live/tide/audio/{}.ts", FIRST + 2)).0, 404);
    let other = StreamFacts { broadcast: BroadcastId::parse("ebb").unwrap(), ..facts(1) };
    edge.hears(Event::Stream(other));
    let counts = edge.line.counts();
    assert_eq!((edge.line.lanes().count(), counts.no_room, counts.broadcasts_refused), (1, 1, 1));
}

#[test]
fn another_pitch_is_another_numbering_and_an_older_run_changes_nothing() {
    let mut edge = Edge::new();
    edge.begins(2);
    edge.segment(2, 0, b"0");
    let slower = |run| StreamFacts { segment: MediaSpan::from_secs(4), ..facts(run) };
    edge.hears(Event::Stream(slower(1)));
    assert_eq!(edge.playlist().0, 200, "run 1 is history");
    edge.hears(Event::Stream(slower(3)));
    assert_eq!((edge.playlist().0, edge.says(&format!("/live/tide/audio/{FIRST}.ts")).0), (404, 404));
    assert_eq!(edge.line.lanes().count(), 1);
}

/// Two ingests that are no twins: the publisher goes to the second, which begins a run, and back to the first, whose run
/// goes on.
#[test]
fn an_older_run_that_goes_on_is_listed_where_nothing_comes_of_the_newer_one() {
    let mut edge = Edge::new();
    edge.begins(1);
    edge.segment(1, 0, b"first");
    edge.hears(Event::Stream(facts(2)));
    edge.segment(2, 1, b"second");
    assert_eq!(edge.playlist().0, 200);
    let numbered = |edge: &mut Edge| {
        let (_, text) = edge.playlist();
        let number = text.lines().find_map(|line| line.strip_prefix("#EXT-X-DISCONTINUITY-SEQUENCE:"));
        number.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    let shown = numbered(&mut edge);
    edge.passes(2_000);
    edge.segment(1, 2, b"an old run has nothing to say while the new one is fresh");
    assert!(!edge.playlist().1.contains(&format!("{}.ts", FIRST + 2)));
    edge.passes(4_000);
    assert_eq!(edge.playlist().0, 404);
    edge.segment(1, 4, b"it goes on");
    edge.segment(1, 5, b"and on");
    edge.passes(2_000);
    edge.segment(1, 6, b"and on");
    let (status, text) = edge.playlist();
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains(&format!("{}.ts", FIRST + 6)) && !text.contains(&format!("{}.ts", FIRST + 1)),
        "{text}"
    );
    assert!(numbered(&mut edge) > shown, "it is another timeline to whoever saw the one between\n{text}");
}

#[test]
fn what_was_over_before_we_heard_of_it_is_not_begun() {
    let mut edge = Edge::new();
    edge.hears(Event::Stream(StreamFacts { has_ended: true, ..facts(1) }));
    assert_eq!(edge.line.lanes().count(), 0);
}

fn linked(edge: &mut Edge) {
    let node = edgefan::NodeId::parse("ingest1").unwrap();
    edge.hears(Event::LinkUp { source: SourceId(0), node });
}

#[test]
fn an_edge_that_joins_is_ready_when_every_broadcast_is_here_and_stays_so() {
    let mut edge = Edge::new();
    edge.passes(1_000);
    assert!(!edge.line.has_joined(), "nobody is linked");
    linked(&mut edge);
    edge.hears(Event::Stream(facts(1)));
    edge.passes(1_000);
    assert!(!edge.line.has_joined(), "its segments are on their way");
    for nth in 0..3 {
        edge.segment(1, nth, b"x");
    }
    edge.hears(Event::Ready { broadcast: tide() });
    assert!(!edge.line.has_joined(), "nothing is listed yet");
    edge.passes(1_000);
    assert!(edge.line.has_joined() && edge.playlist().0 == 200);
    // A broadcast that begins later is here from its first segment on, and no reason to send anybody away.
    edge.hears(Event::Stream(StreamFacts { broadcast: BroadcastId::parse("ebb").unwrap(), ..facts(1) }));
    edge.passes(100);
    assert!(edge.line.has_joined());
}

#[test]
fn an_edge_that_joins_does_not_wait_for_a_publisher_that_has_stalled() {
    let mut edge = Edge::new();
    linked(&mut edge);
    edge.passes(100);
    assert!(!edge.line.has_joined(), "broadcasts may be told of in a moment");
    edge.hears(Event::Stream(facts(1)));
    edge.passes(9_000);
    assert!(!edge.line.has_joined());
    edge.passes(1_000);
    assert!(edge.line.has_joined());
}

#[test]
fn an_edge_is_ready_with_no_broadcast_at_all() {
    let mut edge = Edge::new();
    linked(&mut edge);
    edge.passes(250);
    assert!(edge.line.has_joined());
}

#[test]
fn an_edge_that_awaits_the_lobby_shows_nothing_and_has_not_joined() {
    let begin = |edge: &mut Edge| {
        edge.hears(Event::LinkUp { source: SourceId(0), node: edgefan::NodeId::parse("ingest").unwrap() });
        edge.begins(1);
        (0..3).for_each(|nth| edge.segment(1, nth, b"sound"));
        edge.passes(400);
    };
    let mut edge = Edge::beside(LobbyWord::Awaited(Patience::Endless), 1 << 30);
    begin(&mut edge);
    assert_eq!((edge.says("/live/tide/audio/index.m3u8").0, edge.line.has_joined()), (403, false));
    edge.line.private(Vec::new());
    edge.passes(100);
    assert_eq!((edge.says("/live/tide/audio/index.m3u8").0, edge.line.has_joined()), (200, true));
    edge.line.private(vec![tide()]);
    edge.passes(100);
    assert_eq!((edge.says("/live/tide/audio/index.m3u8").0, edge.line.has_joined()), (403, true));

    let mut edge = Edge::beside(LobbyWord::Awaited(Patience::Endless), 1 << 30);
    begin(&mut edge);
    edge.passes(3_000);
    assert_eq!((edge.says("/live/tide/audio/index.m3u8").0, edge.line.has_joined()), (403, false));

    let mut edge = Edge::beside(LobbyWord::Awaited(Patience::For(Duration::from_secs(3))), 1 << 30);
    begin(&mut edge);
    edge.passes(3_000);
    assert_eq!((edge.says("/live/tide/audio/index.m3u8").0, edge.line.has_joined()), (200, true));
}
