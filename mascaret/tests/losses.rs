//! Hundreds of simulated viewers that behave as our page does, and edges that are killed, that hang, that are started
//! again: nobody stalls, and nobody stays where nothing is to be had.
//!
//! 120 viewers; `MASCARET_LOSS_VIEWERS=500` for a release. `MASCARET_LOSS_PLAYERS=all` has the other players too, whose
//! figures are printed. Skipped, and said so, where `mascaret-transcode` was not built.

mod stage;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use stage::cluster::{Cluster, Wanted, has_transcode, mascaret};
use stage::crowd::{AWAY_MAX, Crowd, away};
use stage::processes;

/// Ports of their own, so that a demo that somebody is watching goes on.
const PORT_OFFSET: u16 = 14_000;

fn viewers() -> u32 {
    std::env::var("MASCARET_LOSS_VIEWERS").ok().and_then(|text| text.parse().ok()).unwrap_or(120)
}

fn cluster() -> Cluster {
    let cluster = Cluster::start(Wanted { port_offset: PORT_OFFSET, edges: 4, lasts: 600, words: &[] });
    cluster.wait_until_fed();
    // A viewer begins three target durations behind the end: as many there must be, and one to spare.
    stage::wait_for_segments(cluster.edges.iter().map(|(_, at)| &**at), &cluster.broadcast(), 4);
    cluster
}

/// Requests for media that came to nothing. Steering asks a balancer, and may wait.
fn failed(report: &Value) -> u64 {
    let kinds = report["errors"]["by_kind"].as_object().expect("errors by kind");
    let media = kinds.iter().filter(|(kind, _)| *kind != "steering");
    media
        .flat_map(|(_, classes)| classes.as_object().into_iter().flatten())
        .filter_map(|(_, times)| times.as_u64())
        .sum()
}

/// One edge is killed, and later another one hangs; each for longer than anybody holds.
fn lose(cluster: &Cluster, viewers: u32, words: &[&str]) -> (Value, [(u64, u64); 2]) {
    let crowd = Crowd::comes(cluster, viewers, words);
    let [(killed, _), (hung, _), ..] = &cluster.edges[..] else { panic!("two edges to lose") };
    let hangs = cluster.process_of(hung);
    let at = crowd.watches_until(9);
    cluster.kill(killed);
    let later = crowd.watches_until(16);
    processes::hang(hangs);
    let end = crowd.watches_until(24);
    let report = crowd.leaves();
    processes::go_on(hangs);
    cluster.revive(killed);
    let aways = [away(&report, at, later), away(&report, later, end)];
    println!(
        "{words:?}: {killed} killed: {} viewers off it, the last within {} s; {hung} hangs: {}, within {} s; {} stalls, \
         {:.1} s in all; from what was due to elsewhere p50 {} ms, max {} ms; switches {}, hedges {}, failed {}",
        aways[0].1,
        aways[0].0,
        aways[1].1,
        aways[1].0,
        report["playback"]["stalls"],
        report["playback"]["stalled_seconds"].as_f64().unwrap_or_default(),
        report["playback"]["got_away"]["p50_us"].as_u64().unwrap_or(0) / 1000,
        report["playback"]["got_away"]["max_us"].as_u64().unwrap_or(0) / 1000,
        report["notices"]["switched"],
        report["notices"]["hedged"],
        failed(&report),
    );
    (report, aways)
}

#[test]
fn edges_are_killed_hang_are_started_again_come_and_go_and_nobody_stalls() {
    if !has_transcode() {
        return;
    }
    let cluster = cluster();
    let viewers = viewers();
    let (report, aways) = lose(&cluster, viewers, &["--hedge"]);
    assert_eq!(report["viewers"]["started"], viewers, "{:#}", report["viewers"]);
    assert_eq!(report["playback"]["stalls"], 0, "{:#}", report["playback"]);
    assert_eq!(report["viewers"]["at_end"]["fine"], viewers, "{:#}", report["viewers"]);
    for (last, came) in aways {
        assert!(came > 0, "nobody watched at the edge that was lost");
        assert!(Duration::from_secs(last) <= AWAY_MAX, "the last is away after {last} s");
    }
    start_all_again(&cluster, viewers);
    come_and_go(&cluster, viewers, &["--hedge"]);
    if std::env::var("MASCARET_LOSS_PLAYERS").is_ok_and(|text| text == "all") {
        for words in
            [&["--player", "page"][..], &["--player", "hls.js"], &["--player", "hls.js", "--no-steering"]]
        {
            sleep(Duration::from_secs(3));
            lose(&cluster, viewers, words);
            come_and_go(&cluster, viewers, words);
        }
    }
}

/// A new edge takes viewers by then, from its start on; a drained one is empty by then, from the command on.
const TAKES_WITHIN: Duration = Duration::from_secs(5);
const EMPTY_WITHIN: Duration = Duration::from_secs(15);

/// What a balancer says of an edge.
fn edge_at(cluster: &Cluster, edge: &str) -> Value {
    let settings = std::fs::read_to_string(cluster.folder().join("lb1.toml")).expect("its settings");
    let table = settings.split("[operator]").nth(1).expect("its operator");
    let operator = table.split('"').nth(1).expect("an address");
    let status: Value = serde_json::from_str(&stage::text(operator, "/status")).unwrap_or(Value::Null);
    let edges = status["edges"].as_array().cloned().unwrap_or_default();
    edges.into_iter().find(|it| it["id"] == edge).unwrap_or(Value::Null)
}

/// `mascaret edge <word> <edge> --wait`; how long that took.
fn operator_says(cluster: &Cluster, word: &str, edge: &str) -> Duration {
    let began = Instant::now();
    let settings = cluster.folder().join("lb1.toml");
    let mut command = Command::new(mascaret());
    command.args(["edge", word, edge, "--wait", "40s", "--settings"]).arg(settings);
    let output = command.output().expect("mascaret edge");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

/// An edge is started while viewers arrive, and takes some of them; another one is drained, and is soon empty.
fn come_and_go(cluster: &Cluster, viewers: u32, words: &[&str]) {
    let [.., (drained, _), (new, _)] = &cluster.edges[..] else { panic!("two edges") };
    cluster.kill(new);
    let is_gone = || edge_at(cluster, new)["state"] != "ready";
    stage::wait("nobody to count on it", || is_gone().then_some(()));
    let crowd = Crowd::comes_over("12s", cluster, viewers, words);
    crowd.watches_until(5);
    let began = Instant::now();
    cluster.begin("edge", new);
    stage::wait("it to be ready", || (edge_at(cluster, new)["state"] == "ready").then_some(()));
    let ready = began.elapsed();
    let has_viewers = || edge_at(cluster, new)["viewers"].as_u64().is_some_and(|viewers| viewers > 0);
    stage::wait("it to have viewers", || has_viewers().then_some(()));
    let taken = began.elapsed();
    crowd.watches_until(13);
    let left = edge_at(cluster, drained)["viewers"].as_u64();
    let empty = operator_says(cluster, "drain", drained);
    operator_says(cluster, "ready", drained);
    crowd.watches_until(crowd.began.elapsed().as_secs() + 2);
    let report = crowd.leaves();
    println!(
        "{new} ready after {} ms, has viewers after {} ms; {drained}, with {left:?} connections, empty after {} ms; \
         {} stalls, errors {}, notices {}",
        ready.as_millis(),
        taken.as_millis(),
        empty.as_millis(),
        report["playback"]["stalls"],
        report["errors"],
        report["notices"]
    );
    assert!(left > Some(0), "nobody was at {drained}");
    assert!(taken <= TAKES_WITHIN, "{new} took viewers after {taken:?}, ready after {ready:?}");
    assert!(empty <= EMPTY_WITHIN, "{drained} was empty after {empty:?}");
    assert_eq!(report["viewers"]["started"], viewers, "{:#}", report["viewers"]);
    assert_eq!(report["playback"]["stalls"], 0, "{:#}", report["playback"]);
}

/// Each edge and each balancer takes over from the one before it, and no request of any viewer comes to nothing.
fn start_all_again(cluster: &Cluster, viewers: u32) {
    let crowd = Crowd::comes(cluster, viewers, &["--hedge"]);
    crowd.watches_until(8);
    let edges = cluster.edges.iter().map(|(edge, _)| ("edge", &**edge));
    for (role, name) in edges.chain([("lb", "lb1"), ("lb", "lb2")]) {
        let before = cluster.process_of(name);
        let began = Instant::now();
        // Takes the sockets over, is filled or told, and relieves the one that is there.
        cluster.begin(role, name);
        stage::wait(&format!("the end of the old {name}"), || (!processes::runs(before)).then_some(()));
        println!("{name} relieved after {} ms", began.elapsed().as_millis());
    }
    let over = crowd.began.elapsed().as_secs();
    crowd.watches_until(over + 3);
    let report = crowd.leaves();
    println!(
        "all started again in {} s; errors {}, notices {}",
        over - 8,
        report["errors"],
        report["notices"]
    );
    assert_eq!(report["viewers"]["started"], viewers, "{:#}", report["viewers"]);
    assert_eq!(report["playback"]["stalls"], 0, "{:#}", report["playback"]);
    assert_eq!(report["errors"]["total"], 0, "{:#}", report["errors"]);
}
