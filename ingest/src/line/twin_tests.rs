//! Two lines, one encoder that feeds both, under a seed: whichever is killed, cut off or handed over, whenever, every
//! segment is made, by all who make it the same, and numbers and discontinuities never go back.
//!
//! The processes are played: a segment's bytes are what stands in it. `TWIN_SEED=n` runs one day, `TWIN_SEEDS=n` so many.

mod stories;

use super::*;
use bytes::Bytes;
use flv::SourceUnit;
use media::{BitRate, Rendition, RenditionId, Track};
use std::collections::BTreeMap;
use std::fmt::Write;

const WALL: MediaTime = MediaTime::from_unix_millis(1_800_000_000_000);
const SEGMENT: MediaSpan = MediaSpan::from_secs(2);
const STEP_MS: u64 = 20;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A transcode process: one rung, its segments whole as soon as a picture is 300 ms past their end.
#[derive(Default)]
struct Worker {
    generation: Option<Generation>,
    from: MediaSequence,
    units: BTreeMap<(MediaTime, Track), Bytes>,
    fills: Vec<(MediaTime, MediaTime)>,
    has_sync: bool,
    /// The end of what it was given, by time of presentation.
    until: MediaTime,
    /// Until when the last picture is shown, or filler was.
    shown: MediaTime,
    next: MediaSequence,
    said: Vec<Report>,
}

fn rung() -> RenditionId {
    RenditionId::parse("180p").unwrap()
}

fn grid() -> Grid {
    Grid::new(SEGMENT).unwrap()
}

impl Worker {
    fn start(generation: Generation, orders: &[Order]) -> Self {
        let mut worker = Self { generation: Some(generation), ..Self::default() };
        orders.iter().for_each(|order| worker.order(order));
        worker
    }

    fn order(&mut self, order: &Order) {
        match order {
            Order::Begin(begin) => {
                (self.from, self.next) = (begin.from, begin.from);
                let (peak, average) = (BitRate(0), BitRate(0));
                let rendition = Rendition { id: rung(), video: None, audio: None, peak, average };
                self.said.push(Report::Ready { digest: "played 1 segment 2".into() });
                self.said.push(Report::Rung(rendition));
            }
            Order::Unit(unit) => {
                self.has_sync |= unit.track == Track::Video && unit.is_sync;
                if !self.has_sync && unit.track == Track::Video {
                    return;
                }
                self.units.insert((unit.presentation_time, unit.track), unit.payload.clone());
                if unit.track == Track::Video {
                    self.until = self.until.max(unit.presentation_time);
                    self.shown = self.shown.max(unit.presentation_time + unit.duration);
                }
                self.make(MediaSpan::from_millis(300));
            }
            Order::Fill { until } => {
                self.fills.push((self.shown, *until));
                self.until = self.until.max(*until);
                self.shown = self.shown.max(*until);
                self.make(MediaSpan::from_millis(300));
            }
            Order::End => self.make(MediaSpan::ZERO),
            _ => {}
        }
    }

    fn make(&mut self, late: MediaSpan) {
        while grid().end_of(self.next) + late <= self.until {
            let (sequence, start, end) = (self.next, grid().start_of(self.next), grid().end_of(self.next));
            self.next = self.next.next();
            let mut body = String::new();
            for ((at, track), payload) in self.units.range((start, Track::Video)..(end, Track::Video)) {
                let _ = writeln!(
                    body,
                    "{track:?} {} {}",
                    at.saturating_since(start),
                    String::from_utf8_lossy(payload)
                );
            }
            let filled: u64 = self
                .fills
                .iter()
                .map(|(from, until)| (*until).min(end).saturating_since((*from).max(start)).ticks())
                .sum();
            let _ = writeln!(body, "filled {filled}");
            let rendition = rung();
            self.said.push(Report::Open { rendition: rendition.clone(), sequence, start });
            self.said.push(Report::Bytes { rendition: rendition.clone(), sequence, bytes: body.into() });
            self.said.push(Report::Close { rendition, sequence, duration: SEGMENT });
        }
    }
}

/// One ingest.
struct Ingest {
    line: Option<Line>,
    worker: Worker,
    left: Option<Left>,
    /// When its feed comes, after the encoder sent it; and from which moment of the encoder on it has one.
    feed_delay_ms: u64,
    fed_since_ms: Option<u64>,
    fed_until_ms: u64,
    clock_shift_ms: i64,
    back_at_ms: u64,
    lanes: Vec<Lane>,
}

struct Day {
    began: Instant,
    at_ms: u64,
    ingests: [Ingest; 2],
    is_up: bool,
    wire: Vec<(u64, usize, Said)>,
    /// By number: who made it under which term and as what, its discontinuities, its bytes.
    made: BTreeMap<u64, Vec<Made>>,
    log: Vec<String>,
}

#[derive(Debug)]
struct Made {
    by: usize,
    term: u64,
    standing: edgefan::LaneStanding,
    discontinuity: u64,
    body: String,
    run: u64,
}

fn config() -> VideoConfig {
    let sps = [
        0x67, 0x64, 0x00, 0x0c, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
    ];
    let mut record = vec![1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend(sps);
    record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    VideoConfig::parse(record.into()).unwrap()
}

/// What the encoder sends at this moment of its clock.
fn encoder(ms: u64) -> Vec<SourceUnit> {
    let unit = |track, is_sync, duration_ms| SourceUnit {
        track,
        decode_ms: ms as i64,
        composition_ms: 0,
        duration_ms,
        is_sync,
        payload: format!("{track:?}{ms}").into_bytes().into(),
    };
    let mut units = Vec::new();
    if ms.is_multiple_of(40) {
        units.push(unit(Track::Video, ms.is_multiple_of(1000), 40));
    }
    // Units of 1024 samples at 48 kHz, rounded to milliseconds as FLV does.
    if (ms * 3).div_ceil(64) * 64 / 3 == ms {
        units.push(unit(Track::Audio, true, 21));
    }
    units
}

impl Day {
    fn new() -> Self {
        let began = Instant::now();
        let ingest = |feed_delay_ms, clock_shift_ms| Ingest {
            line: None,
            worker: Worker::default(),
            left: None,
            feed_delay_ms,
            fed_since_ms: None,
            fed_until_ms: 0,
            clock_shift_ms,
            back_at_ms: 0,
            lanes: Vec::new(),
        };
        Self {
            began,
            at_ms: 0,
            ingests: [ingest(0, 0), ingest(60, 77_000)],
            is_up: false,
            wire: Vec::new(),
            made: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// Both are there and linked, and the encoder publishes to the first.
    fn fed_at_the_first() -> Self {
        let mut day = Self::new();
        (0..2).for_each(|who| day.start(who));
        day.connect(true, None);
        day.step();
        day.publish(0);
        day
    }

    fn now(&self) -> Now {
        let wall = WALL + MediaSpan::from_millis(self.at_ms);
        Now { instant: self.began + Duration::from_millis(self.at_ms), wall }
    }

    fn start(&mut self, who: usize) {
        let now = self.now();
        let plan = Plan {
            broadcast: BroadcastId::parse("tide").unwrap(),
            grid: grid(),
            window: 6,
            grace: Duration::from_secs(30),
            ladder: Ladder { copy: false, steps: vec!["180p 300k".parse().unwrap()] },
            settles_at: now.instant + twin::SETTLE_WITHIN,
        };
        let left = self.ingests[who].left;
        let line =
            Line::new(plan, left.unwrap_or(Left { end_ticks: 0, discontinuity: 7, term: 0 }), left.is_some());
        self.ingests[who].line = Some(line);
        self.ingests[who].worker = Worker::default();
    }

    fn kill(&mut self, who: usize, back_in_ms: u64) {
        self.log.push(format!("{} ms: {who} is killed", self.at_ms));
        self.connect(false, Some(who));
        self.ingests[who].line = None;
        self.ingests[who].fed_since_ms = None;
        self.ingests[who].back_at_ms = self.at_ms + back_in_ms;
    }

    /// The link comes or goes; who is killed does not hear of it.
    fn connect(&mut self, is_up: bool, but: Option<usize>) {
        self.turn(is_up, but, Lost::Gone);
    }

    /// A byte on the link is another one, `times` times, and each time it is dialled anew.
    fn garble(&mut self, times: u64, after_steps: u64) {
        for _ in 0..times {
            self.turn(false, None, Lost::Garbled);
            (0..after_steps).for_each(|_| self.step());
            self.turn(true, None, Lost::Garbled);
            (0..5 * after_steps).for_each(|_| self.step());
        }
    }

    fn turn(&mut self, is_up: bool, but: Option<usize>, lost: Lost) {
        if self.is_up == is_up || (is_up && self.ingests.iter().any(|ingest| ingest.line.is_none())) {
            return;
        }
        self.log.push(format!("{} ms: link {}", self.at_ms, if is_up { "up" } else { "down" }));
        self.is_up = is_up;
        if !is_up {
            // What was sent before arrives, as in a socket that is closed.
            let wire = std::mem::take(&mut self.wire);
            for (_, to, said) in wire {
                if Some(to) != but {
                    self.push(to, Input::Twin(FromTwin::Said(said)));
                }
            }
        }
        for who in (0..2).filter(|who| Some(*who) != but) {
            let heard = if is_up { FromTwin::Up { is_first: who == 0 } } else { FromTwin::Down(lost) };
            self.push(who, Input::Twin(heard));
        }
    }

    fn push(&mut self, who: usize, input: Input) {
        // No two clocks are the same to the millisecond.
        let mut now = self.now();
        now.wall += MediaSpan::from_millis(3 * who as u64);
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(line) = &mut self.ingests[who].line else { return };
            line.push(input, now);
            let acts: Vec<Act> = std::iter::from_fn(|| line.pull()).collect();
            for act in acts {
                self.act(who, act);
            }
            let worker = &mut self.ingests[who].worker;
            if let Some(generation) = worker.generation {
                inputs.extend(worker.said.drain(..).map(|report| Input::Report(generation, report)));
            }
        }
    }

    fn act(&mut self, who: usize, act: Act) {
        let ingest = &mut self.ingests[who];
        match act {
            Act::Start(generation, orders) => ingest.worker = Worker::start(generation, &orders),
            Act::Order(generation, order) if ingest.worker.generation == Some(generation) => {
                ingest.worker.order(&order);
            }
            Act::Kill(generation) if ingest.worker.generation == Some(generation) => {
                ingest.worker = Worker::default();
            }
            Act::Order(..) | Act::Kill(_) => {}
            Act::Feed(Fed::Close { key, facts }) => {
                let lane = ingest.lanes.iter().rev().find(|lane| lane.from <= key.sequence);
                let (term, standing) =
                    lane.map(|lane| (lane.term, lane.standing)).expect("a lane was said first");
                let body = ingest.worker_body(key.sequence);
                self.made.entry(key.sequence.0).or_default().push(Made {
                    by: who,
                    term,
                    standing,
                    discontinuity: facts.discontinuity.0,
                    body,
                    run: key.run.0,
                });
            }
            Act::Feed(Fed::Bytes { key, bytes }) => {
                ingest
                    .worker
                    .units
                    .insert((MediaTime::from_ticks(u64::MAX - key.sequence.0), Track::Audio), bytes);
            }
            Act::Feed(_) => {}
            Act::Lane(lane) => {
                self.log.push(format!("{} ms {who}: {lane:?}", self.at_ms));
                ingest.lanes.retain(|earlier| earlier.from < lane.from);
                ingest.lanes.push(lane);
            }
            Act::Say(said) => {
                if self.is_up {
                    self.wire.push((self.at_ms + 10, 1 - who, said));
                }
            }
            Act::SendAway => ingest.fed_since_ms = None,
            Act::Remember(left) => ingest.left = Some(left),
            Act::Note(note) => self.log.push(format!("{} ms {who}: {note}", self.at_ms)),
        }
    }

    fn step(&mut self) {
        self.at_ms += STEP_MS;
        for who in 0..2 {
            if self.ingests[who].line.is_none() && self.ingests[who].back_at_ms <= self.at_ms {
                self.start(who);
            }
        }
        let (due, later) = std::mem::take(&mut self.wire).into_iter().partition(|(at, ..)| *at <= self.at_ms);
        self.wire = later;
        let due: Vec<(u64, usize, Said)> = due;
        for (_, to, said) in due {
            self.push(to, Input::Twin(FromTwin::Said(said)));
        }
        for who in 0..2 {
            self.feed(who);
            self.push(who, Input::Tick);
        }
    }

    fn feed(&mut self, who: usize) {
        let Some(since) = self.ingests[who].fed_since_ms else { return };
        let (delay, shift) = (self.ingests[who].feed_delay_ms, self.ingests[who].clock_shift_ms);
        let Some(until) = self.at_ms.checked_sub(delay) else { return };
        let from = self.ingests[who].fed_until_ms.max(since);
        self.ingests[who].fed_until_ms = until.max(from);
        for ms in from..until {
            for mut unit in encoder(ms) {
                unit.decode_ms += shift;
                self.push(who, Input::Publisher(timeline::Input::Unit(unit)));
            }
        }
    }

    /// The encoder's connection to this ingest is there from now on; it begins with a sync unit.
    fn publish(&mut self, who: usize) {
        if self.ingests[who].line.is_none() || self.ingests[who].fed_since_ms.is_some() {
            return;
        }
        let delay = self.ingests[who].feed_delay_ms;
        self.ingests[who].fed_since_ms = Some(self.at_ms.saturating_sub(delay).next_multiple_of(1000));
        self.log.push(format!("{} ms {who}: publish", self.at_ms));
        self.push(who, Input::Publisher(timeline::Input::Arrived));
        self.push(who, Input::Publisher(timeline::Input::VideoConfig(config())));
        let audio = AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
        self.push(who, Input::Publisher(timeline::Input::AudioConfig(audio)));
    }

    fn unpublish(&mut self, who: usize) {
        if self.ingests[who].fed_since_ms.take().is_some() {
            self.log.push(format!("{} ms {who}: the feed is gone", self.at_ms));
            self.push(who, Input::Publisher(timeline::Input::Left));
        }
    }

    fn part(&self, who: usize) -> &'static str {
        self.ingests[who].line.as_ref().map_or("killed", |line| line.part().0)
    }

    fn is_safe(&self) -> bool {
        let lines: Vec<&Line> = self.ingests.iter().filter_map(|ingest| ingest.line.as_ref()).collect();
        lines.len() == 2
            && lines.iter().any(|line| line.reserve_part() == Some("aligned"))
            && lines.iter().any(|line| line.seat.leads() && line.seat.follower_feed() == Some(true))
    }

    /// Until both have their part, and the feeds are known to be one.
    fn settle(&mut self) {
        for _ in 0..1500 {
            self.connect(true, None);
            (0..2).for_each(|who| self.publish(who));
            self.step();
            if self.is_safe() {
                // And a whole segment of both since.
                (0..260).for_each(|_| self.step());
                return;
            }
        }
        panic!("it does not settle: {}, {}\n{}", self.part(0), self.part(1), self.log.join("\n"));
    }

    /// Under one term a number has one segment, whoever made it. (Two that cannot hear each other count discontinuities
    /// for themselves; an edge raises what comes after a greater count.)
    fn check_terms(&self) {
        let told = || self.log.join("\n");
        for (number, copies) in &self.made {
            let term = copies.iter().map(|made| made.term).max().unwrap();
            let is_good = |made: &&Made| made.term == term && made.standing != edgefan::LaneStanding::Second;
            let good: Vec<&Made> = copies.iter().filter(is_good).collect();
            let Some(first) = good.first() else { continue };
            for other in &good {
                assert_eq!(
                    other.body,
                    first.body,
                    "{number}: {} and {} differ\n{}",
                    first.by,
                    other.by,
                    told()
                );
                assert_eq!(other.discontinuity, first.discontinuity, "{number}\n{}", told());
            }
        }
    }

    /// What an edge would take: of each number the copies of the greatest term that are as good as any, all the same.
    fn check(&self, is_seamless: bool) {
        let told = || self.log.join("\n");
        let mut last: Option<(u64, u64)> = None;
        for (number, copies) in &self.made {
            let term = copies.iter().map(|made| made.term).max().unwrap();
            let good: Vec<&Made> = copies
                .iter()
                .filter(|made| {
                    is_seamless || (made.term == term && made.standing != edgefan::LaneStanding::Second)
                })
                .collect();
            if let Some(first) = good.first() {
                for other in &good {
                    assert_eq!(
                        other.body,
                        first.body,
                        "{number}: {} and {} differ\n{}",
                        first.by,
                        other.by,
                        told()
                    );
                    assert_eq!(other.discontinuity, first.discontinuity, "{number}\n{}", told());
                    assert_eq!(other.run, first.run, "{number}\n{}", told());
                }
                if is_seamless {
                    let pictures = first.body.lines().filter(|line| line.starts_with("Video")).count();
                    assert_eq!(pictures, 50, "{number}: {}\n{}", first.body, told());
                    let sounds = first.body.lines().filter(|line| line.starts_with("Audio")).count();
                    assert!((90..=110).contains(&sounds), "{number}: {}\n{}", first.body, told());
                }
            }
            if let Some((before, discontinuity)) = last {
                assert_eq!(*number, before + 1, "a number is missing\n{}", told());
                assert!(copies[0].discontinuity >= discontinuity, "a discontinuity went back\n{}", told());
            }
            last = Some((*number, copies[0].discontinuity));
        }
        if is_seamless {
            let all: std::collections::BTreeSet<u64> =
                self.made.values().flatten().map(|made| made.discontinuity).collect();
            assert_eq!(all.len(), 1, "{}", told());
        }
    }
}

impl Ingest {
    fn worker_body(&self, sequence: MediaSequence) -> String {
        let at = (MediaTime::from_ticks(u64::MAX - sequence.0), Track::Audio);
        let bytes = self.worker.units.get(&at).expect("its bytes were fed");
        String::from_utf8_lossy(bytes).into_owned()
    }
}
