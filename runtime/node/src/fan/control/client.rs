//! The edge's end: dials every balancer and says how it is doing each heartbeat.

use crate::fan::thread::FanThread;
use edgefan::{Address, EdgeFacts, Load, NodeId, Standing, TicketKey, Welcome};
use media::{BroadcastId, RunId, StreamFacts};
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;

/// How an edge is set up towards balancers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this edge is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// Its URLs, capacity and weight.
    pub edge: EdgeFacts,
    /// The balancers known from the start.
    pub balancers: Vec<Address>,
}

/// What a balancer told this edge.
#[derive(Clone, Debug)]
pub enum Told {
    /// It is there, and names the ingests; again when they change.
    Welcome {
        /// Which.
        balancer: Address,
        /// Who it is, and the ingests.
        welcome: Welcome,
    },
    /// The keys tickets are checked with: all that are valid now.
    Keys {
        /// Which.
        balancer: Address,
        /// The current one first.
        keys: Vec<TicketKey>,
    },
    /// What the operator wants of this edge.
    Standing {
        /// Which.
        balancer: Address,
        /// Active, drain or maintenance.
        standing: Standing,
    },
    /// It is gone; it is dialled again.
    Down {
        /// Which.
        balancer: Address,
        /// Why.
        why: String,
    },
}

/// The edge's word to all balancers at once; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct ControlClient {
    thread: Arc<FanThread>,
}

/// Dials, on a thread of its own; `on_told` is called on that thread and should return soon.
pub fn start(
    settings: Settings,
    tls: Arc<ClientConfig>,
    on_told: impl FnMut(Told) + Send + 'static,
) -> io::Result<ControlClient> {
    let _ = (settings, tls, on_told);
    Err(io::Error::other("the shell is not built yet"))
}

impl ControlClient {
    /// How the edge is doing; the latest word is repeated each heartbeat until there is a newer one.
    pub fn load(&self, load: Load) {
        let _ = load;
    }

    /// What a broadcast is; told to every balancer now, and to each that comes later.
    pub fn stream(&self, facts: StreamFacts) {
        let _ = facts;
    }

    /// A broadcast is no longer here.
    pub fn end(&self, broadcast: BroadcastId, run: RunId) {
        let _ = (broadcast, run);
    }

    /// From now on these balancers.
    pub fn set_balancers(&self, balancers: Vec<Address>) {
        let _ = balancers;
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}
