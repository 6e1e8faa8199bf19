//! The rules a live HLS server must keep, as a table: sections 1 to 5 of docs/HLS.md.
//!
//! Sources: R is RFC 8216 and draft-pantos-hls-rfc8216bis, A Apple's HLS authoring specification with its item
//! numbers, H a de-facto rule of hls.js, S draft-pantos-content-steering.

use std::fmt;

/// The name of a rule, such as `T03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub &'static str);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Broken: players may fail.
    Must,
    /// Advice not taken.
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Must => "MUST",
            Self::Should => "should",
        })
    }
}

/// How far the checker can see whether a rule is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Fully, as far as one visitor can.
    Whole,
    /// What it does not see is said.
    Partly(&'static str),
    /// Not at all, and why.
    NotChecked(&'static str),
}

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// What breaking it is, where a finding does not say otherwise.
    pub level: Level,
    /// The rule in a sentence.
    pub says: &'static str,
    /// Where it is written.
    pub source: &'static str,
    /// How far it is checked.
    pub reach: Reach,
}

/// The rule of that name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id.0 == id)
}

const fn must(id: &'static str, source: &'static str, says: &'static str, reach: Reach) -> Rule {
    Rule { id: RuleId(id), level: Level::Must, says, source, reach }
}

const fn should(id: &'static str, source: &'static str, says: &'static str, reach: Reach) -> Rule {
    Rule { id: RuleId(id), level: Level::Should, says, source, reach }
}

use Reach::{NotChecked, Partly, Whole};

/// All of them, in order.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    must("S01", "R 4", "The first line is #EXTM3U; UTF-8 without a byte order mark; no control characters.", Whole),
    must("S02", "R 4.4.1.2", "EXT-X-VERSION stands at most once and is no higher than needed.", Whole),
    must("S03", "R 4.4", "A playlist has tags of its own kind only.", Whole),
    must("S04", "R 4.2", "Once-only tags stand once, no attribute twice, values have the form their attribute asks for.", Whole),
    must("S05", "R 4.4", "A URI line follows each EXTINF and each EXT-X-STREAM-INF.", Whole),
    must("S06", "R 8", "EXT-X-VERSION is high enough for what is used.", Whole),
    must("S07", "R 4", "A playlist's media type is application/vnd.apple.mpegurl or audio/mpegurl, or its path ends in .m3u8 or .m3u.", Whole),
    must("S08", "A 10.1", "Playlists are delivered with gzip to clients that accept it.", Whole),
    must("S09", "R 3", "Segments have the media type of their format.", Whole),

    must("M01", "R 4.4.3.1", "EXT-X-TARGETDURATION is present and at least 1.", Whole),
    must("M02", "R 4.4.3.1, A 7.7", "No EXTINF rounds above the target duration, none is over it by more than half a second.", Whole),
    must("M03", "R 4.4.4.1", "EXTINF is a decimal duration and a comma.", Whole),
    must("M04", "R 4.4.3.2", "EXT-X-MEDIA-SEQUENCE stands before the first segment, and is present once segments have been removed.", Whole),
    must("M05", "R 4.4.3.3, A 8.17", "EXT-X-DISCONTINUITY-SEQUENCE stands before the first segment and any discontinuity, and is present where there can be one.", Whole),
    must("M06", "R 4.4.4.3", "EXT-X-DISCONTINUITY stands where format, tracks or time stamps change.", Partly("neighbouring transport stream segments that were fetched; not encoding parameters")),
    must("M07", "R 3.1.2", "fMP4: EXT-X-MAP stands before the first segment, and each segment decodes with its own.", Partly("that it is there; fMP4 is not decoded")),
    must("M08", "R 4.4.4.4", "EXT-X-KEY has what its METHOD asks for.", Whole),
    must("M09", "R 4.4.4.6, A 8.4", "EXT-X-PROGRAM-DATE-TIME has a zone and milliseconds and is in every live playlist, after each discontinuity as advice.", Whole),
    must("M10", "R 4.4.5.1", "EXT-X-DATERANGE is complete, agrees with itself, and has a date-time to refer to.", Whole),
    must("M11", "R 4.4.4.8", "EXT-X-BITRATE is within 10 % of the segment's rate.", Partly("segments that were fetched")),
    must("M12", "R 4.4.4.2", "EXT-X-BYTERANGE without an offset follows a range of the same resource.", Whole),
    must("M13", "R 4.4.3.5", "A playlist that slides has no EXT-X-PLAYLIST-TYPE; VOD never changes, EVENT only appends.", Whole),
    must("M14", "R 4.4.4.7", "A segment that cannot be fetched is marked EXT-X-GAP.", Partly("segments that were fetched")),
    must("M15", "A 8.11", "A live playlist lists at least six segments.", Partly("the advised 15 minutes are not asked for")),
    must("M16", "R 6.2.2", "No segment is removed while less than three target durations would stay.", Whole),
    must("M17", "R 4.4.2.1, A 7.4, A 9.11", "Every video segment starts with an independent picture where EXT-X-INDEPENDENT-SEGMENTS says so, which it should.", Partly("transport stream segments that were fetched; not the advised interval of pictures")),

    must("T01", "R 4.4.3.1", "The target duration never changes.", Whole),
    must("T02", "R 6.2.1", "A playlist is only appended to at its end, shortened from its front, or ended.", Whole),
    must("T03", "R 4.4.3.2", "The media sequence number rises by one for each segment removed, and never goes back.", Whole),
    must("T04", "R 4.4.3.3", "The discontinuity sequence number rises by one for each discontinuity removed, and never goes back.", Whole),
    must("T05", "R 6.2.1", "A segment keeps URI, duration, discontinuity and date-time between two loads.", Whole),
    must("T06", "R 6.2.2", "A live playlist changes within one and a half target durations.", Whole),
    must("T07", "R 6.2.1", "A listed segment can be fetched at once, whole, at line rate.", Partly("segments that were fetched, from here")),
    must("T08", "R 6.2.2", "A removed segment stays fetchable for its own duration and that of the longest playlist that held it.", Partly("some of those removed while watching, as late as watching lasts")),
    must("T09", "R 6.2.2", "EXT-X-KEY and EXT-X-MAP stay as long as a listed segment needs them.", Whole),
    must("T10", "R 6.2.1", "After EXT-X-ENDLIST nothing changes.", Partly("a playlist that ended is loaded twice more")),
    must("T11", "R 6.2.1", "A load is the old playlist or the new, whole.", Partly("bodies shorter than their Content-Length, and lists cut inside a line or a tag's pair")),
    must("T12", "R 6.2.3", "A withdrawn playlist answers 404 or 410 and its segments stay for one playlist duration.", Partly("only if one is withdrawn while watching")),
    should("T13", "A 8.24", "Playlists expire within the update period, segments may be cached for long.", Whole),
    must("T14", "H", "The same number is the same path on every edge and every reload.", Partly("pathways the multivariant playlist lists")),
    must("T15", "H", "After a restart both numbers go on above the last value served.", Partly("only if something restarts while watching")),
    must("T16", "A 8.18", "Media requests are not answered with redirects.", Whole),

    must("C01", "R 6.2.4", "The same moment has the same time stamp in all variant streams.", Partly("transport stream segments that were fetched and carry a date-time")),
    must("C02", "R 3, A 7.6", "EXTINF matches the media's time stamps within one picture.", Partly("neighbouring transport stream segments that were fetched")),
    must("C03", "R 3.1.1, A 7.2", "Transport streams begin with PAT and PMT; continuity counters and time stamps go on from segment to segment.", Partly("segments that were fetched; counters may start over where the packet says so")),
    must("C04", "A 7.3", "fMP4: a segment's decode time is that of the one before plus its duration.", NotChecked("fMP4 is not read")),
    must("C05", "A 8.2, A 8.15, A 8.22", "All playlists have the same target duration, discontinuities at the same times and, as advice, the same boundaries.", Partly("playlists with date-times")),
    must("C06", "A 9.16", "No segment is over 125 % of BANDWIDTH, the average not over 110 % of AVERAGE-BANDWIDTH.", Partly("segments that were fetched, not an hour of them")),
    must("C07", "R 3.1.1, R 3.1.4", "A transport stream has one program, each elementary stream one codec; WebVTT has X-TIMESTAMP-MAP.", Partly("transport stream segments that were fetched; WebVTT is not read")),

    must("V01", "R 4.4.6.2, A 9.13", "BANDWIDTH is present and the largest sum of peak segment rates.", Partly("that it is there; rates are seen under C06")),
    must("V02", "R 4.4.6.2, A 9.1, A 9.2, A 9.14, A 9.15", "CODECS lists every format; video has RESOLUTION, AVERAGE-BANDWIDTH and FRAME-RATE with three decimals.", Partly("formats of transport stream segments that were fetched")),
    must("V03", "R 4.4.6.2", "AUDIO, VIDEO, SUBTITLES and CLOSED-CAPTIONS name a group of their type; CLOSED-CAPTIONS=NONE on all or none.", Whole),
    must("V04", "R 4.4.6.1", "EXT-X-MEDIA has TYPE, GROUP-ID and NAME; names are unique in a group; at most one is the default.", Whole),
    must("V05", "R 4.4.6.1.1", "Groups of one type have the same members.", Whole),
    must("V06", "R 6.2.4", "All variant streams have the same content, discontinuity numbers and target duration.", Partly("playlists with date-times; whether the content is the same cannot be seen")),
    must("V07", "R 4.4.6.4, R 4.4.2.1", "EXT-X-INDEPENDENT-SEGMENTS is true for all; EXT-X-SESSION-DATA is unique by id and language.", Partly("segments that were fetched")),
    must("V08", "A 9.9", "There is more than one variant stream; as advice the first is the one nearest 2 Mbit/s.", Partly("I-frame playlists are asked of VOD only")),
    must("V09", "R 4.4.6.2", "SCORE is on all variant streams or none.", Whole),
    must("V10", "R 4.4.6.6, A 9.18, A 10.2", "EXT-X-CONTENT-STEERING has a SERVER-URI and starts on a pathway that is there; pathway ids have letters, digits, '.', '-' and '_'.", Whole),
    must("V11", "S 7", "The steering manifest is JSON with VERSION 1, TTL and a PATHWAY-PRIORITY of known pathways.", Partly("no query parameters are sent, clones are not followed")),
    should("V12", "A 11, A 12", "Playlists and segments are on TLS 1.2 or later.", Partly("the scheme of each URL; versions and keys are not seen")),
    should("V13", "A 9.23", "An H.264 ladder is near Apple's table.", NotChecked("a guide for who chooses a ladder, not a promise to a player")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_one_name_and_they_stand_in_order() {
        for pair in RULES.windows(2) {
            let (before, after) = (pair[0].id.0, pair[1].id.0);
            assert!(before[..1] != after[..1] || before < after, "{after} follows {before}");
        }
        assert_eq!(RULES.len(), 9 + 17 + 16 + 7 + 13);
    }
}
