//! The ground a bench stands on: two network namespaces with a veth pair between them, two tmpfs mounts, one lock.
//! Everything is taken away again when it is dropped.
//!
//! The server lives in one namespace and the viewers in the other; loopback rows put both into the server's. Both have
//! cubic: a default of BBR without fq would measure its timers. Receive packet steering gives what arrives at the
//! server's end to core 0 and what arrives at the viewers' end to core 1, as a network card's interrupts would.

use crate::error::BenchError;
use crate::meter::Reading;
use rustix::fs::FlockOperation;
use rustix::thread::{CpuSet, LinkNameSpaceType};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The core the measured server is alone on.
pub(crate) const SERVER_CORE: usize = 0;
/// The core of everything else.
pub(crate) const VIEWER_CORE: usize = 1;

/// The server's end of the veth pair.
pub(crate) const SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
const DIRECTORY: &str = "/run/mascaret-bench";
/// How many addresses viewers come from: none has more connections than the edge's own limit per address allows.
const VIEWER_ADDRESSES: u8 = 8;
/// Bytes of each tmpfs, in MB.
const STORE_MB: usize = 1536;

/// One of the two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Server,
    Viewers,
}

impl Space {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "mascaret-bench-s",
            Self::Viewers => "mascaret-bench-v",
        }
    }

    /// Its end of the veth pair.
    pub(crate) fn link(self) -> &'static str {
        match self {
            Self::Server => "mb-server",
            Self::Viewers => "mb-viewers",
        }
    }

    fn core(self) -> usize {
        match self {
            Self::Server => SERVER_CORE,
            Self::Viewers => VIEWER_CORE,
        }
    }

    /// Does something in this namespace on the viewers' core, in a thread of its own; threads it starts stay there.
    pub(crate) fn within<T: Send>(
        self,
        work: impl FnOnce() -> Result<T, BenchError> + Send,
    ) -> Result<T, BenchError> {
        let enter = move || {
            let path = format!("/run/netns/{}", self.name());
            let space = File::open(&path).map_err(BenchError::when(path))?;
            rustix::thread::move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| BenchError::when("entering a network namespace")(error.into()))?;
            pin(VIEWER_CORE)
        };
        std::thread::scope(|scope| {
            scope
                .spawn(move || enter().and_then(|()| work()))
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// How a row's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Veth,
    Loopback,
}

impl Network {
    /// Where viewers are.
    pub(crate) fn viewers(self) -> Space {
        match self {
            Self::Veth => Space::Viewers,
            Self::Loopback => Space::Server,
        }
    }

    /// Where the server is reached.
    pub(crate) fn server(self) -> IpAddr {
        match self {
            Self::Veth => SERVER_ADDRESS.into(),
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// What the `nth` connection comes from.
    pub(crate) fn source(self, nth: usize) -> IpAddr {
        let nth = (nth % usize::from(VIEWER_ADDRESSES)) as u8;
        match self {
            Self::Veth => Ipv4Addr::new(10, 213, 0, 100 + nth).into(),
            Self::Loopback => Ipv4Addr::new(127, 0, 0, 100 + nth).into(),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Loopback => "loopback",
        }
    }
}

/// Runs the thread it is called from, and those it starts, on one core.
pub(crate) fn pin(core: usize) -> Result<(), BenchError> {
    pin_to(&[core])
}

/// The same on any of these cores.
pub(crate) fn pin_to(cores: &[usize]) -> Result<(), BenchError> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| BenchError::when(format!("pinning to cores {cores:?}"))(error.into()))
}

/// Everything that was laid; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Ground {
    directory: PathBuf,
    /// Held while this bench runs, so that there is only one.
    _lock: File,
}

impl Ground {
    /// Lays it, after removing what a bench that was killed has left.
    pub(crate) fn lay() -> Result<Self, BenchError> {
        if !rustix::process::geteuid().is_root() {
            return Err(BenchError::Refused("network namespaces and mounts need root".into()));
        }
        if Reading::now()?.core_count() < 2 {
            return Err(BenchError::Refused(
                "one core for the server and one for the viewers are needed".into(),
            ));
        }
        let directory = PathBuf::from(DIRECTORY);
        fs::create_dir_all(&directory).map_err(BenchError::when(DIRECTORY))?;
        let lock_path = format!("{DIRECTORY}.lock");
        let lock = File::create(&lock_path).map_err(BenchError::when(&lock_path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| BenchError::Refused("another bench is running".into()))?;
        let ground = Self { directory, _lock: lock };
        ground.clear();
        for (name, huge) in [("pages", "never"), ("huge", "within_size")] {
            let at = ground.directory.join(name);
            fs::create_dir_all(&at).map_err(BenchError::when(at.display().to_string()))?;
            let options = format!("huge={huge},size={STORE_MB}m,mode=755");
            run(&["mount", "-t", "tmpfs", "-o", &options, "mascaret-bench", &at.display().to_string()])?;
        }
        ground.lay_network()?;
        Ok(ground)
    }

    fn lay_network(&self) -> Result<(), BenchError> {
        let (server, viewers) = (Space::Server, Space::Viewers);
        for space in [server, viewers] {
            run(&["ip", "netns", "add", space.name()])?;
        }
        run(&[
            "ip",
            "link",
            "add",
            server.link(),
            "netns",
            server.name(),
            "type",
            "veth",
            "peer",
            "name",
            viewers.link(),
            "netns",
            viewers.name(),
        ])?;
        let mut addresses = vec![(server, SERVER_ADDRESS.to_string())];
        addresses.extend(
            (0..usize::from(VIEWER_ADDRESSES)).map(|nth| (viewers, Network::Veth.source(nth).to_string())),
        );
        for (space, address) in addresses {
            run(&[
                "ip",
                "-n",
                space.name(),
                "address",
                "add",
                &format!("{address}/24"),
                "dev",
                space.link(),
            ])?;
        }
        for space in [server, viewers] {
            run(&["ip", "-n", space.name(), "link", "set", "lo", "up"])?;
            run(&["ip", "-n", space.name(), "link", "set", space.link(), "up"])?;
            let settings = format!(
                "for queue in /sys/class/net/{}/queues/rx-*; do echo {:x} > $queue/rps_cpus; done; \
                 sysctl -qw net.ipv4.tcp_congestion_control=cubic net.ipv4.ip_local_port_range='1024 65000' \
                 net.core.somaxconn=16384 net.ipv4.tcp_max_syn_backlog=16384",
                space.link(),
                1 << space.core()
            );
            run(&["ip", "netns", "exec", space.name(), "sh", "-ec", &settings])?;
        }
        Ok(())
    }

    /// A place below the bench's own directory.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A tmpfs with pages of 4 KB.
    pub(crate) fn pages(&self) -> PathBuf {
        self.at("pages")
    }

    /// A tmpfs with `huge=within_size`.
    pub(crate) fn huge(&self) -> PathBuf {
        self.at("huge")
    }

    /// Takes everything away; what is not there is no fault.
    fn clear(&self) {
        for space in [Space::Server, Space::Viewers] {
            let pids = Command::new("ip").args(["netns", "pids", space.name()]).output();
            let pids = pids.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
            // Only servers this bench started live in namespaces of this name.
            for pid in pids.split_whitespace() {
                let _ = run(&["kill", "-9", pid]);
            }
            if Path::new("/run/netns").join(space.name()).exists() {
                let _ = run(&["ip", "netns", "del", space.name()]);
            }
        }
        for name in ["pages", "huge"] {
            let at = self.at(name);
            while is_mount(&at) && run(&["umount", "-l", &at.display().to_string()]).is_ok() {}
        }
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::create_dir_all(&self.directory);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.clear();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_mount(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

/// Runs a program to its end; what it said is the error when it fails.
pub(crate) fn run(words: &[&str]) -> Result<String, BenchError> {
    let fail = |said: String| BenchError::Command { command: words.join(" "), said };
    let output =
        Command::new(words[0]).args(&words[1..]).output().map_err(|error| fail(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(fail(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
    }
}
