//! A service that answers lines, run on each driver in turn, and peers that speak to it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests; Clippy does not see that of a module beside them")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use percore::rustls::crypto::aws_lc_rs::default_provider;
use percore::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use percore::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use percore::{
    Body, Config, ConnectionId, CoreIndex, Driver, Inode, KernelTls, Limits, Listen, Running, Service,
    TlsSource, Turn,
};

/// What a connection of `Lines` is doing.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Doing {
    #[default]
    Nothing,
    Answering,
}

/// Answers one line after the other:
/// `echo X` with X · `inode` with the inode · `head` with its head · `range F L` with a piece of its body · `wait` with what
/// `Tell::Release` says · `tell` with what `Tell::Shout` says, again and again · `flood N` with N bodies of one byte · `bye X` with X, then finish · `abort` with a reset ·
/// `never` with nothing.
pub struct Lines {
    pub inode: Arc<Inode>,
    pub waiting: Vec<ConnectionId>,
    pub closed: Option<std::sync::mpsc::Sender<ConnectionId>>,
}

/// What tests tell the cores.
#[derive(Clone, Debug)]
pub enum Tell {
    /// Answer all who wait.
    Release(Bytes),
    /// Send this to all who have ever waited, gone or not.
    Shout(Bytes),
}

impl Service for Lines {
    type Message = Tell;
    type State = Doing;

    fn received(&mut self, turn: &mut Turn<'_>, id: ConnectionId, state: &mut Doing, input: &[u8]) -> usize {
        if *state == Doing::Answering {
            return 0;
        }
        let Some(end) = input.iter().position(|it| *it == b'\n') else { return 0 };
        let line = std::str::from_utf8(&input[..end]).unwrap_or("?");
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        *state = Doing::Answering;
        match verb {
            "echo" => turn.send(id, Bytes::copy_from_slice(format!("{rest}\n").as_bytes())),
            "inode" => turn.send(id, Body::whole(Arc::clone(&self.inode))),
            "head" => turn.send(id, Body::head(Arc::clone(&self.inode))),
            "range" => {
                let (from, len) = rest.split_once(' ').unwrap();
                turn.send(id, Bytes::from_static(b"piece:"));
                turn.send(
                    id,
                    Body::range(Arc::clone(&self.inode), from.parse().unwrap(), len.parse().unwrap()),
                );
            }
            "wait" => self.waiting.push(id),
            "tell" => {
                turn.goes_on(id);
                turn.send(id, Bytes::from_static(b"listen\n"));
                self.waiting.push(id);
            }
            "flood" => {
                for _ in 0..rest.parse().unwrap() {
                    turn.send(id, Bytes::from_static(b"x"));
                }
            }
            "bye" => {
                turn.send(id, Bytes::copy_from_slice(format!("{rest}\n").as_bytes()));
                turn.finish(id);
            }
            "abort" => turn.abort(id),
            "never" => {}
            _ => {
                turn.send(id, Bytes::from_static(b"what?\n"));
                turn.finish(id);
            }
        }
        end + 1
    }

    fn message(&mut self, turn: &mut Turn<'_>, message: Tell) {
        match message {
            Tell::Release(bytes) => {
                for id in self.waiting.drain(..) {
                    turn.send(id, bytes.clone());
                }
            }
            Tell::Shout(bytes) => {
                for id in &self.waiting {
                    turn.send(*id, bytes.clone());
                }
            }
        }
    }

    fn sent(&mut self, _: &mut Turn<'_>, _: ConnectionId, state: &mut Doing) {
        *state = Doing::Nothing;
    }

    fn late(&mut self, turn: &mut Turn<'_>, id: ConnectionId, _: &mut Doing) {
        turn.send(id, Bytes::from_static(b"too late\n"));
    }

    fn closed(&mut self, _: &mut Turn<'_>, id: ConnectionId, _: Doing) {
        if let Some(closed) = &self.closed {
            let _ = closed.send(id);
        }
    }

    fn draining(&mut self, turn: &mut Turn<'_>) {
        for id in self.waiting.drain(..) {
            turn.send(id, Bytes::from_static(b"draining\n"));
        }
    }
}

pub const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

/// Runs the story once on each driver.
pub fn on_each_driver(story: impl Fn(Config)) {
    for driver in DRIVERS {
        println!("--- {driver:?}");
        story(Config {
            listeners: vec![Listen::plain(([127, 0, 0, 1], 0).into())],
            cores: 2,
            driver,
            kernel_tls: kernel_tls(),
            limits: patient(),
            ..Config::default()
        });
    }
}

/// `make ktls` runs these stories once more, where the kernel makes the records of TLS.
pub fn kernel_tls() -> KernelTls {
    match std::env::var_os("MASCARET_KERNEL_TLS") {
        Some(_) => KernelTls::Auto,
        None => KernelTls::Off,
    }
}

/// The machine of `make ktls` is emulated: forty handshakes at once take longer than a stranger may.
fn patient() -> Limits {
    match kernel_tls() {
        KernelTls::Auto => Limits { handshake: Duration::from_secs(60), ..Limits::default() },
        KernelTls::Off => Limits::default(),
    }
}

/// Cores that answer lines.
pub struct Lit {
    pub running: Running<Tell>,
    pub plain: SocketAddr,
    pub closed: std::sync::mpsc::Receiver<ConnectionId>,
}

pub fn lines(config: Config) -> Lit {
    lines_with(config, Inode::write(b"HEAD\n", &pattern(1024 * 1024)).unwrap())
}

pub fn lines_with(config: Config, inode: Inode) -> Lit {
    let inode = Arc::new(inode);
    let (tell, closed) = std::sync::mpsc::channel();
    let running = percore::start(config, move |_: CoreIndex| Lines {
        inode: Arc::clone(&inode),
        waiting: Vec::new(),
        closed: Some(tell.clone()),
    })
    .unwrap();
    let plain = running.addresses()[0];
    Lit { running, plain, closed }
}

impl Lit {
    pub fn connect(&self) -> TcpStream {
        connect(self.plain)
    }

    /// Stops the cores, and sees that nothing was left behind.
    pub fn stop(self) {
        self.running.stop();
        let handle = self.running.handle();
        self.running.join().unwrap();
        assert_eq!(handle.counters().total.open, 0, "every connection is dismissed");
    }

    /// Waits until the counters are as wished.
    pub fn until(&self, what: &str, is_so: impl Fn(&percore::CoreCounts) -> bool) -> percore::CoreCounts {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let counts = self.running.counters().total;
            if is_so(&counts) {
                return counts;
            }
            assert!(Instant::now() < until, "not within 10 s: {what}; {counts:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Says `line` and reads as many bytes as `expected` has.
pub fn ask(stream: &mut (impl Read + Write), line: &str, expected: &str) {
    stream.write_all(line.as_bytes()).unwrap();
    assert_eq!(hear(stream, expected.len()), expected.as_bytes());
}

pub fn hear(stream: &mut impl Read, len: usize) -> Vec<u8> {
    let mut heard = vec![0; len];
    stream.read_exact(&mut heard).unwrap();
    heard
}

/// Reads to the end, which must be an orderly one.
pub fn hear_all(stream: &mut impl Read) -> Vec<u8> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

/// Whether the peer has closed or reset by now or within 20 s.
pub fn is_closed(stream: &mut impl Read) -> bool {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Bytes of which no two nearby runs are alike, so that a byte in the wrong place is seen.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u8).collect()
}

pub fn limits() -> Limits {
    Limits::default()
}

/// A certificate of our own for `localhost`.
pub fn certificate() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (vec![made.cert.der().clone()], key.into())
}

/// The same story's configuration with TLS instead, and who trusts it.
pub fn with_tls(config: Config) -> (Config, TlsSource, CertificateDer<'static>) {
    let (chain, key) = certificate();
    let certificate = chain[0].clone();
    let source = TlsSource::new(chain, key).unwrap();
    let listeners = vec![Listen::tls(([127, 0, 0, 1], 0).into(), source.clone())];
    (Config { listeners, ..config }, source, certificate)
}

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

pub fn tls_client(
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub fn tls_connect(address: SocketAddr, client: &Arc<ClientConfig>) -> TlsStream {
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(Arc::clone(client), name).unwrap();
    StreamOwned::new(session, connect(address))
}
