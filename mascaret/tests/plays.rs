//! The main job, as a user does it: `mascaret demo`, ffmpeg publishes, four ffmpegs watch, one at each edge.
//!
//! `MASCARET_PLAY_SECONDS` makes it as long as one likes (60 for a release); 12 by default.

mod stage;

use sha2::{Digest, Sha256};
use stage::cluster::{Cluster, Wanted, has_transcode};
use stage::processes::Ours;
use stage::{fetch, wait};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ports of their own, so that a demo that somebody is watching goes on.
const OFFSET: u16 = 12_000;
const EDGES: [&str; 4] = ["127.0.0.21:20080", "127.0.0.22:20080", "127.0.0.23:20080", "127.0.0.24:20080"];
const INGEST_OPERATOR: &str = "127.0.0.11:21090";
const INGEST: &str = "127.0.0.11:13935";

fn segments(address: &str, rendition: &str) -> Vec<String> {
    let Some((200, body)) = fetch(address, &format!("/live/studio/{rendition}/index.m3u8")) else {
        return Vec::new();
    };
    let text = String::from_utf8(body).expect("a playlist is text");
    assert!(!text.contains("EXT-X-GAP"), "{address} {rendition} has a gap:\n{text}");
    text.lines().filter(|line| line.ends_with(".ts")).map(str::to_string).collect()
}

fn publisher(key: &str) -> Ours {
    let words = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=s=640x360:r=30 -f lavfi -i sine=f=440:r=48000 \
                 -c:v libx264 -preset ultrafast -b:v 800k -pix_fmt yuv420p -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac \
                 -ac 2 -f flv";
    let child = Command::new("ffmpeg")
        .args(words.split_whitespace())
        .arg(format!("rtmp://{INGEST}/live/{key}"))
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg is installed");
    Ours(child)
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
    if !has_transcode() {
        return;
    }
    let seconds: u64 =
        std::env::var("MASCARET_PLAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let lasts = seconds + 120;
    let cluster = Cluster::start(Wanted { port_offset: OFFSET, edges: 4, lasts, words: &["--no-sources"] });
    let key = cluster.start["publish"]["stream_key"].as_str().expect("a stream key").to_owned();
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
