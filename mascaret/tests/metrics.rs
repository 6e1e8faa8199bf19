//! docs/METRICS.md and the programs say the same: every metric that a role tells is in the tables with its type, and
//! every row of the tables is told. An ingest needs `mascaret-transcode`; without it, its tables are not looked at, and
//! that is said.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MASCARET: &str = env!("CARGO_BIN_EXE_mascaret");
const PAGE: &str = include_str!("../../docs/METRICS.md");

/// From its start to its metrics, on a machine that compiles beside it.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// A role; ends with the test.
struct Role {
    process: Child,
    operator: SocketAddr,
}

impl Role {
    /// With these settings; the operator's port is read from its first line.
    fn start(role: &str, certs: &Path, settings: &[&str]) -> Self {
        let certs = format!("certificates.directory={}", certs.display());
        let mut command = Command::new(MASCARET);
        command.arg(role).args(["--set", "operator.listen=127.0.0.1:0", "--set", &certs]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let mut process = node::program::dies_with_us(&mut command).spawn().expect("the program runs");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let mut read = String::new();
        let operator = loop {
            let Some(Ok(line)) = lines.next() else { panic!("{role} has ended: {read}") };
            let at = line.split("operator=").nth(1).and_then(|rest| rest.split_whitespace().next());
            match at.and_then(|at| at.parse().ok()) {
                Some(operator) => break operator,
                None => read.push_str(&line),
            }
        };
        // Read on, or it would wait for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, operator }
    }

    /// Name and type of each family, once the role has opened its panel.
    fn told(&self, marker: &str) -> BTreeMap<String, String> {
        let begin = Instant::now();
        loop {
            let page = get(self.operator, "/metrics");
            if page.contains(marker) {
                return families(&page);
            }
            assert!(begin.elapsed() < TOLD_WITHIN, "no {marker}: {page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn get(operator: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(operator).expect("the operator's listener");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
}

/// `# TYPE` lines; a counter's series ends in `_total`.
fn families(page: &str) -> BTreeMap<String, String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = types.map(|(name, kind)| match kind {
        "counter" => (format!("{name}_total"), kind.to_owned()),
        _ => (name.to_owned(), kind.to_owned()),
    });
    named.collect()
}

/// The rows whose names begin so, with the type they give.
fn documented(prefixes: &[&str]) -> BTreeMap<String, String> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let named = cells.map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].to_owned()));
    named.filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix))).collect()
}

fn held_to_the_page(role: &str, told: &BTreeMap<String, String>) {
    let prefix = format!("mascaret_{role}_");
    let page = documented(&[&prefix, "process_"]);
    let missing: Vec<_> = told.iter().filter(|(name, kind)| page.get(*name) != Some(kind)).collect();
    assert!(missing.is_empty(), "docs/METRICS.md has not, or with another type: {missing:#?}");
    let gone: Vec<_> = page.keys().filter(|name| !told.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/METRICS.md has what no {role} tells: {gone:#?}");
}

#[test]
fn every_metric_is_documented_and_every_row_is_told() {
    let files = tempfile::tempdir().expect("a folder");
    let made = Command::new(MASCARET).args(["certs", "init", "--dir"]).arg(files.path()).output();
    assert!(made.expect("the program runs").status.success());
    let certs = files.path();

    let directory = format!("directory.at={}", files.path().join("edges.toml").display());
    let lb = ["http=127.0.0.1:0", "https=127.0.0.1:0", "control=127.0.0.1:0", "cores=1", &directory];
    let lb = Role::start("lb", certs, &lb);
    held_to_the_page("lb", &lb.told("mascaret_lb_broadcasts"));
    let edge =
        ["http=127.0.0.1:0", "https=127.0.0.1:0", "cores=1", "relay.listen=127.0.0.1:0", "lobby=127.0.0.1:1"];
    let edge = Role::start("edge", certs, &edge);
    held_to_the_page("edge", &edge.told("mascaret_edge_lobby_linked"));
    let store = format!("store.sqlite={}", files.path().join("lobby.db").display());
    let lobby = Role::start("lobby", certs, &["http=127.0.0.1:0", "link=127.0.0.1:0", &store]);
    held_to_the_page("lobby", &lobby.told("mascaret_lobby_"));
    match node::program::transcode(None) {
        Err(error) => println!("an ingest's tables are not looked at: {error}"),
        Ok(_) => {
            let ingest = ["rtmp=127.0.0.1:0", "edgefan=127.0.0.1:0", "open=true", "lobby=127.0.0.1:1"];
            let ingest = Role::start("ingest", certs, &ingest);
            held_to_the_page("ingest", &ingest.told("mascaret_ingest_lobby_linked"));
        }
    }
}
