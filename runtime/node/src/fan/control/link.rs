//! One link of an edge, or of another balancer, as the balancer has it: who dialled, what was told, what it said last.
//!
//! Does not live here: which of a node's links speaks for it ([`super::server`]).

use crate::fan::pump::Gate;
use edgefan::control::{BalancerEnd, ToBalancer, ToEdge};
use edgefan::limits::BROADCASTS;
use edgefan::{EdgeState, Hello, Load, NodeId, Role};
use media::{BroadcastId, StreamFacts};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// One link. The numbers by which they are listed count up, so that a later one is greater.
pub(crate) struct Edge {
    pub(crate) end: RefCell<BalancerEnd>,
    pub(crate) gate: Gate,
    /// Known once HELLO has come.
    pub(crate) hello: RefCell<Option<Hello>>,
    pub(crate) told: RefCell<Vec<ToEdge>>,
    /// Whether what it says is what its node says.
    pub(crate) speaks: Cell<bool>,
    pub(crate) last_word: RefCell<LastWord>,
    pub(crate) is_clock_off: Cell<bool>,
}

impl Edge {
    pub(crate) fn new(end: BalancerEnd) -> Self {
        Self {
            end: RefCell::new(end),
            gate: Gate::default(),
            hello: RefCell::new(None),
            told: RefCell::default(),
            speaks: Cell::new(false),
            last_word: RefCell::default(),
            is_clock_off: Cell::new(false),
        }
    }

    /// By its last word, whether it could take viewers.
    pub(crate) fn is_filled(&self) -> bool {
        let load = self.last_word.borrow().load;
        load.is_some_and(|load| matches!(load.state, EdgeState::Ready | EdgeState::Lagging))
    }

    pub(crate) fn node(&self) -> Option<NodeId> {
        self.hello.borrow().as_ref().map(|hello| hello.node.clone())
    }

    /// Another balancer is told who we are and nothing else.
    pub(crate) fn is_balancer(&self) -> bool {
        self.hello.borrow().as_ref().is_some_and(|hello| hello.role == Role::Balancer)
    }

    pub(crate) fn process(&self) -> u64 {
        self.hello.borrow().as_ref().map_or(0, |hello| hello.process)
    }
}

/// What a link said last, whether it speaks or not: it may have to again, when the one that came after it is gone.
/// Bounded by the broadcasts of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWord {
    pub(crate) streams: BTreeMap<BroadcastId, StreamFacts>,
    pub(crate) load: Option<Load>,
}

impl LastWord {
    pub(crate) fn note(&mut self, word: &ToBalancer) {
        match word {
            ToBalancer::Load(load) => self.load = Some(*load),
            ToBalancer::Stream(facts)
                if self.streams.len() < BROADCASTS || self.streams.contains_key(&facts.broadcast) =>
            {
                self.streams.insert(facts.broadcast.clone(), facts.clone());
            }
            ToBalancer::End { broadcast, .. } => drop(self.streams.remove(broadcast)),
            ToBalancer::Stream(_) | ToBalancer::Hello(_) | ToBalancer::Peer(_) => {}
        }
    }
}
