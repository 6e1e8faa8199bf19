//! Keys that a lobby knows: asked for over mutual TLS before any media, and let go when they are revoked.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod stage;

use admission::KeyDigest;
use edgefan::NodeId;
use ingest::keys::KeyHash;
use media::BroadcastId;
use node::fan::admission::{Admissions, Heard};
use node::fan::lobby::server::{self, ChatFeed, LobbyServer};
use node::settings::Parsed;
use node::{Node, NodeSettings, Stop};
use sha2::{Digest, Sha256};
use stage::{ENCODE, Publisher, SOURCE, Stage, ffmpeg};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a lobby knows, and what it heard.
#[derive(Default)]
struct Book {
    keys: Vec<(KeyDigest, String)>,
    /// It does not know, because its store is away.
    is_away: bool,
    asked: usize,
    on_air: Vec<(String, bool)>,
    health: Option<admission::Health>,
}

/// A lobby, as far as ingests hear it.
struct Lobby {
    book: Arc<Mutex<Book>>,
    admissions: Admissions,
    server: Option<LobbyServer>,
    at: SocketAddr,
    node: Node,
}

fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

impl Lobby {
    fn new(folder: &Path) -> Self {
        let certificates = folder.join("certs");
        node::certs::init(&certificates, &["localhost".into(), "127.0.0.1".into()]).unwrap();
        let mut settings = NodeSettings::default();
        settings.operator.listen = node::settings::Address::local(0);
        settings.certificates.directory = certificates;
        let node = Node::with_stop("lobby", &settings, Stop::new()).unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let admissions = Admissions::new({
            let book = book.clone();
            move |heard| {
                let mut book = book.lock().unwrap();
                match heard {
                    Heard::Question(question) => {
                        book.asked += 1;
                        let name = question.broadcast.as_str();
                        let opens = book.keys.iter().any(|(key, of)| *key == question.digest && of == name);
                        question.answer((!book.is_away).then_some(opens));
                    }
                    Heard::Air { broadcast, is_on, .. } => book.on_air.push((broadcast.to_string(), is_on)),
                    Heard::Health { health, .. } => book.health = Some(health),
                    Heard::Gone { .. } => {}
                }
            }
        });
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut lobby = Self { book, admissions, server: None, at, node };
        lobby.comes();
        lobby
    }

    fn comes(&mut self) {
        let settings = server::Settings {
            node: NodeId::parse("lobby").unwrap(),
            version: "test".into(),
            listen: self.at,
        };
        let tls = self.node.certificates.cluster_server_config().unwrap();
        let server =
            server::start_beside(settings, &ChatFeed::default(), tls, Some(self.admissions.clone())).unwrap();
        self.at = server.address();
        self.server = Some(server);
    }

    fn goes(&mut self) {
        self.server.take().unwrap().stop();
    }

    fn makes(&self, key: &str, of: &str) {
        self.book.lock().unwrap().keys.push((digest(key), of.into()));
    }

    fn forgets(&self, key: &str) {
        self.book.lock().unwrap().keys.retain(|(known, _)| *known != digest(key));
    }

    /// Until a link is there.
    fn is_linked(&self) {
        until("a link", || self.admissions.links() > 0);
    }

    fn on_air(&self) -> Vec<(String, bool)> {
        self.book.lock().unwrap().on_air.clone()
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < Duration::from_secs(30), "waited 30 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    asked.elapsed()
}

/// An ingest with a lobby; `bore` has a key in the settings, `tide` has none.
fn begin() -> (Lobby, Stage) {
    let folder = tempfile::tempdir().unwrap();
    let lobby = Lobby::new(folder.path());
    let at = Parsed(lobby.at.into());
    let stage = Stage::set_in(folder, |settings| {
        settings.lobby = Some(at);
        settings.publishers = vec![ingest::Publisher {
            broadcast: Parsed(BroadcastId::parse("bore").unwrap()),
            key: Parsed(KeyHash::of("secret")),
        }];
        settings.grace = node::settings::Seconds::new(1);
    });
    lobby.is_linked();
    (lobby, stage)
}

fn publishes(stage: &Stage, stream: &str) -> Publisher {
    ffmpeg(&format!("-re {SOURCE} -t 60 {ENCODE}"), &format!("rtmp://{}/live/{stream}", stage.addresses.rtmp))
}

fn is_refused(stage: &Stage, stream: &str) -> String {
    let said = publishes(stage, stream).wait();
    assert!(!said.status.success(), "{stream} was let in");
    String::from_utf8_lossy(&said.stderr).into_owned()
}

#[test]
fn a_key_of_the_lobby_opens_its_broadcast_and_no_other_key_does() {
    let (lobby, stage) = begin();
    lobby.makes("green", "tide");
    lobby.makes("blue", "ebb");
    lobby.makes("green", "bore");
    lobby.makes("old", "tide");
    lobby.forgets("old");
    for stream in ["tide", "tide?key=", "tide?key=wrong", "tide?key=old", "tide?key=blue", "nobody?key=green"]
    {
        is_refused(&stage, stream);
    }
    // What the settings name, the settings decide: nobody asks.
    let asked = lobby.book.lock().unwrap().asked;
    is_refused(&stage, "bore?key=green");
    assert_eq!(lobby.book.lock().unwrap().asked, asked);
    assert!(stage.with(|got| got.segments.is_empty() && got.streams.is_empty()), "no media of theirs");
    assert_eq!(lobby.on_air(), []);

    let _tide = publishes(&stage, "tide?key=green");
    let bore = publishes(&stage, "bore?key=secret");
    stage.wait_segments("tide", 1);
    stage.wait_segments("bore", 1);
    let mut on_air = lobby.on_air();
    on_air.sort();
    assert_eq!(on_air, [("bore".to_owned(), true), ("tide".to_owned(), true)]);
    // Who is refused because somebody publishes already ends nothing.
    is_refused(&stage, "tide?key=green");
    bore.kill();
    until("the end of bore", || lobby.on_air().contains(&("bore".into(), false)));
    assert!(!lobby.on_air().contains(&("tide".into(), false)));
}

#[test]
fn a_key_that_is_revoked_ends_what_is_published_by_it() {
    let (lobby, stage) = begin();
    for (key, of) in [("green", "tide"), ("blue", "tide"), ("red", "ebb"), ("grey", "flow")] {
        lobby.makes(key, of);
    }
    let mut tide = publishes(&stage, "tide?key=green");
    let mut ebb = publishes(&stage, "ebb?key=red");
    let mut flow = publishes(&stage, "flow?key=grey");
    ["tide", "ebb", "flow"].iter().for_each(|name| stage.wait_segments(name, 1));

    // Meanwhile the lobby hears how they arrive.
    until("a measure", || {
        let health = lobby.book.lock().unwrap().health.unwrap_or_default();
        health.has_pictures && health.has_sound && health.bits > 0 && health.picture_group_ms == 1000
    });

    // By the lobby that revokes it, which says so to everybody.
    lobby.forgets("green");
    let revoked = Instant::now();
    lobby.admissions.revoke(vec![digest("green")]);
    until("tide to be let go", || tide.is_over());
    println!("a revoked key: its publisher is let go after {:?}", revoked.elapsed());
    // By another lobby of the same store, of which this one knows nothing.
    lobby.forgets("red");
    let revoked = Instant::now();
    until("ebb to be let go", || ebb.is_over());
    println!("one that another lobby revoked: after {:?}", revoked.elapsed());
    assert!(!flow.is_over(), "another key is not touched");
    is_refused(&stage, "tide?key=green");
    until("the end", || lobby.on_air().contains(&("tide".into(), false)));
    let _tide = publishes(&stage, "tide?key=blue");
    until("it to begin anew", || {
        lobby.on_air().iter().filter(|it| **it == ("tide".into(), true)).count() == 2
    });
}

#[test]
fn a_lobby_that_is_away_stops_nobody_who_was_there() {
    let (mut lobby, stage) = begin();
    lobby.makes("green", "tide");
    lobby.makes("blue", "ebb");
    let mut tide = publishes(&stage, "tide?key=green");
    stage.wait_segments("tide", 1);

    // Its store is away: it answers that it does not know.
    lobby.book.lock().unwrap().is_away = true;
    let said = is_refused(&stage, "ebb?key=blue");
    assert!(said.contains("cannot be looked up now"), "{said}");
    // It is away itself.
    lobby.goes();
    until("the link to end", || lobby.admissions.links() == 0);
    is_refused(&stage, "ebb?key=blue");
    let segments = stage.with(|got| got.of("tide", "180p").len());
    stage.wait_segments("tide", segments + 2);
    assert!(!tide.is_over());
    tide.kill();
    // The settings' keys need no lobby, and tide's was good a moment ago.
    let _bore = publishes(&stage, "bore?key=secret");
    stage.wait_segments("bore", 1);
    let mut tide = publishes(&stage, "tide?key=green");
    let segments = stage.with(|got| got.of("tide", "180p").len());
    stage.wait_segments("tide", segments + 2);

    // What was revoked while it was away ends when it is back.
    lobby.forgets("green");
    lobby.book.lock().unwrap().is_away = false;
    lobby.comes();
    until("tide to be let go", || tide.is_over());
    is_refused(&stage, "tide?key=green");
}
