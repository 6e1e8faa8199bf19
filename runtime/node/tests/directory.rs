//! Directories as they are: a real etcd of Debian's, alone and as three; and both kinds as they are followed.
#![allow(
    clippy::unwrap_used,
    reason = "clippy exempts test functions only, and these are what tests are made of"
)]

use edgefan::{NodeId, Standing};
use node::Stop;
use node::directory::{Directory, DirectoryError, DirectorySettings, Record, Told, View, change, follow};
use node::settings::{Number, Parsed};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// One etcd process; killed when dropped.
struct Etcd {
    child: Option<Child>,
    command: Command,
}

impl Etcd {
    /// A cluster of so many, each at an address of its own.
    fn cluster(directory: &Path, of: u8) -> (Vec<Self>, String) {
        let ips: Vec<Ipv4Addr> = (0..of).map(|_| free()).collect();
        let url = |ip: &Ipv4Addr, port| format!("http://{ip}:{port}");
        let peers: Vec<String> =
            ips.iter().enumerate().map(|(nth, ip)| format!("n{nth}={}", url(ip, 2380))).collect();
        let one = |(nth, ip): (usize, &Ipv4Addr)| {
            let mut command = Command::new("etcd");
            command.args(["--name", &format!("n{nth}"), "--data-dir"]).arg(directory.join(format!("n{nth}")));
            for (flag, port) in [
                ("--listen-client-urls", 2379),
                ("--advertise-client-urls", 2379),
                ("--listen-peer-urls", 2380),
                ("--initial-advertise-peer-urls", 2380),
            ] {
                command.args([flag, &url(ip, port)]);
            }
            command.args(["--initial-cluster", &peers.join(",")]).args(["--log-level", "error"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut etcd = Self { child: None, command };
            etcd.starts();
            etcd
        };
        let all = ips.iter().enumerate().map(one).collect();
        (all, ips.iter().map(|ip| url(ip, 2379)).collect::<Vec<_>>().join(","))
    }

    fn starts(&mut self) {
        let child = node::program::dies_with_us(&mut self.command).spawn();
        self.child = Some(child.expect("Debian's package etcd-server has etcd; `make test` installs it"));
    }

    fn is_killed(&mut self) {
        if let Some(mut child) = self.child.take() {
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

/// An address of loopback at which nobody has the ports of etcd.
fn free() -> Ipv4Addr {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let ip = Ipv4Addr::new(127, 80 + (nth % 100) as u8, (pid >> 8) as u8, (pid as u8).max(1));
        if TcpListener::bind((ip, 2379)).is_ok() {
            return ip;
        }
    }
}

fn settings(at: &str) -> DirectorySettings {
    DirectorySettings { at: Some(Parsed(at.parse().unwrap())), ..DirectorySettings::default() }
}

fn open(at: &str) -> Box<dyn Directory> {
    settings(at).open().unwrap().unwrap()
}

fn edge(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn stands(standing: Standing) -> impl Fn(Option<&Record>) -> Option<Record> {
    move |record| Some(Record { standing, ..record.cloned().unwrap_or_default() })
}

/// Until it answers at all.
fn until_read(directory: &mut dyn Directory) -> View {
    let began = Instant::now();
    loop {
        match directory.read() {
            Ok(view) => return view,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn followed(at: &str) -> (Receiver<Told>, node::directory::Following, Stop) {
    let (tell, told) = channel();
    let stop = Stop::new();
    let following = follow(open(at), stop.clone(), move |it| drop(tell.send(it))).unwrap();
    (told, following, stop)
}

fn next(told: &Receiver<Told>, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let it = told.recv_timeout(left).unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"));
        if is_it(&it) {
            return it;
        }
    }
}

fn says(told: &Told, name: &str, standing: Standing) -> bool {
    matches!(told, Told::View(view) if view.record(&edge(name)).is_some_and(|it| it.standing == standing))
}

#[test]
fn etcd_keeps_records_and_a_word_that_was_overtaken_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (_etcd, at) = Etcd::cluster(folder.path(), 1);
    let mut directory = open(&at);
    assert!(until_read(&mut *directory).edges.is_empty());
    let weighs = |record: Option<&Record>| {
        Some(Record { weight: Some(Number::new(50)), ..record.cloned().unwrap_or_default() })
    };
    change(&mut *directory, &edge("e1"), false, stands(Standing::Drain)).unwrap();
    let seen = directory.read().unwrap();
    assert!(change(&mut *directory, &edge("e1"), false, weighs).unwrap().is_any());
    let record = directory.read().unwrap().record(&edge("e1")).cloned().unwrap();
    assert_eq!((record.standing, record.weight), (Standing::Drain, Some(Number::new(50))));
    // Who saw it before the weight was changed.
    let old = seen.edges[&edge("e1")].revision;
    assert_eq!(directory.write(&edge("e1"), old, None).unwrap(), node::directory::Written::Overtaken);
    assert_eq!(directory.read().unwrap().edges.len(), 1);
    // Another prefix is another directory.
    let mut other = open(&format!("{at}/elsewhere"));
    assert!(other.read().unwrap().edges.is_empty());
    std::thread::scope(|scope| {
        for nth in 0..8 {
            let at = &at;
            scope.spawn(move || {
                let mut directory = open(at);
                change(&mut *directory, &edge(&format!("n{nth}")), false, stands(Standing::Drain)).unwrap();
            });
        }
    });
    assert_eq!(directory.read().unwrap().edges.len(), 9);
    change(&mut *directory, &edge("e1"), false, |_| None).unwrap();
    assert_eq!(directory.read().unwrap().edges.len(), 8);
}

#[test]
fn a_change_in_etcd_is_told_at_once_and_what_was_told_holds_while_etcd_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut etcd, at) = Etcd::cluster(folder.path(), 1);
    let mut directory = open(&at);
    until_read(&mut *directory);
    let (told, following, stop) = followed(&at);
    next(&told, "the first view", |it| matches!(it, Told::View(view) if view.edges.is_empty()));
    let began = Instant::now();
    change(&mut *directory, &edge("e1"), false, stands(Standing::Drain)).unwrap();
    next(&told, "the drain", |it| says(it, "e1", Standing::Drain));
    println!("told {:?} after it was written", began.elapsed());
    assert!(following.is_up() && following.edges() == 1);

    etcd[0].is_killed();
    next(&told, "that it is gone", |it| matches!(it, Told::Down(_)));
    assert!(!following.is_up() && following.failures() > 0 && following.edges() == 1);
    assert!(matches!(directory.read(), Err(DirectoryError::Etcd(_))));
    etcd[0].starts();
    next(&told, "that it is there again", |it| *it == Told::Up);
    until_read(&mut *directory);
    change(&mut *directory, &edge("e1"), false, stands(Standing::Active)).unwrap();
    next(&told, "the way back", |it| says(it, "e1", Standing::Active));
    stop.signal();
}

#[test]
fn of_three_etcds_one_may_die() {
    let folder = tempfile::tempdir().unwrap();
    let (mut etcd, at) = Etcd::cluster(folder.path(), 3);
    let mut directory = open(&at);
    until_read(&mut *directory);
    let (told, following, stop) = followed(&at);
    next(&told, "the first view", |it| matches!(it, Told::View(_)));
    // The one that both talk to.
    etcd[0].is_killed();
    let began = Instant::now();
    // A new leader is found within a second or two, where it was the leader.
    while let Err(error) = change(&mut *directory, &edge("e1"), false, stands(Standing::Maintenance)) {
        assert!(began.elapsed() < PATIENCE, "{error}");
        std::thread::sleep(Duration::from_millis(100));
    }
    next(&told, "the change", |it| says(it, "e1", Standing::Maintenance));
    println!("told {:?} after one of three was killed", began.elapsed());
    assert!(following.is_up());
    stop.signal();
}

#[test]
fn a_file_is_followed_and_a_mistake_in_it_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edges.toml");
    let at = path.to_str().unwrap();
    change(&mut *open(at), &edge("e1"), false, stands(Standing::Drain)).unwrap();
    let (told, following, stop) = followed(at);
    next(&told, "the first view", |it| says(it, "e1", Standing::Drain));
    std::fs::write(&path, "[edges.e1]\nstanding = \"asleep\"\n").unwrap();
    let Told::Down(why) = next(&told, "the mistake", |it| matches!(it, Told::Down(_))) else { return };
    assert!(why.contains("asleep") && !following.is_up() && following.edges() == 1, "{why}");
    std::fs::write(&path, "[edges.e1]\n").unwrap();
    next(&told, "that it is mended", |it| *it == Told::Up);
    next(&told, "what it says now", |it| says(it, "e1", Standing::Active));
    stop.signal();
}
