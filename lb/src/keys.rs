//! The ticket keys: read from their files at start, written when they are rotated, and the operator's two ways to
//! change them.
//!
//! `POST /admin/keys/rotate` makes a new key, here and at every other balancer that is linked;
//! `POST /admin/keys/reload` reads the files again after somebody else has changed them. Either way edges are told
//! first (`ring`), so that no token is sealed with a key that an edge has yet to hear of.

use crate::hub::Event;
use crate::ring::{Ring, Seal};
use crate::{LbError, TicketSettings};
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::post;
use edgefan::TicketKey;
use node::settings::SecretFile;
use percore::TlsSource;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ticket::{Key, Keys};
use tokio::sync::oneshot;

/// What the operator is told.
pub(crate) type Told = Result<String, (StatusCode, String)>;

/// What the operator wants.
#[derive(Debug)]
pub(crate) enum Wish {
    /// The files were read again.
    Reload(Box<(Seal, Option<Key>)>),
    /// A new key.
    Rotate {
        /// Whether tokens of the key before this one may be refused.
        force: bool,
        /// Only say what would be done.
        is_dry: bool,
    },
}

/// What the files say; a key of our own where none is named.
pub(crate) fn read(settings: &TicketSettings) -> Result<Ring, LbError> {
    let Some(file) = &settings.key else {
        tracing::warn!(
            "lb.tickets.key is not set: tokens are sealed with a key of our own, which other balancers learn by \
             lb.peers only and which is gone at the next start"
        );
        let key = random().map_err(|error| LbError::KeyFile { setting: "key", error })?;
        return Ok(Ring::new(Seal { key, made: 0 }, None));
    };
    let (seal, previous) = read_files(settings, file)?;
    Ok(Ring::new(seal, previous))
}

fn read_files(settings: &TicketSettings, file: &SecretFile) -> Result<(Seal, Option<Key>), LbError> {
    let key = read_one("key", file)?;
    let previous = match &settings.previous_key {
        Some(file) => Some(read_one("previous_key", file)?),
        None => {
            let kept = SecretFile(kept_beside(&file.0));
            kept.0.exists().then(|| read_one("previous_key", &kept)).transpose()?
        }
    };
    let changed = std::fs::metadata(&file.0).and_then(|file| file.modified()).unwrap_or(UNIX_EPOCH);
    Ok((Seal { key, made: unix_secs(changed) }, previous))
}

fn read_one(setting: &'static str, file: &SecretFile) -> Result<Key, LbError> {
    let secret = file.read().map_err(|error| LbError::KeyFile { setting, error })?;
    Key::parse(secret.reveal()).map_err(|error| LbError::Key { setting, path: file.0.clone(), error })
}

/// A key nobody knows.
pub(crate) fn random() -> io::Result<Key> {
    let mut secret = [0; Key::BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    Ok(Key::from_secret(secret))
}

/// Puts what a rotation came to into the files, the old key first, so that no moment is without it. Nothing where
/// no file is named.
pub(crate) fn write(settings: &TicketSettings, ring: &Ring) -> io::Result<()> {
    let Some(SecretFile(path)) = &settings.key else { return Ok(()) };
    if let Some(previous) = ring.previous() {
        let kept = settings.previous_key.as_ref().map_or_else(|| kept_beside(path), |file| file.0.clone());
        write_one(&kept, previous, None)?;
    }
    write_one(path, &ring.sealing().key, Some(ring.sealing().made))
}

fn write_one(path: &Path, key: &Key, made: Option<u64>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if std::fs::read_to_string(path).is_ok_and(|text| Key::parse(&text).as_ref() == Ok(key)) {
        // Somebody else has written it, and may have made it unwritable.
        return Ok(());
    }
    // Two balancers may keep theirs in the same file.
    let new = with_ending(path, &format!(".new-{}", std::process::id()));
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let hex: String = key.secret().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{hex}")?;
        if let Some(made) = made {
            // At the next start it is as young as it was: other balancers compare.
            file.set_modified(UNIX_EPOCH + Duration::from_secs(made))?;
        }
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(named)
}

/// Where the key before is kept when `previous_key` names no file.
fn kept_beside(path: &Path) -> PathBuf {
    with_ending(path, ".previous")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(crate) fn unix_secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// As links carry them.
pub(crate) fn for_links<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<TicketKey> {
    keys.into_iter().map(|key| TicketKey { kid: key.id(), secret: *key.secret() }).collect()
}

/// From the same secrets come the keys of TLS tickets, so that a viewer resumes at any balancer and edge.
pub(crate) fn share(tls: &TlsSource, keys: &Keys) {
    tls.share_tickets(keys.iter().map(|key| *key.secret()));
}

/// `POST /admin/keys/reload` and `POST /admin/keys/rotate`.
pub(crate) fn admin(settings: TicketSettings, events: SyncSender<Event>) -> Router {
    let (to_hub, hub) = (events.clone(), events);
    let reload = move || {
        let (settings, events) = (settings.clone(), to_hub.clone());
        async move {
            let Some(file) = &settings.key else {
                let why = "lb.tickets.key is not set: there is no file to read\n";
                return (StatusCode::CONFLICT, why.to_owned());
            };
            match read_files(&settings, file) {
                Ok(read) => ask(&events, Wish::Reload(Box::new(read))).await,
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            }
        }
    };
    let rotate = move |RawQuery(query): RawQuery| {
        let events = hub.clone();
        async move {
            let query = http::Query::new(query.as_deref());
            let is_set = |key| query.value(key) == Some("1");
            ask(&events, Wish::Rotate { force: is_set("force"), is_dry: is_set("dry_run") }).await
        }
    };
    Router::new().route("/keys/reload", post(reload)).route("/keys/rotate", post(rotate))
}

async fn ask(events: &SyncSender<Event>, wish: Wish) -> (StatusCode, String) {
    let (answer, answered) = oneshot::channel();
    let behind = || (StatusCode::SERVICE_UNAVAILABLE, "the hub is behind; try again\n".to_owned());
    if events.try_send(Event::Keys(wish, answer)).is_err() {
        return behind();
    }
    match answered.await {
        Ok(Ok(text)) => (StatusCode::OK, format!("{text}\n")),
        Ok(Err((status, text))) => (status, format!("{text}\n")),
        Err(_) => behind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rotation_came_to_is_read_again_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ticket.key");
        std::fs::write(&path, "1f".repeat(32).replace("1f1f", "1f2e")).unwrap();
        let settings = TicketSettings { key: Some(SecretFile(path.clone())), ..TicketSettings::default() };
        let mut ring = read(&settings).unwrap();
        let now = std::time::Instant::now();
        let made = ring.sealing().made + 100;
        ring.rotate(now, Seal { key: random().unwrap(), made }, None).unwrap();
        assert!(ring.turn(ring.deadline().unwrap()));
        write(&settings, &ring).unwrap();

        let read = read(&settings).unwrap();
        assert_eq!((read.sealing(), read.previous()), (ring.sealing(), ring.previous()));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(directory.path().read_dir().unwrap().count(), 2, "something was left behind");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let settings = TicketSettings {
            key: Some(SecretFile("/nowhere/ticket.key".into())),
            ..TicketSettings::default()
        };
        let ring = Ring::new(Seal { key: random().unwrap(), made: 1 }, None);
        assert!(write(&settings, &ring).unwrap_err().to_string().contains("/nowhere/ticket.key"));
    }
}
