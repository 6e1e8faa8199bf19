//! The ring of ticket keys with all that hangs on it: edges, TLS tickets, files, and the operator who waits.

use crate::TicketSettings;
use crate::keys::{self, Told, Wish};
use crate::ring::{EDGES_FIRST, Ring, Seal};
use axum::http::StatusCode;
use edgefan::{NodeId, PeerWord};
use node::fan::control::server::ControlServer;
use percore::TlsSource;
use std::time::{Instant, SystemTime};
use ticket::Keys;
use tokio::sync::oneshot;

pub(crate) struct Keyring {
    ring: Ring,
    settings: TicketSettings,
    control: ControlServer,
    tls: Option<TlsSource>,
    /// Who asked for what comes.
    waiting: Vec<oneshot::Sender<Told>>,
}

impl Keyring {
    pub(crate) fn new(
        ring: Ring,
        settings: TicketSettings,
        control: ControlServer,
        tls: Option<TlsSource>,
    ) -> Self {
        Self { ring, settings, control, tls, waiting: Vec::new() }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ring.deadline()
    }

    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        self.ring.turn(now)
    }

    pub(crate) fn heard(&mut self, now: Instant, node: NodeId, keys: Keys, made: u64) -> bool {
        self.ring.heard(now, node, keys, made)
    }

    /// What the operator wants. True if the keys changed; he is answered when tokens are sealed with the new one.
    pub(crate) fn wish(&mut self, now: Instant, wish: Wish, answer: oneshot::Sender<Told>) -> bool {
        let began = match wish {
            Wish::Reload(read) => {
                let (seal, previous) = *read;
                self.ring.read_again(now, seal, previous);
                Ok(())
            }
            Wish::Rotate { force, is_dry } => self.rotate(now, force, is_dry),
        };
        // Whoever asked may have gone.
        match (began, self.ring.deadline()) {
            (Err(said), _) => drop(answer.send(said)),
            (Ok(()), Some(_)) => self.waiting.push(answer),
            (Ok(()), None) => drop(answer.send(Ok(self.sealed_with()))),
        }
        true
    }

    fn rotate(&mut self, now: Instant, force: bool, is_dry: bool) -> Result<(), Told> {
        let lifetime = (!force).then(|| self.settings.lifetime.duration());
        let conflict = |text: String| Err((StatusCode::CONFLICT, text));
        let key = keys::random().map_err(|error| {
            Err((StatusCode::INTERNAL_SERVER_ERROR, format!("no key could be made: {error}")))
        })?;
        let seal = Seal { key, made: keys::unix_secs(SystemTime::now()) };
        let mut ring = self.ring.clone();
        ring.rotate(now, seal, lifetime).map_err(|not_now| conflict(not_now.to_string()))?;
        if is_dry {
            return Err(Ok(format!(
                "a new key would be told to edges and other balancers, and seal tokens {} s later; \
                 key {} would go on opening",
                EDGES_FIRST.as_secs(),
                self.ring.sealing().key.id()
            )));
        }
        self.ring = ring;
        Ok(())
    }

    fn sealed_with(&self) -> String {
        format!("tokens are sealed with key {}", self.ring.sealing().key.id())
    }

    /// Tells every edge what opens tokens, and says what that is. Sessions of TLS are resumed by the same keys.
    pub(crate) fn tell_edges(&self) -> Keys {
        let openers = self.ring.openers();
        self.control.set_keys(keys::for_links(openers.iter()));
        if let Some(tls) = &self.tls {
            keys::share(tls, &openers);
        }
        openers
    }

    /// What other balancers are told.
    pub(crate) fn said(&self) -> PeerWord {
        let (said, made) = self.ring.said();
        PeerWord::Seals { keys: keys::for_links(&said), made }
    }

    /// Tokens are sealed with another key by now: it is kept, and whoever waited is told.
    pub(crate) fn keep(&mut self) {
        let key = self.ring.sealing().key.id();
        let mut text = self.sealed_with();
        match keys::write(&self.settings, &self.ring) {
            Ok(()) => tracing::info!(key, "tokens are sealed with another key"),
            Err(error) => {
                tracing::error!(key, %error, "tokens are sealed with another key, which could not be kept");
                text = format!("{text}; it could not be kept for the next start: {error}");
            }
        }
        self.waiting.drain(..).for_each(|answer| drop(answer.send(Ok(text.clone()))));
    }
}
