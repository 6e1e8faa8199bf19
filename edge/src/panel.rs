//! What the operator sees: `/readyz`, `/status`, and where `/metrics` reads from.

use crate::board::Board;
use crate::counts::{CoreRequests, Requests};
use crate::histogram::Recent;
use crate::metrics::Metrics;
use edgefan::EdgeState;
use node::operator::{Panel, Readiness};
use percore::Snapshot;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Everything that is counted, read when somebody asks.
pub(crate) struct Sources {
    pub(crate) id: String,
    pub(crate) board: Arc<Board>,
    pub(crate) cores: Arc<[Arc<CoreRequests>]>,
    pub(crate) snapshot: Box<dyn Fn() -> Snapshot + Send + Sync>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Sources {
    /// Of all cores.
    pub(crate) fn requests(&self) -> Requests {
        Requests::of(self.cores.iter().map(Arc::as_ref))
    }

    /// Core by core.
    pub(crate) fn each_core(&self) -> impl Iterator<Item = Requests> {
        self.cores.iter().map(|core| Requests::of(std::iter::once(core.as_ref())))
    }

    /// The panel over these sources.
    pub(crate) fn panel(self) -> Panel {
        let sources = Arc::new(self);
        let mut registry = Registry::with_prefix("mascaret_edge");
        registry.register_collector(Box::new(Metrics(Arc::clone(&sources))));
        let ready = Arc::clone(&sources);
        let readiness = move || {
            let notice = ready.board.read();
            match notice.state {
                EdgeState::Ready => Readiness::Ready,
                EdgeState::Draining => Readiness::Draining(notice.why),
                EdgeState::NotFed => Readiness::NotFed(notice.why),
                EdgeState::Lagging => Readiness::Lagging(notice.why),
            }
        };
        let recent = Mutex::new(Recent::default());
        let status = move || {
            let mut value = sources.board.read().to_json();
            let times = sources.requests().all_times;
            let p99 = recent.lock().unwrap_or_else(PoisonError::into_inner).p99(Instant::now(), times);
            value["p99_ms"] = p99.map(|seconds| seconds * 1e3).into();
            let snapshot = (sources.snapshot)();
            value["id"] = sources.id.as_str().into();
            value["viewers"] = snapshot.total.open.into();
            value["driver"] = snapshot.driver.name.into();
            value["driver_why"] = snapshot.driver.why.into();
            value["requests"] =
                sources.requests().answers.iter().map(|(_, _, count)| count).sum::<u64>().into();
            value
        };
        Panel {
            registry,
            readiness: Box::new(readiness),
            status: Box::new(status),
            admin: axum::Router::new(),
        }
    }
}
