//! Viewers and publishers that can do nothing with a playlist or a redirect: their TCP is passed through to an edge,
//! or to an ingest, and not looked into.
//!
//! Lives here: listeners, which end a connection gets, and the bytes. Does not live here: what edges there are
//! (`hub`). With TLS the name the client asks for is read from its ClientHello, which is then passed on as it came:
//! the certificate is the edge's.
//!
//! ```text
//! client ── accept ── ClientHello? ── choose ── connect ── PROXY? ══ splice(2) both ways ══ edge or ingest
//! ```

mod ends;
mod hello;
mod pass;
mod settings;

pub use settings::L4Settings;

use crate::hub::Fleet;
use ends::Ends;
use hello::{HELLO_BYTES, HelloReader, Read};
use node::Stop;
use pass::Passed;
use proxy::Between;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// From accept to the end of the ClientHello. A client that is slower is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Threads that pass bytes on: they copy none, so a few carry what the card does.
const PASSING_THREADS: usize = 4;

/// What is counted, for all listeners together.
#[derive(Debug, Default)]
pub(crate) struct L4Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_no_end: AtomicU64,
    pub(crate) bad_hello: AtomicU64,
    pub(crate) connect_failed: AtomicU64,
    pub(crate) cut_idle: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) bytes_copied: AtomicU64,
}

/// Their sockets, in the order of the settings, and where those are. Nobody is accepted yet: who comes waits.
pub(crate) fn doors(
    settings: &[L4Settings],
    mut listen: impl FnMut(&str, SocketAddr) -> io::Result<std::net::TcpListener>,
) -> io::Result<(Vec<std::net::TcpListener>, Vec<SocketAddr>)> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for settings in settings {
        let at = settings.listen.0;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{at}: {error}"));
        let listener = listen(&format!("l4 {at}"), at).map_err(named)?;
        listener.set_nonblocking(true)?;
        addresses.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

/// When to accept no more, and how long connections that run may go on then.
#[derive(Debug)]
pub(crate) struct L4Stop {
    pub(crate) stop: Stop,
    pub(crate) within: Duration,
}

/// Accepts at all of them, on threads of their own, until stopped; joining waits for what runs, as long as it may.
pub(crate) fn start(
    settings: &[L4Settings],
    listeners: Vec<std::net::TcpListener>,
    fleet: &Arc<Mutex<Fleet>>,
    counts: &Arc<L4Counts>,
    L4Stop { stop, within }: L4Stop,
) -> io::Result<Option<JoinHandle<()>>> {
    if settings.is_empty() {
        return Ok(None);
    }
    let mut doors = Vec::new();
    for (settings, listener) in settings.iter().zip(listeners) {
        let ends = Ends::new(settings, Arc::clone(fleet));
        let seats = Arc::new(Semaphore::new(settings.connections.value() as usize));
        doors.push((
            listener,
            Arc::new(Door { settings: settings.clone(), ends, seats, counts: Arc::clone(counts) }),
        ));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(PASSING_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("l4")
        .enable_all()
        .build()?;
    let counts = Arc::clone(counts);
    let thread = std::thread::Builder::new().name("l4".into()).spawn(move || {
        runtime.block_on(async {
            let accepting: Vec<_> =
                doors.into_iter().map(|(listener, door)| tokio::spawn(door.accept(listener))).collect();
            stop.wait().await;
            accepting.iter().for_each(|task| task.abort());
            let until = tokio::time::Instant::now() + within;
            while counts.open.load(Relaxed) > 0 && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        runtime.shutdown_background();
    })?;
    Ok(Some(thread))
}

/// One listener.
struct Door {
    settings: L4Settings,
    ends: Ends,
    seats: Arc<Semaphore>,
    counts: Arc<L4Counts>,
}

impl Door {
    async fn accept(self: Arc<Self>, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "an lb.l4 listener cannot be waited for"),
        };
        loop {
            let (client, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: they come back when connections end.
                    tracing::warn!(%error, "lb.l4 cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
                self.counts.refused_full.fetch_add(1, Relaxed);
                continue;
            };
            let door = Arc::clone(&self);
            // Counted before its task has its first turn: who stops in between waits for it as well.
            self.counts.accepted.fetch_add(1, Relaxed);
            self.counts.open.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                door.serve(client, from).await;
                door.counts.open.fetch_sub(1, Relaxed);
                drop(seat);
            });
        }
    }

    async fn serve(&self, mut client: TcpStream, from: SocketAddr) {
        let (name, mut first) = if self.settings.tls {
            match tokio::time::timeout(HELLO_WITHIN, read_hello(&mut client)).await {
                Ok(Ok(read)) => read,
                Ok(Err(_)) | Err(_) => {
                    self.counts.bad_hello.fetch_add(1, Relaxed);
                    return;
                }
            }
        } else {
            (None, Vec::new())
        };
        let (failed, connected) = self.ends.connect(name.as_deref(), self.settings.connect.duration()).await;
        self.counts.connect_failed.fetch_add(failed, Relaxed);
        let Some(end) = connected else {
            self.counts.refused_no_end.fetch_add(1, Relaxed);
            return;
        };
        if self.settings.proxy_protocol {
            let to = client.local_addr().unwrap_or(self.settings.listen.0);
            first.splice(0..0, proxy::head(Between { from, to }));
        }
        let (Passed { up, down, copied }, is_idle) =
            pass::both_ways(&client, &end, &first, self.settings.idle.duration()).await;
        self.counts.bytes_in.fetch_add(up, Relaxed);
        self.counts.bytes_out.fetch_add(down, Relaxed);
        self.counts.bytes_copied.fetch_add(copied, Relaxed);
        self.counts.cut_idle.fetch_add(u64::from(is_idle), Relaxed);
    }
}

/// The name the client asks for, if it asks for one, and what was read of it.
async fn read_hello(client: &mut TcpStream) -> io::Result<(Option<String>, Vec<u8>)> {
    let mut reader = HelloReader::default();
    let mut piece = vec![0; HELLO_BYTES];
    loop {
        let len = client.read(&mut piece).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match reader.push(&piece[..len]) {
            Read::More => {}
            Read::Whole(name) => return Ok((name, reader.into_bytes())),
            Read::Strange => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
