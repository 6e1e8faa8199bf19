//! Blocking playlist reload over the wire: rules D01 to D10 (docs/HLS.md), on both drivers.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::{BroadcastId, MediaSpan, RunId};
use percore::Driver;
use stage::{Answer, Cluster, Edge, FIRST, Ingest, Viewer, listed, on_both_drivers, settings, until};
use std::net::TcpStream;
use std::time::{Duration, Instant};

on_both_drivers! {
    d01_d02_a_reload_is_held_until_its_segment_is_listed,
    d03_d04_directives_out_of_their_bounds_are_refused_at_once,
    d05_a_reload_is_held_for_three_target_durations,
    d06_d07_d09_what_is_stale_or_unknown_holds_nothing_up,
    d08_d10_the_end_answers_who_waits_and_makes_directives_void,
    too_many_reloads_are_told_to_come_again,
    thousands_are_released_by_one_segment_and_see_the_same,
    a_playlist_says_can_block_reload_where_that_is_set,
}

struct Ground {
    ingest: Ingest,
    edge: Edge,
    _cluster: Cluster,
}

impl Ground {
    fn new(driver: Driver, pitch: MediaSpan) -> Self {
        Self::with(driver, pitch, |settings| settings)
    }

    fn with(driver: Driver, pitch: MediaSpan, change: impl FnOnce(edge::Settings) -> edge::Settings) -> Self {
        let cluster = Cluster::new();
        let ingest = cluster.ingest(pitch);
        let edge = cluster.edge(change(settings(driver, &[&ingest])));
        ingest.begins();
        (0..3).for_each(|nth| ingest.segment(nth));
        listed(edge.address(), "720p", 2);
        Self { ingest, edge, _cluster: cluster }
    }

    /// Asks for 720p's playlist with this query, and does not wait.
    fn asks(&self, query: &str) -> Viewer<TcpStream> {
        let mut viewer = Viewer::at(self.edge.address());
        viewer.says(format!("GET {PLAYLIST}?{query} HTTP/1.1\r\nHost: e\r\n\r\n").as_bytes());
        viewer
    }

    fn answers(&self, query: &str) -> Answer {
        self.asks(query).hears(false)
    }

    fn wait_for(&self, held: usize) {
        let line = format!("mascaret_edge_reloads_waiting {held}\n");
        until(&line, || self.edge.operator("/metrics").1.contains(&line).then_some(()));
    }
}

const PLAYLIST: &str = "/live/tide/720p/index.m3u8";
const TWO_SECONDS: MediaSpan = MediaSpan::from_secs(2);

fn msn(nth: u64) -> String {
    format!("_HLS_msn={}", FIRST + nth)
}

/// 200, and the newest segment listed is that one.
fn lists(answer: &Answer, nth: u64) -> bool {
    answer.status == 200 && answer.text().ends_with(&format!("\n{}.ts\n", FIRST + nth))
}

fn d01_d02_a_reload_is_held_until_its_segment_is_listed(driver: Driver) {
    let ground = Ground::new(driver, TWO_SECONDS);
    let mut next = ground.asks(&msn(3));
    let mut after_next = ground.asks(&msn(4));
    // No part is ever listed, so a part of a segment is there when the segment is.
    let mut part = ground.asks(&format!("{}&_HLS_part=2", msn(3)));
    ground.wait_for(3);
    ground.ingest.segment(3);
    assert!(lists(&next.hears(false), 3) && lists(&part.hears(false), 3));
    ground.wait_for(1);
    ground.ingest.segment(4);
    assert!(lists(&after_next.hears(false), 4));
    // The connection goes on, and what the playlist has already is answered at once (D06 with it).
    assert!(lists(&next.get(&format!("{PLAYLIST}?{}", msn(4))), 4));
    ground.edge.ends();
}

fn d03_d04_directives_out_of_their_bounds_are_refused_at_once(driver: Driver) {
    let ground = Ground::new(driver, TWO_SECONDS);
    let mut viewer = Viewer::at(ground.edge.address());
    for query in [
        "_HLS_part=0".to_owned(),
        msn(5),
        msn(99),
        "_HLS_msn=18446744073709551615".to_owned(),
        "_HLS_msn=18446744073709551616".to_owned(),
        "_HLS_msn=".to_owned(),
        "_HLS_msn=-1".to_owned(),
        "_HLS_msn=1e3".to_owned(),
        "_HLS_msn=%37".to_owned(),
        format!("{}&_HLS_part=x", msn(3)),
    ] {
        // On one connection: a refused directive ends none.
        let answer = viewer.get(&format!("{PLAYLIST}?{query}"));
        assert_eq!((answer.status, answer.field("Cache-Control")), (400, Some("no-store")), "{query}");
    }
    // Two past the end is the limit itself.
    let mut held = ground.asks(&msn(4));
    ground.wait_for(1);
    ground.ingest.segment(3);
    ground.ingest.segment(4);
    assert!(lists(&held.hears(false), 4));
    ground.edge.ends();
}

fn d05_a_reload_is_held_for_three_target_durations(driver: Driver) {
    // Target duration 1 s. Fresh segments must come meanwhile, or the playlist turns to 404; none of them is the one
    // that is waited for, as it waits for the second from the end each time.
    let ground = Ground::new(driver, MediaSpan::from_millis(500));
    let asked = Instant::now();
    let mut viewer = ground.asks(&msn(4));
    ground.wait_for(1);
    std::thread::sleep(Duration::from_millis(1_000).saturating_sub(asked.elapsed()));
    ground.ingest.segment(3);
    let answer = viewer.hears(false);
    assert!(asked.elapsed() >= Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")), "{}", answer.text());
    assert_eq!(viewer.get(PLAYLIST).status, 200, "the connection goes on");
    ground.edge.ends();
}

fn d06_d07_d09_what_is_stale_or_unknown_holds_nothing_up(driver: Driver) {
    let ground = Ground::new(driver, TWO_SECONDS);
    for query in [
        msn(2),
        msn(0),
        "_HLS_msn=0".to_owned(),
        format!("{}&_HLS_part=999", msn(2)),
        // No playlist here offers CAN-SKIP-UNTIL, so nothing is skipped.
        "_HLS_skip=YES".to_owned(),
        format!("{}&_HLS_skip=v2", msn(2)),
        "_HLS_future=1&x=y&_hls_msn=99999999999".to_owned(),
        String::new(),
    ] {
        let answer = ground.answers(&query);
        assert!(lists(&answer, 2) && !answer.text().contains("EXT-X-SKIP"), "{query}: {}", answer.text());
        assert!(!answer.text().contains("_HLS"), "a directive is copied nowhere: {}", answer.text());
    }
    // A directive on what is no media playlist is another parameter nobody knows.
    let address = ground.edge.address();
    for path in ["/live/tide/index.m3u8".to_owned(), stage::segment_path("720p", 2)] {
        assert_eq!(Viewer::at(address).get(&format!("{path}?{}", msn(9))).status, 200, "{path}");
    }
    ground.edge.ends();
}

fn d08_d10_the_end_answers_who_waits_and_makes_directives_void(driver: Driver) {
    let ground = Ground::new(driver, TWO_SECONDS);
    let mut held: Vec<_> = [3, 4].map(|nth| ground.asks(&msn(nth))).into();
    ground.wait_for(2);
    ground.ingest.feed.end(BroadcastId::parse("tide").unwrap(), RunId(1));
    let is_end = |answer: &Answer| answer.status == 200 && answer.text().ends_with("#EXT-X-ENDLIST\n");
    for viewer in &mut held {
        assert!(is_end(&viewer.hears(false)));
    }
    for query in [msn(3), msn(99), "_HLS_part=1".to_owned(), "_HLS_msn=x".to_owned()] {
        assert!(is_end(&ground.answers(&query)), "{query}");
    }
    ground.edge.ends();
}

fn too_many_reloads_are_told_to_come_again(driver: Driver) {
    let ground = Ground::with(driver, TWO_SECONDS, |mut settings| {
        settings.limits.waiters_per_core = node::settings::Number::new(2);
        settings
    });
    let held = [3, 4].map(|nth| ground.asks(&msn(nth)));
    ground.wait_for(2);
    let answer = ground.answers(&msn(3));
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    // Who leaves makes room.
    drop(held);
    ground.wait_for(0);
    let mut again = ground.asks(&msn(3));
    ground.wait_for(1);
    ground.ingest.segment(3);
    assert!(lists(&again.hears(false), 3));
    ground.edge.ends();
}

fn thousands_are_released_by_one_segment_and_see_the_same(driver: Driver) {
    const VIEWERS: usize = 1000;
    let ground = Ground::new(driver, TWO_SECONDS);
    let mut viewers: Vec<_> = (0..VIEWERS).map(|_| ground.asks(&msn(3))).collect();
    ground.wait_for(VIEWERS);
    let counted = |name: &str| {
        let (_, text) = ground.edge.operator("/metrics");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let told = counted("mascaret_edge_core_messages_total");
    ground.ingest.segment(3);
    let first = viewers[0].hears(false);
    assert!(lists(&first, 3));
    for viewer in &mut viewers[1..] {
        let answer = viewer.hears(false);
        assert_eq!((answer.status, answer.body == first.body), (200, true));
    }
    // Two rungs' segments and playlists: a handful of messages, not one for each viewer.
    let told = counted("mascaret_edge_core_messages_total") - told;
    assert!((1.0..=50.0).contains(&told), "{told} messages");
    // Counted when the kernel has said that it has them, which may be after the viewers have.
    until("each to be counted", || {
        (counted("mascaret_edge_reload_seconds_count") == VIEWERS as f64).then_some(())
    });
    ground.edge.ends();
}

fn a_playlist_says_can_block_reload_where_that_is_set(driver: Driver) {
    for is_set in [false, true] {
        let ground = Ground::with(driver, TWO_SECONDS, |settings| edge::Settings {
            blocking_reload: is_set,
            ..settings
        });
        let text = ground.answers("").text();
        assert_eq!(text.contains("\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"), is_set, "{text}");
        ground.edge.ends();
    }
}
