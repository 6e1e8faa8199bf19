//! Who may watch what is private: links that were shared, and who was turned away again.

use super::broadcasts::name;
use super::{AccountId, Outcome, Row, Step, Store, StoreError, UnixMillis, sql};
use media::BroadcastId;

/// Holders of tickets that one broadcast turns away at once. What all broadcasts do fits into what edges are told, even of an
/// account that does so with all it may have.
pub const DENIALS_OF_ONE: u64 = 128;

/// A link with which whoever has it may watch, until it is over. The link itself is signed; this is what it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareLink {
    /// What it is called by.
    pub id: String,
    /// What it opens.
    pub broadcast: BroadcastId,
    /// By whom; gone if that account is.
    pub made_by: Option<AccountId>,
    /// Since when.
    pub made: UnixMillis,
    /// Until when.
    pub expires: UnixMillis,
}

/// Whose tickets of a broadcast hold no more, though they are not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Of which broadcast.
    pub broadcast: BroadcastId,
    /// Whose: the upper half of a ticket's viewer, which names the account or the link it was made for.
    pub holder: u32,
    /// Until when; the last of his tickets is over by then.
    pub until: UnixMillis,
}

fn link(row: &Row) -> Result<ShareLink, StoreError> {
    Ok(ShareLink {
        id: row.text(0)?,
        broadcast: name(row, 1)?,
        made_by: row.maybe(2, Row::text)?.map(AccountId),
        made: UnixMillis(row.int(3)?),
        expires: UnixMillis(row.int(4)?),
    })
}

fn denial(row: &Row) -> Result<Denial, StoreError> {
    let holder = u32::try_from(row.int(1)?).map_err(|_| row.column(1, "a holder"))?;
    Ok(Denial { broadcast: name(row, 0)?, holder, until: UnixMillis(row.int(2)?) })
}

impl dyn Store + '_ {
    /// Adds one.
    pub async fn add_link(&self, link: &ShareLink) -> Result<(), StoreError> {
        self.transact(vec![add(link)]).await.map(drop)
    }

    /// The link of that name, if it was not taken back; it may be over.
    pub async fn link(&self, broadcast: &BroadcastId, id: &str) -> Result<Option<ShareLink>, StoreError> {
        let step = Step::new(sql::LINK_BY_ID, [id.into(), broadcast.as_str().into()]);
        self.one(step).await?.as_ref().map(link).transpose()
    }

    /// A broadcast's newest.
    pub async fn links_of(&self, broadcast: &BroadcastId, count: u64) -> Result<Vec<ShareLink>, StoreError> {
        let step = Step::new(sql::LINKS_OF, [broadcast.as_str().into(), count.into()]);
        self.look(step).await?.iter().map(link).collect()
    }

    /// Takes one back and turns its holders away; false if there is none. [`StoreError::Conflict`] where so many are turned
    /// away already.
    pub async fn delete_link(&self, denial: &Denial, id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let gone = Step::new(sql::LINK_DELETE, [id.into(), denial.broadcast.as_str().into()]).needing_a_row();
        let steps = std::iter::once(gone).chain(deny(denial, now)).collect();
        match self.transact(steps).await? {
            Outcome::Done(_) => Ok(true),
            Outcome::Undone(0) => Ok(false),
            Outcome::Undone(_) => Err(full()),
        }
    }

    /// Turns a holder away; [`StoreError::Conflict`] where there is no such broadcast, or it turns so many away already.
    pub async fn deny(&self, denial: &Denial, now: UnixMillis) -> Result<(), StoreError> {
        match self.transact(deny(denial, now)).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Undone(_) => Err(full()),
        }
    }

    /// Takes that back; false if there was none.
    pub async fn admit_again(&self, broadcast: &BroadcastId, holder: u32) -> Result<bool, StoreError> {
        let values = [broadcast.as_str().into(), i64::from(holder).into()];
        self.changed(Step::new(sql::DENIAL_DELETE, values)).await
    }

    /// The newest that still hold.
    pub async fn denials(&self, now: UnixMillis, count: u64) -> Result<Vec<Denial>, StoreError> {
        self.look(Step::new(sql::DENIALS, [now.into(), count.into()])).await?.iter().map(denial).collect()
    }
}

pub(super) fn add(link: &ShareLink) -> Step {
    let values = [
        link.id.as_str().into(),
        link.broadcast.as_str().into(),
        link.made_by.as_ref().map(|id| id.0.as_str()).into(),
        link.made.into(),
        link.expires.into(),
    ];
    Step::new(sql::LINK_ADD, values).needing_a_row()
}

/// Only while the broadcast has room: what one turns away must not take the place of what another does.
fn deny(denial: &Denial, now: UnixMillis) -> Vec<Step> {
    let broadcast = denial.broadcast.as_str();
    let values = [broadcast.into(), i64::from(denial.holder).into(), denial.until.into(), now.into()];
    vec![
        Step::new(sql::BROADCAST_HOLD, [broadcast.into()]).needing_a_row(),
        Step::new(sql::DENIALS_ROOM, [broadcast.into(), now.into(), DENIALS_OF_ONE.into()]).needing_a_row(),
        Step::new(sql::DENIAL_ADD, values),
    ]
}

fn full() -> StoreError {
    StoreError::Conflict(format!(
        "a broadcast turns at most {DENIALS_OF_ONE} holders of tickets away at once"
    ))
}
