//! Tries every edge's public URL, as a viewer would.
//!
//! A heartbeat says that an edge lives; only this says that viewers can reach it. Any answer in HTTP is one: what
//! an edge thinks of its own state it says in its heartbeats.

use crate::hub::{Event, Fleet, lock};
use node::Stop;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ticket::EdgeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long an edge may take to accept and to begin its answer. Below the interval, so that tries of one edge
/// never pile up.
const PATIENCE_MAX: Duration = Duration::from_millis(400);

/// Tries them all every `interval` until stopped. On a thread of its own, with a runtime of its own.
pub(crate) fn run(interval: Duration, fleet: &Arc<Mutex<Fleet>>, events: &SyncSender<Event>, stop: &Stop) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "edges are not probed"),
    };
    let patience = PATIENCE_MAX.min(interval.mul_f32(0.8));
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = ticks.tick() => {}
            }
            let mut tries: JoinSet<(EdgeId, bool)> = JoinSet::new();
            for (id, target) in targets(fleet) {
                tries.spawn(async move {
                    let answered = tokio::time::timeout(patience, answers(target)).await;
                    (id, answered.unwrap_or(false))
                });
            }
            while let Some(tried) = tries.join_next().await {
                let Ok((id, answered)) = tried else { continue };
                // Full: the hub is behind, and has more to say than this.
                let _ = events.try_send(Event::Probed(id, answered));
            }
        }
    });
}

/// Where to knock, and whether an answer in plain HTTP can be expected there.
struct Target {
    host_and_port: String,
    speaks_http: bool,
}

fn targets(fleet: &Arc<Mutex<Fleet>>) -> Vec<(EdgeId, Target)> {
    let fleet = lock(fleet);
    let target = |(id, pathway): (&EdgeId, &crate::pathway::Pathway)| {
        let target = match (pathway.http(), pathway.https()) {
            (Some(http), _) => Target { host_and_port: host_and_port(http, 80), speaks_http: true },
            // TLS alone: that it accepts is all that is looked at.
            (None, Some(https)) => Target { host_and_port: host_and_port(https, 443), speaks_http: false },
            (None, None) => return None,
        };
        Some((id.clone(), target))
    };
    fleet.pathways.iter().filter_map(target).collect()
}

/// `http://host[:port]` as `connect` wants it.
pub(crate) fn host_and_port(origin: &str, usual: u16) -> String {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    // The last colon is a port's, unless it is inside the brackets of an IPv6 address.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port { host.to_owned() } else { format!("{host}:{usual}") }
}

async fn answers(target: Target) -> bool {
    let Ok(mut stream) = TcpStream::connect(&target.host_and_port).await else { return false };
    if !target.speaks_http {
        return true;
    }
    let request = format!(
        "OPTIONS * HTTP/1.1\r\nHost: {}\r\nUser-Agent: mascaret-probe\r\nConnection: close\r\n\r\n",
        target.host_and_port
    );
    let mut start = [0; 5];
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_exact(&mut start).await.is_ok()
        && start == *b"HTTP/"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_the_schemes_own_unless_it_is_named() {
        for (origin, wanted) in [
            ("http://127.0.0.21:8080", "127.0.0.21:8080"),
            ("http://edge.example", "edge.example:80"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(host_and_port(origin, 80), wanted);
        }
    }
}
