//! What the parent orders of a transcode process.

use crate::fields::{Put, Take};
use crate::{Message, WireError};
use bytes::Bytes;
use media::{
    AccessUnit, AudioConfig, BitRate, BroadcastId, MediaSequence, MediaSpan, MediaTime, RenditionId, Track,
    VideoConfig,
};
use std::fmt;
use std::str::FromStr;

/// One order, parent → process. [`Order::Begin`] is the first, and comes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// What is to be made.
    Begin(Begin),
    /// The pictures from here on are described by this record.
    VideoConfig(VideoConfig),
    /// The sound from here on is described by this record.
    AudioConfig(AudioConfig),
    /// One coded picture or audio frame, in decode order within its track.
    Unit(AccessUnit),
    /// There is no source: repeat the last picture, and silence, up to here. The next picture must be a sync unit.
    Fill {
        /// Where the source, or the next `Fill`, goes on.
        until: MediaTime,
    },
    /// Work less, or fully again, from the start of that segment on.
    Shed {
        /// How much to leave out.
        level: Shed,
        /// From which segment; one that has begun is finished as it was.
        from: MediaSequence,
    },
    /// Close what is open and exit.
    End,
}

/// What is to be made of which source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// For the log.
    pub broadcast: BroadcastId,
    /// The pitch of the grid.
    pub segment: MediaSpan,
    /// Emit nothing before this segment: the units before it only bring the decoder into step.
    pub from: MediaSequence,
    /// Best first; see [`crate::Ladder::rungs`].
    pub rungs: Vec<Rung>,
    /// `None` for sound alone.
    pub video: Option<VideoConfig>,
    /// `None` for pictures alone.
    pub audio: Option<AudioConfig>,
}

/// One rendition to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its path element.
    pub id: RenditionId,
    /// Where its pictures come from.
    pub video: RungVideo,
    /// Whether the source's sound is copied into it.
    pub has_audio: bool,
}

/// Where a rung's pictures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RungVideo {
    /// The source's own coded pictures.
    Copy {
        /// How a segment is made that cannot be copied (a filled gap, a sync unit off the grid).
        instead: Encoding,
    },
    /// Decoded, scaled and encoded.
    Encode(Encoding),
    /// Sound alone.
    None,
}

/// How x264 makes a rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// The ceiling: the rate of the VBV.
    pub bitrate: BitRate,
    /// How hard x264 tries.
    pub preset: Preset,
    /// The constant rate factor under the ceiling: 0 to 51, less is better.
    pub crf: u8,
}

/// x264's presets, as far as they are quick enough for live work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are x264's own")]
pub enum Preset {
    Ultrafast = 0,
    Superfast = 1,
    #[default]
    Veryfast = 2,
    Faster = 3,
    Fast = 4,
    Medium = 5,
}

impl Preset {
    const ALL: [Self; 6] =
        [Self::Ultrafast, Self::Superfast, Self::Veryfast, Self::Faster, Self::Fast, Self::Medium];

    /// x264's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.as_str() == text)
            .ok_or_else(|| format!("preset {text:?}; allowed is {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// What is left out when the machine is too slow; each level includes those before it. Sound and the lowest rung
/// are never left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Shed {
    /// Nothing.
    #[default]
    None = 0,
    /// x264's lookahead: superfast, and no pictures held back.
    Lookahead = 1,
    /// The top encoded rung: its segments are skipped.
    TopRung = 2,
    /// Every other picture.
    FrameRate = 3,
}

impl Shed {
    const ALL: [Self; 4] = [Self::None, Self::Lookahead, Self::TopRung, Self::FrameRate];
}

const BEGIN: u8 = 1;
const VIDEO_CONFIG: u8 = 2;
const AUDIO_CONFIG: u8 = 3;
const UNIT: u8 = 4;
const FILL: u8 = 5;
const SHED: u8 = 6;
const END: u8 = 7;

impl Message for Order {
    const WHAT: &'static str = "the orders";

    fn kind(&self) -> u8 {
        match self {
            Self::Begin(_) => BEGIN,
            Self::VideoConfig(_) => VIDEO_CONFIG,
            Self::AudioConfig(_) => AUDIO_CONFIG,
            Self::Unit(_) => UNIT,
            Self::Fill { .. } => FILL,
            Self::Shed { .. } => SHED,
            Self::End => END,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mut put = Put(out);
        match self {
            Self::Begin(begin) => begin.put(&mut put),
            Self::VideoConfig(config) => {
                put.bytes(config.record());
            }
            Self::AudioConfig(config) => {
                put.bytes(config.record());
            }
            Self::Unit(unit) => put_unit(&mut put, unit),
            Self::Fill { until } => {
                put.time(*until);
            }
            Self::Shed { level, from } => {
                put.u8(*level as u8).u64(from.0);
            }
            Self::End => {}
        }
    }

    fn take(kind: u8, payload: Bytes) -> Result<Self, WireError> {
        let mut take = Take::new(kind, payload);
        let order = match kind {
            BEGIN => Self::Begin(Begin::take(&mut take)?),
            VIDEO_CONFIG => Self::VideoConfig(take.video_config("video configuration")?),
            AUDIO_CONFIG => Self::AudioConfig(take.audio_config("audio configuration")?),
            UNIT => return take_unit(take).map(Self::Unit),
            FILL => Self::Fill { until: take.time("until")? },
            SHED => {
                let number = take.u8("level")?;
                let level = Shed::ALL.into_iter().find(|level| *level as u8 == number);
                let level = level.ok_or_else(|| take.bad("level", format_args!("{number} is none")))?;
                Self::Shed { level, from: take.sequence("from")? }
            }
            END => Self::End,
            _ => return Err(WireError::UnknownType { kind, what: Self::WHAT }),
        };
        take.end(order)
    }
}

impl Begin {
    fn put(&self, put: &mut Put<'_>) {
        put.text(self.broadcast.as_str()).span(self.segment).u64(self.from.0);
        put.u8(u8::try_from(self.rungs.len()).unwrap_or(u8::MAX));
        for rung in &self.rungs {
            rung.put(put);
        }
        put.optional(self.video.as_ref(), |put, config| {
            put.bytes(config.record());
        });
        put.optional(self.audio.as_ref(), |put, config| {
            put.bytes(config.record());
        });
    }

    fn take(take: &mut Take) -> Result<Self, WireError> {
        let (broadcast, segment, from) =
            (take.parsed("broadcast")?, take.span("segment")?, take.sequence("from")?);
        let count = take.u8("rungs")?;
        let rungs = (0..count).map(|_| Rung::take(take)).collect::<Result<_, _>>()?;
        let video = take.optional("video", |take| take.video_config("video configuration"))?;
        let audio = take.optional("audio", |take| take.audio_config("audio configuration"))?;
        Ok(Self { broadcast, segment, from, rungs, video, audio })
    }
}

impl Rung {
    fn put(&self, put: &mut Put<'_>) {
        put.text(self.id.as_str()).u8(u8::from(self.has_audio));
        match &self.video {
            RungVideo::None => {
                put.u8(0);
            }
            RungVideo::Copy { instead } => {
                put.u8(1);
                instead.put(put);
            }
            RungVideo::Encode(encoding) => {
                put.u8(2);
                encoding.put(put);
            }
        }
    }

    fn take(take: &mut Take) -> Result<Self, WireError> {
        let (id, has_audio) = (take.parsed("rendition")?, take.is("has audio")?);
        let video = match take.u8("rung's pictures")? {
            0 => RungVideo::None,
            1 => RungVideo::Copy { instead: Encoding::take(take)? },
            2 => RungVideo::Encode(Encoding::take(take)?),
            other => return Err(take.bad("rung's pictures", format_args!("{other} is none of 0, 1, 2"))),
        };
        Ok(Self { id, video, has_audio })
    }
}

impl Encoding {
    fn put(&self, put: &mut Put<'_>) {
        put.u32(self.width).u32(self.height).u64(self.bitrate.0).u8(self.preset as u8).u8(self.crf);
    }

    fn take(take: &mut Take) -> Result<Self, WireError> {
        let (width, height, bitrate) = (take.u32("width")?, take.u32("height")?, take.rate("bitrate")?);
        for (field, pixels) in [("width", width), ("height", height)] {
            if pixels % 2 == 1 || !(16..=8192).contains(&pixels) {
                return Err(take.bad(field, format_args!("{pixels} is not an even number of 16 to 8192")));
            }
        }
        let number = take.u8("preset")?;
        let preset = Preset::ALL.into_iter().find(|preset| *preset as u8 == number);
        let preset = preset.ok_or_else(|| take.bad("preset", format_args!("{number} is none")))?;
        Ok(Self { width, height, bitrate, preset, crf: take.u8("crf")? })
    }
}

pub(crate) fn put_unit(put: &mut Put<'_>, unit: &AccessUnit) {
    put.u8(match unit.track {
        Track::Video => 0,
        Track::Audio => 1,
    });
    put.u8(u8::from(unit.is_sync)).time(unit.decode_time).time(unit.presentation_time).span(unit.duration);
    put.rest(&unit.payload);
}

pub(crate) fn take_unit(mut take: Take) -> Result<AccessUnit, WireError> {
    Ok(AccessUnit {
        track: match take.u8("track")? {
            0 => Track::Video,
            1 => Track::Audio,
            other => return Err(take.bad("track", format_args!("{other} is neither 0 nor 1"))),
        },
        is_sync: take.is("is sync")?,
        decode_time: take.time("decode time")?,
        presentation_time: take.time("presentation time")?,
        duration: take.span("duration")?,
        payload: take.rest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ladder, OrderReader, SourceShape};

    fn orders() -> Vec<Order> {
        let audio = AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
        let begin = Begin {
            broadcast: BroadcastId::parse("tidal").unwrap(),
            segment: MediaSpan::from_secs(2),
            from: MediaSequence(900_000_000),
            rungs: Ladder::default().rungs(Some(&SourceShape::of_size(1920, 1080)), true),
            video: None,
            audio: Some(audio.clone()),
        };
        let unit = AccessUnit {
            track: Track::Video,
            decode_time: MediaTime::from_ticks(1 << 47),
            presentation_time: MediaTime::from_ticks((1 << 47) + 3000),
            duration: MediaSpan::from_ticks(3000),
            is_sync: true,
            payload: Bytes::from_static(b"\0\0\0\x01e"),
        };
        vec![
            Order::Begin(begin),
            Order::AudioConfig(audio),
            Order::Unit(unit),
            Order::Fill { until: MediaTime::from_ticks(99) },
            Order::Shed { level: Shed::TopRung, from: MediaSequence(4) },
            Order::End,
        ]
    }

    #[test]
    fn every_order_is_read_as_it_was_written() {
        let mut reader = OrderReader::new();
        for order in orders() {
            let mut bytes = Vec::new();
            order.encode(&mut bytes).unwrap();
            reader.push(&bytes);
            assert_eq!(reader.pull().unwrap(), Some(order));
        }
    }

    #[test]
    fn an_order_cut_short_is_an_error_and_never_a_panic() {
        for order in orders() {
            let mut payload = Vec::new();
            order.put(&mut payload);
            // A unit's payload is whatever is left, so it may be cut.
            let fixed = if matches!(order, Order::Unit(_)) { 26 } else { payload.len() };
            for len in 0..fixed {
                let cut = Bytes::copy_from_slice(&payload[..len]);
                assert!(Order::take(order.kind(), cut).is_err(), "{len} bytes of {order:?} were taken");
            }
        }
    }
}
