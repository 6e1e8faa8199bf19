//! An ingest in this process, an edge's subscriber beside it, and real ffmpeg as the publisher.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of the stage")]

use edgefan::{Address, Event, NodeId};
use ingest::keys::KeyHash;
use ingest::{Addresses, Settings};
use media::{BroadcastId, SegmentFacts, StreamFacts};
use node::fan::subscriber;
use node::settings::{Address as Listen, Millis, Parsed, Seconds};
use node::{Node, NodeSettings, Stop};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What a playlist must know of them, and their bytes.
pub type Segments = BTreeMap<u64, (SegmentFacts, Vec<u8>)>;

/// What an edge has got so far.
#[derive(Debug, Default)]
pub struct Got {
    pub streams: BTreeMap<String, StreamFacts>,
    /// By broadcast and rendition, in the order of their numbers.
    pub segments: BTreeMap<(String, String), Segments>,
    pub ended: Vec<String>,
}

pub struct Stage {
    pub addresses: Addresses,
    pub operator: SocketAddr,
    got: Arc<(Mutex<Got>, Condvar)>,
    stop: Stop,
    ingest: Option<std::thread::JoinHandle<()>>,
    subscription: subscriber::Subscription,
    _folder: tempfile::TempDir,
}

/// The program that `make test` builds before the tests.
fn transcode() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let built = ["debug", "release"].map(|profile| target.join(profile).join("mascaret-transcode"));
    let newest = built
        .iter()
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap());
    newest.unwrap_or_else(|| panic!("build it first: cargo build -p transcode")).clone()
}

impl Stage {
    pub fn set(change: impl FnOnce(&mut Settings)) -> Self {
        Self::set_in(tempfile::tempdir().unwrap(), change)
    }

    /// The same, beside others that have their certificates in `certs` of this folder.
    pub fn set_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let say =
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "ingest=info".into());
        let _ = tracing_subscriber::fmt().with_env_filter(say).with_test_writer().try_init();
        let certificates = folder.path().join("certs");
        node::certs::init(&certificates, &["localhost".into(), "127.0.0.1".into()]).unwrap();
        let local = Listen("127.0.0.1:0".parse().unwrap());
        let mut settings = Settings {
            rtmp: local,
            rtmps: Some(local),
            edgefan: local,
            segment: Millis::new(1000),
            grace: Seconds::new(10),
            transcode: Some(transcode()),
            state: Some(folder.path().join("state")),
            ..Settings::default()
        };
        settings.publishers = ["tide", "bore"]
            .map(|name| ingest::Publisher {
                broadcast: Parsed(BroadcastId::parse(name).unwrap()),
                key: Parsed(KeyHash::of("secret")),
            })
            .to_vec();
        settings.ladder.rungs = rungs(&["180p 300k ultrafast"]);
        change(&mut settings);
        let mut node_settings = NodeSettings::default();
        node_settings.operator.listen = local;
        node_settings.certificates.directory = certificates;
        let stop = Stop::new();
        let node = Node::with_stop("ingest", &node_settings, stop.clone()).unwrap();
        let operator = node.operator.address();
        let tls = node.certificates.cluster_client_config().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let ingest = std::thread::spawn(move || {
            ingest::run_telling(settings, node, move |addresses| tell.send(addresses).unwrap()).unwrap();
        });
        let addresses = told.recv_timeout(Duration::from_secs(10)).expect("the ingest listens");
        let got = Arc::new((Mutex::new(Got::default()), Condvar::new()));
        let gets = got.clone();
        let subscriber = subscriber::Settings {
            node: NodeId::parse("edge").unwrap(),
            version: "test".into(),
            ingests: vec![Address::parse(&addresses.edgefan.to_string()).unwrap()],
            assembly_bytes: edgefan::limits::ASSEMBLY_BYTES,
        };
        let subscription = subscriber::start(subscriber, tls, move |event| {
            gets.0.lock().unwrap().take(event);
            gets.1.notify_all();
        })
        .unwrap();
        Self { addresses, operator, got, stop, ingest: Some(ingest), subscription, _folder: folder }
    }

    /// Where to publish a broadcast with the right key.
    pub fn url(&self, broadcast: &str) -> String {
        format!("rtmp://{}/live/{broadcast}?key=secret", self.addresses.rtmp)
    }

    /// Waits, up to a bound, until what the edge has got is as wanted.
    pub fn wait<T>(&self, what: &str, mut wanted: impl FnMut(&Got) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(60);
        let mut got = self.got.0.lock().unwrap();
        loop {
            if let Some(found) = wanted(&got) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited 60 s for {what}; got {}", got.summary());
            got = self.got.1.wait_timeout(got, left).unwrap().0;
        }
    }

    /// Until `count` segments of every rendition of it are there.
    pub fn wait_segments(&self, broadcast: &str, count: usize) {
        self.wait(&format!("{count} segments of {broadcast}"), |got| {
            let facts = got.streams.get(broadcast)?;
            let all = facts.renditions.iter().all(|rendition| {
                let key = (broadcast.to_string(), rendition.id.to_string());
                got.segments.get(&key).is_some_and(|segments| segments.len() >= count)
            });
            all.then_some(())
        });
    }

    /// Until the broadcast has ended.
    pub fn wait_end(&self, broadcast: &str) {
        self.wait(&format!("the end of {broadcast}"), |got| {
            got.ended.iter().any(|name| name == broadcast).then_some(())
        });
    }

    pub fn with<T>(&self, look: impl FnOnce(&Got) -> T) -> T {
        look(&self.got.0.lock().unwrap())
    }

    /// The operator's `/status`.
    pub fn status(&self) -> serde_json::Value {
        use std::io::Read;
        let mut socket = std::net::TcpStream::connect(self.operator).unwrap();
        socket.write_all(b"GET /status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.subscription.stop();
        self.stop.signal();
        if let Some(ingest) = self.ingest.take() {
            let ended = ingest.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

impl Got {
    fn take(&mut self, event: Event) {
        match event {
            Event::Stream(facts) => {
                self.streams.insert(facts.broadcast.to_string(), facts);
            }
            Event::Complete { key, facts, body, .. } => self.insert(&key, facts, body.to_vec()),
            Event::Skipped { key, facts } => self.insert(&key, facts, Vec::new()),
            Event::Ended { broadcast, .. } => self.ended.push(broadcast.to_string()),
            Event::Differs { key, .. } => panic!("{key} has two contents"),
            _ => {}
        }
    }

    fn insert(&mut self, key: &media::ObjectKey, facts: SegmentFacts, body: Vec<u8>) {
        let of = (key.broadcast.to_string(), key.rendition.to_string());
        let twice = self.segments.entry(of).or_default().insert(key.sequence.0, (facts, body));
        assert!(twice.is_none(), "{key} came twice");
    }

    pub fn summary(&self) -> String {
        let segments = self.segments.iter().map(|((broadcast, rendition), segments)| {
            let gaps = segments.values().filter(|(facts, _)| facts.is_gap).count();
            format!("{broadcast}/{rendition}: {} segments, {gaps} gaps", segments.len())
        });
        segments.collect::<Vec<_>>().join("; ")
    }

    pub fn of(&self, broadcast: &str, rendition: &str) -> Vec<(u64, SegmentFacts, Vec<u8>)> {
        let key = (broadcast.to_string(), rendition.to_string());
        let segments = self.segments.get(&key).into_iter().flatten();
        segments.map(|(number, (facts, body))| (*number, facts.clone(), body.clone())).collect()
    }

    pub fn renditions(&self, broadcast: &str) -> Vec<String> {
        let facts = self.streams.get(broadcast).unwrap_or_else(|| panic!("no facts of {broadcast}"));
        facts.renditions.iter().map(|rendition| rendition.id.to_string()).collect()
    }
}

pub fn rungs(texts: &[&str]) -> ingest::Rungs {
    let steps = texts.iter().map(|text| Parsed(text.parse().unwrap())).collect::<Vec<_>>();
    steps.try_into().unwrap()
}

/// What a broadcast must be, whoever published it: numbers without a hole, no gap, times without a hole, and a decoder
/// that finds nothing to say.
pub fn must_play(got: &Got, broadcast: &str) {
    for rendition in got.renditions(broadcast) {
        let segments = got.of(broadcast, &rendition);
        let place = format!("{broadcast}/{rendition}");
        assert!(segments.len() >= 2, "{place} has {} segments", segments.len());
        for pair in segments.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "{place}: numbers go on");
            let end = pair[0].1.start + pair[0].1.duration;
            let hole = end.distance(pair[1].1.start);
            assert!(hole.as_millis() <= 1, "{place}/{}: {hole} between its end and the next", pair[0].0);
        }
        assert!(segments.iter().all(|(_, facts, _)| !facts.is_gap), "{place} has a gap: {}", got.summary());
        let whole: Vec<u8> = segments.iter().flat_map(|(_, _, body)| body.iter().copied()).collect();
        must_decode(&place, &whole);
    }
}

/// ffmpeg reads and decodes it all and says nothing.
pub fn must_decode(place: &str, ts: &[u8]) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "warning", "-xerror", "-f", "mpegts", "-i", "-", "-f", "null", "-"]);
    let said = with_input(&mut ffmpeg, ts);
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.trim().is_empty(), "{place}: {text}");
}

/// ffprobe's answer about it.
pub fn probe(ts: &[u8], entries: &str) -> String {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-f", "mpegts", "-i", "-", "-of", "csv=p=0", "-show_entries", entries]);
    String::from_utf8(with_input(&mut ffprobe, ts).stdout).unwrap()
}

fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // ffprobe may have seen enough.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The usual source: a test picture and a tone.
pub const SOURCE: &str = "-f lavfi -i testsrc2=s=320x180:r=30 -f lavfi -i sine=f=440:r=48000";
/// The usual encoding: a sync unit each second.
pub const ENCODE: &str =
    "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30 -keyint_min 30 -sc_threshold 0 -c:a aac -ac 2";

/// Starts ffmpeg with these words, ending in `-f flv <url>`. Words are split at spaces.
pub fn ffmpeg(words: &str, url: &str) -> Publisher {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-v", "error"])
        .args(words.split_whitespace())
        .args(["-f", "flv", url]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    Publisher(Some(child))
}

/// A child that does not outlive its test.
pub struct Publisher(Option<Child>);

impl Publisher {
    pub fn wait(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    pub fn is_over(&mut self) -> bool {
        self.0.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    pub fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
