//! What the process costs its machine, under the names that Prometheus' own client libraries use.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

/// Of times in `/proc`: USER_HZ, which Linux shows as 100 whatever the kernel's own (time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// One look; what cannot be read is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_descriptors: u64,
    threads: u64,
}

impl Process {
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // One of them is the directory itself.
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count).saturating_sub(1);
        Self { open_descriptors: descriptors as u64, ..Self::read(&stat, &status) }
    }

    fn read(stat: &str, status: &str) -> Self {
        // Behind the name, which may hold anything, in brackets: state is the 3rd field, utime and stime the 14th and
        // 15th (proc(5)).
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 =
            after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        let of = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Self {
            cpu_seconds: ticks / TICKS_PER_SECOND,
            resident_bytes: of("VmRSS:") * 1024,
            open_descriptors: 0,
            threads: of("Threads:"),
        }
    }

    pub(super) fn to_json(self) -> Value {
        json!({
            "cpu_seconds": self.cpu_seconds,
            "resident_bytes": self.resident_bytes,
            "open_descriptors": self.open_descriptors,
            "threads": self.threads,
        })
    }
}

/// Looked at when it is encoded.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Looked));
    registry
}

#[derive(Debug)]
struct Looked;

impl Collector for Looked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Process { cpu_seconds, resident_bytes, open_descriptors, threads } = Process::now();
        let help = "CPU time of the process, user and system, in seconds";
        let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(cpu_seconds).encode(metric)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory of the process that is in RAM", resident_bytes),
            ("process_open_fds", "Open descriptors of the process", open_descriptors),
            ("process_threads", "Threads of the process", threads),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_any_name_is_read() {
        let stat = "42 (ed ge) 1) R 1 42 42 0 -1 4194304 900 0 0 0 150 50 0 0 20 0 7 0 100 1 1";
        let status = "Name:\ted ge) 1\nVmPeak:\t 9 kB\nVmRSS:\t    2048 kB\nThreads:\t7\n";
        let read = Process::read(stat, status);
        assert_eq!((read.cpu_seconds, read.resident_bytes, read.threads), (2.0, 2 << 20, 7));
        assert_eq!(Process::read("", ""), Process::default());
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let now = Process::now();
        assert!(now.resident_bytes > 1 << 20 && now.open_descriptors > 2 && now.threads > 0, "{now:?}");
    }
}
