//! The cluster's other nodes as their operators' listeners show them: asked once a second, where the settings name them.
//!
//! A balancer hears of edges by their links, and needs nothing else to do its work. What an ingest takes in, which CPU an
//! edge has left, and what happened to nodes that have no link to us is for the operator's eyes alone, and comes this way.
//! Lives here: the asking, what is remembered of it, what it has to say as events, and the way back to an edge's switch.
//! Does not live here: what a node says (`node::operator`).

use node::Stop;
use node::events::{Events, Happening, Kind};
use node::logs::Level;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Nodes that one balancer asks: a fleet of a hundred, and its ingests and balancers. Others are left out, said at start.
pub(crate) const NODES_ASKED: usize = 160;

/// Bytes read of one answer: an ingest with its 32 broadcasts says 20 KB, another balancer what a hundred nodes said to
/// it. A longer one counts as none.
pub(crate) const ANSWER_BYTES: usize = 2 << 20;

/// How often each is asked, and how long it may take.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_millis(800);

/// Rounds without an answer after which a node is said to be lost.
const ROUNDS_MISSED: u32 = 3;

/// What is known; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes(Arc<Mutex<BTreeMap<SocketAddr, Seen>>>);

/// One node.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Its last `/status`, and when.
    last: Option<(Instant, Value)>,
    /// Cores busy between the last two answers.
    cpu_cores: Option<f64>,
    /// Rounds since it answered.
    missed: u32,
    /// That it answers, or does not, was told.
    told: Option<bool>,
}

impl Seen {
    /// Who it is, once it has said so.
    fn name(&self) -> Option<&str> {
        let (_, status) = self.last.as_ref()?;
        ["id", "balancer"].iter().find_map(|key| status[*key].as_str())
    }

    fn heard(&mut self, now: Instant, mut status: Value) {
        self.missed = 0;
        // Two balancers that tell each other what the other told them would have no end of it.
        if let Some(of_balancer) = status.as_object_mut().filter(|status| status.contains_key("nodes")) {
            of_balancer.retain(|key, _| !["nodes", "edges", "broadcasts"].contains(&key.as_str()));
        }
        let cpu = |status: &Value| status["process"]["cpu_seconds"].as_f64();
        if let Some((before, last)) = &self.last
            && let (Some(was), Some(is)) = (cpu(last), cpu(&status))
        {
            let lasted = now.saturating_duration_since(*before).as_secs_f64();
            // A process that was started anew has less behind it than the one before.
            self.cpu_cores = (lasted > 0.1 && is >= was).then(|| (is - was) / lasted);
        }
        self.last = Some((now, status));
    }
}

impl Nodes {
    pub(crate) fn new(named: &[SocketAddr]) -> Self {
        if named.len() > NODES_ASKED {
            tracing::warn!(named = named.len(), asked = NODES_ASKED, "lb.nodes: the others are left out");
        }
        let seen = named.iter().take(NODES_ASKED).map(|node| (*node, Seen::default())).collect();
        Self(Arc::new(Mutex::new(seen)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Seen>> {
        // Every change under it is whole before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `/status`.
    pub(crate) fn to_json(&self, now: Instant) -> Value {
        let nodes = self.lock();
        let nodes = nodes.iter().map(|(operator, seen)| {
            let age = seen.last.as_ref().map(|(at, _)| now.saturating_duration_since(*at).as_millis());
            json!({
                "operator": operator.to_string(),
                "answers": seen.missed == 0 && seen.last.is_some(),
                "answered_ms_ago": age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
                "cpu_cores": seen.cpu_cores,
                "status": seen.last.as_ref().map(|(_, status)| status),
            })
        });
        nodes.collect()
    }

    /// Where an edge's operator listens, if it is one of them.
    fn operator_of(&self, edge: &str) -> Option<SocketAddr> {
        let is_it = |seen: &Seen| {
            seen.name() == Some(edge)
                && seen.last.as_ref().is_some_and(|(_, status)| status["role"] == "edge")
        };
        self.lock().iter().find(|(_, seen)| is_it(seen)).map(|(operator, _)| *operator)
    }

    /// Takes one round's answer of one node, and says what has become different by it.
    pub(crate) fn hear(&self, operator: SocketAddr, now: Instant, answer: Option<Value>) -> Vec<Happening> {
        let mut nodes = self.lock();
        let Some(seen) = nodes.get_mut(&operator) else { return Vec::new() };
        let mut told = Vec::new();
        match answer {
            None => {
                seen.missed += 1;
                if seen.missed == ROUNDS_MISSED && seen.told != Some(false) {
                    seen.told = Some(false);
                    let name = seen.name().map_or_else(|| operator.to_string(), str::to_owned);
                    let text = format!("{name} does not answer its operator ({operator})");
                    told.push(Happening::new(Level::Warn, Kind::NodeLost, text).of_node(name));
                }
            }
            Some(status) => {
                let before = seen.last.as_ref().map(|(_, before)| publishers(before)).unwrap_or_default();
                let is_first = seen.last.is_none();
                let after = publishers(&status);
                seen.heard(now, status);
                let name = seen.name().map_or_else(|| operator.to_string(), str::to_owned);
                if seen.told != Some(true) {
                    seen.told = Some(true);
                    let text = format!("{name} answers its operator ({operator})");
                    told.push(Happening::new(Level::Info, Kind::NodeFound, text).of_node(&name));
                }
                if !is_first {
                    told.extend(published(&name, &before, &after));
                }
            }
        }
        told
    }
}

/// Broadcasts that have a publisher, and its address, as an ingest's `/status` says it.
fn publishers(status: &Value) -> BTreeMap<String, String> {
    let broadcasts = status["broadcasts"].as_object().into_iter().flatten();
    let published = broadcasts
        .filter_map(|(broadcast, shown)| Some((broadcast.clone(), shown["publisher"].as_str()?.to_owned())));
    published.collect()
}

fn published(
    ingest: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Happening> {
    let came = after.iter().filter(|(broadcast, from)| before.get(*broadcast) != Some(from));
    let came = came.map(|(broadcast, from)| {
        let text = format!("{broadcast} is published to {ingest} from {from}");
        Happening::new(Level::Info, Kind::PublisherCame, text).of_node(ingest).of_broadcast(broadcast)
    });
    let left = before.keys().filter(|broadcast| !after.contains_key(*broadcast));
    let left = left.map(|broadcast| {
        let text = format!("{broadcast} has lost its publisher at {ingest}");
        Happening::new(Level::Warn, Kind::PublisherLeft, text).of_node(ingest).of_broadcast(broadcast)
    });
    came.chain(left).collect()
}

/// Asks them all every second until stopped. On a thread of its own, with a runtime of its own.
pub(crate) fn run(nodes: &Nodes, events: &Events, stop: &Stop) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "other nodes are not asked"),
    };
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = ticks.tick() => {}
            }
            let named: Vec<SocketAddr> = nodes.lock().keys().copied().collect();
            let mut asks: JoinSet<(SocketAddr, Option<Value>)> = JoinSet::new();
            for operator in named {
                asks.spawn(async move { (operator, status(operator).await) });
            }
            while let Some(asked) = asks.join_next().await {
                let Ok((operator, answer)) = asked else { continue };
                nodes.hear(operator, Instant::now(), answer).into_iter().for_each(|told| events.tell(told));
            }
        }
    });
}

async fn status(operator: SocketAddr) -> Option<Value> {
    let (status, body) = ask(operator, "GET /status").await?;
    (status == 200).then(|| serde_json::from_slice(&body).ok()).flatten()
}

/// Status and body of one answer.
async fn ask(operator: SocketAddr, line: &str) -> Option<(u16, Vec<u8>)> {
    let asking = async {
        let mut stream = TcpStream::connect(operator).await.ok()?;
        let request = format!(
            "{line} HTTP/1.1\r\nHost: {operator}\r\nUser-Agent: mascaret-lb\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let limit = ANSWER_BYTES as u64 + 1;
        stream.take(limit).read_to_end(&mut answer).await.ok()?;
        parsed(&answer)
    };
    tokio::time::timeout(ANSWER_WITHIN, asking).await.ok().flatten()
}

/// Our own listener's answers: a status, a head, and a body up to the end of the connection.
fn parsed(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    if answer.len() > ANSWER_BYTES {
        return None;
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}

/// How a node answered, or that it did not.
pub(crate) type Switched = Option<(u16, String)>;

impl Nodes {
    /// Turns an edge's own switch, `drain` or `ready`, where its operator is one of ours.
    pub(crate) async fn switch(&self, edge: &str, switch: &str) -> Option<(SocketAddr, Switched)> {
        let operator = self.operator_of(edge)?;
        let answer = ask(operator, &format!("POST /admin/{switch}")).await;
        Some((operator, answer.map(|(status, said)| (status, String::from_utf8_lossy(&said).into_owned()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(told: Vec<Happening>) -> Vec<String> {
        told.into_iter().map(|told| told.text).collect()
    }

    #[test]
    fn nodes_and_publishers_that_come_and_go_are_told_once() {
        let operator: SocketAddr = "127.0.0.11:9090".parse().unwrap();
        let (nodes, now) = (Nodes::new(&[operator]), Instant::now());
        let with =
            |broadcasts: Value| Some(json!({ "id": "ingest1", "role": "ingest", "broadcasts": broadcasts }));
        let hear = |answer| texts(nodes.hear(operator, now, answer));

        assert!(hear(None).is_empty());
        let on_air = json!({ "tide": { "publisher": "10.0.0.9:4000" }, "bore": { "publisher": null } });
        assert_eq!(hear(with(on_air.clone())), ["ingest1 answers its operator (127.0.0.11:9090)"]);
        assert!(hear(with(on_air.clone())).is_empty());
        let came = json!({ "tide": { "publisher": null }, "bore": { "publisher": "10.0.0.8:4001" } });
        assert_eq!(
            hear(with(came.clone())),
            ["bore is published to ingest1 from 10.0.0.8:4001", "tide has lost its publisher at ingest1"]
        );
        assert!(hear(None).is_empty() && hear(None).is_empty(), "one answer too late is no loss");
        assert_eq!(hear(None), ["ingest1 does not answer its operator (127.0.0.11:9090)"]);
        assert!(hear(None).is_empty());
        assert_eq!(hear(with(came)), ["ingest1 answers its operator (127.0.0.11:9090)"]);
    }

    #[test]
    fn cores_busy_are_seen_between_two_answers_and_not_over_a_restart() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let cpu = |seconds: f64| json!({ "process": { "cpu_seconds": seconds } });
        seen.heard(now, cpu(10.0));
        assert_eq!(seen.cpu_cores, None);
        seen.heard(now + Duration::from_secs(2), cpu(11.0));
        assert_eq!(seen.cpu_cores, Some(0.5));
        seen.heard(now + Duration::from_secs(4), cpu(0.1));
        assert_eq!(seen.cpu_cores, None);
    }

    #[test]
    fn two_balancers_that_ask_each_other_do_not_talk_themselves_full() {
        let operator: SocketAddr = "127.0.0.32:9090".parse().unwrap();
        let (nodes, now) = (Nodes::new(&[operator]), Instant::now());
        let mut said = json!({ "role": "lb", "balancer": "lb2", "edges": [], "broadcasts": [], "nodes": [] });
        nodes.hear(operator, now, Some(said.clone()));
        let first = nodes.to_json(now).to_string().len();
        for _ in 0..10 {
            said["nodes"] = nodes.to_json(now);
            nodes.hear(operator, now, Some(said.clone()));
        }
        assert_eq!(nodes.to_json(now).to_string().len(), first);
        assert_eq!(nodes.to_json(now)[0]["status"]["balancer"], "lb2");
    }

    #[test]
    fn what_is_no_answer_of_ours_is_none() {
        assert_eq!(parsed(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), Some((200, b"{}".to_vec())));
        for other in
            [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"\xff\r\n\r\n"]
        {
            assert_eq!(parsed(other), None);
        }
        assert_eq!(parsed(&[b'x'; ANSWER_BYTES + 1]), None);
    }
}
