//! The demuxer: holds one unit back on each track, until the next one tells how long it lasted.
//!
//! Lives here: configurations that change, durations, what is dropped. Does not live here: the layout of a tag
//! (`body`), of a payload (`nal`).

use crate::body::{self, Body, FlvError};
use crate::clock::Clock;
use crate::nal::{self, Nals};
use bytes::Bytes;
use media::{AudioConfig, Track, VideoConfig};
use std::collections::VecDeque;

/// One RTMP audio or video message, or one FLV tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Sound or pictures.
    pub track: Track,
    /// Milliseconds on the publisher's clock, mod 2^32: when it is decoded.
    pub timestamp_ms: u32,
    /// The tag's body.
    pub body: Bytes,
}

/// What the line goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demuxed {
    /// The pictures that follow are to be decoded by this; it differs from the last.
    VideoConfig(VideoConfig),
    /// The sound that follows is to be decoded by this; it differs from the last.
    AudioConfig(AudioConfig),
    /// An access unit.
    Unit(SourceUnit),
}

/// One access unit on its publisher's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUnit {
    /// Sound or pictures.
    pub track: Track,
    /// When it is decoded, in milliseconds; does not wrap, may go back.
    pub decode_ms: i64,
    /// How long after that it is shown; encoders have been seen to send negative ones.
    pub composition_ms: i32,
    /// How long until the next of its track is decoded; 0 where two have the same time. At a step back, or of more
    /// than [`LONGEST_GAP_MS`], it is what the unit before it lasted.
    pub duration_ms: u32,
    /// A decoder can start here: there is an IDR slice in it. All sound is.
    pub is_sync: bool,
    /// The NAL units with their lengths, which add up; or the raw AAC frame.
    pub payload: Bytes,
}

/// What was dropped, and why. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Tags shorter than their header, NAL lengths that do not add up, AAC frames of no or impossible length.
    pub broken: u64,
    /// Units before a configuration.
    pub unconfigured: u64,
    /// Video units without a slice: parameter sets or SEI alone.
    pub pictureless: u64,
}

/// The longest step between two units that is one unit lasting. Longer ones are a gap or a jump, and `timeline`'s
/// business.
pub const LONGEST_GAP_MS: u32 = 2000;

/// Outputs that may wait for [`Demuxer::pull`]. One push makes at most two, so nobody who pulls after each meets it;
/// at the bound `push` is an error and takes nothing.
pub const WAITING: usize = 64;

/// What a unit lasts if nothing else tells: a picture at 25 per second, 1024 samples at 48 kHz.
const USUAL_VIDEO_MS: u32 = 40;
const USUAL_AUDIO_MS: u32 = 21;

/// The longest AAC frame an ADTS header has room for (ISO/IEC 13818-7, 6.2.1: 13 bits with the header's own seven).
const LONGEST_AAC: usize = 8191 - 7;

/// Tags in, units out.
#[derive(Debug)]
pub struct Demuxer {
    clock: Clock,
    video: Lane<VideoConfig>,
    audio: Lane<AudioConfig>,
    out: VecDeque<Demuxed>,
    dropped: Dropped,
}

/// One track: its configuration, and the unit that is held back.
#[derive(Debug)]
struct Lane<C> {
    config: Option<C>,
    /// A configuration that came while a unit was held: it goes out behind that unit.
    next_config: Option<C>,
    held: Option<SourceUnit>,
    /// What the last unit lasted.
    last_ms: u32,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self {
            clock: Clock::default(),
            video: Lane::new(USUAL_VIDEO_MS),
            audio: Lane::new(USUAL_AUDIO_MS),
            out: VecDeque::new(),
            dropped: Dropped::default(),
        }
    }

    /// Takes a tag. After an error it goes on as if the tag had not come.
    pub fn push(&mut self, tag: Tag) -> Result<(), FlvError> {
        if self.out.len() + 2 > WAITING {
            return Err(FlvError::NotPulled { limit: WAITING });
        }
        match (tag.track, body::parse(tag.track, &tag.body)?) {
            (Track::Video, Body::Config(record)) => {
                self.video.configure(VideoConfig::parse(record)?, &mut self.out)
            }
            (Track::Audio, Body::Config(record)) => {
                self.audio.configure(AudioConfig::parse(record)?, &mut self.out)
            }
            (track, Body::Unit { composition_ms, payload }) => {
                let decode_ms = self.clock.unwrap(track, tag.timestamp_ms);
                let unit =
                    SourceUnit { track, decode_ms, composition_ms, duration_ms: 0, is_sync: true, payload };
                match track {
                    Track::Video => self.picture(unit),
                    Track::Audio => self.sound(unit),
                }
            }
            (Track::Video, Body::EndOfSequence) => self.video.flush(&mut self.out),
            (_, Body::EndOfSequence | Body::Nothing) => {}
            (_, Body::Short) => self.dropped.broken += 1,
        }
        Ok(())
    }

    /// The next configuration or unit, in the order of each track.
    pub fn pull(&mut self) -> Option<Demuxed> {
        self.out.pop_front()
    }

    /// No more will come: lets go the unit held back on each track. It is taken to last as long as the one before.
    pub fn flush(&mut self) {
        self.video.flush(&mut self.out);
        self.audio.flush(&mut self.out);
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn picture(&mut self, unit: SourceUnit) {
        let Some(config) = self.video.newest_config() else {
            self.dropped.unconfigured += 1;
            return;
        };
        match nal::walk(&unit.payload, config.nal_length_bytes()) {
            Nals::Broken => self.dropped.broken += 1,
            Nals::NoPicture => self.dropped.pictureless += 1,
            Nals::Picture { is_sync } => self.video.hold(SourceUnit { is_sync, ..unit }, &mut self.out),
        }
    }

    fn sound(&mut self, unit: SourceUnit) {
        if self.audio.newest_config().is_none() {
            self.dropped.unconfigured += 1;
        } else if !(1..=LONGEST_AAC).contains(&unit.payload.len()) {
            self.dropped.broken += 1;
        } else {
            self.audio.hold(unit, &mut self.out);
        }
    }
}

impl<C: Clone + PartialEq + Into<Demuxed>> Lane<C> {
    fn new(usual_ms: u32) -> Self {
        Self { config: None, next_config: None, held: None, last_ms: usual_ms }
    }

    fn newest_config(&self) -> Option<&C> {
        self.next_config.as_ref().or(self.config.as_ref())
    }

    fn configure(&mut self, config: C, out: &mut VecDeque<Demuxed>) {
        if self.config.as_ref() == Some(&config) {
            // The last word is what was said before.
            self.next_config = None;
        } else {
            self.next_config = Some(config);
            if self.held.is_none() {
                self.turn_config(out);
            }
        }
    }

    fn turn_config(&mut self, out: &mut VecDeque<Demuxed>) {
        if let Some(config) = self.next_config.take() {
            out.push_back(config.clone().into());
            self.config = Some(config);
        }
    }

    fn hold(&mut self, unit: SourceUnit, out: &mut VecDeque<Demuxed>) {
        if let Some(mut held) = self.held.take() {
            let step = unit.decode_ms - held.decode_ms;
            if (0..=i64::from(LONGEST_GAP_MS)).contains(&step) {
                self.last_ms = step as u32;
            }
            held.duration_ms = self.last_ms;
            out.push_back(Demuxed::Unit(held));
        }
        self.turn_config(out);
        self.held = Some(unit);
    }

    fn flush(&mut self, out: &mut VecDeque<Demuxed>) {
        if let Some(held) = self.held.take() {
            out.push_back(Demuxed::Unit(SourceUnit { duration_ms: self.last_ms, ..held }));
        }
        self.turn_config(out);
    }
}

impl From<VideoConfig> for Demuxed {
    fn from(config: VideoConfig) -> Self {
        Self::VideoConfig(config)
    }
}

impl From<AudioConfig> for Demuxed {
    fn from(config: AudioConfig) -> Self {
        Self::AudioConfig(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVCC: [u8; 20] =
        [1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x0c, 0xac, 1, 0, 4, 0x68, 0xee, 0x3c, 0x80];

    /// Pushes a row of words and tells what comes out, in words. `V` and `v` are video configurations (two that
    /// differ), `A` an audio configuration, `K100` a sync unit at 100 ms, `p133` another picture, `a120` sound,
    /// `E` an end of sequence. Out comes `K100+33`: a unit and what it lasted; `~` is a flush.
    fn demux(row: &str) -> String {
        let mut demuxer = Demuxer::new();
        let mut told = Vec::new();
        for word in row.split(' ') {
            if word == "~" {
                demuxer.flush();
            } else {
                demuxer.push(tag(word)).unwrap();
            }
            while let Some(demuxed) = demuxer.pull() {
                told.push(match demuxed {
                    Demuxed::VideoConfig(config) if config.record()[1] == 0x64 => "V".into(),
                    Demuxed::VideoConfig(_) => "v".into(),
                    Demuxed::AudioConfig(_) => "A".into(),
                    Demuxed::Unit(unit) => {
                        let letter = match (unit.track, unit.is_sync) {
                            (Track::Audio, _) => 'a',
                            (Track::Video, true) => 'K',
                            (Track::Video, false) => 'p',
                        };
                        format!("{letter}{}+{}", unit.decode_ms, unit.duration_ms)
                    }
                });
            }
        }
        told.join(" ")
    }

    fn tag(word: &str) -> Tag {
        let timestamp_ms = word[1..].parse().unwrap_or(0);
        let config = |profile| [&[0x17, 0, 0, 0, 0, 1, profile][..], &AVCC[2..]].concat();
        let (track, body) = match word.as_bytes()[0] {
            b'V' => (Track::Video, config(0x64)),
            b'v' => (Track::Video, config(0x4d)),
            b'A' => (Track::Audio, vec![0xaf, 0, 0x11, 0x90]),
            b'K' => (Track::Video, vec![0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88]),
            b'p' => (Track::Video, vec![0x27, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, 0x88]),
            b'E' => (Track::Video, vec![0x17, 2, 0, 0, 0]),
            _ => (Track::Audio, vec![0xaf, 1, 0x21]),
        };
        Tag { track, timestamp_ms, body: body.into() }
    }

    #[test]
    fn a_unit_lasts_until_the_next_of_its_track() {
        assert_eq!(demux("V A K0 a0 p33 a21 p67 a43"), "V A K0+33 a0+21 p33+34 a21+22");
        assert_eq!(demux("V K0 p33 ~"), "V K0+33 p33+33");
        assert_eq!(demux("A a5 ~"), "A a5+21");
    }

    #[test]
    fn a_gap_or_a_step_back_is_not_a_duration() {
        assert_eq!(demux("V K0 p33 p10033 p10066"), "V K0+33 p33+33 p10033+33");
        assert_eq!(demux("V K5000 p5033 p100 p133"), "V K5000+33 p5033+33 p100+33");
        assert_eq!(demux("V K0 p2000 p4001 p4034"), "V K0+2000 p2000+2000 p4001+33");
        assert_eq!(demux("V K0 p0 p33"), "V K0+0 p0+33");
    }

    #[test]
    fn both_tracks_go_on_over_the_wrap() {
        assert_eq!(demux("V A K4294967290 a4294967295 p27 a20"), "V A K4294967290+33 a4294967295+21");
        assert_eq!(demux("V A K4294967290 a5 ~"), "V A K4294967290+40 a4294967301+21");
    }

    #[test]
    fn a_configuration_is_told_once_and_behind_the_last_unit_of_the_old() {
        assert_eq!(demux("V V K0 V p33 V p67"), "V K0+33 p33+34");
        assert_eq!(demux("V K0 v K33 p66"), "V K0+33 v K33+33");
        assert_eq!(demux("V K0 v V p33 p66"), "V K0+33 p33+33", "said and taken back");
        assert_eq!(demux("V K0 E v K500 p533"), "V K0+40 v K500+33");
    }

    #[test]
    fn what_comes_before_its_configuration_is_dropped_and_counted() {
        let mut demuxer = Demuxer::new();
        for word in ["K0", "p33", "a0"] {
            demuxer.push(tag(word)).unwrap();
        }
        assert_eq!(demuxer.pull(), None);
        assert_eq!(demuxer.dropped(), Dropped { unconfigured: 3, ..Dropped::default() });
    }

    #[test]
    fn the_nal_units_say_what_a_sync_unit_is_and_the_flag_does_not() {
        let mut demuxer = Demuxer::new();
        demuxer.push(tag("V")).unwrap();
        let mut said_so = tag("p0").body.to_vec();
        said_so[0] = 0x17;
        demuxer.push(Tag { body: said_so.into(), ..tag("p0") }).unwrap();
        demuxer.flush();
        let units: Vec<_> = std::iter::from_fn(|| demuxer.pull()).collect();
        assert!(matches!(&units[1], Demuxed::Unit(unit) if !unit.is_sync), "{units:?}");
    }

    #[test]
    fn what_is_damaged_is_dropped_and_counted_and_the_next_goes_on() {
        let mut demuxer = Demuxer::new();
        demuxer.push(tag("V")).unwrap();
        demuxer.push(tag("A")).unwrap();
        let video = |payload: &[u8]| [&[0x17, 1, 0, 0, 0][..], payload].concat();
        let bodies = [
            (Track::Video, video(&[0, 0, 0, 9, 0x65])),
            (Track::Video, video(&[0, 0, 0, 0])),
            (Track::Video, vec![0x17, 1]),
            (Track::Audio, vec![0xaf]),
            (Track::Audio, vec![0xaf, 1]),
            (Track::Audio, [vec![0xaf, 1], vec![0; LONGEST_AAC + 1]].concat()),
            (Track::Video, video(&[0, 0, 0, 2, 6, 5])),
            (Track::Video, video(&[])),
        ];
        for (track, body) in bodies {
            demuxer.push(Tag { track, timestamp_ms: 0, body: body.into() }).unwrap();
        }
        assert_eq!(demuxer.dropped(), Dropped { broken: 6, unconfigured: 0, pictureless: 2 });
        demuxer.push(tag("K0")).unwrap();
        demuxer.flush();
        assert_eq!(std::iter::from_fn(|| demuxer.pull()).count(), 3);
    }

    #[test]
    fn a_configuration_nobody_can_use_is_an_error() {
        let mut demuxer = Demuxer::new();
        let main =
            Tag { track: Track::Audio, timestamp_ms: 0, body: Bytes::from_static(&[0xaf, 0, 0x0a, 0x10]) };
        assert!(matches!(demuxer.push(main), Err(FlvError::Config(_))));
        let hevc = Tag { track: Track::Video, timestamp_ms: 0, body: Bytes::from_static(b"\x90hvc1") };
        let refused = demuxer.push(hevc).unwrap_err();
        assert_eq!(refused.to_string(), "HEVC (hvc1) is not taken, only H.264 and AAC");
    }

    #[test]
    fn who_does_not_pull_is_told() {
        let mut demuxer = Demuxer::new();
        demuxer.push(tag("A")).unwrap();
        let pushed =
            (0..WAITING as u32 * 2).take_while(|i| demuxer.push(tag(&format!("a{}", i * 21))).is_ok());
        assert!(pushed.count() < WAITING);
        while demuxer.pull().is_some() {}
        assert_eq!(demuxer.push(tag("a0")), Ok(()));
    }
}
