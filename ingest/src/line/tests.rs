//! Stories of a line whose process is played by the test: what it is told, and what becomes of what it says.

use super::*;
use bytes::Bytes;
use flv::SourceUnit;
use media::{BitRate, Rendition, RenditionId, Track};

struct Story {
    line: Line,
    began: Instant,
    at_ms: u64,
    /// Everything the shell was to do.
    acts: Vec<Act>,
}

const WALL: MediaTime = MediaTime::from_unix_millis(1_700_000_000_000);

fn first() -> u64 {
    WALL.ticks() / 180_000
}

impl Story {
    fn new() -> Self {
        let began = Instant::now();
        let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
        let plan = Plan {
            broadcast: BroadcastId::parse("tide").unwrap(),
            grid,
            window: 6,
            grace: Duration::from_secs(30),
            ladder: Ladder { copy: false, steps: vec!["180p 300k".parse().unwrap()] },
            settles_at: began,
        };
        let line = Line::new(plan, Left { end_ticks: 0, discontinuity: 7, term: 0 }, false);
        Self { line, began, at_ms: 0, acts: Vec::new() }
    }

    fn push(&mut self, input: Input) -> Vec<Act> {
        let instant = self.began + Duration::from_millis(self.at_ms);
        self.line.push(input, Now { instant, wall: WALL + MediaSpan::from_millis(self.at_ms) });
        let acts: Vec<_> = std::iter::from_fn(|| self.line.pull()).collect();
        self.acts.extend(acts.iter().map(copy));
        acts
    }

    /// A publisher arrives and sends so many seconds of pictures, 25 a second.
    fn publish(&mut self, seconds: u64) -> Vec<Act> {
        self.push(Input::Publisher(timeline::Input::Arrived));
        self.push(Input::Publisher(timeline::Input::VideoConfig(config())));
        self.pictures(0, seconds)
    }

    fn pictures(&mut self, from_ms: i64, seconds: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        for n in 0..seconds as i64 * 25 {
            let unit = SourceUnit {
                track: Track::Video,
                decode_ms: from_ms + n * 40,
                composition_ms: 0,
                duration_ms: 40,
                is_sync: n % 25 == 0,
                payload: Bytes::from_static(b"picture"),
            };
            acts.extend(self.push(Input::Publisher(timeline::Input::Unit(unit))));
            self.at_ms += 40;
        }
        acts
    }

    fn report(&mut self, generation: u64, report: Report) -> Vec<Act> {
        self.push(Input::Report(Generation(generation), report))
    }

    /// The process makes a whole segment of its one rung.
    fn segment(&mut self, generation: u64, sequence: u64) -> Vec<Act> {
        let (rendition, sequence) = (rung(), MediaSequence(sequence));
        let start = MediaTime::from_ticks(sequence.0 * 180_000);
        let mut acts = self.report(generation, Report::Open { rendition: rung(), sequence, start });
        let bytes = Bytes::from(format!("segment {sequence}"));
        acts.extend(self.report(generation, Report::Bytes { rendition: rung(), sequence, bytes }));
        acts.extend(
            self.report(generation, Report::Close { rendition, sequence, duration: MediaSpan::from_secs(2) }),
        );
        acts
    }
}

fn copy(act: &Act) -> Act {
    match act {
        Act::Start(generation, orders) => Act::Start(*generation, orders.clone()),
        Act::Order(generation, order) => Act::Order(*generation, order.clone()),
        Act::Kill(generation) => Act::Kill(*generation),
        Act::Feed(fed) => Act::Feed(fed.clone()),
        Act::Remember(left) => Act::Remember(*left),
        Act::Note(note) => Act::Note(note.clone()),
        Act::Lane(lane) => Act::Lane(lane.clone()),
        Act::Say(said) => Act::Say(said.clone()),
        Act::SendAway => Act::SendAway,
    }
}

fn config() -> VideoConfig {
    // libx264, High, 320×180.
    let sps = [
        0x67, 0x64, 0x00, 0x0c, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
    ];
    let mut record = vec![1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend(sps);
    record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    VideoConfig::parse(record.into()).unwrap()
}

fn rung() -> RenditionId {
    RenditionId::parse("180p").unwrap()
}

fn rendition() -> Report {
    Report::Rung(Rendition { id: rung(), video: None, audio: None, peak: BitRate(0), average: BitRate(0) })
}

fn fed(acts: &[Act]) -> Vec<String> {
    let fed = acts.iter().filter_map(|act| match act {
        Act::Feed(Fed::Close { facts, .. }) => Some(format!("close {}", facts.sequence.0 - first())),
        Act::Feed(Fed::Skip { facts, .. }) => Some(format!("skip {}", facts.sequence.0 - first())),
        Act::Feed(Fed::Open { key, .. }) => Some(format!("open {}", key.sequence.0 - first())),
        Act::Feed(Fed::End { .. }) => Some("end".into()),
        _ => None,
    });
    fed.collect()
}

fn starts(acts: &[Act]) -> Vec<(u64, usize, u64)> {
    let starts = acts.iter().filter_map(|act| match act {
        Act::Start(generation, orders) => {
            let Some(Order::Begin(begin)) = orders.first() else { panic!("{orders:?}") };
            Some((generation.0, orders.len(), begin.from.0 - first()))
        }
        _ => None,
    });
    starts.collect()
}

#[test]
fn a_run_starts_a_process_and_its_segments_are_fed() {
    let mut story = Story::new();
    let acts = story.publish(1);
    assert_eq!(starts(&acts), [(1, 1, 0)]);
    assert_eq!(acts.iter().filter(|act| matches!(act, Act::Order(_, Order::Unit(_)))).count(), 25);
    story.report(1, rendition());
    assert_eq!(fed(&story.segment(1, first())), ["open 0", "close 0"]);
}

#[test]
fn a_process_that_dies_is_told_again_what_it_needs_and_no_more() {
    let mut story = Story::new();
    story.publish(4);
    story.report(1, rendition());
    story.segment(1, first());
    story.segment(1, first() + 1);
    story.pictures(4000, 3);
    story.segment(1, first() + 2);
    let acts = story.push(Input::ProcessGone(Generation(1), "signal 9".into()));
    // At once, and from the picture group of the last whole segment on: 7 s less 4 s, and the Begin.
    assert_eq!(starts(&acts), [(2, 1 + 75, 3)]);
    assert!(acts.iter().any(|act| matches!(act, Act::Note(note) if note.contains("signal 9"))));
    assert_eq!(fed(&story.segment(1, first() + 3)), Vec::<String>::new(), "the old one is not listened to");
    assert_eq!(fed(&story.segment(2, first() + 3)), ["open 3", "close 3"]);
}

#[test]
fn a_process_that_dies_of_its_input_is_not_fed_the_same_for_ever() {
    let mut story = Story::new();
    story.publish(3);
    story.report(1, rendition());
    for generation in 1..=3 {
        story.push(Input::ProcessGone(Generation(generation), "signal 11".into()));
        story.at_ms += 600;
        story.push(Input::Tick);
    }
    assert_eq!(
        starts(&story.acts).last(),
        Some(&(4, 1 + 25, 2)),
        "from the newest sync unit and the next segment on"
    );
    assert_eq!(fed(&story.acts), ["skip 0", "skip 1"]);
}

#[test]
fn when_a_run_ends_the_process_hands_out_its_last_segment_first() {
    let mut story = Story::new();
    story.publish(3);
    story.report(1, rendition());
    story.segment(1, first());
    let acts = story.push(Input::Publisher(timeline::Input::Over));
    assert_eq!(acts.last(), Some(&Act::Order(Generation(1), Order::End)));
    assert!(story.line.is_live());
    assert_eq!(fed(&story.segment(1, first() + 1)), ["open 1", "close 1"]);
    let acts = story.push(Input::ProcessGone(Generation(1), "exit status: 0".into()));
    assert_eq!(fed(&acts), ["end"]);
    assert!(!story.line.is_live());
}

#[test]
fn a_later_run_is_a_discontinuity_with_a_process_of_its_own() {
    let mut story = Story::new();
    story.publish(2);
    story.report(1, rendition());
    story.segment(1, first());
    story.push(Input::Publisher(timeline::Input::Over));
    story.push(Input::ProcessGone(Generation(1), "exit status: 0".into()));
    story.at_ms += 60_000;
    let acts = story.publish(1);
    assert_eq!(starts(&acts).len(), 1);
    story.report(2, rendition());
    let acts = story.segment(2, first() + 31);
    let Some(Act::Feed(Fed::Open { discontinuity, .. })) =
        acts.iter().find(|act| matches!(act, Act::Feed(Fed::Open { .. })))
    else {
        panic!("{acts:?}")
    };
    assert_eq!(discontinuity.0, 8);
}

#[test]
fn a_process_that_hangs_is_ended_and_started_again() {
    let mut story = Story::new();
    story.publish(6);
    story.at_ms += 7000;
    let acts = story.push(Input::Tick);
    assert!(acts.contains(&Act::Kill(Generation(1))));
    assert_eq!(starts(&acts).len() + starts(&story.push(Input::Tick)).len(), 1);
}

#[test]
fn a_publisher_that_is_away_does_not_stop_the_numbers() {
    let mut story = Story::new();
    story.publish(1);
    story.push(Input::Publisher(timeline::Input::Left));
    for _ in 0..50 {
        story.at_ms += 100;
        story.push(Input::Tick);
    }
    let fills = story.acts.iter().filter(|act| matches!(act, Act::Order(_, Order::Fill { .. }))).count();
    assert!((20..=30).contains(&fills), "one each 200 ms: {fills}");
}

#[test]
fn a_slow_process_sheds_from_a_segment_that_has_not_begun() {
    let mut story = Story::new();
    story.publish(5);
    let acts = story.report(1, Report::Progress { decoded_until: WALL + MediaSpan::from_millis(500) });
    let shed = acts.iter().find_map(|act| match act {
        Act::Order(_, Order::Shed { level, from }) => Some((*level, from.0 - first())),
        _ => None,
    });
    assert_eq!(shed, Some((Shed::Lookahead, 3)));
}
