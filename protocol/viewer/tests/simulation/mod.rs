//! A simulated broadcast at simulated edges, on virtual time, and one viewer of it.
//!
//! The broadcast has run for a while when the viewer comes. Segment `n` is listed at second `2 (n + 1)`, and has
//! what happened in the two seconds before. Everything that is random comes from the seed.
#![allow(clippy::unwrap_used, reason = "a simulation that cannot go on is a failed test")]
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use viewer::{Ask, AskId, AskKind, Event, Failure, Input, Now, Options, Output, Tally, Url, Viewer};

/// One segment.
pub const SEGMENT: Duration = Duration::from_secs(2);
/// The calendar when virtual time is zero.
pub const EPOCH_MILLIS: u64 = 1_785_500_000_000;
/// When the viewer comes.
pub const ARRIVES: Duration = Duration::from_millis(100_300);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Connections are refused, those that are open are reset.
    Killed,
    /// Nothing is said any more.
    BlackHole,
    /// Playlists stand still, segments are answered.
    Stale,
    /// This status, to everything.
    Status(u16),
}

/// A steering server beside the entry: names the edges it believes to be well before the others.
#[derive(Clone, Debug)]
pub struct Steering {
    pub ttl: Duration,
    /// How long it takes to notice what happens to an edge.
    pub notices_after: Duration,
    /// From when to when nobody is there.
    pub away: Option<(Duration, Duration)>,
    /// Answers with this status instead, from a moment on, and this Retry-After.
    pub refuses: Option<(Duration, u16, Option<Duration>)>,
    /// What it asks viewers to use from a moment on, whatever it believes.
    pub wishes: Option<(Duration, usize)>,
}

impl Default for Steering {
    fn default() -> Self {
        let (ttl, notices_after) = (Duration::from_secs(5), Duration::from_secs(1));
        Self { ttl, notices_after, away: None, refuses: None, wishes: None }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// What is wrong with it, from when to when.
    pub trouble: Option<(Duration, Duration, Trouble)>,
    /// How far it is behind the others.
    pub lag: Duration,
    /// Its bytes and names differ: each segment is called otherwise.
    pub differs: bool,
}

/// Edges `http://e0`, `http://e1`, ... and an entry `http://lb` that redirects to the first.
#[derive(Clone, Debug)]
pub struct World {
    pub edges: Vec<Edge>,
    /// Whether the first edge alone is listed, and the others by our list.
    pub by_edge_list: bool,
    pub round_trip: Duration,
    pub bits_per_second: u64,
    pub rungs: Vec<u64>,
    pub window: u64,
    pub can_block: bool,
    /// The publisher is absent: from when, how long.
    pub pause: Option<(Duration, Duration)>,
    /// The last segment, and ENDLIST with it.
    pub last: Option<u64>,
    /// Segments without media.
    pub gaps: BTreeSet<u64>,
    /// One in so many playlists has a few bytes that are others.
    pub garbles_one_in: Option<u64>,
    /// Numbers are lower by so much from then on.
    pub restart: Option<(Duration, u64)>,
    pub steering: Option<Steering>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            edges: vec![Edge::default(), Edge::default(), Edge::default()],
            by_edge_list: false,
            round_trip: Duration::from_millis(20),
            bits_per_second: 20_000_000,
            rungs: vec![2_000_000, 5_000_000, 800_000],
            window: 10,
            can_block: false,
            pause: None,
            last: None,
            gaps: BTreeSet::new(),
            garbles_one_in: None,
            restart: None,
            steering: None,
        }
    }
}

impl World {
    /// Something is wrong with one edge, from a moment on, for good.
    pub fn trouble(mut self, edge: usize, from: Duration, trouble: Trouble) -> Self {
        self.edges[edge].trouble = Some((from, Duration::MAX, trouble));
        self
    }

    /// When segment `n` is listed at the origin.
    pub fn listed_at(&self, n: u64) -> Duration {
        let at = SEGMENT * (n as u32 + 1);
        match self.pause {
            Some((from, long)) if at > from => at + long,
            _ => at,
        }
    }

    fn trouble_at(&self, edge: usize, at: Duration) -> Option<Trouble> {
        let (from, until, trouble) = self.edges[edge].trouble?;
        (from <= at && at < until).then_some(trouble)
    }

    /// How many segments an edge lists.
    fn listed(&self, edge: usize, at: Duration) -> u64 {
        let at = match self.edges[edge].trouble {
            Some((from, until, Trouble::Stale)) if (from..until).contains(&at) => from,
            _ => at,
        };
        let at = at.saturating_sub(self.edges[edge].lag);
        let most = self.last.map_or(u64::MAX, |last| last + 1);
        (0..).take_while(|n| *n < most && self.listed_at(*n) <= at).count() as u64
    }

    /// When an edge lists segment `n`; `None` for never.
    fn lists_at(&self, edge: usize, n: u64, at: Duration) -> Option<Duration> {
        if self.last.is_some_and(|last| n > last) {
            return None;
        }
        let due = (self.listed_at(n) + self.edges[edge].lag).max(at);
        match self.edges[edge].trouble {
            Some((from, until, Trouble::Stale)) if (from..until).contains(&due) => {
                Some(until).filter(|until| *until < Duration::MAX)
            }
            _ => Some(due),
        }
    }

    fn multivariant(&self) -> String {
        let here = |edge: usize| format!("http://e{edge}/v/token/demo");
        let listed = if self.by_edge_list { 1 } else { self.edges.len() };
        let streams = (0..listed).flat_map(|edge| (0..self.rungs.len()).map(move |rung| (edge, rung)));
        let variant_streams = streams
            .map(|(edge, rung)| hls::VariantStream {
                uri: format!("{}/r{rung}/index.m3u8", here(edge)),
                bandwidth: media::BitRate(self.rungs[rung]),
                pathway_id: Some(format!("edge{edge}")),
                ..hls::VariantStream::default()
            })
            .collect();
        let edges: Vec<_> = (0..self.edges.len()).map(|edge| format!("edge{edge}=http://e{edge}")).collect();
        let session_data = vec![hls::SessionData {
            data_id: "com.mascaret.edges".into(),
            value: Some(edges.join(" ")),
            ..hls::SessionData::default()
        }];
        let content_steering = self.steering.as_ref().map(|_| hls::ContentSteering {
            server_uri: "http://lb/steer/token/demo".into(),
            pathway_id: Some("edge0".into()),
        });
        hls::MultivariantPlaylist {
            variant_streams,
            session_data,
            content_steering,
            ..hls::MultivariantPlaylist::default()
        }
        .render()
    }

    /// The steering manifest at that moment.
    fn order(&self, steering: &Steering, at: Duration) -> String {
        let believed_at = at.saturating_sub(steering.notices_after);
        let mut edges: Vec<usize> = (0..self.edges.len()).collect();
        edges.sort_by_key(|edge| self.trouble_at(*edge, believed_at).is_some());
        if let Some((_, wished)) = steering.wishes.filter(|(from, _)| *from <= at) {
            edges.sort_by_key(|edge| *edge != wished);
        }
        let names: Vec<_> = edges.into_iter().map(|edge| format!("\"edge{edge}\"")).collect();
        let (ttl, names) = (steering.ttl.as_secs(), names.join(","));
        format!(
            "{{\"VERSION\":1,\"TTL\":{ttl},\"RELOAD-URI\":\"/steer/token/demo\",\"PATHWAY-PRIORITY\":[{names}]}}"
        )
    }

    fn media(&self, edge: usize, at: Duration) -> String {
        let next = self.listed(edge, at);
        let first = next.saturating_sub(self.window);
        let segment = |n: u64| {
            let began = self.listed_at(n).saturating_sub(SEGMENT);
            let has_pause = n > 0 && self.listed_at(n) - self.listed_at(n - 1) > SEGMENT;
            let name = if self.edges[edge].differs { "other" } else { "" };
            hls::Segment {
                uri: format!("{name}{n}.ts"),
                duration: media::MediaSpan::from_millis(SEGMENT.as_millis() as u64),
                program_date_time: Some(media::MediaTime::from_unix_millis(
                    EPOCH_MILLIS + began.as_millis() as u64,
                )),
                is_discontinuous: has_pause,
                is_gap: self.gaps.contains(&n),
                ..hls::Segment::default()
            }
        };
        let lower = self.restart.filter(|(from, _)| *from <= at).map_or(0, |(_, by)| by);
        let before = self.pause.map_or(0, |_| (1..first).filter(|n| segment(*n).is_discontinuous).count());
        hls::MediaPlaylist {
            target_duration: hls::TargetDuration(2),
            media_sequence: media::MediaSequence(first - lower),
            discontinuity_sequence: media::DiscontinuitySequence(before as u64),
            server_control: self
                .can_block
                .then(|| hls::ServerControl { can_block_reload: true, ..hls::ServerControl::default() }),
            segments: (first..next).map(segment).collect(),
            has_ended: self.last.is_some_and(|last| next > last),
            ..hls::MediaPlaylist::default()
        }
        .render()
    }
}

enum Coming {
    Head(u16, Option<String>, Option<Duration>),
    Order(String),
    Progress,
    Playlist(String),
    Segment(u64),
    Failed(Failure),
}

/// A viewer in its world.
pub struct Story {
    pub world: World,
    pub viewer: Viewer,
    start: Instant,
    pub at: Duration,
    coming: BTreeMap<(Duration, u64), (AskId, Coming)>,
    asked: BTreeMap<AskId, (Ask, Option<usize>)>,
    pushed: u64,
    pub events: Vec<(Duration, Event)>,
    pub asks: Vec<(Duration, Ask)>,
    pub cancels: usize,
    /// When segments were whole: what the reference counts from.
    arrivals: Vec<Duration>,
    garbling: u64,
}

impl Story {
    pub fn new(world: World, options: Options, seed: u64) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant cannot be made from nothing; tests only add to it"
        )]
        let start = Instant::now();
        let entry = Url::parse("http://lb/live/demo/index.m3u8").unwrap();
        let now = Now { at: start + ARRIVES, unix_millis: EPOCH_MILLIS + ARRIVES.as_millis() as u64 };
        let viewer = Viewer::new(now, Arc::new(options), entry, seed);
        let mut story = Self {
            world,
            viewer,
            start,
            at: ARRIVES,
            coming: BTreeMap::new(),
            asked: BTreeMap::new(),
            pushed: 0,
            events: Vec::new(),
            asks: Vec::new(),
            cancels: 0,
            arrivals: Vec::new(),
            garbling: seed,
        };
        story.drain();
        story
    }

    pub fn now(&self) -> Now {
        Now { at: self.start + self.at, unix_millis: EPOCH_MILLIS + self.at.as_millis() as u64 }
    }

    pub fn tally(&self) -> Tally {
        self.viewer.tally(self.now())
    }

    /// Lets time go by until `until` after the viewer came.
    pub fn run(&mut self, until: Duration) -> &mut Self {
        let until = ARRIVES + until;
        loop {
            let deadline = self.viewer.deadline().map(|at| at.saturating_duration_since(self.start));
            let coming = self.coming.keys().next().copied();
            let next = match (deadline, coming) {
                (Some(deadline), Some((at, _))) => deadline.min(at),
                (Some(at), None) | (None, Some((at, _))) => at,
                (None, None) => until,
            };
            if next >= until {
                self.at = until;
                self.push(Input::Tick);
                return self;
            }
            self.pushed += 1;
            assert!(self.pushed < 200_000, "does not come to rest: {:?} at {next:?}", self.viewer);
            self.at = self.at.max(next);
            match coming {
                Some(key) if key.0 <= next => {
                    let (id, coming) = self.coming.remove(&key).unwrap();
                    self.arrives(id, coming);
                }
                _ => self.push(Input::Tick),
            }
        }
    }

    pub fn push(&mut self, input: Input<'_>) {
        self.viewer.push(self.now(), input);
        self.drain();
    }

    fn arrives(&mut self, ask: AskId, coming: Coming) {
        let Some((asked, edge)) = self.asked.get(&ask) else { return };
        let (kind, edge) = (asked.kind, *edge);
        // What was under way when the edge fell silent never comes.
        if edge.is_some_and(|edge| {
            edge < self.world.edges.len() && self.world.trouble_at(edge, self.at) == Some(Trouble::BlackHole)
        }) {
            return;
        }
        match coming {
            Coming::Order(body) => {
                self.asked.remove(&ask);
                self.push(Input::Steering { ask, body: body.as_bytes() });
            }
            Coming::Head(status, location, retry_after) => {
                if !(200..300).contains(&status) {
                    self.asked.remove(&ask);
                }
                self.push(Input::Head { ask, status, location: location.as_deref(), retry_after });
            }
            Coming::Progress => self.push(Input::Progress { ask }),
            Coming::Playlist(body) => {
                self.asked.remove(&ask);
                let mut body = body.into_bytes();
                self.garble(&mut body);
                self.push(Input::Playlist { ask, body: &body });
            }
            Coming::Segment(bytes) => {
                self.asked.remove(&ask);
                if matches!(kind, AskKind::Segment { .. }) {
                    self.arrivals.push(self.at);
                }
                self.push(Input::Segment { ask, bytes });
            }
            Coming::Failed(why) => {
                self.asked.remove(&ask);
                self.push(Input::Failed { ask, why });
            }
        }
    }

    fn garble(&mut self, body: &mut [u8]) {
        let Some(one_in) = self.world.garbles_one_in else { return };
        let mut next = |end: u64| {
            self.garbling = self.garbling.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (self.garbling >> 33) % end
        };
        if next(one_in) == 0 {
            for _ in 0..=next(3) {
                // What means something in a playlist, more often than not.
                let with = b"0123456789:,=\"#-.@EXT \n\xff";
                let with = with[next(with.len() as u64) as usize];
                body[next(body.len() as u64) as usize] = with;
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.viewer.pull() {
            match output {
                Output::Ask(ask) => {
                    assert!(ask.due <= self.start + self.at, "due before it is asked");
                    self.asks.push((self.at, ask.clone()));
                    self.ask(ask);
                }
                Output::Cancel(id) => {
                    self.cancels += 1;
                    assert!(self.asked.remove(&id).is_some(), "cancelled what was not open");
                }
                Output::Event { at, event } => {
                    self.events.push((at.saturating_duration_since(self.start), event))
                }
            }
        }
    }

    fn comes(&mut self, at: Duration, id: AskId, coming: Coming) {
        self.pushed += 1;
        self.coming.insert((at, self.pushed), (id, coming));
    }

    fn ask(&mut self, ask: Ask) {
        let id = ask.id;
        let edge: Option<usize> = ask.url.host().strip_prefix('e').and_then(|edge| edge.parse().ok());
        self.asked.insert(id, (ask.clone(), edge));
        let there = self.at + self.world.round_trip / 2;
        let back = self.at + self.world.round_trip;
        let Some(edge) = edge.filter(|edge| *edge < self.world.edges.len()) else {
            if ask.url.host() != "lb" {
                return self.comes(back, id, Coming::Failed(Failure::Name));
            }
            if ask.kind == AskKind::Steering {
                return self.steer(&ask, there, back);
            }
            let location = "http://e0/v/token/demo/index.m3u8".to_owned();
            return self.comes(back, id, Coming::Head(307, Some(location), None));
        };
        match self.world.trouble_at(edge, there) {
            Some(Trouble::Killed) => return self.comes(back, id, Coming::Failed(Failure::Refused)),
            Some(Trouble::Status(status)) => return self.comes(back, id, Coming::Head(status, None, None)),
            _ => {}
        }
        let (answered, body) = match ask.kind {
            AskKind::Multivariant => (there, Coming::Playlist(self.world.multivariant())),
            AskKind::Steering => return self.comes(back, id, Coming::Head(404, None, None)),
            AskKind::Media { .. } => {
                let msn = ask.url.target().split_once("_HLS_msn=").map(|(_, msn)| msn.parse().unwrap_or(0));
                assert!(msn.is_some() == ask.is_blocking || self.world.garbles_one_in.is_some());
                let answered = match msn.filter(|_| self.world.can_block) {
                    Some(msn) => self.world.lists_at(edge, msn, there),
                    None => Some(there),
                };
                let Some(answered) = answered else { return };
                (answered, Coming::Playlist(self.world.media(edge, answered)))
            }
            AskKind::Init { .. } => (there, Coming::Segment(1000)),
            AskKind::Segment { rung, sequence } => {
                let lower = self.world.restart.map_or(0, |(_, by)| by);
                let name: String = ask.url.tail().chars().filter(char::is_ascii_digit).collect();
                let is_garbled = self.world.garbles_one_in.is_some() || lower > 0;
                assert!(
                    name.ends_with(&sequence.0.to_string()) || is_garbled,
                    "{} is not {sequence:?}",
                    ask.url
                );
                (there, Coming::Segment(self.world.rungs[usize::from(rung)] / 4))
            }
        };
        let head = answered + self.world.round_trip / 2;
        let whole = match &body {
            Coming::Segment(bytes) => {
                head + Duration::from_secs_f64(*bytes as f64 * 8.0 / self.world.bits_per_second as f64)
            }
            _ => head + Duration::from_micros(100),
        };
        // An edge that is killed in the meantime resets.
        if let Some((from, until, Trouble::Killed)) = self.world.edges[edge].trouble
            && from < whole
            && there < until
        {
            if head < from {
                self.comes(head, id, Coming::Head(200, None, None));
            }
            return self.comes(from.max(there), id, Coming::Failed(Failure::Reset));
        }
        self.comes(head, id, Coming::Head(200, None, None));
        let mut progress = head + Duration::from_secs(1);
        while progress < whole {
            self.comes(progress, id, Coming::Progress);
            progress += Duration::from_secs(1);
        }
        self.comes(whole, id, body);
    }

    fn steer(&mut self, ask: &Ask, there: Duration, back: Duration) {
        let steering = self.world.steering.clone().unwrap_or_default();
        let target = ask.url.target();
        assert!(target.starts_with("/steer/token/demo?_HLS_pathway=%22edge"), "{target}");
        if steering.away.is_some_and(|(from, until)| (from..until).contains(&there)) {
            return self.comes(back, ask.id, Coming::Failed(Failure::Refused));
        }
        if let Some((_, status, wait)) = steering.refuses.filter(|(from, ..)| *from <= there) {
            return self.comes(back, ask.id, Coming::Head(status, None, wait));
        }
        let order = self.world.order(&steering, there);
        self.comes(back, ask.id, Coming::Head(200, None, None));
        self.comes(back + Duration::from_micros(100), ask.id, Coming::Order(order));
    }

    /// What a person with a stop-watch would count: stalls and how long they were, from the arrivals alone.
    pub fn counted(&self) -> (u32, Duration, Duration) {
        let Some(&first) = self.arrivals.first() else { return (0, Duration::ZERO, Duration::ZERO) };
        let (mut empty, mut stalls, mut stalled) = (first, 0, Duration::ZERO);
        for &arrival in &self.arrivals {
            if arrival > empty {
                stalls += 1;
                stalled += arrival - empty;
                empty = arrival;
            }
            empty += SEGMENT;
        }
        if self.at >= empty {
            stalls += 1;
            stalled += self.at - empty;
        }
        (stalls, stalled, self.at - first - stalled)
    }

    pub fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| is_it(event)).count()
    }
}
