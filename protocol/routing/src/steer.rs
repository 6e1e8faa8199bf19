//! Where a running viewer should be: Content Steering's answer, decided from the viewer's token and from what is
//! known of the edges it names. Nothing is remembered of a viewer.
//!
//! ```text
//! first   home, if fit, with room, and warm enough for this viewer
//!         where it is now, if fit, or drained and its turn has not come
//!         the token's second, the playlist's third, if fit and with room
//! then    home, still cold · late · doubtful in a panic · full · drained · not fed · lost
//! ```
//!
//! A viewer that need not move does not move: only home is worth a move by itself. From home an edge that was
//! away is given its viewers back as it warms up ([`crate::SLOW_START`]), not all at once.

use crate::crowd::mix;
use crate::{By, Crowd, Edge, Health, Router};
use media::BitRate;
use std::time::{Duration, Instant};
use ticket::{EdgeId, EdgeNumber, ViewerId};

/// When a player asks again.
pub const TTL: Duration = Duration::from_secs(5);

/// The least: a viewer whose turn comes sooner asks again then.
pub const TTL_SHORT: Duration = Duration::from_secs(1);

/// Over how long the viewers of a drained edge are moved, unless set otherwise: everybody asks once within it, and
/// those whose turn has not come then are told when it does.
pub const DRAIN_OVER: Duration = TTL;

/// An edge whose link closed may be restarting, and be back within this: who is there is asked to come again in
/// [`TTL_SHORT`] and not moved. A player that cannot reach it moves by itself.
pub const LEFT_GRACE: Duration = Duration::from_secs(1);

/// A running viewer, by its token and its own word.
#[derive(Clone, Copy, Debug)]
pub struct Steer<'a> {
    /// What it watches.
    pub broadcast: &'a str,
    /// Who it is: decides its turn.
    pub viewer: ViewerId,
    /// Where it was sent.
    pub home: Option<EdgeNumber>,
    /// Where it goes next, by its token.
    pub other: Option<EdgeNumber>,
    /// The third of its playlist.
    pub also: Option<&'a EdgeId>,
    /// Where it is, by its own word.
    pub on: Option<&'a EdgeId>,
}

/// What a viewer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// Edges of its playlist, best first; at least one.
    pub pathways: Vec<EdgeId>,
    /// When to ask again.
    pub ttl: Duration,
    /// Where it is told to go, if that is elsewhere, and what was reserved there.
    pub moved: Option<Moved>,
}

/// A viewer told to go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// From here.
    pub from: EdgeId,
    /// Going there.
    pub to: EdgeId,
    /// What it will take there, reserved already.
    pub reserved: BitRate,
    /// Why.
    pub why: Why,
}

/// Why a viewer is told to go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Where it is, is fit; but its home is too.
    Home,
    /// Where it is, is lost, late, drained or not fed.
    Unfit,
}

/// How good an edge is for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It should be first, if its place says so.
    Fit,
    /// It is home, and has just come back.
    Cold,
    /// It has everything, late: better than one that cannot take more.
    Late,
    /// It seems lost, but so do too many.
    Doubtful,
    /// It is full, or takes nobody new.
    Crowded,
    /// It answers, and shall be empty.
    Drained,
    /// It has nothing to show.
    Useless,
    /// It does not answer.
    Lost,
}

/// One edge of a viewer's playlist.
struct Listed<'a> {
    id: &'a EdgeId,
    edge: &'a Edge,
    /// In which order those of one rank stand: home, where it is, second, third.
    place: u8,
    is_on: bool,
}

impl Router {
    /// Where this viewer should be; `None` if none of its edges is known. A viewer that is told to move has its
    /// rate reserved where it goes.
    pub fn steer(&mut self, now: Instant, steer: Steer<'_>) -> Option<Steered> {
        let broadcast = self.broadcasts.named(steer.broadcast);
        let is_carried = |id: &EdgeId| broadcast.is_none_or(|broadcast| broadcast.is_carried_by(id));
        let rate = broadcast.map_or(BitRate(0), |broadcast| broadcast.rate(false));
        let turn = Turn { now, fraction: fraction(steer.viewer) };
        let mut panics = None;
        let mut ttl = TTL;
        let mut ranked: Vec<(Rank, bool, u8, &EdgeId)> = Vec::with_capacity(4);
        for listed in self.listed(&steer) {
            let Listed { id, edge, place, is_on } = listed;
            let health = match edge.health(now) {
                // Late are most: then it is no reason to leave one of them for another.
                Health::Lagging if *panics.get_or_insert_with(|| self.panics(now, is_carried)) => {
                    Health::Ready
                }
                health => health,
            };
            let rank = match health {
                Health::Ready if !is_carried(id) => Rank::Useless,
                Health::Ready if is_on => Rank::Fit,
                Health::Ready if edge.refuses() || !edge.has_room(now, rate, self.peers) => Rank::Crowded,
                // Nobody who is somewhere is brought home before it is warm enough for him.
                Health::Ready if place == 0 && steer.on.is_some() && edge.warmth(now) < turn.fraction => {
                    Rank::Cold
                }
                Health::Ready => Rank::Fit,
                Health::Lagging if !is_carried(id) => Rank::Useless,
                Health::Lagging if !is_on && !edge.has_room(now, rate, self.peers) => Rank::Crowded,
                Health::Lagging => Rank::Late,
                Health::Draining if is_on => match turn.left(edge, self.drain_over.0) {
                    Some(left) => {
                        ttl = ttl.min(left);
                        Rank::Fit
                    }
                    None => Rank::Drained,
                },
                Health::Draining => Rank::Drained,
                Health::NotFed | Health::Maintenance => Rank::Useless,
                Health::Left if is_on && edge.left_for(now).is_some_and(|gone| gone < LEFT_GRACE) => {
                    ttl = TTL_SHORT;
                    Rank::Fit
                }
                Health::Silent | Health::Unreachable | Health::Left => {
                    match !edge.refuses() && *panics.get_or_insert_with(|| self.panics(now, is_carried)) {
                        true => Rank::Doubtful,
                        false => Rank::Lost,
                    }
                }
            };
            // Among those that are no good, where it is now is no worse: nothing is won by moving.
            ranked.push((rank, rank != Rank::Fit && !is_on, place, id));
        }
        ranked.sort_unstable();
        let pathways: Vec<EdgeId> = ranked.iter().map(|(.., id)| (*id).clone()).collect();
        let first = pathways.first()?;
        let moved = steer.on.filter(|on| *on != first).map(|on| {
            let is_fit = self.edges.get(on).is_some_and(|edge| edge.health(now) == Health::Ready);
            let why = if is_fit { Why::Home } else { Why::Unfit };
            Moved { from: on.clone(), to: first.clone(), reserved: rate, why }
        });
        if let Some(Moved { from, to, reserved, why }) = &moved {
            if let Some(edge) = self.edges.get_mut(to) {
                edge.reserve(now, *reserved, By::Core);
            }
            if let Some(edge) = self.edges.get_mut(from).filter(|_| *why == Why::Unfit) {
                let mut crowd = Crowd::default();
                crowd.see(steer.viewer);
                edge.moving.heard(now, &crowd);
            }
        }
        // Who has moved need not be asked again so soon.
        let ttl = if moved.is_some() { TTL } else { ttl };
        Some(Steered { pathways, ttl, moved })
    }

    /// The edges of its playlist that are known, each once.
    fn listed<'a>(&'a self, steer: &Steer<'a>) -> impl Iterator<Item = Listed<'a>> {
        let (home, other, also, on) = (steer.home, steer.other, steer.also, steer.on);
        self.edges.iter().filter_map(move |(id, edge)| {
            let number = Some(edge.number());
            let is_on = on == Some(id);
            let place = match () {
                // A number that two edges share names both: a player passes over the one it does not know.
                () if number == home => 0,
                () if is_on => 1,
                () if number == other => 2,
                () if also == Some(id) => 3,
                () => return None,
            };
            Some(Listed { id, edge, place, is_on })
        })
    }

    /// Whether so many edges seem lost, or are late, that it is likelier that we see badly (as in [`Router::decide`]).
    pub(crate) fn panics(&self, now: Instant, is_carried: impl Fn(&EdgeId) -> bool) -> bool {
        let taking = self.edges.iter().filter(|(id, edge)| !edge.refuses() && is_carried(id));
        let (fit, all) = taking.fold((0, 0), |(fit, all), (_, edge)| {
            (fit + usize::from(edge.health(now) == Health::Ready), all + 1)
        });
        fit < all - fit
    }
}

/// A viewer's place in whatever is spread over time.
#[derive(Clone, Copy)]
struct Turn {
    now: Instant,
    /// From 0 up to but not including 1.
    fraction: f64,
}

impl Turn {
    /// How long it may stay on an edge that shall be empty within `window`: whole seconds, rounded up.
    fn left(self, edge: &Edge, window: Duration) -> Option<Duration> {
        // In maintenance there is nothing to stay for.
        let at = edge.draining_since()? + window.mul_f64(self.fraction);
        let left = at.checked_duration_since(self.now).filter(|left| !left.is_zero())?;
        Some(Duration::from_secs(left.as_millis().div_ceil(1000) as u64).max(TTL_SHORT))
    }
}

fn fraction(viewer: ViewerId) -> f64 {
    // Another mix than the crowd's, so that who moves early is no part of the count's luck.
    (mix(!viewer.0) >> 11) as f64 / (1_u64 << 53) as f64
}
