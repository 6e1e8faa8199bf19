//! Many days, each under a seed, on several threads; and one that failed, made smaller.

use crate::day::{Broken, Day, Lived, Manner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What many days came to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Days.
    pub days: u64,
    /// Steps of all of them.
    pub steps: u64,
    /// Segments shown.
    pub segments: u64,
    /// Stalls, all of them where the law allows one.
    pub stalls: u64,
    /// Their sum.
    pub stalled: Duration,
    /// Those that failed, the first found first; at most [`FAILURES`].
    pub broken: Vec<Broken>,
}

/// Failures after which no further day is lived.
pub const FAILURES: usize = 10;

/// One day; a room's panic is a law that does not hold.
pub fn live(seed: u64, manner: Manner) -> Result<Lived, Broken> {
    let mut day = None;
    let lived = catch_unwind(AssertUnwindSafe(|| day.insert(Day::new(seed, manner)).live()));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word");
        let step = day.as_ref().map_or(0, Day::step);
        Err(Broken { seed, step, law: "nothing panics", what: text.into() })
    })
}

/// Lives `count` days from seed `from` on so many threads; `at_each` hears how many are done.
pub fn run(from: u64, count: u64, jobs: usize, keep_going: bool, at_each: impl Fn(u64) + Sync) -> Sum {
    let (next, done, is_enough) = (AtomicU64::new(from), AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || is_enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let lived = live(seed, Manner::default());
                    at_each(done.fetch_add(1, Ordering::Relaxed) + 1);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.days += 1;
                    match lived {
                        Ok(lived) => {
                            sum.steps += lived.steps;
                            sum.segments += lived.segments;
                            sum.stalls += lived.stalls;
                            sum.stalled += lived.stalled;
                        }
                        Err(broken) => {
                            sum.broken.push(broken);
                            if !keep_going || sum.broken.len() >= FAILURES {
                                is_enough.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Which of a failing day's faults can be left out so that the same law still does not hold.
pub fn shrink(broken: &Broken) -> Vec<usize> {
    let count = Day::new(broken.seed, Manner::default()).faults().len();
    let mut without = Vec::new();
    for fault in 0..count {
        let tried: Vec<usize> = without.iter().copied().chain([fault]).collect();
        let manner = Manner { without: tried.clone(), ..Manner::default() };
        if live(broken.seed, manner).is_err_and(|other| other.law == broken.law) {
            without = tried;
        }
    }
    without
}
