//! One thread that hears all edges and tells every core; and the fleet as the operator sees it.

use crate::audience::Audience;
use crate::discretion::Discretion;
use crate::events::Chronicle;
use crate::keyring::Keyring;
use crate::keys;
use crate::pathway::Pathway;
use crate::told::{Teller, Told};
use edgefan::{EdgeState, NodeId, PeerWord};
use media::{BitRate, BroadcastId};
use node::fan::admission::News;
use node::fan::control::peers::Peers;
use node::fan::control::server::ControlEvent;
use routing::{By, Change, Crowd, Health, Heard, Load, Router, Ruling, State};
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ticket::{EdgeId, Keys};
use tokio::sync::oneshot;

/// Events that wait for this thread. At the bound the links and the probe wait with them: nothing is lost, and
/// an edge that cannot get its heartbeat through is silent, which is then the truth.
pub(crate) const WAITING_EVENTS: usize = 4096;

/// How often viewers are counted, and so how long to sleep at most.
const COUNT: Duration = Duration::from_secs(1);

/// How often edges whose links a successor has are heard here as they were last, so that none grows silent.
const HOLD: Duration = Duration::from_millis(200);

/// What reaches the hub.
#[derive(Debug)]
pub(crate) enum Event {
    /// From a control link.
    Control(ControlEvent),
    /// An edge's public URL answered, or did not.
    Probed(EdgeId, bool),
    /// A core sent viewers there; the other cores know.
    Reserved(Vec<(EdgeId, BitRate)>),
    /// A core steered: whom it saw, and whom it told to leave an edge.
    Seen {
        /// By broadcast.
        seen: Vec<(BroadcastId, Crowd)>,
        /// By edge.
        moved: Vec<(EdgeId, Box<Crowd>)>,
    },
    /// The operator says how an edge stands, by the directory.
    Ruled(EdgeId, Ruling),
    /// The lobby says who may know what.
    Lobby(News),
    /// The operator wants other ticket keys.
    Keys(keys::Wish, oneshot::Sender<keys::Told>),
    /// A successor is to have the links: what was known holds until it does, or until it is not to have them.
    Aside(bool),
    /// Be done.
    End,
}

/// What the hub, the prober and the operator look at together.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) router: Router,
    pub(crate) pathways: HashMap<EdgeId, Pathway>,
    pub(crate) audience: Audience,
    /// Other balancers that are linked to us.
    pub(crate) peers: BTreeSet<NodeId>,
    /// The ids of the ticket keys, the one that seals first.
    pub(crate) key_ids: Vec<u8>,
    /// For the operator to read.
    pub(crate) chronicle: Chronicle,
}

pub(crate) fn lock(fleet: &Mutex<Fleet>) -> MutexGuard<'_, Fleet> {
    // Whoever panicked with it left it as it was between two events.
    fleet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's own.
pub(crate) struct Hub {
    /// Our own name: a balancer may be named in its own `peers`, and is then deaf to itself.
    pub(crate) node: NodeId,
    pub(crate) fleet: Arc<Mutex<Fleet>>,
    pub(crate) teller: Teller,
    pub(crate) keyring: Keyring,
    /// `None` where no other balancer is named.
    pub(crate) peers: Option<Peers>,
    /// What edges said last, while a successor has their links; and when it is said again.
    pub(crate) held: Option<(Instant, Vec<(EdgeId, Load)>)>,
    /// What strangers are told.
    pub(crate) discretion: Discretion,
}

impl Hub {
    /// Runs until told to end, or until nobody is left to tell it anything.
    pub(crate) fn run(mut self, events: &Receiver<Event>) {
        let fleet = Arc::clone(&self.fleet);
        let mut count_at = Instant::now() + COUNT;
        self.open(&mut lock(&fleet));
        loop {
            let due = lock(&fleet).router.deadline();
            let held = self.held.as_ref().map(|(at, _)| *at);
            let due = due.into_iter().chain(self.keyring.deadline()).chain(held).fold(count_at, Instant::min);
            let event = match events.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
            };
            let now = Instant::now();
            let fleet = &mut *lock(&fleet);
            match event {
                Some(event) => self.hear(now, event, fleet),
                None => fleet.router.expire(now),
            }
            self.hold(now, fleet);
            if self.keyring.turn(now) {
                self.seal(fleet);
            }
            if now >= count_at {
                count_at = now + COUNT;
                if let Some(watched) = fleet.audience.count(now) {
                    self.teller.tell(&Told::Watched(watched));
                }
            }
            tell_changes(fleet);
        }
    }

    fn hear(&mut self, now: Instant, event: Event, fleet: &mut Fleet) {
        match event {
            Event::End => {}
            Event::Aside(is_aside) => {
                if let Some(peers) = &self.peers {
                    peers.stand_aside(is_aside);
                }
                let ready = fleet.router.edges().filter(|(_, edge)| edge.health(now) == Health::Ready);
                let ready = ready.filter_map(|(id, edge)| Some((id.clone(), *edge.load()?)));
                let held = is_aside.then(|| (now, ready.collect()));
                if std::mem::replace(&mut self.held, held).is_some() && !is_aside {
                    // Their links were let go of, and who has ended since was not heard: who is there dials again.
                    fleet.peers.clear();
                    self.carry(now, Told::Heard(Heard::Peers(0)), fleet);
                }
            }
            // A link that closes now is one that a successor gets.
            Event::Control(event) if self.held.is_some() => {
                tracing::debug!(?event, "not heard: a successor has the links");
            }
            Event::Reserved(reserved) => {
                self.say(|| {
                    let reserved = reserved.iter().map(|(id, rate)| (id.to_string(), *rate));
                    PeerWord::Reserved(reserved.collect())
                });
                for (id, rate) in reserved {
                    // Forgotten meanwhile: nobody will be there.
                    let _ = fleet.router.push(now, Heard::Reserved(id, rate, By::Core));
                }
            }
            Event::Seen { seen, moved } => {
                for (broadcast, crowd) in seen {
                    self.say(|| PeerWord::Seen {
                        broadcast: broadcast.clone(),
                        sketch: crowd.registers().to_vec().into(),
                    });
                    see(now, &broadcast, &crowd, fleet);
                }
                for (edge, crowd) in moved {
                    let _ = fleet.router.push(now, Heard::Moved(edge, crowd));
                }
            }
            Event::Lobby(news) => {
                match news {
                    News::Private(names) => self.discretion.told_private(names),
                    News::Unlisted(names) => self.discretion.told_unlisted(names),
                    News::Up | News::Revoked(_) | News::Denied(_) => return,
                }
                self.teller.tell(&Told::Discretion(self.discretion.clone()));
            }
            Event::Keys(wish, answer) => {
                if self.keyring.wish(now, wish, answer) {
                    self.open(fleet);
                }
            }
            Event::Control(ControlEvent::PeerJoined(node)) => self.peer(now, node, true, fleet),
            Event::Control(ControlEvent::PeerLeft(node)) => self.peer(now, node, false, fleet),
            Event::Control(ControlEvent::Peer { node, word }) if node != self.node => {
                self.hear_peer(now, node, word, fleet);
            }
            event => {
                for told in heard(event, fleet) {
                    self.carry(now, told, fleet);
                }
            }
        }
    }

    /// While a successor has the links.
    fn hold(&mut self, now: Instant, fleet: &mut Fleet) {
        let Some((_, ready)) = self.held.take_if(|(at, _)| *at <= now) else { return };
        for (id, load) in &ready {
            self.carry(now, Told::Heard(Heard::Load(id.clone(), *load)), fleet);
        }
        self.held = Some((now + HOLD, ready));
    }

    /// To the hub's own router and to every core, in the same order.
    fn carry(&mut self, now: Instant, told: Told, fleet: &mut Fleet) {
        match &told {
            Told::Heard(heard) => {
                if let Err(refused) = fleet.router.push(now, heard.clone()) {
                    tracing::warn!(%refused, "not heard");
                    return;
                }
            }
            Told::Pathway(id, pathway) => {
                fleet.pathways.insert(id.clone(), pathway.clone());
            }
            Told::Keys(_) | Told::Watched(_) | Told::Discretion(_) => {}
        }
        self.teller.tell(&told);
    }

    /// Another balancer came or went: its reservations are to be reckoned with, or no longer.
    fn peer(&mut self, now: Instant, node: NodeId, is_there: bool, fleet: &mut Fleet) {
        if node == self.node {
            return;
        }
        tracing::info!(balancer = %node, is_there, "another balancer's link");
        if is_there {
            fleet.peers.insert(node);
        } else {
            fleet.peers.remove(&node);
        }
        let count = u32::try_from(fleet.peers.len()).unwrap_or(u32::MAX);
        self.carry(now, Told::Heard(Heard::Peers(count)), fleet);
    }

    fn hear_peer(&mut self, now: Instant, node: NodeId, word: PeerWord, fleet: &mut Fleet) {
        match word {
            PeerWord::Reserved(reserved) => {
                for (edge, rate) in reserved {
                    // An edge that is linked to one balancer and not yet to the other.
                    let Ok(id) = EdgeId::parse(&edge) else { continue };
                    if fleet.router.edge(&id).is_some() {
                        self.carry(now, Told::Heard(Heard::Reserved(id, rate, By::Balancer)), fleet);
                    }
                }
            }
            PeerWord::Seals { keys, made } => {
                let keys = Keys::from_secrets(keys.iter().map(|key| key.secret));
                if keys.is_some_and(|keys| self.keyring.heard(now, node, keys, made)) {
                    self.open(fleet);
                }
            }
            PeerWord::Seen { broadcast, sketch } => match Crowd::from_registers(&sketch) {
                Ok(crowd) => see(now, &broadcast, &crowd, fleet),
                Err(error) => tracing::debug!(balancer = %node, %error, "its count of viewers is not taken"),
            },
        }
    }

    fn say(&self, word: impl FnOnce() -> PeerWord) {
        if let Some(peers) = &self.peers {
            peers.say(word());
        }
    }

    /// The keys changed: edges, other balancers and our own cores open with them.
    fn open(&mut self, fleet: &mut Fleet) {
        let keys = self.keyring.tell_edges();
        fleet.key_ids = keys.iter().map(ticket::Key::id).collect();
        let said = self.keyring.said();
        self.say(|| said);
        self.teller.tell(&Told::Keys(keys));
    }

    /// And from now on tokens are sealed with another one.
    fn seal(&mut self, fleet: &mut Fleet) {
        self.open(fleet);
        self.keyring.keep();
    }
}

fn see(now: Instant, broadcast: &BroadcastId, crowd: &Crowd, fleet: &mut Fleet) {
    let Fleet { router, audience, .. } = fleet;
    audience.see(now, broadcast, crowd, |id| router.broadcast(id.as_str()).is_some());
}

/// What an event comes to. Nothing, where it is of a node that is no edge of ours.
pub(crate) fn heard(event: Event, fleet: &Fleet) -> Vec<Told> {
    let known =
        |node: &NodeId| EdgeId::parse(node.as_str()).ok().filter(|id| fleet.router.edge(id).is_some());
    let heard = match event {
        Event::Ruled(id, ruling) => Some(Heard::Ruled(id, ruling)),
        Event::Probed(id, answered) => fleet.router.edge(&id).map(|_| Heard::Probed(id.clone(), answered)),
        Event::Control(ControlEvent::Joined(hello)) => match Pathway::of(&hello) {
            Ok((declared, pathway)) => {
                return vec![
                    Told::Pathway(declared.id.clone(), pathway),
                    Told::Heard(Heard::Joined(declared)),
                ];
            }
            Err(unusable) => {
                tracing::warn!(edge = %hello.node, %unusable, "an edge cannot be used");
                None
            }
        },
        Event::Control(ControlEvent::Load { node, load }) => {
            known(&node).map(|id| Heard::Load(id, load_of(&load)))
        }
        Event::Control(ControlEvent::Stream { node, facts }) => {
            known(&node).map(|id| Heard::Stream(id, facts))
        }
        Event::Control(ControlEvent::Ended { node, broadcast, run }) => {
            known(&node).map(|id| Heard::Over(id, broadcast, run))
        }
        Event::Control(ControlEvent::Left { node, why }) => {
            tracing::info!(edge = %node, why, "an edge's link is gone");
            known(&node).map(Heard::Left)
        }
        // The hub's own affairs.
        _ => None,
    };
    heard.into_iter().map(Told::Heard).collect()
}

fn load_of(load: &edgefan::Load) -> Load {
    Load {
        egress: load.egress,
        viewers: u32::try_from(load.viewers).unwrap_or(u32::MAX),
        newest_segment_age: load.newest_segment_age_ms.map(Duration::from_millis),
        lag: load.lag_ms.map(Duration::from_millis),
        state: match load.state {
            EdgeState::Ready => State::Ready,
            EdgeState::NotFed => State::NotFed,
            EdgeState::Draining => State::Draining,
            EdgeState::Lagging => State::Lagging,
        },
    }
}

fn tell_changes(fleet: &mut Fleet) {
    while let Some(change) = fleet.router.pull() {
        if let Change::Health { edge, to: None, .. } = &change {
            fleet.pathways.remove(edge);
        }
        fleet.chronicle.hear(&change, &fleet.router);
    }
}
