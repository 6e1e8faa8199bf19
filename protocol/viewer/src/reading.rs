//! Reads playlists as players do: what is not needed is skipped, what is odd is borne.
//!
//! Not the reader of `hls`, which refuses whatever breaks a rule: a player has to live with every server, and
//! reads five thousand of these a second in a load test. Borrows from the body, one allocation for the list.

use std::time::Duration;

/// Segments read of one media playlist; eleven hours of 2 s. What comes behind is read once these are gone.
pub(crate) const SEGMENTS_READ: usize = 20_000;

/// Variant streams read of one multivariant playlist: sixteen rungs at sixteen pathways.
pub(crate) const VARIANT_STREAMS_READ: usize = 256;

/// A segment longer than this counts as this long.
const LONGEST_SEGMENT: Duration = Duration::from_secs(3600);

/// DATA-ID of our balancers' list of edges: `id=origin` pairs with a space between them.
const EDGES_DATA_ID: &str = "com.mascaret.edges";

/// Either kind of playlist.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading<'a> {
    Multivariant(Multivariant<'a>),
    Media(Media<'a>),
}

/// What is needed of a multivariant playlist.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Multivariant<'a> {
    pub(crate) variant_streams: Vec<VariantStream<'a>>,
    /// PATHWAY-ID of EXT-X-CONTENT-STEERING: where to begin.
    pub(crate) first_pathway: Option<&'a str>,
    /// SERVER-URI of the same.
    pub(crate) steering_uri: Option<&'a str>,
    /// Our list: id and origin.
    pub(crate) edges: Vec<(&'a str, &'a str)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VariantStream<'a> {
    pub(crate) uri: &'a str,
    pub(crate) bandwidth: u64,
    pub(crate) pathway_id: Option<&'a str>,
    /// All attributes as written: a second one with the same is a redundant one (RFC 8216, 6.2.4).
    pub(crate) attributes: &'a str,
}

/// What is needed of a media playlist.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Media<'a> {
    pub(crate) target_secs: u64,
    pub(crate) media_sequence: u64,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) can_block_reload: bool,
    pub(crate) hold_back: Option<Duration>,
    pub(crate) has_ended: bool,
    pub(crate) segments: Vec<Segment<'a>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Segment<'a> {
    pub(crate) uri: &'a str,
    pub(crate) duration: Duration,
    /// EXT-X-PROGRAM-DATE-TIME, written or counted on from the one before; milliseconds since the epoch.
    pub(crate) unix_millis: Option<i64>,
    pub(crate) is_discontinuous: bool,
    pub(crate) is_gap: bool,
    /// First byte and length.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) init: Option<Init<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Init<'a> {
    pub(crate) uri: &'a str,
    pub(crate) range: Option<(u64, u64)>,
}

impl Media<'_> {
    /// The number after the last one listed.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.media_sequence.saturating_add(self.segments.len() as u64)
    }

    pub(crate) fn target(&self) -> Duration {
        Duration::from_secs(self.target_secs)
    }

    pub(crate) fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }
}

/// Reads either kind; `None` for what is no playlist.
pub(crate) fn read(body: &[u8]) -> Option<Reading<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.starts_with("#EXTM3U") {
        return None;
    }
    if text.contains("#EXT-X-STREAM-INF:") {
        read_multivariant(text).map(Reading::Multivariant)
    } else {
        read_media(text).map(Reading::Media)
    }
}

fn read_multivariant(text: &str) -> Option<Multivariant<'_>> {
    let mut out = Multivariant::default();
    let mut open = None;
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            open = Some(value);
        } else if let Some(value) = line.strip_prefix("#EXT-X-CONTENT-STEERING:") {
            out.first_pathway = attribute(value, "PATHWAY-ID");
            out.steering_uri = attribute(value, "SERVER-URI");
        } else if let Some(value) = line.strip_prefix("#EXT-X-SESSION-DATA:") {
            if attribute(value, "DATA-ID") == Some(EDGES_DATA_ID) {
                let listed = attribute(value, "VALUE").unwrap_or_default();
                out.edges = listed.split(' ').filter_map(|pair| pair.split_once('=')).collect();
            }
        } else if !line.starts_with('#')
            && let Some(attributes) = open.take()
            && out.variant_streams.len() < VARIANT_STREAMS_READ
        {
            out.variant_streams.push(VariantStream {
                uri: line,
                bandwidth: attribute(attributes, "BANDWIDTH").and_then(|v| v.parse().ok()).unwrap_or(0),
                pathway_id: attribute(attributes, "PATHWAY-ID"),
                attributes,
            });
        }
    }
    (!out.variant_streams.is_empty()).then_some(out)
}

fn read_media(text: &str) -> Option<Media<'_>> {
    let mut out = Media { segments: Vec::with_capacity(text.len() / 100), ..Media::default() };
    let mut next = Segment::default();
    let mut has_extinf = false;
    // Where the range before ended, and in what.
    let mut range_end = ("", 0);
    let mut open_range: Option<(u64, Option<u64>)> = None;
    for line in text.lines().map(str::trim_end) {
        let Some(tag) = line.strip_prefix('#') else {
            if line.is_empty() || !std::mem::take(&mut has_extinf) {
                continue;
            }
            if out.segments.len() == SEGMENTS_READ {
                // What is behind is not there yet, so neither is the end.
                out.has_ended = false;
                return Some(out);
            }
            next.uri = line;
            if let Some((length, offset)) = open_range.take() {
                let first = offset.unwrap_or(if range_end.0 == line { range_end.1 } else { 0 });
                range_end = (line, first.saturating_add(length));
                next.range = Some((first, length));
            }
            out.segments.push(next);
            let millis = i64::try_from(next.duration.as_millis()).unwrap_or(0);
            let unix_millis = next.unix_millis.map(|at| at.saturating_add(millis));
            next = Segment { unix_millis, init: next.init, ..Segment::default() };
            continue;
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXTINF" => {
                has_extinf = true;
                next.duration = seconds(value.split(',').next().unwrap_or_default()).unwrap_or_default();
            }
            "EXT-X-PROGRAM-DATE-TIME" => next.unix_millis = unix_millis(value).or(next.unix_millis),
            "EXT-X-DISCONTINUITY" => {
                next.is_discontinuous = true;
                // Counting on over a discontinuity would be a guess.
                next.unix_millis = None;
            }
            "EXT-X-GAP" => next.is_gap = true,
            "EXT-X-BYTERANGE" => open_range = byte_range(value),
            "EXT-X-MAP" => {
                let range = attribute(value, "BYTERANGE").and_then(byte_range);
                next.init = attribute(value, "URI").map(|uri| Init {
                    uri,
                    range: range.map(|(length, offset)| (offset.unwrap_or(0), length)),
                });
            }
            "EXT-X-TARGETDURATION" => out.target_secs = value.parse().ok()?,
            "EXT-X-MEDIA-SEQUENCE" => out.media_sequence = number(value)?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => out.discontinuity_sequence = number(value)?,
            "EXT-X-SERVER-CONTROL" => {
                out.can_block_reload = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                out.hold_back = attribute(value, "HOLD-BACK").and_then(seconds);
            }
            "EXT-X-ENDLIST" => out.has_ended = true,
            _ => {}
        }
    }
    // An hour is more than any segment has; 0 would have everything reloaded without a pause.
    (1..=LONGEST_SEGMENT.as_secs()).contains(&out.target_secs).then_some(out)
}

/// The value of one attribute of a list, quotes removed.
fn attribute<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, left) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, left) = quoted.split_once('"')?;
                (value, left.strip_prefix(',').unwrap_or(left))
            }
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        if name.trim() == wanted {
            return Some(value);
        }
        rest = left;
    }
    None
}

/// A number that leaves room to count on from it.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|number| *number <= u64::MAX / 2)
}

fn seconds(text: &str) -> Option<Duration> {
    let span = Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()?;
    Some(span.min(LONGEST_SEGMENT))
}

/// Length and offset.
fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (length, offset) = match text.split_once('@') {
        Some((length, offset)) => (length, Some(offset.trim().parse().ok()?)),
        None => (text, None),
    };
    Some((length.trim().parse().ok().filter(|length| *length > 0)?, offset))
}

/// `2026-07-31T12:34:56.789Z`, or with an offset from UTC; milliseconds since the epoch. Without a zone it is
/// taken as UTC, as most servers that leave it out mean it.
fn unix_millis(text: &str) -> Option<i64> {
    let text = text.trim();
    let number = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let mut unit = 100;
        for digit in fraction.bytes().take(len.min(3)) {
            millis += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        rest = fraction.get(len..)?;
    }
    let offset = match rest.split_at_checked(1) {
        None | Some(("Z" | "z", _)) => 0,
        Some((sign @ ("+" | "-"), zone)) => {
            let hours: i64 = zone.get(..2)?.parse().ok()?;
            let minutes: i64 = zone[2..].trim_start_matches(':').parse().unwrap_or(0);
            (hours * 60 + minutes) * if sign == "-" { -1 } else { 1 }
        }
        Some(_) => return None,
    };
    // Days since 1970-01-01 in the proleptic Gregorian calendar, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day - 1;
    let minutes = (days - 719_468) * 1440 + hour * 60 + minute - offset;
    Some(minutes * 60_000 + second * 1000 + millis)
}

#[cfg(test)]
mod tests;
