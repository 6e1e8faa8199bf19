//! What an ingest counts, with the names Prometheus shows (docs/OPERATING.md).

use crate::broadcasts::Broadcasts;
use node::fan::twin::TwinLink;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use std::fmt;

/// What this ingest and its twin have to do with each other, looked at when it is asked.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) broadcasts: Broadcasts,
    pub(crate) twin: TwinLink,
}

impl Collector for Parts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shown = self.broadcasts.shown();
        let parts = |part: &str| shown.values().filter(|shown| shown.part == part).count() as i64;
        let unfollowed = shown.values().filter(|shown| shown.part == "leads" && !shown.is_followed).count();
        for (name, help, value) in [
            ("twin_linked", "1 while the link to the twin is up", i64::from(self.twin.is_up())),
            ("broadcasts_led", "Broadcasts this ingest decides", parts("leads")),
            (
                "broadcasts_followed",
                "Broadcasts the twin decides and this ingest makes too",
                parts("follows"),
            ),
            ("broadcasts_stood_in", "Broadcasts kept up with filler for a lost leader", parts("stands in")),
            ("broadcasts_unfollowed", "Broadcasts led that the twin does not make", unfollowed as i64),
        ] {
            let name = format!("mascaret_ingest_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

/// The ingest's counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) refused_connections: Counter,
    pub(crate) proxied: Counter,
    pub(crate) refused_proxy: Counter,
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
            ("proxied", "Connections of which a proxy said whose they are", &self.proxied),
            (
                "proxy_refused",
                "Connections closed because a proxy did not say whose they are",
                &self.refused_proxy,
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
