//! The edge's end: dials the lobby, dials again, and tells what is new in its rooms.
//!
//! What was heard stays while the lobby is away; when it is there again it is told how far that goes.

use crate::Stop;
use crate::fan::dial::{chance, dial};
use crate::fan::lobbies::{Lobbies, Turns};
use crate::fan::pump::{Gate, LOOK_EVERY, Over, pump, unix_micros};
use crate::fan::thread::FanThread;
use chat::{Follower, Word};
use edgefan::control::ControlError;
use edgefan::lobby::{EdgeEnd, ToEdge};
use edgefan::{Heartbeat, Hello, Layer, NodeId, Role, WireError};
use rustls::ClientConfig;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A link that lasted this long was a good one: the next wait is short.
const GOOD_LINK: Duration = Duration::from_secs(2);

/// How an edge is set up towards a lobby.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this edge is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// Where lobbies are dialled, in turn.
    pub lobby: Lobbies,
}

/// What the edge learns.
#[derive(Clone, Debug)]
pub enum Told {
    /// The lobby is there.
    Up {
        /// Who it is.
        node: NodeId,
    },
    /// News of a room, for every core.
    Chat(chat::Told),
    /// It is gone, or not there yet; it is dialled again.
    Down {
        /// Why.
        why: String,
    },
}

/// The link; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct LobbyClient {
    thread: Arc<FanThread>,
}

/// Dials, on a thread of its own; `on_told` is called on that thread and should return soon.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    settings: Settings,
    tls: Arc<ClientConfig>,
    on_told: impl FnMut(Told) + Send + 'static,
) -> io::Result<LobbyClient> {
    let thread = FanThread::start("fan-lobby", Stop::new(), move |stop| async move {
        let room = Room {
            settings,
            process: chance().max(1),
            follower: RefCell::new(Follower::new()),
            end: RefCell::new(None),
            on_told: RefCell::new(Box::new(on_told)),
        };
        tokio::select! {
            () = stop.wait() => {}
            () = room.keep(tls) => {}
            () = room.watch() => {}
        }
    })?;
    Ok(LobbyClient { thread: Arc::new(thread) })
}

impl LobbyClient {
    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

/// One thread, never borrowed over an await.
struct Room {
    settings: Settings,
    process: u64,
    follower: RefCell<Follower>,
    end: RefCell<Option<Rc<Linked>>>,
    on_told: RefCell<Box<dyn FnMut(Told)>>,
}

struct Linked {
    end: RefCell<EdgeEnd>,
    gate: Gate,
}

impl Room {
    fn tell(&self, told: Told) {
        (self.on_told.borrow_mut())(told);
    }

    async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            let Some(linked) = self.end.borrow().clone() else { continue };
            linked.end.borrow_mut().set_clock(unix_micros(), now);
            let ticked = linked.end.borrow_mut().tick(now);
            match ticked {
                Ok(()) => linked.gate.wake(),
                Err(error) => linked.gate.close(&error.to_string()),
            }
        }
    }

    async fn keep(&self, tls: Arc<ClientConfig>) {
        let mut turns = Turns::new(self.settings.lobby.clone());
        loop {
            let (lobby, mut lasted) = (turns.address().clone(), Duration::ZERO);
            let why = match dial(&lobby, tls.clone()).await {
                Ok(stream) => {
                    let began = Instant::now();
                    let why = self.run(stream).await;
                    lasted = began.elapsed();
                    why
                }
                Err(error) => error.to_string(),
            };
            let wait = turns.next(lasted > GOOD_LINK);
            tracing::warn!(%lobby, why, ?wait, "the lobby is not there: dialling again");
            self.tell(Told::Down { why });
            tokio::time::sleep(wait).await;
        }
    }

    async fn run(&self, stream: Stream) -> String {
        let Settings { node, version, .. } = self.settings.clone();
        let hello = Hello {
            node,
            role: Role::Edge,
            version,
            link: chance(),
            connection: 0,
            media_connections: 0,
            edge: None,
            process: self.process,
            layer: Layer::LAST,
        };
        let names = crate::certs::names(stream.get_ref().1.peer_certificates());
        let mut end = EdgeEnd::new(hello, names, Heartbeat::default(), Instant::now());
        end.chat(self.follower.borrow().have().encode());
        let linked = Rc::new(Linked { end: RefCell::new(end), gate: Gate::default() });
        self.end.replace(Some(linked.clone()));
        let received = |bytes: &[u8]| {
            linked.end.borrow_mut().received(bytes, Instant::now());
            if let Err(error) = self.hear(&linked) {
                linked.gate.close(&error.to_string());
            }
            // PINGs are answered.
            linked.gate.wake();
        };
        let transmit = |_, out: &mut Vec<u8>| linked.end.borrow_mut().transmit(out);
        let Over { why, .. } = pump(stream, &linked.gate, received, transmit).await;
        self.end.replace(None);
        why
    }

    fn hear(&self, linked: &Linked) -> Result<(), ControlError> {
        while let Some(word) = { linked.end.borrow_mut().pull()? } {
            match word {
                ToEdge::Welcome(welcome) => self.tell(Told::Up { node: welcome.node }),
                ToEdge::Chat(payload) => {
                    let word = Word::decode(&payload).map_err(|error| WireError::Bad {
                        what: "CHAT",
                        field: "payload",
                        found: error.to_string(),
                        allowed: "a word of chat",
                    })?;
                    self.follower.borrow_mut().push(word);
                    while let Some(told) = { self.follower.borrow_mut().pull() } {
                        self.tell(Told::Chat(told));
                    }
                }
            }
        }
        Ok(())
    }
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;
