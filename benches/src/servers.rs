//! A server as a child process: in the servers' namespace, pinned, its output in a file, ended with us.

use crate::error::BenchError;
use crate::ground::{Space, run};
use crate::meter::family;
use crate::viewers::PATIENCE;
use node::program::dies_with_us;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program on these cores (`0` or `0,1`) once nobody listens on its ports; returns when it does.
    pub(crate) fn start(
        name: &str,
        cores: &str,
        words: &[String],
        ports: &[u16],
        logs: &Path,
    ) -> Result<Self, BenchError> {
        for port in ports {
            if listens(*port)? {
                let who = run(&[
                    "ip",
                    "netns",
                    "exec",
                    Space::Server.name(),
                    "ss",
                    "-Hltnp",
                    "sport",
                    "=",
                    &port.to_string(),
                ]);
                return Err(BenchError::Refused(format!(
                    "{name}: port {port} is taken by another: {}",
                    who.unwrap_or_default().trim()
                )));
            }
        }
        let log_path = logs.join(format!("{name}.log"));
        let log = File::create(&log_path).map_err(BenchError::when(log_path.display().to_string()))?;
        let also = log.try_clone().map_err(BenchError::when("a log"))?;
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", Space::Server.name(), "taskset", "-c", cores])
            .args(words)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            // Ctrl-C is for us; we end the others.
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("MASCARET_")) {
                command.env_remove(name);
            }
        }
        let child = dies_with_us(&mut command).spawn().map_err(BenchError::when(words.join(" ")))?;
        let mut server = Self { child, log: log_path };
        let until = Instant::now() + PATIENCE;
        for port in ports {
            while !listens(*port)? {
                if server.child.try_wait().ok().flatten().is_some() || Instant::now() > until {
                    let log = fs::read_to_string(&server.log).unwrap_or_default();
                    return Err(BenchError::answer(name, format!("does not listen on {port}: {log}")));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(server)
    }

    /// Its process and those it started.
    pub(crate) fn pids(&self) -> Vec<u32> {
        family(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By SIGTERM first: nginx ends its worker itself.
        let pids = self.pids();
        let _ = run(&["kill", &self.child.id().to_string()]);
        let until = Instant::now() + Duration::from_secs(1);
        while self.child.try_wait().ok().flatten().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in pids.iter().skip(1).filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = run(&["kill", "-9", &pid.to_string()]);
        }
    }
}

/// Whether somebody accepts connections there.
fn listens(port: u16) -> Result<bool, BenchError> {
    Space::Server.within(|| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    })
}
