//! Stories of cuts, a letter each.

use super::*;
use proptest::prelude::*;

const SECOND: u64 = 90_000;

fn at(tenths: u64) -> MediaTime {
    MediaTime::from_ticks(tenths * SECOND / 10)
}

fn cutter(from: u64, sound: bool) -> Cutter<u64> {
    let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
    // 10 pictures a second; 10240 samples a second make 10 units a second.
    Cutter::new(grid, MediaSequence(from), Some(FrameRate(10_000)), sound.then_some(10_240))
}

/// One letter each tenth of a second: `(k` begins segment k, `p` a picture, `r` a repeat, `s` sound, `_` silence,
/// `)` ends the pictures and `]` the sound of a segment.
fn story(cutter: &mut Cutter<u64>) -> String {
    let mut text = String::new();
    while let Some(cut) = cutter.pull() {
        text += &match cut {
            Cut::Begin { sequence, .. } => format!("({sequence}"),
            Cut::Picture { is_repeat, .. } => if is_repeat { "r" } else { "p" }.to_owned(),
            Cut::Sound { payload, .. } => if payload.is_some() { "s" } else { "_" }.to_owned(),
            Cut::End { track: Track::Video, duration, .. } => {
                format!("{}) ", duration.map_or(0, |duration| duration.ticks() / 9000))
            }
            Cut::End { track: Track::Audio, .. } => "]".to_owned(),
        };
    }
    text
}

#[test]
fn a_segment_begins_at_the_first_picture_at_or_past_the_boundary() {
    let mut cutter = cutter(0, false);
    for tenth in [15, 18, 21, 24, 36, 40, 41] {
        cutter.push_picture(at(tenth), tenth);
    }
    cutter.finish();
    assert_eq!(story(&mut cutter), "(0pp6) (1ppp19) (2pp2) ");
}

#[test]
fn a_picture_after_a_hole_does_not_speak_for_the_boundary() {
    let mut cutter = cutter(0, false);
    for tenth in [18, 19, 20, 21, 38, 39, 45, 46, 63, 81] {
        cutter.push_picture(at(tenth), tenth);
    }
    cutter.fill(at(105));
    let openings: Vec<_> = std::iter::from_fn(|| cutter.pull())
        .filter_map(|cut| match cut {
            Cut::Begin { opening, .. } => Some(opening),
            _ => None,
        })
        .collect();
    let (next, after_hole) = (Opening::Picture, Opening::PictureAfterHole);
    assert_eq!(openings, [next, next, after_hole, after_hole, after_hole, Opening::Nothing]);
}

#[test]
fn nothing_before_from_comes_out() {
    let mut cutter = cutter(2, true);
    for tenth in 15..42 {
        cutter.push_picture(at(tenth), tenth);
        cutter.push_sound(at(tenth), Bytes::new());
    }
    assert_eq!(story(&mut cutter), "(2psps");
}

#[test]
fn an_empty_segment_repeats_the_last_picture_at_its_beginning() {
    let mut cutter = cutter(0, false);
    for tenth in [19, 63] {
        cutter.push_picture(at(tenth), tenth);
    }
    assert_eq!(story(&mut cutter), "(0p1) (1r20) (2r23) (3p");
}

#[test]
fn a_boundary_without_a_picture_for_half_a_second_repeats_the_last_one() {
    let mut cutter = cutter(0, false);
    // 0.4 s past one boundary, 0.5 s past the next.
    for tenth in [19, 24, 39, 45, 46] {
        cutter.push_picture(at(tenth), tenth);
    }
    let cuts: Vec<_> = std::iter::from_fn(|| cutter.pull()).collect();
    let openings: Vec<_> = cuts
        .iter()
        .filter_map(|cut| match cut {
            Cut::Begin { start, opening, .. } => Some((start.ticks() / 9000, *opening)),
            _ => None,
        })
        .collect();
    // What begins on the boundary is the picture before; what the source had for it is known all the same.
    let (next, after_hole) = (Opening::Picture, Opening::PictureAfterHole);
    assert_eq!(openings, [(19, next), (24, after_hole), (40, after_hole)]);
    let pictures: Vec<_> = cuts
        .iter()
        .filter_map(|cut| match cut {
            Cut::Picture { time, picture, is_repeat, .. } => {
                Some((time.ticks() / 9000, *picture, *is_repeat))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        pictures,
        [(19, 19, false), (24, 24, false), (39, 39, false), (40, 39, true), (45, 45, false), (46, 46, false)]
    );
}

proptest! {
    #[test]
    fn no_segment_is_longer_than_the_target_duration_says(
        pitch_ms in 500u64..=20_000,
        rate in prop_oneof![500u32..5_000, 5_000u32..60_000],
        steps in prop::collection::vec((prop_oneof![1u64..50, 50u64..1500, 1500u64..70_000], any::<bool>()), 1..60),
    ) {
        let grid = Grid::new(MediaSpan::from_millis(pitch_ms)).unwrap();
        let mut cutter = Cutter::new(grid, MediaSequence(0), Some(FrameRate(rate)), Some(48_000));
        let mut time = MediaTime::from_ticks(1_000 * SECOND);
        for (step_ms, is_there) in steps {
            time += MediaSpan::from_millis(step_ms);
            match is_there {
                true => cutter.push_picture(time, 0),
                false => cutter.fill(time),
            }
            cutter.push_sound(time, Bytes::new());
        }
        cutter.finish();
        let (mut open, target) = (None, grid.segment().rounded_secs().max(1));
        while let Some(cut) = cutter.pull() {
            match cut {
                Cut::Begin { sequence, start, .. } => open = Some((sequence, start)),
                Cut::Picture { sequence, time, .. } => prop_assert!(open.is_some_and(|it| it.0 == sequence && it.1 <= time)),
                Cut::End { duration: Some(duration), track, .. } => {
                    prop_assert_eq!(track, Track::Video);
                    prop_assert!(duration.rounded_secs() <= target, "{} of {}", duration, grid.segment());
                }
                Cut::End { .. } | Cut::Sound { .. } => {}
            }
        }
    }
}

#[test]
fn sound_goes_by_its_own_times() {
    let mut cutter = cutter(0, true);
    cutter.push_picture(at(18), 0);
    // The sound is 0.4 s ahead of the pictures.
    for tenth in 18..23 {
        cutter.push_sound(at(tenth), Bytes::new());
    }
    cutter.push_picture(at(19), 0);
    cutter.push_picture(at(20), 0);
    assert_eq!(story(&mut cutter), "(0pss]sssp2) (1p");
}

#[test]
fn sound_waits_for_the_first_picture() {
    let mut cutter = cutter(0, true);
    for tenth in 3..9 {
        cutter.push_sound(at(tenth), Bytes::new());
    }
    assert_eq!(story(&mut cutter), "");
    cutter.push_picture(at(7), 0);
    assert_eq!(story(&mut cutter), "(0pss");
}

#[test]
fn a_gap_in_the_sound_is_silence() {
    let mut cutter = cutter(0, true);
    cutter.push_picture(at(1), 0);
    cutter.push_sound(at(1), Bytes::new());
    cutter.push_sound(at(5), Bytes::new());
    assert_eq!(story(&mut cutter), "(0ps___s");
}

#[test]
fn sound_that_stops_holds_nobody_up_and_its_late_rest_is_not_played_twice() {
    let mut cutter = cutter(0, true);
    cutter.push_sound(at(0), Bytes::new());
    for tenth in 0..45 {
        cutter.push_picture(at(tenth), tenth);
    }
    let told = story(&mut cutter);
    assert!(told.contains("]") && told.contains("_"), "{told}");
    let silence = told.matches('_').count();
    cutter.push_sound(at(20), Bytes::new());
    assert_eq!(cutter.dropped().sounds, 1);
    cutter.push_sound(at(44), Bytes::new());
    assert_eq!((story(&mut cutter).as_str(), silence), ("s", 43));
}

#[test]
fn pictures_that_stop_are_repeated_at_the_boundary() {
    let mut cutter = cutter(0, true);
    cutter.push_picture(at(0), 0);
    for tenth in 0..41 {
        cutter.push_sound(at(tenth), Bytes::new());
    }
    assert_eq!(story(&mut cutter), format!("(0p{}]{}20) (1r]s", "s".repeat(20), "s".repeat(20)));
}

#[test]
fn a_gap_is_filled_the_same_in_one_step_or_many() {
    let run = |steps: &[u64]| {
        let mut cutter = cutter(0, true);
        cutter.push_picture(at(3), 0);
        cutter.push_sound(at(3), Bytes::new());
        steps.iter().for_each(|step| cutter.fill(at(*step)));
        cutter.push_picture(at(60), 1);
        cutter.push_sound(at(60), Bytes::new());
        cutter.finish();
        let mut cuts = Vec::new();
        while let Some(cut) = cutter.pull() {
            cuts.push(cut);
        }
        // Tracks may come out in another order against each other, but each in its own.
        let of = |wanted: Track| {
            let is = move |cut: &&Cut<u64>| match cut {
                Cut::Sound { .. } => wanted == Track::Audio,
                Cut::End { track, .. } => *track == wanted,
                Cut::Begin { .. } | Cut::Picture { .. } => wanted == Track::Video,
            };
            cuts.iter().filter(is).cloned().collect::<Vec<_>>()
        };
        (of(Track::Video), of(Track::Audio))
    };
    let whole = run(&[60]);
    assert_eq!(whole, run(&[10, 11, 12, 30, 47, 60]));
    assert_eq!(whole.0.iter().filter(|cut| matches!(cut, Cut::Picture { .. })).count(), 58);
}

#[test]
fn sound_alone_is_cut_at_its_own_units() {
    let grid = Grid::new(MediaSpan::from_secs(2)).unwrap();
    let mut cutter: Cutter<()> = Cutter::new(grid, MediaSequence(0), None, Some(10_240));
    for tenth in 18..22 {
        cutter.push_sound(at(tenth), Bytes::new());
    }
    cutter.finish();
    let mut lengths = Vec::new();
    while let Some(cut) = cutter.pull() {
        if let Cut::End { sequence, duration, .. } = cut {
            lengths.push((sequence.0, duration.map(|duration| duration.ticks() / 9000)));
        }
    }
    assert_eq!(lengths, [(0, Some(2)), (1, Some(2))]);
}

#[test]
fn a_jump_of_years_makes_no_million_segments() {
    let mut cutter = cutter(0, true);
    cutter.push_picture(at(0), 0);
    cutter.push_sound(at(0), Bytes::new());
    cutter.push_picture(at(10_000_000_000), 1);
    let mut count = 0;
    while cutter.pull().is_some() {
        count += 1;
    }
    assert_eq!((cutter.dropped().holes, count < 100), (2, true));
}
