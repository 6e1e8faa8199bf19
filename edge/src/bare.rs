//! An edge without its shell: its rooms, and no thread, socket, file or clock. For whoever brings those (`lab`).
//!
//! Lives here: a door to what [`crate::shell`] drives in a running edge. Does not live here: any decision.

use crate::board::Notice;
use crate::line::{Line, Now, Output, Rules, Store};
use crate::orders::{Changed, Orders};
use crate::privacy::LobbyWord;
use crate::shell::{Egress, Leaving};
use bytes::Bytes;
use delivery::Update;
use edgefan::{Address, EdgeState, Event, Load, Standing};
use media::{BitRate, BroadcastId, RenditionId, RunId, StreamFacts};
use node::fan::control::client::Told;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// What leaves it. A body is its own bytes.
#[derive(Clone, Debug)]
pub enum Word {
    /// For every core.
    Cores(Box<Update<Bytes>>),
    /// For every balancer: what is listed here.
    Stream(StreamFacts),
    /// For every balancer: it is listed here no more.
    End(BroadcastId, RunId),
    /// From now on these ingests are to be dialled.
    Ingests(Vec<Address>),
    /// For every balancer, at each tick: how it is doing.
    Load(Load),
}

/// The rooms of one edge.
pub struct Bare {
    line: Line<Bytes>,
    orders: Orders,
    egress: Egress,
    leaving: Leaving,
    steer: Duration,
    state: EdgeState,
    out: VecDeque<Word>,
}

impl Bare {
    /// One that knows these ingests by itself, and may hold so many bytes of windows.
    pub fn new(
        ingests: Vec<Address>,
        window_bytes: u64,
        blocking_reload: bool,
        keep_ended: Duration,
    ) -> Self {
        let cors = http::Cors::anybody();
        let (private, lobby) = (HashSet::new(), LobbyWord::None);
        let rules = Rules { cors, private, lobby, blocking_reload, window_bytes, keep_ended };
        let store: Store<Bytes> = Box::new(|_, body| Ok(Bytes::copy_from_slice(body)));
        let out = VecDeque::from([Word::Ingests(ingests.clone())]);
        Self {
            line: Line::new(rules, store),
            orders: Orders::new(ingests, None),
            egress: Egress::default(),
            leaving: Leaving::default(),
            steer: Duration::from_secs(12),
            state: EdgeState::default(),
            out,
        }
    }

    /// Something of the links to ingests.
    pub fn event(&mut self, at: Instant, unix_secs: u64, event: Event) {
        self.line.push(Now { at, unix_secs }, event);
        self.carry();
    }

    /// A balancer said something.
    pub fn told(&mut self, told: Told) {
        match self.orders.take(told) {
            Changed::Nothing => {}
            Changed::Ingests(ingests) => self.out.push_back(Word::Ingests(ingests)),
            Changed::Keys(keys) => self.out.push_back(Word::Cores(Box::new(Update::Keys(keys)))),
        }
    }

    /// A tenth of a second went by; so many bytes were sent to viewers since the start, so many viewers are there.
    pub fn tick(&mut self, at: Instant, unix_secs: u64, sent_bytes: u64, viewers: u64) {
        self.line.tick(Now { at, unix_secs });
        self.carry();
        let standing = self.orders.standing();
        let is_draining = standing != Standing::Active;
        let has_time = self.orders.balancers_up() > 0 && standing != Standing::Maintenance;
        let steer = if has_time { self.steer } else { Duration::ZERO };
        if let Some(has_left) = self.leaving.turn(is_draining, steer, at) {
            self.out.push_back(Word::Cores(Box::new(Update::Leaving(has_left))));
        }
        let notice = Notice::of(&self.line, at, is_draining);
        self.state = notice.state;
        let egress = BitRate(self.egress.see(sent_bytes, at));
        let Notice { age_ms: newest_segment_age_ms, lag_ms, state, .. } = notice;
        let load = Load { egress, viewers, newest_segment_age_ms, lag_ms, state };
        self.out.push_back(Word::Load(load));
    }

    /// What left it, oldest first.
    pub fn pull(&mut self) -> Option<Word> {
        self.out.pop_front()
    }

    /// As it said at the last tick.
    pub fn state(&self) -> EdgeState {
        self.state
    }

    /// Bytes of all windows.
    pub fn bytes_held(&self) -> u64 {
        self.line.bytes_held()
    }

    /// What its window lists of a rendition, whether it says so to viewers or turns them away.
    pub fn listed(&self, broadcast: &BroadcastId, rendition: &RenditionId) -> Option<hls::MediaPlaylist> {
        let (_, lane) = self.line.lanes().find(|(id, _)| *id == broadcast)?;
        lane.window.as_ref()?.media_playlist(rendition)
    }

    fn carry(&mut self) {
        while let Some(output) = self.line.pull() {
            self.out.push_back(match output {
                Output::Cores(update) => Word::Cores(Box::new(update)),
                Output::Stream(facts) => Word::Stream(facts),
                Output::End(broadcast, run) => Word::End(broadcast, run),
            });
        }
    }
}
