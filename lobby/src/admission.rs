//! Who may publish and watch, on its way to ingests and edges, and what they ask.

use crate::air::OnAir;
use crate::hooks::Hooks;
use crate::metrics::Counts;
use crate::store::{Denial, KeyDigest, Store};
use ::admission::Denied;
use media::BroadcastId;
use node::fan::admission::{Admissions, Heard};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Questions of ingests that are looked up at once.
pub(crate) const QUESTIONS: usize = 256;

/// Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    links: Admissions,
    on_air: OnAir,
}

impl Admission {
    /// Answers on `runtime`, from the store.
    pub(crate) fn new(runtime: Handle, store: Arc<dyn Store>, counts: Arc<Counts>, hooks: Hooks) -> Self {
        let places = Arc::new(Semaphore::new(QUESTIONS));
        let on_air = OnAir::default();
        let heard_of = on_air.clone();
        let links = Admissions::new(move |heard| match heard {
            Heard::Question(question) => {
                let Ok(place) = places.clone().try_acquire_owned() else { return question.answer(None) };
                let (store, counts) = (store.clone(), counts.clone());
                runtime.spawn(async move {
                    let opens = store.opens(&question.digest, &question.broadcast).await;
                    match &opens {
                        Ok(true) => counts.publishes.inc(),
                        Ok(false) => counts.refused_publishes.inc(),
                        Err(error) => {
                            tracing::warn!(%error, "a publish key cannot be looked up");
                            0
                        }
                    };
                    question.answer(opens.ok());
                    drop(place);
                });
            }
            Heard::Air { link, broadcast, is_on } => {
                if heard_of.air(link, &broadcast, is_on) {
                    hooks.air(broadcast, is_on);
                }
            }
            Heard::Health { link, broadcast, health } => {
                heard_of.health(link, &broadcast, health, Instant::now());
            }
            Heard::Gone { link } => heard_of.gone(link, Instant::now()),
        });
        Self { links, on_air }
    }

    /// What is on the air.
    pub(crate) fn on_air(&self) -> &OnAir {
        &self.on_air
    }

    pub(crate) fn links(&self) -> Admissions {
        self.links.clone()
    }

    /// These keys open nothing any more: who publishes by one is let go.
    pub(crate) fn revoke(&self, digests: Vec<KeyDigest>) {
        if !digests.is_empty() {
            self.links.revoke(digests);
        }
    }

    /// What is private, what is in no list, and who is turned away.
    pub(crate) fn tell(&self, private: Vec<BroadcastId>, unlisted: Vec<BroadcastId>, denied: Vec<Denial>) {
        let seconds = |denial: &Denial| u64::try_from(denial.until.0 / 1000).unwrap_or(0);
        let denied = denied
            .iter()
            .map(|it| Denied { broadcast: it.broadcast.clone(), holder: it.holder, until: seconds(it) })
            .collect();
        self.links.tell(private, unlisted, denied);
    }
}
