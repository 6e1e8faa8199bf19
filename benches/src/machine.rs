//! What was measured on, and with what.

use crate::ground::run;
use crate::meter::Reading;
use std::fs;
use std::path::Path;

/// Names and values, in the order they are told.
pub(crate) fn facts(program: &Path, date: Option<&str>) -> Vec<(&'static str, String)> {
    let first = |text: String| text.lines().next().unwrap_or_default().trim().to_owned();
    let said = |words: &[&str]| run(words).map(first).unwrap_or_else(|_| "not known".into());
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |it| it.1);
    let cores = Reading::now().map_or(0, |reading| reading.core_count());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // nginx tells its version on stderr.
    let nginx = run(&["sh", "-c", "nginx -v 2>&1"]).map(first).unwrap_or_default();
    let wrk = run(&["sh", "-c", "wrk -v 2>&1 || true"]).map(first).unwrap_or_default();
    let commit = said(&["git", "-c", "safe.directory=*", "describe", "--always", "--dirty"]);
    let date = date
        .map_or_else(|| said(&["git", "-c", "safe.directory=*", "log", "-1", "--format=%cs"]), str::to_owned);
    vec![
        ("date", date),
        ("commit", commit),
        ("machine", format!("{model}, {cores} cores")),
        ("kernel", format!("Linux {}", kernel.trim())),
        ("mascaret", said(&[&program.display().to_string(), "--version"])),
        ("nginx", nginx.replace("nginx version: ", "")),
        ("haproxy", said(&["haproxy", "-v"])),
        ("wrk", wrk),
        ("tls", crate::viewers::sealed::CIPHER.into()),
        ("congestion", "cubic on both sides".into()),
    ]
}
