//! How the edge is doing, as of the line's last tick: what the operator reads and the balancers hear.

use crate::line::{Line, LineCounts};
use edgefan::{EdgeState, PublisherCounters, SubscriberCounters};
use serde_json::json;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The latest word; written by the line's thread, read by the operator's.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Notice>);

/// One word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notice {
    pub(crate) state: EdgeState,
    /// Why it is not ready, or that it is.
    pub(crate) why: String,
    /// It is to be empty because the operator is at work on it.
    pub(crate) is_in_maintenance: bool,
    /// Over live broadcasts that are listed, the oldest.
    pub(crate) age_ms: Option<u64>,
    /// Of all live broadcasts, the worst lag of a segment.
    pub(crate) lag_ms: Option<u64>,
    pub(crate) egress_bps: u64,
    /// Playlists are answered 404.
    pub(crate) turns_away: bool,
    pub(crate) broadcasts: Vec<BroadcastNotice>,
    pub(crate) ingests: Vec<String>,
    pub(crate) balancers_up: usize,
    /// Whether the lobby is linked; `None` where there is none.
    pub(crate) is_lobby_up: Option<bool>,
    /// Since when that is so, in milliseconds of the Unix epoch.
    pub(crate) lobby_since_ms: u64,
    pub(crate) bytes_held: u64,
    pub(crate) line: LineCounts,
    pub(crate) links: SubscriberCounters,
    /// Where it feeds other edges.
    pub(crate) relay: Option<PublisherCounters>,
}

/// One broadcast on it.
#[derive(Clone, Debug)]
pub(crate) struct BroadcastNotice {
    pub(crate) id: String,
    pub(crate) run: u64,
    pub(crate) renditions: Vec<String>,
    pub(crate) is_fed: bool,
    pub(crate) is_listed: bool,
    pub(crate) has_ended: bool,
    pub(crate) age_ms: u64,
    pub(crate) bytes_held: u64,
    /// The worst of its last segments: from when it was made until it was complete here.
    pub(crate) lag_ms: Option<u64>,
    /// Too many of them come too late.
    pub(crate) lags: bool,
    /// The ingest that is not listened to for it, because its segments were other ones.
    pub(crate) quarantined: Option<String>,
}

impl Board {
    pub(crate) fn read(&self) -> Notice {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn write(&self, notice: Notice) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = notice;
    }
}

impl Notice {
    /// Looks at the line. A broadcast whose publisher has stalled makes no edge unready, as it would make all of them
    /// so; an edge is not fed when nothing that is live here is fresh, or when it has neither broadcasts nor links.
    /// It lags when one that is live comes late: that has nothing to do with a publisher, and all of them share a feed.
    pub(crate) fn of<B: Clone>(line: &Line<B>, now: Instant, is_draining: bool) -> Self {
        let mut notice = Self {
            ingests: line.links().map(ToOwned::to_owned).collect(),
            bytes_held: line.bytes_held(),
            line: line.counts(),
            ..Self::default()
        };
        for (id, lane) in line.lanes() {
            notice.broadcasts.push(BroadcastNotice {
                id: id.to_string(),
                run: lane.facts.run.0,
                renditions: lane.facts.renditions.iter().map(|rendition| rendition.id.to_string()).collect(),
                is_fed: lane.is_fed,
                is_listed: lane.is_listed(),
                has_ended: lane.has_ended(),
                age_ms: u64::try_from(lane.age(now).as_millis()).unwrap_or(u64::MAX),
                bytes_held: lane.bytes_held(),
                lag_ms: lane.lag.worst().map(|worst| u64::try_from(worst.as_millis()).unwrap_or(u64::MAX)),
                lags: lane.lags,
                quarantined: lane
                    .quarantined
                    .as_ref()
                    .filter(|(run, _)| *run == lane.facts.run)
                    .map(|(_, node)| node.clone()),
            });
        }
        let live =
            || notice.broadcasts.iter().filter(|broadcast| !broadcast.has_ended && broadcast.is_listed);
        notice.age_ms = live().map(|broadcast| broadcast.age_ms).max();
        notice.lag_ms = live().filter_map(|broadcast| broadcast.lag_ms).max();
        let lagging = live().find(|broadcast| broadcast.is_fed && broadcast.lags).map(|broadcast| {
            let worst = broadcast.lag_ms.unwrap_or(0);
            format!("segments of {} come late, one {worst} ms after it was made", broadcast.id)
        });
        let (has_live, has_fed) = (live().count() > 0, live().any(|broadcast| broadcast.is_fed));
        (notice.state, notice.why) = if is_draining {
            (EdgeState::Draining, "viewers are let go".into())
        } else if !line.has_joined() && !notice.ingests.is_empty() {
            let why = match line.awaits_the_lobby() {
                true => "the lobby has not said yet what is private",
                false => "the newest segments are on their way",
            };
            (EdgeState::NotFed, why.into())
        } else if let Some(why) = lagging {
            (EdgeState::Lagging, why)
        } else if has_fed || (!has_live && !notice.ingests.is_empty()) {
            (EdgeState::Ready, "ready".into())
        } else if has_live {
            (EdgeState::NotFed, "nothing fresh of any broadcast arrives".into())
        } else {
            (EdgeState::NotFed, "no ingest is linked".into())
        };
        notice
    }

    /// As `/status` shows it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let state = match self.state {
            EdgeState::Ready => "ready",
            EdgeState::NotFed => "not fed",
            EdgeState::Draining => "draining",
            EdgeState::Lagging => "lagging",
        };
        let broadcasts: Vec<_> = self
            .broadcasts
            .iter()
            .map(|it| {
                json!({
                    "id": it.id, "run": it.run, "renditions": it.renditions, "fed": it.is_fed, "listed": it.is_listed,
                    "ended": it.has_ended, "newest_segment_age_ms": it.age_ms, "bytes_held": it.bytes_held,
                    "quarantined": it.quarantined, "lag_ms": it.lag_ms, "lags": it.lags,
                })
            })
            .collect();
        json!({
            "state": state, "why": self.why, "newest_segment_age_ms": self.age_ms, "lag_ms": self.lag_ms,
            "turns_away": self.turns_away, "egress_bits": self.egress_bps, "broadcasts": broadcasts, "ingests": self.ingests,
            "balancers_up": self.balancers_up,
            "lobby": self.is_lobby_up.map(|is_up| json!({ "linked": is_up, "since_ms": self.lobby_since_ms })), "bytes_held": self.bytes_held,
            "edges_fed": self.relay.as_ref().map(|relay| relay.links),
        })
    }
}
