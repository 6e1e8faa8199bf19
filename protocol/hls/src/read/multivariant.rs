//! Reads a multivariant playlist.

use super::Complaints;
use super::attributes::Attributes;
use super::media::check_version;
use super::tags::{Lines, Says, shortened};
use crate::multivariant::{
    Alternative, AlternativeKind, ContentSteering, MultivariantPlaylist, SessionData, VariantStream,
};
use media::{BitRate, FrameRate};

/// Reads to the end, complaining on the way.
pub(crate) fn read_multivariant(lines: &Lines, complaints: &mut Complaints) -> MultivariantPlaylist {
    let mut reader = Reader {
        complaints,
        out: MultivariantPlaylist::default(),
        next: None,
        version: None,
        needs: Vec::new(),
    };
    for line in &lines.lines {
        match &line.says {
            Says::Tag { name, value } => reader.tag(line.number, name, value),
            Says::Uri(uri) => reader.uri(line.number, uri),
        }
    }
    reader.missing_uri();
    check_version(reader.version, &reader.needs, reader.complaints);
    reader.out
}

struct Reader<'a> {
    complaints: &'a mut Complaints,
    out: MultivariantPlaylist,
    /// A variant stream whose URI line must follow, and the line it stands in.
    next: Option<(u32, VariantStream)>,
    version: Option<u64>,
    needs: Vec<(u64, u32, &'static str)>,
}

impl Reader<'_> {
    fn tag(&mut self, line: u32, name: &str, value: &str) {
        match name {
            "EXT-X-VERSION" => {
                self.version = super::attributes::digits(value);
                if self.version.is_none() {
                    let text = format!("{:?}, allowed is a decimal integer", shortened(value));
                    self.complaints.must("S02", line, name, text);
                }
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => self.out.independent_segments = true,
            "EXT-X-DEFINE" => self.needs.push((8, line, "EXT-X-DEFINE")),
            "EXT-X-STREAM-INF" => {
                self.missing_uri();
                self.next = Some((line, self.variant_stream(line, name, value)));
            }
            "EXT-X-I-FRAME-STREAM-INF" => {
                let variant = self.variant_stream(line, name, value);
                if variant.uri.is_empty() {
                    self.complaints.must("S05", line, name, "URI is missing");
                }
                self.out.i_frame_streams.push(variant);
            }
            "EXT-X-MEDIA" => self.alternative(line, value),
            "EXT-X-SESSION-DATA" => {
                let attributes = Attributes::read(value, line, name, "V07", self.complaints);
                attributes.needs("DATA-ID", self.complaints);
                if attributes.has("VALUE") == attributes.has("URI") {
                    self.complaints.must("V07", line, name, "VALUE or URI, one and not both");
                }
                self.out.session_data.push(SessionData {
                    data_id: attributes.quoted("DATA-ID", self.complaints).unwrap_or_default(),
                    value: attributes.quoted("VALUE", self.complaints),
                    uri: attributes.quoted("URI", self.complaints),
                    language: attributes.quoted("LANGUAGE", self.complaints),
                });
            }
            "EXT-X-CONTENT-STEERING" => {
                let attributes = Attributes::read(value, line, name, "V10", self.complaints);
                attributes.needs("SERVER-URI", self.complaints);
                self.out.content_steering = Some(ContentSteering {
                    server_uri: attributes.quoted("SERVER-URI", self.complaints).unwrap_or_default(),
                    pathway_id: attributes.quoted("PATHWAY-ID", self.complaints),
                });
            }
            _ => {}
        }
    }

    fn uri(&mut self, line: u32, uri: &str) {
        match self.next.take() {
            Some((_, mut variant)) => {
                variant.uri = uri.to_owned();
                self.out.variant_streams.push(variant);
            }
            None => {
                let text = format!("{:?} has no EXT-X-STREAM-INF before it", shortened(uri));
                self.complaints.must("S05", line, "", text);
            }
        }
    }

    fn missing_uri(&mut self) {
        if let Some((line, _)) = self.next.take() {
            self.complaints.must("S05", line, "EXT-X-STREAM-INF", "no URI line follows");
        }
    }

    fn variant_stream(&mut self, line: u32, tag: &str, value: &str) -> VariantStream {
        let attributes = Attributes::read(value, line, tag, "V01", self.complaints);
        let complaints = &mut *self.complaints;
        attributes.needs("BANDWIDTH", complaints);
        let captions = if attributes.iter().any(|pair| pair == ("CLOSED-CAPTIONS", "NONE")) {
            attributes.word("CLOSED-CAPTIONS", complaints)
        } else {
            attributes.quoted("CLOSED-CAPTIONS", complaints)
        };
        VariantStream {
            uri: attributes.quoted("URI", complaints).unwrap_or_default(),
            bandwidth: BitRate(attributes.integer("BANDWIDTH", complaints).unwrap_or_default()),
            average_bandwidth: attributes.integer("AVERAGE-BANDWIDTH", complaints).map(BitRate),
            codecs: attributes.quoted("CODECS", complaints),
            resolution: attributes.resolution("RESOLUTION", complaints),
            frame_rate: frame_rate(&attributes, line, tag, complaints),
            score: attributes.word("SCORE", complaints),
            pathway_id: attributes.quoted("PATHWAY-ID", complaints),
            audio: attributes.quoted("AUDIO", complaints),
            video: attributes.quoted("VIDEO", complaints),
            subtitles: attributes.quoted("SUBTITLES", complaints),
            closed_captions: captions,
        }
    }

    fn alternative(&mut self, line: u32, value: &str) {
        const TAG: &str = "EXT-X-MEDIA";
        let attributes = Attributes::read(value, line, TAG, "V04", self.complaints);
        for name in ["TYPE", "GROUP-ID", "NAME"] {
            attributes.needs(name, self.complaints);
        }
        let word = attributes.word("TYPE", self.complaints).unwrap_or_default();
        let kind = match word.as_str() {
            "AUDIO" => AlternativeKind::Audio,
            "VIDEO" => AlternativeKind::Video,
            "SUBTITLES" => AlternativeKind::Subtitles,
            "CLOSED-CAPTIONS" => AlternativeKind::ClosedCaptions,
            other => {
                let text = format!(
                    "TYPE is {:?}, allowed is AUDIO, VIDEO, SUBTITLES or CLOSED-CAPTIONS",
                    shortened(other)
                );
                self.complaints.must("V04", line, TAG, text);
                return;
            }
        };
        let alternative = Alternative {
            kind,
            group_id: attributes.quoted("GROUP-ID", self.complaints).unwrap_or_default(),
            name: attributes.quoted("NAME", self.complaints).unwrap_or_default(),
            uri: attributes.quoted("URI", self.complaints),
            language: attributes.quoted("LANGUAGE", self.complaints),
            is_default: attributes.yes("DEFAULT", self.complaints).unwrap_or(false),
            autoselect: attributes.yes("AUTOSELECT", self.complaints),
            instream_id: attributes.quoted("INSTREAM-ID", self.complaints),
        };
        if alternative.is_default && alternative.autoselect == Some(false) {
            self.complaints.must("V04", line, TAG, "DEFAULT=YES with AUTOSELECT=NO");
        }
        let is_captions = kind == AlternativeKind::ClosedCaptions;
        if is_captions && alternative.uri.is_some() {
            self.complaints.must("V04", line, TAG, "closed captions have no URI");
        }
        if is_captions && alternative.instream_id.is_none() {
            self.complaints.must("V04", line, TAG, "closed captions need INSTREAM-ID");
        }
        if kind == AlternativeKind::Subtitles && alternative.uri.is_none() {
            self.complaints.must("V04", line, TAG, "subtitles need a URI");
        }
        if alternative.instream_id.as_ref().is_some_and(|id| id.starts_with("SERVICE")) {
            self.needs.push((7, line, "INSTREAM-ID=SERVICE"));
        }
        self.out.alternatives.push(alternative);
    }
}

fn frame_rate(
    attributes: &Attributes<'_>,
    line: u32,
    tag: &str,
    complaints: &mut Complaints,
) -> Option<FrameRate> {
    let span = attributes.seconds("FRAME-RATE", complaints)?;
    let written = attributes.iter().find(|(name, _)| *name == "FRAME-RATE").map_or("", |(_, value)| value);
    if written.split_once('.').is_none_or(|(_, decimals)| decimals.len() != 3) {
        let text = format!("FRAME-RATE is {written}, with three decimals is allowed");
        complaints.should("V02", line, tag, text);
    }
    // Seconds and pictures are both decimals; a thousandth is ninety ticks.
    let thousandths = (span.ticks() + 45) / 90;
    u32::try_from(thousandths).ok().map(FrameRate)
}
