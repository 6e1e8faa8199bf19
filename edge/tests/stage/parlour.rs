//! What stories of chat stand on: a lobby that is little more than its feed, and readers as a browser is one.

use super::Cluster;
use chat::{Author, Badge, Entry, EventId, LogId, Sequence, What};
use edgefan::NodeId;
use media::BroadcastId;
use node::fan::admission::Admissions;
use node::fan::lobby::server::{self, ChatFeed, LobbyServer};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) const LOG: LogId = LogId(0x6a21);

/// The feeding end of a lobby, with everything that was ever said in `tide`.
pub(crate) struct Lobby {
    pub(crate) feed: ChatFeed,
    pub(crate) server: LobbyServer,
    pub(crate) said: u64,
}

pub(crate) fn said(n: u64, text: String) -> Entry {
    let by = Author { id: "7".into(), name: "Ana".into(), badge: Badge::Viewer };
    Entry { sequence: Sequence(n), at_ms: n, what: What::Said { by, text } }
}

pub(crate) fn tide() -> BroadcastId {
    BroadcastId::parse("tide").unwrap()
}

impl Lobby {
    /// With a room of which nothing was said yet.
    pub(crate) fn new(cluster: &Cluster, listen: SocketAddr) -> Self {
        let feed = ChatFeed::default();
        feed.open(&tide(), LOG, 0, Sequence(1), Vec::new());
        Self::with(cluster, listen, feed, 0)
    }

    pub(crate) fn with(cluster: &Cluster, listen: SocketAddr, feed: ChatFeed, said: u64) -> Self {
        let settings =
            server::Settings { node: NodeId::parse("lobby1").unwrap(), version: "test".into(), listen };
        let tls = cluster.node("lobby").certificates.cluster_server_config().unwrap();
        // It has no broadcast that is private, and says so.
        let admissions = Some(Admissions::new(|_| ()));
        let server = server::start_beside(settings, &feed, tls, admissions).unwrap();
        Self { feed, server, said }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn says(&mut self, text: &str) {
        self.said += 1;
        self.feed.push(&tide(), said(self.said, format!("{text} {}", self.said))).unwrap();
    }
}

/// An event as a page gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) event: String,
    pub(crate) data: serde_json::Value,
}

/// One reader on one connection.
pub(crate) struct Reader {
    stream: TcpStream,
    unread: Vec<u8>,
    events: VecDeque<Heard>,
    pub(crate) head: String,
    pub(crate) last: Option<EventId>,
}

impl Reader {
    pub(crate) fn at(address: SocketAddr, after: Option<EventId>) -> Self {
        Self::asks(address, "/live/tide/chat", after)
    }

    pub(crate) fn asks(address: SocketAddr, path: &str, after: Option<EventId>) -> Self {
        Self::on(TcpStream::connect(address).unwrap(), path, after)
    }

    /// Asks, and reads the head.
    pub(crate) fn on(mut stream: TcpStream, path: &str, after: Option<EventId>) -> Self {
        let field = after.map_or_else(String::new, |after| format!("Last-Event-ID: {after}\r\n"));
        let ask = format!("GET {path} HTTP/1.1\r\nHost: edge\r\nAccept: text/event-stream\r\n{field}\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        let mut reader =
            Self { stream, unread: Vec::new(), events: VecDeque::new(), head: String::new(), last: after };
        loop {
            if let Some(at) = reader.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                reader.head = String::from_utf8(reader.unread.drain(..at + 4).collect()).unwrap();
                return reader;
            }
            assert!(reader.more(), "closed in a head");
        }
    }

    /// Whether something came before the end.
    fn more(&mut self) -> bool {
        let mut some = vec![0; 64 << 10];
        match self.stream.read(&mut some) {
            Ok(n) => {
                self.unread.extend_from_slice(&some[..n]);
                n > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn take_events(&mut self) {
        while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.unread.drain(..end + 2).collect();
            let event = std::str::from_utf8(&event).unwrap();
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let Some(id) = field("id: ") {
                self.last = Some(EventId::parse(id).unwrap());
            }
            if let Some(data) = field("data: ") {
                let event = field("event: ").unwrap_or("message").to_owned();
                self.events.push_back(Heard { event, data: serde_json::from_str(data).unwrap() });
            }
        }
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Heard> {
        loop {
            self.take_events();
            if let Some(heard) = self.events.pop_front() {
                return Some(heard);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// What has come within this time; `None` at the end.
    pub(crate) fn within(&mut self, time: Duration) -> Option<Vec<Heard>> {
        let until = Instant::now() + time;
        loop {
            self.take_events();
            let left = until.saturating_duration_since(Instant::now());
            if !self.events.is_empty() || left.is_zero() {
                return Some(self.events.drain(..).collect());
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut some = vec![0; 64 << 10];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(n) => self.unread.extend_from_slice(&some[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Numbers up to `last` that come, other events left out.
    pub(crate) fn numbers_to(&mut self, last: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&last) {
            let heard = self.next().expect("more");
            if let Some(n) = heard.data["n"].as_u64() {
                numbers.push(n);
            }
        }
        numbers
    }
}
