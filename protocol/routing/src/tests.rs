//! Where newcomers are sent, as they come and as edges fill.

#![allow(clippy::disallowed_methods, reason = "a story needs some instant to begin at")]

mod steering;

use super::*;
use media::{MediaSpan, Rendition, RenditionId, RunId};

/// A balancer and the clock beside it.
struct Story {
    router: Router,
    now: Instant,
    random: u64,
}

fn id(name: &str) -> EdgeId {
    EdgeId::parse(name).unwrap()
}

fn mbit(rate: u64) -> BitRate {
    BitRate(rate * 1_000_000)
}

fn tide(run: u64, rates: &[u64], has_ended: bool) -> StreamFacts {
    let rendition = |rate: &u64| Rendition {
        id: RenditionId::parse(&format!("r{rate}")).unwrap(),
        video: None,
        audio: None,
        peak: mbit(rate * 2),
        average: mbit(*rate),
    };
    StreamFacts {
        broadcast: BroadcastId::parse("tide").unwrap(),
        run: RunId(run),
        segment: MediaSpan::from_secs(2),
        window: 6,
        renditions: rates.iter().map(rendition).collect(),
        has_ended,
    }
}

impl Story {
    /// Ready edges, warm, of 100 Mbit/s each, that all have `tide` at 4 and 1 Mbit/s.
    fn of(edges: &[&str]) -> Self {
        let mut story = Self { router: Router::new(), now: Instant::now(), random: 0 };
        for edge in edges {
            story.join(edge, 100);
            story.load(edge, 0, State::Ready);
            story.hear(Heard::Stream(id(edge), tide(1, &[4, 1], false)));
        }
        for _ in 0..130 {
            story.pass(250);
            edges.iter().for_each(|edge| story.load(edge, 0, State::Ready));
        }
        while story.router.pull().is_some() {}
        story
    }

    fn hear(&mut self, heard: Heard) {
        self.router.push(self.now, heard).unwrap();
    }

    fn join(&mut self, edge: &str, capacity: u64) {
        self.hear(Heard::Joined(Declared { id: id(edge), capacity: mbit(capacity), weight: 100 }));
    }

    fn load(&mut self, edge: &str, egress: u64, state: State) {
        let load = Load { egress: mbit(egress), viewers: 7, newest_segment_age: None, lag: None, state };
        self.hear(Heard::Load(id(edge), load));
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn decide(&mut self) -> Decision {
        self.random += 1;
        self.router.decide(self.now, Ask { broadcast: "tide", last: None, random: self.random })
    }

    /// Where the next twelve viewers go.
    fn where_to(&mut self) -> Vec<String> {
        let mut names: Vec<_> = (0..12)
            .filter_map(|_| match self.decide() {
                Decision::Go { edge, .. } => Some(edge.to_string()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn changes(&mut self) -> Vec<String> {
        self.router.expire(self.now);
        let mut told = Vec::new();
        while let Some(change) = self.router.pull() {
            told.push(match change {
                Change::Health { edge, from, to, .. } => {
                    format!("{edge} {from:?}>{to:?}").replace("Some", "")
                }
                Change::Standing { edge, from, to, viewers } => {
                    format!("{edge} {} to {} with {viewers}", from.word(), to.word())
                }
                Change::Moved { edge, viewers, lasted } => {
                    format!("{viewers} off {edge} in {} s", lasted.as_secs())
                }
                Change::NumberClash(a, b) => format!("{a}={b}"),
                Change::Live(broadcast) => format!("+{broadcast}"),
                Change::Gone(broadcast) => format!("-{broadcast}"),
            });
        }
        told
    }
}

#[test]
fn an_edge_gone_silent_gets_nobody_after_three_heartbeats() {
    let mut story = Story::of(&["a", "b"]);
    story.pass(750);
    story.load("b", 0, State::Ready);
    assert_eq!(story.where_to(), ["a", "b"]);
    story.pass(1);
    story.load("b", 0, State::Ready);
    assert_eq!(story.where_to(), ["b"]);
    assert_eq!(story.changes(), ["a (Ready)>(Silent)"]);
}

#[test]
fn an_edge_that_left_drains_or_is_not_fed_gets_nobody() {
    let mut story = Story::of(&["a", "b", "c", "d"]);
    story.load("a", 0, State::Draining);
    story.load("b", 0, State::NotFed);
    story.hear(Heard::Left(id("c")));
    assert_eq!(story.where_to(), ["d"]);
    assert_eq!(story.changes(), ["a (Ready)>(Draining)", "b (Ready)>(NotFed)", "c (Ready)>(Left)"]);
}

#[test]
fn what_the_operator_says_holds_over_what_an_edge_says_and_before_it_comes() {
    let mut story = Story::of(&["a", "b"]);
    let rule = |standing| Ruling { standing, ..Ruling::default() };
    story.hear(Heard::Ruled(id("a"), rule(Standing::Drain)));
    assert_eq!(story.where_to(), ["b"]);
    assert_eq!(story.changes(), ["a active to drain with 7", "a (Ready)>(Draining)"]);
    story.hear(Heard::Ruled(id("a"), rule(Standing::Maintenance)));
    assert_eq!(story.changes(), ["a drain to maintenance with 7", "a (Draining)>(Maintenance)"]);
    story.hear(Heard::Ruled(id("a"), Ruling::default()));
    assert_eq!(story.changes(), ["a maintenance to active with 7", "a (Maintenance)>(Ready)"]);
    assert_eq!(story.router.rulings().count(), 0);

    story.hear(Heard::Ruled(id("c"), rule(Standing::Drain)));
    story.join("c", 100);
    story.load("c", 0, State::Ready);
    story.hear(Heard::Stream(id("c"), tide(1, &[4, 1], false)));
    assert!(!story.where_to().contains(&"c".to_owned()));
}

#[test]
fn weight_and_capacity_may_be_overruled_and_it_can_be_taken_back() {
    let mut story = Story::of(&["a"]);
    let rule =
        |weight, capacity: Option<u64>| Ruling { weight, capacity: capacity.map(mbit), ..Ruling::default() };
    story.hear(Heard::Ruled(id("a"), rule(Some(0), None)));
    assert!(matches!(story.decide(), Decision::NoEdge { .. }));
    story.hear(Heard::Ruled(id("a"), rule(None, Some(10))));
    assert_eq!(story.router.edge(&id("a")).map(Edge::usable), Some(mbit(9)));
    story.hear(Heard::Ruled(id("a"), Ruling::default()));
    let edge = story.router.edge(&id("a")).unwrap();
    assert_eq!((edge.usable(), edge.weight()), (mbit(90), 100));
}

#[test]
fn an_edge_that_is_taken_back_starts_slowly() {
    let mut story = Story::of(&["a"]);
    assert!(story.router.edge(&id("a")).unwrap().warmth(story.now) > 0.99);
    story.hear(Heard::Ruled(id("a"), Ruling { standing: Standing::Drain, ..Ruling::default() }));
    story.hear(Heard::Ruled(id("a"), Ruling::default()));
    assert!(story.router.edge(&id("a")).unwrap().warmth(story.now) < 0.11);
}

/// 90 Mbit/s are usable, a viewer takes 4: 22 fit. Either of two balancers takes half of them before it hears of
/// the other, and not one more.
#[test]
fn what_another_balancer_may_be_doing_is_left_free() {
    let mut story = Story::of(&["a"]);
    story.hear(Heard::Peers(1));
    let mut taken = 0;
    while let Decision::Go { reserved, .. } = story.decide() {
        taken += reserved.0 / 1_000_000;
    }
    assert!((40..=45).contains(&taken), "{taken} Mbit/s");
    story.pass(350);
    assert!(matches!(story.decide(), Decision::Go { .. }), "what is known by now is not counted twice");
}

#[test]
fn an_edge_that_has_not_said_it_is_ready_gets_nobody() {
    let mut story = Story::of(&["a"]);
    story.join("b", 100);
    story.hear(Heard::Stream(id("b"), tide(1, &[4, 1], false)));
    assert_eq!(story.where_to(), ["a"]);
}

#[test]
fn an_edge_without_the_broadcast_gets_nobody_for_it() {
    let mut story = Story::of(&["a"]);
    story.join("b", 100);
    story.load("b", 0, State::Ready);
    assert_eq!(story.where_to(), ["a"]);
}

#[test]
fn two_failed_probes_take_an_edge_out_and_two_answers_bring_it_back() {
    let mut story = Story::of(&["a", "b"]);
    let mut after = |answers: &[bool]| {
        answers.iter().for_each(|answered| story.hear(Heard::Probed(id("a"), *answered)));
        story.changes()
    };
    assert_eq!(after(&[false, true, false]), [""; 0]);
    assert_eq!(after(&[false]), ["a (Ready)>(Unreachable)"]);
    assert_eq!(after(&[true, false, true]), [""; 0]);
    assert_eq!(after(&[true]), ["a (Unreachable)>(Ready)"]);
}

/// One of four is fit: the balancer itself may be what is cut off. The fit one comes first while it has room.
#[test]
fn when_more_than_half_seem_gone_health_refuses_nobody() {
    let mut story = Story::of(&["a", "b", "c", "d"]);
    story.pass(800);
    story.load("d", 0, State::Ready);
    let Decision::Go { edge, others, .. } = story.decide() else { panic!("nobody went anywhere") };
    assert_eq!((edge, others.len()), (id("d"), 2));
    story.load("d", 100, State::Ready);
    assert_eq!(story.where_to(), ["a", "b", "c"]);
}

#[test]
fn half_of_the_fleet_gone_is_no_panic() {
    let mut story = Story::of(&["a", "b", "c", "d"]);
    story.pass(800);
    story.load("c", 100, State::Ready);
    story.load("d", 100, State::Ready);
    assert!(matches!(story.decide(), Decision::Full { .. }));
}

#[test]
fn a_viewer_stays_where_it_was_while_there_is_room() {
    let mut story = Story::of(&["a", "b", "c"]);
    let last = id("b");
    for random in 0..20 {
        let ask = Ask { broadcast: "tide", last: Some(&last), random };
        assert!(matches!(story.router.decide(story.now, ask), Decision::Go { edge, .. } if edge == last));
    }
    story.load("b", 90, State::Ready);
    let ask = Ask { broadcast: "tide", last: Some(&last), random: 0 };
    assert!(matches!(story.router.decide(story.now, ask), Decision::Go { edge, .. } if edge != last));
}

#[test]
fn whoever_says_nothing_of_himself_gets_an_edge_with_room() {
    let mut story = Story::of(&["a", "b", "c"]);
    story.load("a", 89, State::Ready);
    story.load("b", 0, State::NotFed);
    let picked = story.router.pick(story.now, 7, 3);
    assert_eq!(picked, [id("c"), id("a")], "a full one is better than none");
    assert_eq!(story.router.edge(&id("c")).unwrap().promised(story.now), mbit(4));
}

#[test]
fn the_others_are_two_and_none_of_them_twice() {
    let mut story = Story::of(&["a", "b", "c", "d"]);
    for _ in 0..50 {
        let Decision::Go { edge, mut others, .. } = story.decide() else { continue };
        others.push(edge);
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 3);
    }
}

/// Two edges, 180 Mbit/s usable.
#[test]
fn a_full_fleet_first_keeps_the_top_rendition_back_then_refuses() {
    let mut story = Story::of(&["a", "b"]);
    let mut at = |each| {
        story.load("a", each, State::Ready);
        story.load("b", each, State::Ready);
        let saturation = story.router.saturation(story.now);
        (saturation, story.decide())
    };
    assert!(matches!(at(50), (Saturation::Room, Decision::Go { without_top: false, .. })));
    let (saturation, decision) = at(77);
    assert_eq!(saturation, Saturation::TopForOldViewersOnly);
    assert!(matches!(decision, Decision::Go { without_top: true, reserved: BitRate(1_000_000), .. }));
    assert!(matches!(at(87), (Saturation::TopForNobody, Decision::Go { without_top: true, .. })));
    assert!(matches!(at(90), (Saturation::Full, Decision::Full { .. })));
}

#[test]
fn what_another_balancer_sent_there_takes_room_here() {
    let mut story = Story::of(&["a"]);
    story.hear(Heard::Reserved(id("a"), mbit(89), By::Balancer));
    assert!(matches!(story.decide(), Decision::Go { without_top: true, .. }));
    assert!(matches!(story.decide(), Decision::Full { .. }));
}

#[test]
fn a_new_edge_among_old_ones_starts_slowly() {
    let mut story = Story::of(&["a", "b", "c"]);
    story.join("d", 100);
    story.load("d", 0, State::Ready);
    story.hear(Heard::Stream(id("d"), tide(1, &[0], false)));
    let mut to_d = 0;
    for _ in 0..1000 {
        // Nothing is reserved that would matter: each second all is as before.
        story.pass(200);
        ["a", "b", "c", "d"].into_iter().for_each(|edge| story.load(edge, 20, State::Ready));
        if matches!(story.decide(), Decision::Go { edge, .. } if edge == id("d")) {
            to_d += 1;
        }
        if story.random == 30 {
            // 6 s of 30: still drawn seldom.
            assert!(to_d <= 6, "{to_d} of 30 went to the new edge");
        }
    }
    assert!((200..320).contains(&to_d), "{to_d} of 1000 went to the new edge");
}

#[test]
fn a_broadcast_is_live_from_its_first_edge_to_its_end() {
    let mut story = Story::of(&["a", "b"]);
    story.hear(Heard::Stream(id("a"), tide(1, &[4, 1], true)));
    assert_eq!(story.changes(), ["-tide"]);
    // b lags behind: the end is not taken back.
    story.hear(Heard::Stream(id("b"), tide(1, &[4, 1], false)));
    assert_eq!(story.decide(), Decision::NoBroadcast);
    story.hear(Heard::Stream(id("a"), tide(2, &[4], false)));
    story.hear(Heard::Stream(id("b"), tide(1, &[4, 1], true)));
    assert_eq!(story.changes(), ["+tide"]);
    assert!(matches!(story.decide(), Decision::Go { .. }));
}

#[test]
fn an_edge_that_lost_a_broadcast_gets_nobody_for_it() {
    let mut story = Story::of(&["a", "b"]);
    let over = |edge, run| Heard::Over(id(edge), BroadcastId::parse("tide").unwrap(), RunId(run));
    story.hear(over("a", 0));
    assert_eq!(story.where_to(), ["a", "b"], "the end of an old run was taken for the end of this one");
    story.hear(over("a", 1));
    assert_eq!(story.where_to(), ["b"]);
    story.hear(over("b", 1));
    assert_eq!(story.changes(), ["-tide"]);
}

#[test]
fn with_all_edges_gone_a_broadcast_is_unavailable_first_and_unknown_after_a_minute() {
    let mut story = Story::of(&["a"]);
    story.load("a", 0, State::Draining);
    story.hear(Heard::Left(id("a")));
    assert!(matches!(story.decide(), Decision::NoEdge { .. }));
    let deadline = story.router.deadline().unwrap();
    assert_eq!(deadline, story.now + FORGET);
    story.now = deadline;
    assert_eq!(story.changes(), ["a (Ready)>(Draining)", "a (Draining)>(Left)", "a (Left)>None", "-tide"]);
    assert_eq!(story.decide(), Decision::NoBroadcast);
    assert_eq!(story.router.deadline(), None);
}

#[test]
fn an_edge_that_comes_back_has_what_it_tells_again() {
    let mut story = Story::of(&["a", "b"]);
    story.hear(Heard::Left(id("a")));
    story.join("a", 100);
    story.load("a", 0, State::Ready);
    assert_eq!(story.where_to(), ["a", "b"]);
    for _ in 0..41 {
        story.pass(250);
        story.load("a", 0, State::Ready);
        story.load("b", 0, State::Ready);
    }
    assert_eq!(story.where_to(), ["b"]);
}

/// A restart that hands over: the next process joins where the one before it has not left, and says how it is at its
/// next heartbeat.
#[test]
fn an_edge_that_is_succeeded_is_not_unfed_for_a_moment() {
    let mut story = Story::of(&["a", "b"]);
    story.join("a", 200);
    assert_eq!(story.changes(), [""; 0]);
    assert_eq!(story.where_to(), ["a", "b"]);
    story.load("a", 0, State::NotFed);
    assert_eq!(story.changes(), ["a (Ready)>(NotFed)"]);
    // One that was silent comes back as a stranger.
    story.load("a", 0, State::Ready);
    story.pass(SILENCE.as_millis() as u64 + 1);
    story.changes();
    story.join("a", 100);
    assert_eq!(story.changes(), ["a (Silent)>(NotFed)"]);
}

#[test]
fn time_alone_wakes_the_router_only_when_something_is_due() {
    let mut story = Story::of(&["a"]);
    let first = story.router.deadline().unwrap();
    assert_eq!(first, story.now + SILENCE + Duration::from_millis(1));
    story.now = first;
    assert_eq!(story.changes(), ["a (Ready)>(Silent)"]);
    assert!(story.router.deadline().unwrap() > story.now + Duration::from_secs(50));
}

#[test]
fn a_stranger_is_not_heard() {
    let mut router = Router::new();
    let load = Load { egress: mbit(1), viewers: 0, newest_segment_age: None, lag: None, state: State::Ready };
    let refused = router.push(Instant::now(), Heard::Load(id("x"), load));
    assert_eq!(refused, Err(Refused::NotJoined(id("x"))));
}

#[test]
fn one_edge_too_many_is_refused() {
    let mut story = Story::of(&[]);
    (0..MAX_EDGES).for_each(|n| story.join(&format!("e{n}"), 1));
    let declared = Declared { id: id("late"), capacity: mbit(1), weight: 100 };
    let refused = story.router.push(story.now, Heard::Joined(declared));
    assert_eq!(refused, Err(Refused::TooManyEdges(id("late"))));
    // 1024 edges draw from 65,535 numbers: some clash, and it is said.
    assert!(story.changes().iter().any(|change| change.contains('=')));
}

#[test]
fn an_edge_that_lags_gets_nobody_unless_too_many_do() {
    let mut story = Story::of(&["a", "b", "c"]);
    story.load("a", 0, State::Lagging);
    assert_eq!(story.where_to(), ["b", "c"]);
    assert_eq!(story.changes(), ["a (Ready)>(Lagging)"]);
    assert_eq!(story.router.pick(story.now, 1, 3).len(), 2);
    // Two of three: whatever makes them late is not theirs alone.
    story.load("b", 0, State::Lagging);
    assert_eq!(story.where_to(), ["a", "b", "c"]);
    assert_eq!(story.router.pick(story.now, 1, 3).len(), 3);
    story.load("c", 0, State::Lagging);
    assert_eq!(story.where_to(), ["a", "b", "c"]);
    assert_eq!(story.router.saturation(story.now), Saturation::Room);
    // Not the operator's word, nor an edge's that it has nothing.
    story.load("c", 0, State::NotFed);
    assert_eq!(story.where_to(), ["a", "b"]);
}

#[test]
fn an_edge_that_lags_is_no_room_for_a_crowd() {
    let mut story = Story::of(&["a", "b", "c"]);
    story.load("a", 0, State::Lagging);
    for _ in 0..2 {
        ["b", "c"].iter().for_each(|edge| story.load(edge, 90, State::Ready));
        assert!(matches!(story.decide(), Decision::Full { .. }));
    }
    assert_eq!(story.router.saturation(story.now), Saturation::Full);
}
