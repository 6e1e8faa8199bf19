//! `mascaret user …` and `mascaret lobby backup|restore`: what is done to a lobby's store by whoever can read its settings.

use crate::{DONE, cli, failed, roles, wrong_usage};
use ::lobby::policy::{Name, Password, Role};
use ::lobby::store::{self, Account, AccountId, NewAccount, Store, StoreError, UnixMillis};
use ::lobby::{LobbyError, passwords, secret};
use node::settings::load;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, IsTerminal, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::sync::Arc;

/// Why a command did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Lobby(#[from] LobbyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Transfer(#[from] store::TransferError),
    #[error("{0}")]
    Word(#[from] ::lobby::policy::NoName),
    #[error("there is no account called {0:?}")]
    Nobody(String),
    #[error("{0:?} is taken")]
    Taken(String),
    #[error("{0:?} is the only administrator; make another first")]
    LastAdmin(String),
    #[error("{0}: {1}")]
    File(String, std::io::Error),
}

fn with_store(role: &cli::Role, run: impl AsyncFnOnce(Arc<dyn Store>) -> Result<(), Refused>) -> ExitCode {
    let sources = roles::sources(role);
    let loaded = match sources.and_then(|sources| load::<::lobby::Settings>("lobby", &sources)) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{}", error.picture(std::io::stderr().is_terminal()));
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let done = runtime.block_on(async {
        let store = ::lobby::open_store(&loaded.settings.store).await?;
        run(store).await
    });
    match done {
        Ok(()) => DONE,
        Err(error) => failed(error),
    }
}

pub(crate) fn user(command: &cli::UserCommand) -> ExitCode {
    match command {
        cli::UserCommand::Add(add) => {
            let (password, is_new) = match password(add.password_stdin) {
                Ok(password) => password,
                Err(error) => return wrong_usage(error),
            };
            with_store(&add.role_settings, async |store| {
                let name = Name::parse(&add.name)?;
                self::add(&*store, &name, &password, add.role.0).await?;
                println!("{} is {}", name.as_str(), add.role.0);
                if is_new {
                    println!("password (shown once)   {}", password.as_str());
                }
                Ok(())
            })
        }
        cli::UserCommand::Passwd(passwd) => {
            let (password, is_new) = match password(passwd.password_stdin) {
                Ok(password) => password,
                Err(error) => return wrong_usage(error),
            };
            with_store(&passwd.role_settings, async |store| {
                let account = named(&*store, &passwd.name).await?;
                store.set_password(&account.id, &passwords::hash(password.as_str())).await?;
                println!("{} has a new password and is signed out everywhere", account.name);
                if is_new {
                    println!("password (shown once)   {}", password.as_str());
                }
                Ok(())
            })
        }
        cli::UserCommand::Role(change) => with_store(&change.role_settings, async |store| {
            let account = named(&*store, &change.name).await?;
            keep_an_admin(&*store, &account, change.role.0).await?;
            store.set_role(&account.id, change.role.0).await?;
            println!("{} is {}", account.name, change.role.0);
            Ok(())
        }),
        cli::UserCommand::Delete(delete) => with_store(&delete.role_settings, async |store| {
            let account = named(&*store, &delete.name).await?;
            keep_an_admin(&*store, &account, Role::Viewer).await?;
            // A running lobby finds the marks in its rooms within a second.
            store.clear_everywhere(&account.id, "", UnixMillis::now()).await?;
            store.delete_account(&account.id).await?;
            println!("{} is gone, with all that was his", account.name);
            Ok(())
        }),
    }
}

/// Adds an account.
pub(crate) async fn add(
    store: &dyn Store,
    name: &Name,
    password: &Password,
    role: Role,
) -> Result<(), Refused> {
    let (id, folded, hashed) =
        (AccountId(secret::word()[..24].to_owned()), name.folded(), passwords::hash(password.as_str()));
    let new = NewAccount { id: &id, name: name.as_str(), folded: &folded, password: &hashed, role };
    match store.add_account(&new, UnixMillis::now()).await {
        Err(StoreError::Conflict(_)) => Err(Refused::Taken(name.as_str().to_owned())),
        added => Ok(added?),
    }
}

async fn named(store: &dyn Store, name: &str) -> Result<Account, Refused> {
    store.account_named(&name.to_ascii_lowercase()).await?.ok_or_else(|| Refused::Nobody(name.to_owned()))
}

async fn keep_an_admin(store: &dyn Store, account: &Account, role: Role) -> Result<(), Refused> {
    if account.role == Role::Admin && role != Role::Admin && store.admin_count().await? <= 1 {
        return Err(Refused::LastAdmin(account.name.clone()));
    }
    Ok(())
}

/// From stdin's first line, or made here.
fn password(from_stdin: bool) -> Result<(Password, bool), String> {
    if !from_stdin {
        return Ok((Password::parse(&secret::word()).map_err(|error| error.to_string())?, true));
    }
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let password = Password::parse(text.trim_end_matches(['\r', '\n'])).map_err(|error| error.to_string())?;
    Ok((password, false))
}

pub(crate) fn run(command: &cli::LobbyCommand) -> ExitCode {
    match command {
        cli::LobbyCommand::Backup(backup) => with_store(&backup.role, async |store| {
            let say = |error| Refused::File(backup.file.display().to_string(), error);
            // It has password hashes in it: for its owner's eyes, and never over another.
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&backup.file)
                .map_err(say)?;
            let written = async {
                let rows = store::backup(&*store, BufWriter::new(&file)).await?;
                file.sync_all().map_err(say)?;
                Ok(rows)
            };
            let rows = written.await.inspect_err(|_: &Refused| {
                // Half a copy is none; what is wrong is said above all.
                let _ = std::fs::remove_file(&backup.file);
            })?;
            println!("{rows} rows in {}", backup.file.display());
            Ok(())
        }),
        cli::LobbyCommand::Restore(restore) => with_store(&restore.role, async |store| {
            let say = |error| Refused::File(restore.file.display().to_string(), error);
            let file = File::open(&restore.file).map_err(say)?;
            let rows = store::restore(&*store, BufReader::new(file)).await?;
            println!("{rows} rows from {}", restore.file.display());
            Ok(())
        }),
    }
}
