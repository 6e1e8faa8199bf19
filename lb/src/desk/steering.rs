//! A running viewer asks where to be: the steering manifest (draft-pantos-content-steering).
//!
//! Nothing is kept of a viewer: its token names home and second, the query the third and where it is. The answer
//! names public edges only, so a token is not asked for its age here: a viewer whose token is over, or sealed with
//! a key this balancer does not know, is still a viewer. Where nothing can be said it is told to stay where it is,
//! and never 410 or 429, after which hls.js does not ask again.

use super::{Desk, Moment};
use crate::Settings;
use http::{Head, Prerendered, Query, Status};
use media::BroadcastId;
use routing::{Steer, Steered, TTL, Why};
use std::fmt::Write as _;
use std::time::Duration;
use ticket::{BroadcastHash, EdgeId, Ticket, Token};

/// Of a steering manifest (rule V11).
const MEDIA_TYPE: &str = "application/vnd.apple.steering-list";

/// The playlist's third edge, for which a token has no room.
const THIRD: &str = "third";

/// A member of our own, which players that do not know it ignore: no viewer should take the top rendition now.
const WITHOUT_TOP: &str = "X-MASCARET-WITHOUT-TOP";

/// A balancer that has just started does not know its edges yet: until then nobody is moved. Edges dial again
/// after two seconds at the latest.
pub(super) const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// Where the multivariant playlist says that steering is asked for.
pub(super) fn uri(token: &Token, broadcast: &str, third: Option<&EdgeId>) -> String {
    let mut uri = format!("/steer/{token}/{broadcast}");
    if let Some(third) = third {
        let _ = write!(uri, "?{THIRD}={third}");
    }
    uri
}

impl Desk {
    /// The answer to `/steer/<path>`; `None` where it is no such path, or there is nothing to say.
    pub(super) fn steer(&mut self, moment: Moment, path: &str, query: Query<'_>) -> Option<Prerendered> {
        let (token, name) = path.split_once('/')?;
        let (token, broadcast) = (Token::parse(token).ok()?, BroadcastId::parse(name).ok()?);
        let edge = |key| query.value(key).and_then(|value| EdgeId::parse(unquoted(value)).ok());
        let (third, on) = (edge(THIRD), edge("_HLS_pathway"));
        let ticket = self.opened(&token, &broadcast);
        if let Some(ticket) = ticket {
            self.seen.entry(broadcast).or_default().see(ticket.viewer);
        }
        let knows_edges = self.began.is_some_and(|began| moment.now >= began + KNOWN_WITHIN);
        let steered = ticket.filter(|_| knows_edges).and_then(|ticket| {
            let steer = Steer {
                broadcast: name,
                viewer: ticket.viewer,
                home: ticket.edge,
                other: ticket.other,
                also: third.as_ref(),
                on: on.as_ref(),
            };
            Some((self.router.steer(moment.now, steer)?, ticket))
        });
        let (pathways, ttl) = match steered {
            Some((steered, ticket)) => {
                self.note(&steered, &ticket);
                self.counts.steered.one();
                (steered.pathways, steered.ttl)
            }
            None => {
                let known = self.knowable(ticket, third, on);
                if known.is_empty() {
                    return None;
                }
                self.counts.steered_blindly.one();
                (known, TTL)
            }
        };
        let mut body = String::with_capacity(256);
        let _ = write!(body, "{{\"VERSION\":1,\"TTL\":{},\"RELOAD-URI\":\"", ttl.as_secs());
        // Names and tokens have no character that JSON would have escaped.
        let _ = write!(body, "/steer/{token}/{name}");
        if let Some(third) = query.value(THIRD).and_then(|value| EdgeId::parse(value).ok()) {
            let _ = write!(body, "?{THIRD}={third}");
        }
        body.push_str("\",\"PATHWAY-PRIORITY\":[");
        for (place, id) in pathways.iter().enumerate() {
            let _ = write!(body, "{}\"{id}\"", if place == 0 { "" } else { "," });
        }
        body.push(']');
        if self.is_top_for_nobody(moment.now) {
            let _ = write!(body, ",\"{WITHOUT_TOP}\":true");
        }
        body.push('}');
        let head = Head::new(Status::OK)
            .content(MEDIA_TYPE, body.len() as u64)
            .cache_control("no-store")
            .field("X-Content-Type-Options", "nosniff")
            .cors(&self.cors);
        Some(head.with_body(body.as_bytes()))
    }

    /// What the token says, however old it is, if it was made for that broadcast by somebody who has our keys.
    fn opened(&self, token: &Token, broadcast: &BroadcastId) -> Option<Ticket> {
        let known = self.router.broadcast(broadcast.as_str());
        let hash = known.map_or_else(|| BroadcastHash::of(broadcast), routing::Broadcast::hash);
        self.keys.open(token, 0, hash).ok()
    }

    /// Where to stay, when nothing better is known: where it is, or else what of its edges has a name here.
    fn knowable(&self, ticket: Option<Ticket>, third: Option<EdgeId>, on: Option<EdgeId>) -> Vec<EdgeId> {
        if let Some(on) = on {
            return vec![on];
        }
        let named = |number| {
            self.router.edges().find(|(_, edge)| Some(edge.number()) == number).map(|(id, _)| id.clone())
        };
        let mut known: Vec<EdgeId> = ticket
            .into_iter()
            .flat_map(|ticket| [ticket.edge, ticket.other])
            .filter(Option::is_some)
            .filter_map(named)
            .chain(third)
            .collect();
        known.dedup();
        known
    }

    fn note(&mut self, steered: &Steered, ticket: &Ticket) {
        let Some(moved) = &steered.moved else { return };
        let sum = self.reserved.entry(moved.to.clone()).or_default();
        sum.0 = sum.0.saturating_add(moved.reserved.0);
        match moved.why {
            Why::Home => self.counts.brought_home.one(),
            Why::Unfit => {
                self.counts.moved_off.one();
                self.moved.entry(moved.from.clone()).or_default().see(ticket.viewer);
            }
        }
    }
}

/// The draft's value is quoted, hls.js sends it bare.
fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|value: &str| value.strip_suffix(quote));
    inner("%22").or_else(|| inner("\"")).unwrap_or(value)
}

/// A router as the settings want it.
pub(super) fn router(settings: &Settings) -> routing::Router {
    routing::Router::new().draining_over(settings.drain_over.duration())
}
