//! Invites: who has one may sign up, once.

use super::{Row, Step, Store, StoreError, UnixMillis, sql};
use crate::policy::Role;

/// A word somebody may sign up with. Only its SHA-256 is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// SHA-256 of the word.
    pub digest: [u8; 32],
    /// What who uses it becomes.
    pub role: Role,
    /// By whom; gone if that account is.
    pub made_by: Option<super::AccountId>,
    /// Since when.
    pub made: UnixMillis,
    /// Until when.
    pub expires: UnixMillis,
}

fn invite(row: &Row) -> Result<Invite, StoreError> {
    Ok(Invite {
        digest: row.bytes(0)?,
        role: row.parsed(1, "a role")?,
        made_by: row.maybe(2, Row::text)?.map(super::AccountId),
        made: UnixMillis(row.int(3)?),
        expires: UnixMillis(row.int(4)?),
    })
}

impl dyn Store + '_ {
    /// Adds one.
    pub async fn add_invite(&self, invite: &Invite) -> Result<(), StoreError> {
        let values = [
            invite.digest.as_slice().into(),
            invite.role.as_str().into(),
            invite.made_by.as_ref().map(|id| id.0.as_str()).into(),
            invite.made.into(),
            invite.expires.into(),
        ];
        self.transact(vec![Step::new(sql::INVITE_ADD, values)]).await.map(drop)
    }

    /// The newest.
    pub async fn invites(&self, count: u64) -> Result<Vec<Invite>, StoreError> {
        self.look(Step::new(sql::INVITES, [count.into()])).await?.iter().map(invite).collect()
    }

    /// Takes it back; false if there is none.
    pub async fn delete_invite(&self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        self.changed(Step::new(sql::INVITE_DELETE, [digest.as_slice().into()])).await
    }
}
