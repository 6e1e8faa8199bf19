//! What stories with real processes share: children that do not outlive them, a cluster, a way to ask.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs of it")]

pub(crate) mod cluster;
pub(crate) mod crowd;
pub(crate) mod processes;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long is waited for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Status and body of a GET; `None` if nobody answers.
pub(crate) fn fetch(address: &str, path: &str) -> Option<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.split_off(end)))
}

/// The body of a GET as text; empty if nobody answers with 200.
pub(crate) fn text(address: &str, path: &str) -> String {
    let body = fetch(address, path).filter(|(status, _)| *status == 200).map(|(_, body)| body);
    String::from_utf8(body.unwrap_or_default()).expect("text")
}

/// Waits, up to a bound, until it is there.
pub(crate) fn wait<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < until, "waited {WAIT_MAX:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Until each of these edges lists so many segments of a broadcast's first rendition.
pub(crate) fn wait_for_segments<'a>(edges: impl IntoIterator<Item = &'a str>, broadcast: &str, least: usize) {
    for edge in edges {
        let path = format!("/live/{broadcast}/source/index.m3u8");
        let listed = || text(edge, &path).matches("#EXTINF").count();
        wait(&format!("{least} segments at {edge}"), || (listed() >= least).then_some(()));
    }
}
