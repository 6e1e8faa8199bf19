//! What one account, or one address, must not be able to do to the others.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod stage;

use node::settings::Number;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use stage::{Browser, NOTHING, PASSWORD, Running, start, wait_for};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Another broadcaster than Bob.
fn carl(lobby: &Running) -> Browser {
    let at = lobby.addresses.http;
    let ada = Browser::signed_in(at, "ada");
    let invite = ada.does("POST", "/invites", json!({ "role": "broadcaster", "hours": 1 }), 201);
    let words = json!({ "name": "carl", "password": PASSWORD, "invite": invite["invite"] });
    Browser::new(at).does("POST", "/accounts", words, 202);
    Browser::signed_in(at, "carl")
}

/// Everything that changes or shows what is Bob's own, by the name of his broadcast and what it has.
fn all_of(name: &str, key: &str, link: &str, hook: &str) -> Vec<(&'static str, String, Value)> {
    let at = |rest: &str| format!("/broadcasts/{name}{rest}");
    vec![
        ("PATCH", at(""), json!({ "title": "mine" })),
        ("GET", at("/health"), NOTHING),
        ("GET", at("/keys"), NOTHING),
        ("POST", at("/keys"), json!({})),
        ("POST", at("/keys/rotate"), json!({})),
        ("DELETE", at(&format!("/keys/{key}")), NOTHING),
        ("GET", at("/links"), NOTHING),
        ("POST", at("/links"), json!({ "hours": 1 })),
        ("DELETE", at(&format!("/links/{link}")), NOTHING),
        ("GET", at("/webhooks"), NOTHING),
        ("POST", at("/webhooks"), json!({ "url": "https://evil.example/" })),
        ("DELETE", at(&format!("/webhooks/{hook}")), NOTHING),
        ("PUT", at("/denials/id-eve"), json!({})),
        ("DELETE", at("/denials/id-eve"), NOTHING),
        ("GET", at("/restraints"), NOTHING),
        ("PUT", at("/restraints/id-eve/ban"), json!({})),
        ("DELETE", at("/restraints/id-eve/ban"), NOTHING),
        ("PUT", at("/slow"), json!({ "seconds": 60 })),
        ("DELETE", at("/messages/1"), NOTHING),
        ("DELETE", at(""), NOTHING),
    ]
}

#[test]
fn what_edges_could_not_be_told_of_is_not_made_private() {
    let lobby = start(|_| ());
    let bob = Browser::signed_in(lobby.addresses.http, "bob");
    bob.does("POST", "/broadcasts", json!({ "name": "bobs" }), 201);
    let store = rusqlite::Connection::open(lobby.folder.path().join("lobby.db")).unwrap();
    store.busy_timeout(Duration::from_secs(5)).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3999)
                INSERT INTO broadcasts (name, title, visibility, made_ms) SELECT 'b' || i, '', 'unlisted', 0 FROM n";
    store.execute_batch(fill).unwrap();
    bob.does("POST", "/broadcasts", json!({ "name": "last", "visibility": "private" }), 201);
    bob.does("PATCH", "/broadcasts/last", json!({ "visibility": "unlisted" }), 204);
    bob.does("PATCH", "/broadcasts/last", json!({ "visibility": "private" }), 204);
    for visibility in ["private", "unlisted"] {
        bob.does("POST", "/broadcasts", json!({ "name": "more", "visibility": visibility }), 409);
        bob.does("PATCH", "/broadcasts/bobs", json!({ "visibility": visibility }), 409);
    }
    bob.does("PATCH", "/broadcasts/last", json!({ "visibility": "public" }), 204);
    bob.does("PATCH", "/broadcasts/bobs", json!({ "visibility": "private" }), 204);
}

#[test]
fn what_is_bobs_no_other_broadcaster_touches_nor_by_its_id_under_his_own() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let (bob, carl, eve) = (Browser::signed_in(at, "bob"), carl(&lobby), Browser::signed_in(at, "eve"));
    carl.does("POST", "/broadcasts", json!({ "name": "carls" }), 201);
    for visibility in ["public", "private"] {
        bob.does("POST", "/broadcasts", json!({ "name": "bobs", "visibility": visibility }), 201);
        let id = |what: &str, words: Value| {
            bob.does("POST", &format!("/broadcasts/bobs/{what}"), words, 201)["id"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let key = id("keys", json!({}));
        let link = id("links", json!({ "hours": 1 }));
        let hook = id("webhooks", json!({ "url": "https://hooks.example/" }));
        bob.does("POST", "/broadcasts/bobs/messages", json!({ "text": "hello" }), 201);
        let wanted = if visibility == "private" { 404 } else { 403 };
        for (method, path, body) in all_of("bobs", &key, &link, &hook) {
            for (who, browser) in [("carl", &carl), ("eve", &eve)] {
                let body = (!body.is_null()).then(|| body.clone());
                let status = browser.ask(method, &format!("/api/v1{path}"), body).status;
                assert_eq!(status, wanted, "{who}: {method} {path}, {visibility}");
            }
            let nobody = Browser::new(at).ask(method, &format!("/api/v1{path}"), None).status;
            assert_eq!(nobody, 401, "nobody: {method} {path}");
        }
        // By its id, under a broadcast of his own.
        for path in [format!("keys/{key}"), format!("links/{link}"), format!("webhooks/{hook}")] {
            carl.does("DELETE", &format!("/broadcasts/carls/{path}"), NOTHING, 404);
        }
        for what in ["keys", "links", "webhooks"] {
            let listed = bob.does("GET", &format!("/broadcasts/bobs/{what}"), NOTHING, 200);
            assert_eq!(listed[what].as_array().unwrap().len(), 1, "{listed}");
        }
        let log = bob.does("GET", "/broadcasts/bobs/messages?after=0", NOTHING, 200);
        assert_eq!(log["messages"].as_array().unwrap().len(), 1, "{log}");
        bob.does("DELETE", "/broadcasts/bobs", NOTHING, 204);
    }
    // Nor what is an administrator's.
    for (method, path, body) in [
        ("GET", "/accounts", NOTHING),
        ("PATCH", "/accounts/id-eve", json!({ "role": "admin" })),
        ("DELETE", "/accounts/id-eve", NOTHING),
        ("GET", "/invites", NOTHING),
        ("POST", "/invites", json!({ "role": "admin", "hours": 1 })),
    ] {
        carl.does(method, path, body, 403);
    }
}

#[test]
fn who_says_that_he_comes_from_elsewhere_is_counted_where_he_comes_from() {
    let lobby = start(|settings| {
        settings.tries_per_address = Number::new(5);
        settings.tries_per_account = Number::new(1000);
    });
    let at = lobby.addresses.http;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let statuses: Vec<u16> = (0..8)
        .map(|nth| {
            let elsewhere = format!("203.0.113.{nth}");
            let request = agent.post(format!("http://{at}/api/v1/session"));
            let request = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"]
                .iter()
                .fold(request, |request, name| {
                    let value =
                        if *name == "Forwarded" { format!("for={elsewhere}") } else { elsewhere.clone() };
                    request.header(*name, value)
                });
            let words = json!({ "name": format!("guess{nth}"), "password": "guess guess guess" }).to_string();
            request.content_type("application/json").send(words).unwrap().status().as_u16()
        })
        .collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
}

fn from(address: Ipv4Addr, at: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect(&at.into()).unwrap();
    socket.into()
}

fn answers(socket: &mut TcpStream) -> bool {
    // Who is let go may be so before he has asked.
    let _ = socket.write_all(b"GET /api/v1/place HTTP/1.1\r\nHost: lobby\r\n\r\n");
    let mut some = [0; 12];
    socket.read_exact(&mut some).is_ok_and(|()| some.starts_with(b"HTTP/1.1 200"))
}

#[test]
fn one_address_that_takes_all_it_can_leaves_room_for_others() {
    let lobby = start(|settings| settings.connections_per_address = Number::new(3));
    let at = lobby.addresses.http;
    let (greedy, other) = (Ipv4Addr::new(127, 44, 0, 1), Ipv4Addr::new(127, 44, 0, 2));
    let mut held: Vec<TcpStream> = (0..3).map(|_| from(greedy, at)).collect();
    assert!(held.iter_mut().all(answers));
    assert!(!answers(&mut from(greedy, at)), "one more is closed");
    assert!(answers(&mut from(other, at)), "another is served");
    held.pop();
    wait_for("a place that is given back", || answers(&mut from(greedy, at)));
}

#[test]
fn a_cookie_that_a_neighbour_planted_beside_ours_is_nobodys() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let (bob, eve) = (Browser::signed_in(at, "bob"), Browser::signed_in(at, "eve"));
    let (own, planted) = (bob.cookie.clone().unwrap(), eve.cookie.unwrap());
    for both in [format!("{planted}; mascaret_session={own}"), format!("{own}; mascaret_session={planted}")] {
        Browser { cookie: Some(both), ..bob.clone() }.does("GET", "/me", NOTHING, 401);
    }
    let twice = format!("{own}; mascaret_session={own}");
    assert_eq!(Browser { cookie: Some(twice), ..bob }.does("GET", "/me", NOTHING, 200)["name"], "bob");
}

#[test]
fn denials_without_end_push_out_nobody_elses() {
    let lobby = start(|_| ());
    let at = lobby.addresses.http;
    let (bob, carl) = (Browser::signed_in(at, "bob"), carl(&lobby));
    bob.does("POST", "/broadcasts", json!({ "name": "bobs", "visibility": "private" }), 201);
    bob.does("PUT", "/broadcasts/bobs/denials/id-eve", json!({}), 204);
    carl.does("POST", "/broadcasts", json!({ "name": "carls" }), 201);
    let mut refused = 0;
    for _ in 0..lobby::store::DENIALS_OF_ONE + 2 {
        let link = carl.does("POST", "/broadcasts/carls/links", json!({ "hours": 1 }), 201);
        let path = format!("/api/v1/broadcasts/carls/links/{}", link["id"].as_str().unwrap());
        match carl.ask("DELETE", &path, None).status {
            204 => assert_eq!(refused, 0),
            409 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(refused, 2);
    Browser::signed_in(at, "eve").does("POST", "/broadcasts/bobs/ticket", json!({}), 404);
}

#[test]
fn a_ticket_key_that_is_rotated_reaches_a_lobby_that_runs() {
    let lobby = start(|_| ());
    let bob = Browser::signed_in(lobby.addresses.http, "bob");
    bob.does("POST", "/broadcasts", json!({ "name": "tide", "visibility": "private" }), 201);
    let file = lobby.folder.path().join("ticket.key");
    let opens = |key: &str| {
        let ticket = bob.does("POST", "/broadcasts/tide/ticket", json!({}), 200);
        let token = ticket::Token::parse(ticket["token"].as_str().unwrap()).unwrap();
        let keys = ticket::Keys::new(ticket::Key::parse(key).unwrap(), None);
        keys.open(&token, 0, ticket::BroadcastHash::of(&media::BroadcastId::parse("tide").unwrap())).is_ok()
    };
    let put = |key: &str| {
        // As a balancer writes it.
        std::fs::write(file.with_extension("new"), key).unwrap();
        std::fs::rename(file.with_extension("new"), &file).unwrap();
    };
    let (one, other) = ("0123".repeat(16), "4567".repeat(16));
    put(&one);
    let asked = ureq::post(format!("http://{}/admin/reload", lobby.operator)).send_empty().unwrap();
    let said = asked.into_body().read_to_string().unwrap();
    assert!(said.contains("lobby.tickets.key: read again"), "{said}");
    assert!(opens(&one), "at once, as by SIGHUP");
    put("rubbish");
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let refused = agent.post(format!("http://{}/admin/reload", lobby.operator)).send_empty().unwrap();
    assert_eq!(refused.status(), 500);
    assert!(opens(&one), "the one before stays");
    put(&other);
    wait_for("it is looked at", || opens(&other));
}
