//! What must be so before anything is started: free addresses, certificates, keys.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::host;
use super::plan::Plan;
use super::ports;

pub(super) fn usual_directory() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let state =
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home);
    state.unwrap_or_else(std::env::temp_dir).join("mascaret/demo")
}

pub(super) fn ports_that_are_taken(plan: &Plan) -> Option<String> {
    let taken = ports::taken(plan.addresses().map(|(_, _, address)| address));
    if taken.is_empty() {
        return None;
    }
    let mut lines = vec!["some addresses are not free:".to_owned()];
    for taken in taken {
        let whose = plan.addresses().find(|(_, _, address)| *address == taken.address);
        let wanted = whose.map(|(name, what, _)| format!("{name}, {what}")).unwrap_or_default();
        let why = match (taken.by, taken.error) {
            (Some(by), _) => format!("taken by {by}"),
            (None, Some(error)) => error,
            (None, None) => "taken by a process of somebody else".into(),
        };
        lines.push(format!("  {} ({wanted}): {why}", taken.address));
    }
    lines.push("end that process, or move all ports with --port-offset 1000".into());
    Some(lines.join("\n"))
}

/// Certificates, keys, folders, and the lobby's host, whose password it is.
pub(super) fn prepare(plan: &Plan) -> io::Result<String> {
    fs::create_dir_all(&plan.directory)?;
    node::certs::init(&plan.certificates(), &plan.names()).map_err(io::Error::other)?;
    // In the place of what a demo before this one left: nobody would know why an edge takes no viewers.
    fs::write(
        plan.edges_file(),
        "# How edges stand: `mascaret edge drain edge1` and its like write here.\n",
    )?;
    if !plan.ticket_key().exists() {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        write_secret(&plan.ticket_key(), &hex)?;
    }
    plan.keys.iter().try_for_each(|(broadcast, key)| write_secret(&plan.key_path(broadcast), key))?;
    host::admit(&plan.lobby_store(), &plan.broadcasts())
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, secret.as_bytes())
}
