//! Whether three who counted the same say the same: wrk, our edge's `/metrics`, and this program's own viewers.

use crate::cast::Cast;
use crate::error::BenchError;
use crate::ground::Network;
use crate::rows::{Kind, ROWS, Row, Who};
use crate::viewers::{Load, counted};
use crate::wrk;
use node::Stop;
use std::time::Duration;

/// How far two counts may lie apart.
const APART: f64 = 0.02;
const SPAN: Duration = Duration::from_secs(10);

/// What one side counted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    requests: f64,
    bytes: f64,
}

/// Asks for playlists and for segments, by wrk and by our own viewers, and compares with the edge's counters.
pub(crate) fn run(cast: &mut Cast, stop: &Stop) -> Result<(), BenchError> {
    cast.call(&[Who::Edge])?;
    let mut is_agreed = true;
    println!(
        "\n{:<12} {:<8} {:>14} {:>14} {:>8}   {:>10} {:>10} {:>8}",
        "asked for", "by", "its requests", "the edge's", "apart", "its GB", "the edge's", "apart"
    );
    for row in ROWS.iter().filter(|row| {
        row.network == Network::Veth
            && matches!(row.kind, Kind::Playlist | Kind::Segment { rendition: "1m", .. })
    }) {
        for by in ["wrk", "viewers"] {
            is_agreed &= one(cast, row, by, stop)?;
        }
    }
    if is_agreed {
        return Ok(());
    }
    Err(BenchError::Refused(format!("counts lie more than {} % apart", APART * 100.0)))
}

fn one(cast: &Cast, row: &Row, by: &str, stop: &Stop) -> Result<bool, BenchError> {
    let aim = cast.aim(Who::Edge, row)?;
    let load = Load { connections: 64, warm: Duration::ZERO, window: SPAN };
    let before = edge(cast)?;
    let (counted, told) = row.network.viewers().within(|| {
        if by == "wrk" {
            let said = wrk::window(&aim, load, stop)?;
            let told = format!(" in {:.1} s {}", said.seconds, said.faults);
            return Ok((Count { requests: said.requests as f64, bytes: said.bytes as f64 }, told));
        }
        let sample = counted::window(&aim, load, stop)?;
        Ok((Count { requests: sample.answers as f64, bytes: sample.bytes as f64 }, String::new()))
    })?;
    let after = edge(cast)?;
    let seen = Count { requests: after.requests - before.requests, bytes: after.bytes - before.bytes };
    let apart = |a: f64, b: f64| (a - b).abs() / b;
    let (of_requests, of_bytes) = (apart(counted.requests, seen.requests), apart(counted.bytes, seen.bytes));
    println!(
        "{:<12} {by:<8} {:>14.0} {:>14.0} {:>6.2} %   {:>10.3} {:>10.3} {:>6.2} %{told}",
        row.key,
        counted.requests,
        seen.requests,
        of_requests * 100.0,
        counted.bytes / 1e9,
        seen.bytes / 1e9,
        of_bytes * 100.0,
    );
    Ok(of_requests <= APART && of_bytes <= APART)
}

/// What the edge has counted so far.
fn edge(cast: &Cast) -> Result<Count, BenchError> {
    // What is in flight is counted by neither side.
    std::thread::sleep(Duration::from_millis(200));
    let metrics = cast.metrics(Who::Edge)?;
    let sum = |wanted: &dyn Fn(&str) -> bool| -> f64 {
        metrics.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value).sum()
    };
    const SENT: [&str; 5] = ["send", "sendfile", "send_zc", "copy", "tls"];
    let is_sent = |name: &str| {
        SENT.iter().any(|way| name.starts_with(&format!("mascaret_edge_core_bytes_{way}_total")))
    };
    Ok(Count {
        requests: sum(&|name| name.starts_with("mascaret_edge_requests_total")),
        bytes: sum(&is_sent),
    })
}
