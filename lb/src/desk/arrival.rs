//! A viewer comes: which edge, which token, and the first answer.

use super::{Desk, Moment, UNMEASURED_RETRY, is_measured, steering};
use crate::entry::{self, Way};
use crate::pathway::Pathway;
use http::Prerendered;
use routing::{Ask, Decision, Health};
use ticket::{EdgeId, Flags, Ticket, Token, UnixSeconds, ViewerId};

impl Desk {
    /// A viewer comes: it gets an edge and a token, or a sentence; `None` where there is no such broadcast. Who comes with
    /// a ticket stays who it is, and admitted if it was, and for no longer than that ticket lasts.
    pub(super) fn enter(
        &mut self,
        moment: Moment,
        name: &str,
        before: Option<Ticket>,
        redirects: bool,
        accepts_gzip: bool,
    ) -> Option<Prerendered> {
        let Some(broadcast) = self.router.broadcast(name).filter(|broadcast| broadcast.is_live()) else {
            self.counts.unknown_broadcasts.one();
            return None;
        };
        if !is_measured(broadcast) {
            self.counts.refused_unmeasured.one();
            return Some(self.wait(
                UNMEASURED_RETRY,
                "The broadcast has only just begun; ask again at once.",
                redirects,
            ));
        }
        let ask = Ask { broadcast: name, last: None, random: self.dice.roll() };
        match self.router.decide(moment.now, ask) {
            Decision::NoBroadcast => None,
            Decision::Full { retry_after } => {
                self.counts.refused_full.one();
                let text = "Every edge is full; please try again in a moment.";
                Some(self.wait(retry_after, text, redirects))
            }
            Decision::NoEdge { retry_after } => {
                self.counts.refused_no_edge.one();
                let text = "No edge can be reached just now; please try again.";
                Some(self.wait(retry_after, text, redirects))
            }
            Decision::Go { edge, others, without_top, reserved } => {
                let sum = self.reserved.entry(edge.clone()).or_default();
                sum.0 = sum.0.saturating_add(reserved.0);
                let token = self.token(moment, name, before, &edge, others.first(), without_top)?;
                let edges: Vec<EdgeId> = std::iter::once(edge).chain(others).collect();
                let counts = &self.counts;
                if redirects {
                    counts.redirects.one()
                } else {
                    counts.playlists.one()
                }
                if without_top {
                    counts.without_top.one();
                }
                match redirects {
                    true => self.redirect(moment, name, &token, &edges),
                    false => self.playlist(moment, name, &token, &edges, without_top, accepts_gzip),
                }
            }
        }
    }

    /// Who this viewer is, and where it was sent, sealed.
    fn token(
        &mut self,
        moment: Moment,
        name: &str,
        before: Option<Ticket>,
        edge: &EdgeId,
        other: Option<&EdgeId>,
        without_top: bool,
    ) -> Option<Token> {
        let broadcast = self.router.broadcast(name)?.hash();
        let expires = UnixSeconds::from_u64(moment.unix_secs + self.lifetime.as_secs());
        let (viewer, expires, admitted) = match before {
            Some(ticket) if ticket.flags.has(Flags::ADMITTED) => {
                (ticket.viewer, expires.min(ticket.expires), Flags::ADMITTED)
            }
            Some(ticket) => (ticket.viewer, expires, Flags::default()),
            None => (ViewerId(self.dice.roll()), expires, Flags::default()),
        };
        let ticket = Ticket {
            edge: Some(edge.number()),
            other: other.map(EdgeId::number),
            expires,
            broadcast,
            viewer,
            flags: admitted.with(if without_top { Flags::WITHOUT_TOP } else { Flags::default() }),
        };
        Some(ticket.seal(&self.keys))
    }

    fn way<'a>(&'a self, moment: Moment, token: &'a Token, edges: &[EdgeId]) -> Way<'a> {
        let edges = edges.iter().filter_map(|id| self.pathways.get_key_value(id)).collect();
        Way { token, edges, is_tls: self.forced_tls.unwrap_or(moment.is_tls) }
    }

    /// To the first of these edges.
    fn redirect(&self, moment: Moment, name: &str, token: &Token, edges: &[EdgeId]) -> Option<Prerendered> {
        entry::redirect(name, &self.way(moment, token, edges), &self.cors)
    }

    /// Of these edges first, and of all others that have the broadcast.
    fn playlist(
        &mut self,
        moment: Moment,
        name: &str,
        token: &Token,
        edges: &[EdgeId],
        without_top: bool,
        accepts_gzip: bool,
    ) -> Option<Prerendered> {
        let broadcast = self.router.broadcast(name)?;
        let way = self.way(moment, token, edges);
        let is_fit = |id: &EdgeId, edge: &routing::Edge| {
            edge.health(moment.now) == Health::Ready && broadcast.is_carried_by(id)
        };
        let fleet: Vec<(&EdgeId, &Pathway)> = self
            .router
            .edges()
            .filter(|(id, edge)| is_fit(id, edge))
            .filter_map(|(id, _)| self.pathways.get_key_value(id))
            .collect();
        let third = way.edges.get(2).map(|(id, _)| *id);
        let steering = steering::uri(token, name, third);
        let playlist = entry::playlist(broadcast.facts(), without_top, &way, &fleet, steering)?;
        Some(entry::answer(&playlist, accepts_gzip.then_some(&mut self.packer), &self.cors))
    }
}
