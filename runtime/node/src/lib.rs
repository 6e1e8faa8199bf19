//! What every role needs of its machine: settings, the wish to stop, certificates, logs, the operator listener.
//!
//! Lives here: everything a program does that has nothing to do with media. Does not live here: what a role
//! is for (`edge`, `ingest`, `lb`, `source`), nor anything a viewer's byte passes through (`percore`).
//!
//! A program reads its settings with [`settings::load`], makes a [`Node`] of the common part, and hands it
//! to the role's `run`, which returns when [`Node::stop`] is signalled.

pub mod certs;
pub mod descriptors;
pub mod fan;
pub mod logs;
pub mod operator;
pub mod program;
mod reload;
pub mod settings;
mod stop;

pub use reload::{Reload, Reloaded};
pub use stop::{Drain, Stop};

use serde::{Deserialize, Serialize};

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
    /// The files by which nodes know each other and viewers know us; read when asked for.
    pub certificates: certs::Certificates,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The operator's address could not be had.
    #[error(transparent)]
    Operator(#[from] operator::OperatorError),
    /// Signals could not be wired.
    #[error("SIGTERM, SIGINT and SIGHUP could not be wired: {0}")]
    Signals(std::io::Error),
}

impl Node {
    /// Wires SIGTERM and SIGINT to `stop` and SIGHUP to `reload`, and opens the operator's listener.
    pub fn start(role: &'static str, settings: &NodeSettings) -> Result<Self, NodeError> {
        let node = Self::with_stop(role, settings, Stop::new())?;
        node.stop.on_signals(Some(node.reload.clone())).map_err(NodeError::Signals)?;
        Ok(node)
    }

    /// The same without touching the process' signals; for tests and for several roles in one process.
    pub fn with_stop(
        role: &'static str,
        settings: &NodeSettings,
        stop: Stop,
    ) -> Result<Self, operator::OperatorError> {
        let (drain, reload) = (Drain::default(), Reload::default());
        let switches =
            operator::Switches { drain: drain.clone(), stop: stop.clone(), reload: reload.clone() };
        let operator = operator::Operator::listen(role, settings.operator.listen.0, switches)?;
        let certificates = certs::Certificates::new(settings.certificates.clone());
        Ok(Self { role, stop, drain, reload, operator, certificates })
    }
}
