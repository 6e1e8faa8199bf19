//! What an edge holds has a bound, and every bound can be seen to be met.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::MediaSpan;
use node::settings::Megabytes;
use percore::Driver;
use stage::{Cluster, Edge, FIRST, Viewer, body, on_both_drivers, segment_path, settings, until};

on_both_drivers! {
    windows_that_are_full_list_gaps_and_go_on,
    every_limit_has_its_counter_in_the_metrics,
}

/// One of the edge's metrics without labels.
fn metric(edge: &Edge, name: &str) -> u64 {
    let (_, metrics) = edge.operator("/metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("mascaret_edge_{name} ")));
    value.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

fn windows_that_are_full_list_gaps_and_go_on(driver: Driver) {
    const ROOM: u64 = 16;
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge =
        cluster.edge(edge::Settings { window_memory: Megabytes::new(ROOM), ..settings(driver, &[&ingest]) });
    ingest.begins_with_window(24);
    // 790 KB each: a window is 19 MB, and what has just left it is held too.
    let mut viewer = Viewer::at(edge.address());
    let mut listed_gaps = 0;
    for nth in 0..40 {
        ingest.segment(nth);
        let text = until("the segment, or its gap, to be listed", || {
            let answer = viewer.get("/live/tide/720p/index.m3u8");
            Some(answer.text())
                .filter(|it| answer.status == 200 && it.contains(&format!("{}.ts\n", FIRST + nth)))
        });
        assert!(metric(&edge, "window_bytes") <= ROOM * 1_000_000, "after segment {nth}");
        let mut tags = text.lines().rev().skip(1).take_while(|line| line.starts_with('#'));
        let is_gap = tags.any(|tag| tag == "#EXT-X-GAP");
        listed_gaps += u64::from(is_gap);
        let answer = viewer.get(&segment_path("720p", nth));
        match is_gap {
            true => assert_eq!(answer.status, 404, "a gap has no bytes"),
            false => assert!(answer.body == body("720p", nth), "segment {nth}"),
        }
    }
    assert!(listed_gaps > 0, "19 MB went into 16");
    // Metrics are what the line said at its last tick.
    until("every gap to be counted", || (metric(&edge, "no_room_total") >= listed_gaps).then_some(()));
    edge.ends();
}

fn every_limit_has_its_counter_in_the_metrics(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge = cluster.edge(settings(driver, &[&ingest]));
    let (_, metrics) = edge.operator("/metrics");
    for counter in [
        "refused_full",
        "refused_address",
        "refused_memory",
        "accept_failed",
        "cut_handshake",
        "cut_header",
        "cut_unanswered",
        "cut_idle",
        "cut_slow",
        "cut_overdue",
        "cut_inbound",
        "cut_outbound",
        "cut_memory",
        "cut_draining",
        "failed",
        "tls_failed",
    ] {
        let line = format!("mascaret_edge_core_{counter}_total{{core=\"0\"}} 0\n");
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
    for gauge in ["core_open{core=\"0\"}", "core_held_bytes{core=\"0\"}"] {
        assert!(metrics.contains(&format!("mascaret_edge_{gauge} 0\n")), "no {gauge} in\n{metrics}");
    }
    assert_eq!(metric(&edge, "no_room_total"), 0);
    assert_eq!(metric(&edge, "broadcasts_refused_total"), 0);
    edge.ends();
}
