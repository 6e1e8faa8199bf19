//! The main job, as a user does it: `mascaret demo`, ffmpeg publishes, four ffmpegs watch, one at each edge.
//!
//! `MASCARET_PLAY_SECONDS` makes it as long as one likes (60 for a release); 12 by default.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ports of their own, so that a demo that somebody is watching goes on.
const OFFSET: &str = "12000";
const EDGES: [&str; 4] = ["127.0.0.21:20080", "127.0.0.22:20080", "127.0.0.23:20080", "127.0.0.24:20080"];
const INGEST_OPERATOR: &str = "127.0.0.11:21090";
const INGEST: &str = "127.0.0.11:13935";

/// A child that does not outlive its test; asked to end first, so that it ends its own children.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        for _ in 0..100 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Status and body of a GET; `None` if nobody answers.
fn fetch(address: &str, path: &str) -> Option<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.split_off(end)))
}

fn segments(address: &str, rendition: &str) -> Vec<String> {
    let Some((200, body)) = fetch(address, &format!("/live/studio/{rendition}/index.m3u8")) else {
        return Vec::new();
    };
    let text = String::from_utf8(body).expect("a playlist is text");
    assert!(!text.contains("EXT-X-GAP"), "{address} {rendition} has a gap:\n{text}");
    text.lines().filter(|line| line.ends_with(".ts")).map(str::to_string).collect()
}

/// Waits, up to a bound, until it is there.
fn wait<T>(what: &str, mut wanted: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < until, "waited 60 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn demo(seconds: u64) -> (Running, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_mascaret"));
    let state = std::env::temp_dir().join(format!("mascaret-plays-{}", std::process::id()));
    let mut child = Command::new(program)
        .args(["demo", "--json", "--no-sources", "--port-offset", OFFSET, "--for", &format!("{seconds}s")])
        .arg("--dir")
        .arg(&state)
        .env("MASCARET_TRANSCODE", program.with_file_name("mascaret-transcode"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mascaret demo starts");
    let stdout = child.stdout.take().expect("it is piped");
    let running = Running(child);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let event: serde_json::Value = serde_json::from_str(&line).expect("an event a line");
            let _ = tell.send(event);
        }
    });
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let event = told.recv_timeout(left).expect("the demo says that it is up");
        if event["event"] == "start" {
            let key = event["publish"]["stream_key"].as_str().expect("a stream key").to_string();
            // The demo's later words are not needed, and must not block it.
            std::thread::spawn(move || told.iter().for_each(drop));
            return (running, key);
        }
    }
}

fn publisher(key: &str) -> Running {
    let words = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=s=640x360:r=30 -f lavfi -i sine=f=440:r=48000 \
                 -c:v libx264 -preset ultrafast -b:v 800k -pix_fmt yuv420p -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac \
                 -ac 2 -f flv";
    let child = Command::new("ffmpeg")
        .args(words.split_whitespace())
        .arg(format!("rtmp://{INGEST}/live/{key}"))
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg is installed");
    Running(child)
}

/// Downloads every segment from every edge as it is listed, until told to stop; how many were compared.
fn compare_all(renditions: Vec<String>, stop: &AtomicBool) -> usize {
    let mut hashes: BTreeMap<(String, String), BTreeMap<&str, [u8; 32]>> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for rendition in &renditions {
            for edge in EDGES {
                for segment in segments(edge, rendition) {
                    let of = hashes.entry((rendition.clone(), segment.clone())).or_default();
                    if of.contains_key(edge) {
                        continue;
                    }
                    let path = format!("/live/studio/{rendition}/{segment}");
                    let (status, body) =
                        fetch(edge, &path).unwrap_or_else(|| panic!("{edge} does not answer"));
                    assert_eq!(status, 200, "{edge}{path} is listed");
                    of.insert(edge, Sha256::digest(&body).into());
                }
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    for (segment, of) in &hashes {
        assert!(
            of.values().all(|hash| Some(hash) == of.values().next()),
            "{segment:?} differs between edges"
        );
    }
    hashes.values().filter(|of| of.len() == EDGES.len()).count()
}

#[test]
fn ffmpeg_publishes_and_plays_on_every_edge_at_once() {
    let seconds: u64 =
        std::env::var("MASCARET_PLAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let (_demo, key) = demo(seconds + 120);
    wait("the ingest", || fetch(INGEST_OPERATOR, "/livez").filter(|(status, _)| *status == 200));
    let _publisher = publisher(&key);
    wait("the publish", || {
        let (_, body) = fetch(INGEST_OPERATOR, "/status")?;
        let status: serde_json::Value = serde_json::from_slice(&body).ok()?;
        status["broadcasts"]["studio"]["publisher"].as_str().map(drop)
    });
    let published = Instant::now();
    for edge in EDGES {
        wait(&format!("a segment at {edge}"), || segments(edge, "source").first().map(drop));
        println!("first segment listed at {edge} {} ms after the publish", published.elapsed().as_millis());
    }
    let renditions = wait("every rendition", || {
        let (status, body) = fetch(EDGES[0], "/live/studio/index.m3u8")?;
        let text = String::from_utf8(body).ok().filter(|_| status == 200)?;
        let uris = text.lines().filter(|line| line.ends_with("/index.m3u8"));
        Some(uris.map(|uri| uri.trim_end_matches("/index.m3u8").to_string()).collect::<Vec<_>>())
    });
    assert!(renditions.len() >= 2, "{renditions:?}");
    wait("three segments at every edge", || {
        EDGES.iter().all(|edge| segments(edge, "source").len() >= 3).then_some(())
    });

    let stop = Arc::new(AtomicBool::new(false));
    let (stops, compared) = (stop.clone(), renditions.clone());
    let comparing = std::thread::spawn(move || compare_all(compared, &stops));
    let players: Vec<_> = EDGES
        .iter()
        .enumerate()
        .map(|(nth, edge)| {
            let rendition = &renditions[nth % renditions.len()];
            let url = format!("http://{edge}/live/studio/{rendition}/index.m3u8");
            let mut ffmpeg = Command::new("ffmpeg");
            ffmpeg.args([
                "-hide_banner",
                "-nostdin",
                "-v",
                "warning",
                "-i",
                &url,
                "-t",
                &seconds.to_string(),
            ]);
            ffmpeg
                .args(["-f", "null", "-"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            (url, ffmpeg.spawn().expect("ffmpeg is installed"))
        })
        .collect();
    for (url, player) in players {
        let said = player.wait_with_output().expect("it was started");
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && text.trim().is_empty(), "{url}: {text}");
    }
    stop.store(true, Ordering::Relaxed);
    let compared = comparing.join().expect("every edge has the same bytes");
    println!(
        "{compared} segments with one SHA-256 on all four edges, {seconds} s played at each without a word"
    );
    assert!(
        compared as u64 >= seconds / 2 * renditions.len() as u64 - 2,
        "{compared} segments in {seconds} s"
    );
}
