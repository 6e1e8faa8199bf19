//! Simulated viewers: a child `mascaret loadtest` for each hundred, and how they are.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use node::program::dies_with_us;

use crate::sys;

/// The most crowds of a demo: what `l` starts, and with it how many processes.
pub(crate) const CROWDS_MAX: usize = 50;
/// Viewers of a crowd.
pub(crate) const VIEWERS: u64 = 100;

/// How viewers are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mood {
    pub(crate) fine: u64,
    pub(crate) starting: u64,
    pub(crate) stalled: u64,
    pub(crate) gave_up: u64,
}

impl Mood {
    /// From the line that a load test says each second: `0:07 · 98 fine, 0 starting, 2 stalled · …`.
    fn read(line: &str) -> Option<Self> {
        let counts = line.split(" · ").find(|part| part.contains(" fine"))?;
        let of = |word: &str| {
            let part = counts.split(", ").find_map(|part| part.strip_suffix(word))?;
            part.trim().parse().ok()
        };
        Some(Self {
            fine: of(" fine")?,
            starting: of(" starting")?,
            stalled: of(" stalled")?,
            gave_up: of(" gave up").unwrap_or(0),
        })
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            fine: self.fine + other.fine,
            starting: self.starting + other.starting,
            stalled: self.stalled + other.stalled,
            gave_up: self.gave_up + other.gave_up,
        }
    }

    /// `300 simulated: 299 fine, 1 stalled`.
    pub(crate) fn told(self) -> String {
        let all = self.fine + self.starting + self.stalled + self.gave_up;
        let mut text = format!("{all} simulated: {} fine, {} stalled", self.fine, self.stalled);
        for (count, word) in [(self.starting, "starting"), (self.gave_up, "gave up")] {
            if count > 0 {
                text += &format!(", {count} {word}");
            }
        }
        text
    }
}

/// A hundred viewers; dropped, they leave.
#[derive(Debug)]
pub(crate) struct Crowd {
    child: Child,
    mood: Arc<Mutex<Mood>>,
}

impl Crowd {
    /// They begin at this balancer. `number` counts crowds; each has addresses of its own.
    pub(crate) fn start(lb: SocketAddr, broadcast: &str, number: usize) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["loadtest", &format!("http://{lb}/live/{broadcast}/index.m3u8")])
            .args(["--viewers", &VIEWERS.to_string(), "--ramp", "5s", "--for", "24h"])
            .args(["--from", &format!("127.1.{number}.0/24"), "--seed", &number.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for us; we end the others in order.
            .process_group(0);
        let mut child = dies_with_us(&mut command).spawn()?;
        let mood = Arc::new(Mutex::new(Mood::default()));
        if let Some(said) = child.stderr.take() {
            let told = mood.clone();
            // Ends with the child, whose end of the pipe it reads.
            std::thread::Builder::new().name("crowd".into()).spawn(move || {
                for line in BufReader::new(said).lines().map_while(Result::ok) {
                    if let Some(mood) = Mood::read(&line) {
                        *told.lock().unwrap_or_else(PoisonError::into_inner) = mood;
                    }
                }
            })?;
        }
        Ok(Self { child, mood })
    }

    /// How they are.
    pub(crate) fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they have left by themselves.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        sys::kill(&self.child);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_says_how_it_is() {
        let line =
            "0:07 · 95 fine, 1 starting, 2 stalled, 2 gave up · behind live 6.1 s p50, 6.9 s p99 · 2 stalls";
        let mood = Mood::read(line).expect("a mood");
        assert_eq!(mood, Mood { fine: 95, starting: 1, stalled: 2, gave_up: 2 });
        assert_eq!(mood.and(mood).told(), "200 simulated: 190 fine, 4 stalled, 2 starting, 4 gave up");
        assert_eq!(Mood::read("mascaret: could not connect"), None);
        assert_eq!(Mood { fine: 100, ..Mood::default() }.told(), "100 simulated: 100 fine, 0 stalled");
    }
}
