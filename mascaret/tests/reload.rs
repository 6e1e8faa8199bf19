//! Certificates that change under a real edge and a real balancer: SIGHUP, and the operator's door.

use node::certs::{CertificateSettings, Certificates, init};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "stage/page.rs"]
mod page;

type Viewer = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A node that does not outlive its test, and where it logs.
struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            println!("its log: {}", std::fs::read_to_string(&self.1).unwrap_or_default());
        }
    }
}

impl Running {
    fn hang_up(&self) {
        // As `deploy/mascaret-edge@.service` has systemd do it.
        page::line("systemctl reload mascaret-edge@1");
        let line = page::line("kill -HUP PID");
        line.runs(Path::new("mascaret"), Path::new("/"), &[("PID", &self.0.id().to_string())]);
    }
}

/// An address of loopback that no test of another process uses.
fn address(port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 90, high, low.clamp(1, 254)], port))
}

fn node(role: &str, directory: &Path, https: SocketAddr, operator: SocketAddr) -> Running {
    let settings = directory.join(format!("{role}.toml"));
    let more = if role == "lb" { "control = '127.0.0.1:0'\n" } else { "" };
    let text = format!(
        "http = '127.0.0.1:0'\nhttps = '{https}'\n{more}[certificates]\ndirectory = {directory:?}\n\
         [operator]\nlisten = '{operator}'\n"
    );
    std::fs::write(&settings, text).expect("the settings are written");
    let path = directory.join(format!("{role}.log"));
    let log = File::create(&path).expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mascaret"));
    command.args([role, "--settings"]).arg(&settings).stdin(Stdio::null());
    let log_too = log.try_clone().expect("one log for both");
    Running(command.stdout(log_too).stderr(log).spawn().expect("mascaret starts"), path)
}

fn wait<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < until, "waited 30 s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A viewer with a fresh session, so that the whole chain is shown, and the leaf.
fn connect(at: SocketAddr, certificates: &Certificates) -> Option<(Viewer, Vec<u8>)> {
    let config = certificates.https_client_config().expect("the CA is there");
    let name = "localhost".try_into().expect("a name");
    let mut session = rustls::ClientConnection::new(config, name).expect("a session");
    let mut socket = TcpStream::connect(at).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    while session.is_handshaking() {
        session.complete_io(&mut socket).expect("the handshake is done");
    }
    let leaf = session.peer_certificates().expect("a chain")[0].to_vec();
    Some((Viewer::new(session, socket), leaf))
}

/// Asks for what is not there, which every role answers.
fn ask(viewer: &mut Viewer) {
    viewer.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request leaves");
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") || !heard.starts_with(b"HTTP/1.1 404") {
        let mut some = [0; 1024];
        let n = viewer.read(&mut some).expect("an answer");
        assert!(n > 0, "ended after {:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&some[..n]);
    }
}

fn operator(at: SocketAddr, line: &str) -> String {
    let mut socket = TcpStream::connect(at).expect("the operator's listener is there");
    write!(socket, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .expect("asked");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answered");
    answer
}

fn certificates_change(role: &str, port: u16) {
    let directory = tempfile::tempdir().expect("a directory");
    init(directory.path(), &[]).expect("certificates");
    let settings = CertificateSettings { directory: directory.path().into(), ..Default::default() };
    let certificates = Certificates::new(settings);
    let (https, admin) = (address(port), address(port + 1));
    let running = node(role, directory.path(), https, admin);
    let (mut early, first) = wait("the node to listen", || connect(https, &certificates));
    ask(&mut early);
    wait("the panel", || operator(admin, "GET /metrics").contains("reloads_total 0").then_some(()));

    init(directory.path(), &[]).expect("new leaves");
    running.hang_up();
    let shown = || connect(https, &certificates).expect("it listens");
    let second = wait("the new leaf", || Some(shown().1).filter(|leaf| *leaf != first));
    ask(&mut early);
    ask(&mut shown().0);

    let key = directory.path().join("https.key");
    std::fs::write(&key, "no key").expect("written");
    running.hang_up();
    let refused = format!("mascaret_{role}_https_certificate_reloads_refused_total 1\n");
    let metrics =
        wait("the refusal", || Some(operator(admin, "GET /metrics")).filter(|it| it.contains(&refused)));
    assert!(metrics.contains(&format!("mascaret_{role}_https_certificate_reloads_total 1\n")), "{metrics}");
    let expires = metrics
        .lines()
        .find(|line| {
            line.starts_with(&format!("mascaret_{role}_https_certificate_expires_timestamp_seconds "))
        })
        .expect("an expiry");
    assert!(expires.rsplit(' ').next().is_some_and(|it| it.parse().is_ok_and(|it: u64| it > 1_700_000_000)));
    assert_eq!(shown().1, second, "the old one is still shown");
    ask(&mut early);
    let typed = page::line("curl -X POST 127.0.0.1:9090/admin/reload").command;
    let request = page::line("POST /admin/reload").command;
    assert_eq!(typed.replace("127.0.0.1:9090", " ").replace("curl -X ", "").replace("  ", " "), request);
    let said = operator(admin, request);
    assert!(said.starts_with("HTTP/1.1 500") && said.contains("https.key"), "{said}");
    if role == "edge" && std::env::var_os("MASCARET_KERNEL_TLS").is_some() {
        // `make ktls`: all this was by the kernel's records.
        let counts =
            |line: &&str| line.starts_with("mascaret_edge_core_ktls_total{") && !line.ends_with(" 0");
        assert!(
            operator(admin, "GET /metrics").lines().any(|line| counts(&line)),
            "the kernel has no connection"
        );
    }
    let log = std::fs::read_to_string(directory.path().join(format!("{role}.log"))).expect("a log");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("stays as it was")).collect();
    assert_eq!(lines.len(), 2, "one line for each reload: {log}");
    assert!(lines.iter().all(|line| line.contains("ERROR") && line.contains("https.key")), "{log}");
}

#[test]
fn an_edge_shows_its_new_certificate_and_keeps_the_old_one_where_the_new_is_broken() {
    certificates_change("edge", 8443);
}

#[test]
fn a_balancer_shows_its_new_certificate_and_keeps_the_old_one_where_the_new_is_broken() {
    certificates_change("lb", 9443);
}
