//! A balancer of the day: `lb::bare` and the balancer's ends of the control links.

use super::agenda::{MILLI, Micros, SECOND};
use super::edge;
use super::network::WireId;
use super::weather::Place;
use super::{Day, Happens, Life};
use crate::random::Random;
use edgefan::control::{BalancerEnd, ToBalancer, ToEdge};
use edgefan::{Heartbeat, Layer, NodeId, Role, TicketKey, Welcome};
use lb::bare::Bare;
use node::fan::control::server::ControlEvent;
use routing::Health;
use std::collections::BTreeMap;
use ticket::{Key, Keys, Token};

/// One balancer.
pub(crate) struct Balancer {
    pub(crate) life: Life,
    index: usize,
    seed: u64,
    bare: Bare,
    ends: BTreeMap<u64, End>,
    looks: u64,
    /// By edge: since when it calls it anything but ready.
    pub(crate) down_since: BTreeMap<usize, Micros>,
}

/// One edge's connection.
struct End {
    end: BalancerEnd,
    wire: WireId,
    node: Option<NodeId>,
}

/// What both balancers seal with.
fn keys() -> Keys {
    Keys::new(Key::from_secret([7; 32]), None)
}

/// How long an edge's public URL may take to answer.
const PATIENCE: Micros = 400 * MILLI;

fn rooms(seed: u64, index: usize, life: u64) -> Bare {
    Bare::new(&lb::Settings::default(), keys(), Random::of(seed, 1000 + index as u64 * 100 + life).next())
}

impl Balancer {
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        let bare = rooms(seed, index, 0);
        let (ends, down_since) = (BTreeMap::new(), BTreeMap::new());
        Self { life: Life::Down(0), index, seed, bare, ends, looks: 0, down_since }
    }

    /// Everything in memory is gone.
    pub(crate) fn stop(&mut self) {
        self.bare = rooms(self.seed, self.index, self.life.number());
        self.ends.clear();
        self.down_since.clear();
    }

    pub(crate) fn say(&mut self, id: u64, out: &mut Vec<u8>) {
        if let Some(end) = self.ends.get_mut(&id) {
            end.end.transmit(out);
        }
    }
}

impl Day {
    pub(super) fn start_balancer(&mut self, index: usize) {
        self.say(|| format!("lb{index} starts"));
    }

    pub(super) fn balancer_accepts(&mut self, index: usize, id: u64, wire: WireId) {
        let end = BalancerEnd::new(Heartbeat::default(), self.clock());
        self.balancers[index].ends.insert(id, End { end, wire, node: None });
    }

    pub(super) fn balancer_hears(&mut self, index: usize, id: u64, bytes: &[u8]) {
        let clock = self.clock();
        let Some(end) = self.balancers[index].ends.get_mut(&id) else { return };
        end.end.received(bytes, clock);
        loop {
            let Some(end) = self.balancers[index].ends.get_mut(&id) else { return };
            let node = end.node.clone();
            let event = match (end.end.pull(), node) {
                (Ok(None), _) => break,
                (Ok(Some(ToBalancer::Hello(hello))), _) => {
                    self.balancer_joins(index, id, &hello.node);
                    ControlEvent::Joined(hello)
                }
                (Ok(Some(ToBalancer::Load(load))), Some(node)) => ControlEvent::Load { node, load },
                (Ok(Some(ToBalancer::Stream(facts))), Some(node)) => ControlEvent::Stream { node, facts },
                (Ok(Some(ToBalancer::End { broadcast, run })), Some(node)) => {
                    ControlEvent::Ended { node, broadcast, run }
                }
                (Ok(Some(ToBalancer::Peer(_))), _) | (Ok(Some(_)), None) => continue,
                (Err(error), _) => return self.balancer_lost(index, id, &error.to_string()),
            };
            self.balancers[index].bare.heard(clock, event);
        }
        self.note_health(index);
        if let Some(wire) = self.balancers[index].ends.get(&id).map(|end| end.wire) {
            self.transmit(wire, 1);
        }
    }

    /// An edge has one link: a former one leaves first. Then it is told what there is to tell.
    fn balancer_joins(&mut self, index: usize, id: u64, node: &NodeId) {
        let former =
            self.balancers[index].ends.iter().find(|(of, end)| **of != id && end.node.as_ref() == Some(node));
        if let Some(former) = former.map(|(id, _)| *id) {
            self.balancer_lost(index, former, "the edge dialled anew");
        }
        let Some(end) = self.balancers[index].ends.get_mut(&id) else { return };
        end.node = Some(node.clone());
        end.end.tell(&ToEdge::Welcome(Welcome {
            node: NodeId::parse(&format!("lb{index}")).expect("a name and a digit"),
            role: Role::Balancer,
            version: "lab".into(),
            ingests: edge::ingests(),
            layer: Layer::INGEST,
        }));
        let keys = keys().iter().map(|key| TicketKey { kid: key.id(), secret: *key.secret() }).collect();
        end.end.tell(&ToEdge::Keys(keys));
    }

    pub(super) fn balancer_lost(&mut self, index: usize, id: u64, why: &str) {
        let clock = self.clock();
        let Some(end) = self.balancers[index].ends.remove(&id) else { return };
        self.close_wire(end.wire, 1);
        if let Some(node) = end.node {
            self.say(|| format!("lb{index}: {node} left: {why}"));
            self.balancers[index].bare.heard(clock, ControlEvent::Left { node, why: why.into() });
        }
        self.note_health(index);
    }

    pub(super) fn look_balancer(&mut self, index: usize) {
        let clock = self.clock();
        let mut over = Vec::new();
        let mut wires = Vec::new();
        for (id, end) in &mut self.balancers[index].ends {
            match end.end.tick(clock) {
                Ok(()) => wires.push(end.wire),
                Err(error) => over.push((*id, error.to_string())),
            }
        }
        wires.into_iter().for_each(|wire| self.transmit(wire, 1));
        over.into_iter().for_each(|(id, why)| self.balancer_lost(index, id, &why));
        let mut changes = Vec::new();
        self.balancers[index].bare.expire(clock, |change| changes.push(change));
        changes.into_iter().for_each(|change| self.say(|| format!("lb{index}: {change:?}")));
        self.balancers[index].looks += 1;
        if self.balancers[index].looks.is_multiple_of(10) {
            (0..self.edges.len()).for_each(|edge| self.probe(index, edge));
        }
        self.note_health(index);
    }

    fn probe(&mut self, balancer: usize, edge: usize) {
        let (us, them) = (Place::Balancer(balancer), Place::Edge(edge));
        let (there, back) = (self.condition(us, them), self.condition(them, us));
        let trip = 2 * self.weather.latency.1 + there.late + back.late;
        let (answered, after) = match self.edges[edge].life {
            _ if !there.is_open || !back.is_open || trip > PATIENCE => (false, PATIENCE),
            Life::Up(_) => (true, trip),
            Life::Paused(_) => (false, PATIENCE),
            Life::Down(_) => (false, trip),
        };
        let life = self.balancers[balancer].life.number();
        self.agenda.put(self.now + after, Happens::Probed { balancer, life, edge, answered });
    }

    pub(super) fn probed(&mut self, balancer: usize, life: u64, edge: usize, answered: bool) {
        if self.balancers[balancer].life == Life::Up(life) {
            let clock = self.clock();
            self.balancers[balancer].bare.probed(clock, edge::id(edge), answered);
            self.note_health(balancer);
        }
    }

    /// Since when it calls which edge down.
    fn note_health(&mut self, index: usize) {
        let (clock, now) = (self.clock(), self.now);
        let balancer = &mut self.balancers[index];
        for edge in 0..self.edges.len() {
            let health = balancer.bare.router().edge(&edge::id(edge)).map(|edge| edge.health(clock));
            if health == Some(Health::Ready) {
                balancer.down_since.remove(&edge);
            } else {
                balancer.down_since.entry(edge).or_insert(now);
            }
        }
    }

    /// Answers a request, and looks at what it decided.
    pub(super) fn balancer_answers(&mut self, index: usize, path: &str) -> (u16, Vec<u8>) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: lb\r\n\r\n");
        let (clock, unix_secs) = (self.clock(), self.unix_millis(Place::Balancer(index)) / 1000);
        let bytes = self.balancers[index].bare.answer(clock, unix_secs, head.as_bytes());
        let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
        let body = bytes[end..].to_vec();
        if status == Some(200) {
            self.check_assignment(index, &body, unix_secs);
        }
        (status.unwrap_or(0), body)
    }

    fn check_assignment(&mut self, index: usize, body: &[u8], unix_secs: u64) {
        let text = String::from_utf8_lossy(body);
        let Some(token) = text.split("/v/").nth(1).and_then(|rest| rest.split('/').next()) else { return };
        let ticket = Token::parse(token).and_then(|token| keys().open_any(&token, unix_secs));
        let Ok(ticket) = ticket else {
            return self.breaks("a token can be opened", format!("lb{index} sealed {token:?}"));
        };
        let Some(edge) = (0..self.edges.len()).find(|edge| Some(edge::id(*edge).number()) == ticket.edge)
        else {
            return self.breaks("an assigned edge is known", format!("lb{index}: {:?}", ticket.edge));
        };
        let edge = self.spoilt_assignment(edge);
        let clock = self.clock();
        let router = self.balancers[index].bare.router();
        if let Some(known) = router.edge(&edge::id(edge)) {
            let (promised, has) = (known.promised(clock), self.edges[edge].capacity());
            if promised > has {
                let what = format!("lb{index} promised {promised} of edge{edge}, which has {has}");
                return self.breaks("reserved bits never exceed capacity", what);
            }
        }
        // The panic rule: below half of the fleet health refuses nobody.
        let ready = router.edges().filter(|(_, edge)| edge.health(clock) == Health::Ready).count();
        let panics = ready * 2 < router.edges().count();
        let both_call_it_down = self.balancers.iter().all(|balancer| {
            !balancer.life.is_up()
                || balancer.down_since.get(&edge).is_some_and(|at| at + 2 * SECOND < self.now)
        });
        if both_call_it_down && !panics {
            self.breaks(
                "no viewer is assigned to an edge that both balancers call down",
                format!("lb{index} sent a viewer to edge{edge}"),
            );
        }
    }

    /// So many viewers ask at once.
    pub(super) fn crowd(&mut self, viewers: u64) {
        for _ in 0..viewers {
            let index = self.random.below(2);
            if self.balancers[index].life.is_up() {
                self.balancer_answers(index, "/live/tide/index.m3u8");
            }
        }
        self.say(|| format!("{viewers} viewers asked at once"));
    }
}
