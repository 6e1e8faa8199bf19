//! Processes: looked up in /proc, and ended, stopped and let go on by their number, only ever our own.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a process may take to end when asked, before it is made to.
const END_MAX: Duration = Duration::from_secs(10);

/// A child of ours that ends with the test, however the test ends; asked to first, so that it ends its own.
pub(crate) struct Ours(pub(crate) Child);

impl Drop for Ours {
    fn drop(&mut self) {
        // SAFETY: kill(2) on a child that has not been waited for: the number is still its own.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let asked = Instant::now();
        while asked.elapsed() < END_MAX {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every process whose command line has an argument that is so, with its parent.
pub(crate) fn with_argument(is_so: impl Fn(&str) -> bool) -> Vec<(i32, i32)> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok());
    let ours = numbers.filter(|number| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| std::str::from_utf8(word).is_ok_and(&is_so))
    });
    ours.filter_map(|number| Some((number, parent(number)?))).collect()
}

/// From `/proc/N/stat`: the fourth word, where the second may have anything in its brackets.
fn parent(number: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{number}/stat"))).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// `kill -9`.
pub(crate) fn kill(number: i32) {
    signal(number, libc::SIGKILL);
}

/// `SIGSTOP`: alive, and silent. Its sockets still take connections, as those of a machine that hangs do.
pub(crate) fn hang(number: i32) {
    signal(number, libc::SIGSTOP);
}

/// `SIGCONT`.
pub(crate) fn go_on(number: i32) {
    signal(number, libc::SIGCONT);
}

/// `SIGTERM`: it is asked to end.
pub(crate) fn end(number: i32) {
    signal(number, libc::SIGTERM);
}

/// Whether it has not ended; whoever has, and was not waited for, has.
pub(crate) fn runs(number: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn signal(number: i32, signal: i32) {
    assert!(number > 1, "not a process of ours: {number}");
    // SAFETY: kill(2) touches no memory; the number was just found to be one of our own processes.
    unsafe { libc::kill(number, signal) };
}
