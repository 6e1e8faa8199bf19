//! A real PostgreSQL of Debian's, started here: a primary, and a standby that has everything before it is acknowledged.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test's own tool: what goes wrong here fails the test")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The user PostgreSQL runs as where we are root, which it refuses: nobody.
const NOBODY: u32 = 65_534;

/// Where Debian has PostgreSQL's programs; nothing where it is not installed.
pub fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    versions.pop().filter(|bin| bin.join("initdb").exists())
}

fn as_user(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "--"]);
    command.arg(program);
    command
}

fn run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Below those the kernel gives to who asks for any, so that nobody has it when the server comes to it.
fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16;
    loop {
        let port = 10_000 + first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(bin: &Path, folder: &Path, port: u16, settings: &[String]) -> Child {
    let log = std::fs::File::create(folder.with_extension("log")).unwrap();
    let mut command = as_user(&bin.join("postgres"));
    command.arg("-D").arg(folder).arg("-k").arg(folder.parent().unwrap());
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    // A standby that has lost its primary looks for another source so often, and for its promotion with it.
    command.args(["-c", "wal_retrieve_retry_interval=200ms"]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// One running server.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    process: Child,
    bin: PathBuf,
    settings: Vec<String>,
}

impl Server {
    fn start(bin: &Path, folder: &Path, port: u16, settings: &[String]) -> Self {
        let process = spawn(bin, folder, port, settings);
        let (folder, bin, settings) = (folder.to_owned(), bin.to_owned(), settings.to_vec());
        let server = Self { port, folder, process, bin, settings };
        server.wait_for("SELECT 1", "1");
        server
    }

    /// The machine is there again, with what its disk held.
    pub fn revive(&mut self) {
        self.process = spawn(&self.bin, &self.folder, self.port, &self.settings);
        self.wait_for("SELECT 1", "1");
    }

    /// What `psql` says to a text.
    pub fn ask(&self, text: &str) -> Option<String> {
        let output = as_user(&self.bin.join("psql"))
            // Of whoever started the tests it may read nothing.
            .env("HOME", "/nonexistent")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "mascaret",
                "-d",
                "postgres",
                "-Atc",
                text,
            ])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Waits until it says so.
    pub fn wait_for(&self, text: &str, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.ask(text).as_deref() != Some(wanted) {
            let log = || std::fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default();
            assert!(Instant::now() < until, "{text} was not {wanted}: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The postmaster and everything it started.
    fn processes(&self) -> Vec<String> {
        let own = self.process.id();
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        std::iter::once(own.to_string()).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    fn signal(&self, signal: &str) {
        for process in self.processes() {
            // One that has ended already is as good as struck.
            let _ = Command::new("kill").args([signal, &process]).stderr(Stdio::null()).status();
        }
    }

    /// SIGKILL to all of them: the machine is gone.
    pub fn kill(&mut self) {
        self.signal("-9");
        self.process.wait().unwrap();
    }

    /// SIGSTOP to all of them: the machine takes connections, and nobody answers.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    /// Makes a standby the primary; asks for it and does not wait.
    pub fn promote(&self) {
        // The next transaction needs no standby of its own.
        self.ask("SELECT pg_promote(false)").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// A primary and its synchronous standby.
pub struct Pair {
    pub primary: Server,
    pub standby: Server,
    _folder: tempfile::TempDir,
}

fn own(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    // Fails where we are not root, and then it is ours already.
    let _ = std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY));
}

fn new_primary(bin: &Path, folder: &Path) -> PathBuf {
    own(folder, 0o700);
    let primary = folder.join("primary");
    let mut init = as_user(&bin.join("initdb"));
    init.arg("-D").arg(&primary).args([
        "-U",
        "mascaret",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    run(init);
    primary
}

/// A primary alone.
pub fn single() -> Option<(Server, tempfile::TempDir)> {
    let bin = programs()?;
    let folder = tempfile::tempdir().unwrap();
    let primary = new_primary(&bin, folder.path());
    Some((Server::start(&bin, &primary, free_port(), &[]), folder))
}

/// A primary that takes nobody without TLS, and shows this certificate of `certs` ("https", "cluster").
pub fn sealed(certs: &Path, shows: &str) -> Option<(Server, tempfile::TempDir)> {
    let bin = programs()?;
    let folder = tempfile::tempdir().unwrap();
    let primary = new_primary(&bin, folder.path());
    let mut settings = vec!["ssl=on".to_owned()];
    for (setting, end) in [("ssl_cert_file", "pem"), ("ssl_key_file", "key")] {
        let file = primary.join(format!("shown.{end}"));
        std::fs::copy(certs.join(format!("{shows}.{end}")), &file).unwrap();
        own(&file, 0o600);
        settings.push(format!("{setting}={}", file.display()));
    }
    std::fs::write(primary.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
    Some((Server::start(&bin, &primary, free_port(), &settings), folder))
}

/// Both.
pub fn pair() -> Option<Pair> {
    let bin = programs()?;
    let folder = tempfile::tempdir().unwrap();
    let primary = new_primary(&bin, folder.path());
    let primary = Server::start(&bin, &primary, free_port(), &[]);
    let standby = folder.path().join("standby");
    let mut copy = as_user(&bin.join("pg_basebackup"));
    copy.arg("-D").arg(&standby).args(["-R", "-c", "fast", "-U", "mascaret", "--no-sync"]);
    copy.args(["-d", &format!("host=127.0.0.1 port={} application_name=standby", primary.port)]);
    run(copy);
    let standby = Server::start(&bin, &standby, free_port(), &[]);
    // Only now: without a standby nothing would ever be acknowledged.
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'").unwrap();
    primary.ask("SELECT pg_reload_conf()").unwrap();
    primary.wait_for("SELECT sync_state FROM pg_stat_replication", "sync");
    // The copy took the primary's settings before that one was made.
    Some(Pair { primary, standby, _folder: folder })
}

/// The address of these.
pub fn address(servers: &[&Server]) -> String {
    let ports: Vec<String> = servers.iter().map(|server| server.port.to_string()).collect();
    let hosts = vec!["127.0.0.1"; servers.len()];
    format!("host={} port={} user=mascaret dbname=postgres", hosts.join(","), ports.join(","))
}
