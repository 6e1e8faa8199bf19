//! An ingest that is only a feed: one broadcast over a real edgefan link, with a rendition for every size a row asks for.
//!
//! Segments are 20 s long in media time, so one stays fetchable for minutes; one new one every 40 s keeps the broadcast
//! fresh (playlists turn to 404 after 50 s) at a cost no row can see.

use crate::error::BenchError;
use bytes::Bytes;
use edgefan::NodeId;
use media::{
    AudioShape, BitRate, BroadcastId, DiscontinuitySequence, FrameRate, MediaSequence, MediaSpan, MediaTime,
    ObjectKey, ObjectKind, Rendition, RenditionId, RunId, SegmentFacts, StreamFacts, VideoShape,
};
use node::Stop;
use node::certs::{CertificateSettings, Certificates};
use node::fan::publisher::{self, Feed, Publishing};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The broadcast.
pub(crate) const BROADCAST: &str = "bench";
/// Its renditions, smallest first, and the bytes of each of their segments.
pub(crate) const RENDITIONS: [(&str, usize); 4] =
    [("20k", 20_000), ("64k", 64_000), ("200k", 200_000), ("1m", 1_000_000)];
/// Where the edge under test takes it from.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7001);

const PITCH: MediaSpan = MediaSpan::from_secs(20);
/// Segments a playlist lists: that many lines make it 2 KB.
const WINDOW: u32 = 24;
const EVERY: Duration = Duration::from_secs(40);
/// Between the smallest segment of a number and the others, so that who waits for the smallest is released alone.
const APART: Duration = Duration::from_millis(300);
/// Between the last byte of a segment and its end.
const IN_MAKING: Duration = Duration::from_millis(20);

/// The feeding end.
#[derive(Debug)]
pub(crate) struct Ingest {
    publishing: Publishing,
    line: Arc<Mutex<Line>>,
    stop: Stop,
}

#[derive(Debug)]
struct Line {
    feed: Feed,
    next: MediaSequence,
    bodies: Vec<Bytes>,
}

impl Ingest {
    /// Publishes a window at once, and goes on. Called where its threads shall run.
    pub(crate) fn start(certificates: &Path) -> Result<Self, BenchError> {
        let certificates =
            CertificateSettings { directory: certificates.to_owned(), ..CertificateSettings::default() };
        let tls = Certificates::new(certificates)
            .cluster_server_config()
            .map_err(|error| BenchError::Refused(error.to_string()))?;
        let settings = publisher::Settings {
            node: NodeId::parse("ingest1").expect("a constant that is a name"),
            version: env!("CARGO_PKG_VERSION").into(),
            listen: LISTEN,
            hub_bytes: 256 << 20,
        };
        let (feed, publishing) = publisher::start(settings, tls).map_err(BenchError::when("the feed"))?;
        feed.stream(facts());
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let first = MediaSequence(since_epoch / 20 - u64::from(WINDOW));
        let mut line =
            Line { feed, next: first, bodies: RENDITIONS.iter().map(|(_, len)| noise(*len)).collect() };
        for _ in 0..=WINDOW {
            line.publish(Duration::ZERO);
        }
        let ingest = Self { publishing, line: Arc::new(Mutex::new(line)), stop: Stop::new() };
        let (line, stop) = (ingest.line.clone(), ingest.stop.clone());
        std::thread::Builder::new()
            .name("feed".into())
            .spawn(move || {
                while !stop.wait_timeout(EVERY) {
                    line.lock().unwrap_or_else(PoisonError::into_inner).publish(APART);
                }
            })
            .map_err(BenchError::when("the feed's thread"))?;
        Ok(ingest)
    }

    /// Publishes the next segments; says when the smallest was complete, and its number.
    pub(crate) fn publish(&self) -> (Instant, MediaSequence) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).publish(APART)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.stop.signal();
        self.publishing.stop();
    }
}

impl Line {
    fn publish(&mut self, apart: Duration) -> (Instant, MediaSequence) {
        let sequence = self.next;
        self.next = sequence.next();
        let mut complete = None;
        for ((rendition, _), body) in RENDITIONS.iter().zip(&self.bodies) {
            let closed = self.segment(rendition, sequence, body);
            if complete.is_none() {
                complete = Some(closed);
                std::thread::sleep(apart);
            }
        }
        (complete.unwrap_or_else(Instant::now), sequence)
    }

    /// The moment returned is just before the end is told: nobody can be answered earlier, however late this thread gets
    /// its turn again.
    fn segment(&self, rendition: &str, sequence: MediaSequence, body: &Bytes) -> Instant {
        let start = MediaTime::from_ticks(sequence.0 * PITCH.ticks());
        let key = ObjectKey {
            broadcast: broadcast(),
            run: RunId(1),
            rendition: RenditionId::parse(rendition).expect("a constant that is a name"),
            sequence,
            part: None,
            kind: ObjectKind::Segment,
        };
        self.feed.open(key.clone(), start, DiscontinuitySequence(0));
        for piece in body.chunks(64 << 10) {
            self.feed.bytes(key.clone(), body.slice_ref(piece));
        }
        let facts = SegmentFacts {
            sequence,
            run: RunId(1),
            start,
            duration: PITCH,
            discontinuity: DiscontinuitySequence(0),
            bytes: body.len() as u64,
            is_gap: false,
        };
        // An encoder's bytes are on their way while they are made; only the end comes with the end.
        std::thread::sleep(IN_MAKING);
        let closed = Instant::now();
        self.feed.close(key, facts);
        closed
    }
}

/// The broadcast's name.
pub(crate) fn broadcast() -> BroadcastId {
    BroadcastId::parse(BROADCAST).expect("a constant that is a name")
}

fn facts() -> StreamFacts {
    let rendition = |(nth, (id, _)): (usize, &(&str, usize))| Rendition {
        id: RenditionId::parse(id).expect("a constant that is a name"),
        video: Some(VideoShape {
            width: 320 << nth,
            height: 180 << nth,
            frame_rate: FrameRate(25_000),
            codec: "avc1.64001f".into(),
        }),
        audio: Some(AudioShape { sample_rate: 48_000, channels: 2, codec: "mp4a.40.2".into() }),
        // So little that no number of decisions fills the edge in the balancer's eyes.
        peak: BitRate(1_000 * (nth as u64 + 1)),
        average: BitRate(1_000 * (nth as u64 + 1)),
    };
    let mut renditions: Vec<Rendition> = RENDITIONS.iter().enumerate().map(rendition).collect();
    // Best first, as a ladder is.
    renditions.reverse();
    StreamFacts {
        broadcast: broadcast(),
        run: RunId(1),
        segment: PITCH,
        window: WINDOW,
        renditions,
        has_ended: false,
    }
}

/// Bytes that nothing on the way could make less of.
fn noise(len: usize) -> Bytes {
    let mut state = len as u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect::<Vec<_>>().into()
}
