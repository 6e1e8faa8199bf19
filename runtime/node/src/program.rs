//! Where our other program is, and how a child process is bound to us.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The helper that links FFmpeg.
pub const TRANSCODE: &str = "mascaret-transcode";

/// `mascaret-transcode` is nowhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "mascaret-transcode was not found (looked at {}); build it with `cargo build -p transcode`, or name it by setting or by MASCARET_TRANSCODE",
    looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct NotFound {
    /// Where we looked.
    pub looked_at: Vec<PathBuf>,
}

/// Finds the helper: by setting, by `MASCARET_TRANSCODE`, beside this program, in `PATH`.
pub fn transcode(setting: Option<&Path>) -> Result<PathBuf, NotFound> {
    let environment = std::env::var_os("MASCARET_TRANSCODE").map(PathBuf::from);
    if let Some(named) = setting.map(Path::to_path_buf).or(environment) {
        return if named.is_file() { Ok(named) } else { Err(NotFound { looked_at: vec![named] }) };
    }
    let mut candidates = Vec::new();
    if let Ok(own) = std::env::current_exe() {
        // Tests run from `deps`, one folder further in.
        candidates.extend(own.ancestors().skip(1).take(2).map(|folder| folder.join(TRANSCODE)));
    }
    if let Some(path) = std::env::var_os("PATH") {
        candidates.extend(std::env::split_paths(&path).map(|folder| folder.join(TRANSCODE)));
    }
    candidates.iter().find(|path| path.is_file()).cloned().ok_or(NotFound { looked_at: candidates })
}

/// The child is killed when the *thread* that spawns it ends, however it ends: spawn from one that stays.
pub fn dies_with_us(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: prctl, getppid and raise are async-signal-safe, and nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // Died between fork and prctl: nobody would tell us any more.
            if libc::getppid() as u32 != parent {
                libc::raise(libc::SIGKILL);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_and_not_there_is_an_error_with_its_path() {
        let error = transcode(Some(Path::new("/nowhere/at/all"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn a_child_of_a_thread_that_ends_ends() {
        let mut child = std::thread::spawn(|| {
            let mut command = Command::new("sleep");
            dies_with_us(command.arg("60")).spawn().unwrap()
        })
        .join()
        .unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
