//! An edge that is fed and watched while somebody abuses it.
//!
//! ```text
//! ingest ── a segment every half second ──▶ edge (its own process) ◀── four regulars: playlist, newest segment, again
//!                                             ▲
//!                                             └── whoever the story is about
//! ```

use super::process::EdgeProcess;
use super::{Cluster, FIRST, Ingest, Viewer, body, listed, segment_path, settings, until};
use edge::Settings;
use media::MediaSpan;
use node::settings::Number;
use percore::Driver;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One siege at a time: each needs the machine for itself.
static ONE: Mutex<()> = Mutex::new(());

/// Viewers who watch all the while.
pub(crate) const REGULARS: u64 = 4;
/// How long any of their answers may take, on a machine that does other things too.
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Siege {
    pub(crate) edge: EdgeProcess,
    pub(crate) cluster: Cluster,
    is_over: Arc<AtomicBool>,
    feeding: JoinHandle<()>,
    regulars: Vec<JoinHandle<(usize, Duration)>>,
    resident_before: u64,
    descriptors_before: usize,
    _one: MutexGuard<'static, ()>,
}

impl Siege {
    /// An edge of one core, so that abusers and regulars meet; `change` says what is special about it.
    pub(crate) fn of(driver: Driver, change: impl FnOnce(&mut Settings)) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Cluster::new();
        let ingest = cluster.ingest(MediaSpan::from_secs(1));
        let mut settings = settings(driver, &[&ingest]);
        settings.limits.descriptors_kept = Number::new(256);
        settings.limits.drain_rate_min = Number::new(64 << 10);
        change(&mut settings);
        let edge = EdgeProcess::start(&cluster, &settings);
        ingest.begins();
        (0..3).for_each(|nth| ingest.segment(nth));
        listed(edge.address(), "720p", 2);
        let is_over = Arc::new(AtomicBool::new(false));
        let feeding = feed(ingest, Arc::clone(&is_over));
        let regulars = (0..REGULARS).map(|_| watch(edge.address(), Arc::clone(&is_over))).collect();
        edge.until("open", |open| open == REGULARS);
        let (resident_before, descriptors_before) = (edge.resident_bytes(), edge.descriptors());
        Self { edge, cluster, is_over, feeding, regulars, resident_before, descriptors_before, _one: one }
    }

    /// The abuse is over and its traces are gone: only the regulars are left, and were served all the while; memory is
    /// within `memory_max` of what it was.
    pub(crate) fn lifts(self, memory_max: u64) {
        self.edge.until("open", |open| open == REGULARS);
        until("descriptors to be given back", || {
            // Windows fill up meanwhile: up to five of six segments of two rungs.
            (self.edge.descriptors() <= self.descriptors_before + 2 * 5 * 6 + 10).then_some(())
        });
        let grown = self.edge.resident_bytes().saturating_sub(self.resident_before);
        self.is_over.store(true, Ordering::Release);
        self.feeding.join().unwrap();
        let (mut answers, mut slowest) = (0, Duration::ZERO);
        for regular in self.regulars {
            let (of_one, worst) = regular.join().expect("a regular was served all the while");
            (answers, slowest) = (answers + of_one, slowest.max(worst));
        }
        println!(
            "{answers} answers to {REGULARS} regulars, the slowest in {slowest:?}; {} KB grown",
            grown >> 10
        );
        assert!(answers > 0, "nobody watched");
        assert!(slowest <= ANSWER_MAX, "an answer took {slowest:?}");
        assert!(grown <= memory_max, "{grown} bytes of memory more than before, {memory_max} allowed");
        self.edge.ends();
    }
}

fn feed(ingest: Ingest, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for nth in 3.. {
            if is_over.load(Ordering::Acquire) {
                return;
            }
            ingest.segment(nth);
            std::thread::sleep(Duration::from_millis(500));
        }
    })
}

/// One regular on one connection; how many answers it got, and how long the slowest took.
fn watch(address: SocketAddr, is_over: Arc<AtomicBool>) -> JoinHandle<(usize, Duration)> {
    std::thread::spawn(move || {
        let (mut viewer, mut answers, mut slowest) = (Viewer::at(address), 0, Duration::ZERO);
        let mut expected = (u64::MAX, bytes::Bytes::new());
        while !is_over.load(Ordering::Acquire) {
            let mut timed = |path: &str| {
                let asked = Instant::now();
                let answer = viewer.get(path);
                (answers, slowest) = (answers + 1, slowest.max(asked.elapsed()));
                assert_eq!(answer.status, 200, "{path}");
                answer
            };
            let playlist = timed("/live/tide/360p/index.m3u8").text();
            let newest = playlist.lines().rev().find_map(|line| line.strip_suffix(".ts")).expect("a segment");
            let nth = newest.parse::<u64>().unwrap() - FIRST;
            if expected.0 != nth {
                expected = (nth, body("360p", nth));
            }
            assert!(timed(&segment_path("360p", nth)).body == expected.1, "segment {nth} has other bytes");
            std::thread::sleep(Duration::from_millis(20));
        }
        (answers, slowest)
    })
}
