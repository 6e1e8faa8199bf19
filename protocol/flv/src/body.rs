//! What one tag body says (Video File Format 10.1, E.4.2 and E.4.3; Enhanced RTMP v2 only as far as its name).
//!
//! Lives here: bytes to [`Body`], and the names of what we refuse. Does not live here: what came before.

use bytes::Bytes;
use media::{ConfigError, Track};
use std::borrow::Cow;

/// Why a publisher's media cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A codec we do not take; the name is for the person at the encoder.
    #[error("{name} is not taken, only H.264 and AAC")]
    UnsupportedCodec {
        /// E.g. `HEVC (hvc1)`.
        name: Cow<'static, str>,
    },
    /// A sequence header that no decoder could be set up by.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The caller does not pull.
    #[error("{limit} outputs wait to be pulled, and no more may")]
    NotPulled {
        /// How many may wait.
        limit: usize,
    },
}

/// What one tag body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A decoder configuration.
    Config(Bytes),
    /// An access unit, and how long after its decoding it is shown.
    Unit { composition_ms: i32, payload: Bytes },
    /// No more pictures until the next configuration.
    EndOfSequence,
    /// Nothing to us: a seek hint, colour metadata, an unknown kind of packet.
    Nothing,
    /// Shorter than its own header.
    Short,
}

/// H.264 in a video tag, AAC in an audio tag.
const AVC: u8 = 7;
const AAC: u8 = 10;

pub(crate) fn parse(track: Track, body: &Bytes) -> Result<Body, FlvError> {
    match track {
        Track::Video => video(body),
        Track::Audio => audio(body),
    }
}

fn video(body: &Bytes) -> Result<Body, FlvError> {
    let Some(&first) = body.first() else { return Ok(Body::Short) };
    let frame_type = first >> 4 & 7;
    // 5 is "video info/command frame": a seek hint from the days of Flash.
    if frame_type == 5 {
        return Ok(Body::Nothing);
    }
    if first & 0x80 != 0 {
        return enhanced(body, VIDEO_MULTITRACK);
    }
    if first & 0x0f != AVC {
        return Err(unsupported(legacy_video(first & 0x0f)));
    }
    Ok(match body.get(1..5) {
        Some([0, ..]) => Body::Config(body.slice(5..)),
        Some([1, a, b, c]) => {
            // 24 bits with a sign.
            let composition_ms = i32::from_be_bytes([*a, *b, *c, 0]) >> 8;
            Body::Unit { composition_ms, payload: body.slice(5..) }
        }
        Some([2, ..]) => Body::EndOfSequence,
        Some(_) => Body::Nothing,
        // Some leave the time out where it says nothing.
        None if body.get(1) == Some(&2) => Body::EndOfSequence,
        None => Body::Short,
    })
}

fn audio(body: &Bytes) -> Result<Body, FlvError> {
    let Some(&first) = body.first() else { return Ok(Body::Short) };
    match first >> 4 {
        AAC => {}
        9 => return enhanced(body, AUDIO_MULTITRACK),
        other => return Err(unsupported(legacy_audio(other))),
    }
    Ok(match body.get(1) {
        Some(0) => Body::Config(body.slice(2..)),
        Some(1) => Body::Unit { composition_ms: 0, payload: body.slice(2..) },
        Some(_) => Body::Nothing,
        None => Body::Short,
    })
}

/// The packet types of Enhanced RTMP v2 after which something else than a FourCC stands.
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTITRACK: u8 = 5;
const MOD_EX: u8 = 7;

/// Enhanced RTMP is refused whole, H.264 and AAC in it included: our answer to `connect` says so (an empty
/// `fourCcList`), and an encoder that cares falls back to the old tags.
fn enhanced(body: &Bytes, multitrack: u8) -> Result<Body, FlvError> {
    match (body[0] & 0x0f, body.get(1..5)) {
        (_, None) => Ok(Body::Short),
        (MOD_EX, _) => Err(unsupported("an Enhanced RTMP extension (ModEx)")),
        (packet, _) if packet == multitrack => Err(unsupported("Enhanced RTMP multitrack media")),
        (_, Some(four_cc)) => {
            let name = match four_cc {
                b"hvc1" | b"hev1" => "HEVC (hvc1)",
                b"av01" => "AV1 (av01)",
                b"vp09" => "VP9 (vp09)",
                b"vp08" => "VP8 (vp08)",
                b"vvc1" => "VVC (vvc1)",
                b"avc1" => "H.264 by Enhanced RTMP (avc1)",
                b"Opus" => "Opus",
                b"ac-3" => "AC-3 (ac-3)",
                b"ec-3" => "E-AC-3 (ec-3)",
                b"fLaC" => "FLAC (fLaC)",
                b".mp3" => "MP3 (.mp3)",
                b"mp4a" => "AAC by Enhanced RTMP (mp4a)",
                other => {
                    let name = format!("codec '{}'", other.escape_ascii()).into();
                    return Err(FlvError::UnsupportedCodec { name });
                }
            };
            Err(unsupported(name))
        }
    }
}

fn unsupported(name: &'static str) -> FlvError {
    FlvError::UnsupportedCodec { name: name.into() }
}

fn legacy_video(codec: u8) -> &'static str {
    match codec {
        1 => "JPEG video",
        2 => "Sorenson H.263",
        3 | 6 => "Screen video",
        4 | 5 => "On2 VP6",
        8 => "H.263",
        9 => "MPEG-4 Part 2",
        12 => "HEVC (codec 12)",
        13 => "AV1 (codec 13)",
        _ => "an unknown video codec",
    }
}

fn legacy_audio(format: u8) -> &'static str {
    match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 | 8 => "G.711",
        11 => "Speex",
        13 => "Opus",
        _ => "an unknown audio codec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(track: Track, body: &'static [u8]) -> String {
        match parse(track, &Bytes::from_static(body)) {
            Err(FlvError::UnsupportedCodec { name }) => name.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_composition_time_has_a_sign() {
        let unit =
            |cts: [u8; 3]| match parse(Track::Video, &Bytes::from([&[0x27, 1][..], &cts, b"x"].concat())) {
                Ok(Body::Unit { composition_ms, payload }) if payload == "x" => composition_ms,
                other => panic!("{other:?}"),
            };
        assert_eq!(unit([0, 0, 167]), 167);
        assert_eq!(unit([0xff, 0xff, 0xff]), -1);
        assert_eq!(unit([0x7f, 0xff, 0xff]), 0x7f_ffff);
        assert_eq!(unit([0x80, 0, 0]), -0x80_0000);
    }

    #[test]
    fn what_is_refused_is_refused_by_name() {
        assert_eq!(name(Track::Video, b"\x90hvc1...."), "HEVC (hvc1)");
        assert_eq!(name(Track::Video, b"\x91av01...."), "AV1 (av01)");
        assert_eq!(name(Track::Video, b"\x96\x01hvc1"), "Enhanced RTMP multitrack media");
        assert_eq!(name(Track::Video, b"\x90a\x00\xffz"), r"codec 'a\x00\xffz'");
        assert_eq!(name(Track::Video, b"\x1c\0\0\0\0"), "HEVC (codec 12)");
        assert_eq!(name(Track::Video, b"\x22"), "Sorenson H.263");
        assert_eq!(name(Track::Audio, b"\x90Opus"), "Opus");
        assert_eq!(name(Track::Audio, b"\x2f\xff"), "MP3");
        assert_eq!(name(Track::Audio, b"\xb2"), "Speex");
    }

    #[test]
    fn a_seek_hint_is_nothing_and_a_stump_is_short() {
        let video = |body: &'static [u8]| parse(Track::Video, &Bytes::from_static(body));
        assert_eq!(video(&[0x57, 0]), Ok(Body::Nothing));
        assert_eq!(video(&[0x17, 1, 0, 0]), Ok(Body::Short));
        assert_eq!(video(&[0x17, 2]), Ok(Body::EndOfSequence));
        assert_eq!(video(&[]), Ok(Body::Short));
        assert_eq!(video(&[0x90, b'h']), Ok(Body::Short));
        assert_eq!(parse(Track::Audio, &Bytes::from_static(&[0xaf])), Ok(Body::Short));
    }
}
