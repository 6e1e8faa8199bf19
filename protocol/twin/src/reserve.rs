//! A publisher's feed that is not needed while the twin leads: held, and laid on the leader's timeline.
//!
//! Two feeds of one encoder carry the same bytes. Where a sync unit of ours has the payload of one the leader has
//! placed, our publisher's clock is known on the epoch; from there on our feed can go on exactly where the leader
//! stopped, unit for unit. Sound is matched too, because it is snapped to a grid that only the leader's history knows.
//!
//! Lives here: that match, what is held and for how long, and what a new leader begins with. Does not live here: who
//! leads (`seat`), or where a unit is placed (`timeline`).

use flv::SourceUnit;
use media::{AccessUnit, AudioConfig, MediaSpan, MediaTime, Track, VideoConfig};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timeline::{Input, Resumed, Standing};

/// Bytes of an own feed that are held: 10 s at 25 Mbit/s. At the bound the oldest units go.
pub const RESERVE_BYTES: usize = 32 << 20;
/// How much of it is held: over what two feeds are apart, and what it takes to notice that a leader is lost.
pub const RESERVE_SPAN: Duration = Duration::from_secs(10);
/// A feed whose sync units match none of the leader's for so long is another encoder's: a standby.
pub const STANDBY_AFTER: Duration = Duration::from_secs(5);

/// Sync units remembered by hash, of each side.
const SYNCS: usize = 32;
/// Units of sound remembered by hash, of each side: 2.7 s at 48 kHz.
const SOUNDS: usize = 128;
/// Sync units of the leader in a row that match none of ours before the feeds are not the same any more.
const MISSES: u32 = 5;
/// Milliseconds round: two places nearer than this are one.
const SAME: MediaSpan = MediaSpan::from_millis(3);
/// How far sound may be from where the pictures' clock would put it, and be the same: the snap, and rounding.
const NEAR: MediaSpan = MediaSpan::from_millis(120);

/// One reading of a publisher's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    source_ms: i64,
    place: MediaTime,
}

impl Base {
    fn at(self, source_ms: i64) -> MediaTime {
        let later = source_ms.saturating_sub(self.source_ms);
        let span = MediaSpan::from_millis(later.unsigned_abs());
        if later >= 0 { self.place + span } else { self.place.saturating_sub(span) }
    }
}

/// What a new leader goes on with.
#[derive(Debug)]
pub struct Succession {
    /// For [`timeline::Timeline::resume`].
    pub publisher: Resumed,
    /// What the own publisher has said, in order; through `splice`, if there is one.
    pub inputs: Vec<Input>,
    /// Leaves out what the old leader has placed already, of these and of what is still to come.
    pub splice: Option<Splice>,
}

/// Where an own feed goes on for another one.
#[derive(Clone, Copy, Debug)]
pub struct Splice {
    video: Option<(Base, MediaTime)>,
    audio: Option<(Base, MediaTime)>,
}

impl Splice {
    /// Whether this unit is one that has not been placed yet. Once one was not, the track is through.
    pub fn admits(&mut self, unit: &SourceUnit) -> bool {
        match unit.track {
            Track::Video => {
                let is_new = self.video.is_none_or(|(base, last)| base.at(unit.decode_ms) > last + SAME);
                if is_new {
                    self.video = None;
                }
                is_new
            }
            Track::Audio => {
                let half = MediaSpan::from_millis(u64::from(unit.duration_ms) / 2);
                let is_new = self.audio.is_none_or(|(base, end)| base.at(unit.decode_ms) + half >= end);
                if is_new {
                    self.audio = None;
                }
                is_new
            }
        }
    }

    /// Both tracks are through.
    pub fn is_over(&self) -> bool {
        self.video.is_none() && self.audio.is_none()
    }
}

/// An own feed. See the module.
#[derive(Debug, Default)]
pub struct Reserve {
    /// Since when a publisher is there, and since when its units are held beside the leader's.
    since: Option<Instant>,
    held_since: Option<Instant>,
    /// What its newest units are coded like, and its oldest held.
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    front_video: Option<VideoConfig>,
    front_audio: Option<AudioConfig>,
    held: VecDeque<Input>,
    bytes: usize,
    own_syncs: VecDeque<(u64, i64)>,
    led_syncs: VecDeque<(u64, MediaTime)>,
    own_sounds: VecDeque<(u64, i64)>,
    led_sounds: VecDeque<(u64, MediaTime)>,
    base: Option<Base>,
    sound_base: Option<Base>,
    has_ever_matched: bool,
    misses: u32,
    newest_picture: Option<i64>,
}

impl Reserve {
    /// What the own publisher says while somebody else leads. Configurations are to be said while we lead, too.
    pub fn push(&mut self, input: Input, now: Instant) {
        match input {
            Input::Arrived => *self = Self { since: Some(now), ..Self::default() },
            Input::Left | Input::Over => *self = Self::default(),
            Input::VideoConfig(config) => {
                self.video = Some(config.clone());
                self.hold(Input::VideoConfig(config));
            }
            Input::AudioConfig(config) => {
                self.audio = Some(config.clone());
                self.hold(Input::AudioConfig(config));
            }
            Input::Unit(unit) => {
                self.held_since.get_or_insert(now);
                self.match_own(&unit);
                self.hold(Input::Unit(unit));
            }
        }
    }

    /// We lead: nothing is held, only how the publisher's units are coded is remembered.
    pub fn leads(&mut self, input: &Input, now: Instant) {
        match input {
            Input::Unit(_) => {}
            input => self.push(input.clone(), now),
        }
        self.let_go();
    }

    /// Nothing is held any more.
    pub fn let_go(&mut self) {
        let Self { since, video, audio, .. } = std::mem::take(self);
        *self = Self {
            since,
            front_video: video.clone(),
            front_audio: audio.clone(),
            video,
            audio,
            ..Self::default()
        };
    }

    /// We led until now, and the new leader has the same feed: our clock is where we had it.
    pub fn lies(&mut self, source_ms: i64, place: MediaTime) {
        self.base = Some(Base { source_ms, place });
        self.has_ever_matched = true;
    }

    /// A unit the leader has placed.
    pub fn led(&mut self, unit: &AccessUnit) {
        if self.since.is_none() {
            return;
        }
        match unit.track {
            Track::Video if unit.is_sync => {
                let hash = hash(&unit.payload);
                match self.own_syncs.iter().find(|(own, _)| *own == hash) {
                    Some(&(_, source_ms)) => self.matched(Base { source_ms, place: unit.decode_time }),
                    None => {
                        remember(&mut self.led_syncs, (hash, unit.decode_time), SYNCS);
                        self.misses += 1;
                        if self.misses >= MISSES {
                            (self.base, self.sound_base) = (None, None);
                        }
                    }
                }
            }
            Track::Video => {}
            Track::Audio => {
                let hash = hash(&unit.payload);
                let place = unit.decode_time;
                let own = self.own_sounds.iter().filter(|(own, _)| *own == hash);
                let own = own.map(|&(_, source_ms)| Base { source_ms, place });
                if let Some(base) = self.nearest(own.collect()) {
                    self.matched_sound(base);
                } else {
                    remember(&mut self.led_sounds, (hash, place), SOUNDS);
                }
            }
        }
    }

    /// A publisher is there.
    pub fn is_there(&self) -> bool {
        self.since.is_some()
    }

    /// Its units are the leader's.
    pub fn is_aligned(&self) -> bool {
        self.base.is_some()
    }

    /// How far it reaches beyond what the leader has placed.
    pub fn ahead(&self, standing: &Standing) -> MediaSpan {
        match (self.base, self.newest_picture) {
            (Some(base), Some(newest)) => base.at(newest).saturating_since(standing.end),
            _ => MediaSpan::ZERO,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The leader is gone: what there is to go on with. Nothing is held afterwards.
    pub fn succeed(&mut self, standing: &Standing, heard: Instant, now: Instant) -> Succession {
        let succession = match (self.base, self.since) {
            (Some(base), _) => self.go_on(base, standing),
            (None, Some(since)) => {
                let is_other =
                    !self.has_ever_matched && now.saturating_duration_since(since) >= STANDBY_AFTER;
                let publisher = Resumed::Absent { heard, is_other };
                Succession { publisher, inputs: self.take_newest_sync_on(), splice: None }
            }
            (None, None) => {
                let publisher = Resumed::Absent { heard, is_other: false };
                Succession { publisher, inputs: Vec::new(), splice: None }
            }
        };
        self.let_go();
        succession
    }

    /// Nothing was led before: everything that is held, as from a publisher that has just come.
    pub fn begin(&mut self) -> Vec<Input> {
        let configurations = self.front();
        let held: Vec<Input> = self.held.drain(..).collect();
        let inputs = std::iter::once(Input::Arrived).chain(configurations).chain(held);
        let inputs = if self.is_there() { inputs.collect() } else { Vec::new() };
        self.let_go();
        inputs
    }

    fn go_on(&mut self, base: Base, standing: &Standing) -> Succession {
        let sound = self.sound_base.unwrap_or(base);
        let splice = Splice {
            video: standing.last_decode.map(|last| (base, last)),
            audio: standing.audio_end.map(|end| (sound, end)),
        };
        let Base { source_ms, place } = base;
        let configurations = self.front();
        let inputs = configurations.chain(self.held.drain(..)).collect();
        Succession { publisher: Resumed::Aligned { source_ms, place }, inputs, splice: Some(splice) }
    }

    fn take_newest_sync_on(&mut self) -> Vec<Input> {
        let is_sync =
            |input: &Input| matches!(input, Input::Unit(unit) if unit.track == Track::Video && unit.is_sync);
        let newest = self.held.iter().rposition(is_sync).unwrap_or(self.held.len());
        let configurations =
            [self.video.clone().map(Input::VideoConfig), self.audio.clone().map(Input::AudioConfig)];
        let units = self.held.drain(newest..).filter(|input| matches!(input, Input::Unit(_)));
        std::iter::once(Input::Arrived).chain(configurations.into_iter().flatten()).chain(units).collect()
    }

    fn front(&self) -> impl Iterator<Item = Input> + use<> {
        let video = self.front_video.clone().map(Input::VideoConfig);
        [video, self.front_audio.clone().map(Input::AudioConfig)].into_iter().flatten()
    }

    fn match_own(&mut self, unit: &SourceUnit) {
        let (hash, source_ms) = (hash(&unit.payload), unit.decode_ms);
        match unit.track {
            Track::Video => {
                self.newest_picture = Some(source_ms);
                if !unit.is_sync {
                    return;
                }
                remember(&mut self.own_syncs, (hash, source_ms), SYNCS);
                if let Some(&(_, place)) = self.led_syncs.iter().find(|(led, _)| *led == hash) {
                    self.matched(Base { source_ms, place });
                }
            }
            Track::Audio => {
                remember(&mut self.own_sounds, (hash, source_ms), SOUNDS);
                let led = self.led_sounds.iter().filter(|(led, _)| *led == hash);
                let led = led.map(|&(_, place)| Base { source_ms, place });
                if let Some(base) = self.nearest(led.collect()) {
                    self.matched_sound(base);
                }
            }
        }
    }

    fn matched(&mut self, base: Base) {
        self.base = Some(base);
        self.has_ever_matched = true;
        self.misses = 0;
        self.led_syncs.clear();
    }

    fn matched_sound(&mut self, base: Base) {
        self.sound_base = Some(base);
        // Sound alone has no sync units of pictures to be known by.
        if self.video.is_none() {
            self.base = Some(base);
            self.has_ever_matched = true;
        }
    }

    /// Silence has the same bytes everywhere: the one nearest to where the pictures' clock puts it, or the only one.
    fn nearest(&self, candidates: Vec<Base>) -> Option<Base> {
        match self.base {
            Some(of_pictures) => {
                let far = |base: &Base| of_pictures.at(base.source_ms).distance(base.place);
                candidates.into_iter().filter(|base| far(base) <= NEAR).min_by_key(far)
            }
            None if self.video.is_none() && candidates.len() == 1 => candidates.into_iter().next(),
            None => None,
        }
    }

    fn hold(&mut self, input: Input) {
        self.bytes += size(&input);
        let newest = decode_ms(&input);
        self.held.push_back(input);
        let span = i64::try_from(RESERVE_SPAN.as_millis()).unwrap_or(i64::MAX);
        while let Some(first) = self.held.front() {
            // A configuration at the front is remembered beside, and need not be held.
            let is_old = decode_ms(first).is_none_or(|oldest| {
                newest.is_some_and(|newest| !(-span..=span).contains(&newest.saturating_sub(oldest)))
            });
            if !is_old && self.bytes <= RESERVE_BYTES {
                return;
            }
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(input) = self.held.pop_front() else { return };
        self.bytes -= size(&input);
        match input {
            Input::VideoConfig(config) => self.front_video = Some(config),
            Input::AudioConfig(config) => self.front_audio = Some(config),
            _ => {}
        }
    }
}

fn decode_ms(input: &Input) -> Option<i64> {
    match input {
        Input::Unit(unit) => Some(unit.decode_ms),
        _ => None,
    }
}

fn size(input: &Input) -> usize {
    match input {
        Input::Unit(unit) => unit.payload.len() + 96,
        _ => 96,
    }
}

fn remember<T>(list: &mut VecDeque<T>, value: T, at_most: usize) {
    if list.len() == at_most {
        list.pop_front();
    }
    list.push_back(value);
}

/// 64 bits of BLAKE3 tell a few dozen units of one encoder apart.
fn hash(payload: &[u8]) -> u64 {
    let hash = blake3::hash(payload);
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

#[cfg(test)]
mod tests;
