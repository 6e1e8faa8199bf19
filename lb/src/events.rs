//! What has become different in the cluster, as its operator wants to read it.
//!
//! Lives here: a sentence for every change. Does not live here: what changes (`routing`), who keeps it
//! (`node::events`), what other nodes say of themselves (`nodes`).

use media::BroadcastId;
use node::events::{Events, Happening, Kind};
use node::logs::Level;
use routing::{Change, Health, Router, Standing};
use std::collections::HashSet;
use std::time::Instant;

/// Turns changes into sentences, and remembers what it must to say each once.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    events: Events,
    /// Broadcasts that were said to be live: new facts of one are no news. As many as the router has.
    live: HashSet<BroadcastId>,
}

impl Chronicle {
    pub(crate) fn new(events: Events) -> Self {
        Self { events, live: HashSet::new() }
    }

    pub(crate) fn hear(&mut self, change: &Change, router: &Router) {
        let happening = match change {
            Change::Health { edge, from, to, viewers } => {
                let others = ready_beside(edge, router);
                Some(health(edge.as_str(), *from, *to, *viewers, others))
            }
            Change::Standing { edge, to, viewers, .. } => {
                Some(standing(edge.as_str(), *to, *viewers, ready_beside(edge, router)))
            }
            Change::Moved { edge, viewers, lasted } => {
                let text = format!("{} off {edge} within {:.1} s", moved(*viewers), lasted.as_secs_f64());
                Some(Happening::new(Level::Info, Kind::ViewersMoved, text).of_node(edge).of_viewers(*viewers))
            }
            Change::NumberClash(one, other) => {
                let text = format!("{one} and {other} have the same number in tokens; rename one of them");
                Some(Happening::new(Level::Warn, Kind::NumberClash, text).of_node(other))
            }
            Change::Live(broadcast) => self.live.insert(broadcast.clone()).then(|| {
                let text = format!("{broadcast} can be watched");
                Happening::new(Level::Info, Kind::BroadcastLive, text).of_broadcast(broadcast)
            }),
            Change::Gone(broadcast) => self.live.remove(broadcast).then(|| {
                let text = format!("{broadcast} is over");
                Happening::new(Level::Info, Kind::BroadcastOver, text).of_broadcast(broadcast)
            }),
        };
        if let Some(happening) = happening {
            self.events.tell(happening);
        }
    }
}

fn ready_beside(edge: &ticket::EdgeId, router: &Router) -> usize {
    let now = Instant::now();
    router.edges().filter(|(id, other)| *id != edge && other.health(now) == Health::Ready).count()
}

/// `others` are ready beside it.
fn health(edge: &str, from: Option<Health>, to: Option<Health>, viewers: u32, others: usize) -> Happening {
    let took_viewers = from == Some(Health::Ready);
    // Viewers that an edge had at its last word have to go somewhere once it takes none any more.
    let moving = if took_viewers { viewers } else { 0 };
    let told = match to {
        None => {
            let text = format!("{edge} is forgotten: it has been away too long");
            Happening::new(Level::Info, Kind::EdgeForgotten, text)
        }
        Some(Health::Ready) => {
            let text = format!("{edge} is ready and takes viewers");
            Happening::new(Level::Info, Kind::EdgeReady, text)
        }
        Some(to) if from.is_none() => {
            let text = format!("{edge} joined, {}", to.word());
            Happening::new(Level::Info, Kind::EdgeJoined, text)
        }
        Some(Health::Draining) => {
            let text = format!("{edge} drains{}", whither(moving, others));
            Happening::new(Level::Info, Kind::EdgeDrains, text)
        }
        Some(Health::Maintenance) => {
            let text = format!("{edge} is out for maintenance{}", whither(moving, others));
            Happening::new(Level::Info, Kind::EdgeDrains, text)
        }
        Some(Health::NotFed) => {
            let level = if took_viewers { Level::Warn } else { Level::Info };
            let text = format!("{edge} is not fed{}", whither(moving, others));
            Happening::new(level, Kind::EdgeNotFed, text)
        }
        Some(Health::Lagging) => {
            let level = if took_viewers { Level::Warn } else { Level::Info };
            let text = format!("{edge} lags: its segments come late{}", whither(moving, others));
            Happening::new(level, Kind::EdgeLags, text)
        }
        Some(to @ (Health::Silent | Health::Unreachable | Health::Left)) => {
            // An edge that had let its viewers go and then ends is no loss.
            let (level, verb) = match (took_viewers, from) {
                (false, Some(Health::Draining | Health::Maintenance | Health::Silent)) => {
                    (Level::Info, "is gone")
                }
                (false, _) => (Level::Warn, "is gone"),
                (true, _) => (Level::Warn, "is lost"),
            };
            let why = match to {
                Health::Silent => "no heartbeat",
                Health::Unreachable => "its public URL does not answer",
                _ => "its link closed",
            };
            Happening::new(level, Kind::EdgeLost, format!("{edge} {verb}: {why}{}", whither(moving, others)))
        }
    };
    let told = told.of_node(edge);
    if moving > 0 { told.of_viewers(u64::from(moving)) } else { told }
}

fn standing(edge: &str, to: Standing, viewers: u32, others: usize) -> Happening {
    let text = match to {
        Standing::Active => format!("the operator wants viewers on {edge}"),
        Standing::Drain => format!("the operator drains {edge}{}", whither(viewers, others)),
        Standing::Maintenance => {
            format!("the operator takes {edge} out for maintenance{}", whither(viewers, others))
        }
    };
    let told = Happening::new(Level::Info, Kind::EdgeStanding, text).of_node(edge);
    if viewers > 0 { told.of_viewers(u64::from(viewers)) } else { told }
}

fn moved(viewers: u64) -> String {
    if viewers == 1 { "1 viewer moved".to_owned() } else { format!("{viewers} viewers moved") }
}

fn whither(viewers: u32, others: usize) -> String {
    let viewers = match viewers {
        0 => return String::new(),
        1 => "1 viewer moves".to_owned(),
        more => format!("{more} viewers move"),
    };
    match others {
        0 => format!(", {viewers}, and no other edge is ready"),
        1 => format!(", {viewers} to the other edge"),
        more => format!(", {viewers} to {more} other edges"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(from: Option<Health>, to: Option<Health>, viewers: u32, others: usize) -> String {
        health("edge2", from, to, viewers, others).text
    }

    #[test]
    fn a_lost_edge_says_how_many_viewers_move_and_whither() {
        use Health::{Draining, Lagging, Left, NotFed, Ready, Silent, Unreachable};
        let lost = health("edge2", Some(Ready), Some(Silent), 412, 3);
        assert_eq!(lost.text, "edge2 is lost: no heartbeat, 412 viewers move to 3 other edges");
        assert_eq!((lost.kind, lost.level, lost.viewers), (Kind::EdgeLost, Level::Warn, Some(412)));
        for (from, to, viewers, others, text) in [
            (None, Some(NotFed), 0, 0, "edge2 joined, not fed"),
            (Some(NotFed), Some(Ready), 0, 1, "edge2 is ready and takes viewers"),
            (Some(Ready), Some(Draining), 1, 1, "edge2 drains, 1 viewer moves to the other edge"),
            (
                Some(Ready),
                Some(Lagging),
                30,
                2,
                "edge2 lags: its segments come late, 30 viewers move to 2 other edges",
            ),
            (Some(Draining), Some(Left), 0, 1, "edge2 is gone: its link closed"),
            (
                Some(Ready),
                Some(Unreachable),
                7,
                0,
                "edge2 is lost: its public URL does not answer, 7 viewers move, and no other edge is ready",
            ),
            (Some(Left), None, 0, 1, "edge2 is forgotten: it has been away too long"),
        ] {
            assert_eq!(said(from, to, viewers, others), text);
        }
        assert_eq!(health("edge2", Some(Draining), Some(Left), 0, 1).level, Level::Info);
    }

    #[test]
    fn what_the_operator_wants_and_who_has_moved_is_told() {
        let drained = standing("edge2", Standing::Drain, 412, 3);
        assert_eq!(drained.text, "the operator drains edge2, 412 viewers move to 3 other edges");
        assert_eq!(standing("edge2", Standing::Active, 0, 3).viewers, None);
        let events = Events::default();
        let edge = ticket::EdgeId::parse("edge2").unwrap();
        let lasted = std::time::Duration::from_millis(4120);
        Chronicle::new(events.clone()).hear(&Change::Moved { edge, viewers: 412, lasted }, &Router::new());
        assert_eq!(events.after(0)[0].what.text, "412 viewers moved off edge2 within 4.1 s");
    }

    #[test]
    fn a_broadcast_is_said_to_be_live_once() {
        let events = Events::default();
        let mut chronicle = Chronicle::new(events.clone());
        let tide = BroadcastId::parse("tide").unwrap();
        let router = Router::new();
        for change in [
            Change::Live(tide.clone()),
            Change::Live(tide.clone()),
            Change::Gone(tide.clone()),
            Change::Gone(tide.clone()),
            Change::Live(tide),
        ] {
            chronicle.hear(&change, &router);
        }
        let kinds: Vec<Kind> = events.after(0).iter().map(|event| event.what.kind).collect();
        assert_eq!(kinds, [Kind::BroadcastLive, Kind::BroadcastOver, Kind::BroadcastLive]);
    }
}
