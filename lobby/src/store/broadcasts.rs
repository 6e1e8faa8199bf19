//! Broadcasts: whose they are, what they are called, who may see them.

use super::{AccountId, Outcome, Row, Step, Store, StoreError, UnixMillis, sql};
use media::BroadcastId;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Who may watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Anybody, and it is listed.
    #[default]
    Public,
    /// Anybody who knows its name.
    Unlisted,
    /// Who has a ticket made for it.
    Private,
}

impl Visibility {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
        }
    }
}

impl FromStr for Visibility {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Public, Self::Unlisted, Self::Private]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no visibility; public, unlisted and private are"))
    }
}

/// One broadcast of somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Its name in URLs.
    pub name: BroadcastId,
    /// Whose it is; nobody's if it was made on the command line.
    pub owner: Option<AccountId>,
    /// What viewers read.
    pub title: String,
    /// Who may watch.
    pub visibility: Visibility,
    /// Since when.
    pub made: UnixMillis,
}

pub(super) fn name(row: &Row, at: usize) -> Result<BroadcastId, StoreError> {
    BroadcastId::parse(&row.text(at)?).map_err(|error| StoreError::Broken(error.to_string()))
}

fn broadcast(row: &Row) -> Result<Broadcast, StoreError> {
    Ok(Broadcast {
        name: name(row, 0)?,
        owner: row.maybe(1, Row::text)?.map(AccountId),
        title: row.text(2)?,
        visibility: row.parsed(3, "a visibility")?,
        made: UnixMillis(row.int(4)?),
    })
}

/// With its room.
pub(super) fn add(new: &Broadcast) -> Vec<Step> {
    let log = i64::from(u32::from_be_bytes(crate::secret::random()));
    let values = [
        new.name.as_str().into(),
        new.owner.as_ref().map(|id| id.0.as_str()).into(),
        new.title.as_str().into(),
        new.visibility.as_str().into(),
        new.made.into(),
    ];
    let room = Step::new(sql::ROOM_ADD, [new.name.as_str().into(), log.into()]);
    vec![Step::new(sql::BROADCAST_ADD, values).needing_a_row(), room]
}

impl dyn Store + '_ {
    /// Adds one with its chat room; [`StoreError::Conflict`] where the name is taken.
    pub async fn add_broadcast(&self, new: &Broadcast) -> Result<(), StoreError> {
        self.transact(add(new)).await.map(drop)
    }

    /// The one of that name.
    pub async fn broadcast(&self, name: &BroadcastId) -> Result<Option<Broadcast>, StoreError> {
        self.one(Step::new(sql::BROADCAST_BY_NAME, [name.as_str().into()]))
            .await?
            .as_ref()
            .map(broadcast)
            .transpose()
    }

    async fn some_broadcasts(&self, step: Step) -> Result<Vec<Broadcast>, StoreError> {
        self.look(step).await?.iter().map(broadcast).collect()
    }

    /// All, so many after that name.
    pub async fn broadcasts(&self, after: &str, count: u64) -> Result<Vec<Broadcast>, StoreError> {
        self.some_broadcasts(Step::new(sql::BROADCASTS, [after.into(), count.into()])).await
    }

    /// An account's, so many after that name.
    pub async fn broadcasts_of(
        &self,
        owner: &AccountId,
        after: &str,
        count: u64,
    ) -> Result<Vec<Broadcast>, StoreError> {
        let values = [owner.0.as_str().into(), after.into(), count.into()];
        self.some_broadcasts(Step::new(sql::BROADCASTS_OF, values)).await
    }

    /// How many an account has.
    pub async fn broadcasts_of_count(&self, owner: &AccountId) -> Result<u64, StoreError> {
        self.count(Step::new(sql::BROADCASTS_OF_COUNT, [owner.0.as_str().into()])).await
    }

    /// Those that anybody may find, so many after that name.
    pub async fn broadcasts_seen(&self, after: &str, count: u64) -> Result<Vec<Broadcast>, StoreError> {
        self.some_broadcasts(Step::new(sql::BROADCASTS_SEEN, [after.into(), count.into()])).await
    }

    /// The names of those that are private.
    pub async fn private_broadcasts(&self, count: u64) -> Result<Vec<BroadcastId>, StoreError> {
        self.look(Step::new(sql::BROADCASTS_PRIVATE, [count.into()]))
            .await?
            .iter()
            .map(|row| name(row, 0))
            .collect()
    }

    /// The names of those that are in no list: unlisted and private.
    pub async fn unlisted_broadcasts(&self, count: u64) -> Result<Vec<BroadcastId>, StoreError> {
        let rows = self.look(Step::new(sql::BROADCASTS_UNLISTED, [count.into()])).await?;
        rows.iter().map(|row| name(row, 0)).collect()
    }

    /// Changes what is said; false if there is no such broadcast.
    pub async fn change_broadcast(
        &self,
        name: &BroadcastId,
        title: Option<&str>,
        visibility: Option<Visibility>,
    ) -> Result<bool, StoreError> {
        let name = name.as_str();
        let title = title.map(|title| Step::new(sql::BROADCAST_TITLE, [title.into(), name.into()]));
        let visibility =
            visibility.map(|it| Step::new(sql::BROADCAST_VISIBILITY, [it.as_str().into(), name.into()]));
        let steps: Vec<Step> = title.into_iter().chain(visibility).map(Step::needing_a_row).collect();
        if steps.is_empty() {
            return Ok(self.one(Step::new(sql::BROADCAST_BY_NAME, [name.into()])).await?.is_some());
        }
        Ok(matches!(self.transact(steps).await?, Outcome::Done(_)))
    }

    /// Removes it with its keys, links, webhooks, and all that was said in its room.
    pub async fn delete_broadcast(&self, name: &BroadcastId) -> Result<bool, StoreError> {
        self.changed(Step::new(sql::BROADCAST_DELETE, [name.as_str().into()])).await
    }
}
