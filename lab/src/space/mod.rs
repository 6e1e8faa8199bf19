//! Network namespaces: each has one TUN device, an address, and a thread that lives in it.
//!
//! Lives here: making them, running something in them, and removing them, those of an earlier run too. Does not live
//! here: what connects them (`switch`).

mod tun;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// How the names of all our namespaces begin.
const PREFIX: &str = "mlab-";

/// The device in each.
const DEVICE: &str = "lab0";

/// Things that wait for a namespace's thread; whoever brings one more waits.
const JOBS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// One namespace; gone when dropped, and with it everything that was started in it.
pub(crate) struct Space {
    name: String,
    address: Ipv4Addr,
    device: OwnedFd,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Space {
    /// Makes one, with this address in a /24 that all share.
    pub(crate) fn new(name: &str, address: Ipv4Addr) -> io::Result<Self> {
        let name = format!("{PREFIX}{name}");
        ip(&["netns", "add", &name])?;
        match Self::furnish(&name, address) {
            Ok((device, jobs, thread)) => {
                Ok(Self { name, address, device, jobs: Some(jobs), thread: Some(thread) })
            }
            Err(error) => {
                let _ = ip(&["netns", "del", &name]);
                Err(error)
            }
        }
    }

    fn furnish(name: &str, address: Ipv4Addr) -> io::Result<(OwnedFd, SyncSender<Job>, JoinHandle<()>)> {
        let place = File::open(format!("/run/netns/{name}"))?;
        let (jobs, waiting): (SyncSender<Job>, Receiver<Job>) = sync_channel(JOBS);
        let (made, device) = sync_channel(1);
        // It stays: children end with the thread that started them.
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let entered = move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network));
            let _ = made.send(entered.map_err(io::Error::from).and_then(|()| tun::open(DEVICE)));
            waiting.iter().for_each(|job| job());
        })?;
        let device = device.recv().map_err(|_| io::Error::other("the namespace's thread is gone"))??;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{address}/24"), "dev", DEVICE])?;
        ip(&["-n", name, "link", "set", DEVICE, "up"])?;
        Ok((device, jobs, thread))
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its device, to read what leaves it and write what comes to it.
    pub(crate) fn device(&self) -> io::Result<OwnedFd> {
        self.device.try_clone()
    }

    /// Runs something in it, on its own thread, and waits for what comes of it.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::other(format!("the thread of {} is gone", self.name));
        let (done, result) = sync_channel(1);
        let job: Job = Box::new(move || {
            let _ = done.send(job());
        });
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.jobs = None;
        // Its end ends whoever was started from it.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = remove(&self.name);
    }
}

/// Makes one and removes it again.
pub(crate) fn can_be_made() -> bool {
    Space::new("trial", Ipv4Addr::new(10, 77, 0, 250)).is_ok()
}

/// Removes what an earlier run has left: namespaces with our prefix, and processes in them.
pub(crate) fn sweep() -> io::Result<Vec<String>> {
    let listed = Command::new("ip").args(["netns", "list"]).output()?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let ours = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with(PREFIX));
    ours.map(|name| remove(name).map(|()| name.to_owned())).collect()
}

fn remove(name: &str) -> io::Result<()> {
    let listed = Command::new("ip").args(["netns", "pids", name]).stderr(Stdio::null()).output()?;
    for pid in
        String::from_utf8_lossy(&listed.stdout).lines().filter_map(|pid| pid.trim().parse::<i32>().ok())
    {
        if pid as u32 != std::process::id()
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    ip(&["netns", "del", name])
}

fn ip(words: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("ip {}: {said}", words.join(" "))))
}
