//! The ticket keys: read from their files at start, and again when the operator says so.
//!
//! A key is rotated by putting the old file's content into `previous_key`, a new secret into `key`, and
//! `POST /admin/keys/reload` at each balancer. Edges are told first and given a moment, so that no token is
//! sealed with a key that an edge has yet to hear of.

use crate::hub::Event;
use crate::{LbError, TicketSettings};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use edgefan::TicketKey;
use node::fan::control::server::ControlServer;
use node::settings::SecretFile;
use percore::TlsSource;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use ticket::{Key, Keys};

/// From telling the edges to sealing with the new key: four heartbeats.
const EDGES_FIRST: Duration = Duration::from_secs(1);

/// What the files say; a key of our own where none is named.
pub(crate) fn read(settings: &TicketSettings) -> Result<Keys, LbError> {
    let current = match &settings.key {
        Some(file) => read_one("key", file)?,
        None => {
            tracing::warn!("lb.tickets.key is not set: tokens are sealed with a key no other balancer knows");
            let mut secret = [0; Key::BYTES];
            getrandom::fill(&mut secret)
                .map_err(|error| LbError::KeyFile { setting: "key", error: std::io::Error::other(error) })?;
            Key::from_secret(secret)
        }
    };
    let previous = settings.previous_key.as_ref().map(|file| read_one("previous_key", file)).transpose()?;
    Ok(Keys::new(current, previous))
}

fn read_one(setting: &'static str, file: &SecretFile) -> Result<Key, LbError> {
    let secret = file.read().map_err(|error| LbError::KeyFile { setting, error })?;
    Key::parse(secret.reveal()).map_err(|error| LbError::Key { setting, path: file.0.clone(), error })
}

/// As the control link carries them.
pub(crate) fn for_edges(keys: &Keys) -> Vec<TicketKey> {
    keys.iter().map(|key| TicketKey { kid: key.id(), secret: *key.secret() }).collect()
}

/// From the same secrets come the keys of TLS tickets, so that a viewer resumes at any balancer and edge.
pub(crate) fn share(tls: &TlsSource, keys: &Keys) {
    tls.share_tickets(keys.iter().map(|key| *key.secret()));
}

/// `POST /admin/keys/reload`.
pub(crate) fn admin(
    settings: TicketSettings,
    control: ControlServer,
    events: SyncSender<Event>,
    tls: Option<TlsSource>,
) -> Router {
    let reload = move || {
        let (settings, control, events, tls) =
            (settings.clone(), control.clone(), events.clone(), tls.clone());
        async move {
            if settings.key.is_none() {
                return (
                    StatusCode::CONFLICT,
                    "lb.tickets.key is not set: there is no file to read\n".to_owned(),
                );
            }
            let keys = match read(&settings) {
                Ok(keys) => keys,
                Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            };
            control.set_keys(for_edges(&keys));
            tokio::time::sleep(EDGES_FIRST).await;
            let sealing = keys.current().id();
            tls.iter().for_each(|tls| share(tls, &keys));
            if events.try_send(Event::Keys(keys)).is_err() {
                return (StatusCode::SERVICE_UNAVAILABLE, "the hub is behind; try again\n".to_owned());
            }
            tracing::info!(key = sealing, "ticket keys were read again");
            (StatusCode::OK, format!("tokens are sealed with key {sealing}\n"))
        }
    };
    Router::new().route("/keys/reload", post(reload))
}
