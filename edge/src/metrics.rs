//! `/metrics`: everything that is counted, in OpenMetrics' words; docs/OPERATING.md has the table.

use crate::board::Notice;
use crate::counts::Requests;
use crate::histogram::Times;
use crate::panel::Sources;
use edgefan::EdgeState;
use percore::{CoreCounts, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Metrics(pub(crate) Arc<Sources>);

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (notice, requests, snapshot) = (self.0.board.read(), self.0.requests(), (self.0.snapshot)());
        let mut page = Page(encoder);
        page.gauges(&notice, &requests, &snapshot)?;
        page.line(&notice, &requests)?;
        page.links(&notice)?;
        page.chat(&notice, &requests)?;
        page.requests(&requests, &self.0)?;
        page.bytes_and_handshakes(&snapshot.total)?;
        page.cores(&snapshot)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    /// One counter under several labels.
    fn family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = ([(&'static str, String); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// One histogram under several labels.
    fn times<'t>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = ((&'static str, String), &'t Times)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (label, Times { buckets, count, sum_seconds }) in all {
            family.encode_family(&[label])?.encode_histogram::<NoLabelSet>(
                *sum_seconds,
                *count,
                buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn gauges(&mut self, notice: &Notice, requests: &Requests, snapshot: &Snapshot) -> fmt::Result {
        let is = |state| u64::from(notice.state == state);
        self.gauge("ready", "1 ready, 0 not fed, lagging or draining", is(EdgeState::Ready))?;
        self.gauge("draining", "1 while viewers are let go", is(EdgeState::Draining))?;
        self.gauge("lagging", "1 while segments come late", is(EdgeState::Lagging))?;
        self.gauge("connections", "connections of viewers open now", snapshot.total.open)?;
        self.gauge("egress_bits_per_second", "sent to viewers over the last second", notice.egress_bps)?;
        self.gauge("ingests_linked", "ingests whose link is up", notice.ingests.len() as u64)?;
        self.gauge("balancers_linked", "balancers whose link is up", notice.balancers_up as u64)?;
        self.gauge("window_bytes", "bytes of segments held", notice.bytes_held)?;
        self.gauge(
            "arriving_bytes",
            "bytes of segments that are still arriving",
            notice.links.assembly_bytes,
        )?;
        self.gauge("reloads_waiting", "playlist reloads held back now", requests.waiting)?;
        // Named whether or not there is one, so that whoever compiles a dashboard finds it.
        let help = "since a segment was listed, of the oldest live broadcast; absent where none is live";
        let age = self.0.encode_descriptor("newest_segment_age_seconds", help, None, MetricType::Gauge)?;
        if let Some(age_ms) = notice.age_ms {
            ConstGauge::new(age_ms as f64 / 1e3).encode(age)?;
        }
        let help = "from when a segment was made until it was complete here, the worst of the last of all live broadcasts";
        let lag = self.0.encode_descriptor("completion_lag_seconds", help, None, MetricType::Gauge)?;
        if let Some(lag_ms) = notice.lag_ms {
            ConstGauge::new(lag_ms as f64 / 1e3).encode(lag)?;
        }
        let driver = [("driver", snapshot.driver.name.to_owned()), ("why", snapshot.driver.why.clone())];
        let mut family =
            self.0.encode_descriptor("driver", "which driver runs, and why", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(family.encode_family(&driver)?)
    }

    /// How the other ends of links keep time, and what is passed on to other edges.
    fn links(&mut self, notice: &Notice) -> fmt::Result {
        let clocks = &notice.links.clocks;
        let help = "how far the clock at a link's other end is ahead of ours";
        let mut family =
            self.0.encode_descriptor("link_clock_offset_seconds", help, None, MetricType::Gauge)?;
        for clock in clocks {
            if let Some(offset) = clock.offset_us {
                let gauge = ConstGauge::new(offset as f64 / 1e6);
                gauge.encode(family.encode_family(&[("node", clock.node.as_str())])?)?;
            }
        }
        let help = "a PING's way to a link's other end and back";
        let mut family =
            self.0.encode_descriptor("link_round_trip_seconds", help, None, MetricType::Gauge)?;
        for clock in clocks {
            let gauge = ConstGauge::new(clock.round_trip.as_secs_f64());
            gauge.encode(family.encode_family(&[("node", clock.node.as_str())])?)?;
        }
        let Some(relay) = &notice.relay else { return Ok(()) };
        self.gauge("relay_links", "edges that are fed by this one", relay.links)?;
        self.gauge("relay_held_bytes", "bytes of segments held for edges that join late", relay.hub_bytes)?;
        self.counter("relay_bytes_sent", "bytes of media sent to other edges", relay.bytes_sent)?;
        self.counter("relay_late", "segments that were too late for an edge", relay.late)
    }

    fn chat(&mut self, notice: &Notice, requests: &Requests) -> fmt::Result {
        let Some(is_up) = notice.is_lobby_up else { return Ok(()) };
        let chat = &requests.chat;
        self.gauge("lobby_linked", "1 while the lobby's link is up", u64::from(is_up))?;
        self.gauge("chat_readers", "readers of chat now", chat.readers)?;
        self.gauge("chat_rooms", "rooms the lobby has told of", chat.rooms)?;
        self.counter("chat_joined", "readers that came", chat.joined)?;
        self.counter("chat_refused", "readers sent elsewhere because a core had too many", chat.refused)?;
        self.counter(
            "chat_entries",
            "entries of logs that came: messages, and what takes them back",
            chat.entries,
        )?;
        self.counter("chat_sent", "times new entries were handed to a reader", chat.sent)?;
        self.counter("chat_lost", "times a reader was told that entries are lost here", chat.lost)
    }

    fn line(&mut self, notice: &Notice, requests: &Requests) -> fmt::Result {
        let (line, links, tickets) = (notice.line, &notice.links, requests.tickets);
        for (name, help, value) in [
            ("segments", "segments taken into windows", line.segments),
            ("gaps", "segments that are gaps", line.gaps),
            ("no_room", "segments that became gaps because no memory was left", line.no_room),
            ("window_refused", "segments and facts a window did not take", line.refused),
            ("broadcasts_refused", "broadcasts not taken: too many or no memory", line.broadcasts_refused),
            ("differing", "second copies with another hash", line.differed),
            ("quarantines", "ingests not listened to any more, for a broadcast", line.quarantined),
            ("link_refused", "segments of an older term or from a quarantine", links.refused),
            ("link_agreed", "second copies whose hash agreed", links.agreed),
            (
                "link_bytes_received",
                "bytes of media from ingests, second copies included",
                links.bytes_received,
            ),
            ("link_corrupt", "copies whose bytes were not what was announced", links.corrupt),
            ("link_fetches", "objects asked for again", links.fetches),
            ("tickets_home", "requests with a valid ticket for this edge or for none", tickets.home),
            ("tickets_away", "requests with a valid ticket for another edge", tickets.away),
            (
                "tickets_unchecked",
                "requests let through with an old or uncheckable ticket",
                tickets.unchecked,
            ),
            ("tickets_refused", "requests refused for their ticket", tickets.refused),
        ] {
            self.counter(name, help, value)?;
        }
        Ok(())
    }

    fn requests(&mut self, requests: &Requests, sources: &Sources) -> fmt::Result {
        let labels = |kind: &str, status: u16| [("kind", kind.to_owned()), ("status", status.to_string())];
        self.family(
            "requests",
            "answers by kind and status",
            requests.answers.iter().map(|(kind, status, count)| (labels(kind, *status), *count)),
        )?;
        self.counter("reloads_held", "playlist reloads held back", requests.held)?;
        self.times(
            "request_seconds",
            "from a request to the last byte of its answer handed to the kernel, by kind; held reloads left out",
            requests.times.iter().map(|(kind, times)| (("kind", (*kind).to_owned()), times)),
        )?;
        let help = "from a reload that was held to the last byte of its answer handed to the kernel";
        let mut family = self.0.encode_descriptor("reload_seconds", help, None, MetricType::Histogram)?;
        let Times { buckets, count, sum_seconds } = &requests.held_times;
        family.encode_histogram::<NoLabelSet>(*sum_seconds, *count, buckets, None)?;

        let cores: Vec<_> = sources.each_core().collect();
        self.family(
            "core_requests",
            "answers by core, kind and status",
            cores.iter().enumerate().flat_map(|(core, of)| {
                of.answers.iter().map(move |(kind, status, count)| {
                    let [kind, status] = labels(kind, *status);
                    ([("core", core.to_string()), kind, status], *count)
                })
            }),
        )?;
        self.times(
            "core_request_seconds",
            "request_seconds of all kinds, by core",
            cores.iter().enumerate().map(|(core, of)| (("core", core.to_string()), &of.all_times)),
        )
    }

    fn bytes_and_handshakes(&mut self, total: &CoreCounts) -> fmt::Result {
        let paths = [
            ("send", total.bytes_send),
            ("sendfile", total.bytes_sendfile),
            ("send_zc", total.bytes_send_zc),
            ("copy", total.bytes_copy),
            ("tls", total.bytes_tls),
        ];
        self.family(
            "egress_bytes",
            "bytes handed to the kernel for viewers, by the way they went",
            paths.iter().map(|(path, bytes)| ([("path", (*path).to_owned())], *bytes)),
        )?;
        let all: u64 = paths.iter().map(|(_, bytes)| bytes).sum();
        let share = (total.bytes_sendfile + total.bytes_send_zc) as f64 / (all as f64).max(1.0);
        let help =
            "part of egress_bytes since the start that the kernel took from a segment's own pages, 0 to 1";
        let gauge = self.0.encode_descriptor("zero_copy_share", help, None, MetricType::Gauge)?;
        ConstGauge::new(share).encode(gauge)?;
        let full = total.handshakes.saturating_sub(total.handshakes_resumed);
        let kinds = [("full", full), ("resumed", total.handshakes_resumed), ("failed", total.tls_failed)];
        self.family(
            "tls_handshakes",
            "TLS handshakes that were full or resumed, and TLS connections that failed",
            kinds.iter().map(|(kind, count)| ([("kind", (*kind).to_owned())], *count)),
        )
    }

    /// Everything percore counts, core by core.
    fn cores(&mut self, snapshot: &Snapshot) -> fmt::Result {
        for (name, about) in CoreCounts::ABOUT {
            let of =
                |counts: &CoreCounts| counts.each().find(|(known, _)| known == name).map_or(0, |it| it.1);
            let counts = snapshot.cores.iter().enumerate();
            let counts = counts.map(|(core, counts)| ([("core", core.to_string())], of(counts)));
            let metric = format!("core_{name}");
            let help = about.trim().trim_end_matches('.').to_lowercase();
            if !CoreCounts::is_gauge(name) {
                self.family(&metric, &help, counts)?;
                continue;
            }
            let mut family = self.0.encode_descriptor(&metric, &help, None, MetricType::Gauge)?;
            for (labels, count) in counts {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
