//! The edge's end: dials every ingest, dials again, and tells of each object once.

use super::thread::FanThread;
use edgefan::{Address, Event, NodeId, SubscriberCounters};
use rustls::ClientConfig;
use std::io;
use std::sync::{Arc, Mutex};

/// How a subscriber is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this edge is.
    pub node: NodeId,
    /// Its software, for the other end's log.
    pub version: String,
    /// The ingests known from the start; may be empty.
    pub ingests: Vec<Address>,
    /// Bytes of objects that are not complete yet; [`edgefan::limits::ASSEMBLY_BYTES`] is ordinary.
    pub assembly_bytes: usize,
}

/// The running subscriber; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Subscription {
    thread: Arc<FanThread>,
    ingests: tokio::sync::watch::Sender<Vec<Address>>,
    counters: Arc<Mutex<SubscriberCounters>>,
}

/// Dials, on a thread of its own; `on_event` is called on that thread and should return soon.
pub fn start(
    settings: Settings,
    tls: Arc<ClientConfig>,
    on_event: impl FnMut(Event) + Send + 'static,
) -> io::Result<Subscription> {
    let _ = (settings, tls, on_event);
    Err(io::Error::other("the shell is not built yet"))
}

impl Subscription {
    /// From now on these ingests: new ones are dialled, those no longer named are let go.
    pub fn set_ingests(&self, ingests: Vec<Address>) {
        self.ingests.send_replace(ingests);
    }

    /// What it has counted, as of the last heartbeat.
    pub fn counters(&self) -> SubscriberCounters {
        self.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Ends it and waits for that.
    pub fn stop(&self) {
        self.thread.stop();
    }
}
