//! A thousand guesses a second from all over the world: whoever is signed in is answered, and the lobby, a process of its
//! own here, needs no more memory and no more threads for it. `MASCARET_ABUSE_S=30` goes on for so long.

#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

mod stage;

use socket2::{Domain, Socket, Type};
use stage::{Browser, NOTHING, start};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const GUESSES_PER_SECOND: u64 = 1000;
/// Those who guess, each one after the other: as many as the slowest answers need.
const GUESSERS: u64 = 256;
/// Set for the process that is the lobby.
const SERVE: &str = "MASCARET_TEST_SERVES";

fn lasts() -> Duration {
    let seconds = std::env::var("MASCARET_ABUSE_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Not a story: the lobby of the one below, in a process of its own, until its standard input ends.
#[test]
fn serves() {
    if std::env::var_os(SERVE).is_none() {
        return;
    }
    let lobby = start(|settings| settings.tries_per_address = lobby::Settings::default().tries_per_address);
    println!("\nserves {}", lobby.addresses.http);
    let _ = std::io::stdin().read(&mut [0]);
}

struct Served {
    process: Child,
    at: SocketAddr,
}

impl Served {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "serves", "--nocapture"]).env(SERVE, "1");
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let at =
            lines.map(Result::unwrap).find_map(|line| line.strip_prefix("serves ")?.parse().ok()).unwrap();
        Self { process, at }
    }

    /// Of `/proc/<pid>/status`, in kB or as a number.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn password_threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("password-")).count()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// One sign-in of somebody who has this address, on a connection of its own; its status.
fn guess(from: Ipv4Addr, at: SocketAddr, name: &str) -> std::io::Result<u16> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.connect(&at.into())?;
    let mut socket = std::net::TcpStream::from(socket);
    let body = format!("{{\"name\":\"{name}\",\"password\":\"guess guess guess\"}}");
    let request = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.ok_or_else(|| std::io::Error::other("no answer"))
}

#[test]
fn guesses_from_all_over_the_world_leave_the_others_alone() {
    if std::env::var_os(SERVE).is_some() {
        return;
    }
    let served = Served::start();
    let at = served.at;
    let eve = Browser::signed_in(at, "eve");
    // Every thread has hashed once: what they need is in the figure.
    for _ in 0..6 {
        assert_eq!(Browser::new(at).sign_in("nobody", "guess guess guess").status, 401);
    }
    let before = served.status("RssAnon");
    let (next, statuses) = (AtomicU64::new(0), Mutex::new(std::collections::BTreeMap::<u16, u64>::new()));
    let (began, lasts) = (Instant::now(), lasts());
    let (mut took, mut most) = (Vec::new(), before);
    std::thread::scope(|scope| {
        for _ in 0..GUESSERS {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let due = began + Duration::from_micros(nth * 1_000_000 / GUESSES_PER_SECOND);
                    if due > began + lasts || Instant::now() > began + lasts {
                        return;
                    }
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    // Ten thousand addresses and a thousand names, in no row.
                    let who = nth.wrapping_mul(2_654_435_761) % 10_000;
                    let from = Ipv4Addr::new(
                        127,
                        20 + (who / 2500) as u8,
                        (who / 250 % 10) as u8 + 1,
                        (who % 250) as u8 + 1,
                    );
                    // 0: not even let in, which is one more way to be told to wait.
                    let status = guess(from, at, &format!("guess{}", nth % 1000)).unwrap_or(0);
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
        while began.elapsed() < lasts {
            let asked = Instant::now();
            assert_eq!(eve.does("GET", "/me", NOTHING, 200)["name"], "eve");
            took.push(asked.elapsed());
            most = most.max(served.status("RssAnon"));
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    took.sort_unstable();
    let statuses = statuses.into_inner().unwrap();
    let guesses: u64 = statuses.values().sum();
    println!(
        "{guesses} guesses in {:?}: {statuses:?}; meanwhile {} answers, half within {:?}, 99 of 100 within {:?}, all within {:?}; \
         {before} kB before, {most} kB at most, {} kB after; {} threads hash",
        began.elapsed(),
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1],
        served.status("RssAnon"),
        served.password_threads(),
    );
    assert!(statuses.keys().all(|status| [0, 401, 429, 503].contains(status)), "{statuses:?}");
    assert!(
        statuses.get(&0).copied().unwrap_or(0) * 100 <= guesses,
        "all but few are answered: {statuses:?}"
    );
    assert!(statuses.contains_key(&401), "the pool works on");
    assert_eq!(served.password_threads(), 2, "lobby.password_threads");
    // 2,048 connections of 16 KiB, and 16,384 addresses, names and their rates: 48 MiB is what the bounds allow.
    assert!(most < before + 48 * 1024, "{before} kB before, {most} kB at most");
    // He who was answered is answered still, and so is another who signs in now.
    eve.does("GET", "/me", NOTHING, 200);
    assert_eq!(Browser::new(at).sign_in("bob", stage::PASSWORD).status, 200);
}
