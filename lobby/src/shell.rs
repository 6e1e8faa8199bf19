//! The lobby as a process: its store, its listeners, its links. The only file that wires.

use crate::admission::Admission;
use crate::desk::Desk;
use crate::hooks::{Hooks, Reach};
use crate::listener::{Door, Peer, Places};
use crate::lobby::{Lobby, Rates};
use crate::metrics::Counts;
use crate::passwords::Passwords;
use crate::store::{Postgres, Sqlite, Store, StoreError, UnixMillis};
use crate::tickets::TicketKeys;
use crate::{Settings, StoreSettings, http};
use node::Node;
use node::fan::lobby::server::{self, ChatFeed};
use node::operator::{Panel, Readiness};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// How often the store is asked whether it is there, and what is over is removed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often what is over is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// How long requests under way may take at the end.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Why a lobby cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LobbyError {
    /// The store cannot be opened.
    #[error("lobby.store: {0}")]
    Store(#[from] StoreError),
    /// A file with a secret cannot be read.
    #[error("lobby.{setting}: {why}")]
    Secret {
        /// Which setting.
        setting: &'static str,
        /// Why.
        why: String,
    },
    /// An address is not to be had.
    #[error("lobby.{setting} {address}: {error}")]
    Listen {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The certificates.
    #[error(transparent)]
    Certificate(#[from] node::certs::CertificateError),
    /// Threads.
    #[error("the lobby's threads: {0}")]
    Thread(std::io::Error),
}

/// Where a running lobby listens; for tests, which ask for port 0.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// HTTPS, if there is any.
    pub https: Option<SocketAddr>,
    /// Links.
    pub link: SocketAddr,
}

/// The store that the settings name, its tables brought up to date.
pub async fn open_store(settings: &StoreSettings) -> Result<Arc<dyn Store>, LobbyError> {
    let store: Arc<dyn Store> = match &settings.postgresql {
        Some(file) => {
            let why = |error: std::io::Error| LobbyError::Secret {
                setting: "store.postgresql",
                why: error.to_string(),
            };
            let address = file.read().map_err(why)?;
            Arc::new(Postgres::new(address.reveal(), settings.connections.value() as usize)?)
        }
        None => Arc::new(Sqlite::open(&settings.sqlite)?),
    };
    store.migrate().await?;
    Ok(store)
}

/// Runs until `node.stop` is signalled.
pub fn run(settings: Settings, node: Node) -> Result<(), LobbyError> {
    run_telling(settings, node, |_| ())
}

/// The same; `is_listening` hears the addresses once everything is open.
pub fn run_telling(
    settings: Settings,
    node: Node,
    is_listening: impl FnOnce(Addresses),
) -> Result<(), LobbyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lobby")
        .enable_all()
        .build()
        .map_err(LobbyError::Thread)?;
    let ended = runtime.block_on(serve(settings, node, is_listening));
    runtime.shutdown_timeout(END_WITHIN);
    ended
}

fn ticket_keys(settings: &Settings, node: &Node) -> Result<Arc<TicketKeys>, LobbyError> {
    let why = |why: String| LobbyError::Secret { setting: "tickets.key", why };
    let keys = Arc::new(TicketKeys::read(settings.tickets.key.clone()).map_err(why)?);
    let again = keys.clone();
    node.reload.on_reload("lobby.tickets.key", move || again.read_again().map(drop));
    Ok(keys)
}

async fn serve(
    settings: Settings,
    node: Node,
    is_listening: impl FnOnce(Addresses),
) -> Result<(), LobbyError> {
    let store = open_store(&settings.store).await?;
    let counts = Arc::new(Counts::default());
    let reach = if settings.webhooks_inside { Reach::Anywhere } else { Reach::Outside };
    let (hooks, events) = Hooks::new(counts.clone(), reach);
    let runtime = tokio::runtime::Handle::current();
    let admission = Admission::new(runtime, store.clone(), counts.clone(), hooks.clone());
    let feed = ChatFeed::default();
    let (desk, behind) = Desk::new(feed.clone());
    let lobby = Arc::new(Lobby {
        store: store.clone(),
        passwords: Passwords::start(settings.password_threads.value() as usize)
            .map_err(LobbyError::Thread)?,
        rates: Rates::of(&settings),
        desk: desk.clone(),
        admission: admission.clone(),
        reach,
        ticket_keys: ticket_keys(&settings, &node)?,
        share_secret: Lobby::share_secret(&*store).await?,
        counts: counts.clone(),
        settings: settings.clone(),
    });
    lobby.tell_edges().await?;
    let link_settings = server::Settings {
        node: settings.id.0.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        listen: settings.link.0,
    };
    let tls = node.certificates.cluster_server_config()?;
    let links = server::start_beside(link_settings, &feed, tls, Some(admission.links()))
        .map_err(|error| LobbyError::Listen { setting: "link", address: settings.link.0, error })?;
    let is_there = Arc::new(AtomicBool::new(true));
    tokio::spawn(desk.keep_up(store.clone(), behind));
    tokio::spawn(hooks.clone().tell(store.clone(), events));
    tokio::spawn(watch(lobby.clone(), hooks, is_there.clone()));

    let places = Places::new(settings.connections.value(), settings.connections_per_address.value());
    let open = |setting, address, tls| {
        Door::open(address, tls, places.clone()).map_err(|error| LobbyError::Listen {
            setting,
            address,
            error,
        })
    };
    let plain = open("http", settings.http.0, None)?;
    let mut addresses = Addresses { http: plain.address(), https: None, link: links.address() };
    let mut doors = vec![plain];
    if let Some(https) = settings.https {
        let door = open("https", https.0, Some(TlsAcceptor::from(node.certificates.https_config()?)))?;
        addresses.https = Some(door.address());
        doors.push(door);
    }
    let router = http::router(lobby.clone());
    node.operator.open(panel(&settings, &lobby, is_there, admission));
    for door in doors {
        let service = router.clone().into_make_service_with_connect_info::<Peer>();
        let stop = node.stop.clone();
        tokio::spawn(async move {
            let served = axum::serve(door, service).with_graceful_shutdown(async move { stop.wait().await });
            if let Err(error) = served.await {
                tracing::error!(%error, "browsers can no longer be answered");
            }
        });
    }
    tracing::info!(http = %addresses.http, https = ?addresses.https, link = %addresses.link, store = store.kind(), "listening");
    is_listening(addresses);
    node.service.is_ready();
    node.stop.wait().await;
    links.stop();
    Ok(())
}

/// Whether the store is there, what other lobbies have changed, and what is over.
async fn watch(lobby: Arc<Lobby>, hooks: Hooks, is_there: Arc<AtomicBool>) {
    let (mut looks, mut is_key_good) = (0, true);
    loop {
        // `mascaret keys rotate` has a balancer write it, which may be on this machine or not.
        match lobby.ticket_keys.read_again() {
            Ok(is_another) => {
                is_key_good = true;
                if is_another {
                    tracing::info!("tickets are sealed with another key");
                }
            }
            Err(why) => {
                if std::mem::take(&mut is_key_good) {
                    tracing::error!(why, "lobby.tickets.key: stays as it was");
                }
            }
        }
        for broadcast in lobby.admission.on_air().sweep(Instant::now()) {
            hooks.air(broadcast, false);
        }
        let told = lobby.tell_edges().await;
        if is_there.swap(told.is_ok(), Ordering::Relaxed) != told.is_ok() {
            match &told {
                Ok(()) => tracing::info!("the store is there again"),
                Err(error) => tracing::error!(%error, "the store is not there"),
            }
        }
        let (chat, admission) = (lobby.desk.links(), lobby.admission.links().links() as u64);
        lobby.counts.stand(told.is_ok(), chat, admission);
        if looks % (SWEEP_EVERY.as_secs() / LOOK_EVERY.as_secs()) == 0
            && let Err(error) = lobby.store.sweep(UnixMillis::now()).await
        {
            tracing::debug!(%error, "what is over cannot be removed now");
        }
        looks += 1;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn panel(settings: &Settings, lobby: &Lobby, is_there: Arc<AtomicBool>, admission: Admission) -> Panel {
    let mut registry = Registry::default();
    lobby.counts.register(&mut registry);
    let (id, kind, links, there) =
        (settings.id.to_string(), lobby.store.kind(), admission.links(), is_there.clone());
    Panel {
        registry,
        readiness: Box::new(move || match is_there.load(Ordering::Relaxed) {
            true => Readiness::Ready,
            false => Readiness::NotFed("the database cannot be reached".into()),
        }),
        status: Box::new(move || {
            serde_json::json!({
                "role": "lobby", "id": id, "store": kind, "links": links.links(),
                "store_is_there": there.load(Ordering::Relaxed), "schema": crate::store::VERSION,
            })
        }),
        admin: axum::Router::new(),
    }
}
