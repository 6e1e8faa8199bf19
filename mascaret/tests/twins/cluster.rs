//! Two ingests and their edges as processes, and what they say when they are asked.

use crate::page;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
pub(crate) const EDGES: usize = 4;

/// A child that does not outlive its test, nor the test's process.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two ingests and their edges, on addresses of their own.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    net: u8,
    pub(crate) ingests: [Option<Running>; 2],
    pub(crate) edges: Vec<Running>,
}

impl Cluster {
    pub(crate) fn start(net: u8) -> Option<Self> {
        if let Err(error) = node::program::transcode(None) {
            eprintln!("skipped: {error}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        node::certs::init(&directory.path().join("certs"), &["localhost".into()]).unwrap();
        let mut cluster = Self { directory, net, ingests: [None, None], edges: Vec::new() };
        (0..2).for_each(|nth| cluster.start_ingest(nth));
        for nth in 0..EDGES {
            let ip = format!("127.{net}.1.{}", 21 + nth);
            let ingests: Vec<String> = (0..2).map(|nth| cluster.at(nth, 7001)).collect();
            let text =
                format!("id = \"edge{nth}\"\nhttp = \"{ip}:8080\"\ncores = 1\ningests = {ingests:?}\n");
            let edge = cluster.node("edge", &format!("edge{nth}"), &text, &format!("{ip}:9090"));
            cluster.edges.push(edge);
        }
        Some(cluster)
    }

    pub(crate) fn at(&self, ingest: usize, port: u16) -> String {
        format!("127.{}.1.{}:{port}", self.net, 11 + ingest)
    }

    pub(crate) fn edge(&self, nth: usize) -> String {
        format!("127.{}.1.{}:8080", self.net, 21 + nth)
    }

    pub(crate) fn url(&self, ingest: usize) -> String {
        format!("rtmp://{}/live/tide", self.at(ingest, 1935))
    }

    pub(crate) fn start_ingest(&mut self, nth: usize) {
        let (rtmp, links, twin) = (self.at(nth, 1935), self.at(nth, 7001), self.at(1 - nth, 7001));
        let state = self.directory.path().join(format!("state{nth}"));
        let mut text =
            format!("id = \"ingest{nth}\"\nrtmp = \"{rtmp}\"\nedgefan = \"{links}\"\ntwin = \"{twin}\"\n");
        let _ = writeln!(text, "open = true\nsegment = \"1 s\"\nstate = {state:?}");
        let _ = writeln!(text, "\n[ladder]\nrungs = [\"180p 300k ultrafast\"]");
        let operator = self.at(nth, 9090);
        self.ingests[nth] = Some(self.node("ingest", &format!("ingest{nth}"), &text, &operator));
    }

    pub(crate) fn node(&self, role: &str, name: &str, text: &str, operator: &str) -> Running {
        let file = self.directory.path().join(format!("{name}.toml"));
        let certs = self.directory.path().join("certs");
        let common =
            format!("\n[operator]\nlisten = {operator:?}\n\n[certificates]\ndirectory = {certs:?}\n");
        std::fs::write(&file, format!("{text}{common}")).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(self.log(name)).unwrap();
        let (line, named) = match role {
            "ingest" => (page::line("mascaret ingest --settings ingest.toml"), "ingest.toml"),
            "lb" => (page::line("mascaret lb --settings lb.toml"), "lb.toml"),
            _ => (page::line("mascaret edge --settings edge.toml"), "edge.toml"),
        };
        let mut command = line.here(Path::new(MASCARET), &[(named, &file.display().to_string())]);
        command.env("MASCARET_TRANSCODE", node::program::transcode(None).unwrap());
        command.stdout(Stdio::null()).stderr(log);
        Running(node::program::dies_with_us(&mut command).spawn().unwrap())
    }

    /// A balancer, and an edge that knows nobody else: as the chapter "Start" has them.
    pub(crate) fn start_balancer(&mut self) -> String {
        let (lb, edge) = (format!("127.{}.1.31", self.net), format!("127.{}.1.29", self.net));
        let ingests: Vec<String> = (0..2).map(|nth| self.at(nth, 7001)).collect();
        let text = format!(
            "id = \"lb1\"\nhttp = \"{lb}:8080\"\ncontrol = \"{lb}:7002\"\ncores = 1\ningests = {ingests:?}\n"
        );
        let balancer = self.node("lb", "lb1", &text, &format!("{lb}:9090"));
        let text = format!("id = \"edge9\"\nhttp = \"{edge}:8080\"\ncores = 1\nlbs = [\"{lb}:7002\"]\n");
        let ninth = self.node("edge", "edge9", &text, &format!("{edge}:9090"));
        self.edges.extend([balancer, ninth]);
        lb
    }

    /// Runs a line of the page to its good end.
    pub(crate) fn runs(&self, line: &page::Line, places: &[(&str, &str)]) -> String {
        line.runs(Path::new(MASCARET), self.directory.path(), places)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    /// What an ingest says of the broadcast.
    pub(crate) fn broadcast(&self, ingest: usize) -> Option<Value> {
        let status = status(&self.at(ingest, 9090))?;
        Some(status["broadcasts"]["tide"].clone()).filter(|shown| !shown.is_null())
    }

    /// Which ingest leads, once one does and the other follows; with both fed, once the feeds are known to be one.
    pub(crate) fn leader(&self, both_fed: bool) -> usize {
        self.wait("one leads and the other follows", || {
            let parts: Vec<Value> = (0..2).filter_map(|nth| self.broadcast(nth)).collect();
            let leads = parts.iter().position(|shown| shown["part"] == "leads")?;
            let other = parts.get(1 - leads)?;
            let is_paired = other["part"] == "follows" && parts[leads]["is_followed"] == true;
            let is_aligned = parts[leads]["twin_feed"] == "aligned" && other["reserve"] == "aligned";
            (is_paired && (is_aligned || !both_fed)).then_some(leads)
        })
    }

    /// Waits, up to a bound, until it is there; else the logs are shown.
    pub(crate) fn wait<T>(&self, what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = wanted() {
                return found;
            }
            if Instant::now() >= until {
                self.show_logs();
                panic!("waited 60 s for {what}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn show_logs(&self) {
        let ingests = (0..2).map(|nth| format!("ingest{nth}"));
        for name in ingests.chain((0..EDGES).map(|nth| format!("edge{nth}"))) {
            let text = std::fs::read_to_string(self.log(&name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("── {name}\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Body of a GET that was answered with 200.
pub(crate) fn fetch(address: &str, path: &str) -> Option<Vec<u8>> {
    asked("GET", address, path).and_then(|(status, body)| (status == 200).then_some(body))
}

pub(crate) fn asked(method: &str, address: &str, path: &str) -> Option<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.split_off(end)))
}

pub(crate) fn status(operator: &str) -> Option<Value> {
    serde_json::from_slice(&fetch(operator, "/status")?).ok()
}
