//! What cores are told, by the hub and by each other.

use crate::discretion::Discretion;
use crate::pathway::Pathway;
use media::BroadcastId;
use percore::{CoreIndex, Handle, TellError};
use routing::Heard;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use ticket::{EdgeId, Keys};

/// Tellings that wait because a core's inbox is full. At the bound the oldest are let go, and what they said is
/// known to that core only when the edge joins again; an inbox holds 8,192, so a core that lets this many wait
/// has stopped turning.
pub(crate) const WAITING_TELLINGS: usize = 16_384;

/// One thing a core is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// For its router.
    Heard(Heard),
    /// Where an edge is reached; told before it joins.
    Pathway(EdgeId, Pathway),
    /// How many watch each broadcast; again in a second.
    Watched(Arc<HashMap<BroadcastId, u64>>),
    /// From now on tokens are sealed with these.
    Keys(Keys),
    /// What may be shown to whom.
    Discretion(Discretion),
}

impl Told {
    /// Another one follows soon.
    fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Heard(Heard::Load(..)) | Self::Watched(_))
    }
}

/// Tells every core, in order, and keeps for later what a full inbox did not take.
#[derive(Debug)]
pub(crate) struct Teller {
    cores: Handle<Told>,
    waiting: VecDeque<(CoreIndex, Told)>,
}

impl Teller {
    pub(crate) fn new(cores: Handle<Told>) -> Self {
        Self { cores, waiting: VecDeque::new() }
    }

    pub(crate) fn tell(&mut self, told: &Told) {
        self.tell_waiting();
        for core in (0..self.cores.core_count()).map(CoreIndex) {
            let waits = self.waiting.iter().any(|(waiting, _)| *waiting == core);
            let is_full = || matches!(self.cores.tell(core, told.clone()), Err(TellError::Full { .. }));
            if (waits || is_full()) && !told.is_heartbeat() {
                if self.waiting.len() >= WAITING_TELLINGS {
                    tracing::error!(
                        core = core.0,
                        "a core takes no messages: it will not know what happened"
                    );
                    self.waiting.pop_front();
                }
                self.waiting.push_back((core, told.clone()));
            }
        }
    }

    fn tell_waiting(&mut self) {
        while let Some((core, told)) = self.waiting.front() {
            if matches!(self.cores.tell(*core, told.clone()), Err(TellError::Full { .. })) {
                return;
            }
            self.waiting.pop_front();
        }
    }
}
