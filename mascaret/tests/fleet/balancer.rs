//! A balancer that is upgraded while it is asked, by every one of its doors, and one whose successor gives up.

use super::stage::{Door, Doors, ETC, Fleet, get, wait};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is asked of a balancer, and what it is to answer.
type Question = (Door, String, u16);

/// All that it can be asked, by all its doors.
fn questions(fleet: &Fleet) -> Vec<Question> {
    let multivariant = "/live/tide/index.m3u8";
    let playlist =
        wait("a playlist", || get(fleet.lb(), multivariant).filter(|(status, ..)| *status == 200)).2;
    let steer = playlist.split("SERVER-URI=\"").nth(1).and_then(|rest| rest.split('"').next());
    vec![
        (Door::Http, multivariant.to_owned(), 200),
        (Door::Http, steer.expect("steering").to_owned(), 200),
        (Door::Https, steer.expect("steering").to_owned(), 200),
        (Door::Http, "/go/tide".to_owned(), 307),
        (Door::Passed, "/live/tide/360p/index.m3u8".to_owned(), 200),
    ]
}

/// Asks again and again, on a connection of its own each time, and notes every answer that is not as it should be.
fn asks_until(doors: &Doors, questions: &[Question], is_over: &AtomicBool) -> (u64, Vec<String>) {
    let (mut asked, mut wrong) = (0, Vec::new());
    while !is_over.load(Ordering::Acquire) {
        for (door, path, wanted) in questions {
            let began = Instant::now();
            let answer = doors.get(*door, path);
            asked += 1;
            if answer.as_ref().map(|(status, ..)| *status) != Some(*wanted) {
                let said =
                    answer.map(|(status, _, body)| (status, body.chars().take(200).collect::<String>()));
                wrong.push(format!("{door:?} {path} after {:?}: {said:?}", began.elapsed()));
            }
        }
        // Each new viewer has an edge's room reserved for a moment: more of them would rightly find the fleet full.
        std::thread::sleep(Duration::from_millis(60));
    }
    (asked, wrong)
}

/// Asked by three at once while something is done, and refused by nobody.
fn answers_all_the_while(fleet: &mut Fleet, does: impl FnOnce(&mut Fleet)) {
    let (questions, doors) = (questions(fleet), fleet.doors());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| asks_until(&doors, &questions, &is_over))).collect();
        does(fleet);
        is_over.store(true, Ordering::Release);
        for asker in askers {
            let (asked, wrong) = asker.join().expect("an asker");
            println!("{asked} asked, {} not answered as they should be", wrong.len());
            assert!(asked > 20 && wrong.is_empty(), "{asked} asked; {:#?}", &wrong[..wrong.len().min(4)]);
        }
    });
}

fn are_ready(fleet: &Fleet) -> bool {
    ["edge1", "edge2"].iter().all(|edge| fleet.state(edge)["state"] == "ready")
}

#[test]
fn a_balancer_is_upgraded_under_requests_and_refuses_nobody() {
    let mut fleet = Fleet::new(3, &format!("{ETC}/edges.toml"));
    let line = format!("mascaret lb --settings {ETC}/lb.toml");
    fleet.starts(&line);
    for edge in ["edge1", "edge2"] {
        fleet.starts(&format!("mascaret edge --settings {ETC}/{edge}.toml"));
    }
    wait("edges to be ready", || are_ready(&fleet).then_some(()));
    who_is_passed_through_is_named(&fleet);
    answers_all_the_while(&mut fleet, |fleet| {
        for _ in 0..3 {
            fleet.starts(&line);
            let ready = || get(fleet.operator("lb"), "/readyz").filter(|(status, ..)| *status == 200);
            wait("the new one to be ready", ready);
        }
        a_successor_gives_up(fleet);
    });
    assert!(are_ready(&fleet));
    // That door was handed over too.
    who_is_passed_through_is_named(&fleet);
}

/// Its certificates are of another cluster: it is let have the edges' links, no edge trusts it, and it gives up. Whoever
/// served goes on all the while, by what was known, and has the links again.
fn a_successor_gives_up(fleet: &Fleet) {
    fleet.runs("mascaret certs init --dir /etc/mascaret/other");
    let (certs, other) = (fleet.path("certs"), fleet.path("other"));
    let settings = std::fs::read_to_string(fleet.path("lb.toml")).expect("its settings");
    let stranger = settings.replace(&format!("{certs:?}"), &format!("{other:?}"));
    assert_ne!(stranger, settings);
    fleet.write("stranger.toml", &stranger);
    let (_, mut successor) = fleet.begins(&format!("mascaret lb --settings {ETC}/stranger.toml"));
    let status = wait("it to give up", || successor.has_ended());
    let said = successor.said();
    assert!(
        !status.success() && said.contains("no edge is ready within 5s; the predecessor goes on"),
        "{said}"
    );
    let former = fleet.log_of("lb");
    assert!(former.contains("the successor is gone before it was ready"), "{former}");
    wait("the edges to be linked again", || are_ready(fleet).then_some(()));
}

/// One of an edge's counters, over its cores.
fn core_count(fleet: &Fleet, edge: &str, name: &str) -> u64 {
    let (.., metrics) = get(fleet.operator(edge), "/metrics").expect("the edge's operator");
    let lines =
        metrics.lines().filter(|line| line.starts_with(&format!("mascaret_edge_core_{name}_total{{")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Each of five connections that the balancer passes through is said to be somebody's, and so counted by an edge.
fn who_is_passed_through_is_named(fleet: &Fleet) {
    let count = |name| ["edge1", "edge2"].iter().map(|edge| core_count(fleet, edge, name)).sum::<u64>();
    let before = count("proxied");
    for _ in 0..5 {
        assert_eq!(get(fleet.passed(), "/live/tide/360p/index.m3u8").expect("an edge answers").0, 200);
    }
    assert_eq!(count("proxied"), before + 5);
    // The balancer's own looks whether the edges live, from the same address, say nothing of anybody.
    assert!(["edge1", "edge2"].iter().all(|edge| fleet.state(edge)["state"] == "ready"));
    assert_eq!(count("refused_proxy"), 0);
}
