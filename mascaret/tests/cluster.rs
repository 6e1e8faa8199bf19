//! An operator's eyes on a real cluster: `status`, `top` and the events of a balancer while an edge is drained and taken
//! back. No media: edges are ready by their links alone. Skipped, and said so, where `mascaret-transcode` was not built.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
const PORT_OFFSET: &str = "21000";
const BALANCER: &str = "127.0.0.31:30090";
/// Two ingests, two edges, two balancers and the lobby.
const NODES: usize = 7;
/// On a machine that compiles beside it.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

struct Demo(Child);

impl Demo {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(MASCARET);
        command.args([
            "demo",
            "--json",
            "--no-sources",
            "--edges",
            "2",
            "--for",
            "90s",
            "--port-offset",
            PORT_OFFSET,
            "--dir",
        ]);
        command.arg(directory).stdin(Stdio::null()).stdout(Stdio::null());
        Self(node::program::dies_with_us(&mut command).spawn().expect("the program runs"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `mascaret status --json` of the balancer alone, which tells of all the others.
fn status() -> Value {
    let said =
        Command::new(MASCARET).args(["status", "--json", BALANCER]).output().expect("the program runs");
    serde_json::from_slice(&said.stdout).unwrap_or_default()
}

fn until(what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let seen = status();
        if is_it(&seen) {
            return seen;
        }
        assert!(begin.elapsed() < SEEN_WITHIN, "{what}: {seen:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn state(seen: &Value, edge: &str) -> String {
    let edges = seen["edges"].as_array().into_iter().flatten();
    edges.filter(|it| it["id"] == edge).filter_map(|it| it["state"].as_str()).collect()
}

/// Kinds and sentences of what is about that node.
fn events(seen: &Value, about: &str) -> Vec<String> {
    let events = seen["events"].as_array().into_iter().flatten();
    let texts = events.filter(|event| event["kind"] != "log").filter_map(|event| event["text"].as_str());
    texts.filter(|text| text.contains(about)).map(str::to_owned).collect()
}

fn post(path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(BALANCER).expect("the balancer's operator");
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    (answer[9..12].parse().expect("a status"), answer)
}

#[test]
fn a_drained_edge_is_seen_to_go_and_to_come_back() {
    if let Err(error) = node::program::transcode(None) {
        return println!("skipped: {error}");
    }
    let directory = tempfile::tempdir().expect("a folder");
    let _demo = Demo::start(directory.path());
    let seen = until("two edges and all nodes", |seen| {
        let answer = |node: &Value| node["answers"] == true && node["role"] != "?";
        let nodes =
            seen["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(|node| answer(node)).count());
        let known = |edge: &Value| edge["operator"].is_string();
        // A node that is starting answers before it says who it is.
        let edges = seen["edges"].as_array().is_some_and(|edges| edges.iter().all(known));
        nodes == NODES && edges && state(seen, "edge1") == "ready" && state(seen, "edge2") == "ready"
    });
    assert!(events(&seen, "edge2").iter().any(|text| text == "edge2 is ready and takes viewers"), "{seen:#}");

    assert_eq!(post("/admin/edges/edge2/drain").0, 200);
    let seen = until("edge2 drains", |seen| state(seen, "edge2") == "draining");
    let told = events(&seen, "edge2");
    // The demo's balancers have a directory: the word is written there, and holds over restarts.
    assert!(told.iter().any(|text| text == "the operator drains edge2"), "{told:#?}");
    assert!(told.iter().any(|text| text.starts_with("edge2 drains")), "{told:#?}");
    assert_eq!(post("/admin/edges/edge2/ready").0, 200);
    until("edge2 is back", |seen| state(seen, "edge2") == "ready");
    assert_eq!(post("/admin/edges/edge9/drain").0, 404);

    let page = Command::new(MASCARET).args(["status", BALANCER]).output().expect("the program runs");
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.starts_with("2/2 edges ready · 0 broadcasts · 0 viewers"), "{page}");
    let lines = ["top", "--lines", "--for", "1s", BALANCER];
    let lines = Command::new(MASCARET).args(lines).output().expect("the program runs");
    let text = String::from_utf8_lossy(&lines.stdout).into_owned();
    assert!(lines.status.success() && text.lines().any(|line| line.starts_with("2/2 edges ready")), "{text}");
}
