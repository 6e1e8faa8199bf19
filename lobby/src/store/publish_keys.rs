//! Publish keys, by the SHA-256 of each: 160 random bits need no slow hash.

use super::broadcasts::name;
use super::{Outcome, Row, Step, Store, StoreError, UnixMillis, sql};
use media::BroadcastId;

/// SHA-256 of a publish key.
pub type KeyDigest = [u8; 32];

/// A key somebody may publish with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishKey {
    /// What it is called by, in lists and to revoke it.
    pub id: String,
    /// What it opens.
    pub broadcast: BroadcastId,
    /// SHA-256 of the key.
    pub digest: KeyDigest,
    /// What its owner wrote beside it.
    pub label: String,
    /// Since when.
    pub made: UnixMillis,
}

impl std::fmt::Debug for PublishKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublishKey({} of {})", self.id, self.broadcast)
    }
}

fn publish_key(row: &Row) -> Result<PublishKey, StoreError> {
    Ok(PublishKey {
        id: row.text(0)?,
        broadcast: name(row, 1)?,
        digest: row.bytes(2)?,
        label: row.text(3)?,
        made: UnixMillis(row.int(4)?),
    })
}

fn digests(rows: &[Row]) -> Result<Vec<KeyDigest>, StoreError> {
    rows.iter().map(|row| row.bytes(0)).collect()
}

pub(super) fn add(key: &PublishKey) -> Step {
    let values = [
        key.id.as_str().into(),
        key.broadcast.as_str().into(),
        key.digest.as_slice().into(),
        key.label.as_str().into(),
        key.made.into(),
    ];
    Step::new(sql::KEY_ADD, values).needing_a_row()
}

impl dyn Store + '_ {
    /// Adds one.
    pub async fn add_key(&self, key: &PublishKey) -> Result<(), StoreError> {
        self.transact(vec![add(key)]).await.map(drop)
    }

    /// Adds one in place of all the others of its broadcast, whose digests are answered.
    pub async fn rotate_key(&self, key: &PublishKey) -> Result<Vec<KeyDigest>, StoreError> {
        let others = [key.broadcast.as_str().into(), key.id.as_str().into()];
        match self.transact(vec![add(key), Step::new(sql::KEYS_REVOKE_OTHERS, others)]).await? {
            Outcome::Done(rows) => digests(rows.last().map_or(&[], Vec::as_slice)),
            Outcome::Undone(_) => Err(StoreError::Broken("a key was not made".into())),
        }
    }

    /// Whether a key of this digest opens that broadcast.
    pub async fn opens(&self, digest: &KeyDigest, broadcast: &BroadcastId) -> Result<bool, StoreError> {
        let values = [digest.as_slice().into(), broadcast.as_str().into()];
        Ok(self.one(Step::new(sql::KEY_BY_DIGEST, values)).await?.is_some())
    }

    /// A broadcast's, the oldest first.
    pub async fn keys_of(&self, broadcast: &BroadcastId) -> Result<Vec<PublishKey>, StoreError> {
        self.look(Step::new(sql::KEYS_OF, [broadcast.as_str().into()]))
            .await?
            .iter()
            .map(publish_key)
            .collect()
    }

    /// Takes one back; its digest, or nothing if there is none.
    pub async fn revoke_key(
        &self,
        broadcast: &BroadcastId,
        id: &str,
    ) -> Result<Option<KeyDigest>, StoreError> {
        let step = Step::new(sql::KEY_REVOKE, [id.into(), broadcast.as_str().into()]);
        Ok(digests(&self.transact(vec![step]).await?.last())?.pop())
    }
}
