//! Where the cuts fall, and what stands in where there is nothing.
//!
//! Lives here: which segment a picture or a piece of sound belongs to, when a segment is over, repeats and silence.
//! Does not live here: decoding, encoding, or what a picture is (`P`).
//!
//! A segment begins at the first picture at or past a multiple of the segment duration. Where that picture comes so
//! late that the segment before would be longer than the target duration says, or there is none, it begins at the
//! multiple itself, with the last picture again. Sound goes by its own times, never by order of arrival. What comes out
//! is a function of what goes in and of its order, so a process that is given the same units from any earlier sync unit
//! on cuts the same from its first whole segment.

use bytes::Bytes;
use media::{FrameRate, Grid, MediaSequence, MediaSpan, MediaTime, Track};
use std::collections::VecDeque;

/// How far one track may be ahead of the other before the other counts as silent: a constant skew is kept up to here,
/// and a segment is held up no longer than this for a track that stopped.
pub(crate) const MAX_SKEW: MediaSpan = MediaSpan::from_millis(2000);

/// The most sound kept while there is no picture yet: 20 s of 48 kHz. Older sound is dropped; it would come before the
/// first picture anyway.
const MAX_EARLY: usize = 1024;

/// The most empty segments that are made up for one jump in time: 2 min of 2 s segments. A longer jump leaves a hole in
/// the numbers (the timeline upstream never lets one through).
const MAX_EMPTY: u64 = 60;

/// What comes out. Nothing of a segment before `from` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut<P> {
    /// A segment begins, with the time of the picture (or, without pictures, of the sound) that comes next.
    Begin { sequence: MediaSequence, start: MediaTime, opening: Opening },
    /// A picture of that segment.
    Picture { sequence: MediaSequence, time: MediaTime, picture: P, is_repeat: bool },
    /// A piece of sound of that segment; no payload is silence.
    Sound { sequence: MediaSequence, time: MediaTime, payload: Option<Bytes> },
    /// No more of that track in that segment, nor in any before it. The leading track (pictures, if there are any) says how long it is.
    End { sequence: MediaSequence, track: Track, duration: Option<MediaSpan> },
}

/// What the source had for a segment's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The picture that follows the one before; or, without pictures, sound.
    Picture,
    /// The first picture after a hole: what fell on the boundary never came.
    PictureAfterHole,
    /// No picture: the source is gone, or left out all of the segment.
    Nothing,
}

impl Opening {
    fn of(is_repeat: bool, has_hole: bool) -> Self {
        match (is_repeat, has_hole) {
            (true, _) => Self::Nothing,
            (false, true) => Self::PictureAfterHole,
            (false, false) => Self::Picture,
        }
    }
}

/// See the module's head.
pub(crate) struct Cutter<P> {
    grid: Grid,
    from: MediaSequence,
    pictures: Pictures<P>,
    sound: Sound,
    /// What was dropped and why, for the log.
    dropped: Dropped,
    out: VecDeque<Cut<P>>,
}

/// Counts of what could not be placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Pictures at or before one that is out already.
    pub(crate) pictures: u64,
    /// Sound at or before what is out already.
    pub(crate) sounds: u64,
    /// Jumps in time that left a hole.
    pub(crate) holes: u64,
}

enum Pictures<P> {
    /// The source has none.
    Absent,
    /// None has come yet.
    Awaited {
        frame: Frame,
    },
    Running(Running<P>),
}

struct Running<P> {
    frame: Frame,
    sequence: MediaSequence,
    start: MediaTime,
    /// Its end has not come out yet.
    is_open: bool,
    last: MediaTime,
    picture: P,
    /// The picture that is being repeated was shown at `last` when the first repeat was made.
    repeats: Option<(MediaTime, u64)>,
}

/// How long a picture is shown when nobody says.
#[derive(Clone, Copy)]
struct Frame(FrameRate);

impl Frame {
    fn span(self, count: u64) -> MediaSpan {
        MediaSpan::from_ticks(count.saturating_mul(90_000_000) / u64::from(self.0.0.max(1)))
    }
}

enum Sound {
    /// The source has none.
    Absent,
    /// No picture yet: kept until it is known what comes before the first.
    Early {
        unit: Unit,
        kept: VecDeque<(MediaTime, Bytes)>,
    },
    Playing(Playing),
}

struct Playing {
    unit: Unit,
    sequence: MediaSequence,
    /// Where its segment began; for a source without pictures.
    start: MediaTime,
    /// Where the next unit should begin.
    next: Steps,
    /// Some unit has come. Until then a gap is a late beginning, and is not filled.
    has_begun: bool,
    /// The pictures are so far ahead that nobody waits for sound any more.
    is_silent: bool,
}

/// How long one unit of sound is: 1024 samples at this many a second.
#[derive(Clone, Copy)]
struct Unit {
    rate: u32,
}

impl Unit {
    fn span(self, count: u64) -> MediaSpan {
        let ticks = u128::from(count) * 1024 * 90_000 / u128::from(self.rate.max(1));
        MediaSpan::from_ticks(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    fn half(self) -> MediaSpan {
        MediaSpan::from_ticks(self.span(1).ticks() / 2)
    }
}

/// Equal steps from a base, so that roundings do not add up.
#[derive(Clone, Copy)]
struct Steps {
    base: MediaTime,
    count: u64,
}

impl<P: Clone> Cutter<P> {
    /// `pictures`: the frame rate, if the source has pictures; `sound`: samples per second, if it has sound.
    pub(crate) fn new(
        grid: Grid,
        from: MediaSequence,
        pictures: Option<FrameRate>,
        sound: Option<u32>,
    ) -> Self {
        let unit = sound.map(|rate| Unit { rate });
        Self {
            grid,
            from,
            pictures: pictures.map_or(Pictures::Absent, |rate| Pictures::Awaited { frame: Frame(rate) }),
            sound: unit.map_or(Sound::Absent, |unit| Sound::Early { unit, kept: VecDeque::new() }),
            dropped: Dropped::default(),
            out: VecDeque::new(),
        }
    }

    /// The pictures from here on come at this rate.
    pub(crate) fn set_frame_rate(&mut self, rate: FrameRate) {
        match &mut self.pictures {
            Pictures::Absent => {}
            Pictures::Awaited { frame } => *frame = Frame(rate),
            Pictures::Running(running) => running.frame = Frame(rate),
        }
    }

    /// The sound from here on has so many samples a second.
    pub(crate) fn set_sample_rate(&mut self, rate: u32) {
        match &mut self.sound {
            Sound::Absent => {}
            Sound::Early { unit, .. } => *unit = Unit { rate },
            Sound::Playing(playing) => {
                playing.next = Steps { base: playing.next(), count: 0 };
                playing.unit = Unit { rate };
            }
        }
    }

    /// What could not be placed so far.
    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The next picture, in the order they are shown.
    pub(crate) fn push_picture(&mut self, time: MediaTime, picture: P) {
        if let Pictures::Running(running) = &mut self.pictures {
            running.repeats = None;
        }
        self.place_picture(time, picture, false);
        self.fill_silent_sound(time);
    }

    /// The next unit of sound.
    pub(crate) fn push_sound(&mut self, time: MediaTime, payload: Bytes) {
        match &mut self.sound {
            Sound::Absent => {}
            Sound::Early { kept, unit } => match self.pictures {
                Pictures::Absent => {
                    let unit = *unit;
                    self.start_sound(unit, time);
                    self.place_sound(time, payload);
                }
                Pictures::Awaited { .. } | Pictures::Running(_) => {
                    if kept.len() == MAX_EARLY {
                        kept.pop_front();
                    }
                    kept.push_back((time, payload));
                }
            },
            Sound::Playing(_) => {
                self.close_silent_pictures(time);
                self.place_sound(time, payload);
            }
        }
    }

    /// There is no source: repeats and silence up to (not including) that time.
    pub(crate) fn fill(&mut self, until: MediaTime) {
        // In steps, so that neither track runs ahead of the other by more than one.
        let mut step = match (&self.pictures, &self.sound) {
            (Pictures::Running(running), _) => running.last,
            (_, Sound::Playing(playing)) => playing.next(),
            _ => return,
        };
        while step < until {
            step = (step + MediaSpan::from_millis(500)).min(until);
            self.repeat_until(step);
            if let Sound::Playing(playing) = &mut self.sound {
                playing.has_begun = true;
            }
            self.silence_until(step);
        }
    }

    /// Nothing more will come: what is open ends with its last picture, and not past the boundary.
    pub(crate) fn finish(&mut self) {
        if let Pictures::Running(running) = &self.pictures {
            let end = (running.last + running.frame.span(1)).min(self.grid.end_of(running.sequence));
            let (sequence, duration) = (running.sequence, end.saturating_since(running.start));
            self.emit(Cut::End { sequence, track: Track::Video, duration: Some(duration) });
            let Sound::Playing(playing) = &self.sound else { return };
            for number in playing.sequence.0..=sequence.0 {
                self.emit(Cut::End { sequence: MediaSequence(number), track: Track::Audio, duration: None });
            }
        } else if let Sound::Playing(playing) = &self.sound {
            let duration = Some(playing.next().saturating_since(playing.start));
            self.emit(Cut::End { sequence: playing.sequence, track: Track::Audio, duration });
        }
    }

    /// What was set free.
    pub(crate) fn pull(&mut self) -> Option<Cut<P>> {
        self.out.pop_front()
    }

    fn emit(&mut self, cut: Cut<P>) {
        let (Cut::Begin { sequence, .. }
        | Cut::Picture { sequence, .. }
        | Cut::Sound { sequence, .. }
        | Cut::End { sequence, .. }) = &cut;
        if *sequence >= self.from {
            self.out.push_back(cut);
        }
    }

    fn place_picture(&mut self, time: MediaTime, picture: P, is_repeat: bool) {
        let sequence = self.grid.sequence_at(time);
        let running = match &mut self.pictures {
            Pictures::Absent => return,
            Pictures::Awaited { frame } => {
                let (frame, start, last, picture_now) = (*frame, time, time, picture.clone());
                let running = Running {
                    frame,
                    sequence,
                    start,
                    is_open: true,
                    last,
                    picture: picture_now,
                    repeats: None,
                };
                self.pictures = Pictures::Running(running);
                self.emit(Cut::Begin { sequence, start, opening: Opening::of(is_repeat, false) });
                self.emit(Cut::Picture { sequence, time, picture, is_repeat });
                return self.start_sound_with_pictures(time);
            }
            Pictures::Running(running) => running,
        };
        if time <= running.last {
            self.dropped.pictures += 1;
            return;
        }
        let mut current = running.sequence;
        let before = running.picture.clone();
        // Half a picture more than one: no rounding of a publisher's clock is that much.
        let has_hole = (time.saturating_since(running.last)).ticks() * 2 > running.frame.span(3).ticks();
        if sequence.0 - current.0 > MAX_EMPTY {
            self.dropped.holes += 1;
            let end = self.grid.end_of(current);
            self.end_pictures(end);
            current = MediaSequence(sequence.0 - 1);
        }
        while current < sequence {
            current = current.next();
            let is_empty = current < sequence;
            let boundary = self.grid.start_of(current);
            let begins_with_repeat = is_empty || time.saturating_since(boundary) >= self.grid.leeway();
            let cut = if begins_with_repeat { boundary } else { time };
            self.end_pictures(cut);
            self.begin_pictures(current, cut, Opening::of(is_empty || is_repeat, has_hole));
            if begins_with_repeat {
                let picture = before.clone();
                self.emit(Cut::Picture { sequence: current, time: cut, picture, is_repeat: true });
            }
        }
        if let Pictures::Running(running) = &mut self.pictures {
            running.last = time;
            running.picture = picture.clone();
        }
        self.emit(Cut::Picture { sequence, time, picture, is_repeat });
    }

    /// Ends the pictures of the open segment at `cut`, once.
    fn end_pictures(&mut self, cut: MediaTime) {
        let Pictures::Running(running) = &mut self.pictures else { return };
        if !std::mem::take(&mut running.is_open) {
            return;
        }
        let (sequence, start) = (running.sequence, running.start);
        let duration = Some(cut.saturating_since(start));
        self.emit(Cut::End { sequence, track: Track::Video, duration });
    }

    fn begin_pictures(&mut self, sequence: MediaSequence, start: MediaTime, opening: Opening) {
        let Pictures::Running(running) = &mut self.pictures else { return };
        running.sequence = sequence;
        running.start = start;
        running.is_open = true;
        self.emit(Cut::Begin { sequence, start, opening });
    }

    /// Repeats the last picture at the frame rate; none so near to what comes then that a player would have to choose.
    fn repeat_until(&mut self, until: MediaTime) {
        while let Pictures::Running(running) = &mut self.pictures {
            let (base, count) = running.repeats.unwrap_or((running.last, 0));
            let time = base + running.frame.span(count + 1);
            if time + MediaSpan::from_ticks(running.frame.span(1).ticks() / 2) > until {
                return;
            }
            running.repeats = Some((base, count + 1));
            let picture = running.picture.clone();
            self.place_picture(time, picture, true);
        }
    }

    /// The sound is far ahead: no segment waits for pictures any longer.
    fn close_silent_pictures(&mut self, sound: MediaTime) {
        let Pictures::Running(running) = &self.pictures else { return };
        let boundary = self.grid.floor(sound.saturating_sub(MAX_SKEW));
        if boundary >= self.grid.end_of(running.sequence) && running.last + MAX_SKEW <= sound {
            let picture = running.picture.clone();
            self.place_picture(boundary, picture, true);
        }
    }

    fn start_sound_with_pictures(&mut self, first: MediaTime) {
        let Sound::Early { unit, kept } = &mut self.sound else { return };
        let (unit, kept) = (*unit, std::mem::take(kept));
        self.start_sound(unit, first);
        // Sound waits for the first picture; what comes before it is never heard.
        for (time, payload) in kept.into_iter().filter(|(time, _)| *time >= first) {
            self.place_sound(time, payload);
        }
    }

    fn start_sound(&mut self, unit: Unit, first: MediaTime) {
        let sequence = self.grid.sequence_at(first);
        let next = Steps { base: first, count: 0 };
        self.sound = Sound::Playing(Playing {
            unit,
            sequence,
            start: first,
            next,
            has_begun: false,
            is_silent: false,
        });
        if matches!(self.pictures, Pictures::Absent) {
            self.emit(Cut::Begin { sequence, start: first, opening: Opening::Picture });
        }
    }

    fn place_sound(&mut self, time: MediaTime, payload: Bytes) {
        let Sound::Playing(playing) = &mut self.sound else { return };
        if time + playing.unit.half() < playing.next() {
            self.dropped.sounds += 1;
            return;
        }
        playing.is_silent = false;
        let segment = self.grid.segment();
        if !std::mem::replace(&mut playing.has_begun, true) {
            playing.next = Steps { base: time, count: 0 };
        } else if time.saturating_since(playing.next()) > segment * MAX_EMPTY {
            playing.next = Steps { base: time, count: 0 };
            self.dropped.holes += 1;
        }
        // A gap of half a unit or more is one that was not sent.
        self.silence_until(time);
        let Sound::Playing(playing) = &mut self.sound else { return };
        playing.next = Steps { base: time, count: 1 };
        self.emit_sound(time, Some(payload));
    }

    /// Silence while half a unit or more is missing.
    fn silence_until(&mut self, until: MediaTime) {
        while let Sound::Playing(playing) = &mut self.sound {
            let time = playing.next();
            if !playing.has_begun || time + playing.unit.half() > until {
                return;
            }
            playing.next.count += 1;
            self.emit_sound(time, None);
        }
    }

    /// The pictures are far ahead: silence stands in, and nobody waits, until sound comes again.
    fn fill_silent_sound(&mut self, picture: MediaTime) {
        let Sound::Playing(playing) = &mut self.sound else { return };
        if picture > playing.next() + MAX_SKEW {
            playing.is_silent = true;
            playing.has_begun = true;
        }
        if picture.saturating_since(playing.next()) > self.grid.segment() * MAX_EMPTY {
            playing.next = Steps { base: self.grid.floor(picture), count: 0 };
            self.dropped.holes += 1;
        }
        if playing.is_silent {
            self.silence_until(picture);
        }
    }

    fn emit_sound(&mut self, time: MediaTime, payload: Option<Bytes>) {
        let Sound::Playing(playing) = &mut self.sound else { return };
        let sequence = self.grid.sequence_at(time).max(playing.sequence);
        let (before, start) = (playing.sequence, playing.start);
        let leads = matches!(self.pictures, Pictures::Absent);
        if sequence > before {
            playing.sequence = sequence;
            playing.start = time;
            if leads {
                // A segment without any sound has no place to be cut at; the one before it is closed on the grid.
                let end = if sequence == before.next() { time } else { self.grid.end_of(before) };
                let duration = Some(end.saturating_since(start));
                self.emit(Cut::End { sequence: before, track: Track::Audio, duration });
                self.emit(Cut::Begin { sequence, start: time, opening: Opening::Picture });
            } else {
                for number in (before.0..sequence.0).take(MAX_EMPTY as usize) {
                    self.emit(Cut::End {
                        sequence: MediaSequence(number),
                        track: Track::Audio,
                        duration: None,
                    });
                }
            }
        }
        self.emit(Cut::Sound { sequence, time, payload });
    }
}

impl Playing {
    fn next(&self) -> MediaTime {
        self.next.base + self.unit.span(self.next.count)
    }
}

#[cfg(test)]
mod tests;
