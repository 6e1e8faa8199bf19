//! Two real balancers that know each other, and edges linked to both.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

mod stage;

use edgefan::EdgeState;
use stage::{Balancer, FakeEdge, ask, files};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ticket::{BroadcastHash, Token};

/// An address of loopback that no other test of this machine uses now.
fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, low, NEXT.fetch_add(1, Ordering::Relaxed) as u8).into()
}

/// With a ticket key in a file of its own each, or none.
fn pair(keys: [Option<&str>; 2]) -> [Balancer; 2] {
    let files = files();
    let doors = [own_address(), own_address()].map(|ip| SocketAddr::new(ip, 7002));
    let mut number = 0;
    keys.map(|key| {
        number += 1;
        let tickets = key.map(|key| {
            let path = files.path().join(format!("ticket{number}.key"));
            std::fs::write(&path, key).unwrap();
            format!("[tickets]\nkey = {path:?}\n")
        });
        let door = doors[number - 1];
        // Both have the same list, in which each finds itself too.
        let text = format!(
            "id = 'lb{number}'\nhttp = '127.0.0.1:0'\ncontrol = '{door}'\npeers = ['{}', '{}']\n\
             probe = '200 ms'\ncores = 1\n{}",
            doors[0],
            doors[1],
            tickets.unwrap_or_default()
        );
        Balancer::start_with(Arc::clone(&files), &text)
    })
}

fn status(balancer: &Balancer) -> serde_json::Value {
    serde_json::from_str(&ask(TcpStream::connect(balancer.operator).unwrap(), "GET", "/status").body).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(15), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn linked([one, two]: &[Balancer; 2]) {
    eventually("the link", || {
        status(one)["peers"] == serde_json::json!(["lb2"])
            && status(two)["peers"] == serde_json::json!(["lb1"])
    });
}

fn join(balancers: &[Balancer; 2], name: &str) -> FakeEdge {
    let [one, two] = balancers;
    FakeEdge::join_all(&[one, two], name, &[one.addresses.control, two.addresses.control])
}

/// The token of a new viewer.
fn token(balancer: &Balancer) -> Token {
    let answer = balancer.get("/go/tide");
    assert_eq!(answer.status(), 307, "{}", answer.head);
    Token::parse(answer.field("Location").unwrap().split('/').nth(4).unwrap()).unwrap()
}

fn opens(edge: &FakeEdge, token: &Token) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    edge.all_keys().open(token, now, BroadcastHash::of(&stage::tide().broadcast)).is_ok()
}

const KEY: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";

#[test]
fn a_rotation_at_one_balancer_is_one_at_both_and_refuses_no_viewer() {
    let balancers = pair([Some(KEY), Some(KEY)]);
    linked(&balancers);
    let edge = join(&balancers, "edge1");
    let before = token(&balancers[0]);
    let first = status(&balancers[0])["ticket_keys"][0].clone();
    let operator = |method, target| ask(TcpStream::connect(balancers[0].operator).unwrap(), method, target);

    let said = operator("POST", "/admin/keys/rotate?dry_run=1");
    assert!(said.status() == 200 && said.body.contains("would be told"), "{}", said.body);
    assert_eq!(status(&balancers[0])["ticket_keys"].as_array().unwrap().len(), 1);

    // Viewers come to both all the while, and go to the edge at once: it opens every token.
    let is_over = AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let asking = [0, 1].map(|at| {
            let (balancer, edge, is_over) = (&balancers[at], &edge, &is_over);
            scope.spawn(move || {
                let (mut refused, mut asked) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    refused += u32::from(!opens(edge, &token(balancer)));
                    asked += 1;
                    std::thread::sleep(Duration::from_millis(30));
                }
                (refused, asked)
            })
        });
        let said = operator("POST", "/admin/keys/rotate");
        assert_eq!(said.status(), 200, "{}", said.body);
        eventually("the new key at both", || {
            balancers.iter().all(|it| status(it)["ticket_keys"][0] != first)
        });
        std::thread::sleep(Duration::from_millis(200));
        is_over.store(true, Ordering::Relaxed);
        asking.map(|asking| asking.join().unwrap())
    });
    assert!(refused.iter().all(|(refused, asked)| *refused == 0 && *asked > 20), "{refused:?}");

    assert!(opens(&edge, &before), "a token of before the rotation is refused");
    let keys = [0, 1].map(|at| status(&balancers[at])["ticket_keys"].clone());
    assert!(keys[0] == keys[1] && keys[0][1] == first, "{keys:?}");
    // Kept for the next start, at both.
    let files = [1, 2]
        .map(|n| std::fs::read_to_string(balancers[0].files.path().join(format!("ticket{n}.key"))).unwrap());
    assert!(files[0] == files[1] && files[0].trim() != KEY);
    let kept = balancers[1].files.path().join("ticket2.key.previous");
    assert_eq!(std::fs::read_to_string(kept).unwrap().trim(), KEY);
    // Tokens of the first key are still out.
    let again = operator("POST", "/admin/keys/rotate");
    assert!(again.status() == 409 && again.body.contains("would be refused"), "{}", again.body);
}

#[test]
fn balancers_without_a_file_come_to_one_key_and_any_of_them_steers_anybodys_viewer() {
    let balancers = pair([None, None]);
    linked(&balancers);
    eventually("one key", || {
        let keys = [0, 1].map(|at| status(&balancers[at])["ticket_keys"][0].clone());
        keys[0] == keys[1]
    });
    let edges = ["edge1", "edge2"].map(|name| join(&balancers, name));
    let body = balancers[0].get("/live/tide/index.m3u8").body;
    let playlist = hls::MultivariantPlaylist::parse(body.as_bytes()).unwrap();
    let steering = playlist.content_steering.unwrap();
    let home = steering.pathway_id.unwrap();
    let uri = format!("{}?_HLS_pathway={home}", steering.server_uri);
    // One that has just begun waits until it knows its edges, and names the viewer's own alone.
    eventually("both edges as pathways at both", || {
        balancers.iter().all(|balancer| {
            let answer = balancer.get(&uri);
            assert!(answer.body.contains(&format!("\"PATHWAY-PRIORITY\":[\"{home}\"")), "{}", answer.body);
            answer.body.contains(&format!("[\"{home}\",\""))
        })
    });
    // Both say how many watch, although each asked at one.
    eventually("the count", || {
        balancers[0].get(&uri);
        balancers.iter().all(|it| it.get("/api/v1/broadcasts").body.contains("\"viewers\":1"))
    });
    // Lost at both: both say so.
    let lost = edges.iter().find(|edge| edge.name == home).unwrap();
    lost.say(EdgeState::NotFed);
    for balancer in &balancers {
        balancer.until(&home, "not fed");
        let other = edges.iter().find(|edge| edge.name != home).unwrap();
        let answer = balancer.get(&uri);
        let wanted = format!("\"PATHWAY-PRIORITY\":[\"{}\",\"{home}\"]", other.name);
        assert!(answer.body.contains(&wanted), "{}", answer.body);
    }
}

#[test]
fn what_one_balancer_sends_to_an_edge_the_other_knows() {
    let balancers = pair([Some(KEY), Some(KEY)]);
    linked(&balancers);
    let _edge = join(&balancers, "edge1");
    for _ in 0..20 {
        token(&balancers[0]);
    }
    let promised = |at: usize| status(&balancers[at])["edges"][0]["promised_bits"].as_u64().unwrap();
    // Twenty of 1.95 Mbit/s beside the one that the edge says it sends.
    eventually("what is reserved at the other", || promised(1) > 30_000_000 && promised(0) > 30_000_000);
}

#[test]
fn with_one_balancer_gone_the_other_serves_new_viewers_at_once_and_old_ones_as_before() {
    let [one, two] = pair([Some(KEY), Some(KEY)]);
    let balancers = [one, two];
    linked(&balancers);
    let edge = join(&balancers, "edge1");
    let before = token(&balancers[0]);
    let [one, two] = balancers;
    drop(one);
    let gone = Instant::now();
    let new = token(&two);
    assert!(gone.elapsed() < Duration::from_millis(500), "a new viewer waited {:?}", gone.elapsed());
    assert!(opens(&edge, &new) && opens(&edge, &before));
    let answer = two.get(&format!("/steer/{before}/tide?_HLS_pathway=edge1"));
    assert!(answer.status() == 200 && answer.body.contains("[\"edge1\"]"), "{}", answer.body);
    drop(two);
    // What balancers told an edge is not forgotten with them.
    assert!(opens(&edge, &before));
}
