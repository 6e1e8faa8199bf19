//! A cluster to look at: `mascaret demo` on ports of its own, so that somebody's demo may run beside it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Ours};

/// Added to every port; all stay below Linux's ephemeral ones (32768).
const PORT_OFFSET: &str = "23000";
/// All edges fed: a few seconds, more where the machine compiles beside it.
const FED_MAX: Duration = Duration::from_secs(40);
/// A killed node is told of at the next tick.
const ENDED_MAX: Duration = Duration::from_secs(5);
/// The demo ends by itself should nobody be left to end it.
const LASTS: &str = "150s";

/// The helper, where `cargo build --bins` of the workspace puts it.
pub(crate) fn transcode() -> Option<PathBuf> {
    Some(mascaret().with_file_name("mascaret-transcode")).filter(|path| path.is_file())
}

fn mascaret() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mascaret"))
}

/// A demo under way.
pub(crate) struct Cluster {
    /// The first balancer, with a slash at the end.
    pub(crate) watch: String,
    /// Name and `host:port`.
    edges: Vec<(String, String)>,
    events: Receiver<Value>,
    process: Ours,
    folder: TempDir,
}

impl Cluster {
    /// Starts it and hears what it has chosen.
    pub(crate) fn start(transcode: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the cluster");
        let mut command = Command::new(mascaret());
        command.args(["demo", "--json", "--for", LASTS, "--port-offset", PORT_OFFSET, "--dir"]);
        command.arg(folder.path()).env("MASCARET_TRANSCODE", transcode);
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
        let mut cluster = Self { watch: String::new(), edges: Vec::new(), events, process, folder };
        let start = cluster.wait(FED_MAX, "the start", |event| event["event"] == "start");
        cluster.watch = start["watch"][0].as_str().expect("where to watch").to_owned();
        let edges = start["edges"].as_array().expect("the edges");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        cluster.edges = edges.iter().map(|edge| (text(&edge["id"]), text(&edge["http"]))).collect();
        cluster
    }

    /// Until video reaches every edge.
    pub(crate) fn wait_until_fed(&self) {
        let fed = |event: &Value| event["event"] == "status" && event["edges_fed"] == 4;
        let status = self.wait(FED_MAX, "four edges fed", fed);
        println!("four edges fed after {} ms", status["after_ms"]);
    }

    /// The edge behind an origin that the page asks.
    pub(crate) fn edge_at(&self, origin: &str) -> String {
        let edge = self.edges.iter().find(|(_, at)| origin.strip_prefix("http://") == Some(at));
        edge.unwrap_or_else(|| panic!("{origin:?} is none of {:?}", self.edges)).0.clone()
    }

    /// `kill -9`: the demo's own child with that edge's settings, and no other process.
    pub(crate) fn kill(&self, edge: &str) {
        let settings = self.folder.path().join(format!("{edge}.toml"));
        let demo = self.process.0.id() as i32;
        let mut found = processes::with_argument(|word| Path::new(word) == settings);
        found.retain(|(_, parent)| *parent == demo);
        let [(number, _)] = found[..] else { panic!("{edge} should be one process: {found:?}") };
        processes::kill(number);
    }

    /// Until the demo tells that the node was ended by a signal.
    pub(crate) fn wait_until_ended(&self, node: &str) {
        let told = |event: &Value| event["event"] == "ended" && event["node"] == node;
        let ended = self.wait(ENDED_MAX, "the end of a node", told);
        assert_eq!(ended["how"], "was ended by signal 9");
    }

    fn wait(&self, at_most: Duration, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
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
