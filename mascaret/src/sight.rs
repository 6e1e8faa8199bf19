//! The whole cluster as its operator listeners show it at one moment, for `status` and `top`.
//!
//! Lives here: who is asked, and what the answers come to as typed rows. Does not live here: how rows look
//! (`status`, `top`), or what a node says (`node::operator`, `lb`, `edge`, `ingest`).
//!
//! A balancer's answer holds those of the nodes that its settings name, so that asking one balancer may be enough.

pub(crate) mod rows;

pub(crate) use rows::{Broadcast, Edge, Happened, Intake, Node};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::demo;
use crate::fetch::Fetcher;

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Events that are shown of each balancer.
const EVENTS_SHOWN: usize = 200;

/// Everything, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sight {
    /// `None` while not every edge that is there has been heard of.
    pub(crate) viewers: Option<u64>,
    pub(crate) egress_bits: Option<u64>,
    /// How full the fleet is, by a balancer's word.
    pub(crate) saturation: Option<String>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) broadcasts: Vec<Broadcast>,
    /// Of one balancer, the oldest first.
    pub(crate) events: Vec<Happened>,
}

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    nodes: Vec<SocketAddr>,
    /// Somebody named them, and so misses who is silent.
    is_named: bool,
    fetcher: Fetcher,
}

impl Asked {
    /// Those, or the demo's and this machine's where none is named.
    pub(crate) fn new(named: &[SocketAddr]) -> Self {
        let mut nodes = named.to_vec();
        if named.is_empty() {
            nodes = demo::usual_operators();
            nodes.push(SocketAddr::from(([127, 0, 0, 1], 9090)));
        }
        Self { nodes, is_named: !named.is_empty(), fetcher: Fetcher::new(ANSWER_MAX) }
    }

    /// All at once.
    pub(crate) fn look(&self) -> Sight {
        let asks: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let (node, fetcher) = (*node, self.fetcher.clone());
                std::thread::spawn(move || (node, ask(&fetcher, node)))
            })
            .collect();
        let answers = asks.into_iter().filter_map(|ask| ask.join().ok());
        // Where nobody was named, nobody is missed.
        Sight::of(answers.filter(|(_, answer)| self.is_named || answer.is_ok()).collect())
    }

    /// A switch, at the first of these that knows it.
    pub(crate) fn post_to_one(&self, ways: &[(SocketAddr, String)]) -> Result<String, String> {
        let mut outcome = Err("nobody is known who could".to_owned());
        for (operator, path) in ways {
            let answer = self.fetcher.post(&format!("http://{operator}{path}"))?;
            let said = String::from_utf8_lossy(&answer.body).trim().to_owned();
            match answer.status {
                200 => return Ok(said),
                // It does not know the edge, or has no directory and no way to it.
                404 => outcome = Err(format!("{operator} answered 404: {said}")),
                status => return Err(format!("{operator} answered {status}: {said}")),
            }
        }
        outcome
    }
}

/// `/status`, with how ready it says it is and, of a balancer, what happened.
fn ask(fetcher: &Fetcher, node: SocketAddr) -> Result<Value, String> {
    let status = fetcher.get(&format!("http://{node}/status"))?;
    let mut value: Value = serde_json::from_slice(&status.body)
        .map_err(|error| format!("{node} answers, and not as a node does: {error}"))?;
    let ready = fetcher.get(&format!("http://{node}/readyz"))?;
    value["readiness"] = String::from_utf8_lossy(&ready.body).trim().into();
    if value["role"] == "lb" {
        let after = value["events"].as_u64().unwrap_or(0).saturating_sub(EVENTS_SHOWN as u64);
        if let Ok(told) = fetcher.get(&format!("http://{node}/admin/events?after={after}")) {
            let told: Value = serde_json::from_slice(&told.body).unwrap_or_default();
            value["told"] = told["events"].clone();
        }
    }
    Ok(value)
}

impl Sight {
    /// What the answers come to.
    pub(crate) fn of(answers: Vec<(SocketAddr, Result<Value, String>)>) -> Self {
        let known = with_hearsay(answers);
        let nodes: Vec<Node> = known.iter().map(|(operator, said)| Node::of(*operator, said)).collect();
        let statuses: Vec<&Value> = known.values().filter_map(|said| said.as_ref().ok()).collect();
        // Balancers know the fleet, and all know the same: the first that knows an edge speaks for all.
        let lbs = || statuses.iter().filter(|status| status["edges"].is_array());
        let knows = |lb: &&&Value| lb["edges"].as_array().is_some_and(|edges| !edges.is_empty());
        let lb = lbs().find(knows).or_else(|| lbs().next()).copied();
        let mut edges: Vec<Edge> =
            lb.into_iter().flat_map(|lb| lb["edges"].as_array()).flatten().map(Edge::told).collect();
        for node in nodes.iter().filter(|node| node.role == "edge") {
            let said = known[&node.operator].as_ref().ok();
            match edges.iter_mut().find(|edge| edge.id == node.id) {
                Some(edge) => edge.meet(node, said),
                // A cluster of edges alone, or one that no balancer has heard of yet.
                None => edges.extend(said.map(|said| Edge::own(node, said))),
            }
        }
        edges.sort_by(|one, other| one.id.cmp(&other.id));
        let broadcasts = Broadcast::all(lb, &statuses);
        let events = lb.into_iter().flat_map(|lb| lb["told"].as_array()).flatten().map(Happened::of);
        Self {
            viewers: of_all(&edges, |edge| edge.viewers),
            egress_bits: of_all(&edges, |edge| edge.egress_bits),
            saturation: lb.and_then(|lb| lb["saturation"].as_str()).map(str::to_owned),
            events: events.collect(),
            nodes,
            edges,
            broadcasts,
        }
    }

    pub(crate) fn is_any_silent(&self) -> bool {
        self.nodes.iter().any(|node| !node.answers)
    }
}

/// At all edges together. Balancers that have just begun do not know: a sum of some would be a figure that is wrong.
fn of_all(edges: &[Edge], figure: impl Fn(&Edge) -> Option<u64>) -> Option<u64> {
    let here: Vec<&Edge> = edges.iter().filter(|edge| edge.state != "left").collect();
    let all: Option<u64> = here.iter().map(|edge| figure(edge)).sum();
    all.filter(|_| !here.is_empty())
}

/// What balancers tell of nodes that were not asked, or did not answer us, beside what was heard.
fn with_hearsay(
    answers: Vec<(SocketAddr, Result<Value, String>)>,
) -> BTreeMap<SocketAddr, Result<Value, String>> {
    let mut known: BTreeMap<SocketAddr, Result<Value, String>> = answers.into_iter().collect();
    let told: Vec<Value> = known
        .values()
        .filter_map(|said| said.as_ref().ok()?["nodes"].as_array())
        .flatten()
        .cloned()
        .collect();
    for node in told {
        let Some(operator) = node["operator"].as_str().and_then(|at| at.parse().ok()) else { continue };
        if known.get(&operator).is_some_and(Result::is_ok) {
            // Its own word, and how busy it is, which takes two looks to know.
            if let Some(Ok(said)) = known.get_mut(&operator) {
                said["cpu_cores"] = node["cpu_cores"].clone();
            }
            continue;
        }
        let mut said = node["status"].clone();
        if node["answers"] == true {
            said["cpu_cores"] = node["cpu_cores"].clone();
            known.insert(operator, Ok(said));
        } else {
            known.entry(operator).or_insert_with(|| Err("its balancer hears nothing of it".to_owned()));
        }
    }
    for said in known.values_mut().flatten() {
        if said["readiness"].is_null() {
            said["readiness"] = said["why"].as_str().map_or_else(|| json!("answers"), |why| json!(why));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 9090))
    }

    /// A balancer that names an ingest and two edges, one of which is silent.
    fn balancer() -> Value {
        json!({
            "role": "lb", "balancer": "lb1", "readiness": "ready", "saturation": "plenty", "version": "0.1.0",
            "process": { "cpu_seconds": 4.0, "resident_bytes": 9_000_000 },
            "edges": [
                { "id": "edge1", "state": "ready", "viewers": 300, "egress_bits": 900_000_000, "capacity_bits": 1_000_000_000,
                  "promised_bits": 910_000_000, "newest_segment_age_ms": 900 },
                { "id": "edge2", "state": "silent", "viewers": 12, "egress_bits": 0, "capacity_bits": 1_000_000_000 },
            ],
            "broadcasts": [{ "id": "tide", "edges": 2, "segment_ms": 2000, "live_since_unix_ms": 5,
                "renditions": [{ "id": "source", "codecs": "avc1.4d401f,mp4a.40.2", "height": 720, "bandwidth_bits": 3_000_000 }] }],
            "nodes": [
                { "operator": "127.0.0.11:9090", "answers": true, "cpu_cores": 1.5, "status": {
                    "role": "ingest", "id": "ingest1", "broadcasts": {
                        "tide": { "publisher": "10.0.0.9:4000", "gaps": 1, "behind_ms": 40, "newest_sequence": 9 } } } },
                { "operator": "127.0.0.21:9090", "answers": true, "cpu_cores": 0.25, "status": {
                    "role": "edge", "id": "edge1", "why": "ready", "p99_ms": 3.2, "driver": "io_uring",
                    "broadcasts": [{ "id": "tide", "newest_segment_age_ms": 850, "listed": true, "ended": false }] } },
                { "operator": "127.0.0.22:9090", "answers": false, "status": null },
            ],
            "told": [{ "number": 7, "unix_ms": 36_192_000, "level": "warn", "kind": "edge_lost", "node": "edge2", "text": "edge2 is lost" }],
        })
    }

    #[test]
    fn one_balancer_is_enough_to_see_the_cluster() {
        let sight = Sight::of(vec![(at(31), Ok(balancer()))]);
        let nodes: Vec<_> = sight.nodes.iter().map(|node| (node.id.as_str(), node.answers)).collect();
        assert_eq!(nodes, [("ingest1", true), ("edge1", true), ("127.0.0.22:9090", false), ("lb1", true)]);
        assert!(sight.is_any_silent());
        assert_eq!((sight.viewers, sight.egress_bits), (Some(312), Some(900_000_000)));
        let edge = &sight.edges[0];
        assert_eq!((edge.p99_ms, edge.cpu_cores, edge.operator), (Some(3.2), Some(0.25), Some(at(21))));
        let tide = &sight.broadcasts[0];
        assert_eq!(tide.newest_segment_age_ms, Some(850));
        assert_eq!(tide.ingests[0].publisher.as_deref(), Some("10.0.0.9:4000"));
        assert_eq!(sight.events[0].clock(), "10:03:12");
    }

    #[test]
    fn an_own_word_is_over_hearsay_and_who_is_named_is_missed() {
        let edge = json!({ "role": "edge", "id": "edge1", "readiness": "draining: told to", "state": "draining", "p99_ms": 9.0 });
        let answers = vec![(at(31), Ok(balancer())), (at(21), Ok(edge)), (at(99), Err("refused".into()))];
        let sight = Sight::of(answers);
        assert_eq!(sight.edges[0].p99_ms, Some(9.0));
        assert_eq!(sight.edges[0].cpu_cores, Some(0.25));
        let silent = sight.nodes.iter().find(|node| node.operator == at(99)).unwrap();
        assert_eq!((silent.answers, silent.readiness.as_str()), (false, "silent: refused"));
    }

    #[test]
    fn edges_alone_are_a_cluster_too() {
        let edge = json!({ "role": "edge", "id": "e", "readiness": "ready", "state": "ready", "viewers": 3, "egress_bits": 7,
            "broadcasts": [{ "id": "tide", "renditions": ["720p"], "newest_segment_age_ms": 10, "listed": true }] });
        let sight = Sight::of(vec![(at(1), Ok(edge))]);
        assert_eq!((sight.viewers, sight.edges.len(), sight.broadcasts.len()), (Some(3), 1, 1));
        assert_eq!(sight.broadcasts[0].renditions[0].id, "720p");
    }
}
