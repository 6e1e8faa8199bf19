//! What balancers have told this edge, merged: ingests, keys, whether to let viewers go.
//!
//! A balancer that is gone is believed as it last spoke: neither its ingests nor its keys are forgotten.

use edgefan::{Address, Standing};
use node::fan::control::client::Told;
use std::collections::{BTreeMap, BTreeSet};
use ticket::Keys;

/// The last word of every balancer.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    own_ingests: Vec<Address>,
    /// Who feeds this edge whatever balancers say; none: whom they name.
    feeds: Vec<Address>,
    own_keys: Option<Keys>,
    balancers: BTreeMap<Address, Balancer>,
}

#[derive(Debug, Default)]
struct Balancer {
    is_up: bool,
    ingests: Vec<Address>,
    keys: Option<Keys>,
    standing: Option<Standing>,
}

/// What changed by a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Nothing,
    Ingests(Vec<Address>),
    Keys(Option<Keys>),
}

impl Orders {
    /// With what the settings say.
    pub(crate) fn new(own_ingests: Vec<Address>, own_keys: Option<Keys>) -> Self {
        Self { own_ingests, own_keys, ..Self::default() }
    }

    /// The same, fed by these and nobody else; none of them changes nothing.
    pub(crate) fn fed_by(self, feeds: Vec<Address>) -> Self {
        Self { feeds, ..self }
    }

    pub(crate) fn take(&mut self, told: Told) -> Changed {
        match told {
            Told::Welcome { balancer, welcome } => {
                let node = &welcome.node;
                let known = self.balancers.entry(balancer.clone()).or_default();
                if !known.is_up {
                    tracing::info!(%balancer, %node, version = welcome.version, "balancer is there");
                }
                known.is_up = true;
                if known.ingests == welcome.ingests {
                    return Changed::Nothing;
                }
                known.ingests = welcome.ingests;
                Changed::Ingests(self.ingests())
            }
            Told::Keys { balancer, keys } => {
                // During a rotation there are three: the one that comes opens before it seals.
                let keys = Keys::from_secrets(keys.into_iter().map(|key| key.secret));
                self.balancers.entry(balancer).or_default().keys = keys;
                Changed::Keys(self.keys())
            }
            Told::Standing { balancer, standing } => {
                tracing::info!(%balancer, ?standing, "balancer says how this edge stands");
                self.balancers.entry(balancer).or_default().standing = Some(standing);
                Changed::Nothing
            }
            Told::Down { balancer, why } => {
                let known = self.balancers.entry(balancer.clone()).or_default();
                if std::mem::take(&mut known.is_up) {
                    tracing::warn!(%balancer, why, "balancer is gone");
                }
                Changed::Nothing
            }
        }
    }

    /// Every ingest anybody names, unless the settings say who feeds this edge.
    pub(crate) fn ingests(&self) -> Vec<Address> {
        if !self.feeds.is_empty() {
            return self.feeds.clone();
        }
        let told = self.balancers.values().flat_map(|balancer| &balancer.ingests);
        self.own_ingests.iter().chain(told).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every key anybody told.
    pub(crate) fn keys(&self) -> Option<Keys> {
        let told = self.balancers.values().filter_map(|balancer| balancer.keys.as_ref());
        Keys::union(told.chain(&self.own_keys))
    }

    /// How the operator wants this edge to stand: as the strictest balancer that is there says, since one of them may not
    /// have heard of the operator's word yet; where none is there, as the strictest said last.
    pub(crate) fn standing(&self) -> Standing {
        let said = |is_meant: fn(&Balancer) -> bool| {
            let all = self.balancers.values().filter(|it| is_meant(it)).filter_map(|it| it.standing);
            all.max_by_key(|standing| *standing as u8)
        };
        said(|it| it.is_up).or_else(|| said(|_| true)).unwrap_or(Standing::Active)
    }

    /// Whether a balancer says that the operator is at work on it.
    pub(crate) fn is_in_maintenance(&self) -> bool {
        self.standing() == Standing::Maintenance
    }

    /// Balancers that are there.
    pub(crate) fn balancers_up(&self) -> usize {
        self.balancers.values().filter(|balancer| balancer.is_up).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgefan::{Layer, NodeId, Role, TicketKey, Welcome};
    use ticket::Key;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn welcome(balancer: &str, ingests: &[&str]) -> Told {
        let node = NodeId::parse("lb").unwrap();
        let ingests = ingests.iter().map(|ingest| address(ingest)).collect();
        let welcome =
            Welcome { node, role: Role::Balancer, version: "1".into(), ingests, layer: Layer::INGEST };
        Told::Welcome { balancer: address(balancer), welcome }
    }

    #[test]
    fn ingests_are_those_of_the_settings_and_of_every_balancer_that_ever_spoke() {
        let mut orders = Orders::new(vec![address("a:1")], None);
        assert_eq!(
            orders.take(welcome("lb1:1", &["b:1", "a:1"])),
            Changed::Ingests(vec![address("a:1"), address("b:1")])
        );
        assert_eq!(orders.take(welcome("lb1:1", &["b:1", "a:1"])), Changed::Nothing);
        let down = Told::Down { balancer: address("lb1:1"), why: "reset".into() };
        assert_eq!(orders.take(down), Changed::Nothing);
        assert_eq!((orders.ingests().len(), orders.balancers_up()), (2, 0));
    }

    #[test]
    fn keys_of_all_balancers_open() {
        let mut orders = Orders::new(Vec::new(), None);
        for (balancer, byte) in [("lb1:1", 1), ("lb2:1", 2)] {
            let keys = vec![TicketKey { kid: 0, secret: [byte; 32] }];
            orders.take(Told::Keys { balancer: address(balancer), keys });
        }
        let ids: BTreeSet<_> = orders.keys().unwrap().iter().map(Key::id).collect();
        let expected = [1, 2].map(|byte| Key::from_secret([byte; 32]).id());
        assert_eq!(ids, BTreeSet::from(expected));
    }

    #[test]
    fn one_balancer_is_enough_to_drain_and_it_may_take_it_back() {
        let mut orders = Orders::new(Vec::new(), None);
        let says = |orders: &mut Orders, balancer: &str, standing| {
            orders.take(Told::Standing { balancer: address(balancer), standing });
            orders.standing()
        };
        assert_eq!(orders.standing(), Standing::Active);
        assert_eq!(says(&mut orders, "lb1:1", Standing::Drain), Standing::Drain);
        assert_eq!(says(&mut orders, "lb1:1", Standing::Active), Standing::Active);
        assert_eq!(says(&mut orders, "lb1:1", Standing::Maintenance), Standing::Maintenance);
        assert_eq!(
            says(&mut orders, "lb2:1", Standing::Active),
            Standing::Maintenance,
            "it may not know yet"
        );
    }

    #[test]
    fn a_balancer_that_is_gone_does_not_keep_an_edge_drained() {
        let mut orders = Orders::new(Vec::new(), None);
        for balancer in ["lb1:1", "lb2:1"] {
            orders.take(welcome(balancer, &[]));
            orders.take(Told::Standing { balancer: address(balancer), standing: Standing::Drain });
        }
        let down = |balancer: &str| Told::Down { balancer: address(balancer), why: "reset".into() };
        orders.take(down("lb1:1"));
        orders.take(Told::Standing { balancer: address("lb2:1"), standing: Standing::Active });
        assert_eq!(orders.standing(), Standing::Active, "the one that is there knows");
        orders.take(down("lb2:1"));
        assert_eq!(orders.standing(), Standing::Drain, "nobody is there: as they last spoke");
    }

    #[test]
    fn who_is_told_by_whom_to_be_fed_asks_nobody_else() {
        let mut orders =
            Orders::new(vec![address("a:1")], None).fed_by(vec![address("r1:1"), address("r2:1")]);
        orders.take(welcome("lb1:1", &["b:1"]));
        assert_eq!(orders.ingests(), [address("r1:1"), address("r2:1")]);
    }
}
