//! Stories of one window. A letter is a segment of the one rendition.

use crate::{Change, FactsRefusal, Input, PartFacts, Refusal, Window};
use media::{
    AudioShape, BitRate, BroadcastId, DiscontinuitySequence, Grid, MediaSequence, MediaSpan, PartIndex,
    Rendition, RenditionId, RunId, SegmentFacts, StreamFacts,
};

/// A body is its own number, so that a mix-up shows.
type Body = u64;

pub(crate) const PITCH: MediaSpan = MediaSpan::from_secs(2);

pub(crate) fn id(name: &str) -> RenditionId {
    RenditionId::parse(name).unwrap()
}

pub(crate) fn stream(run: u64, renditions: &[&str]) -> StreamFacts {
    let rendition = |name: &&str| Rendition {
        id: id(name),
        video: None,
        audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
        peak: BitRate(1_000_000),
        average: BitRate(900_000),
    };
    StreamFacts {
        broadcast: BroadcastId::parse("demo").unwrap(),
        run: RunId(run),
        segment: PITCH,
        window: 6,
        renditions: renditions.iter().map(rendition).collect(),
        has_ended: false,
    }
}

pub(crate) fn facts(sequence: u64, run: u64, discontinuity: u64) -> SegmentFacts {
    SegmentFacts {
        sequence: MediaSequence(sequence),
        run: RunId(run),
        start: Grid::new(PITCH).unwrap().start_of(MediaSequence(sequence)),
        duration: PITCH,
        discontinuity: DiscontinuitySequence(discontinuity),
        bytes: 1000,
        is_gap: false,
    }
}

fn segment(rendition: &str, facts: SegmentFacts) -> Input<Body> {
    let body = (!facts.is_gap).then_some(facts.sequence.0);
    Input::Segment { rendition: id(rendition), facts, body }
}

/// A window that is caught up with nothing, as at a fresh broadcast.
fn live(renditions: &[&str]) -> Window<Body> {
    let mut window = Window::new(stream(1, renditions));
    window.push(Input::CaughtUp);
    window
}

fn changes(window: &mut Window<Body>) -> Vec<Change<Body>> {
    std::iter::from_fn(|| window.pull()).collect()
}

/// What a rendition's playlist lists: numbers, `x` for a gap, `|` before a discontinuity, `.` for the end.
fn listed(window: &Window<Body>, rendition: &str) -> String {
    let Some(playlist) = window.media_playlist(&id(rendition)) else { return "nothing".into() };
    let word = |(sequence, _, segment): (MediaSequence, DiscontinuitySequence, &hls::Segment)| {
        let bar = if segment.is_discontinuous { "|" } else { "" };
        if segment.is_gap { format!("{bar}x") } else { format!("{bar}{sequence}") }
    };
    let words: Vec<_> = playlist.numbered().map(word).collect();
    format!("{}{}", words.join(" "), if playlist.has_ended { " ." } else { "" })
}

fn discontinuity_sequence(window: &Window<Body>) -> u64 {
    window.media_playlist(&id("a")).unwrap().discontinuity_sequence.0
}

fn refusals(window: &mut Window<Body>) -> Vec<Refusal> {
    let why = |change| if let Change::Refused { why, .. } = change { Some(why) } else { None };
    changes(window).into_iter().filter_map(why).collect()
}

#[test]
fn a_body_is_stored_before_the_playlist_names_it() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    let rendition = id("a");
    assert_eq!(
        changes(&mut window),
        [
            Change::Stored { rendition: rendition.clone(), sequence: MediaSequence(100), body: 100 },
            Change::Listed { rendition },
            Change::MultivariantChanged,
        ]
    );
    assert_eq!(window.segment(&id("a"), MediaSequence(100)), Some(&100));
    assert_eq!(window.newest(), Some(facts(101, 1, 0).start));
    assert_eq!(window.bytes_held(), 1000);
}

#[test]
fn a_window_slides_and_what_left_it_can_still_be_fetched() {
    let mut window = live(&["a"]);
    (100..107).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert_eq!(listed(&window, "a"), "101 102 103 104 105 106");
    // Rule T08: 2 s of its own and the 12 s of the longest playlist, and two pitches to spare.
    let expired_by = |window: &mut Window<Body>| {
        changes(window).iter().any(|c| matches!(c, Change::Expired { sequence, .. } if sequence.0 == 100))
    };
    assert!(!expired_by(&mut window));
    (107..115).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert!(!expired_by(&mut window), "expired 16 s after it was removed");
    window.push(segment("a", facts(115, 1, 0)));
    assert!(expired_by(&mut window), "still there 18 s after it was removed");
    assert_eq!(window.segment(&id("a"), MediaSequence(100)), None);
    assert_eq!(window.bytes_held(), 15_000);
}

#[test]
fn a_segment_waits_for_the_one_before_it() {
    let mut window = live(&["a"]);
    for sequence in [100, 102] {
        window.push(segment("a", facts(sequence, 1, 0)));
    }
    assert_eq!(listed(&window, "a"), "100");
    assert_eq!(window.segment(&id("a"), MediaSequence(102)), Some(&102), "fetchable before it is listed");
    window.push(segment("a", facts(101, 1, 0)));
    assert_eq!(listed(&window, "a"), "100 101 102");
}

#[test]
fn what_stays_away_for_two_segments_is_a_gap_and_stays_one() {
    let mut window = live(&["a"]);
    for sequence in [100, 102, 103] {
        window.push(segment("a", facts(sequence, 1, 0)));
    }
    assert_eq!(listed(&window, "a"), "100 x 102 103");
    changes(&mut window);
    window.push(segment("a", facts(101, 1, 0)));
    assert_eq!(refusals(&mut window), [Refusal::ListedAsGap]);
    assert_eq!(listed(&window, "a"), "100 x 102 103");
}

#[test]
fn a_gap_that_is_announced_is_listed_at_once() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    window.push(segment("a", SegmentFacts { is_gap: true, bytes: 0, ..facts(101, 1, 0) }));
    assert_eq!(listed(&window, "a"), "100 x");
}

#[test]
fn a_waiting_gap_is_filled_by_a_body_that_comes_in_time() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    window.push(segment("a", SegmentFacts { is_gap: true, bytes: 0, ..facts(102, 1, 0) }));
    window.push(segment("a", facts(102, 1, 0)));
    window.push(segment("a", facts(101, 1, 0)));
    assert_eq!(listed(&window, "a"), "100 101 102");
}

#[test]
fn the_same_segment_from_a_second_ingest_changes_nothing() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    changes(&mut window);
    window.push(segment("a", facts(100, 1, 0)));
    assert_eq!(changes(&mut window), []);
    assert_eq!(window.bytes_held(), 1000);
}

#[test]
fn who_joins_late_lists_the_unbroken_end_of_what_was_handed_over() {
    let mut window = Window::new(stream(1, &["a"]));
    for sequence in [109, 108, 107, 106, 104, 103] {
        window.push(segment("a", facts(sequence, 1, 0)));
    }
    assert_eq!(listed(&window, "a"), "nothing");
    window.push(Input::CaughtUp);
    assert_eq!(listed(&window, "a"), "106 107 108 109");
    // Rule T02: nothing is ever put in front; it is there for who comes from another edge.
    window.push(segment("a", facts(105, 1, 0)));
    assert_eq!(listed(&window, "a"), "106 107 108 109");
    assert_eq!(window.segment(&id("a"), MediaSequence(105)), Some(&105));
}

#[test]
fn a_backfill_that_never_ends_does_not_hold_listing_up_for_ever() {
    let mut window = Window::new(stream(1, &["a"]));
    for sequence in [109, 108, 110, 111] {
        window.push(segment("a", facts(sequence, 1, 0)));
    }
    assert_eq!(listed(&window, "a"), "nothing");
    window.push(segment("a", facts(112, 1, 0)));
    assert_eq!(listed(&window, "a"), "108 109 110 111 112");
}

#[test]
fn a_new_run_is_one_discontinuity_and_the_count_stays_right_as_it_leaves() {
    let mut window = live(&["a"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 4))));
    window.push(Input::Facts(stream(2, &["a"])));
    (103..106).for_each(|sequence| window.push(segment("a", facts(sequence, 2, 5))));
    assert_eq!(listed(&window, "a"), "100 101 102 |103 104 105");
    assert_eq!(discontinuity_sequence(&window), 4);
    (106..109).for_each(|sequence| window.push(segment("a", facts(sequence, 2, 5))));
    assert_eq!(listed(&window, "a"), "|103 104 105 106 107 108");
    assert_eq!(discontinuity_sequence(&window), 4, "the tag is still listed");
    window.push(segment("a", facts(109, 2, 5)));
    assert_eq!(discontinuity_sequence(&window), 5);
}

#[test]
fn an_ingest_that_forgot_its_count_does_not_turn_the_count_back() {
    let mut window = live(&["a", "b"]);
    for rendition in ["a", "b"] {
        (100..103).for_each(|sequence| window.push(segment(rendition, facts(sequence, 1, 4))));
    }
    window.push(Input::Facts(stream(2, &["a", "b"])));
    for rendition in ["a", "b"] {
        (103..110).for_each(|sequence| window.push(segment(rendition, facts(sequence, 2, 0))));
        assert_eq!(window.media_playlist(&id(rendition)).unwrap().discontinuity_sequence.0, 5);
    }
}

#[test]
fn a_few_numbers_missing_between_two_runs_are_gaps_and_many_are_a_new_beginning() {
    let mut window = live(&["a"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    window.push(Input::Facts(stream(2, &["a"])));
    window.push(segment("a", facts(105, 2, 1)));
    assert_eq!(listed(&window, "a"), "100 101 102 x x |105");
    window.push(Input::Facts(stream(3, &["a"])));
    window.push(segment("a", facts(500, 3, 2)));
    assert_eq!(listed(&window, "a"), "|500");
    assert_eq!(discontinuity_sequence(&window), 1);
    assert_eq!(window.segment(&id("a"), MediaSequence(105)), Some(&105), "just removed: rule T08");
}

#[test]
fn a_discontinuity_number_that_rises_by_more_than_one_begins_the_list_anew() {
    let mut window = live(&["a"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    window.push(Input::Facts(stream(9, &["a"])));
    window.push(segment("a", facts(103, 9, 5)));
    assert_eq!(listed(&window, "a"), "|103");
    assert_eq!(discontinuity_sequence(&window), 4);
}

/// An edge hangs while the last segment of a run is made, and the ingest that had it is gone when it wakes: the next run's
/// ingest says that of the numbers before its first there is nothing.
#[test]
fn a_gap_begins_no_run() {
    let gap = |sequence, run, discontinuity| {
        segment("a", SegmentFacts { is_gap: true, bytes: 0, ..facts(sequence, run, discontinuity) })
    };
    let mut whole = live(&["a"]);
    let mut hung = live(&["a"]);
    (100..103).for_each(|sequence| whole.push(segment("a", facts(sequence, 1, 0))));
    (100..102).for_each(|sequence| hung.push(segment("a", facts(sequence, 1, 0))));
    for window in [&mut whole, &mut hung] {
        window.push(Input::Facts(stream(2, &["a"])));
        (102..104).for_each(|sequence| window.push(gap(sequence, 2, 1)));
        window.push(segment("a", facts(104, 2, 1)));
    }
    assert_eq!(listed(&whole, "a"), "100 101 102 x |104");
    assert_eq!(listed(&hung, "a"), "100 101 x x |104");
    let numbers = |window: &Window<Body>| {
        let playlist = window.media_playlist(&id("a")).unwrap();
        playlist.numbered().map(|(_, discontinuity, _)| discontinuity.0).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&whole), numbers(&hung));
}

#[test]
fn a_window_in_the_place_of_another_counts_on() {
    let mut former = live(&["a"]);
    former.push(segment("a", facts(100, 1, 0)));
    former.push(segment("a", facts(101, 2, 7)));
    let mut window: Window<Body> = Window::new(stream(1, &["a"])).in_place_of(&former);
    window.push(Input::CaughtUp);
    window.push(segment("a", facts(110, 1, 0)));
    assert_eq!(discontinuity_sequence(&window), 8, "one above what was shown");
    let mut first: Window<Body> = Window::new(stream(1, &["a"])).in_place_of(&live(&["a"]));
    first.push(Input::CaughtUp);
    first.push(segment("a", facts(110, 1, 0)));
    assert_eq!(discontinuity_sequence(&first), 0, "nothing was shown before");
}

#[test]
fn a_long_hole_within_a_run_waits_for_its_backfill() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    for sequence in [110, 109, 108] {
        window.push(segment("a", facts(sequence, 1, 0)));
    }
    assert_eq!(listed(&window, "a"), "100", "no number is burnt while the hole may be filled");
    window.push(Input::CaughtUp);
    assert_eq!(listed(&window, "a"), "108 109 110");
}

#[test]
fn a_hole_waits_for_who_comes_back_to_hand_over_what_was_missed() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    window.push(Input::Behind);
    (103..106).for_each(|newest| window.push(segment("a", facts(newest, 1, 0))));
    assert_eq!(listed(&window, "a"), "100", "two behind a hole would be enough otherwise");
    (101..103).rev().for_each(|missed| window.push(segment("a", facts(missed, 1, 0))));
    assert_eq!(listed(&window, "a"), "100 101 102 103 104 105");
}

#[test]
fn a_hole_that_nobody_fills_waits_for_a_window_and_no_longer() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    window.push(Input::Behind);
    (102..107).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert_eq!(listed(&window, "a"), "100");
    window.push(segment("a", facts(107, 1, 0)));
    assert!(listed(&window, "a").ends_with("102 103 104 105 106 107"), "{}", listed(&window, "a"));
    assert_eq!(refusals(&mut window), []);
}

#[test]
fn an_end_is_told_once_and_a_later_run_begins_anew() {
    let mut window = live(&["a"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    changes(&mut window);
    window.push(Input::Ended { run: RunId(1) });
    assert_eq!(listed(&window, "a"), "100 101 102 .");
    assert_eq!(changes(&mut window), [Change::Listed { rendition: id("a") }, Change::Ended]);
    window.push(Input::Ended { run: RunId(1) });
    window.push(segment("a", facts(103, 1, 0)));
    assert_eq!(refusals(&mut window), [Refusal::RunIsOver], "rule T10: after the end nothing changes");
    window.push(Input::Facts(stream(2, &["a"])));
    assert_eq!(listed(&window, "a"), "100 101 102 .");
    window.push(segment("a", facts(104, 2, 1)));
    assert_eq!(listed(&window, "a"), "|104");
    assert!(!window.has_ended());
    window.push(Input::Ended { run: RunId(1) });
    assert_eq!(listed(&window, "a"), "|104", "an end that comes late ends nothing newer");
}

#[test]
fn a_gap_after_the_end_does_not_change_what_has_ended() {
    let gap = |sequence| segment("a", SegmentFacts { is_gap: true, ..facts(sequence, 2, 1) });
    let mut window = live(&["a"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    window.push(Input::Ended { run: RunId(1) });
    window.push(Input::Facts(stream(2, &["a"])));
    // More of them than may wait: none does.
    (103..113).for_each(|sequence| window.push(gap(sequence)));
    assert_eq!(listed(&window, "a"), "100 101 102 .");
    assert_eq!(refusals(&mut window), []);
    window.push(segment("a", facts(113, 2, 1)));
    assert_eq!(listed(&window, "a"), "|113");

    // The same for who is handed it all before it lists anything.
    let mut late = Window::new(stream(1, &["a"]));
    late.push(segment("a", facts(102, 1, 0)));
    late.push(Input::Ended { run: RunId(1) });
    late.push(Input::Facts(stream(2, &["a"])));
    late.push(gap(103));
    late.push(Input::CaughtUp);
    assert_eq!(listed(&late, "a"), "102 .");
    late.push(segment("a", facts(104, 2, 1)));
    assert_eq!(listed(&late, "a"), "|104");
}

#[test]
fn who_joins_after_the_end_lists_what_there_was_and_the_end() {
    let mut window = Window::new(StreamFacts { has_ended: true, ..stream(1, &["a"]) });
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    window.push(Input::CaughtUp);
    assert_eq!(listed(&window, "a"), "100 101 102 .");
    assert!(changes(&mut window).contains(&Change::Ended));
}

#[test]
fn what_waits_behind_a_hole_is_listed_when_the_run_ends() {
    let mut window = live(&["a"]);
    for sequence in [100, 102] {
        window.push(segment("a", facts(sequence, 1, 0)));
    }
    window.push(Input::Ended { run: RunId(1) });
    assert_eq!(listed(&window, "a"), "100 x 102 .");
}

#[test]
fn a_multivariant_playlist_waits_for_every_rendition_but_not_for_ever() {
    let mut window = live(&["a", "b"]);
    (100..102).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert_eq!(window.multivariant(), None);
    window.push(segment("b", facts(100, 1, 0)));
    assert_eq!(window.multivariant().unwrap().variant_streams.len(), 2);

    let mut window = live(&["a", "b"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert_eq!(window.multivariant().unwrap().variant_streams.len(), 1);
}

#[test]
fn renditions_come_and_go() {
    let mut window = live(&["a"]);
    (100..103).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    window.push(Input::Facts(stream(1, &["a", "b"])));
    assert_eq!(window.multivariant().unwrap().variant_streams.len(), 1, "b lists nothing yet");
    window.push(segment("b", facts(103, 1, 0)));
    assert_eq!(listed(&window, "b"), "103");
    assert_eq!(window.multivariant().unwrap().variant_streams.len(), 2);
    changes(&mut window);
    window.push(Input::Facts(stream(1, &["b"])));
    assert_eq!(changes(&mut window)[0], Change::Withdrawn { rendition: id("a") });
    assert_eq!(listed(&window, "a"), "nothing");
    assert_eq!(window.segment(&id("a"), MediaSequence(102)), Some(&102), "rule T12");
    assert_eq!(window.multivariant().unwrap().variant_streams.len(), 1);
    (104..130).for_each(|sequence| window.push(segment("b", facts(sequence, 1, 0))));
    assert_eq!(window.segment(&id("a"), MediaSequence(102)), None);
    window.push(segment("a", facts(130, 1, 0)));
    assert!(refusals(&mut window).contains(&Refusal::UnknownRendition));
}

#[test]
fn what_would_have_expired_already_is_refused() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(1000, 1, 0)));
    window.push(segment("a", facts(10, 1, 0)));
    assert_eq!(refusals(&mut window), [Refusal::TooOld]);
}

#[test]
fn a_flood_is_refused_at_the_bound() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    // Newest first, and the hole never closes: no progress by number, so no patience runs out either.
    (200..250).rev().for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert!(refusals(&mut window).contains(&Refusal::TooManyWaiting));
    assert!(window.bytes_held() <= 7000, "{}", window.bytes_held());

    let mut gathering = Window::new(stream(1, &["a"]));
    (200..600).rev().for_each(|sequence| gathering.push(segment("a", facts(sequence, 1, 0))));
    assert!(gathering.bytes_held() <= 30_000, "{}", gathering.bytes_held());
}

#[test]
fn facts_of_something_else_are_refused_with_the_reason() {
    let mut window = live(&["a"]);
    window.push(Input::Facts(StreamFacts { segment: MediaSpan::from_secs(4), ..stream(1, &["a"]) }));
    window.push(Input::Facts(stream(0, &["a"])));
    let why: Vec<_> = changes(&mut window)
        .into_iter()
        .filter_map(|change| if let Change::FactsRefused(why) = change { Some(why) } else { None })
        .collect();
    assert_eq!(
        why,
        [
            FactsRefusal::OtherPitch { offered: MediaSpan::from_secs(4), current: PITCH },
            FactsRefusal::OlderRun { offered: RunId(0), current: RunId(1) },
        ]
    );
}

#[test]
fn a_peak_two_ingests_measure_differently_does_not_flap() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    changes(&mut window);
    let mut higher = stream(1, &["a"]);
    higher.renditions[0].peak = BitRate(1_100_000);
    window.push(Input::Facts(higher.clone()));
    assert_eq!(changes(&mut window), [Change::MultivariantChanged]);
    for facts in [stream(1, &["a"]), higher] {
        window.push(Input::Facts(facts));
    }
    assert_eq!(changes(&mut window), []);
}

#[test]
fn parts_are_fetchable_before_their_segment_is_whole_and_a_while_after() {
    let mut window = live(&["a"]);
    window.push(segment("a", facts(100, 1, 0)));
    let part = |at: u16| PartFacts {
        part: PartIndex(at),
        duration: MediaSpan::from_millis(500),
        is_independent: at == 0,
        bytes: 250,
    };
    for at in [0, 1, 3] {
        let sequence = MediaSequence(101);
        window.push(Input::Part { rendition: id("a"), sequence, facts: part(at), body: u64::from(at) });
    }
    assert_eq!(window.part(&id("a"), MediaSequence(101), PartIndex(1)), Some(&1));
    let open = window.media_playlist(&id("a")).unwrap().open_parts;
    assert_eq!(open.len(), 2, "a part behind a missing one is not offered: {open:?}");
    assert!(!window.media_playlist(&id("a")).unwrap().render().contains("EXT-X-PART"));
    (101..108).for_each(|sequence| window.push(segment("a", facts(sequence, 1, 0))));
    assert!(window.part(&id("a"), MediaSequence(101), PartIndex(1)).is_some());
    window.push(segment("a", facts(108, 1, 0)));
    assert!(window.part(&id("a"), MediaSequence(101), PartIndex(1)).is_none());
}
