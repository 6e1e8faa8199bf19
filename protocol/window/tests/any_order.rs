//! Whatever the order in which segments arrive, from however many ingests: every playlist the window shows keeps
//! the rules when it is compared with the one before, as a viewer compares them.

use hls::lint::{Findings, Versions};
use media::{
    AudioShape, BitRate, BroadcastId, DiscontinuitySequence, Grid, MediaSequence, MediaSpan, MediaTime,
    Rendition, RenditionId, RunId, SegmentFacts, StreamFacts,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use window::{Change, Input, Refusal, Window};

const PITCH: MediaSpan = MediaSpan::from_secs(2);
const NAMES: [&str; 2] = ["a", "b"];
const FIRST: u64 = 500;

fn id(name: &str) -> RenditionId {
    RenditionId::parse(name).expect("a name")
}

fn stream(run: u64, window: u32) -> StreamFacts {
    let rendition = |name: &&str| Rendition {
        id: id(name),
        video: None,
        audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
        peak: BitRate(1_000_000),
        average: BitRate(900_000),
    };
    StreamFacts {
        broadcast: BroadcastId::parse("demo").expect("a name"),
        run: RunId(run),
        segment: PITCH,
        window,
        renditions: NAMES.iter().map(rendition).collect(),
        has_ended: false,
    }
}

/// A segment as its ingest made it: what every copy of it says.
#[derive(Clone, Debug)]
struct Made {
    rendition: usize,
    facts: SegmentFacts,
}

/// What happened, in the order in which this edge hears of it.
#[derive(Clone, Debug)]
enum Heard {
    Segment(Made),
    Run(u64),
    CaughtUp,
    End(u64),
}

/// How one run of the broadcast went.
#[derive(Clone, Debug)]
struct Run {
    /// Segments nobody made before it began.
    away: u64,
    len: u64,
    /// Which are gaps, of every eight.
    gaps: u8,
    /// By how much the discontinuity number rises; the ingest may have forgotten its count.
    rise: i64,
    /// It says that it ends.
    ends: bool,
}

fn a_run() -> impl Strategy<Value = Run> {
    (
        prop_oneof![3 => Just(0), 2 => 1_u64..5, 1 => 5_u64..40],
        1_u64..14,
        any::<[bool; 6]>(),
        -3_i64..4,
        any::<bool>(),
    )
        .prop_map(|(away, len, gaps, rise, ends)| Run {
            away,
            len,
            // Few gaps, or none: three coins each.
            gaps: u8::from(gaps[0] && gaps[1] && gaps[2]) << 3 | u8::from(gaps[3] && gaps[4] && gaps[5]),
            rise: if rise == 0 { 1 } else { rise },
            ends,
        })
}

/// All that the ingests tell, in the order of media time.
fn told(runs: &[Run]) -> Vec<Heard> {
    let grid = Grid::new(PITCH).expect("a pitch");
    let (mut sequence, mut discontinuity) = (FIRST, 5_i64);
    let mut told = Vec::new();
    for (number, run) in (1_u64..).zip(runs) {
        told.push(Heard::Run(number));
        sequence += run.away;
        if number > 1 {
            discontinuity = (discontinuity + run.rise).max(0);
        }
        for at in 0..run.len {
            for rendition in 0..NAMES.len() {
                let is_gap = run.gaps >> (at % 8) & 1 == 1;
                let facts = SegmentFacts {
                    sequence: MediaSequence(sequence),
                    run: RunId(number),
                    start: grid.start_of(MediaSequence(sequence)),
                    duration: PITCH,
                    discontinuity: DiscontinuitySequence(discontinuity as u64),
                    bytes: if is_gap { 0 } else { 1000 },
                    is_gap,
                };
                told.push(Heard::Segment(Made { rendition, facts }));
            }
            sequence += 1;
        }
        if run.ends {
            told.push(Heard::End(number));
        }
    }
    told
}

/// What happens to it on the way: lost, late, twice.
#[derive(Clone, Debug)]
struct Way {
    /// For each of what was told: places it comes too late by; copies; none.
    fates: Vec<(u8, u8)>,
    caught_up_at: prop::sample::Index,
}

fn a_way() -> impl Strategy<Value = Way> {
    let late = prop_oneof![8 => Just(0_u8), 3 => 1_u8..8, 1 => 8_u8..60];
    let copies = prop_oneof![1 => Just(0_u8), 8 => Just(1), 3 => Just(2)];
    (prop::collection::vec((late, copies), 200), any::<prop::sample::Index>())
        .prop_map(|(fates, caught_up_at)| Way { fates, caught_up_at })
}

fn heard(told: &[Heard], way: &Way) -> Vec<Heard> {
    let mut due = Vec::new();
    for (at, told) in told.iter().enumerate() {
        let (late, copies) = way.fates[at % way.fates.len()];
        match told {
            Heard::Segment(_) => {
                for copy in 0..usize::from(copies) {
                    due.push((at + usize::from(late) + copy * 7, told.clone()));
                }
            }
            // Facts and ends travel on the control channel, which is in order.
            other => due.push((at, other.clone())),
        }
    }
    due.push((way.caught_up_at.index(told.len()), Heard::CaughtUp));
    due.sort_by_key(|(at, _)| *at);
    due.into_iter().map(|(_, heard)| heard).collect()
}

/// A viewer of every rendition, who loads each version of each playlist, and fetches what it names.
struct Viewer {
    versions: BTreeMap<RenditionId, Versions>,
    findings: Findings,
    /// What can be fetched, by what the window said.
    there: BTreeSet<(RenditionId, u64)>,
    /// The newest number each rendition ever listed, and its discontinuity number.
    newest: BTreeMap<RenditionId, (u64, u64)>,
    /// Where the media clock stood when a segment was last listed, and the longest playlist until then.
    listed: BTreeMap<(RenditionId, u64), (MediaTime, MediaSpan)>,
    /// The end of the newest segment anyone listed: numbers are epoch time, so this is the wall's clock too.
    clock: MediaTime,
    now_ms: u64,
}

impl Viewer {
    fn new() -> Self {
        Self {
            versions: NAMES.iter().map(|name| (id(name), Versions::new(*name))).collect(),
            findings: Findings::default(),
            there: BTreeSet::new(),
            newest: BTreeMap::new(),
            listed: BTreeMap::new(),
            clock: MediaTime::default(),
            now_ms: 0,
        }
    }

    fn look(&mut self, window: &Window<u64>, rendition: &RenditionId) -> Result<(), TestCaseError> {
        let playlist = window.media_playlist(rendition).expect("what is announced is there");
        let text = playlist.render();
        self.now_ms += 10;
        let versions = self.versions.get_mut(rendition).expect("a known rendition");
        // A new run after an end is another broadcast to a viewer: it had been told to go (rule T10).
        if versions.playlist().is_some_and(|before| before.has_ended && !playlist.has_ended) {
            *versions = Versions::new(rendition.as_str());
        }
        // As a viewer would see it who loads at each change and never misses one.
        versions.push(text.as_bytes(), self.now_ms, self.now_ms, &mut self.findings);
        let end = playlist.segments.last().and_then(|last| Some(last.program_date_time? + last.duration));
        self.clock = self.clock.max(end.expect("something is listed"));
        let clock = self.clock;
        for (sequence, discontinuity, segment) in playlist.numbered() {
            let key = (rendition.clone(), sequence.0);
            prop_assert!(segment.is_gap || self.there.contains(&key), "{sequence} is listed and not there");
            prop_assert!(segment.is_gap || window.segment(rendition, sequence) == Some(&sequence.0));
            // Nobody fetches a gap: a body that comes for it once it is listed no more stays as long as any that never was.
            if !segment.is_gap {
                let listed = self.listed.entry(key).or_insert((clock, MediaSpan::ZERO));
                *listed = (clock, listed.1.max(playlist.duration()));
            }
            let newest = self.newest.entry(rendition.clone()).or_insert((0, 0));
            if sequence.0 > newest.0 {
                prop_assert!(discontinuity.0 >= newest.1, "rule T15: the discontinuity number went back");
                *newest = (sequence.0, discontinuity.0);
            }
        }
        Ok(())
    }
}

/// Rules that a broadcast with holes and restarts cannot keep, and why.
fn is_excused(rule: &str, runs: &[Run]) -> bool {
    match rule {
        // A list that begins anew begins short.
        "M15" | "M16" => true,
        // Everything restarted, and runs went by that this edge never saw: the list is emptied, and the number
        // goes on from what the new run says. Only where an ingest says more than one above the last.
        "T04" => runs.iter().any(|run| run.rise > 1),
        _ => false,
    }
}

fn run_through(runs: &[Run], way: &Way, window_len: u32) -> Result<(), TestCaseError> {
    let mut window: Window<u64> = Window::new(stream(0, window_len));
    let mut viewer = Viewer::new();
    for heard in heard(&told(runs), way) {
        match heard {
            Heard::Segment(made) => {
                let body = (!made.facts.is_gap).then_some(made.facts.sequence.0);
                window.push(Input::Segment { rendition: id(NAMES[made.rendition]), facts: made.facts, body });
            }
            Heard::Run(run) => window.push(Input::Facts(stream(run, window_len))),
            Heard::CaughtUp => window.push(Input::CaughtUp),
            Heard::End(run) => window.push(Input::Ended { run: RunId(run) }),
        }
        while let Some(change) = window.pull() {
            match change {
                Change::Stored { rendition, sequence, body } => {
                    prop_assert_eq!(sequence.0, body);
                    prop_assert!(
                        viewer.there.insert((rendition, sequence.0)),
                        "{} is stored twice",
                        sequence
                    );
                }
                Change::Listed { rendition } => viewer.look(&window, &rendition)?,
                Change::Expired { rendition, sequence } => {
                    let key = (rendition.clone(), sequence.0);
                    prop_assert!(viewer.there.remove(&key), "{} was never there", sequence);
                    let playlist = window.media_playlist(&rendition);
                    let names =
                        |s: MediaSequence| playlist.iter().any(|p| p.numbered().any(|(n, ..)| n == s));
                    prop_assert!(!names(sequence), "{} expired while it is listed", sequence);
                    if let Some((clock, longest)) = viewer.listed.get(&key) {
                        let since = viewer.clock.saturating_since(*clock);
                        prop_assert!(since >= *longest, "rule T08: {} went early", sequence);
                    }
                }
                Change::Refused { why, .. } => prop_assert_ne!(why, Refusal::UnknownRendition),
                _ => {}
            }
        }
        let held = viewer.there.len();
        prop_assert!(held <= NAMES.len() * 6 * window_len as usize, "{held} bodies are held");
        prop_assert_eq!(window.bytes_held(), held as u64 * 1000);
    }
    let blamed: Vec<_> =
        viewer.findings.list().iter().filter(|finding| !is_excused(finding.rule.0, runs)).collect();
    prop_assert!(blamed.is_empty(), "{blamed:#?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_playlist_follows_from_the_one_before(
        runs in prop::collection::vec(a_run(), 1..5),
        way in a_way(),
        window_len in 6_u32..12,
    ) {
        run_through(&runs, &way, window_len)?;
    }

    /// Two edges that hear the same in other orders agree on every number both list.
    #[test]
    fn two_edges_agree_on_what_both_list(
        len in 10_u64..60,
        ways in [a_way(), a_way()],
    ) {
        let run = Run { away: 0, len, gaps: 0, rise: 1, ends: false };
        let told = told(&[run.clone(), run]);
        let mut lists: Vec<BTreeMap<(usize, u64), (u64, MediaTime)>> = Vec::new();
        for way in &ways {
            let mut window: Window<u64> = Window::new(stream(0, 6));
            let mut list = BTreeMap::new();
            for heard in heard(&told, way) {
                match heard {
                    Heard::Segment(made) => {
                        let body = Some(made.facts.sequence.0);
                        let rendition = id(NAMES[made.rendition]);
                        window.push(Input::Segment { rendition, facts: made.facts, body });
                    }
                    Heard::Run(run) => window.push(Input::Facts(stream(run, 6))),
                    Heard::CaughtUp => window.push(Input::CaughtUp),
                    Heard::End(_) => {}
                }
                while window.pull().is_some() {}
                for (at, name) in NAMES.iter().enumerate() {
                    let Some(playlist) = window.media_playlist(&id(name)) else { continue };
                    for (sequence, discontinuity, segment) in playlist.numbered().filter(|(_, _, s)| !s.is_gap) {
                        let date = segment.program_date_time.expect("each has a date");
                        list.insert((at, sequence.0), (discontinuity.0, date));
                    }
                }
            }
            lists.push(list);
        }
        for (key, shown) in &lists[0] {
            if let Some(other) = lists[1].get(key) {
                prop_assert_eq!(shown, other, "segment {:?}", key);
            }
        }
    }
}
