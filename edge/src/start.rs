//! An edge from its settings to running threads, and back.

use crate::agent::{self, Worth};
use crate::board::Board;
use crate::counts::CoreRequests;
use crate::line::{Line, Rules};
use crate::links::{dial_balancers, dial_lobby, start_relay, subscribe};
use crate::orders::Orders;
use crate::panel::Sources;
use crate::privacy::{LobbyWord, Patience, Remembered};
use crate::settings::Settings;
use crate::shell::{LineThread, WORDS};
use crate::succession::{Ports, Succeeded, succeed};
use crate::viewers::{Updates, Viewers};
use delivery::Policy;
use media::BitRate;
use node::Node;
use node::certs::Shown;
use node::fan::admission::AdmissionClient;
use node::fan::control::client::ControlClient;
use node::fan::lobby::client::LobbyClient;
use node::fan::publisher;
use node::fan::subscriber::Subscription;
use node::handover::Offer;
use percore::{Handle, Inode, InodeStore, Listen, TlsSource};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why an edge cannot run.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Certificates of the cluster, or the one shown to viewers, are not to be had.
    #[error(transparent)]
    Certificates(#[from] node::certs::CertificateError),
    /// The file with the ticket key is not to be used.
    #[error("ticket_key: {0}")]
    TicketKey(String),
    /// The directory for segments is not to be used.
    #[error("segment_store {}: {error}", path.display())]
    SegmentStore {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Viewers cannot be listened for.
    #[error(transparent)]
    Viewers(#[from] percore::StartError),
    /// Other edges cannot be listened for.
    #[error("relay.listen {address}: {error}")]
    Relay {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// A link's thread could not be started.
    #[error("{what}: {error}")]
    Thread {
        /// Which.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// A predecessor could not be relieved, or the sockets cannot be offered.
    #[error("operator.handover {}: {error}", path.display())]
    Handover {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A core panicked; a defect.
    #[error(transparent)]
    Core(#[from] percore::CorePanicked),
}

/// A running edge.
#[derive(Debug)]
pub struct Running {
    cores: percore::Running<Updates>,
    line: Option<JoinHandle<()>>,
    links: (Subscription, Option<ControlClient>),
    lobby: Option<(LobbyClient, AdmissionClient)>,
    /// What feeds other edges.
    relay: Option<publisher::Publishing>,
    has_left: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    /// A successor serves at our address, or will.
    is_handed_over: Arc<AtomicBool>,
    offer: Option<Offer>,
    drain_steer: Duration,
    drain: Duration,
}

/// Runs an edge until `node.stop` is signalled, then lets its viewers go.
///
/// # Errors
/// Something the settings name is not to be had, or a core panicked.
pub fn run(settings: Settings, node: Node) -> Result<(), EdgeError> {
    let stop = node.stop.clone();
    let running = start(settings, &node)?;
    stop.wait_blocking();
    running.end()
}

/// Starts an edge; returns when it listens.
///
/// # Errors
/// Something the settings name is not to be had.
pub fn start(settings: Settings, node: &Node) -> Result<Running, EdgeError> {
    let own_keys = own_keys(&settings)?;
    let store = store(&settings)?;
    let tls_of_links = node.certificates.cluster_client_config()?;
    let (tls, shown) = settings.https.map(|_| https_source(node)).transpose()?.unzip();
    let (cores, counts, mut ports) = start_cores(&settings, node, tls.as_ref())?;
    let relay = start_relay(&settings, node, &mut ports)?;
    let board = Arc::new(Board::default());
    open_panel(&settings, node, &board, counts, cores.handle(), shown);
    start_agent(&settings, node, &board)?;

    let (tell, words) = crossbeam_channel::bounded(WORDS);
    let own_ingests = settings.ingests.iter().map(|ingest| ingest.0.clone()).collect();
    let feeds = settings.feeds.iter().map(|feed| feed.0.clone()).collect();
    let orders = Orders::new(own_ingests, own_keys).fed_by(feeds);
    let subscription = subscribe(&settings, &orders, relay.as_ref(), &tls_of_links, tell.clone())?;
    let control = dial_balancers(&settings, cores.addresses(), relay.as_ref(), &tls_of_links, tell.clone())?;
    let lobby = dial_lobby(&settings, &tls_of_links, &tell)?;

    let remembered = Remembered::within(settings.state.as_deref());
    let rules = rules(&settings, &remembered);
    let (has_left, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let is_handed_over = Arc::new(AtomicBool::new(node.sockets.outlive_us()));
    let line = LineThread {
        line: Line::new(rules, Box::new(move |head, body| store.write(head, body).map(Arc::new))),
        orders,
        words,
        tls,
        cores: cores.handle(),
        subscription: subscription.clone(),
        relay: relay.as_ref().map(|relay| relay.publishing.clone()),
        control: control.clone(),
        is_lobby_up: lobby.is_some().then_some(false),
        lobby_since: std::time::SystemTime::now(),
        remembered,
        board: Arc::clone(&board),
        stop: node.stop.clone(),
        drain: node.drain.clone(),
        has_left: Arc::clone(&has_left),
        is_over: Arc::clone(&is_over),
        drain_steer: settings.drain_steer.duration(),
        held: None,
        clocks_off: HashSet::new(),
        service: node.service.clone(),
        is_handed_over: Arc::clone(&is_handed_over),
    };
    let line = std::thread::Builder::new()
        .name("line".into())
        .spawn(move || line.run())
        .map_err(|error| EdgeError::Thread { what: "the line", error })?;
    let succeeded = Succeeded { tell, is_handed_over: Arc::clone(&is_handed_over), stop: node.stop.clone() };
    let mut running = Running {
        cores,
        line: Some(line),
        links: (subscription, control),
        lobby,
        relay: relay.map(|relay| relay.publishing),
        has_left,
        is_over,
        is_handed_over,
        offer: None,
        drain_steer: settings.drain_steer.duration(),
        drain: settings.drain.duration(),
    };
    match succeed(node, &settings, ports, &board, &running.cores.handle(), succeeded) {
        Ok(offer) => running.offer = offer,
        Err(error) => {
            // Nobody has come to us yet.
            running.drain_steer = Duration::ZERO;
            node.stop.signal();
            running.end()?;
            return Err(error);
        }
    }
    tracing::info!(id = %settings.id, addresses = ?running.addresses(), "edge listens");
    node.service.is_ready();
    Ok(running)
}

/// Where segments are kept.
fn store(settings: &Settings) -> Result<InodeStore, EdgeError> {
    let Some(path) = &settings.segment_store else {
        let (store, why) = InodeStore::best();
        let why = why.map(|error| format!("no huge pages: {error}"));
        tracing::info!(%store, why, "segments are kept in");
        return Ok(store);
    };
    InodeStore::directory(path).map_err(|error| EdgeError::SegmentStore { path: path.clone(), error })
}

fn open_panel(
    settings: &Settings,
    node: &Node,
    board: &Arc<Board>,
    counts: Arc<[Arc<CoreRequests>]>,
    handle: Handle<Updates>,
    shown: Option<Shown>,
) {
    let mut panel = Sources {
        id: settings.id.to_string(),
        board: Arc::clone(board),
        cores: counts,
        snapshot: Box::new(move || handle.counters()),
    }
    .panel();
    if let Some(shown) = shown {
        shown.register(&mut panel.registry);
    }
    node.operator.open(panel);
}

/// Answers for HAProxy, if the settings say so.
fn start_agent(settings: &Settings, node: &Node, board: &Arc<Board>) -> Result<(), EdgeError> {
    let Some(listen) = settings.agent_check else { return Ok(()) };
    let worth =
        Worth { capacity: BitRate(settings.capacity.bits_per_second()), weight: settings.weight.value() };
    agent::start(listen.0, worth, Arc::clone(board), node.stop.clone(), |_| ())
        .map_err(|error| EdgeError::Thread { what: "agent_check", error })
}

/// What the line goes by, with what is known of the lobby's word from an earlier life.
fn rules(settings: &Settings, remembered: &Remembered) -> Rules {
    let lobby = match (&settings.lobby, remembered.read()) {
        (None, _) => LobbyWord::None,
        (Some(_), None) => LobbyWord::Awaited(match settings.first_word.duration() {
            Duration::ZERO => Patience::Endless,
            so_long => Patience::For(so_long),
        }),
        (Some(_), Some(names)) => LobbyWord::Private(names),
    };
    Rules {
        lobby,
        cors: settings.cors.0.clone(),
        private: settings.private.iter().map(|broadcast| broadcast.0.clone()).collect(),
        blocking_reload: settings.blocking_reload,
        window_bytes: settings.window_memory.bytes(),
        keep_ended: settings.keep_ended.duration(),
    }
}

type Started = (percore::Running<Updates>, Arc<[Arc<CoreRequests>]>, Ports);

fn start_cores(settings: &Settings, node: &Node, tls: Option<&TlsSource>) -> Result<Started, EdgeError> {
    let mut listeners = vec![Listen::plain(settings.http.0)];
    if let (Some(https), Some(tls)) = (settings.https, tls) {
        listeners.push(Listen::tls(https.0, tls.clone()));
    }
    let mut config = percore::Config {
        listeners,
        cores: usize::try_from(settings.cores.value()).unwrap_or(0),
        pin: settings.pin,
        driver: settings.driver.0,
        data_path: settings.data_path.0,
        kernel_tls: settings.ktls.0,
        limits: percore::Limits::default(),
        proxies: settings.proxies.iter().map(|network| network.0).collect(),
        waits: true,
    };
    let cores = config.core_count();
    config.limits = settings.limits.for_percore(cores, node::descriptors::raise());
    let mut ports = Ports::default();
    for (listen, name) in std::mem::take(&mut config.listeners).into_iter().zip(["http", "https"]) {
        let listen = if settings.shared_port { listen.shared() } else { listen };
        config.listeners.push(ports.open(node, name, listen, &config.limits, cores)?);
    }
    let counts: Arc<[Arc<CoreRequests>]> = (0..config.core_count()).map(|_| Arc::default()).collect();
    let policy = Policy {
        cors: settings.cors.0.clone(),
        edge: Some(settings.id.0.edge.number()),
        waiters: usize::try_from(settings.limits.waiters_per_core.value()).unwrap_or(usize::MAX),
        // Where no lobby is there is no chat.
        readers: match settings.lobby {
            Some(_) => usize::try_from(settings.limits.readers_per_core.value()).unwrap_or(usize::MAX),
            None => 0,
        },
    };
    let of_core = Arc::clone(&counts);
    let cores =
        percore::start(config, move |core| Viewers::new(policy.clone(), Arc::clone(&of_core[core.0])))?;
    Ok((cores, counts, ports))
}

impl Running {
    /// Where other edges dial it, if it relays.
    pub fn relay_address(&self) -> Option<SocketAddr> {
        self.relay.as_ref().map(publisher::Publishing::address)
    }

    /// Where viewers connect: HTTP, then HTTPS if there is any.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.cores.addresses()
    }

    /// Which driver runs.
    pub fn driver(&self) -> percore::DriverReport {
        self.cores.counters().driver
    }

    /// Lets viewers go (`node.stop` must have been signalled: the balancers hear of it from then on), ends all threads.
    ///
    /// # Errors
    /// A core panicked.
    pub fn end(mut self) -> Result<(), EdgeError> {
        // Our copies of the sockets are closed with it.
        drop(self.offer.take());
        if self.is_handed_over.load(Ordering::Acquire) {
            return self.end_relieved();
        }
        let until = Instant::now() + self.drain_steer + POLL * 5;
        while !self.has_left.load(Ordering::Acquire)
            && self.cores.counters().total.open > 0
            && Instant::now() < until
        {
            std::thread::sleep(POLL);
        }
        self.cores.drain(self.drain);
        self.end_line();
        Ok(self.cores.join()?)
    }

    /// Somebody else serves at our address: nobody is sent away, and the line still answers.
    fn end_relieved(mut self) -> Result<(), EdgeError> {
        self.cores.hand_over(self.drain);
        let handle = self.cores.handle();
        let now = Instant::now();
        let (until, heard_by) = (now + self.drain + POLL * 5, now + HEARD_WITHIN.min(self.drain));
        while (handle.counters().total.open > 0 || Instant::now() < heard_by) && Instant::now() < until {
            std::thread::sleep(POLL);
        }
        self.end_line();
        Ok(self.cores.join()?)
    }

    fn end_line(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(line) = self.line.take()
            && line.join().is_err()
        {
            tracing::error!("the line's thread panicked");
        }
        let (subscription, control) = &self.links;
        subscription.stop();
        self.relay.iter().for_each(publisher::Publishing::stop);
        self.lobby.iter().for_each(|(client, _)| client.stop());
        if let Some(control) = control {
            control.stop();
        }
    }
}

/// How long after it was relieved an edge speaks on to balancers at least: by then they have heard its successor say that
/// it is ready.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// How often the way out is looked at.
const POLL: Duration = Duration::from_millis(50);

fn own_keys(settings: &Settings) -> Result<Option<ticket::Keys>, EdgeError> {
    let Some(file) = &settings.ticket_key else { return Ok(None) };
    let text = file.read().map_err(|error| EdgeError::TicketKey(error.to_string()))?;
    let key = ticket::Key::parse(text.reveal()).map_err(|error| EdgeError::TicketKey(error.to_string()))?;
    Ok(Some(ticket::Keys::new(key, None)))
}

/// The certificate that viewers are shown, and read again when somebody asks for it.
fn https_source(node: &Node) -> Result<(TlsSource, Shown), EdgeError> {
    let (chain, key) = node.certificates.https_leaf()?;
    let shown = Shown::of(&chain);
    let source = TlsSource::new(chain, key).map_err(|error| node.certificates.https_misfit(&error))?;
    let followed = source.clone();
    node.certificates.follow_https(&node.reload, &shown, move |chain, key| followed.replace(chain, key));
    Ok((source, shown))
}

// An inode is written once and then only read, from any core.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Inode>();
};
