//! An ingest's link to its twin: dialled if an address is set, and accepted beside the edges' links in any case.
//!
//! Does not live here: which of two connections stays, and what is said (`twin::Link`); what it leads to (the ingest).

use super::dial::{Backoff, chance, dial};
use super::pump::{Gate, LOOK_EVERY, Over, pump};
use super::thread::FanThread;
use crate::Stop;
use crate::certs::TWIN_ALPN;
use edgefan::{Address, ConnectionId, NodeId};
use media::BroadcastId;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use twin::{Link, LinkEvent, Lost, Said};

/// A connection that was not wanted because there is another: looked again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How a link to the twin is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this ingest is.
    pub node: NodeId,
    /// Its software, for the other end's log.
    pub version: String,
    /// Where the twin is dialled; `None`: it dials us.
    pub twin: Option<Address>,
}

/// The link; clones are the same one.
#[derive(Clone)]
pub struct TwinLink {
    room: Arc<Room>,
    thread: Option<Arc<FanThread>>,
}

impl std::fmt::Debug for TwinLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwinLink").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}

struct Room {
    link: Mutex<Link>,
    gates: Mutex<HashMap<ConnectionId, Arc<Gate>>>,
    /// Held while events are told, so that they are told in order.
    listener: Mutex<Listener>,
    next: AtomicU64,
}

#[derive(Default)]
struct Listener {
    on_event: Option<Box<dyn FnMut(LinkEvent) + Send>>,
    /// What nobody has listened to yet.
    untold: Vec<LinkEvent>,
}

/// Dials, on a thread of its own.
pub fn start(settings: Settings, tls: Arc<ClientConfig>) -> io::Result<TwinLink> {
    let mut tls = (*tls).clone();
    tls.alpn_protocols = vec![TWIN_ALPN.to_vec()];
    let tls = Arc::new(tls);
    let Settings { node, version, twin } = settings;
    let room = Arc::new(Room {
        link: Mutex::new(Link::new(node, chance(), version)),
        gates: Mutex::default(),
        listener: Mutex::default(),
        next: AtomicU64::new(0),
    });
    let dialling = room.clone();
    let thread = FanThread::start("fan-twin", Stop::new(), move |stop| async move {
        tokio::select! {
            () = stop.wait() => {}
            () = dialling.watch() => {}
            () = dialling.keep(twin, tls) => {}
        }
    })?;
    Ok(TwinLink { room, thread: Some(Arc::new(thread)) })
}

impl TwinLink {
    /// From now on `on_event` hears [`LinkEvent::Up`], `Down`, `Said` and `Dropped`. It should return soon, and says
    /// nothing to the link from within.
    pub fn listen(&self, on_event: impl FnMut(LinkEvent) + Send + 'static) {
        let mut listener = locked(&self.room.listener);
        let mut on_event: Box<dyn FnMut(LinkEvent) + Send> = Box::new(on_event);
        listener.untold.drain(..).for_each(&mut on_event);
        listener.on_event = Some(on_event);
    }

    /// Says something of a broadcast, if the twin is there.
    pub fn say(&self, broadcast: &BroadcastId, said: Said) {
        self.room.link().say(broadcast, said);
        self.room.follow();
    }

    /// The twin is there.
    pub fn is_up(&self) -> bool {
        self.room.link().is_up()
    }

    /// Nothing more is dialled, and what was said is sent, for as long as a heartbeat.
    pub fn stop(&self) {
        if let Some(thread) = &self.thread {
            std::thread::sleep(edgefan::limits::HEARTBEAT / 2);
            thread.stop();
        }
    }

    /// A connection that the twin has dialled, until its end.
    pub(super) async fn accepted(&self, stream: impl AsyncRead + AsyncWrite) {
        let Over { why, .. } = self.room.serve(stream, false).await;
        tracing::debug!(why, "a connection of the twin is over");
    }
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under it is whole before anything could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Room {
    fn link(&self) -> MutexGuard<'_, Link> {
        locked(&self.link)
    }

    /// Does what the link wants done, and tells what it has found.
    fn follow(&self) {
        let mut listener = locked(&self.listener);
        while let Some(event) = { self.link().pull() } {
            match event {
                LinkEvent::Wake(id) => {
                    if let Some(gate) = locked(&self.gates).get(&id) {
                        gate.wake();
                    }
                }
                LinkEvent::Close { connection, why } => {
                    if let Some(gate) = locked(&self.gates).get(&connection) {
                        gate.close(&why);
                    }
                }
                event => match &mut listener.on_event {
                    Some(on_event) => on_event(event),
                    None => listener.untold.push(event),
                },
            }
        }
    }

    async fn watch(&self) {
        loop {
            let now = Instant::now();
            let look = self.link().deadline().map_or(LOOK_EVERY, |at| at - now).min(LOOK_EVERY);
            tokio::time::sleep(look).await;
            self.link().tick(Instant::now());
            self.follow();
        }
    }

    /// Dials for as long as there is no link.
    async fn keep(&self, twin: Option<Address>, tls: Arc<ClientConfig>) {
        let Some(address) = twin else { return std::future::pending().await };
        let mut backoff = Backoff::new();
        loop {
            if self.link().is_up() {
                backoff.reset();
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            let why = match dial(&address, tls.clone()).await {
                Ok(stream) => {
                    let began = Instant::now();
                    let Over { why, is_garbled } = self.serve(stream, true).await;
                    // Who was heard a moment ago waits for us.
                    if is_garbled || began.elapsed() > LOOK_AGAIN * 5 {
                        backoff.reset();
                    }
                    why
                }
                Err(error) => error.to_string(),
            };
            let wait = backoff.wait();
            tracing::debug!(twin = %address, why, ?wait, "the twin is not there by this connection");
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection from its first word to its end; answers why it ended.
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite, is_ours: bool) -> Over {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let gate = Arc::new(Gate::default());
        locked(&self.gates).insert(id, gate.clone());
        self.link().opened(id, is_ours, Instant::now());
        self.follow();
        let received = |bytes: &[u8]| {
            self.link().received(id, bytes, Instant::now());
            self.follow();
        };
        let transmit = |budget, out: &mut Vec<u8>| self.link().transmit(id, budget, out);
        let over = pump(stream, &gate, received, transmit).await;
        let lost = if over.is_garbled { Lost::Garbled } else { Lost::Gone };
        self.link().closed(id, lost, &over.why);
        locked(&self.gates).remove(&id);
        self.follow();
        over
    }
}
