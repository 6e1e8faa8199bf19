//! Sessions: who holds which cookie. Only the cookie's SHA-256 is kept.

use super::{AccountId, Outcome, Row, Step, Store, StoreError, UnixMillis, sql};
use crate::policy::Role;

/// SHA-256 of a cookie's secret.
pub type SessionDigest = [u8; 32];

/// One who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub account: AccountId,
    /// Its name now.
    pub name: String,
    /// Its role now.
    pub role: Role,
    /// Since when.
    pub made: UnixMillis,
    /// Until when.
    pub expires: UnixMillis,
}

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        account: AccountId(row.text(0)?),
        made: UnixMillis(row.int(1)?),
        expires: UnixMillis(row.int(2)?),
        name: row.text(3)?,
        role: row.parsed(4, "a role")?,
    })
}

impl dyn Store + '_ {
    /// Begins a session, ends `before` if there is one, and the oldest beyond `most` of that account.
    pub async fn begin_session(
        &self,
        digest: &SessionDigest,
        account: &AccountId,
        now: UnixMillis,
        expires: UnixMillis,
        before: Option<&SessionDigest>,
        most: u64,
    ) -> Result<(), StoreError> {
        let account = account.0.as_str();
        let mut steps = Vec::with_capacity(3);
        if let Some(before) = before {
            steps.push(Step::new(sql::SESSION_END, [before.as_slice().into()]));
        }
        let values = [digest.as_slice().into(), account.into(), now.into(), expires.into()];
        steps.push(Step::new(sql::SESSION_ADD, values).needing_a_row());
        steps.push(Step::new(sql::SESSIONS_OLDEST_END, [account.into(), most.into()]));
        match self.transact(steps).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Undone(_) => Err(StoreError::Broken("a session was not begun".into())),
        }
    }

    /// The session of a cookie, unless it is over.
    pub async fn session(
        &self,
        digest: &SessionDigest,
        now: UnixMillis,
    ) -> Result<Option<Session>, StoreError> {
        let step = Step::new(sql::SESSION_BY_DIGEST, [digest.as_slice().into(), now.into()]);
        self.one(step).await?.as_ref().map(session).transpose()
    }

    /// Ends it; false if there was none.
    pub async fn end_session(&self, digest: &SessionDigest) -> Result<bool, StoreError> {
        self.changed(Step::new(sql::SESSION_END, [digest.as_slice().into()])).await
    }

    /// Ends all of an account.
    pub async fn end_sessions_of(&self, account: &AccountId) -> Result<(), StoreError> {
        self.transact(vec![Step::new(sql::SESSIONS_OF_END, [account.0.as_str().into()])]).await.map(drop)
    }

    /// Removes sessions, invites, share links and denials whose time is over.
    pub async fn sweep(&self, now: UnixMillis) -> Result<(), StoreError> {
        let over = [sql::SESSIONS_OVER, sql::INVITES_OVER, sql::LINKS_OVER, sql::DENIALS_OVER];
        self.transact(over.into_iter().map(|text| Step::new(text, [now.into()])).collect()).await.map(drop)
    }
}
