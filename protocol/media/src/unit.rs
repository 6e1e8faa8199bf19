//! Access units: one coded picture or audio frame, with its time; and what a decoder must know first.

use crate::{MediaSpan, MediaTime};
use bytes::Bytes;

/// Sound or pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One coded picture or audio frame.
///
/// H.264 payloads are length-prefixed NAL units as in FLV and MP4 (ISO/IEC 14496-15, length size from the
/// [`VideoConfig`]); AAC payloads are raw frames without ADTS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Sound or pictures.
    pub track: Track,
    /// When it is decoded.
    pub decode_time: MediaTime,
    /// When it is shown; never before it is decoded.
    pub presentation_time: MediaTime,
    /// How long until the next unit of this track is decoded.
    pub duration: MediaSpan,
    /// A decoder can start here.
    pub is_sync: bool,
    /// The coded bytes, written once and shared by count.
    pub payload: Bytes,
}

/// Why a decoder configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Ends before what it announces.
    #[error("the {what} ends after {len} bytes, {needed} are needed")]
    Short {
        /// Which record.
        what: &'static str,
        /// Bytes there.
        len: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A value the house has no use for.
    #[error("the {what} has {field} {found}, allowed is {allowed}")]
    Unsupported {
        /// Which record.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u32,
        /// What it may say.
        allowed: &'static str,
    },
}

/// An AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) that has been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    record: Bytes,
}

impl VideoConfig {
    /// Takes a record with at least one SPS and one PPS whose lengths add up.
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        const WHAT: &str = "AVC configuration record";
        let short = |needed| ConfigError::Short { what: WHAT, len: record.len(), needed };
        if record.len() < 7 {
            return Err(short(7));
        }
        if record[0] != 1 {
            let found = u32::from(record[0]);
            return Err(ConfigError::Unsupported { what: WHAT, field: "version", found, allowed: "1" });
        }
        let length_bytes = (record[4] & 3) + 1;
        if length_bytes == 3 {
            return Err(ConfigError::Unsupported {
                what: WHAT,
                field: "NAL length size",
                found: 3,
                allowed: "1, 2 or 4",
            });
        }
        let config = Self { record: record.clone() };
        let mut at = 5;
        for mask in [0x1f_u8, 0xff] {
            let count = *record.get(at).ok_or_else(|| short(at + 1))? & mask;
            at += 1;
            if count == 0 {
                let field = if mask == 0x1f { "SPS count" } else { "PPS count" };
                return Err(ConfigError::Unsupported { what: WHAT, field, found: 0, allowed: "1 or more" });
            }
            for _ in 0..count {
                let len = record.get(at..at + 2).ok_or_else(|| short(at + 2))?;
                at += 2 + usize::from(u16::from_be_bytes([len[0], len[1]]));
                if record.len() < at {
                    return Err(short(at));
                }
            }
        }
        // An SPS shorter than its profile, constraints and level names no codec.
        if config.sps().len() < 4 {
            return Err(short(12));
        }
        Ok(config)
    }

    /// The record itself, as FLV and `avcC` carry it.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// How many bytes each NAL unit's length has in a payload: 1, 2 or 4.
    pub fn nal_length_bytes(&self) -> usize {
        usize::from(self.record[4] & 3) + 1
    }

    /// The first sequence parameter set, NAL header included.
    pub fn sps(&self) -> Bytes {
        let len = usize::from(u16::from_be_bytes([self.record[6], self.record[7]]));
        self.record.slice(8..8 + len)
    }

    /// The CODECS word (RFC 6381): profile, constraints and level of the first SPS.
    pub fn codec(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.record[1], self.record[2], self.record[3])
    }
}

/// An AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) that has been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    record: Bytes,
    object_type: u8,
    sample_rate: u32,
    output_rate: u32,
    channels: u8,
}

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

impl AudioConfig {
    /// Takes AAC-LC, HE-AAC and HE-AAC v2 with 1 to 8 channels.
    pub fn parse(record: Bytes) -> Result<Self, ConfigError> {
        const WHAT: &str = "AudioSpecificConfig";
        let mut bits = Bits { bytes: &record, at: 0 };
        let short = || ConfigError::Short { what: WHAT, len: record.len(), needed: record.len() + 1 };
        let object_type = bits.take(5).ok_or_else(short)? as u8;
        let sample_rate = bits.sample_rate().ok_or_else(short)?;
        let channel_configuration = bits.take(4).ok_or_else(short)?;
        let (object_type_core, output_rate) = match object_type {
            5 | 29 => {
                let output = bits.sample_rate().ok_or_else(short)?;
                (bits.take(5).ok_or_else(short)? as u8, output)
            }
            other => (other, sample_rate),
        };
        if object_type_core != 2 {
            let found = u32::from(object_type_core);
            return Err(ConfigError::Unsupported {
                what: WHAT,
                field: "object type",
                found,
                allowed: "2 (LC), alone or under 5 or 29",
            });
        }
        if !(7_350..=96_000).contains(&sample_rate) {
            return Err(ConfigError::Unsupported {
                what: WHAT,
                field: "sample rate",
                found: sample_rate,
                allowed: "7350 to 96000",
            });
        }
        let channels = match channel_configuration {
            1..=6 => channel_configuration as u8,
            7 => 8,
            found => {
                return Err(ConfigError::Unsupported {
                    what: WHAT,
                    field: "channel configuration",
                    found,
                    allowed: "1 to 7",
                });
            }
        };
        Ok(Self { object_type, sample_rate, output_rate, channels, record })
    }

    /// The record itself, as FLV and `esds` carry it.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The CODECS word (RFC 6381).
    pub fn codec(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }

    /// Samples per second of the coded core: an access unit is 1024 of these.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples per second a decoder puts out (twice the core's for HE-AAC).
    pub fn output_rate(&self) -> u32 {
        self.output_rate
    }

    /// Channels.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// How long `units` access units of 1024 samples last, rounded down to a tick.
    pub fn span_of(&self, units: u64) -> MediaSpan {
        let ticks =
            u128::from(units) * 1024 * u128::from(crate::TICKS_PER_SECOND) / u128::from(self.sample_rate);
        MediaSpan::from_ticks(ticks.min(u128::from(u64::MAX)) as u64)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn sample_rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => SAMPLE_RATES.get(index as usize).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libx264 through ffmpeg 5.1 sends for 320x180 High.
    fn avcc() -> Vec<u8> {
        let mut record = vec![1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x0c, 0xac];
        record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
        record
    }

    #[test]
    fn an_avc_record_names_its_codec() {
        let config = VideoConfig::parse(avcc().into()).unwrap();
        assert_eq!(config.codec(), "avc1.64000c");
        assert_eq!(config.nal_length_bytes(), 4);
        assert_eq!(&config.sps()[..], [0x67, 0x64, 0, 0x0c, 0xac]);
    }

    #[test]
    fn an_avc_record_cut_anywhere_is_refused_and_never_panics() {
        let whole = avcc();
        for len in 0..whole.len() {
            assert!(VideoConfig::parse(whole[..len].to_vec().into()).is_err(), "{len} bytes were taken");
        }
    }

    #[test]
    fn aac_configurations_say_what_they_are() {
        let lc = AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap();
        assert_eq!((lc.codec().as_str(), lc.sample_rate(), lc.channels()), ("mp4a.40.2", 48_000, 2));
        assert_eq!(lc.span_of(1), MediaSpan::from_ticks(1920));
        // HE-AAC, explicit: core 24 kHz, output 48 kHz.
        let he = AudioConfig::parse(Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00])).unwrap();
        assert_eq!((he.codec().as_str(), he.sample_rate(), he.output_rate()), ("mp4a.40.5", 24_000, 48_000));
        assert!(AudioConfig::parse(Bytes::from_static(&[0x11])).is_err());
        assert!(AudioConfig::parse(Bytes::from_static(&[0x0a, 0x10])).is_err(), "AAC main was taken");
    }
}
