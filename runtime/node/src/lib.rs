//! What every role needs of its machine: settings, the wish to stop, certificates, logs, the operator listener.
//!
//! Lives here: everything a program does that has nothing to do with media. Does not live here: what a role
//! is for (`edge`, `ingest`, `lb`, `source`), nor anything a viewer's byte passes through (`percore`).
//!
//! A program reads its settings with [`settings::load`], makes a [`Node`] of the common part, and hands it
//! to the role's `run`, which returns when [`Node::stop`] is signalled.

pub mod certs;
pub mod descriptors;
pub mod directory;
pub mod events;
pub mod fan;
pub mod handover;
pub mod logs;
pub mod operator;
pub mod program;
mod reload;
pub mod service;
pub mod settings;
pub mod sockets;
mod stop;

pub use reload::{Reload, Reloaded};
pub use stop::{Drain, Stop};

use serde::{Deserialize, Serialize};
use sockets::Sockets;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The tables that every role's settings have beside its own keys: `[edge.operator]`, `[edge.log]`,
/// `[edge.certificates]`; at the top of a file for all roles they hold for every role that does not say otherwise.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// Where the operator listens.
    pub operator: operator::OperatorSettings,
    /// What is logged, and how it looks.
    pub log: logs::LogSettings,
    /// Where certificates and keys are.
    pub certificates: certs::CertificateSettings,
}

/// What a role is given beside its own settings.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which role this is, as the settings and the command line name it.
    pub role: &'static str,
    /// Signalled when the program is to end; `run` returns soon after.
    pub stop: Stop,
    /// Set when an operator wants this node empty; a role that holds viewers lets them go.
    pub drain: Drain,
    /// What is read again at SIGHUP or when the operator asks for it; a role adds what it follows.
    pub reload: Reload,
    /// The operator's listener; answers "starting" until the role opens its panel.
    pub operator: operator::Operator,
    /// Listening sockets that we were given and need not open.
    pub sockets: Sockets,
    /// How this process takes over from another, and hands over to the next.
    pub handover: Takeover,
    /// What has happened of late, for the operator to read.
    pub events: events::Events,
    /// The word to the service manager.
    pub service: service::Service,
    /// The files by which nodes know each other and viewers know us; read when asked for.
    pub certificates: certs::Certificates,
}

/// Where this process stands between its predecessor and its successor.
#[derive(Clone, Debug, Default)]
pub struct Takeover {
    /// Where a successor asks, if sockets are to be handed over.
    pub path: Option<PathBuf>,
    /// Who serves until we do.
    predecessor: Arc<Mutex<Option<handover::Predecessor>>>,
}

impl Takeover {
    /// Whether somebody serves who is to be relieved, and has not been asked for.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Who is to be relieved, if anybody; once.
    pub fn predecessor(&self) -> Option<handover::Predecessor> {
        self.predecessor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The operator's address could not be had.
    #[error(transparent)]
    Operator(#[from] operator::OperatorError),
    /// Whoever is to be relieved does not speak as agreed.
    #[error("operator.handover {}: {error}", path.display())]
    Handover {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The service manager cannot be told anything.
    #[error("no thread for the service manager: {0}")]
    Service(std::io::Error),
    /// Signals could not be wired.
    #[error("SIGTERM, SIGINT and SIGHUP could not be wired: {0}")]
    Signals(std::io::Error),
}

impl Node {
    /// Wires SIGTERM and SIGINT to `stop` and SIGHUP to `reload`, and opens the operator's listener.
    pub fn start(role: &'static str, settings: &NodeSettings) -> Result<Self, NodeError> {
        let (mut sockets, mut predecessor) = (Vec::new(), None);
        if let Some(path) = &settings.operator.handover {
            let asked = handover::Predecessor::ask(path);
            let asked = asked.map_err(|error| NodeError::Handover { path: path.clone(), error })?;
            (predecessor, sockets) = asked.map_or_else(Default::default, |(it, sockets)| (Some(it), sockets));
        }
        let sockets = if predecessor.is_some() { Sockets::of(sockets) } else { Sockets::of_systemd() };
        let mut node =
            Self::with_sockets(role, settings, Stop::new(), sockets, events::Events::of_this_process())?;
        node.handover.predecessor = Arc::new(Mutex::new(predecessor));
        node.service = service::Service::start(&node.stop).map_err(NodeError::Service)?;
        let (service, reload) = (node.service.clone(), node.reload.clone());
        node.stop.on_signals(Some(Box::new(move || service.reload(&reload)))).map_err(NodeError::Signals)?;
        Ok(node)
    }

    /// The same without touching the process' signals; for tests and for several roles in one process.
    pub fn with_stop(
        role: &'static str,
        settings: &NodeSettings,
        stop: Stop,
    ) -> Result<Self, operator::OperatorError> {
        Self::with_sockets(role, settings, stop, Sockets::default(), events::Events::default())
    }

    fn with_sockets(
        role: &'static str,
        settings: &NodeSettings,
        stop: Stop,
        sockets: Sockets,
        events: events::Events,
    ) -> Result<Self, operator::OperatorError> {
        let (drain, reload) = (Drain::default(), Reload::default());
        let switches = operator::Switches {
            drain: drain.clone(),
            stop: stop.clone(),
            reload: reload.clone(),
            events: events.clone(),
        };
        let given = sockets.take("operator", settings.operator.listen.0).into_iter().next();
        let operator = operator::Operator::listen(role, settings.operator.listen.0, given, switches)?;
        let certificates = certs::Certificates::new(settings.certificates.clone());
        let handover = Takeover { path: settings.operator.handover.clone(), ..Takeover::default() };
        let service = service::Service::default();
        Ok(Self { role, stop, drain, reload, operator, sockets, handover, events, service, certificates })
    }
}
