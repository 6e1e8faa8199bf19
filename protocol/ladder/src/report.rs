//! What a transcode process reports.

use crate::fields::{Put, Take};
use crate::{Message, WireError};
use bytes::Bytes;
use media::{MediaSequence, MediaSpan, MediaTime, Rendition, RenditionId};

/// One report, process → parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The process has understood its [`crate::Begin`].
    Ready {
        /// FFmpeg's and x264's versions and the settings: two processes that agree on it make the same bytes.
        digest: String,
    },
    /// This rendition will be made; sent before its first `Open`, and again before the first `Open` of another shape.
    /// Its rates are 0: whoever sees the bytes measures them.
    Rung(Rendition),
    /// This rendition will not be made, or not any more.
    Refused {
        /// Which.
        rung: RenditionId,
        /// A sentence for the operator.
        why: String,
    },
    /// A segment begins.
    Open {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
        /// Its first picture's presentation time.
        start: MediaTime,
    },
    /// More of an open segment: whole TS packets, while they are made.
    Bytes {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
        /// The bytes.
        bytes: Bytes,
    },
    /// A segment is complete.
    Close {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
        /// The next cut less this one, exact.
        duration: MediaSpan,
    },
    /// A segment is left out, by a rule.
    Skip {
        /// Of which rendition.
        rendition: RenditionId,
        /// Its number.
        sequence: MediaSequence,
        /// Where it would have begun.
        start: MediaTime,
        /// How long it would have been.
        duration: MediaSpan,
        /// A sentence for the operator.
        why: String,
    },
    /// Every picture before this has been decoded, and is with the encoders; a few per second of media.
    Progress {
        /// Compare with the newest unit sent: the difference is the backlog.
        decoded_until: MediaTime,
    },
    /// A sentence for the log.
    Note {
        /// The sentence.
        text: String,
    },
}

const READY: u8 = 65;
const RUNG: u8 = 66;
const REFUSED: u8 = 67;
const OPEN: u8 = 68;
const BYTES: u8 = 69;
const CLOSE: u8 = 70;
const SKIP: u8 = 71;
const PROGRESS: u8 = 72;
const NOTE: u8 = 73;

impl Message for Report {
    const WHAT: &'static str = "the reports";

    fn kind(&self) -> u8 {
        match self {
            Self::Ready { .. } => READY,
            Self::Rung(_) => RUNG,
            Self::Refused { .. } => REFUSED,
            Self::Open { .. } => OPEN,
            Self::Bytes { .. } => BYTES,
            Self::Close { .. } => CLOSE,
            Self::Skip { .. } => SKIP,
            Self::Progress { .. } => PROGRESS,
            Self::Note { .. } => NOTE,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mut put = Put(out);
        match self {
            Self::Ready { digest } => put.text(digest),
            Self::Rung(rendition) => put
                .text(rendition.id.as_str())
                .optional(rendition.video.as_ref(), Put::video_shape)
                .optional(rendition.audio.as_ref(), Put::audio_shape)
                .u64(rendition.peak.0)
                .u64(rendition.average.0),
            Self::Refused { rung, why } => put.text(rung.as_str()).text(why),
            Self::Open { rendition, sequence, start } => {
                put.text(rendition.as_str()).u64(sequence.0).time(*start)
            }
            Self::Bytes { rendition, sequence, bytes } => {
                put.text(rendition.as_str()).u64(sequence.0).rest(bytes)
            }
            Self::Close { rendition, sequence, duration } => {
                put.text(rendition.as_str()).u64(sequence.0).span(*duration)
            }
            Self::Skip { rendition, sequence, start, duration, why } => {
                put.text(rendition.as_str()).u64(sequence.0).time(*start).span(*duration).text(why)
            }
            Self::Progress { decoded_until } => put.time(*decoded_until),
            Self::Note { text } => put.text(text),
        };
    }

    fn take(kind: u8, payload: Bytes) -> Result<Self, WireError> {
        let mut take = Take::new(kind, payload);
        let report = match kind {
            READY => Self::Ready { digest: take.text("digest")? },
            RUNG => Self::Rung(Rendition {
                id: take.parsed("rendition")?,
                video: take.optional("video", Take::video_shape)?,
                audio: take.optional("audio", Take::audio_shape)?,
                peak: take.rate("peak")?,
                average: take.rate("average")?,
            }),
            REFUSED => Self::Refused { rung: take.parsed("rendition")?, why: take.text("why")? },
            OPEN => Self::Open {
                rendition: take.parsed("rendition")?,
                sequence: take.sequence("sequence")?,
                start: take.time("start")?,
            },
            BYTES => {
                let (rendition, sequence) = (take.parsed("rendition")?, take.sequence("sequence")?);
                return Ok(Self::Bytes { rendition, sequence, bytes: take.rest() });
            }
            CLOSE => Self::Close {
                rendition: take.parsed("rendition")?,
                sequence: take.sequence("sequence")?,
                duration: take.span("duration")?,
            },
            SKIP => Self::Skip {
                rendition: take.parsed("rendition")?,
                sequence: take.sequence("sequence")?,
                start: take.time("start")?,
                duration: take.span("duration")?,
                why: take.text("why")?,
            },
            PROGRESS => Self::Progress { decoded_until: take.time("decoded until")? },
            NOTE => Self::Note { text: take.text("text")? },
            _ => return Err(WireError::UnknownType { kind, what: Self::WHAT }),
        };
        take.end(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReportReader;
    use media::{AudioShape, BitRate, FrameRate, VideoShape};

    #[test]
    fn every_report_is_read_as_it_was_written() {
        let id = RenditionId::parse("720p").unwrap();
        let (rendition, sequence) = (id.clone(), MediaSequence(7));
        let (start, duration) = (MediaTime::from_ticks(14), MediaSpan::from_ticks(180_000));
        let shape = VideoShape {
            width: 1280,
            height: 720,
            frame_rate: FrameRate(30_000),
            codec: "avc1.64001f".to_owned(),
        };
        let sound = AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".to_owned() };
        let reports = [
            Report::Ready { digest: "lavc 59".to_owned() },
            Report::Rung(Rendition {
                id: id.clone(),
                video: Some(shape),
                audio: Some(sound),
                peak: BitRate(0),
                average: BitRate(0),
            }),
            Report::Refused { rung: id, why: "because".to_owned() },
            Report::Open { rendition: rendition.clone(), sequence, start },
            Report::Bytes { rendition: rendition.clone(), sequence, bytes: Bytes::from_static(&[0x47; 188]) },
            Report::Close { rendition: rendition.clone(), sequence, duration },
            Report::Skip { rendition, sequence, start, duration, why: "shed".to_owned() },
            Report::Progress { decoded_until: start },
            Report::Note { text: "ü".to_owned() },
        ];
        let mut reader = ReportReader::new();
        for report in reports {
            let mut bytes = Vec::new();
            report.encode(&mut bytes).unwrap();
            reader.push(&bytes);
            assert_eq!(reader.pull().unwrap(), Some(report));
        }
    }
}
