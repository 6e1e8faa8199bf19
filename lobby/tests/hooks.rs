//! Webhooks as whoever is told gets them, and those who would have us knock where they cannot.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod stage;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use stage::{Browser, NOTHING, client, start, wait_for};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// What somebody was told: the path, the signature, the body.
type Told = (String, String, String);

/// Somebody who is told, and answers this first and 204 ever after.
struct Listening {
    at: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Listening {
    fn start(first: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let all = told.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = BufReader::new(socket.unwrap());
                let (mut line, mut signature, mut length) = (String::new(), String::new(), 0);
                socket.read_line(&mut line).unwrap();
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                loop {
                    line.clear();
                    if socket.read_line(&mut line).unwrap() <= 2 {
                        break;
                    }
                    let (name, value) = line.split_once(':').unwrap();
                    match name.to_ascii_lowercase().as_str() {
                        "x-mascaret-signature" => signature = value.trim().to_owned(),
                        "content-length" => length = value.trim().parse().unwrap(),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                socket.read_exact(&mut body).unwrap();
                let is_first = all.lock().unwrap().is_empty();
                let answer = if is_first { first } else { "204 No Content\r\n" };
                let answer = format!("HTTP/1.1 {answer}Connection: close\r\nContent-Length: 0\r\n\r\n");
                all.lock().unwrap().push((path, signature, String::from_utf8(body).unwrap()));
                socket.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { at, told }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

fn signed(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    format!("sha256={}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn who_is_told_can_check_it_and_is_told_again_until_he_takes_it() {
    let lobby = start(|settings| settings.webhooks_inside = true);
    let bob = Browser::signed_in(lobby.addresses.http, "bob");
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let elsewhere = Listening::start("204 No Content\r\n");
    let redirect: &'static str = format!("307 Moved\r\nLocation: http://{}/stolen\r\n", elsewhere.at).leak();
    let (good, failing, moved) =
        (Listening::start("200 OK\r\n"), Listening::start("500 Oh\r\n"), Listening::start(redirect));
    let secrets: Vec<String> = [&good, &failing, &moved]
        .map(|it| {
            let url = format!("http://{}/hook?a=b", it.at);
            let hook = bob.does("POST", "/broadcasts/tide/webhooks", json!({ "url": url }), 201);
            hook["secret"].as_str().unwrap().to_owned()
        })
        .into();
    let listed = bob.does("GET", "/broadcasts/tide/webhooks", NOTHING, 200).to_string();
    assert!(secrets.iter().all(|secret| !listed.contains(secret)), "shown once");

    let ingest = client(lobby.folder.path(), lobby.addresses.link, &Arc::default());
    let tide = media::BroadcastId::parse("tide").unwrap();
    ingest.air(&tide, true);
    wait_for("the one that takes it", || good.told().len() == 1);
    wait_for("the one that failed", || failing.told().len() == 2);
    wait_for("the one that pointed elsewhere", || moved.told().len() == 2);
    assert!(elsewhere.told().is_empty(), "where it pointed nobody went");
    wait_for("all are counted", || lobby.metric("mascaret_lobby_webhooks_total") == 3);
    assert_eq!(lobby.metric("mascaret_lobby_failed_webhooks_total"), 0);
    wait_for("its owner sees that each took it", || {
        let listed = bob.does("GET", "/broadcasts/tide/webhooks", NOTHING, 200);
        listed["webhooks"].as_array().unwrap().iter().all(|it| it["last"]["taken"] == true)
    });
    let mut bodies = Vec::new();
    for (it, secret) in [&good, &failing, &moved].into_iter().zip(&secrets) {
        for (path, signature, body) in it.told() {
            assert_eq!(path, "/hook?a=b");
            assert_eq!(signature, signed(secret, &body));
            assert_ne!(signature, signed("another secret", &body));
            bodies.push(body);
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "each try says the same, by its id");
    let said: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!((&said["event"], &said["broadcast"]), (&json!("publish.start"), &json!("tide")));
    ingest.air(&tide, false);
    wait_for("the end is told", || good.told().len() == 2);
    let end: Value = serde_json::from_str(&good.told()[1].2).unwrap();
    assert_eq!(end["event"], "publish.end");
    assert_ne!(end["id"], said["id"]);
}

#[test]
fn nobody_has_us_knock_where_he_cannot() {
    let lobby = start(|_| ());
    let bob = Browser::signed_in(lobby.addresses.http, "bob");
    bob.does("POST", "/broadcasts", json!({ "name": "tide" }), 201);
    let inside = Listening::start("204 No Content\r\n");
    let port = inside.at.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".into(),
        "https://10.0.0.1/".into(),
        format!("http://me:secret@example.org:{port}/"),
        "file:///etc/passwd".into(),
        "gopher://example.org/".into(),
        "http:///".into(),
        "//example.org/".into(),
        format!("https://example.org/{}", "x".repeat(600)),
        "http://exa mple.org/".into(),
    ] {
        bob.does("POST", "/broadcasts/tide/webhooks", json!({ "url": url }), 400);
    }
    // Names, and spellings that only a resolver understands: found out when they are dialled.
    for host in ["localhost", "2130706433", "0x7f.1"] {
        let url = format!("http://{host}:{port}/");
        bob.does("POST", "/broadcasts/tide/webhooks", json!({ "url": url }), 201);
    }
    let ingest = client(lobby.folder.path(), lobby.addresses.link, &Arc::default());
    ingest.air(&media::BroadcastId::parse("tide").unwrap(), true);
    // Those that are no name anywhere are tried again; `localhost` is one everywhere, and is given up at once.
    wait_for("it is given up", || lobby.metric("mascaret_lobby_failed_webhooks_total") >= 1);
    assert_eq!(lobby.metric("mascaret_lobby_webhooks_total"), 0);
    wait_for("its owner sees why", || {
        let listed = bob.does("GET", "/broadcasts/tide/webhooks", NOTHING, 200);
        let all = listed["webhooks"].as_array().unwrap();
        all.iter().any(|it| it["last"]["taken"] == false && it["last"]["says"] != "")
    });
    assert!(inside.told().is_empty());
}
