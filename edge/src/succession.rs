//! One edge after another at the same address: taking over from a predecessor, and being relieved by a successor.
//!
//! ```text
//!  predecessor   serves ─────────────── asked: lets its links go, time stands still ── relieved: finishes, ends
//!  successor            starts, asks ─▶ is filled by the ingests ─▶ accepts ─▶ relieves ─▶ serves, offers its sockets
//! ```
//!
//! Lives here: which sockets there are, how long to be filled, what the two tell each other. Does not live here: the
//! conversation (`node::handover`), accepting (`percore`), or what the line does meanwhile (`shell`).

use crate::board::{Board, Notice};
use crate::settings::Settings;
use crate::shell::Word;
use crate::start::EdgeError;
use crossbeam_channel::Sender;
use node::handover::{Offer, Relief};
use node::{Node, Stop};
use percore::{Limits, Listen};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long an edge with sockets of somebody else's is filled before it accepts. With a predecessor it gives up then,
/// since that one still serves; without one it accepts all the same, since nobody does.
const FILLED_WITHIN: Duration = Duration::from_secs(20);
const ACCEPT_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked at whether it is filled.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a predecessor tells its successor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Inheritance {
    /// Broadcasts it has fresh segments of, each with its renditions.
    listed: Vec<(String, Vec<String>)>,
}

impl Inheritance {
    /// What this notice shows.
    pub(crate) fn of(notice: Notice) -> Self {
        let fresh = notice.broadcasts.into_iter().filter(|it| it.is_listed && it.is_fed && !it.has_ended);
        Self { listed: fresh.map(|it| (it.id, it.renditions)).collect() }
    }

    /// Whether this board shows all of it.
    fn is_on(&self, board: &Board) -> bool {
        let notice = board.read();
        self.listed.iter().all(|(id, renditions)| {
            notice.broadcasts.iter().any(|it| {
                it.id == *id
                    && it.is_listed
                    && it.is_fed
                    && renditions.iter().all(|one| it.renditions.contains(one))
            })
        })
    }
}

/// The listening sockets of this edge, as far as they are not percore's own business.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// By what they are for; kept only where a successor may ask for them.
    to_offer: Vec<(String, Arc<OwnedFd>)>,
    /// Somebody else opened some of them.
    pub(crate) are_given: bool,
}

impl Ports {
    /// Sockets for `listen` that were given to us, or that we must keep for a successor; otherwise percore opens them.
    pub(crate) fn open(
        &mut self,
        node: &Node,
        name: &str,
        listen: Listen,
        limits: &Limits,
        cores: usize,
    ) -> Result<Listen, EdgeError> {
        let given: Vec<_> = node.sockets.take(name, listen.address).into_iter().map(Arc::new).collect();
        self.are_given |= !given.is_empty();
        let sockets = match (given.is_empty(), &node.handover.path) {
            (true, None) => return Ok(listen),
            (true, Some(_)) => percore::bind(&listen, limits, cores)?,
            (false, _) => given,
        };
        if node.handover.path.is_some() {
            self.to_offer.extend(sockets.iter().map(|socket| (name.to_owned(), Arc::clone(socket))));
        }
        Ok(listen.on(sockets))
    }
}

/// What happens when somebody relieves us.
pub(crate) struct Succeeded {
    pub(crate) tell: Sender<Word>,
    pub(crate) is_handed_over: Arc<AtomicBool>,
    pub(crate) stop: Stop,
}

impl Relief for Succeeded {
    fn asked(&mut self) -> serde_json::Value {
        let (tell_answer, answer) = crossbeam_channel::bounded(1);
        let _ = self.tell.send(Word::Asked(tell_answer));
        let inheritance = answer.recv().unwrap_or_default();
        serde_json::to_value(inheritance).unwrap_or_default()
    }

    fn given_up(&mut self) {
        let _ = self.tell.send(Word::GivenUp);
    }

    fn relieved(&mut self) {
        self.is_handed_over.store(true, Ordering::Release);
        self.stop.signal();
    }
}

/// Waits until this edge is filled, lets it accept, relieves who was there before, and offers the sockets to who comes
/// after us.
pub(crate) fn succeed<M>(
    node: &Node,
    settings: &Settings,
    ports: Ports,
    board: &Board,
    cores: &percore::Handle<M>,
    succeeded: Succeeded,
) -> Result<Option<Offer>, EdgeError> {
    let Some(path) = &node.handover.path else {
        if ports.are_given {
            fill(node, ACCEPT_WITHIN, || has_something(board));
        }
        cores.accept();
        return Ok(None);
    };
    let failed = |error| EdgeError::Handover { path: path.clone(), error };
    if let Some(predecessor) = node.handover.predecessor() {
        let inheritance: Inheritance = serde_json::from_value(predecessor.word.clone()).unwrap_or_default();
        if !fill(node, FILLED_WITHIN, || inheritance.is_on(board)) {
            let why = format!("not filled within {FILLED_WITHIN:?}; the predecessor goes on");
            return Err(failed(std::io::Error::new(std::io::ErrorKind::TimedOut, why)));
        }
        cores.accept();
        predecessor.relieve().map_err(failed)?;
        tracing::info!(id = %settings.id, "has taken over");
    } else {
        cores.accept();
    }
    let mut sockets = ports.to_offer;
    sockets.push(("operator".into(), node.operator.socket()));
    Offer::at(path, sockets, succeeded).map(Some).map_err(failed)
}

/// Waits until it is so; false if it is not within `within`, or if we are told to end.
fn fill(node: &Node, within: Duration, is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + within;
    while !is_so() {
        if Instant::now() >= until || node.stop.wait_timeout(LOOK_EVERY) {
            return false;
        }
    }
    true
}

/// Whether there is something to watch here.
fn has_something(board: &Board) -> bool {
    !Inheritance::of(board.read()).listed.is_empty()
}
