//! Telling webhooks that a broadcast begins or ends: signed, tried again, and given up after a while.
//!
//! `POST` of `{"event":"publish.start"|"publish.end","broadcast":…,"at_ms":…,"id":…}` with
//! `X-Mascaret-Signature: sha256=<HMAC-SHA-256 of the body under the webhook's secret, hex>`. Told is what was answered
//! with 2xx; a redirect is not followed. An address that only we could reach is not dialled ([`outside`]).

use crate::metrics::Counts;
use crate::outside::{self, Outside};
use crate::store::{Store, Telling, UnixMillis, Webhook};
use hmac::{Hmac, KeyInit, Mac};
use media::BroadcastId;
use sha2::Sha256;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

/// Events that wait to be told; over it one is lost, and counted.
pub(crate) const EVENTS: usize = 256;
/// Webhooks that are being told, tries and pauses included; over it events wait.
pub(crate) const TELLING: usize = 256;
/// How long an address has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Tries, and how long before each.
const TRIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

/// Letters of a refusal that are kept.
const REFUSAL_LETTERS: usize = 200;

/// Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Hooks {
    events: mpsc::Sender<(BroadcastId, bool)>,
    counts: Arc<Counts>,
    reach: Reach,
}

/// Where webhooks may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Where anybody could send something himself.
    Outside,
    /// On this machine and in private networks too.
    Anywhere,
}

impl Reach {
    /// Who asks the addresses.
    fn agent(self) -> ureq::Agent {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WITHIN))
            .max_redirects(0)
            // A proxy of the environment's would be asked to dial for us.
            .proxy(None)
            .build();
        match self {
            Self::Outside => ureq::Agent::with_parts(config, DefaultConnector::default(), Outside),
            Self::Anywhere => {
                ureq::Agent::with_parts(config, DefaultConnector::default(), DefaultResolver::default())
            }
        }
    }

    /// Whether an address that is written out may be one; a name is looked at when it is told.
    pub(crate) fn takes(self, host: &str) -> bool {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        self == Self::Anywhere || literal.map_or(true, outside::is_outside)
    }
}

/// HMAC-SHA-256, as it is sent.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", crate::secret::hex(&mac.finalize().into_bytes()))
}

impl Hooks {
    pub(crate) fn new(counts: Arc<Counts>, reach: Reach) -> (Self, mpsc::Receiver<(BroadcastId, bool)>) {
        let (events, waiting) = mpsc::channel(EVENTS);
        (Self { events, counts, reach }, waiting)
    }

    /// A broadcast begins or ends (`air` knows which of twins does that).
    pub(crate) fn air(&self, broadcast: BroadcastId, is_on: bool) {
        if self.events.try_send((broadcast, is_on)).is_err() {
            self.counts.failed_webhooks.inc();
        }
    }

    /// Tells, for ever; one event after the other, its addresses at once.
    pub(crate) async fn tell(self, store: Arc<dyn Store>, mut waiting: mpsc::Receiver<(BroadcastId, bool)>) {
        let (agent, places) = (self.reach.agent(), Arc::new(Semaphore::new(TELLING)));
        while let Some((broadcast, is_on)) = waiting.recv().await {
            let hooks = match store.webhooks_of(&broadcast, crate::http::WEBHOOKS).await {
                Ok(hooks) => hooks,
                Err(error) => {
                    tracing::warn!(%broadcast, %error, "its webhooks cannot be read");
                    continue;
                }
            };
            let event = if is_on { "publish.start" } else { "publish.end" };
            let body = serde_json::json!({
                "event": event, "broadcast": broadcast.as_str(), "at_ms": UnixMillis::now(), "id": crate::secret::id(),
            });
            let body: Arc<str> = body.to_string().into();
            for hook in hooks {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (agent, body, counts) = (agent.clone(), body.clone(), self.counts.clone());
                let store = store.clone();
                tokio::spawn(async move {
                    tell_one(agent, hook, body, counts, store).await;
                    drop(place);
                });
            }
        }
    }
}

/// How a try went.
enum Told {
    Taken,
    /// Not now.
    Refused(String),
    /// Never: it may not be dialled.
    Inside(String),
}

fn ask(agent: &ureq::Agent, url: &str, signature: &str, body: &str) -> Told {
    let request = agent.post(url).header("Content-Type", "application/json");
    match request.header("X-Mascaret-Signature", signature).send(body) {
        Ok(answer) if answer.status().is_success() => Told::Taken,
        Ok(answer) => Told::Refused(format!("it answers {}", answer.status())),
        Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Told::Inside(error.to_string())
        }
        Err(error) => Told::Refused(error.to_string()),
    }
}

/// How it went, for whoever looks after the webhook.
async fn keep(store: &dyn Store, hook: &Webhook, refusal: Option<&str>) {
    let refusal = refusal.map(|why| why.chars().take(REFUSAL_LETTERS).collect());
    let how = Telling { at: UnixMillis::now(), refusal };
    if let Err(error) = store.webhook_was_told(&hook.id, &how).await {
        tracing::warn!(hook = hook.id, %error, "how a webhook was told is not kept");
    }
}

async fn tell_one(
    agent: ureq::Agent,
    hook: Webhook,
    body: Arc<str>,
    counts: Arc<Counts>,
    store: Arc<dyn Store>,
) {
    for wait in TRIES {
        tokio::time::sleep(wait).await;
        let (url, signature) = (hook.url.clone(), signature(&hook.secret, body.as_bytes()));
        let (agent, body) = (agent.clone(), body.clone());
        match tokio::task::spawn_blocking(move || ask(&agent, &url, &signature, &body)).await {
            Ok(Told::Taken) => {
                counts.webhooks.inc();
                keep(&*store, &hook, None).await;
                return;
            }
            Ok(Told::Refused(why)) => {
                tracing::info!(hook = hook.id, why, "a webhook will be tried again");
                keep(&*store, &hook, Some(&why)).await;
            }
            Ok(Told::Inside(why)) => {
                tracing::info!(hook = hook.id, why, "a webhook is not to be reached");
                keep(&*store, &hook, Some(&why)).await;
                break;
            }
            Err(error) => tracing::warn!(hook = hook.id, %error, "a webhook's thread"),
        }
    }
    counts.failed_webhooks.inc();
    tracing::warn!(hook = hook.id, broadcast = %hook.broadcast, "a webhook is given up for this event");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn what_is_told_is_signed() {
        let signature = signature("Jefe", b"what do ya want for nothing?");
        assert_eq!(signature, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn what_waits_to_be_told_is_bounded_and_what_is_lost_is_counted() {
        let (hooks, mut waiting) = Hooks::new(Arc::default(), Reach::Outside);
        let tide = BroadcastId::parse("tide").unwrap();
        hooks.air(tide.clone(), true);
        assert_eq!(waiting.try_recv(), Ok((tide.clone(), true)));
        assert!(waiting.try_recv().is_err());
        for n in 0..2 * EVENTS {
            hooks.air(tide.clone(), n % 2 == 0);
        }
        assert_eq!(hooks.counts.failed_webhooks.get(), EVENTS as u64);
    }
}
