//! What strangers are told of which broadcast.
//!
//! Lives here: what the settings and the lobby say of lists and of who comes in. Does not live here: the check of segments
//! and playlists, which is every edge's own.

use media::BroadcastId;
use std::collections::HashSet;
use std::sync::Arc;

/// Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discretion {
    by_settings: Arc<HashSet<BroadcastId>>,
    lobby: Lobby,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Lobby {
    /// There is none.
    #[default]
    None,
    /// What it has said so far; before it has said what is in no list, nothing is in one.
    Named { unlisted: Option<Arc<HashSet<BroadcastId>>>, private: Arc<HashSet<BroadcastId>> },
}

impl Discretion {
    /// These are in no list; where there is a lobby, nothing is before it has spoken.
    pub(crate) fn new(by_settings: impl IntoIterator<Item = BroadcastId>, has_lobby: bool) -> Self {
        let lobby = match has_lobby {
            true => Lobby::Named { unlisted: None, private: Arc::default() },
            false => Lobby::None,
        };
        Self { by_settings: Arc::new(by_settings.into_iter().collect()), lobby }
    }

    /// The lobby says that these are in no list, and no others. What it said last holds while it is away.
    pub(crate) fn told_unlisted(&mut self, names: Vec<BroadcastId>) {
        if let Lobby::Named { unlisted, .. } = &mut self.lobby {
            *unlisted = Some(Arc::new(names.into_iter().collect()));
        }
    }

    /// The lobby says that these are private, and no others.
    pub(crate) fn told_private(&mut self, names: Vec<BroadcastId>) {
        if let Lobby::Named { private, .. } = &mut self.lobby {
            *private = Arc::new(names.into_iter().collect());
        }
    }

    /// Whether a list that anybody may read names it.
    pub(crate) fn lists(&self, broadcast: &BroadcastId) -> bool {
        let is_unlisted = match &self.lobby {
            Lobby::None => false,
            Lobby::Named { unlisted, private } => {
                unlisted.as_ref().is_none_or(|names| names.contains(broadcast)) || private.contains(broadcast)
            }
        };
        !is_unlisted && !self.by_settings.contains(broadcast)
    }

    /// Whether only who is admitted is told anything of it.
    pub(crate) fn is_private(&self, broadcast: &BroadcastId) -> bool {
        matches!(&self.lobby, Lobby::Named { private, .. } if private.contains(broadcast))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> BroadcastId {
        BroadcastId::parse(text).unwrap()
    }

    #[test]
    fn without_a_lobby_all_is_listed_but_what_the_settings_name() {
        let mut alone = Discretion::new([name("ebb")], false);
        alone.told_unlisted(vec![name("tide")]);
        assert!(alone.lists(&name("tide")) && !alone.lists(&name("ebb")));
        assert!(!alone.is_private(&name("ebb")));
    }

    #[test]
    fn nothing_is_listed_before_the_lobby_has_spoken_and_then_what_it_leaves() {
        let mut told = Discretion::new([name("ebb")], true);
        assert!(!told.lists(&name("tide")));
        told.told_private(vec![name("bore")]);
        assert!(!told.lists(&name("tide")), "what is unlisted it has not said yet");
        told.told_unlisted(vec![name("bore"), name("neap")]);
        let listed = ["tide", "ebb", "bore", "neap"].map(|it| told.lists(&name(it)));
        assert_eq!(listed, [true, false, false, false]);
        assert_eq!(["bore", "neap"].map(|it| told.is_private(&name(it))), [true, false]);
        told.told_private(vec![]);
        told.told_unlisted(vec![]);
        assert!(told.lists(&name("bore")) && !told.is_private(&name("bore")));
    }
}
