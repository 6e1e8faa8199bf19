//! Viewers of `mascaret loadtest` beside a cluster, and what they say of what happened to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{Cluster, mascaret};
use super::processes::{self, Ours};

/// They leave by themselves should nobody be left to ask them to.
const LEAVES_AFTER: &str = "20m";
/// All are off an edge that gives nothing by then; the series has a grain of a second.
pub(crate) const AWAY_MAX: Duration = Duration::from_millis(7_500);

/// Viewers that watch, and what they say when they have left.
pub(crate) struct Crowd {
    process: Ours,
    report: PathBuf,
    pub(crate) began: Instant,
}

impl Crowd {
    /// So many within 4 s; `words` say what players they are.
    pub(crate) fn comes(cluster: &Cluster, viewers: u32, words: &[&str]) -> Self {
        Self::comes_over("4s", cluster, viewers, words)
    }

    /// One after the other, over so long.
    pub(crate) fn comes_over(ramp: &str, cluster: &Cluster, viewers: u32, words: &[&str]) -> Self {
        let report = cluster.folder().join(format!("report-{ramp}.json"));
        let mut command = Command::new(mascaret());
        command.args(["loadtest", &cluster.playlist(&cluster.broadcast()), "--quiet", "--ramp", ramp]);
        command.args(["--viewers", &viewers.to_string(), "--for", LEAVES_AFTER, "--json"]);
        command.arg(&report).args(words).stdin(Stdio::null());
        let began = Instant::now();
        let process = Ours(node::program::dies_with_us(&mut command).spawn().expect("mascaret loadtest"));
        Self { process, report, began }
    }

    /// Waits until so long after it began; when that is, in whole seconds.
    pub(crate) fn watches_until(&self, seconds: u64) -> u64 {
        sleep(Duration::from_secs(seconds).saturating_sub(self.began.elapsed()));
        self.began.elapsed().as_secs()
    }

    /// They are asked to leave, and say how it was.
    pub(crate) fn leaves(mut self) -> Value {
        processes::end(self.process.0.id() as i32);
        super::wait("the viewers to leave", || self.process.0.try_wait().expect("a child"));
        read(&self.report)
    }
}

fn read(report: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON")
}

/// How many seconds after `from` somebody still came from where nothing was to be had, and how many did in all.
pub(crate) fn away(report: &Value, from: u64, until: u64) -> (u64, u64) {
    let points = report["series"]["points"].as_array().expect("a series");
    let within =
        |point: &&Value| point["second"].as_u64().is_some_and(|second| (from..until).contains(&second));
    let came = |point: &Value| point["got_away"].as_u64().unwrap_or(0);
    let last = points
        .iter()
        .filter(within)
        .filter(|point| came(point) > 0)
        .filter_map(|point| point["second"].as_u64())
        .max();
    // A point is named after its beginning.
    (last.map_or(0, |last| last + 1 - from), points.iter().filter(within).map(came).sum())
}
