//! The balancer's end: hears every edge, and tells each the ingests and the ticket keys; and hears other balancers.

use crate::Stop;
use crate::fan::listen;
use crate::fan::pump::{Gate, LOOK_EVERY, pump};
use crate::fan::thread::FanThread;
use edgefan::control::{BalancerEnd, ControlError, ToBalancer, ToEdge};
use edgefan::limits::LINKS;
use edgefan::{Address, Heartbeat, Hello, Load, NodeId, PeerWord, Role, Standing, TicketKey, Welcome};
use media::{BroadcastId, RunId, StreamFacts};
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::Notify;
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

/// What edges say, in order per edge. A node has one link: when it dials anew, the old link leaves first.
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
}

#[derive(Debug, Default)]
struct ToTell {
    ingests: Vec<Address>,
    keys: Vec<TicketKey>,
    standings: HashMap<NodeId, Standing>,
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
    let address = listener.local_addr()?;
    let to_tell =
        ToTell { ingests: settings.ingests.clone(), keys: settings.keys.clone(), standings: HashMap::new() };
    let word = Arc::new(Word { word: Mutex::new(to_tell), changed: Notify::new() });
    let said = word.clone();
    let thread = FanThread::start("control-server", Stop::new(), move |stop| async move {
        let room = Rc::new(Room {
            node: settings.node,
            version: settings.version,
            word: said,
            edges: RefCell::default(),
            next: Cell::new(0),
            on_event: RefCell::new(Box::new(on_event)),
        });
        let serve = {
            let room = room.clone();
            move |stream, peer| room.clone().serve(stream, peer)
        };
        tokio::select! {
            () = stop.wait() => {}
            ended = listen::accept(listener, tls, serve) => {
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

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

/// Every edge's connection; one thread, never borrowed over an await.
struct Room {
    node: NodeId,
    version: String,
    word: Arc<Word>,
    edges: RefCell<HashMap<u64, Rc<Edge>>>,
    next: Cell<u64>,
    on_event: RefCell<Box<dyn FnMut(ControlEvent)>>,
}

struct Edge {
    end: RefCell<BalancerEnd>,
    gate: Gate,
    /// Known once HELLO has come.
    node: RefCell<Option<NodeId>>,
    /// By its HELLO; another balancer is told who we are and nothing else.
    is_balancer: Cell<bool>,
    told: RefCell<Vec<ToEdge>>,
}

impl Room {
    fn tell(&self, event: ControlEvent) {
        (self.on_event.borrow_mut())(event);
    }

    /// Tells an edge whatever of the balancer's word it has not been told yet.
    fn update(&self, edge: &Edge) {
        let Some(node) = edge.node.borrow().clone() else { return };
        let word = self.word.lock();
        let mut all = vec![ToEdge::Welcome(Welcome {
            node: self.node.clone(),
            role: Role::Balancer,
            version: self.version.clone(),
            ingests: word.ingests.clone(),
        })];
        if !edge.is_balancer.get() {
            all.push(ToEdge::Keys(word.keys.clone()));
        }
        all.extend(word.standings.get(&node).map(|&standing| ToEdge::Standing(standing)));
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
            for edge in self.edges.borrow().values() {
                match edge.end.borrow_mut().tick(now) {
                    Ok(()) => edge.gate.wake(),
                    Err(error) => edge.gate.close(&error.to_string()),
                }
            }
        }
    }

    async fn serve(self: Rc<Self>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        if self.edges.borrow().len() >= LINKS {
            tracing::warn!(%peer, limit = LINKS, "too many edges: one is refused");
            return;
        }
        let id = self.next.replace(self.next.get() + 1);
        let edge = Rc::new(Edge {
            end: RefCell::new(BalancerEnd::new(Heartbeat::default(), Instant::now())),
            gate: Gate::default(),
            node: RefCell::new(None),
            is_balancer: Cell::new(false),
            told: RefCell::default(),
        });
        self.edges.borrow_mut().insert(id, edge.clone());
        let received = |bytes: &[u8]| {
            edge.end.borrow_mut().received(bytes, Instant::now());
            if let Err(error) = self.hear(id, &edge) {
                edge.gate.close(&error.to_string());
            }
            // PINGs are answered.
            edge.gate.wake();
        };
        let transmit = |_, out: &mut Vec<u8>| edge.end.borrow_mut().transmit(out);
        let why = pump(stream, &edge.gate, received, transmit).await;
        tracing::debug!(%peer, why, "an edge's connection is over");
        self.leave(id, &why);
    }

    /// Says that an edge left, once: whoever takes it off the list does.
    fn leave(&self, id: u64, why: &str) {
        let left = self.edges.borrow_mut().remove(&id);
        let Some(edge) = left else { return };
        let Some(node) = edge.node.borrow().clone() else { return };
        self.tell(match edge.is_balancer.get() {
            true => ControlEvent::PeerLeft(node),
            false => ControlEvent::Left { node, why: why.to_owned() },
        });
    }

    fn hear(&self, id: u64, edge: &Edge) -> Result<(), ControlError> {
        while let Some(word) = { edge.end.borrow_mut().pull()? } {
            // An edge that dialled anew has been replaced: what its old link still says is old.
            if !self.edges.borrow().contains_key(&id) {
                return Ok(());
            }
            let node = edge.node.borrow().clone();
            match (word, node) {
                (ToBalancer::Hello(hello), _) => self.join(id, edge, hello),
                (ToBalancer::Load(_) | ToBalancer::Stream(_) | ToBalancer::End { .. }, _)
                    if edge.is_balancer.get() => {}
                (ToBalancer::Load(load), Some(node)) => self.tell(ControlEvent::Load { node, load }),
                (ToBalancer::Stream(facts), Some(node)) => self.tell(ControlEvent::Stream { node, facts }),
                (ToBalancer::End { broadcast, run }, Some(node)) => {
                    self.tell(ControlEvent::Ended { node, broadcast, run });
                }
                (ToBalancer::Peer(word), Some(node)) if edge.is_balancer.get() => {
                    self.tell(ControlEvent::Peer { node, word });
                }
                (ToBalancer::Peer(_), _) | (_, None) => {}
            }
        }
        Ok(())
    }

    fn join(&self, id: u64, edge: &Edge, hello: Hello) {
        let is_balancer = hello.role == Role::Balancer;
        edge.is_balancer.set(is_balancer);
        let former: Vec<(u64, Rc<Edge>)> = self
            .edges
            .borrow()
            .iter()
            .filter(|(other, edge)| {
                **other != id
                    && edge.is_balancer.get() == is_balancer
                    && edge.node.borrow().as_ref() == Some(&hello.node)
            })
            .map(|(&other, edge)| (other, edge.clone()))
            .collect();
        for (other, former) in former {
            former.gate.close("the edge dialled anew");
            self.leave(other, "the edge dialled anew");
        }
        edge.node.replace(Some(hello.node.clone()));
        self.tell(match is_balancer {
            true => ControlEvent::PeerJoined(hello.node),
            false => ControlEvent::Joined(hello),
        });
        self.update(edge);
    }
}
