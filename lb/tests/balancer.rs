//! A real balancer on loopback, and edges that are real as far as a balancer can see: a control link and a public
//! URL that answers.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

mod stage;

use edgefan::{Address, EdgeState};
use node::fan::control::client::Told;
use percore::rustls;
use stage::{Answer, Balancer, FakeEdge, ask, black_hole};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use ticket::EdgeId;

/// What the checker says of a multivariant playlist, as far as it must be kept.
fn broken_rules(answer: &Answer) -> Vec<String> {
    let mut lint =
        hls::lint::Lint::new("http://lb/live/tide/index.m3u8", hls::lint::Watch { watch_ms: 1000 });
    let want = lint.next().unwrap();
    let fields = answer.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lint.push(hls::lint::Fetched {
        want: want.id,
        sent_ms: 0,
        at_ms: 1,
        outcome: hls::lint::Outcome::Answered {
            status: answer.status(),
            headers: fields.map(|(name, value)| (name.into(), value.into())).collect(),
            text: answer.body.clone().into(),
            media: None,
        },
    });
    // It went on to the media playlists: the multivariant playlist was understood.
    assert!(lint.next().is_some());
    let broken = lint.findings().iter().filter(|found| found.level == hls::rules::Level::Must);
    broken.map(|found| found.to_string()).collect()
}

#[test]
fn viewers_get_edges_and_an_edge_that_is_killed_gets_nobody_within_a_second() {
    for driver in ["auto", "epoll"] {
        let balancer = Balancer::start(&format!("driver = '{driver}'"));
        assert_eq!(balancer.get("/live/tide/index.m3u8").status(), 404);
        let edges = ["edge1", "edge2", "edge3"].map(|name| FakeEdge::join(&balancer, name));

        let answer = balancer.get("/live/tide/index.m3u8");
        assert_eq!(answer.status(), 200, "{}", answer.head);
        let playlist =
            hls::MultivariantPlaylist::parse(answer.body.as_bytes()).expect("a strict reader takes it");
        assert_eq!(playlist.render(), answer.body);
        assert_eq!(broken_rules(&answer), [""; 0]);
        let pathways: Vec<_> =
            playlist.variant_streams.iter().map(|variant| variant.pathway_id.clone().unwrap()).collect();
        assert!(pathways[0] == pathways[1] && pathways[1] != pathways[2] && pathways.len() == 6);
        let ticket = edges[0].open(&playlist.variant_streams[0].uri);
        assert_eq!(ticket.edge, Some(EdgeId::parse(&pathways[0]).unwrap().number()));
        assert_eq!(ticket.other, Some(EdgeId::parse(&pathways[2]).unwrap().number()));

        edges.iter().for_each(|edge| edge.say(EdgeState::NotFed));
        for edge in &edges {
            balancer.until(&edge.name, "not fed");
        }
        let answer = balancer.get("/live/tide/index.m3u8");
        assert_eq!(answer.status(), 503, "{}", answer.head);
        assert!(answer.field("Retry-After").is_some() && answer.body.contains("No edge"));
        edges.iter().for_each(|edge| edge.say(EdgeState::Ready));
        for edge in &edges {
            balancer.until(&edge.name, "ready");
        }

        let [_edge1, edge2, _edge3] = edges;
        assert!(balancer.sent_to(&edge2.at, 60) > 5);
        let killed = Instant::now();
        edge2.link.stop();
        std::thread::sleep(Duration::from_millis(500));
        while killed.elapsed() < Duration::from_secs(1) && balancer.sent_to(&edge2.at, 5) > 0 {}
        assert_eq!(balancer.sent_to(&edge2.at, 60), 0, "viewers are sent to an edge that is gone");
        assert!(killed.elapsed() < Duration::from_millis(2500), "asking took too long to prove anything");
    }
}

#[test]
fn an_edge_whose_link_goes_silent_gets_nobody_within_a_second() {
    let balancer = Balancer::start("");
    let _other = FakeEdge::join(&balancer, "edge1");
    let (by, swallows) = black_hole(balancer.addresses.control);
    let edge = FakeEdge::join_by(&balancer, "edge2", by);
    assert!(balancer.sent_to(&edge.at, 40) > 5);
    swallows.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(balancer.sent_to(&edge.at, 40), 0);
}

#[test]
fn an_edge_that_viewers_cannot_reach_gets_nobody_until_they_can() {
    let balancer = Balancer::start("");
    let _other = FakeEdge::join(&balancer, "edge1");
    let edge = FakeEdge::join(&balancer, "edge2");
    edge.answers.store(false, Ordering::Relaxed);
    let took = balancer.until("edge2", "unreachable");
    // Two tries, 200 ms apart, and what the list lags behind.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(balancer.sent_to(&edge.at, 40), 0);
    edge.answers.store(true, Ordering::Relaxed);
    balancer.until("edge2", "ready");
    assert!(balancer.sent_to(&edge.at, 100) > 0);
}

#[test]
fn an_edge_is_told_the_ingests_and_by_tls_a_viewer_is_answered_too() {
    let balancer = Balancer::start("");
    let edge = FakeEdge::join(&balancer, "edge1");
    let ingests = edge.told.lock().unwrap().iter().find_map(|word| match word {
        Told::Welcome { welcome, .. } => Some(welcome.ingests.clone()),
        _ => None,
    });
    assert_eq!(ingests.unwrap(), [Address::parse("127.0.0.11:7001").unwrap()]);

    let mut roots = rustls::RootCertStore::empty();
    let ca = std::fs::read(balancer.files.path().join("ca.pem")).unwrap();
    let mut certificates =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(&ca);
    roots.add(certificates.next().unwrap().unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(balancer.addresses.https.unwrap()).unwrap();
    let answer = ask(rustls::StreamOwned::new(session, socket), "GET", "/live/tide/index.m3u8");
    assert_eq!(answer.status(), 200);
    // The edge has no HTTPS: a viewer is better served by HTTP than not at all.
    assert!(answer.body.contains("\nhttp://127.0.0.1:"), "{}", answer.body);
}

#[test]
fn an_operator_sees_readiness_and_figures_and_rotates_keys() {
    let balancer = Balancer::start("");
    let operator =
        |method: &str, target: &str| ask(TcpStream::connect(balancer.operator).unwrap(), method, target);
    assert_eq!(operator("GET", "/readyz").status(), 503);
    let edge = FakeEdge::join(&balancer, "edge1");
    assert_eq!(operator("GET", "/readyz").status(), 200);
    assert_eq!(balancer.get("/go/tide").status(), 307);
    let metrics = operator("GET", "/metrics").body;
    for line in [
        "mascaret_lb_redirects_total 1",
        "mascaret_lb_edge_ready{edge=\"edge1\"} 1",
        "mascaret_lb_broadcasts 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(operator("GET", "/status").body.contains("\"id\":\"tide\""));

    let before = edge.keys();
    std::fs::write(balancer.files.path().join("ticket.key"), "a".repeat(62) + "bc").unwrap();
    let answer = operator("POST", "/admin/keys/reload");
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let after = edge.keys();
    assert_ne!(before, after);
    // Whoever answers is told by a queue.
    let reloaded = Instant::now();
    let location = loop {
        let location = balancer.get("/go/tide").field("Location").unwrap().to_owned();
        if edge.opens(&location) {
            break location;
        }
        assert!(reloaded.elapsed() < Duration::from_secs(10), "tokens are still sealed with the key before");
    };
    assert_eq!(edge.open(&location).edge, Some(EdgeId::parse("edge1").unwrap().number()));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let balancer = Balancer::start("");
    let mut stream = TcpStream::connect(balancer.addresses.http).unwrap();
    let two = "GET /go/none HTTP/1.1\r\nHost: lb\r\n\r\nGET /api/v1/broadcasts HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n";
    stream.write_all(two.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["404", "200"]);
    assert!(text.ends_with("{\"broadcasts\":[]}"), "{text}");
}

/// What keepalived asks (`deploy/keepalived/`).
#[test]
fn the_check_for_keepalived_says_whether_an_edge_is_ready() {
    let balancer = Balancer::start("");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/keepalived/mascaret-ready");
    let check = || std::process::Command::new(script).arg(balancer.operator.to_string()).status();
    if !std::process::Command::new("curl").arg("--version").output().is_ok_and(|it| it.status.success()) {
        return println!("skipped: there is no curl here");
    }
    assert!(!check().unwrap().success());
    let _edge = FakeEdge::join(&balancer, "edge1");
    assert!(check().unwrap().success());
}
