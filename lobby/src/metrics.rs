//! What is counted.

use prometheus_client::metrics::counter::Counter;
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
}

impl Counts {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
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
        for (class, counter) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(&self.classes) {
            let registry = registry.sub_registry_with_label(("class".into(), class.into()));
            registry.register("answers", "Answers by the first digit of their status", counter.clone());
        }
    }
}
