//! Who wants to hear when a broadcast begins and ends.

use super::broadcasts::name;
use super::{Row, Step, Store, StoreError, UnixMillis, sql};
use media::BroadcastId;

/// An address that is told, and what the telling is signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called by.
    pub id: String,
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// Where.
    pub url: String,
    /// Key of the HMAC; shown once, and needed whole, so it is not hashed.
    pub secret: String,
    /// Since when.
    pub made: UnixMillis,
    /// How it went the last time; nothing where it was never told.
    pub last: Option<Telling>,
}

/// A try to tell an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// When it was over.
    pub at: UnixMillis,
    /// Why it was not taken, if it was not.
    pub refusal: Option<String>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({} of {} to {})", self.id, self.broadcast, self.url)
    }
}

fn webhook(row: &Row) -> Result<Webhook, StoreError> {
    Ok(Webhook {
        id: row.text(0)?,
        broadcast: name(row, 1)?,
        url: row.text(2)?,
        secret: row.text(3)?,
        made: UnixMillis(row.int(4)?),
        last: match row.maybe(5, Row::int)? {
            Some(at) => Some(Telling { at: UnixMillis(at), refusal: row.maybe(6, Row::text)? }),
            None => None,
        },
    })
}

pub(super) fn add(new: &Webhook) -> Step {
    let values = [
        new.id.as_str().into(),
        new.broadcast.as_str().into(),
        new.url.as_str().into(),
        new.secret.as_str().into(),
        new.made.into(),
    ];
    Step::new(sql::WEBHOOK_ADD, values).needing_a_row()
}

impl dyn Store + '_ {
    /// Adds one.
    pub async fn add_webhook(&self, new: &Webhook) -> Result<(), StoreError> {
        self.transact(vec![add(new)]).await.map(drop)
    }

    /// A broadcast's, the oldest first.
    pub async fn webhooks_of(&self, broadcast: &BroadcastId, count: u64) -> Result<Vec<Webhook>, StoreError> {
        let step = Step::new(sql::WEBHOOKS_OF, [broadcast.as_str().into(), count.into()]);
        self.look(step).await?.iter().map(webhook).collect()
    }

    /// How a try to tell it went; false if it was removed meanwhile.
    pub async fn webhook_was_told(&self, id: &str, how: &Telling) -> Result<bool, StoreError> {
        let values = [how.at.into(), how.refusal.as_deref().into(), id.into()];
        self.changed(Step::new(sql::WEBHOOK_TOLD, values)).await
    }

    /// Removes one; false if there is none.
    pub async fn delete_webhook(&self, broadcast: &BroadcastId, id: &str) -> Result<bool, StoreError> {
        self.changed(Step::new(sql::WEBHOOK_DELETE, [id.into(), broadcast.as_str().into()])).await
    }

    /// The secret of that name; made of `fresh` the first time anybody of the cluster asks.
    pub async fn secret(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.transact(vec![Step::new(sql::SECRET_PUT, [name.into(), fresh.as_slice().into()])]).await?;
        match self.one(Step::new(sql::SECRET, [name.into()])).await? {
            Some(row) => row.bytes(0),
            None => Err(StoreError::Broken(format!("the secret {name} is gone"))),
        }
    }
}
