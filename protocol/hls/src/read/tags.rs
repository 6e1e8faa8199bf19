//! Lines and tags: what stands where, and how often it may.

use super::Complaints;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Which of the two kinds of playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lists segments.
    Media,
    /// Lists variant streams.
    Multivariant,
    /// Nothing in it says.
    Unclear,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Both,
    Media,
    Multivariant,
}

struct Tag {
    name: &'static str,
    place: Place,
    is_once: bool,
}

const fn tag(name: &'static str, place: Place, is_once: bool) -> Tag {
    Tag { name, place, is_once }
}

/// R 4.4.
const TAGS: &[Tag] = &[
    tag("EXTM3U", Place::Both, true),
    tag("EXT-X-VERSION", Place::Both, true),
    tag("EXT-X-INDEPENDENT-SEGMENTS", Place::Both, true),
    tag("EXT-X-START", Place::Both, true),
    tag("EXT-X-DEFINE", Place::Both, false),
    tag("EXT-X-TARGETDURATION", Place::Media, true),
    tag("EXT-X-MEDIA-SEQUENCE", Place::Media, true),
    tag("EXT-X-DISCONTINUITY-SEQUENCE", Place::Media, true),
    tag("EXT-X-ENDLIST", Place::Media, true),
    tag("EXT-X-PLAYLIST-TYPE", Place::Media, true),
    tag("EXT-X-I-FRAMES-ONLY", Place::Media, true),
    tag("EXT-X-PART-INF", Place::Media, true),
    tag("EXT-X-SERVER-CONTROL", Place::Media, true),
    tag("EXTINF", Place::Media, false),
    tag("EXT-X-BYTERANGE", Place::Media, false),
    tag("EXT-X-DISCONTINUITY", Place::Media, false),
    tag("EXT-X-KEY", Place::Media, false),
    tag("EXT-X-MAP", Place::Media, false),
    tag("EXT-X-PROGRAM-DATE-TIME", Place::Media, false),
    tag("EXT-X-GAP", Place::Media, false),
    tag("EXT-X-BITRATE", Place::Media, false),
    tag("EXT-X-PART", Place::Media, false),
    tag("EXT-X-DATERANGE", Place::Media, false),
    tag("EXT-X-SKIP", Place::Media, true),
    tag("EXT-X-PRELOAD-HINT", Place::Media, false),
    tag("EXT-X-RENDITION-REPORT", Place::Media, false),
    tag("EXT-X-MEDIA", Place::Multivariant, false),
    tag("EXT-X-STREAM-INF", Place::Multivariant, false),
    tag("EXT-X-I-FRAME-STREAM-INF", Place::Multivariant, false),
    tag("EXT-X-SESSION-DATA", Place::Multivariant, false),
    tag("EXT-X-SESSION-KEY", Place::Multivariant, false),
    tag("EXT-X-CONTENT-STEERING", Place::Multivariant, true),
];

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) says: Says,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// `#EXT…`, without the `#`, and what follows the colon.
    Tag { name: String, value: String },
    /// Anything that is neither a tag nor a comment.
    Uri(String),
}

/// A playlist's lines, without comments and blanks.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    pub(crate) last: u32,
    kind: Kind,
}

impl Lines {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes a text apart; complains of what no playlist of either kind may have.
    pub(crate) fn read(bytes: &[u8], complaints: &mut Complaints) -> Self {
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => {
                complaints.must("S01", 1, "", "a byte order mark, which UTF-8 playlists do not have");
                rest
            }
            None => bytes,
        };
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            complaints.must("S01", 0, "", "bytes that are not UTF-8");
        }
        let mut lines = Vec::new();
        let mut last = 0;
        for (number, line) in (1_u32..).zip(text.split('\n')) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            last = number;
            if number == 1 && line != "#EXTM3U" {
                complaints.must("S01", 1, "", format!("begins with {:?}, not with #EXTM3U", shortened(line)));
            }
            if let Some(found) = line.chars().find(|c| c.is_control()) {
                complaints.must("S01", number, "", format!("the control character {found:?}"));
            }
            if let Some(tag) = line.strip_prefix('#').filter(|tag| tag.starts_with("EXT")) {
                let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                lines.push(Line { number, says: Says::Tag { name: name.into(), value: value.into() } });
            } else if !(line.trim().is_empty() || line.starts_with('#')) {
                lines.push(Line { number, says: Says::Uri(line.into()) });
            }
        }
        let kind = kind_of(&lines);
        let lines = Self { lines, last, kind };
        lines.check_tags(complaints);
        lines
    }

    fn check_tags(&self, complaints: &mut Complaints) {
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for line in &self.lines {
            let Says::Tag { name, .. } = &line.says else { continue };
            let Some(tag) = TAGS.iter().find(|tag| tag.name == name) else { continue };
            let is_foreign = matches!(
                (self.kind, tag.place),
                (Kind::Media, Place::Multivariant) | (Kind::Multivariant, Place::Media)
            );
            if is_foreign {
                let kind = if self.kind == Kind::Media { "media" } else { "multivariant" };
                complaints.must("S03", line.number, name, format!("a tag no {kind} playlist may have"));
            }
            if tag.is_once
                && let Some(first) = seen.insert(tag.name, line.number)
            {
                let id = if *name == "EXT-X-VERSION" { "S02" } else { "S04" };
                complaints.must(
                    id,
                    line.number,
                    name,
                    format!("stands in line {first} already, once is allowed"),
                );
            }
        }
    }
}

/// The tags decide by majority, then by who came first, so that one stray tag is a complaint and not another kind.
fn kind_of(lines: &[Line]) -> Kind {
    let place = |line: &Line| match &line.says {
        Says::Tag { name, .. } => TAGS.iter().find(|tag| tag.name == name).map(|tag| tag.place),
        Says::Uri(_) => None,
    };
    let telling = lines.iter().filter_map(place).filter(|place| *place != Place::Both);
    let media = telling.clone().filter(|place| *place == Place::Media).count();
    let multivariant = telling.clone().count() - media;
    match (media.cmp(&multivariant), telling.clone().next()) {
        (_, None) => Kind::Unclear,
        (Ordering::Greater, _) | (Ordering::Equal, Some(Place::Media)) => Kind::Media,
        _ => Kind::Multivariant,
    }
}

/// For messages: a stranger's line may be long.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
