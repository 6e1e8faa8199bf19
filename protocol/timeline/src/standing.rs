//! A run that somebody else has begun, for whoever goes on with it.

use media::{AccessUnit, AudioConfig, MediaTime, RunId, Track, VideoConfig};
use std::time::Instant;

/// Where a run stands that somebody else has placed so far: all that is needed to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub run: RunId,
    /// How its pictures are coded, if it has any.
    pub video: Option<VideoConfig>,
    /// How its sound is coded, if it has any.
    pub audio: Option<AudioConfig>,
    /// The end of everything placed.
    pub end: MediaTime,
    /// The end of the pictures placed.
    pub video_end: Option<MediaTime>,
    /// The end of the sound placed.
    pub audio_end: Option<MediaTime>,
    /// When the newest picture is decoded.
    pub last_decode: Option<MediaTime>,
}

impl Standing {
    /// A run of which nothing is placed yet.
    pub fn begin(
        run: RunId,
        start: MediaTime,
        video: Option<VideoConfig>,
        audio: Option<AudioConfig>,
    ) -> Self {
        Self { run, video, audio, end: start, video_end: None, audio_end: None, last_decode: None }
    }

    /// This unit was placed.
    pub fn unit(&mut self, unit: &AccessUnit) {
        let end = unit.decode_time + unit.duration;
        match unit.track {
            Track::Video => {
                self.video_end = Some(end);
                self.last_decode = Some(unit.decode_time);
            }
            Track::Audio => self.audio_end = Some(end),
        }
        self.end = self.end.max(end).max(unit.presentation_time + unit.duration);
    }

    /// Filler was placed up to here.
    pub fn fill(&mut self, until: MediaTime) {
        if until > self.end {
            self.end = until;
            self.video_end = self.video_end.map(|_| until);
            self.audio_end = self.audio_end.map(|_| until);
        }
    }
}

/// The publisher of whoever goes on with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It sends the same units as the one the run had, and goes on with the next: this moment of its clock is there.
    Aligned {
        /// A moment of its clock.
        source_ms: i64,
        /// Where that is.
        place: MediaTime,
    },
    /// There is none, or one with other units: filler, until it comes back as after a reconnect.
    Absent {
        /// When the run was last heard of.
        heard: Instant,
        /// What comes then is another encoder's: a discontinuity.
        is_other: bool,
    },
}
