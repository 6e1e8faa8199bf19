//! A real balancer beside the link door of a lobby: what it lists, and whom it sends on.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

mod stage;

use edgefan::NodeId;
use media::BroadcastId;
use node::certs::Certificates;
use node::fan::admission::Admissions;
use node::fan::lobby::server::{self, ChatFeed};
use stage::{Balancer, FakeEdge, certificates, files};
use std::time::{Duration, Instant};

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited 10 s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_listed_before_the_lobby_has_spoken_and_never_what_is_no_strangers_business() {
    let files = files();
    let tls = Certificates::new(certificates(files.path())).cluster_server_config().unwrap();
    let admissions = Admissions::new(|_| ());
    let tide = || vec![BroadcastId::parse("tide").unwrap()];
    let settings =
        |listen| server::Settings { node: NodeId::parse("lobby").unwrap(), version: "test".into(), listen };
    let listens = |listen| {
        server::start_beside(settings(listen), &ChatFeed::default(), tls.clone(), Some(admissions.clone()))
    };
    let lobby = listens("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = lobby.address();
    lobby.stop();

    let key = files.path().join("ticket.key");
    let balancer = Balancer::start_with(
        files,
        &format!(
            "id = 'lb1'\nhttp = '127.0.0.1:0'\ncontrol = '127.0.0.1:0'\ningests = ['127.0.0.11:7001']\n\
             probe = '200 ms'\ncores = 2\nlobby = '{at}'\n[tickets]\nkey = {key:?}\n"
        ),
    );
    let _edge = FakeEdge::join(&balancer, "edge1");
    let lists = || balancer.get("/api/v1/broadcasts").body.contains("\"tide\"");
    let status = || balancer.get("/live/tide/index.m3u8").status();
    until("an edge", || status() == 200);
    assert!(!lists(), "the lobby is away and was never heard");

    let lobby = listens(at).unwrap();
    until("the list", lists);
    admissions.tell(vec![], tide(), vec![]);
    until("what is unlisted to leave the list", || !lists());
    assert_eq!(status(), 200, "who knows the name may watch");
    admissions.tell(tide(), tide(), vec![]);
    until("what is private to be closed", || status() == 403);
    assert_eq!(balancer.get("/go/tide").status(), 403);

    lobby.stop();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!lists() && status() == 403, "what it said last holds while it is away");
    let lobby = listens(at).unwrap();
    admissions.tell(vec![], vec![], vec![]);
    until("all to be public again", || lists() && status() == 200);
    lobby.stop();
}
