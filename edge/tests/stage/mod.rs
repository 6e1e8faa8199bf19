//! What every story needs: a cluster's certificates, an ingest that is only a feed, edges, and a viewer on a plain
//! socket.
#![allow(clippy::unwrap_used, reason = "a test may stop")]
#![allow(dead_code, reason = "each story needs another part of the stage")]

pub(crate) mod ground;
pub(crate) mod parlour;
pub(crate) mod process;
pub(crate) mod siege;

use bytes::Bytes;
use edge::Settings;
use edgefan::NodeId;
use media::{
    AudioShape, BitRate, BroadcastId, DiscontinuitySequence, FrameRate, MediaSequence, MediaSpan, MediaTime,
    ObjectKey, ObjectKind, Rendition, RenditionId, RunId, SegmentFacts, StreamFacts, VideoShape,
};
use node::certs::CertificateSettings;
use node::fan::publisher::{self, Feed, Publishing};
use node::operator::OperatorSettings;
use node::settings::{Address, Millis, Parsed};
use node::{Node, NodeSettings, Stop};
use percore::Driver;
use percore::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use percore::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The same stories on both drivers, each a test of its own.
#[allow(unused_macros, reason = "each story needs another part of the stage")]
macro_rules! on_both_drivers {
    ($($(#[$about:meta])* $story:ident,)+) => {
        mod io_uring {
            $($(#[$about])* #[test] fn $story() { super::$story(percore::Driver::IoUring); })+
        }
        mod epoll {
            $($(#[$about])* #[test] fn $story() { super::$story(percore::Driver::Epoll); })+
        }
    };
}
#[allow(unused_imports, reason = "each story needs another part of the stage")]
pub(crate) use on_both_drivers;

pub(crate) const RUNGS: [&str; 2] = ["720p", "360p"];
pub(crate) const FIRST: u64 = 850_000_000;

/// A directory with the cluster's certificates.
pub(crate) struct Cluster {
    pub(crate) directory: Place,
}

/// Ours, and gone with us; or another process'.
pub(crate) enum Place {
    Own(tempfile::TempDir),
    Other(std::path::PathBuf),
}

impl Place {
    pub(crate) fn path(&self) -> &std::path::Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Other(path) => path,
        }
    }
}

pub(crate) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        node::certs::init(directory.path(), &[]).unwrap();
        Self { directory: Place::Own(directory) }
    }

    /// Another process' cluster.
    pub(crate) fn of(directory: &str) -> Self {
        Self { directory: Place::Other(directory.into()) }
    }

    pub(crate) fn node(&self, role: &'static str) -> Node {
        let settings = NodeSettings {
            operator: OperatorSettings { listen: Address(any()), ..OperatorSettings::default() },
            certificates: CertificateSettings {
                directory: self.directory.path().to_owned(),
                ..CertificateSettings::default()
            },
            ..NodeSettings::default()
        };
        Node::with_stop(role, &settings, Stop::new()).unwrap()
    }

    pub(crate) fn ingest(&self, pitch: MediaSpan) -> Ingest {
        let settings = publisher::Settings {
            node: NodeId::parse("ingest1").unwrap(),
            version: "test".into(),
            listen: any(),
            hub_bytes: 64 << 20,
        };
        let tls = self.node("ingest").certificates.cluster_server_config().unwrap();
        let (feed, publishing) = publisher::start(settings, tls).unwrap();
        Ingest { feed, publishing, pitch }
    }

    /// What a viewer trusts who trusts this cluster's certificates.
    pub(crate) fn trust(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.directory.path().join("ca.pem")).unwrap()).unwrap();
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    pub(crate) fn edge(&self, settings: Settings) -> Edge {
        let node = self.node("edge");
        let running = edge::start(settings, &node).unwrap();
        Edge { node, running }
    }
}

/// An edge of one core that takes from `ingest` and lets nobody wait when it ends.
pub(crate) fn settings(driver: Driver, ingests: &[&Ingest]) -> Settings {
    Settings {
        http: Address(any()),
        ingests: ingests.iter().map(|ingest| Parsed(ingest.publishing.address().into())).collect(),
        cores: node::settings::Number::new(1),
        driver: Parsed(driver),
        drain: Millis::new(500),
        ..Settings::default()
    }
}

/// The feeding end of an ingest.
pub(crate) struct Ingest {
    pub(crate) feed: Feed,
    pub(crate) publishing: Publishing,
    pub(crate) pitch: MediaSpan,
}

pub(crate) fn broadcast() -> BroadcastId {
    BroadcastId::parse("tide").unwrap()
}

/// The bytes of a segment: nothing a compressor or a lazy copy could get right by chance.
pub(crate) fn body(rung: &str, nth: u64) -> Bytes {
    let mut state =
        nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rung.len() as u64 ^ u64::from(rung.as_bytes()[0]);
    let len = if rung == "720p" { 700_001 } else { 90_000 };
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect::<Vec<_>>().into()
}

impl Ingest {
    pub(crate) fn begins(&self) {
        self.begins_with_window(6);
    }

    pub(crate) fn begins_with_window(&self, window: u32) {
        let rendition = |(at, id): (usize, &&str)| Rendition {
            id: RenditionId::parse(id).unwrap(),
            video: Some(VideoShape {
                width: 1280 >> at,
                height: 720 >> at,
                frame_rate: FrameRate(25_000),
                codec: "avc1.64001f".into(),
            }),
            audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
            peak: BitRate(3_000_000 >> at),
            average: BitRate(2_500_000 >> at),
        };
        self.feed.stream(StreamFacts {
            broadcast: broadcast(),
            run: RunId(1),
            segment: self.pitch,
            window,
            renditions: RUNGS.iter().enumerate().map(rendition).collect(),
            has_ended: false,
        });
    }

    /// Segment `nth` of every rung, in pieces as an encoder lets them go.
    pub(crate) fn segment(&self, nth: u64) {
        self.segment_made(nth, Instant::now());
    }

    /// The same, which was complete at the ingest at that time already: what a bad feed would make of it.
    pub(crate) fn segment_made(&self, nth: u64, made: Instant) {
        let sequence = MediaSequence(FIRST + nth);
        let start = MediaTime::from_ticks(sequence.0 * self.pitch.ticks());
        for rung in RUNGS {
            let key = ObjectKey {
                broadcast: broadcast(),
                run: RunId(1),
                rendition: RenditionId::parse(rung).unwrap(),
                sequence,
                part: None,
                kind: ObjectKind::Segment,
            };
            let bytes = body(rung, nth);
            self.feed.open(key.clone(), start, DiscontinuitySequence(0));
            for piece in bytes.chunks(50_000) {
                self.feed.bytes(key.clone(), bytes.slice_ref(piece));
            }
            let facts = SegmentFacts {
                sequence,
                run: RunId(1),
                start,
                duration: self.pitch,
                discontinuity: DiscontinuitySequence(0),
                bytes: bytes.len() as u64,
                is_gap: false,
            };
            self.feed.close_made(key, facts, made);
        }
    }
}

/// A running edge.
pub(crate) struct Edge {
    pub(crate) node: Node,
    pub(crate) running: edge::Running,
}

impl Edge {
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    pub(crate) fn ends(self) {
        self.node.stop.signal();
        self.running.end().unwrap();
    }

    /// What the operator is answered.
    pub(crate) fn operator(&self, path: &str) -> (u16, String) {
        let answer = Viewer::at(self.node.operator.address()).get(path);
        (answer.status, answer.text())
    }
}

/// A plain socket, or TLS on one.
pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A viewer on a connection of its own.
pub(crate) struct Viewer<S> {
    pub(crate) stream: S,
    ahead: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Longest a story waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

impl Viewer<TcpStream> {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::on(stream)
    }
}

impl Viewer<StreamOwned<ClientConnection, TcpStream>> {
    pub(crate) fn by_tls(address: SocketAddr, trust: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(trust), name).unwrap();
        Self::on(StreamOwned::new(session, stream))
    }
}

impl<S: Read + Write> Viewer<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// The same on a stream of either kind.
    pub(crate) fn boxed(self) -> Viewer<Box<dyn Wire>>
    where
        S: 'static,
    {
        Viewer { stream: Box::new(self.stream), ahead: self.ahead }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.asks("GET", path, "")
    }

    pub(crate) fn asks(&mut self, method: &str, path: &str, fields: &str) -> Answer {
        self.says(format!("{method} {path} HTTP/1.1\r\nHost: edge\r\n{fields}\r\n").as_bytes());
        self.hears(method == "HEAD")
    }

    pub(crate) fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn hears(&mut self, is_head: bool) -> Answer {
        let head_len = loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more(), "closed in a head: {:?}", String::from_utf8_lossy(&self.ahead));
        };
        let head = String::from_utf8(self.ahead.drain(..head_len).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let len: usize = match (is_head, status) {
            (true, _) | (_, 204 | 304) => 0,
            _ => answer.field("Content-Length").expect("a length").parse().unwrap(),
        };
        while self.ahead.len() < len {
            assert!(self.more(), "closed in a body");
        }
        answer.body = self.ahead.drain(..len).collect();
        answer
    }

    /// Whether more came before the end.
    pub(crate) fn more(&mut self) -> bool {
        let mut some = vec![0; 64 << 10];
        let n = self.stream.read(&mut some).unwrap();
        self.ahead.extend_from_slice(&some[..n]);
        n > 0
    }

    /// Whether nothing more comes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.ahead.is_empty() && !self.more()
    }
}

/// Looks every few milliseconds until it is so.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until this rung's playlist lists that segment, and gives its text.
pub(crate) fn listed(address: SocketAddr, rung: &str, nth: u64) -> String {
    until(&format!("{rung} to list {nth}"), || {
        let answer = Viewer::at(address).get(&format!("/live/tide/{rung}/index.m3u8"));
        let text = answer.text();
        (answer.status == 200 && text.contains(&format!("\n{}.ts\n", FIRST + nth))).then_some(text)
    })
}

pub(crate) fn segment_path(rung: &str, nth: u64) -> String {
    format!("/live/tide/{rung}/{}.ts", FIRST + nth)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
