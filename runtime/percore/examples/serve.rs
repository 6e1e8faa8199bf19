//! Serves one inode and one small answer by HTTP, without parsing more than it must: what the runtime costs.
//!
//! ```text
//! cargo run --release -p percore --example serve -- 127.0.0.1:8089 [epoll] [tls] [ktls] [send_zc|copy] [cores N] [size BYTES] [dir DIR|own]
//! ```
//! Any path that begins with `/s` is answered with two kilobytes from memory; `/w` with the same, but only at the next
//! even second, to all who wait at once (as a blocking playlist reload is); every other with the inode.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use percore::rustls::pki_types::PrivatePkcs8KeyDer;
use percore::{
    Body, Config, ConnectionId, DataPath, Driver, Inode, InodeStore, KernelTls, Limits, Listen, Service,
    TlsSource, Turn,
};

struct Files {
    large: Arc<Inode>,
    small: Bytes,
    waiting: Vec<ConnectionId>,
    released: Option<(Instant, usize)>,
}

impl Service for Files {
    type Message = Instant;
    type State = ();

    fn received(&mut self, turn: &mut Turn<'_>, id: ConnectionId, (): &mut (), input: &[u8]) -> usize {
        let Some(end) = input.windows(4).position(|it| it == b"\r\n\r\n") else { return 0 };
        if input.starts_with(b"GET /s") {
            turn.send(id, self.small.clone());
        } else if input.starts_with(b"GET /w") {
            self.waiting.push(id);
        } else {
            turn.send(id, Body::whole(Arc::clone(&self.large)));
        }
        end + 4
    }

    fn message(&mut self, turn: &mut Turn<'_>, told: Instant) {
        if !self.waiting.is_empty() {
            self.released = Some((told, self.waiting.len()));
        }
        for id in self.waiting.drain(..) {
            turn.send(id, self.small.clone());
        }
    }

    fn sent(&mut self, _: &mut Turn<'_>, _: ConnectionId, (): &mut ()) {
        if let Some((told, left)) = &mut self.released {
            *left -= 1;
            if *left == 0 {
                println!("the last who waited has its answer {:?} after the core was told", told.elapsed());
                self.released = None;
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let address = words.next().ok_or("which address?")?.parse()?;
    let mut config = Config {
        cores: 1,
        limits: Limits { connections_per_address: 100_000, ..Limits::default() },
        ..Config::default()
    };
    let (mut listen, mut size, mut store) = (Listen::plain(address), 1_000_000, InodeStore::memory());
    while let Some(word) = words.next() {
        match word.as_str() {
            "epoll" => config.driver = Driver::Epoll,
            "send_zc" => config.data_path = DataPath::SendZc,
            "copy" => config.data_path = DataPath::Copy,
            "own" => store = InodeStore::own_tmpfs()?,
            "ktls" => config.kernel_tls = KernelTls::Auto,
            "tls" => listen = Listen::tls(address, certificate()?),
            "cores" => config.cores = words.next().ok_or("how many?")?.parse()?,
            "size" => size = words.next().ok_or("how many bytes?")?.parse()?,
            "dir" => store = InodeStore::directory(words.next().ok_or("which?")?)?,
            other => return Err(format!("what is {other}?").into()),
        }
    }
    config.listeners.push(listen);
    let body: Vec<u8> = (0..size).map(|i| i as u8).collect();
    let head = |len| format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: {len}\r\n\r\n");
    let large = Arc::new(store.write(head(size).as_bytes(), &body)?);
    let small = Bytes::from([head(2048).as_bytes(), &[b'#'; 2048]].concat());
    let running = percore::start(config, move |_| Files {
        large: Arc::clone(&large),
        small: small.clone(),
        waiting: Vec::new(),
        released: None,
    })?;
    println!("{:?} on {:?}", running.counters().driver, running.addresses());
    for second in 1.. {
        std::thread::sleep(Duration::from_secs(1));
        if second % 2 == 0 {
            running.handle().tell_all(|_| Instant::now())?;
        }
        if second % 10 == 0 {
            let counts = running.counters().total;
            println!("{:?}", counts.each().filter(|(_, n)| *n > 0).collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn certificate() -> Result<TlsSource, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok(TlsSource::new(vec![made.cert.der().clone()], key.into())?)
}
