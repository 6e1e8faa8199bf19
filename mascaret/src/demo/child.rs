//! One node as a child process: started with its settings, its output in a file, ended with us.

use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use node::program::dies_with_us;

use super::plan::NodePlan;

/// Where a node stands, as far as the one who started it knows.
#[derive(Debug)]
pub(crate) enum State {
    /// Started, and not ended by itself.
    Running { child: Child },
    /// Killed by a key; waits for `r`.
    Killed,
    /// Ended by itself, which nobody asked for.
    Ended { status: ExitStatus },
}

/// A node of the demo.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) plan: NodePlan,
    pub(crate) state: State,
    pub(crate) is_draining: bool,
}

impl Process {
    /// Starts it: this program again, with the role and a settings file.
    pub(crate) fn start(plan: NodePlan, directory: &Path) -> io::Result<Self> {
        let child = spawn(&plan, directory, false)?;
        Ok(Self { plan, state: State::Running { child }, is_draining: false })
    }

    /// Starts it again; its log goes on.
    pub(crate) fn restart(&mut self, directory: &Path) -> io::Result<()> {
        self.end();
        let child = spawn(&self.plan, directory, true)?;
        self.state = State::Running { child };
        self.is_draining = false;
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether it has ended by itself since last asked.
    pub(crate) fn has_just_ended(&mut self) -> Option<ExitStatus> {
        let State::Running { child } = &mut self.state else { return None };
        let status = child.try_wait().ok().flatten()?;
        self.state = State::Ended { status };
        Some(status)
    }

    /// `kill -9`, as the failure it stands for.
    pub(crate) fn kill(&mut self) {
        self.end();
        self.state = State::Killed;
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        if let State::Running { child } = &self.state {
            sys::ask_to_end(child);
        }
    }

    /// Ends it and waits for that.
    fn end(&mut self) {
        if let State::Running { child } = &mut self.state {
            sys::kill(child);
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(plan: &NodePlan, directory: &Path, is_again: bool) -> io::Result<Child> {
    let log_path = plan.log_path(directory);
    fs::create_dir_all(log_path.parent().unwrap_or(directory))?;
    fs::write(plan.settings_path(directory), &plan.settings)?;
    let log =
        File::options().create(true).append(is_again).write(true).truncate(!is_again).open(&log_path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([plan.role, "--settings"])
        .arg(plan.settings_path(directory))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is for us; we end the others in order.
        .process_group(0);
    // What was set for somebody else's node must not reach ours; where the helper is may.
    for (name, _) in std::env::vars_os() {
        let is_ours =
            name.to_str().is_some_and(|name| name.starts_with("MASCARET_") && name != "MASCARET_TRANSCODE");
        if is_ours {
            command.env_remove(name);
        }
    }
    dies_with_us(&mut command).spawn()
}

/// `ended with status 1`, `was killed by signal 9`.
pub(crate) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
