//! What the lobby says, to the cores: chat, who is let in, and who is turned away.

use super::{Line, Output};
use crate::privacy::Changed;
use delivery::{Access, Denials, Update};
use media::BroadcastId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use window::Window;

impl<B: Clone> Line<B> {
    /// News of a room's chat: rooms are there whether their broadcast is on the air or not.
    pub(crate) fn chat(&mut self, told: chat::Told) {
        let room = match &told {
            chat::Told::Room(room, _) => {
                self.rooms.insert(room.clone());
                room
            }
            chat::Told::Closed(room) => {
                self.rooms.remove(room);
                room
            }
            chat::Told::Run(run) => &run.room,
        };
        let access = self.access(room);
        self.out.push_back(Output::Cores(Update::Chat { access, told }));
    }

    /// Who may have what is of this broadcast.
    pub(super) fn access(&self, broadcast: &BroadcastId) -> Access {
        self.privacy.access(broadcast)
    }

    /// The lobby says that these are private, and no others.
    pub(crate) fn private(&mut self, names: Vec<BroadcastId>) {
        let changed = match self.privacy.told(names) {
            Changed::These(names) => names,
            Changed::All => self.named(),
        };
        self.tell_access(changed);
    }

    /// Everything that the cores have been told of by name.
    pub(super) fn named(&self) -> Vec<BroadcastId> {
        self.lanes.keys().chain(&self.rooms).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    pub(super) fn tell_access(&mut self, of: Vec<BroadcastId>) {
        for broadcast in of {
            let access = self.access(&broadcast);
            let window = self.lanes.get(&broadcast).and_then(|lane| lane.window.as_ref());
            if let Some(multivariant) = window.and_then(Window::multivariant) {
                // Media playlists are written anew with each segment; this one may never be.
                let age = window.map_or(Duration::ZERO, |window| window.facts().segment.as_duration());
                let page = self.rules.page(&multivariant.render(), age, access);
                let broadcast = broadcast.clone();
                self.out.push_back(Output::Cores(Update::Multivariant { broadcast, page }));
            }
            self.out.push_back(Output::Cores(Update::Access { broadcast, access }));
        }
    }

    /// The lobby says that these are turned away, and no others.
    pub(crate) fn denied(&mut self, rows: &[admission::Denied]) {
        let mut denials = Denials::default();
        for row in rows {
            denials.add(ticket::BroadcastHash::of(&row.broadcast), row.holder, row.until);
        }
        self.out.push_back(Output::Cores(Update::Denied(Arc::new(denials))));
    }
}
