//! Listening sockets this process was given: by systemd (`.socket` units), or by its predecessor (`handover`).
//!
//! Lives here: who asks for which. Does not live here: opening a socket where none was given, or its options.

use crate::handover::Named;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// All that were given; each is taken once. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    all: Arc<Mutex<Vec<Named>>>,
    outlive_us: bool,
}

impl Sockets {
    /// What systemd gave this process (`LISTEN_FDS`, `LISTEN_FDNAMES`). Call it once, early.
    pub fn of_systemd() -> Self {
        let named = match sd_notify::listen_fds_with_names() {
            Ok(named) => named,
            Err(error) => {
                tracing::error!(%error, "sockets from systemd cannot be taken");
                return Self::default();
            }
        };
        // SAFETY: systemd opened these descriptors for this process (`LISTEN_PID` was compared) and nobody else here
        // knows them: this is called once, before anything takes them.
        let all: Vec<_> = named.map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) })).collect();
        Self { outlive_us: !all.is_empty(), ..Self::of(all) }
    }

    /// These.
    pub fn of(all: Vec<Named>) -> Self {
        Self { all: Arc::new(Mutex::new(all)), outlive_us: false }
    }

    /// Whether somebody keeps them when this process ends: who connects then waits for the next one.
    pub fn outlive_us(&self) -> bool {
        self.outlive_us
    }

    /// Takes those called `name`, or bound to `address`, in the order they came.
    pub fn take(&self, name: &str, address: SocketAddr) -> Vec<OwnedFd> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |it: &mut Named| it.0 == name || bound(&it.1) == Some(address);
        all.extract_if(.., is_meant).map(|(_, socket)| socket).collect()
    }
}

fn bound(socket: &OwnedFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_is_found_by_its_name_or_by_its_address_and_taken_once() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (first, second, third) = (listener(), listener(), listener());
        let address = second.local_addr().unwrap();
        let named = |name: &str, listener: TcpListener| (name.to_owned(), OwnedFd::from(listener));
        let sockets =
            Sockets::of(vec![named("http", first), named("edge.socket", second), named("https", third)]);
        assert_eq!(sockets.take("http", address).len(), 2);
        assert!(sockets.take("http", address).is_empty());
        assert_eq!(sockets.take("https", address).len(), 1);
    }
}
