//! What may never be, whatever goes wrong; and what must be again when it is over.
//!
//! Lives here: what was seen so far, and the laws as sentences. Does not live here: who looks when (`edge`, `balancer`,
//! `watcher` call at every step that could break one).

use super::agenda::{Micros, SECOND};
use super::weather::{Feeding, Kind, Place, Weather};
use super::{Day, ingest};
use bytes::Bytes;
use edgefan::EdgeState;
use media::{ContentHash, ObjectKey, RenditionId, RunId, SegmentFacts};
use std::collections::{BTreeMap, BTreeSet};
use viewer::{Event, Fault, State};

/// Which law, and how it is broken.
pub(crate) type Offence = (&'static str, String);

const TWICE: &str = "no key is visible twice";
const TWO_HASHES: &str = "no key has two hashes";
const UNSETTLED: &str = "no number is listed that is not settled";
const LOST: &str = "an acknowledged key is not lost inside the window";
const AGREE: &str = "playlists agree on every shared sequence";
const BACK: &str = "numbers never go back";
const STALL: &str = "no viewer stalls where the table says nothing";
const GAP: &str = "no gap where the table says nothing";
const PROMISE: &str = "no viewer reads a broken promise";
const NIGHT: &str = "everybody is back when everything is over";
const BOUND: &str = "memory stays within its bounds";

/// A number within a rendition.
type Number = (RenditionId, u64);

/// What everybody has said of a number.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    duration_ticks: u64,
    start_ms: Option<u64>,
    discontinuity: u64,
}

/// What was seen of one edge since it started.
#[derive(Debug, Default)]
struct Seen {
    complete: BTreeSet<ObjectKey>,
    numbers: BTreeSet<Number>,
    skipped: BTreeSet<ObjectKey>,
    /// The newest run that has passed over a number.
    passed_over: BTreeMap<Number, RunId>,
    /// What the window lists as a gap.
    gaps: BTreeSet<Number>,
    /// By rendition: first number, discontinuities before it, last number of the newest playlist.
    newest: BTreeMap<RenditionId, (u64, u64, u64)>,
    /// When a segment was complete later than [`LATE`] the last time.
    late_at: Option<Micros>,
}

/// A segment that is complete so long after an ingest has settled it makes an edge that lags wait anew: a quarter of a
/// target duration (`edge::lag`).
const LATE: Micros = SECOND / 2;
/// An edge that lagged keeps up again after so long without one, eight target durations, and has said so.
const CALM: Micros = 17 * SECOND;

/// Everything seen.
#[derive(Debug)]
pub(crate) struct Laws {
    hashes: BTreeMap<ObjectKey, ContentHash>,
    /// By path tail: the bytes that belong to it, of every run.
    bodies: BTreeMap<Number, Vec<Bytes>>,
    said: BTreeMap<Number, Said>,
    edges: Vec<Seen>,
    /// The newest number any ingest has settled, and when.
    newest_made: (u64, Micros),
    /// When each number was settled first.
    made_at: BTreeMap<u64, Micros>,
    shown: u64,
    digest: u64,
    may_split: bool,
}

impl Laws {
    pub(crate) fn new(weather: &Weather) -> Self {
        Self {
            may_split: weather.splits_twins(),
            hashes: BTreeMap::new(),
            bodies: BTreeMap::new(),
            said: BTreeMap::new(),
            edges: (0..weather.edges).map(|_| Seen::default()).collect(),
            newest_made: (0, 0),
            made_at: BTreeMap::new(),
            shown: 0,
            digest: 0,
        }
    }

    pub(crate) fn shown(&self) -> u64 {
        self.shown
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    fn digests(&mut self, number: u64) {
        self.digest = (self.digest.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(crate) fn edge_starts(&mut self, edge: usize) {
        self.edges[edge] = Seen::default();
    }

    /// An ingest has settled a segment.
    pub(crate) fn made(&mut self, ingest: usize, key: &ObjectKey, facts: &SegmentFacts, now: Micros) {
        self.digests(key.sequence.0 << 2 | u64::from(facts.is_gap) << 1 | ingest as u64);
        self.made_at.entry(key.sequence.0).or_insert(now);
        if key.sequence.0 > self.newest_made.0 {
            self.newest_made = (key.sequence.0, now);
        }
    }

    /// An edge has a segment whole.
    pub(crate) fn complete(
        &mut self,
        edge: usize,
        key: &ObjectKey,
        hash: ContentHash,
        body: &Bytes,
        now: Micros,
    ) -> Result<(), Offence> {
        self.shown += 1;
        if self.made_at.get(&key.sequence.0).is_some_and(|at| now > at + LATE) {
            self.edges[edge].late_at = Some(now);
        }
        self.digests(key.sequence.0 ^ u64::from(hash.0[0]) << 40 ^ (edge as u64) << 50);
        let known = self.hashes.entry(key.clone()).or_insert(hash);
        if (*known != hash && !self.may_split) || ContentHash(*blake3::hash(body).as_bytes()) != hash {
            return Err((TWO_HASHES, format!("{key} at edge{edge} has not the bytes it has elsewhere")));
        }
        let number = (key.rendition.clone(), key.sequence.0);
        let bodies = self.bodies.entry(number.clone()).or_default();
        if !bodies.contains(body) {
            bodies.push(body.clone());
        }
        let seen = &mut self.edges[edge];
        // What an older run brings of a number that a newer one has passed over is not shown.
        let is_over = seen.passed_over.get(&number).is_some_and(|run| *run > key.run);
        if !is_over && !seen.gaps.contains(&number) {
            seen.numbers.insert(number);
        }
        if seen.skipped.contains(key) {
            return Err((TWICE, format!("{key} is complete at edge{edge} after it was a gap")));
        }
        if !seen.complete.insert(key.clone()) {
            return Err((TWICE, format!("{key} is complete at edge{edge} again")));
        }
        Ok(())
    }

    /// An edge passes over a number.
    pub(crate) fn skipped(&mut self, edge: usize, key: &ObjectKey) -> Result<(), Offence> {
        self.digests(key.sequence.0 ^ 1 << 33 ^ (edge as u64) << 50);
        let seen = &mut self.edges[edge];
        let run = seen.passed_over.entry((key.rendition.clone(), key.sequence.0)).or_insert(key.run);
        *run = key.run.max(*run);
        if seen.complete.contains(key) {
            return Err((TWICE, format!("{key} is a gap at edge{edge} after it was complete")));
        }
        if !seen.skipped.insert(key.clone()) {
            return Err((TWICE, format!("{key} is a gap at edge{edge} again")));
        }
        Ok(())
    }

    /// An edge's window lists this, whether viewers are shown it or not: a listed gap stays one, whatever comes later.
    pub(crate) fn lists(&mut self, edge: usize, rendition: &RenditionId, list: &hls::MediaPlaylist) {
        let gaps = (list.media_sequence.0..).zip(&list.segments).filter(|(_, segment)| segment.is_gap);
        for (number, _) in gaps {
            let name = (rendition.clone(), number);
            let seen = &mut self.edges[edge];
            if !seen.numbers.contains(&name) {
                seen.gaps.insert(name);
            }
        }
    }

    /// A viewer has a segment whole.
    pub(crate) fn fetched(&mut self, viewer: usize, path: &str, body: &Bytes) -> Result<(), Offence> {
        let mut parts = path.rsplit('/');
        let number = parts.next().and_then(|name| name.strip_suffix(".ts")?.parse::<u64>().ok());
        let rendition = parts.next().and_then(|name| RenditionId::parse(name).ok());
        let (Some(number), Some(rendition)) = (number, rendition) else {
            return Err((TWO_HASHES, format!("viewer{viewer} fetched {path}, which is no segment")));
        };
        self.digests(number ^ (viewer as u64) << 45);
        match self.bodies.get(&(rendition, number)).is_some_and(|bodies| bodies.contains(body)) {
            true => Ok(()),
            false => Err((TWO_HASHES, format!("viewer{viewer} was given other bytes for {path}"))),
        }
    }

    /// A viewer noticed something; `reads_anew`: in the first it reads of an edge that was killed and is there again.
    pub(crate) fn noticed(
        &mut self,
        viewer: usize,
        event: &Event,
        reads_anew: bool,
        weather: &Weather,
    ) -> Result<(), Offence> {
        let sees_nothing = matches!(weather.kind, Kind::Calm | Kind::Unnoticed) && !is_single(weather);
        match event {
            // An edge remembers nothing of its life before (decision 22).
            Event::Fault(fault) if reads_anew && weather.kind == Kind::Storm && is_forgotten(fault) => Ok(()),
            // Where everybody who had it was killed, nobody has it.
            Event::Fault(Fault::NumbersSkipped { .. }) if !sees_nothing => Ok(()),
            Event::Fault(Fault::DiscontinuityChanged { elsewhere: true, .. }) if !counts_alike(weather) => {
                Ok(())
            }
            Event::Fault(fault) => Err((PROMISE, format!("viewer{viewer}: {fault:?}"))),
            Event::Stalled if sees_nothing => Err((STALL, format!("viewer{viewer} stalls"))),
            Event::Gap { sequence } if sees_nothing => {
                Err((GAP, format!("viewer{viewer} meets a gap at {sequence}")))
            }
            _ => Ok(()),
        }
    }
}

/// Segments in a day's windows.
const WINDOW: u64 = 6;

/// What an edge's new life may say otherwise than the one before: how discontinuities count, and that its window begins
/// earlier, by no more than a window.
fn is_forgotten(fault: &Fault) -> bool {
    match fault {
        Fault::SequenceWentBack { from, to } => from.0 - to.0 <= WINDOW,
        Fault::DiscontinuityWentBack { .. } | Fault::DiscontinuityChanged { .. } => true,
        _ => false,
    }
}

/// An ingest that takes over without a word from the other begins to count discontinuities where that one began.
fn counts_alike(weather: &Weather) -> bool {
    weather.feeding == Feeding::Both && weather.kind != Kind::Storm
}

/// One fault in the only line there is may be seen, whatever the table says of two.
fn is_single(weather: &Weather) -> bool {
    use super::weather::Trouble;
    let hits_ingest = weather.faults.iter().any(|fault| {
        matches!(
            fault.trouble,
            Trouble::Kill(Place::Ingest(_))
                | Trouble::Pause(Place::Ingest(_))
                | Trouble::Cut(Place::Ingest(_), ..)
        )
    });
    weather.feeding == Feeding::One && hits_ingest
}

impl Day {
    /// An edge lists something new.
    pub(super) fn check_listing(
        &mut self,
        edge: usize,
        rendition: &RenditionId,
        text: &[u8],
    ) -> Result<(), Offence> {
        let list = hls::MediaPlaylist::parse(text).map_err(|error| {
            (PROMISE, format!("edge{edge} {rendition}: its playlist cannot be read: {error}"))
        })?;
        let first = list.media_sequence.0;
        let mut discontinuity = list.discontinuity_sequence.0;
        let last = (first + list.segments.len() as u64).saturating_sub(1);
        let before = self.laws.edges[edge].newest.insert(rendition.clone(), (first, discontinuity, last));
        if let Some((first_then, discontinuity_then, last_then)) = before
            && (first < first_then || discontinuity < discontinuity_then || last < last_then)
        {
            let what = format!(
                "edge{edge} {rendition} listed {first_then}..={last_then} behind {discontinuity_then} discontinuities, \
                 now {first}..={last} behind {discontinuity}"
            );
            return Err((BACK, what));
        }
        for (nth, segment) in list.segments.iter().enumerate() {
            let number = first + nth as u64;
            let name = (rendition.clone(), number);
            // The one the list begins with has its mark counted already.
            discontinuity += u64::from(segment.is_discontinuous);
            let said = Said {
                duration_ticks: segment.duration.ticks(),
                start_ms: segment.program_date_time.map(|at| at.unix_millis()),
                discontinuity,
            };
            let has = self.laws.edges[edge].numbers.contains(&name);
            if segment.is_gap {
                if has {
                    return Err((LOST, format!("edge{edge} had {rendition}/{number} and lists a gap")));
                }
                continue;
            }
            if !has {
                return Err((
                    UNSETTLED,
                    format!("edge{edge} lists {rendition}/{number} and has never had it"),
                ));
            }
            let known = self.laws.said.entry(name.clone()).or_insert_with(|| said.clone());
            let counts_alike = known.discontinuity == said.discontinuity || !counts_alike(&self.weather);
            let agree = known.duration_ticks == said.duration_ticks
                && counts_alike
                && (known.start_ms.is_none() || said.start_ms.is_none() || known.start_ms == said.start_ms);
            if !agree {
                let what = format!("{rendition}/{number} was {known:?}, edge{edge} says {said:?}");
                return Err((AGREE, what));
            }
            let path = format!("/live/tide/{rendition}/{number}.ts");
            match self.read(edge, &path) {
                Some((200, body)) => {
                    if !self.laws.bodies.get(&name).is_some_and(|bodies| bodies.contains(&body)) {
                        return Err((TWO_HASHES, format!("edge{edge} serves other bytes for {path}")));
                    }
                }
                other => {
                    let status = other.map(|(status, _)| status);
                    return Err((LOST, format!("edge{edge} lists {path} and answers {status:?}")));
                }
            }
        }
        Ok(())
    }

    /// Everything is over, and everybody has had time.
    pub(super) fn judge_night(&mut self) {
        let is_fed = self.now.saturating_sub(self.laws.newest_made.1) < 5 * SECOND;
        if !is_fed {
            let what = format!("no ingest has settled anything since {} µs", self.laws.newest_made.1);
            return self.breaks(NIGHT, what);
        }
        for index in 0..self.edges.len() {
            let edge = &self.edges[index];
            let (links, controls, state) = (edge.links(), edge.controls(), edge.state());
            let is_well = state == EdgeState::Ready || (state == EdgeState::Lagging && self.may_lag(index));
            if !edge.life.is_up() || links != 2 || controls != 2 || !is_well {
                let what =
                    format!("edge{index} is {:?}, {state:?}, {links} links, {controls} controls", edge.life);
                return self.breaks(NIGHT, what);
            }
            for rendition in ["360p", "180p"] {
                let newest =
                    RenditionId::parse(rendition).ok().and_then(|id| self.laws.edges[index].newest.get(&id));
                let last = newest.map_or(0, |(_, _, last)| *last);
                if last + 1 < self.laws.newest_made.0 {
                    let what = format!(
                        "edge{index} lists {rendition} to {last}, made is {}",
                        self.laws.newest_made.0
                    );
                    return self.breaks(NIGHT, what);
                }
            }
        }
        for index in 0..2 {
            let links = self.ingests[index].links();
            if links != self.edges.len() as u64 {
                return self.breaks(NIGHT, format!("ingest{index} has {links} links"));
            }
        }
        for index in 0..2 {
            let down = self.balancers[index].down_since.keys().find(|edge| !self.may_lag(**edge));
            if let Some(edge) = down {
                return self.breaks(NIGHT, format!("lb{index} does not call edge{edge} ready"));
            }
        }
        for index in 0..self.watchers.len() {
            let Some(tally) = self.watchers[index].tally(self) else { continue };
            if tally.state != State::Playing {
                return self.breaks(NIGHT, format!("viewer{index} is {:?}", tally.state));
            }
        }
    }

    /// What came through a narrow line in the end may have come a moment ago.
    fn may_lag(&self, edge: usize) -> bool {
        self.laws.edges[edge].late_at.is_some_and(|at| at + CALM > self.now)
    }

    /// What is held, now and then.
    pub(super) fn check_bounds(&mut self, edge: usize) {
        // Two sources, two renditions, what is open and what was just closed, and a margin for late ones.
        let unfinished = self.edges[edge].unfinished_bytes();
        if unfinished > 256 * 1024 {
            self.breaks(BOUND, format!("edge{edge} holds {unfinished} bytes that are not whole"));
        }
        for index in 0..2 {
            let held = self.ingests[index].hub_bytes();
            if held > u64::from(ingest::WINDOW + 8) * 2 * 10_000 {
                self.breaks(BOUND, format!("ingest{index} holds {held} bytes"));
            }
        }
    }
}
