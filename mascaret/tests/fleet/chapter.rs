//! The chapter "Edges that come and go": every command of it, from the page itself, with viewers on the fleet, and what the
//! page says is seen; then the page's buttons and switches.

use super::crowd::{assigned, crowd};
use super::page;
use super::stage::{ETC, Fleet, TICKET_KEY, ask, get, wait};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn every_command_of_the_page_does_what_it_says() {
    let mut fleet = Fleet::new(1, &format!("{ETC}/edges.toml"));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut viewers = Vec::new();
    let mut token = None;
    let lines = page::chapter("## Edges that come and go");
    assert!(lines.len() > 15, "{lines:?}");
    for line in &lines {
        let (began, command) = (Instant::now(), line.command);
        let words: Vec<&str> = command.split_whitespace().collect();
        match &words[..] {
            ["mascaret", "edge" | "lb", "--settings", ..] => fleet.starts(command),
            ["systemctl", "stop", unit] => {
                fleet.stops(&format!("edge{}", unit.split_once('@').expect("an instance").1));
            }
            ["mascaret", ..] => {
                let (_, said) = fleet.runs(command);
                println!("{command}\n{said}");
                line.is_seen(&said.replace(&fleet.directory.path().display().to_string(), ETC), &[]);
            }
            _ => panic!("nobody rehearses {command:?}"),
        }
        println!("{command}: {:.1} s", began.elapsed().as_secs_f64());
        // What each is for.
        let state = |edge: &str| fleet.state(edge);
        let is_ready =
            |edge: &str| wait("an edge to be ready", || (state(edge)["state"] == "ready").then_some(()));
        match &words[1..] {
            ["edge", "--settings", file] if viewers.is_empty() && file.ends_with("edge2.toml") => {
                ["edge1", "edge2"].into_iter().for_each(is_ready);
                viewers = crowd(fleet.lb(), 8, &is_over);
            }
            // Who stands as active is ready again by itself; one in maintenance or drained waits for a word.
            ["edge", "--settings", ..] | ["lb", ..] if !viewers.is_empty() => {
                active(&fleet).iter().for_each(|edge| is_ready(edge));
            }
            ["keys", "rotate", _, "--dry-run"] => {
                assert_eq!(key(&fleet), TICKET_KEY, "a rehearsal");
                token = Some(assigned(fleet.lb()).expect("an edge"));
            }
            ["keys", "rotate", ..] => {
                wait("the new key to be written", || (key(&fleet) != TICKET_KEY).then_some(()));
                let previous = std::fs::read_to_string(fleet.path("ticket.key.previous"));
                assert_eq!(previous.expect("the key before").trim(), TICKET_KEY);
                let (edge, path) = token.as_ref().expect("given before the rotation");
                assert_eq!(
                    get(*edge, path).expect("an edge answers").0,
                    200,
                    "tokens of the key before hold"
                );
            }
            ["edge", "add", edge, ..] => {
                assert!(std::fs::read_to_string(fleet.path("edges.toml")).expect("written").contains(edge));
            }
            ["edge", "drain", edge, rest @ ..] if rest.contains(&"--wait") => {
                assert_eq!((fleet.playlist(edge), state(edge)["viewers"].as_u64()), (404, Some(0)));
                assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
            }
            ["edge", "drain", edge, ..] => assert_eq!(fleet.playlist(edge), 200, "a rehearsal"),
            ["edge", "ready", edge, ..] => {
                assert_eq!((fleet.playlist(edge), &state(edge)["state"]), (200, &"ready".into()))
            }
            ["edge", "maintenance", edge, ..] => {
                wait("404", || (fleet.playlist(edge) == 404).then_some(()));
            }
            ["edge", "rm", edge, ..] => {
                wait("200", || (fleet.playlist(edge) == 200).then_some(()));
                wait("ready", || (state(edge)["state"] == "ready").then_some(()));
            }
            ["edge", "weight", edge, percent, ..] => {
                let weight = percent.parse().unwrap_or(100);
                wait("the weight", || (state(edge)["weight"] == weight).then_some(()));
            }
            ["edge", "capacity", edge, "own", ..] => {
                wait("its own capacity", || {
                    (state(edge)["capacity_bits"] == 1_000_000_000_u64).then_some(())
                });
            }
            ["edge", "capacity", edge, ..] => {
                wait("the capacity", || (state(edge)["capacity_bits"] == 2_500_000_000_u64).then_some(()));
            }
            _ => {}
        }
    }
    the_button_writes_the_directory(&fleet);
    ticket_keys_are_rotated_once_more_and_read_again(&fleet);
    let (edge, path) = token.expect("given before the first rotation");
    assert_eq!(get(edge, &path).expect("an edge answers").0, 200, "what is public is there with any token");
    is_over.store(true, Ordering::Release);
    for viewer in viewers {
        let (longest, asked) = viewer.join().expect("a viewer");
        println!("longest without a playlist: {longest:?}; edges asked for by all: {asked}");
        assert!(longest < Duration::from_secs(3), "a viewer had nothing to watch for {longest:?}");
    }
    a_switch_of_its_own_takes_a_node_out_of_service(&fleet);
}

/// The edges of whom nothing else is written.
fn active(fleet: &Fleet) -> Vec<String> {
    let (_, rows) = fleet.runs(&format!("mascaret edge ls --settings {ETC}/lb.toml --json"));
    let rows: Vec<Value> = serde_json::from_str(&rows).expect("JSON");
    let active = rows.iter().filter(|row| row["written"].is_null() || row["written"]["standing"] == "active");
    active.filter_map(|row| row["edge"].as_str().map(str::to_owned)).collect()
}

/// The key that tickets are sealed with, as it is written.
fn key(fleet: &Fleet) -> String {
    std::fs::read_to_string(fleet.path("ticket.key")).expect("the key").trim().to_owned()
}

/// A request of the page, at this operator's listener, with more fields.
fn post(operator: SocketAddr, request: &str, fields: &str) -> (u16, String, String) {
    let head = format!("{request} HTTP/1.1\r\nHost: {operator}\r\nContent-Length: 0{fields}");
    ask(operator, &head).expect("the operator's listener")
}

/// As the chapter on rotation has it, after the walk's own rotation.
fn ticket_keys_are_rotated_once_more_and_read_again(fleet: &Fleet) {
    let before = key(fleet);
    let again = page::line("mascaret keys rotate 10.0.0.3:9090").command;
    assert_eq!(
        fleet.tries(again).status.code(),
        Some(1),
        "a second rotation within their lifetime is refused"
    );
    assert_eq!(key(fleet), before);
    let forced = page::line("mascaret keys rotate 10.0.0.3:9090 --force");
    println!("{}", fleet.runs(forced.command).1);
    wait("the new key to be written", || (key(fleet) != before).then_some(()));

    // Files that somebody else has changed are read again at a word: the order is turned round.
    let rotated = key(fleet);
    fleet.write("ticket.key", &before);
    fleet.write("ticket.key.previous", &rotated);
    let sealing = || fleet.status()["ticket_keys"][0].clone();
    let was = sealing();
    let (status, _, said) = post(fleet.operator("lb"), page::line("POST /admin/keys/reload").command, "");
    assert_eq!(status, 200, "{said}");
    wait("the other key to seal", || (sealing() != was).then_some(()));
}

/// Where an address is moved by hand, and where systemd has the sockets.
fn a_switch_of_its_own_takes_a_node_out_of_service(fleet: &Fleet) {
    for node in ["edge3", "lb"] {
        let operator = fleet.operator(node);
        assert_eq!(get(operator, "/readyz").expect("it answers").0, 200, "{node}");
        assert_eq!(post(operator, page::line("POST /admin/drain").command, "").0, 200, "{node}");
        wait("404", || get(operator, "/readyz").filter(|(status, ..)| *status == 404));
    }
    wait("edge3 to be told of", || (fleet.state("edge3")["state"] != "ready").then_some(()));
}

/// What the cluster page's buttons do; not for pages of other sites, and not of a name mistyped.
fn the_button_writes_the_directory(fleet: &Fleet) {
    let lb = fleet.operator("lb");
    let [drain, ready] = [
        page::line("POST /admin/edges/edge2/drain").command,
        page::line("POST /admin/edges/edge2/ready").command,
    ];
    let written = || std::fs::read_to_string(fleet.path("edges.toml")).unwrap_or_default();
    assert_eq!(post(lb, drain, "\r\nOrigin: http://elsewhere.example").0, 403);
    assert_eq!(post(lb, drain, "\r\nSec-Fetch-Site: cross-site").0, 403);
    assert_eq!(post(lb, &drain.replace("edge2", "edge9"), "").0, 404);
    assert_eq!(post(lb, "POST /admin/edges/edge2/turn", "").0, 404);
    assert!(!written().contains("drain") && !written().contains("edge9"), "{}", written());
    let (status, _, said) = post(lb, drain, &format!("\r\nOrigin: http://{lb}"));
    assert_eq!((status, said.as_str()), (200, "edge2: drain in the directory\n"));
    assert!(written().contains("drain"), "{}", written());
    wait("edge2 to drain", || (fleet.state("edge2")["state"] == "draining").then_some(()));
    assert_eq!(post(lb, ready, "").0, 200);
    wait("edge2 to be ready", || (fleet.state("edge2")["state"] == "ready").then_some(()));
    let events = ask(lb, "GET /admin/events HTTP/1.1\r\nHost: x").expect("events").2;
    assert!(events.contains("the operator drains edge2"), "{events}");
}
