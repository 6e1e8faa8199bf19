//! What an ingest counts, with the names Prometheus shows (docs/OPERATING.md).

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The ingest's counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) refused_connections: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) publishes: Counter,
    pub(crate) refused_publishes: Counter,
    pub(crate) door_faults: Counter,
    pub(crate) bad_tags: Counter,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("mascaret_ingest");
        registry.register("connections", "Publishers' connections that are open", self.connections.clone());
        let counters = [
            (
                "connections_refused",
                "Connections closed because as many as allowed were open",
                &self.refused_connections,
            ),
            ("received_bytes", "Bytes read from publishers", &self.received_bytes),
            ("publishes", "Publishes accepted", &self.publishes),
            ("publishes_refused", "Publishes refused: key, name, broadcast in use", &self.refused_publishes),
            (
                "door_faults",
                "Connections closed because a rule of RTMP or a bound was broken",
                &self.door_faults,
            ),
            ("tags_dropped", "Audio and video messages that said nothing usable", &self.bad_tags),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }
}
