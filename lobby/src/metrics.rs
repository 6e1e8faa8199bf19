//! What is counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters; each is shown with `mascaret_lobby_` before its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sign_ins: Counter,
    pub(crate) refused_sign_ins: Counter,
    pub(crate) sign_ups: Counter,
    pub(crate) posts: Counter,
    pub(crate) refused_posts: Counter,
    pub(crate) publishes: Counter,
    pub(crate) refused_publishes: Counter,
    pub(crate) webhooks: Counter,
    pub(crate) failed_webhooks: Counter,
    classes: [Counter; 5],
    store_there: Gauge,
    chat_links: Gauge,
    admission_links: Gauge,
}

impl Counts {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
    }

    /// How it stands, looked at every few seconds.
    pub(crate) fn stand(&self, is_store_there: bool, chat_links: u64, admission_links: u64) {
        self.store_there.set(i64::from(is_store_there));
        self.chat_links.set(i64::try_from(chat_links).unwrap_or(i64::MAX));
        self.admission_links.set(i64::try_from(admission_links).unwrap_or(i64::MAX));
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("mascaret_lobby");
        for (name, says, counter) in [
            ("sign_ins", "Sign-ins tried", &self.sign_ins),
            ("refused_sign_ins", "Sign-ins with a wrong name or password", &self.refused_sign_ins),
            ("sign_ups", "Accounts made by signing up", &self.sign_ups),
            ("posts", "Messages posted", &self.posts),
            ("refused_posts", "Messages refused: muted, banned, slow", &self.refused_posts),
            ("publish_keys_opened", "Publish keys that ingests asked about and that open", &self.publishes),
            (
                "publish_keys_refused",
                "Publish keys that ingests asked about and that do not",
                &self.refused_publishes,
            ),
            ("webhooks", "Webhooks told", &self.webhooks),
            ("failed_webhooks", "Webhooks given up", &self.failed_webhooks),
        ] {
            registry.register(name, says, counter.clone());
        }
        for (name, says, gauge) in [
            ("store_there", "1 while the database answers", &self.store_there),
            ("chat_links", "Edges that are linked for chat", &self.chat_links),
            (
                "admission_links",
                "Ingests and edges that hear who may publish and watch",
                &self.admission_links,
            ),
        ] {
            registry.register(name, says, gauge.clone());
        }
        for (class, counter) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&self.classes) {
            let registry = registry.sub_registry_with_label(("class".into(), class.into()));
            registry.register("answers", "Answers by the first digit of their status", counter.clone());
        }
    }
}
