//! A small cluster of real processes, each in a namespace of its own: a source, two ingests, three edges, two balancers,
//! and a namespace for viewers.
//!
//! Lives here: settings, starting, ending, asking nodes how they are. Does not live here: what goes wrong (`fault`).

use crate::space::Space;
use crate::switch::Switch;
use ingest::keys::KeyHash;
use node::program::dies_with_us;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many there are of each.
pub(crate) const INGESTS: u8 = 2;
pub(crate) const EDGES: u8 = 3;
pub(crate) const BALANCERS: u8 = 2;

/// What is published.
pub(crate) const BROADCAST: &str = "tide";
/// Its renditions: the copied source, and one that is made.
pub(crate) const RENDITIONS: [&str; 2] = ["source", "120p"];

const KEY: &str = "labkeylabkeylabkeylabkeylabkey22";

/// One process in its namespace.
pub(crate) struct Node {
    pub(crate) name: String,
    role: &'static str,
    pub(crate) space: Space,
    settings: String,
    child: Option<Child>,
    is_paused: bool,
}

/// Everything.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) crowd: Space,
    pub(crate) switch: Switch,
    directory: PathBuf,
    program: PathBuf,
}

fn at(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last)
}

const CROWD: u8 = 99;

pub(crate) fn ingest_at(index: u8) -> Ipv4Addr {
    at(11 + index)
}

pub(crate) fn edge_at(index: u8) -> Ipv4Addr {
    at(21 + index)
}

pub(crate) fn balancer_at(index: u8) -> Ipv4Addr {
    at(31 + index)
}

fn etcd_at() -> Ipv4Addr {
    at(51)
}

/// Whether this machine has one; without it the balancers follow no directory.
pub(crate) fn has_etcd() -> bool {
    let asked = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// etcd alone, in its own namespace.
fn etcd(directory: &Path) -> Command {
    let mut command = Command::new("etcd");
    let (clients, peers) = (format!("http://{}:2379", etcd_at()), format!("http://{}:2380", etcd_at()));
    command.args(["--name", "lab", "--log-level", "error", "--data-dir"]).arg(directory.join("etcd"));
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.arg(format!("--initial-cluster=lab={peers}"));
    command
}

impl Cluster {
    /// Namespaces, certificates, settings; nothing runs yet.
    pub(crate) fn new(directory: &Path, program: &Path, seed: u64) -> io::Result<Self> {
        fs::create_dir_all(directory.join("logs"))?;
        node::certs::init(&directory.join("certs"), &[]).map_err(io::Error::other)?;
        secret(&directory.join("ticket.key"), &format!("{:064x}", 0x1ab))?;
        secret(&directory.join("publish.key"), KEY)?;
        let mut nodes = Vec::new();
        for index in 0..BALANCERS {
            nodes.push(Node::new("lb", index, balancer_at(index), balancer(index, directory))?);
        }
        for index in 0..INGESTS {
            nodes.push(Node::new("ingest", index, ingest_at(index), ingest(index, directory))?);
        }
        for index in 0..EDGES {
            nodes.push(Node::new("edge", index, edge_at(index), edge(index, directory))?);
        }
        nodes.push(Node::new("source", 0, at(41), source(directory))?);
        if has_etcd() {
            nodes.push(Node::new("etcd", 0, etcd_at(), String::new())?);
        }
        let crowd = Space::new("crowd", at(CROWD))?;
        let mut devices = Vec::new();
        for space in nodes.iter().map(|node| &node.space).chain([&crowd]) {
            devices.push((space.address(), space.device()?));
        }
        let switch = Switch::start(devices, seed)?;
        let (directory, program) = (directory.to_owned(), program.to_owned());
        Ok(Self { nodes, crowd, switch, directory, program })
    }

    pub(crate) fn start_all(&mut self) -> io::Result<()> {
        (0..self.nodes.len()).try_for_each(|place| self.start(place, &[]))
    }

    /// Starts a node, with these variables beside its own.
    pub(crate) fn start(&mut self, place: usize, variables: &[(String, String)]) -> io::Result<()> {
        let (directory, program) = (self.directory.clone(), self.program.clone());
        let node = &mut self.nodes[place];
        let settings = directory.join(format!("{}.toml", node.name));
        fs::write(&settings, &node.settings)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.join(format!("logs/{}.log", node.name)))?;
        let (role, variables) = (node.role, variables.to_vec());
        let child = node.space.inside(move || {
            let mut command = match role {
                "etcd" => etcd(&directory),
                _ => {
                    let mut command = Command::new(program);
                    command.args([role, "--settings"]).arg(settings);
                    command
                }
            };
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).envs(variables);
            dies_with_us(&mut command).spawn()
        })??;
        node.child = Some(child);
        Ok(())
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self, place: usize) {
        self.nodes[place].kill();
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn pause(&mut self, place: usize, is_paused: bool) {
        let node = &mut self.nodes[place];
        node.is_paused = is_paused;
        node.signal(if is_paused { Signal::STOP } else { Signal::CONT });
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// Which ingest the source publishes to now.
    pub(crate) fn fed_ingest(&self) -> Option<usize> {
        let has_publisher = |place: &usize| {
            self.nodes[*place].role == "ingest"
                && self.nodes[*place].status().is_some_and(|status| {
                    status
                        .pointer(&format!("/broadcasts/{BROADCAST}/publisher"))
                        .is_some_and(|it| !it.is_null())
                })
        };
        (0..self.nodes.len()).find(has_publisher)
    }

    /// Waits until every edge lists at least so many segments of every rendition.
    pub(crate) fn wait_well(&self, within: Duration, is_over: &dyn Fn() -> bool) -> Result<(), String> {
        let until = Instant::now() + within;
        loop {
            match self.unwell() {
                None => return Ok(()),
                Some(why) if Instant::now() >= until || is_over() => return Err(why),
                Some(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Why it is not well, if so.
    fn unwell(&self) -> Option<String> {
        for index in 0..EDGES {
            for rendition in RENDITIONS {
                let path = format!("/live/{BROADCAST}/{rendition}/index.m3u8");
                let text = match self.get(SocketAddr::from((edge_at(index), 8080)), &path) {
                    Ok((200, text)) => text,
                    Ok((status, _)) => return Some(format!("edge{} says {status} for {path}", index + 1)),
                    Err(error) => return Some(format!("edge{}: {error}", index + 1)),
                };
                if text.matches("#EXTINF").count() < 5 {
                    return Some(format!("edge{} lists too few of {rendition}", index + 1));
                }
            }
        }
        for index in 0..BALANCERS {
            let path = format!("/live/{BROADCAST}/index.m3u8");
            match self.get(SocketAddr::from((balancer_at(index), 8080)), &path) {
                Ok((200, _)) => {}
                Ok((status, _)) => return Some(format!("lb{} says {status}", index + 1)),
                Err(error) => return Some(format!("lb{}: {error}", index + 1)),
            }
        }
        // A fault of one edge is told from one of all only where all are known to both.
        for name in ["lb1", "lb2"] {
            let status = self.place(name).and_then(|place| self.nodes[place].status());
            let text = status.map(|status| status.to_string()).unwrap_or_default();
            let ready = text.matches("\"ready\"").count();
            if ready < usize::from(EDGES) {
                return Some(format!("{name} calls {ready} of {EDGES} edges ready"));
            }
        }
        None
    }

    /// The newest number that each edge lists, asked from within: no rule of the switch is in the way.
    pub(crate) fn newest(&self) -> Vec<Option<u64>> {
        let path = format!("/live/{BROADCAST}/{}/index.m3u8", RENDITIONS[0]);
        let edges = self.nodes.iter().filter(|node| node.role == "edge");
        edges
            .map(|node| {
                let (server, path) = (SocketAddr::from((node.space.address(), 8080)), path.clone());
                let answer = node.space.inside(move || get(server, &path, Duration::from_millis(200)));
                let (_, text) = answer.ok()?.ok().filter(|(status, _)| *status == 200)?;
                text.lines().rev().find_map(|line| line.strip_suffix(".ts")?.rsplit('/').next()?.parse().ok())
            })
            .collect()
    }

    /// GET as a viewer.
    pub(crate) fn get(&self, server: SocketAddr, path: &str) -> io::Result<(u16, String)> {
        let path = path.to_owned();
        self.crowd.inside(move || get(server, &path, Duration::from_millis(800)))?
    }

    /// How long a new viewer takes to be given an edge: the first balancer's address, and the other one when that says
    /// nothing, as browsers do.
    pub(crate) fn first_ask(&self, first: u8) -> Option<Duration> {
        let path = format!("/live/{BROADCAST}/index.m3u8");
        self.crowd
            .inside(move || {
                let began = Instant::now();
                [first, 1 - first].into_iter().find_map(|index| {
                    let server = SocketAddr::from((balancer_at(index), 8080));
                    get(server, &path, Duration::from_millis(250)).ok().filter(|(status, _)| *status == 200)
                })?;
                Some(began.elapsed())
            })
            .ok()
            .flatten()
    }

    /// `mascaret loadtest`, in the viewers' namespace.
    pub(crate) fn watch(&self, viewers: u32, lasts: Duration, seed: u64, json: &Path) -> io::Result<Child> {
        let mut words = vec![
            "loadtest".to_owned(),
            format!("http://{}:8080/live/{BROADCAST}/index.m3u8", balancer_at(1)),
            "--i-own-this-host".into(),
        ];
        words.extend((0..EDGES).map(|index| format!("--i-own-this-host={}", edge_at(index))));
        words.extend((0..BALANCERS).map(|index| format!("--i-own-this-host={}", balancer_at(index))));
        words.extend(
            ["--from", "own", "--hash", "--ramp", "2s", "--quiet", "--threads", "1"].map(str::to_owned),
        );
        words.extend([
            format!("--viewers={viewers}"),
            format!("--for={}ms", lasts.as_millis()),
            format!("--seed={seed}"),
            format!("--json={}", json.display()),
        ]);
        let program = self.program.clone();
        let log = File::create(self.directory.join("logs/loadtest.log"))?;
        self.crowd.inside(move || {
            let mut command = Command::new(program);
            command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            dies_with_us(&mut command).spawn()
        })?
    }
}

impl Node {
    fn new(role: &'static str, index: u8, address: Ipv4Addr, settings: String) -> io::Result<Self> {
        let name = format!("{role}{}", index + 1);
        Ok(Self { space: Space::new(&name, address)?, name, role, settings, child: None, is_paused: false })
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(|child| Pid::from_raw(child.id() as i32)) {
            let _ = kill_process(pid, signal);
        }
    }

    fn kill(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            self.signal(Signal::CONT);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What its operator's listener says, asked from within its own namespace: no rule of the switch is in the way.
    pub(crate) fn status(&self) -> Option<Value> {
        let server = SocketAddr::from((self.space.address(), 9090));
        let (status, text) =
            self.space.inside(move || get(server, "/status", Duration::from_millis(500))).ok()?.ok()?;
        (status == 200).then(|| serde_json::from_str(&text).ok()).flatten()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
    }
}

/// The most of an answer that is read.
const ANSWER_BYTES: u64 = 1 << 20;

fn get(server: SocketAddr, path: &str, within: Duration) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no answer in HTTP"))?;
    Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

fn secret(path: &Path, text: &str) -> io::Result<()> {
    let _ = fs::remove_file(path);
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn common(address: Ipv4Addr, directory: &Path) -> String {
    let certs = directory.join("certs");
    format!("\n[operator]\nlisten = \"{address}:9090\"\n\n[certificates]\ndirectory = {certs:?}\n")
}

fn balancer(index: u8, directory: &Path) -> String {
    let address = balancer_at(index);
    let ingests: Vec<String> = (0..INGESTS).map(|index| format!("{}:7001", ingest_at(index))).collect();
    let follows =
        if has_etcd() { format!("[directory]\nat = \"http://{}:2379\"\n", etcd_at()) } else { String::new() };
    format!(
        "id = \"lb{}\"\nhttp = \"{address}:8080\"\ncontrol = \"{address}:7002\"\ningests = {ingests:?}\ncores = 1\n\
         \n[tickets]\nkey = {:?}\n{follows}{}",
        index + 1,
        directory.join("ticket.key"),
        common(address, directory)
    )
}

fn ingest(index: u8, directory: &Path) -> String {
    let address = ingest_at(index);
    format!(
        "id = \"ingest{number}\"\nrtmp = \"{address}:1935\"\nedgefan = \"{address}:7001\"\ntwin = \"{twin}:7001\"\nstate = {:?}\n\
         \n[[publishers]]\nbroadcast = \"{BROADCAST}\"\nkey = \"{}\"\n\n[ladder]\nrungs = [\"120p 100k superfast\"]\n{}",
        directory.join(format!("state{index}")),
        KeyHash::of(KEY),
        common(address, directory),
        number = index + 1,
        twin = ingest_at(1 - index),
    )
}

fn edge(index: u8, directory: &Path) -> String {
    let address = edge_at(index);
    let lbs: Vec<String> = (0..BALANCERS).map(|index| format!("{}:7002", balancer_at(index))).collect();
    format!(
        "id = \"edge{}\"\nhttp = \"{address}:8080\"\nlbs = {lbs:?}\n\
         capacity = \"200 Mbit/s\"\ncores = 1\nticket_key = {:?}\n{}",
        index + 1,
        directory.join("ticket.key"),
        common(address, directory)
    )
}

fn source(directory: &Path) -> String {
    let urls: Vec<String> =
        (0..INGESTS).map(|index| format!("rtmp://{}:1935/live/{BROADCAST}", ingest_at(index))).collect();
    format!(
        "urls = {urls:?}\nkey_file = {:?}\nwidth = 320\nheight = 180\nframe_rate = 25\nbitrate = \"200 kbit/s\"\n{}",
        directory.join("publish.key"),
        common(at(41), directory)
    )
}
