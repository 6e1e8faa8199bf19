//! The ingest's end: accepts links of edges and sends them what the [`Feed`] is given.

pub use super::feed::Feed;

use super::feed::{Fed, Queue};
use super::listen;
use super::pump::{Gate, LOOK_EVERY, Over, pump, unix_micros};
use super::thread::FanThread;
use super::twin::TwinLink;
use crate::Stop;
use crate::certs::TWIN_ALPN;
use edgefan::{
    ConnectionId, Heartbeat, Layer, NodeId, Publisher, PublisherCounters, PublisherEvent, PublisherSettings,
    Role,
};
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Things taken from the feed before links have their turn.
const TAKEN_AT_ONCE: usize = 256;

/// How a publisher is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this ingest is.
    pub node: NodeId,
    /// Its software, for the other end's log.
    pub version: String,
    /// Where edges dial; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Bytes of the window held for late joiners; [`edgefan::limits::HUB_BYTES`] is ordinary.
    pub hub_bytes: usize,
}

/// The running publisher; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Publishing {
    thread: Arc<FanThread>,
    address: SocketAddr,
    counters: Arc<Mutex<PublisherCounters>>,
}

/// Listens, and serves every edge that shows a certificate of the cluster, on a thread of its own.
pub fn start(settings: Settings, tls: Arc<ServerConfig>) -> io::Result<(Feed, Publishing)> {
    start_beside(settings, tls, None)
}

/// The same; a connection that speaks `twin/1` is given to `twin`.
pub fn start_beside(
    settings: Settings,
    tls: Arc<ServerConfig>,
    twin: Option<TwinLink>,
) -> io::Result<(Feed, Publishing)> {
    let listener = listen::bind(settings.listen)?;
    serve(PublisherRoom { settings, role: Role::Ingest, layer: Layer::INGEST }, listener, tls, twin)
}

/// The same for an edge on this layer that feeds other edges, on a socket it has already.
pub fn start_relay(
    settings: Settings,
    layer: Layer,
    listener: std::net::TcpListener,
    tls: Arc<ServerConfig>,
) -> io::Result<(Feed, Publishing)> {
    listener.set_nonblocking(true)?;
    serve(PublisherRoom { settings, role: Role::Edge, layer }, listener, tls, None)
}

/// What a publisher is.
struct PublisherRoom {
    settings: Settings,
    role: Role,
    layer: Layer,
}

fn serve(
    of: PublisherRoom,
    listener: std::net::TcpListener,
    tls: Arc<ServerConfig>,
    twin: Option<TwinLink>,
) -> io::Result<(Feed, Publishing)> {
    let address = listener.local_addr()?;
    let (feed, queue) = Feed::new();
    let counters = Arc::new(Mutex::new(PublisherCounters::default()));
    let shown = counters.clone();
    let thread = FanThread::start("fan-publisher", Stop::new(), move |stop| async move {
        let room = Rc::new(Room::new(of));
        let serve = {
            let room = room.clone();
            move |stream: TlsStream<TcpStream>, peer| {
                let (room, twin) = (room.clone(), twin.clone());
                async move {
                    if stream.get_ref().1.alpn_protocol() != Some(TWIN_ALPN) {
                        return room.serve(stream, peer).await;
                    }
                    match twin {
                        Some(twin) => twin.accepted(stream).await,
                        None => tracing::warn!(%peer, "a node takes this one for its twin; it has none"),
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
            () = room.feed(&queue) => {}
            () = room.watch(&shown) => {}
        }
        queue.close();
    })?;
    Ok((feed, Publishing { thread: Arc::new(thread), address, counters }))
}

impl Publishing {
    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted, a moment ago.
    pub fn counters(&self) -> PublisherCounters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

/// The publisher and its connections' gates; one thread, never borrowed over an await.
struct Room {
    publisher: RefCell<Publisher>,
    gates: RefCell<HashMap<ConnectionId, Rc<Gate>>>,
    next: Cell<u64>,
}

impl Room {
    fn new(PublisherRoom { settings, role, layer }: PublisherRoom) -> Self {
        let Settings { node, version, hub_bytes, .. } = settings;
        let (heartbeat, makes_gaps) = (Heartbeat::default(), role == Role::Ingest);
        let settings = PublisherSettings { node, version, heartbeat, hub_bytes, role, layer, makes_gaps };
        Self {
            publisher: RefCell::new(Publisher::new(settings)),
            gates: RefCell::default(),
            next: Cell::new(0),
        }
    }

    /// Does what the publisher wants done.
    fn follow(&self) {
        while let Some(event) = { self.publisher.borrow_mut().pull() } {
            match event {
                PublisherEvent::Wake(connection) => {
                    if let Some(gate) = self.gates.borrow().get(&connection) {
                        gate.wake();
                    }
                }
                PublisherEvent::Close { connection, why } => {
                    if let Some(gate) = self.gates.borrow_mut().remove(&connection) {
                        gate.close(&why);
                    }
                }
                PublisherEvent::LinkUp { node } => tracing::info!(%node, "an edge is there"),
                PublisherEvent::LinkDown { node, why } => tracing::warn!(%node, why, "an edge is gone"),
            }
        }
    }

    async fn feed(&self, queue: &Queue) {
        loop {
            for fed in queue.take(TAKEN_AT_ONCE).await {
                let mut publisher = self.publisher.borrow_mut();
                match fed {
                    Fed::Stream(facts) => publisher.stream(facts),
                    Fed::Open(key, start, discontinuity) => publisher.open(&key, start, discontinuity),
                    Fed::Bytes(key, bytes) => publisher.bytes(&key, bytes),
                    Fed::Close(key, facts, made) => publisher.close(&key, &facts, made),
                    Fed::Skip(key, facts) => publisher.skip(&key, facts),
                    Fed::Lane(lane) => publisher.lane(lane),
                    Fed::End(broadcast, run) => publisher.end(&broadcast, run, Instant::now()),
                }
            }
            self.follow();
            tokio::task::yield_now().await;
        }
    }

    async fn watch(&self, shown: &Mutex<PublisherCounters>) {
        loop {
            let now = Instant::now();
            let look = self.publisher.borrow().deadline().map_or(LOOK_EVERY, |at| at - now).min(LOOK_EVERY);
            tokio::time::sleep(look).await;
            let now = Instant::now();
            self.publisher.borrow_mut().set_clock(unix_micros(), now);
            self.publisher.borrow_mut().tick(now);
            self.follow();
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = self.publisher.borrow().counters();
        }
    }

    async fn serve(self: Rc<Self>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        let id = ConnectionId(self.next.replace(self.next.get() + 1));
        let gate = Rc::new(Gate::default());
        self.gates.borrow_mut().insert(id, gate.clone());
        let names = crate::certs::names(stream.get_ref().1.peer_certificates());
        self.publisher.borrow_mut().accept_from(id, names, Instant::now());
        self.follow();
        let received = |bytes: &[u8]| {
            self.publisher.borrow_mut().received(id, bytes, Instant::now());
            self.follow();
        };
        let transmit = |budget, out: &mut Vec<u8>| {
            self.publisher.borrow_mut().transmit(id, budget, out);
            self.follow();
        };
        let Over { why, .. } = pump(stream, &gate, received, transmit).await;
        tracing::debug!(%peer, why, "a connection of an edge is over");
        self.publisher.borrow_mut().lost(id, &why);
        self.gates.borrow_mut().remove(&id);
        self.follow();
    }
}
