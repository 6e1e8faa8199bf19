//! What every request needs of the lobby, and the few things that are more than one step in the store.

use crate::admission::Admission;
use crate::desk::Desk;
use crate::hooks::Reach;
use crate::http::Fault;
use crate::metrics::Counts;
use crate::passwords::Passwords;
use crate::policy::Role;
use crate::rates::Rate;
use crate::store::{AccountId, Store, StoreError, UnixMillis};
use crate::tickets::TicketKeys;
use crate::{Settings, share};
use media::BroadcastId;
use std::sync::Arc;

/// Who is turned away, told to every edge at once; the newest stay.
pub(crate) const DENIALS: u64 = 4096;
/// Broadcasts that are unlisted or private, told to every edge and balancer.
pub(crate) const UNLISTED_TOLD: u64 = 4096;
/// So many are made, and as many more as are made at once by then.
pub(crate) const UNLISTED_BROADCASTS: u64 = 4000;

/// How often each may try what.
#[derive(Debug)]
pub(crate) struct Rates {
    pub(crate) addresses: Rate,
    pub(crate) accounts: Rate,
    pub(crate) posts: Rate,
    pub(crate) tickets: Rate,
}

/// Everything.
#[derive(Debug)]
pub struct Lobby {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) passwords: Passwords,
    pub(crate) rates: Rates,
    pub(crate) desk: Desk,
    pub(crate) admission: Admission,
    pub(crate) reach: Reach,
    pub(crate) ticket_keys: Arc<TicketKeys>,
    pub(crate) share_secret: ticket::LinkSecret,
    pub(crate) counts: Arc<Counts>,
}

impl Rates {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            addresses: Rate::per_minute(settings.tries_per_address.value()),
            accounts: Rate::per_minute(settings.tries_per_account.value()),
            posts: Rate::per_minute(settings.posts_per_account.value()),
            tickets: Rate::per_minute(600),
        }
    }
}

impl Lobby {
    /// Who is the only administrator stays one.
    pub(crate) async fn keep_an_admin(&self, account: &AccountId) -> Result<(), Fault> {
        let role = self.store.account(account).await?.map(|account| account.role);
        if role == Some(Role::Admin) && self.store.admin_count().await? <= 1 {
            return Err(Fault::Conflict("he is the only administrator; make another first".into()));
        }
        Ok(())
    }

    /// Removes an account and everything of it: what it said everywhere, its broadcasts, their keys and what runs by them.
    pub(crate) async fn delete_account(&self, account: &AccountId, role: Role) -> Result<(), Fault> {
        if role == Role::Admin {
            self.keep_an_admin(account).await?;
        }
        loop {
            let some = self.store.broadcasts_of(account, "", 100).await?;
            if some.is_empty() {
                break;
            }
            for broadcast in some {
                self.delete_broadcast(&broadcast.name).await?;
            }
        }
        for mark in self.store.clear_everywhere(account, "", UnixMillis::now()).await? {
            self.desk.said(&mark);
        }
        self.store.delete_account(account).await?;
        Ok(())
    }

    /// Removes a broadcast with its keys; whoever publishes by one of them is let go.
    pub(crate) async fn delete_broadcast(&self, name: &BroadcastId) -> Result<(), Fault> {
        let keys = self.store.keys_of(name).await?;
        self.store.delete_broadcast(name).await?;
        self.admission.revoke(keys.into_iter().map(|key| key.digest).collect());
        self.desk.close(name);
        self.tell_edges().await?;
        Ok(())
    }

    /// One more broadcast that is not public, if edges and balancers can be told of it: one that they are not told of
    /// would be open.
    pub(crate) async fn one_more_unlisted(&self) -> Result<(), Fault> {
        match self.store.unlisted_broadcasts(UNLISTED_BROADCASTS).await?.len() as u64 {
            UNLISTED_BROADCASTS.. => Err(Fault::Conflict(format!(
                "there are {UNLISTED_BROADCASTS} unlisted and private broadcasts already, which is all there may be"
            ))),
            _ => Ok(()),
        }
    }

    /// What is private and who is turned away, as it is now.
    pub(crate) async fn tell_edges(&self) -> Result<(), StoreError> {
        let now = UnixMillis::now();
        let private = self.store.private_broadcasts(UNLISTED_TOLD).await?;
        let unlisted = self.store.unlisted_broadcasts(UNLISTED_TOLD).await?;
        let denied = self.store.denials(now, DENIALS).await?;
        self.admission.tell(private, unlisted, denied);
        Ok(())
    }

    /// The secret that links are sealed with: one for all lobbies of a store.
    pub(crate) async fn share_secret(store: &dyn Store) -> Result<ticket::LinkSecret, StoreError> {
        store.secret(share::SECRET, crate::secret::random()).await.map(ticket::LinkSecret::new)
    }
}
