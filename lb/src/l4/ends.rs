//! Which edge, or which of the named ends, a connection is passed to.

use super::L4Settings;
use crate::hub::{Fleet, lock};
use crate::pathway::Pathway;
use crate::probe::host_and_port;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long an end that did not answer is passed over, unless all of them are.
const REST: Duration = Duration::from_secs(2);

/// Ends tried for one connection.
const TRIED: usize = 3;

/// Where connections may go.
pub(super) struct Ends {
    targets: Vec<String>,
    tls: bool,
    fleet: Arc<Mutex<Fleet>>,
    /// Until when; as many as were ever tried and failed, of those that are named or are edges.
    resting: Mutex<HashMap<String, Instant>>,
    dice: RandomState,
    rolled: AtomicU64,
}

impl Ends {
    pub(super) fn new(settings: &L4Settings, fleet: Arc<Mutex<Fleet>>) -> Self {
        Self {
            targets: settings.targets.iter().map(|target| target.to_string()).collect(),
            tls: settings.tls,
            fleet,
            resting: Mutex::default(),
            dice: RandomState::new(),
            rolled: AtomicU64::new(0),
        }
    }

    /// The first that accepts, and how many did not before it.
    pub(super) async fn connect(&self, name: Option<&str>, within: Duration) -> (u64, Option<TcpStream>) {
        let mut failed = 0;
        for end in self.wanted(name) {
            match tokio::time::timeout(within, TcpStream::connect(&end)).await {
                Ok(Ok(stream)) => {
                    self.resting().remove(&end);
                    return (failed, Some(stream));
                }
                Ok(Err(_)) | Err(_) => {
                    failed += 1;
                    let now = Instant::now();
                    let mut resting = self.resting();
                    resting.retain(|_, until| *until > now);
                    resting.insert(end, now + REST);
                }
            }
        }
        (failed, None)
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        // Whole between any two lines.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to try, in order: those that rest last.
    fn wanted(&self, name: Option<&str>) -> Vec<String> {
        let mut ends = if self.targets.is_empty() { self.edges(name) } else { self.targets.clone() };
        let (now, resting) = (Instant::now(), self.resting());
        ends.sort_by_key(|end| resting.get(end).is_some_and(|until| *until > now));
        ends.truncate(TRIED);
        ends
    }

    fn edges(&self, name: Option<&str>) -> Vec<String> {
        let mut fleet = lock(&self.fleet);
        let now = Instant::now();
        let address = |pathway: &Pathway| match self.tls {
            true => pathway.https().map(|origin| host_and_port(origin, 443)),
            false => pathway.http().map(|origin| host_and_port(origin, 80)),
        };
        let named = name.and_then(|name| {
            let is_its = |end: &String| end.rsplit_once(':').is_some_and(|(host, _)| host == name);
            fleet.pathways.values().filter_map(address).find(|end| is_its(&end.to_ascii_lowercase()))
        });
        let random = self.dice.hash_one(self.rolled.fetch_add(1, Relaxed));
        let drawn = fleet.router.pick(now, random, TRIED);
        let drawn = drawn.iter().filter_map(|id| fleet.pathways.get(id)).filter_map(address);
        let mut ends: Vec<String> = named.into_iter().chain(drawn).collect();
        ends.dedup();
        ends
    }
}
