//! One rung: a thread that scales, encodes and hands on.
//!
//! Lives here: what one rung does with the work that comes down the chain. Does not live here: the cuts (`cutter`), the
//! order in a segment (`segment`), x264 and the scaler themselves (`av`).
//!
//! The rungs stand in a chain, best first. Each hands every piece of work on to the next, the picture already at its
//! own size, so that a picture is scaled in cascade and the order of work is one and the same for all.

use crate::av::{AvError, Picture, Scaler, VideoEncoder, X264};
use crate::bitstream;
use crate::copier::{Making, SourceUnit};
use crate::outbox::Outbox;
use crate::segment::{Coded, Segments};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use ladder::{Encoding, Report, Rung, RungVideo, Shed};
use media::{
    AudioShape, BitRate, FrameRate, MediaSequence, MediaSpan, MediaTime, Rendition, Track, VideoShape,
};
use std::sync::Arc;

/// The most pieces of work waiting in front of a rung; at 1080p a picture has 3 MB. At the bound the rung above waits,
/// up to the decoder and standard input.
pub(crate) const MAX_WAITING: usize = 12;

/// One piece of work, as it goes down the chain.
#[derive(Clone)]
pub(crate) enum Work {
    /// A segment begins.
    Begin(Beginning),
    /// A picture of that segment, at the size of the rung above.
    Picture {
        sequence: MediaSequence,
        time: MediaTime,
        picture: Arc<Picture>,
        /// The copy rung has the source's own unit for it.
        is_copied: bool,
    },
    /// One of the source's units, for the copy rung.
    Copied { sequence: MediaSequence, unit: SourceUnit },
    /// A unit of sound, with its ADTS header.
    Sound { sequence: MediaSequence, time: MediaTime, bytes: Bytes },
    /// No more of that track in that segment, nor in any before it.
    End { sequence: MediaSequence, track: Track, duration: Option<MediaSpan> },
    /// The sound's shape, before any of it.
    AudioShape(AudioShape),
    /// The source's shape, before its pictures; the codec as the source says it.
    SourceShape(VideoShape),
}

/// What a rung must know when a segment begins.
#[derive(Clone)]
pub(crate) struct Beginning {
    pub(crate) sequence: MediaSequence,
    pub(crate) start: MediaTime,
    pub(crate) rate: FrameRate,
    pub(crate) shed: Shed,
    pub(crate) making: Making,
    /// How many pictures the source holds back, if it says.
    pub(crate) reorder: Option<u32>,
}

/// Where a rung stands in the chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The best of several encoded rungs: the first to be left out.
    Top,
    /// Any other: never left out.
    Kept,
}

/// See the module's head.
pub(crate) struct Stage {
    rung: Rung,
    place: Place,
    segments: Segments,
    encoder: Option<Encoder>,
    scaler: Option<Scaler>,
    beginning: Option<Beginning>,
    audio: Option<AudioShape>,
    source: Option<VideoShape>,
    /// What was last reported of this rung.
    reported: Option<Rendition>,
    is_given_up: bool,
    below: Option<Sender<Work>>,
    out: Outbox,
}

struct Encoder {
    sequence: MediaSequence,
    start: MediaTime,
    x264: VideoEncoder,
}

impl Stage {
    pub(crate) fn new(rung: Rung, place: Place, below: Option<Sender<Work>>, out: Outbox) -> Self {
        let has_video = !matches!(rung.video, RungVideo::None);
        let segments = Segments::new(rung.id.clone(), has_video, rung.has_audio, out.clone());
        let scaler = match &rung.video {
            RungVideo::None => None,
            RungVideo::Copy { instead } => Some(instead),
            RungVideo::Encode(encoding) => Some(encoding),
        };
        let scaler = scaler.map(|encoding| Scaler::new(encoding.width, encoding.height));
        Self {
            rung,
            place,
            segments,
            encoder: None,
            scaler,
            beginning: None,
            audio: None,
            source: None,
            reported: None,
            is_given_up: false,
            below,
            out,
        }
    }

    /// Works until the chain above ends.
    pub(crate) fn run(mut self, above: &Receiver<Work>) -> Result<(), AvError> {
        above.iter().try_for_each(|work| self.take(work))
    }

    fn take(&mut self, work: Work) -> Result<(), AvError> {
        if let Work::Picture { sequence, time, picture, is_copied } = work {
            return self.picture(sequence, time, picture, is_copied);
        }
        self.hand_on(&work);
        if self.is_given_up {
            return Ok(());
        }
        match work {
            Work::Picture { .. } => Ok(()),
            Work::Begin(beginning) => self.begin(beginning),
            Work::Copied { sequence, unit } => self.copied(sequence, unit),
            Work::Sound { sequence, time, bytes } if self.rung.has_audio => {
                let at = ticks(time);
                let unit = Coded { presentation: at, decode: at, is_sync: true, bytes };
                self.segments.push(sequence, Track::Audio, unit)
            }
            Work::Sound { .. } => Ok(()),
            Work::End { sequence, track, duration } => {
                if track == Track::Video {
                    self.end_encoder()?;
                }
                self.segments.end(sequence, track, duration)
            }
            Work::AudioShape(shape) => {
                self.audio = Some(shape).filter(|_| self.rung.has_audio);
                Ok(())
            }
            Work::SourceShape(shape) => {
                self.source = Some(shape);
                Ok(())
            }
        }
    }

    /// The chain below is never gone before this end of it, but for a thread that failed; that one ends the process.
    fn hand_on(&self, work: &Work) {
        if let Some(below) = &self.below {
            drop(below.send(work.clone()));
        }
    }

    fn begin(&mut self, beginning: Beginning) -> Result<(), AvError> {
        let (sequence, start) = (beginning.sequence, beginning.start);
        let is_copy = matches!(self.rung.video, RungVideo::Copy { .. });
        if is_copy && beginning.making == Making::GivenUp {
            let why = "the source's sync units do not fall on the segment grid: set the encoder's keyframe interval \
                       to the segment duration, or a whole part of it";
            self.out.send(&Report::Refused { rung: self.rung.id.clone(), why: why.to_owned() });
            self.is_given_up = true;
            return Ok(());
        }
        let is_left_out = beginning.shed >= Shed::TopRung
            && match self.rung.video {
                RungVideo::None => false,
                RungVideo::Copy { .. } => beginning.making != Making::Copied,
                RungVideo::Encode(_) => self.place == Place::Top,
            };
        if matches!(self.rung.video, RungVideo::None) {
            self.report_rung(None);
        } else if is_copy && beginning.making == Making::Copied {
            self.report_rung(self.source.clone());
        }
        self.beginning = Some(beginning);
        match is_left_out {
            true => self.segments.skip(sequence, start, "the encoder is too slow: the top rung is left out"),
            false => self.segments.begin(sequence, start),
        }
    }

    fn picture(
        &mut self,
        sequence: MediaSequence,
        time: MediaTime,
        picture: Arc<Picture>,
        is_copied: bool,
    ) -> Result<(), AvError> {
        let encoding = match &self.rung.video {
            RungVideo::Encode(encoding) => Some(encoding.clone()),
            RungVideo::Copy { instead } if !is_copied && !self.is_given_up => Some(instead.clone()),
            RungVideo::Copy { .. } | RungVideo::None => None,
        };
        let is_left_out = self.beginning.as_ref().is_some_and(|beginning| beginning.shed >= Shed::TopRung)
            && (self.place == Place::Top || matches!(self.rung.video, RungVideo::Copy { .. }));
        let (Some(encoding), Some(scaler), false) = (encoding, &mut self.scaler, is_left_out) else {
            self.hand_on(&Work::Picture { sequence, time, picture, is_copied });
            return Ok(());
        };
        let scaled = scaler.scale(&picture)?;
        let below = match &self.rung.video {
            RungVideo::Encode(_) => Arc::clone(&scaled),
            RungVideo::Copy { .. } | RungVideo::None => picture,
        };
        self.hand_on(&Work::Picture { sequence, time, picture: below, is_copied });
        self.encode(sequence, time, &scaled, &encoding)
    }

    fn encode(
        &mut self,
        sequence: MediaSequence,
        time: MediaTime,
        picture: &Picture,
        encoding: &Encoding,
    ) -> Result<(), AvError> {
        if self.encoder.as_ref().is_none_or(|encoder| encoder.sequence != sequence) {
            self.end_encoder()?;
            let Some(beginning) = &self.beginning else { return Ok(()) };
            let mut settings = X264::of_segment(encoding, beginning.rate);
            settings.looks_ahead = beginning.shed < Shed::Lookahead;
            // Beside a source without B pictures an encoded segment must not be decoded earlier than the copied one
            // before it ends.
            let is_copy = matches!(self.rung.video, RungVideo::Copy { .. });
            settings.b_pictures = (is_copy && beginning.reorder == Some(0)).then_some(0);
            self.encoder =
                Some(Encoder { sequence, start: time, x264: VideoEncoder::open(&settings, picture)? });
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.x264.push(picture, ticks(time) - ticks(encoder.start))?;
        }
        self.collect()
    }

    /// Moves what the encoder has ready into its segment.
    fn collect(&mut self) -> Result<(), AvError> {
        while let Some(encoder) = &mut self.encoder {
            let (sequence, start) = (encoder.sequence, ticks(encoder.start));
            let Some(coded) = encoder.x264.pull()? else { return Ok(()) };
            if coded.is_sync
                && let Some(codec) = bitstream::codec_of(&coded.bytes)
            {
                self.report_encoded(codec);
            }
            let unit = Coded {
                presentation: start + coded.presentation,
                decode: start + coded.decode,
                is_sync: coded.is_sync,
                bytes: coded.bytes.into(),
            };
            self.segments.push(sequence, Track::Video, unit)?;
        }
        Ok(())
    }

    fn end_encoder(&mut self) -> Result<(), AvError> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        encoder.x264.end()?;
        self.collect()?;
        self.encoder = None;
        Ok(())
    }

    fn copied(&mut self, sequence: MediaSequence, unit: SourceUnit) -> Result<(), AvError> {
        if !matches!(self.rung.video, RungVideo::Copy { .. }) {
            return Ok(());
        }
        let (presentation, decode) = (ticks(unit.presentation), ticks(unit.decode));
        let unit = Coded { presentation, decode, is_sync: unit.is_clean_start, bytes: unit.bytes };
        self.segments.push(sequence, Track::Video, unit)
    }

    fn report_encoded(&mut self, codec: String) {
        let (RungVideo::Encode(encoding) | RungVideo::Copy { instead: encoding }) = &self.rung.video else {
            return;
        };
        // A copy rung that stood in for a while is still the source's rendition.
        if self.reported.is_some() && matches!(self.rung.video, RungVideo::Copy { .. }) {
            return;
        }
        let Some(beginning) = &self.beginning else { return };
        let frame_rate = match beginning.shed {
            Shed::FrameRate => FrameRate(beginning.rate.0 / 2),
            Shed::None | Shed::Lookahead | Shed::TopRung => beginning.rate,
        };
        self.report_rung(Some(VideoShape {
            width: encoding.width,
            height: encoding.height,
            frame_rate,
            codec,
        }));
    }

    fn report_rung(&mut self, video: Option<VideoShape>) {
        let (peak, average) = (BitRate::default(), BitRate::default());
        let rendition =
            Rendition { id: self.rung.id.clone(), video, audio: self.audio.clone(), peak, average };
        if self.reported.as_ref() != Some(&rendition) {
            self.out.send(&Report::Rung(rendition.clone()));
            self.reported = Some(rendition);
        }
    }
}

fn ticks(time: MediaTime) -> i64 {
    i64::try_from(time.ticks()).unwrap_or(i64::MAX)
}
