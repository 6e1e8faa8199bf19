//! A run under way: where the next unit of its publisher belongs.
//!
//! Lives here: the end of what is placed, track by track, and what is told of configurations, silence and filler.
//! Does not live here: when a run begins, is waited for and ends ([`crate::Timeline`]).

use crate::Placed;
use crate::base::Bases;
use crate::sound::SampleGrid;
use flv::SourceUnit;
use media::{AccessUnit, AudioConfig, Grid, MediaSpan, MediaTime, Track, VideoConfig};
use std::collections::VecDeque;
use std::time::Instant;

/// What of a run must be known to place its next unit.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) bases: Bases,
    pub(crate) sound: SampleGrid,
    /// Configurations as `transcode` knows them.
    pub(crate) video: Option<VideoConfig>,
    pub(crate) audio: Option<AudioConfig>,
    /// The end of everything placed so far.
    pub(crate) end: MediaTime,
    /// End of the pictures placed, and of the sound.
    pub(crate) video_end: Option<MediaTime>,
    pub(crate) audio_end: Option<MediaTime>,
    /// When the newest picture is decoded: the next one is later, whatever a publisher writes.
    pub(crate) last_decode: Option<MediaTime>,
    /// Sound before this belongs to the filler, or to nothing.
    pub(crate) sound_from: MediaTime,
    pub(crate) presence: Presence,
    /// What comes back is another encoder's.
    pub(crate) is_other: bool,
}

/// Whether the publisher is there.
#[derive(Debug)]
pub(crate) enum Presence {
    /// Units come; `heard` is when the newest did.
    Here { heard: Instant },
    /// No publisher. Media time goes on from `end_then` at the pace of the clock.
    Away { since: Instant, end_then: MediaTime, heard: Instant, next_fill: Instant },
    /// A publisher is back, but nothing a decoder could start at has come from it yet.
    Returning { since: Instant, end_then: MediaTime, heard: Instant, next_fill: Instant },
}

impl Run {
    /// Tells the room below of a configuration that is new to it, and of the discontinuity it may be.
    pub(crate) fn announce(
        &mut self,
        track: Track,
        video: &Option<VideoConfig>,
        audio: &Option<AudioConfig>,
        grid: Grid,
        out: &mut VecDeque<Placed>,
    ) {
        let from = grid.sequence_at(grid.ceil(self.end));
        match (track, video, audio) {
            (Track::Video, Some(config), _) if self.video.as_ref() != Some(config) => {
                self.video = Some(config.clone());
                out.push_back(Placed::Discontinuity { from });
                out.push_back(Placed::VideoConfig(config.clone()));
            }
            (Track::Audio, _, Some(config)) if self.audio.as_ref() != Some(config) => {
                self.audio = Some(config.clone());
                self.sound.forget();
                out.push_back(Placed::Discontinuity { from });
                out.push_back(Placed::AudioConfig(config.clone()));
            }
            _ => {}
        }
    }

    /// Puts one unit at its place; false if it has none.
    pub(crate) fn place(&mut self, unit: &SourceUnit, out: &mut VecDeque<Placed>) -> bool {
        let end_of_track = match unit.track {
            Track::Video => self.video_end,
            Track::Audio => self.audio_end,
        };
        let Some(decode_time) = self.bases.place(unit.decode_ms, end_of_track, self.end) else {
            return false;
        };
        let duration = MediaSpan::from_millis(u64::from(unit.duration_ms));
        let placed = match unit.track {
            Track::Video => {
                let decode_time = match self.last_decode {
                    Some(last) => decode_time.max(last + MediaSpan::from_ticks(1)),
                    None => decode_time,
                };
                self.last_decode = Some(decode_time);
                let presentation_time = match u64::try_from(unit.composition_ms) {
                    Ok(later) => decode_time + MediaSpan::from_millis(later),
                    // Some encoders write negative offsets; a picture is never shown before it is decoded.
                    Err(_) => decode_time,
                };
                AccessUnit {
                    track: Track::Video,
                    decode_time,
                    presentation_time,
                    duration,
                    is_sync: unit.is_sync,
                    payload: unit.payload.clone(),
                }
            }
            Track::Audio => {
                let Some(config) = &self.audio else { return false };
                if decode_time < self.sound_from {
                    return false;
                }
                let Some(snapped) = self.sound.snap(decode_time, config) else { return false };
                for silent in snapped.silence(config) {
                    self.end = self.end.max(silent.presentation_time + silent.duration);
                    out.push_back(Placed::Unit(silent));
                }
                AccessUnit {
                    track: Track::Audio,
                    decode_time: snapped.time,
                    presentation_time: snapped.time,
                    duration: snapped.duration,
                    is_sync: true,
                    payload: unit.payload.clone(),
                }
            }
        };
        let end = placed.decode_time + placed.duration;
        match placed.track {
            Track::Video => self.video_end = Some(end),
            Track::Audio => self.audio_end = Some(end),
        }
        self.end = self.end.max(end).max(placed.presentation_time + placed.duration);
        out.push_back(Placed::Unit(placed));
        true
    }

    /// The grid point at which a publisher that was away goes on: not before anything placed, not before now.
    pub(crate) fn come_back_at(&self, grid: Grid, now: Instant) -> MediaTime {
        let by_clock = match self.presence {
            Presence::Here { .. } => self.end,
            Presence::Away { end_then, heard, .. } | Presence::Returning { end_then, heard, .. } => {
                end_then + MediaSpan::from_duration(now.duration_since(heard))
            }
        };
        grid.ceil(self.end.max(by_clock))
    }

    /// Filler up to there, where that is ahead.
    pub(crate) fn fill(&mut self, until: MediaTime, out: &mut VecDeque<Placed>) {
        if until <= self.end {
            return;
        }
        self.end = until;
        self.video_end = self.video_end.map(|_| until);
        self.audio_end = self.audio_end.map(|_| until);
        self.sound.forget();
        self.sound_from = until;
        out.push_back(Placed::Fill { until });
    }
}
