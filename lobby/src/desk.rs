//! The chat desk: what the store has committed, on its way to every edge, in the order of its numbers.
//!
//! Two posts may be answered in another order than they were committed in, and another lobby may have committed between
//! them: what does not come next is read from the store.

use crate::policy::Role;
use crate::store::{ChatMessage, MessageKind, Store, StoreError};
use chat::{Author, Badge, Entry, LogId, Sequence, What};
use media::BroadcastId;
use node::fan::lobby::server::ChatFeed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Rooms that wait to be read from the store.
pub(crate) const ROOMS_WAITING: usize = 1024;
/// How often what another lobby wrote is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    feed: ChatFeed,
    behind: mpsc::Sender<BroadcastId>,
}

fn entry(line: &ChatMessage) -> Entry {
    let what = match line.kind {
        MessageKind::Message => What::Said {
            by: Author {
                id: line.account.as_ref().map(|id| id.0.clone()).unwrap_or_default(),
                name: line.name.clone(),
                badge: match line.badge {
                    Role::Viewer => Badge::Viewer,
                    Role::Moderator => Badge::Moderator,
                    Role::Broadcaster => Badge::Broadcaster,
                    Role::Admin => Badge::Admin,
                },
            },
            text: line.text.clone(),
        },
        MessageKind::Gone => What::Gone { of: Sequence(line.target.unwrap_or(0)) },
        MessageKind::GoneBy => What::GoneBy { author: line.text.clone() },
        MessageKind::Slow => What::Slow { seconds: line.target.unwrap_or(0).try_into().unwrap_or(u32::MAX) },
        // It was said and is gone: its own number is all that is left of it.
        MessageKind::Blank => What::Gone { of: Sequence(line.sequence) },
    };
    Entry { sequence: Sequence(line.sequence), at_ms: u64::try_from(line.at.0).unwrap_or(0), what }
}

impl Desk {
    pub(crate) fn new(feed: ChatFeed) -> (Self, mpsc::Receiver<BroadcastId>) {
        let (behind, rooms) = mpsc::channel(ROOMS_WAITING);
        (Self { feed, behind }, rooms)
    }

    /// A room is there, with its newest lines.
    pub(crate) async fn open(&self, store: &dyn Store, broadcast: &BroadcastId) -> Result<(), StoreError> {
        let Some(room) = store.room(broadcast).await? else { return Ok(()) };
        let newest = store.newest_messages(broadcast, chat::limits::RING as u64).await?;
        let next = Sequence(newest.last().map_or(room.last_sequence, |line| line.sequence) + 1);
        let slow = u32::try_from(room.slow.as_secs()).unwrap_or(u32::MAX);
        self.feed.open(broadcast, LogId(room.log), slow, next, newest.iter().map(entry).collect());
        Ok(())
    }

    /// A room is over.
    pub(crate) fn close(&self, broadcast: &BroadcastId) {
        self.feed.close(broadcast);
    }

    /// It was committed.
    pub(crate) fn said(&self, line: &ChatMessage) {
        if self.feed.next(&line.broadcast).is_some_and(|next| next.0 > line.sequence) {
            return;
        }
        if self.feed.push(&line.broadcast, entry(line)).is_err() {
            // A full queue names it already, or the next look finds it.
            let _ = self.behind.try_send(line.broadcast.clone());
        }
    }

    /// Reads what edges have not, for ever.
    pub(crate) async fn keep_up(self, store: Arc<dyn Store>, mut behind: mpsc::Receiver<BroadcastId>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let read = tokio::select! {
                room = behind.recv() => match room {
                    Some(room) => self.read(&*store, &room).await,
                    None => return,
                },
                _ = look.tick() => self.look(&*store).await,
            };
            if let Err(error) = read {
                tracing::debug!(%error, "the rooms cannot be read; edges keep what they have");
            }
        }
    }

    async fn look(&self, store: &dyn Store) -> Result<(), StoreError> {
        for room in store.rooms(chat::limits::ROOMS as u64).await? {
            match self.feed.next(&room.broadcast) {
                None => self.open(store, &room.broadcast).await?,
                Some(next) if next.0 <= room.last_sequence => self.read(store, &room.broadcast).await?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn read(&self, store: &dyn Store, broadcast: &BroadcastId) -> Result<(), StoreError> {
        while let Some(next) = self.feed.next(broadcast) {
            let lines = store.messages_after(broadcast, next.0.saturating_sub(1), 100).await?;
            for line in &lines {
                if self.feed.push(broadcast, entry(line)).is_err() {
                    break;
                }
            }
            if lines.is_empty() || self.feed.next(broadcast) == Some(next) {
                break;
            }
        }
        Ok(())
    }
}
