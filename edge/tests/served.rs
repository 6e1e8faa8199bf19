//! An edge in this process, fed over real links, watched over real sockets, on both drivers.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::MediaSpan;
use node::settings::{Address, Millis};
use percore::Driver;
use stage::{
    Cluster, FIRST, RUNGS, Viewer, any, body, listed, on_both_drivers, segment_path, settings, sha256, until,
};
use std::time::{Duration, Instant};

const PITCH: MediaSpan = MediaSpan::from_secs(2);

on_both_drivers! {
    what_was_fed_is_served_byte_for_byte_and_playlists_advance,
    one_connection_asks_for_everything_there_is,
    a_held_reload_is_answered_by_the_segment_it_waits_for,
    an_edge_started_again_in_mid_broadcast_lists_what_the_others_list,
    an_edge_that_nothing_reaches_any_more_sends_viewers_away_and_says_so,
    told_to_stop_an_edge_answers_who_waits_and_ends_in_time,
    viewers_come_by_https_too,
    a_drained_edge_turns_viewers_away_when_steering_had_its_time_and_takes_them_back,
}

fn what_was_fed_is_served_byte_for_byte_and_playlists_advance(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(settings(driver, &[&ingest]));
    assert_eq!(edge.running.driver().name, if driver == Driver::Epoll { "epoll" } else { "io_uring" });
    ingest.begins();
    for nth in 0..8 {
        ingest.segment(nth);
        for rung in RUNGS {
            let text = listed(edge.address(), rung, nth);
            let first = FIRST + nth.saturating_sub(5);
            assert!(text.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{first}\n")), "{nth}: {text}");
            let got = Viewer::at(edge.address()).get(&segment_path(rung, nth));
            assert_eq!((got.status, got.field("Content-Type")), (200, Some("video/mp2t")));
            assert_eq!(sha256(&got.body), sha256(&body(rung, nth)), "{rung} {nth}");
        }
    }
    let multivariant = Viewer::at(edge.address()).get("/live/tide/index.m3u8").text();
    for rung in RUNGS {
        assert!(multivariant.contains(&format!("{rung}/index.m3u8")), "{multivariant}");
    }
    edge.ends();
}

fn one_connection_asks_for_everything_there_is(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(settings(driver, &[&ingest]));
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let (path, whole) = (segment_path("720p", 2), body("720p", 2));
    let mut viewer = Viewer::at(edge.address());

    let some = viewer.asks("GET", &path, "Range: bytes=100-299999\r\n");
    assert_eq!((some.status, some.field("Content-Range")), (206, Some("bytes 100-299999/700001")));
    assert_eq!(sha256(&some.body), sha256(&whole[100..300_000]));
    let last = viewer.asks("GET", &path, "Range: bytes=-5\r\n");
    assert_eq!((last.status, &last.body[..]), (206, &whole[whole.len() - 5..]));
    assert_eq!(viewer.asks("GET", &path, "Range: bytes=700001-\r\n").status, 416);
    let head = viewer.asks("HEAD", &path, "");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("700001")));
    let etag = head.field("ETag").unwrap().to_owned();
    assert_eq!(viewer.asks("GET", &path, &format!("If-None-Match: {etag}\r\n")).status, 304);

    let playlist = "/live/tide/720p/index.m3u8";
    let plain = viewer.get(playlist);
    assert_eq!(plain.field("Content-Type"), Some("application/vnd.apple.mpegurl"));
    let zipped = viewer.asks("GET", playlist, "Accept-Encoding: gzip\r\n");
    assert_eq!(zipped.field("Content-Encoding"), Some("gzip"));
    let mut unzipped = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped.body[..]), &mut unzipped)
        .unwrap();
    assert_eq!(unzipped, plain.text());
    assert_eq!(viewer.asks("OPTIONS", playlist, "").status, 204);
    for unknown in
        ["/", "/watch/tide", "/live/ebb/index.m3u8", "/live/tide/720p/1.ts", "/live/tide/../../etc/passwd"]
    {
        assert_eq!(viewer.get(unknown).status, 404, "{unknown}");
    }

    // Pipelined: three at once, answered in order.
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: e\r\n\r\n");
    viewer.says([get(playlist), get(&path), get("/nowhere")].concat().as_bytes());
    assert_eq!(viewer.hears(false).text(), plain.text());
    assert_eq!(sha256(&viewer.hears(false).body), sha256(&whole));
    assert_eq!(viewer.hears(false).status, 404);

    let closing = viewer.asks("GET", &path, "Connection: close\r\n");
    assert_eq!((sha256(&closing.body), closing.field("Connection")), (sha256(&whole), Some("close")));
    assert!(viewer.is_closed());
    let mut garbage = Viewer::at(edge.address());
    garbage.says(b"\x16\x03\x01 not HTTP\r\n\r\n");
    assert_eq!(garbage.hears(false).status, 400);
    assert!(garbage.is_closed());

    let (status, metrics) = edge.operator("/metrics");
    let whole_segments = "mascaret_edge_requests_total{kind=\"segment\",status=\"200\"} ";
    assert!(status == 200 && metrics.contains(whole_segments), "{metrics}");
    edge.ends();
}

fn a_held_reload_is_answered_by_the_segment_it_waits_for(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(settings(driver, &[&ingest]));
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let reload = format!("GET /live/tide/720p/index.m3u8?_HLS_msn={} HTTP/1.1\r\nHost: e\r\n\r\n", FIRST + 3);
    let mut viewers: Vec<_> = (0..20).map(|_| Viewer::at(edge.address())).collect();
    viewers.iter_mut().for_each(|viewer| viewer.says(reload.as_bytes()));
    // One of them asks for more behind it, and one leaves.
    viewers[0].says(b"GET /nowhere HTTP/1.1\r\nHost: e\r\n\r\n");
    viewers.pop();
    let waiting = "mascaret_edge_reloads_waiting 19\n";
    until("all to be held", || edge.operator("/metrics").1.contains(waiting).then_some(()));
    ingest.segment(3);
    for viewer in &mut viewers {
        let answer = viewer.hears(false);
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with(&format!("\n{}.ts\n", FIRST + 3)), "{}", answer.text());
    }
    assert_eq!(viewers[0].hears(false).status, 404);
    let far = format!("/live/tide/720p/index.m3u8?_HLS_msn={}", FIRST + 99);
    assert_eq!(viewers[1].get(&far).status, 400);
    edge.ends();
}

fn an_edge_started_again_in_mid_broadcast_lists_what_the_others_list(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let first = cluster.edge(settings(driver, &[&ingest]));
    ingest.begins();
    (0..8).for_each(|nth| ingest.segment(nth));
    listed(first.address(), "720p", 7);
    first.ends();

    let again = cluster.edge(settings(driver, &[&ingest]));
    listed(again.address(), "720p", 7);
    until("it to be ready", || (again.operator("/readyz").0 == 200).then_some(()));
    let other = cluster.edge(settings(driver, &[&ingest]));
    ingest.segment(8);
    for rung in RUNGS {
        let (one, two) = (listed(again.address(), rung, 8), listed(other.address(), rung, 8));
        assert_eq!(one, two);
        assert_eq!(one.matches("#EXTINF").count(), 6, "a whole window at once (rule M15): {one}");
        for nth in 6..=8 {
            let path = segment_path(rung, nth);
            let [one, two] = [&again, &other].map(|edge| Viewer::at(edge.address()).get(&path));
            assert_eq!(sha256(&one.body), sha256(&body(rung, nth)));
            assert_eq!((sha256(&two.body), two.field("ETag")), (sha256(&one.body), one.field("ETag")));
        }
    }
    again.ends();
    other.ends();
}

fn an_edge_that_nothing_reaches_any_more_sends_viewers_away_and_says_so(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_millis(500));
    let edge = cluster.edge(settings(driver, &[&ingest]));
    assert_eq!(edge.operator("/readyz").0, 503, "no ingest is linked yet");
    until("the link", || (edge.operator("/readyz").0 == 200).then_some(()));
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let fresh = Instant::now();
    ingest.publishing.stop();
    let playlist = "/live/tide/720p/index.m3u8";
    until("404", || (Viewer::at(edge.address()).get(playlist).status == 404).then_some(()));
    // Target duration 1 s: 2.5 s of patience.
    let after = fresh.elapsed();
    assert!(after >= Duration::from_millis(2_000), "{after:?}");
    let (status, why) = edge.operator("/readyz");
    assert!(status == 503 && why.contains("nothing fresh"), "{status} {why}");
    let (_, status) = edge.operator("/status");
    assert!(status.contains("\"state\":\"not fed\"") && status.contains("\"fed\":false"), "{status}");
    assert_eq!(Viewer::at(edge.address()).get(&segment_path("720p", 2)).status, 200);
    edge.ends();
}

fn told_to_stop_an_edge_answers_who_waits_and_ends_in_time(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(settings(driver, &[&ingest]));
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let mut viewer = Viewer::at(edge.address());
    let reload = format!("GET /live/tide/720p/index.m3u8?_HLS_msn={} HTTP/1.1\r\nHost: e\r\n\r\n", FIRST + 3);
    viewer.says(reload.as_bytes());
    until("it to be held", || {
        edge.operator("/metrics").1.contains("mascaret_edge_reloads_waiting 1\n").then_some(())
    });
    let told = Instant::now();
    let ending = std::thread::spawn(move || edge.ends());
    assert_eq!(viewer.hears(false).status, 404);
    assert!(viewer.is_closed());
    ending.join().unwrap();
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
}

fn viewers_come_by_https_too(driver: Driver) {
    let cluster = Cluster::new();
    let trust = cluster.trust();
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(edge::Settings { https: Some(Address(any())), ..settings(driver, &[&ingest]) });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let mut viewer = Viewer::by_tls(edge.running.addresses()[1], &trust);
    assert_eq!(viewer.get("/live/tide/720p/index.m3u8").status, 200);
    let got = viewer.get(&segment_path("720p", 2));
    assert_eq!(sha256(&got.body), sha256(&body("720p", 2)));
    let some = viewer.asks("GET", &segment_path("720p", 2), "Range: bytes=5-9\r\n");
    assert_eq!(&some.body[..], &body("720p", 2)[5..10]);
    edge.ends();
}

fn a_drained_edge_turns_viewers_away_when_steering_had_its_time_and_takes_them_back(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(PITCH);
    let edge = cluster.edge(edge::Settings { drain_steer: Millis::new(200), ..settings(driver, &[&ingest]) });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let playlist = || Viewer::at(edge.address()).get("/live/tide/720p/index.m3u8").status;
    edge.node.drain.set(true);
    until("404", || (playlist() == 404).then_some(()));
    assert_eq!(edge.operator("/readyz").0, 404);
    edge.node.drain.set(false);
    until("200", || (playlist() == 200).then_some(()));
    edge.ends();
}
