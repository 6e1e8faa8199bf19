//! A media playlist as a value, and how it is written.

use crate::text;
use media::{DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, PartIndex};
use std::fmt::Write;

/// EXT-X-TARGETDURATION: whole seconds no EXTINF rounds above; constant for a playlist's life (rule T01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetDuration(pub u64);

impl TargetDuration {
    /// The promise a segment pitch allows: rounded, at least one second (rules M01, M02).
    pub fn of_pitch(pitch: MediaSpan) -> Self {
        Self(pitch.rounded_secs().max(1))
    }

    /// As a span.
    pub fn span(self) -> MediaSpan {
        MediaSpan::from_secs(self.0)
    }
}

/// EXT-X-PLAYLIST-TYPE; a live playlist that slides has none (rule M13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistType {
    /// Only appends.
    Event,
    /// Never changes.
    Vod,
}

/// One media playlist: what `index.m3u8` of one rendition says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// EXT-X-TARGETDURATION.
    pub target_duration: TargetDuration,
    /// EXT-X-MEDIA-SEQUENCE: the number of the first segment.
    pub media_sequence: MediaSequence,
    /// EXT-X-DISCONTINUITY-SEQUENCE: the number of the first segment, less its own EXT-X-DISCONTINUITY if it
    /// has one (a tag counts from where it stands).
    pub discontinuity_sequence: DiscontinuitySequence,
    /// EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-PLAYLIST-TYPE.
    pub playlist_type: Option<PlaylistType>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Option<ServerControl>,
    /// EXT-X-PART-INF; without it no part is written.
    pub part_target: Option<MediaSpan>,
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// Parts of the segment that is not whole yet.
    pub open_parts: Vec<Part>,
    /// EXT-X-PRELOAD-HINT.
    pub preload_hint: Option<PreloadHint>,
    /// EXT-X-RENDITION-REPORT, one for each other media playlist.
    pub rendition_reports: Vec<RenditionReport>,
    /// EXT-X-ENDLIST.
    pub has_ended: bool,
}

/// One media segment of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Where it is, relative to the playlist or absolute.
    pub uri: String,
    /// EXTINF.
    pub duration: MediaSpan,
    /// EXTINF's title; empty as a rule.
    pub title: String,
    /// EXT-X-PROGRAM-DATE-TIME.
    pub program_date_time: Option<MediaTime>,
    /// EXT-X-DISCONTINUITY stands before it.
    pub is_discontinuous: bool,
    /// EXT-X-GAP: there is nothing to fetch.
    pub is_gap: bool,
    /// EXT-X-MAP in force.
    pub init: Option<InitSection>,
    /// EXT-X-KEY in force.
    pub key: Option<Key>,
    /// EXT-X-BYTERANGE.
    pub byte_range: Option<ByteRange>,
    /// EXT-X-BITRATE in force, kbit/s.
    pub bitrate_kbps: Option<u64>,
    /// Its partial segments, as long as they are listed.
    pub parts: Vec<Part>,
}

/// EXT-X-MAP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitSection {
    /// Where it is.
    pub uri: String,
    /// Which bytes of it.
    pub byte_range: Option<ByteRange>,
}

/// EXT-X-KEY. Read so that a checker can look at it; the house writes none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// METHOD.
    pub method: String,
    /// URI.
    pub uri: Option<String>,
    /// IV, as written.
    pub iv: Option<String>,
}

/// `length[@offset]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Bytes.
    pub length: u64,
    /// From where; `None` continues the previous range of the same resource.
    pub offset: Option<u64>,
}

/// EXT-X-PART.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub uri: String,
    /// DURATION.
    pub duration: MediaSpan,
    /// INDEPENDENT=YES.
    pub is_independent: bool,
    /// GAP=YES.
    pub is_gap: bool,
}

/// EXT-X-SERVER-CONTROL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// CAN-BLOCK-RELOAD=YES.
    pub can_block_reload: bool,
    /// HOLD-BACK, at least three target durations (rule L03).
    pub hold_back: Option<MediaSpan>,
    /// PART-HOLD-BACK, at least three part targets (rule L04).
    pub part_hold_back: Option<MediaSpan>,
    /// CAN-SKIP-UNTIL, at least six target durations (rule L05).
    pub can_skip_until: Option<MediaSpan>,
}

/// EXT-X-PRELOAD-HINT of the part that comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreloadHint {
    /// Where it will be.
    pub uri: String,
}

/// EXT-X-RENDITION-REPORT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenditionReport {
    /// The other media playlist, relative.
    pub uri: String,
    /// LAST-MSN.
    pub last_sequence: MediaSequence,
    /// LAST-PART.
    pub last_part: Option<PartIndex>,
}

impl MediaPlaylist {
    /// How much time it lists.
    pub fn duration(&self) -> MediaSpan {
        self.segments.iter().fold(MediaSpan::ZERO, |sum, segment| sum + segment.duration)
    }

    /// The number of its last segment; `None` while it is empty.
    pub fn last_sequence(&self) -> Option<MediaSequence> {
        let behind_last = self.media_sequence.0.checked_add(self.segments.len() as u64)?;
        (!self.segments.is_empty()).then(|| MediaSequence(behind_last - 1))
    }

    /// Each segment with its number and its discontinuity number (R 6.2.1), oldest first.
    pub fn numbered(&self) -> impl Iterator<Item = (MediaSequence, DiscontinuitySequence, &Segment)> {
        let mut discontinuity = self.discontinuity_sequence.0;
        self.segments.iter().enumerate().map(move |(at, segment)| {
            discontinuity = discontinuity.saturating_add(u64::from(segment.is_discontinuous));
            let sequence = self.media_sequence.0.saturating_add(at as u64);
            (MediaSequence(sequence), DiscontinuitySequence(discontinuity), segment)
        })
    }

    /// The lowest EXT-X-VERSION that allows all that is in it (rules S02, S06); 3 for decimal durations.
    pub fn version(&self) -> u32 {
        let has_init = self.segments.iter().any(|segment| segment.init.is_some());
        let has_range = self.segments.iter().any(|segment| segment.byte_range.is_some());
        match (has_init, has_range) {
            (true, _) => 6,
            (false, true) => 4,
            (false, false) => 3,
        }
    }

    /// The playlist as bytes on the wire.
    pub fn render(&self) -> String {
        // About 90 bytes a segment with its date, and a head of about 150.
        let mut out = String::with_capacity(256 + self.segments.len() * 96);
        let _ = write!(
            out,
            "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:{}\n",
            self.version(),
            self.target_duration.0
        );
        if let Some(control) = &self.server_control {
            control.write(&mut out);
        }
        if let Some(target) = self.part_target {
            out.push_str("#EXT-X-PART-INF:PART-TARGET=");
            text::write_seconds(&mut out, target);
            out.push('\n');
        }
        let _ = write!(
            out,
            "#EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            self.media_sequence.0, self.discontinuity_sequence.0
        );
        if self.independent_segments {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        match self.playlist_type {
            Some(PlaylistType::Event) => out.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
            Some(PlaylistType::Vod) => out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
            None => {}
        }
        let mut previous: Option<&Segment> = None;
        for segment in &self.segments {
            segment.write(&mut out, previous, self.part_target.is_some());
            previous = Some(segment);
        }
        if self.part_target.is_some() {
            self.open_parts.iter().for_each(|part| part.write(&mut out));
        }
        if self.has_ended {
            out.push_str("#EXT-X-ENDLIST\n");
            return out;
        }
        if let Some(hint) = &self.preload_hint {
            out.push_str("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=");
            text::write_quoted(&mut out, &hint.uri);
            out.push('\n');
        }
        for report in &self.rendition_reports {
            out.push_str("#EXT-X-RENDITION-REPORT:URI=");
            text::write_quoted(&mut out, &report.uri);
            let _ = write!(out, ",LAST-MSN={}", report.last_sequence.0);
            if let Some(part) = report.last_part {
                let _ = write!(out, ",LAST-PART={}", part.0);
            }
            out.push('\n');
        }
        out
    }
}

impl Segment {
    fn write(&self, out: &mut String, previous: Option<&Self>, with_parts: bool) {
        if self.is_discontinuous {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if previous.and_then(|segment| segment.key.as_ref()) != self.key.as_ref() {
            write_key(out, self.key.as_ref());
        }
        // A discontinuity may change what the section must say, so it is named again (R 4.4.4.5).
        let changed = previous.and_then(|segment| segment.init.as_ref()) != self.init.as_ref();
        if let Some(init) = self.init.as_ref().filter(|_| changed || self.is_discontinuous) {
            out.push_str("#EXT-X-MAP:URI=");
            text::write_quoted(out, &init.uri);
            if let Some(range) = init.byte_range {
                out.push_str(",BYTERANGE=");
                out.push('"');
                range.write(out);
                out.push('"');
            }
            out.push('\n');
        }
        if let Some(time) = self.program_date_time {
            out.push_str("#EXT-X-PROGRAM-DATE-TIME:");
            text::write_date_time(out, time);
            out.push('\n');
        }
        if let Some(rate) = self.bitrate_kbps
            && previous.and_then(|segment| segment.bitrate_kbps) != Some(rate)
        {
            let _ = writeln!(out, "#EXT-X-BITRATE:{rate}");
        }
        if self.is_gap {
            out.push_str("#EXT-X-GAP\n");
        }
        if with_parts {
            self.parts.iter().for_each(|part| part.write(out));
        }
        out.push_str("#EXTINF:");
        text::write_seconds(out, self.duration);
        out.push(',');
        out.extend(self.title.chars().filter(|c| !c.is_control()));
        out.push('\n');
        if let Some(range) = self.byte_range {
            out.push_str("#EXT-X-BYTERANGE:");
            range.write(out);
            out.push('\n');
        }
        text::write_uri_line(out, &self.uri);
    }
}

impl Part {
    fn write(&self, out: &mut String) {
        out.push_str("#EXT-X-PART:DURATION=");
        text::write_seconds(out, self.duration);
        out.push_str(",URI=");
        text::write_quoted(out, &self.uri);
        if self.is_independent {
            out.push_str(",INDEPENDENT=YES");
        }
        if self.is_gap {
            out.push_str(",GAP=YES");
        }
        out.push('\n');
    }
}

impl ByteRange {
    fn write(self, out: &mut String) {
        let _ = write!(out, "{}", self.length);
        if let Some(offset) = self.offset {
            let _ = write!(out, "@{offset}");
        }
    }
}

impl ServerControl {
    fn write(&self, out: &mut String) {
        let mut attributes = Vec::new();
        if self.can_block_reload {
            attributes.push("CAN-BLOCK-RELOAD=YES".to_owned());
        }
        let spans = [
            ("HOLD-BACK", self.hold_back),
            ("PART-HOLD-BACK", self.part_hold_back),
            ("CAN-SKIP-UNTIL", self.can_skip_until),
        ];
        for (name, span) in spans {
            if let Some(span) = span {
                let mut attribute = format!("{name}=");
                text::write_seconds(&mut attribute, span);
                attributes.push(attribute);
            }
        }
        if !attributes.is_empty() {
            let _ = writeln!(out, "#EXT-X-SERVER-CONTROL:{}", attributes.join(","));
        }
    }
}

fn write_key(out: &mut String, key: Option<&Key>) {
    let Some(key) = key else {
        out.push_str("#EXT-X-KEY:METHOD=NONE\n");
        return;
    };
    let _ = write!(out, "#EXT-X-KEY:METHOD={}", key.method);
    if let Some(uri) = &key.uri {
        out.push_str(",URI=");
        text::write_quoted(out, uri);
    }
    if let Some(iv) = &key.iv {
        let _ = write!(out, ",IV={iv}");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u64, ticks: u64) -> Segment {
        Segment {
            uri: format!("{sequence}.ts"),
            duration: MediaSpan::from_ticks(ticks),
            program_date_time: Some(MediaTime::from_unix_millis(1_700_000_000_000 + sequence * 2000)),
            ..Segment::default()
        }
    }

    #[test]
    fn a_live_playlist_as_a_player_sees_it() {
        let playlist = MediaPlaylist {
            target_duration: TargetDuration::of_pitch(MediaSpan::from_secs(2)),
            media_sequence: MediaSequence(7),
            discontinuity_sequence: DiscontinuitySequence(3),
            segments: vec![
                segment(7, 180_000),
                Segment { is_gap: true, ..segment(8, 180_000) },
                Segment { is_discontinuous: true, ..segment(9, 177_001) },
            ],
            ..MediaPlaylist::default()
        };
        assert_eq!(
            playlist.render(),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:3\n\
             #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34.000Z\n#EXTINF:2.00000,\n7.ts\n\
             #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:36.000Z\n#EXT-X-GAP\n#EXTINF:2.00000,\n8.ts\n\
             #EXT-X-DISCONTINUITY\n\
             #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:38.000Z\n#EXTINF:1.96668,\n9.ts\n"
        );
        let numbers: Vec<_> = playlist.numbered().map(|(sequence, count, _)| (sequence.0, count.0)).collect();
        assert_eq!(numbers, [(7, 3), (8, 3), (9, 4)]);
        assert_eq!(playlist.last_sequence(), Some(MediaSequence(9)));
    }

    #[test]
    fn an_ended_playlist_says_so_last_and_promises_nothing_more() {
        let playlist = MediaPlaylist {
            has_ended: true,
            preload_hint: Some(PreloadHint { uri: "10.0.m4s".into() }),
            segments: vec![segment(9, 180_000)],
            ..MediaPlaylist::default()
        };
        assert!(playlist.render().ends_with("9.ts\n#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn low_latency_tags_stand_where_they_belong() {
        let part = |at: u16| Part {
            uri: format!("9.{at}.m4s"),
            duration: MediaSpan::from_millis(500),
            is_independent: at == 0,
            is_gap: false,
        };
        let playlist = MediaPlaylist {
            target_duration: TargetDuration(2),
            part_target: Some(MediaSpan::from_millis(500)),
            server_control: Some(ServerControl {
                can_block_reload: true,
                part_hold_back: Some(MediaSpan::from_millis(1501)),
                ..ServerControl::default()
            }),
            segments: vec![Segment {
                init: Some(InitSection { uri: "init-a.mp4".into(), byte_range: None }),
                ..segment(8, 180_000)
            }],
            open_parts: vec![part(0), part(1)],
            preload_hint: Some(PreloadHint { uri: "9.2.m4s".into() }),
            rendition_reports: vec![RenditionReport {
                uri: "../360p/index.m3u8".into(),
                last_sequence: MediaSequence(9),
                last_part: Some(PartIndex(1)),
            }],
            ..MediaPlaylist::default()
        };
        let text = playlist.render();
        assert!(text.contains("#EXT-X-VERSION:6\n"));
        assert!(text.contains("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.50100\n"));
        assert!(text.contains("#EXT-X-MAP:URI=\"init-a.mp4\"\n"));
        assert!(text.ends_with(
            "8.ts\n#EXT-X-PART:DURATION=0.50000,URI=\"9.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.50000,URI=\"9.1.m4s\"\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.2.m4s\"\n\
             #EXT-X-RENDITION-REPORT:URI=\"../360p/index.m3u8\",LAST-MSN=9,LAST-PART=1\n"
        ));
    }
}
