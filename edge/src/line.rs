//! The edge's line: what the links bring, through a window per broadcast, to what every core is told.
//!
//! Lives here: the order of the rooms (one [`Line::carry`]), freshness, the memory ceiling, and when a broadcast is
//! forgotten. Does not live here: what the lobby says (`lobby`), a playlist as it is sent (`pages`) and what it says
//! (`window`), how a body is kept (`B`, made by the store that [`Line::new`] is given), threads and handles (`shell`).

use crate::lane::{Lane, Rest};
use crate::privacy::{LobbyWord, Privacy};
use delivery::{Segment, Update};
use edgefan::{Event, SourceId};
use media::{BroadcastId, MediaSpan, ObjectKey, ObjectKind, RunId, SegmentFacts, StreamFacts};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};
use window::{Change, Input};

mod lobby;
mod pages;

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) unix_secs: u64,
}

/// What holds from the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) cors: http::Cors,
    /// By the settings.
    pub(crate) private: HashSet<BroadcastId>,
    /// What the lobby has said before this edge began.
    pub(crate) lobby: LobbyWord,
    pub(crate) blocking_reload: bool,
    /// Bytes of all windows together.
    pub(crate) window_bytes: u64,
    pub(crate) keep_ended: Duration,
}

/// What leaves the line.
#[derive(Clone, Debug)]
pub(crate) enum Output<B> {
    /// For every core.
    Cores(Update<B>),
    /// For every balancer: what is listed here.
    Stream(StreamFacts),
    /// For every balancer: it is listed here no more.
    End(BroadcastId, RunId),
}

/// What the line has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    pub(crate) segments: u64,
    pub(crate) gaps: u64,
    /// Segments that became gaps because no memory was left for them.
    pub(crate) no_room: u64,
    /// Segments, parts and facts a window did not take.
    pub(crate) refused: u64,
    /// Broadcasts not taken: too many, or too little memory left.
    pub(crate) broadcasts_refused: u64,
    /// Second copies with another hash.
    pub(crate) differed: u64,
    /// Ingests that are not listened to any more for a broadcast, each time it happened.
    pub(crate) quarantined: u64,
}

/// Puts a head and a body where they can be sent from.
pub(crate) type Store<B> = Box<dyn FnMut(&[u8], &[u8]) -> io::Result<B> + Send>;

/// All broadcasts of this edge.
pub(crate) struct Line<B> {
    rules: Rules,
    privacy: Privacy,
    store: Store<B>,
    lanes: BTreeMap<BroadcastId, Lane<B>>,
    /// Rooms of chat that the lobby has told of: as many as `chat` lets it.
    rooms: BTreeSet<BroadcastId>,
    links: BTreeMap<SourceId, String>,
    out: VecDeque<Output<B>>,
    counts: LineCounts,
    /// Since when there has been a link.
    linked_at: Option<Instant>,
    /// Everything that was there when this edge came is here: it may say that it is ready.
    has_joined: bool,
}

/// Broadcasts an edge knows at once; as many as a link tells of. One more is refused and counted.
pub(crate) const BROADCASTS: usize = edgefan::limits::BROADCASTS;

/// Part of the memory ceiling above which no new broadcast is taken, so that those that are there go on.
const NEW_BELOW: (u64, u64) = (9, 10);

/// How long after a broadcast's newest segments are here the rest of its window may take. Then it is listed without:
/// a viewer with three segments beats one with none.
const BACKFILL: Duration = Duration::from_secs(1);

/// How long after a link is up the newest segments of what was missed must be here; after that holes wait for nobody.
const BEHIND_WITHIN: Duration = Duration::from_secs(3);

/// How long after the first link is up it takes at most to be told of every broadcast.
const TOLD_WITHIN: Duration = Duration::from_millis(250);

/// How long an edge that joins waits for a broadcast of which nothing comes: its publisher may have stalled, which is no
/// reason to serve the others to nobody.
const JOIN_WITHIN: Duration = Duration::from_secs(10);

/// Target durations, in halves, without a new segment after which playlists turn to 404 (docs/OPERATING: freshness).
const FRESH_HALF_TARGETS: u32 = 5;

impl<B: Clone> Line<B> {
    pub(crate) fn new(mut rules: Rules, store: Store<B>) -> Self {
        let private = std::mem::take(&mut rules.private);
        Self {
            privacy: Privacy::new(private, std::mem::replace(&mut rules.lobby, LobbyWord::None)),
            rules,
            store,
            lanes: BTreeMap::new(),
            rooms: BTreeSet::new(),
            links: BTreeMap::new(),
            out: VecDeque::new(),
            counts: LineCounts::default(),
            linked_at: None,
            has_joined: false,
        }
    }

    /// One event in; everything it sets free is carried as far as it will go.
    pub(crate) fn push(&mut self, now: Now, event: Event) {
        match event {
            Event::Stream(facts) => self.stream(now, facts),
            Event::Complete { key, facts, body, hash, .. } => {
                let tag = u64::from_be_bytes(hash.0[..8].try_into().expect("a hash has 32 bytes"));
                match key.kind {
                    ObjectKind::Segment => {
                        if let Some(lane) = self.lanes.get_mut(&key.broadcast) {
                            let half = lane.half();
                            lane.lag.complete(key.sequence, &key.rendition, now.at, half);
                        }
                        self.segment(now, &key, facts, Some((&body, tag)));
                    }
                    ObjectKind::Thumb if self.lanes.contains_key(&key.broadcast) => {
                        let access = self.access(&key.broadcast);
                        let page =
                            delivery::picture("image/jpeg", &body, tag, THUMB_AGE, access, &self.rules.cors);
                        self.out.push_back(Output::Cores(Update::Thumb { broadcast: key.broadcast, page }));
                    }
                    // Parts come with low latency; chat goes another way.
                    ObjectKind::Thumb | ObjectKind::Part | ObjectKind::Init | ObjectKind::Chat => {}
                }
            }
            Event::Made { key, made } => {
                if let Some(lane) = self.lanes.get_mut(&key.broadcast) {
                    let half = lane.half();
                    lane.lag.made(key.sequence, &key.rendition, made, half);
                }
            }
            Event::Skipped { key, facts } => {
                if key.kind == ObjectKind::Segment {
                    tracing::info!(object = %key, "a gap: no ingest that is there has it, or has it in time");
                    self.segment(now, &key, facts, None);
                }
            }
            Event::Ready { broadcast } => {
                if let Some(lane) = self.lanes.get_mut(&broadcast) {
                    let by = now.at + BACKFILL;
                    // One that lists already waits for holes alone.
                    let at = lane.list_at.map_or(by, |at| if lane.is_whole { at.max(by) } else { at });
                    lane.list_at = Some(at);
                }
            }
            Event::CaughtUp { broadcast } => self.is_whole(now, &broadcast),
            Event::Ended { broadcast, run } => {
                let is_over = |lane: &Lane<B>| lane.is_asleep() && lane.facts.run <= run;
                if self.lanes.get(&broadcast).is_some_and(is_over) {
                    self.lanes.remove(&broadcast);
                }
                self.tell(now, &broadcast, Input::Ended { run });
            }
            Event::Differs { key, kept, other, source } => {
                self.counts.differed += 1;
                tracing::error!(object = %key, ?kept, ?other, source = source.0, "two ingests made different bytes");
            }
            Event::Quarantined { key, source } => {
                self.counts.quarantined += 1;
                let node = self.links.get(&source).cloned().unwrap_or_else(|| source.0.to_string());
                tracing::error!(object = %key, node, "the younger of two ingests that differ is not listened to");
                if let Some(lane) = self.lanes.get_mut(&key.broadcast) {
                    lane.quarantined = Some((key.run, node));
                }
            }
            Event::LinkUp { source, node } => {
                tracing::info!(source = source.0, %node, "ingest is there");
                // The newest three come before what was missed: without this, that would be a gap by then.
                for lane in self.lanes.values_mut().filter(|lane| lane.is_whole) {
                    if let Some(window) = &mut lane.window {
                        window.push(Input::Behind);
                        // Whoever is there may know nothing of this broadcast.
                        lane.list_at.get_or_insert(now.at + BEHIND_WITHIN);
                    }
                }
                self.links.insert(source, node.to_string());
                self.linked_at.get_or_insert(now.at);
            }
            Event::LinkDown { source, why } => {
                if let Some(node) = self.links.remove(&source) {
                    tracing::warn!(source = source.0, node, why, "ingest is gone");
                }
            }
        }
    }

    /// What left the line, oldest first.
    pub(crate) fn pull(&mut self) -> Option<Output<B>> {
        self.out.pop_front()
    }

    /// Time passes: freshness, patience, forgetting.
    pub(crate) fn tick(&mut self, now: Now) {
        if self.privacy.tick(now.at) {
            tracing::warn!("the lobby does not answer: only what the settings call private is private");
            let named = self.named();
            self.tell_access(named);
        }
        let names: Vec<_> = self.lanes.keys().cloned().collect();
        for broadcast in names {
            let Some(lane) = self.lanes.get_mut(&broadcast) else { continue };
            if lane.list_at.is_some_and(|at| at <= now.at) {
                lane.list_at = None;
                self.is_whole(now, &broadcast);
            }
            self.look_at_lag(now, &broadcast);
            self.judge(now, &broadcast);
        }
        self.has_joined |= self.is_filled(now);
    }

    /// Whether everything is closed to strangers because the lobby has not spoken.
    pub(crate) fn awaits_the_lobby(&self) -> bool {
        self.privacy.awaits()
    }

    /// Whether everything that was there when this edge came is here. Once so it stays so: what is missing later is a
    /// matter of freshness, broadcast by broadcast.
    pub(crate) fn has_joined(&self) -> bool {
        self.has_joined
    }

    fn is_filled(&self, now: Now) -> bool {
        let is_told = self.linked_at.is_some_and(|at| now.at.saturating_duration_since(at) >= TOLD_WITHIN);
        let is_here = |lane: &Lane<B>| {
            lane.is_whole || lane.has_ended() || lane.is_asleep() || lane.age(now.at) >= JOIN_WITHIN
        };
        is_told && !self.privacy.awaits() && !self.links.is_empty() && self.lanes.values().all(is_here)
    }

    /// Says once that a broadcast's segments come late, and once that they do not any more.
    fn look_at_lag(&mut self, now: Now, broadcast: &BroadcastId) {
        let Some(lane) = self.lanes.get_mut(broadcast) else { return };
        let (half, was_late) = (lane.half(), lane.lags);
        lane.lags = lane.lag.tick(now.at, half);
        if lane.lags && !was_late {
            let worst_ms = lane.lag.worst().unwrap_or_default().as_millis() as u64;
            tracing::warn!(%broadcast, late = lane.lag.late(), worst_ms, "segments come late: viewers are better served elsewhere");
        } else if was_late && !lane.lags {
            tracing::info!(%broadcast, "segments come in time again");
        }
    }

    /// All of a broadcast that is to come at once is here: listing begins.
    fn is_whole(&mut self, now: Now, broadcast: &BroadcastId) {
        if let Some(lane) = self.lanes.get_mut(broadcast) {
            lane.is_whole = true;
        }
        self.tell(now, broadcast, Input::CaughtUp);
    }

    /// All broadcasts, to look at.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&BroadcastId, &Lane<B>)> {
        self.lanes.iter()
    }

    /// Ingests whose link is up.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.links.values().map(String::as_str)
    }

    pub(crate) fn counts(&self) -> LineCounts {
        self.counts
    }

    /// Bytes of all windows.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.lanes.values().map(Lane::bytes_held).sum()
    }

    fn stream(&mut self, now: Now, facts: StreamFacts) {
        let broadcast = facts.broadcast.clone();
        if let Some(lane) = self.lanes.get_mut(&broadcast) {
            let is_newer = facts.run > lane.facts.run;
            let is_other_pitch = lane.facts.segment != facts.segment;
            if is_other_pitch && !is_newer {
                self.counts.refused += 1;
                return;
            }
            lane.facts = facts.clone();
            if is_other_pitch {
                // Another pitch is another numbering: a window of its own.
                self.out.push_back(Output::Cores(Update::Gone { broadcast: broadcast.clone() }));
                lane.wake(now.at);
                self.announce(&broadcast);
            } else if !lane.is_asleep() {
                self.tell(now, &broadcast, Input::Facts(facts));
            } else if is_newer && !facts.has_ended {
                self.wake(now, &broadcast);
            }
            return;
        }
        if facts.has_ended {
            // Over before we heard of it: there is nothing to show.
            return;
        }
        let room = self.rules.window_bytes / NEW_BELOW.1 * NEW_BELOW.0;
        if self.lanes.len() >= BROADCASTS || self.bytes_held() > room {
            self.counts.broadcasts_refused += 1;
            let held = self.bytes_held();
            tracing::warn!(%broadcast, known = self.lanes.len(), held, limit = room, "broadcast is not taken: no room");
            return;
        }
        tracing::info!(%broadcast, run = %facts.run, "broadcast");
        self.lanes.insert(broadcast.clone(), Lane::new(facts, now.at));
        self.announce(&broadcast);
        self.carry(now, &broadcast);
    }

    fn segment(&mut self, now: Now, key: &ObjectKey, facts: SegmentFacts, body: Option<(&[u8], u64)>) {
        let room = self.rules.window_bytes.saturating_sub(self.bytes_held());
        match self.lanes.get(&key.broadcast) {
            Some(lane) if lane.is_asleep() => self.wake(now, &key.broadcast),
            Some(_) => {}
            None => return,
        }
        let mut stored = None;
        if let Some((body, tag)) = body {
            let len = body.len() as u64;
            let date = http::HttpDate::from_unix_secs(now.unix_secs);
            let head = delivery::segment_head(len, tag, None, self.access(&key.broadcast), &self.rules.cors);
            let head = head.dated(&date, http::Connection::Implied, true);
            let kept = if len <= room {
                (self.store)(&head, body)
            } else {
                Err(io::Error::other("the windows' memory ceiling is reached"))
            };
            match kept {
                Ok(body) => stored = Some(Segment { body, len, tag }),
                Err(error) => {
                    self.counts.no_room += 1;
                    tracing::error!(object = %key, len, %error, "a segment becomes a gap");
                }
            }
        }
        self.counts.segments += u64::from(stored.is_some());
        self.counts.gaps += u64::from(stored.is_none());
        let facts = SegmentFacts { is_gap: stored.is_none(), ..facts };
        let input = Input::Segment { rendition: key.rendition.clone(), facts, body: stored };
        self.tell(now, &key.broadcast, input);
    }

    /// Begins again with a broadcast that was asleep; no link will say that it is caught up, as it never was behind.
    fn wake(&mut self, now: Now, broadcast: &BroadcastId) {
        if let Some(lane) = self.lanes.get_mut(broadcast) {
            lane.wake(now.at);
            lane.list_at = Some(now.at + BACKFILL);
            self.announce(broadcast);
        }
    }

    fn tell(&mut self, now: Now, broadcast: &BroadcastId, input: Input<Segment<B>>) {
        if let Some(window) = self.lanes.get_mut(broadcast).and_then(|lane| lane.window.as_mut()) {
            window.push(input);
            self.carry(now, broadcast);
        }
    }

    /// Takes from the window of one broadcast all that it has, to cores and balancers.
    fn carry(&mut self, now: Now, broadcast: &BroadcastId) {
        let access = self.access(broadcast);
        let Some(lane) = self.lanes.get_mut(broadcast) else { return };
        let Some(window) = lane.window.as_mut() else { return };
        let name = || broadcast.clone();
        let mut has_an_older_run = false;
        while let Some(change) = window.pull() {
            let update = match change {
                Change::Stored { rendition, sequence, body: segment } => {
                    Update::Stored { broadcast: name(), rendition, sequence, segment }
                }
                Change::Listed { rendition } => {
                    let playlist = window.media_playlist(&rendition);
                    match playlist.and_then(|playlist| Some((playlist.last_sequence()?, playlist))) {
                        Some((last, playlist)) => {
                            let has_ended = playlist.has_ended;
                            let page = self.rules.media_page(playlist, access);
                            Update::Playlist { broadcast: name(), rendition, page, last, has_ended }
                        }
                        None => Update::Withdrawn { broadcast: name(), rendition },
                    }
                }
                Change::MultivariantChanged => match window.multivariant() {
                    Some(multivariant) => {
                        self.out.push_back(Output::Stream(window.listed_facts()));
                        let age = lane.facts.segment.as_duration();
                        let page = self.rules.page(&multivariant.render(), age, access);
                        Update::Multivariant { broadcast: name(), page }
                    }
                    None => continue,
                },
                Change::Withdrawn { rendition } => Update::Withdrawn { broadcast: name(), rendition },
                Change::Expired { rendition, sequence } => {
                    Update::Expired { broadcast: name(), rendition, sequence }
                }
                Change::Refused { rendition, sequence, why } => {
                    self.counts.refused += 1;
                    has_an_older_run |= why == window::Refusal::RunIsOver;
                    tracing::debug!(%broadcast, %rendition, %sequence, %why, "a segment is not taken");
                    continue;
                }
                Change::FactsRefused(why) => {
                    self.counts.refused += 1;
                    tracing::debug!(%broadcast, %why, "facts are not taken");
                    continue;
                }
                Change::Ended => {
                    tracing::info!(%broadcast, run = %lane.facts.run, "broadcast has ended");
                    self.out.push_back(Output::End(name(), lane.facts.run));
                    continue;
                }
                Change::PartStored { .. } | Change::PartExpired { .. } => continue,
            };
            self.out.push_back(Output::Cores(update));
        }
        lane.see(now.at);
        // The publisher went from one ingest to another that knows nothing of the first, and back: its first run goes on, and
        // of the newer one nothing has come for so long that playlists are 404. What there is beats what there was.
        if has_an_older_run && !lane.is_fed && !lane.has_ended() {
            tracing::info!(%broadcast, "nothing comes of the newest run, and an older one goes on: that is listed again");
            lane.sleeps();
            self.out.push_back(Output::Cores(Update::Gone { broadcast: broadcast.clone() }));
            return;
        }
        self.judge(now, broadcast);
    }

    /// Whether it is fresh, and whether it is time to forget it.
    fn judge(&mut self, now: Now, broadcast: &BroadcastId) {
        let Some(lane) = self.lanes.get_mut(broadcast) else { return };
        let patience = target(lane.facts.segment) * FRESH_HALF_TARGETS / 2;
        let is_fed = lane.has_ended() || lane.age(now.at) <= patience;
        if lane.is_fed != is_fed {
            lane.is_fed = is_fed;
            tracing::info!(%broadcast, is_fed, age_ms = lane.age(now.at).as_millis() as u64, "freshness");
            self.out.push_back(Output::Cores(Update::Fed { broadcast: broadcast.clone(), is_fed }));
        }
        let rest = lane.rest(now.at, self.rules.keep_ended.max(patience * 2), self.rules.keep_ended);
        match rest {
            Rest::Awake => {}
            Rest::Sleep => {
                lane.sleeps();
                self.out.push_back(Output::Cores(Update::Gone { broadcast: broadcast.clone() }));
                self.out.push_back(Output::End(broadcast.clone(), lane.facts.run));
            }
            Rest::Forget => {
                self.lanes.remove(broadcast);
                self.out.push_back(Output::Cores(Update::Gone { broadcast: broadcast.clone() }));
            }
        }
    }

    fn announce(&mut self, broadcast: &BroadcastId) {
        let Some(lane) = self.lanes.get(broadcast) else { return };
        self.out.push_back(Output::Cores(Update::Broadcast {
            broadcast: broadcast.clone(),
            target: target(lane.facts.segment),
            access: self.access(broadcast),
        }));
    }
}

/// How long a still picture may be kept by a cache.
const THUMB_AGE: Duration = Duration::from_secs(5);

fn target(segment: MediaSpan) -> Duration {
    hls::TargetDuration::of_pitch(segment).span().as_duration()
}

#[cfg(test)]
mod tests;
