//! What a page reads: the list of broadcasts, and the state of the cluster.

use crate::pathway::Pathway;
use media::BroadcastId;
use routing::{Broadcast, Health, Router};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use ticket::EdgeId;

/// `/api/v1/broadcasts`: what can be watched, of what whoever asks may know.
pub(crate) fn broadcasts(
    router: &Router,
    watched: &HashMap<BroadcastId, u64>,
    may_know: impl Fn(&BroadcastId) -> bool,
) -> Value {
    let viewers = |it: &Broadcast| watched.get(&it.facts().broadcast).copied().unwrap_or(0);
    let live = router.broadcasts().filter(|it| it.is_live() && may_know(&it.facts().broadcast));
    let broadcasts: Vec<Value> = live.map(|it| broadcast(it, viewers(it))).collect();
    json!({ "broadcasts": broadcasts })
}

fn broadcast(broadcast: &Broadcast, viewers: u64) -> Value {
    let facts = broadcast.facts();
    let renditions: Vec<Value> = facts
        .renditions
        .iter()
        .map(|rendition| {
            let video = rendition.video.as_ref();
            json!({
                "id": rendition.id.as_str(),
                "width": video.map(|video| video.width),
                "height": video.map(|video| video.height),
                "frame_rate": video.map(|video| f64::from(video.frame_rate.0) / 1000.0),
                "bandwidth_bits": rendition.peak.0,
                "average_bandwidth_bits": rendition.average.0,
                "codecs": rendition.codecs(),
            })
        })
        .collect();
    json!({
        "id": facts.broadcast.as_str(),
        // A run is named by when its timeline was stamped (`media::RunId`).
        "live_since_unix_ms": facts.run.0,
        "segment_ms": facts.segment.ticks() * 1000 / media::TICKS_PER_SECOND,
        "edges": broadcast.carriers(),
        // Who asked for steering of late, each counted once, to within a few hundredths.
        "viewers": viewers,
        "renditions": renditions,
        "playlist": format!("/live/{}/index.m3u8", facts.broadcast),
        "watch": format!("/watch/{}", facts.broadcast),
    })
}

/// `/api/v1/cluster`: the edges and how they are.
pub(crate) fn cluster(
    balancer: &str,
    router: &Router,
    pathways: &HashMap<EdgeId, Pathway>,
    now: Instant,
) -> Value {
    let edges: Vec<Value> = router
        .edges()
        .map(|(id, edge)| {
            let (load, pathway) = (edge.load(), pathways.get(id));
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            json!({
                "id": id.as_str(),
                "state": edge.health(now).word(),
                "http": pathway.and_then(Pathway::http),
                "https": pathway.and_then(Pathway::https),
                "version": pathway.map(|pathway| pathway.version.as_str()),
                "standing": edge.ruling().standing.word(),
                "weight": edge.weight(),
                "capacity_bits": edge.capacity().0,
                "egress_bits": load.map(|load| load.egress.0),
                "promised_bits": edge.promised(now).0,
                "viewers": load.map(|load| load.viewers),
                "newest_segment_age_ms": load.and_then(|load| load.newest_segment_age).map(ms),
                // Of its last segments the worst, from when it was made until it was complete there.
                "lag_ms": load.and_then(|load| load.lag).map(ms),
            })
        })
        .collect();
    // A balancer that has just begun has not heard of all: a sum of some would be a figure that is wrong.
    let here = || router.edges().filter(|(_, edge)| edge.health(now) != Health::Left);
    let heard: Option<Vec<u64>> =
        here().map(|(_, edge)| edge.load().map(|load| u64::from(load.viewers))).collect();
    let viewers = heard.filter(|heard| !heard.is_empty()).map(|heard| heard.iter().sum::<u64>());
    json!({
        "balancer": balancer,
        "version": env!("CARGO_PKG_VERSION"),
        "saturation": router.saturation(now).word(),
        "viewers": viewers,
        "edges": edges,
    })
}
