//! What comes out of a plain source: cuts on the grid, no complaint from a decoder, the same bytes every time.

#![allow(clippy::unwrap_used, reason = "what cannot be is a failure of the test")]

mod support;

use media::Track;
use support::*;

/// The decoder of `ffmpeg` has nothing to say, the numbers are whole and every segment ends where the next begins.
fn assert_sound(made: &Made, renditions: &[&str], numbers: &[u64]) {
    for rendition in renditions {
        assert_eq!(made.numbers(rendition), numbers, "{rendition}; notes: {:?}", made.notes);
        made.assert_seamless(rendition);
        assert_eq!(complaints(&made.joined(rendition)), "", "{rendition}");
    }
}

#[test]
fn a_plain_source_is_cut_on_the_grid_in_every_rung() {
    let source = source(&plain(), 7);
    let made = whole(&source, 0);
    assert_sound(&made, &["source", "180p", "90p"], &[0, 1, 2, 3]);
    for rendition in ["source", "180p", "90p"] {
        for (nth, segment) in made.of(rendition) {
            assert_eq!(segment.start, EPOCH + nth * 2 * SECOND, "{rendition} {nth}");
            let (video, audio) = (times(&segment.bytes, "v"), times(&segment.bytes, "a"));
            let boundary = (EPOCH + nth * 2 * SECOND) & ((1 << 33) - 1);
            assert_eq!(video.iter().min(), Some(&boundary), "{rendition} {nth}");
            assert_eq!(video.len(), if nth == 3 { 30 } else { 60 }, "{rendition} {nth}");
            assert!(
                audio.iter().all(|time| (boundary..boundary + 2 * SECOND).contains(time)),
                "{rendition} {nth}"
            );
        }
    }
    let [first, .., last] = &made.renditions[..] else { panic!("no renditions") };
    assert_eq!(made.renditions.len(), 3);
    let ids: Vec<&str> = made.renditions.iter().map(|rendition| rendition.id.as_str()).collect();
    assert!(["source", "180p", "90p"].iter().all(|id| ids.contains(id)), "{ids:?}");
    assert!(first.codecs().contains("avc1.") && last.codecs().ends_with("mp4a.40.2"));
    assert!(made.ready.is_some_and(|digest| digest.contains("x264 core")));
    assert!(made.progress.len() >= 7 * 3);
}

#[test]
fn pictures_are_counted_once_and_none_is_missing_over_a_cut() {
    let source = source(&plain(), 5);
    let made = whole(&source, 0);
    for rendition in ["source", "180p"] {
        let mut all = times(&made.joined(rendition), "v");
        all.sort_unstable();
        let steps: Vec<u64> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(steps, vec![3000; 149], "{rendition}");
        let sound = times(&made.joined(rendition), "a");
        let sent = source.units.iter().filter(|unit| unit.track == Track::Audio).count();
        // Several units share a PES packet; ffprobe's parser takes them apart again.
        assert!(sound.len() + 2 >= sent, "{rendition}: {} of {sent}", sound.len());
    }
}

#[test]
fn b_pictures_come_out_in_order() {
    let source = source(&ladder::PatternBegin { b_pictures: 3, ..plain() }, 6);
    assert!(
        source
            .units
            .iter()
            .any(|unit| unit.presentation_time > unit.decode_time + media::MediaSpan::from_millis(50))
    );
    let made = whole(&source, 0);
    assert_sound(&made, &["source", "180p", "90p"], &[0, 1, 2]);
    let mut shown = times(&made.joined("180p"), "v");
    shown.sort_unstable();
    assert_eq!(shown.len(), 180);
}

#[test]
fn pictures_alone() {
    let mut source = source(&ladder::PatternBegin { sample_rate: 0, ..plain() }, 4);
    source.audio = None;
    let made = whole(&source, 0);
    assert_sound(&made, &["source", "180p", "90p"], &[0, 1]);
    assert!(made.renditions.iter().all(|rendition| rendition.audio.is_none()));
}

#[test]
fn sound_alone() {
    let mut source = source(&plain(), 5).only(|unit| unit.track == Track::Audio);
    source.video = None;
    let rungs = ladder::Ladder::default().rungs(None, true);
    let ladder::Order::Begin(mut begin) = begin(&source, 0) else { unreachable!() };
    begin.rungs = rungs;
    let mut orders = vec![ladder::Order::Begin(begin)];
    orders.extend(source.orders());
    let made = transcode(orders);
    assert_sound(&made, &["audio"], &[0, 1, 2]);
    assert_eq!(made.renditions.len(), 1);
    assert_eq!(made.renditions[0].codecs(), "mp4a.40.2");
}

#[test]
fn a_very_long_picture_group_is_cut_all_the_same_and_its_copy_is_refused() {
    let source = source(&ladder::PatternBegin { gop: 100_000, ..plain() }, 5);
    let made = whole(&source, 0);
    assert_sound(&made, &["180p", "90p"], &[0, 1, 2]);
    assert!(made.refused["source"].contains("grid"), "{:?}", made.refused);
    assert!(made.numbers("source").is_empty());
}

#[test]
fn time_stamps_pass_33_bits_in_the_middle_of_a_segment() {
    // The wrap falls 1 s into the second segment.
    let wrap = (EPOCH >> 33 << 33) + (1 << 33);
    let on_grid = (wrap - SECOND) / (2 * SECOND) * 2 * SECOND - 2 * SECOND;
    let source = source(&plain(), 6).later(on_grid - EPOCH);
    let made = whole(&source, 0);
    let first = (on_grid - EPOCH) / SECOND / 2;
    assert_sound(&made, &["source", "180p"], &[first, first + 1, first + 2]);
}
