//! What is looked at when Prometheus asks: every broadcast, and the links to edges. What is counted as it happens is in
//! `metrics`; docs/METRICS.md has the tables.

use crate::broadcasts::{Broadcasts, Shown};
use node::fan::admission::AdmissionClient;
use node::fan::publisher::Publishing;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) broadcasts: Broadcasts,
    pub(crate) publishing: Publishing,
    pub(crate) lobby: Arc<OnceLock<AdmissionClient>>,
}

impl Collector for Exporter {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shown = self.broadcasts.shown();
        let mut page = Page { encoder, shown: &shown };
        page.gauges()?;
        page.counters()?;
        page.lobby(self.lobby.get())?;
        page.links(&self.publishing)
    }
}

struct Page<'a, 'b> {
    encoder: DescriptorEncoder<'a>,
    shown: &'b BTreeMap<String, Shown>,
}

impl Page<'_, '_> {
    fn gauges(&mut self) -> fmt::Result {
        self.each("publishing", "1 while the broadcast has a publisher here", |it| {
            f64::from(u8::from(it.publisher.is_some()))
        })?;
        self.each("input_bits_per_second", "Media from its publisher over the last seconds", |it| {
            it.input_bits.unwrap_or(0) as f64
        })?;
        self.each("picture_group_seconds", "From its last sync unit to the one before it", |it| {
            it.picture_group_ms.unwrap_or(0) as f64 / 1e3
        })?;
        self.each("behind_seconds", "Media given to the encoder and not worked off", |it| {
            it.behind_ms as f64 / 1e3
        })?;
        self.each("held_bytes", "Bytes kept for a restart of the encoder and in open segments", |it| {
            it.held_bytes as f64
        })
    }

    fn counters(&mut self) -> fmt::Result {
        self.total("segments", "Segments made", |it| it.segments)?;
        self.total("segment_bytes", "Their bytes", |it| it.segment_bytes)?;
        self.total("gaps", "Segments that are gaps", |it| it.gaps)?;
        self.total("transcode_starts", "Encoder processes started", |it| it.transcode_starts)
    }

    fn lobby(&mut self, lobby: Option<&AdmissionClient>) -> fmt::Result {
        let Some(lobby) = lobby else { return Ok(()) };
        let help = "1 while a lobby is linked";
        let name = "mascaret_ingest_lobby_linked";
        let gauge = ConstGauge::new(i64::from(lobby.standing().is_up));
        gauge.encode(self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn links(&mut self, publishing: &Publishing) -> fmt::Result {
        let counted = publishing.counters();
        for (name, help, value) in [
            ("edges_linked", "Links of edges that are up", counted.links),
            ("hub_bytes", "Bytes of objects held for late joiners", counted.hub_bytes),
        ] {
            let name = format!("mascaret_ingest_{name}");
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(self.encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in [
            ("link_bytes_sent", "Bytes of media handed to links", counted.bytes_sent),
            ("link_late", "Objects too late for a link, skipped there", counted.late),
            ("link_withheld", "Objects not sent because the edge had them from elsewhere", counted.withheld),
            ("link_fetches", "Objects edges asked for again", counted.fetches),
        ] {
            let name = format!("mascaret_ingest_{name}");
            let metric = self.encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        Ok(())
    }

    fn each(&mut self, name: &str, help: &str, of: impl Fn(&Shown) -> f64) -> fmt::Result {
        let name = format!("mascaret_ingest_broadcast_{name}");
        let mut family = self.encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (broadcast, shown) in self.shown {
            let labels = [("broadcast", broadcast.as_str())];
            ConstGauge::new(of(shown)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn total(&mut self, name: &str, help: &str, of: impl Fn(&Shown) -> u64) -> fmt::Result {
        let name = format!("mascaret_ingest_broadcast_{name}");
        let mut family = self.encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (broadcast, shown) in self.shown {
            let labels = [("broadcast", broadcast.as_str())];
            ConstCounter::new(of(shown)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
