//! What a transport stream turned out to be.

use crate::Fault;

/// All that was learned of one transport stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whole packets.
    pub packets: u64,
    /// Programs the PAT names; HLS allows one (rule C07).
    pub programs: usize,
    /// PAT and PMT came before the first elementary stream packet (rule C03).
    pub has_tables_first: bool,
    /// The elementary streams the PMTs name, in their order.
    pub tracks: Vec<TrackSummary>,
    /// What is wrong, at most [`crate::limits::MOST_FAULTS`] of it.
    pub faults: Vec<Fault>,
    /// What more is wrong than `faults` has room for.
    pub faults_more: u64,
}

impl Summary {
    /// The first video stream.
    pub fn video(&self) -> Option<&TrackSummary> {
        self.tracks.iter().find(|track| track.codec.is_video())
    }

    /// The first audio stream.
    pub fn audio(&self) -> Option<&TrackSummary> {
        self.tracks.iter().find(|track| track.codec.is_audio())
    }
}

/// One elementary stream. Times are 90 kHz ticks on 33 bits; they wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSummary {
    /// Its packets' PID.
    pub pid: u16,
    /// As the PMT says it.
    pub stream_type: u8,
    /// What that means.
    pub codec: Codec,
    /// The CODECS word (RFC 6381) read from the first unit's own headers, where it has them.
    pub codecs_word: Option<String>,
    /// PES packets.
    pub units: u64,
    /// PTS of the first.
    pub first_pts: Option<u64>,
    /// DTS of the first (its PTS where it has no DTS).
    pub first_dts: Option<u64>,
    /// DTS of the last.
    pub last_dts: Option<u64>,
    /// The earliest PTS.
    pub earliest_pts: Option<u64>,
    /// The latest PTS.
    pub latest_pts: Option<u64>,
    /// The first coded picture is an IDR (H.264) or an IRAP picture (HEVC); `None` where that could not be seen.
    pub starts_with_sync: Option<bool>,
    /// Continuity counter of its first packet with a payload.
    pub first_counter: Option<u8>,
    /// And of its last.
    pub last_counter: Option<u8>,
    /// Its first packet says that the counter may jump there (discontinuity_indicator).
    pub begins_discontinuous: bool,
}

impl TrackSummary {
    /// From the earliest to the latest presentation: one unit less than it lasts.
    pub fn span_ticks(&self) -> Option<u64> {
        Some(self.latest_pts?.wrapping_sub(self.earliest_pts?) & ((1 << 33) - 1))
    }

    /// How far units are apart on average; `None` below two.
    pub fn unit_ticks(&self) -> Option<u64> {
        self.span_ticks()?.checked_div(self.units.checked_sub(1)?)
    }
}

/// What a stream type means (table 2-34, and Apple's additions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// H.264.
    H264,
    /// HEVC.
    H265,
    /// AAC in ADTS.
    Aac,
    /// AAC in LATM.
    AacLatm,
    /// MPEG-1 or MPEG-2 audio.
    MpegAudio,
    /// AC-3.
    Ac3,
    /// Enhanced AC-3.
    Eac3,
    /// Timed metadata.
    Metadata,
    /// Anything else.
    Other,
}

impl Codec {
    /// By stream type.
    pub fn of_stream_type(stream_type: u8) -> Self {
        match stream_type {
            0x1b => Self::H264,
            0x24 => Self::H265,
            0x0f => Self::Aac,
            0x11 => Self::AacLatm,
            0x03 | 0x04 => Self::MpegAudio,
            0x81 => Self::Ac3,
            0x87 => Self::Eac3,
            0x15 => Self::Metadata,
            _ => Self::Other,
        }
    }

    /// Pictures.
    pub fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265)
    }

    /// Sound.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Aac | Self::AacLatm | Self::MpegAudio | Self::Ac3 | Self::Eac3)
    }

    /// How a CODECS word of it begins.
    pub fn word(self) -> &'static str {
        match self {
            Self::H264 => "avc1",
            Self::H265 => "hvc1",
            Self::Aac | Self::AacLatm | Self::MpegAudio => "mp4a.40",
            Self::Ac3 => "ac-3",
            Self::Eac3 => "ec-3",
            Self::Metadata => "id3",
            Self::Other => "",
        }
    }
}
