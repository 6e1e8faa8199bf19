//! What happens to the two of `twin_tests`, by chance and by intent.

use super::*;

/// Both fed; kills, cuts of the link, hand-overs and lost feeds, one after the other.
fn seamless(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..9 {
        chance.below(2);
    }
    let mut day = Day::new();
    day.ingests[1].feed_delay_ms = chance.below(60) * 10;
    day.ingests[0].feed_delay_ms = chance.below(60) * 10;
    (0..2).for_each(|who| day.start(who));
    for _ in 0..4 {
        day.settle();
        for _ in 0..chance.below(150) {
            day.step();
        }
        let who = chance.below(2) as usize;
        match chance.below(6) {
            0 | 1 => {
                let back_in = 200 + chance.below(3000);
                day.kill(who, back_in);
            }
            2 => {
                day.connect(false, None);
                for _ in 0..chance.below(200) {
                    day.step();
                }
            }
            3 => day.unpublish(who),
            4 => day.garble(1 + chance.below(6), 1 + chance.below(25)),
            _ => day.push(who, Input::HandOver),
        }
        for _ in 0..chance.below(250) {
            day.step();
        }
    }
    day.settle();
    day.check(true);
    assert!(day.made.len() > 10, "{} segments\n{}", day.made.len(), day.log.join("\n"));
}

#[test]
fn with_both_fed_nothing_that_happens_to_one_is_seen() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("TWIN_SEED") {
        return seamless(seed);
    }
    for seed in 1..=number("TWIN_SEEDS").unwrap_or(40) {
        println!("seed {seed}");
        seamless(seed);
    }
}

/// Anything at any time: feeds come and go, ingests are killed, the link breaks, the operator hands over.
fn whatever(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..9 {
        chance.below(2);
    }
    let mut day = Day::new();
    (0..2).for_each(|who| day.start(who));
    for _ in 0..40 {
        let who = chance.below(2) as usize;
        match chance.below(9) {
            0..=2 => day.publish(who),
            3 => day.unpublish(who),
            4 => {
                let back_in = 200 + chance.below(5000);
                day.kill(who, back_in);
            }
            5 if chance.below(2) == 0 => day.turn(false, None, Lost::Garbled),
            5 => day.connect(false, None),
            6 | 7 => day.connect(true, None),
            _ => day.push(who, Input::HandOver),
        }
        for _ in 0..chance.below(150) {
            day.step();
        }
    }
    day.settle();
    day.check_terms();
}

#[test]
fn whatever_happens_one_term_makes_one_segment() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("TWIN_SEED") {
        return whatever(seed);
    }
    for seed in 1..=number("TWIN_SEEDS").unwrap_or(40) {
        println!("seed {seed}");
        whatever(seed);
    }
}

#[test]
fn with_one_feed_and_its_ingest_killed_numbers_go_on_and_the_encoder_comes_to_the_other() {
    let mut day = Day::fed_at_the_first();
    (0..400).for_each(|_| day.step());
    assert_eq!((day.part(0), day.part(1)), ("leads", "follows"));
    day.kill(0, 60_000);
    (0..50).for_each(|_| day.step());
    assert_eq!(day.part(1), "stands in");
    day.publish(1);
    (0..400).for_each(|_| day.step());
    assert_eq!(day.part(1), "leads");
    day.check(false);
    let copies = day.made.values().flatten();
    assert!(
        copies.clone().all(|made| made.discontinuity == 7),
        "the coding did not change\n{}",
        day.log.join("\n")
    );
    assert!(copies.clone().any(|made| made.body.contains("filled 1") || !made.body.contains("filled 0")));
    assert!(day.made.len() >= 7, "{:?}\n{}", day.made.keys(), day.log.join("\n"));
}

#[test]
fn a_link_that_breaks_while_one_is_fed_gives_edges_filler_only_as_a_second_copy() {
    let mut day = Day::fed_at_the_first();
    (0..300).for_each(|_| day.step());
    day.connect(false, None);
    (0..300).for_each(|_| day.step());
    assert_eq!((day.part(0), day.part(1)), ("leads", "stands in"));
    day.connect(true, None);
    (0..400).for_each(|_| day.step());
    assert_eq!((day.part(0), day.part(1)), ("leads", "follows"));
    day.check(false);
}

#[test]
fn a_publisher_that_falls_silent_is_not_waited_for_where_the_twin_still_hears_it() {
    let mut day = Day::new();
    (0..2).for_each(|who| day.start(who));
    day.settle();
    let leader = if day.part(0) == "leads" { 0 } else { 1 };
    // A cable is pulled: nothing comes, and nobody says that it is over.
    day.ingests[leader].fed_since_ms = None;
    (0..150).for_each(|_| day.step());
    assert_eq!((day.part(leader), day.part(1 - leader)), ("follows", "leads"), "{}", day.log.join("\n"));
    (0..200).for_each(|_| day.step());
    day.check(true);
}

#[test]
fn the_operator_hands_over_at_the_next_cut() {
    let mut day = Day::new();
    (0..2).for_each(|who| day.start(who));
    day.settle();
    let leader = if day.part(0) == "leads" { 0 } else { 1 };
    day.push(leader, Input::HandOver);
    (0..150).for_each(|_| day.step());
    assert_eq!((day.part(leader), day.part(1 - leader)), ("follows", "leads"), "{}", day.log.join("\n"));
    day.settle();
    day.check(true);
}

#[test]
fn an_ingest_that_is_stopped_hands_over_and_ends_nothing() {
    let mut day = Day::new();
    (0..2).for_each(|who| day.start(who));
    day.settle();
    let leader = if day.part(0) == "leads" { 0 } else { 1 };
    day.push(leader, Input::Publisher(timeline::Input::Over));
    day.step();
    assert!(!day.ingests[leader].line.as_ref().unwrap().is_live(), "it may go");
    day.kill(leader, 500);
    day.settle();
    day.check(true);
}

#[test]
fn a_follower_whose_encoder_is_slow_has_both_give_up_the_same() {
    let mut day = Day::new();
    (0..2).for_each(|who| day.start(who));
    day.settle();
    let (leader, follower) = if day.part(0) == "leads" { (0, 1) } else { (1, 0) };
    // The follower's process says that it is three seconds behind.
    (0..260).for_each(|_| day.step());
    let line = day.ingests[follower].line.as_ref().unwrap();
    let (generation, behind) = (day.ingests[follower].worker.generation.unwrap(), line.given_until);
    day.ingests[follower].line.as_mut().unwrap().decoded_until =
        behind.saturating_sub(MediaSpan::from_secs(3));
    let decoded_until = behind.saturating_sub(MediaSpan::from_secs(3));
    day.push(follower, Input::Report(generation, Report::Progress { decoded_until }));
    (0..20).for_each(|_| day.step());
    for who in [leader, follower] {
        assert_eq!(day.ingests[who].line.as_ref().unwrap().shed(), Shed::Lookahead, "{}", day.log.join("\n"));
    }
}

#[test]
fn a_link_that_is_garbled_again_and_again_changes_no_leader_and_no_segment() {
    for fed in [&[0][..], &[0, 1]] {
        let mut day = Day::fed_at_the_first();
        (0..300).for_each(|_| day.step());
        fed.iter().for_each(|who| day.publish(*who));
        (0..300).for_each(|_| day.step());
        assert_eq!((day.part(0), day.part(1)), ("leads", "follows"));
        day.garble(10, 20);
        assert_eq!((day.part(0), day.part(1)), ("leads", "follows"), "{}", day.log.join("\n"));
        (0..400).for_each(|_| day.step());
        day.check(false);
        let terms: std::collections::BTreeSet<u64> =
            day.made.values().flatten().map(|made| made.term).collect();
        assert_eq!(terms.len(), 1, "{terms:?}\n{}", day.log.join("\n"));
        // One that stays away is one that is gone.
        day.turn(false, None, Lost::Garbled);
        (0..50).for_each(|_| day.step());
        assert_ne!(day.part(1), "follows", "{}", day.log.join("\n"));
    }
}
