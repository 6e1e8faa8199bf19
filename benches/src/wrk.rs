//! wrk in place of our own viewers: somebody else's client, which reads every byte.

use crate::error::BenchError;
use crate::ground::VIEWER_CORE;
use crate::meter::Reading;
use crate::viewers::{Aim, Load, Sample};
use node::Stop;
use node::program::dies_with_us;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What wrk said, and what its running cost.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) sample: Sample,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// Its lines about answers that were no 2xx or 3xx, or never came.
    pub(crate) faults: String,
}

/// Runs wrk for a window and its warming up; called in the viewers' namespace.
pub(crate) fn window(aim: &Aim, load: Load, stop: &Stop) -> Result<Said, BenchError> {
    // wrk counts whole seconds, and a second is its least.
    let seconds = (load.warm + load.window).as_secs() + 1;
    let url = format!("http://{}{}", aim.address(), aim.target);
    let mut command = Command::new("taskset");
    command
        .args(["-c", &VIEWER_CORE.to_string(), "wrk", "-t1", "--timeout", "5"])
        .args([format!("-c{}", load.connections), format!("-d{seconds}s"), url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = dies_with_us(&mut command).spawn().map_err(BenchError::when("wrk"))?;
    let wait = |span: Duration| if stop.wait_timeout(span) { Err(BenchError::Interrupted) } else { Ok(()) };
    wait(load.warm)?;
    let from = Reading::now()?;
    wait(load.window)?;
    let usage = from.until(&Reading::now()?);
    let output = child.wait_with_output().map_err(BenchError::when("wrk"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (requests, bytes, took) = totals(&text).ok_or_else(|| {
        BenchError::answer("wrk", format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    })?;
    let in_window = |total: f64| (total / took * usage.seconds) as u64;
    let sample = Sample { answers: in_window(requests as f64), bytes: in_window(bytes), usage };
    let is_fault = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
    let faults = text.lines().filter(is_fault).collect::<Vec<_>>().join("; ").trim().to_owned();
    Ok(Said { sample, requests, bytes: bytes as u64, seconds: took, faults })
}

/// `  1234 requests in 5.00s, 2.34GB read`: requests, bytes (to three digits), seconds.
fn totals(text: &str) -> Option<(u64, f64, f64)> {
    let line = text.lines().find(|line| line.contains(" requests in "))?.trim();
    let (requests, rest) = line.split_once(" requests in ")?;
    let (took, read) = rest.split_once("s, ")?;
    let read = read.strip_suffix(" read")?;
    let unit = read.find(|c: char| c.is_alphabetic())?;
    let scale = match &read[unit..] {
        "B" => 1.0,
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some((requests.parse().ok()?, read[..unit].parse::<f64>().ok()? * scale, took.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_sums_up_is_read() {
        let text = "Running 5s test\n  88 requests in 5.10s, 2.50KB read\nRequests/sec: 1\n";
        assert_eq!(totals(text), Some((88, 2560.0, 5.1)));
        assert_eq!(totals("unable to connect"), None);
    }
}
