//! What a runtime is told at start: where to listen, on how many cores, by which driver, within which limits.
//!
//! Lives here: plain values and their defaults. Does not live here: reading them from a settings file (the roles
//! do), or obeying them (`start`, `engine`).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::TlsSource;

/// Everything [`crate::start`] has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Every core listens on every one of them (`SO_REUSEPORT`).
    pub listeners: Vec<Listen>,
    /// How many cores, each with a thread, a ring and a service of its own. 0: as many as this process may use.
    pub cores: usize,
    /// Whether core `n` is pinned to the `n`-th processor this process may use.
    pub pin: bool,
    /// By which system interface the cores wait.
    pub driver: Driver,
    /// How an [`crate::Inode`] travels to a plain connection.
    pub data_path: DataPath,
    /// Whether the kernel makes the records of TLS connections, so that inodes travel to them by sendfile(2) too.
    pub kernel_tls: KernelTls,
    /// What a stranger may take.
    pub limits: Limits,
    /// Proxies before us. Who connects from there may say for whom, by PROXY protocol version 2, and is counted as that
    /// address; one that says nothing of the kind is taken as it is. Default: none.
    pub proxies: Vec<proxy::Network>,
    /// Whether the cores wait for [`crate::Handle::accept`] before they accept anybody; meanwhile the kernel holds who
    /// comes, up to the backlog.
    pub waits: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            cores: 0,
            pin: false,
            driver: Driver::Auto,
            data_path: DataPath::Auto,
            kernel_tls: KernelTls::Off,
            limits: Limits::default(),
            proxies: Vec::new(),
            waits: false,
        }
    }
}

impl Config {
    /// How many cores [`crate::start`] will use.
    pub fn core_count(&self) -> usize {
        match self.cores {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            n => n,
        }
    }
}

/// One address to listen on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listen {
    /// Address and port; port 0 lets the kernel choose one, the same on every core.
    pub address: SocketAddr,
    /// With a certificate, every connection speaks TLS first.
    pub tls: Option<TlsSource>,
    /// Whether another process may hold this port too (a restart that refuses nobody hands over this way).
    /// Otherwise a port that anybody listens on is an error: `SO_REUSEPORT` would silently share its viewers.
    pub is_shared: bool,
    /// Sockets that listen already, from [`crate::bind`], another process or a service manager; if there are any, none
    /// is opened. Each core gets its share of them, or a copy where there are fewer than cores.
    pub sockets: Vec<Arc<OwnedFd>>,
}

impl Listen {
    /// Listens without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, is_shared: false, sockets: Vec::new() }
    }

    /// Listens with TLS.
    pub fn tls(address: SocketAddr, source: TlsSource) -> Self {
        Self { address, tls: Some(source), is_shared: false, sockets: Vec::new() }
    }

    /// The same, on a port that may be shared with another process.
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// The same on sockets that listen already.
    pub fn on(self, sockets: Vec<Arc<OwnedFd>>) -> Self {
        Self { sockets, ..self }
    }
}

/// By which system interface the cores wait. The behaviour is the same; the same tests run on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where it works, else epoll, with one log line that says why.
    #[default]
    Auto,
    /// io_uring (Linux 6.0 or newer), or an error at start.
    IoUring,
    /// epoll.
    Epoll,
}

/// How an [`crate::Inode`] travels to a plain connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPath {
    /// What measured best: sendfile(2), and a copy for bodies up to 256 KB.
    #[default]
    Auto,
    /// sendfile(2), non-blocking, the whole remainder per call.
    Sendfile,
    /// `IORING_OP_SEND_ZC` from the mapped inode; on epoll this is the same as [`DataPath::Sendfile`].
    SendZc,
    /// send(2) from the mapped inode: one copy in the kernel.
    Copy,
}

/// Whether the kernel makes the records of TLS connections once their handshake is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelTls {
    /// Where it can: Linux with the module `tls`, for AES-GCM and ChaCha20-Poly1305. One log line at start says so.
    Auto,
    /// Never.
    #[default]
    Off,
}

/// A choice as settings write it.
macro_rules! written {
    ($type:ident: $($word:literal => $choice:ident),+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$choice => $word),+ })
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$choice),)+
                    _ => Err(format!("{text:?} is not allowed; allowed is {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

written!(Driver: "auto" => Auto, "io_uring" => IoUring, "epoll" => Epoll);
written!(KernelTls: "auto" => Auto, "off" => Off);
written!(DataPath: "auto" => Auto, "sendfile" => Sendfile, "send_zc" => SendZc, "copy" => Copy);

/// What a stranger may take. Each bound has a counter in [`crate::CoreCounts`] that says how often it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections per core. One more is accepted and closed at once (`refused_full`).
    pub connections_per_core: usize,
    /// Open connections per IPv4 address or IPv6 /64, over all cores. One more is closed at once
    /// (`refused_address`).
    pub connections_per_address: usize,
    /// From accept to a finished TLS handshake (`cut_handshake`).
    pub handshake: Duration,
    /// From the first byte of a request until the service consumed it (`cut_header`).
    pub header: Duration,
    /// From a consumed request until the service handed over an answer (`cut_unanswered`). Longer than the longest
    /// blocking playlist reload.
    pub answer: Duration,
    /// Without a request, before the first and between two (`cut_idle`).
    pub idle: Duration,
    /// What a reader must take of an answer, in bytes per second, counted in acknowledged bytes over every
    /// `drain_window` while it holds us up (`cut_slow`).
    pub drain_rate_min: u64,
    /// How long a slow reader is watched before it is judged.
    pub drain_window: Duration,
    /// From handing over an answer's first body until all that was handed over has left (`cut_overdue`).
    pub write: Duration,
    /// After [`crate::Turn::finish`]: how long what the peer still sends is read and thrown away, so that its
    /// kernel does not discard our answer on a reset.
    pub linger: Duration,
    /// Inbound bytes kept per connection while the service does not consume them: one request head. Above it we
    /// stop reading; what the kernel had already handed over is kept up to [`crate::INBOUND_OVERSHOOT`] more, then
    /// the connection is cut (`cut_inbound`).
    pub inbound_bytes: usize,
    /// Inbound bytes kept per core, over all its connections. Whoever wants more is cut (`cut_inbound`).
    pub inbound_bytes_per_core: usize,
    /// Bodies handed to [`crate::Turn::send`] that wait on one connection. One more cuts it (`cut_outbound`).
    pub outbound_bodies: usize,
    /// Memory held for the connections of a core: what is kept of their input, what waits to go out of memory, TLS
    /// records that wait for a socket, and a flat share for each ([`crate::PLAIN_BYTES`], [`crate::TLS_BYTES`]). At the
    /// bound those who have held us up the longest are cut until an eighth is free (`cut_memory`); one more connection
    /// for which not even its share is left is closed at once (`refused_memory`). `held_bytes` says how much it is.
    pub memory_per_core: u64,
    /// Messages that wait for one core. One more is refused to the teller ([`crate::TellError::Full`]).
    pub messages: usize,
    /// Connections that the kernel finishes and holds until a core accepts them (clamped by `net.core.somaxconn`).
    pub backlog: u32,
    /// After so much silence the kernel asks whether the peer is still there, and asks three times more, a third of it
    /// apart: finds peers that vanished without a word (`failed`).
    pub keepalive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_core: 32_768,
            connections_per_address: 4_096,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            drain_rate_min: 4 * 1024,
            drain_window: Duration::from_secs(15),
            write: Duration::from_secs(300),
            linger: Duration::from_secs(2),
            inbound_bytes: 16 * 1024,
            inbound_bytes_per_core: 64 * 1024 * 1024,
            outbound_bodies: 64,
            memory_per_core: 512 * 1024 * 1024,
            messages: 8_192,
            backlog: 4_096,
            keepalive: Duration::from_secs(30),
        }
    }
}
