//! The broadcasts on the air: one task each, around one [`Line`].
//!
//! Lives here: who has which broadcast, and what the operator is shown of it. Does not live here: the task that owns a
//! line (`task`), what a line decides (`line`), or a publisher's socket (`door`).

use crate::clock::Clock;
use crate::intake::Intake;
use crate::line::{FromTwin, Input, Line, Plan};
use crate::process::Program;
use crate::remembered::{Left, Remembered};
use crate::settings::SecondPublisher;
use media::{BroadcastId, MediaSpan};
use node::fan::admission::AdmissionClient;
use node::fan::publisher::Feed;
use node::fan::twin::TwinLink;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use twin::{LinkEvent, Said};

mod task;

use task::Task;

/// Things a publisher has said that wait for the line. Past it the publisher's socket is not read.
pub(crate) const INPUTS: usize = 256;
/// Reports that wait for the line. Past it the process' pipe is not read.
pub(crate) const REPORTS: usize = 1024;
/// Things the twin has said of one broadcast that wait for its line. At the bound the twin is told to begin again.
pub(crate) const TWIN_WAITING: usize = 16_384;
/// How long a publisher is turned away whose broadcast the operator has handed to the twin: it tries the other address.
pub(crate) const SENT_AWAY_FOR: Duration = Duration::from_secs(30);
/// How far a publisher may send ahead of the clock. Past it it is not read: a file sent without `-re` is taken at
/// the pace it plays.
pub(crate) const AHEAD: MediaSpan = MediaSpan::from_secs(4);

/// Everything a broadcast's task needs of the ingest.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    pub(crate) plan: Plan,
    pub(crate) program: Program,
    pub(crate) feed: Feed,
    pub(crate) remembered: Remembered,
    pub(crate) clock: Clock,
    /// The way to the twin, once there is one.
    pub(crate) twin: Arc<OnceLock<TwinLink>>,
    /// The lobby, which is told how broadcasts arrive, once there is one.
    pub(crate) lobby: Arc<OnceLock<AdmissionClient>>,
}

/// The broadcasts on the air.
#[derive(Clone, Debug)]
pub(crate) struct Broadcasts {
    workshop: Arc<Workshop>,
    /// The runtime that lines live on.
    runtime: tokio::runtime::Handle,
    /// The link to the twin as last heard: whether it is up, and we have the say.
    linked: Arc<Mutex<Option<bool>>>,
    /// The ingest ends: what the twin says is no concern of ours any more.
    is_ending: Arc<AtomicBool>,
    limit: usize,
    second: SecondPublisher,
    on_air: Arc<Mutex<BTreeMap<BroadcastId, Entry>>>,
}

/// What a publisher said, and which claim it has: after a takeover the old one is not listened to.
type Published = (u64, timeline::Input);

#[derive(Debug)]
struct Entry {
    inputs: mpsc::Sender<Published>,
    twin: mpsc::Sender<Input>,
    /// The operator has handed it to the twin: publishers are turned away until then.
    sent_away_until: Option<Instant>,
    /// The publisher that has it; dropping the sender asks it to go.
    publisher: Option<(u64, oneshot::Sender<()>, SocketAddr)>,
    shown: Shown,
    claims: u64,
}

/// What the operator is shown of a broadcast (`/status`).
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Shown {
    /// The run's renditions, as CODECS and size.
    pub(crate) renditions: Vec<String>,
    /// Address of its publisher; none while it is waited for.
    pub(crate) publisher: Option<String>,
    /// Media that its publisher sends, bits a second over the last seconds; and how far its sync units are apart.
    pub(crate) input_bits: Option<u64>,
    pub(crate) picture_group_ms: Option<u64>,
    /// The newest segment that is whole, and what the segments came to so far.
    pub(crate) newest_sequence: u64,
    pub(crate) segments: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) gaps: u64,
    /// Media given to the encoder and not worked off.
    pub(crate) behind_ms: u64,
    /// What the encoder has given up: `None`, `Lookahead`, `TopRung`, `FrameRate`.
    pub(crate) shed: String,
    /// Bytes kept for a restart of the process and in open segments.
    pub(crate) held_bytes: u64,
    /// What this ingest has to do with it: `leads`, `follows`, `stands in`, `asks the twin`, `waits for the twin`, `idle`.
    pub(crate) part: String,
    /// How often the lead has changed, by the clock: a greater term is a later one.
    pub(crate) term: u64,
    /// The twin makes the same.
    pub(crate) is_followed: bool,
    /// The twin has a feed of its own: `aligned` with ours, or a `standby`.
    pub(crate) twin_feed: Option<String>,
    /// While we follow: our own feed, `aligned` with the leader's, or a `standby`.
    pub(crate) reserve: Option<String>,
    /// Process id of the encoder, and how many there have been.
    pub(crate) transcode_pid: Option<u32>,
    pub(crate) transcode_starts: u64,
}

/// A publisher's hold on a broadcast; dropping it says that the publisher has left.
#[derive(Debug)]
pub(crate) struct Claim {
    broadcasts: Broadcasts,
    broadcast: BroadcastId,
    inputs: mpsc::Sender<Published>,
    number: u64,
    /// Ready when another publisher has taken the broadcast over.
    pub(crate) taken_over: oneshot::Receiver<()>,
}

/// Why a publisher cannot have a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimRefusal {
    /// Somebody has it.
    #[error("this broadcast is on the air from another publisher")]
    InUse,
    /// The operator has handed it over.
    #[error("the operator has handed this broadcast to the other ingest: publish there")]
    HandedOver,
    /// The ingest has as many as it may have.
    #[error("this ingest carries {0} broadcasts and takes no more (setting `ingest.broadcasts`)")]
    Full(usize),
}

impl Broadcasts {
    pub(crate) fn new(workshop: Workshop, limit: usize, second: SecondPublisher) -> Self {
        Self {
            workshop: Arc::new(workshop),
            runtime: tokio::runtime::Handle::current(),
            linked: Arc::default(),
            is_ending: Arc::default(),
            limit,
            second,
            on_air: Arc::default(),
        }
    }

    /// What the twin's link has found; on its thread.
    pub(crate) fn twin(&self, event: LinkEvent) {
        if self.is_ending.load(Ordering::Relaxed) {
            return;
        }
        match event {
            LinkEvent::Up { node, is_first } => {
                tracing::info!(%node, "the twin is there");
                *self.linked.lock().unwrap_or_else(PoisonError::into_inner) = Some(is_first);
                self.tell_all(|| FromTwin::Up { is_first });
            }
            LinkEvent::Down { lost, why } => {
                tracing::warn!(why, ?lost, "the twin is not heard any more");
                *self.linked.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.tell_all(|| FromTwin::Down(lost));
            }
            LinkEvent::Dropped(broadcast) => self.tell(&broadcast, FromTwin::Dropped),
            LinkEvent::Said(broadcast, said) => {
                // A broadcast we have not heard of is none to us until somebody leads it.
                if matches!(said, Said::Leads { .. } | Said::Claim { .. }) {
                    self.know(&broadcast);
                }
                self.tell(&broadcast, FromTwin::Said(said));
            }
            LinkEvent::Wake(_) | LinkEvent::Close { .. } => {}
        }
    }

    fn tell_all(&self, what: impl Fn() -> FromTwin) {
        let broadcasts: Vec<BroadcastId> = self.lock().keys().cloned().collect();
        broadcasts.iter().for_each(|broadcast| self.tell(broadcast, what()));
    }

    fn tell(&self, broadcast: &BroadcastId, what: FromTwin) {
        // Under the lock: a line that is let go has nothing waiting.
        let is_full =
            self.lock().get(broadcast).is_some_and(|entry| entry.twin.try_send(Input::Twin(what)).is_err());
        if is_full && let Some(link) = self.workshop.twin.get() {
            // From within the link's own call nothing may be said; a task says it.
            let (link, broadcast) = (link.clone(), broadcast.clone());
            tracing::warn!(%broadcast, "the line is slower than the twin: it begins again");
            self.runtime.spawn(async move { link.say(&broadcast, Said::Unfollow) });
        }
    }

    /// There is a line for this broadcast, if there is room for one.
    fn know(&self, broadcast: &BroadcastId) {
        let mut on_air = self.lock();
        if !on_air.contains_key(broadcast) && on_air.len() < self.limit {
            let entry = self.start(broadcast);
            on_air.insert(broadcast.clone(), entry);
        }
    }

    /// Asks a line to hand its lead over at the next cut.
    pub(crate) async fn hand_over(&self, broadcast: &BroadcastId) {
        let twin = self.lock().get(broadcast).map(|entry| entry.twin.clone());
        if let Some(twin) = twin {
            let _ = twin.send(Input::HandOver).await;
        }
    }

    /// The twin has it: our publisher goes, and is turned away for a while.
    fn send_away(&self, broadcast: &BroadcastId) {
        let mut on_air = self.lock();
        let Some(entry) = on_air.get_mut(broadcast) else { return };
        entry.sent_away_until = Some(Instant::now() + SENT_AWAY_FOR);
        if let Some((_, go, _)) = entry.publisher.take() {
            let _ = go.send(());
        }
        entry.shown.publisher = None;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BroadcastId, Entry>> {
        // Every change under it is whole before anything could panic.
        self.on_air.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A publisher whose key was right wants this broadcast.
    pub(crate) fn claim(&self, broadcast: &BroadcastId, from: SocketAddr) -> Result<Claim, ClaimRefusal> {
        let mut on_air = self.lock();
        if !on_air.contains_key(broadcast) {
            if on_air.len() >= self.limit {
                return Err(ClaimRefusal::Full(self.limit));
            }
            let entry = self.start(broadcast);
            on_air.insert(broadcast.clone(), entry);
        }
        let is_linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let entry = on_air.get_mut(broadcast).expect("inserted above where it was not there");
        if is_linked && entry.sent_away_until.is_some_and(|until| Instant::now() < until) {
            return Err(ClaimRefusal::HandedOver);
        }
        if let Some((_, go, _)) = entry.publisher.take_if(|_| self.second == SecondPublisher::Takeover) {
            let _ = go.send(());
        }
        if entry.publisher.is_some() {
            return Err(ClaimRefusal::InUse);
        }
        let (go, taken_over) = oneshot::channel();
        entry.claims += 1;
        let number = entry.claims;
        entry.publisher = Some((number, go, from));
        entry.shown.publisher = Some(from.to_string());
        let inputs = entry.inputs.clone();
        Ok(Claim { broadcasts: self.clone(), broadcast: broadcast.clone(), inputs, number, taken_over })
    }

    /// What the operator is shown.
    pub(crate) fn shown(&self) -> BTreeMap<String, Shown> {
        self.lock().iter().map(|(broadcast, entry)| (broadcast.to_string(), entry.shown.clone())).collect()
    }

    /// Ends every run without a grace: the ingest is going.
    pub(crate) async fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        let inputs: Vec<_> = self.lock().values().map(|entry| entry.inputs.clone()).collect();
        for inputs in inputs {
            let _ = inputs.send((u64::MAX, timeline::Input::Over)).await;
        }
        self.lock().values_mut().for_each(|entry| entry.publisher = None);
    }

    /// Whether nothing is on the air.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn start(&self, broadcast: &BroadcastId) -> Entry {
        let (inputs, said) = mpsc::channel(INPUTS);
        let (twin, from_twin) = mpsc::channel(TWIN_WAITING);
        let (inbox, reports) = mpsc::channel(REPORTS);
        let workshop = &self.workshop;
        let now = workshop.clock.now();
        let left = workshop.remembered.recall(broadcast);
        let plan = Plan { broadcast: broadcast.clone(), ..workshop.plan.clone() };
        let unknown = Left::unknown(now.wall);
        let mut line = Line::new(plan, left.unwrap_or(unknown), left.is_some());
        if let Some(is_first) = *self.linked.lock().unwrap_or_else(PoisonError::into_inner) {
            line.push(Input::Twin(FromTwin::Up { is_first }), now);
        }
        let task = Task {
            broadcasts: self.clone(),
            broadcast: broadcast.clone(),
            line,
            process: None,
            inbox,
            shown: Shown::default(),
            intake: Intake::default(),
            lines: 0,
            tells_at: now.instant,
        };
        self.runtime.spawn(task.run(said, reports, from_twin));
        Entry { inputs, twin, sent_away_until: None, publisher: None, shown: Shown::default(), claims: 0 }
    }

    /// Shows what a line is at; false once nobody claims it and it may end.
    fn show(&self, broadcast: &BroadcastId, shown: &Shown, is_idle: impl Fn() -> bool) -> bool {
        let mut on_air = self.lock();
        let Some(entry) = on_air.get_mut(broadcast) else { return false };
        let publisher = entry.shown.publisher.take();
        entry.shown = Shown { publisher, ..shown.clone() };
        if entry.publisher.is_none() && is_idle() {
            on_air.remove(broadcast);
            return false;
        }
        true
    }
}

impl Claim {
    /// Hands the line what the publisher said; waits while the line has enough.
    pub(crate) async fn push(&self, input: timeline::Input) -> bool {
        self.inputs.send((self.number, input)).await.is_ok()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut on_air = self.broadcasts.lock();
        let Some(entry) = on_air.get_mut(&self.broadcast) else { return };
        // After a takeover the broadcast is somebody else's: the line has heard of the new one already.
        if entry.publisher.as_ref().is_some_and(|(number, ..)| *number == self.number) {
            entry.publisher = None;
            entry.shown.publisher = None;
            let (inputs, number) = (self.inputs.clone(), self.number);
            drop(on_air);
            tokio::spawn(async move { inputs.send((number, timeline::Input::Left)).await });
        }
    }
}
