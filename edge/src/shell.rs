//! Threads and handles around the line.
//!
//! ```text
//! subscriber thread ─ events ─┐
//!                             ├─▶ line thread ─ updates ─▶ every core
//! control thread ─── told ────┤        └─ load, streams ─▶ every balancer
//! lobby thread ───── chat ────┘
//! ```
//!
//! Lives here: who runs where, how fast the line ticks, the order of starting and stopping. Does not live here: any
//! decision about media or viewers.

use crate::board::{Board, Notice};
use crate::line::{Line, Now, Output};
use crate::orders::{Changed, Orders};
use crate::privacy::Remembered;
use crate::succession::Inheritance;
use crate::viewers::Updates;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use delivery::Update;
use edgefan::{Event, LinkClock, Load, NodeId, Standing};
use media::BitRate;
use node::fan::admission::News;
use node::fan::control::client::{ControlClient, Told};
use node::fan::lobby;
use node::fan::publisher::Publishing;
use node::fan::subscriber::Subscription;
use node::service::Service;
use node::{Drain, Stop};
use percore::{CoreCounts, Handle, Inode, TellError, TlsSource};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Events and words that wait for the line. At the bound the link's thread waits, its sockets fill, and the ingest
/// sees a slow edge: a segment may have megabytes, so what waits is few.
pub(crate) const WORDS: usize = 64;

/// Events taken before the cores are told: one message for what arrives together.
const BATCH: usize = 32;

/// How often time is looked at: freshness to a tenth of a second, two and a half times per heartbeat.
const TICK: Duration = Duration::from_millis(100);

/// Over how long egress is measured: long enough for segments to even out, short enough to see a crowd.
const EGRESS_OVER: Duration = Duration::from_secs(1);

/// How far the clocks on the wall of two nodes may be apart before it is said.
const CLOCK_OFF_US: u64 = 500_000;

/// How long a core with a full inbox is waited for, each time round; it is never skipped, or it would miss a segment.
const RETRY: Duration = Duration::from_millis(2);

/// What the line's thread hears.
pub(crate) enum Word {
    Event(Event),
    Told(Told),
    Lobby(lobby::client::Told),
    /// Who may watch.
    Admission(News),
    /// A successor asks for our sockets: what it must have is the answer.
    Asked(Sender<Inheritance>),
    /// It is about to serve: nothing new is listed from now on; what is listed is the answer.
    Near(Sender<Inheritance>),
    /// It is gone before it was ready.
    GivenUp,
}

/// Events kept while nothing new is listed: a second's of the largest fleet. More end the standstill.
const HELD_EVENTS: usize = 1024;

/// What runs on the line's thread.
pub(crate) struct LineThread {
    pub(crate) line: Line<Arc<Inode>>,
    pub(crate) orders: Orders,
    pub(crate) words: Receiver<Word>,
    /// Told the cluster's ticket keys, so that viewers resume their TLS sessions at any edge.
    pub(crate) tls: Option<TlsSource>,
    pub(crate) cores: Handle<Updates>,
    pub(crate) subscription: Subscription,
    /// What feeds other edges.
    pub(crate) relay: Option<Publishing>,
    pub(crate) control: Option<ControlClient>,
    /// Whether the lobby is linked; `None` where there is none.
    pub(crate) is_lobby_up: Option<bool>,
    /// Since when that is so.
    pub(crate) lobby_since: SystemTime,
    /// Keeps what the lobby calls private.
    pub(crate) remembered: Remembered,
    pub(crate) board: Arc<Board>,
    pub(crate) stop: Stop,
    pub(crate) drain: Drain,
    /// Set when the cores have been told to turn viewers away.
    pub(crate) has_left: Arc<AtomicBool>,
    /// Set when the thread should end.
    pub(crate) is_over: Arc<AtomicBool>,
    pub(crate) drain_steer: Duration,
    /// What has come since nothing new is listed, because a successor is about to serve, or serves.
    pub(crate) held: Option<Vec<Event>>,
    /// Nodes whose clock was said to be wrong.
    pub(crate) clocks_off: HashSet<NodeId>,
    pub(crate) service: Service,
    /// Our port is served on when we end.
    pub(crate) is_handed_over: Arc<AtomicBool>,
}

impl LineThread {
    pub(crate) fn run(mut self) {
        let (mut egress, mut leaving) = (Egress::default(), Leaving::default());
        let mut tick_at = Instant::now();
        // What the settings say is known before any balancer speaks.
        let keys = self.orders.keys();
        self.share(keys.as_ref());
        self.tell(vec![Update::Keys(keys)]);
        while !self.is_over.load(Ordering::Acquire) {
            let wait = tick_at.saturating_duration_since(Instant::now());
            match self.words.recv_timeout(wait) {
                Ok(word) => {
                    let more: Vec<_> = self.words.try_iter().take(BATCH - 1).collect();
                    let mut updates = Vec::new();
                    for word in std::iter::once(word).chain(more) {
                        self.hear(word, &mut updates);
                    }
                    self.tell(updates);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody is left who could speak; time still passes.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
            let now = now();
            if now.at >= tick_at {
                tick_at = now.at + TICK;
                self.tick(now, &mut egress, &mut leaving);
            }
        }
    }

    fn hear(&mut self, word: Word, updates: &mut Updates) {
        match word {
            Word::Event(event) => match &mut self.held {
                None => self.line.push(now(), event),
                Some(held) => {
                    held.push(event);
                    if held.len() >= HELD_EVENTS {
                        self.go_on();
                    }
                }
            },
            Word::Asked(answer) => {
                let _ = answer.send(Inheritance::of_line(&self.line, now().at));
            }
            Word::Near(answer) => {
                self.held.get_or_insert_default();
                let _ = answer.send(Inheritance::of_line(&self.line, now().at));
            }
            Word::GivenUp => self.go_on(),
            // Chat goes on while segments stand still: numbers say what came twice.
            Word::Lobby(told) => match told {
                lobby::client::Told::Up { node } => {
                    tracing::info!(%node, "the lobby is there");
                    self.is_lobby_up = Some(true);
                    self.lobby_since = SystemTime::now();
                }
                lobby::client::Told::Chat(told) => self.line.chat(told),
                lobby::client::Told::Down { why } => {
                    if self.is_lobby_up.replace(false) == Some(true) {
                        self.lobby_since = SystemTime::now();
                        tracing::warn!(why, "the lobby is gone: what was said stays here");
                    }
                }
            },
            Word::Admission(News::Private(names)) => {
                self.remembered.write(&names);
                self.line.private(names);
            }
            Word::Admission(News::Denied(rows)) => self.line.denied(&rows),
            // Of publishers.
            Word::Admission(News::Up | News::Revoked(_) | News::Unlisted(_)) => {}
            Word::Told(told) => match self.orders.take(told) {
                Changed::Nothing => {}
                Changed::Ingests(ingests) => self.subscription.set_ingests(ingests),
                Changed::Keys(keys) => {
                    self.share(keys.as_ref());
                    updates.push(Update::Keys(keys));
                }
            },
        }
        self.carry(updates);
    }

    /// Time goes on where it stood still.
    fn go_on(&mut self) {
        for event in self.held.take().into_iter().flatten() {
            self.line.push(now(), event);
        }
    }

    /// The keys of tokens are the root of those of TLS tickets: the same fleet knows them, and they change together.
    fn share(&self, keys: Option<&ticket::Keys>) {
        if let Some(tls) = &self.tls {
            tls.share_tickets(keys.into_iter().flat_map(ticket::Keys::iter).map(|key| *key.secret()));
        }
    }

    /// From the line to who must know.
    fn carry(&mut self, updates: &mut Updates) {
        while let Some(output) = self.line.pull() {
            match (output, &self.control) {
                (Output::Cores(update), _) => updates.push(update),
                (Output::Stream(facts), Some(control)) => control.stream(facts),
                (Output::End(broadcast, run), Some(control)) => control.end(broadcast, run),
                (Output::Stream(_) | Output::End(..), None) => {}
            }
        }
    }

    fn tick(&mut self, now: Now, egress: &mut Egress, leaving: &mut Leaving) {
        let mut updates = Vec::new();
        if self.held.is_none() {
            self.line.tick(now);
        }
        self.carry(&mut updates);
        let is_handed_over = self.is_handed_over.load(Ordering::Acquire);
        let standing = self.orders.standing();
        let is_draining = (self.stop.is_stopping() && !is_handed_over)
            || self.drain.is_draining()
            || standing != Standing::Active;
        // Nobody steers viewers away where no balancer is; and maintenance does not wait for anybody.
        let has_time = self.orders.balancers_up() > 0 && standing != Standing::Maintenance;
        let steer = if has_time { self.drain_steer } else { Duration::ZERO };
        if let Some(has_left) = leaving.turn(is_draining, steer, now.at) {
            updates.push(Update::Leaving(has_left));
        }
        self.tell(updates);
        self.has_left.store(leaving.has_left, Ordering::Release);
        let total = self.cores.counters().total;
        let mut notice = Notice::of(&self.line, now.at, is_draining);
        notice.egress_bps = egress.measure(&total, now.at);
        notice.is_in_maintenance = self.orders.is_in_maintenance();
        notice.balancers_up = self.orders.balancers_up();
        notice.is_lobby_up = self.is_lobby_up;
        notice.lobby_since_ms =
            self.lobby_since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        notice.turns_away = leaving.has_left;
        notice.links = self.subscription.counters();
        notice.relay = self.relay.as_ref().map(Publishing::counters);
        self.look_at_clocks(&notice.links.clocks);
        if let Some(control) = &self.control {
            control.load(Load {
                egress: BitRate(notice.egress_bps),
                viewers: viewers_left(total.open, is_draining, leaving.has_left),
                newest_segment_age_ms: notice.age_ms,
                lag_ms: notice.lag_ms,
                state: notice.state,
            });
        }
        self.board.write(notice);
        self.tell_service();
    }

    /// Says once of each link's other end that its clock is not ours, and once that it is right again.
    fn look_at_clocks(&mut self, clocks: &[LinkClock]) {
        for LinkClock { node, offset_us, .. } in clocks {
            let Some(offset) = *offset_us else { continue };
            if offset.unsigned_abs() <= CLOCK_OFF_US {
                self.clocks_off.remove(node);
            } else if self.clocks_off.insert(node.clone()) {
                tracing::warn!(%node, ahead_ms = offset / 1000, "a node's clock is not ours: is one of them not kept by NTP?");
            }
        }
        self.clocks_off.retain(|node| clocks.iter().any(|clock| clock.node == *node));
    }

    /// One line for the service manager.
    fn tell_service(&self) {
        let (notice, viewers) = (self.board.read(), self.cores.counters().total.open);
        let is_relieved = self.is_handed_over.load(Ordering::Acquire) && self.stop.is_stopping();
        let why = if is_relieved { "relieved by a successor" } else { &notice.why };
        let broadcasts = notice.broadcasts.iter().filter(|it| it.is_listed).count();
        self.service.status(&format!("{why}; {broadcasts} broadcasts, {viewers} connections of viewers"));
    }

    /// Tells every core the same. A core that is behind is waited for: what it misses it would never learn.
    fn tell(&self, updates: Updates) {
        if updates.is_empty() {
            return;
        }
        for core in (0..self.cores.core_count()).map(percore::CoreIndex) {
            while let Err(TellError::Full { .. }) = self.cores.tell(core, updates.clone()) {
                if self.is_over.load(Ordering::Acquire) {
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// Viewers as balancers are told of them: an edge that drains is not empty as long as it answers playlists, whether
/// anybody is connected at this moment or not.
fn viewers_left(open: u64, is_draining: bool, has_left: bool) -> u64 {
    if is_draining && !has_left { open.max(1) } else { open }
}

fn now() -> Now {
    let unix_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Now { at: Instant::now(), unix_secs }
}

/// When viewers are turned away: not at once, but when steering has had its time.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    since: Option<Instant>,
    has_left: bool,
}

impl Leaving {
    /// What the cores must be told, if anything.
    pub(crate) fn turn(&mut self, is_draining: bool, steer: Duration, now: Instant) -> Option<bool> {
        self.since = is_draining.then(|| self.since.unwrap_or(now));
        let has_left = self.since.is_some_and(|since| now.saturating_duration_since(since) >= steer);
        let has_changed = has_left != self.has_left;
        self.has_left = has_left;
        has_changed.then_some(has_left)
    }
}

/// Bits per second over the last second.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    seen: VecDeque<(Instant, u64)>,
}

impl Egress {
    fn measure(&mut self, total: &CoreCounts, now: Instant) -> u64 {
        let sent = total.bytes_send
            + total.bytes_sendfile
            + total.bytes_send_zc
            + total.bytes_copy
            + total.bytes_tls;
        self.see(sent, now)
    }

    pub(crate) fn see(&mut self, sent: u64, now: Instant) -> u64 {
        self.seen.push_back((now, sent));
        while self.seen.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= EGRESS_OVER) {
            self.seen.pop_front();
        }
        let Some((since, before)) = self.seen.front() else { return 0 };
        let over = now.saturating_duration_since(*since).as_secs_f64();
        if over == 0.0 { 0 } else { (sent.saturating_sub(*before) as f64 * 8.0 / over) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn egress_is_that_of_the_last_second() {
        let (mut egress, start) = (Egress::default(), Instant::now());
        let mut at = |ms: u64, sent| egress.see(sent, start + Duration::from_millis(ms));
        assert_eq!(at(0, 0), 0);
        assert_eq!(at(500, 125_000), 2_000_000);
        assert_eq!(at(1_000, 250_000), 2_000_000);
        assert_eq!(at(1_500, 250_000), 1_000_000);
        assert_eq!(at(2_000, 250_000), 0);
    }

    #[test]
    fn an_edge_is_not_empty_before_it_turns_viewers_away() {
        assert_eq!(viewers_left(0, false, false), 0);
        assert_eq!((viewers_left(0, true, false), viewers_left(5, true, false)), (1, 5));
        assert_eq!((viewers_left(0, true, true), viewers_left(5, true, true)), (0, 5));
    }

    #[test]
    fn viewers_are_turned_away_when_steering_had_its_time_and_taken_back_at_once() {
        let (mut leaving, start) = (Leaving::default(), Instant::now());
        let steer = Duration::from_secs(6);
        assert_eq!(leaving.turn(true, steer, start), None);
        assert_eq!(leaving.turn(true, steer, start + steer / 2), None);
        assert_eq!(leaving.turn(true, steer, start + steer), Some(true));
        assert_eq!(leaving.turn(true, steer, start + steer * 2), None);
        assert_eq!(leaving.turn(false, steer, start + steer * 3), Some(false));
    }
}
