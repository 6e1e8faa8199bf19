//! Two ingests, one picture, as real processes: ffmpeg publishes, ingests are killed, and at four edges every segment is
//! there, once, the same.
//!
//! Lives here: the stories. Does not live here: the processes (`cluster`), ffmpeg (`encoder`), what is seen (`watching`).
//!
//! `MASCARET_TWIN_MINUTES` makes the kills last that long (30 for a release, with 20 kills); a few seconds by default.
//! `MASCARET_TWIN_SEED` repeats one. `MASCARET_TWIN_LONG=1` adds the reconnect after 20 s and ten minutes of an encoder
//! killed every 10 s.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod cluster;
mod encoder;
#[path = "../stage/page.rs"]
mod page;
mod watching;

use cluster::{Cluster, MASCARET, fetch, status};
use encoder::{publish_to, publish_to_both};
use std::process::Command;
use std::time::{Duration, Instant};
use watching::Watching;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn an_ingest_killed_with_both_fed_is_not_seen_by_anybody() {
    let Some(mut cluster) = Cluster::start(71) else { return };
    let seed = number("MASCARET_TWIN_SEED").unwrap_or(20_261);
    let (kills, pause_ms) = match number("MASCARET_TWIN_MINUTES") {
        Some(minutes) => (20, minutes * 60_000 / 20),
        None => (3, 0),
    };
    let mut chance = Chance(seed);
    let _publisher = publish_to_both(&cluster);
    let watching = Watching::start(&cluster);
    cluster.leader(true);
    watching.more(&cluster, 3);
    for kill in 0..kills {
        let leader = cluster.leader(true);
        // The leader first; later whoever chance names.
        let victim = if kill == 0 || chance.below(2) == 0 { leader } else { 1 - leader };
        let wait =
            chance.below(1500) + chance.below(pause_ms.saturating_mul(2).saturating_sub(10_000).max(1));
        std::thread::sleep(Duration::from_millis(wait));
        cluster.ingests[victim].take().unwrap().kill();
        watching.more(&cluster, 3);
        cluster.start_ingest(victim);
        println!("kill {kill}: ingest{victim}, which {}", if victim == leader { "led" } else { "followed" });
    }
    cluster.leader(true);
    watching.more(&cluster, 4);
    let seen = watching.end(&cluster);
    println!("{kills} kills, seed {seed}: {} segments, the same at all edges", seen.shared());
    assert_eq!(seen.discontinuities.len(), 1, "{:?}", seen.discontinuities);
    assert!(seen.shared() >= 20, "{} segments", seen.shared());
}

/// SIGKILL to the encoder's process of an ingest.
fn kill_transcode(cluster: &Cluster, ingest: usize) {
    let pid = cluster.wait("a transcode process", || {
        cluster.broadcast(ingest).and_then(|shown| shown["transcode_pid"].as_u64())
    });
    // It may have ended by itself meanwhile.
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

fn failover(cluster: &Cluster, ingest: usize, words: &[&str]) -> (bool, String) {
    let said = Command::new(MASCARET)
        .args(["ingest", "failover", &cluster.at(ingest, 9090)])
        .args(words)
        .output()
        .unwrap();
    (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
}

/// As the chapter "Start" has it: the balancer says how it goes.
fn a_started_cluster_is_looked_at(cluster: &Cluster, lb: &str) {
    let operator = format!("{lb}:9090");
    cluster
        .wait("the edge to be ready", || (status(&operator)?["edges"][0]["state"] == "ready").then_some(()));
    cluster.runs(&page::line("mascaret status 127.0.0.1:9090"), &[("127.0.0.1:9090", &operator)]);
}

#[test]
fn the_operator_hands_the_lead_over_and_neither_killed_encoders_nor_a_hung_ingest_change_a_byte() {
    let Some(mut cluster) = Cluster::start(72) else { return };
    let lb = cluster.start_balancer();
    let _publisher = publish_to_both(&cluster);
    let watching = Watching::start(&cluster);
    let leader = cluster.leader(true);
    watching.more(&cluster, 2);
    a_started_cluster_is_looked_at(&cluster, &lb);
    let rehearse = page::line("mascaret ingest failover 10.0.0.1:9090 --dry-run");
    let said = cluster.runs(&rehearse, &[("10.0.0.1:9090", &cluster.at(leader, 9090))]);
    assert!(said.contains("tide: would be handed over"), "{said}");
    assert_eq!(cluster.leader(true), leader, "nothing was done");
    let (is_done, said) = failover(&cluster, leader, &["--broadcast", "tide"]);
    if !is_done {
        cluster.show_logs();
    }
    assert!(is_done && said.contains("handed over") && said.contains("without a seam"), "{said}");
    assert_eq!(cluster.leader(true), 1 - leader);
    let (is_done, said) = failover(&cluster, leader, &[]);
    assert!(is_done && said.contains("leads it already"), "{said}");
    for ingest in [leader, 1 - leader] {
        kill_transcode(&cluster, ingest);
        watching.more(&cluster, 2);
    }
    // The one that leads now hangs, and wakes with an old term.
    cluster.ingests[1 - leader].as_ref().unwrap().signal("-STOP");
    watching.more(&cluster, 4);
    cluster.ingests[1 - leader].as_ref().unwrap().signal("-CONT");
    assert_eq!(cluster.leader(true), leader, "the one that did not hang");
    watching.more(&cluster, 2);
    let hand_over = page::line("mascaret ingest failover 10.0.0.1:9090");
    cluster.runs(&hand_over, &[("10.0.0.1:9090", &cluster.at(leader, 9090))]);
    assert_eq!(cluster.leader(true), 1 - leader);
    for (ingest, part) in [(leader, "followed"), (1 - leader, "led")] {
        let text = String::from_utf8(fetch(&cluster.at(ingest, 9090), "/metrics").unwrap()).unwrap();
        assert!(text.contains("mascaret_ingest_twin_linked 1\n"), "{text}");
        assert!(text.contains(&format!("mascaret_ingest_broadcasts_{part} 1\n")), "{text}");
    }
    // It is stopped, and comes back, as for an upgrade.
    page::line("systemctl restart mascaret-ingest");
    let mut stopped = cluster.ingests[1 - leader].take().unwrap();
    stopped.signal("-TERM");
    watching.more(&cluster, 3);
    let (is_done, said) = failover(&cluster, leader, &["--broadcast", "tide"]);
    assert!(!is_done && said.contains("does not follow"), "{said}");
    let status = cluster.wait("it to end", || stopped.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
    cluster.start_ingest(1 - leader);
    assert_eq!(cluster.leader(true), leader, "who comes back follows");
    let seen = watching.end(&cluster);
    assert_eq!(seen.discontinuities.len(), 1, "{:?}", seen.discontinuities);
}

#[test]
fn an_encoder_with_one_connection_comes_back_here_and_there_and_numbers_go_on() {
    let Some(mut cluster) = Cluster::start(73) else { return };
    let mut publisher = publish_to(&cluster, 0);
    let watching = Watching::start(&cluster);
    assert_eq!(cluster.leader(false), 0);
    watching.more(&cluster, 3);
    let is_long = number("MASCARET_TWIN_LONG").is_some();
    for away in [1, 5, 20].into_iter().filter(|away| *away < 20 || is_long) {
        publisher.kill();
        std::thread::sleep(Duration::from_secs(away));
        publisher = publish_to(&cluster, 0);
        watching.more(&cluster, 3);
        println!("back after {away} s");
    }
    // The ingest is killed, and the encoder with it: it comes to the other one.
    cluster.ingests[0].take().unwrap().kill();
    drop(publisher);
    watching.more(&cluster, 1);
    let _publisher = publish_to(&cluster, 1);
    watching.more(&cluster, 3);
    cluster.start_ingest(0);
    assert_eq!(cluster.leader(false), 1);
    watching.more(&cluster, 3);
    let seen = watching.end(&cluster);
    assert_eq!(seen.discontinuities.len(), 1, "the coding did not change: {:?}", seen.discontinuities);
}

#[test]
fn an_encoder_killed_every_ten_seconds_changes_no_byte() {
    if number("MASCARET_TWIN_LONG").is_none() {
        eprintln!("skipped: ten minutes, with MASCARET_TWIN_LONG=1");
        return;
    }
    let Some(cluster) = Cluster::start(74) else { return };
    let _publisher = publish_to_both(&cluster);
    let watching = Watching::start(&cluster);
    cluster.leader(true);
    watching.more(&cluster, 3);
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < Duration::from_secs(600) {
        kill_transcode(&cluster, kills % 2);
        kills += 1;
        std::thread::sleep(Duration::from_secs(10));
    }
    watching.more(&cluster, 3);
    let seen = watching.end(&cluster);
    println!("{kills} encoders killed, {} segments the same at all edges", seen.shared());
    assert_eq!(seen.discontinuities.len(), 1);
}
