//! Dialling another node: address, TCP, TLS; and how long to wait before dialling again.

use super::pump::{HANDSHAKE, tune};
use edgefan::Address;
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The first wait; each next is twice as long.
const SHORTEST: Duration = Duration::from_millis(100);

/// The longest wait: a node that comes back is found within this.
const LONGEST: Duration = Duration::from_secs(2);

/// How long to wait before dialling again, with up to half of it left to chance: a fleet that lost its ingest
/// does not come back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: SHORTEST }
    }

    /// It worked: the next wait is the shortest again.
    pub(super) fn reset(&mut self) {
        self.next = SHORTEST;
    }

    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait.mul_f64(0.5 + chance() as f64 / u64::MAX as f64 / 2.0)
    }
}

/// Any number.
pub(super) fn chance() -> u64 {
    // Without the kernel's randomness no TLS would be up either.
    getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15)
}

/// One connection to a node of this cluster.
pub(super) async fn dial(address: &Address, tls: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let connect = async {
        let stream = TcpStream::connect(address.as_str()).await?;
        tune(&stream)?;
        TlsConnector::from(tls).connect(crate::certs::cluster_server_name(), stream).await
    };
    tokio::time::timeout(HANDSHAKE, connect)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_anew() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..8).map(|_| backoff.wait()).collect();
        assert!((50..=100).contains(&waits[0].as_millis()), "{waits:?}");
        assert!((1000..=2000).contains(&waits[7].as_millis()), "{waits:?}");
        backoff.reset();
        assert!(backoff.wait() <= SHORTEST);
    }
}
