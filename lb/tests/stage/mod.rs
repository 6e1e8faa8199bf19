//! A real balancer on loopback, and edges that are real as far as a balancer can see: a control link and a public
//! URL that answers.

#![allow(dead_code, reason = "every test uses another part")]
#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

use edgefan::{Address, EdgeFacts, EdgeState, Load, NodeId};
use media::{
    BitRate, BroadcastId, FrameRate, MediaSpan, Rendition, RenditionId, RunId, StreamFacts, VideoShape,
};
use node::certs::{self, CertificateSettings, Certificates};
use node::fan::control::client::{self, ControlClient, Told};
use node::settings::{Sources, load};
use node::{Node, NodeSettings, Stop};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ticket::{BroadcastHash, Keys, Ticket, Token};

pub(crate) struct Balancer {
    pub(crate) addresses: lb::Addresses,
    pub(crate) operator: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), lb::LbError>>>,
    pub(crate) files: Arc<tempfile::TempDir>,
}

impl Balancer {
    /// With these settings beside the addresses.
    pub(crate) fn start(more: &str) -> Self {
        let files = files();
        let key = files.path().join("ticket.key");
        let text = format!(
            "id = 'lb1'\nhttp = '127.0.0.1:0'\nhttps = '127.0.0.1:0'\ncontrol = '127.0.0.1:0'\n\
             ingests = ['127.0.0.11:7001']\nprobe = '200 ms'\ncores = 2\n{more}\n[tickets]\nkey = {key:?}\n"
        );
        Self::start_with(files, &text)
    }

    /// With these settings and nothing else, in a directory others may share.
    pub(crate) fn start_with(files: Arc<tempfile::TempDir>, text: &str) -> Self {
        let settings = load::<lb::Settings>("lb", &Sources::new().text("lb.toml", text)).unwrap().settings;
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

    pub(crate) fn get(&self, target: &str) -> Answer {
        ask(TcpStream::connect(self.addresses.http).unwrap(), "GET", target)
    }

    /// How many of so many viewers go to that edge.
    pub(crate) fn sent_to(&self, edge: &str, viewers: usize) -> usize {
        (0..viewers)
            .filter(|_| self.get("/go/tide").field("Location").is_some_and(|at| at.contains(edge)))
            .count()
    }

    /// Waits until the hub says so of that edge (what viewers are shown is up to 250 ms old), and until it has
    /// told every core.
    pub(crate) fn until(&self, edge: &str, state: &str) -> Duration {
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

/// A directory with certificates and a ticket key.
pub(crate) fn files() -> Arc<tempfile::TempDir> {
    let files = tempfile::tempdir().unwrap();
    certs::init(files.path(), &[]).unwrap();
    let key = files.path().join("ticket.key");
    std::fs::write(key, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n").unwrap();
    Arc::new(files)
}

pub(crate) fn certificates(directory: &Path) -> CertificateSettings {
    CertificateSettings { directory: directory.into(), ..CertificateSettings::default() }
}

pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Takes gzip, and takes it off.
pub(crate) fn ask(mut stream: impl Read + Write, method: &str, target: &str) -> Answer {
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
pub(crate) struct FakeEdge {
    pub(crate) name: String,
    /// Host and port of its public URL.
    pub(crate) at: String,
    pub(crate) link: ControlClient,
    pub(crate) told: Arc<Mutex<Vec<Told>>>,
    pub(crate) answers: Arc<AtomicBool>,
}

impl FakeEdge {
    pub(crate) fn join(balancer: &Balancer, name: &str) -> Self {
        Self::join_by(balancer, name, balancer.addresses.control)
    }

    pub(crate) fn join_by(balancer: &Balancer, name: &str, control: SocketAddr) -> Self {
        Self::join_all(&[balancer], name, &[control])
    }

    /// At all of them, by these control doors.
    pub(crate) fn join_all(balancers: &[&Balancer], name: &str, controls: &[SocketAddr]) -> Self {
        Self::join_by_tls(balancers, name, controls, "")
    }

    /// The same, said to be reached by that HTTPS URL too.
    pub(crate) fn join_by_tls(
        balancers: &[&Balancer],
        name: &str,
        controls: &[SocketAddr],
        https: &str,
    ) -> Self {
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
        let tls = Certificates::new(certificates(balancers[0].files.path())).cluster_client_config().unwrap();
        let settings = client::Settings {
            node: NodeId::parse(name).unwrap(),
            version: "0.0.0".into(),
            edge: EdgeFacts {
                http: url,
                https: https.into(),
                capacity: BitRate(1_000_000_000),
                weight: 100,
                relay: None,
            },
            balancers: controls.iter().copied().map(Address::from).collect(),
        };
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let telling = told.clone();
        let link = client::start(settings, tls, move |word| telling.lock().unwrap().push(word)).unwrap();
        link.stream(tide());
        let edge = Self { name: name.into(), at, link, told, answers };
        edge.say(EdgeState::Ready);
        for balancer in balancers {
            balancer.until(name, "ready");
        }
        edge
    }

    pub(crate) fn say(&self, state: EdgeState) {
        self.link.load(Load {
            egress: BitRate(1_000_000),
            viewers: 3,
            newest_segment_age_ms: Some(900),
            lag_ms: Some(40),
            state,
        });
    }

    /// What the balancer last told it to open tokens with.
    pub(crate) fn keys(&self) -> Keys {
        let told = self.told.lock().unwrap();
        let keys = told.iter().rev().find_map(|word| match word {
            Told::Keys { keys, .. } => Keys::from_secrets(keys.iter().map(|key| key.secret)),
            _ => None,
        });
        keys.expect("the edge was told no keys")
    }

    /// What all balancers told it, as an edge keeps it.
    pub(crate) fn all_keys(&self) -> Keys {
        let told = self.told.lock().unwrap();
        let mut last: std::collections::BTreeMap<String, Keys> = Default::default();
        for word in told.iter() {
            if let Told::Keys { balancer, keys } = word {
                let keys = Keys::from_secrets(keys.iter().map(|key| key.secret)).unwrap();
                last.insert(balancer.to_string(), keys);
            }
        }
        Keys::union(last.values()).expect("the edge was told no keys")
    }

    pub(crate) fn open(&self, url: &str) -> Ticket {
        self.try_open(url).unwrap()
    }

    pub(crate) fn opens(&self, url: &str) -> bool {
        self.try_open(url).is_ok()
    }

    fn try_open(&self, url: &str) -> Result<Ticket, ticket::Refusal> {
        let token = Token::parse(url.split('/').nth(4).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.keys().open(&token, now, BroadcastHash::of(&tide().broadcast))
    }
}

pub(crate) fn tide() -> StreamFacts {
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
pub(crate) fn black_hole(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
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
