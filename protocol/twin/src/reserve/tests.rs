//! Stories of an own feed: a leader that stops anywhere, and what comes after it.

use super::*;
use bytes::Bytes;
use media::{Grid, RunId};
use timeline::{Now, Placed, Targets, Timeline};

const WALL: MediaTime = MediaTime::from_unix_millis(1_700_000_000_000);

fn video_config() -> VideoConfig {
    let mut record = vec![1, 0x64, 0, 0x0c, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x0c, 0xac];
    record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    VideoConfig::parse(record.into()).unwrap()
}

fn audio_config() -> AudioConfig {
    AudioConfig::parse(Bytes::from_static(&[0x12, 0x10])).unwrap()
}

/// What one encoder sends from `from_ms` of its time on, its clock shifted: pictures each 40 ms, a sync unit each second,
/// and sound of 44.1 kHz beside them, rounded to milliseconds. `mark` tells one encoder's bytes from another's.
fn feed(mark: u8, shift_ms: i64, from_ms: i64, until_ms: i64) -> Vec<Input> {
    let mut units = Vec::new();
    for n in 0..until_ms / 40 {
        let sync = n % 25 == 0;
        units.push((n * 40, Track::Video, sync, 40));
    }
    for n in 0..until_ms * 441 / 10_240 {
        units.push((n * 10_240 / 441, Track::Audio, true, 23));
    }
    units.sort_by_key(|(ms, ..)| *ms);
    let units =
        units.into_iter().filter(|(ms, ..)| *ms >= from_ms).map(|(ms, track, is_sync, duration_ms)| {
            Input::Unit(SourceUnit {
                track,
                decode_ms: ms + shift_ms,
                composition_ms: 0,
                duration_ms,
                is_sync,
                payload: format!("{mark} {track:?} {ms}").into_bytes().into(),
            })
        });
    [Input::VideoConfig(video_config()), Input::AudioConfig(audio_config())]
        .into_iter()
        .chain(units)
        .collect()
}

/// The same as another connection of that encoder carries it, whose times were rounded for themselves: each a millisecond
/// earlier or later, or not.
fn rounded_otherwise(feed: Vec<Input>, seed: u64) -> Vec<Input> {
    let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let rounded = feed.into_iter().map(|input| match input {
        Input::Unit(unit) => {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            Input::Unit(SourceUnit { decode_ms: unit.decode_ms + (chance % 3) as i64 - 1, ..unit })
        }
        input => input,
    });
    rounded.collect()
}

struct Story {
    began: Instant,
    timeline: Timeline,
    standing: Option<Standing>,
    reserve: Reserve,
}

fn targets() -> Targets {
    Targets { grid: Grid::new(MediaSpan::from_secs(2)).unwrap(), grace: Duration::from_secs(30) }
}

impl Story {
    fn new() -> Self {
        let began = crate::epoch();
        let mut reserve = Reserve::default();
        reserve.push(Input::Arrived, began);
        Self { began, timeline: Timeline::new(targets(), MediaTime::default()), standing: None, reserve }
    }

    fn now(&self, ms: u64) -> Now {
        Now { instant: self.began + Duration::from_millis(ms), wall: WALL + MediaSpan::from_millis(ms) }
    }

    /// What has its place by now; the follower hears of it.
    fn placed(&mut self, follower_hears: bool) -> Vec<AccessUnit> {
        let mut units = Vec::new();
        while let Some(placed) = self.timeline.pull() {
            match placed {
                Placed::Begin { run, first, video, audio } => {
                    let start = targets().grid.start_of(first);
                    self.standing.get_or_insert_with(|| Standing::begin(run, start, video, audio));
                }
                Placed::Unit(unit) => {
                    if let Some(standing) = &mut self.standing
                        && follower_hears
                    {
                        standing.unit(&unit);
                        self.reserve.led(&unit);
                    }
                    units.push(unit);
                }
                _ => {}
            }
        }
        units
    }
}

/// All of it placed by one leader that nobody killed.
fn undisturbed(until_ms: i64) -> Vec<AccessUnit> {
    let mut story = Story::new();
    story.timeline.push(Input::Arrived, story.now(0));
    for input in feed(1, 0, 0, until_ms) {
        let now = story.now(0);
        story.timeline.push(input, now);
    }
    by_time(story.placed(false))
}

fn by_time(mut units: Vec<AccessUnit>) -> Vec<AccessUnit> {
    units.sort_by_key(|unit| (unit.track, unit.decode_time));
    units
}

/// The leader places the first `leads` inputs; the own feed is `lag_ms` behind it (or before it), with a clock that is
/// shifted; then the leader is lost.
fn succession(leads: usize, lag_ms: i64, shift_ms: i64) -> (Vec<AccessUnit>, bool) {
    succession_of(leads, lag_ms, shift_ms, feed(1, shift_ms, 0, 12_000))
}

fn succession_of(leads: usize, lag_ms: i64, shift_ms: i64, own: Vec<Input>) -> (Vec<AccessUnit>, bool) {
    let until = 12_000;
    let led = feed(1, 0, 0, until);
    let mut story = Story::new();
    story.timeline.push(Input::Arrived, story.now(0));
    let time = |input: &Input, shift: i64| decode_ms(input).map_or(0, |ms| ms - shift);
    let lost_at = led.get(leads).map_or(until, |input| time(input, 0));
    let (mut all, mut next_own) = (Vec::new(), 0);
    for input in &led[..leads] {
        while next_own < own.len() && time(&own[next_own], shift_ms) + lag_ms <= time(input, 0) {
            story.reserve.push(own[next_own].clone(), story.began);
            next_own += 1;
        }
        let now = story.now(0);
        story.timeline.push(input.clone(), now);
        all.extend(story.placed(true));
    }
    let standing = story.standing.clone().expect("a run has begun");
    let is_aligned = story.reserve.is_aligned();
    let now = story.now(lost_at.unsigned_abs());
    let succession = story.reserve.succeed(&standing, now.instant, now.instant);
    story.timeline = Timeline::resume(targets(), &standing, succession.publisher, now);
    let mut splice = succession.splice;
    for input in succession.inputs.into_iter().chain(own[next_own..].iter().cloned()) {
        if let Input::Unit(unit) = &input
            && let Some(splice) = &mut splice
            && !splice.admits(unit)
        {
            continue;
        }
        story.timeline.push(input, now);
        while let Some(placed) = story.timeline.pull() {
            match placed {
                Placed::Unit(unit) => all.push(unit),
                Placed::Fill { .. } | Placed::Discontinuity { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    (by_time(all), is_aligned)
}

#[test]
fn two_feeds_of_one_encoder_are_spliced_without_a_seam_wherever_the_leader_stops() {
    let expected = undisturbed(12_000);
    for leads in (150..700).step_by(7) {
        for (lag_ms, shift_ms) in [(0, 0), (300, 12_345), (-400, -3), (2100, 77_000), (-2100, 1)] {
            let (spliced, is_aligned) = succession(leads, lag_ms, shift_ms);
            assert!(is_aligned, "after {leads} inputs, {lag_ms} ms apart");
            let seam = spliced.iter().zip(&expected).position(|(ours, theirs)| {
                // A grid of 44.1 kHz that begins anew may round another way, by a tick.
                ours.payload != theirs.payload
                    || ours.decode_time.distance(theirs.decode_time) > MediaSpan::from_ticks(1)
            });
            let differs = seam.map(|at| (&spliced[at], &expected[at]));
            assert!(
                differs.is_none() && spliced.len() == expected.len(),
                "leader lost after {leads} inputs, feeds {lag_ms} ms apart: {} of {} units, {differs:?}",
                spliced.len(),
                expected.len()
            );
        }
    }
}

#[test]
fn feeds_whose_times_are_rounded_otherwise_are_one_feed_all_the_same() {
    // Both readings of the clock may be a millisecond off, and so may the unit.
    let near = MediaSpan::from_millis(2);
    let expected = undisturbed(12_000);
    for (nth, leads) in (150..700).step_by(3).enumerate() {
        for (lag_ms, shift_ms) in [(0, 0), (300, 12_345), (-400, -3), (2100, 77_000)] {
            let own = rounded_otherwise(feed(1, shift_ms, 0, 12_000), nth as u64 + 1);
            let (spliced, is_aligned) = succession_of(leads, lag_ms, shift_ms, own);
            let place = format!("leader lost after {leads} inputs, feeds {lag_ms} ms apart");
            assert!(is_aligned, "{place}");
            assert_eq!(spliced.len(), expected.len(), "{place}: nothing twice, nothing left out");
            for (ours, theirs) in spliced.iter().zip(&expected) {
                assert_eq!(ours.payload, theirs.payload, "{place}");
                let off = ours.decode_time.distance(theirs.decode_time);
                assert!(off <= near, "{place}: {off} from where it would have been, {ours:?}");
            }
            let goes_on = |pair: &[AccessUnit]| {
                pair[0].track != pair[1].track || pair[0].decode_time < pair[1].decode_time
            };
            assert!(spliced.windows(2).all(goes_on), "{place}: time goes on");
        }
    }
}

#[test]
fn another_encoder_is_a_standby_and_a_discontinuity() {
    let mut story = Story::new();
    story.timeline.push(Input::Arrived, story.now(0));
    for input in feed(1, 0, 0, 8000) {
        let now = story.now(0);
        story.timeline.push(input, now);
    }
    story.placed(true);
    for input in feed(2, 500, 0, 8000) {
        story.reserve.push(input, story.began);
    }
    assert!(story.reserve.held_since.is_some());
    assert!(story.reserve.is_there() && !story.reserve.is_aligned());
    let now = story.now(8000);
    let standing = story.standing.clone().unwrap();
    let succession = story.reserve.succeed(&standing, now.instant, now.instant);
    assert!(matches!(succession.publisher, Resumed::Absent { is_other: true, .. }));
    story.timeline = Timeline::resume(targets(), &standing, succession.publisher, now);
    succession.inputs.into_iter().for_each(|input| story.timeline.push(input, now));
    let placed: Vec<_> = std::iter::from_fn(|| story.timeline.pull()).collect();
    let discontinuity = placed.iter().position(|placed| matches!(placed, Placed::Discontinuity { .. }));
    let first = placed.iter().position(|placed| matches!(placed, Placed::Unit(_)));
    assert!(discontinuity.unwrap() < first.unwrap());
    let Placed::Unit(unit) = &placed[first.unwrap()] else { unreachable!() };
    assert!(
        unit.is_sync && unit.decode_time >= standing.end,
        "it begins with a sync unit, after all that was placed"
    );
    assert_eq!(targets().grid.ceil(unit.decode_time), unit.decode_time, "on the grid");
}

#[test]
fn a_feed_that_comes_after_the_leader_was_lost_is_a_reconnect_and_no_discontinuity() {
    let mut reserve = Reserve::default();
    let standing = Standing::begin(RunId(1), WALL, Some(video_config()), Some(audio_config()));
    let now = crate::epoch();
    let succession = reserve.succeed(&standing, now, now);
    assert_eq!(succession.publisher, Resumed::Absent { heard: now, is_other: false });
    assert!(succession.inputs.is_empty());
}

#[test]
fn what_is_held_is_bounded_in_bytes_and_in_time() {
    let now = crate::epoch();
    let mut reserve = Reserve::default();
    reserve.push(Input::Arrived, now);
    feed(1, 0, 0, 60_000).into_iter().for_each(|input| reserve.push(input, now));
    let held = reserve.held.iter().filter_map(decode_ms);
    assert!(held.clone().max().unwrap() - held.min().unwrap() <= 10_000);
    assert!(reserve.front_video.is_some(), "how the oldest is coded is known");
    for n in 0..100 {
        let Some(Input::Unit(unit)) = feed(1, 0, 0, 100).into_iter().nth(2) else { panic!("a unit") };
        let unit = SourceUnit { decode_ms: n, payload: vec![0; 1 << 20].into(), ..unit };
        reserve.push(Input::Unit(unit), now);
        assert!(reserve.bytes() <= RESERVE_BYTES);
    }
}
