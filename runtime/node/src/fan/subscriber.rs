//! The edge's end: dials every ingest, dials again, and tells of each object once.

use super::dial::{Backoff, chance, dial};
use super::feed::Feed;
use super::pump::{Gate, LOOK_EVERY, Over, is_garbled_handshake, pump, unix_micros};
use super::thread::FanThread;
use crate::Stop;
use edgefan::{
    Address, Event, Layer, Names, NodeId, Relay, Relayed, SourceId, Subscriber, SubscriberCounters,
    SubscriberOrder, SubscriberSettings,
};
use rustls::ClientConfig;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A link that lasted this long was a good one: the next wait is short.
const GOOD_LINK: Duration = Duration::from_secs(2);

/// Handshakes of one connection that are garbled before its link waits and dials anew.
const HANDSHAKES: u32 = 3;

/// How a subscriber is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this edge is.
    pub node: NodeId,
    /// Its software, for the other end's log.
    pub version: String,
    /// The ingests known from the start; may be empty.
    pub ingests: Vec<Address>,
    /// Bytes of objects that are not complete yet; [`edgefan::limits::ASSEMBLY_BYTES`] is ordinary.
    pub assembly_bytes: usize,
}

/// The running subscriber; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Subscription {
    thread: Arc<FanThread>,
    ingests: watch::Sender<Vec<Address>>,
    counters: Arc<Mutex<SubscriberCounters>>,
}

/// Dials, on a thread of its own; `on_event` is called on that thread and should return soon.
pub fn start(
    settings: Settings,
    tls: Arc<ClientConfig>,
    on_event: impl FnMut(Event) + Send + 'static,
) -> io::Result<Subscription> {
    run(settings, None, tls, on_event)
}

/// The same for an edge on this layer that feeds others: what comes in goes into the feed of its own publisher
/// ([`super::publisher::start_relay`]) while it comes.
pub fn start_relaying(
    settings: Settings,
    layer: Layer,
    feed: Feed,
    tls: Arc<ClientConfig>,
    on_event: impl FnMut(Event) + Send + 'static,
) -> io::Result<Subscription> {
    run(settings, Some((layer, feed)), tls, on_event)
}

fn run(
    settings: Settings,
    relaying: Option<(Layer, Feed)>,
    tls: Arc<ClientConfig>,
    on_event: impl FnMut(Event) + Send + 'static,
) -> io::Result<Subscription> {
    let (ingests, changed) = watch::channel(settings.ingests.clone());
    let counters = Arc::new(Mutex::new(SubscriberCounters::default()));
    let shown = counters.clone();
    let thread = FanThread::start("fan-subscriber", Stop::new(), move |stop| async move {
        let room = Rc::new(Room::new(settings, relaying, on_event));
        tokio::select! {
            () = stop.wait() => {}
            () = room.clone().dial_all(changed, tls) => {}
            () = room.watch(&shown) => {}
        }
    })?;
    Ok(Subscription { thread: Arc::new(thread), ingests, counters })
}

impl Subscription {
    /// From now on these ingests: new ones are dialled, those no longer named are let go.
    pub fn set_ingests(&self, ingests: Vec<Address>) {
        self.ingests.send_if_modified(|known| {
            let is_new = *known != ingests;
            *known = ingests;
            is_new
        });
    }

    /// What it has counted, a moment ago.
    pub fn counters(&self) -> SubscriberCounters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}

/// The subscriber and its connections' gates; one thread, never borrowed over an await.
struct Room {
    subscriber: RefCell<Subscriber>,
    gates: RefCell<HashMap<(SourceId, usize), Rc<Gate>>>,
    on_event: RefCell<Box<dyn FnMut(Event)>>,
    relaying: Option<(RefCell<Relay>, Feed)>,
}

impl Room {
    fn new(
        settings: Settings,
        relaying: Option<(Layer, Feed)>,
        on_event: impl FnMut(Event) + 'static,
    ) -> Self {
        let Settings { node, version, assembly_bytes, .. } = settings;
        let layer = relaying.as_ref().map_or(Layer::LAST, |(layer, _)| *layer);
        let settings = SubscriberSettings {
            version,
            assembly_bytes,
            process: chance().max(1),
            layer,
            relays: relaying.is_some(),
            ..SubscriberSettings::new(node)
        };
        Self {
            relaying: relaying.map(|(_, feed)| (RefCell::new(Relay::new()), feed)),
            subscriber: RefCell::new(Subscriber::new(settings)),
            gates: RefCell::default(),
            on_event: RefCell::new(Box::new(on_event)),
        }
    }

    /// Tells the edge what the subscriber has found, and does what it wants done.
    fn follow(&self) {
        if let Some((relay, _)) = &self.relaying {
            while let Some(forward) = { self.subscriber.borrow_mut().pull_forward() } {
                relay.borrow_mut().forward(forward);
            }
            self.relay();
        }
        while let Some(event) = { self.subscriber.borrow_mut().pull() } {
            // Others first: the edge's own line may let us wait.
            if let Some((relay, _)) = &self.relaying {
                relay.borrow_mut().push(&event, Instant::now());
                self.relay();
            }
            (self.on_event.borrow_mut())(event);
        }
        while let Some(order) = { self.subscriber.borrow_mut().pull_order() } {
            let gates = self.gates.borrow();
            match order {
                SubscriberOrder::Wake { source, connection } => {
                    if let Some(gate) = gates.get(&(source, connection)) {
                        gate.wake();
                    }
                }
                SubscriberOrder::Close { source, why } => {
                    for (_, gate) in gates.iter().filter(|((of, _), _)| *of == source) {
                        gate.close(&why);
                    }
                }
            }
        }
    }

    /// From the relay into the publisher's feed.
    fn relay(&self) {
        let Some((relay, feed)) = &self.relaying else { return };
        while let Some(relayed) = { relay.borrow_mut().pull() } {
            match relayed {
                Relayed::Stream(facts) => feed.stream(facts),
                Relayed::Lane(lane) => feed.lane(lane),
                Relayed::Open(key, start, discontinuity) => feed.open(key, start, discontinuity),
                Relayed::Bytes(key, bytes) => feed.bytes(key, bytes),
                Relayed::Close(key, facts, made) => {
                    feed.close_made(key, facts, made.unwrap_or_else(Instant::now));
                }
                Relayed::Skip(key, facts) => feed.skip(key, facts),
                Relayed::End(broadcast, run) => feed.end(broadcast, run),
            }
        }
    }

    async fn watch(&self, shown: &Mutex<SubscriberCounters>) {
        loop {
            let now = Instant::now();
            let look = self.subscriber.borrow().deadline().map_or(LOOK_EVERY, |at| at - now).min(LOOK_EVERY);
            tokio::time::sleep(look).await;
            let now = Instant::now();
            self.subscriber.borrow_mut().set_clock(unix_micros(), now);
            self.subscriber.borrow_mut().tick(now);
            self.relaying.iter().for_each(|(relay, _)| relay.borrow_mut().tick(now));
            self.follow();
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = self.subscriber.borrow().counters();
        }
    }

    /// Keeps a task per ingest, as many as the list names now.
    async fn dial_all(self: Rc<Self>, mut list: watch::Receiver<Vec<Address>>, tls: Arc<ClientConfig>) {
        // An address keeps its number for as long as the program runs: events name sources by it.
        let mut numbers: Vec<Address> = Vec::new();
        let mut tasks: HashMap<Address, AbortHandle> = HashMap::new();
        let mut running = JoinSet::new();
        loop {
            let wanted = list.borrow_and_update().clone();
            tasks.retain(|address, task| {
                let is_wanted = wanted.contains(address);
                if !is_wanted {
                    task.abort();
                    self.let_go(number(&mut numbers, address), "no longer named");
                }
                is_wanted
            });
            for address in wanted {
                let source = number(&mut numbers, &address);
                tasks
                    .entry(address.clone())
                    .or_insert_with(|| running.spawn_local(self.clone().keep(source, address, tls.clone())));
            }
            if list.changed().await.is_err() {
                // The handle is gone; so will be this thread.
                return std::future::pending().await;
            }
        }
    }

    /// Dials one ingest for as long as it is wanted.
    async fn keep(self: Rc<Self>, source: SourceId, address: Address, tls: Arc<ClientConfig>) {
        let mut backoff = Backoff::new();
        loop {
            let began = Instant::now();
            let (why, is_there) = match self.connect(&address, &tls).await {
                Ok(streams) => {
                    let Over { why, is_garbled } = self.run(source, streams).await;
                    // Who sent what was garbled on the way is there.
                    (why, is_garbled || began.elapsed() > GOOD_LINK)
                }
                // So is who answered a handshake that was garbled.
                Err(error) => (error.to_string(), is_garbled_handshake(&error)),
            };
            if is_there {
                backoff.reset();
            }
            let wait = backoff.wait();
            tracing::warn!(ingest = %address, why, ?wait, "an ingest is not there: dialling again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn connect(&self, address: &Address, tls: &Arc<ClientConfig>) -> io::Result<Vec<Stream>> {
        let count = self.subscriber.borrow().connections();
        let mut dialling = JoinSet::new();
        for _ in 0..count {
            let (address, tls) = (address.clone(), tls.clone());
            dialling.spawn_local(async move { dial_through(&address, &tls).await });
        }
        let mut streams = Vec::with_capacity(count);
        while let Some(dialled) = dialling.join_next().await {
            streams.push(dialled.map_err(io::Error::other)??);
        }
        Ok(streams)
    }

    /// One link from its first HELLO to its end; answers why it ended.
    async fn run(self: &Rc<Self>, source: SourceId, streams: Vec<Stream>) -> Over {
        let mut pumps = JoinSet::new();
        let names: Vec<Names> = streams
            .iter()
            .map(|stream| crate::certs::names(stream.get_ref().1.peer_certificates()))
            .collect();
        for (connection, stream) in streams.into_iter().enumerate() {
            let gate = Rc::new(Gate::default());
            self.gates.borrow_mut().insert((source, connection), gate.clone());
            let room = self.clone();
            pumps.spawn_local(async move {
                let received = |bytes: &[u8]| {
                    room.subscriber.borrow_mut().received(source, connection, bytes, Instant::now());
                    room.follow();
                };
                let transmit = |_, out: &mut Vec<u8>| {
                    room.subscriber.borrow_mut().transmit(source, connection, out);
                };
                pump(stream, &gate, received, transmit).await
            });
        }
        self.subscriber.borrow_mut().dialled_to(source, chance(), names, Instant::now());
        self.follow();
        let over = match pumps.join_next().await {
            Some(Ok(over)) => over,
            _ => Over { why: "a connection's task failed".to_owned(), is_garbled: false },
        };
        self.let_go(source, &over.why);
        over
    }

    fn let_go(&self, source: SourceId, why: &str) {
        self.gates.borrow_mut().retain(|(of, _), _| *of != source);
        self.subscriber.borrow_mut().lost(source, why, Instant::now());
        self.follow();
    }
}

/// One connection; one whose handshake was garbled is dialled again alone, and those beside it stay. A link has three,
/// each some ten segments of TCP before its first word: where one in fifty is garbled a link would be there every second
/// time, and the connections that came through would be thrown away with the one that did not.
async fn dial_through(address: &Address, tls: &Arc<ClientConfig>) -> io::Result<Stream> {
    let mut again = HANDSHAKES;
    loop {
        again -= 1;
        match dial(address, tls.clone()).await {
            Err(error) if again > 0 && is_garbled_handshake(&error) => {
                tracing::debug!(ingest = %address, %error, "a handshake was garbled: once more");
            }
            dialled => return dialled,
        }
    }
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

fn number(numbers: &mut Vec<Address>, address: &Address) -> SourceId {
    let index = numbers.iter().position(|known| known == address).unwrap_or_else(|| {
        numbers.push(address.clone());
        numbers.len() - 1
    });
    SourceId(index as u32)
}
