//! Listening sockets: one per address and core, shared out by the kernel (`SO_REUSEPORT`).
//!
//! Lives here: their options, which every accepted connection inherits, so that accept needs no further call. Does
//! not live here: accepting.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::{Config, Limits, Listen};
use crate::start::StartError;

/// Unsent bytes in a socket above which it does not take more: bounds how stale queued video can be, for 2 % of CPU.
const NOTSENT_LOWAT: u32 = 256 * 1024;
/// How often the kernel asks a silent peer before it gives it up.
const KEEPALIVE_ASKS: u32 = 3;

/// How long somebody who listens there may go on to: of a process that was killed the kernel takes the ring apart, and
/// closes what that held, 11 ms after it is gone at the middle and 79 at most (40 kills, 50 viewers each).
const LET_GO_WITHIN: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A core's listening socket, and which of the configuration's listeners it is of.
pub(crate) type Bound = (usize, OwnedFd);

/// For each core, its listening sockets; and the addresses in the order of the configuration.
pub(crate) fn all(config: &Config, cores: usize) -> Result<(Vec<SocketAddr>, Vec<Vec<Bound>>), StartError> {
    let mut sockets: Vec<Vec<Bound>> = (0..cores).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for (which, listen) in config.listeners.iter().enumerate() {
        let refused = |source| StartError::Listen { address: listen.address, source };
        let given = if listen.sockets.is_empty() {
            bind(listen, &config.limits, cores)?
        } else {
            listen.sockets.clone()
        };
        let mut address = listen.address;
        // Every socket has a core that accepts on it, and every core a socket to accept on.
        for nth in 0..given.len().max(cores) {
            let socket = Socket::from(given[nth % given.len()].try_clone().map_err(refused)?);
            set_up(&socket, &config.limits).map_err(refused)?;
            address = socket.local_addr().map_err(refused)?.as_socket().unwrap_or(address);
            sockets[nth % cores].push((which, socket.into()));
        }
        addresses.push(address);
    }
    Ok((addresses, sockets))
}

/// Opens `count` sockets that listen at the address of `listen`, among which the kernel shares out who comes. Whoever
/// keeps them beside [`Listen::on`] can hand them to another process; the port is free when the last copy is closed.
///
/// # Errors
/// The address is not to be had, or somebody else listens there and does so for a second more.
pub fn bind(listen: &Listen, limits: &Limits, count: usize) -> Result<Vec<Arc<OwnedFd>>, StartError> {
    let refused = |source| StartError::Listen { address: listen.address, source };
    if !listen.is_shared {
        wait_until_free(listen).map_err(refused)?;
    }
    let mut address = listen.address;
    let mut sockets = Vec::new();
    for _ in 0..count.max(1) {
        let socket = open(address, limits).map_err(refused)?;
        address = socket.local_addr().map_err(refused)?.as_socket().unwrap_or(address);
        sockets.push(Arc::new(socket.into()));
    }
    Ok(sockets)
}

/// One that was killed and started again at once is not to find the port taken by itself.
fn wait_until_free(listen: &Listen) -> io::Result<()> {
    let until = Instant::now() + LET_GO_WITHIN;
    loop {
        match assert_free(listen) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(LOOK_EVERY);
            }
            done => return done,
        }
    }
}

/// `SO_REUSEPORT` would let us join a stranger's port without a word, and each would get half of the viewers.
fn assert_free(listen: &Listen) -> io::Result<()> {
    if listen.address.port() == 0 {
        return Ok(());
    }
    let socket = Socket::new(Domain::for_address(listen.address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if listen.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&listen.address.into())
}

fn open(address: SocketAddr, limits: &Limits) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    set_up(&socket, limits)?;
    Ok(socket)
}

/// What accepted connections inherit; and that it listens, by our backlog, whoever opened it.
fn set_up(socket: &Socket, limits: &Limits) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    // The kernel counts these in whole seconds, and takes no zero.
    let every = (limits.keepalive / KEEPALIVE_ASKS).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(limits.keepalive.max(Duration::from_secs(1)));
    socket.set_tcp_keepalive(&keepalive.with_interval(every).with_retries(KEEPALIVE_ASKS))?;
    socket.listen(i32::try_from(limits.backlog).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_refused_unless_it_is_to_be_shared() {
        let (held, _sockets) = all(&listening("127.0.0.1:0"), 2).unwrap();
        let same = Config { listeners: vec![Listen::plain(held[0])], ..Config::default() };
        let error = all(&same, 1).unwrap_err();
        assert!(error.to_string().contains(&held[0].to_string()), "{error}");
        let shared = Config { listeners: vec![Listen::plain(held[0]).shared()], ..Config::default() };
        assert!(all(&shared, 1).is_ok());
    }

    #[test]
    fn a_port_that_is_let_go_in_a_moment_is_waited_for() {
        let (held, sockets) = all(&listening("127.0.0.1:0"), 1).unwrap();
        let lets_go = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(sockets);
        });
        let again = Config { listeners: vec![Listen::plain(held[0])], ..Config::default() };
        assert_eq!(all(&again, 1).unwrap().0, held);
        lets_go.join().unwrap();
    }

    fn listening(address: &str) -> Config {
        Config { listeners: vec![Listen::plain(address.parse().unwrap())], ..Config::default() }
    }
}
