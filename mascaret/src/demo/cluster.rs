//! What the balancers know: which broadcasts are on the air, how many watch.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use node::Stop;
use serde_json::Value;

use super::watch::Shared;
use crate::fetch::Fetcher;

const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_millis(800);

/// The last answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    latest: Arc<Mutex<Value>>,
}

impl Cluster {
    /// Asks one balancer after the other, once a second, until `stop`; broadcasts that are on the air are
    /// watched from then on.
    pub(crate) fn start(&self, lbs: Vec<SocketAddr>, shared: Shared, stop: Stop) {
        let latest = self.latest.clone();
        let ask = move || {
            let fetcher = Fetcher::new(ANSWER_MAX);
            while !stop.wait_timeout(ASK_EVERY) {
                let answers = lbs.iter().filter_map(|lb| fetcher.get(&format!("http://{lb}/status")).ok());
                let values = answers.filter_map(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
                let Some(value) = values.into_iter().find(|value| value["edges"].is_array()) else {
                    continue;
                };
                let broadcasts = value["broadcasts"].as_array().into_iter().flatten();
                let names = broadcasts.filter_map(|broadcast| broadcast["id"].as_str().map(str::to_owned));
                shared.watched().broadcasts.extend(names);
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = value;
            }
        };
        // Without it the status line says 0 viewers; nothing else depends on it.
        let _ = std::thread::Builder::new().name("cluster".into()).spawn(ask);
    }

    /// Viewers, and Mbit/s of all edges together.
    pub(crate) fn load(&self) -> (u64, f64) {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let egress =
            latest["edges"].as_array().into_iter().flatten().filter_map(|edge| edge["egress_bits"].as_f64());
        (latest["viewers"].as_u64().unwrap_or(0), egress.fold(0.0, |sum, bits| sum + bits) / 1e6)
    }
}
