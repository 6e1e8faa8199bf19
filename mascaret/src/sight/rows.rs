//! One row each: a node, an edge, a broadcast, an event; read from what was answered.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::Value;

/// A process with an operator's listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Node {
    pub(crate) operator: SocketAddr,
    pub(crate) role: String,
    pub(crate) id: String,
    pub(crate) answers: bool,
    /// `ready`, or why not.
    pub(crate) readiness: String,
    pub(crate) version: Option<String>,
    /// Busy of late; known where a balancer looks.
    pub(crate) cpu_cores: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    /// Whether its lobby is linked; of ingests and edges that have one.
    pub(crate) lobby: Option<Linked>,
}

/// A link, and since when it stands as it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Linked {
    pub(crate) is_up: bool,
    pub(crate) since_ms: u64,
}

impl Linked {
    fn of(said: &Value) -> Option<Self> {
        Some(Self { is_up: said["linked"].as_bool()?, since_ms: said["since_ms"].as_u64()? })
    }

    /// In words, at that moment.
    pub(crate) fn shown(&self, now_ms: u64) -> String {
        let seconds = now_ms.saturating_sub(self.since_ms) / 1000;
        let long = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        if self.is_up { format!("lobby for {long}") } else { format!("NO LOBBY for {long}") }
    }
}

impl Node {
    pub(super) fn of(operator: SocketAddr, said: &Result<Value, String>) -> Self {
        match said {
            Ok(said) => Self {
                operator,
                role: text(said, "role").unwrap_or_else(|| "?".into()),
                id: ["id", "balancer"]
                    .iter()
                    .find_map(|key| text(said, key))
                    .unwrap_or_else(|| operator.to_string()),
                answers: true,
                readiness: text(said, "readiness").unwrap_or_default(),
                version: text(said, "version"),
                cpu_cores: said["cpu_cores"].as_f64(),
                resident_bytes: said["process"]["resident_bytes"].as_u64(),
                lobby: Linked::of(&said["lobby"]),
            },
            Err(why) => Self {
                operator,
                role: "?".into(),
                id: operator.to_string(),
                answers: false,
                readiness: format!("silent: {why}"),
                version: None,
                cpu_cores: None,
                resident_bytes: None,
                lobby: None,
            },
        }
    }
}

/// An edge: a balancer's word, and its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Edge {
    pub(crate) id: String,
    pub(crate) state: String,
    /// What the operator says of it; where the balancer tells.
    pub(crate) standing: Option<String>,
    pub(crate) viewers: Option<u64>,
    pub(crate) egress_bits: Option<u64>,
    pub(crate) promised_bits: Option<u64>,
    pub(crate) capacity_bits: Option<u64>,
    pub(crate) newest_segment_age_ms: Option<u64>,
    /// Of its last segments the worst: from when it was made until it was complete there.
    pub(crate) lag_ms: Option<u64>,
    /// Of answers in the last seconds, held reloads left out.
    pub(crate) p99_ms: Option<f64>,
    pub(crate) cpu_cores: Option<f64>,
    /// Where it can be told to drain.
    pub(crate) operator: Option<SocketAddr>,
}

impl Edge {
    /// By a balancer.
    pub(super) fn told(edge: &Value) -> Self {
        Self {
            id: text(edge, "id").unwrap_or_default(),
            state: text(edge, "state").unwrap_or_default(),
            standing: text(edge, "standing"),
            viewers: edge["viewers"].as_u64(),
            egress_bits: edge["egress_bits"].as_u64(),
            promised_bits: edge["promised_bits"].as_u64(),
            capacity_bits: edge["capacity_bits"].as_u64(),
            newest_segment_age_ms: edge["newest_segment_age_ms"].as_u64(),
            lag_ms: edge["lag_ms"].as_u64(),
            ..Self::default()
        }
    }

    /// By itself.
    pub(super) fn own(node: &Node, said: &Value) -> Self {
        let mut edge = Self {
            id: node.id.clone(),
            state: text(said, "state").unwrap_or_default(),
            viewers: said["viewers"].as_u64(),
            egress_bits: said["egress_bits"].as_u64(),
            newest_segment_age_ms: said["newest_segment_age_ms"].as_u64(),
            lag_ms: said["lag_ms"].as_u64(),
            ..Self::default()
        };
        edge.meet(node, Some(said));
        edge
    }

    /// What only itself knows.
    pub(super) fn meet(&mut self, node: &Node, said: Option<&Value>) {
        self.operator = node.answers.then_some(node.operator);
        self.cpu_cores = node.cpu_cores;
        self.p99_ms = said.and_then(|said| said["p99_ms"].as_f64());
    }

    /// Of its capacity; `None` where it has told none.
    pub(crate) fn filled(&self) -> Option<f64> {
        let capacity = self.capacity_bits.filter(|capacity| *capacity > 0)?;
        Some(self.egress_bits? as f64 / capacity as f64)
    }
}

/// A broadcast: what viewers get, and where it comes in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Broadcast {
    pub(crate) id: String,
    pub(crate) renditions: Vec<Rendition>,
    /// How many edges have it.
    pub(crate) edges: u64,
    /// Who asked for steering of late, by the balancer's count.
    pub(crate) viewers: Option<u64>,
    /// The oldest over the edges that were asked.
    pub(crate) newest_segment_age_ms: Option<u64>,
    pub(crate) ingests: Vec<Intake>,
}

/// One of its renditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rendition {
    pub(crate) id: String,
    pub(crate) codecs: Option<String>,
    pub(crate) bandwidth_bits: Option<u64>,
}

/// A broadcast at one ingest.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Intake {
    pub(crate) ingest: String,
    pub(crate) publisher: Option<String>,
    /// Where twins share a broadcast, this one's part in it: it `leads`, `follows`, …
    pub(crate) part: Option<String>,
    pub(crate) input_bits: Option<u64>,
    /// From one sync unit to the next.
    pub(crate) picture_group_ms: Option<u64>,
    pub(crate) behind_ms: Option<u64>,
    pub(crate) gaps: Option<u64>,
    /// What the encoder has given up.
    pub(crate) shed: Option<String>,
}

impl Broadcast {
    pub(super) fn all(lb: Option<&Value>, statuses: &[&Value]) -> Vec<Self> {
        let mut all: Vec<Self> = list(lb.map(|lb| &lb["broadcasts"]))
            .map(|it| Self {
                id: text(it, "id").unwrap_or_default(),
                renditions: list(it.get("renditions")).map(Rendition::of).collect(),
                edges: it["edges"].as_u64().unwrap_or(0),
                viewers: it["viewers"].as_u64(),
                ..Self::default()
            })
            .collect();
        for edge in statuses.iter().filter(|status| status["role"] == "edge") {
            for lane in list(edge.get("broadcasts")).filter(|lane| lane["ended"] != true) {
                let it = Self::named(&mut all, &text(lane, "id").unwrap_or_default());
                if lb.is_none() {
                    it.edges += 1;
                }
                if it.renditions.is_empty() {
                    it.renditions = list(lane.get("renditions")).map(Rendition::of).collect();
                }
                if lane["listed"] == true {
                    it.newest_segment_age_ms =
                        it.newest_segment_age_ms.max(lane["newest_segment_age_ms"].as_u64());
                }
            }
        }
        for ingest in statuses.iter().filter(|status| status["role"] == "ingest") {
            for (id, shown) in ingest["broadcasts"].as_object().into_iter().flatten() {
                let intake = Intake::of(text(ingest, "id").unwrap_or_default(), shown);
                Self::named(&mut all, id).ingests.push(intake);
            }
        }
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    fn named<'a>(all: &'a mut Vec<Self>, id: &str) -> &'a mut Self {
        let at = all.iter().position(|it| it.id == id).unwrap_or_else(|| {
            all.push(Self { id: id.to_owned(), ..Self::default() });
            all.len() - 1
        });
        &mut all[at]
    }
}

impl Rendition {
    fn of(it: &Value) -> Self {
        match it.as_str() {
            Some(id) => Self { id: id.to_owned(), ..Self::default() },
            None => Self {
                id: text(it, "id").unwrap_or_default(),
                codecs: text(it, "codecs"),
                bandwidth_bits: it["bandwidth_bits"].as_u64(),
            },
        }
    }
}

impl Intake {
    fn of(ingest: String, shown: &Value) -> Self {
        Self {
            ingest,
            publisher: text(shown, "publisher"),
            part: text(shown, "part").filter(|part| !part.is_empty()),
            input_bits: shown["input_bits"].as_u64(),
            picture_group_ms: shown["picture_group_ms"].as_u64(),
            behind_ms: shown["behind_ms"].as_u64(),
            gaps: shown["gaps"].as_u64(),
            shed: text(shown, "shed").filter(|shed| shed != "None"),
        }
    }
}

/// An event as it was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Happened {
    pub(crate) number: u64,
    pub(crate) unix_ms: u64,
    pub(crate) level: String,
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Happened {
    pub(super) fn of(event: &Value) -> Self {
        Self {
            number: event["number"].as_u64().unwrap_or(0),
            unix_ms: event["unix_ms"].as_u64().unwrap_or(0),
            level: text(event, "level").unwrap_or_default(),
            kind: text(event, "kind").unwrap_or_default(),
            text: text(event, "text").unwrap_or_default(),
        }
    }

    /// Hours, minutes, seconds, UTC.
    pub(crate) fn clock(&self) -> String {
        let seconds = self.unix_ms / 1000;
        format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
