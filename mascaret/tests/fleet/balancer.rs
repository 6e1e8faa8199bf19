//! A balancer that is upgraded while it is asked, and one that passes connections through.

use super::stage::{ETC, Fleet, get, wait};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Asks again and again, on a connection of its own each time, and notes every answer that is not as it should be.
fn asks_until(lb: SocketAddr, paths: &[(String, u16)], is_over: &AtomicBool) -> (u64, Vec<String>) {
    let (mut asked, mut wrong) = (0, Vec::new());
    while !is_over.load(Ordering::Acquire) {
        for (path, wanted) in paths {
            let began = Instant::now();
            let answer = get(lb, path);
            asked += 1;
            if answer.as_ref().map(|(status, ..)| *status) != Some(*wanted) {
                let said =
                    answer.map(|(status, _, body)| (status, body.chars().take(200).collect::<String>()));
                wrong.push(format!("{path} after {:?}: {said:?}", began.elapsed()));
            }
        }
        // Each new viewer has an edge's room reserved for a moment: more of them would rightly find the fleet full.
        std::thread::sleep(Duration::from_millis(60));
    }
    (asked, wrong)
}

#[test]
fn a_balancer_is_upgraded_under_requests_and_refuses_nobody() {
    let mut fleet = Fleet::new(3, &format!("{ETC}/edges.toml"));
    let line = format!("mascaret lb --settings {ETC}/lb.toml");
    fleet.starts(&line);
    for edge in ["edge1", "edge2"] {
        fleet.starts(&format!("mascaret edge --settings {ETC}/{edge}.toml"));
    }
    for edge in ["edge1", "edge2"] {
        wait("edges to be ready", || (fleet.state(edge)["state"] == "ready").then_some(()));
    }
    who_is_passed_through_is_named(&fleet);
    let lb = fleet.lb();
    let playlist =
        wait("a playlist", || get(lb, "/live/tide/index.m3u8").filter(|(status, ..)| *status == 200)).2;
    let steer = playlist.split("SERVER-URI=\"").nth(1).and_then(|rest| rest.split('"').next());
    let paths = [
        ("/live/tide/index.m3u8".to_owned(), 200),
        (steer.expect("steering").to_owned(), 200),
        ("/go/tide".to_owned(), 307),
    ];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..3).map(|_| scope.spawn(|| asks_until(lb, &paths, &is_over))).collect();
        for _ in 0..3 {
            fleet.starts(&line);
            wait("the new one to be ready", || {
                get(fleet.operator("lb"), "/readyz").filter(|(status, ..)| *status == 200)
            });
        }
        is_over.store(true, Ordering::Release);
        for asker in askers {
            let (asked, wrong) = asker.join().expect("an asker");
            println!("{asked} asked, {} not answered as they should be", wrong.len());
            assert!(asked > 30 && wrong.is_empty(), "{asked} asked; {:#?}", &wrong[..wrong.len().min(4)]);
        }
    });
    assert!(["edge1", "edge2"].iter().all(|edge| fleet.state(edge)["state"] == "ready"));
    // That door was handed over too.
    who_is_passed_through_is_named(&fleet);
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
