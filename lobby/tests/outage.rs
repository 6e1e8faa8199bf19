//! The database is away: who posts is told to come again, who reads reads on, who was signed in is so still, and all of it
//! comes back by itself. `MASCARET_OUTAGE_S=300` keeps it away for five minutes.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod database;
mod stage;

use chat::Readers;
use lobby::store::{Postgres, Store};
use node::fan::lobby::client::{self, Told};
use node::settings::{Number, SecretFile};
use serde_json::json;
use stage::{Browser, NOTHING, PASSWORD, Running, start, wait_for};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn away_for() -> Duration {
    let seconds = std::env::var("MASCARET_OUTAGE_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// What an edge holds of the rooms: its link to the lobby, and its ring.
struct Ring {
    readers: Arc<Mutex<Readers<u32>>>,
    _link: client::LobbyClient,
}

impl Ring {
    fn of(lobby: &Running) -> Self {
        let certs = lobby.folder.path().join("certs");
        let settings = node::certs::CertificateSettings { directory: certs, ..Default::default() };
        let tls = node::certs::Certificates::new(settings).cluster_client_config().unwrap();
        let readers = Arc::new(Mutex::new(Readers::new(1)));
        let ring = readers.clone();
        let settings = client::Settings {
            node: edgefan::NodeId::parse("edge1").unwrap(),
            version: "test".into(),
            lobby: lobby.addresses.link.to_string().parse().unwrap(),
        };
        let link = client::start(settings, tls, move |told| {
            if let Told::Chat(told) = told {
                let mut ring = ring.lock().unwrap();
                ring.push(&told, Instant::now());
                while ring.pull().is_some() {}
            }
        });
        Self { readers, _link: link.unwrap() }
    }

    /// What was said last, as `/live/tide/chat/history` answers it.
    fn texts(&self) -> Vec<String> {
        let history = self.readers.lock().unwrap().history("tide");
        let Some(history) = history else { return Vec::new() };
        let history: serde_json::Value = serde_json::from_slice(&history).unwrap();
        history["messages"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap().into()).collect()
    }
}

#[test]
fn a_database_that_is_away_is_told_of_and_waited_for() {
    let Some((mut server, _folder)) = database::single() else {
        println!("skipped: no PostgreSQL here");
        return;
    };
    let address = database::address(&[&server]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(Postgres::new(&address, 1).unwrap());
        store.migrate().await.unwrap();
        stage::people(&*store).await;
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &address).unwrap();
    let lobby = start(|settings| {
        settings.store.postgresql = Some(SecretFile(file.path().to_owned()));
        settings.posts_per_account = Number::new(1000);
        settings.tries_per_account = Number::new(1000);
    });
    let at = lobby.addresses.http;
    let (bob, eve, stranger) =
        (Browser::signed_in(at, "bob"), Browser::signed_in(at, "eve"), Browser::new(at));
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let ring = Ring::of(&lobby);
    let mut said: Vec<String> = Vec::new();
    let mut says = |text: String| {
        eve.does("POST", "/broadcasts/tide/messages", json!({ "text": text }), 201);
        said.push(text);
    };
    (1..=3).for_each(|n| says(format!("before {n}")));
    wait_for("the edge has them", || ring.texts().len() == 3);
    let before = ring.texts();

    server.kill();
    let (began, mut slowest, mut posts) = (Instant::now(), Duration::ZERO, 0);
    while began.elapsed() < away_for() {
        let asked = Instant::now();
        let told_to_wait = |answer: stage::Answer, what: &str| {
            assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("store")), "{what}");
            let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=10).contains(&seconds), "{what}: {seconds} s");
            assert!(
                answer.headers.get("set-cookie").is_none(),
                "{what}: a cookie that is good is not taken away"
            );
        };
        let text = json!({ "text": "never", "nonce": "never" });
        told_to_wait(eve.ask("POST", "/api/v1/broadcasts/tide/messages", Some(text)), "a post");
        told_to_wait(eve.ask("GET", "/api/v1/me", None), "who is signed in");
        told_to_wait(eve.ask("DELETE", "/api/v1/session", None), "signing out");
        told_to_wait(stranger.sign_in("eve", PASSWORD), "signing in");
        assert_eq!(
            stranger.ask("GET", "/api/v1/me", None).status,
            401,
            "who has no cookie needs no database"
        );
        assert_eq!(stranger.ask("GET", "/api/openapi.json", None).status, 200);
        assert_eq!(ring.texts(), before, "edges go on by themselves");
        slowest = slowest.max(asked.elapsed());
        posts += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    let ready = ureq::get(format!("http://{}/readyz", lobby.operator))
        .config()
        .http_status_as_error(false)
        .build()
        .call();
    assert_eq!(ready.unwrap().status(), 503);
    assert!(slowest < Duration::from_secs(15), "six answers took {slowest:?}");

    server.revive();
    let back = Instant::now();
    wait_for("a post is taken", || {
        let again = json!({ "text": "after", "nonce": "after" });
        eve.ask("POST", "/api/v1/broadcasts/tide/messages", Some(again)).status < 300
    });
    let taken = back.elapsed();
    wait_for("the edge has it", || ring.texts().last().is_some_and(|text| text == "after"));
    println!(
        "{posts} rounds while it was away, the slowest {slowest:?}; a post taken {taken:?} after it was back"
    );
    assert_eq!(eve.does("GET", "/me", NOTHING, 200)["name"], "eve", "nobody has to sign in again");
    let log = bob.does("GET", "/broadcasts/tide/messages?after=0", NOTHING, 200);
    let log: Vec<_> = log["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["sequence"].as_u64().unwrap(), it["text"].clone()))
        .collect();
    let wanted: Vec<_> =
        (1..).zip(said.into_iter().chain(["after".into()]).map(|text| json!(text))).collect();
    assert_eq!(log, wanted, "what was refused is not there, and no number is missing");
    wait_for("it is ready again", || ureq::get(format!("http://{}/readyz", lobby.operator)).call().is_ok());
}
