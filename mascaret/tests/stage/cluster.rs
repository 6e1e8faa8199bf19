//! A cluster to look at: `mascaret demo` on ports of its own, so that somebody's demo may run beside it.
//!
//! A story that is cut short leaves nobody behind: the demo ends with the test, and its nodes with the demo.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::processes::{self, Ours};

/// All edges fed: a few seconds, more where the machine compiles beside it.
const FED_MAX: Duration = Duration::from_secs(40);
/// A killed node is told of at the next tick.
const ENDED_MAX: Duration = Duration::from_secs(5);
/// Bytes of each node's log that are shown of a story that fails.
const LOG_SHOWN: usize = 3000;

/// Whether the helper that links FFmpeg is there; says that something is skipped if not.
pub(crate) fn has_transcode() -> bool {
    let found = node::program::transcode(None);
    if let Err(error) = &found {
        println!("skipped: {error}");
    }
    found.is_ok()
}

/// The program under test.
pub(crate) fn mascaret() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mascaret"))
}

/// What a demo is to be.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Added to every port, each test its own; all stay below Linux's ephemeral ones (32768).
    pub(crate) port_offset: u16,
    pub(crate) edges: usize,
    /// It ends by itself should nobody be left to end it, seconds.
    pub(crate) lasts: u64,
    /// Whatever else `mascaret demo` is told.
    pub(crate) words: &'a [&'a str],
}

/// A demo under way.
pub(crate) struct Cluster {
    /// The first balancer, with a slash at the end.
    pub(crate) watch: String,
    /// What the demo said when it began.
    pub(crate) start: Value,
    /// Name and `host:port`.
    pub(crate) edges: Vec<(String, String)>,
    events: Receiver<Value>,
    process: Ours,
    /// Nodes that were ended and started again, by us and not by the demo.
    revived: RefCell<Vec<(String, Ours)>>,
    folder: TempDir,
}

impl Cluster {
    /// Starts it and hears what it has chosen.
    pub(crate) fn start(wanted: Wanted<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the cluster");
        let mut command = Command::new(mascaret());
        command.args(["demo", "--json", "--for", &format!("{}s", wanted.lasts)]);
        command.args([
            "--port-offset",
            &wanted.port_offset.to_string(),
            "--edges",
            &wanted.edges.to_string(),
        ]);
        command.args(wanted.words).arg("--dir").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = node::program::dies_with_us(&mut command).spawn().expect("mascaret demo");
        let mut process = Ours(child);
        let lines = BufReader::new(process.0.stdout.take().expect("a pipe")).lines();
        let (tell, events) = channel();
        // Ends with the demo's output.
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|event| tell.send(event))
        });
        let (watch, start, edges) = (String::new(), Value::Null, Vec::new());
        let revived = RefCell::default();
        let mut cluster = Self { watch, start, edges, events, process, revived, folder };
        let start = cluster.wait(FED_MAX, "the start", |event| event["event"] == "start");
        cluster.watch = start["watch"][0].as_str().unwrap_or_default().to_owned();
        let edges = start["edges"].as_array().expect("the edges");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        cluster.edges = edges.iter().map(|edge| (text(&edge["id"]), text(&edge["http"]))).collect();
        cluster.start = start;
        cluster
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The first balancer's multivariant playlist of a broadcast.
    pub(crate) fn playlist(&self, broadcast: &str) -> String {
        format!("{}live/{broadcast}/index.m3u8", self.watch)
    }

    /// A pattern that is on the air.
    pub(crate) fn broadcast(&self) -> String {
        self.start["broadcasts"][0].as_str().expect("a broadcast").to_owned()
    }

    /// Until video reaches every edge.
    pub(crate) fn wait_until_fed(&self) {
        let all = self.edges.len();
        let fed = |event: &Value| event["event"] == "status" && event["edges_fed"] == all;
        let status = self.wait(FED_MAX, "every edge fed", fed);
        println!("{all} edges fed after {} ms", status["after_ms"]);
    }

    /// The edge behind an origin that the page asks.
    pub(crate) fn edge_at(&self, origin: &str) -> String {
        let edge = self.edges.iter().find(|(_, at)| origin.strip_prefix("http://") == Some(at));
        edge.unwrap_or_else(|| panic!("{origin:?} is none of {:?}", self.edges)).0.clone()
    }

    /// `kill -9`: the demo's own child with that node's settings, and no other process.
    pub(crate) fn kill(&self, node: &str) {
        processes::kill(self.process_of(node));
    }

    /// Starts a node that was killed once more, and waits until it serves what the others serve.
    pub(crate) fn revive(&self, edge: &str) {
        self.begin("edge", edge);
        let at = self.edges.iter().find(|(name, _)| name == edge).map(|(_, at)| at.clone()).expect("an edge");
        super::wait_for_segments([&*at], &self.broadcast(), 4);
    }

    /// Starts a node with the settings that the demo has written for it.
    pub(crate) fn begin(&self, role: &str, node: &str) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.path().join(format!("logs/{node}.log")));
        let log = log.expect("its log");
        let mut command = Command::new(mascaret());
        command.args([role, "--settings"]).arg(self.folder.path().join(format!("{node}.toml")));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("one file twice")).stderr(log);
        let child = node::program::dies_with_us(&mut command).spawn().expect("mascaret");
        self.revived.borrow_mut().push((node.to_owned(), Ours(child)));
    }

    /// `host:port` of a balancer, `lb1` or `lb2`.
    pub(crate) fn balancer(&self, lb: &str) -> String {
        let at = usize::from(lb == "lb2");
        let url = self.start["watch"][at].as_str().expect("where to watch");
        url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// The first balancer's multivariant playlist of a broadcast, as text.
    pub(crate) fn entry(&self, broadcast: &str) -> String {
        super::text(&self.balancer("lb1"), &format!("/live/{broadcast}/index.m3u8"))
    }

    /// The child with that node's settings: the one that was started last.
    pub(crate) fn process_of(&self, node: &str) -> i32 {
        let revived = self.revived.borrow();
        if let Some((_, revived)) = revived.iter().rfind(|(name, _)| name == node) {
            return revived.0.id() as i32;
        }
        let settings = self.folder.path().join(format!("{node}.toml"));
        let demo = self.process.0.id() as i32;
        let mut found = processes::with_argument(|word| Path::new(word) == settings);
        found.retain(|(_, parent)| *parent == demo);
        let [(number, _)] = found[..] else { panic!("{node} should be one process: {found:?}") };
        number
    }

    /// Until the demo tells that the node was ended by a signal.
    pub(crate) fn wait_until_ended(&self, node: &str) {
        let told = |event: &Value| event["event"] == "ended" && event["node"] == node;
        let ended = self.wait(ENDED_MAX, "the end of a node", told);
        assert_eq!(ended["how"], "was ended by signal 9");
    }

    pub(crate) fn wait(&self, at_most: Duration, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        let mut last = Value::Null;
        loop {
            match self.events.recv_timeout(at_most.saturating_sub(begin.elapsed())) {
                Ok(event) if is_it(&event) => return event,
                Ok(event) => last = event,
                Err(RecvTimeoutError::Timeout) => panic!("{what}: not within {at_most:?}; last: {last}"),
                Err(RecvTimeoutError::Disconnected) => panic!("{what}: the demo has ended; last: {last}"),
            }
        }
    }
}

/// What failed is over with the cluster's folder: what its nodes wrote last is told before.
impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.folder.path().join("logs")).into_iter().flatten().flatten() {
            let log = std::fs::read(entry.path()).unwrap_or_default();
            let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]).into_owned();
            println!("the end of {}:\n{end}", entry.file_name().display());
        }
    }
}
