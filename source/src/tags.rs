//! Coded units as bodies of RTMP audio and video messages (FLV tag bodies, Adobe FLV 10.1, E.4.2 and E.4.3).

use bytes::{BufMut, Bytes, BytesMut};
use ladder::PatternReport;
use media::{AccessUnit, AudioConfig, MediaTime, TICKS_PER_SECOND, Track, VideoConfig};

/// One body, and what the publisher must know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// What a decoder must know first; kept, and sent first on each connection.
    Config { track: Track, body: Bytes },
    /// One coded unit.
    Unit { track: Track, decode_ms: u64, is_sync: bool, body: Bytes },
}

impl Tag {
    /// `None` for what is only for the log.
    pub(crate) fn of(report: &PatternReport) -> Option<Self> {
        match report {
            PatternReport::VideoConfig(config) => Some(Self::video_config(config)),
            PatternReport::AudioConfig(config) => Some(Self::audio_config(config)),
            PatternReport::Unit(unit) => Some(Self::unit(unit)),
            PatternReport::Note { .. } => None,
        }
    }

    fn video_config(config: &VideoConfig) -> Self {
        // Sync unit of AVC; sequence header; no composition time.
        Self::Config { track: Track::Video, body: body(&[0x17, 0, 0, 0, 0], config.record()) }
    }

    fn audio_config(config: &AudioConfig) -> Self {
        Self::Config { track: Track::Audio, body: body(&[AAC, 0], config.record()) }
    }

    fn unit(unit: &AccessUnit) -> Self {
        let decode_ms = milliseconds(unit.decode_time);
        let body = match unit.track {
            Track::Video => {
                let composition = milliseconds(unit.presentation_time).saturating_sub(decode_ms) as u32;
                let [_, a, b, c] = composition.to_be_bytes();
                body(&[if unit.is_sync { 0x17 } else { 0x27 }, 1, a, b, c], &unit.payload)
            }
            Track::Audio => body(&[AAC, 1], &unit.payload),
        };
        Self::Unit { track: unit.track, decode_ms, is_sync: unit.is_sync, body }
    }
}

/// AAC, 44 kHz, 16 bit, stereo: what FLV says for every AAC, whatever it is.
const AAC: u8 = 0xaf;

fn milliseconds(time: MediaTime) -> u64 {
    time.ticks() * 1_000 / TICKS_PER_SECOND
}

fn body(head: &[u8], payload: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(head.len() + payload.len());
    body.put_slice(head);
    body.put_slice(payload);
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::MediaSpan;

    #[test]
    fn a_unit_that_is_shown_later_says_how_much_later() {
        let unit = AccessUnit {
            track: Track::Video,
            decode_time: MediaTime::from_ticks(90_000),
            presentation_time: MediaTime::from_ticks(90_000 + 7_200),
            duration: MediaSpan::from_ticks(3_600),
            is_sync: false,
            payload: Bytes::from_static(&[0, 0, 0, 1, 0x41]),
        };
        let Some(Tag::Unit { decode_ms, is_sync, body, .. }) = Tag::of(&PatternReport::Unit(unit)) else {
            panic!("a unit is a unit");
        };
        assert_eq!((decode_ms, is_sync), (1_000, false));
        assert_eq!(body[..], [0x27, 1, 0, 0, 80, 0, 0, 0, 1, 0x41]);
    }
}
