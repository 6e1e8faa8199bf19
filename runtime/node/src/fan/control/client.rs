//! The edge's end: dials every balancer and says how it is doing each heartbeat.

use crate::Stop;
use crate::fan::dial::{Backoff, chance, dial};
use crate::fan::pump::{Gate, LOOK_EVERY, Over, pump, unix_micros};
use crate::fan::thread::FanThread;
use edgefan::control::{ControlError, EdgeEnd, EdgeWord, ToEdge};
use edgefan::{
    Address, EdgeFacts, Heartbeat, Hello, Layer, Load, Names, NodeId, Role, Standing, TicketKey, Welcome,
};
use media::{BroadcastId, RunId, StreamFacts};
use rustls::ClientConfig;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

/// A link that lasted this long was a good one: the next wait is short.
const GOOD_LINK: Duration = Duration::from_secs(2);

/// How an edge is set up towards balancers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this edge is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// Its URLs, capacity and weight.
    pub edge: EdgeFacts,
    /// The balancers known from the start.
    pub balancers: Vec<Address>,
}

/// What a balancer told this edge.
#[derive(Clone, Debug)]
pub enum Told {
    /// It is there, and names the ingests; again when they change.
    Welcome {
        /// Which.
        balancer: Address,
        /// Who it is, and the ingests.
        welcome: Welcome,
    },
    /// The keys tickets are checked with: all that are valid now.
    Keys {
        /// Which.
        balancer: Address,
        /// The current one first.
        keys: Vec<TicketKey>,
    },
    /// What the operator wants of this edge.
    Standing {
        /// Which.
        balancer: Address,
        /// Active, drain or maintenance.
        standing: Standing,
    },
    /// It is gone, or not there yet; it is dialled again.
    Down {
        /// Which.
        balancer: Address,
        /// Why.
        why: String,
    },
}

/// The edge's word to all balancers at once; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct ControlClient {
    thread: Arc<FanThread>,
    balancers: watch::Sender<Vec<Address>>,
    said: Arc<Said>,
}

/// What the edge has said, shared with the thread that carries it.
#[derive(Debug, Default)]
struct Said {
    word: Mutex<Word>,
    changed: Notify,
}

/// Bounded by the number of broadcasts, however often they change: only the latest of each is kept.
#[derive(Debug, Default)]
struct Word {
    now: EdgeWord,
    /// Broadcasts of which there is news for links that are up: `None` says that there are new facts.
    news: BTreeMap<BroadcastId, Option<RunId>>,
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, Word> {
        // Every change is whole before anything could panic.
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dials, on a thread of its own; `on_told` is called on that thread and should return soon.
pub fn start(
    settings: Settings,
    tls: Arc<ClientConfig>,
    on_told: impl FnMut(Told) + Send + 'static,
) -> io::Result<ControlClient> {
    let (balancers, list) = watch::channel(settings.balancers.clone());
    let said = Arc::new(Said::default());
    let heard = said.clone();
    let thread = FanThread::start("control-client", Stop::new(), move |stop| async move {
        let room = Rc::new(Room {
            settings,
            process: chance().max(1),
            said: heard,
            ends: RefCell::default(),
            on_told: RefCell::new(Box::new(on_told)),
        });
        tokio::select! {
            () = stop.wait() => {}
            () = room.clone().dial_all(list, tls) => {}
            () = room.watch() => {}
            () = room.pass_on() => {}
        }
    })?;
    Ok(ControlClient { thread: Arc::new(thread), balancers, said })
}

impl ControlClient {
    /// How the edge is doing; the latest word is repeated each heartbeat until there is a newer one.
    pub fn load(&self, load: Load) {
        self.said.lock().now.load(load);
    }

    /// What a broadcast is; told to every balancer now, and to each that comes later.
    pub fn stream(&self, facts: StreamFacts) {
        let mut word = self.said.lock();
        if word.now.stream(&facts) {
            word.news.insert(facts.broadcast, None);
            drop(word);
            self.said.changed.notify_one();
        }
    }

    /// A broadcast is no longer here.
    pub fn end(&self, broadcast: BroadcastId, run: RunId) {
        let mut word = self.said.lock();
        if word.now.end(&broadcast) {
            word.news.insert(broadcast, Some(run));
            drop(word);
            self.said.changed.notify_one();
        }
    }

    /// From now on these balancers.
    pub fn set_balancers(&self, balancers: Vec<Address>) {
        self.balancers.send_if_modified(|known| {
            let is_new = *known != balancers;
            *known = balancers;
            is_new
        });
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

struct Room {
    settings: Settings,
    process: u64,
    said: Arc<Said>,
    ends: RefCell<HashMap<Address, Rc<End>>>,
    on_told: RefCell<Box<dyn FnMut(Told)>>,
}

struct End {
    end: RefCell<EdgeEnd>,
    gate: Gate,
    /// What the balancer's certificate says.
    names: Names,
}

impl Room {
    fn tell(&self, told: Told) {
        (self.on_told.borrow_mut())(told);
    }

    /// Hands news of broadcasts to every link that is up.
    async fn pass_on(&self) {
        loop {
            self.said.changed.notified().await;
            let mut word = self.said.lock();
            let news = std::mem::take(&mut word.news);
            for end in self.ends.borrow().values() {
                for (broadcast, ended) in &news {
                    match (ended, word.now.find(broadcast)) {
                        (_, Some(facts)) => end.end.borrow_mut().stream(facts),
                        (Some(run), None) => end.end.borrow_mut().broadcast_ended(broadcast.clone(), *run),
                        (None, None) => {}
                    }
                }
                end.gate.wake();
            }
        }
    }

    async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            for end in self.ends.borrow().values() {
                end.end.borrow_mut().set_clock(unix_micros(), now);
                match end.end.borrow_mut().tick(&self.said.lock().now, now) {
                    Ok(()) => end.gate.wake(),
                    Err(error) => end.gate.close(&error.to_string()),
                }
            }
        }
    }

    /// Keeps a task per balancer, as many as the list names now.
    async fn dial_all(self: Rc<Self>, mut list: watch::Receiver<Vec<Address>>, tls: Arc<ClientConfig>) {
        let mut tasks: HashMap<Address, AbortHandle> = HashMap::new();
        let mut running = JoinSet::new();
        loop {
            let wanted = list.borrow_and_update().clone();
            tasks.retain(|address, task| {
                let is_wanted = wanted.contains(address);
                if !is_wanted {
                    task.abort();
                    self.ends.borrow_mut().remove(address);
                    self.tell(Told::Down { balancer: address.clone(), why: "no longer named".into() });
                }
                is_wanted
            });
            for address in wanted {
                tasks
                    .entry(address.clone())
                    .or_insert_with(|| running.spawn_local(self.clone().keep(address, tls.clone())));
            }
            if list.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Dials one balancer for as long as it is wanted.
    async fn keep(self: Rc<Self>, balancer: Address, tls: Arc<ClientConfig>) {
        let mut backoff = Backoff::new();
        loop {
            let began = Instant::now();
            let why = match dial(&balancer, tls.clone()).await {
                Ok(stream) => self.run(&balancer, stream).await,
                Err(error) => error.to_string(),
            };
            if began.elapsed() > GOOD_LINK {
                backoff.reset();
            }
            let wait = backoff.wait();
            tracing::warn!(%balancer, why, ?wait, "a balancer is not there: dialling again");
            self.tell(Told::Down { balancer: balancer.clone(), why });
            tokio::time::sleep(wait).await;
        }
    }

    async fn run(&self, balancer: &Address, stream: Stream) -> String {
        let hello = Hello {
            node: self.settings.node.clone(),
            role: Role::Edge,
            version: self.settings.version.clone(),
            link: chance(),
            connection: 0,
            media_connections: 0,
            edge: Some(self.settings.edge.clone()),
            process: self.process,
            layer: Layer::LAST,
        };
        let end = EdgeEnd::new(hello, &self.said.lock().now, Heartbeat::default(), Instant::now());
        let names = crate::certs::names(stream.get_ref().1.peer_certificates());
        let end = Rc::new(End { end: RefCell::new(end), gate: Gate::default(), names });
        self.ends.borrow_mut().insert(balancer.clone(), end.clone());
        let received = |bytes: &[u8]| {
            end.end.borrow_mut().received(bytes, Instant::now());
            if let Err(error) = self.hear(balancer, &end) {
                end.gate.close(&error.to_string());
            }
            // PINGs are answered.
            end.gate.wake();
        };
        let transmit = |_, out: &mut Vec<u8>| end.end.borrow_mut().transmit(out);
        let Over { why, .. } = pump(stream, &end.gate, received, transmit).await;
        self.ends.borrow_mut().remove(balancer);
        why
    }

    fn hear(&self, balancer: &Address, end: &End) -> Result<(), ControlError> {
        let balancer = || balancer.clone();
        while let Some(word) = { end.end.borrow_mut().pull()? } {
            self.tell(match word {
                ToEdge::Welcome(welcome) => {
                    end.names.check("WELCOME", &welcome.node)?;
                    Told::Welcome { balancer: balancer(), welcome }
                }
                ToEdge::Keys(keys) => Told::Keys { balancer: balancer(), keys },
                ToEdge::Standing(standing) => Told::Standing { balancer: balancer(), standing },
            });
        }
        Ok(())
    }
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;
