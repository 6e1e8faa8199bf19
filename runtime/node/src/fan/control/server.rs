//! The balancer's end: hears every edge, and tells each the ingests and the ticket keys; and hears other balancers.

use crate::Stop;
use crate::fan::control::link::{Edge, LastWord};
use crate::fan::feeders::Feeders;
use crate::fan::listen;
use crate::fan::pump::{LOOK_EVERY, Over, pump, unix_micros};
use crate::fan::thread::FanThread;
use edgefan::control::{BalancerEnd, ControlError, ToBalancer, ToEdge};
use edgefan::limits::{LINKS, PROCESSES};
use edgefan::{
    Address, EdgeState, Heartbeat, Hello, Layer, Load, NodeId, PeerWord, Role, Standing, TicketKey, Welcome,
};
use media::{BroadcastId, RunId, StreamFacts};
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::server::TlsStream;

/// How a balancer is set up towards edges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this balancer is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// Where edges dial; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The ingests edges should subscribe to.
    pub ingests: Vec<Address>,
    /// The ticket keys, the current one first.
    pub keys: Vec<TicketKey>,
}

/// What edges say, in order per edge. A node speaks by one link: when its process dials anew, the old link leaves first;
/// when another process of it dials beside it (a restart that hands over), that one is heard from the moment it is ready,
/// and joins in place of the other.
#[derive(Clone, Debug)]
pub enum ControlEvent {
    /// An edge is there.
    Joined(Hello),
    /// A heartbeat of an edge, each 250 ms.
    Load {
        /// Whose.
        node: NodeId,
        /// How it is doing.
        load: Load,
    },
    /// What a broadcast is, as this edge has it.
    Stream {
        /// Whose word.
        node: NodeId,
        /// What it is.
        facts: StreamFacts,
    },
    /// A broadcast this edge has no longer.
    Ended {
        /// Whose word.
        node: NodeId,
        /// Which broadcast.
        broadcast: BroadcastId,
        /// Which run.
        run: RunId,
    },
    /// An edge's link is gone.
    Left {
        /// Whose.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// Another balancer is there.
    PeerJoined(NodeId),
    /// It says something.
    Peer {
        /// Whose word.
        node: NodeId,
        /// Which.
        word: PeerWord,
    },
    /// Its link is gone.
    PeerLeft(NodeId),
}

/// The balancer's word to all edges; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct ControlServer {
    thread: Arc<FanThread>,
    address: SocketAddr,
    word: Arc<Word>,
}

/// What the balancer has to tell, shared with the thread that carries it.
#[derive(Debug, Default)]
struct Word {
    word: Mutex<ToTell>,
    changed: Notify,
    /// Whether a successor is to have the links.
    aside: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct ToTell {
    ingests: Vec<Address>,
    keys: Vec<TicketKey>,
    standings: HashMap<NodeId, Standing>,
    /// What the operator wants of an edge of which he has said nothing: only once that is known.
    others: Option<Standing>,
    /// Above so many edges relays feed them; 0 for never.
    eager: usize,
    /// How far the clocks of edges are ahead of ours, in microseconds.
    offsets: BTreeMap<NodeId, i64>,
}

impl Word {
    fn lock(&self) -> MutexGuard<'_, ToTell> {
        // Every change is whole before anything could panic.
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens, on a thread of its own; `on_event` is called on that thread and should return soon.
pub fn start(
    settings: Settings,
    tls: Arc<ServerConfig>,
    on_event: impl FnMut(ControlEvent) + Send + 'static,
) -> io::Result<ControlServer> {
    let listener = listen::bind(settings.listen)?;
    start_on(listener, settings, tls, on_event)
}

/// The same at a socket that listens already.
pub fn start_on(
    listener: TcpListener,
    settings: Settings,
    tls: Arc<ServerConfig>,
    on_event: impl FnMut(ControlEvent) + Send + 'static,
) -> io::Result<ControlServer> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let to_tell =
        ToTell { ingests: settings.ingests.clone(), keys: settings.keys.clone(), ..ToTell::default() };
    let word = Arc::new(Word { word: Mutex::new(to_tell), ..Word::default() });
    let said = word.clone();
    let thread = FanThread::start("control-server", Stop::new(), move |stop| async move {
        let room = Rc::new(Room {
            node: settings.node,
            version: settings.version,
            word: said,
            edges: RefCell::default(),
            feeders: RefCell::default(),
            next: Cell::new(0),
            on_event: RefCell::new(Box::new(on_event)),
        });
        let serve = {
            let room = room.clone();
            move |stream, peer| room.clone().serve(stream, peer)
        };
        tokio::select! {
            () = stop.wait() => {}
            ended = room.doors(&listener, &tls, serve) => {
                tracing::error!(?ended, "edges can no longer be accepted");
                stop.wait().await;
            }
            () = room.watch() => {}
            () = room.pass_on() => {}
        }
    })?;
    Ok(ControlServer { thread: Arc::new(thread), address, word })
}

impl ControlServer {
    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these ingests; every edge is told.
    pub fn set_ingests(&self, ingests: Vec<Address>) {
        self.word.lock().ingests = ingests;
        self.word.changed.notify_one();
    }

    /// From now on these ticket keys, the current one first; every edge is told.
    pub fn set_keys(&self, keys: Vec<TicketKey>) {
        self.word.lock().keys = keys;
        self.word.changed.notify_one();
    }

    /// What the operator wants of one edge; told now, and again when it joins anew.
    pub fn set_standing(&self, node: NodeId, standing: Standing) {
        self.word.lock().standings.insert(node, standing);
        self.word.changed.notify_one();
    }

    /// How an edge stands of which nothing was said; told to each, since it may have heard otherwise before.
    pub fn set_standing_of_others(&self, standing: Standing) {
        self.word.lock().others = Some(standing);
        self.word.changed.notify_one();
    }

    /// From now on, where there are more edges than this, those that relay are fed by the ingests and feed the others,
    /// two of them each; 0 for never. One that relays nothing is told so by its WELCOME.
    pub fn set_eager(&self, edges: usize) {
        self.word.lock().eager = edges;
        self.word.changed.notify_one();
    }

    /// Lets go of every link and accepts none, so that a successor at the same socket gets them; or is there again.
    pub fn stand_aside(&self, is_aside: bool) {
        self.word.aside.send_replace(is_aside);
    }

    /// How far the clocks of the edges are ahead of ours, in microseconds, as PING and PONG have it.
    pub fn clock_offsets_us(&self) -> BTreeMap<NodeId, i64> {
        self.word.lock().offsets.clone()
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

/// How far an edge's clock may be off before it is said.
const CLOCK_OFF_US: u64 = 500_000;

/// Every edge's connection; one thread, never borrowed over an await.
struct Room {
    node: NodeId,
    version: String,
    word: Arc<Word>,
    edges: RefCell<BTreeMap<u64, Rc<Edge>>>,
    feeders: RefCell<Feeders>,
    next: Cell<u64>,
    on_event: RefCell<Box<dyn FnMut(ControlEvent)>>,
}

impl Room {
    fn tell(&self, event: ControlEvent) {
        (self.on_event.borrow_mut())(event);
    }

    /// Accepts, except while a successor is to have the links.
    async fn doors<F: Future<Output = ()>>(
        &self,
        listener: &TcpListener,
        tls: &Arc<ServerConfig>,
        serve: impl Fn(TlsStream<TcpStream>, SocketAddr) -> F + Clone + 'static,
    ) -> io::Result<()> {
        let mut aside = self.word.aside.subscribe();
        loop {
            let own = listener.try_clone()?;
            tokio::select! {
                ended = listen::accept(own, tls.clone(), serve.clone()) => return ended,
                // The sender lives in the same room.
                _ = aside.wait_for(|is_aside| *is_aside) => {}
            }
            for edge in self.edges.borrow().values() {
                edge.gate.close("a successor takes over");
            }
            let _ = aside.wait_for(|is_aside| !*is_aside).await;
        }
    }

    /// Tells an edge whatever of the balancer's word it has not been told yet.
    fn update(&self, edge: &Edge) {
        let Some(hello) = edge.hello.borrow().clone() else { return };
        let word = self.word.lock();
        let is_balancer = hello.role == Role::Balancer;
        let mut all = vec![ToEdge::Welcome(Welcome {
            node: self.node.clone(),
            role: Role::Balancer,
            version: self.version.clone(),
            ingests: self.feeders.borrow_mut().of(&hello, &word.ingests, word.eager),
            layer: Layer::INGEST,
        })];
        if !is_balancer {
            all.push(ToEdge::Keys(word.keys.clone()));
            let standing = word.standings.get(&hello.node).copied().or(word.others);
            all.extend(standing.map(ToEdge::Standing));
        }
        drop(word);
        for said in &all {
            if !edge.told.borrow().contains(said) {
                edge.end.borrow_mut().tell(said);
            }
        }
        edge.told.replace(all);
        edge.gate.wake();
    }

    async fn pass_on(&self) {
        loop {
            self.word.changed.notified().await;
            let edges: Vec<Rc<Edge>> = self.edges.borrow().values().cloned().collect();
            edges.iter().for_each(|edge| self.update(edge));
        }
    }

    async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            let mut offsets = BTreeMap::new();
            for edge in self.edges.borrow().values() {
                edge.end.borrow_mut().set_clock(unix_micros(), now);
                match edge.end.borrow_mut().tick(now) {
                    Ok(()) => edge.gate.wake(),
                    Err(error) => edge.gate.close(&error.to_string()),
                }
                if let (Some(offset), Some(node)) = (edge.end.borrow().clock_offset_us(), edge.node()) {
                    let is_off = offset.unsigned_abs() > CLOCK_OFF_US;
                    if !edge.is_clock_off.replace(is_off) && is_off {
                        tracing::warn!(edge = %node, ahead_ms = offset / 1000, "an edge's clock is not ours");
                    }
                    offsets.insert(node, offset);
                }
            }
            self.word.lock().offsets = offsets;
        }
    }

    async fn serve(self: Rc<Self>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        if *self.word.aside.borrow() {
            tracing::debug!(%peer, "shaken hands with too late: a successor has the links");
            return;
        }
        if self.edges.borrow().len() >= LINKS {
            tracing::warn!(%peer, limit = LINKS, "too many edges: one is refused");
            return;
        }
        let id = self.next.replace(self.next.get() + 1);
        let names = crate::certs::names(stream.get_ref().1.peer_certificates());
        let end = BalancerEnd::new(Heartbeat::default(), Instant::now()).of(names);
        let edge = Rc::new(Edge::new(end));
        self.edges.borrow_mut().insert(id, edge.clone());
        let received = |bytes: &[u8]| {
            edge.end.borrow_mut().received(bytes, Instant::now());
            if let Err(error) = self.hear(id, &edge) {
                tracing::warn!(%peer, %error, "an edge's link is refused");
                edge.gate.close(&error.to_string());
            }
            // PINGs are answered.
            edge.gate.wake();
        };
        let transmit = |_, out: &mut Vec<u8>| edge.end.borrow_mut().transmit(out);
        let Over { why, .. } = pump(stream, &edge.gate, received, transmit).await;
        tracing::debug!(%peer, why, "an edge's connection is over");
        self.leave(id, &why, true);
    }

    /// Says that an edge left, once: whoever takes it off the list does. Where another process of it is there, that one
    /// speaks instead and nobody has left, unless it is the one that dials anew.
    fn leave(&self, id: u64, why: &str, may_be_replaced: bool) {
        let Some(edge) = self.edges.borrow_mut().remove(&id) else { return };
        let Some(node) = edge.node() else { return };
        if edge.is_balancer() {
            return self.tell(ControlEvent::PeerLeft(node));
        }
        let other = self.links_of(&node, false).pop();
        if other.is_none() && may_be_replaced {
            self.feeds(&node, None);
        }
        match other.filter(|_| may_be_replaced) {
            _ if !edge.speaks.get() => {}
            Some((_, other)) => self.speaks_now(&other),
            None => self.tell(ControlEvent::Left { node, why: why.to_owned() }),
        }
    }

    /// Whether no later link of its node speaks that is filled too.
    fn is_youngest(&self, id: u64, edge: &Edge) -> bool {
        let Some(node) = edge.node() else { return false };
        let keeps = |link: &Edge| link.speaks.get() && link.is_filled();
        self.links_of(&node, false).iter().all(|(other, link)| *other <= id || !keeps(link))
    }

    /// Links of one node, by age.
    fn links_of(&self, node: &NodeId, is_balancer: bool) -> Vec<(u64, Rc<Edge>)> {
        let edges = self.edges.borrow();
        let is_meant = |edge: &Edge| edge.is_balancer() == is_balancer && edge.node().as_ref() == Some(node);
        let of_node = edges.iter().filter(|(_, edge)| is_meant(edge));
        of_node.map(|(&id, edge)| (id, edge.clone())).collect()
    }

    fn hear(&self, id: u64, edge: &Rc<Edge>) -> Result<(), ControlError> {
        while let Some(word) = { edge.end.borrow_mut().pull()? } {
            // An edge that dialled anew has been replaced: what its old link still says is old.
            if !self.edges.borrow().contains_key(&id) {
                return Ok(());
            }
            match (word, edge.node()) {
                (ToBalancer::Hello(hello), _) => self.join(id, edge, hello),
                (ToBalancer::Peer(word), Some(node)) if edge.is_balancer() => {
                    self.tell(ControlEvent::Peer { node, word });
                }
                (ToBalancer::Peer(_), _) => {}
                (_, Some(_)) if edge.is_balancer() => {}
                (word, Some(node)) => {
                    edge.last_word.borrow_mut().note(&word);
                    if edge.speaks.get() {
                        self.say(word, node);
                    } else if edge.is_filled() && self.is_youngest(id, edge) {
                        // From here on it is the one that is heard, and the elder, which serves on for a moment, is not.
                        self.speaks_now(edge);
                    }
                }
                (_, None) => {}
            }
        }
        Ok(())
    }

    fn say(&self, word: ToBalancer, node: NodeId) {
        self.tell(match word {
            ToBalancer::Hello(hello) => ControlEvent::Joined(hello),
            ToBalancer::Peer(word) => ControlEvent::Peer { node, word },
            ToBalancer::Load(load) => {
                self.feeds(&node, Some(load.state));
                ControlEvent::Load { node, load }
            }
            ToBalancer::Stream(facts) => ControlEvent::Stream { node, facts },
            ToBalancer::End { broadcast, run } => ControlEvent::Ended { node, broadcast, run },
        });
    }

    /// From now on this link's word is its node's.
    fn speaks_now(&self, edge: &Edge) {
        let Some(hello) = edge.hello.borrow().clone() else { return };
        let node = hello.node.clone();
        self.links_of(&node, false).iter().for_each(|(_, other)| other.speaks.set(false));
        edge.speaks.set(true);
        let LastWord { streams, load } = edge.last_word.borrow().clone();
        self.tell(ControlEvent::Joined(hello));
        streams.into_values().for_each(|facts| self.tell(ControlEvent::Stream { node: node.clone(), facts }));
        load.into_iter().for_each(|load| self.say(ToBalancer::Load(load), node.clone()));
    }

    fn join(&self, id: u64, edge: &Rc<Edge>, hello: Hello) {
        let is_balancer = hello.role == Role::Balancer;
        let links = self.links_of(&hello.node, is_balancer);
        let is_former = |other: &Edge| {
            is_balancer || hello.process == 0 || other.process() == 0 || other.process() == hello.process
        };
        let (former, mut beside): (Vec<_>, Vec<_>) =
            links.into_iter().partition(|(_, other)| is_former(other));
        // Of three processes the oldest goes.
        let surplus = (beside.len() + 1).saturating_sub(PROCESSES);
        let oldest: Vec<_> = beside.drain(..surplus).collect();
        for (other, link) in former.into_iter().chain(oldest) {
            link.gate.close("the edge dialled anew");
            self.leave(other, "the edge dialled anew", false);
        }
        if is_balancer {
            let node = hello.node.clone();
            edge.hello.replace(Some(hello));
            self.tell(ControlEvent::PeerJoined(node));
            return self.update(edge);
        }
        self.feeders.borrow_mut().joins(&hello);
        edge.hello.replace(Some(hello));
        if !beside.iter().any(|(_, other)| other.speaks.get()) {
            self.speaks_now(edge);
        }
        debug_assert!(self.edges.borrow().contains_key(&id), "it is on the list while it is heard");
        self.update(edge);
        self.word.changed.notify_one();
    }

    /// Who may feed others has changed, perhaps: everybody is told if so.
    fn feeds(&self, node: &NodeId, state: Option<EdgeState>) {
        if self.feeders.borrow_mut().is(node, state) {
            self.word.changed.notify_one();
        }
    }
}
