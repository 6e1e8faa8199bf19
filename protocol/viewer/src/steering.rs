//! Content steering (RFC 8216bis, 7): a server says which pathway it would like this viewer to use, and is asked
//! again and again. While it is away the last order stays; what a viewer itself has found to fail goes before any
//! order.

use crate::load::{ENTRY, Slot};
use crate::{AskId, AskKind, Event, Failure, Output, SwitchReason, Url, Viewer};
use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

/// Bytes of a steering manifest that are read.
pub(crate) const ORDER_BYTES: usize = 64 << 10;

/// Names of an order that are looked at: four times as many as there are pathways.
pub(crate) const NAMES_READ: usize = 64;

/// The shortest TTL that is believed; a shorter one would have the server asked without a pause.
const TTL_MIN: Duration = Duration::from_secs(1);

/// The longest.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// Where steering stands.
#[derive(Debug)]
pub(crate) struct Steering {
    uri: Url,
    /// When it is asked next; not while it is asked, and never again once it has said 410.
    ask_at: Option<Instant>,
    /// How long an answer is good for, and how long to wait when there was none.
    ttl: Duration,
}

#[derive(serde::Deserialize)]
struct Order<'a> {
    #[serde(rename = "VERSION")]
    version: u64,
    #[serde(rename = "TTL")]
    ttl: Option<f64>,
    #[serde(rename = "RELOAD-URI", borrow)]
    reload_uri: Option<Cow<'a, str>>,
    #[serde(rename = "PATHWAY-PRIORITY", borrow, default)]
    priority: Vec<Cow<'a, str>>,
}

impl Viewer {
    /// A multivariant playlist names this server, or none.
    pub(crate) fn steer_by(&mut self, server: Option<Url>, at: Instant) {
        self.cancel(Slot::Steering);
        let wanted = server.zip(self.options.steering);
        self.steering = wanted.map(|(uri, ttl)| Box::new(Steering { uri, ask_at: Some(at), ttl }));
    }

    /// Where it is asked, with where this viewer is and what its line carries.
    pub(crate) fn steering_url(&self) -> Option<Url> {
        let uri = &self.steering.as_ref()?.uri;
        let pathway = Quoted(self.pathways.id(self.pathways.current()));
        let url = uri.with_query(format_args!("_HLS_pathway={pathway}")).ok()?;
        match self.throughput.estimate() {
            Some(bits) => url.with_query(format_args!("_HLS_throughput={}", bits as u64)).ok(),
            None => Some(url),
        }
    }

    pub(crate) fn steering_deadline(&self) -> Option<Instant> {
        self.steering.as_ref()?.ask_at
    }

    pub(crate) fn steering_timer(&mut self, at: Instant) {
        let due = self.steering.as_mut().and_then(|steering| steering.ask_at.take_if(|due| *due <= at));
        if let Some(due) = due {
            self.load(Slot::Steering, AskKind::Steering, due, at);
        }
    }

    /// The body of a steering manifest came.
    pub(crate) fn steered(&mut self, id: AskId, body: &[u8], at: Instant) {
        if self.slot_of(id) != Some(Slot::Steering) {
            return;
        }
        let order = body.get(..ORDER_BYTES.min(body.len())).and_then(|body| {
            let order: Order<'_> = serde_json::from_slice(body).ok()?;
            (order.version == 1).then_some(order)
        });
        let Some(order) = order else { return self.fail(Slot::Steering, id, Failure::Unreadable, at) };
        let from = self.loads[Slot::Steering as usize].as_mut().and_then(|load| load.take(id));
        self.cancel(Slot::Steering);
        if let Some((steering, from)) = self.steering.as_mut().zip(from) {
            if let Some(ttl) = order.ttl.and_then(|ttl| Duration::try_from_secs_f64(ttl).ok()) {
                steering.ttl = ttl.clamp(TTL_MIN, TTL_MAX);
            }
            let reload = order.reload_uri.and_then(|uri| from.url.resolve(&uri).ok());
            steering.uri = reload.unwrap_or_else(|| steering.uri.clone());
            steering.ask_at = Some(at + steering.ttl);
        }
        let names = order.priority.iter().take(NAMES_READ).map(AsRef::as_ref);
        if let Some(to) = self.pathways.prefer(names, at) {
            self.go_to(to, at);
        }
    }

    /// From here on at this pathway. What the one before has not begun to answer is asked for here: it may be why
    /// the server would have us elsewhere.
    fn go_to(&mut self, to: u8, at: Instant) {
        let from = self.pathways.current();
        let [before, now] = [from, to].map(|pathway| self.pathways.origin(pathway).into());
        self.tell(at, Event::Switched { from: before, to: now, why: SwitchReason::Steered });
        self.pathways.settle(to);
        for slot in [Slot::List, Slot::Piece] {
            let load = self.loads[slot as usize].take_if(|load| {
                load.rival.is_none()
                    && load.open.as_ref().is_some_and(|open| {
                        open.pathway == from && open.pathway != ENTRY && open.head_at.is_none()
                    })
            });
            let Some(open) = load.as_ref().and_then(|load| load.open.as_ref()) else { continue };
            self.out.push_back(Output::Cancel(open.id));
            self.missed(open);
            let kind = load.as_ref().map_or(AskKind::Multivariant, |load| load.kind);
            self.load(slot, kind, at, at);
        }
    }

    /// The server answered with a status that is no order.
    pub(crate) fn steering_refused(&mut self, status: u16, retry_after: Option<Duration>) {
        let Some(steering) = &mut self.steering else { return };
        match (status, retry_after) {
            // It is not to be asked any more (RFC 8216bis, 7.2).
            (410, _) => self.steering = None,
            (429, Some(wait)) => steering.ttl = wait.clamp(TTL_MIN, TTL_MAX),
            _ => {}
        }
    }

    /// It could not be had: the order there is stays, until it is asked again.
    pub(crate) fn steering_failed(&mut self, at: Instant) {
        if let Some(steering) = &mut self.steering {
            steering.ask_at = Some(at + steering.ttl);
        }
    }
}

/// A pathway's id as a quoted string in a query.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("%22")?;
        for byte in self.0.bytes() {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' => {
                    write!(f, "{}", char::from(byte))?
                }
                byte => write!(f, "%{byte:02X}")?,
            }
        }
        f.write_str("%22")
    }
}
