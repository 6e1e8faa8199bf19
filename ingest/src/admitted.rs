//! Who may publish: whom the settings name, and whom the lobby says, for as long as it says so.
//!
//! Lives here: asking, remembering, and ending a publish whose key holds no more. Does not live here: keys of the settings
//! (`keys`), the link to the lobby (`node::fan::admission`).

use crate::keys::{KEY_BYTES, KeyHash, KeyRefusal, PublishKeys};
use ::admission::{KeyDigest, Known, Verified};
use media::BroadcastId;
use node::fan::admission::{self, AdmissionClient, News};
use node::fan::lobbies::Lobbies;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

/// How long the lobby has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often a running publish is asked about again: what one lobby revoked another one's ingests learn by this. With an
/// answer in time that is 4 s at the most.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Keys by settings, and a lobby to ask about others.
#[derive(Debug)]
pub(crate) struct Admitted {
    keys: PublishKeys,
    lobby: Option<Asking>,
}

#[derive(Clone, Debug)]
struct Asking {
    client: AdmissionClient,
    ledger: Arc<Mutex<Ledger>>,
    /// Changes when the lobby is there again: what it revoked meanwhile nobody was told.
    is_back: watch::Receiver<()>,
}

/// What is known of keys, and who publishes by one: as many as there are places for publishers.
#[derive(Debug, Default)]
struct Ledger {
    verified: Verified,
    running: BTreeMap<u64, (KeyDigest, oneshot::Sender<()>)>,
    last: u64,
}

impl Ledger {
    fn begins(&mut self, digest: KeyDigest) -> (u64, oneshot::Receiver<()>) {
        let (tell, over) = oneshot::channel();
        self.last += 1;
        self.running.insert(self.last, (digest, tell));
        (self.last, over)
    }

    /// It opens nothing any more: whoever publishes by it is to be let go.
    fn revoked(&mut self, digest: &KeyDigest) {
        self.verified.revoked(digest);
        let over: Vec<u64> =
            self.running.iter().filter(|(_, it)| it.0 == *digest).map(|(id, _)| *id).collect();
        for id in over {
            if let Some((_, tell)) = self.running.remove(&id) {
                // A publisher that has gone need not be told.
                let _ = tell.send(());
            }
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    // Every change is whole before anything could panic.
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Admitted {
    /// Whom the settings name.
    pub(crate) fn by_settings(keys: PublishKeys) -> Self {
        Self { keys, lobby: None }
    }

    /// The same; broadcasts that have no key there are asked about.
    pub(crate) fn asking(keys: PublishKeys, lobby: Lobbies, tls: Arc<ClientConfig>) -> io::Result<Self> {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (tell, is_back) = watch::channel(());
        let client = admission::start(lobby, tls, {
            let ledger = ledger.clone();
            move |news| match news {
                News::Revoked(digests) => {
                    let mut ledger = lock(&ledger);
                    digests.iter().for_each(|digest| ledger.revoked(digest));
                }
                News::Up => tell.send_replace(()),
                News::Private(_) | News::Unlisted(_) | News::Denied(_) => {}
            }
        })?;
        Ok(Self { keys, lobby: Some(Asking { client, ledger, is_back }) })
    }

    /// The way to the lobby.
    pub(crate) fn client(&self) -> Option<AdmissionClient> {
        self.lobby.as_ref().map(|lobby| lobby.client.clone())
    }

    /// Whether that key opens that broadcast now.
    pub(crate) async fn check(
        &self,
        broadcast: &BroadcastId,
        key: Option<&str>,
    ) -> Result<Grant, KeyRefusal> {
        let client = self.client();
        let grant = |held| Grant { held, client: client.clone(), on_air: None };
        let lobby = match &self.lobby {
            Some(lobby) if !self.keys.knows(broadcast) => lobby,
            _ => return self.keys.check(broadcast, key).map(|()| grant(None)),
        };
        let key = key.filter(|key| !key.is_empty()).ok_or(KeyRefusal::Missing)?;
        if key.len() > KEY_BYTES {
            return Err(KeyRefusal::TooLong);
        }
        let digest = KeyHash::of(key).bytes();
        // Before the question: what is revoked while it is answered ends this publish too.
        let asking = Asking { is_back: lobby.is_back.clone(), ..lobby.clone() };
        let (id, over) = lock(&lobby.ledger).begins(digest);
        let mut held = Held { over: Some(over), id, ledger: lobby.ledger.clone(), watching: None };
        match lobby.client.ask(digest, broadcast, ANSWER_WITHIN).await {
            Some(true) => lock(&lobby.ledger).verified.opened(digest, broadcast.clone(), Instant::now()),
            Some(false) => {
                lock(&lobby.ledger).revoked(&digest);
                return Err(KeyRefusal::Wrong);
            }
            None if lock(&lobby.ledger).verified.ask(&digest, broadcast, Instant::now()) == Known::Opens => {
                tracing::info!(%broadcast, "the lobby does not answer; its key was good a moment ago");
            }
            None => return Err(KeyRefusal::Unknown),
        }
        held.watching = Some(tokio::spawn(watch_over(asking, digest, broadcast.clone())).abort_handle());
        Ok(grant(Some(held)))
    }
}

/// Ends it when the lobby says that the key opens it no more. A lobby that does not answer says nothing.
async fn watch_over(mut lobby: Asking, digest: KeyDigest, broadcast: BroadcastId) {
    lobby.is_back.mark_unchanged();
    loop {
        tokio::select! {
            // The link's thread ends after whoever holds this.
            Ok(()) = lobby.is_back.changed() => {}
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
        match lobby.client.ask(digest, &broadcast, ANSWER_WITHIN).await {
            Some(true) => lock(&lobby.ledger).verified.opened(digest, broadcast.clone(), Instant::now()),
            Some(false) => return lock(&lobby.ledger).revoked(&digest),
            None => {}
        }
    }
}

/// A publish that may go on; of the lobby, for as long as its key holds.
#[derive(Debug)]
pub(crate) struct Grant {
    held: Option<Held>,
    client: Option<AdmissionClient>,
    on_air: Option<BroadcastId>,
}

#[derive(Debug)]
struct Held {
    over: Option<oneshot::Receiver<()>>,
    id: u64,
    ledger: Arc<Mutex<Ledger>>,
    watching: Option<AbortHandle>,
}

impl Grant {
    /// It publishes from now on, which the lobby is told, be the key its own or not.
    pub(crate) fn goes_on_air(&mut self, broadcast: &BroadcastId) {
        if let Some(client) = &self.client {
            client.air(broadcast, true);
            self.on_air = Some(broadcast.clone());
        }
    }

    /// Returns when it may not go on, once.
    pub(crate) async fn revoked(&mut self) {
        if let Some(over) = self.held.as_mut().and_then(|held| held.over.as_mut()) {
            let is_revoked = over.await.is_ok();
            self.held.iter_mut().for_each(|held| held.over = None);
            if is_revoked {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let (Some(client), Some(broadcast)) = (&self.client, &self.on_air) {
            client.air(broadcast, false);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watching.iter().for_each(AbortHandle::abort);
        lock(&self.ledger).running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_revoked_ends_who_publishes_by_it_and_nobody_else() {
        let mut ledger = Ledger::default();
        let [(_, mut one), (_, mut same), (_, mut other)] =
            [[1; 32], [1; 32], [2; 32]].map(|it| ledger.begins(it));
        ledger.revoked(&[1; 32]);
        assert_eq!((one.try_recv(), same.try_recv()), (Ok(()), Ok(())));
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert_eq!(ledger.running.len(), 1);
    }

    #[tokio::test]
    async fn a_grant_of_the_settings_is_never_over() {
        let mut grant = Grant { held: None, client: None, on_air: None };
        grant.goes_on_air(&BroadcastId::parse("tide").unwrap());
        let waited = tokio::time::timeout(Duration::from_millis(20), grant.revoked()).await;
        assert!(waited.is_err());
    }
}
