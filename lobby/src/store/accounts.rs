//! Accounts: a name, a password's hash, a role.

use super::{Row, Step, Store, StoreError, UnixMillis, sql};
use crate::policy::Role;
use serde::Serialize;
use std::fmt;

/// An account, whatever it is called: 96 random bits in hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct AccountId(pub String);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One who signed up.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub id: AccountId,
    /// As it was written at sign-up.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Since when.
    pub made: UnixMillis,
    /// Argon2id, in PHC's spelling.
    pub password: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({} {:?} {})", self.id, self.name, self.role)
    }
}

/// What is needed to have one.
#[derive(Clone, Debug)]
pub struct NewAccount<'a> {
    /// Made by whoever asks.
    pub id: &'a AccountId,
    /// As it is shown.
    pub name: &'a str,
    /// As it is compared: lower case.
    pub folded: &'a str,
    /// Argon2id, in PHC's spelling.
    pub password: &'a str,
    /// What it may do.
    pub role: Role,
}

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId(row.text(0)?),
        name: row.text(1)?,
        role: row.parsed(2, "a role")?,
        made: UnixMillis(row.int(3)?),
        password: row.text(4)?,
    })
}

fn add(new: &NewAccount<'_>, now: UnixMillis) -> Step {
    let values = [
        new.id.0.as_str().into(),
        new.name.into(),
        new.folded.into(),
        new.password.into(),
        new.role.as_str().into(),
        now.into(),
    ];
    Step::new(sql::ACCOUNT_ADD, values).needing_a_row()
}

impl dyn Store + '_ {
    /// Adds one; [`StoreError::Conflict`] where the name is taken.
    pub async fn add_account(&self, new: &NewAccount<'_>, now: UnixMillis) -> Result<(), StoreError> {
        self.transact(vec![add(new, now)]).await.map(drop)
    }

    /// Adds one for an invite, which is used up, and gives its role; false if there is no such invite any more.
    pub async fn add_invited(
        &self,
        new: &NewAccount<'_>,
        invite: &[u8; 32],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let taken = Step::new(sql::INVITE_TAKE, [invite.as_slice().into(), now.into()]).needing_a_row();
        let outcome = self.transact(vec![taken, add(new, now)]).await?;
        Ok(matches!(outcome, super::Outcome::Done(_)))
    }

    /// The one with this name, lower case.
    pub async fn account_named(&self, folded: &str) -> Result<Option<Account>, StoreError> {
        self.one(Step::new(sql::ACCOUNT_BY_NAME, [folded.into()])).await?.as_ref().map(account).transpose()
    }

    /// This one.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.one(Step::new(sql::ACCOUNT_BY_ID, [id.0.as_str().into()]))
            .await?
            .as_ref()
            .map(account)
            .transpose()
    }

    /// So many after that name, in the order of names.
    pub async fn accounts(&self, after: &str, count: u64) -> Result<Vec<Account>, StoreError> {
        self.look(Step::new(sql::ACCOUNTS, [after.into(), count.into()])).await?.iter().map(account).collect()
    }

    /// How many there are.
    pub async fn account_count(&self) -> Result<u64, StoreError> {
        self.count(Step::new(sql::ACCOUNT_COUNT, [])).await
    }

    /// How many of them are administrators.
    pub async fn admin_count(&self) -> Result<u64, StoreError> {
        self.count(Step::new(sql::ADMIN_COUNT, [])).await
    }

    /// Gives it another role and ends its sessions; false if there is no such account.
    pub async fn set_role(&self, id: &AccountId, role: Role) -> Result<bool, StoreError> {
        self.change_account(Step::new(sql::ACCOUNT_ROLE, [role.as_str().into(), id.0.as_str().into()]), id)
            .await
    }

    /// Gives it another password and ends its sessions; false if there is no such account.
    pub async fn set_password(&self, id: &AccountId, password: &str) -> Result<bool, StoreError> {
        self.change_account(Step::new(sql::ACCOUNT_PASSWORD, [password.into(), id.0.as_str().into()]), id)
            .await
    }

    async fn change_account(&self, change: Step, id: &AccountId) -> Result<bool, StoreError> {
        let sessions = Step::new(sql::SESSIONS_OF_END, [id.0.as_str().into()]);
        Ok(matches!(self.transact(vec![change.needing_a_row(), sessions]).await?, super::Outcome::Done(_)))
    }

    /// Removes it with its sessions, broadcasts, keys, links and what is held against it; false if there is none. What it
    /// said elsewhere must be cleared before (`clear_everywhere`).
    pub async fn delete_account(&self, id: &AccountId) -> Result<bool, StoreError> {
        self.changed(Step::new(sql::ACCOUNT_DELETE, [id.0.as_str().into()])).await
    }

    /// Fails unless the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.look(Step::new(sql::PING, [])).await.map(drop)
    }

    pub(super) async fn count(&self, step: Step) -> Result<u64, StoreError> {
        self.one(step).await?.map_or(Ok(0), |row| row.sequence(0))
    }
}
