//! A real balancer on loopback, and edges that are real as far as a balancer can see: a control link and a public
//! URL that answers.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

use edgefan::{Address, EdgeFacts, EdgeState, Load, NodeId};
use media::{
    BitRate, BroadcastId, FrameRate, MediaSpan, Rendition, RenditionId, RunId, StreamFacts, VideoShape,
};
use node::certs::{self, CertificateSettings, Certificates};
use node::fan::control::client::{self, ControlClient, Told};
use node::settings::{Sources, load};
use node::{Node, NodeSettings, Stop};
use percore::rustls;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ticket::{BroadcastHash, EdgeId, Keys, Ticket, Token};

struct Balancer {
    addresses: lb::Addresses,
    operator: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), lb::LbError>>>,
    files: tempfile::TempDir,
}

impl Balancer {
    /// With these settings beside the addresses.
    fn start(more: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        certs::init(files.path(), &[]).unwrap();
        let key = files.path().join("ticket.key");
        std::fs::write(&key, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n").unwrap();
        let text = format!(
            "id = 'lb1'\nhttp = '127.0.0.1:0'\nhttps = '127.0.0.1:0'\ncontrol = '127.0.0.1:0'\n\
             ingests = ['127.0.0.11:7001']\nprobe = '200 ms'\ncores = 2\n{more}\n[tickets]\nkey = {key:?}\n"
        );
        let settings = load::<lb::Settings>("lb", &Sources::new().text("lb.toml", &text)).unwrap().settings;
        let stop = Stop::new();
        let mut common = NodeSettings::default();
        common.operator.listen = node::settings::Address::local(0);
        common.certificates = certificates(files.path());
        let node = Node::with_stop("lb", &common, stop.clone()).unwrap();
        let operator = node.operator.address();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            lb::run_telling(settings, node, move |addresses| tell.send(addresses).unwrap())
        });
        let addresses = told.recv_timeout(Duration::from_secs(20)).expect("the balancer did not start");
        Self { addresses, operator, stop, thread: Some(thread), files }
    }

    fn get(&self, target: &str) -> Answer {
        ask(TcpStream::connect(self.addresses.http).unwrap(), "GET", target)
    }

    /// How many of so many viewers go to that edge.
    fn sent_to(&self, edge: &str, viewers: usize) -> usize {
        (0..viewers)
            .filter(|_| self.get("/go/tide").field("Location").is_some_and(|at| at.contains(edge)))
            .count()
    }

    /// Waits until the hub says so of that edge (what viewers are shown is up to 250 ms old), and until it has
    /// told every core.
    fn until(&self, edge: &str, state: &str) -> Duration {
        let (started, wanted) = (Instant::now(), format!("\"state\":\"{state}\""));
        loop {
            let body = ask(TcpStream::connect(self.operator).unwrap(), "GET", "/status").body;
            let of_edge = body.split("},{").find(|part| part.contains(&format!("\"id\":\"{edge}\"")));
            if of_edge.is_some_and(|part| part.contains(&wanted)) {
                let took = started.elapsed();
                std::thread::sleep(Duration::from_millis(50));
                return took;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{edge} is not {state}: {body}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.signal();
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn certificates(directory: &Path) -> CertificateSettings {
    CertificateSettings { directory: directory.into(), ..CertificateSettings::default() }
}

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Takes gzip, and takes it off.
fn ask(mut stream: impl Read + Write, method: &str, target: &str) -> Answer {
    let fields = "Host: lb\r\nConnection: close\r\nAccept-Encoding: gzip\r\n";
    write!(stream, "{method} {target} HTTP/1.1\r\n{fields}\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (mut body, sent) = (String::new(), &bytes[end + 4..]);
    if head.contains("\r\nContent-Encoding: gzip\r\n") {
        flate2::read::GzDecoder::new(sent).read_to_string(&mut body).unwrap();
    } else {
        body.push_str(std::str::from_utf8(sent).unwrap());
    }
    Answer { head, body }
}

/// A control link, and a listener that answers the probe until it is told not to.
struct FakeEdge {
    name: String,
    /// Host and port of its public URL.
    at: String,
    link: ControlClient,
    told: Arc<Mutex<Vec<Told>>>,
    answers: Arc<AtomicBool>,
}

impl FakeEdge {
    fn join(balancer: &Balancer, name: &str) -> Self {
        Self::join_by(balancer, name, balancer.addresses.control)
    }

    fn join_by(balancer: &Balancer, name: &str, control: SocketAddr) -> Self {
        let public = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = public.local_addr().unwrap().to_string();
        let url = format!("http://{at}");
        let answers = Arc::new(AtomicBool::new(true));
        let answering = answers.clone();
        std::thread::spawn(move || {
            for stream in public.incoming().flatten() {
                if answering.load(Ordering::Relaxed) {
                    // Closing with a question unread would be a reset, and take the answer with it.
                    let _ = (&stream).read(&mut [0; 1024]);
                    let _ = (&stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
                }
            }
        });
        let tls = Certificates::new(certificates(balancer.files.path())).cluster_client_config().unwrap();
        let settings = client::Settings {
            node: NodeId::parse(name).unwrap(),
            version: "0.0.0".into(),
            edge: EdgeFacts {
                http: url,
                https: String::new(),
                capacity: BitRate(1_000_000_000),
                weight: 100,
            },
            balancers: vec![Address::from(control)],
        };
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let telling = told.clone();
        let link = client::start(settings, tls, move |word| telling.lock().unwrap().push(word)).unwrap();
        link.stream(tide());
        let edge = Self { name: name.into(), at, link, told, answers };
        edge.say(EdgeState::Ready);
        balancer.until(name, "ready");
        edge
    }

    fn say(&self, state: EdgeState) {
        self.link.load(Load {
            egress: BitRate(1_000_000),
            viewers: 3,
            newest_segment_age_ms: Some(900),
            state,
        });
    }

    /// What the balancer last told it to open tokens with.
    fn keys(&self) -> Keys {
        let told = self.told.lock().unwrap();
        let keys = told.iter().rev().find_map(|word| match word {
            Told::Keys { keys, .. } => Keys::from_secrets(keys.iter().map(|key| key.secret)),
            _ => None,
        });
        keys.expect("the edge was told no keys")
    }

    fn open(&self, url: &str) -> Ticket {
        let token = Token::parse(url.split('/').nth(4).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.keys().open(&token, now, BroadcastHash::of(&tide().broadcast)).unwrap()
    }
}

fn tide() -> StreamFacts {
    let rendition = |id: &str, width, height, peak| Rendition {
        id: RenditionId::parse(id).unwrap(),
        video: Some(VideoShape { width, height, frame_rate: FrameRate(30_000), codec: "avc1.64001f".into() }),
        audio: None,
        peak: BitRate(peak),
        average: BitRate(peak / 4 * 3),
    };
    StreamFacts {
        broadcast: BroadcastId::parse("tide").unwrap(),
        run: RunId(1_700_000_000_000),
        segment: MediaSpan::from_secs(2),
        window: 6,
        renditions: vec![rendition("720p", 1280, 720, 2_600_000), rendition("360p", 640, 360, 800_000)],
        has_ended: false,
    }
}

/// Passes a control link on until it is told to swallow everything: a black hole, not a closed connection.
fn black_hole(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let swallows = Arc::new(AtomicBool::new(false));
    let swallowing = swallows.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(to).unwrap();
            for (mut from, mut into) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                let swallowing = swallowing.clone();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(len @ 1..) = from.read(&mut bytes) {
                        if !swallowing.load(Ordering::Relaxed) && into.write_all(&bytes[..len]).is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, swallows)
}

/// What the checker says of a multivariant playlist, as far as it must be kept.
fn broken_rules(answer: &Answer) -> Vec<String> {
    let mut lint =
        hls::lint::Lint::new("http://lb/live/tide/index.m3u8", hls::lint::Watch { watch_ms: 1000 });
    let want = lint.next().unwrap();
    let fields = answer.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lint.push(hls::lint::Fetched {
        want: want.id,
        sent_ms: 0,
        at_ms: 1,
        outcome: hls::lint::Outcome::Answered {
            status: answer.status(),
            headers: fields.map(|(name, value)| (name.into(), value.into())).collect(),
            text: answer.body.clone().into(),
            media: None,
        },
    });
    // It went on to the media playlists: the multivariant playlist was understood.
    assert!(lint.next().is_some());
    let broken = lint.findings().iter().filter(|found| found.level == hls::rules::Level::Must);
    broken.map(|found| found.to_string()).collect()
}

#[test]
fn viewers_get_edges_and_an_edge_that_is_killed_gets_nobody_within_a_second() {
    for driver in ["auto", "epoll"] {
        let balancer = Balancer::start(&format!("driver = '{driver}'"));
        assert_eq!(balancer.get("/live/tide/index.m3u8").status(), 404);
        let edges = ["edge1", "edge2", "edge3"].map(|name| FakeEdge::join(&balancer, name));

        let answer = balancer.get("/live/tide/index.m3u8");
        assert_eq!(answer.status(), 200, "{}", answer.head);
        let playlist =
            hls::MultivariantPlaylist::parse(answer.body.as_bytes()).expect("a strict reader takes it");
        assert_eq!(playlist.render(), answer.body);
        assert_eq!(broken_rules(&answer), [""; 0]);
        let pathways: Vec<_> =
            playlist.variant_streams.iter().map(|variant| variant.pathway_id.clone().unwrap()).collect();
        assert!(pathways[0] == pathways[1] && pathways[1] != pathways[2] && pathways.len() == 6);
        let ticket = edges[0].open(&playlist.variant_streams[0].uri);
        assert_eq!(ticket.edge, Some(EdgeId::parse(&pathways[0]).unwrap().number()));
        assert_eq!(ticket.other, Some(EdgeId::parse(&pathways[2]).unwrap().number()));

        edges.iter().for_each(|edge| edge.say(EdgeState::NotFed));
        for edge in &edges {
            balancer.until(&edge.name, "not fed");
        }
        let answer = balancer.get("/live/tide/index.m3u8");
        assert_eq!(answer.status(), 503, "{}", answer.head);
        assert!(answer.field("Retry-After").is_some() && answer.body.contains("No edge"));
        edges.iter().for_each(|edge| edge.say(EdgeState::Ready));
        for edge in &edges {
            balancer.until(&edge.name, "ready");
        }

        let [_edge1, edge2, _edge3] = edges;
        assert!(balancer.sent_to(&edge2.at, 60) > 5);
        let killed = Instant::now();
        edge2.link.stop();
        std::thread::sleep(Duration::from_millis(500));
        while killed.elapsed() < Duration::from_secs(1) && balancer.sent_to(&edge2.at, 5) > 0 {}
        assert_eq!(balancer.sent_to(&edge2.at, 60), 0, "viewers are sent to an edge that is gone");
        assert!(killed.elapsed() < Duration::from_millis(2500), "asking took too long to prove anything");
    }
}

#[test]
fn an_edge_whose_link_goes_silent_gets_nobody_within_a_second() {
    let balancer = Balancer::start("");
    let _other = FakeEdge::join(&balancer, "edge1");
    let (by, swallows) = black_hole(balancer.addresses.control);
    let edge = FakeEdge::join_by(&balancer, "edge2", by);
    assert!(balancer.sent_to(&edge.at, 40) > 5);
    swallows.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(balancer.sent_to(&edge.at, 40), 0);
}

#[test]
fn an_edge_that_viewers_cannot_reach_gets_nobody_until_they_can() {
    let balancer = Balancer::start("");
    let _other = FakeEdge::join(&balancer, "edge1");
    let edge = FakeEdge::join(&balancer, "edge2");
    edge.answers.store(false, Ordering::Relaxed);
    let took = balancer.until("edge2", "unreachable");
    // Two tries, 200 ms apart, and what the list lags behind.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(balancer.sent_to(&edge.at, 40), 0);
    edge.answers.store(true, Ordering::Relaxed);
    balancer.until("edge2", "ready");
    assert!(balancer.sent_to(&edge.at, 100) > 0);
}

#[test]
fn an_edge_is_told_the_ingests_and_by_tls_a_viewer_is_answered_too() {
    let balancer = Balancer::start("");
    let edge = FakeEdge::join(&balancer, "edge1");
    let ingests = edge.told.lock().unwrap().iter().find_map(|word| match word {
        Told::Welcome { welcome, .. } => Some(welcome.ingests.clone()),
        _ => None,
    });
    assert_eq!(ingests.unwrap(), [Address::parse("127.0.0.11:7001").unwrap()]);

    let mut roots = rustls::RootCertStore::empty();
    let ca = std::fs::read(balancer.files.path().join("ca.pem")).unwrap();
    let mut certificates =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(&ca);
    roots.add(certificates.next().unwrap().unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(balancer.addresses.https.unwrap()).unwrap();
    let answer = ask(rustls::StreamOwned::new(session, socket), "GET", "/live/tide/index.m3u8");
    assert_eq!(answer.status(), 200);
    // The edge has no HTTPS: a viewer is better served by HTTP than not at all.
    assert!(answer.body.contains("\nhttp://127.0.0.1:"), "{}", answer.body);
}

#[test]
fn an_operator_sees_readiness_and_figures_and_rotates_keys() {
    let balancer = Balancer::start("");
    let operator =
        |method: &str, target: &str| ask(TcpStream::connect(balancer.operator).unwrap(), method, target);
    assert_eq!(operator("GET", "/readyz").status(), 503);
    let edge = FakeEdge::join(&balancer, "edge1");
    assert_eq!(operator("GET", "/readyz").status(), 200);
    assert_eq!(balancer.get("/go/tide").status(), 307);
    let metrics = operator("GET", "/metrics").body;
    for line in [
        "mascaret_lb_redirects_total 1",
        "mascaret_lb_edge_ready{edge=\"edge1\"} 1",
        "mascaret_lb_broadcasts 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(operator("GET", "/status").body.contains("\"id\":\"tide\""));

    let before = edge.keys();
    std::fs::write(balancer.files.path().join("ticket.key"), "a".repeat(62) + "bc").unwrap();
    let answer = operator("POST", "/admin/keys/reload");
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let after = edge.keys();
    assert_ne!(before, after);
    std::thread::sleep(Duration::from_millis(100));
    let location = balancer.get("/go/tide").field("Location").unwrap().to_owned();
    assert_eq!(edge.open(&location).edge, Some(EdgeId::parse("edge1").unwrap().number()));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let balancer = Balancer::start("");
    let mut stream = TcpStream::connect(balancer.addresses.http).unwrap();
    let two = "GET /go/none HTTP/1.1\r\nHost: lb\r\n\r\nGET /api/v1/broadcasts HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n";
    stream.write_all(two.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["404", "200"]);
    assert!(text.ends_with("{\"broadcasts\":[]}"), "{text}");
}
