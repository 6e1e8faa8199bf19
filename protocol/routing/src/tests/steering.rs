//! Running viewers, told where to be.

use super::*;
use ticket::ViewerId;

/// A viewer of `tide` with a token for `home` and `other`.
#[derive(Clone, Copy)]
struct Viewer {
    name: u64,
    home: &'static str,
    other: &'static str,
}

impl Story {
    /// Where this viewer, being `on` that edge, is told to be: all pathways, and when to ask again.
    fn steer(&mut self, viewer: Viewer, on: &str) -> (Vec<String>, u64) {
        let on = EdgeId::parse(on).ok();
        let also = id("z");
        let steer = Steer {
            broadcast: "tide",
            viewer: ViewerId(viewer.name),
            home: Some(id(viewer.home).number()),
            other: Some(id(viewer.other).number()),
            also: Some(&also),
            on: on.as_ref(),
        };
        let steered = self.router.steer(self.now, steer).expect("no edge is known");
        let names = steered.pathways.iter().map(ToString::to_string).collect();
        (names, steered.ttl.as_secs())
    }

    fn first(&mut self, name: u64, on: &str) -> String {
        self.steer(Viewer { name, ..AB }, on).0.remove(0)
    }

    fn all_ready(&mut self, edges: &[&str]) {
        edges.iter().for_each(|edge| self.load(edge, 0, State::Ready));
    }
}

const AB: Viewer = Viewer { name: 1, home: "a", other: "b" };

#[test]
fn a_viewer_at_home_stays_and_its_second_and_third_stand_behind() {
    let mut story = Story::of(&["a", "b", "c", "z"]);
    assert_eq!(story.steer(AB, "a"), (vec!["a".into(), "b".into(), "z".into()], 5));
    // Before it has said where it is.
    assert_eq!(story.first(1, ""), "a");
}

#[test]
fn a_viewer_elsewhere_is_brought_home() {
    let mut story = Story::of(&["a", "b", "c"]);
    assert_eq!(story.first(1, "b"), "a");
    assert_eq!(story.first(1, "c"), "a", "whatever edge it is on");
}

#[test]
fn viewers_of_a_lost_edge_leave_at_once_and_are_not_sent_from_fit_to_fit() {
    let mut story = Story::of(&["a", "b", "c", "z"]);
    story.pass(751);
    story.all_ready(&["b", "c", "z"]);
    assert_eq!(story.steer(AB, "a"), (vec!["b".into(), "z".into(), "a".into()], 5));
    assert_eq!(story.first(1, "z"), "z", "it found another edge by itself");
    assert_eq!(story.first(1, "b"), "b");
}

#[test]
fn an_edge_whose_link_closed_may_be_back_in_a_second() {
    let mut story = Story::of(&["a", "b"]);
    story.hear(Heard::Left(id("a")));
    story.pass(400);
    story.all_ready(&["b"]);
    assert_eq!(story.steer(AB, "a"), (vec!["a".into(), "b".into()], 1));
    assert_eq!(story.first(1, "b"), "b", "nobody is sent there");
    story.pass(600);
    story.all_ready(&["b"]);
    assert_eq!(story.steer(AB, "a"), (vec!["b".into(), "a".into()], 5));
}

/// 400 viewers ask every five seconds, each from its own second on, and do as they are told.
#[test]
fn a_drained_edge_is_empty_a_second_after_the_window_and_its_viewers_left_evenly() {
    let mut story = Story::of(&["a", "b"]);
    let began = story.now;
    story.hear(Heard::Ruled(id("a"), Ruling { standing: Standing::Drain, ..Ruling::default() }));
    let mut asks: Vec<(u64, u64)> = (0..400).map(|name| (name * 5000 / 400, name)).collect();
    let mut left_at = Vec::new();
    for millis in 0..20_000 {
        story.now = began + Duration::from_millis(millis);
        if millis % 250 == 0 {
            story.load("a", 0, State::Draining);
            story.load("b", 0, State::Ready);
        }
        for (at, name) in asks.iter_mut().filter(|(at, _)| *at == millis) {
            let (pathways, ttl) = story.steer(Viewer { name: *name, ..AB }, "a");
            *at = if pathways[0] == "b" { u64::MAX } else { *at + ttl * 1000 };
            left_at.extend((pathways[0] == "b").then_some(millis));
        }
    }
    assert_eq!(left_at.len(), 400);
    assert!(*left_at.last().unwrap() <= 6_000, "the last left after {:?} ms", left_at.last());
    // Of those whose turn is in the first second, few ask in it.
    for second in 1..5 {
        let left = left_at.iter().filter(|at| **at / 1000 == second).count();
        assert!((8..=140).contains(&left), "{left} left in second {second}");
    }
    let changes = story.changes();
    let told = changes.iter().find(|change| change.contains("off a")).expect("nobody is said to have moved");
    let viewers: u64 = told.split(' ').next().unwrap().parse().unwrap();
    assert!((380..=420).contains(&viewers), "{changes:?}");
    assert_eq!(changes[0], "a active to drain with 7");
}

#[test]
fn in_maintenance_nobody_stays() {
    let mut story = Story::of(&["a", "b"]);
    story.hear(Heard::Ruled(id("a"), Ruling { standing: Standing::Maintenance, ..Ruling::default() }));
    assert!((0..50).all(|name| story.first(name, "a") == "b"));
}

/// Home was away and is ready again: a tenth of its viewers at once, a third after 10 s, all after 30.
#[test]
fn an_edge_that_comes_back_is_given_its_viewers_as_it_warms_up() {
    let mut story = Story::of(&["a", "b"]);
    story.hear(Heard::Ruled(id("a"), Ruling { capacity: Some(mbit(100_000)), ..Ruling::default() }));
    story.load("a", 0, State::NotFed);
    assert!((0..100).all(|name| story.first(name, "b") == "b"));
    story.load("a", 0, State::Ready);
    let mut came = Vec::new();
    for _ in 0..4 {
        came.push((0..1000).filter(|name| story.first(*name, "b") == "a").count());
        // Four steps of ten seconds; what was reserved for who came is gone by then.
        for _ in 0..40 {
            story.pass(250);
            story.all_ready(&["a", "b"]);
        }
    }
    let wanted = [100, 333, 667, 1000];
    assert!(came.iter().zip(wanted).all(|(came, wanted): (_, usize)| came.abs_diff(wanted) < 50), "{came:?}");
    // One whose home is lost besides goes there however cold it is.
    story.load("a", 0, State::NotFed);
    story.load("a", 0, State::Ready);
    story.load("b", 0, State::NotFed);
    assert!((0..10).all(|name| story.first(name, "b") == "a"));
}

#[test]
fn nobody_is_moved_to_an_edge_without_room_while_another_has_some() {
    let mut story = Story::of(&["a", "b", "z"]);
    story.load("b", 89, State::Ready);
    story.load("a", 0, State::NotFed);
    assert_eq!(story.steer(AB, "a").0, ["z", "b", "a"]);
    story.load("z", 89, State::Ready);
    assert_eq!(story.steer(AB, "a").0, ["b", "z", "a"], "a crowded edge is better than none");
    // A full home is no reason to leave it, and none to come.
    story.load("a", 89, State::Ready);
    assert_eq!(story.first(1, "a"), "a");
    story.load("b", 0, State::Ready);
    assert_eq!(story.first(1, "b"), "b");
}

#[test]
fn who_is_moved_takes_room_where_it_goes() {
    let mut story = Story::of(&["a", "b"]);
    story.load("a", 0, State::NotFed);
    let before = story.router.edge(&id("b")).unwrap().promised(story.now);
    story.first(1, "a");
    let after = story.router.edge(&id("b")).unwrap().promised(story.now);
    assert_eq!(after.0 - before.0, 4_000_000);
}

#[test]
fn viewers_leave_an_edge_that_lags_where_there_is_room_and_come_back_as_to_a_cold_one() {
    let mut story = Story::of(&["a", "b", "z"]);
    story.load("a", 0, State::Lagging);
    assert_eq!(story.steer(AB, "a"), (vec!["b".into(), "z".into(), "a".into()], 5));
    assert_eq!(story.first(1, "b"), "b", "nobody is brought home to it");
    // Late is better than full.
    ["b", "z"].iter().for_each(|edge| story.load(edge, 89, State::Ready));
    assert_eq!(story.steer(AB, "a").0, ["a", "b", "z"]);
    // In time again: a tenth of its viewers at first.
    ["a", "b", "z"].iter().for_each(|edge| story.load(edge, 0, State::Ready));
    let came = (0..10).filter(|name| story.first(*name, "b") == "a").count();
    assert!(came < 5, "{came} of 10 came back at once");
}

#[test]
fn where_most_lag_nobody_is_moved_for_it() {
    let mut story = Story::of(&["a", "b", "z"]);
    ["a", "b"].iter().for_each(|edge| story.load(edge, 0, State::Lagging));
    assert_eq!(story.first(1, "a"), "a");
    story.load("z", 0, State::Lagging);
    assert_eq!(story.steer(AB, "a").0, ["a", "b", "z"]);
}

/// Three of four are silent: it is likelier that we see badly. Who is on one of them goes to the fit one while it
/// has room, and stays where it is when it has none.
#[test]
fn in_a_panic_viewers_are_not_heaped_on_what_is_left() {
    let mut story = Story::of(&["a", "b", "c", "z"]);
    story.pass(751);
    story.all_ready(&["b"]);
    assert_eq!(story.first(1, "a"), "b");
    story.load("b", 89, State::Ready);
    assert_eq!(story.first(1, "a"), "a");
}

#[test]
fn of_an_edge_that_nobody_knows_nothing_is_said() {
    let mut story = Story::of(&["c"]);
    let steer = Steer {
        broadcast: "tide",
        viewer: ViewerId(1),
        home: Some(id("a").number()),
        other: None,
        also: None,
        on: Some(&id("x")),
    };
    assert_eq!(story.router.steer(story.now, steer), None);
    // Of a broadcast nobody has told of yet, no edge is without it.
    let steer = Steer { broadcast: "ebb", home: Some(id("c").number()), on: None, ..steer };
    assert!(story.router.steer(story.now, steer).is_some());
}
