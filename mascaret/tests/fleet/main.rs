//! Edges that come and go: every command of that chapter of docs/OPERATING.md, from the page itself, on real processes
//! with viewers on them; and what the commands say when they cannot.

use media::{
    BitRate, BroadcastId, DiscontinuitySequence, FrameRate, MediaSequence, MediaSpan, MediaTime, ObjectKey,
    ObjectKind, Rendition, RenditionId, RunId, SegmentFacts, StreamFacts, VideoShape,
};
use node::certs::{CertificateSettings, Certificates};
use node::directory::NodeId;
use node::fan::publisher::{self, Feed, Publishing};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
const CHAPTER: &str = "## Edges that come and go";
const PATIENCE: Duration = Duration::from_secs(30);
const PITCH: MediaSpan = MediaSpan::from_millis(500);
/// Where the page has its files.
const ETC: &str = "/etc/mascaret";

#[path = "../stage/processes.rs"]
#[allow(dead_code, reason = "other stories strike in more ways")]
mod processes;

/// An address of loopback that no test of another process uses.
fn address(fleet: u8, port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 100 + fleet, high, low.clamp(1, 254)], port))
}

fn wait<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < until, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Status, fields and body of one GET on a connection of its own; `None` where nobody answers.
fn get(at: SocketAddr, path: &str) -> Option<(u16, String, String)> {
    ask(at, &format!("GET {path} HTTP/1.1\r\nHost: x"))
}

fn ask(at: SocketAddr, head: &str) -> Option<(u16, String, String)> {
    let mut socket = TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "{head}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, head.to_owned(), body.to_owned()))
}

/// A node that does not outlive its test, and where it logs.
struct Running(Child, PathBuf);

impl Running {
    fn terminate(&self) {
        processes::end(i32::try_from(self.0.id()).expect("a process id is an i32"));
    }

    fn ended(mut self) {
        let status = wait("a node to end", || self.0.try_wait().expect("it is ours"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            println!("{}: {}", self.1.display(), std::fs::read_to_string(&self.1).unwrap_or_default());
        }
    }
}

/// A fleet on this machine, its files, and the ingest that feeds it.
struct Fleet {
    number: u8,
    directory: tempfile::TempDir,
    nodes: BTreeMap<String, Running>,
    started: usize,
    feeding: Option<(Arc<AtomicBool>, JoinHandle<()>, Publishing)>,
}

impl Fleet {
    /// With the directory at this place.
    fn new(number: u8, at: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut fleet = Self { number, directory, nodes: BTreeMap::new(), started: 0, feeding: None };
        let (_, out) = fleet.runs(&format!("mascaret certs init --dir {ETC}/certs"));
        assert!(out.contains("ca.pem"), "{out}");
        fleet.write("ticket.key", "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n");
        let ingest = fleet.ingest();
        let node = |operator| {
            let certs = fleet.path("certs");
            format!("[operator]\nlisten = '{operator}'\n@\n[certificates]\ndirectory = {certs:?}\n")
        };
        let lb = format!(
            "id = 'lb1'\nhttp = '{}'\ncontrol = '{}'\ningests = ['{ingest}']\ncores = 1\nprobe = '200 ms'\n\
             [[l4]]\nlisten = '{}'\nproxy_protocol = true\n\
             [tickets]\nkey = {:?}\n[directory]\nat = '{}'\n{}",
            fleet.lb(),
            address(number, 7002),
            fleet.passed(),
            fleet.path("ticket.key"),
            at.replace(ETC, &fleet.path("").display().to_string()),
            node(fleet.operator("lb")).replace('@', &format!("handover = {:?}", fleet.path("lb.sock"))),
        );
        fleet.write("lb.toml", &lb);
        for edge in ["edge1", "edge2", "edge3"] {
            let handover = fleet.path(&format!("{edge}.sock"));
            let settings = format!(
                "id = '{edge}'\nhttp = '{}'\nlbs = ['{}']\ncores = 1\ndrain_steer = '1 s'\ndrain = '1 s'\n\
                 proxies = ['127.0.0.1']\n{}",
                fleet.edge(edge),
                address(number, 7002),
                node(fleet.operator(edge)).replace('@', &format!("handover = {handover:?}")),
            );
            fleet.write(&format!("{edge}.toml"), &settings);
        }
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file is written");
    }

    fn lb(&self) -> SocketAddr {
        address(self.number, 8080)
    }

    /// Where the balancer passes connections through to edges, and says whose they are.
    fn passed(&self) -> SocketAddr {
        address(self.number, 8090)
    }

    fn edge(&self, name: &str) -> SocketAddr {
        address(self.number, 8080 + name.bytes().last().map_or(0, |digit| u16::from(digit - b'0')))
    }

    fn operator(&self, name: &str) -> SocketAddr {
        let nth = name.bytes().last().filter(u8::is_ascii_digit).map_or(0, |digit| u16::from(digit - b'0'));
        address(self.number, 9090 + nth)
    }

    /// An ingest that is fed a segment every half second.
    fn ingest(&mut self) -> SocketAddr {
        let certificates = CertificateSettings { directory: self.path("certs"), ..Default::default() };
        let tls = Certificates::new(certificates).cluster_server_config().expect("certificates");
        let settings = publisher::Settings {
            node: NodeId::parse("ingest1").expect("a name"),
            version: "test".into(),
            listen: address(self.number, 7001),
            hub_bytes: 64 << 20,
        };
        let (feed, publishing) = publisher::start(settings, tls).expect("an ingest");
        let (is_over, at) = (Arc::new(AtomicBool::new(false)), publishing.address());
        let until = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || feed_until(&feed, &until));
        self.feeding = Some((is_over, thread, publishing));
        at
    }

    /// A line of the page with this fleet's files in place of the page's.
    fn here(&self, line: &str) -> String {
        let line = line.replace(ETC, &self.directory.path().display().to_string());
        line.replacen("mascaret", MASCARET, 1)
    }

    /// Runs a command to its end, and takes what it says; it must end well.
    fn runs(&self, line: &str) -> (Output, String) {
        let output = self.tries(line);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complains = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {}\n{said}{complains}", output.status);
        (output, said)
    }

    fn tries(&self, line: &str) -> Output {
        Command::new("sh").args(["-c", &self.here(line)]).stdin(Stdio::null()).output().expect("sh is there")
    }

    /// Starts a node as the page has it. Where one of that name runs already, the new one takes over and that one ends.
    fn starts(&mut self, line: &str) {
        let settings = line.split_whitespace().find(|word| word.ends_with(".toml")).expect("a settings file");
        let name = Path::new(settings).file_stem().and_then(|it| it.to_str()).expect("a name").to_owned();
        self.started += 1;
        let log = self.path(&format!("{name}-{}.log", self.started));
        let file = File::create(&log).expect("a log");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", self.here(line))]).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("one log for both")).stderr(file);
        let node = Running(node::program::dies_with_us(&mut command).spawn().expect("it starts"), log);
        if let Some(former) = self.nodes.insert(name.clone(), node) {
            former.ended();
        }
        let operator = self.operator(&name);
        wait("the node to listen", || get(operator, "/livez").filter(|(status, ..)| *status == 200));
    }

    fn stops(&mut self, name: &str) {
        let node = self.nodes.remove(name).expect("it runs");
        node.terminate();
        node.ended();
    }

    /// What the balancer says of an edge.
    fn state(&self, edge: &str) -> Value {
        let (_, _, body) = get(self.operator("lb"), "/status").expect("the balancer answers");
        let status: Value = serde_json::from_str(&body).expect("JSON");
        let edges = status["edges"].as_array().cloned().unwrap_or_default();
        edges.into_iter().find(|it| it["id"] == edge).unwrap_or(Value::Null)
    }

    fn playlist(&self, edge: &str) -> u16 {
        get(self.edge(edge), "/live/tide/360p/index.m3u8").map_or(0, |(status, ..)| status)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some((is_over, thread, publishing)) = self.feeding.take() {
            is_over.store(true, Ordering::Release);
            let _ = thread.join();
            publishing.stop();
        }
    }
}

fn feed_until(feed: &Feed, is_over: &AtomicBool) {
    let broadcast = BroadcastId::parse("tide").expect("a name");
    let rendition = RenditionId::parse("360p").expect("a name");
    let video =
        VideoShape { width: 640, height: 360, frame_rate: FrameRate(25_000), codec: "avc1.64001f".into() };
    feed.stream(StreamFacts {
        broadcast: broadcast.clone(),
        run: RunId(1),
        segment: PITCH,
        window: 12,
        renditions: vec![Rendition {
            id: rendition.clone(),
            video: Some(video),
            audio: None,
            peak: BitRate(900_000),
            average: BitRate(800_000),
        }],
        has_ended: false,
    });
    for nth in 0.. {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let sequence = MediaSequence(3_600_000_000 + nth);
        let start = MediaTime::from_ticks(sequence.0 * PITCH.ticks());
        let (broadcast, rendition) = (broadcast.clone(), rendition.clone());
        let kind = ObjectKind::Segment;
        let key = ObjectKey { broadcast, run: RunId(1), rendition, sequence, part: None, kind };
        feed.open(key.clone(), start, DiscontinuitySequence(0));
        feed.bytes(key.clone(), vec![nth as u8; 50_000].into());
        let facts = SegmentFacts {
            sequence,
            run: RunId(1),
            start,
            duration: PITCH,
            discontinuity: DiscontinuitySequence(0),
            bytes: 50_000,
            is_gap: false,
        };
        feed.close(key, facts);
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Viewers who ask the balancer for an edge, stay there as long as its playlist is there, and then ask anew. How long
/// the longest was without a playlist.
fn crowd(lb: SocketAddr, count: usize, is_over: &Arc<AtomicBool>) -> Vec<JoinHandle<(Duration, u64)>> {
    let moved = Arc::new(AtomicU64::new(0));
    let watch = move |is_over: Arc<AtomicBool>, moved: Arc<AtomicU64>| {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        let mut at: Option<(SocketAddr, String)> = None;
        while !is_over.load(Ordering::Acquire) {
            let Some((edge, path)) = &at else {
                at = assigned(lb);
                moved.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            match get(*edge, path) {
                Some((200, ..)) => {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    std::thread::sleep(Duration::from_millis(150));
                }
                _ => at = None,
            }
        }
        (longest.max(last.elapsed()), moved.load(Ordering::Relaxed))
    };
    (0..count)
        .map(|_| {
            let (is_over, moved) = (Arc::clone(is_over), Arc::clone(&moved));
            std::thread::spawn(move || watch(is_over, moved))
        })
        .collect()
}

/// The edge a viewer is sent to, and its media playlist there.
fn assigned(lb: SocketAddr) -> Option<(SocketAddr, String)> {
    let (_, head, _) = get(lb, "/go/tide")?;
    let at = head.lines().find_map(|line| line.strip_prefix("Location: http://"))?;
    let (host, path) = at.split_once('/')?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some((host.parse().ok()?, format!("/{}", path.replace("index.m3u8", "360p/index.m3u8"))))
}

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

#[test]
fn a_word_is_said_once_and_what_cannot_be_is_said_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().join("edges.toml");
    let says = |words: &[&str]| {
        let output = Command::new(MASCARET)
            .arg("edge")
            .args(words)
            .arg("--directory")
            .arg(&at)
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(says(&["drain", "edge1", "--dry-run"]).0, Some(0));
    assert!(!at.exists(), "a rehearsal writes nothing");
    let (status, said, _) = says(&["drain", "edge1"]);
    assert_eq!((status, said.as_str()), (Some(0), "edge1: not written → drain\n"));
    let (status, said, _) = says(&["drain", "edge1"]);
    assert_eq!((status, said.as_str()), (Some(0), "edge1: drain already\n"));
    let (status, said, _) = says(&["weight", "edge1", "50", "--json"]);
    let row: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((status, &row["after"]["weight"], &row["changed"]), (Some(0), &50.into(), &true.into()));
    let (status, said, _) = says(&["ls", "--json"]);
    let rows: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((status, &rows[0]["written"]["standing"]), (Some(0), &"drain".into()));
    assert_eq!(says(&["rm", "edge1"]).0, Some(0));
    assert_eq!(says(&["rm", "edge1"]).1, "edge1: not written already\n");
    // Nobody is there to be asked.
    let (status, _, why) = says(&["ready", "edge1", "--wait", "300ms", "--ask", "127.0.0.1:1"]);
    assert!(status == Some(1) && why.contains("is not ready"), "{why}");
    for (words, part) in [
        (&["drain", "edge/1"][..], "edge/1"),
        (&["weight", "edge1", "1001"], "from 0 to 1000"),
        (&["capacity", "edge1", "fast"], "Mbit/s"),
        (&["rm", "edge1", "--wait", "1s"], "--wait"),
    ] {
        let (status, _, why) = says(words);
        assert!(status == Some(2) && why.contains(part), "{words:?}: {status:?} {why}");
    }
    let nowhere = Command::new(MASCARET).args(["edge", "ls"]).output().expect("it runs");
    assert_eq!(nowhere.status.code(), Some(2));
    std::fs::write(&at, "[edges.e]\nstanding = 'asleep'\n").expect("written");
    let (status, _, why) = says(&["drain", "edge1"]);
    assert!(status == Some(1) && why.contains("allowed: active, drain, maintenance"), "{why}");
}

/// One etcd of Debian's; killed when dropped.
struct Etcd(Option<Child>, Command);

impl Etcd {
    fn new(fleet: u8, directory: &Path) -> (Self, String) {
        let (clients, peers) = (address(fleet, 2379), address(fleet, 2380));
        let mut command = Command::new("etcd");
        command.args(["--name", "one", "--log-level", "error", "--data-dir"]).arg(directory);
        for (flag, at) in [
            ("--listen-client-urls", clients),
            ("--advertise-client-urls", clients),
            ("--listen-peer-urls", peers),
            ("--initial-advertise-peer-urls", peers),
        ] {
            command.args([flag, &format!("http://{at}")]);
        }
        command
            .args(["--initial-cluster", &format!("one=http://{peers}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        (Self(None, command), format!("http://{clients}"))
    }

    fn starts(&mut self) {
        let child = node::program::dies_with_us(&mut self.1).spawn();
        self.0 = Some(child.expect("Debian's package etcd-server has etcd; `make test` installs it"));
    }

    fn is_killed(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.is_killed();
    }
}

/// Asks again and again, on a connection of its own each time, and notes every answer that is not as it should be.
fn asks_until(lb: SocketAddr, paths: &[(String, u16)], is_over: &AtomicBool) -> (u64, Vec<String>) {
    let (mut asked, mut wrong) = (0, Vec::new());
    while !is_over.load(Ordering::Acquire) {
        for (path, wanted) in paths {
            let began = Instant::now();
            let answer = get(lb, path);
            asked += 1;
            if answer.as_ref().map(|(status, ..)| *status) != Some(*wanted) {
                let said =
                    answer.map(|(status, _, body)| (status, body.chars().take(200).collect::<String>()));
                wrong.push(format!("{path} after {:?}: {said:?}", began.elapsed()));
            }
        }
        // Each new viewer has an edge's room reserved for a moment: more of them would rightly find the fleet full.
        std::thread::sleep(Duration::from_millis(60));
    }
    (asked, wrong)
}

#[test]
fn a_balancer_is_upgraded_under_requests_and_refuses_nobody() {
    let mut fleet = Fleet::new(3, &format!("{ETC}/edges.toml"));
    let line = format!("mascaret lb --settings {ETC}/lb.toml");
    fleet.starts(&line);
    for edge in ["edge1", "edge2"] {
        fleet.starts(&format!("mascaret edge --settings {ETC}/{edge}.toml"));
    }
    for edge in ["edge1", "edge2"] {
        wait("edges to be ready", || (fleet.state(edge)["state"] == "ready").then_some(()));
    }
    let lb = fleet.lb();
    let playlist =
        wait("a playlist", || get(lb, "/live/tide/index.m3u8").filter(|(status, ..)| *status == 200)).2;
    let steer = playlist.split("SERVER-URI=\"").nth(1).and_then(|rest| rest.split('"').next());
    let paths = [
        ("/live/tide/index.m3u8".to_owned(), 200),
        (steer.expect("steering").to_owned(), 200),
        ("/go/tide".to_owned(), 307),
    ];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..3).map(|_| scope.spawn(|| asks_until(lb, &paths, &is_over))).collect();
        for _ in 0..3 {
            fleet.starts(&line);
            wait("the new one to be ready", || {
                get(fleet.operator("lb"), "/readyz").filter(|(status, ..)| *status == 200)
            });
        }
        is_over.store(true, Ordering::Release);
        for asker in askers {
            let (asked, wrong) = asker.join().expect("an asker");
            println!("{asked} asked, {} not answered as they should be", wrong.len());
            assert!(asked > 30 && wrong.is_empty(), "{asked} asked; {:#?}", &wrong[..wrong.len().min(4)]);
        }
    });
    assert!(["edge1", "edge2"].iter().all(|edge| fleet.state(edge)["state"] == "ready"));
}

/// One of an edge's counters, over its cores.
fn core_count(fleet: &Fleet, edge: &str, name: &str) -> u64 {
    let (.., metrics) = get(fleet.operator(edge), "/metrics").expect("the edge's operator");
    let lines =
        metrics.lines().filter(|line| line.starts_with(&format!("mascaret_edge_core_{name}_total{{")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

#[test]
fn a_balancer_that_passes_connections_through_says_whose_they_are() {
    let mut fleet = Fleet::new(4, &format!("{ETC}/edges.toml"));
    fleet.starts(&format!("mascaret lb --settings {ETC}/lb.toml"));
    fleet.starts(&format!("mascaret edge --settings {ETC}/edge1.toml"));
    wait("the edge to be ready", || (fleet.state("edge1")["state"] == "ready").then_some(()));
    let playlist = "/live/tide/360p/index.m3u8";
    let before = core_count(&fleet, "edge1", "proxied");
    for _ in 0..5 {
        assert_eq!(get(fleet.passed(), playlist).expect("an edge answers").0, 200);
    }
    assert_eq!(core_count(&fleet, "edge1", "proxied"), before + 5);
    // The balancer's own looks whether the edge lives, from the same address, say nothing of anybody.
    assert_eq!(fleet.state("edge1")["state"], "ready");
    assert_eq!(core_count(&fleet, "edge1", "refused_proxy"), 0);
}

#[test]
fn with_etcd_gone_the_fleet_goes_on_as_it_was_told() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut etcd, at) = Etcd::new(2, data.path());
    etcd.starts();
    let mut fleet = Fleet::new(2, &at);
    let (drain, ready) = ["drain", "ready"]
        .map(|word| format!("mascaret edge {word} edge2 --settings {ETC}/lb.toml --wait 20s"))
        .into();
    wait("etcd", || {
        fleet.tries(&format!("mascaret edge ls --settings {ETC}/lb.toml")).status.success().then_some(())
    });
    fleet.starts(&format!("mascaret lb --settings {ETC}/lb.toml"));
    ["edge1", "edge2"]
        .iter()
        .for_each(|edge| fleet.starts(&format!("mascaret edge --settings {ETC}/{edge}.toml")));
    wait("edges to be ready", || (fleet.state("edge2")["state"] == "ready").then_some(()));
    let is_over = Arc::new(AtomicBool::new(false));
    let viewers = crowd(fleet.lb(), 4, &is_over);
    println!("{}", fleet.runs(&drain).1);

    etcd.is_killed();
    let operator = fleet.operator("lb");
    let up = |wanted: &str| {
        wait(wanted, || get(operator, "/metrics").filter(|(.., body)| body.contains(wanted)));
    };
    up("mascaret_lb_directory_up 0\n");
    let refused = fleet.tries(&ready);
    assert_eq!(refused.status.code(), Some(1), "nothing was written, and that is said");
    // What was said holds, and an edge may come all the same.
    fleet.starts(&format!("mascaret edge --settings {ETC}/edge3.toml"));
    wait("the third edge", || (fleet.state("edge3")["state"] == "ready").then_some(()));
    assert_eq!(fleet.playlist("edge2"), 404);
    etcd.starts();
    up("mascaret_lb_directory_up 1\n");
    println!("{}", fleet.runs(&ready).1);
    assert_eq!(fleet.playlist("edge2"), 200);
    is_over.store(true, Ordering::Release);
    for viewer in viewers {
        let (longest, _) = viewer.join().expect("a viewer");
        assert!(longest < Duration::from_secs(3), "a viewer had nothing to watch for {longest:?}");
    }
}
