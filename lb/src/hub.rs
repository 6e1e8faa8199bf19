//! One thread that hears all edges and tells every core; and the fleet as the operator sees it.

use crate::audience::Audience;
use crate::pathway::Pathway;
use crate::told::{Teller, Told};
use edgefan::{EdgeState, NodeId};
use media::{BitRate, BroadcastId};
use node::fan::control::server::ControlEvent;
use routing::{By, Change, Crowd, Health, Heard, Load, Router, Ruling, State};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ticket::{EdgeId, Keys};

/// Events that wait for this thread. At the bound the links and the probe wait with them: nothing is lost, and
/// an edge that cannot get its heartbeat through is silent, which is then the truth.
pub(crate) const WAITING_EVENTS: usize = 4096;

/// How often viewers are counted, and so how long to sleep at most.
const COUNT: Duration = Duration::from_secs(1);

/// What reaches the hub.
#[derive(Debug)]
pub(crate) enum Event {
    /// From a control link.
    Control(ControlEvent),
    /// An edge's public URL answered, or did not.
    Probed(EdgeId, bool),
    /// A core sent viewers there; the other cores know.
    Reserved(Vec<(EdgeId, BitRate)>),
    /// A core steered: whom it saw, and whom it told to leave an edge.
    Seen {
        /// By broadcast.
        seen: Vec<(BroadcastId, Crowd)>,
        /// By edge.
        moved: Vec<(EdgeId, Box<Crowd>)>,
    },
    /// The operator says how an edge stands, by the directory.
    Ruled(EdgeId, Ruling),
    /// The operator had the ticket keys read again.
    Keys(Keys),
    /// Be done.
    End,
}

/// What the hub, the prober and the operator look at together.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) router: Router,
    pub(crate) pathways: HashMap<EdgeId, Pathway>,
    pub(crate) audience: Audience,
}

pub(crate) fn lock(fleet: &Mutex<Fleet>) -> MutexGuard<'_, Fleet> {
    // Whoever panicked with it left it as it was between two events.
    fleet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until told to end, or until nobody is left to tell it anything.
pub(crate) fn run(events: &Receiver<Event>, fleet: &Arc<Mutex<Fleet>>, mut teller: Teller) {
    let mut count_at = Instant::now() + COUNT;
    loop {
        let deadline = lock(fleet).router.deadline().map_or(count_at, |at| at.min(count_at));
        let wait = deadline.saturating_duration_since(Instant::now());
        let event = match events.recv_timeout(wait) {
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
        };
        let now = Instant::now();
        let mut fleet = lock(fleet);
        let fleet = &mut *fleet;
        match event {
            Some(Event::Reserved(reserved)) => {
                for (id, rate) in reserved {
                    let _ = fleet.router.push(now, Heard::Reserved(id, rate, By::Core));
                }
            }
            Some(Event::Seen { seen, moved }) => saw(now, seen, moved, fleet),
            Some(event) => {
                for told in hear(event, fleet) {
                    carry(now, told, fleet, &mut teller);
                }
            }
            None => fleet.router.expire(now),
        }
        if now >= count_at {
            count_at = now + COUNT;
            if let Some(watched) = fleet.audience.count(now) {
                teller.tell(&Told::Watched(watched));
            }
        }
        tell_changes(fleet);
    }
}

fn saw(now: Instant, seen: Vec<(BroadcastId, Crowd)>, moved: Vec<(EdgeId, Box<Crowd>)>, fleet: &mut Fleet) {
    let Fleet { router, audience, .. } = fleet;
    for (broadcast, crowd) in seen {
        audience.see(now, &broadcast, &crowd, |id| router.broadcast(id.as_str()).is_some());
    }
    for (edge, crowd) in moved {
        // An edge that is forgotten meanwhile has no viewers to be told of.
        let _ = router.push(now, Heard::Moved(edge, crowd));
    }
}

/// To the hub's own router and to every core, in the same order.
fn carry(now: Instant, told: Told, fleet: &mut Fleet, teller: &mut Teller) {
    match &told {
        Told::Heard(heard) => {
            if let Err(refused) = fleet.router.push(now, heard.clone()) {
                tracing::warn!(%refused, "not heard");
                return;
            }
        }
        Told::Pathway(id, pathway) => {
            fleet.pathways.insert(id.clone(), pathway.clone());
        }
        Told::Keys(_) | Told::Watched(_) => {}
    }
    teller.tell(&told);
}

/// What an event comes to. Nothing, where it is of a node that is no edge of ours.
fn hear(event: Event, fleet: &mut Fleet) -> Vec<Told> {
    let known =
        |node: &NodeId| EdgeId::parse(node.as_str()).ok().filter(|id| fleet.router.edge(id).is_some());
    let heard = match event {
        Event::End | Event::Reserved(_) | Event::Seen { .. } => None,
        Event::Ruled(id, ruling) => Some(Heard::Ruled(id, ruling)),
        Event::Keys(keys) => return vec![Told::Keys(keys)],
        Event::Probed(id, answered) => fleet.router.edge(&id).map(|_| Heard::Probed(id.clone(), answered)),
        Event::Control(ControlEvent::Joined(hello)) => match Pathway::of(&hello) {
            Ok((declared, pathway)) => {
                return vec![
                    Told::Pathway(declared.id.clone(), pathway),
                    Told::Heard(Heard::Joined(declared)),
                ];
            }
            Err(unusable) => {
                tracing::warn!(edge = %hello.node, %unusable, "an edge cannot be used");
                None
            }
        },
        Event::Control(ControlEvent::Load { node, load }) => {
            known(&node).map(|id| Heard::Load(id, load_of(&load)))
        }
        Event::Control(ControlEvent::Stream { node, facts }) => {
            known(&node).map(|id| Heard::Stream(id, facts))
        }
        Event::Control(ControlEvent::Ended { node, broadcast, run }) => {
            known(&node).map(|id| Heard::Over(id, broadcast, run))
        }
        Event::Control(
            ControlEvent::PeerJoined(_) | ControlEvent::PeerLeft(_) | ControlEvent::Peer { .. },
        ) => None,
        Event::Control(ControlEvent::Left { node, why }) => {
            tracing::info!(edge = %node, why, "an edge's link is gone");
            known(&node).map(Heard::Left)
        }
    };
    heard.into_iter().map(Told::Heard).collect()
}

fn load_of(load: &edgefan::Load) -> Load {
    Load {
        egress: load.egress,
        viewers: u32::try_from(load.viewers).unwrap_or(u32::MAX),
        newest_segment_age: load.newest_segment_age_ms.map(Duration::from_millis),
        state: match load.state {
            EdgeState::Ready => State::Ready,
            EdgeState::NotFed => State::NotFed,
            EdgeState::Draining => State::Draining,
        },
    }
}

fn tell_changes(fleet: &mut Fleet) {
    while let Some(change) = fleet.router.pull() {
        match change {
            Change::Health { edge, from: None, to: Some(to), .. } => {
                tracing::info!(%edge, state = to.word(), "an edge joined");
            }
            Change::Health { edge, from: Some(Health::Ready), to: Some(to), viewers } => {
                tracing::warn!(%edge, state = to.word(), viewers, "an edge takes no viewers any more");
            }
            Change::Health { edge, to: Some(Health::Ready), .. } => tracing::info!(%edge, "an edge is ready"),
            Change::Health { edge, to: Some(to), .. } => {
                tracing::info!(%edge, state = to.word(), "an edge's state changed");
            }
            Change::Health { edge, to: None, .. } => {
                fleet.pathways.remove(&edge);
                tracing::info!(%edge, "an edge is forgotten");
            }
            Change::Standing { edge, from, to, viewers } => {
                let (from, to) = (from.word(), to.word());
                tracing::info!(%edge, from, to, viewers, "the operator says otherwise of an edge");
            }
            Change::Moved { edge, viewers, lasted } => {
                tracing::info!(%edge, viewers, ?lasted, "viewers were moved off an edge");
            }
            Change::NumberClash(one, other) => {
                tracing::warn!(%one, %other, "two edges have the same number in tokens; rename one of them");
            }
            Change::Live(broadcast) => tracing::debug!(%broadcast, "a broadcast can be watched"),
            Change::Gone(broadcast) => tracing::info!(%broadcast, "a broadcast is over"),
        }
    }
}
