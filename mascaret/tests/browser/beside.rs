//! A crowd that watches beside the page, from the same edges, and what it has to say of each edge that was lost.
//!
//! Lives here: what the crowd is held to. Does not live here: the crowd (`stage::crowd`), what the page is held to
//! (`page`).

use std::time::Duration;

use crate::stage::cluster::Cluster;
use crate::stage::crowd::{AWAY_MAX, Crowd, away};

/// All have come by then, and hold what they mean to hold; in seconds.
const SETTLED: u64 = 9;
/// Seconds after a loss in which whoever gets away does so because of it: who holds 6 s has stalled by then, and that
/// is told anyhow.
const BECAUSE_OF_IT: u64 = 10;
/// From what an edge did not give to a segment from another one, at most; figures in microseconds, where the series
/// counts in seconds.
const GOT_AWAY_MAX: Duration = Duration::from_millis(6_500);

/// The crowd, or nobody.
pub(crate) struct Beside {
    crowd: Option<Crowd>,
    viewers: u32,
    /// What was lost, and in which second of theirs.
    lost: Vec<(String, u64)>,
}

/// The worst of several runs.
#[derive(Default)]
pub(crate) struct Worst {
    runs: u32,
    lost: usize,
    /// The longest that anybody was without what was due.
    got_away: Duration,
    /// Whole seconds from the loss, rounded up.
    last: u64,
}

impl Worst {
    /// In one line, of runs that all went well.
    pub(crate) fn is_told(&self, viewers: u32) {
        println!(
            "the page and {viewers} beside it, {} runs, {} edges lost: nobody stalled; the last of the crowd away \
             within {} s of the loss, {} ms after what was due",
            self.runs,
            self.lost,
            self.last,
            self.got_away.as_millis(),
        );
    }
}

impl Beside {
    /// They begin to come. `MASCARET_BROWSER_RUNG` is the rung they watch, where that is not theirs to choose.
    pub(crate) fn comes(cluster: &Cluster, viewers: u32) -> Self {
        let rung = std::env::var("MASCARET_BROWSER_RUNG").ok();
        let mut words = vec!["--hedge"];
        words.extend(rung.iter().flat_map(|rung| ["--rung", rung]));
        let crowd = (viewers > 0).then(|| Crowd::comes(cluster, viewers, &words));
        Self { crowd, viewers, lost: Vec::new() }
    }

    /// Waits until all are there.
    pub(crate) fn settles(&self) {
        if let Some(crowd) = &self.crowd {
            crowd.watches_until(SETTLED);
        }
    }

    /// An edge is lost now.
    pub(crate) fn loses(&mut self, what: &str) {
        if let Some(crowd) = &self.crowd {
            self.lost.push((what.to_owned(), crowd.began.elapsed().as_secs()));
        }
    }

    /// They leave: nobody stalled, and all got away from every edge that was lost.
    pub(crate) fn leaves(self, worst: &mut Worst) {
        let Some(crowd) = self.crowd else { return };
        let end = crowd.began.elapsed().as_secs() + 1;
        let report = crowd.leaves();
        let playback = &report["playback"];
        let got_away =
            |figure: &str| Duration::from_micros(playback["got_away"][figure].as_u64().unwrap_or(0));
        let nexts = self.lost.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let aways: Vec<_> = self
            .lost
            .iter()
            .zip(nexts)
            .map(|((what, from), next)| (what, away(&report, *from, next.min(from + BECAUSE_OF_IT))))
            .collect();
        let each: Vec<_> = aways
            .iter()
            .map(|(what, (last, came))| format!("{what}: {came} off it, the last within {last} s"))
            .collect();
        println!(
            "{} beside: {}; from what was due to elsewhere p50 {} ms, max {} ms; {} stalls; switches {}, hedges {}",
            self.viewers,
            each.join(", "),
            got_away("p50_us").as_millis(),
            got_away("max_us").as_millis(),
            playback["stalls"],
            report["notices"]["switched"],
            report["notices"]["hedged"],
        );
        assert_eq!(report["viewers"]["started"], self.viewers, "{:#}", report["viewers"]);
        assert_eq!(playback["stalls"], 0, "{playback:#}");
        assert_eq!(report["viewers"]["at_end"]["fine"], self.viewers, "{:#}", report["viewers"]);
        for (what, (last, came)) in &aways {
            assert!(*came > 0, "{what}: nobody of the crowd was there");
            assert!(Duration::from_secs(*last) <= AWAY_MAX, "{what}: the last is away after {last} s");
            worst.last = worst.last.max(*last);
        }
        let slowest = got_away("max_us");
        assert!(slowest <= GOT_AWAY_MAX, "{slowest:?} without what was due");
        worst.runs += 1;
        worst.lost += aways.len();
        worst.got_away = worst.got_away.max(slowest);
    }
}
