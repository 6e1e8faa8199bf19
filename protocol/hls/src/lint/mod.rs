//! The checker: watches a server as a viewer would and says which rules it breaks.
//!
//! Lives here: what to fetch and when ([`Lint::next`]), and what is wrong with what came ([`Lint::push`]). Does
//! not live here: fetching (whoever runs it does that, and follows no redirect by itself), and reading media
//! bytes (the same one hands them over as [`Content`]).
//!
//! ```text
//!   let mut lint = Lint::new(url, Watch { watch_ms: 20_000, .. });
//!   while let Some(want) = lint.next() {            // None: watching is over
//!       sleep until want.not_before_ms; fetch want.url with `Accept-Encoding: gzip`
//!       lint.push(Fetched { want: want.id, sent_ms, at_ms, outcome });
//!       while let Some(finding) = lint.pull() { print it }
//!   }
//!   lint.finish(now_ms) → Report
//! ```

mod across;
mod content;
mod finding;
mod http;
mod multivariant;
mod plan;
mod report;
mod steering;
#[cfg(test)]
mod tests;
mod url;
mod versions;
mod watched;

pub use content::{Content, ContentFault, ContentTrack};
pub use finding::{Finding, Findings, MOST_FINDINGS};
pub use plan::{Fetched, Kind, Outcome, Want, Watch};
pub use report::Report;
pub use versions::Versions;

use crate::MultivariantPlaylist;
use crate::read::{Complaints, Kind as PlaylistKind, Lines, MOST_BYTES, read_multivariant};
use crate::rules::{RULES, Reach};
use across::Kinship;
use content::{Clocks, Sample};
use http::Head;
use media::{MediaSequence, MediaSpan};
use plan::{Plan, Purpose};
use watched::{Role, Watched, is_copy, newest_whole, removable, variants_of};

/// Media playlists watched: eight renditions on eight edges. More are not loaded, and the report says so.
pub const MOST_PLAYLISTS: usize = 64;

/// Segments asked for after one load of a playlist: the newest.
pub const MOST_SEGMENTS_A_LOAD: usize = 3;

/// Redirects followed from the first URL; media requests are never redirected (rule T16).
pub const MOST_REDIRECTS: usize = 5;

/// Loads of a playlist after it has ended (rule T10).
const LOADS_AFTER_END: u32 = 2;

/// Removed segments asked for again, of each playlist.
const MOST_REMOVED: usize = 4;

/// One server, watched.
#[derive(Debug)]
pub struct Lint {
    url: String,
    plan: Plan,
    findings: Findings,
    multivariant: Option<MultivariantPlaylist>,
    watched: Vec<Watched>,
    clocks: Clocks,
    report: Report,
}

impl Lint {
    /// Watches what is at this URL: a multivariant playlist, or one media playlist.
    pub fn new(url: impl Into<String>, watch: Watch) -> Self {
        let url = url.into();
        let mut plan = Plan::new(watch);
        plan.want(url.clone(), Kind::Playlist, Purpose::Entry { redirects: 0 }, 0);
        let report = Report { url: url.clone(), ..Report::default() };
        Self {
            url,
            plan,
            findings: Findings::default(),
            multivariant: None,
            watched: Vec::new(),
            clocks: Clocks::new(),
            report,
        }
    }

    /// What to fetch next, and not before when; `None` once watching is over and nothing is under way. Several
    /// may be under way at once.
    #[expect(clippy::should_implement_trait, reason = "what is next depends on what is pushed in between")]
    pub fn next(&mut self) -> Option<Want> {
        self.plan.next()
    }

    /// Takes what came of a [`Want`]. One that was never asked for is ignored.
    pub fn push(&mut self, fetched: Fetched) {
        let Some((want, purpose)) = self.plan.take(fetched.want) else { return };
        match &fetched.outcome {
            Outcome::Failed { why } => self.failed(&want, purpose, &fetched, why.clone()),
            Outcome::Answered { status, headers, .. } if (300..400).contains(status) && *status != 304 => {
                let head = Head { url: &want.url, headers };
                let location = head.value("location").map(|location| url::resolve(&want.url, location));
                self.redirected(&want, purpose, &fetched, *status, location);
            }
            Outcome::Answered { status, .. } if *status != 200 => {
                let why = format!("answered with status {status}");
                self.refused(&want, purpose, &fetched, *status, why);
            }
            Outcome::Answered { headers, text, media, .. } => {
                let head = Head { url: &want.url, headers };
                self.answered(&want, purpose, &fetched, head, text, media.as_ref());
            }
        }
    }

    /// The next finding that was not told yet.
    pub fn pull(&mut self) -> Option<Finding> {
        self.findings.pull()
    }

    /// All findings so far.
    pub fn findings(&self) -> &[Finding] {
        self.findings.list()
    }

    /// Watching is over: what came of it.
    pub fn finish(mut self, now_ms: u64) -> Report {
        for watched in &self.watched {
            watched.versions.finish(now_ms, &mut self.findings);
            let variants = variants_of(self.multivariant.as_ref(), watched.role);
            watched.samples.finish(&variants, watched.versions.place(), now_ms, &mut self.findings);
        }
        if self.watched.iter().all(|watched| watched.versions.playlist().is_none()) {
            self.report.unreached.push(format!("{}: no media playlist could be read", self.url));
        }
        self.report.watched_ms = now_ms;
        self.report.findings = self.findings.list().to_vec();
        for rule in RULES {
            let id = rule.id;
            let occasion = report::NEED_OCCASION.iter().find(|(needs, _)| *needs == id.0);
            let is_multivariant = id.0.starts_with('V') && id.0 != "V12";
            let why = match (report::reach_of(id), occasion) {
                _ if self.findings.has_looked(id) => None,
                (Reach::NotChecked(why), _) => Some(why),
                _ if is_multivariant && self.multivariant.is_none() => {
                    Some("there is no multivariant playlist")
                }
                (_, Some((_, why))) => Some(*why),
                _ => None,
            };
            match (why, rule.reach) {
                (Some(why), _) => self.report.unchecked.push((id, why.to_owned())),
                (None, Reach::Partly(what)) => self.report.partly.push((id, what)),
                _ => {}
            }
        }
        self.report
    }

    fn failed(&mut self, want: &Want, purpose: Purpose, fetched: &Fetched, why: String) {
        self.refused(want, purpose, fetched, 0, why);
    }

    fn redirected(
        &mut self,
        want: &Want,
        purpose: Purpose,
        fetched: &Fetched,
        status: u16,
        location: Option<String>,
    ) {
        match (purpose, location) {
            (Purpose::Entry { redirects }, Some(location)) if redirects < MOST_REDIRECTS => {
                let purpose = Purpose::Entry { redirects: redirects + 1 };
                self.url.clone_from(&location);
                self.plan.want(location, Kind::Playlist, purpose, fetched.at_ms);
            }
            (Purpose::Steering, Some(location)) => {
                self.plan.want(location, Kind::Text, Purpose::Steering, fetched.at_ms);
            }
            (Purpose::Entry { .. } | Purpose::Steering, _) => {
                self.report.unreached.push(format!("{}: redirected without an end", want.url));
            }
            (purpose, _) => {
                let place = self.place_of(purpose);
                let text = format!("{} is answered with a redirect ({status})", http::file(&want.url));
                self.findings.add("T16", &place, fetched.at_ms, text);
                self.plan_reload(purpose, fetched, false);
            }
        }
    }

    fn refused(&mut self, want: &Want, purpose: Purpose, fetched: &Fetched, status: u16, why: String) {
        let (place, at_ms, name) = (self.place_of(purpose), fetched.at_ms, http::file(&want.url));
        match purpose {
            Purpose::Entry { .. } => self.report.unreached.push(format!("{}: {why}", want.url)),
            Purpose::Steering => {
                self.findings.add("V11", &self.url, at_ms, format!("the steering manifest: {why}"));
            }
            Purpose::Playlist { at } => {
                self.playlist_refused(at, fetched, status, &why);
            }
            Purpose::Segment { until_ms, .. } if fetched.sent_ms <= until_ms => {
                self.report.segments += 1;
                ["M14", "T07"].into_iter().for_each(|id| self.findings.look(id));
                if matches!(status, 404 | 410) {
                    let text = format!("{name}: {why}, and it is listed without EXT-X-GAP");
                    self.findings.add("M14", &place, at_ms, text);
                } else {
                    self.findings.add("T07", &place, at_ms, format!("{name}: {why}"));
                }
            }
            Purpose::Removed { until_ms, .. } if fetched.sent_ms <= until_ms => {
                self.findings.look("T08");
                let left = MediaSpan::from_millis(until_ms - fetched.sent_ms);
                let text = format!("{name}: {why}, {left} before it may be gone");
                self.findings.add("T08", &place, at_ms, text);
            }
            Purpose::Withdrawn { .. } => {
                self.findings.add(
                    "T12",
                    &place,
                    at_ms,
                    format!("the playlist is withdrawn and {name}: {why}"),
                );
            }
            // Too late to be held against anyone.
            Purpose::Segment { .. } | Purpose::Removed { .. } => {}
        }
    }

    fn playlist_refused(&mut self, at: usize, fetched: &Fetched, status: u16, why: &str) {
        let Some(watched) = self.watched.get_mut(at) else { return };
        let place = watched.url.clone();
        let was_there = watched.versions.playlist().is_some();
        if was_there && matches!(status, 404 | 410) {
            watched.is_gone = true;
            self.findings.look("T12");
            if let Some((url, _)) = newest_whole(watched) {
                self.plan.want(url, Kind::Segment, Purpose::Withdrawn { at }, fetched.at_ms);
            }
            return;
        }
        if was_there {
            self.findings.add("T06", &place, fetched.at_ms, format!("a reload {why}"));
            self.plan_reload(Purpose::Playlist { at }, fetched, false);
        } else {
            self.report.unreached.push(format!("{place}: {why}"));
        }
    }

    fn answered(
        &mut self,
        want: &Want,
        purpose: Purpose,
        fetched: &Fetched,
        head: Head<'_>,
        text: &[u8],
        media: Option<&(u64, Option<Content>)>,
    ) {
        let at_ms = fetched.at_ms;
        match purpose {
            Purpose::Entry { .. } => {
                self.report.loads += 1;
                self.entry(&want.url, fetched, head, text);
            }
            Purpose::Steering => {
                let pathways = self.pathways();
                steering::check(head, text, &pathways, &want.url, at_ms, &mut self.findings);
            }
            Purpose::Playlist { at } => {
                self.report.loads += 1;
                self.loaded(at, fetched, head, text);
            }
            Purpose::Segment { at, sequence, .. } => {
                let Some((bytes, content)) = media else { return };
                self.report.segments += 1;
                self.report.bytes += bytes;
                self.sampled(at, sequence, want, fetched, head, *bytes, content.clone());
            }
            Purpose::Removed { .. } => self.findings.look("T08"),
            Purpose::Withdrawn { .. } => {}
        }
    }

    fn entry(&mut self, url: &str, fetched: &Fetched, head: Head<'_>, text: &[u8]) {
        let mut complaints = Complaints::new();
        if text.len() > MOST_BYTES {
            self.report.unreached.push(format!("{url}: {} bytes, at most {MOST_BYTES} are read", text.len()));
            return;
        }
        let lines = Lines::read(text, &mut complaints);
        if lines.kind() != PlaylistKind::Multivariant {
            if lines.kind() == PlaylistKind::Unclear {
                self.report.unreached.push(format!("{url}: no playlist"));
                return;
            }
            self.watch(url.to_owned(), Role::Alone);
            return self.loaded(0, fetched, head, text);
        }
        let playlist = read_multivariant(&lines, &mut complaints);
        let at_ms = fetched.at_ms;
        complaints.into_vec().iter().for_each(|c| self.findings.complain(c, url, at_ms));
        head.check_playlist(url, at_ms, &mut self.findings);
        self.check_whole(head, text, url, at_ms);
        multivariant::check(&playlist, url, at_ms, &mut self.findings);
        for (variant, stream) in playlist.variant_streams.iter().enumerate() {
            let of = playlist.variant_streams[..variant].iter().position(|other| is_copy(other, stream));
            let of = of.and_then(|first| self.watched.iter().position(|w| w.role == Role::Variant(first)));
            let role = of.map_or(Role::Variant(variant), |of| Role::Copy { variant, of });
            self.watch(url::resolve(url, &stream.uri), role);
        }
        for uri in playlist.alternatives.iter().filter_map(|alternative| alternative.uri.as_ref()) {
            self.watch(url::resolve(url, uri), Role::Alternative);
        }
        if let Some(steering) = &playlist.content_steering {
            let uri = url::resolve(url, &steering.server_uri);
            self.plan.want(uri, Kind::Text, Purpose::Steering, at_ms);
        }
        self.multivariant = Some(playlist);
        for at in 0..self.watched.len() {
            self.plan.want(self.watched[at].url.clone(), Kind::Playlist, Purpose::Playlist { at }, at_ms);
        }
    }

    fn watch(&mut self, url: String, role: Role) {
        if self.watched.iter().any(|watched| watched.url == url) {
            return;
        }
        if self.watched.len() == MOST_PLAYLISTS {
            self.report.unreached.push(format!("{url}: not watched, {MOST_PLAYLISTS} playlists are"));
            return;
        }
        self.watched.push(Watched::new(url, role));
    }

    fn loaded(&mut self, at: usize, fetched: &Fetched, head: Head<'_>, text: &[u8]) {
        let at_ms = fetched.at_ms;
        let Some(watched) = self.watched.get_mut(at) else { return };
        let place = watched.url.clone();
        head.check_playlist(&place, at_ms, &mut self.findings);
        let before = removable(watched);
        let is_new = watched.versions.push(text, fetched.sent_ms, at_ms, &mut self.findings);
        let Some(playlist) = watched.versions.playlist() else { return };
        let (target, duration) = (playlist.target_duration, playlist.duration());
        let first = playlist.media_sequence;
        head.check_freshness(target, &place, at_ms, &mut self.findings);
        // Until `listed_at_ms` nothing of `before` had been removed: rule T08 counts from there at the earliest.
        let (listed_at_ms, longest) = (watched.listed_at_ms, watched.longest);
        watched.longest = longest.max(duration);
        watched.listed_at_ms = fetched.sent_ms;
        for (sequence, url, lasts) in before.into_iter().filter(|(sequence, ..)| *sequence < first) {
            let until_ms = listed_at_ms + (lasts + longest).as_millis();
            if watched.removed < MOST_REMOVED && !matches!(watched.role, Role::Copy { .. }) {
                watched.removed += 1;
                let due_ms = self.plan.latest(until_ms.saturating_sub(target.span().as_millis() / 4));
                self.plan.want(
                    url,
                    Kind::Segment,
                    Purpose::Removed { at, sequence, until_ms },
                    due_ms.max(at_ms),
                );
            }
        }
        self.check_whole(head, text, &place, at_ms);
        if is_new {
            self.sample(at, at_ms);
            self.compare_with_others(at, at_ms);
        }
        self.plan_reload(Purpose::Playlist { at }, fetched, is_new);
    }

    /// Asks for the newest segments not asked for yet.
    fn sample(&mut self, at: usize, at_ms: u64) {
        let watched = &mut self.watched[at];
        let most = if matches!(watched.role, Role::Copy { .. }) { 0 } else { MOST_SEGMENTS_A_LOAD };
        let is_first = watched.sampled.is_none();
        let new: Vec<_> = watched
            .versions
            .placed()
            .iter()
            .filter(|placed| watched.sampled.is_none_or(|newest| placed.sequence > newest))
            .filter(|placed| !placed.segment.is_gap && placed.segment.byte_range.is_none())
            .map(|placed| {
                (placed.sequence, url::resolve(&watched.url, &placed.segment.uri), placed.segment.duration)
            })
            .collect();
        let Some((newest, ..)) = new.last() else { return };
        let newest = *newest;
        // A copy is asked once, so that a pathway that serves nothing is found out.
        let most = if is_first { most.max(1) } else { most };
        let listed = watched.longest;
        for (sequence, url, lasts) in new.into_iter().rev().take(most).rev() {
            let until_ms = at_ms + (lasts + listed).as_millis();
            self.plan.want(url, Kind::Segment, Purpose::Segment { at, sequence, until_ms }, at_ms);
        }
        self.watched[at].sampled = Some(newest);
    }

    fn compare_with_others(&mut self, at: usize, at_ms: u64) {
        let ours = &self.watched[at];
        for (other_at, other) in self.watched.iter().enumerate().filter(|(other, _)| *other != at) {
            let kinship = match (other.role, ours.role) {
                (_, Role::Copy { of, .. }) if of == other_at => Kinship::Copies,
                (Role::Copy { .. }, _) | (_, Role::Copy { .. }) => continue,
                (Role::Alternative, _) | (_, Role::Alternative) => Kinship::Alternatives,
                _ => Kinship::Variants,
            };
            ["C05", "V06"].into_iter().for_each(|id| self.findings.look(id));
            across::compare(&other.versions, &ours.versions, kinship, at_ms, &mut self.findings);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one answer taken apart, called from one place")]
    fn sampled(
        &mut self,
        at: usize,
        sequence: MediaSequence,
        want: &Want,
        fetched: &Fetched,
        head: Head<'_>,
        bytes: u64,
        content: Option<Content>,
    ) {
        let at_ms = fetched.at_ms;
        let Some(watched) = self.watched.get_mut(at) else { return };
        let place = watched.url.clone();
        let placed = watched.versions.placed();
        // Gone from the list since it was asked for: nothing is known of it any more.
        let Some(placed) = placed.iter().find(|placed| placed.sequence == sequence) else { return };
        let sample = Sample {
            sequence,
            discontinuity: placed.discontinuity,
            date: placed.date,
            duration: placed.segment.duration,
            target: watched.versions.playlist().map(|playlist| playlist.target_duration).unwrap_or_default(),
            url: want.url.clone(),
            bytes,
            bitrate_kbps: placed.segment.bitrate_kbps,
            content,
        };
        let name = http::file(&want.url);
        ["M14", "T07"].into_iter().for_each(|id| self.findings.look(id));
        head.check_segment(watched.longest, &place, at_ms, &mut self.findings);
        if let Some(missing) = head.missing(bytes) {
            self.findings.add("T07", &place, at_ms, format!("{name} came without its last {missing} bytes"));
        }
        let took_ms = at_ms.saturating_sub(fetched.sent_ms);
        if took_ms > sample.duration.as_millis() {
            let text = format!("{name} took {took_ms} ms to fetch and lasts {}", sample.duration);
            self.findings.add("T07", &place, at_ms, text);
        }
        let variants = variants_of(self.multivariant.as_ref(), watched.role);
        watched.samples.push(sample, &variants, &mut self.clocks, &place, at_ms, &mut self.findings);
    }

    fn check_whole(&mut self, head: Head<'_>, text: &[u8], place: &str, at_ms: u64) {
        if let Some(missing) = head.missing(text.len() as u64) {
            self.findings.add("T11", place, at_ms, format!("the body came without its last {missing} bytes"));
        }
    }

    /// R 6.3.4: after a target duration if something was new, else after half of one.
    fn plan_reload(&mut self, purpose: Purpose, fetched: &Fetched, is_new: bool) {
        let Purpose::Playlist { at } = purpose else { return };
        let Some(watched) = self.watched.get_mut(at).filter(|watched| !watched.is_gone) else { return };
        let Some(playlist) = watched.versions.playlist() else { return };
        if playlist.has_ended {
            watched.loads_after_end += 1;
            if watched.loads_after_end > LOADS_AFTER_END {
                return;
            }
        }
        let target_ms = playlist.target_duration.span().as_millis().max(500);
        let due_ms = fetched.sent_ms + if is_new { target_ms } else { target_ms / 2 };
        self.plan.want(
            watched.url.clone(),
            Kind::Playlist,
            Purpose::Playlist { at },
            due_ms.max(fetched.at_ms),
        );
    }

    fn place_of(&self, purpose: Purpose) -> String {
        match purpose {
            Purpose::Entry { .. } | Purpose::Steering => self.url.clone(),
            Purpose::Playlist { at }
            | Purpose::Segment { at, .. }
            | Purpose::Removed { at, .. }
            | Purpose::Withdrawn { at } => {
                self.watched.get(at).map_or_else(|| self.url.clone(), |watched| watched.url.clone())
            }
        }
    }

    fn pathways(&self) -> Vec<String> {
        let variants = self.multivariant.iter().flat_map(|playlist| &playlist.variant_streams);
        variants.map(|variant| multivariant::pathway(variant).to_owned()).collect()
    }
}
