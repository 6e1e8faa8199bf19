//! A chat room per broadcast: a gapless sequence of messages and tombstones, and who may not post.
//!
//! A room's number is taken and its message written in one transaction that holds the room meanwhile, so numbers are
//! given in the order in which messages become durable, and one that is refused takes none.

use super::broadcasts::name;
use super::{AccountId, Outcome, Row, Step, Store, StoreError, UnixMillis, sql};
use crate::policy::Role;
use media::BroadcastId;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// What a line of a room's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Somebody said something.
    Message,
    /// `target` is gone: a tombstone, with a number of its own so that every reader hears of it.
    Gone,
    /// Everything is gone that the author said whose id is its text.
    GoneBy,
    /// The room's pace is `target` seconds from here on.
    Slow,
    /// Was said, and was taken away; its number stays.
    Blank,
}

impl MessageKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Gone => "gone",
            Self::GoneBy => "gone-by",
            Self::Slow => "slow",
            Self::Blank => "blank",
        }
    }
}

impl FromStr for MessageKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "message" => Ok(Self::Message),
            "gone" => Ok(Self::Gone),
            "gone-by" => Ok(Self::GoneBy),
            "slow" => Ok(Self::Slow),
            "blank" => Ok(Self::Blank),
            _ => Err(()),
        }
    }
}

/// One line of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Whose room.
    pub broadcast: BroadcastId,
    /// Its number: the first of a room is 1, and none is left out.
    pub sequence: u64,
    /// What it is.
    pub kind: MessageKind,
    /// Who said it; nobody in a tombstone and in a blank.
    pub account: Option<AccountId>,
    /// What he was called then; of a tombstone, who took it away.
    pub name: String,
    /// What was said.
    pub text: String,
    /// What a tombstone takes away.
    pub target: Option<u64>,
    /// When.
    pub at: UnixMillis,
    /// What he was in that room then.
    pub badge: Role,
}

fn message(row: &Row) -> Result<ChatMessage, StoreError> {
    Ok(ChatMessage {
        broadcast: name(row, 0)?,
        sequence: row.sequence(1)?,
        kind: row.parsed(2, "a kind of message")?,
        account: row.maybe(3, Row::text)?.map(AccountId),
        name: row.text(4)?,
        text: row.text(5)?,
        target: row.maybe(6, Row::sequence)?,
        at: UnixMillis(row.int(7)?),
        badge: row.parsed(8, "a role")?,
    })
}

/// What somebody wants to say. Its length and rate were looked at before (`policy`).
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Where.
    pub broadcast: &'a BroadcastId,
    /// Who.
    pub account: &'a AccountId,
    /// What he is called.
    pub name: &'a str,
    /// What he is in that room.
    pub badge: Role,
    /// What.
    pub text: &'a str,
    /// Made by the sender: with the same one the same message is not said twice, however often it is sent.
    pub nonce: Option<&'a str>,
    /// Whether slow mode does not hold for him.
    pub is_exempt: bool,
}

/// How posting went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Durable, under this number.
    New(ChatMessage),
    /// Durable since an earlier try with the same nonce.
    Again(ChatMessage),
    /// Not said.
    Refused(PostRefusal),
}

/// Why a post is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostRefusal {
    /// The broadcast has none.
    #[error("there is no such room")]
    NoRoom,
    /// Until then, or for good.
    #[error("you are banned from this room")]
    Banned {
        /// The end of it.
        until: Option<UnixMillis>,
    },
    /// Until then, or for good.
    #[error("you are muted in this room")]
    Muted {
        /// The end of it.
        until: Option<UnixMillis>,
    },
    /// Too soon after the last one.
    #[error("this room is slow: one message every {} s", every.as_secs_f32())]
    Slow {
        /// The room's pace.
        every: Duration,
        /// When it will do.
        again_in: Duration,
    },
}

/// What may be held against somebody in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestraintKind {
    /// May read.
    Mute,
    /// May not post, nor get a ticket of a private broadcast.
    Ban,
}

impl RestraintKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
        }
    }
}

impl FromStr for RestraintKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Mute, Self::Ban].into_iter().find(|it| it.as_str() == text).ok_or(())
    }
}

/// What is held against somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restraint {
    /// In which room.
    pub broadcast: BroadcastId,
    /// Whom.
    pub account: AccountId,
    /// What he is called.
    pub name: String,
    /// What.
    pub kind: RestraintKind,
    /// Until when; for good if it does not say.
    pub until: Option<UnixMillis>,
}

fn restraint(row: &Row) -> Result<Restraint, StoreError> {
    Ok(Restraint {
        broadcast: name(row, 0)?,
        account: AccountId(row.text(1)?),
        kind: row.parsed(2, "a kind of restraint")?,
        until: row.maybe(3, Row::int)?.map(UnixMillis),
        name: row.text(4)?,
    })
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whose.
    pub broadcast: BroadcastId,
    /// The number of its newest line; 0 of an empty one.
    pub last_sequence: u64,
    /// Which log its numbers belong to: a room that is made anew has another.
    pub log: u32,
    /// The least between two posts of one account; nothing if it is not slow.
    pub slow: Duration,
}

fn room(row: &Row) -> Result<Room, StoreError> {
    Ok(Room {
        broadcast: name(row, 0)?,
        log: row.sequence(1)? as u32,
        last_sequence: row.sequence(2)?,
        slow: Duration::from_millis(row.sequence(3)?),
    })
}

impl dyn Store + '_ {
    /// Says it, if nothing is against it. When it has answered, it is durable.
    pub async fn post(&self, post: &Post<'_>, now: UnixMillis) -> Result<Posted, StoreError> {
        let next = Step::new(sql::ROOM_NEXT, [post.broadcast.as_str().into()]).needing_a_row();
        let values = [
            post.account.0.as_str().into(),
            post.name.into(),
            post.text.into(),
            now.into(),
            post.nonce.into(),
            post.badge.as_str().into(),
            post.broadcast.as_str().into(),
            post.is_exempt.into(),
        ];
        let add = Step::new(sql::MESSAGE_ADD, values).needing_a_row();
        match self.transact(vec![next, add]).await {
            Ok(Outcome::Done(rows)) => {
                let row = rows.last().and_then(|rows| rows.first());
                let row = row.ok_or_else(|| StoreError::Broken("a message without a number".into()))?;
                Ok(Posted::New(ChatMessage {
                    broadcast: post.broadcast.clone(),
                    sequence: row.sequence(0)?,
                    kind: MessageKind::Message,
                    account: Some(post.account.clone()),
                    name: post.name.to_owned(),
                    text: post.text.to_owned(),
                    target: None,
                    at: now,
                    badge: post.badge,
                }))
            }
            Ok(Outcome::Undone(0)) => Ok(Posted::Refused(PostRefusal::NoRoom)),
            Ok(Outcome::Undone(_)) | Err(StoreError::Conflict(_)) => self.why_not(post, now).await,
            Err(error) => Err(error),
        }
    }

    async fn why_not(&self, post: &Post<'_>, now: UnixMillis) -> Result<Posted, StoreError> {
        let (broadcast, account) = (post.broadcast.as_str(), post.account.0.as_str());
        if let Some(nonce) = post.nonce {
            let step = Step::new(sql::MESSAGE_BY_NONCE, [broadcast.into(), account.into(), nonce.into()]);
            if let Some(row) = self.one(step).await? {
                return message(&row).map(Posted::Again);
            }
        }
        let against = self.restraints_of(post.broadcast, post.account, now).await?;
        // "ban" is before "mute".
        if let Some(Restraint { kind, until, .. }) = against.into_iter().next() {
            return Ok(Posted::Refused(match kind {
                RestraintKind::Ban => PostRefusal::Banned { until },
                RestraintKind::Mute => PostRefusal::Muted { until },
            }));
        }
        let Some(room) = self.room(post.broadcast).await? else {
            return Ok(Posted::Refused(PostRefusal::NoRoom));
        };
        let last = self.one(Step::new(sql::MESSAGE_LAST_AT, [broadcast.into(), account.into()])).await?;
        let last = last.map_or(Ok(now), |row| row.int(0).map(UnixMillis))?;
        let again_in = now.until(last.plus(room.slow));
        Ok(Posted::Refused(PostRefusal::Slow { every: room.slow, again_in }))
    }

    /// Lines after that number, the oldest first.
    pub async fn messages_after(
        &self,
        broadcast: &BroadcastId,
        after: u64,
        count: u64,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let values = [broadcast.as_str().into(), after.into(), count.into()];
        self.look(Step::new(sql::MESSAGES_AFTER, values)).await?.iter().map(message).collect()
    }

    /// The newest lines, the oldest of them first.
    pub async fn newest_messages(
        &self,
        broadcast: &BroadcastId,
        count: u64,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let rows =
            self.look(Step::new(sql::MESSAGES_NEWEST, [broadcast.as_str().into(), count.into()])).await?;
        rows.iter().rev().map(message).collect()
    }

    /// One line.
    pub async fn message(
        &self,
        broadcast: &BroadcastId,
        sequence: u64,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let step = Step::new(sql::MESSAGE, [broadcast.as_str().into(), sequence.into()]);
        self.one(step).await?.as_ref().map(message).transpose()
    }

    /// Takes a message away: its text goes, and a tombstone with a number of its own says so to every reader. Nothing if
    /// there is no such message any more.
    pub async fn tombstone(
        &self,
        broadcast: &BroadcastId,
        target: u64,
        by: &str,
        now: UnixMillis,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let blank = Step::new(sql::MESSAGE_BLANK, [broadcast.as_str().into(), target.into()]).needing_a_row();
        self.mark(broadcast, blank, (MessageKind::Gone, Some(target), ""), by, now).await
    }

    /// Takes away everything an account said in a room, with one mark for all of it. Nothing if it said nothing.
    pub async fn clear(
        &self,
        broadcast: &BroadcastId,
        account: &AccountId,
        by: &str,
        now: UnixMillis,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let values = [broadcast.as_str().into(), account.0.as_str().into()];
        let blank = Step::new(sql::MESSAGES_BLANK_BY, values).needing_a_row();
        self.mark(broadcast, blank, (MessageKind::GoneBy, None, account.0.as_str()), by, now).await
    }

    /// Sets a room's pace, with a mark in its log. Nothing if there is no such room.
    pub async fn set_slow(
        &self,
        broadcast: &BroadcastId,
        seconds: u32,
        by: &str,
        now: UnixMillis,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let values = [(i64::from(seconds) * 1000).into(), broadcast.as_str().into()];
        let change = Step::new(sql::ROOM_SLOW, values).needing_a_row();
        self.mark(broadcast, change, (MessageKind::Slow, Some(seconds.into()), ""), by, now).await
    }

    /// Carries `change` out under a number of its own.
    async fn mark(
        &self,
        broadcast: &BroadcastId,
        change: Step,
        (kind, target, text): (MessageKind, Option<u64>, &str),
        by: &str,
        now: UnixMillis,
    ) -> Result<Option<ChatMessage>, StoreError> {
        let room = broadcast.as_str();
        let values = [by.into(), now.into(), target.into(), kind.as_str().into(), text.into(), room.into()];
        let steps = vec![
            Step::new(sql::ROOM_NEXT, [room.into()]).needing_a_row(),
            change,
            Step::new(sql::MARK_ADD, values).needing_a_row(),
        ];
        let Outcome::Done(rows) = self.transact(steps).await? else { return Ok(None) };
        let row = rows.last().and_then(|rows| rows.first());
        let row = row.ok_or_else(|| StoreError::Broken("a mark without a number".into()))?;
        Ok(Some(ChatMessage {
            broadcast: broadcast.clone(),
            sequence: row.sequence(0)?,
            kind,
            account: None,
            name: by.to_owned(),
            text: text.to_owned(),
            target,
            at: now,
            badge: Role::Viewer,
        }))
    }

    /// Takes away everything an account ever said; the marks, for whoever tells readers.
    pub async fn clear_everywhere(
        &self,
        account: &AccountId,
        by: &str,
        now: UnixMillis,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        const AT_ONCE: u64 = 100;
        let mut marks = Vec::new();
        loop {
            let rooms =
                self.look(Step::new(sql::ROOMS_SAID_IN, [account.0.as_str().into(), AT_ONCE.into()])).await?;
            if rooms.is_empty() {
                return Ok(marks);
            }
            for row in &rooms {
                marks.extend(self.clear(&name(row, 0)?, account, by, now).await?);
            }
        }
    }

    /// The room of a broadcast.
    pub async fn room(&self, broadcast: &BroadcastId) -> Result<Option<Room>, StoreError> {
        self.one(Step::new(sql::ROOM, [broadcast.as_str().into()])).await?.as_ref().map(room).transpose()
    }

    /// All rooms.
    pub async fn rooms(&self, count: u64) -> Result<Vec<Room>, StoreError> {
        self.look(Step::new(sql::ROOMS, [count.into()])).await?.iter().map(room).collect()
    }

    /// Holds something against somebody, or for longer.
    pub async fn restrain(
        &self,
        broadcast: &BroadcastId,
        account: &AccountId,
        kind: RestraintKind,
        until: Option<UnixMillis>,
        by: &AccountId,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let values = [
            broadcast.as_str().into(),
            account.0.as_str().into(),
            kind.as_str().into(),
            until.into(),
            by.0.as_str().into(),
            now.into(),
        ];
        self.transact(vec![Step::new(sql::RESTRAINT_PUT, values)]).await.map(drop)
    }

    /// No more of it; false if there was nothing.
    pub async fn lift(
        &self,
        broadcast: &BroadcastId,
        account: &AccountId,
        kind: RestraintKind,
    ) -> Result<bool, StoreError> {
        let values = [broadcast.as_str().into(), account.0.as_str().into(), kind.as_str().into()];
        self.changed(Step::new(sql::RESTRAINT_LIFT, values)).await
    }

    /// What is held against one account in a room now, bans first.
    pub async fn restraints_of(
        &self,
        broadcast: &BroadcastId,
        account: &AccountId,
        now: UnixMillis,
    ) -> Result<Vec<Restraint>, StoreError> {
        let values = [broadcast.as_str().into(), account.0.as_str().into(), now.into()];
        self.look(Step::new(sql::RESTRAINTS_OF, values)).await?.iter().map(restraint).collect()
    }

    /// What is held against anybody in a room now, the newest first.
    pub async fn restraints(
        &self,
        broadcast: &BroadcastId,
        now: UnixMillis,
        count: u64,
    ) -> Result<Vec<Restraint>, StoreError> {
        let values = [broadcast.as_str().into(), now.into(), count.into()];
        self.look(Step::new(sql::RESTRAINTS, values)).await?.iter().map(restraint).collect()
    }
}
