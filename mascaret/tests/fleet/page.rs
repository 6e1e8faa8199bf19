//! The chapter "Edges that come and go": every command of it, from the page itself, with viewers on the fleet; then the
//! page's buttons, and a rotation of ticket keys.

use super::crowd::{assigned, crowd};
use super::stage::{ETC, Fleet, ask, get, wait};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CHAPTER: &str = "## Edges that come and go";

/// The commands of the chapter, in order.
fn commands() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATING.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let chapter = page.split_once(CHAPTER).expect("the chapter is there").1;
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let blocks = chapter.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split("  #").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_page_does_what_it_says() {
    let mut fleet = Fleet::new(1, &format!("{ETC}/edges.toml"));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut viewers = Vec::new();
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for line in &commands {
        let began = Instant::now();
        let words: Vec<&str> = line.split_whitespace().collect();
        match &words[..] {
            ["mascaret", "edge" | "lb", "--settings", ..] => fleet.starts(line),
            ["systemctl", "stop", unit] => {
                fleet.stops(&format!("edge{}", unit.split_once('@').expect("an instance").1));
            }
            ["mascaret", ..] => {
                let (_, said) = fleet.runs(line);
                println!("{line}\n{said}");
            }
            _ => panic!("nobody rehearses {line:?}"),
        }
        println!("{line}: {:.1} s", began.elapsed().as_secs_f64());
        // What each is for.
        let state = |edge| fleet.state(edge);
        match &words[1..] {
            ["edge", "--settings", file] if viewers.is_empty() && file.ends_with("edge2.toml") => {
                for edge in ["edge1", "edge2"] {
                    wait("edges to be ready", || (state(edge)["state"] == "ready").then_some(()));
                }
                viewers = crowd(fleet.lb(), 8, &is_over);
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
    ticket_keys_are_rotated(&fleet);
    is_over.store(true, Ordering::Release);
    for viewer in viewers {
        let (longest, asked) = viewer.join().expect("a viewer");
        println!("longest without a playlist: {longest:?}; edges asked for by all: {asked}");
        assert!(longest < Duration::from_secs(3), "a viewer had nothing to watch for {longest:?}");
    }
}

/// As the chapter on rotation has it, with viewers whose tokens are of the key before.
fn ticket_keys_are_rotated(fleet: &Fleet) {
    let key = || std::fs::read_to_string(fleet.path("ticket.key")).expect("the key").trim().to_owned();
    let before = key();
    let rotate = format!("mascaret keys rotate {}", fleet.operator("lb"));
    let token = assigned(fleet.lb()).expect("an edge");
    println!("{}", fleet.runs(&format!("{rotate} --dry-run")).1);
    assert_eq!(key(), before, "a rehearsal");
    println!("{}", fleet.runs(&rotate).1);
    wait("the new key to be written", || (key() != before).then_some(()));
    let previous = std::fs::read_to_string(fleet.path("ticket.key.previous")).expect("the key before");
    assert_eq!(previous.trim(), before);
    assert_eq!(get(token.0, &token.1).expect("an edge answers").0, 200, "tokens of the key before hold");
    assert_eq!(
        fleet.tries(&rotate).status.code(),
        Some(1),
        "a second rotation within their lifetime is refused"
    );
}

/// What the cluster page's buttons do; not for pages of other sites, and not of a name mistyped.
fn the_button_writes_the_directory(fleet: &Fleet) {
    let lb = fleet.operator("lb");
    let post = |edge: &str, switch: &str, fields: &str| {
        let path = format!("/admin/edges/{edge}/{switch}");
        let host = format!("{lb}\r\nContent-Length: 0{fields}");
        ask(lb, &format!("POST {path} HTTP/1.1\r\nHost: {host}")).expect("the balancer's operator")
    };
    let written = || std::fs::read_to_string(fleet.path("edges.toml")).unwrap_or_default();
    assert_eq!(post("edge1", "drain", "\r\nOrigin: http://elsewhere.example").0, 403);
    assert_eq!(post("edge1", "drain", "\r\nSec-Fetch-Site: cross-site").0, 403);
    assert_eq!(post("edge9", "drain", "").0, 404);
    assert_eq!(post("edge1", "turn", "").0, 404);
    assert!(!written().contains("drain") && !written().contains("edge9"), "{}", written());
    let (status, _, said) = post("edge1", "drain", &format!("\r\nOrigin: http://{lb}"));
    assert_eq!((status, said.as_str()), (200, "edge1: drain in the directory\n"));
    assert!(written().contains("drain"), "{}", written());
    wait("edge1 to drain", || (fleet.state("edge1")["state"] == "draining").then_some(()));
    assert_eq!(post("edge1", "ready", "").0, 200);
    wait("edge1 to be ready", || (fleet.state("edge1")["state"] == "ready").then_some(()));
    let events = ask(lb, "GET /admin/events HTTP/1.1\r\nHost: x").expect("events").2;
    assert!(events.contains("the operator drains edge1"), "{events}");
}
