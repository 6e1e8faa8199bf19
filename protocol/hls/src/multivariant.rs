//! A multivariant playlist as a value, and how it is written.

use crate::text;
use media::{BitRate, FrameRate, Rendition, StreamFacts};
use std::fmt::Write;

/// One multivariant playlist: what a viewer fetches first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultivariantPlaylist {
    /// EXT-X-INDEPENDENT-SEGMENTS: true for every segment of every media playlist (rule V07).
    pub independent_segments: bool,
    /// EXT-X-STREAM-INF, in the order a player shall see them.
    pub variant_streams: Vec<VariantStream>,
    /// EXT-X-I-FRAME-STREAM-INF.
    pub i_frame_streams: Vec<VariantStream>,
    /// EXT-X-MEDIA.
    pub alternatives: Vec<Alternative>,
    /// EXT-X-CONTENT-STEERING.
    pub content_steering: Option<ContentSteering>,
    /// EXT-X-SESSION-DATA.
    pub session_data: Vec<SessionData>,
}

/// EXT-X-STREAM-INF (or EXT-X-I-FRAME-STREAM-INF) and its URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantStream {
    /// Its media playlist.
    pub uri: String,
    /// BANDWIDTH.
    pub bandwidth: BitRate,
    /// AVERAGE-BANDWIDTH.
    pub average_bandwidth: Option<BitRate>,
    /// CODECS.
    pub codecs: Option<String>,
    /// RESOLUTION: width and height in pixels.
    pub resolution: Option<(u32, u32)>,
    /// FRAME-RATE.
    pub frame_rate: Option<FrameRate>,
    /// SCORE, as written.
    pub score: Option<String>,
    /// PATHWAY-ID.
    pub pathway_id: Option<String>,
    /// AUDIO: a group of [`Alternative`]s.
    pub audio: Option<String>,
    /// VIDEO.
    pub video: Option<String>,
    /// SUBTITLES.
    pub subtitles: Option<String>,
    /// CLOSED-CAPTIONS; the enumerated NONE is kept as `NONE`.
    pub closed_captions: Option<String>,
}

/// EXT-X-MEDIA: another language, another camera. Read so that a checker can look at it; the house writes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// TYPE.
    pub kind: AlternativeKind,
    /// GROUP-ID.
    pub group_id: String,
    /// NAME.
    pub name: String,
    /// URI.
    pub uri: Option<String>,
    /// LANGUAGE.
    pub language: Option<String>,
    /// DEFAULT=YES.
    pub is_default: bool,
    /// AUTOSELECT; `None` where it is not said.
    pub autoselect: Option<bool>,
    /// INSTREAM-ID.
    pub instream_id: Option<String>,
}

/// TYPE of EXT-X-MEDIA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlternativeKind {
    /// AUDIO.
    Audio,
    /// VIDEO.
    Video,
    /// SUBTITLES.
    Subtitles,
    /// CLOSED-CAPTIONS.
    ClosedCaptions,
}

/// EXT-X-CONTENT-STEERING.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentSteering {
    /// SERVER-URI.
    pub server_uri: String,
    /// PATHWAY-ID a player starts on (rule V10: should be there).
    pub pathway_id: Option<String>,
}

/// EXT-X-SESSION-DATA: exactly one of `value` and `uri`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionData {
    /// DATA-ID.
    pub data_id: String,
    /// VALUE.
    pub value: Option<String>,
    /// URI.
    pub uri: Option<String>,
    /// LANGUAGE.
    pub language: Option<String>,
}

/// Where a viewer may fetch the same media from: one edge as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pathway {
    /// PATHWAY-ID (letters, digits, `.`, `-`, `_`); `None` writes no attribute, which means `.` (rule V10).
    pub id: Option<String>,
    /// What stands before `<rendition>/index.m3u8`: empty for a relative URI, else absolute and ending in `/`.
    pub base: String,
}

impl Pathway {
    /// The node that answers: relative URIs, no name.
    pub fn here() -> Self {
        Self::default()
    }
}

impl MultivariantPlaylist {
    /// The rate a player that knows nothing of its network should start near (Apple's authoring
    /// specification, cited by rule V08).
    pub const START_NEAR: BitRate = BitRate(2_000_000);

    /// What the facts of a broadcast say, once for each pathway in the order given: the assigned edge first,
    /// the others behind it. `None` while no rendition is known or no rate of one is measured.
    ///
    /// Within a pathway the rendition whose peak is nearest [`Self::START_NEAR`] stands first, because players
    /// start with the first variant stream; the rest follow in the facts' order (best first).
    pub fn of(facts: &StreamFacts, pathways: &[Pathway]) -> Option<Self> {
        if facts.renditions.is_empty() || facts.renditions.iter().any(|rendition| rendition.peak.0 == 0) {
            return None;
        }
        let ordered = start_first(&facts.renditions);
        let variant_streams = pathways
            .iter()
            .flat_map(|pathway| ordered.iter().map(|rendition| VariantStream::of(rendition, pathway)))
            .collect();
        Some(Self { independent_segments: true, variant_streams, ..Self::default() })
    }

    /// The lowest EXT-X-VERSION that allows all that is in it. Below 3 there is nothing a player of today
    /// would tell apart, and media playlists with decimal durations need 3 anyway.
    pub fn version(&self) -> u32 {
        let needs_7 = |media: &Alternative| {
            media.instream_id.as_ref().is_some_and(|instream| instream.starts_with("SERVICE"))
        };
        if self.alternatives.iter().any(needs_7) { 7 } else { 3 }
    }

    /// The playlist as bytes on the wire.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(256 + self.variant_streams.len() * 224);
        let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{}", self.version());
        if self.independent_segments {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        if let Some(steering) = &self.content_steering {
            out.push_str("#EXT-X-CONTENT-STEERING:SERVER-URI=");
            text::write_quoted(&mut out, &steering.server_uri);
            write_optional(&mut out, "PATHWAY-ID", steering.pathway_id.as_deref());
            out.push('\n');
        }
        for datum in &self.session_data {
            out.push_str("#EXT-X-SESSION-DATA:DATA-ID=");
            text::write_quoted(&mut out, &datum.data_id);
            write_optional(&mut out, "VALUE", datum.value.as_deref());
            write_optional(&mut out, "URI", datum.uri.as_deref());
            write_optional(&mut out, "LANGUAGE", datum.language.as_deref());
            out.push('\n');
        }
        self.alternatives.iter().for_each(|alternative| alternative.write(&mut out));
        for variant in &self.variant_streams {
            out.push_str("#EXT-X-STREAM-INF:");
            variant.write_attributes(&mut out);
            out.push('\n');
            text::write_uri_line(&mut out, &variant.uri);
        }
        for variant in &self.i_frame_streams {
            out.push_str("#EXT-X-I-FRAME-STREAM-INF:");
            variant.write_attributes(&mut out);
            write_optional(&mut out, "URI", Some(&variant.uri));
            out.push('\n');
        }
        out
    }
}

impl VariantStream {
    fn of(rendition: &Rendition, pathway: &Pathway) -> Self {
        let codecs = rendition.codecs();
        Self {
            uri: format!("{}{}/index.m3u8", pathway.base, rendition.id),
            bandwidth: rendition.peak,
            average_bandwidth: (rendition.average.0 > 0).then_some(rendition.average),
            codecs: (!codecs.is_empty()).then_some(codecs),
            resolution: rendition.video.as_ref().map(|shape| (shape.width, shape.height)),
            frame_rate: rendition.video.as_ref().map(|shape| shape.frame_rate).filter(|rate| rate.0 > 0),
            pathway_id: pathway.id.clone(),
            ..Self::default()
        }
    }

    fn write_attributes(&self, out: &mut String) {
        let _ = write!(out, "BANDWIDTH={}", self.bandwidth.0);
        if let Some(average) = self.average_bandwidth {
            let _ = write!(out, ",AVERAGE-BANDWIDTH={}", average.0);
        }
        write_optional(out, "CODECS", self.codecs.as_deref());
        if let Some((width, height)) = self.resolution {
            let _ = write!(out, ",RESOLUTION={width}x{height}");
        }
        if let Some(rate) = self.frame_rate {
            let _ = write!(out, ",FRAME-RATE={rate}");
        }
        if let Some(score) = &self.score {
            let _ = write!(out, ",SCORE={score}");
        }
        write_optional(out, "AUDIO", self.audio.as_deref());
        write_optional(out, "VIDEO", self.video.as_deref());
        write_optional(out, "SUBTITLES", self.subtitles.as_deref());
        match self.closed_captions.as_deref() {
            Some("NONE") => out.push_str(",CLOSED-CAPTIONS=NONE"),
            group => write_optional(out, "CLOSED-CAPTIONS", group),
        }
        write_optional(out, "PATHWAY-ID", self.pathway_id.as_deref());
    }
}

impl Alternative {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "#EXT-X-MEDIA:TYPE={}", self.kind.word());
        write_optional(out, "GROUP-ID", Some(&self.group_id));
        write_optional(out, "NAME", Some(&self.name));
        write_optional(out, "LANGUAGE", self.language.as_deref());
        if self.is_default {
            out.push_str(",DEFAULT=YES");
        }
        if let Some(autoselect) = self.autoselect {
            let _ = write!(out, ",AUTOSELECT={}", if autoselect { "YES" } else { "NO" });
        }
        write_optional(out, "INSTREAM-ID", self.instream_id.as_deref());
        write_optional(out, "URI", self.uri.as_deref());
        out.push('\n');
    }
}

impl AlternativeKind {
    /// As the attribute says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Audio => "AUDIO",
            Self::Video => "VIDEO",
            Self::Subtitles => "SUBTITLES",
            Self::ClosedCaptions => "CLOSED-CAPTIONS",
        }
    }
}

fn start_first(renditions: &[Rendition]) -> Vec<&Rendition> {
    let near = |rendition: &Rendition| rendition.peak.0.abs_diff(MultivariantPlaylist::START_NEAR.0);
    // Sound alone is no start for who came to see; it leads only where there is nothing else.
    let seen = renditions.iter().filter(|rendition| rendition.video.is_some()).min_by_key(|r| near(r));
    let first = seen.or_else(|| renditions.iter().min_by_key(|r| near(r)));
    let rest = renditions.iter().filter(|rendition| first.is_none_or(|first| first.id != rendition.id));
    first.into_iter().chain(rest).collect()
}

fn write_optional(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = write!(out, ",{name}=");
        text::write_quoted(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{AudioShape, BroadcastId, MediaSpan, RenditionId, RunId, VideoShape};

    fn rendition(id: &str, height: u32, peak: u64) -> Rendition {
        Rendition {
            id: RenditionId::parse(id).unwrap(),
            video: (height > 0).then(|| VideoShape {
                width: height * 16 / 9,
                height,
                frame_rate: FrameRate(30_000),
                codec: "avc1.64001f".into(),
            }),
            audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
            peak: BitRate(peak),
            average: BitRate(peak * 3 / 4),
        }
    }

    fn facts(renditions: Vec<Rendition>) -> StreamFacts {
        StreamFacts {
            broadcast: BroadcastId::parse("demo").unwrap(),
            run: RunId(1),
            segment: MediaSpan::from_secs(2),
            window: 6,
            renditions,
            has_ended: false,
        }
    }

    #[test]
    fn an_edge_lists_itself_with_relative_uris() {
        let facts = facts(vec![rendition("720p", 720, 2_600_000)]);
        let playlist = MultivariantPlaylist::of(&facts, &[Pathway::here()]).unwrap();
        assert_eq!(
            playlist.render(),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2600000,AVERAGE-BANDWIDTH=1950000,CODECS=\"avc1.64001f,mp4a.40.2\",\
             RESOLUTION=1280x720,FRAME-RATE=30.000\n720p/index.m3u8\n"
        );
    }

    #[test]
    fn a_balancer_lists_the_assigned_edge_first_and_the_start_rung_first_in_each() {
        let facts = facts(vec![
            rendition("1080p", 1080, 5_500_000),
            rendition("720p", 720, 2_600_000),
            rendition("audio", 0, 1_999_999),
        ]);
        let edge = |id: &str| Pathway { id: Some(id.into()), base: format!("https://{id}/v/t/demo/") };
        let mut playlist = MultivariantPlaylist::of(&facts, &[edge("e2"), edge("e1")]).unwrap();
        playlist.content_steering =
            Some(ContentSteering { server_uri: "/steer?t=1".into(), pathway_id: Some("e2".into()) });
        let text = playlist.render();
        let uris: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            uris,
            [
                "https://e2/v/t/demo/720p/index.m3u8",
                "https://e2/v/t/demo/1080p/index.m3u8",
                "https://e2/v/t/demo/audio/index.m3u8",
                "https://e1/v/t/demo/720p/index.m3u8",
                "https://e1/v/t/demo/1080p/index.m3u8",
                "https://e1/v/t/demo/audio/index.m3u8",
            ]
        );
        assert!(text.contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?t=1\",PATHWAY-ID=\"e2\"\n"));
        assert!(text.contains(",PATHWAY-ID=\"e1\"\n"));
    }

    #[test]
    fn nothing_is_promised_before_every_rate_is_measured() {
        assert_eq!(MultivariantPlaylist::of(&facts(vec![]), &[Pathway::here()]), None);
        let unmeasured = facts(vec![rendition("720p", 720, 1), rendition("360p", 360, 0)]);
        assert_eq!(MultivariantPlaylist::of(&unmeasured, &[Pathway::here()]), None);
    }
}
