//! An operator's eyes on a real cluster: `status`, `top` and the events of a balancer while an edge is drained and taken
//! back, by a request and by the keys of `top` on a terminal. No media: edges are ready by their links alone. Skipped, and
//! said so, where `mascaret-transcode` was not built.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
const PORT_OFFSET: &str = "21000";
const BALANCER: &str = "127.0.0.31:30090";
/// Two ingests, two edges, two balancers and the lobby.
const NODES: usize = 7;
/// On a machine that compiles beside it.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

#[path = "stage/page.rs"]
mod page;

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

/// A line of the page about a balancer, asked of this one; `more` is what else is another thing here.
fn typed(line: &page::Line, more: &[(&str, &str)]) -> Command {
    let places: Vec<(&str, &str)> = [("10.0.0.3:9090", BALANCER)].iter().chain(more).copied().collect();
    line.here(Path::new(MASCARET), &places)
}

/// The balancer's own status, which tells of all the others.
fn status() -> Value {
    let line = page::line("mascaret status 10.0.0.3:9090 --json");
    let said = typed(&line, &[]).output().expect("the program runs");
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
    let mut stream = std::net::TcpStream::connect(BALANCER).expect("the balancer's operator");
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    (answer[9..12].parse().expect("a status"), answer)
}

/// A program on a terminal of its own, which `script` of util-linux is.
struct Screen {
    process: Child,
    keys: ChildStdin,
    /// Everything it has written.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    fn open(typed: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["-qefc", &format!("stty rows 40 cols 120; exec {typed}"), "/dev/null"]);
        command.env("TERM", "xterm-256color").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = node::program::dies_with_us(&mut command).spawn().expect("script, of bsdutils");
        let (keys, mut screen) =
            (process.stdin.take().expect("a pipe"), process.stdout.take().expect("a pipe"));
        let written = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&written);
        // Ends with the program.
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut some) {
                writes.lock().expect("nobody panics with it").extend_from_slice(&some[..n]);
            }
        });
        Self { process, keys, written }
    }

    /// Presses keys, and waits until these words are written after that. A word is written whole where nothing but blanks
    /// was; spaces between words are steps of the cursor.
    fn press(&mut self, keys: &str, words: &[&str]) {
        let from = self.written.lock().expect("nobody panics with it").len();
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
        let begin = Instant::now();
        loop {
            let written =
                String::from_utf8_lossy(&self.written.lock().expect("nobody panics with it")[from..])
                    .into_owned();
            if words.iter().all(|word| written.contains(word)) {
                return;
            }
            assert!(begin.elapsed() < SEEN_WITHIN, "{words:?} after {keys:?}: {written:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ends(mut self) {
        self.keys.write_all(b"q").expect("a terminal");
        let begin = Instant::now();
        while self.process.try_wait().expect("it is ours").is_none() {
            assert!(begin.elapsed() < SEEN_WITHIN, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        let status = self.process.wait().expect("it has ended");
        assert!(status.success(), "{status}");
        let written = self.written.lock().expect("nobody panics with it");
        assert!(
            written.windows(8).any(|eight| eight == b"\x1b[?1049l"),
            "the terminal is given back as it was"
        );
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The keys of `top`: each is asked first, and what is not said yes to is not done.
fn an_edge_is_drained_and_taken_back_by_keys() {
    let line = page::line("mascaret top 10.0.0.3:9090");
    let mut screen = Screen::open(&line.typed(Path::new(MASCARET), &[("10.0.0.3:9090", BALANCER)]));
    screen.press("", &["edge1", "edge2"]);
    screen.press("d", &["edge1?"]);
    screen.press("n", &["nothing"]);
    assert_eq!(state(&status(), "edge1"), "ready", "nobody said yes");
    screen.press("jd", &["edge2?"]);
    screen.press("y", &["directory"]);
    until("edge2 drains", |seen| state(seen, "edge2") == "draining");
    screen.press("r", &["let"]);
    screen.press("y", &[]);
    until("edge2 is back", |seen| state(seen, "edge2") == "ready");
    screen.ends();
}

/// What happens, as it happens, for who reads on.
fn events_are_told_as_they_come() {
    let line = page::line("curl -N -H 'Accept: text/event-stream' 127.0.0.1:9090/admin/events");
    let field = line.command.split('\'').nth(1).expect("a field");
    let path = line.command.split("127.0.0.1:9090").nth(1).expect("a path");
    let mut stream = std::net::TcpStream::connect(BALANCER).expect("the balancer's operator");
    stream.set_read_timeout(Some(SEEN_WITHIN)).expect("a time");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").expect("sent");
    assert_eq!(post("/admin/edges/edge1/ready").0, 200);
    assert_eq!(post("/admin/edges/edge1/drain").0, 200);
    let (mut heard, mut some) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&heard).contains("the operator drains edge1") {
        let n = stream.read(&mut some).expect("an event within the time");
        assert!(n > 0, "it ended after {:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&some[..n]);
    }
    assert!(String::from_utf8_lossy(&heard).contains("text/event-stream"));
    assert_eq!(post("/admin/edges/edge1/ready").0, 200);
    until("edge1 is back", |seen| state(seen, "edge1") == "ready");
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
    // The demo's balancers have a directory: the word is written there, and holds over restarts. Each of the two reads it in
    // its own time, so an edge that the other one told may drain before this one tells whose word it was.
    until("edge2 drains, by the operator's word", |seen| {
        let told = events(seen, "edge2");
        let is_told = |begin: &str| told.iter().any(|text| text.starts_with(begin));
        state(seen, "edge2") == "draining" && is_told("the operator drains edge2") && is_told("edge2 drains")
    });
    assert_eq!(post("/admin/edges/edge2/ready").0, 200);
    until("edge2 is back", |seen| state(seen, "edge2") == "ready");
    assert_eq!(post("/admin/edges/edge9/drain").0, 404);

    an_edge_is_drained_and_taken_back_by_keys();
    events_are_told_as_they_come();

    let page = typed(&page::line("mascaret status 10.0.0.3:9090"), &[]).output().expect("the program runs");
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.starts_with("2/2 edges ready · 0 broadcasts · 0 viewers"), "{page}");
    let lines = page::line("mascaret top --lines --for 1h 10.0.0.3:9090");
    let lines = typed(&lines, &[("1h", "1s")]).output().expect("the program runs");
    let text = String::from_utf8_lossy(&lines.stdout).into_owned();
    assert!(lines.status.success() && text.lines().any(|line| line.starts_with("2/2 edges ready")), "{text}");
}
