//! The balancer's end: hears every edge, and tells each the ingests and the ticket keys.

use crate::fan::thread::FanThread;
use edgefan::{Address, Hello, Load, NodeId, Standing, TicketKey};
use media::{BroadcastId, RunId, StreamFacts};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// How a balancer is set up towards edges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this balancer is.
    pub node: NodeId,
    /// Its software.
    pub version: String,
    /// Where edges dial; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The ingests edges should subscribe to.
    pub ingests: Vec<Address>,
    /// The ticket keys, the current one first.
    pub keys: Vec<TicketKey>,
}

/// What edges say, in order per edge. A node has one link: when it dials anew, the old link leaves first.
#[derive(Clone, Debug)]
pub enum ControlEvent {
    /// An edge is there.
    Joined(Hello),
    /// A heartbeat of an edge, each 250 ms.
    Load {
        /// Whose.
        node: NodeId,
        /// How it is doing.
        load: Load,
    },
    /// What a broadcast is, as this edge has it.
    Stream {
        /// Whose word.
        node: NodeId,
        /// What it is.
        facts: StreamFacts,
    },
    /// A broadcast this edge has no longer.
    Ended {
        /// Whose word.
        node: NodeId,
        /// Which broadcast.
        broadcast: BroadcastId,
        /// Which run.
        run: RunId,
    },
    /// An edge's link is gone.
    Left {
        /// Whose.
        node: NodeId,
        /// Why.
        why: String,
    },
}

/// The balancer's word to all edges; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct ControlServer {
    thread: Arc<FanThread>,
    address: SocketAddr,
}

/// Listens, on a thread of its own; `on_event` is called on that thread and should return soon.
pub fn start(
    settings: Settings,
    tls: Arc<ServerConfig>,
    on_event: impl FnMut(ControlEvent) + Send + 'static,
) -> io::Result<ControlServer> {
    let _ = (settings, tls, on_event);
    Err(io::Error::other("the shell is not built yet"))
}

impl ControlServer {
    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these ingests; every edge is told.
    pub fn set_ingests(&self, ingests: Vec<Address>) {
        let _ = ingests;
    }

    /// From now on these ticket keys, the current one first; every edge is told.
    pub fn set_keys(&self, keys: Vec<TicketKey>) {
        let _ = keys;
    }

    /// What the operator wants of one edge; told now, and again when it joins anew.
    pub fn set_standing(&self, node: NodeId, standing: Standing) {
        let _ = (node, standing);
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}
