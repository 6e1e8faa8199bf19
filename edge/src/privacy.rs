//! Which broadcasts are private: those of the settings, and those that the lobby tells of.
//!
//! What the lobby said last holds while it is away, and, in a file, over a restart. An edge that has neither heard it nor
//! remembers anything lets nobody in without a ticket until it has spoken, or for as long as it is to wait: a broadcast that
//! nobody may see is not shown because a lobby was away.

use delivery::Access;
use media::BroadcastId;
use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the lobby has said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LobbyWord {
    /// There is no lobby.
    None,
    /// It has not spoken, and nothing is remembered.
    Awaited(Patience),
    /// These are private.
    Private(HashSet<BroadcastId>),
}

/// How long the lobby's first word is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it comes.
    Endless,
    /// So long from the first moment on.
    For(Duration),
    /// Until then.
    Until(Instant),
}

/// Of every broadcast.
#[derive(Debug)]
pub(crate) struct Privacy {
    by_settings: HashSet<BroadcastId>,
    lobby: LobbyWord,
}

impl Privacy {
    pub(crate) fn new(by_settings: HashSet<BroadcastId>, lobby: LobbyWord) -> Self {
        Self { by_settings, lobby }
    }

    /// Who may have it.
    pub(crate) fn access(&self, broadcast: &BroadcastId) -> Access {
        let is_told = match &self.lobby {
            LobbyWord::None => false,
            LobbyWord::Awaited(_) => true,
            LobbyWord::Private(names) => names.contains(broadcast),
        };
        if is_told || self.by_settings.contains(broadcast) { Access::Private } else { Access::Public }
    }

    /// Whether everything is private because nothing is known.
    pub(crate) fn awaits(&self) -> bool {
        matches!(self.lobby, LobbyWord::Awaited(_))
    }

    /// The lobby says that these are private, and no others; answers what may be another than before, of those named
    /// then or now, or of any where nothing was known.
    pub(crate) fn told(&mut self, names: Vec<BroadcastId>) -> Changed {
        let names: HashSet<_> = names.into_iter().collect();
        match std::mem::replace(&mut self.lobby, LobbyWord::Private(names.clone())) {
            LobbyWord::Private(before) => {
                Changed::These(before.symmetric_difference(&names).cloned().collect())
            }
            LobbyWord::Awaited(_) => Changed::All,
            LobbyWord::None => Changed::These(names.into_iter().collect()),
        }
    }

    /// Time passes; true when the lobby has had its time, and anything may be another than before.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        let LobbyWord::Awaited(patience) = &mut self.lobby else { return false };
        let until = match *patience {
            Patience::Endless => return false,
            Patience::For(so_long) => now + so_long,
            Patience::Until(until) => until,
        };
        *patience = Patience::Until(until);
        let has_had_its_time = now >= until;
        if has_had_its_time {
            self.lobby = LobbyWord::Private(HashSet::new());
        }
        has_had_its_time
    }
}

/// Whose access may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    These(Vec<BroadcastId>),
    All,
}

/// The file in which the lobby's last word is kept.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: Option<PathBuf>,
}

impl Remembered {
    /// In this folder, or nowhere.
    pub(crate) fn within(folder: Option<&Path>) -> Self {
        Self { path: folder.map(|folder| folder.join("private-broadcasts")) }
    }

    /// What the lobby said last, if that is known.
    pub(crate) fn read(&self) -> Option<HashSet<BroadcastId>> {
        let path = self.path.as_ref()?;
        match fs::read_to_string(path) {
            Ok(text) => {
                let names: Result<_, _> = text.lines().map(BroadcastId::parse).collect();
                let say =
                    |error| tracing::warn!(path = %path.display(), %error, "what was private is not known");
                names.map_err(say).ok()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what was private cannot be read");
                None
            }
        }
    }

    /// Keeps these; where that fails the next start waits for the lobby, which is said.
    pub(crate) fn write(&self, names: &[BroadcastId]) {
        let Some(path) = &self.path else { return };
        let whole: String = names.iter().map(|name| format!("{name}\n")).collect();
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            let new = path.with_extension("new");
            let mut file = fs::File::create(&new)?;
            file.write_all(whole.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        if let Err(error) = write() {
            tracing::warn!(path = %path.display(), %error, "what is private cannot be remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> BroadcastId {
        BroadcastId::parse(text).unwrap()
    }

    #[test]
    fn without_a_lobby_the_settings_say_it() {
        let privacy = Privacy::new([name("tide")].into(), LobbyWord::None);
        assert_eq!(privacy.access(&name("tide")), Access::Private);
        assert_eq!(privacy.access(&name("ebb")), Access::Public);
    }

    #[test]
    fn until_the_lobby_has_spoken_nothing_is_open() {
        let mut privacy = Privacy::new(HashSet::new(), LobbyWord::Awaited(Patience::Endless));
        let begin = Instant::now();
        assert!(!privacy.tick(begin) && privacy.awaits());
        assert!(
            !privacy.tick(begin + Duration::from_secs(86_400)) && privacy.awaits(),
            "and none else opens it"
        );
        assert_eq!(privacy.access(&name("ebb")), Access::Private);
        assert_eq!(privacy.told(vec![name("tide")]), Changed::All);
        assert_eq!(
            (privacy.access(&name("ebb")), privacy.access(&name("tide"))),
            (Access::Public, Access::Private)
        );
        assert!(!privacy.tick(begin + Duration::from_secs(86_400)), "it has spoken");
        assert_eq!(privacy.told(vec![name("tide"), name("ebb")]), Changed::These(vec![name("ebb")]));
        let Changed::These(opened) = privacy.told(Vec::new()) else { panic!("those two") };
        assert_eq!(opened.len(), 2);
    }

    #[test]
    fn a_lobby_that_is_away_is_waited_for_as_long_as_the_settings_say() {
        let so_long = Duration::from_secs(3);
        let mut privacy = Privacy::new([name("tide")].into(), LobbyWord::Awaited(Patience::For(so_long)));
        let begin = Instant::now();
        privacy.tick(begin);
        assert!(!privacy.tick(begin + so_long - Duration::from_millis(1)));
        assert!(privacy.tick(begin + so_long) && !privacy.awaits());
        assert_eq!(
            (privacy.access(&name("ebb")), privacy.access(&name("tide"))),
            (Access::Public, Access::Private)
        );
    }

    #[test]
    fn what_was_said_last_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::within(Some(&folder.path().join("state")));
        assert_eq!(remembered.read(), None, "nothing was ever said");
        remembered.write(&[name("tide"), name("ebb")]);
        assert_eq!(remembered.read(), Some([name("tide"), name("ebb")].into()));
        remembered.write(&[]);
        assert_eq!(remembered.read(), Some(HashSet::new()));
        fs::write(folder.path().join("state/private-broadcasts"), "tide\na/b\n").unwrap();
        assert_eq!(remembered.read(), None, "half of it is none of it");
        assert_eq!(Remembered::within(None).read(), None);
    }
}
