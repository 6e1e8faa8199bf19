//! What the load tester itself was short of: late wake-ups, busy threads, threads that were made to wait.
//!
//! Figures of a load tester that was itself the limit say nothing about the server; so it says so.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Wake-ups later than this at the 99th percentile: the latencies measured are our own.
pub(crate) const LAG_P99_MAX: Duration = Duration::from_millis(20);

/// A thread that computes for more than this share of a second is full.
pub(crate) const CPU_SHARE_MAX: f64 = 0.9;

/// A thread is the limit where more than this share of its seconds were full.
pub(crate) const FULL_SECONDS_MAX: f64 = 0.05;

/// What the calling thread has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadUse {
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Time it could have run and another thread had the CPU, where the kernel counts it.
    pub(crate) waited: Option<Duration>,
}

impl ThreadUse {
    pub(crate) fn of_this_thread() -> Self {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let cpu = Duration::new(
            u64::try_from(cpu.tv_sec).unwrap_or_default(),
            u32::try_from(cpu.tv_nsec).unwrap_or_default(),
        );
        // proc(5), schedstat: nanoseconds on the CPU, nanoseconds waiting for it, number of turns.
        let waited = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let waited = waited.as_deref().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Self { cpu, waited: waited.map(Duration::from_nanos) }
    }
}

/// How busy one core's thread was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreUse {
    /// Seconds seen.
    pub seconds: f64,
    /// CPU time in them, seconds.
    pub cpu_seconds: f64,
    /// Time the thread could have run and was not let, seconds; nothing where the kernel does not count it.
    pub waited_seconds: Option<f64>,
    /// Seconds in which it computed for more than [`CPU_SHARE_MAX`].
    pub full_seconds: f64,
}

impl CoreUse {
    /// One more turn of that length.
    pub(crate) fn add(&mut self, more: Self) {
        self.seconds += more.seconds;
        self.cpu_seconds += more.cpu_seconds;
        self.full_seconds += more.full_seconds;
        self.waited_seconds = match (self.waited_seconds, more.waited_seconds) {
            (Some(mine), Some(more)) => Some(mine + more),
            (mine, more) => mine.or(more),
        };
    }

    /// Share of the time it computed.
    pub fn cpu_share(&self) -> f64 {
        share(self.cpu_seconds, self.seconds)
    }

    /// Share of the time it was made to wait.
    pub fn waited_share(&self) -> Option<f64> {
        self.waited_seconds.map(|waited| share(waited, self.seconds))
    }
}

pub(crate) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// One way the load tester was itself the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum OwnLimit {
    /// It woke up late.
    Lag {
        /// The 99th percentile.
        p99_us: u64,
    },
    /// A thread had no time left.
    Cpu {
        /// Whose.
        core: usize,
        /// Share of the time it computed, over the run.
        cpu_share: f64,
        /// Share of its seconds that were full.
        full_share: f64,
    },
    /// It ran out of something of its own: ports, descriptors, memory.
    Resources {
        /// How many requests failed by that.
        errors: u64,
    },
}

impl fmt::Display for OwnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lag { p99_us } => write!(
                f,
                "1 % of its wake-ups were {:.1} ms late or more (at most {} ms are taken)",
                *p99_us as f64 / 1e3,
                LAG_P99_MAX.as_millis()
            ),
            Self::Cpu { core, cpu_share, full_share } => write!(
                f,
                "core {core} computed for more than {:.0} % in {:.0} % of its seconds ({:.0} % over the run)",
                CPU_SHARE_MAX * 100.0,
                full_share * 100.0,
                cpu_share * 100.0
            ),
            Self::Resources { errors } => {
                write!(f, "{errors} requests failed for want of its own ports, descriptors or memory")
            }
        }
    }
}

/// Whether the figures are the server's or the load tester's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Every way in which it was the limit.
    pub limits: Vec<OwnLimit>,
}

impl Verdict {
    /// What it says from how it went.
    pub(crate) fn of(lag_p99_us: Option<u64>, cores: &[CoreUse], own_errors: u64) -> Self {
        let mut limits = Vec::new();
        if let Some(p99_us) = lag_p99_us.filter(|p99| *p99 > super::spread::us(LAG_P99_MAX)) {
            limits.push(OwnLimit::Lag { p99_us });
        }
        for (core, seen) in cores.iter().enumerate() {
            let full_share = share(seen.full_seconds, seen.seconds);
            if full_share > FULL_SECONDS_MAX {
                limits.push(OwnLimit::Cpu { core, cpu_share: seen.cpu_share(), full_share });
            }
        }
        if own_errors > 0 {
            limits.push(OwnLimit::Resources { errors: own_errors });
        }
        Self { limits }
    }

    /// Whether the load tester was the limit.
    pub fn was_the_limit(&self) -> bool {
        !self.limits.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.limits.split_first() else {
            return f.write_str("the load tester kept up: these figures are the server's");
        };
        write!(f, "the load tester was itself the limit: {first}")?;
        others.iter().try_for_each(|other| write!(f, "; {other}"))?;
        f.write_str(". Latencies and stalls say nothing about the server; use fewer viewers or more cores")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(seconds: f64, full_seconds: f64) -> CoreUse {
        CoreUse { seconds, cpu_seconds: seconds / 2.0, waited_seconds: None, full_seconds }
    }

    #[test]
    fn a_load_tester_that_kept_up_says_so() {
        let verdict = Verdict::of(Some(19_999), &[core(100.0, 5.0), core(100.0, 0.0)], 0);
        assert!(!verdict.was_the_limit());
        assert!(verdict.to_string().contains("kept up"), "{verdict}");
    }

    #[test]
    fn late_wake_ups_full_threads_and_own_errors_are_each_said() {
        let verdict = Verdict::of(Some(20_600), &[core(100.0, 0.0), core(100.0, 6.0)], 3);
        let said = verdict.to_string();
        assert!(said.starts_with("the load tester was itself the limit: "), "{said}");
        for part in ["20.6 ms late", "core 1 computed for more than 90 % in 6 %", "3 requests failed"] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }

    #[test]
    fn a_thread_that_computes_is_seen_to() {
        let before = ThreadUse::of_this_thread();
        let mut sum = 0u64;
        while ThreadUse::of_this_thread().cpu < before.cpu + Duration::from_millis(3) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(ThreadUse::of_this_thread().cpu > before.cpu);
    }
}
