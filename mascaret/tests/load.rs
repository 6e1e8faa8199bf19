//! Fifty simulated viewers at a real cluster: nobody stalls, every edge sends the same bytes, and what the load
//! tester says it asked for is what the edges say they were asked for. Skipped, and said so, where
//! `mascaret-transcode` was not built.

mod stage;

use std::process::{Command, Stdio};

use serde_json::Value;

use stage::cluster::{Cluster, Wanted, has_transcode};

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
/// Ports of its own, so that a demo that somebody is watching goes on.
const OFFSET: u16 = 17_000;
const EDGES: [&str; 2] = ["127.0.0.21:26090", "127.0.0.22:26090"];
const EDGES_HTTP: [&str; 2] = ["127.0.0.21:25080", "127.0.0.22:25080"];
const TLS: &str = "127.0.0.21:25443";
const LB: &str = "127.0.0.31:25080";

/// Requests with a ticket: those of viewers that a balancer sent. The demo's own watcher asks without.
fn asked_of(operator: &str) -> u64 {
    let page = stage::text(operator, "/metrics");
    let is_ticket = |line: &&str| {
        !line.starts_with('#') && (line.contains("tickets_home") || line.contains("tickets_away"))
    };
    let counts: Vec<u64> = page
        .lines()
        .filter(is_ticket)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|count| count as u64)
        .collect();
    assert_eq!(counts.len(), 2, "two counters of tickets in:\n{page}");
    counts.iter().sum()
}

#[test]
fn fifty_viewers_watch_and_count_as_the_edges_do() {
    if !has_transcode() {
        return;
    }
    let cluster = Cluster::start(Wanted { port_offset: OFFSET, edges: 2, lasts: 150, words: &[] });
    let broadcast = cluster.broadcast();
    cluster.wait_until_fed();

    // A viewer begins three target durations behind the end: as many there must be, and one to spare.
    stage::wait_for_segments(EDGES_HTTP, &broadcast, 4);
    let before: u64 = EDGES.iter().map(|edge| asked_of(edge)).sum();
    let url = format!("http://{LB}/live/{broadcast}/index.m3u8");
    let ran = Command::new(MASCARET)
        .args(["loadtest", &url, "--viewers", "50", "--ramp", "3s", "--for", "12s", "--hash", "--json", "-"])
        .args(["--fail-if", "stalls > 0", "--fail-if", "errors > 0", "--fail-if", "started < 50"])
        .stderr(Stdio::inherit())
        .output()
        .expect("mascaret loadtest");
    let after: u64 = EDGES.iter().map(|edge| asked_of(edge)).sum();
    let report: Value = serde_json::from_slice(&ran.stdout).expect("a report");
    assert!(ran.status.success(), "{:#}", report["checks"]);
    assert_eq!(report["viewers"]["arrived"], 50);
    assert!(report["bytes"]["compared"].as_u64() > Some(0), "{:#}", report["bytes"]);
    assert_eq!(report["bytes"]["differing"], 0, "{:#}", report["bytes"]);

    let kinds = report["requests"].as_object().expect("requests by kind");
    let at_edges = kinds.iter().filter(|(kind, _)| !["multivariant", "steering"].contains(&kind.as_str()));
    let asked: u64 = at_edges.filter_map(|(_, of)| of["asked"].as_u64()).sum();
    let counted = after - before;
    println!("{asked} asked, {counted} counted by the edges");
    assert!(asked > 300, "{asked} asked by 50 viewers in 12 s");
    assert!(asked.abs_diff(counted) * 50 <= counted, "{asked} asked, {counted} counted by the edges");

    // By TLS, with the demo's own CA and without it.
    let url = format!("https://{TLS}/live/{broadcast}/index.m3u8");
    let ca = cluster.folder().join("certs/ca.pem");
    let words = ["loadtest", &url, "--viewers", "10", "--ramp", "1s", "--for", "5s", "--quiet"];
    let fails = ["--fail-if", "errors > 0", "--fail-if", "started < 10"];
    let trusting = Command::new(MASCARET).args(words).args(fails).arg("--ca").arg(ca).status();
    assert!(trusting.expect("mascaret loadtest").success(), "by TLS");
    let doubting =
        Command::new(MASCARET).args(words).args(["--json", "-"]).output().expect("mascaret loadtest");
    let report: Value = serde_json::from_slice(&doubting.stdout).expect("a report");
    assert_eq!((doubting.status.code(), &report["viewers"]["started"]), (Some(1), &Value::from(0)));
}

#[test]
fn wrong_usage_is_told_before_anybody_is_asked() {
    for (words, said) in [
        (&["http://203.0.113.7/x.m3u8"][..], "only with --i-own-this-host"),
        (&["http://127.0.0.1/x.m3u8", "--ca", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
        (&["http://127.0.0.1/x.m3u8", "--fail-if", "luck > 3"], "luck"),
        (&["gopher://127.0.0.1/"], "http"),
    ] {
        let ran = Command::new(MASCARET).arg("loadtest").args(words).output().expect("mascaret loadtest");
        let error = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}

#[test]
fn a_server_that_is_not_there_fails_the_run() {
    // Bound and never listened on: nobody else answers there meanwhile.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    let ran = Command::new(MASCARET)
        .args([
            "loadtest",
            &format!("http://127.77.0.1:{port}/x.m3u8"),
            "--viewers",
            "2",
            "--for",
            "2s",
            "--quiet",
        ])
        .output()
        .expect("mascaret loadtest");
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
}
