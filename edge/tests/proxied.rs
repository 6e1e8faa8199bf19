//! A real HAProxy before a real edge: it says who connects, and limits per address count viewers and not HAProxy.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::MediaSpan;
use node::settings::{Address, Number, Parsed};
use percore::Driver;
use stage::process::{EdgeProcess, be_one_if_told};
use stage::{Cluster, PATIENCE, Viewer, any, body, listed, on_both_drivers, segment_path, settings, until};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

on_both_drivers! {
    haproxy_says_who_connects,
}

#[test]
fn one_of_the_processes() {
    be_one_if_told(|_, _| {});
}

/// Two ports in front of the edge's: plain, and what is in TLS passed through as it is.
struct Haproxy(Child, [SocketAddr; 2]);

impl Haproxy {
    /// With the connection that found it there.
    fn before(edge: &[SocketAddr], port_of: Driver) -> Option<(Self, TcpStream)> {
        // A port of loopback that nobody else has: HAProxy does not say which it was given.
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = if port_of == Driver::Epoll { 41 } else { 42 };
        let doors = [8080, 8443].map(|port| SocketAddr::from(([127, ip, high, low.clamp(1, 254)], port)));
        let files = tempfile::tempdir().unwrap();
        let pass = |name: &str, door: SocketAddr, to: SocketAddr| {
            format!("listen {name}\n  bind {door}\n  server edge1 {to} send-proxy-v2\n")
        };
        let config = format!(
            "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 20s\n  timeout server 20s\n{}{}",
            pass("plain", doors[0], edge[0]),
            pass("tls", doors[1], edge[1])
        );
        let path = files.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child = node::program::dies_with_us(&mut command).spawn().ok()?;
        let first = until("HAProxy", || TcpStream::connect(doors[0]).ok());
        Some((Self(child, doors), first))
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A viewer at an address of loopback of its own.
fn from(last: u8, door: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 43, 0, last], 0)).into()).unwrap();
    socket.connect(&door.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn haproxy_says_who_connects(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let mut behind = settings(driver, &[&ingest]);
    behind.https = Some(Address(any()));
    // HAProxy comes from there, and so do we, who are no proxy and say nothing.
    behind.proxies = vec![Parsed("127.0.0.1".parse().unwrap())];
    behind.limits.connections_per_address = Number::new(4);
    let edge = EdgeProcess::start(&cluster, &behind);
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "360p", 2);
    let Some((haproxy, first)) = Haproxy::before(&edge.addresses, driver) else {
        return println!("skipped: there is no haproxy here");
    };
    let [plain, tls] = haproxy.1;
    let path = segment_path("360p", 2);
    // HAProxy announces a connection when it likes; one that has its answer was counted.
    assert_eq!(Viewer::on(first).get(&path).status, 200);
    let proxied = edge.count("proxied");
    let mut viewers = Vec::new();
    // Three viewers, four connections each: HAProxy alone would have four.
    for last in 1..=3 {
        for _ in 0..3 {
            viewers.push(Viewer::on(from(last, plain)).boxed());
        }
        let name = "localhost".try_into().unwrap();
        let session = percore::rustls::ClientConnection::new(cluster.trust(), name).unwrap();
        viewers.push(Viewer::on(percore::rustls::StreamOwned::new(session, from(last, tls))).boxed());
    }
    for viewer in &mut viewers {
        let answer = viewer.get(&path);
        assert_eq!((answer.status, answer.body.len()), (200, body("360p", 2).len()));
    }
    edge.until("proxied", |count| count == proxied + 12);
    assert_eq!(edge.count("refused_address"), 0);
    // One more of the second, who is sent away; one of a fourth, who is not.
    let ended = from(2, plain).read(&mut [0]);
    assert!(
        ended.as_ref().is_ok_and(|n| *n == 0)
            || ended.is_err_and(|it| it.kind() == ErrorKind::ConnectionReset)
    );
    edge.until("refused_address", |count| count == 1);
    assert_eq!(Viewer::on(from(4, plain)).get(&path).status, 200);
    drop(viewers);
    edge.ends();
}
