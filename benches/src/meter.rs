//! What a core, a process and strangers have used.
//!
//! The cost of a row is the whole of the server's core: everything it was not idle for, so that interrupts and softirq
//! that no process is billed for are in it. The kernel counts idle time by the clock and not by sampling ticks, so
//! elapsed less idle is exact to the 10 ms /proc/stat shows; time the hypervisor took away (steal) is not ours.

use crate::error::BenchError;
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// Where /proc/stat stood at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    at: Instant,
    cores: Vec<Core>,
}

/// Seconds since the boot.
#[derive(Clone, Copy, Debug, Default)]
struct Core {
    idle: f64,
    steal: f64,
}

/// Jiffies of /proc/stat in a second: USER_HZ, which Linux keeps at 100 for everybody (proc(5)).
const USER_HZ: f64 = 100.0;

/// What lies between two readings.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// Seconds each core was not idle.
    pub(crate) busy: Vec<f64>,
    /// Seconds taken away from all cores.
    pub(crate) steal: f64,
}

impl Reading {
    pub(crate) fn now() -> Result<Self, BenchError> {
        let text = fs::read_to_string("/proc/stat").map_err(BenchError::when("/proc/stat"))?;
        Ok(Self { at: Instant::now(), cores: cores(&text) })
    }

    /// How many cores there are, whatever this thread is pinned to.
    pub(crate) fn core_count(&self) -> usize {
        self.cores.len()
    }

    pub(crate) fn until(&self, later: &Self) -> Usage {
        let seconds = later.at.duration_since(self.at).as_secs_f64();
        let pairs = || self.cores.iter().zip(&later.cores);
        let busy =
            |(a, b): (&Core, &Core)| (seconds - (b.idle - a.idle) - (b.steal - a.steal)).clamp(0.0, seconds);
        Usage {
            seconds,
            busy: pairs().map(busy).collect(),
            steal: pairs().map(|(a, b)| b.steal - a.steal).sum(),
        }
    }
}

fn cores(text: &str) -> Vec<Core> {
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    text.lines()
        .filter(is_core)
        .map(|line| {
            // user nice system idle iowait irq softirq steal (proc(5))
            let field = |nth| {
                line.split_whitespace().nth(nth).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
                    / USER_HZ
            };
            Core { idle: field(4) + field(5), steal: field(8) }
        })
        .collect()
}

/// Proportional set size of these processes, in bytes.
pub(crate) fn memory(pids: &[u32]) -> Result<u64, BenchError> {
    let mut sum = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).map_err(BenchError::when(path))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes: u64 = line
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        sum += kilobytes << 10;
    }
    Ok(sum)
}

/// CPU seconds of these processes, all threads, as the scheduler counted them.
pub(crate) fn process_seconds(pids: &[u32]) -> f64 {
    let mut nanos = 0;
    for pid in pids {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    nanos as f64 / 1e9
}

/// A process and all that descend from it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&pid) = family.get(at) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    family
}

/// CPU seconds of every process that is none of ours; the kernel's own threads are part of the cost, not strangers.
#[derive(Debug)]
pub(crate) struct Strangers {
    at: Instant,
    nanos: HashMap<u32, u64>,
}

impl Strangers {
    pub(crate) fn now(ours: &[u32]) -> Self {
        let mut nanos = HashMap::new();
        let own = std::process::id();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if pid == own || ours.contains(&pid) || is_kernel_thread(pid) {
                continue;
            }
            nanos.insert(pid, (process_seconds(&[pid]) * 1e9) as u64);
        }
        Self { at: Instant::now(), nanos }
    }

    /// How much of one core strangers have used since, 0.05 for 5 %. Who came and went in between is not seen.
    pub(crate) fn share_until(&self, later: &Self) -> f64 {
        let used: u64 = later
            .nanos
            .iter()
            .map(|(pid, after)| after.saturating_sub(self.nanos.get(pid).copied().unwrap_or(0)))
            .sum();
        used as f64 / 1e9 / later.at.duration_since(self.at).as_secs_f64().max(0.001)
    }
}

fn is_kernel_thread(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty())
}

/// Thousands of steps of a fixed loop in a millisecond, on the core of whoever asks: how fast the processor is just now.
pub(crate) fn pace() -> f64 {
    let (start, mut steps, mut state) = (Instant::now(), 0u64, 1u64);
    while start.elapsed() < Duration::from_millis(10) {
        for _ in 0..1_000 {
            state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        steps += 1;
    }
    steps as f64 / (start.elapsed().as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_idle_and_the_sum_line_is_no_core() {
        let text =
            "cpu  9 9 9 9 9 9 9 9\ncpu0 100 0 50 700 100 0 50 25 0 0\ncpu1 0 0 0 1000 0 0 0 0 0 0\nintr 5";
        let cores = cores(text);
        assert_eq!(cores.len(), 2);
        assert_eq!((cores[0].idle, cores[0].steal, cores[1].idle), (8.0, 0.25, 10.0));
    }

    #[test]
    fn what_was_not_idle_and_not_taken_away_was_used() {
        let at = Instant::now();
        let from = Reading { at, cores: vec![Core { idle: 1.0, steal: 0.0 }; 2] };
        let mut to = Reading { at: at + Duration::from_secs(4), cores: from.cores.clone() };
        to.cores[0] = Core { idle: 2.0, steal: 0.5 };
        to.cores[1] = Core { idle: 5.01, steal: 0.0 };
        let usage = from.until(&to);
        assert_eq!((usage.busy, usage.steal), (vec![2.5, 0.0], 0.5));
    }

    #[test]
    fn what_this_process_uses_is_seen() {
        let own = std::process::id();
        let before = process_seconds(&[own]);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::black_box(pace());
        }
        assert!(process_seconds(&[own]) > before);
        assert!(memory(&[own]).unwrap() > 100_000);
        assert_eq!(family(own)[0], own);
    }
}
