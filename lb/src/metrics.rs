//! What a balancer counts, with the names Prometheus shows.

use crate::hub::Fleet;
use crate::l4::L4Counts;
use percore::{CoreCounts, Handle};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident $help:literal,)*) => {
        /// What one core counts; written by that core alone, so an addition is a load and a store.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counts { $($(#[$doc])* pub(crate) $name: Count,)* }

        impl Counts {
            fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $help, self.$name.0.load(Relaxed)),)*].into_iter()
            }
        }
    };
}

/// One number that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

counts! {
    playlists "Viewers given an edge by a multivariant playlist",
    redirects "Viewers given an edge by a redirect",
    refused_full "Viewers refused because every edge is full",
    refused_no_edge "Viewers refused because no edge may be used",
    refused_unmeasured "Viewers asked to wait because a broadcast has only just begun",
    refused_tickets "Viewers refused because the ticket they came with opens nothing",
    unknown_broadcasts "Requests for a broadcast that is not live",
    without_top "Viewers given no top rendition because the fleet is short of room",
    steered "Steering answers decided by what is known of the viewer's edges",
    steered_blindly "Steering answers that tell a viewer to stay: a token that opens nothing here, or no edge known yet",
    moved_off "Viewers told to leave an edge that is not fit, each time they are told",
    brought_home "Viewers told to go back to their own edge, each time they are told",
    pages "Pages and what belongs to them",
    lists "Lists of broadcasts and edges",
    options "OPTIONS",
    not_found "Requests for what is not here",
    bad_requests "Requests that were refused unread",
}

/// Sums the cores' counts when asked, and looks at the fleet.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) cores: Vec<Arc<Counts>>,
    pub(crate) runtime: Handle<crate::told::Told>,
    pub(crate) fleet: Arc<Mutex<Fleet>>,
    pub(crate) l4: Arc<L4Counts>,
}

impl Collector for Exporter {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut sums: Vec<(&str, &str, u64)> = Counts::default().each().collect();
        for core in &self.cores {
            sums.iter_mut().zip(core.each()).for_each(|(sum, (.., count))| sum.2 += count);
        }
        for (name, help, sum) in sums {
            counter(&mut encoder, &format!("mascaret_lb_{name}"), help, sum)?;
        }
        for (name, sum) in self.runtime.counters().total.each() {
            let metric = format!("mascaret_lb_runtime_{name}");
            let help = "As percore counts it, summed over the cores";
            if CoreCounts::is_gauge(name) {
                gauge(&mut encoder, &metric, help, sum)?;
            } else {
                counter(&mut encoder, &metric, help, sum)?;
            }
        }
        self.encode_l4(&mut encoder)?;
        self.encode_fleet(&mut encoder)
    }
}

impl Exporter {
    fn encode_l4(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let l4 = &self.l4;
        for (name, help, count) in [
            ("accepted", "Connections taken to be passed through", &l4.accepted),
            (
                "refused_full",
                "Connections closed because there are as many as there may be",
                &l4.refused_full,
            ),
            ("refused_no_end", "Connections closed because no end could be reached", &l4.refused_no_end),
            ("bad_hello", "Connections closed because no ClientHello came in time", &l4.bad_hello),
            ("connect_failed", "Ends that did not accept", &l4.connect_failed),
            ("cut_idle", "Connections closed because nothing moved on them", &l4.cut_idle),
            ("bytes_in", "Bytes passed from clients, of connections that are over", &l4.bytes_in),
            ("bytes_out", "Bytes passed to clients, of connections that are over", &l4.bytes_out),
            ("bytes_copied", "Of both, those that could not be spliced", &l4.bytes_copied),
        ] {
            counter(encoder, &format!("mascaret_lb_l4_{name}"), help, count.load(Relaxed))?;
        }
        gauge(encoder, "mascaret_lb_l4_open", "Connections passed through now", l4.open.load(Relaxed))
    }

    fn encode_fleet(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let fleet = crate::hub::lock(&self.fleet);
        let now = Instant::now();
        let broadcasts = fleet.router.broadcasts().filter(|broadcast| broadcast.is_live()).count();
        let peers = fleet.peers.len() as u64;
        gauge(encoder, "mascaret_lb_peers", "Other balancers that are linked", peers)?;
        let (full, help) = (fleet.router.saturation(now) as u64, "0 room, 1 from 85 %, 2 from 95 %, 3 full");
        gauge(encoder, "mascaret_lb_saturation", help, full)?;
        let mut viewers = encoder.encode_descriptor(
            "mascaret_lb_viewers",
            "Viewers steering saw in the last ten seconds, each once, to within a few hundredths",
            None,
            gauge_type(),
        )?;
        for (broadcast, count) in fleet.audience.watched.iter() {
            let labels = [("broadcast", broadcast.as_str())];
            ConstGauge::new(*count).encode(viewers.encode_family(&labels)?)?;
        }
        gauge(encoder, "mascaret_lb_broadcasts", "Broadcasts that can be watched", broadcasts as u64)?;
        let mut edges = |name: &str, help: &str, of: &dyn Fn(&routing::Edge) -> u64| {
            let mut descriptor = encoder.encode_descriptor(name, help, None, gauge_type())?;
            for (id, edge) in fleet.router.edges() {
                let labels = [("edge", id.as_str())];
                ConstGauge::new(of(edge)).encode(descriptor.encode_family(&labels)?)?;
            }
            Ok(())
        };
        edges("mascaret_lb_edge_ready", "1 where viewers may be sent to", &|edge| {
            u64::from(edge.health(now) == routing::Health::Ready)
        })?;
        edges("mascaret_lb_edge_egress_bits_per_second", "What it sends, by its own word", &|edge| {
            edge.load().map_or(0, |load| load.egress.0)
        })?;
        edges("mascaret_lb_edge_promised_bits_per_second", "What it sends or will", &|edge| {
            edge.promised(now).0
        })?;
        edges("mascaret_lb_edge_capacity_bits_per_second", "What it declared, or the operator", &|edge| {
            edge.capacity().0
        })?;
        edges("mascaret_lb_edge_viewers", "Its viewers, by its own word", &|edge| {
            edge.load().map_or(0, |load| u64::from(load.viewers))
        })
    }
}

fn gauge_type() -> prometheus_client::metrics::MetricType {
    prometheus_client::metrics::MetricType::Gauge
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    let encoder =
        encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Counter)?;
    metric.encode(encoder)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, gauge_type())?)
}
