//! What is private, at real edges: from a lobby's word over mutual TLS to what viewers on plain sockets are answered.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use admission::Denied;
use edgefan::NodeId;
use media::{BroadcastId, MediaSpan};
use node::fan::admission::Admissions;
use node::fan::lobby::server::{self, ChatFeed, LobbyServer};
use node::settings::{Parsed, Seconds, SecretFile};
use percore::Driver;
use proptest::prelude::*;
use stage::{
    Cluster, Edge, Ingest, RUNGS, Viewer, any, broadcast, listed, on_both_drivers, segment_path, settings,
    until,
};
use std::net::SocketAddr;
use ticket::{BroadcastHash, Flags, Key, Keys, Ticket, UnixSeconds, ViewerId};

on_both_drivers! {
    what_the_lobby_calls_private_opens_to_its_tickets_only,
    a_lobby_that_is_away_is_taken_at_its_last_word,
    no_bit_of_a_ticket_may_be_another,
}

const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const HOLDER: u32 = 0xfeed;

fn keys() -> Keys {
    Keys::new(Key::parse(SECRET).unwrap(), None)
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn ticket() -> Ticket {
    Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(now() + 600),
        broadcast: BroadcastHash::of(&broadcast()),
        viewer: ViewerId(u64::from(HOLDER) << 32 | 9),
        flags: Flags::ADMITTED,
    }
}

fn by(token: &str, path: &str) -> String {
    path.replace("/live/", &format!("/v/{token}/"))
}

/// A lobby, as far as edges hear it.
struct Lobby {
    admissions: Admissions,
    server: LobbyServer,
}

impl Lobby {
    fn new(cluster: &Cluster, listen: SocketAddr, private: &[&str]) -> Self {
        let admissions = Admissions::new(|_| ());
        let lobby = Self { server: Self::listens(cluster, listen, &admissions), admissions };
        lobby.says(private, &[]);
        lobby
    }

    fn listens(cluster: &Cluster, listen: SocketAddr, admissions: &Admissions) -> LobbyServer {
        let settings =
            server::Settings { node: NodeId::parse("lobby").unwrap(), version: "test".into(), listen };
        let tls = cluster.node("lobby").certificates.cluster_server_config().unwrap();
        server::start_beside(settings, &ChatFeed::default(), tls, Some(admissions.clone())).unwrap()
    }

    fn says(&self, private: &[&str], denied: &[u32]) {
        let row = |holder: &u32| Denied { broadcast: broadcast(), holder: *holder, until: now() + 600 };
        let names = private.iter().map(|name| BroadcastId::parse(name).unwrap()).collect();
        self.admissions.tell(names, Vec::new(), denied.iter().map(row).collect());
    }
}

/// An edge that hears that lobby, and what it needs to serve `tide`.
fn begin(
    driver: Driver,
    cluster: &Cluster,
    lobby: SocketAddr,
    state: Option<&std::path::Path>,
) -> (Ingest, Edge) {
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge = edge(driver, cluster, &ingest, lobby, state);
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    (ingest, edge)
}

fn edge(
    driver: Driver,
    cluster: &Cluster,
    ingest: &Ingest,
    lobby: SocketAddr,
    state: Option<&std::path::Path>,
) -> Edge {
    let state = state.map(Into::into);
    cluster.edge(edge::Settings { state, ..linked(driver, cluster, ingest, lobby) })
}

/// One that waits a second for the lobby's first word, and no longer.
fn impatient(driver: Driver, cluster: &Cluster, ingest: &Ingest, lobby: SocketAddr) -> Edge {
    let first_word = Seconds::new(1);
    cluster.edge(edge::Settings { first_word, ..linked(driver, cluster, ingest, lobby) })
}

fn linked(driver: Driver, cluster: &Cluster, ingest: &Ingest, lobby: SocketAddr) -> edge::Settings {
    let key = cluster.directory.path().join("ticket.key");
    std::fs::write(&key, SECRET).unwrap();
    edge::Settings {
        lobby: Some(Parsed(lobby.into())),
        ticket_key: Some(SecretFile(key)),
        ..settings(driver, &[ingest])
    }
}

fn status(edge: &Edge, path: &str) -> u16 {
    Viewer::at(edge.address()).get(path).status
}

/// Everything that is served of `tide`: entry, playlists, segments, held reloads, and what was said.
fn all() -> Vec<String> {
    let mut all = vec!["/live/tide/index.m3u8".to_owned()];
    for rung in RUNGS {
        all.push(format!("/live/tide/{rung}/index.m3u8"));
        all.push(format!("/live/tide/{rung}/index.m3u8?_HLS_msn={}", stage::FIRST + 2));
        all.push(segment_path(rung, 2));
    }
    all
}

fn becomes(edge: &Edge, wanted: u16) {
    until("the lobby's word", || (status(edge, &segment_path("720p", 2)) == wanted).then_some(()));
}

fn what_the_lobby_calls_private_opens_to_its_tickets_only(driver: Driver) {
    let cluster = Cluster::new();
    let lobby = Lobby::new(&cluster, any(), &["tide"]);
    let (ingest, edge) = begin(driver, &cluster, lobby.server.address(), None);
    let good = ticket().seal(&keys()).to_string();
    until("the segment", || (status(&edge, &by(&good, &segment_path("360p", 2))) == 200).then_some(()));
    until("the entry", || (status(&edge, &by(&good, "/live/tide/index.m3u8")) == 200).then_some(()));

    let of = |ticket: Ticket| ticket.seal(&keys()).to_string();
    let ebb = BroadcastHash::of(&BroadcastId::parse("ebb").unwrap());
    let refused = [
        ("of another broadcast", of(Ticket { broadcast: ebb, ..ticket() })),
        ("over", of(Ticket { expires: UnixSeconds::from_u64(now() - 1), ..ticket() })),
        ("a balancer's, which anybody gets", of(Ticket { flags: Flags::WITHOUT_TOP, ..ticket() })),
        ("sealed by somebody else", ticket().seal(&Keys::new(Key::from_secret([8; 32]), None)).to_string()),
        ("no ticket", "nonsense".into()),
    ];
    for path in all() {
        assert_eq!(status(&edge, &by(&good, &path)), 200, "{path}");
        let opened = Viewer::at(edge.address()).get(&by(&good, &path));
        assert!(!opened.head.contains("Cache-Control: public"), "{path}: {}", opened.head);
        assert_eq!(status(&edge, &path), 403, "{path} without a ticket");
        for (why, token) in &refused {
            assert_eq!(status(&edge, &by(token, &path)), 403, "{path} with one that is {why}");
        }
        let head = Viewer::at(edge.address()).asks("HEAD", &path, "");
        assert_eq!(head.status, 403, "HEAD {path}");
    }
    assert_eq!(
        Viewer::at(edge.address()).asks("GET", &segment_path("720p", 2), "Range: bytes=0-9\r\n").status,
        403
    );

    // On one connection, in any order: what was opened once opens nothing for who asks next.
    let mut viewer = Viewer::at(edge.address());
    for _ in 0..3 {
        assert_eq!(viewer.get(&by(&good, &segment_path("720p", 2))).status, 200);
        assert_eq!(viewer.get(&segment_path("720p", 2)).status, 403);
    }

    lobby.says(&["tide"], &[HOLDER]);
    until("the denial", || (status(&edge, &by(&good, &segment_path("720p", 2))) == 403).then_some(()));
    let another = of(Ticket { viewer: ViewerId(u64::from(HOLDER + 1) << 32), ..ticket() });
    assert_eq!(status(&edge, &by(&another, &segment_path("720p", 2))), 200, "others watch on");
    lobby.says(&["tide"], &[]);
    until("its end", || (status(&edge, &by(&good, &segment_path("720p", 2))) == 200).then_some(()));

    lobby.says(&[], &[]);
    becomes(&edge, 200);
    lobby.says(&["tide"], &[]);
    becomes(&edge, 403);
    drop(ingest);
    edge.ends();
}

fn a_lobby_that_is_away_is_taken_at_its_last_word(driver: Driver) {
    let cluster = Cluster::new();
    let folder = tempfile::tempdir().unwrap();
    let lobby = Lobby::new(&cluster, any(), &["tide"]);
    let at = lobby.server.address();
    let (ingest, first) = begin(driver, &cluster, at, Some(folder.path()));
    let good = by(&ticket().seal(&keys()).to_string(), &segment_path("720p", 2));
    until("the segment", || (status(&first, &good) == 200).then_some(()));
    lobby.server.stop();
    until("the loss", || first.operator("/metrics").1.contains("mascaret_edge_lobby_linked 0").then_some(()));
    assert_eq!((status(&first, &good), status(&first, &segment_path("720p", 2))), (200, 403));
    first.ends();

    // Another edge that starts with what this one remembered; one that knows nothing and gives up waiting, as it was told
    // to; and one that waits: no other is let in.
    let second = edge(driver, &cluster, &ingest, at, Some(folder.path()));
    until("the segment", || (status(&second, &good) == 200).then_some(()));
    assert_eq!(status(&second, &segment_path("720p", 2)), 403);
    let third = impatient(driver, &cluster, &ingest, at);
    let fourth = edge(driver, &cluster, &ingest, at, None);
    until("the segment", || (status(&third, &good) == 200).then_some(()));
    listed(third.address(), "720p", 2);
    until("the segment", || (status(&fourth, &good) == 200).then_some(()));
    assert_eq!(status(&fourth, &segment_path("720p", 2)), 403);
    let (code, why) = fourth.operator("/readyz");
    assert!(code == 503 && why.contains("the lobby has not said yet"), "{code} {why}");

    // And when it is back, everybody hears it.
    let server = Lobby::listens(&cluster, at, &lobby.admissions);
    [&second, &third].into_iter().for_each(|edge| becomes(edge, 403));
    lobby.says(&[], &[]);
    [&second, &third, &fourth].into_iter().for_each(|edge| becomes(edge, 200));
    server.stop();
    [second, third, fourth].into_iter().for_each(Edge::ends);
}

fn no_bit_of_a_ticket_may_be_another(driver: Driver) {
    let cluster = Cluster::new();
    let lobby = Lobby::new(&cluster, any(), &["tide"]);
    let (_ingest, edge) = begin(driver, &cluster, lobby.server.address(), None);
    let good = ticket().seal(&keys()).to_string();
    let path = "/live/tide/720p/index.m3u8";
    until("the playlist", || (status(&edge, &by(&good, path)) == 200).then_some(()));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let changed = (0..good.len(), "[A-Za-z0-9_-]");
    let viewer = std::cell::RefCell::new(Viewer::at(edge.address()));
    runner
        .run(&changed, |(at, with)| {
            let mut token = good.clone();
            token.replace_range(at..=at, &with);
            let wanted = if token == good { 200 } else { 403 };
            prop_assert_eq!(viewer.borrow_mut().get(&by(&token, path)).status, wanted, "{}", token);
            Ok(())
        })
        .unwrap();
    edge.ends();
}
