//! The ingest as a process: listeners, the operator's panel, and a clean end. The only file that wires.

use crate::admitted::Admitted;
use crate::broadcasts::{Broadcasts, Workshop};
use crate::clock::Clock;
use crate::door::Entrance;
use crate::exporter::Exporter;
use crate::failover;
use crate::line::Plan;
use crate::metrics::{Metrics, Parts};
use crate::process::Program;
use crate::remembered::Remembered;
use crate::settings::Settings;
use ::twin::SETTLE_WITHIN;
use media::BroadcastId;
use node::Node;
use node::fan::admission::{AdmissionClient, Standing};
use node::fan::{publisher, twin};
use node::operator::{Panel, Readiness};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Why an ingest cannot run.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// An address is not to be had.
    #[error("ingest.{key} {address}: {error}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// No program to transcode with.
    #[error(transparent)]
    Program(#[from] node::program::NotFound),
    /// Certificates cannot be read.
    #[error(transparent)]
    Certificate(#[from] node::certs::CertificateError),
    /// The runtime cannot be had.
    #[error("the ingest's runtime: {0}")]
    Runtime(std::io::Error),
}

/// How long the broadcasts' last segments may take at the end.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Where a running ingest listens; for tests, which ask for port 0.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: SocketAddr,
    /// RTMPS, if there is any.
    pub rtmps: Option<SocketAddr>,
    /// edgefan/1.
    pub edgefan: SocketAddr,
}

/// Runs until `node.stop` is signalled.
pub fn run(settings: Settings, node: Node) -> Result<(), IngestError> {
    run_telling(settings, node, |_| ())
}

/// The same; `is_listening` hears the addresses once everything is open.
pub fn run_telling(
    settings: Settings,
    node: Node,
    is_listening: impl FnOnce(Addresses),
) -> Result<(), IngestError> {
    let program = Program::find(settings.transcode.as_deref(), settings.transcode_memory.bytes())?;
    let publisher_settings = publisher::Settings {
        node: settings.id.0.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        listen: settings.edgefan.0,
        hub_bytes: edgefan::limits::HUB_BYTES,
    };
    let twin_settings = twin::Settings {
        node: settings.id.0.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        twin: settings.twin.clone().map(|address| address.0),
    };
    let address = settings.edgefan.0;
    let twin = twin::start(twin_settings, node.certificates.cluster_client_config()?)
        .map_err(IngestError::Runtime)?;
    let server = node.certificates.cluster_server_config()?;
    let (feed, publishing) = publisher::start_beside(publisher_settings, server, Some(twin.clone()))
        .map_err(|error| IngestError::Listen { key: "edgefan", address, error })?;
    let tls = match settings.rtmps {
        Some(_) => Some(TlsAcceptor::from(rtmps_config(&node)?)),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("ingest")
        .build()
        .map_err(IngestError::Runtime)?;
    let clock = Clock::start();
    // Without an address of its own an ingest does not know that there is a twin before it is dialled.
    let settles_at = match settings.twin {
        Some(_) => clock.now().instant + SETTLE_WITHIN,
        None => clock.now().instant,
    };
    let lobby = Arc::new(OnceLock::new());
    let workshop = Workshop {
        plan: Plan {
            broadcast: BroadcastId::parse("template").expect("a constant that is a name"),
            grid: settings.grid(),
            window: settings.window.value() as u32,
            grace: settings.grace.duration(),
            ladder: settings.ladder(),
            settles_at,
        },
        program,
        feed,
        remembered: Remembered::new(settings.state.clone()),
        clock,
        twin: Arc::new(OnceLock::from(twin.clone())),
        lobby: lobby.clone(),
    };
    let _on_runtime = runtime.enter();
    let broadcasts =
        Broadcasts::new(workshop, settings.broadcasts.value() as usize, settings.second_publisher);
    let heard = broadcasts.clone();
    twin.listen(move |event| heard.twin(event));
    let metrics = Arc::new(Metrics::default());
    node.operator.open(panel(
        settings.id.0.to_string(),
        &broadcasts,
        &metrics,
        &publishing,
        &twin,
        lobby.clone(),
    ));
    let admitted = match &settings.lobby {
        Some(lobby) => {
            Admitted::asking(settings.keys(), lobby.0.clone(), node.certificates.cluster_client_config()?)
                .map_err(IngestError::Runtime)?
        }
        None => Admitted::by_settings(settings.keys()),
    };
    if let Some(client) = admitted.client() {
        // Set once, here.
        let _ = lobby.set(client);
    }
    let entrance = Entrance {
        broadcasts: broadcasts.clone(),
        keys: Arc::new(admitted),
        limits: rtmp::Limits { silent_after: settings.silence.duration(), ..rtmp::Limits::default() },
        proxies: Arc::new(settings.proxies()),
        places: Arc::new(Semaphore::new(settings.connections.value() as usize)),
        metrics,
    };
    let ended = runtime.block_on(async {
        let plain = listener("rtmp", settings.rtmp.0)?;
        let mut addresses = Addresses { rtmp: settings.rtmp.0, rtmps: None, edgefan: publishing.address() };
        addresses.rtmp = plain.local_addr().unwrap_or(addresses.rtmp);
        let mut tasks = vec![tokio::spawn(entrance.clone().listen(plain, None))];
        if let Some((address, tls)) = settings.rtmps.zip(tls) {
            let listener = listener("rtmps", address.0)?;
            addresses.rtmps = listener.local_addr().ok();
            tasks.push(tokio::spawn(entrance.clone().listen(listener, Some(tls))));
        }
        tracing::info!(rtmp = %addresses.rtmp, edgefan = %addresses.edgefan, "the ingest listens");
        is_listening(addresses);
        node.service.is_ready();
        node.stop.wait().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        // Publishers are let go; what they have sent is made whole and fed.
        broadcasts.end().await;
        let ended = async {
            while !broadcasts.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(END_WITHIN, ended).await;
        Ok(())
    });
    twin.stop();
    publishing.stop();
    ended
}

/// Publishers speak RTMP in it, not HTTP: no ALPN.
fn rtmps_config(node: &Node) -> Result<Arc<rustls::ServerConfig>, IngestError> {
    let mut config = (*node.certificates.https_config()?).clone();
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

fn listener(key: &'static str, address: SocketAddr) -> Result<TcpListener, IngestError> {
    let open = || -> std::io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| IngestError::Listen { key, address, error })
}

/// Whether the lobby is there, and since when.
fn shown(link: &Standing) -> serde_json::Value {
    let since = link.since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    serde_json::json!({ "linked": link.is_up, "since_ms": since, "at": link.lobby })
}

fn panel(
    id: String,
    broadcasts: &Broadcasts,
    metrics: &Metrics,
    publishing: &publisher::Publishing,
    twin: &twin::TwinLink,
    lobby: Arc<OnceLock<AdmissionClient>>,
) -> Panel {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    registry.register_collector(Box::new(Parts { broadcasts: broadcasts.clone(), twin: twin.clone() }));
    let admin = failover::routes(broadcasts.clone());
    let exporter =
        Exporter { broadcasts: broadcasts.clone(), publishing: publishing.clone(), lobby: lobby.clone() };
    registry.register_collector(Box::new(exporter));
    let (broadcasts, publishing, twin) = (broadcasts.clone(), publishing.clone(), twin.clone());
    Panel {
        registry,
        readiness: Box::new(|| Readiness::Ready),
        status: Box::new(move || {
            serde_json::json!({
                "role": "ingest",
                "id": id,
                "lobby": lobby.get().map(|lobby| shown(&lobby.standing())),
                "twin": if twin.is_up() { "there" } else { "not there" },
                "broadcasts": broadcasts.shown(),
                "edgefan": format!("{:?}", publishing.counters()),
            })
        }),
        admin,
    }
}
