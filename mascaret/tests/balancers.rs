//! Real processes: one balancer is killed, and newcomers go to the other at once; then that one too, and who watches
//! goes on watching. Skipped, and said so, where `mascaret-transcode` was not built.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
/// Ports of its own, so that a demo that somebody is watching goes on.
const OFFSET: &str = "11000";
const EDGES_HTTP: [&str; 2] = ["127.0.0.21:19080", "127.0.0.22:19080"];
const BALANCERS: [&str; 2] = ["127.0.0.31:19080", "127.0.0.32:19080"];

/// A child that does not outlive its test; asked to end first, so that it ends its own children.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        for _ in 0..100 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fetch(address: &str, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The demo's children that are balancers, by their settings' name.
fn balancers(demo: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // After the name, which is in brackets: the state, and the parent.
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_balancer = words.split(|&byte| byte == 0).nth(1) == Some(b"lb");
        if parent == Some(demo) && is_balancer {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill").success());
}

#[test]
fn newcomers_go_to_the_other_balancer_and_viewers_need_none() {
    if let Err(error) = node::program::transcode(None) {
        return println!("skipped: {error}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Command::new(MASCARET);
    demo.args(["demo", "--json", "--edges", "2", "--for", "150s", "--port-offset", OFFSET, "--dir"]);
    demo.arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut demo = Running(demo.spawn().expect("mascaret demo"));
    let events = BufReader::new(demo.0.stdout.take().expect("a pipe")).lines();
    let mut events = events.map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"));
    let start = events.find(|event| event["event"] == "start").expect("the start");
    let broadcast = start["broadcasts"][0].as_str().expect("a broadcast").to_owned();
    events.find(|event| event["event"] == "fed").expect("every edge is fed");
    // Somebody reads on, or the demo would wait for it.
    std::thread::spawn(move || events.for_each(drop));
    let begin = Instant::now();
    for edge in EDGES_HTTP {
        let path = format!("/live/{broadcast}/source/index.m3u8");
        while fetch(edge, &path).is_ok_and(|list| list.matches("#EXTINF").count() < 4) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{edge} has no four segments after 60 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    let playlist = format!("/live/{broadcast}/index.m3u8");
    let both = balancers(demo.0.id());
    assert_eq!(both.len(), 2, "the demo's balancers");
    let answers = BALANCERS.map(|balancer| fetch(balancer, &playlist).expect("an answer"));
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{answers:?}");
    let steering = answers[0].lines().find_map(|line| line.split("SERVER-URI=\"").nth(1)?.split('"').next());
    let steering = steering.expect("a viewer of the first is steered").to_owned();

    kill(both[0]);
    // Which of the two it was shows in who answers; the other does, for newcomers and for viewers of the one.
    let asked = Instant::now();
    let left = BALANCERS
        .iter()
        .find(|balancer| fetch(balancer, &playlist).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
    let left = *left.expect("one of them goes on");
    println!("a newcomer was answered after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_millis(500), "it took {:?}", asked.elapsed());
    let steered = fetch(left, &steering).expect("an answer");
    assert!(steered.starts_with("HTTP/1.1 200 ") && steered.contains("PATHWAY-PRIORITY"), "{steered}");

    let url = format!("http://{left}{playlist}");
    let viewers = Command::new(MASCARET)
        .args(["loadtest", &url, "--viewers", "20", "--ramp", "1s", "--for", "16s", "--json", "-"])
        .args(["--fail-if", "stalls > 0", "--fail-if", "started < 20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("mascaret loadtest");
    std::thread::sleep(Duration::from_secs(6));
    kill(both[1]);
    let ran = viewers.wait_with_output().expect("mascaret loadtest");
    let report: Value = serde_json::from_slice(&ran.stdout).expect("a report");
    assert!(BALANCERS.iter().all(|balancer| fetch(balancer, &playlist).is_err()), "both are gone");
    assert!(ran.status.success(), "{:#}", report["checks"]);
}
