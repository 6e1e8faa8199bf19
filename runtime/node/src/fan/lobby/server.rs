//! The lobby's end: accepts edges and sends each what it has not heard yet.

use crate::Stop;
use crate::certs::ADMISSION_ALPN;
use crate::fan::admission::Admissions;
use crate::fan::listen;
use crate::fan::pump::{Gate, LOOK_EVERY, Over, pump, unix_micros};
use crate::fan::thread::FanThread;
use bytes::Bytes;
use chat::{Entry, Gap, LinkId, LogId, Sequence, Source, SourceCounts, Word};
use edgefan::control::ControlError;
use edgefan::lobby::{LobbyEnd, ToEdge, ToLobby};
use edgefan::{Heartbeat, Hello, Layer, NodeId, Role, Welcome, WireError};
use media::BroadcastId;
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;

/// How a lobby is set up towards edges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this lobby is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// Where edges dial; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// What was said, on its way to every edge. Clones are the same one; calls take a lock for microseconds and never wait for
/// an edge: what is held is a ring for each room, however slow the links are.
#[derive(Clone, Debug, Default)]
pub struct ChatFeed {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    source: Mutex<Source>,
    changed: Notify,
}

impl Shared {
    fn source(&self) -> MutexGuard<'_, Source> {
        // Every change is whole before anything could panic.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChatFeed {
    /// A room is there, with the newest entries the store has of it; `next` for one without any.
    pub fn open(&self, room: &BroadcastId, log: LogId, slow: u32, next: Sequence, newest: Vec<Entry>) {
        self.shared.source().open(room, log, slow, next, newest);
        self.shared.changed.notify_one();
    }

    /// What the store has committed, in the order of the numbers.
    ///
    /// # Errors
    /// Entries before it are missing: read them from the store. A room that is not open wants number 0.
    pub fn push(&self, room: &BroadcastId, entry: Entry) -> Result<(), Gap> {
        self.shared.source().push(room, entry, Some(Instant::now()))?;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// A room is over: edges let its readers go.
    pub fn close(&self, room: &BroadcastId) {
        self.shared.source().close(room);
        self.shared.changed.notify_one();
    }

    /// The number that comes next in a room that is open.
    pub fn next(&self, room: &BroadcastId) -> Option<Sequence> {
        self.shared.source().next(room)
    }

    /// Rooms that are open, each with its log.
    pub fn rooms(&self) -> Vec<(BroadcastId, LogId)> {
        self.shared.source().rooms().map(|(name, log)| (name.clone(), log)).collect()
    }

    /// What is counted.
    pub fn counts(&self) -> SourceCounts {
        self.shared.source().counts()
    }
}

/// The running listener; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct LobbyServer {
    thread: Arc<FanThread>,
    address: SocketAddr,
}

/// Listens, on a thread of its own, and sends every edge what `feed` is given.
///
/// # Errors
/// The address cannot be listened on.
pub fn start(settings: Settings, feed: &ChatFeed, tls: Arc<ServerConfig>) -> io::Result<LobbyServer> {
    start_beside(settings, feed, tls, None)
}

/// The same; a connection that speaks `admission/1` is given to `admissions`.
///
/// # Errors
/// The address cannot be listened on.
pub fn start_beside(
    settings: Settings,
    feed: &ChatFeed,
    tls: Arc<ServerConfig>,
    admissions: Option<Admissions>,
) -> io::Result<LobbyServer> {
    let listener = listen::bind(settings.listen)?;
    let address = listener.local_addr()?;
    let shared = feed.shared.clone();
    let thread = FanThread::start("fan-lobby", Stop::new(), move |stop| async move {
        let room = Rc::new(Room { settings, shared, edges: RefCell::default(), last: Cell::new(0) });
        let serve = {
            let room = room.clone();
            move |stream: TlsStream<TcpStream>, peer| {
                let (room, admissions) = (room.clone(), admissions.clone());
                async move {
                    if stream.get_ref().1.alpn_protocol() != Some(ADMISSION_ALPN) {
                        return room.serve(stream, peer).await;
                    }
                    match admissions {
                        Some(admissions) => admissions.accepted(stream).await,
                        None => {
                            tracing::warn!(%peer, "a node asks who may publish and watch; nobody here knows")
                        }
                    }
                }
            }
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
    Ok(LobbyServer { thread: Arc::new(thread), address })
}

impl LobbyServer {
    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

/// Every edge's link; one thread, never borrowed over an await.
struct Room {
    settings: Settings,
    shared: Arc<Shared>,
    edges: RefCell<BTreeMap<LinkId, Rc<Edge>>>,
    last: Cell<u64>,
}

struct Edge {
    end: RefCell<LobbyEnd>,
    gate: Gate,
    /// Known once HELLO has come.
    hello: RefCell<Option<Hello>>,
}

impl Room {
    /// Batches whose time has come, and waking those who have something to be sent.
    async fn pass_on(&self) {
        loop {
            let (woken, deadline) = {
                let mut source = self.shared.source();
                source.tick(Instant::now());
                let woken: Vec<LinkId> = std::iter::from_fn(|| source.pull_wake()).collect();
                (woken, source.deadline())
            };
            for link in woken {
                if let Some(edge) = self.edges.borrow().get(&link) {
                    edge.gate.wake();
                }
            }
            let wait = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = wait => {}
            }
        }
    }

    async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            for edge in self.edges.borrow().values() {
                edge.end.borrow_mut().set_clock(unix_micros(), now);
                let ticked = edge.end.borrow_mut().tick(now);
                match ticked {
                    Ok(()) => edge.gate.wake(),
                    Err(error) => edge.gate.close(&error.to_string()),
                }
            }
        }
    }

    async fn serve(self: Rc<Self>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        let link = LinkId(self.last.replace(self.last.get() + 1));
        if !self.shared.source().joined(link) {
            tracing::warn!(%peer, limit = chat::limits::LINKS, "too many edges: one is refused");
            return;
        }
        let names = crate::certs::names(stream.get_ref().1.peer_certificates());
        let edge = Rc::new(Edge {
            end: RefCell::new(LobbyEnd::new(names, Heartbeat::default(), Instant::now())),
            gate: Gate::default(),
            hello: RefCell::new(None),
        });
        self.edges.borrow_mut().insert(link, edge.clone());
        let received = |bytes: &[u8]| {
            edge.end.borrow_mut().received(bytes, Instant::now());
            if let Err(error) = self.hear(link, &edge) {
                tracing::warn!(%peer, %error, "an edge's link is refused");
                edge.gate.close(&error.to_string());
            }
            // PINGs are answered, and what it has not is sent.
            edge.gate.wake();
        };
        let transmit = |_, out: &mut Vec<u8>| {
            let mut end = edge.end.borrow_mut();
            while end.takes_more()
                && let Some(payload) = self.pull(link)
            {
                end.tell(ToEdge::Chat(payload));
            }
            end.transmit(out);
        };
        let Over { why, .. } = pump(stream, &edge.gate, received, transmit).await;
        self.shared.source().left(link);
        self.edges.borrow_mut().remove(&link);
        match edge.hello.borrow().as_ref() {
            Some(hello) => tracing::info!(edge = %hello.node, why, "an edge is gone"),
            None => tracing::debug!(%peer, why, "a connection is over"),
        }
    }

    fn pull(&self, link: LinkId) -> Option<Bytes> {
        self.shared.source().pull(link)
    }

    fn hear(&self, link: LinkId, edge: &Edge) -> Result<(), ControlError> {
        while let Some(word) = { edge.end.borrow_mut().pull()? } {
            match word {
                ToLobby::Hello(hello) if hello.role == Role::Edge => {
                    tracing::info!(edge = %hello.node, version = hello.version, "an edge is there");
                    edge.hello.replace(Some(hello));
                    let Settings { node, version, .. } = self.settings.clone();
                    let (role, layer) = (Role::Lobby, Layer::INGEST);
                    let welcome = Welcome { node, role, version, ingests: Vec::new(), layer };
                    edge.end.borrow_mut().tell(ToEdge::Welcome(welcome));
                }
                ToLobby::Hello(hello) => {
                    let (found, allowed) = (format!("{:?}", hello.role), "an edge");
                    return Err(WireError::Bad { what: "HELLO", field: "role", found, allowed }.into());
                }
                ToLobby::Chat(payload) => {
                    let word = Word::decode(&payload).map_err(|error| WireError::Bad {
                        what: "CHAT",
                        field: "payload",
                        found: error.to_string(),
                        allowed: "a word of chat",
                    })?;
                    self.shared.source().heard(link, word);
                    self.shared.changed.notify_one();
                }
            }
        }
        Ok(())
    }
}
