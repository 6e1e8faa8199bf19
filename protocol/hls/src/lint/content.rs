//! Media segments by their bytes: section 4 of the rules, and what of others needs them.
//!
//! This room knows no container. Whoever fetches a segment reads it (`mpegts::Reader`) and hands over what it
//! learned as [`Content`].

use super::finding::Findings;
use super::http::file;
use super::multivariant::codec_words;
use crate::{TargetDuration, VariantStream};
use media::{BitRate, DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime};
use std::collections::BTreeMap;

/// What a transport stream segment turned out to be. The fields are those of `mpegts::Summary`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Programs.
    pub programs: usize,
    /// PAT and PMT came before any media.
    pub has_tables_first: bool,
    /// Elementary streams.
    pub tracks: Vec<ContentTrack>,
    /// What is wrong with it.
    pub faults: Vec<ContentFault>,
}

/// One thing that is wrong with a segment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFault {
    /// An elementary stream became another codec (rule C07); else rule C03.
    pub is_codec_change: bool,
    /// Where and what.
    pub text: String,
}

/// One elementary stream. Times are 90 kHz ticks on 33 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentTrack {
    /// PID.
    pub pid: u16,
    /// As the PMT says it.
    pub stream_type: u8,
    /// Pictures.
    pub is_video: bool,
    /// Sound.
    pub is_audio: bool,
    /// How a CODECS word of it begins (`avc1`, `mp4a.40`); empty where unknown.
    pub word: String,
    /// The CODECS word its own headers say.
    pub codecs_word: Option<String>,
    /// DTS of the first unit.
    pub first_dts: Option<u64>,
    /// DTS of the last.
    pub last_dts: Option<u64>,
    /// The earliest PTS.
    pub earliest_pts: Option<u64>,
    /// How far units are apart on average.
    pub unit_ticks: Option<u64>,
    /// Its first picture is an IDR.
    pub starts_with_sync: Option<bool>,
    /// Continuity counter of its first packet.
    pub first_counter: Option<u8>,
    /// And of its last.
    pub last_counter: Option<u8>,
    /// Its first packet says that the counter may jump there.
    pub begins_discontinuous: bool,
}

/// A fetched segment: what its playlist said of it and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) sequence: MediaSequence,
    pub(crate) discontinuity: DiscontinuitySequence,
    pub(crate) date: Option<MediaTime>,
    pub(crate) duration: MediaSpan,
    pub(crate) target: TargetDuration,
    pub(crate) url: String,
    pub(crate) bytes: u64,
    pub(crate) bitrate_kbps: Option<u64>,
    pub(crate) content: Option<Content>,
}

/// What was learned of one media playlist's segments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    last: Option<Sample>,
    bytes: u64,
    duration: MediaSpan,
}

/// Where time stamps stand against dates, per discontinuity number: the first playlist seen, and its offset.
pub(crate) type Clocks = BTreeMap<DiscontinuitySequence, (String, u64)>;

const WRAP: u64 = 1 << 33;
/// Rule C01: what is another moment. Audio and video of one cut begin up to a unit of sound apart, and a date
/// has milliseconds only.
const SAME_MOMENT: u64 = 9000;
/// A picture where its duration is not known: the slowest in use.
const SLOWEST_PICTURE: u64 = 90_000 / 24;
/// Above this a wrong EXTINF is a jump of the time line (rule M06).
const JUMP: u64 = 90_000;
/// Clocks kept; older discontinuities have left every playlist.
const MOST_CLOCKS: usize = 64;

impl Samples {
    /// Takes a segment; checks it alone and against the one before it.
    pub(crate) fn push(
        &mut self,
        sample: Sample,
        variants: &[&VariantStream],
        clocks: &mut Clocks,
        place: &str,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        check_rates(&sample, variants, place, at_ms, findings);
        self.bytes = self.bytes.saturating_add(sample.bytes);
        self.duration += sample.duration;
        if let Some(content) = &sample.content {
            check_alone(content, &sample, variants, place, at_ms, findings);
            check_clock(content, &sample, clocks, place, at_ms, findings);
            if let Some(before) = &self.last
                && before.sequence.next() == sample.sequence
                && let Some(earlier) = &before.content
            {
                let pair = Pair { earlier, before, later: content, sample: &sample, place, at_ms };
                pair.check(findings);
            }
        }
        self.last = Some(sample);
    }

    /// Watching is over: the average (rule C06).
    pub(crate) fn finish(
        &self,
        variants: &[&VariantStream],
        place: &str,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        let average = BitRate::of(self.bytes, self.duration);
        let promised = variants.iter().filter_map(|variant| variant.average_bandwidth).max();
        if let Some(promised) = promised.filter(|promised| average.0 * 10 > promised.0.saturating_mul(11)) {
            let text =
                format!("{} fetched average {average}, AVERAGE-BANDWIDTH is {promised}", self.duration);
            findings.advise("C06", place, at_ms, text);
        }
    }
}

fn check_rates(s: &Sample, variants: &[&VariantStream], place: &str, at_ms: u64, findings: &mut Findings) {
    let rate = BitRate::of(s.bytes, s.duration);
    if let Some(kbps) = s.bitrate_kbps {
        findings.look("M11");
        let promised = kbps.saturating_mul(1000);
        if rate.0.abs_diff(promised) > promised / 10 {
            let text = format!("{} has {rate}, EXT-X-BITRATE says {kbps} kbit/s", file(&s.url));
            findings.add("M11", place, at_ms, text);
        }
    }
    // A rendition is in several variant streams at times; the most generous promise counts.
    let Some(promised) = variants.iter().map(|variant| variant.bandwidth).max() else { return };
    findings.look("C06");
    // R 4.4.6.2: a peak is over at least half a target duration; a stump has none of its own.
    if rate.0 * 4 > promised.0.saturating_mul(5) && s.duration * 2 >= s.target.span() {
        let text = format!("{} has {rate}, BANDWIDTH is {promised}", file(&s.url));
        findings.add("C06", place, at_ms, text);
    }
}

fn check_alone(
    content: &Content,
    sample: &Sample,
    variants: &[&VariantStream],
    place: &str,
    at_ms: u64,
    findings: &mut Findings,
) {
    let name = file(&sample.url);
    ["C03", "C07", "M17"].into_iter().for_each(|id| findings.look(id));
    if content.programs != 1 {
        findings.add(
            "C07",
            place,
            at_ms,
            format!("{name} has {} programs, one is allowed", content.programs),
        );
    }
    if !content.has_tables_first {
        findings.add("C03", place, at_ms, format!("{name} does not begin with PAT and PMT"));
    }
    for fault in &content.faults {
        let id = if fault.is_codec_change { "C07" } else { "C03" };
        findings.add(id, place, at_ms, format!("{name}: {}", fault.text));
    }
    for track in &content.tracks {
        if track.is_video && track.starts_with_sync == Some(false) {
            findings.add("M17", place, at_ms, format!("{name} does not start with an independent picture"));
            findings.add("V07", place, at_ms, format!("{name} cannot be decoded by itself"));
        }
        let is_media = (track.is_video || track.is_audio) && !track.word.is_empty();
        for variant in variants.iter().filter(|variant| is_media && variant.codecs.is_some()) {
            let mut words = codec_words(variant).filter(|word| word.starts_with(&track.word)).peekable();
            if words.peek().is_none() {
                let text = format!("{name} has {}, CODECS does not", track.word);
                findings.add("V02", place, at_ms, text);
            } else if let Some(own) = track.codecs_word.as_deref().filter(|_| track.is_video)
                && !words.any(|word| word.eq_ignore_ascii_case(own))
            {
                findings.advise(
                    "V02",
                    place,
                    at_ms,
                    format!("{name} is {own}, CODECS says another profile or level"),
                );
            }
        }
    }
}

/// The track whose time stamps a playlist goes by.
fn leading(content: &Content) -> Option<&ContentTrack> {
    let tracks = &content.tracks;
    tracks.iter().find(|track| track.is_video).or_else(|| tracks.iter().find(|track| track.is_audio))
}

fn check_clock(
    content: &Content,
    sample: &Sample,
    clocks: &mut Clocks,
    place: &str,
    at_ms: u64,
    findings: &mut Findings,
) {
    let Some(pts) = leading(content).and_then(|track| track.earliest_pts) else { return };
    let Some(date) = sample.date else { return };
    let offset = pts.wrapping_sub(date.ticks_33_bits()) & (WRAP - 1);
    let (first, known) = clocks.entry(sample.discontinuity).or_insert_with(|| (place.to_owned(), offset));
    if first != place {
        findings.look("C01");
        let off = apart(*known, offset);
        if off > SAME_MOMENT {
            let off = MediaSpan::from_ticks(off);
            findings.add(
                "C01",
                place,
                at_ms,
                format!("{} is {off} off the time stamps of {first}", file(&sample.url)),
            );
        }
    }
    if clocks.len() > MOST_CLOCKS {
        clocks.pop_first();
    }
}

/// Two neighbours of one playlist.
struct Pair<'a> {
    earlier: &'a Content,
    before: &'a Sample,
    later: &'a Content,
    sample: &'a Sample,
    place: &'a str,
    at_ms: u64,
}

impl Pair<'_> {
    fn check(&self, findings: &mut Findings) {
        if self.before.discontinuity != self.sample.discontinuity {
            return;
        }
        ["M06", "C02"].into_iter().for_each(|id| findings.look(id));
        let shape = |content: &Content| -> Vec<(u16, u8)> {
            content.tracks.iter().map(|track| (track.pid, track.stream_type)).collect()
        };
        let name = file(&self.sample.url);
        if shape(self.earlier) != shape(self.later) {
            let text =
                format!("{name} has other tracks than the segment before it, without EXT-X-DISCONTINUITY");
            findings.add("M06", self.place, self.at_ms, text);
        }
        for before in &self.earlier.tracks {
            let Some(after) = self.later.tracks.iter().find(|track| track.pid == before.pid) else {
                continue;
            };
            self.check_track(before, after, findings);
        }
        self.check_extinf(findings);
    }

    fn check_track(&self, before: &ContentTrack, after: &ContentTrack, findings: &mut Findings) {
        let (name, pid) = (file(&self.sample.url), after.pid);
        if before.is_video
            && before.codecs_word.is_some()
            && before.codecs_word != after.codecs_word
            && after.codecs_word.is_some()
        {
            let text = format!("{name} has another codec profile or level, without EXT-X-DISCONTINUITY");
            findings.add("M06", self.place, self.at_ms, text);
        }
        if let (Some(last), Some(first)) = (before.last_counter, after.first_counter)
            && first != (last + 1) & 0x0f
            && !after.begins_discontinuous
        {
            let text = format!("{name}: PID {pid} goes on from continuity counter {last} with {first}");
            findings.add("C03", self.place, self.at_ms, text);
        }
        if let (Some(last), Some(first)) = (before.last_dts, after.first_dts)
            && (last.wrapping_sub(first) & (WRAP - 1)) < WRAP / 2
        {
            let text = format!("{name}: PID {pid} goes back from DTS {last} to {first}");
            findings.add("C03", self.place, self.at_ms, text);
        }
    }

    fn check_extinf(&self, findings: &mut Findings) {
        let (Some(before), Some(after)) = (leading(self.earlier), leading(self.later)) else { return };
        let (Some(from), Some(to)) = (before.earliest_pts, after.earliest_pts) else { return };
        let lasted = to.wrapping_sub(from) & (WRAP - 1);
        let off = apart(lasted, self.before.duration.ticks());
        let name = file(&self.before.url);
        let picture = before.unit_ticks.unwrap_or(SLOWEST_PICTURE).max(90) + 9;
        if off > JUMP.max(picture) {
            let text = format!("the time stamps jump behind {name}, without EXT-X-DISCONTINUITY");
            findings.add("M06", self.place, self.at_ms, text);
        } else if off > picture {
            let lasted = MediaSpan::from_ticks(lasted);
            let text = format!("{name} lasts {lasted}, EXTINF says {}", self.before.duration);
            findings.add("C02", self.place, self.at_ms, text);
        }
    }
}

fn apart(a: u64, b: u64) -> u64 {
    let ahead = a.wrapping_sub(b) & (WRAP - 1);
    ahead.min(WRAP - ahead)
}
