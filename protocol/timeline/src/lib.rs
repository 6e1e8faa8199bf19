//! A publisher's clock put on the epoch, without holes.
//!
//! Lives here: where a run begins on the grid, what a jump of the publisher's clock means, how long an absent
//! publisher is waited for and what is told to stand in for it, the snapping of sound to its sample grid.
//! Does not live here: what a picture or a silent stretch looks like (`transcode` makes the filler of a
//! [`Placed::Fill`]), where segments are cut (`transcode`, on the [`media::Grid`]), or who may publish
//! (`ingest`).
//!
//! ```text
//! publisher's ms   …9 900 ─ 9 933 ─ 9 966 ╳ gone        back: 40 ─ 73 ─ 106 …
//! epoch (90 kHz)   ├────── run ───────────┼─── Fill ────┼────── same run ────
//! grid             │2 s      │2 s      │2 s      │2 s  ╰ a grid point, so that a copied rung can be cut here
//! ```
//!
//! One door in, [`Timeline::push`]; one door out, [`Timeline::pull`]; [`Timeline::deadline`] because an absent
//! publisher is measured by the clock, which arrives as an argument.

mod base;
mod run;
mod silence;
mod sound;
mod standing;

pub use standing::{Resumed, Standing};

use base::Bases;
use flv::SourceUnit;
use media::{AccessUnit, AudioConfig, Grid, MediaSequence, MediaSpan, MediaTime, RunId, Track, VideoConfig};
use run::{Presence, Run};
use sound::SampleGrid;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What may be set about a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Where segments are cut.
    pub grid: Grid,
    /// How long an absent publisher is waited for before the run is over.
    pub grace: Duration,
}

/// Now, by both clocks: the one that never jumps, and the one on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// Read only to stamp a run; a step of it moves nothing that is under way.
    pub wall: MediaTime,
}

/// What a publisher does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// It has been accepted; its media follow.
    Arrived,
    /// How its pictures are coded.
    VideoConfig(VideoConfig),
    /// How its sound is coded.
    AudioConfig(AudioConfig),
    /// A picture or a stretch of sound, by its own clock.
    Unit(SourceUnit),
    /// It went: closed, killed or silent for too long. It may come back within the grace.
    Left,
    /// The operator ends the run: no grace.
    Over,
}

/// What leaves the timeline, in this order: a `Begin`, then the rest, then an `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A run begins; the configurations are those of its first units.
    Begin {
        /// Its id.
        run: RunId,
        /// Its first segment.
        first: MediaSequence,
        /// How its pictures are coded, if it has any.
        video: Option<VideoConfig>,
        /// How its sound is coded, if it has any.
        audio: Option<AudioConfig>,
    },
    /// Pictures are coded differently from here on.
    VideoConfig(VideoConfig),
    /// Sound is coded differently from here on.
    AudioConfig(AudioConfig),
    /// Segments from this one on are a discontinuity away from those before (the coding changed, or a track came).
    Discontinuity {
        /// The first segment after it.
        from: MediaSequence,
    },
    /// One unit at its place.
    Unit(AccessUnit),
    /// Nothing came from the publisher up to here: repeat the last picture, and silence.
    Fill {
        /// Where the filler ends.
        until: MediaTime,
    },
    /// The run is over; nothing follows but another `Begin`.
    End,
}

/// Longer jumps of the publisher's clock than this are a new clock, not a hole (ingest case 14).
pub const JUMP: MediaSpan = MediaSpan::from_secs(2);
/// How much sound without any picture configuration makes a broadcast of sound alone.
pub const SOUND_ALONE_AFTER: MediaSpan = MediaSpan::from_millis(1500);
/// How often filler is let out while the publisher is away: often enough that segments are on time.
pub const FILL_EVERY: Duration = Duration::from_millis(200);

/// One broadcast's timeline. See the module.
#[derive(Debug)]
pub struct Timeline {
    targets: Targets,
    state: State,
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    /// Nothing may be placed before this: an earlier run, of this process or the one before, was there.
    floor: MediaTime,
    last_run: RunId,
    out: VecDeque<Placed>,
    dropped_units: u64,
}

#[derive(Debug)]
enum State {
    /// No run.
    Idle,
    /// A publisher is there, but nothing a decoder could start at.
    Waiting { sound_since: Option<i64> },
    /// A run is under way.
    Running(Box<Run>),
}

impl Timeline {
    /// A timeline on which nothing is placed before `floor`, the end of whatever was published earlier.
    pub fn new(targets: Targets, floor: MediaTime) -> Self {
        Self {
            targets,
            state: State::Idle,
            video: None,
            audio: None,
            floor,
            last_run: RunId(0),
            out: VecDeque::new(),
            dropped_units: 0,
        }
    }

    /// A timeline that goes on with a run from where it stands, as if it had placed all of it itself.
    pub fn resume(targets: Targets, standing: &Standing, publisher: Resumed, now: Now) -> Self {
        let Standing { run, end, video_end, audio_end, last_decode, .. } = *standing;
        let (video, audio) = (standing.video.clone(), standing.audio.clone());
        let (bases, presence, is_other) = match publisher {
            Resumed::Aligned { source_ms, place } => {
                (Bases::new(source_ms, place), Presence::Here { heard: now.instant }, false)
            }
            Resumed::Absent { heard, is_other } => {
                let (since, next_fill) = (now.instant, now.instant);
                // Any base: the one who comes back brings his own.
                (Bases::new(0, end), Presence::Away { since, end_then: end, heard, next_fill }, is_other)
            }
        };
        let running = Run {
            bases,
            sound: audio_end.map_or_else(SampleGrid::default, SampleGrid::from),
            video: video.clone(),
            audio: audio.clone(),
            end,
            video_end,
            audio_end,
            last_decode,
            // Whoever goes on has left out what was placed already.
            sound_from: MediaTime::default(),
            presence,
            is_other,
        };
        Self {
            targets,
            state: State::Running(Box::new(running)),
            video,
            audio,
            floor: end,
            last_run: run,
            out: VecDeque::new(),
            dropped_units: 0,
        }
    }

    /// A moment of the publisher's clock and where it lies, while one is there.
    pub fn reading(&self) -> Option<(i64, MediaTime)> {
        match &self.state {
            State::Running(run) if matches!(run.presence, Presence::Here { .. }) => Some(run.bases.current()),
            _ => None,
        }
    }

    /// One thing the publisher did.
    pub fn push(&mut self, input: Input, now: Now) {
        self.tick(now);
        match input {
            Input::Arrived => self.arrived(),
            Input::VideoConfig(config) => self.video = Some(config),
            Input::AudioConfig(config) => self.audio = Some(config),
            Input::Unit(unit) => self.unit(unit, now),
            Input::Left => self.left(now),
            Input::Over => self.over(),
        }
    }

    /// Lets time pass: filler for an absent publisher, and the end of its grace.
    pub fn tick(&mut self, now: Now) {
        let State::Running(run) = &mut self.state else { return };
        let (Presence::Away { since, end_then, heard, next_fill }
        | Presence::Returning { since, end_then, heard, next_fill }) = &mut run.presence
        else {
            return;
        };
        if now.instant.duration_since(*since) >= self.targets.grace {
            let is_back = matches!(run.presence, Presence::Returning { .. });
            self.over();
            if is_back {
                // It is there, and sent nothing the old run could go on with: the next sync unit begins a new one.
                self.state = State::Waiting { sound_since: None };
            }
            return;
        }
        if now.instant >= *next_fill {
            *next_fill = now.instant + FILL_EVERY;
            let until = *end_then + MediaSpan::from_duration(now.instant.duration_since(*heard));
            run.fill(until, &mut self.out);
        }
    }

    /// When [`Timeline::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let State::Running(run) = &self.state else { return None };
        match &run.presence {
            Presence::Here { .. } => None,
            Presence::Away { since, next_fill, .. } | Presence::Returning { since, next_fill, .. } => {
                Some((*next_fill).min(*since + self.targets.grace))
            }
        }
    }

    /// What has its place.
    pub fn pull(&mut self) -> Option<Placed> {
        self.out.pop_front()
    }

    /// The end of everything placed so far; what a later timeline of the same broadcast takes as its floor.
    pub fn end(&self) -> MediaTime {
        match &self.state {
            State::Running(run) => run.end,
            State::Idle | State::Waiting { .. } => self.floor,
        }
    }

    /// Units that had no place: before the first sync unit, or backwards beyond repair.
    pub fn dropped_units(&self) -> u64 {
        self.dropped_units
    }

    fn arrived(&mut self) {
        // A new publisher says its configurations again; what the last one said no longer counts.
        self.video = None;
        self.audio = None;
        match &mut self.state {
            State::Idle => self.state = State::Waiting { sound_since: None },
            State::Waiting { sound_since } => *sound_since = None,
            State::Running(run) => {
                let (since, end_then, heard, next_fill) = match run.presence {
                    // A takeover: the old publisher was here until this very moment.
                    Presence::Here { heard } => (heard, run.end, heard, heard),
                    Presence::Away { since, end_then, heard, next_fill }
                    | Presence::Returning { since, end_then, heard, next_fill } => {
                        (since, end_then, heard, next_fill)
                    }
                };
                run.presence = Presence::Returning { since, end_then, heard, next_fill };
            }
        }
    }

    fn left(&mut self, now: Now) {
        match &mut self.state {
            State::Idle => {}
            State::Waiting { .. } => self.state = State::Idle,
            State::Running(run) => match run.presence {
                Presence::Here { heard } => {
                    run.presence = Presence::Away {
                        since: now.instant,
                        end_then: run.end,
                        heard,
                        next_fill: now.instant,
                    };
                    self.tick(now);
                }
                // It came back and went without a sync unit: the grace runs on from the first time it left.
                Presence::Returning { since, end_then, heard, next_fill } => {
                    run.presence = Presence::Away { since, end_then, heard, next_fill };
                }
                Presence::Away { .. } => {}
            },
        }
    }

    fn over(&mut self) {
        if let State::Running(run) = &self.state {
            self.floor = run.end;
            self.out.push_back(Placed::End);
        }
        self.state = State::Idle;
    }

    fn unit(&mut self, unit: SourceUnit, now: Now) {
        match &mut self.state {
            // Nobody was accepted: a unit has no business here.
            State::Idle => self.dropped_units += 1,
            State::Waiting { sound_since } => {
                if !can_start(&unit, self.video.is_some(), sound_since) {
                    self.dropped_units += 1;
                    return;
                }
                let start = first_place(self.targets.grid, now.wall, self.floor);
                self.begin(start, &unit, now);
                self.place(unit, now);
            }
            State::Running(run) => {
                let video_came = run.video.is_none() && self.video.is_some();
                let audio_came = run.audio.is_none() && self.audio.is_some();
                let starts = match unit.track {
                    Track::Video => unit.is_sync,
                    Track::Audio => run.video.is_none() && self.video.is_none(),
                };
                if starts && (video_came || audio_came) {
                    // Other tracks than before: other renditions, so another run on the same timeline.
                    let start = run.come_back_at(self.targets.grid, now.instant);
                    run.fill(start, &mut self.out);
                    self.begin(start, &unit, now);
                } else if let Presence::Returning { .. } = run.presence {
                    if !starts {
                        self.dropped_units += 1;
                        return;
                    }
                    let back = run.come_back_at(self.targets.grid, now.instant);
                    run.fill(back, &mut self.out);
                    if std::mem::take(&mut run.is_other) {
                        let from = self.targets.grid.sequence_at(back);
                        self.out.push_back(Placed::Discontinuity { from });
                    }
                    run.bases.restart(presentation_ms(&unit), back);
                    run.sound.forget();
                    run.sound_from = back;
                }
                self.place(unit, now);
            }
        }
    }

    fn begin(&mut self, start: MediaTime, first: &SourceUnit, now: Now) {
        // A clock that was set back says a moment that an earlier run had: where that one was left is later.
        let latest = now.wall.unix_millis().max(self.floor.unix_millis());
        let run_id = RunId(latest.max(self.last_run.0 + 1));
        self.last_run = run_id;
        // Sound alone has no pictures' configuration, whatever an encoder announced and never sent.
        let video = (first.track == Track::Video).then(|| self.video.clone()).flatten();
        self.out.push_back(Placed::Begin {
            run: run_id,
            first: self.targets.grid.sequence_at(start),
            video: video.clone(),
            audio: self.audio.clone(),
        });
        self.state = State::Running(Box::new(Run {
            bases: Bases::new(presentation_ms(first), start),
            sound: SampleGrid::default(),
            video,
            audio: self.audio.clone(),
            end: start,
            video_end: None,
            audio_end: None,
            last_decode: None,
            sound_from: start,
            presence: Presence::Here { heard: now.instant },
            is_other: false,
        }));
    }

    fn place(&mut self, unit: SourceUnit, now: Now) {
        let State::Running(run) = &mut self.state else { return };
        run.presence = Presence::Here { heard: now.instant };
        // A track that came later waits for a unit that a run with both can begin at.
        let is_known = match unit.track {
            Track::Video => run.video.is_some() && self.video.is_some(),
            Track::Audio => run.audio.is_some() && self.audio.is_some(),
        };
        if !is_known {
            self.dropped_units += 1;
            return;
        }
        run.announce(unit.track, &self.video, &self.audio, self.targets.grid, &mut self.out);
        if !run.place(&unit, &mut self.out) {
            self.dropped_units += 1;
        }
    }
}

/// Whether a run can begin with this unit: a sync picture, or sound that has long been alone.
fn can_start(unit: &SourceUnit, has_pictures: bool, sound_since: &mut Option<i64>) -> bool {
    match unit.track {
        Track::Video => unit.is_sync,
        Track::Audio => {
            let since = *sound_since.get_or_insert(unit.decode_ms);
            let alone = u64::try_from(unit.decode_ms.saturating_sub(since)).unwrap_or(0);
            // Twice as long where pictures were announced and never came.
            let patience = if has_pictures { SOUND_ALONE_AFTER * 4 } else { SOUND_ALONE_AFTER };
            MediaSpan::from_millis(alone) >= patience
        }
    }
}

/// A grid point not after now, so that a source with its sync units on a round period can be copied; never one
/// that an earlier run has used.
fn first_place(grid: Grid, wall: MediaTime, floor: MediaTime) -> MediaTime {
    grid.floor(wall).max(grid.ceil(floor))
}

fn presentation_ms(unit: &SourceUnit) -> i64 {
    unit.decode_ms.saturating_add(i64::from(unit.composition_ms.max(0)))
}

#[cfg(test)]
mod tests;
