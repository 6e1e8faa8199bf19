//! The demo's host: the lobby's administrator, with a password that is good for this demo, and the rooms of what is on the
//! air.
//!
//! Done before the lobby runs, with what `mascaret user` does.

use ::lobby::policy::{Name, Password, Role};
use ::lobby::store::{Broadcast, Store, UnixMillis, Visibility};
use ::lobby::{StoreSettings, passwords, secret};
use media::BroadcastId;
use std::io;
use std::path::Path;

/// Who may do everything in a demo.
pub(super) const HOST: &str = "host";

/// Makes him and these broadcasts, which are his, in the store of that file; his password.
pub(super) fn admit(store: &Path, broadcasts: &[&str]) -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let settings = StoreSettings { sqlite: store.to_owned(), ..StoreSettings::default() };
    runtime.block_on(async {
        let store = ::lobby::open_store(&settings).await.map_err(io::Error::other)?;
        let password = secret::word();
        host(&*store, &password, broadcasts).await.map_err(io::Error::other)?;
        Ok(password)
    })
}

async fn host(store: &dyn Store, password: &str, broadcasts: &[&str]) -> Result<(), crate::lobby::Refused> {
    let (name, password) = (Name::parse(HOST)?, Password::parse(password)?);
    match store.account_named(HOST).await? {
        // A demo was here before, and everything that was said in it still is.
        Some(account) => {
            store.set_password(&account.id, &passwords::hash(password.as_str())).await?;
            store.set_role(&account.id, Role::Admin).await?;
        }
        None => crate::lobby::add(store, &name, &password, Role::Admin).await?,
    }
    let owner = store.account_named(HOST).await?.map(|account| account.id);
    for name in broadcasts.iter().filter_map(|name| BroadcastId::parse(name).ok()) {
        if store.broadcast(&name).await?.is_none() {
            let (owner, made) = (owner.clone(), UnixMillis::now());
            let visibility = Visibility::Public;
            store.add_broadcast(&Broadcast { name, owner, title: String::new(), visibility, made }).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn he_has_another_password_each_time_and_keeps_what_is_his() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lobby.db");
        let (first, second) = (admit(&file, &["tide"]).unwrap(), admit(&file, &["tide", "bore"]).unwrap());
        assert_ne!(first, second);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = StoreSettings { sqlite: file, ..StoreSettings::default() };
            let store = ::lobby::open_store(&settings).await.unwrap();
            let host = store.account_named(HOST).await.unwrap().unwrap();
            assert_eq!(host.role, Role::Admin);
            assert_eq!(store.broadcasts_of(&host.id, "", 9).await.unwrap().len(), 2);
        });
    }
}
