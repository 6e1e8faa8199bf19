//! What the kernel is asked for that no safe door of the standard library leads to. All of the program's `unsafe`.

use std::process::Child;
use std::time::Duration;

/// From here on a reader that has gone (`mascaret check … | head`) ends us quietly, as it ends other programs.
/// Only for what writes nowhere but to stdout any more: a role must survive every broken connection.
pub(crate) fn end_with_our_reader() {
    // SAFETY: SIG_DFL is a valid disposition, and nothing else of this program sets one for SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Asks a child to end (SIGTERM).
pub(crate) fn ask_to_end(child: &Child) {
    signal(child, libc::SIGTERM);
}

/// Ends a child now (SIGKILL).
pub(crate) fn kill(child: &Child) {
    signal(child, libc::SIGKILL);
}

fn signal(child: &Child, number: i32) {
    // SAFETY: kill(2) on a child that has not been waited for: the pid is still its own.
    unsafe { libc::kill(child.id() as i32, number) };
}

/// CPU time of every child, and theirs, that has ended and was waited for.
pub(crate) fn cpu_of_children() -> Option<Duration> {
    // SAFETY: an all-zero rusage is a valid place for getrusage to write to.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` lives over the call; RUSAGE_CHILDREN is a valid subject.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) } != 0 {
        return None;
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    Some(time(usage.ru_utime) + time(usage.ru_stime))
}

/// How the terminal on descriptor 0 is set.
#[derive(Clone, Copy)]
pub(crate) struct TerminalSettings(libc::termios);

impl TerminalSettings {
    /// As it is now; `None` if it is no terminal.
    pub(crate) fn now() -> Option<Self> {
        // SAFETY: an all-zero termios is a valid place for tcgetattr to write to, which it does whole or not.
        let mut settings: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: descriptor 0 is open, and `settings` lives over the call.
        (unsafe { libc::tcgetattr(0, &mut settings) } == 0).then_some(Self(settings))
    }

    /// Keys come at once and unseen. Ctrl-C stays a signal (ISIG), so that a stuck demo can always be ended.
    pub(crate) fn with_single_keys(mut self) -> Self {
        self.0.c_lflag &= !(libc::ICANON | libc::ECHO);
        self
    }

    /// Makes it so.
    pub(crate) fn set(&self) {
        // SAFETY: descriptor 0 is open, and the settings came from tcgetattr.
        unsafe { libc::tcsetattr(0, libc::TCSANOW, &self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_child_is_asked_or_made_to_end_and_its_time_is_known() {
        for (end, number) in [(ask_to_end as fn(&Child), libc::SIGTERM), (kill, libc::SIGKILL)] {
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            end(&child);
            assert_eq!(child.wait().unwrap().signal(), Some(number));
        }
        assert!(cpu_of_children().is_some_and(|time| time < Duration::from_secs(60)));
    }
}
