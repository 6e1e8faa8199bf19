//! The whole cluster as real processes: video reaches every edge, an ingest may be killed, nobody outlives the
//! demo. About a minute; skipped, and said so, where `mascaret-transcode` was not built.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "stage/page.rs"]
mod page;

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");

struct Demo {
    child: Child,
    events: BufReader<ChildStdout>,
}

impl Demo {
    fn start(directory: &Path, words: &[&str]) -> Self {
        let mut child = Command::new(MASCARET)
            .args(["demo", "--json", "--dir"])
            .arg(directory)
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let events = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, events }
    }

    /// Reads on to the first such event. Every demo of these tests ends by itself, so this does too.
    fn wait_for(&mut self, event: &str) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.events.read_line(&mut line).expect("UTF-8"),
                0,
                "the demo ended without {event:?}"
            );
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if value["event"] == event {
                return value;
            }
            assert_ne!(value["event"], "verdict", "{event:?} did not come: {line}");
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_transcode() -> bool {
    let found = node::program::transcode(None);
    if let Err(error) = &found {
        eprintln!("skipped: {error}");
    }
    found.is_ok()
}

/// Children, and theirs.
fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything, in brackets: state, then the parent (proc(5)).
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<u32> = std::fs::read_dir("/proc")
        .expect("a Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mut found = vec![of];
    let mut at = 0;
    while at < found.len() {
        let children = all.iter().filter(|pid| parent(**pid) == Some(found[at])).copied();
        found.extend(children.collect::<Vec<_>>());
        at += 1;
    }
    found.split_off(1)
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill(1)");
    assert!(status.success());
}

fn node_of(directory: &Path, of: u32, name: &str) -> u32 {
    let settings = directory.join(format!("{name}.toml"));
    let settings = settings.to_str().expect("UTF-8");
    let is_it = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(settings))
    };
    descendants(of).into_iter().find(is_it).unwrap_or_else(|| panic!("no process for {name}"))
}

#[test]
fn video_reaches_every_edge_and_goes_on_when_an_ingest_is_killed() {
    if !has_transcode() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = Demo::start(directory.path(), &["--for", "58s", "--port-offset", "2000"]);
    let start = demo.wait_for("start");
    let fed = demo.wait_for("fed");
    assert!(fed["fed_after_ms"].as_u64() < Some(30_000), "{fed}");

    // BANDWIDTH is what was measured so far, and the pattern repeats itself after 8 s: before that, a copied rung may
    // still turn out larger than it was (rule C06).
    std::thread::sleep(Duration::from_secs(10));
    let lb = start["watch"][0].as_str().expect("a URL").to_owned();
    let lint = page::line("mascaret lint https://live.example.org/live/studio/index.m3u8 --for 60s");
    let places = [("https://live.example.org/live/studio", &*format!("{lb}live/tide")), ("60s", "9s")];
    lint.runs(Path::new(MASCARET), directory.path(), &places);
    let edge = start["edges"][0]["http"].as_str().expect("an address").to_owned();
    for rendition in ["source", "180p"] {
        the_numbers_in_the_pictures_follow_each_other(&format!(
            "http://{edge}/live/tide/{rendition}/index.m3u8"
        ));
    }

    kill(node_of(directory.path(), demo.child.id(), "ingest1"));
    let ended = demo.wait_for("ended");
    assert_eq!((&ended["node"], &ended["how"]), (&"ingest1".into(), &"was ended by signal 9".into()));
    let verdict = demo.wait_for("verdict");
    // The killed one is told, and nothing else is wrong: its broadcast went on from the other ingest.
    assert_eq!(verdict["wrong"], serde_json::json!(["ingest1 was ended by signal 9"]), "{verdict}");
    assert!(verdict["segments_compared"].as_u64() > Some(100), "{verdict}");
    assert_eq!(demo.child.wait().expect("a status").code(), Some(1));
}

/// Decodes what an edge serves now, where ffmpeg is there to do it, and reads the row of blocks.
fn the_numbers_in_the_pictures_follow_each_other(playlist: &str) {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i", playlist, "-t", "3", "-an", "-vf", "scale=320:180", "-pix_fmt", "gray"])
        .args(["-f", "rawvideo", "-"])
        .stdin(Stdio::null())
        .output();
    let Ok(decoded) = decoded else { return eprintln!("skipped: no ffmpeg") };
    assert!(decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let numbers: Vec<Option<u32>> = decoded
        .stdout
        .chunks_exact(320 * 180)
        .map(|luma| source::counter::read(luma, 320, 320, 180))
        .collect();
    assert!(numbers.len() >= 50, "{} pictures of {playlist}", numbers.len());
    let first = numbers[0].expect("a number in the first picture");
    let expected: Vec<Option<u32>> = (first..).take(numbers.len()).map(Some).collect();
    assert_eq!(numbers, expected, "{playlist}");
}

#[test]
fn nobody_outlives_the_demo() {
    if !has_transcode() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = Demo::start(directory.path(), &["--for", "30s", "--port-offset", "3000", "--edges", "1"]);
    demo.wait_for("status");
    let all = descendants(demo.child.id());
    assert!(all.len() >= 7, "{} processes", all.len());
    kill(demo.child.id());
    let killed = Instant::now();
    while all.iter().any(|pid| is_alive(*pid)) {
        assert!(killed.elapsed() < Duration::from_secs(5), "some of {all:?} live on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_taken_port_is_told_with_its_owner() {
    if !has_transcode() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let _taken = TcpListener::bind("127.0.0.31:12080").expect("a port of ours");
    let output = Command::new(MASCARET)
        .args(["demo", "--for", "1s", "--port-offset", "4000", "--dir"])
        .arg(directory.path())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("127.0.0.31:12080 (lb1, http): taken by"), "{said}");
    assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
}
