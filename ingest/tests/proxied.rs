//! A real HAProxy before a real ingest: it says who publishes, by RTMP and by RTMPS; who should say so and does not is
//! refused, and who should not and does.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends")]

mod stage;

use node::settings::Parsed;
use proxy::{Between, SIGNATURE, head};
use stage::{ENCODE, SOURCE, Stage, ffmpeg, must_play};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where proxies connect from.
const PROXIES: [u8; 4] = [127, 43, 0, 1];

/// Ends with its test.
struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two doors before the ingest's: RTMP, and what is in TLS passed through as it is.
fn haproxy_before(stage: &Stage, folder: &tempfile::TempDir) -> Option<(Haproxy, [SocketAddr; 2])> {
    // A port of loopback that nobody else has: HAProxy does not say which it was given.
    let [.., high, low] = std::process::id().to_be_bytes();
    let doors = [1935, 1936].map(|port| SocketAddr::from(([127, 44, high, low.clamp(1, 254)], port)));
    let pass = |name: &str, door: SocketAddr, to: SocketAddr| {
        format!("listen {name}\n  bind {door}\n  server ingest1 {to} send-proxy-v2 source 127.43.0.1\n")
    };
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 20s\n  timeout server 20s\n{}{}",
        pass("plain", doors[0], stage.addresses.rtmp),
        pass("tls", doors[1], stage.addresses.rtmps.unwrap()),
    );
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let haproxy = Haproxy(node::program::dies_with_us(&mut command).spawn().ok()?);
    until("HAProxy", || TcpStream::connect(doors[1]).ok());
    Some((haproxy, doors))
}

fn until<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < until, "waited 30 s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn count(stage: &Stage, name: &str) -> u64 {
    let mut socket = TcpStream::connect(stage.operator).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let line =
        text.lines().find_map(|line| line.strip_prefix(&format!("mascaret_ingest_{name}_total "))).unwrap();
    line.parse::<f64>().unwrap() as u64
}

/// A connection from there.
fn from(stage: &Stage, address: [u8; 4]) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&stage.addresses.rtmp.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The first byte that is answered to these from that address; none where the connection is closed.
fn answered(stage: &Stage, address: [u8; 4], said: &[u8]) -> Option<u8> {
    let mut stream = from(stage, address);
    stream.write_all(said).unwrap();
    let mut first = [0];
    match stream.read(&mut first) {
        Ok(read) => (read > 0).then_some(first[0]),
        Err(error) => {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "neither answered nor closed");
            None
        }
    }
}

#[test]
fn a_proxy_says_who_publishes_and_whoever_should_not_or_does_not_is_refused() {
    let stage = Stage::set(|settings| {
        settings.proxies = vec![Parsed("127.43.0.0/24".parse().unwrap())];
    });
    let hello = [&[3][..], &[0; 1536]].concat();
    let publisher = SocketAddr::from(([203, 0, 113, 7], 50_123));
    let said = head(Between { from: publisher, to: stage.addresses.rtmp });
    let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();

    // RTMP is answered by its version.
    assert_eq!(answered(&stage, PROXIES, &[said.clone(), hello.clone()].concat()), Some(3));
    assert_eq!(
        answered(&stage, PROXIES, &[local, hello.clone()].concat()),
        Some(3),
        "a look whether we live"
    );
    assert_eq!((count(&stage, "proxied"), count(&stage, "proxy_refused")), (2, 0));
    assert_eq!(answered(&stage, PROXIES, &hello), None, "whose is it?");
    let broken = [&SIGNATURE[..], &[0x31, 0x11, 0, 12], &[0; 12], &hello].concat();
    assert_eq!(answered(&stage, PROXIES, &broken), None);
    until("both to be counted", || (count(&stage, "proxy_refused") == 2).then_some(()));
    // A look whether a port is open, as HAProxy's `check` without `send-proxy-v2` has it, is nothing to speak of.
    drop(from(&stage, PROXIES));

    let faults = count(&stage, "door_faults");
    assert_eq!(answered(&stage, [127, 0, 0, 1], &hello), Some(3));
    assert_eq!(answered(&stage, [127, 0, 0, 1], &[said, hello].concat()), None, "who are you to say?");
    until("the stranger to be counted", || (count(&stage, "door_faults") > faults).then_some(()));
    assert_eq!(count(&stage, "proxy_refused"), 2, "he is no proxy");
}

#[test]
fn a_real_proxy_passes_publishers_on_and_their_addresses_are_seen() {
    let stage = Stage::set(|settings| settings.proxies = vec![Parsed("127.43.0.1".parse().unwrap())]);
    let folder = tempfile::tempdir().unwrap();
    let Some((_haproxy, [plain, tls])) = haproxy_before(&stage, &folder) else {
        return println!("skipped: there is no haproxy here");
    };
    let words = format!("-re {SOURCE} -t 30 {ENCODE}");
    let _publishers = [
        ffmpeg(&words, &format!("rtmp://{plain}/live/tide?key=secret")),
        ffmpeg(&words, &format!("rtmps://{tls}/live/bore?key=secret")),
    ];
    for broadcast in ["tide", "bore"] {
        stage.wait_segments(broadcast, 2);
        stage.with(|got| must_play(got, broadcast));
        let from = stage.status()["broadcasts"][broadcast]["publisher"].as_str().unwrap().to_owned();
        assert!(
            from.starts_with("127.0.0.1:"),
            "{broadcast} comes from {from}, which is not HAProxy's address"
        );
    }
    assert_eq!(count(&stage, "proxy_refused"), 0);
}
