//! What `source` orders of `mascaret-transcode pattern`: raw pictures and samples in, coded units out.

use crate::fields::{Put, Take};
use crate::order::{put_unit, take_unit};
use crate::{Message, WireError};
use bytes::Bytes;
use media::{AccessUnit, AudioConfig, BitRate, FrameRate, MediaTime, VideoConfig};

/// One order, `source` → pattern encoder. [`PatternOrder::Begin`] is the first, and comes once; the end of the pipe
/// ends the encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternOrder {
    /// What is to be made.
    Begin(PatternBegin),
    /// One raw picture, to be shown then. Times must grow.
    Picture {
        /// When it is shown, on the source's own clock. With `b_pictures` the first should not be before 1 s: units
        /// are decoded earlier than they are shown.
        time: MediaTime,
        /// yuv420p without padding: `width × height` bytes of luma, then a quarter of that for each chroma.
        planes: Bytes,
    },
    /// Sound that follows what was sent before; the first decides when it begins.
    Sound {
        /// When it is heard; looked at in the first message only, afterwards samples are counted.
        time: MediaTime,
        /// Signed 16 bit little-endian, channels interleaved; any number of samples.
        samples: Bytes,
    },
    /// Everything was sent: hand out what is left, then exit.
    End,
}

/// What the pattern encoder makes: H.264 with a fixed distance of sync units, and AAC-LC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternBegin {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even; a raw picture must fit [`crate::MAX_PAYLOAD`].
    pub height: u32,
    /// Pictures per 1000 seconds.
    pub frame_rate: FrameRate,
    /// What x264 aims at, and its ceiling.
    pub bitrate: BitRate,
    /// Every how many pictures there is a sync unit.
    pub gop: u32,
    /// At most how many B pictures between others: 0 for the least delay.
    pub b_pictures: u8,
    /// Samples per second; 0 for pictures alone.
    pub sample_rate: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
    /// What the AAC encoder aims at.
    pub audio_bitrate: BitRate,
}

impl Default for PatternBegin {
    /// 1280×720 at 30, 2.5 Mbit/s, a sync unit each 2 s, stereo at 48 kHz and 128 kbit/s.
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
            frame_rate: FrameRate(30_000),
            bitrate: BitRate(2_500_000),
            gop: 60,
            b_pictures: 0,
            sample_rate: 48_000,
            channels: 2,
            audio_bitrate: BitRate(128_000),
        }
    }
}

/// One report, pattern encoder → `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternReport {
    /// Before the first picture.
    VideoConfig(VideoConfig),
    /// Before the first sound.
    AudioConfig(AudioConfig),
    /// One coded unit, in decode order within its track; payload as [`AccessUnit`] describes it.
    Unit(AccessUnit),
    /// A sentence for the log.
    Note {
        /// The sentence.
        text: String,
    },
}

const BEGIN: u8 = 33;
const PICTURE: u8 = 34;
const SOUND: u8 = 35;
const END: u8 = 36;

impl Message for PatternOrder {
    const WHAT: &'static str = "the pattern's orders";

    fn kind(&self) -> u8 {
        match self {
            Self::Begin(_) => BEGIN,
            Self::Picture { .. } => PICTURE,
            Self::Sound { .. } => SOUND,
            Self::End => END,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mut put = Put(out);
        match self {
            Self::Begin(begin) => {
                put.u32(begin.width).u32(begin.height).u32(begin.frame_rate.0).u64(begin.bitrate.0);
                put.u32(begin.gop).u8(begin.b_pictures);
                put.u32(begin.sample_rate).u8(begin.channels).u64(begin.audio_bitrate.0);
            }
            Self::Picture { time, planes: media } | Self::Sound { time, samples: media } => {
                put.time(*time).rest(media);
            }
            Self::End => {}
        }
    }

    fn take(kind: u8, payload: Bytes) -> Result<Self, WireError> {
        let mut take = Take::new(kind, payload);
        let order = match kind {
            BEGIN => Self::Begin(PatternBegin {
                width: take.u32("width")?,
                height: take.u32("height")?,
                frame_rate: FrameRate(take.u32("frame rate")?),
                bitrate: take.rate("bitrate")?,
                gop: take.u32("gop")?,
                b_pictures: take.u8("b pictures")?,
                sample_rate: take.u32("sample rate")?,
                channels: take.u8("channels")?,
                audio_bitrate: take.rate("audio bitrate")?,
            }),
            PICTURE => return Ok(Self::Picture { time: take.time("time")?, planes: take.rest() }),
            SOUND => return Ok(Self::Sound { time: take.time("time")?, samples: take.rest() }),
            END => Self::End,
            _ => return Err(WireError::UnknownType { kind, what: Self::WHAT }),
        };
        take.end(order)
    }
}

const VIDEO_CONFIG: u8 = 97;
const AUDIO_CONFIG: u8 = 98;
const UNIT: u8 = 99;
const NOTE: u8 = 100;

impl Message for PatternReport {
    const WHAT: &'static str = "the pattern's reports";

    fn kind(&self) -> u8 {
        match self {
            Self::VideoConfig(_) => VIDEO_CONFIG,
            Self::AudioConfig(_) => AUDIO_CONFIG,
            Self::Unit(_) => UNIT,
            Self::Note { .. } => NOTE,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mut put = Put(out);
        match self {
            Self::VideoConfig(config) => {
                put.bytes(config.record());
            }
            Self::AudioConfig(config) => {
                put.bytes(config.record());
            }
            Self::Unit(unit) => put_unit(&mut put, unit),
            Self::Note { text } => {
                put.text(text);
            }
        }
    }

    fn take(kind: u8, payload: Bytes) -> Result<Self, WireError> {
        let mut take = Take::new(kind, payload);
        let report = match kind {
            VIDEO_CONFIG => Self::VideoConfig(take.video_config("video configuration")?),
            AUDIO_CONFIG => Self::AudioConfig(take.audio_config("audio configuration")?),
            UNIT => return take_unit(take).map(Self::Unit),
            NOTE => Self::Note { text: take.text("text")? },
            _ => return Err(WireError::UnknownType { kind, what: Self::WHAT }),
        };
        take.end(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PatternOrderReader;

    #[test]
    fn every_order_is_read_as_it_was_written() {
        let orders = [
            PatternOrder::Begin(PatternBegin::default()),
            PatternOrder::Picture { time: MediaTime::from_ticks(3), planes: Bytes::from_static(&[16; 6]) },
            PatternOrder::Sound { time: MediaTime::from_ticks(4), samples: Bytes::from_static(&[0; 8]) },
            PatternOrder::End,
        ];
        let mut reader = PatternOrderReader::new();
        for order in orders {
            let mut bytes = Vec::new();
            order.encode(&mut bytes).unwrap();
            reader.push(&bytes);
            assert_eq!(reader.pull().unwrap(), Some(order));
        }
    }

    #[test]
    fn a_picture_too_large_for_the_pipe_is_refused_where_it_is_written() {
        let picture =
            PatternOrder::Picture { time: MediaTime::default(), planes: vec![0; crate::MAX_PAYLOAD].into() };
        let mut out = vec![1, 2, 3];
        assert!(matches!(picture.encode(&mut out), Err(WireError::TooLong { .. })));
        assert_eq!(out, [1, 2, 3]);
    }
}
