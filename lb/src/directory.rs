//! What the directory says of edges, to whom it concerns: the routers of all cores, and the edges themselves.
//!
//! Lives here: which of it is news. Does not live here: reading it and keeping what was read last (`node::directory`), or
//! what is made of it (`routing`, and the edge).

use crate::LbError;
use crate::rulings::Rulings;
use media::BitRate;
use node::Stop;
use node::directory::{DirectorySettings, Following, Record, Told, View, follow};
use node::fan::control::server::ControlServer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use routing::{Ruling, Standing};
use std::collections::BTreeMap;
use std::fmt;
use ticket::EdgeId;

/// Follows the directory that the settings name, if they name one.
pub(crate) fn start(
    settings: &DirectorySettings,
    rulings: Rulings,
    control: ControlServer,
    stop: &Stop,
) -> Result<Option<Following>, LbError> {
    let Some(directory) = settings.open().map_err(LbError::Directory)? else { return Ok(None) };
    let mut said = Said::default();
    let following = follow(directory, stop.clone(), move |told| {
        // Down and up are said in the log and in the metrics; what was said holds.
        let Told::View(view) = told else { return };
        for (edge, ruling) in said.news(&view) {
            tracing::info!(%edge, standing = ruling.standing.word(), weight = ruling.weight,
                capacity_bits = ruling.capacity.map(|capacity| capacity.0), "the directory says");
            rulings.say(edge, ruling);
        }
        // Who is not written there is active, and may have heard otherwise before we were started.
        control.set_standing_of_others(edgefan::Standing::Active);
    });
    following.map(Some).map_err(LbError::Thread)
}

/// What was said of each edge.
#[derive(Debug, Default)]
struct Said(BTreeMap<EdgeId, Ruling>);

impl Said {
    /// What is other than before; of an edge that is written no more, that nothing is said.
    fn news(&mut self, view: &View) -> Vec<(EdgeId, Ruling)> {
        // A node that is no edge's name is nobody we could send viewers to.
        let named = view
            .edges
            .iter()
            .filter_map(|(node, entry)| Some((EdgeId::parse(node.as_str()).ok()?, ruling(&entry.record))));
        let now: BTreeMap<EdgeId, Ruling> = named.collect();
        let gone = self.0.keys().filter(|edge| !now.contains_key(*edge));
        let mut news: Vec<(EdgeId, Ruling)> = gone.map(|edge| (edge.clone(), Ruling::default())).collect();
        let changed = now.iter().filter(|(edge, ruling)| self.0.get(*edge) != Some(*ruling));
        news.extend(changed.map(|(edge, ruling)| (edge.clone(), *ruling)));
        self.0 = now;
        news
    }
}

fn ruling(record: &Record) -> Ruling {
    Ruling {
        standing: match record.standing {
            edgefan::Standing::Active => Standing::Active,
            edgefan::Standing::Drain => Standing::Drain,
            edgefan::Standing::Maintenance => Standing::Maintenance,
        },
        weight: record.weight.map(|weight| u32::try_from(weight.value()).unwrap_or(u32::MAX)),
        capacity: record.capacity.map(|capacity| BitRate(capacity.bits_per_second())),
    }
}

/// How the directory is, and how edges keep time.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) following: Option<Following>,
    pub(crate) control: ControlServer,
}

impl Collector for Exporter {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "How far an edge's clock is ahead of ours";
        let name = "mascaret_lb_edge_clock_offset_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (node, offset) in self.control.clock_offsets_us() {
            let gauge = ConstGauge::new(offset as f64 / 1e6);
            gauge.encode(family.encode_family(&[("edge", node.as_str())])?)?;
        }
        let Some(following) = &self.following else { return Ok(()) };
        for (name, help, value) in [
            (
                "mascaret_lb_directory_up",
                "1 where the directory could be read last",
                u64::from(following.is_up()),
            ),
            ("mascaret_lb_directory_edges", "Edges that are written in the directory", following.edges()),
        ] {
            ConstGauge::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Gauge,
            )?)?;
        }
        let (name, help) = ("mascaret_lb_directory_failures", "Times the directory could not be read");
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(following.failures()).encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgefan::NodeId;
    use node::directory::{Entry, Revision};
    use node::settings::Number;

    fn view(edges: &[(&str, Record)]) -> View {
        let entry = |(edge, record): &(&str, Record)| {
            (NodeId::parse(edge).unwrap(), Entry { record: record.clone(), revision: Revision(1) })
        };
        View { edges: edges.iter().map(entry).collect(), ..View::default() }
    }

    #[test]
    fn only_what_is_other_than_before_is_said_and_what_is_gone_is_taken_back() {
        let mut said = Said::default();
        let drained = Record { standing: edgefan::Standing::Drain, ..Record::default() };
        let halved = Record { weight: Some(Number::new(50)), ..Record::default() };
        let edge = |id: &str| EdgeId::parse(id).unwrap();
        let news = said.news(&view(&[("e1", drained.clone()), ("e2", halved.clone())]));
        assert_eq!(news.len(), 2);
        assert_eq!(said.news(&view(&[("e1", drained.clone()), ("e2", halved.clone())])), []);
        let news = said
            .news(&view(&[("e1", drained.clone()), ("e2", Record { standing: drained.standing, ..halved })]));
        let expected = Ruling { standing: Standing::Drain, weight: Some(50), capacity: None };
        assert_eq!(news, [(edge("e2"), expected)]);
        assert_eq!(said.news(&view(&[("e1", drained)])), [(edge("e2"), Ruling::default())]);
    }
}
