//! What is written of edges: a word said twice, words that cannot be, and a directory that is away.

use super::crowd::crowd;
use super::stage::{ETC, Fleet, MASCARET, address, get, wait};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
