//! One of the two ingests: what it is told of each broadcast and when, and what that is made of.

use crate::network::Millis;
use crate::random::Random;
use crate::weather::Weather;
use bytes::Bytes;
use edgefan::*;
use media::*;
use std::collections::HashMap;
use std::time::Instant;

pub(super) const SEGMENT_MS: u64 = 500;
pub(super) const FIRST: u64 = 1000;
pub(super) const RENDITIONS: [&str; 2] = ["hi", "lo"];
pub(super) const WINDOW: u64 = 6;

pub(super) struct Ingest {
    pub(super) publisher: Publisher,
    /// What it will be told, and when.
    line: Vec<(Millis, Fed)>,
    /// When it closed which object: known to the checks only.
    pub(super) closed: HashMap<ObjectKey, Millis>,
    pub(super) connections: HashMap<ConnectionId, (usize, usize)>,
}

#[derive(Clone)]
enum Fed {
    Stream(StreamFacts),
    Open(ObjectKey),
    Bytes(ObjectKey, Bytes),
    Close(ObjectKey),
    Skip(ObjectKey),
    End(BroadcastId),
}

pub(super) fn broadcast(index: usize) -> BroadcastId {
    BroadcastId::parse(["alpha", "beta"][index]).unwrap()
}

pub(super) fn key(of: usize, rendition: &str, sequence: u64) -> ObjectKey {
    ObjectKey {
        broadcast: broadcast(of),
        run: RunId(1),
        rendition: RenditionId::parse(rendition).unwrap(),
        sequence: MediaSequence(sequence),
        part: None,
        kind: ObjectKind::Segment,
    }
}

pub(super) fn stream(of: usize) -> StreamFacts {
    StreamFacts {
        broadcast: broadcast(of),
        run: RunId(1),
        segment: MediaSpan::from_millis(SEGMENT_MS),
        window: WINDOW as u32,
        renditions: Vec::new(),
        has_ended: false,
    }
}

pub(super) fn facts(key: &ObjectKey, is_gap: bool) -> SegmentFacts {
    let grid = Grid::new(MediaSpan::from_millis(SEGMENT_MS)).unwrap();
    SegmentFacts {
        sequence: key.sequence,
        run: key.run,
        start: grid.start_of(key.sequence),
        duration: grid.segment(),
        discontinuity: DiscontinuitySequence(0),
        bytes: 0,
        is_gap,
    }
}

/// The bytes of a key; `other` is what a twin that is not byte-equal makes.
pub(super) fn body(key: &ObjectKey, other: bool) -> Bytes {
    let mut random =
        Random(key.sequence.0 * 31 + u64::from(key.rendition.as_str().as_bytes()[0]) + u64::from(other));
    let len = random.within(1, if key.rendition.as_str() == "hi" { 12_000 } else { 4000 }) as usize;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

pub(super) fn node(text: &str, index: usize) -> NodeId {
    NodeId::parse(&format!("{text}-{index}")).unwrap()
}

impl Ingest {
    pub(super) fn publisher(index: usize, weather: &Weather) -> Publisher {
        let mut settings = PublisherSettings::new(node("ingest", index));
        settings.hub_bytes = weather.hub_bytes;
        Publisher::new(settings)
    }

    pub(super) fn new(index: usize, weather: &Weather, random: &mut Random) -> Self {
        let mut line = Vec::new();
        let behind = index as u64 * weather.behind;
        for of in 0..weather.broadcasts {
            line.push((behind, Fed::Stream(stream(of))));
            for sequence in FIRST..FIRST + weather.segments {
                let begins = behind + (sequence - FIRST) * SEGMENT_MS;
                for rendition in RENDITIONS {
                    let key = key(of, rendition, sequence);
                    if random.happens(weather.hole) {
                        // It never began, or broke in the middle; either is said at its end.
                        if random.happens(5000) {
                            line.push((begins, Fed::Open(key.clone())));
                        }
                        line.push((begins + SEGMENT_MS, Fed::Skip(key)));
                        continue;
                    }
                    let body = body(&key, index == 1 && random.happens(weather.differ));
                    line.push((begins, Fed::Open(key.clone())));
                    let mut at = 0;
                    while at < body.len() {
                        let to = (at + random.within(1, 4000) as usize).min(body.len());
                        let when = begins + SEGMENT_MS * to as u64 / body.len() as u64;
                        line.push((when, Fed::Bytes(key.clone(), body.slice(at..to))));
                        at = to;
                    }
                    line.push((begins + SEGMENT_MS, Fed::Close(key)));
                }
            }
            line.push((behind + weather.segments * SEGMENT_MS + 10, Fed::End(broadcast(of))));
        }
        // In order of time; a thing said earlier at the same moment stays earlier.
        line.sort_by_key(|(at, _)| *at);
        line.reverse();
        Self {
            publisher: Self::publisher(index, weather),
            line,
            closed: HashMap::new(),
            connections: HashMap::new(),
        }
    }

    pub(super) fn has_more(&self, broadcast: &BroadcastId) -> bool {
        self.line.iter().any(|(_, fed)| matches!(fed, Fed::End(ends) if ends == broadcast))
    }

    pub(super) fn work(&mut self, now: Millis, clock: Instant) {
        while self.line.last().is_some_and(|(at, _)| *at <= now) {
            let Some((_, fed)) = self.line.pop() else { return };
            match fed {
                Fed::Stream(facts) => self.publisher.stream(facts),
                Fed::Open(key) => {
                    let facts = facts(&key, false);
                    self.publisher.open(&key, facts.start, facts.discontinuity);
                }
                Fed::Bytes(key, bytes) => self.publisher.bytes(&key, bytes),
                Fed::Close(key) => {
                    self.publisher.close(&key, &facts(&key, false), clock);
                    self.closed.insert(key, now);
                }
                Fed::Skip(key) => {
                    let facts = facts(&key, true);
                    self.publisher.skip(&key, facts);
                }
                Fed::End(broadcast) => self.publisher.end(&broadcast, RunId(1), clock),
            }
        }
    }
}
