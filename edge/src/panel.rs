//! What the operator sees: `/metrics`, `/readyz`, `/status`.

use crate::board::Board;
use crate::counts::{CoreRequests, Requests};
use edgefan::EdgeState;
use node::operator::{Panel, Readiness};
use percore::Snapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Everything that is counted, read when somebody asks.
pub(crate) struct Sources {
    pub(crate) id: String,
    pub(crate) board: Arc<Board>,
    pub(crate) cores: Arc<[Arc<CoreRequests>]>,
    pub(crate) snapshot: Box<dyn Fn() -> Snapshot + Send + Sync>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Sources {
    fn requests(&self) -> Requests {
        Requests::of(self.cores.iter().map(Arc::as_ref))
    }

    /// The panel over these sources.
    pub(crate) fn panel(self) -> Panel {
        let sources = Arc::new(self);
        let mut registry = Registry::with_prefix("mascaret_edge");
        registry.register_collector(Box::new(Metrics(Arc::clone(&sources))));
        let ready = Arc::clone(&sources);
        let readiness = move || {
            let notice = ready.board.read();
            match notice.state {
                EdgeState::Ready => Readiness::Ready,
                EdgeState::Draining => Readiness::Draining(notice.why),
                EdgeState::NotFed => Readiness::NotFed(notice.why),
            }
        };
        let status = move || {
            let mut value = sources.board.read().to_json();
            let snapshot = (sources.snapshot)();
            value["id"] = sources.id.as_str().into();
            value["viewers"] = snapshot.total.open.into();
            value["driver"] = snapshot.driver.name.into();
            value["driver_why"] = snapshot.driver.why.into();
            value["requests"] =
                sources.requests().answers.iter().map(|(_, _, count)| count).sum::<u64>().into();
            value
        };
        Panel {
            registry,
            readiness: Box::new(readiness),
            status: Box::new(status),
            admin: axum::Router::new(),
        }
    }
}

#[derive(Debug)]
struct Metrics(Arc<Sources>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (notice, requests) = (self.0.board.read(), self.0.requests());
        let snapshot = (self.0.snapshot)();
        let mut gauge = |name, help, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("ready", "1 ready, 0 not fed or draining", u64::from(notice.state == EdgeState::Ready))?;
        gauge("draining", "1 while viewers are let go", u64::from(notice.state == EdgeState::Draining))?;
        gauge("connections", "connections of viewers open now", snapshot.total.open)?;
        gauge("egress_bits_per_second", "sent to viewers over the last second", notice.egress_bps)?;
        gauge("ingests_linked", "ingests whose link is up", notice.ingests.len() as u64)?;
        gauge("balancers_linked", "balancers whose link is up", notice.balancers_up as u64)?;
        gauge("window_bytes", "bytes of segments held", notice.bytes_held)?;
        gauge("arriving_bytes", "bytes of segments that are still arriving", notice.links.assembly_bytes)?;
        gauge("reloads_waiting", "playlist reloads held back now", requests.waiting)?;
        if let Some(age) = notice.age_ms {
            gauge(
                "newest_segment_age_milliseconds",
                "since a segment was listed, of the oldest live broadcast",
                age,
            )?;
        }

        let mut family =
            encoder.encode_descriptor("requests", "answers by kind and status", None, MetricType::Counter)?;
        for (kind, status, count) in &requests.answers {
            let labels = [("kind", (*kind).to_owned()), ("status", status.to_string())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        let (line, links, tickets) = (notice.line, notice.links, requests.tickets);
        let mut counter = |name: &str, help: &str, value: u64| {
            ConstCounter::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Counter,
            )?)
        };
        counter("reloads_held", "playlist reloads held back", requests.held)?;
        counter("segments", "segments taken into windows", line.segments)?;
        counter("gaps", "segments that are gaps", line.gaps)?;
        counter("no_room", "segments that became gaps because no memory was left", line.no_room)?;
        counter("window_refused", "segments and facts a window did not take", line.refused)?;
        counter(
            "broadcasts_refused",
            "broadcasts not taken: too many or no memory",
            line.broadcasts_refused,
        )?;
        counter("differing", "second copies with another hash", line.differed)?;
        counter(
            "link_bytes_received",
            "bytes of media from ingests, second copies included",
            links.bytes_received,
        )?;
        counter("link_corrupt", "copies whose bytes were not what was announced", links.corrupt)?;
        counter("link_fetches", "objects asked for again", links.fetches)?;
        counter("tickets_home", "requests with a valid ticket for this edge or for none", tickets.home)?;
        counter("tickets_away", "requests with a valid ticket for another edge", tickets.away)?;
        counter(
            "tickets_unchecked",
            "requests let through with an old or uncheckable ticket",
            tickets.unchecked,
        )?;
        counter("tickets_refused", "requests refused for their ticket", tickets.refused)?;

        // Everything percore counts, core by core: gauges among them are named so by what they count.
        let names: Vec<_> =
            snapshot.total.each().map(|(name, _)| name).filter(|name| *name != "open").collect();
        for name in names {
            let metric = format!("core_{name}");
            let mut family =
                encoder.encode_descriptor(&metric, "see percore's counters", None, MetricType::Counter)?;
            for (core, counts) in snapshot.cores.iter().enumerate() {
                let value = counts.each().find(|(known, _)| *known == name).map_or(0, |(_, value)| value);
                ConstCounter::new(value).encode(family.encode_family(&[("core", core.to_string())])?)?;
            }
        }
        let mut family =
            encoder.encode_descriptor("core_open", "connections open now", None, MetricType::Gauge)?;
        for (core, counts) in snapshot.cores.iter().enumerate() {
            let open = i64::try_from(counts.open).unwrap_or(i64::MAX);
            ConstGauge::new(open).encode(family.encode_family(&[("core", core.to_string())])?)?;
        }
        let driver = [("driver", snapshot.driver.name.to_owned()), ("why", snapshot.driver.why)];
        let mut family =
            encoder.encode_descriptor("driver", "which driver runs, and why", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(family.encode_family(&driver)?)
    }
}
