//! From orders to rungs: what happens to each order, in the one thread that decodes.
//!
//! Lives here: which room a unit goes to next. Does not live here: the cuts (`cutter`), what is copied (`copier`), what a
//! rung does (`rung`).

use crate::av::{self, AvError, Decoder, Picture, VideoEncoder};
use crate::bitstream::{self, Adts};
use crate::copier::{Copier, Making, SourceUnit};
use crate::cutter::{Cut, Cutter, Opening};
use crate::outbox::Outbox;
use crate::rung::{self, Beginning, Place, Stage, Work};
use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};
use ladder::{Begin, Order, Report, RungVideo, Shed, SourceShape};
use media::{
    AccessUnit, AudioConfig, AudioShape, FrameRate, Grid, MediaSequence, MediaSpan, MediaTime, Track,
    VideoConfig, VideoShape,
};
use std::sync::Arc;
use std::thread::JoinHandle;

/// How many units are looked at for the frame rate when the source's SPS does not say: a third of a second of delay,
/// once. More would not know better.
const SCOUTED: usize = 8;

/// How often progress is reported, in media time.
const PROGRESS: MediaSpan = MediaSpan::from_millis(250);

/// Why a broadcast cannot be transcoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("segments of {0} cannot be made; allowed is {1} to {2}")]
    Segment(MediaSpan, MediaSpan, MediaSpan),
    #[error("there is no rung to make")]
    NoRung,
    #[error("a rung's thread does not start: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Av(#[from] AvError),
}

/// See the module's head.
pub(crate) struct Line {
    grid: Grid,
    from: MediaSequence,
    /// What the `Begin` said there is: a track that appears later needs another `Begin`.
    has_video: bool,
    has_audio: bool,
    source: Source,
    sound: SoundSource,
    cutter: Cutter<Arc<Picture>>,
    copier: Option<Copier>,
    /// From which segment on how much is left out; in order.
    sheds: Vec<(MediaSequence, Shed)>,
    /// The open segment: how much is left out of it, and how many of its pictures have been seen.
    level: Shed,
    seen: u64,
    progress: MediaTime,
    noted: u64,
    first: Sender<Work>,
    threads: Vec<JoinHandle<()>>,
    out: Outbox,
}

/// The source's pictures.
struct Source {
    config: Option<VideoConfig>,
    rate: FrameRate,
    reorder: Option<u32>,
    /// Units held until the frame rate is known; `None` once it is.
    scouted: Option<Vec<AccessUnit>>,
    /// `None`: a sync unit is waited for.
    decoder: Option<Decoder>,
    last_good: Option<Arc<Picture>>,
    damaged: u64,
}

/// The source's sound.
struct SoundSource {
    adts: Option<Adts>,
    /// One unit, with its header.
    silence: Option<Bytes>,
}

impl Line {
    /// Starts the rungs.
    pub(crate) fn begin(begin: Begin, out: Outbox) -> Result<Self, LineError> {
        let grid = Grid::new(begin.segment);
        let grid = grid.ok_or(LineError::Segment(begin.segment, Grid::SHORTEST, Grid::LONGEST))?;
        out.send(&Report::Ready { digest: digest(&begin)? });
        let (first, threads) = start_rungs(&begin, &out)?;
        let copies = begin.rungs.iter().any(|rung| matches!(rung.video, RungVideo::Copy { .. }));
        let has_video = begin.video.is_some() && begin.rungs.iter().any(|rung| rung.video != RungVideo::None);
        // Until the source has said or shown better.
        let rate = FrameRate(30_000);
        let sample_rate = begin.audio.as_ref().map(AudioConfig::sample_rate);
        let mut line = Self {
            grid,
            from: begin.from,
            has_video,
            has_audio: begin.audio.is_some(),
            source: Source {
                config: None,
                rate,
                reorder: None,
                scouted: None,
                decoder: None,
                last_good: None,
                damaged: 0,
            },
            sound: SoundSource { adts: None, silence: None },
            cutter: Cutter::new(grid, begin.from, has_video.then_some(rate), sample_rate),
            copier: copies.then(Copier::new),
            sheds: Vec::new(),
            level: Shed::None,
            seen: 0,
            progress: MediaTime::default(),
            noted: 0,
            first,
            threads,
            out,
        };
        if let Some(config) = begin.audio {
            line.audio_config(&config);
        }
        if let Some(config) = begin.video.filter(|_| has_video) {
            line.video_config(config)?;
            let has_said = line.source_shape().is_some_and(|shape| shape.frame_rate.is_some());
            line.source.scouted = (!has_said).then(Vec::new);
        }
        Ok(line)
    }

    /// Carries out one order.
    pub(crate) fn push(&mut self, order: Order) -> Result<(), LineError> {
        match order {
            Order::Begin(_) => self.note("a second Begin was ignored: one process makes one broadcast"),
            Order::VideoConfig(_) if !self.has_video => {
                self.note("pictures appeared: they need another Begin")
            }
            Order::AudioConfig(_) if !self.has_audio => self.note("sound appeared: it needs another Begin"),
            Order::VideoConfig(config) => {
                self.end_scouting()?;
                self.video_config(config)?;
            }
            Order::AudioConfig(config) => self.audio_config(&config),
            Order::Unit(unit) => match unit.track {
                Track::Video => self.video(unit)?,
                Track::Audio => self.audio(&unit),
            },
            Order::Fill { until } => {
                self.end_scouting()?;
                self.drain_decoder();
                if let Some(copier) = &mut self.copier {
                    copier.source_is_gone();
                }
                self.cutter.fill(until);
                self.carry();
                self.tell_progress(until);
            }
            Order::Shed { level, from } => {
                self.sheds.retain(|(other, _)| *other < from);
                self.sheds.push((from, level));
            }
            // The end is the reader's: it stops reading and calls `finish`.
            Order::End => {}
        }
        Ok(())
    }

    /// Ends what is open and waits for the rungs.
    pub(crate) fn finish(mut self) -> Result<(), LineError> {
        self.end_scouting()?;
        self.drain_decoder();
        self.cutter.finish();
        self.carry();
        drop(self.first);
        for thread in self.threads {
            drop(thread.join());
        }
        Ok(())
    }

    fn source_shape(&self) -> Option<SourceShape> {
        self.source.config.as_ref().and_then(|config| SourceShape::of(config).ok())
    }

    fn video_config(&mut self, config: VideoConfig) -> Result<(), LineError> {
        if self.source.config.as_ref() == Some(&config) {
            return Ok(());
        }
        // The old decoder's last pictures belong in front of the new one's first.
        self.drain_decoder();
        let codec = config.codec();
        match SourceShape::of(&config) {
            Ok(shape) => {
                self.source.reorder = shape.reorder;
                self.set_frame_rate(shape.frame_rate.unwrap_or(self.source.rate));
                let (width, height, frame_rate) = (shape.width, shape.height, self.source.rate);
                self.send(Work::SourceShape(VideoShape { width, height, frame_rate, codec }));
            }
            Err(fault) => self.note(&format!("the source's pictures cannot be described: {fault}")),
        }
        self.source.config = Some(config);
        Ok(())
    }

    fn set_frame_rate(&mut self, rate: FrameRate) {
        self.source.rate = rate;
        self.cutter.set_frame_rate(rate);
    }

    fn audio_config(&mut self, config: &AudioConfig) {
        self.sound.adts = Adts::new(config);
        if self.sound.adts.is_none() {
            self.note(&format!("sound of {} samples/s cannot be carried in MPEG-TS", config.sample_rate()));
        }
        let unit = av::silent_unit(config);
        self.sound.silence = unit.and_then(|unit| self.sound.adts.as_ref()?.wrap(&unit)).map(Bytes::from);
        self.cutter.set_sample_rate(config.sample_rate());
        self.send(Work::AudioShape(AudioShape {
            sample_rate: config.output_rate(),
            channels: config.channels(),
            codec: config.codec(),
        }));
    }

    fn audio(&mut self, unit: &AccessUnit) {
        let wrapped = self.sound.adts.as_ref().and_then(|adts| adts.wrap(&unit.payload));
        let Some(bytes) = wrapped else { return };
        self.cutter.push_sound(unit.presentation_time, bytes.into());
        self.carry();
    }

    fn video(&mut self, unit: AccessUnit) -> Result<(), LineError> {
        if let Some(scouted) = &mut self.source.scouted {
            if !scouted.is_empty() || unit.is_sync {
                scouted.push(unit);
            }
            if scouted.len() >= SCOUTED {
                self.end_scouting()?;
            }
            return Ok(());
        }
        self.decode(&unit)
    }

    /// The frame rate is what most of the first units say; then they go their way.
    fn end_scouting(&mut self) -> Result<(), LineError> {
        let Some(scouted) = self.source.scouted.take() else { return Ok(()) };
        if let Some(rate) = frame_rate_of(&scouted) {
            self.set_frame_rate(rate);
            if let (Some(shape), Some(config)) = (self.source_shape(), &self.source.config) {
                let (width, height, codec) = (shape.width, shape.height, config.codec());
                self.send(Work::SourceShape(VideoShape { width, height, frame_rate: rate, codec }));
            }
        }
        scouted.iter().try_for_each(|unit| self.decode(unit))
    }

    fn decode(&mut self, unit: &AccessUnit) -> Result<(), LineError> {
        let Some(config) = &self.source.config else { return Ok(()) };
        let Some(annex_b) = bitstream::annex_b(config, &unit.payload, unit.is_sync) else {
            self.source.damaged += 1;
            return Ok(());
        };
        if self.source.decoder.is_none() {
            if !unit.is_sync {
                return Ok(());
            }
            self.source.decoder = Some(Decoder::new(self.source.reorder)?);
        }
        if let Some(copier) = &mut self.copier {
            let (decode, presentation) = (unit.decode_time, unit.presentation_time);
            let bytes = annex_b.bytes.clone();
            copier.push(SourceUnit { decode, presentation, is_clean_start: annex_b.is_clean_start, bytes });
        }
        self.carry_copied();
        if let Some(decoder) = &mut self.source.decoder {
            decoder.push(&annex_b.bytes, unit.presentation_time);
        }
        self.take_pictures();
        Ok(())
    }

    /// No more units for this decoder; the next begins at a sync unit.
    fn drain_decoder(&mut self) {
        if let Some(decoder) = &mut self.source.decoder {
            decoder.end();
        }
        self.take_pictures();
        self.source.decoder = None;
    }

    fn take_pictures(&mut self) {
        while let Some(decoded) = self.source.decoder.as_mut().and_then(Decoder::pull) {
            let picture = match &self.source.last_good {
                // Better the last good picture once more than one that was guessed.
                Some(good) if decoded.is_damaged => {
                    self.source.damaged += 1;
                    Arc::clone(good)
                }
                Some(_) | None => decoded.picture,
            };
            self.source.last_good = Some(Arc::clone(&picture));
            self.cutter.push_picture(decoded.time, picture);
            self.carry();
            self.tell_progress(decoded.time);
        }
    }

    /// Everything the cutter set free goes to the rungs.
    fn carry(&mut self) {
        while let Some(cut) = self.cutter.pull() {
            match cut {
                Cut::Begin { sequence, start, opening } => self.begin_segment(sequence, start, opening),
                Cut::Picture { sequence, time, picture, .. } => {
                    self.seen += 1;
                    // Every other picture of a segment, the first always.
                    if self.level < Shed::FrameRate || self.seen % 2 == 1 {
                        let is_copied = self.copier.as_ref().is_some_and(Copier::is_copying);
                        self.send(Work::Picture { sequence, time, picture, is_copied });
                    }
                }
                Cut::Sound { sequence, time, payload } => {
                    if let Some(bytes) = payload.or_else(|| self.sound.silence.clone()) {
                        self.send(Work::Sound { sequence, time, bytes });
                    }
                }
                Cut::End { sequence, track, duration } => self.send(Work::End { sequence, track, duration }),
            }
        }
    }

    fn begin_segment(&mut self, sequence: MediaSequence, start: MediaTime, opening: Opening) {
        self.seen = 0;
        // Those in force before the one that is now are never asked for again.
        while self.sheds.get(1).is_some_and(|(from, _)| *from <= sequence) {
            self.sheds.remove(0);
        }
        let level = self.sheds.first().filter(|(from, _)| *from <= sequence);
        self.level = level.map_or(Shed::None, |(_, level)| *level);
        let end = self.grid.end_of(sequence);
        let making = match &mut self.copier {
            Some(copier) => copier.cut(sequence, start, end, opening),
            None => Making::Encoded,
        };
        let (rate, shed, reorder) = (self.source.rate, self.level, self.source.reorder);
        self.send(Work::Begin(Beginning { sequence, start, rate, shed, making, reorder }));
        match making {
            Making::Copied => self.carry_copied(),
            Making::Encoded => {}
            Making::GivenUp => self.copier = None,
        }
        self.note_what_was_dropped();
    }

    fn carry_copied(&mut self) {
        while let Some((sequence, unit)) = self.copier.as_mut().and_then(Copier::pull) {
            if sequence >= self.from {
                self.send(Work::Copied { sequence, unit });
            }
        }
    }

    fn send(&self, work: Work) {
        // The first rung ends before this does only if it failed, and then it ends the process.
        drop(self.first.send(work));
    }

    fn note(&self, text: &str) {
        self.out.send(&Report::Note { text: text.to_owned() });
    }

    /// Once a segment at most.
    fn note_what_was_dropped(&mut self) {
        let dropped = self.cutter.dropped();
        let count = dropped.pictures + dropped.sounds + dropped.holes + self.source.damaged;
        if count > self.noted {
            self.noted = count;
            self.note(&format!(
                "so far {} damaged pictures, {} late pictures and {} late pieces of sound were left out; {} jumps in time",
                self.source.damaged, dropped.pictures, dropped.sounds, dropped.holes
            ));
        }
    }

    fn tell_progress(&mut self, decoded_until: MediaTime) {
        if decoded_until >= self.progress + PROGRESS {
            self.progress = decoded_until;
            self.out.send(&Report::Progress { decoded_until });
        }
    }
}

/// Builds the chain from its last link up.
fn start_rungs(begin: &Begin, out: &Outbox) -> Result<(Sender<Work>, Vec<JoinHandle<()>>), LineError> {
    let encoded = |rung: &ladder::Rung| matches!(rung.video, RungVideo::Encode(_));
    let (first, count) =
        (begin.rungs.iter().position(encoded), begin.rungs.iter().filter(|rung| encoded(rung)).count());
    let mut below = None;
    let mut threads = Vec::new();
    for (at, rung) in begin.rungs.iter().enumerate().rev() {
        let place = if first == Some(at) && count > 1 { Place::Top } else { Place::Kept };
        let mut rung = rung.clone();
        rung.has_audio &= begin.audio.is_some();
        if begin.video.is_none() {
            rung.video = RungVideo::None;
        }
        let name = format!("rung {}", rung.id);
        let (below_it, out) = (below.take(), out.clone());
        let (above, work) = bounded(rung::MAX_WAITING);
        threads.push(std::thread::Builder::new().name(name).spawn(move || {
            if let Err(fault) = Stage::new(rung, place, below_it, out).run(&work) {
                eprintln!("mascaret-transcode: {fault}");
                std::process::exit(1);
            }
        })?);
        below = Some(above);
    }
    Ok((below.ok_or(LineError::NoRung)?, threads))
}

/// What decides the bytes beside the source: two processes that agree on it make the same.
fn digest(begin: &Begin) -> Result<String, AvError> {
    let x264 = VideoEncoder::version()?;
    let rungs = begin.rungs.iter().map(|rung| match &rung.video {
        RungVideo::None => format!("{} sound", rung.id),
        RungVideo::Copy { instead } => format!("{} copy or {}", rung.id, settings(instead)),
        RungVideo::Encode(encoding) => format!("{} {}", rung.id, settings(encoding)),
    });
    let rungs: Vec<String> = rungs.collect();
    let versions = av::versions();
    Ok(format!("{versions} {x264} segment {} {}", begin.segment.ticks(), rungs.join(" | ")))
}

fn settings(encoding: &ladder::Encoding) -> String {
    let ladder::Encoding { width, height, bitrate, preset, crf } = encoding;
    format!("{width}x{height} {} {preset} crf={crf}", bitrate.0)
}

/// The frame rate most of the units' durations say, snapped to the one it is meant to be.
fn frame_rate_of(units: &[AccessUnit]) -> Option<FrameRate> {
    let mut durations: Vec<u64> =
        units.iter().map(|unit| unit.duration.ticks()).filter(|ticks| *ticks > 0).collect();
    durations.sort_unstable();
    let sum: u64 = durations.iter().sum();
    // Milliseconds make 30 a second come as 33 and 34: the mean of the middle half knows better than one of them.
    let middle = &durations[durations.len() / 4..durations.len() - durations.len() / 4];
    let (sum, count) = match middle.is_empty() {
        true => (sum, durations.len() as u64),
        false => (middle.iter().sum(), middle.len() as u64),
    };
    let rate = (count * 90_000_000).checked_div(sum)?.clamp(5_000, 120_000) as u32;
    const USUAL: [u32; 9] = [15_000, 23_976, 25_000, 29_970, 30_000, 50_000, 59_940, 60_000, 120_000];
    let nearest = USUAL.into_iter().min_by_key(|usual| usual.abs_diff(rate))?;
    Some(FrameRate(if nearest.abs_diff(rate) * 50 <= nearest { nearest } else { rate }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(millis: u64) -> AccessUnit {
        AccessUnit {
            track: Track::Video,
            decode_time: MediaTime::default(),
            presentation_time: MediaTime::default(),
            duration: MediaSpan::from_millis(millis),
            is_sync: false,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn a_frame_rate_is_known_in_spite_of_milliseconds_and_a_dropped_picture() {
        let of =
            |millis: &[u64]| frame_rate_of(&millis.iter().map(|millis| unit(*millis)).collect::<Vec<_>>());
        assert_eq!(of(&[33, 33, 34, 33, 33, 34, 133, 33]), Some(FrameRate(30_000)));
        assert_eq!(of(&[40; 8]), Some(FrameRate(25_000)));
        assert_eq!(of(&[100; 8]), Some(FrameRate(10_000)));
        assert_eq!(of(&[]), None);
    }
}
