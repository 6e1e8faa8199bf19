//! One balancer after another at the same addresses: taking over from a predecessor, and being relieved by a successor.
//!
//! ```text
//!  predecessor  serves, is told by edges ── near: lets go of its links, and answers by what it knew ── relieved: ends
//!  successor    starts, asks for sockets ── near ─▶ edges dial it ─▶ knows what that knew ─▶ accepts ─▶ relieves
//! ```
//!
//! An edge has one link to an address, so both cannot be told at a time: for the half second in which edges dial anew the
//! predecessor answers viewers by its last view, in which nobody grows silent. A successor that does not get as far
//! changes nothing: edges dial the predecessor again.
//!
//! Lives here: which sockets there are, how long to wait for edges, what the two tell each other. Does not live here: the
//! conversation (`node::handover`), accepting (`percore`), or how a view is held (`hub`).

use crate::LbError;
use crate::hub::{self, Event, Fleet};
use node::Node;
use node::fan::control::server::ControlServer;
use node::handover::{Offer, Predecessor, Relief};
use percore::{Limits, Listen};
use routing::{Health, Router};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long edges may take to dial a successor and say what they have: they dial anew within a tenth of a second, and a
/// heartbeat and a probe later are ready.
const LINKED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked at whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// From the hub to the last core.
const TOLD_WITHIN: Duration = Duration::from_millis(50);

/// What a predecessor knew when it let go of its links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inheritance {
    /// Edges that viewers are sent to.
    #[serde(default)]
    ready: Vec<String>,
    /// Broadcasts that can be watched.
    #[serde(default)]
    live: Vec<String>,
}

impl Inheritance {
    fn of(router: &Router, now: Instant) -> Self {
        let ready = router.edges().filter(|(_, edge)| edge.health(now) == Health::Ready);
        let live = router.broadcasts().filter(|it| it.is_live());
        Self {
            ready: ready.map(|(id, _)| id.to_string()).collect(),
            live: live.map(|it| it.facts().broadcast.to_string()).collect(),
        }
    }

    /// Whether somebody who knows this knows all that `last` did.
    fn has(&self, last: &Self) -> bool {
        let has = |own: &[String], theirs: &[String]| theirs.iter().all(|one| own.contains(one));
        has(&self.ready, &last.ready) && has(&self.live, &last.live)
    }
}

/// The listening sockets, kept where a successor may ask for them.
#[derive(Debug, Default)]
pub(crate) struct Ports(Vec<(String, Arc<OwnedFd>)>);

impl Ports {
    /// A socket that others than percore accept at, given to us or opened now.
    pub(crate) fn listen(&mut self, node: &Node, name: &str, address: SocketAddr) -> io::Result<TcpListener> {
        let listener = match node.sockets.take(name, address).into_iter().next() {
            Some(given) => TcpListener::from(given),
            None => TcpListener::bind(address)?,
        };
        if node.handover.path.is_some() {
            self.0.push((name.to_owned(), Arc::new(OwnedFd::from(listener.try_clone()?))));
        }
        Ok(listener)
    }

    /// Sockets for percore that were given to us, or that we must keep for a successor; otherwise percore opens them.
    pub(crate) fn open(
        &mut self,
        node: &Node,
        name: &str,
        listen: Listen,
        limits: &Limits,
        cores: usize,
    ) -> Result<Listen, LbError> {
        let given: Vec<_> = node.sockets.take(name, listen.address).into_iter().map(Arc::new).collect();
        let sockets = match (given.is_empty(), &node.handover.path) {
            (true, None) => return Ok(listen),
            (true, Some(_)) => percore::bind(&listen, limits, cores)?,
            (false, _) => given,
        };
        if node.handover.path.is_some() {
            self.0.extend(sockets.iter().map(|socket| (name.to_owned(), Arc::clone(socket))));
        }
        Ok(listen.on(sockets))
    }
}

/// What happens when somebody relieves us.
#[derive(Debug)]
pub(crate) struct Succeeded {
    pub(crate) fleet: Arc<Mutex<Fleet>>,
    pub(crate) events: SyncSender<Event>,
    pub(crate) control: ControlServer,
    pub(crate) is_handed_over: Arc<AtomicBool>,
    pub(crate) stop: node::Stop,
}

impl Succeeded {
    fn known(&self) -> serde_json::Value {
        let known = Inheritance::of(&hub::lock(&self.fleet).router, Instant::now());
        serde_json::to_value(known).unwrap_or_default()
    }

    /// The hub first: what it hears of links that close after it is no news.
    fn stand_aside(&self, is_aside: bool) {
        let _ = self.events.send(Event::Aside(is_aside));
        self.control.stand_aside(is_aside);
    }
}

impl Relief for Succeeded {
    fn asked(&mut self) -> serde_json::Value {
        self.known()
    }

    fn near(&mut self) -> serde_json::Value {
        let known = self.known();
        self.stand_aside(true);
        known
    }

    fn given_up(&mut self) {
        tracing::warn!("the successor is gone before it was ready: this balancer goes on");
        self.stand_aside(false);
    }

    fn relieved(&mut self) {
        self.is_handed_over.store(true, Ordering::Release);
        self.stop.signal();
    }
}

/// Waits until edges have dialled us; whoever served before us has let them go. Without one nothing is waited for.
pub(crate) fn inherit(node: &Node, fleet: &Mutex<Fleet>) -> Result<Option<Predecessor>, LbError> {
    let Some(mut predecessor) = node.handover.predecessor() else { return Ok(None) };
    let last = predecessor.near().map_err(|error| failed(node, error))?;
    let last: Inheritance = last.and_then(|last| serde_json::from_value(last).ok()).unwrap_or_default();
    let known = || Inheritance::of(&hub::lock(fleet).router, Instant::now());
    let until = Instant::now() + LINKED_WITHIN;
    while !known().has(&last) {
        if Instant::now() >= until || node.stop.wait_timeout(LOOK_EVERY) {
            let own = known();
            // One that was lost at this very moment is no reason to let the others wait.
            if own.ready.is_empty() && !last.ready.is_empty() {
                let why = format!("no edge is ready within {LINKED_WITHIN:?}; the predecessor goes on");
                return Err(failed(node, io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            tracing::warn!(
                ?last,
                ?own,
                "not all that the predecessor knew is here; it is relieved all the same"
            );
            break;
        }
    }
    std::thread::sleep(TOLD_WITHIN);
    Ok(Some(predecessor))
}

/// We accept: whoever served before us may go, and our sockets are on offer to who comes after us.
pub(crate) fn succeed(
    node: &Node,
    predecessor: Option<Predecessor>,
    ports: Ports,
    succeeded: Succeeded,
) -> Result<Option<Offer>, LbError> {
    let Some(path) = &node.handover.path else { return Ok(None) };
    if let Some(predecessor) = predecessor {
        predecessor.relieve().map_err(|error| failed(node, error))?;
        tracing::info!("has taken over");
    }
    let mut sockets = ports.0;
    sockets.push(("operator".into(), node.operator.socket()));
    Offer::at(path, sockets, succeeded).map(Some).map_err(|error| failed(node, error))
}

fn failed(node: &Node, error: io::Error) -> LbError {
    LbError::Handover { path: node.handover.path.clone().unwrap_or_default(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_waits_for_all_that_its_predecessor_knew_and_may_know_more() {
        let known = |ready: &[&str], live: &[&str]| Inheritance {
            ready: ready.iter().map(|one| (*one).to_owned()).collect(),
            live: live.iter().map(|one| (*one).to_owned()).collect(),
        };
        let last = known(&["edge1", "edge2"], &["tide"]);
        assert!(known(&["edge2", "edge3", "edge1"], &["tide", "bore"]).has(&last));
        assert!(!known(&["edge1"], &["tide"]).has(&last));
        assert!(!known(&["edge1", "edge2"], &[]).has(&last));
        assert!(known(&[], &[]).has(&Inheritance::default()));
        let carried: Inheritance = serde_json::from_value(serde_json::to_value(&last).unwrap()).unwrap();
        assert_eq!(carried, last);
        // Of a later version, or of none.
        assert_eq!(serde_json::from_str::<Inheritance>("{\"else\":1}").unwrap(), Inheritance::default());
    }
}
