//! The task that owns a line: what it hears, what the line has it do, and what is shown of it.

use super::{AHEAD, Broadcasts, Published, Shown};
use crate::intake::Intake;
use crate::line::{Act, Generation, Input, Line};
use crate::process::{ORDERS_BYTES, Process};
use media::{BroadcastId, MediaSpan};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often what the operator is shown is brought up to date, and a line that nobody needs is let go.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the lobby is told how a broadcast arrives.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// The task that owns a line.
pub(super) struct Task {
    pub(super) broadcasts: Broadcasts,
    pub(super) broadcast: BroadcastId,
    pub(super) line: Line,
    pub(super) process: Option<Process>,
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) shown: Shown,
    pub(super) intake: Intake,
    /// Of the largest rendition, which is the source's size.
    pub(super) lines: u32,
    /// When the lobby is told next how it arrives.
    pub(super) tells_at: Instant,
}

impl Task {
    /// Until the broadcast is nobody's any more.
    pub(super) async fn run(
        mut self,
        mut said: mpsc::Receiver<Published>,
        mut reports: mpsc::Receiver<Input>,
        mut from_twin: mpsc::Receiver<Input>,
    ) {
        let clock = self.broadcasts.workshop.clock;
        let mut next_look = clock.now().instant + LOOK_EVERY;
        let mut claim = 0;
        loop {
            let now = clock.now();
            let due = self.line.deadline().map_or(next_look, |at| at.min(next_look));
            let has_room = self.has_room(now.wall);
            let input = tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.into()) => Input::Tick,
                Some(report) = reports.recv() => report,
                Some(heard) = from_twin.recv() => heard,
                Some((of, input)) = said.recv(), if has_room => {
                    if of < claim {
                        continue;
                    }
                    claim = of;
                    if let timeline::Input::Unit(unit) = &input {
                        self.intake.see(unit, now.instant);
                    }
                    Input::Publisher(input)
                }
            };
            self.push(input);
            let now = clock.now();
            if now.instant >= next_look {
                next_look = now.instant + LOOK_EVERY;
                let is_live = self.line.is_live();
                if !self.show(|| !is_live && said.is_empty() && from_twin.is_empty()) {
                    self.line.let_go(now);
                    self.act_all();
                    return;
                }
            }
        }
    }

    /// Whether the publisher may say more: the process keeps up with its pipe, and the clock with the publisher.
    fn has_room(&self, wall: media::MediaTime) -> bool {
        let queued = self.process.as_ref().map_or(0, Process::queued_bytes);
        queued < ORDERS_BYTES && self.line.end().saturating_since(wall) < AHEAD
    }

    fn push(&mut self, input: Input) {
        let now = self.broadcasts.workshop.clock.now();
        self.line.push(input, now);
        self.act_all();
    }

    fn act_all(&mut self) {
        while let Some(act) = self.line.pull() {
            self.act(act);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Start(generation, orders) => self.start(generation, &orders),
            Act::Order(generation, order) => {
                if let Some(process) =
                    self.process.as_ref().filter(|process| process.generation() == generation)
                {
                    process.order(&order);
                }
            }
            Act::Kill(generation) => {
                if let Some(process) =
                    self.process.as_mut().filter(|process| process.generation() == generation)
                {
                    process.kill();
                }
            }
            Act::Feed(fed) => self.feed(fed),
            Act::Remember(left) => {
                if let Err(error) = self.broadcasts.workshop.remembered.keep(&self.broadcast, left) {
                    tracing::warn!(broadcast = %self.broadcast, "the state cannot be written: {error}");
                }
            }
            Act::Lane(lane) => self.broadcasts.workshop.feed.lane(lane),
            Act::Say(said) => {
                if let Some(twin) = self.broadcasts.workshop.twin.get() {
                    twin.say(&self.broadcast, said);
                }
            }
            Act::SendAway => self.broadcasts.send_away(&self.broadcast),
            Act::Note(text) => tracing::info!(broadcast = %self.broadcast, "{text}"),
        }
    }

    fn start(&mut self, generation: Generation, orders: &[ladder::Order]) {
        let workshop = &self.broadcasts.workshop;
        match Process::start(&workshop.program, generation, &self.broadcast, self.inbox.clone()) {
            Ok(process) => {
                self.shown.transcode_starts += 1;
                orders.iter().for_each(|order| process.order(order));
                self.process = Some(process);
            }
            Err(error) => {
                tracing::error!(broadcast = %self.broadcast, "mascaret-transcode cannot be started: {error}");
                let inbox = self.inbox.clone();
                let gone = Input::ProcessGone(generation, error.to_string());
                tokio::spawn(async move { inbox.send(gone).await });
            }
        }
    }

    fn feed(&mut self, fed: crate::assembly::Fed) {
        use crate::assembly::Fed;
        let feed = &self.broadcasts.workshop.feed;
        match fed {
            Fed::Stream(facts) => {
                let shapes = facts.renditions.iter().filter_map(|rendition| rendition.video.as_ref());
                self.lines = shapes.map(|video| video.width.min(video.height)).max().unwrap_or(0);
                self.shown.renditions = facts
                    .renditions
                    .iter()
                    .map(|rendition| format!("{} {} {}", rendition.id, rendition.codecs(), rendition.peak))
                    .collect();
                feed.stream(facts);
            }
            Fed::Open { key, start, discontinuity } => feed.open(key, start, discontinuity),
            Fed::Bytes { key, bytes } => feed.bytes(key, bytes),
            Fed::Close { key, facts } => {
                self.shown.newest_sequence = self.shown.newest_sequence.max(facts.sequence.0);
                self.shown.segments += 1;
                self.shown.segment_bytes += facts.bytes;
                feed.close(key, facts);
            }
            Fed::Skip { key, facts } => {
                self.shown.gaps += 1;
                feed.skip(key, facts);
            }
            Fed::End { broadcast, run } => feed.end(broadcast, run),
        }
    }

    /// Tells the lobby now and then how it arrives here, if anybody publishes it here.
    fn tell(&mut self) {
        let workshop = self.broadcasts.workshop.clone();
        let (Some(lobby), now) = (workshop.lobby.get(), workshop.clock.now().instant) else { return };
        if now < self.tells_at {
            return;
        }
        self.tells_at = now + TELL_EVERY;
        let plan = &workshop.plan;
        let millis = |span: MediaSpan| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        // The ladder's smallest step that is not smaller than the source.
        let of_its_size = plan.ladder.steps.iter().filter(|step| self.lines > 0 && step.lines >= self.lines);
        let ceiling = of_its_size.map(|step| step.bitrate.0).min().unwrap_or(0);
        let health = ::admission::Health {
            ceiling_bits: u32::try_from(ceiling).unwrap_or(u32::MAX),
            segment_ms: millis(plan.grid.segment()),
            behind_ms: millis(self.line.behind()),
            ..self.intake.health(now)
        };
        lobby.health(&self.broadcast, health);
    }

    fn show(&mut self, is_idle: impl Fn() -> bool) -> bool {
        self.tell();
        self.shown.input_bits = self.intake.bits_per_second(self.broadcasts.workshop.clock.now().instant);
        self.shown.picture_group_ms = self.intake.picture_group_ms();
        self.shown.behind_ms = self.line.behind().as_millis();
        self.shown.shed = format!("{:?}", self.line.shed());
        self.shown.held_bytes = self.line.bytes_held();
        let (part, term, is_followed, twin_feed) = self.line.part();
        (self.shown.part, self.shown.term, self.shown.is_followed) = (part.to_owned(), term, is_followed);
        let feed = |is_aligned| if is_aligned { "aligned" } else { "standby" }.to_owned();
        self.shown.twin_feed = twin_feed.map(feed);
        self.shown.reserve = self.line.reserve_part().map(str::to_owned);
        self.shown.transcode_pid = self.process.as_ref().and_then(Process::pid);
        self.broadcasts.show(&self.broadcast, &self.shown, is_idle)
    }
}
