//! The pattern encoder, for `source`: raw pictures and samples in, coded units out as a publisher would send them.
//!
//! Lives here: one x264 and one AAC encoder, and the times of what they make. Does not live here: the pattern itself.

use crate::av::{AvError, Picture, SoundEncoder, VideoEncoder, X264};
use crate::bitstream;
use crate::outbox::Outbox;
use bytes::Bytes;
use ladder::{Encoding, PatternBegin, PatternOrder, PatternReport, Preset};
use media::{AccessUnit, AudioConfig, MediaSpan, MediaTime, Track};

/// See the module's head.
pub(crate) struct Pattern {
    begin: PatternBegin,
    video: Option<VideoEncoder>,
    audio: Option<Sounding>,
    out: Outbox,
}

struct Sounding {
    encoder: SoundEncoder,
    config: AudioConfig,
    base: Option<MediaTime>,
}

/// What the pattern encoder cannot do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("a picture of {found} bytes came; {width}x{height} in yuv420p is {needed}")]
    Picture { found: usize, width: u32, height: u32, needed: usize },
    #[error("{width}x{height} cannot be encoded; allowed are even numbers of 16 to 4096")]
    Size { width: u32, height: u32 },
    #[error("the encoder's {0} cannot be described")]
    Config(&'static str),
    #[error(transparent)]
    Av(#[from] AvError),
}

impl Pattern {
    pub(crate) fn begin(begin: PatternBegin, out: Outbox) -> Result<Self, PatternError> {
        let (width, height) = (begin.width, begin.height);
        if [width, height].into_iter().any(|side| side % 2 == 1 || !(16..=4096).contains(&side)) {
            return Err(PatternError::Size { width, height });
        }
        let audio = match begin.sample_rate {
            0 => None,
            rate => {
                let encoder = SoundEncoder::open(rate, begin.channels, begin.audio_bitrate.0)?;
                let config = AudioConfig::parse(encoder.record().into());
                let config = config.map_err(|_| PatternError::Config("AudioSpecificConfig"))?;
                out.send(&PatternReport::AudioConfig(config.clone()));
                Some(Sounding { encoder, config, base: None })
            }
        };
        Ok(Self { begin, video: None, audio, out })
    }

    pub(crate) fn push(&mut self, order: PatternOrder) -> Result<(), PatternError> {
        match order {
            PatternOrder::Picture { time, planes } => self.picture(time, &planes),
            PatternOrder::Sound { time, samples } => self.sound(time, &samples),
            PatternOrder::Begin(_) | PatternOrder::End => Ok(()),
        }
    }

    pub(crate) fn finish(mut self) -> Result<(), PatternError> {
        if let Some(video) = &mut self.video {
            video.end()?;
        }
        if let Some(sounding) = &mut self.audio {
            sounding.encoder.end();
        }
        self.collect()
    }

    fn picture(&mut self, time: MediaTime, planes: &[u8]) -> Result<(), PatternError> {
        let (width, height) = (self.begin.width, self.begin.height);
        let picture = Picture::of_planes(width, height, planes).ok_or_else(|| PatternError::Picture {
            found: planes.len(),
            width,
            height,
            needed: width as usize * height as usize * 3 / 2,
        })?;
        let video = match &mut self.video {
            Some(video) => video,
            None => {
                let video = VideoEncoder::open(&self.settings(), &picture)?;
                let config = bitstream::record_of(&video.parameter_sets());
                let config = config.ok_or(PatternError::Config("parameter sets"))?;
                self.out.send(&PatternReport::VideoConfig(config));
                self.video.insert(video)
            }
        };
        video.push(&picture, i64::try_from(time.ticks()).unwrap_or(i64::MAX))?;
        self.collect()
    }

    /// Quick above all: this is a test picture, and it shares the machine with the ladder.
    fn settings(&self) -> X264 {
        let PatternBegin { width, height, bitrate, .. } = self.begin;
        X264 {
            encoding: Encoding { width, height, bitrate, preset: Preset::Ultrafast, crf: 0 },
            rate: self.begin.frame_rate,
            b_pictures: Some(self.begin.b_pictures),
            looks_ahead: self.begin.b_pictures > 0,
            gop: Some(self.begin.gop.max(1)),
            is_source: true,
        }
    }

    fn sound(&mut self, time: MediaTime, samples: &[u8]) -> Result<(), PatternError> {
        let Some(sounding) = &mut self.audio else { return Ok(()) };
        sounding.base.get_or_insert(time);
        let samples = samples.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample));
        sounding.encoder.push(samples);
        self.collect()
    }

    fn collect(&mut self) -> Result<(), PatternError> {
        let picture_span = MediaSpan::from_ticks(90_000_000 / u64::from(self.begin.frame_rate.0.max(1)));
        while let Some(video) = &mut self.video
            && let Some(coded) = video.pull()?
        {
            // A B picture may push its reference in front of the clock's zero: decoded at zero then.
            let at = |ticks: i64| MediaTime::from_ticks(u64::try_from(ticks).unwrap_or(0));
            self.out.send(&PatternReport::Unit(AccessUnit {
                track: Track::Video,
                decode_time: at(coded.decode),
                presentation_time: at(coded.presentation),
                duration: picture_span,
                is_sync: coded.is_sync,
                payload: bitstream::length_prefixed(&coded.bytes),
            }));
        }
        while let Some(sounding) = &mut self.audio
            && let Some((samples, unit)) = sounding.encoder.pull()?
        {
            // The encoder's priming comes before the first sample that was sent.
            let (Ok(samples), Some(base)) = (u64::try_from(samples), sounding.base) else { continue };
            let time = base + sounding.config.span_of(samples / 1024);
            self.out.send(&PatternReport::Unit(AccessUnit {
                track: Track::Audio,
                decode_time: time,
                presentation_time: time,
                duration: sounding.config.span_of(1),
                is_sync: true,
                payload: Bytes::from(unit),
            }));
        }
        Ok(())
    }
}
