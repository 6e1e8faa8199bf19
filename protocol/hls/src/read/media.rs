//! Reads a media playlist.

use super::Complaints;
use super::attributes::{Attributes, digits};
use super::tags::{Lines, Says, shortened};
use crate::media_playlist::{
    ByteRange, InitSection, Key, MediaPlaylist, Part, PlaylistType, PreloadHint, RenditionReport, Segment,
    ServerControl, TargetDuration,
};
use crate::text;
use media::{DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, PartIndex};
use std::collections::BTreeMap;

/// A media playlist and what a checker wants to know beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MediaReading {
    pub(crate) playlist: MediaPlaylist,
    pub(crate) has_media_sequence: bool,
    pub(crate) has_discontinuity_sequence: bool,
    pub(crate) is_i_frames_only: bool,
    /// EXT-X-SKIP: segments that are there but not written.
    pub(crate) skipped: u64,
}

/// Reads to the end, complaining on the way.
pub(crate) fn read_media(lines: &Lines, complaints: &mut Complaints) -> MediaReading {
    let mut reader = Reader {
        complaints,
        out: MediaReading::default(),
        next: Segment::default(),
        extinf: None,
        version: None,
        needs: Vec::new(),
        has_target: false,
        has_date_time: false,
        date_ranges: BTreeMap::new(),
        range_ends: BTreeMap::new(),
    };
    for line in &lines.lines {
        match &line.says {
            Says::Tag { name, value } => reader.tag(line.number, name, value),
            Says::Uri(uri) => reader.uri(line.number, uri),
        }
    }
    reader.finish(lines.last)
}

struct Reader<'a> {
    complaints: &'a mut Complaints,
    out: MediaReading,
    /// The segment under way: its tags come before its URI.
    next: Segment,
    /// The line of its EXTINF.
    extinf: Option<u32>,
    version: Option<u64>,
    /// Versions that what is used needs: number, line, what.
    needs: Vec<(u64, u32, &'static str)>,
    has_target: bool,
    has_date_time: bool,
    date_ranges: BTreeMap<String, BTreeMap<String, String>>,
    /// Where the last byte range of each resource ended.
    range_ends: BTreeMap<String, u64>,
}

impl Reader<'_> {
    fn tag(&mut self, line: u32, name: &str, value: &str) {
        match name {
            "EXTM3U" => {}
            "EXT-X-VERSION" => self.version = self.number(line, name, value, "S02"),
            "EXT-X-TARGETDURATION" => {
                self.has_target = true;
                match self.number(line, name, value, "M01") {
                    Some(0) => self.complaints.must("M01", line, name, "0 seconds, at least 1 is allowed"),
                    target => self.out.playlist.target_duration = TargetDuration(target.unwrap_or(0)),
                }
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                self.before_segments(line, name, "M04");
                self.out.has_media_sequence = true;
                let number = self.number(line, name, value, "M04").unwrap_or(0);
                self.out.playlist.media_sequence = MediaSequence(number);
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.before_segments(line, name, "M05");
                if self.next.is_discontinuous {
                    self.complaints.must("M05", line, name, "stands behind an EXT-X-DISCONTINUITY");
                }
                self.out.has_discontinuity_sequence = true;
                let number = self.number(line, name, value, "M05").unwrap_or(0);
                self.out.playlist.discontinuity_sequence = DiscontinuitySequence(number);
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => self.out.playlist.independent_segments = true,
            "EXT-X-I-FRAMES-ONLY" => {
                self.out.is_i_frames_only = true;
                self.needs.push((4, line, "EXT-X-I-FRAMES-ONLY"));
            }
            "EXT-X-ENDLIST" => self.out.playlist.has_ended = true,
            "EXT-X-PLAYLIST-TYPE" => match value {
                "VOD" => self.out.playlist.playlist_type = Some(PlaylistType::Vod),
                "EVENT" => self.out.playlist.playlist_type = Some(PlaylistType::Event),
                other => self.form(line, name, other, "VOD or EVENT", "S04"),
            },
            "EXTINF" => self.extinf(line, value),
            "EXT-X-BYTERANGE" => {
                self.needs.push((4, line, "EXT-X-BYTERANGE"));
                self.next.byte_range = self.byte_range(line, name, value);
            }
            "EXT-X-DISCONTINUITY" => self.next.is_discontinuous = true,
            "EXT-X-GAP" => self.next.is_gap = true,
            "EXT-X-BITRATE" => self.next.bitrate_kbps = self.number(line, name, value, "M11"),
            "EXT-X-PROGRAM-DATE-TIME" => self.date_time(line, value),
            "EXT-X-KEY" => self.key(line, value),
            "EXT-X-MAP" => self.map(line, value),
            "EXT-X-DATERANGE" => self.date_range(line, value),
            "EXT-X-PART-INF" => {
                let attributes = Attributes::read(value, line, name, "S04", self.complaints);
                attributes.needs("PART-TARGET", self.complaints);
                self.out.playlist.part_target = attributes.seconds("PART-TARGET", self.complaints);
            }
            "EXT-X-SERVER-CONTROL" => {
                let attributes = Attributes::read(value, line, name, "S04", self.complaints);
                self.out.playlist.server_control = Some(ServerControl {
                    can_block_reload: attributes.yes("CAN-BLOCK-RELOAD", self.complaints).unwrap_or(false),
                    hold_back: attributes.seconds("HOLD-BACK", self.complaints),
                    part_hold_back: attributes.seconds("PART-HOLD-BACK", self.complaints),
                    can_skip_until: attributes.seconds("CAN-SKIP-UNTIL", self.complaints),
                });
            }
            "EXT-X-PART" => {
                let attributes = Attributes::read(value, line, name, "S04", self.complaints);
                attributes.needs("URI", self.complaints);
                attributes.needs("DURATION", self.complaints);
                self.next.parts.push(Part {
                    uri: attributes.quoted("URI", self.complaints).unwrap_or_default(),
                    duration: attributes.seconds("DURATION", self.complaints).unwrap_or_default(),
                    is_independent: attributes.yes("INDEPENDENT", self.complaints).unwrap_or(false),
                    is_gap: attributes.yes("GAP", self.complaints).unwrap_or(false),
                });
            }
            "EXT-X-PRELOAD-HINT" => {
                let attributes = Attributes::read(value, line, name, "S04", self.complaints);
                attributes.needs("URI", self.complaints);
                if attributes.word("TYPE", self.complaints).as_deref() == Some("PART") {
                    let uri = attributes.quoted("URI", self.complaints).unwrap_or_default();
                    self.out.playlist.preload_hint = Some(PreloadHint { uri });
                }
            }
            "EXT-X-RENDITION-REPORT" => {
                let attributes = Attributes::read(value, line, name, "S04", self.complaints);
                attributes.needs("URI", self.complaints);
                let last_part = attributes.integer("LAST-PART", self.complaints);
                self.out.playlist.rendition_reports.push(RenditionReport {
                    uri: attributes.quoted("URI", self.complaints).unwrap_or_default(),
                    last_sequence: MediaSequence(
                        attributes.integer("LAST-MSN", self.complaints).unwrap_or_default(),
                    ),
                    last_part: last_part.and_then(|part| u16::try_from(part).ok()).map(PartIndex),
                });
            }
            "EXT-X-SKIP" => {
                self.needs.push((9, line, "EXT-X-SKIP"));
                let attributes = Attributes::read(value, line, name, "S04", self.complaints);
                attributes.needs("SKIPPED-SEGMENTS", self.complaints);
                self.out.skipped = attributes.integer("SKIPPED-SEGMENTS", self.complaints).unwrap_or(0);
            }
            "EXT-X-DEFINE" => self.needs.push((8, line, "EXT-X-DEFINE")),
            // Tags unknown to this reader are ignored, as R 4.1 asks of clients.
            _ => {}
        }
    }

    fn uri(&mut self, line: u32, uri: &str) {
        let segment = Segment {
            uri: uri.to_owned(),
            // State tags hold until the next of their kind.
            init: self.next.init.clone(),
            key: self.next.key.clone(),
            bitrate_kbps: self.next.bitrate_kbps,
            ..std::mem::take(&mut self.next)
        };
        self.next.init.clone_from(&segment.init);
        self.next.key.clone_from(&segment.key);
        self.next.bitrate_kbps = segment.bitrate_kbps;
        if self.extinf.take().is_none() {
            let text = format!("{:?} has no EXTINF before it", shortened(uri));
            self.complaints.must("S05", line, "", text);
            return;
        }
        if let Some(range) = segment.byte_range {
            let from = range.offset.or_else(|| self.range_ends.get(uri).copied());
            if from.is_none() {
                let text = "no offset, and no range of the same resource before it";
                self.complaints.must("M12", line, "EXT-X-BYTERANGE", text);
            }
            self.range_ends.insert(uri.to_owned(), from.unwrap_or(0).saturating_add(range.length));
        } else {
            self.range_ends.remove(uri);
        }
        self.out.playlist.segments.push(segment);
    }

    fn finish(mut self, last: u32) -> MediaReading {
        if let Some(line) = self.extinf {
            self.complaints.must("S05", line, "EXTINF", "no URI line follows");
        }
        if !self.has_target {
            self.complaints.must("M01", 0, "EXT-X-TARGETDURATION", "missing");
        }
        if !self.date_ranges.is_empty() && !self.has_date_time {
            self.complaints.must("M10", 0, "EXT-X-DATERANGE", "no EXT-X-PROGRAM-DATE-TIME in the playlist");
        }
        self.out.playlist.open_parts = std::mem::take(&mut self.next.parts);
        let is_i_frames_only = self.out.is_i_frames_only;
        if self.out.playlist.segments.iter().any(|segment| segment.init.is_some()) {
            let need = if is_i_frames_only { 5 } else { 6 };
            self.needs.push((need, last, "EXT-X-MAP"));
        }
        check_version(self.version, &self.needs, self.complaints);
        self.out
    }

    fn extinf(&mut self, line: u32, value: &str) {
        if let Some(before) = self.extinf.replace(line) {
            self.complaints.must("S05", before, "EXTINF", "no URI line follows");
        }
        let (duration, title) = match value.split_once(',') {
            Some(parts) => parts,
            None => {
                self.complaints.must("M03", line, "EXTINF", "no comma behind the duration");
                (value, "")
            }
        };
        match text::parse_seconds(duration) {
            Some(span) => self.next.duration = span,
            None => self.form(line, "EXTINF", duration, "seconds as a decimal number", "M03"),
        }
        self.next.title = title.to_owned();
        if duration.contains('.') {
            self.needs.push((3, line, "a decimal EXTINF"));
        }
    }

    fn date_time(&mut self, line: u32, value: &str) {
        self.has_date_time = true;
        const TAG: &str = "EXT-X-PROGRAM-DATE-TIME";
        self.next.program_date_time = text::parse_date_time(value);
        if self.next.program_date_time.is_none() {
            self.form(line, TAG, value, "YYYY-MM-DDThh:mm:ss.mmm with a zone", "M09");
        } else if !value.contains('.') {
            self.complaints.should("M09", line, TAG, "no milliseconds");
        }
    }

    fn key(&mut self, line: u32, value: &str) {
        const TAG: &str = "EXT-X-KEY";
        let attributes = Attributes::read(value, line, TAG, "M08", self.complaints);
        attributes.needs("METHOD", self.complaints);
        let method = attributes.word("METHOD", self.complaints).unwrap_or_default();
        if method == "NONE" {
            if attributes.len() > 1 {
                self.complaints.must("M08", line, TAG, "METHOD=NONE has no other attribute");
            }
            self.next.key = None;
            return;
        }
        attributes.needs("URI", self.complaints);
        let iv = attributes.word("IV", self.complaints);
        if let Some(iv) = &iv {
            let hex = iv.strip_prefix("0x").or_else(|| iv.strip_prefix("0X")).unwrap_or_default();
            if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                self.form(line, TAG, iv, "0x and 32 hexadecimal digits", "M08");
            }
            self.needs.push((2, line, "IV"));
        }
        if attributes.has("KEYFORMAT") || attributes.has("KEYFORMATVERSIONS") {
            self.needs.push((5, line, "KEYFORMAT"));
        }
        self.next.key = Some(Key { method, uri: attributes.quoted("URI", self.complaints), iv });
    }

    fn map(&mut self, line: u32, value: &str) {
        const TAG: &str = "EXT-X-MAP";
        let attributes = Attributes::read(value, line, TAG, "M07", self.complaints);
        attributes.needs("URI", self.complaints);
        let range = attributes.quoted("BYTERANGE", self.complaints);
        self.next.init = Some(InitSection {
            uri: attributes.quoted("URI", self.complaints).unwrap_or_default(),
            byte_range: range.and_then(|range| self.byte_range(line, TAG, &range)),
        });
    }

    fn date_range(&mut self, line: u32, value: &str) {
        const TAG: &str = "EXT-X-DATERANGE";
        let attributes = Attributes::read(value, line, TAG, "M10", self.complaints);
        if !attributes.needs("ID", self.complaints) {
            return;
        }
        attributes.needs("START-DATE", self.complaints);
        let start = self.date(line, &attributes, "START-DATE");
        let end = self.date(line, &attributes, "END-DATE");
        let duration = attributes.seconds("DURATION", self.complaints);
        if let (Some(start), Some(end)) = (start, end) {
            if end < start {
                self.complaints.must("M10", line, TAG, "END-DATE is before START-DATE");
            } else if duration.is_some_and(|span| (start + span).distance(end) > MediaSpan::from_millis(2)) {
                self.complaints.must("M10", line, TAG, "END-DATE is not START-DATE plus DURATION");
            }
        }
        let id = attributes.quoted("ID", self.complaints).unwrap_or_default();
        let known = self.date_ranges.entry(id.clone()).or_default();
        for (name, value) in attributes.iter() {
            let first = known.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            if first != value {
                let text = format!("the range {:?} has two values of {name}", shortened(&id));
                self.complaints.must("M10", line, TAG, text);
            }
        }
    }

    fn date(&mut self, line: u32, attributes: &Attributes<'_>, name: &str) -> Option<MediaTime> {
        let value = attributes.quoted(name, self.complaints)?;
        let date = text::parse_date_time(&value);
        if date.is_none() {
            self.form(line, "EXT-X-DATERANGE", &value, "an ISO 8601 date with a zone", "M10");
        }
        date
    }

    fn byte_range(&mut self, line: u32, tag: &str, value: &str) -> Option<ByteRange> {
        let (length, offset) = match value.split_once('@') {
            Some((length, offset)) => (digits(length), Some(digits(offset))),
            None => (digits(value), None),
        };
        match (length, offset) {
            (Some(length), None) => Some(ByteRange { length, offset: None }),
            (Some(length), Some(Some(offset))) => Some(ByteRange { length, offset: Some(offset) }),
            _ => {
                self.form(line, tag, value, "<length> or <length>@<offset>", "S04");
                None
            }
        }
    }

    fn number(&mut self, line: u32, tag: &str, value: &str, rule: &'static str) -> Option<u64> {
        let number = digits(value);
        if number.is_none() {
            self.form(line, tag, value, "a decimal integer below 2^64", rule);
        }
        number
    }

    fn form(&mut self, line: u32, tag: &str, found: &str, allowed: &str, rule: &'static str) {
        let text = format!("{:?}, allowed is {allowed}", shortened(found));
        self.complaints.must(rule, line, tag, text);
    }

    fn before_segments(&mut self, line: u32, tag: &str, rule: &'static str) {
        if !self.out.playlist.segments.is_empty() || self.extinf.is_some() {
            self.complaints.must(
                rule,
                line,
                tag,
                "stands behind a segment, it is allowed before the first only",
            );
        }
    }
}

/// S02 and S06. Up to 3 nobody tells versions apart any more, so a playlist that says 3 and needs less is fine.
pub(crate) fn check_version(
    version: Option<u64>,
    needs: &[(u64, u32, &'static str)],
    complaints: &mut Complaints,
) {
    const TAG: &str = "EXT-X-VERSION";
    let said = version.unwrap_or(1);
    let highest = needs.iter().max_by_key(|(need, ..)| *need);
    match highest {
        Some((need, line, what)) if said < *need => {
            complaints.must("S06", *line, TAG, format!("{said}, and {what} needs {need}"));
        }
        _ => {
            let need = highest.map_or(1, |(need, ..)| *need).max(3);
            if said > need {
                complaints.should("S02", 0, TAG, format!("{said}, and {need} would do"));
            }
        }
    }
}
