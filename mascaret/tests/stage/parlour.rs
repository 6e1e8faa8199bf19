//! A lobby and edges as real processes, people who post by its API, readers as pages are: what the stories of chat and its
//! measurement stand on.
#![allow(dead_code, unreachable_pub, reason = "each takes what it needs of it")]

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How long is waited for anything.
const PATIENCE: Duration = Duration::from_secs(40);
const PASSWORD: &str = "two metres of water";
/// Whose broadcast it is.
const OWNER: &str = "bob";

/// Ends with whoever holds it, at once.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An edge; `kill` is SIGKILL.
pub struct Edge {
    pub at: SocketAddr,
    process: Option<Process>,
}

impl Edge {
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// What was said last, as it answers it; `None` where it does not know the room.
    pub fn history(&self) -> Option<Value> {
        let mut socket = TcpStream::connect(self.at).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let ask =
            format!("GET /live/tide/chat/history HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.at);
        socket.write_all(ask.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| serde_json::from_str(body).ok()).flatten()
    }

    /// The numbers in it.
    pub fn numbers(&self) -> Vec<u64> {
        let history = self.history().unwrap_or_default();
        history["messages"].as_array().into_iter().flatten().filter_map(|it| it["n"].as_u64()).collect()
    }
}

/// All of it: a broadcast `tide`, and people who may post.
pub struct Parlour {
    pub lobby: SocketAddr,
    pub edges: Vec<Edge>,
    pub people: Vec<Person>,
    _lobby: Process,
    pub folder: tempfile::TempDir,
}

/// Addresses of this process's own, ten for each parlour.
fn host(tens: u8, nth: u8) -> Ipv4Addr {
    let pid = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 96 + (pid[2] & 31), pid[3], tens * 10 + nth + 1)
}

fn wait<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < until, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn runs(command: &mut Command, log: &Path) -> Process {
    let log = std::fs::File::create(log).expect("a log");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("one file twice")).stderr(log);
    Process(node::program::dies_with_us(command).spawn().expect("mascaret runs"))
}

impl Parlour {
    /// On SQLite, or on the PostgreSQL of that address.
    pub fn open(program: &Path, edges: u8, people: usize, postgresql: Option<&str>) -> Self {
        static TENS: AtomicU8 = AtomicU8::new(0);
        let tens = TENS.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let (at, lobby) = (folder.path().display(), host(tens, 0));
        let store = match postgresql {
            None => format!("sqlite = '{at}/lobby.db'"),
            Some(address) => {
                std::fs::write(path("postgresql"), address).expect("a file");
                format!("postgresql = '{at}/postgresql'")
            }
        };
        let settings = format!(
            "[lobby]\nhttp = '{lobby}:8080'\nlink = '{lobby}:7003'\nposts_per_account = 1000\n\
             tries_per_address = 1000\n[lobby.store]\n{store}\n[operator]\nlisten = '{lobby}:9090'\n\
             [certificates]\ndirectory = '{at}/certs'\n"
        );
        std::fs::write(path("lobby.toml"), settings).expect("its settings");
        let does = |words: &[&str], stdin: &str| {
            let mut command = Command::new(program);
            let mut child =
                command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("mascaret");
            child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("it reads");
            assert!(child.wait().expect("its end").success(), "{words:?}");
        };
        let (certs, file) = (path("certs").display().to_string(), path("lobby.toml").display().to_string());
        does(&["certs", "init", "--dir", &certs], "");
        let names: Vec<String> = (0..people).map(|nth| format!("person{nth}")).collect();
        for (name, role) in names.iter().map(|name| (&**name, "viewer")).chain([(OWNER, "broadcaster")]) {
            let words = ["user", "add", name, "--role", role, "--password-stdin", "--settings", &file];
            does(&words, &format!("{PASSWORD}\n"));
        }
        let process = runs(Command::new(program).args(["lobby", "--settings", &file]), &path("lobby.log"));
        let at = SocketAddr::from((lobby, 8080));
        wait("the lobby to listen", || TcpStream::connect(at).ok());
        let owner = Person::signed_in(at, OWNER);
        assert_eq!(owner.ask("POST", "/broadcasts", Some(json!({ "name": "tide" }))).0, 201);
        let edges = (1..=edges).map(|nth| {
            let (own, log) = (host(tens, nth), path(&format!("edge{nth}.log")));
            let mut command = Command::new(program);
            command.arg("edge");
            for setting in [
                format!("id=edge{nth}"),
                format!("http={own}:8080"),
                format!("lobby={lobby}:7003"),
                "cores=1".into(),
                format!("operator.listen={own}:9090"),
                format!("certificates.directory={certs}"),
            ] {
                command.args(["--set", &setting]);
            }
            Edge { at: SocketAddr::from((own, 8080)), process: Some(runs(&mut command, &log)) }
        });
        let edges: Vec<Edge> = edges.collect();
        for edge in &edges {
            wait("an edge to know the room", || edge.history());
        }
        let people = names.iter().map(|name| Person::signed_in(at, name)).collect();
        Self { lobby: at, edges, people, _lobby: process, folder }
    }
}

/// Somebody signed in.
#[derive(Clone)]
pub struct Person {
    agent: ureq::Agent,
    origin: String,
    cookie: String,
    token: String,
}

impl Person {
    pub fn signed_in(at: SocketAddr, name: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(PATIENCE)).build().into();
        let mut person =
            Self { agent, origin: format!("http://{at}"), cookie: String::new(), token: String::new() };
        let words = json!({ "name": name, "password": PASSWORD });
        let (status, body, headers) = person.ask("POST", "/session", Some(words));
        assert_eq!(status, 200, "{body}");
        let cookie = headers["set-cookie"].to_str().expect("a cookie");
        person.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        person.token = body["token"].as_str().expect("a token").to_owned();
        person
    }

    /// Status, body and head of what the API answers.
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value, ureq::http::HeaderMap) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/v1{path}", self.origin))
            .header("Origin", &self.origin)
            .header("Cookie", &self.cookie)
            .header("X-Mascaret-Token", &self.token)
            .header("Content-Type", "application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = if method == "GET" {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body).expect("a request"))
        };
        let mut answer = answer.expect("an answer");
        let text = answer.body_mut().read_to_string().expect("a body");
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default(), answer.headers().clone())
    }

    /// Says it in `tide`; its number.
    pub fn says(&self, text: &str) -> u64 {
        let (status, body, _) = self.ask("POST", "/broadcasts/tide/messages", Some(json!({ "text": text })));
        assert_eq!(status, 201, "{body}");
        body["sequence"].as_u64().expect("a number")
    }

    /// The numbers from this to that one, as a page asks for what an edge has no more.
    pub fn reads(&self, from: u64, to: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.last().is_none_or(|last| *last < to) {
            let after = numbers.last().copied().unwrap_or(from - 1);
            let (status, body, _) =
                self.ask("GET", &format!("/broadcasts/tide/messages?after={after}"), None);
            assert_eq!(status, 200, "{body}");
            let page = body["messages"].as_array().expect("messages").iter();
            numbers.extend(page.filter_map(|it| it["sequence"].as_u64()).filter(|n| *n <= to));
        }
        numbers
    }
}

/// An event as a page gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub event: String,
    pub data: Value,
}

/// One reader on one connection.
pub struct Reader {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The id of the newest event, for the next edge.
    pub last: Option<String>,
}

impl Reader {
    /// Reads on after that event; `None` where nobody answers.
    pub fn at(address: SocketAddr, after: Option<&str>) -> Option<Self> {
        let mut stream = TcpStream::connect(address).ok()?;
        let field = after.map_or_else(String::new, |after| format!("Last-Event-ID: {after}\r\n"));
        let ask = format!(
            "GET /live/tide/chat HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{field}\r\n"
        );
        stream.write_all(ask.as_bytes()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut reader = Self { stream, unread: Vec::new(), last: after.map(str::to_owned) };
        loop {
            if let Some(end) = reader.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = reader.unread.drain(..end + 4).collect();
                assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
                return Some(reader);
            }
            let mut some = [0; 4096];
            match reader.stream.read(&mut some) {
                Ok(n) if n > 0 => reader.unread.extend_from_slice(&some[..n]),
                _ => return None,
            }
        }
    }

    fn take(&mut self) -> VecDeque<Heard> {
        let mut all = VecDeque::new();
        while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.unread.drain(..end + 2).collect();
            let event = std::str::from_utf8(&event).expect("text");
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let Some(id) = field("id: ") {
                self.last = Some(id.to_owned());
            }
            if let Some(data) = field("data: ") {
                let event = field("event: ").unwrap_or("message").to_owned();
                all.push_back(Heard { event, data: serde_json::from_str(data).expect("JSON") });
            }
        }
        all
    }

    /// What has come within this time; `None` at the end of the connection.
    pub fn within(&mut self, time: Duration) -> Option<VecDeque<Heard>> {
        let until = Instant::now() + time;
        loop {
            let all = self.take();
            let left = until.saturating_duration_since(Instant::now());
            if !all.is_empty() || left.is_zero() {
                return Some(all);
            }
            self.stream.set_read_timeout(Some(left)).expect("a time");
            let mut some = vec![0; 64 << 10];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(n) => self.unread.extend_from_slice(&some[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return None,
            }
        }
    }
}
