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

    /// Edges that are linked.
    pub(crate) fn links(&self) -> u64 {
        self.feed.counts().links
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
        let there = store.rooms(chat::limits::ROOMS as u64).await?;
        for (name, log) in self.feed.rooms() {
            let room = match there.iter().find(|room| room.broadcast == name) {
                Some(room) => Some(room.clone()),
                // Beyond those that were asked for, or gone: another lobby, or `mascaret user delete`, has removed it.
                None => store.room(&name).await?,
            };
            match room {
                None => self.close(&name),
                // It was removed and made anew.
                Some(room) if room.log != log.0 => {
                    self.close(&name);
                    self.open(store, &name).await?;
                }
                Some(room) => {
                    if self.feed.next(&name).is_some_and(|next| next.0 <= room.last_sequence) {
                        self.read(store, &name).await?;
                    }
                }
            }
        }
        for room in &there {
            // A room in which nothing is said takes no other's place.
            if self.feed.next(&room.broadcast).is_none() && self.feed.rooms().len() < chat::limits::ROOMS {
                self.open(store, &room.broadcast).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, store: &dyn Store, broadcast: &BroadcastId) -> Result<(), StoreError> {
        if self.feed.next(broadcast).is_none() {
            // Something is said in it, so it takes the place of the one in which nothing was said for the longest.
            return self.open(store, broadcast).await;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AccountId, Broadcast, NewAccount, Post, Posted, Sqlite, UnixMillis, Visibility};

    async fn with_rooms(count: usize) -> (tempfile::TempDir, Arc<dyn Store>, Desk, AccountId) {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("lobby.db")).unwrap());
        store.migrate().await.unwrap();
        let ada = AccountId("ada".into());
        let new = NewAccount { id: &ada, name: "Ada", folded: "ada", password: "", role: Role::Admin };
        store.add_account(&new, UnixMillis(1)).await.unwrap();
        for nth in 0..count {
            add(&*store, &name(nth)).await;
        }
        let (desk, _) = Desk::new(ChatFeed::default());
        (folder, store, desk, ada)
    }

    async fn add(store: &dyn Store, name: &BroadcastId) {
        let new = Broadcast {
            name: name.clone(),
            owner: None,
            title: String::new(),
            visibility: Visibility::Public,
            made: UnixMillis(1),
        };
        store.add_broadcast(&new).await.unwrap();
    }

    fn name(nth: usize) -> BroadcastId {
        BroadcastId::parse(&format!("room{nth:03}")).unwrap()
    }

    async fn says(store: &dyn Store, room: &BroadcastId, account: &AccountId) -> ChatMessage {
        let post = Post {
            broadcast: room,
            account,
            name: "Ada",
            badge: Role::Admin,
            text: "hello",
            nonce: None,
            is_exempt: true,
        };
        match store.post(&post, UnixMillis(2)).await.unwrap() {
            Posted::New(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_another_lobby_removes_is_closed_and_what_it_makes_anew_is_another() {
        let (_folder, store, desk, ada) = with_rooms(2).await;
        desk.look(&*store).await.unwrap();
        assert_eq!(desk.feed.rooms().len(), 2);
        store.delete_broadcast(&name(0)).await.unwrap();
        store.delete_broadcast(&name(1)).await.unwrap();
        add(&*store, &name(1)).await;
        says(&*store, &name(1), &ada).await;
        desk.look(&*store).await.unwrap();
        let log = store.room(&name(1)).await.unwrap().unwrap().log;
        assert_eq!(desk.feed.rooms(), [(name(1), LogId(log))]);
        assert_eq!(desk.feed.next(&name(1)), Some(Sequence(2)), "with what was said there");
    }

    #[tokio::test]
    async fn a_room_in_which_something_is_said_is_open_however_many_there_are() {
        let most = chat::limits::ROOMS;
        let (_folder, store, desk, ada) = with_rooms(most + 2).await;
        desk.look(&*store).await.unwrap();
        assert_eq!((desk.feed.rooms().len(), desk.feed.next(&name(most + 1))), (most, None));
        let said = says(&*store, &name(most + 1), &ada).await;
        desk.said(&said);
        // What was named to be read is read.
        desk.read(&*store, &name(most + 1)).await.unwrap();
        assert_eq!(desk.feed.next(&name(most + 1)), Some(Sequence(2)));
        desk.look(&*store).await.unwrap();
        assert_eq!(
            desk.feed.next(&name(most + 1)),
            Some(Sequence(2)),
            "none in which nothing is said comes back for it"
        );
    }
}
