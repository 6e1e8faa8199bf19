//! Who is there while a fleet is worked on: a broadcast without a picture, and viewers of it.

use super::stage::get;
use media::{
    BitRate, BroadcastId, DiscontinuitySequence, FrameRate, MediaSequence, MediaSpan, MediaTime, ObjectKey,
    ObjectKind, Rendition, RenditionId, RunId, SegmentFacts, StreamFacts, VideoShape,
};
use node::fan::publisher::Feed;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PITCH: MediaSpan = MediaSpan::from_millis(500);

pub(crate) fn feed_until(feed: &Feed, is_over: &AtomicBool) {
    let broadcast = BroadcastId::parse("tide").expect("a name");
    let rendition = RenditionId::parse("360p").expect("a name");
    let video =
        VideoShape { width: 640, height: 360, frame_rate: FrameRate(25_000), codec: "avc1.64001f".into() };
    feed.stream(StreamFacts {
        broadcast: broadcast.clone(),
        run: RunId(1),
        segment: PITCH,
        window: 12,
        renditions: vec![Rendition {
            id: rendition.clone(),
            video: Some(video),
            audio: None,
            peak: BitRate(900_000),
            average: BitRate(800_000),
        }],
        has_ended: false,
    });
    for nth in 0.. {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let sequence = MediaSequence(3_600_000_000 + nth);
        let start = MediaTime::from_ticks(sequence.0 * PITCH.ticks());
        let (broadcast, rendition) = (broadcast.clone(), rendition.clone());
        let kind = ObjectKind::Segment;
        let key = ObjectKey { broadcast, run: RunId(1), rendition, sequence, part: None, kind };
        feed.open(key.clone(), start, DiscontinuitySequence(0));
        feed.bytes(key.clone(), vec![nth as u8; 50_000].into());
        let facts = SegmentFacts {
            sequence,
            run: RunId(1),
            start,
            duration: PITCH,
            discontinuity: DiscontinuitySequence(0),
            bytes: 50_000,
            is_gap: false,
        };
        feed.close(key, facts);
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Viewers who ask the balancer for an edge, stay there as long as its playlist is there, and then ask anew. How long
/// the longest was without a playlist.
pub(crate) fn crowd(
    lb: SocketAddr,
    count: usize,
    is_over: &Arc<AtomicBool>,
) -> Vec<JoinHandle<(Duration, u64)>> {
    let moved = Arc::new(AtomicU64::new(0));
    let watch = move |is_over: Arc<AtomicBool>, moved: Arc<AtomicU64>| {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        let mut at: Option<(SocketAddr, String)> = None;
        while !is_over.load(Ordering::Acquire) {
            let Some((edge, path)) = &at else {
                at = assigned(lb);
                moved.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            match get(*edge, path) {
                Some((200, ..)) => {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    std::thread::sleep(Duration::from_millis(150));
                }
                _ => at = None,
            }
        }
        (longest.max(last.elapsed()), moved.load(Ordering::Relaxed))
    };
    (0..count)
        .map(|_| {
            let (is_over, moved) = (Arc::clone(is_over), Arc::clone(&moved));
            std::thread::spawn(move || watch(is_over, moved))
        })
        .collect()
}

/// The edge a viewer is sent to, and its media playlist there.
pub(crate) fn assigned(lb: SocketAddr) -> Option<(SocketAddr, String)> {
    let (_, head, _) = get(lb, "/go/tide")?;
    let at = head.lines().find_map(|line| line.strip_prefix("Location: http://"))?;
    let (host, path) = at.split_once('/')?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some((host.parse().ok()?, format!("/{}", path.replace("index.m3u8", "360p/index.m3u8"))))
}
