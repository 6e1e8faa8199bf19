//! What an account or a broadcast may have of something: added only while there is room, however many are added at once.
//!
//! Each takes the row that it belongs to until its transaction ends; whoever comes meanwhile counts after it.

use super::{Broadcast, Outcome, PublishKey, ShareLink, Step, Store, StoreError, Webhook, sql};

fn of_broadcast(broadcast: &str, room: &'static str, most: u64) -> Vec<Step> {
    vec![
        Step::new(sql::BROADCAST_HOLD, [broadcast.into()]).needing_a_row(),
        Step::new(room, [broadcast.into(), most.into()]).needing_a_row(),
    ]
}

impl dyn Store + '_ {
    async fn within(&self, mut held: Vec<Step>, add: Vec<Step>) -> Result<bool, StoreError> {
        held.extend(add);
        Ok(matches!(self.transact(held).await?, Outcome::Done(_)))
    }

    /// Adds a broadcast unless its owner has so many; false if he has.
    pub async fn add_broadcast_within(&self, new: &Broadcast, most: u64) -> Result<bool, StoreError> {
        let owner = new.owner.as_ref().map(|id| id.0.as_str()).unwrap_or_default();
        let held = vec![
            Step::new(sql::ACCOUNT_HOLD, [owner.into()]).needing_a_row(),
            Step::new(sql::BROADCASTS_ROOM, [owner.into(), most.into()]).needing_a_row(),
        ];
        self.within(held, super::broadcasts::add(new)).await
    }

    /// Adds a key unless its broadcast has so many; false if it has.
    pub async fn add_key_within(&self, key: &PublishKey, most: u64) -> Result<bool, StoreError> {
        let held = of_broadcast(key.broadcast.as_str(), sql::KEYS_ROOM, most);
        self.within(held, vec![super::publish_keys::add(key)]).await
    }

    /// Adds a link unless its broadcast has so many; false if it has.
    pub async fn add_link_within(&self, link: &ShareLink, most: u64) -> Result<bool, StoreError> {
        let held = of_broadcast(link.broadcast.as_str(), sql::LINKS_ROOM, most);
        self.within(held, vec![super::links::add(link)]).await
    }

    /// Adds a webhook unless its broadcast has so many; false if it has.
    pub async fn add_webhook_within(&self, hook: &Webhook, most: u64) -> Result<bool, StoreError> {
        let held = of_broadcast(hook.broadcast.as_str(), sql::WEBHOOKS_ROOM, most);
        self.within(held, vec![super::webhooks::add(hook)]).await
    }
}
