//! Who feeds which edge: the ingests, or, in a fleet of many, two of the edges that relay.
//!
//! Does not live here: telling them (`control::server`), or that nobody is fed by whom he feeds (`edgefan::Layer`).

use edgefan::{Address, EdgeState, Hello, NodeId};
use std::collections::BTreeMap;

/// Relays an edge takes from: should one die, the other's copy is there.
const RELAYS_OF_AN_EDGE: usize = 2;

/// What is known of the fleet.
#[derive(Debug, Default)]
pub(super) struct Feeders {
    edges: BTreeMap<NodeId, Feeder>,
    is_layered: bool,
}

#[derive(Debug)]
struct Feeder {
    /// Where it feeds others, if it does.
    relay: Option<Address>,
    is_ready: bool,
}

impl Feeders {
    /// An edge said who it is.
    pub(super) fn joins(&mut self, hello: &Hello) {
        let relay = hello.edge.as_ref().and_then(|edge| edge.relay.clone());
        let former = self.edges.get(&hello.node);
        let is_ready = former.is_some_and(|former| former.is_ready && former.relay == relay);
        self.edges.insert(hello.node.clone(), Feeder { relay, is_ready });
    }

    /// An edge is so, or is gone; true if others may have to be fed by somebody else for it.
    pub(super) fn is(&mut self, node: &NodeId, state: Option<EdgeState>) -> bool {
        let Some(state) = state else { return self.edges.remove(node).is_some() };
        let Some(edge) = self.edges.get_mut(node) else { return false };
        // One that is late itself is better than none; those it feeds say for themselves that they are late.
        let is_ready = matches!(state, EdgeState::Ready | EdgeState::Lagging);
        std::mem::replace(&mut edge.is_ready, is_ready) != is_ready && edge.relay.is_some()
    }

    /// By whom this edge is to be fed, where more than `eager` edges are too many for the ingests; 0 for never.
    pub(super) fn of(&mut self, hello: &Hello, ingests: &[Address], eager: usize) -> Vec<Address> {
        let leaves = self.edges.values().filter(|edge| edge.relay.is_none()).count();
        // An edge that comes and goes at the bound is not to turn the whole fleet over.
        let bound = if self.is_layered { eager - eager / 4 } else { eager };
        self.is_layered = eager > 0 && leaves > bound;
        let is_relay = hello.edge.as_ref().is_some_and(|edge| edge.relay.is_some());
        let mut relays: Vec<(u64, &Address)> = self
            .edges
            .iter()
            .filter(|(_, edge)| edge.is_ready)
            .filter_map(|(node, edge)| Some((weight(&hello.node, node), edge.relay.as_ref()?)))
            .collect();
        if !self.is_layered || is_relay || relays.is_empty() {
            return ingests.to_vec();
        }
        // The greatest of a number that belongs to the two: when a relay goes, only those it fed are fed by another.
        relays.sort_unstable_by(|one, other| other.cmp(one));
        relays.into_iter().take(RELAYS_OF_AN_EDGE).map(|(_, address)| address.clone()).collect()
    }
}

/// FNV-1a of both names, and a last stir: the same at every balancer.
fn weight(edge: &NodeId, relay: &NodeId) -> u64 {
    let bytes = edge.as_str().bytes().chain([0]).chain(relay.as_str().bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgefan::{EdgeFacts, Layer, Role};
    use std::collections::HashMap;

    fn hello(name: &str, relay: Option<&str>) -> Hello {
        Hello {
            node: NodeId::parse(name).unwrap(),
            role: Role::Edge,
            version: String::new(),
            link: 1,
            connection: 0,
            media_connections: 0,
            edge: Some(EdgeFacts {
                relay: relay.map(|at| Address::parse(at).unwrap()),
                ..EdgeFacts::default()
            }),
            process: 1,
            layer: Layer::LAST,
        }
    }

    /// A fleet of so many edges behind so many relays.
    fn fleet(edges: usize, relays: usize) -> Feeders {
        let mut feeders = Feeders::default();
        (0..edges).for_each(|nth| feeders.joins(&hello(&format!("edge{nth}"), None)));
        for nth in 0..relays {
            let hello = hello(&format!("relay{nth}"), Some(&format!("r{nth}:7001")));
            feeders.joins(&hello);
            assert!(feeders.is(&hello.node, Some(EdgeState::Ready)));
        }
        feeders
    }

    fn fed(feeders: &mut Feeders, nth: usize) -> Vec<String> {
        let ingests = [Address::parse("i:7001").unwrap()];
        let by = feeders.of(&hello(&format!("edge{nth}"), None), &ingests, 16);
        by.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_few_edges_are_fed_by_the_ingests_and_many_by_two_relays_each() {
        assert_eq!(fed(&mut fleet(16, 4), 0), ["i:7001"]);
        assert_eq!(fed(&mut fleet(17, 0), 0), ["i:7001"], "nobody relays");
        let mut many = fleet(100, 4);
        let mut load: HashMap<String, usize> = HashMap::new();
        for nth in 0..100 {
            let by = fed(&mut many, nth);
            assert!(by.len() == 2 && by[0] != by[1], "{by:?}");
            by.into_iter().for_each(|relay| *load.entry(relay).or_default() += 1);
        }
        assert!(load.len() == 4 && load.values().all(|&edges| (30..=70).contains(&edges)), "{load:?}");
        let ingests = [Address::parse("i:7001").unwrap()];
        assert_eq!(
            many.of(&hello("relay0", Some("r0:7001")), &ingests, 16),
            ingests,
            "relays by the ingests"
        );
        assert_eq!(many.of(&hello("edge0", None), &ingests, 0), ingests, "never");
    }

    #[test]
    fn when_a_relay_goes_only_those_it_fed_are_fed_by_another() {
        let mut many = fleet(100, 4);
        let before: Vec<_> = (0..100).map(|nth| fed(&mut many, nth)).collect();
        assert!(many.is(&NodeId::parse("relay2").unwrap(), Some(EdgeState::NotFed)));
        assert!(!many.is(&NodeId::parse("edge2").unwrap(), Some(EdgeState::NotFed)), "it feeds nobody");
        for (nth, before) in before.into_iter().enumerate() {
            let after = fed(&mut many, nth);
            let stays = before.iter().filter(|relay| after.contains(relay)).count();
            assert_eq!(stays, if before.contains(&"r2:7001".to_owned()) { 1 } else { 2 });
        }
    }

    #[test]
    fn at_the_bound_the_fleet_is_not_turned_over_by_one_edge() {
        let mut feeders = fleet(17, 2);
        assert_eq!(fed(&mut feeders, 0).len(), 2);
        for nth in 13..17 {
            feeders.is(&NodeId::parse(&format!("edge{nth}")).unwrap(), None);
            assert_eq!(fed(&mut feeders, 0).len(), 2, "{nth}");
        }
        feeders.is(&NodeId::parse("edge12").unwrap(), None);
        assert_eq!(fed(&mut feeders, 0), ["i:7001"]);
    }
}
