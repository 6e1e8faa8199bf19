//! A balancer's word to the others: dials each, and says to all what it is given.

use crate::Stop;
use crate::fan::dial::{Backoff, chance, dial};
use crate::fan::pump::{Gate, LOOK_EVERY, Over, pump};
use crate::fan::thread::FanThread;
use edgefan::{Address, Heartbeat, Hello, NodeId, PeerEnd, PeerWord, Role};
use rustls::ClientConfig;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;

/// A link that lasted this long was a good one: the next wait is short.
const GOOD_LINK: Duration = Duration::from_secs(2);

/// Words that wait for the links' thread. At the bound the newest is lost: reservations, which the edges' own
/// heartbeats make good, and counts of viewers, of which the next come in a second.
const PEER_WORDS: usize = 1024;

/// How it is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this balancer is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// The others' control doors; one of them may be its own.
    pub peers: Vec<Address>,
}

/// The balancer's word to all others at once; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Peers {
    _thread: Arc<FanThread>,
    words: Sender<PeerWord>,
    seals: Arc<Mutex<Option<PeerWord>>>,
    aside: Arc<watch::Sender<bool>>,
}

impl Peers {
    /// Lets go of the links while a successor has them, or a predecessor still has; of two processes with one name
    /// each would end the other's.
    pub fn stand_aside(&self, is_aside: bool) {
        self.aside.send_replace(is_aside);
    }

    /// Says it to whoever is linked; never waits. SEALS is said to each that comes later too.
    pub fn say(&self, word: PeerWord) {
        if matches!(word, PeerWord::Seals { .. }) {
            // Whole before anything could panic.
            *self.seals.lock().unwrap_or_else(PoisonError::into_inner) = Some(word.clone());
        }
        let _ = self.words.try_send(word);
    }
}

/// Dials, on a thread of its own; once [`Peers::stand_aside`] says so, if it begins aside.
pub fn start(settings: Settings, tls: Arc<ClientConfig>, is_aside: bool) -> io::Result<Peers> {
    let (words, said) = channel(PEER_WORDS);
    let seals = Arc::default();
    let aside = Arc::new(watch::Sender::new(is_aside));
    let room = (settings, Arc::clone(&seals), aside.subscribe());
    let thread = FanThread::start("peers", Stop::new(), move |stop| async move {
        let (settings, seals, aside) = room;
        let room = Rc::new(Room { settings, seals, aside, ends: RefCell::default() });
        for peer in room.settings.peers.clone() {
            tokio::task::spawn_local(room.clone().keep(peer, tls.clone()));
        }
        tokio::select! {
            () = stop.wait() => {}
            () = room.watch() => {}
            () = room.let_go() => {}
            () = room.pass_on(said) => stop.wait().await,
        }
    })?;
    Ok(Peers { _thread: Arc::new(thread), words, seals, aside })
}

struct Room {
    settings: Settings,
    seals: Arc<Mutex<Option<PeerWord>>>,
    aside: watch::Receiver<bool>,
    ends: RefCell<HashMap<Address, Rc<End>>>,
}

struct End {
    end: RefCell<PeerEnd>,
    gate: Gate,
}

impl Room {
    async fn pass_on(&self, mut said: Receiver<PeerWord>) {
        while let Some(word) = said.recv().await {
            for end in self.ends.borrow().values() {
                end.end.borrow_mut().say(&word);
                end.gate.wake();
            }
        }
    }

    async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            for end in self.ends.borrow().values() {
                match end.end.borrow_mut().tick(now) {
                    Ok(()) => end.gate.wake(),
                    Err(error) => end.gate.close(&error.to_string()),
                }
            }
        }
    }

    /// Closes what is linked whenever we are to stand aside.
    async fn let_go(&self) {
        let mut aside = self.aside.clone();
        while aside.wait_for(|is_aside| *is_aside).await.is_ok() {
            self.ends
                .borrow()
                .values()
                .for_each(|end| end.gate.close("another process of this balancer has the links"));
            if aside.changed().await.is_err() {
                return;
            }
        }
    }

    /// Dials one balancer for ever; it may be gone for days.
    async fn keep(self: Rc<Self>, peer: Address, tls: Arc<ClientConfig>) {
        let mut backoff = Backoff::new();
        let mut is_told = false;
        let mut aside = self.aside.clone();
        // The balancer ends with the other half.
        while aside.wait_for(|is_aside| !is_aside).await.is_ok() {
            let began = Instant::now();
            let why = match dial(&peer, tls.clone()).await {
                // Aside since it was dialled: nobody would close it any more.
                Ok(_) if *aside.borrow() => continue,
                Ok(stream) => {
                    let why = self.run(&peer, stream).await;
                    is_told = false;
                    why
                }
                Err(error) => error.to_string(),
            };
            if *aside.borrow() {
                continue;
            }
            if began.elapsed() > GOOD_LINK {
                backoff.reset();
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(%peer, why, "another balancer cannot be reached: dialling it again and again");
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    async fn run(
        &self,
        peer: &Address,
        stream: tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
    ) -> String {
        let hello = Hello {
            node: self.settings.node.clone(),
            role: Role::Balancer,
            version: self.settings.version.clone(),
            link: chance(),
            connection: 0,
            media_connections: 0,
            edge: None,
            process: 0,
            layer: edgefan::Layer::LAST,
        };
        let mut end = PeerEnd::new(hello, Heartbeat::default(), Instant::now());
        if let Some(seals) = &*self.seals.lock().unwrap_or_else(PoisonError::into_inner) {
            end.say(seals);
        }
        let end = Rc::new(End { end: RefCell::new(end), gate: Gate::default() });
        self.ends.borrow_mut().insert(peer.clone(), end.clone());
        let received = |bytes: &[u8]| {
            let mut room = end.end.borrow_mut();
            room.received(bytes, Instant::now());
            loop {
                match room.pull() {
                    Ok(None) => break,
                    Ok(Some(welcome)) => {
                        tracing::info!(%peer, node = %welcome.node, "another balancer is there")
                    }
                    Err(error) => {
                        end.gate.close(&error.to_string());
                        break;
                    }
                }
            }
            end.gate.wake();
        };
        let transmit = |_, out: &mut Vec<u8>| end.end.borrow_mut().transmit(out);
        let Over { why, .. } = pump(stream, &end.gate, received, transmit).await;
        self.ends.borrow_mut().remove(peer);
        why
    }
}
