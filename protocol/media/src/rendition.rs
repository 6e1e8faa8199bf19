//! A rendition: the media behind exactly one media playlist.

use crate::{BroadcastId, MediaSpan, RenditionId, RunId};
use std::fmt;

/// Bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(pub u64);

impl BitRate {
    /// The rate of so many bytes over that span; nothing over no time.
    pub fn of(bytes: u64, span: MediaSpan) -> Self {
        match span.ticks() {
            0 => Self(0),
            ticks => {
                let bits = u128::from(bytes) * 8 * u128::from(crate::TICKS_PER_SECOND);
                Self(bits.div_ceil(u128::from(ticks)).min(u128::from(u64::MAX)) as u64)
            }
        }
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate @ 1_000_000.. => write!(f, "{:.1} Mbit/s", rate as f64 / 1e6),
            rate => write!(f, "{:.0} kbit/s", rate as f64 / 1e3),
        }
    }
}

/// Pictures per 1000 seconds, so that 29.97 is 29970 (FRAME-RATE has three decimals).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRate(pub u32);

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// What the pictures of a rendition look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoShape {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Measured, not promised.
    pub frame_rate: FrameRate,
    /// RFC 6381, e.g. `avc1.64001f`.
    pub codec: String,
}

/// What the sound of a rendition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioShape {
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// RFC 6381, e.g. `mp4a.40.2`.
    pub codec: String,
}

/// One rendition of a broadcast, as its playlists describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its path element.
    pub id: RenditionId,
    /// `None` for sound alone.
    pub video: Option<VideoShape>,
    /// `None` for pictures alone.
    pub audio: Option<AudioShape>,
    /// The largest rate of any of its segments so far (BANDWIDTH), container included; 0 until measured.
    pub peak: BitRate,
    /// The average over all its segments so far (AVERAGE-BANDWIDTH); 0 until measured.
    pub average: BitRate,
}

impl Rendition {
    /// The CODECS attribute: every format in it.
    pub fn codecs(&self) -> String {
        let video = self.video.as_ref().map(|shape| shape.codec.as_str());
        let audio = self.audio.as_ref().map(|shape| shape.codec.as_str());
        [video, audio].into_iter().flatten().collect::<Vec<_>>().join(",")
    }
}

/// What every edge and balancer must know of a broadcast beside its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// Which broadcast.
    pub broadcast: BroadcastId,
    /// Its newest run.
    pub run: RunId,
    /// The pitch of the grid; constant for the broadcast's life.
    pub segment: MediaSpan,
    /// How many segments a playlist lists (at least 6, rule M15).
    pub window: u32,
    /// Best first, as the multivariant playlist will list them. Non-empty once published.
    pub renditions: Vec<Rendition>,
    /// True once the run is over and nothing more will come (EXT-X-ENDLIST).
    pub has_ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_rounded_up_so_that_a_peak_is_never_understated() {
        assert_eq!(BitRate::of(250_000, MediaSpan::from_secs(2)), BitRate(1_000_000));
        assert_eq!(BitRate::of(1, MediaSpan::from_secs(3)), BitRate(3));
        assert_eq!(BitRate::of(1, MediaSpan::ZERO), BitRate(0));
    }

    #[test]
    fn a_frame_rate_has_three_decimals() {
        assert_eq!(FrameRate(29_970).to_string(), "29.970");
        assert_eq!(FrameRate(25_000).to_string(), "25.000");
    }
}
