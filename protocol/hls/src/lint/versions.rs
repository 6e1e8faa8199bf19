//! One media playlist, load after load: sections 2 and 3 of the rules.

use super::finding::Findings;
use super::url;
use crate::read::{Complaints, Kind, Lines, MOST_BYTES, MediaReading, read_media};
use crate::{MediaPlaylist, PlaylistType, Segment, TargetDuration};
use media::{DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime};

/// What a playlist has said so far.
#[derive(Clone, Debug)]
pub struct Versions {
    place: String,
    last: Option<MediaReading>,
    /// When the last version that differed from its predecessor was first seen.
    new_at_ms: u64,
    first_len: usize,
    loads: u64,
}

/// A segment with all that can be derived for it from its playlist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) sequence: MediaSequence,
    pub(crate) discontinuity: DiscontinuitySequence,
    pub(crate) segment: &'a Segment,
    /// Its own date-time, or what the durations since the last one make it.
    pub(crate) date: Option<MediaTime>,
}

/// Fewest segments of a live playlist (rule M15).
const LEAST_SEGMENTS: usize = 6;
/// Target durations that must stay when something is removed (rule M16).
const LEAST_TARGETS: u64 = 3;

impl Versions {
    /// Nothing seen yet of the playlist at this place.
    pub fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), last: None, new_at_ms: 0, first_len: 0, loads: 0 }
    }

    /// The playlist as last seen.
    pub fn playlist(&self) -> Option<&MediaPlaylist> {
        self.last.as_ref().map(|reading| &reading.playlist)
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn placed(&self) -> Vec<Placed<'_>> {
        self.playlist().map(placed).unwrap_or_default()
    }

    /// Takes one load: asked for at `sent_ms`, whole at `at_ms`. True if it says something new.
    pub fn push(&mut self, text: &[u8], sent_ms: u64, at_ms: u64, findings: &mut Findings) -> bool {
        let mut complaints = Complaints::new();
        if text.len() > MOST_BYTES {
            let text = format!("a playlist of {} bytes, at most {MOST_BYTES} are read", text.len());
            findings.add("S01", &self.place, at_ms, text);
            return false;
        }
        let lines = Lines::read(text, &mut complaints);
        if lines.kind() == Kind::Multivariant {
            findings.add(
                "S03",
                &self.place,
                at_ms,
                "a multivariant playlist where a media playlist should be",
            );
            return false;
        }
        let new = read_media(&lines, &mut complaints);
        let complaints = complaints.into_vec();
        let is_cut = !text.ends_with(b"\n") && complaints.iter().any(|complaint| complaint.rule.0 == "S05");
        if is_cut {
            findings.add("T11", &self.place, at_ms, "the body ends inside a segment's lines");
        }
        complaints.iter().for_each(|complaint| findings.complain(complaint, &self.place, at_ms));
        self.check_alone(&new, at_ms, findings);
        self.loads += 1;
        let Some(old) = &self.last else {
            self.first_len = new.playlist.segments.len();
            self.new_at_ms = at_ms;
            self.last = Some(new);
            return true;
        };
        let is_new = *old != new;
        if is_new {
            // A delta update leaves out what it would be compared with.
            if new.skipped == 0 && old.skipped == 0 {
                compare(old, &new, &self.place, at_ms, findings);
            }
            self.new_at_ms = at_ms;
            self.last = Some(new);
        } else {
            self.check_stale(sent_ms, findings);
        }
        is_new
    }

    /// Watching is over.
    pub fn finish(&self, at_ms: u64, findings: &mut Findings) {
        let Some(playlist) = self.playlist().filter(|playlist| is_live(playlist)) else { return };
        let len = playlist.segments.len();
        // A list that still grows belongs to a broadcast that has just begun.
        if self.loads > 2 && len < LEAST_SEGMENTS && len <= self.first_len {
            let text = format!("{len} segments are listed, at least {LEAST_SEGMENTS} are asked for");
            findings.add("M15", &self.place, at_ms, text);
        }
    }

    fn check_stale(&self, sent_ms: u64, findings: &mut Findings) {
        let Some(playlist) = self.playlist() else { return };
        if playlist.has_ended {
            findings.look("T10");
            return;
        }
        // It was there at `new_at_ms` at the latest, and at `sent_ms` nothing newer was: a lower bound.
        let unchanged_ms = sent_ms.saturating_sub(self.new_at_ms);
        let allowed_ms = playlist.target_duration.span().as_millis() * 3 / 2;
        if unchanged_ms > allowed_ms && playlist.playlist_type != Some(PlaylistType::Vod) {
            let text = format!("unchanged for {unchanged_ms} ms, at most {allowed_ms} ms are allowed");
            findings.add("T06", &self.place, sent_ms, text);
        }
    }

    fn check_alone(&self, reading: &MediaReading, at_ms: u64, findings: &mut Findings) {
        let playlist = &reading.playlist;
        let mut add = |id, text: String| findings.add(id, &self.place, at_ms, text);
        let target = playlist.target_duration;
        for (sequence, _, segment) in playlist.numbered() {
            let duration = segment.duration;
            if target.0 > 0 && !reading.is_i_frames_only && is_over(duration, target) {
                add(
                    "M02",
                    format!("segment {sequence} lasts {duration}, the target duration is {} s", target.0),
                );
            }
            let is_fmp4 = matches!(
                url::extension(&segment.uri).as_str(),
                "m4s" | "mp4" | "m4v" | "m4a" | "cmfv" | "cmfa"
            );
            if is_fmp4 && segment.init.is_none() {
                add("M07", format!("segment {sequence} is fMP4 and no EXT-X-MAP stands before it"));
            }
        }
        let live = is_live(playlist);
        if playlist.playlist_type == Some(PlaylistType::Vod) && !playlist.has_ended {
            add("M13", "EXT-X-PLAYLIST-TYPE is VOD and there is no EXT-X-ENDLIST".into());
        }
        let discontinuities = || playlist.segments.iter().filter(|segment| segment.is_discontinuous);
        let is_dated = playlist.segments.iter().any(|segment| segment.program_date_time.is_some());
        if live && !playlist.segments.is_empty() && !is_dated {
            add("M09", "no EXT-X-PROGRAM-DATE-TIME in a live playlist".into());
        }
        if live && !reading.has_discontinuity_sequence {
            let text = "no EXT-X-DISCONTINUITY-SEQUENCE in a live playlist";
            match discontinuities().count() {
                0 => findings.advise("M05", &self.place, at_ms, text),
                _ => findings.add("M05", &self.place, at_ms, text),
            }
        }
        if is_dated && discontinuities().any(|segment| segment.program_date_time.is_none()) {
            findings.advise(
                "M09",
                &self.place,
                at_ms,
                "no EXT-X-PROGRAM-DATE-TIME behind an EXT-X-DISCONTINUITY",
            );
        }
    }
}

/// Segments with their numbers and dates.
pub(crate) fn placed(playlist: &MediaPlaylist) -> Vec<Placed<'_>> {
    let mut next_date = None;
    let with_date = playlist.numbered().map(|(sequence, discontinuity, segment)| {
        // A date does not carry over a discontinuity.
        let carried = next_date.filter(|_| !segment.is_discontinuous);
        let date = segment.program_date_time.or(carried);
        next_date = date.map(|date| date + segment.duration);
        Placed { sequence, discontinuity, segment, date }
    });
    with_date.collect()
}

pub(crate) fn is_live(playlist: &MediaPlaylist) -> bool {
    !playlist.has_ended && playlist.playlist_type != Some(PlaylistType::Vod)
}

fn is_over(duration: MediaSpan, target: TargetDuration) -> bool {
    duration.rounded_secs() > target.0 || duration > target.span() + MediaSpan::from_millis(500)
}

fn compare(old: &MediaReading, new: &MediaReading, place: &str, at_ms: u64, findings: &mut Findings) {
    let (o, n) = (&old.playlist, &new.playlist);
    findings.look("T14");
    let mut add = |id, text: String| findings.add(id, place, at_ms, text);
    if o.target_duration != n.target_duration {
        add(
            "T01",
            format!("the target duration was {} s and is {} s", o.target_duration.0, n.target_duration.0),
        );
    }
    if o.has_ended {
        add("T10", "changed after EXT-X-ENDLIST".into());
    }
    if n.media_sequence < o.media_sequence {
        let restarted = n.last_sequence().is_none_or(|last| last < o.media_sequence);
        let id = if restarted { "T15" } else { "T03" };
        add(id, format!("EXT-X-MEDIA-SEQUENCE went back from {} to {}", o.media_sequence, n.media_sequence));
        return;
    }
    if n.discontinuity_sequence < o.discontinuity_sequence {
        let (before, after) = (o.discontinuity_sequence.0, n.discontinuity_sequence.0);
        add("T04", format!("EXT-X-DISCONTINUITY-SEQUENCE went back from {before} to {after}"));
    }
    if let Some(first) = n.segments.first()
        && let Some(removed) = o.segments.iter().position(|segment| is_same_resource(segment, first))
        && o.media_sequence.0.saturating_add(removed as u64) != n.media_sequence.0
    {
        let rise = n.media_sequence.0 - o.media_sequence.0;
        add("T03", format!("{removed} segments were removed and EXT-X-MEDIA-SEQUENCE rose by {rise}"));
        if removed > 0 && !new.has_media_sequence {
            add("M04", "segments were removed and there is no EXT-X-MEDIA-SEQUENCE".into());
        }
        return;
    }
    compare_shared(o, n, &mut add);
    if n.last_sequence() < o.last_sequence() {
        let behind =
            |last: Option<MediaSequence>| last.map_or_else(|| "nothing".into(), |last| last.to_string());
        let (before, after) = (behind(o.last_sequence()), behind(n.last_sequence()));
        add("T02", format!("the last segment was {before} and is {after}"));
    }
    if n.media_sequence > o.media_sequence {
        check_removal(n, &mut add);
    } else if n.playlist_type == Some(PlaylistType::Vod) && o.segments != n.segments {
        add("M13", "EXT-X-PLAYLIST-TYPE is VOD and the playlist changed".into());
    }
}

fn check_removal(n: &MediaPlaylist, add: &mut impl FnMut(&'static str, String)) {
    if n.playlist_type.is_some() {
        add("M13", "segments were removed from a playlist with EXT-X-PLAYLIST-TYPE".into());
    }
    let least = n.target_duration.span() * LEAST_TARGETS;
    // Half a tick per segment is lost in writing.
    if n.duration() + MediaSpan::from_ticks(n.segments.len() as u64) < least && !n.has_ended {
        add("M16", format!("segments were removed and {} stay, at least {least} must", n.duration()));
    }
    if n.segments.len() < LEAST_SEGMENTS && !n.has_ended {
        let len = n.segments.len();
        add(
            "M15",
            format!("segments were removed and {len} stay listed, at least {LEAST_SEGMENTS} are asked for"),
        );
    }
}

fn compare_shared(o: &MediaPlaylist, n: &MediaPlaylist, add: &mut impl FnMut(&'static str, String)) {
    let old = placed(o);
    let first = n.media_sequence;
    let mut is_shared = false;
    for new in placed(n) {
        let Some(was) = old.iter().find(|was| was.sequence == new.sequence) else { continue };
        is_shared = true;
        let (sequence, before, now) = (new.sequence, was.segment, new.segment);
        if !is_same_resource(before, now) {
            let has_moved = o.segments.iter().any(|segment| is_same_resource(segment, now))
                || n.segments.iter().any(|segment| is_same_resource(segment, before));
            if has_moved {
                add("T02", format!("segments were put in or taken out at number {sequence}"));
            } else {
                add("T05", format!("segment {sequence} was {} and is {}", before.uri, now.uri));
                if url::file_name(&before.uri) != url::file_name(&now.uri) {
                    add("T14", format!("number {sequence} was the path {} and is {}", before.uri, now.uri));
                }
            }
            return;
        }
        if before.duration != now.duration {
            add("T05", format!("segment {sequence} lasted {} and lasts {}", before.duration, now.duration));
        }
        if let (Some(then), Some(date)) = (before.program_date_time, now.program_date_time)
            && then != date
        {
            add("T05", format!("segment {sequence} has another EXT-X-PROGRAM-DATE-TIME than before"));
        }
        if before.is_gap != now.is_gap {
            add("T05", format!("segment {sequence} has EXT-X-GAP in one load and not in another"));
        }
        if was.discontinuity != new.discontinuity {
            let (then, now) = (was.discontinuity.0, new.discontinuity.0);
            add("T04", format!("segment {sequence} had the discontinuity number {then} and has {now}"));
        } else if before.is_discontinuous != now.is_discontinuous && sequence != first {
            add("T05", format!("segment {sequence} has EXT-X-DISCONTINUITY in one load and not in another"));
        }
        if before.init != now.init || before.key != now.key {
            add("T09", format!("segment {sequence} has another EXT-X-MAP or EXT-X-KEY than before"));
        }
    }
    let last = old.last().map(|placed| placed.discontinuity);
    if !is_shared
        && let Some(last) = last
        && let Some((_, number, _)) = n.numbered().next()
        && number < last
    {
        add("T04", format!("the discontinuity number was {} and is {}", last.0, number.0));
    }
}

fn is_same_resource(a: &Segment, b: &Segment) -> bool {
    a.uri == b.uri && a.byte_range == b.byte_range
}
