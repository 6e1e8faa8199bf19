//! One edge after another at the same address: taking over from a predecessor, and being relieved by a successor.
//!
//! ```text
//!  predecessor   serves ─────────────── asked ── serves on, fed as before ── near: lists nothing new ── relieved: ends
//!  successor            starts, asks ─▶ is filled by the ingests ─▶ has what that lists ─▶ accepts ─▶ relieves ─▶ serves
//! ```
//!
//! For a moment viewers are accepted by both: whoever reads a playlist of the one must find its segments at the other, so
//! the one stands still until it is relieved.
//!
//! Both are linked to every ingest and balancer meanwhile: links are told apart by process (`edgefan::Hello::process`).
//!
//! Lives here: which sockets there are, how long to be filled, what the two tell each other. Does not live here: the
//! conversation (`node::handover`), accepting (`percore`), or what the line does meanwhile (`shell`).

use crate::board::{Board, Notice};
use crate::line::Line;
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
/// How long it may take to have what the predecessor had listed when it stopped: both are fed at the same moments.
const NEAR_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked at whether it is filled.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a predecessor tells its successor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Inheritance {
    /// Broadcasts it has fresh segments of, each with its renditions.
    listed: Vec<(String, Vec<String>)>,
    /// The newest number each of those lists.
    #[serde(default)]
    newest: Vec<(String, Vec<(String, u64)>)>,
}

impl Inheritance {
    /// What this notice shows.
    pub(crate) fn of(notice: Notice) -> Self {
        let fresh = notice.broadcasts.into_iter().filter(|it| it.is_listed && it.is_fed && !it.has_ended);
        Self { listed: fresh.map(|it| (it.id, it.renditions)).collect(), newest: Vec::new() }
    }

    /// What this line lists.
    pub(crate) fn of_line<B: Clone>(line: &Line<B>, now: Instant) -> Self {
        let mut it = Self::of(Notice::of(line, now, false));
        for (id, lane) in line.lanes() {
            let Some(window) =
                lane.window.as_ref().filter(|_| it.listed.iter().any(|(one, _)| one == id.as_str()))
            else {
                continue;
            };
            let newest = lane.facts.renditions.iter().filter_map(|rendition| {
                let last = window.media_playlist(&rendition.id)?.last_sequence()?;
                Some((rendition.id.to_string(), last.0))
            });
            it.newest.push((id.to_string(), newest.collect()));
        }
        it
    }

    /// Whether it lists everything that `last` does, as far as that goes.
    fn is_up_to(&self, last: &Self) -> bool {
        let has = |id: &String, rendition: &String, number: u64| {
            let of = self.newest.iter().find(|(one, _)| one == id);
            of.is_some_and(|(_, newest)| newest.iter().any(|(one, own)| one == rendition && *own >= number))
        };
        last.newest
            .iter()
            .all(|(id, newest)| newest.iter().all(|(rendition, number)| has(id, rendition, *number)))
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
    /// A socket for links of other nodes, given to us or opened now.
    pub(crate) fn listen(
        &mut self,
        node: &Node,
        name: &str,
        address: std::net::SocketAddr,
    ) -> std::io::Result<std::net::TcpListener> {
        let listener = match node.sockets.take(name, address).into_iter().next() {
            Some(given) => std::net::TcpListener::from(given),
            None => std::net::TcpListener::bind(address)?,
        };
        if node.handover.path.is_some() {
            self.to_offer.push((name.to_owned(), Arc::new(OwnedFd::from(listener.try_clone()?))));
        }
        Ok(listener)
    }

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
        serde_json::to_value(asks(&self.tell, Word::Asked)).unwrap_or_default()
    }

    fn near(&mut self) -> serde_json::Value {
        serde_json::to_value(asks(&self.tell, Word::Near)).unwrap_or_default()
    }

    fn given_up(&mut self) {
        tracing::warn!("the successor is gone before it was ready: this edge goes on");
        let _ = self.tell.send(Word::GivenUp);
    }

    fn relieved(&mut self) {
        self.is_handed_over.store(true, Ordering::Release);
        self.stop.signal();
    }
}

/// What the line says; nothing of one that has ended.
fn asks(tell: &Sender<Word>, word: fn(Sender<Inheritance>) -> Word) -> Inheritance {
    let (tell_answer, answer) = crossbeam_channel::bounded(1);
    let _ = tell.send(word(tell_answer));
    answer.recv().unwrap_or_default()
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
    if let Some(mut predecessor) = node.handover.predecessor() {
        let inheritance: Inheritance = serde_json::from_value(predecessor.word.clone()).unwrap_or_default();
        if !fill(node, FILLED_WITHIN, || inheritance.is_on(board)) {
            let why = format!("not filled within {FILLED_WITHIN:?}; the predecessor goes on");
            return Err(failed(std::io::Error::new(std::io::ErrorKind::TimedOut, why)));
        }
        if let Some(last) = predecessor.near().map_err(failed)? {
            let last: Inheritance = serde_json::from_value(last).unwrap_or_default();
            let tell = &succeeded.tell;
            if !fill(node, NEAR_WITHIN, || asks(tell, Word::Asked).is_up_to(&last)) {
                let why = format!("behind the predecessor for {NEAR_WITHIN:?}, which goes on");
                return Err(failed(std::io::Error::new(std::io::ErrorKind::TimedOut, why)));
            }
            // The cores hear of it as the line does, or a moment later.
            std::thread::sleep(LOOK_EVERY);
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
