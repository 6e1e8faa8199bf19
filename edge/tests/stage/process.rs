//! An edge in a process of its own, so that its memory and its descriptors are its own, and can be looked at.
//!
//! The process is this test's program once more, running the one test that is an edge if it is told to be.

use super::{Cluster, Viewer, until};
use edge::Settings;
use node::certs::CertificateSettings;
use node::operator::OperatorSettings;
use node::settings::Address;
use node::{Node, NodeSettings, Stop};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The name of the test that every file with such edges has, and that calls [`be_one_if_told`].
const TEST: &str = "one_of_the_processes";
/// What tells it: what to be, and with which words.
const BE: &str = "MASCARET_TEST_BE";
const WORDS: &str = "MASCARET_TEST_WORDS";
const CERTIFICATES: &str = "MASCARET_TEST_CERTIFICATES";

/// A process of ours that says one line when it is ready, and ends when its stdin does.
pub(crate) struct Process {
    child: Child,
    /// The words of its line.
    pub(crate) said: Vec<String>,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn of(be: &str, words: &str, cluster: &Cluster) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture"]).env(BE, be).env(WORDS, words);
        command.env(CERTIFICATES, cluster.directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node::program::dies_with_us(&mut command).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let said = loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended before it was ready");
            if let Some((_, said)) = line.trim_end().split_once("ready: ") {
                break said.split(' ').map(str::to_owned).collect();
            }
        };
        Self { child, said, _stdout: stdout }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn ends(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Says the line, and waits for the end.
pub(crate) fn ready(words: &str) {
    println!("ready: {words}");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Is an edge, if told so; else what `other` is. Nothing at all in an ordinary run.
pub(crate) fn be_one_if_told(other: impl FnOnce(&str, &str)) {
    let (Ok(be), Ok(words)) = (std::env::var(BE), std::env::var(WORDS)) else { return };
    if be != "edge" {
        return other(&be, &words);
    }
    let certificates = CertificateSettings {
        directory: std::env::var_os(CERTIFICATES).unwrap().into(),
        ..CertificateSettings::default()
    };
    let node = NodeSettings {
        operator: OperatorSettings { listen: Address(super::any()) },
        certificates,
        ..NodeSettings::default()
    };
    let node = Node::with_stop("edge", &node, Stop::new()).unwrap();
    let running = edge::start(toml::from_str(&words).unwrap(), &node).unwrap();
    let viewers: Vec<String> = running.addresses().iter().map(SocketAddr::to_string).collect();
    ready(&format!("{} {}", node.operator.address(), viewers.join(" ")));
    node.stop.signal();
    running.end().unwrap();
}

/// An edge's process.
pub(crate) struct EdgeProcess {
    process: Process,
    pub(crate) operator: SocketAddr,
    /// Where viewers connect: HTTP, HTTPS.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl EdgeProcess {
    pub(crate) fn start(cluster: &Cluster, settings: &Settings) -> Self {
        let process = Process::of("edge", &toml::to_string(settings).unwrap(), cluster);
        let mut said = process.said.iter().map(|it| it.parse().unwrap());
        Self { operator: said.next().unwrap(), addresses: said.collect(), process }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// One of percore's counts, summed over the cores.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let metrics = Viewer::at(self.operator).get("/metrics").text();
        let of_core = |line: &&str| {
            let name_and_kind = line.strip_prefix("mascaret_edge_core_").and_then(|it| it.split_once('{'));
            name_and_kind.is_some_and(|(known, _)| known.strip_suffix("_total").unwrap_or(known) == name)
        };
        let lines: Vec<_> = metrics.lines().filter(of_core).collect();
        assert!(!lines.is_empty(), "/metrics shows no {name}");
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Waits until one of percore's counts is as wished.
    pub(crate) fn until(&self, name: &str, is_so: impl Fn(u64) -> bool) -> u64 {
        until(&format!("{name}, which is {}", self.count(name)), || {
            Some(self.count(name)).filter(|it| is_so(*it))
        })
    }

    /// Memory of its own that is resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Files it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    pub(crate) fn ends(self) {
        self.process.ends();
    }
}
