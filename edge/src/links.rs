//! What an edge is linked to: ingests that feed it, edges that it feeds, balancers, the lobby.
//!
//! Does not live here: what comes of what they say (`line`, by way of `shell`).

use crate::orders::Orders;
use crate::settings::Settings;
use crate::shell::Word;
use crate::start::EdgeError;
use crate::succession::Ports;
use crossbeam_channel::Sender;
use edgefan::{Address, EdgeFacts, Layer};
use media::BitRate;
use node::Node;
use node::fan::admission::{self, AdmissionClient};
use node::fan::control::client::{self as control, ControlClient};
use node::fan::lobby::client::{self as lobby, LobbyClient};
use node::fan::publisher;
use node::fan::subscriber::{self, Subscription};
use percore::rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What feeds other edges.
pub(crate) struct Relaying {
    feed: publisher::Feed,
    pub(crate) publishing: publisher::Publishing,
    layer: Layer,
    /// Where edges reach it, as far as that is known.
    address: Option<Address>,
}

/// Listens for other edges, if the settings say so.
pub(crate) fn start_relay(
    settings: &Settings,
    node: &Node,
    ports: &mut Ports,
) -> Result<Option<Relaying>, EdgeError> {
    let Some(listen) = settings.relay.listen else { return Ok(None) };
    let failed = |error| EdgeError::Relay { address: listen.0, error };
    let listener = ports.listen(node, "relay", listen.0).map_err(failed)?;
    let publishing = publisher::Settings {
        node: settings.id.0.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        listen: listen.0,
        hub_bytes: usize::try_from(settings.relay.memory.bytes()).unwrap_or(usize::MAX),
    };
    let layer = Layer(u8::try_from(settings.relay.layer.value()).unwrap_or(u8::MAX - 1));
    let tls = node.certificates.cluster_server_config()?;
    let (feed, publishing) = publisher::start_relay(publishing, layer, listener, tls).map_err(failed)?;
    let address = settings.relay.reached_at(publishing.address());
    let at = publishing.address();
    match &address {
        Some(address) => tracing::info!(%at, %address, layer = layer.0, "relays to other edges"),
        None => {
            tracing::warn!(%at, "relays, and balancers are not told where: set relay.address, or `feeds` at edges")
        }
    }
    Ok(Some(Relaying { feed, publishing, layer, address }))
}

/// Links to those that feed it. Whoever relays passes on what comes in.
pub(crate) fn subscribe(
    settings: &Settings,
    orders: &Orders,
    relay: Option<&Relaying>,
    tls: &Arc<ClientConfig>,
    tell: Sender<Word>,
) -> Result<Subscription, EdgeError> {
    let subscribing = subscriber::Settings {
        node: settings.id.0.node.clone(),
        version: VERSION.to_owned(),
        ingests: orders.ingests(),
        assembly_bytes: usize::try_from(settings.arriving_memory.bytes()).unwrap_or(usize::MAX),
    };
    // An error means that the line has ended, and the link is about to.
    let on_event = move |event| drop(tell.send(Word::Event(event)));
    let started = match relay {
        None => subscriber::start(subscribing, Arc::clone(tls), on_event),
        Some(relay) => subscriber::start_relaying(
            subscribing,
            relay.layer,
            relay.feed.clone(),
            Arc::clone(tls),
            on_event,
        ),
    };
    started.map_err(|error| EdgeError::Thread { what: "links to ingests", error })
}

/// Links to balancers, if there are any.
pub(crate) fn dial_balancers(
    settings: &Settings,
    addresses: &[SocketAddr],
    relay: Option<&Relaying>,
    tls: &Arc<ClientConfig>,
    tell: Sender<Word>,
) -> Result<Option<ControlClient>, EdgeError> {
    if settings.lbs.is_empty() {
        return Ok(None);
    }
    let dialling = control::Settings {
        node: settings.id.0.node.clone(),
        version: VERSION.to_owned(),
        edge: edge_facts(settings, addresses, relay),
        balancers: settings.lbs.iter().map(|lb| lb.0.clone()).collect(),
    };
    let client = control::start(dialling, Arc::clone(tls), move |told| drop(tell.send(Word::Told(told))));
    client.map(Some).map_err(|error| EdgeError::Thread { what: "links to balancers", error })
}

/// The two links to the lobby, if there is one: chat, and who is let in.
pub(crate) fn dial_lobby(
    settings: &Settings,
    tls: &Arc<ClientConfig>,
    tell: &Sender<Word>,
) -> Result<Option<(LobbyClient, AdmissionClient)>, EdgeError> {
    let Some(at) = &settings.lobby else { return Ok(None) };
    let dialling = lobby::Settings {
        node: settings.id.0.node.clone(),
        version: VERSION.to_owned(),
        lobby: at.0.clone(),
    };
    let error = |error| EdgeError::Thread { what: "the links to the lobby", error };
    let (on_told, on_news) = (tell.clone(), tell.clone());
    let client = lobby::start(dialling, Arc::clone(tls), move |told| drop(on_told.send(Word::Lobby(told))))
        .map_err(error)?;
    let admission = admission::start(at.0.clone(), Arc::clone(tls), move |news| {
        drop(on_news.send(Word::Admission(news)))
    });
    Ok(Some((client, admission.map_err(error)?)))
}

fn edge_facts(settings: &Settings, addresses: &[SocketAddr], relay: Option<&Relaying>) -> EdgeFacts {
    let url = |named: &crate::PublicUrl, scheme: &str, address: Option<&SocketAddr>| {
        let usual = || address.map(|address| format!("{scheme}://{address}")).unwrap_or_default();
        named.0.clone().unwrap_or_else(usual)
    };
    EdgeFacts {
        http: url(&settings.public_url.0, "http", addresses.first()),
        https: url(&settings.public_url_tls.0, "https", addresses.get(1)),
        capacity: BitRate(settings.capacity.bits_per_second()),
        weight: u32::try_from(settings.weight.value()).unwrap_or(u32::MAX),
        relay: relay.and_then(|relay| relay.address.clone()),
    }
}
