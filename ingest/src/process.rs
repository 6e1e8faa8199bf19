//! The transcode process: started, spoken to over its pipes, ended.
//!
//! Lives here: the child, its pipes and the tasks that read and write them. Does not live here: when one is
//! started and what it is told (`line`), or what it does (`transcode`).

use crate::line::{Generation, Input};
use ladder::{Message, Order, ReportReader};
use node::program::NotFound;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

/// Bytes of orders that wait for the pipe. Past it the publisher is not read: its own TCP window holds it.
/// What is told again to a new process (`kept`) comes on top.
pub(crate) const ORDERS_BYTES: usize = 8 << 20;

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    memory_bytes: u64,
}

impl Program {
    /// The program by setting, by `MASCARET_TRANSCODE`, beside this one, or in `$PATH`.
    pub(crate) fn find(setting: Option<&Path>, memory_bytes: u64) -> Result<Self, NotFound> {
        Ok(Self { path: node::program::transcode(setting)?, memory_bytes })
    }
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    generation: Generation,
    orders: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    kill: Option<tokio::sync::oneshot::Sender<()>>,
    pid: Option<u32>,
}

impl Process {
    /// Starts one; what it says comes to `inbox` as [`Input::Report`], and its end as [`Input::ProcessGone`].
    pub(crate) fn start(
        program: &Program,
        generation: Generation,
        broadcast: &media::BroadcastId,
        inbox: mpsc::Sender<Input>,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(&program.path);
        command
            .args(["--memory-limit".to_string(), (program.memory_bytes >> 20).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("a child's pipes are missing"));
        };
        let queued = Arc::new(AtomicUsize::new(0));
        let (orders, waiting) = mpsc::unbounded_channel();
        let (kill, killed) = tokio::sync::oneshot::channel();
        let pid = child.id();
        tokio::spawn(write(stdin, waiting, queued.clone()));
        let name = broadcast.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::warn!(broadcast = %name, "transcode: {line}");
            }
        });
        tokio::spawn(listen(stdout, child, generation, inbox, killed));
        Ok(Self { generation, orders, queued, kill: Some(kill), pid })
    }

    /// Which process this is.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Its process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// One more order. An order the pipe cannot carry is left out, and said.
    pub(crate) fn order(&self, order: &Order) {
        let mut bytes = Vec::new();
        if let Err(error) = order.encode(&mut bytes) {
            tracing::warn!("an order is left out: {error}");
            return;
        }
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        // A process that is gone reports so itself.
        let _ = self.orders.send(bytes);
    }

    /// Bytes of orders that wait for the pipe.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Ends it now.
    pub(crate) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
    }
}

async fn write(
    mut stdin: ChildStdin,
    mut waiting: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
) {
    while let Some(bytes) = waiting.recv().await {
        let written = stdin.write_all(&bytes).await;
        queued.fetch_sub(bytes.len(), Ordering::Relaxed);
        if written.is_err() {
            // Its end is reported by whoever reads it.
            waiting.close();
            while let Ok(bytes) = waiting.try_recv() {
                queued.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            return;
        }
    }
}

async fn listen(
    mut stdout: ChildStdout,
    mut child: Child,
    generation: Generation,
    inbox: mpsc::Sender<Input>,
    killed: tokio::sync::oneshot::Receiver<()>,
) {
    let mut reader = ReportReader::new();
    let read_all = async {
        loop {
            reader.room().reserve(64 << 10);
            match stdout.read_buf(reader.room()).await {
                Ok(0) => return None,
                Err(error) => return Some(format!("its pipe cannot be read: {error}")),
                Ok(_) => {}
            }
            loop {
                match reader.pull() {
                    Ok(Some(report)) => {
                        if inbox.send(Input::Report(generation, report)).await.is_err() {
                            return None;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Some(format!("it said something unreadable: {error}")),
                }
            }
        }
    };
    let why = tokio::select! {
        why = read_all => why,
        _ = killed => Some("it was ended".into()),
    };
    // Harmless where it has ended already.
    let _ = child.start_kill();
    let status = child.wait().await;
    let why = why.unwrap_or_else(|| match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("its end is unknown: {error}"),
    });
    let _ = inbox.send(Input::ProcessGone(generation, why)).await;
}
