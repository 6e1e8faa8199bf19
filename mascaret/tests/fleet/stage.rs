//! A fleet on this machine: certificates, settings, nodes as real processes, an ingest that feeds them, and how it is asked.
//!
//! Does not live here: what is published and who watches (`crowd`).

use super::crowd::feed_until;
use super::processes;
use node::certs::{CertificateSettings, Certificates};
use node::directory::NodeId;
use node::fan::publisher::{self, Publishing};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Where the page has its files.
pub(crate) const ETC: &str = "/etc/mascaret";
/// What tickets are sealed with at first.
pub(crate) const TICKET_KEY: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
/// A balancer's operator listener on the page.
const LB_OPERATOR: &str = "10.0.0.3:9090";

/// An address of loopback that no test of another process uses.
pub(crate) fn address(fleet: u8, port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 100 + fleet, high, low.clamp(1, 254)], port))
}

pub(crate) fn wait<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
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
pub(crate) fn get(at: SocketAddr, path: &str) -> Option<(u16, String, String)> {
    ask(at, &format!("GET {path} HTTP/1.1\r\nHost: x"))
}

pub(crate) fn ask(at: SocketAddr, head: &str) -> Option<(u16, String, String)> {
    exchange(connect(at)?, head)
}

fn connect(at: SocketAddr) -> Option<TcpStream> {
    let socket = TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    Some(socket)
}

fn exchange(mut socket: impl Read + Write, head: &str) -> Option<(u16, String, String)> {
    write!(socket, "{head}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, head.to_owned(), body.to_owned()))
}

/// A balancer's doors for viewers.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    http: SocketAddr,
    https: SocketAddr,
    passed: SocketAddr,
    certs: PathBuf,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    Http,
    Https,
    /// What is passed through to an edge.
    Passed,
}

impl Doors {
    /// [`get`] by one of them; with a session of its own where that is private.
    pub(crate) fn get(&self, door: Door, path: &str) -> Option<(u16, String, String)> {
        match door {
            Door::Http => get(self.http, path),
            Door::Passed => get(self.passed, path),
            Door::Https => {
                let certificates =
                    CertificateSettings { directory: self.certs.clone(), ..Default::default() };
                let config = Certificates::new(certificates).https_client_config().expect("the CA is there");
                let name = "localhost".try_into().expect("a name");
                let session = rustls::ClientConnection::new(config, name).expect("a session");
                let stream = rustls::StreamOwned::new(session, connect(self.https)?);
                exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: x"))
            }
        }
    }
}

/// A node that does not outlive its test, and where it logs.
pub(crate) struct Running(Child, PathBuf);

impl Running {
    pub(crate) fn terminate(&self) {
        processes::end(i32::try_from(self.0.id()).expect("a process id is an i32"));
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("it is ours")
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap_or_default()
    }

    pub(crate) fn ended(mut self) {
        let status = wait("a node to end", || self.0.try_wait().expect("it is ours"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            println!("{}: {}", self.1.display(), self.said());
        }
    }
}

/// A fleet on this machine, its files, and the ingest that feeds it.
pub(crate) struct Fleet {
    number: u8,
    pub(crate) directory: tempfile::TempDir,
    nodes: BTreeMap<String, Running>,
    started: Cell<usize>,
    feeding: Option<(Arc<AtomicBool>, JoinHandle<()>, Publishing)>,
}

impl Fleet {
    /// With the directory at this place.
    pub(crate) fn new(number: u8, at: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut fleet =
            Self { number, directory, nodes: BTreeMap::new(), started: Cell::new(0), feeding: None };
        let (_, out) = fleet.runs(&format!("mascaret certs init --dir {ETC}/certs"));
        assert!(out.contains("ca.pem"), "{out}");
        fleet.write("ticket.key", TICKET_KEY);
        let ingest = fleet.ingest();
        let node = |operator| {
            let certs = fleet.path("certs");
            format!("[operator]\nlisten = '{operator}'\n@\n[certificates]\ndirectory = {certs:?}\n")
        };
        let lb = format!(
            "id = 'lb1'\nhttp = '{}'\nhttps = '{}'\ncontrol = '{}'\ningests = ['{ingest}']\ncores = 1\nprobe = '200 ms'\n\
             [[l4]]\nlisten = '{}'\nproxy_protocol = true\n\
             [tickets]\nkey = {:?}\n[directory]\nat = '{}'\n{}",
            fleet.lb(),
            fleet.lb_https(),
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file is written");
    }

    pub(crate) fn lb(&self) -> SocketAddr {
        address(self.number, 8080)
    }

    /// The same for who wants to be private.
    pub(crate) fn lb_https(&self) -> SocketAddr {
        address(self.number, 8443)
    }

    /// All of the balancer's.
    pub(crate) fn doors(&self) -> Doors {
        let (http, https, passed) = (self.lb(), self.lb_https(), self.passed());
        Doors { http, https, passed, certs: self.path("certs") }
    }

    /// Where the balancer passes connections through to edges, and says whose they are.
    pub(crate) fn passed(&self) -> SocketAddr {
        address(self.number, 8090)
    }

    pub(crate) fn edge(&self, name: &str) -> SocketAddr {
        address(self.number, 8080 + name.bytes().last().map_or(0, |digit| u16::from(digit - b'0')))
    }

    pub(crate) fn operator(&self, name: &str) -> SocketAddr {
        let nth = name.bytes().last().filter(u8::is_ascii_digit).map_or(0, |digit| u16::from(digit - b'0'));
        address(self.number, 9090 + nth)
    }

    /// An ingest that is fed a segment every half second.
    pub(crate) fn ingest(&mut self) -> SocketAddr {
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
    pub(crate) fn here(&self, line: &str) -> String {
        let line = line.replace(ETC, &self.directory.path().display().to_string());
        let line = line.replace(LB_OPERATOR, &self.operator("lb").to_string());
        line.replacen("mascaret", MASCARET, 1)
    }

    /// Runs a command to its end, and takes what it says; it must end well.
    pub(crate) fn runs(&self, line: &str) -> (Output, String) {
        let output = self.tries(line);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complains = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {}\n{said}{complains}", output.status);
        (output, said)
    }

    pub(crate) fn tries(&self, line: &str) -> Output {
        Command::new("sh").args(["-c", &self.here(line)]).stdin(Stdio::null()).output().expect("sh is there")
    }

    /// Starts a node as the page has it. Where one of that name runs already, the new one takes over and that one ends.
    pub(crate) fn starts(&mut self, line: &str) {
        let (name, node) = self.begins(line);
        if let Some(former) = self.nodes.insert(name.clone(), node) {
            former.ended();
        }
        let operator = self.operator(&name);
        wait("the node to listen", || get(operator, "/livez").filter(|(status, ..)| *status == 200));
    }

    /// The same, and nobody waits for anything: its name, and the process.
    pub(crate) fn begins(&self, line: &str) -> (String, Running) {
        let settings = line.split_whitespace().find(|word| word.ends_with(".toml")).expect("a settings file");
        let name = Path::new(settings).file_stem().and_then(|it| it.to_str()).expect("a name").to_owned();
        let nth = self.started.replace(self.started.get() + 1);
        let log = self.path(&format!("{name}-{nth}.log"));
        let file = File::create(&log).expect("a log");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", self.here(line))]).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("one log for both")).stderr(file);
        (name, Running(node::program::dies_with_us(&mut command).spawn().expect("it starts"), log))
    }

    /// What the node of that name has logged.
    pub(crate) fn log_of(&self, name: &str) -> String {
        self.nodes[name].said()
    }

    pub(crate) fn stops(&mut self, name: &str) {
        let node = self.nodes.remove(name).expect("it runs");
        node.terminate();
        node.ended();
    }

    /// What the balancer says of itself and all it knows.
    pub(crate) fn status(&self) -> Value {
        let (_, _, body) = get(self.operator("lb"), "/status").expect("the balancer answers");
        serde_json::from_str(&body).expect("JSON")
    }

    /// What the balancer says of an edge.
    pub(crate) fn state(&self, edge: &str) -> Value {
        let status = self.status();
        let edges = status["edges"].as_array().cloned().unwrap_or_default();
        edges.into_iter().find(|it| it["id"] == edge).unwrap_or(Value::Null)
    }

    pub(crate) fn playlist(&self, edge: &str) -> u16 {
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
