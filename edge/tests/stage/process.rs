//! An edge in a process of its own, so that its memory and its descriptors are its own, and can be looked at.
//!
//! The process is this test's program once more, running the one test that is an edge if it is told to be.

use super::{Cluster, Viewer, until};
use edge::Settings;
use node::certs::CertificateSettings;
use node::operator::OperatorSettings;
use node::settings::Address;
use node::{Node, NodeSettings, Stop};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The name of the test that every file with such edges has, and that calls [`be_one_if_told`].
const TEST: &str = "one_of_the_processes";
/// What tells it: what to be, and with which words.
const BE: &str = "MASCARET_TEST_BE";
const WORDS: &str = "MASCARET_TEST_WORDS";
const FILTER: &str = "MASCARET_TEST_FILTER";
const HANDOVER: &str = "MASCARET_TEST_HANDOVER";
const CERTIFICATES: &str = "MASCARET_TEST_CERTIFICATES";

/// A process of ours that says one line when it is ready, and ends when its stdin does.
pub(crate) struct Process {
    child: Child,
    /// The words of its line.
    pub(crate) said: Vec<String>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn of(be: &str, words: &str, cluster: &Cluster) -> Self {
        Self::by(Command::new(std::env::current_exe().unwrap()), be, words, cluster).until_ready()
    }

    fn by(mut command: Command, be: &str, words: &str, cluster: &Cluster) -> Self {
        command.args(["--exact", TEST, "--nocapture"]).env(BE, be).env(WORDS, words);
        command.env(CERTIFICATES, cluster.directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node::program::dies_with_us(&mut command).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, said: Vec::new(), stdout }
    }

    fn until_ready(mut self) -> Self {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended before it was ready");
            if let Some((_, said)) = line.trim_end().split_once("ready: ") {
                self.said = said.split(' ').map(str::to_owned).collect();
                return self;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn ends(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where it has ended already there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
}

fn say(words: &str) {
    println!("ready: {words}");
    std::io::stdout().flush().unwrap();
}

/// Says the line, and waits for the end.
pub(crate) fn ready(words: &str) {
    say(words);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Is an edge, if told so; else what `other` is. Nothing at all in an ordinary run.
pub(crate) fn be_one_if_told(other: impl FnOnce(&str, &str)) {
    let (Ok(be), Ok(words)) = (std::env::var(BE), std::env::var(WORDS)) else { return };
    if !matches!(be.as_str(), "edge" | "program") {
        return other(&be, &words);
    }
    let certificates = CertificateSettings {
        directory: std::env::var_os(CERTIFICATES).unwrap().into(),
        ..CertificateSettings::default()
    };
    let node = NodeSettings {
        operator: OperatorSettings {
            listen: Address(super::any()),
            handover: std::env::var_os(HANDOVER).map(PathBuf::from),
        },
        certificates,
        ..NodeSettings::default()
    };
    if let Ok(filter) = std::env::var(FILTER) {
        // As Docker does it, for the whole process.
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let programs = seccompiler::compile_from_json(filter.as_bytes(), arch).unwrap();
        seccompiler::apply_filter_all_threads(&programs["mascaret"]).unwrap();
    }
    if be == "program" {
        // As the program does it: signals, sockets of systemd or of a predecessor, the service manager.
        let node = Node::start("edge", &node).unwrap();
        let running = edge::start(toml::from_str(&words).unwrap(), &node).unwrap();
        say(&format!("{} {}", node.operator.address(), join(running.addresses())));
        node.stop.wait_blocking();
        return running.end().unwrap();
    }
    let node = Node::with_stop("edge", &node, Stop::new()).unwrap();
    let running = edge::start(toml::from_str(&words).unwrap(), &node).unwrap();
    ready(&format!("{} {}", node.operator.address(), join(running.addresses())));
    node.stop.signal();
    running.end().unwrap();
}

/// An edge's process.
pub(crate) struct EdgeProcess {
    process: Process,
    pub(crate) operator: SocketAddr,
    /// Where viewers connect: HTTP, HTTPS.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl EdgeProcess {
    pub(crate) fn start(cluster: &Cluster, settings: &Settings) -> Self {
        Self::of(Process::of("edge", &toml::to_string(settings).unwrap(), cluster))
    }

    /// As the program runs it, taking over from who is at `path`.
    pub(crate) fn relieving(cluster: &Cluster, settings: &Settings, path: &Path) -> Self {
        Self::of(Self::spawn(cluster, settings, Some(path)).until_ready())
    }

    /// The same, not ready yet.
    pub(crate) fn spawn(cluster: &Cluster, settings: &Settings, path: Option<&Path>) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        path.map(|path| command.env(HANDOVER, path));
        Process::by(command, "program", &toml::to_string(settings).unwrap(), cluster)
    }

    /// Under a seccomp filter, in seccompiler's words.
    pub(crate) fn filtered(cluster: &Cluster, settings: &Settings, filter: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(FILTER, filter);
        let words = toml::to_string(settings).unwrap();
        Self::of(Process::by(command, "program", &words, cluster).until_ready())
    }

    /// With a service manager to tell, and a watchdog.
    pub(crate) fn managed(cluster: &Cluster, settings: &Settings, notify: &Path, watchdog: Duration) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        let words = toml::to_string(settings).unwrap();
        Self::of(Process::by(command, "program", &words, cluster).until_ready())
    }

    /// As systemd starts it, with `http` and `https` open already.
    pub(crate) fn activated(cluster: &Cluster, settings: &Settings, sockets: &[BorrowedFd<'_>; 2]) -> Self {
        // A shell, since LISTEN_PID is known only in the child; of its copies of the sockets only 3 and 4 stay open.
        let copies = sockets.map(|socket| socket.try_clone_to_owned().unwrap());
        copies.iter().for_each(|it| rustix::io::fcntl_setfd(it, rustix::io::FdFlags::empty()).unwrap());
        let [http, https] = copies.each_ref().map(AsRawFd::as_raw_fd);
        let script = format!(
            "exec {{a}}<&{http} {{b}}<&{https} {http}<&- {https}<&-; exec 3<&$a 4<&$b; exec {{a}}<&- {{b}}<&-; \
             LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:https exec \"$0\" \"$@\""
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(std::env::current_exe().unwrap());
        let words = toml::to_string(settings).unwrap();
        Self::of(Process::by(command, "program", &words, cluster).until_ready())
    }

    fn of(process: Process) -> Self {
        let mut said = process.said.iter().map(|it| it.parse().unwrap());
        Self { operator: said.next().unwrap(), addresses: said.collect(), process }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// One of percore's counts, summed over the cores.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let metrics = Viewer::at(self.operator).get("/metrics").text();
        let of_core = |line: &&str| {
            let name_and_kind = line.strip_prefix("mascaret_edge_core_").and_then(|it| it.split_once('{'));
            name_and_kind.is_some_and(|(known, _)| known.strip_suffix("_total").unwrap_or(known) == name)
        };
        let lines: Vec<_> = metrics.lines().filter(of_core).collect();
        assert!(!lines.is_empty(), "/metrics shows no {name}");
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Waits until one of percore's counts is as wished.
    pub(crate) fn until(&self, name: &str, is_so: impl Fn(u64) -> bool) -> u64 {
        until(&format!("{name}, which is {}", self.count(name)), || {
            Some(self.count(name)).filter(|it| is_so(*it))
        })
    }

    /// Memory of its own that is resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Files it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    pub(crate) fn ends(self) {
        self.process.ends();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has ended by itself, well.
    pub(crate) fn ended(mut self) {
        assert!(self.process.child.wait().unwrap().success());
    }
}
