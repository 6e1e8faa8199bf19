//! What has happened of late: sentences with a moment and a subject, kept in memory for whoever looks now.
//!
//! Lives here: the ring, its numbers, and who is told of a new one. Does not live here: how an operator reads it
//! (`operator`), nor what is worth a sentence; the role says that by [`Events::tell`], and whatever else is logged
//! at `info` or above joins them by [`Lines`], as [`Kind::Log`].

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;
use tracing_subscriber::layer::Context;

use crate::logs::Level;

/// Events that are kept: an edge's whole day, or what a fleet of a hundred says while all of it is restarted. The
/// oldest goes; the log has them all.
pub const EVENTS_KEPT: usize = 1024;

/// Bytes of one sentence; longer ones are cut. With [`EVENTS_KEPT`] this bounds the ring to half a megabyte.
pub const SENTENCE_BYTES: usize = 512;

/// The target of lines that [`Events::tell`] logs, so that they do not come back through [`Lines`].
const TARGET: &str = "mascaret::event";

/// What happened, as programs tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An edge said hello.
    EdgeJoined,
    /// An edge takes viewers.
    EdgeReady,
    /// An edge takes none any more: silent, unreachable, or its link closed.
    EdgeLost,
    /// An edge has nothing new to show.
    EdgeNotFed,
    /// An edge has its segments late.
    EdgeLags,
    /// An edge lets its viewers go.
    EdgeDrains,
    /// An edge has been gone for so long that nobody waits for it.
    EdgeForgotten,
    /// The operator said how an edge shall stand.
    EdgeStanding,
    /// Viewers have gone from one edge to others.
    ViewersMoved,
    /// Two edges share a number in tokens.
    NumberClash,
    /// A broadcast can be watched.
    BroadcastLive,
    /// A broadcast is over.
    BroadcastOver,
    /// A node's operator listener does not answer any more.
    NodeLost,
    /// It answers, for the first time or again.
    NodeFound,
    /// A publisher has come to an ingest.
    PublisherCame,
    /// A publisher has gone.
    PublisherLeft,
    /// A line of the log.
    Log,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// How much it matters.
    pub level: Level,
    /// What kind of thing.
    pub kind: Kind,
    /// Which node it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Which broadcast it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<String>,
    /// How many viewers it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<u64>,
    /// In a sentence.
    pub text: String,
}

impl Happening {
    /// About nobody in particular yet.
    pub fn new(level: Level, kind: Kind, text: impl Into<String>) -> Self {
        Self { level, kind, node: None, broadcast: None, viewers: None, text: text.into() }
    }

    /// About this node.
    #[must_use]
    pub fn of_node(mut self, node: impl fmt::Display) -> Self {
        self.node = Some(node.to_string());
        self
    }

    /// About this broadcast.
    #[must_use]
    pub fn of_broadcast(mut self, broadcast: impl fmt::Display) -> Self {
        self.broadcast = Some(broadcast.to_string());
        self
    }

    /// About so many viewers.
    #[must_use]
    pub fn of_viewers(mut self, viewers: u64) -> Self {
        self.viewers = Some(viewers);
        self
    }
}

/// What happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// 1 for the first of this process, and never twice.
    pub number: u64,
    /// The time of day, milliseconds since the epoch.
    pub unix_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// The ring; clones are the same one.
#[derive(Clone, Debug)]
pub struct Events {
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    ring: Mutex<VecDeque<Arc<Event>>>,
    /// The newest number; whoever follows waits for it to change.
    latest: watch::Sender<u64>,
    begun_unix_ms: u64,
}

impl Default for Events {
    fn default() -> Self {
        let (latest, _) = watch::channel(0);
        let room = Room { ring: Mutex::default(), latest, begun_unix_ms: unix_ms() };
        Self { room: Arc::new(room) }
    }
}

impl Events {
    /// The one that this process' log is written into.
    pub fn of_this_process() -> Self {
        static OF_THIS_PROCESS: OnceLock<Events> = OnceLock::new();
        OF_THIS_PROCESS.get_or_init(Self::default).clone()
    }

    /// Keeps it, tells whoever follows, and logs it as one line.
    pub fn tell(&self, what: Happening) {
        let Happening { node, broadcast, viewers, text, .. } = &what;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(target: TARGET, kind = ?what.kind, node, broadcast, viewers, "{text}")
            };
        }
        match what.level {
            Level::Error => line!(error),
            Level::Warn => line!(warn),
            Level::Info => line!(info),
            Level::Debug => line!(debug),
            Level::Trace => line!(trace),
        }
        self.keep(what);
    }

    fn keep(&self, mut what: Happening) {
        cut(&mut what.text);
        let mut ring = self.lock();
        let number = *self.room.latest.borrow() + 1;
        if ring.len() >= EVENTS_KEPT {
            ring.pop_front();
        }
        ring.push_back(Arc::new(Event { number, unix_ms: unix_ms(), what }));
        self.room.latest.send_replace(number);
    }

    /// Those after that number that are still kept, the oldest first; all of them after 0, and after a number that
    /// this process has not reached: whoever has it has it from the process before.
    pub fn after(&self, number: u64) -> Vec<Arc<Event>> {
        let ring = self.lock();
        let after = if number > *self.room.latest.borrow() { 0 } else { number };
        ring.iter().filter(|event| event.number > after).cloned().collect()
    }

    /// The newest number, 0 before the first; it changes with every event.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.room.latest.subscribe()
    }

    /// When numbers began at 1, milliseconds since the epoch.
    pub fn begun_unix_ms(&self) -> u64 {
        self.room.begun_unix_ms
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        // Every change under it is whole before anything could panic.
        self.room.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &mut String) {
    if text.len() > SENTENCE_BYTES {
        let end = (0..=SENTENCE_BYTES - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Puts what is logged at `info` or above among the events.
#[derive(Debug)]
pub struct Lines(pub Events);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => return,
        };
        if event.metadata().target() == TARGET {
            return;
        }
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        self.0.keep(Happening::new(level, Kind::Log, sentence.said + &sentence.fields));
    }
}

/// A line as people read it: the message, then the fields.
#[derive(Debug, Default)]
struct Sentence {
    said: String,
    fields: String,
}

impl tracing::field::Visit for Sentence {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        // Writing to memory does not fail.
        let _ = match field.name() {
            "message" => write!(self.said, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn told(events: &Events, text: &str) {
        events.tell(Happening::new(Level::Info, Kind::EdgeReady, text).of_node("edge1"));
    }

    fn texts(events: &[Arc<Event>]) -> Vec<&str> {
        events.iter().map(|event| event.what.text.as_str()).collect()
    }

    #[test]
    fn whoever_has_seen_some_reads_on_from_there() {
        let events = Events::default();
        ["a", "b", "c"].iter().for_each(|text| told(&events, text));
        assert_eq!(texts(&events.after(0)), ["a", "b", "c"]);
        assert_eq!(texts(&events.after(2)), ["c"]);
        assert!(events.after(3).is_empty());
        assert_eq!(events.after(700).len(), 3, "700 is a number of the process before");
        assert_eq!(*events.latest().borrow(), 3);
    }

    #[test]
    fn the_oldest_go_and_a_long_sentence_is_cut() {
        let events = Events::default();
        (0..EVENTS_KEPT + 7).for_each(|nth| told(&events, &nth.to_string()));
        let kept = events.after(0);
        assert_eq!((kept.len(), kept[0].number), (EVENTS_KEPT, 8));
        told(&events, &"ö".repeat(SENTENCE_BYTES));
        let cut = &events.after(0)[EVENTS_KEPT - 1].what.text;
        assert!(cut.len() <= SENTENCE_BYTES && cut.ends_with("ö…"), "{} bytes", cut.len());
    }

    #[test]
    fn what_is_logged_is_among_them_once_and_what_is_told_too() {
        let events = Events::default();
        let subscriber = tracing_subscriber::registry().with(Lines(events.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(edge = "edge1", after = 3, "a link is gone");
            tracing::debug!("nobody needs to know");
            told(&events, "edge1 is ready");
        });
        let kept = events.after(0);
        assert_eq!(texts(&kept), ["a link is gone edge=\"edge1\" after=3", "edge1 is ready"]);
        assert_eq!((kept[0].what.kind, kept[0].what.level), (Kind::Log, Level::Warn));
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let events = Events::default();
        told(&events, "edge1 is ready");
        let json = serde_json::to_value(&*events.after(0)[0]).unwrap();
        assert_eq!((&json["kind"], &json["node"]), (&"edge_ready".into(), &"edge1".into()));
        assert!(json.get("viewers").is_none() && json["unix_ms"].as_u64() > Some(1_600_000_000_000));
    }
}
