//! Stories of publishers, each told in milliseconds of its own clock and read back in milliseconds of the run.

use super::*;
use bytes::Bytes;

/// A wall clock that stands 700 ms past a grid point when the story begins.
const WALL: MediaTime = MediaTime::from_unix_millis(1_700_000_000_700);
const START: MediaTime = MediaTime::from_unix_millis(1_700_000_000_000);

struct Story {
    timeline: Timeline,
    began: Instant,
    at_ms: u64,
}

impl Story {
    fn new() -> Self {
        let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
        let targets = Targets { grid, grace: Duration::from_secs(30) };
        Self {
            timeline: Timeline::new(targets, MediaTime::default()),
            began: Instant::now_for_tests(),
            at_ms: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.began + Duration::from_millis(self.at_ms),
            wall: WALL + MediaSpan::from_millis(self.at_ms),
        }
    }

    fn say(&mut self, input: Input) {
        let now = self.now();
        self.timeline.push(input, now);
    }

    fn arrive(&mut self) {
        self.say(Input::Arrived);
        self.say(Input::VideoConfig(video_config(0x0c)));
        self.say(Input::AudioConfig(audio_config()));
    }

    /// A picture every 40 ms from `from_ms` on, a sync unit every 25; and sound beside it.
    fn publish(&mut self, from_ms: i64, pictures: i64) {
        let mut sounds = (0..).map(|n| from_ms + n * 64 / 3).peekable();
        for n in 0..pictures {
            let decode_ms = from_ms + n * 40;
            self.say(Input::Unit(picture(decode_ms, n % 25 == 0)));
            while let Some(sound_ms) = sounds.next_if(|sound_ms| *sound_ms < decode_ms + 40) {
                self.say(Input::Unit(sound(sound_ms)));
            }
            self.at_ms += 40;
        }
    }

    fn wait(&mut self, ms: u64) {
        let until = self.at_ms + ms;
        while let Some(deadline) = self.timeline.deadline() {
            let at = deadline.saturating_duration_since(self.began).as_millis() as u64;
            if at > until {
                break;
            }
            self.at_ms = self.at_ms.max(at);
            let now = self.now();
            self.timeline.tick(now);
        }
        self.at_ms = until;
    }

    fn placed(&mut self) -> Vec<Placed> {
        std::iter::from_fn(|| self.timeline.pull()).collect()
    }
}

trait NowForTests {
    fn now_for_tests() -> Self;
}

impl NowForTests for Instant {
    #[allow(
        clippy::disallowed_methods,
        reason = "a story must begin somewhere; only differences are looked at"
    )]
    fn now_for_tests() -> Self {
        Self::now()
    }
}

fn video_config(level: u8) -> VideoConfig {
    let mut record = vec![1, 0x64, 0, level, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, level, 0xac];
    record.extend([1, 0, 4, 0x68, 0xee, 0x3c, 0x80]);
    VideoConfig::parse(record.into()).unwrap()
}

fn audio_config() -> AudioConfig {
    AudioConfig::parse(Bytes::from_static(&[0x11, 0x90])).unwrap()
}

fn picture(decode_ms: i64, is_sync: bool) -> SourceUnit {
    let payload = Bytes::from_static(b"picture");
    SourceUnit { track: Track::Video, decode_ms, composition_ms: 0, duration_ms: 40, is_sync, payload }
}

fn sound(decode_ms: i64) -> SourceUnit {
    let payload = Bytes::from_static(b"sound");
    SourceUnit { track: Track::Audio, decode_ms, composition_ms: 0, duration_ms: 21, is_sync: true, payload }
}

fn times(placed: &[Placed], track: Track) -> Vec<u64> {
    let units = placed.iter().filter_map(|placed| match placed {
        Placed::Unit(unit) if unit.track == track => Some(unit),
        _ => None,
    });
    units.map(|unit| unit.presentation_time.since(START).unwrap().as_millis()).collect()
}

fn fills(placed: &[Placed]) -> Vec<u64> {
    let fills = placed.iter().filter_map(|placed| match placed {
        Placed::Fill { until } => Some(until.since(START).unwrap().as_millis()),
        _ => None,
    });
    fills.collect()
}

#[test]
fn a_run_begins_with_its_first_sync_unit_on_a_grid_point() {
    let mut story = Story::new();
    story.arrive();
    story.say(Input::Unit(picture(0, false)));
    story.say(Input::Unit(sound(10)));
    story.say(Input::Unit(picture(40, true)));
    let placed = story.placed();
    let Placed::Begin { first, video, audio, .. } = &placed[0] else { panic!("{placed:?}") };
    assert_eq!(first.0, START.ticks() / 180_000);
    assert!(video.is_some() && audio.is_some());
    assert_eq!(times(&placed, Track::Video), [0], "700 ms earlier than the wall, on the grid");
    assert_eq!(story.timeline.dropped_units(), 2);
}

#[test]
fn a_reconnect_within_the_grace_is_the_same_run_with_filler_up_to_a_grid_point() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 75); // 3 s
    story.placed();
    story.say(Input::Left);
    story.wait(5000);
    story.arrive();
    story.say(Input::Unit(sound(0)));
    story.publish(100, 25);
    let placed = story.placed();
    assert!(
        !placed
            .iter()
            .any(|p| matches!(p, Placed::Begin { .. } | Placed::End | Placed::Discontinuity { .. }))
    );
    assert_eq!(times(&placed, Track::Video)[..2], [10_000, 10_040], "first grid point past 3 s + 5 s");
    let fills = fills(&placed);
    assert!(fills.len() >= 25 && fills.windows(2).all(|pair| pair[1] - pair[0] <= 2000));
    assert_eq!(fills.last(), Some(&10_000));
    assert!(times(&placed, Track::Audio)[0] >= 10_000, "no sound under the filler");
}

#[test]
fn numbers_never_stop_while_a_publisher_is_away() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 25);
    story.placed();
    story.say(Input::Left);
    story.wait(20_000);
    let fills = fills(&story.placed());
    let last = *fills.last().unwrap();
    // 21 s on the clock, and the last units reach 43 ms past the moment they came.
    assert!((20_800..=21_043).contains(&last), "filler follows the clock: {last}");
}

#[test]
fn after_the_grace_the_run_ends_and_a_later_one_is_never_before_it() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 25);
    story.say(Input::Left);
    story.wait(31_000);
    let placed = story.placed();
    assert_eq!(placed.last(), Some(&Placed::End));
    let end = story.timeline.end();
    // The wall clock was set back by a minute meanwhile: the grid is not left.
    story.timeline.push(Input::Arrived, story.now());
    story.say(Input::VideoConfig(video_config(0x0c)));
    let now = Now { wall: WALL.saturating_sub(MediaSpan::from_secs(60)), ..story.now() };
    story.timeline.push(Input::Unit(picture(0, true)), now);
    let placed = story.placed();
    let Placed::Unit(unit) = placed.last().unwrap() else { panic!("{placed:?}") };
    assert!(unit.presentation_time >= end);
}

#[test]
fn other_pictures_after_a_reconnect_are_a_discontinuity_at_the_segment_they_begin() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 25);
    story.say(Input::Left);
    story.wait(500);
    story.placed();
    story.say(Input::Arrived);
    story.say(Input::VideoConfig(video_config(0x1f)));
    story.say(Input::AudioConfig(audio_config()));
    story.say(Input::Unit(picture(0, true)));
    let placed = story.placed();
    let from = placed.iter().find_map(|p| match p {
        Placed::Discontinuity { from } => Some(*from),
        _ => None,
    });
    assert_eq!(from.map(|s| s.0), Some(START.ticks() / 180_000 + 1));
    assert_eq!(times(&placed, Track::Video), [2000]);
}

#[test]
fn a_clock_that_jumps_ten_seconds_leaves_no_hole() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 50);
    story.publish(12_000, 50);
    let times = times(&story.placed(), Track::Video);
    assert_eq!(times.len(), 100);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 40), "{times:?}");
}

#[test]
fn a_small_hole_is_kept_and_its_sound_is_silence() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 25);
    story.publish(2000, 25);
    let placed = story.placed();
    let pictures = times(&placed, Track::Video);
    assert_eq!(pictures[24..26], [960, 2000]);
    let sounds = times(&placed, Track::Audio);
    assert!(sounds.windows(2).all(|pair| pair[1] - pair[0] <= 22), "{sounds:?}");
}

#[test]
fn a_track_that_leaves_five_seconds_out_stays_in_step_with_the_other() {
    let mut story = Story::new();
    story.arrive();
    story.publish(0, 25);
    story.placed();
    // An encoder whose network is slow leaves pictures out up to a sync unit, and no sound.
    for n in 47..282 {
        story.say(Input::Unit(sound(n * 64 / 3)));
    }
    story.say(Input::Unit(picture(6000, true)));
    assert_eq!(times(&story.placed(), Track::Video), [6000]);
    // Somebody mutes his sound by sending none.
    for n in 151..300 {
        story.say(Input::Unit(picture(n * 40, false)));
    }
    story.say(Input::Unit(sound(12_000)));
    let heard = times(&story.placed(), Track::Audio);
    assert_eq!(heard.len(), 1, "what is missing is filled further down");
    assert!(heard[0].abs_diff(12_000) <= 22, "{heard:?}");
}

#[test]
fn late_sound_keeps_its_skew() {
    let mut story = Story::new();
    story.arrive();
    for n in 0..25 {
        story.say(Input::Unit(picture(n * 40, n == 0)));
        story.say(Input::Unit(sound(n * 40 + 500)));
    }
    assert_eq!(times(&story.placed(), Track::Audio)[0], 500);
}

#[test]
fn pictures_alone_play_and_sound_alone_plays_after_a_while() {
    let mut story = Story::new();
    story.say(Input::Arrived);
    story.say(Input::VideoConfig(video_config(0x0c)));
    story.say(Input::Unit(picture(0, true)));
    assert!(matches!(&story.placed()[0], Placed::Begin { video: Some(_), audio: None, .. }));

    let mut story = Story::new();
    story.say(Input::Arrived);
    story.say(Input::AudioConfig(audio_config()));
    for n in 0..100 {
        story.say(Input::Unit(sound(n * 21)));
    }
    let placed = story.placed();
    assert!(matches!(&placed[0], Placed::Begin { video: None, audio: Some(_), .. }));
    assert!(times(&placed, Track::Audio).len() > 20);
}

#[test]
fn a_track_that_comes_later_makes_another_run_on_the_same_grid() {
    let mut story = Story::new();
    story.say(Input::Arrived);
    story.say(Input::VideoConfig(video_config(0x0c)));
    for n in 0..20 {
        story.say(Input::Unit(picture(n * 40, n % 30 == 0)));
    }
    story.say(Input::AudioConfig(audio_config()));
    for n in 20..60 {
        story.say(Input::Unit(picture(n * 40, n % 30 == 0)));
        story.say(Input::Unit(sound(n * 40)));
    }
    let placed = story.placed();
    let begins: Vec<_> = placed.iter().filter(|p| matches!(p, Placed::Begin { .. })).collect();
    assert_eq!(begins.len(), 2);
    assert!(matches!(begins[1], Placed::Begin { video: Some(_), audio: Some(_), .. }));
    assert_eq!(fills(&placed), [2000], "the first run's segment is made whole");
    assert_eq!(times(&placed, Track::Audio)[0], 2000);
}

#[test]
fn a_picture_is_never_decoded_before_the_one_before_it() {
    let mut story = Story::new();
    story.arrive();
    for decode_ms in [0, 40, 80, 60, 100, 20, 9_000, 40, 80] {
        story.say(Input::Unit(picture(decode_ms, true)));
    }
    let placed = story.placed();
    let decoded: Vec<_> = placed
        .iter()
        .filter_map(|p| if let Placed::Unit(unit) = p { Some(unit.decode_time) } else { None })
        .collect();
    assert!(decoded.windows(2).all(|pair| pair[0] < pair[1]), "{decoded:?}");
}

#[test]
fn b_pictures_are_shown_when_they_say() {
    let mut story = Story::new();
    story.arrive();
    let mut first = picture(0, true);
    first.composition_ms = 80;
    let mut second = picture(40, false);
    second.composition_ms = 167;
    let mut third = picture(80, false);
    third.composition_ms = -5;
    for unit in [first, second, third] {
        story.say(Input::Unit(unit));
    }
    assert_eq!(times(&story.placed(), Track::Video), [0, 127, 0], "never before it is decoded");
}

proptest::proptest! {
    /// Whatever a publisher's clock does, media time only goes forward, and no hole is longer than a jump.
    #[test]
    fn media_time_goes_forward(steps in proptest::collection::vec((proptest::bool::ANY, -20_000_i64..20_000, 0_u64..300), 1..200)) {
        let mut story = Story::new();
        story.arrive();
        story.say(Input::Unit(picture(0, true)));
        let mut clock = 0_i64;
        for (jumps, jump, wait) in steps {
            clock += if jumps { jump } else { 40 };
            story.say(Input::Unit(picture(clock, true)));
            story.say(Input::Unit(sound(clock)));
            story.wait(wait);
        }
        let placed = story.placed();
        let mut pictures = placed.iter().filter_map(|p| match p {
            Placed::Unit(unit) if unit.track == Track::Video => Some(unit.decode_time),
            _ => None,
        });
        let mut last = pictures.next().unwrap();
        for time in pictures {
            proptest::prop_assert!(time > last);
            proptest::prop_assert!(time.since(last).unwrap() <= JUMP + MediaSpan::from_millis(40));
            last = time;
        }
        let mut heard = MediaTime::default();
        for p in &placed {
            if let Placed::Unit(unit) = p && unit.track == Track::Audio {
                proptest::prop_assert!(unit.decode_time >= heard);
                heard = unit.decode_time + unit.duration;
            }
        }
    }
}

/// Seed 1447 of the lab: an ingest is started again, and its clock is an hour behind what it was.
#[test]
fn a_run_has_a_greater_number_than_the_one_before_though_the_clock_was_set_back() {
    let mut story = Story::new();
    let left = START + MediaSpan::from_secs(3600);
    story.timeline = Timeline::new(story.timeline.targets, left);
    story.arrive();
    story.publish(0, 50);
    let begun = story.placed().into_iter().find_map(|placed| match placed {
        Placed::Begin { run, first, .. } => Some((run, first)),
        _ => None,
    });
    let (run, first) = begun.unwrap();
    assert!(run.0 >= left.unix_millis(), "{run}: edges would take it for one that is over");
    assert_eq!(first.0, left.unix_millis() / 2000);
}
