//! The balancer as a process: listeners, threads, the operator's panel, and a clean end. The only file that wires.

use crate::core::Core;
use crate::desk::Desk;
use crate::events::Chronicle;
use crate::hub::{self, Event, Fleet, Hub, WAITING_EVENTS};
use crate::keyring::Keyring;
use crate::l4::L4Stop;
use crate::metrics::{Counts, Exporter};
use crate::nodes::{self, Nodes};
use crate::rulings::Rulings;
use crate::succession::{Ports, Succeeded};
use crate::switch::Board;
use crate::told::Teller;
use crate::{Settings, api, directory, keys, l4, probe, succession, switch};
use node::certs::Shown;
use node::fan::admission::{self, AdmissionClient};
use node::fan::control::peers;
use node::fan::control::server::{self, ControlServer};
use node::operator::{Panel, Readiness};
use node::{Drain, Node};
use percore::rustls::ServerConfig;
use percore::{Config, CoreIndex, Listen, TlsSource};
use prometheus_client::registry::Registry;
use routing::Health;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Why a balancer cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LbError {
    /// A ticket key cannot be read.
    #[error("lb.tickets.{setting}: {error}")]
    KeyFile {
        /// Which setting.
        setting: &'static str,
        /// Why; names the file.
        error: std::io::Error,
    },
    /// A ticket key is none.
    #[error("lb.tickets.{setting}, {}: {error}", path.display())]
    Key {
        /// Which setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ticket::KeyError,
    },
    /// The cluster's certificates, or the one shown to viewers, cannot be read.
    #[error(transparent)]
    Certificate(#[from] node::certs::CertificateError),
    /// The control listener is not to be had.
    #[error("lb.control {address}: {error}")]
    Control {
        /// Its value.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// What is passed through cannot be listened to.
    #[error("lb.l4: {0}")]
    L4(std::io::Error),
    /// Viewers cannot be listened to.
    #[error("lb.http or lb.https: {0}")]
    Start(#[from] percore::StartError),
    /// A predecessor could not be relieved, or the sockets cannot be offered.
    #[error("operator.handover {}: {error}", path.display())]
    Handover {
        /// Its value.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The directory cannot be opened.
    #[error("lb.directory: {0}")]
    Directory(node::directory::DirectoryError),
    /// No thread.
    #[error("the balancer's threads: {0}")]
    Thread(std::io::Error),
    /// A core ended by a panic.
    #[error(transparent)]
    Core(#[from] percore::CorePanicked),
}

/// Where a running balancer listens; for tests, which ask for port 0.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// HTTPS, if there is any.
    pub https: Option<SocketAddr>,
    /// Control links.
    pub control: SocketAddr,
    /// What is passed through, in the order of the settings.
    pub l4: Vec<SocketAddr>,
}

/// Runs until `node.stop` is signalled.
pub fn run(settings: Settings, node: Node) -> Result<(), LbError> {
    run_telling(settings, node, |_| ())
}

/// The same; `is_listening` hears the addresses once everything is open.
pub fn run_telling(
    settings: Settings,
    node: Node,
    is_listening: impl FnOnce(Addresses),
) -> Result<(), LbError> {
    let ring = keys::read(&settings.tickets)?;
    let keys = ring.openers();
    let (tls, shown) = settings.https.map(|_| tls(&node, &keys)).transpose()?.unzip();
    let mut ports = Ports::default();
    let config = config(&settings, &node, tls.as_ref(), &mut ports)?;
    let control_tls = node.certificates.cluster_server_config()?;

    let counts: Vec<Arc<Counts>> = (0..config.core_count()).map(|_| Arc::default()).collect();
    let cores = Arc::new(OnceLock::new());
    let (events, heard) = sync_channel(WAITING_EVENTS);
    let running = percore::start(config, {
        let (settings, keys, counts, cores) = (settings.clone(), keys.clone(), counts.clone(), cores.clone());
        let events = events.clone();
        move |CoreIndex(index)| {
            let desk = Desk::new(&settings, keys.clone(), counts[index].clone());
            Core::new(desk, cores.clone(), events.clone())
        }
    })?;
    let handle = cores.get_or_init(|| running.handle()).clone();

    let chronicle = Chronicle::new(node.events.clone());
    let fleet = Arc::new(Mutex::new(Fleet { chronicle, ..Fleet::default() }));
    let control = control(&settings, &node, &keys, control_tls, &mut ports, events.clone())?;
    let peers = peers(&settings, &node)?;
    let hub = Hub {
        node: settings.id.0.clone(),
        fleet: fleet.clone(),
        teller: Teller::new(handle.clone()),
        keyring: Keyring::new(ring, settings.tickets.clone(), control.clone(), tls.clone()),
        peers: peers.clone(),
        held: None,
        discretion: settings.discretion(),
    };
    let lobby = lobby(&settings, &node, events.clone())?;
    let hub = std::thread::Builder::new().name("hub".into()).spawn(move || hub.run(&heard));
    let hub = hub.map_err(LbError::Thread)?;
    control.set_eager(settings.eager.value() as usize);
    let rulings = Rulings::new(events.clone(), control.clone());
    let following = directory::start(&settings.directory, rulings, control.clone(), &node.stop)?;
    start_probe(&settings, &node, &fleet, &events)?;
    let passed = Arc::default();
    let l4_doors = l4::doors(&settings.l4, |name, address| ports.listen(&node, name, address));
    let (l4_doors, l4_addresses) = l4_doors.map_err(LbError::L4)?;
    let exporter = Exporter { l4: Arc::clone(&passed), cores: counts, runtime: handle, fleet: fleet.clone() };
    let nodes = nodes(&settings, &node)?;
    let board = Board {
        directory: settings.directory.clone(),
        nodes: nodes.clone(),
        fleet: fleet.clone(),
        events: node.events.clone(),
    };
    let admin = keys::admin(settings.tickets.clone(), events.clone()).merge(switch::admin(board));
    let mut panel = panel(settings.id.to_string(), exporter, fleet.clone(), nodes, node.drain.clone(), admin);
    panel.registry.register_collector(Box::new(directory::Exporter { following, control: control.clone() }));
    if let Some(shown) = shown {
        shown.register(panel.registry.sub_registry_with_prefix("mascaret_lb"));
    }
    node.operator.open(panel);

    let listening = running.addresses().to_vec();
    let addresses = Addresses {
        http: listening.first().copied().unwrap_or(settings.http.0),
        https: listening.get(1).copied(),
        control: control.address(),
        l4: l4_addresses,
    };
    tracing::info!(http = %addresses.http, https = ?addresses.https, control = %addresses.control, l4 = ?addresses.l4, "listening");
    is_listening(addresses);
    wait_for_an_edge(&node, &fleet);
    let is_handed_over = Arc::new(AtomicBool::new(node.sockets.outlive_us()));
    let predecessor = succession::inherit(&node, &fleet)?;
    if let Some(peers) = &peers {
        peers.stand_aside(false);
    }
    running.accept();
    let l4_stop = L4Stop { stop: node.stop.clone(), within: settings.drain.duration() };
    let l4 = l4::start(&settings.l4, l4_doors, &fleet, &passed, l4_stop).map_err(LbError::L4)?;
    let succeeded = Succeeded {
        fleet: fleet.clone(),
        events: events.clone(),
        control: control.clone(),
        is_handed_over: is_handed_over.clone(),
        stop: node.stop.clone(),
    };
    let offer = succession::succeed(&node, predecessor, ports, succeeded)?;
    node.service.is_ready();
    node.stop.wait_blocking();

    drop(offer);
    if is_handed_over.load(Ordering::Acquire) {
        running.hand_over(settings.drain.duration());
    } else {
        running.drain(settings.drain.duration());
    }
    let ended = running.join();
    if l4.is_some_and(|thread| thread.join().is_err()) {
        tracing::error!("the thread of lb.l4 panicked");
    }
    control.stop();
    drop(lobby);
    let _ = events.send(Event::End);
    if hub.join().is_err() {
        tracing::error!("the hub panicked");
    }
    Ok(ended?)
}

/// Listens for edges; what comes before the hub listens waits for it.
fn control(
    settings: &Settings,
    node: &Node,
    keys: &ticket::Keys,
    tls: Arc<ServerConfig>,
    ports: &mut Ports,
    events: SyncSender<Event>,
) -> Result<ControlServer, LbError> {
    let told = server::Settings {
        node: settings.id.0.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        listen: settings.control.0,
        ingests: settings.ingests.iter().map(|ingest| ingest.0.clone()).collect(),
        keys: keys::for_links(keys.iter()),
    };
    let failed = |error| LbError::Control { address: settings.control.0, error };
    let door = ports.listen(node, "control", settings.control.0).map_err(failed)?;
    // The hub is gone only when the program ends.
    let on_event = move |event| drop(events.send(Event::Control(event)));
    server::start_on(door, told, tls, on_event).map_err(failed)
}

/// Asks edges themselves how they are, if the settings say so.
fn start_probe(
    settings: &Settings,
    node: &Node,
    fleet: &Arc<Mutex<Fleet>>,
    events: &SyncSender<Event>,
) -> Result<(), LbError> {
    if settings.probe.value() == 0 {
        return Ok(());
    }
    let (interval, stop) = (settings.probe.duration(), node.stop.clone());
    let (fleet, events) = (fleet.clone(), events.clone());
    std::thread::Builder::new()
        .name("probe".into())
        .spawn(move || probe::run(interval, &fleet, &events, &stop))
        .map(drop)
        .map_err(LbError::Thread)
}

/// Links to the other balancers, if there are any.
fn peers(settings: &Settings, node: &Node) -> Result<Option<peers::Peers>, LbError> {
    if settings.peers.is_empty() {
        return Ok(None);
    }
    let peers = peers::Settings {
        node: settings.id.0.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        peers: settings.peers.iter().map(|peer| peer.0.clone()).collect(),
    };
    let tls = node.certificates.cluster_client_config()?;
    let is_aside = node.handover.has_predecessor();
    peers::start(peers, tls, is_aside).map(Some).map_err(LbError::Thread)
}

/// The link to the lobby, if there is one.
fn lobby(
    settings: &Settings,
    node: &Node,
    events: SyncSender<Event>,
) -> Result<Option<AdmissionClient>, LbError> {
    let Some(at) = &settings.lobby else { return Ok(None) };
    let tls = node.certificates.cluster_client_config()?;
    // The hub is gone only when the program ends.
    let on_news = move |news| drop(events.send(Event::Lobby(news)));
    admission::start(at.0.clone(), tls, on_news).map(Some).map_err(LbError::Thread)
}

/// Those that the settings name, asked from now on.
fn nodes(settings: &Settings, node: &Node) -> Result<Nodes, LbError> {
    let named: Vec<SocketAddr> = settings.nodes.iter().map(|node| node.0).collect();
    let nodes = Nodes::new(&named);
    if !named.is_empty() {
        let (nodes, events, stop) = (nodes.clone(), node.events.clone(), node.stop.clone());
        std::thread::Builder::new()
            .name("nodes".into())
            .spawn(move || nodes::run(&nodes, &events, &stop))
            .map_err(LbError::Thread)?;
    }
    Ok(nodes)
}

/// Where somebody keeps our sockets over a restart, who comes waits in their queue rather than to be told that there is
/// no edge: edges dial within a second.
const EDGE_WITHIN: Duration = Duration::from_secs(3);

/// Where all are late, viewers are sent there all the same.
fn may_serve(health: Health) -> bool {
    matches!(health, Health::Ready | Health::Lagging)
}

fn wait_for_an_edge(node: &Node, fleet: &Mutex<Fleet>) {
    let until = Instant::now() + EDGE_WITHIN;
    let is_ready = || hub::lock(fleet).router.edges().any(|(_, edge)| may_serve(edge.health(Instant::now())));
    while node.sockets.outlive_us() && Instant::now() < until && !is_ready() {
        if node.stop.wait_timeout(Duration::from_millis(10)) {
            return;
        }
    }
}

fn config(
    settings: &Settings,
    node: &Node,
    tls: Option<&TlsSource>,
    ports: &mut Ports,
) -> Result<Config, LbError> {
    node::descriptors::raise();
    let config = Config {
        cores: settings.cores.value() as usize,
        pin: settings.pin,
        driver: settings.driver.0,
        waits: true,
        ..Config::default()
    };
    let count = config.core_count();
    let mut on = |name, listen: Listen| {
        let listen = if settings.shared_port { listen.shared() } else { listen };
        ports.open(node, name, listen, &config.limits, count)
    };
    let mut listeners = vec![on("http", Listen::plain(settings.http.0))?];
    if let (Some(https), Some(tls)) = (settings.https, tls) {
        listeners.push(on("https", Listen::tls(https.0, tls.clone()))?);
    }
    Ok(Config { listeners, ..config })
}

/// The certificate that viewers are shown, and read again when somebody asks for it.
fn tls(node: &Node, keys: &ticket::Keys) -> Result<(TlsSource, Shown), LbError> {
    let (chain, key) = node.certificates.https_leaf()?;
    let shown = Shown::of(&chain);
    let source = TlsSource::new(chain, key).map_err(|error| node.certificates.https_misfit(&error))?;
    keys::share(&source, keys);
    let followed = source.clone();
    node.certificates.follow_https(&node.reload, &shown, move |chain, key| followed.replace(chain, key));
    Ok((source, shown))
}

fn panel(
    balancer: String,
    exporter: Exporter,
    fleet: Arc<Mutex<Fleet>>,
    nodes: Nodes,
    drain: Drain,
    admin: axum::Router,
) -> Panel {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(exporter));
    let readiness = {
        let fleet = fleet.clone();
        move || {
            if drain.is_draining() {
                return Readiness::Draining("told to by the operator".into());
            }
            let (fleet, now) = (hub::lock(&fleet), Instant::now());
            match fleet.router.edges().any(|(_, edge)| may_serve(edge.health(now))) {
                true => Readiness::Ready,
                false => Readiness::NotFed("no edge is ready".into()),
            }
        }
    };
    let status = move || {
        let fleet = hub::lock(&fleet);
        let mut status = api::cluster(&balancer, &fleet.router, &fleet.pathways, Instant::now());
        status["ticket_keys"] = fleet.key_ids.clone().into();
        status["peers"] = fleet.peers.iter().map(ToString::to_string).collect::<Vec<_>>().into();
        // An operator sees what is private too.
        let mut broadcasts = api::broadcasts(&fleet.router, &fleet.audience.watched, |_| true);
        status["broadcasts"] = broadcasts["broadcasts"].take();
        drop(fleet);
        status["nodes"] = nodes.to_json(Instant::now());
        status
    };
    Panel { registry, readiness: Box::new(readiness), status: Box::new(status), admin }
}
