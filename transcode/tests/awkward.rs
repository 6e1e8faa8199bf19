//! What awkward publishers do, and what must come out all the same.

#![allow(clippy::unwrap_used, reason = "what cannot be is a failure of the test")]

mod support;

use ladder::{Order, Shed};
use media::{MediaSpan, MediaTime, Track};
use support::*;

const ENCODED: [&str; 2] = ["180p", "90p"];

fn is_video(unit: &media::AccessUnit) -> bool {
    unit.track == Track::Video
}

#[test]
fn a_varying_frame_rate_keeps_its_times() {
    let source = source(&plain(), 6);
    // No picture is looked at by another of an ultrafast stream but the next: so whole stretches are left out, up to
    // the next sync unit, and the clock jitters by milliseconds as FLV's does.
    let mut rough = source.only(|unit| {
        let tenths = (unit.presentation_time.ticks() - EPOCH) / 9000;
        !is_video(unit) || tenths % 10 < 6
    });
    for unit in rough.units.iter_mut().filter(|unit| is_video(unit)) {
        let millis = unit.presentation_time.ticks().div_ceil(90);
        unit.presentation_time = MediaTime::from_ticks(millis * 90);
        unit.decode_time = unit.presentation_time;
    }
    let made = whole(&rough, 0);
    for rendition in ["source", "180p", "90p"] {
        assert_eq!(made.numbers(rendition), [0, 1, 2], "{rendition}");
        made.assert_seamless(rendition);
        let mut shown = times(&made.joined(rendition), "v");
        shown.sort_unstable();
        let mut sent: Vec<u64> = rough
            .units
            .iter()
            .filter(|unit| is_video(unit))
            .map(|unit| unit.presentation_time.ticks_33_bits())
            .collect();
        sent.sort_unstable();
        assert_eq!(shown, sent, "{rendition}");
    }
}

#[test]
fn a_segment_without_a_picture_repeats_the_last_one() {
    let source = source(&plain(), 8);
    // Nothing from 1 s to 5 s: segment 1 is empty.
    let gap = EPOCH + SECOND..EPOCH + 5 * SECOND;
    let gappy = source.only(|unit| !is_video(unit) || !gap.contains(&unit.presentation_time.ticks()));
    let made = whole(&gappy, 0);
    for rendition in ENCODED {
        assert_eq!(made.numbers(rendition), [0, 1, 2, 3], "{rendition}");
        made.assert_seamless(rendition);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
        let one = &made.of(rendition)[1].1;
        assert_eq!(times(&one.bytes, "v"), [one.start & ((1 << 33) - 1)]);
    }
}

#[test]
fn pictures_left_out_over_a_boundary_make_no_segment_longer_than_the_target_duration() {
    let source = source(&plain(), 8);
    // Nothing from 1.8 s to 3 s: the sync unit at 2 s is left out, the one at 3 s is the next.
    let gap = EPOCH + 9 * SECOND / 5..EPOCH + 3 * SECOND;
    let gappy = source.only(|unit| !is_video(unit) || !gap.contains(&unit.presentation_time.ticks()));
    let made = whole(&gappy, 0);
    for rendition in ["source", "180p", "90p"] {
        assert_eq!(made.numbers(rendition), [0, 1, 2, 3], "{rendition}");
        made.assert_seamless(rendition);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
        for (number, segment) in made.of(rendition).iter().enumerate() {
            assert_eq!(segment.1.duration, 2 * SECOND, "{rendition}, segment {number}");
        }
    }
}

#[test]
fn a_gap_is_filled_and_the_source_comes_back() {
    let source = source(&plain(), 10);
    let gone = EPOCH + 3 * SECOND;
    // Back 0.4 s past a boundary, with a sync unit, as after a reconnect.
    let back = EPOCH + 7 * SECOND;
    let away = 36_000;
    let fill = |steps: &[u64]| {
        let mut orders = vec![begin(&source, 0)];
        orders.extend(source.only(|unit| unit.presentation_time.ticks() < gone).orders());
        orders.extend(steps.iter().map(|until| Order::Fill { until: MediaTime::from_ticks(*until) }));
        orders.extend(source.only(|unit| unit.presentation_time.ticks() >= back).later(away).orders());
        transcode(orders)
    };
    let back_at = back + away;
    let made = fill(&[back_at]);
    for rendition in ["180p", "90p"] {
        assert_eq!(made.numbers(rendition), [0, 1, 2, 3, 4, 5], "{rendition}");
        made.assert_seamless(rendition);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
        let mut shown = times(&made.joined(rendition), "v");
        shown.sort_unstable();
        assert!(shown.windows(2).all(|pair| pair[1] - pair[0] <= 3001), "{rendition}: a picture is missing");
    }
    // The source's own segments, and in between the encoder's, at the same size.
    assert_eq!(made.numbers("source")[..4], [0, 1, 2, 3]);
    assert_eq!(complaints(&made.joined("source")), "");
    // A parent that fills as time goes by gets the same bytes.
    let steps: Vec<u64> =
        (1..).map(|step| gone + step * 9100).take_while(|at| *at < back_at).chain([back_at]).collect();
    let stepwise = fill(&steps);
    assert_eq!(made.segments, stepwise.segments);
}

#[test]
fn another_resolution_in_the_middle_changes_no_rung() {
    let small = source(&plain(), 3);
    let large = source(&ladder::PatternBegin { width: 480, height: 270, ..plain() }, 3).later(3 * SECOND);
    let mut orders = vec![begin(&small, 0)];
    orders.extend(small.orders());
    orders.push(Order::VideoConfig(large.video.clone().unwrap()));
    orders.extend(large.orders());
    let made = transcode(orders);
    for rendition in ENCODED {
        assert_eq!(made.numbers(rendition), [0, 1, 2], "{rendition}");
        made.assert_seamless(rendition);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
    }
    // The copy rung says its new shape before its next segment.
    let sizes: Vec<u32> = made
        .renditions
        .iter()
        .filter(|rendition| rendition.id.as_str() == "source")
        .filter_map(|rendition| rendition.video.as_ref().map(|video| video.height))
        .collect();
    assert_eq!(sizes, [180, 270]);
}

#[test]
fn upright_pictures_in_a_wide_rung_get_bars() {
    let wide = source(&plain(), 2);
    let upright = source(&ladder::PatternBegin { width: 180, height: 320, ..plain() }, 4).later(2 * SECOND);
    let mut orders = vec![begin(&wide, 0)];
    orders.extend(wide.orders());
    orders.push(Order::VideoConfig(upright.video.clone().unwrap()));
    orders.extend(upright.orders());
    let made = transcode(orders);
    assert_eq!(made.numbers("90p"), [0, 1, 2]);
    assert_eq!(complaints(&made.joined("90p")), "");
}

/// Changes bytes inside of coded pictures, the same ones every time.
fn corrupt(source: &Source, from: u64, until: u64) -> Source {
    let mut corrupt = source.clone();
    let mut seed = 12345_u32;
    for unit in corrupt.units.iter_mut().filter(|unit| is_video(unit)) {
        if !(from..until).contains(&(unit.presentation_time.ticks() - EPOCH)) {
            continue;
        }
        let mut bytes = unit.payload.to_vec();
        for _ in 0..bytes.len() / 20 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % bytes.len();
            bytes[at] ^= (seed >> 24) as u8 | 1;
        }
        unit.payload = bytes.into();
    }
    corrupt
}

#[test]
fn corrupt_pictures_end_neither_the_process_nor_the_numbering() {
    let source = source(&plain(), 8);
    let made = whole(&corrupt(&source, 2 * SECOND, 5 * SECOND), 0);
    for rendition in ENCODED {
        assert_eq!(made.numbers(rendition), [0, 1, 2, 3], "{rendition}; {:?}", made.notes);
        made.assert_seamless(rendition);
        // What is encoded is whole whatever the source was.
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
    }
    // Past the damage it is as if nothing had been.
    let undamaged = whole(&source, 0);
    assert_eq!(made.of("180p")[3], undamaged.of("180p")[3]);
}

#[test]
fn nothing_but_rubbish_ends_nothing() {
    let source = source(&plain(), 5);
    let mut rubbish = corrupt(&source, 0, 10 * SECOND);
    for (at, unit) in rubbish.units.iter_mut().enumerate().filter(|(_, unit)| is_video(unit)) {
        if at % 7 == 0 {
            unit.payload = vec![0xff; at % 50].into();
        }
    }
    let _survived = whole(&rubbish, 0);
}

#[test]
fn a_gap_in_the_sound_is_silent_and_late_sound_stays_late() {
    let source = source(&plain(), 6);
    let gap = EPOCH + SECOND..EPOCH + 3 * SECOND;
    let gappy = source.only(|unit| is_video(unit) || !gap.contains(&unit.presentation_time.ticks()));
    let made = whole(&gappy, 0);
    for rendition in ["source", "180p"] {
        assert_eq!(made.numbers(rendition), [0, 1, 2]);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
        // Nothing is missing: 48000 / 1024 units a second, but for what the last PES may keep.
        let units = times(&made.joined(rendition), "a").len();
        assert!(units >= 279, "{rendition}: {units} units");
    }
    // Sound that arrives half a second late is where its times say.
    let mut late = source.clone();
    late.units
        .sort_by_key(|unit| unit.decode_time + MediaSpan::from_millis(if is_video(unit) { 0 } else { 500 }));
    assert_eq!(whole(&late, 0).segments, whole(&source, 0).segments);
}

#[test]
fn sound_that_stops_holds_up_no_segment_for_long() {
    let source = source(&plain(), 8);
    let stops = source.only(|unit| is_video(unit) || unit.presentation_time.ticks() < EPOCH + SECOND);
    let made = whole(&stops, 0);
    for rendition in ["source", "180p"] {
        assert_eq!(made.numbers(rendition), [0, 1, 2, 3]);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
        let units = times(&made.joined(rendition), "a").len();
        assert!(units >= 370, "{rendition}: {units} units of sound and silence");
    }
}

#[test]
fn what_is_shed_is_shed_from_that_segment_on() {
    let source = source(&plain(), 10);
    let shed = |level, nth| Order::Shed { level, from: Source::sequence(nth) };
    let mut orders = vec![begin(&source, 0)];
    orders.extend([
        shed(Shed::Lookahead, 1),
        shed(Shed::TopRung, 2),
        shed(Shed::FrameRate, 3),
        shed(Shed::None, 4),
    ]);
    orders.extend(source.orders());
    let made = transcode(orders);
    let all = whole(&source, 0);
    assert_eq!(made.numbers("90p"), [0, 1, 2, 3, 4]);
    assert_eq!(made.numbers("180p"), [0, 1, 4]);
    assert!(made.skipped[&("180p".to_owned(), 2)].contains("too slow"));
    assert_eq!(made.skipped.len(), 2);
    // The source is copied, which costs nothing.
    assert_eq!(made.of("source"), all.of("source"));
    let pictures: Vec<usize> =
        made.of("90p").iter().map(|(_, segment)| times(&segment.bytes, "v").len()).collect();
    assert_eq!(pictures, [60, 60, 60, 30, 60]);
    for rendition in ["source", "90p"] {
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
    }
    // Before and after it is as if nothing had been.
    assert_eq!(
        (made.of("90p")[0].clone(), made.of("90p")[4].clone()),
        (all.of("90p")[0].clone(), all.of("90p")[4].clone())
    );
    assert_ne!(made.of("90p")[1], all.of("90p")[1]);
}

#[test]
fn a_proven_copy_survives_one_sync_unit_off_the_grid() {
    let source = source(&plain(), 5);
    // From 5 s on the publisher's picture groups begin 0.5 s later: three boundaries are missed.
    let other = support::source(&plain(), 5).later(5 * SECOND + SECOND / 2);
    let mut orders = vec![begin(&source, 0)];
    orders.extend(source.orders());
    orders.extend(other.orders());
    let made = transcode(orders);
    assert_eq!(made.numbers("source"), [0, 1, 2, 3, 4, 5], "{:?}", made.refused);
    assert_eq!(complaints(&made.joined("source")), "");
}
