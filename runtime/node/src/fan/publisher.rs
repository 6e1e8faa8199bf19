//! The ingest's end: accepts links of edges and sends them what the [`Feed`] is given.

pub use super::feed::Feed;

use super::feed::{Fed, Queue};
use super::thread::FanThread;
use edgefan::{NodeId, PublisherCounters};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// How a publisher is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this ingest is.
    pub node: NodeId,
    /// Its software, for the other end's log.
    pub version: String,
    /// Where edges dial; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Bytes of the window held for late joiners; [`edgefan::limits::HUB_BYTES`] is ordinary.
    pub hub_bytes: usize,
}

/// The running publisher; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Publishing {
    thread: Arc<FanThread>,
    address: SocketAddr,
    counters: Arc<Mutex<PublisherCounters>>,
}

/// Listens, and serves every edge that shows a certificate of the cluster, on a thread of its own.
pub fn start(settings: Settings, tls: Arc<ServerConfig>) -> io::Result<(Feed, Publishing)> {
    let _ = (settings, tls, std::mem::size_of::<(Fed, Queue)>());
    Err(io::Error::other("the shell is not built yet"))
}

impl Publishing {
    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted, as of the last heartbeat.
    pub fn counters(&self) -> PublisherCounters {
        self.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}
