//! Many connections, one request out on each: the next is sent when the last byte of the answer has come. The bytes are
//! counted and thrown away in the kernel (`MSG_TRUNC`, tcp(7)), so a viewer costs as little as one can.

use super::{Aim, Cut, Load, PATIENCE, Sample};
use crate::error::BenchError;
use node::Stop;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Bytes thrown away in one call at most. The memory behind it is never touched.
pub(crate) const PIECE: usize = 4 << 20;

/// One of so many viewers may have had no answer in a window.
const STARVED: usize = 4;

/// One viewer.
struct Connection {
    socket: TcpStream,
    /// Bytes of the answer still to come.
    left: usize,
    answers: u64,
}

/// Asks for `aim` as fast as answers come, for one window.
pub(crate) fn window(aim: &Aim, load: Load, stop: &Stop) -> Result<Sample, BenchError> {
    window_seen(aim, load, stop, |_| ())
}

/// The same; `seen` is called when the window begins (`false`) and when it ends (`true`).
pub(crate) fn window_seen(
    aim: &Aim,
    load: Load,
    stop: &Stop,
    mut seen: impl FnMut(bool),
) -> Result<Sample, BenchError> {
    let whole = aim.ask(&mut aim.connect(0)?)?.len;
    let request = aim.request();
    let (ring, mut connections) = connect_all(aim, load.connections)?;
    for connection in &mut connections {
        connection.left = whole;
        ask(aim, &connection.socket, &request)?;
    }
    let mut cut = Cut::of(load);
    let (mut answers, mut bytes) = (0u64, 0u64);
    let mut piece = vec![0u8; PIECE];
    let sample = each_ready(&ring, stop, |place| {
        let Some(place) = place else {
            let had_begun = cut.has_begun();
            let sample = cut.see(answers, bytes)?;
            if sample.is_some() || had_begun != cut.has_begun() {
                seen(sample.is_some());
            }
            return Ok(sample);
        };
        let connection = &mut connections[place];
        // One byte more than is owed: an answer that is longer than the first one is a fault, not a gain.
        let want = (connection.left + 1).min(PIECE);
        let n = throw_away(aim, &connection.socket, &mut piece[..want])?;
        if n > connection.left {
            return Err(BenchError::answer(&aim.server, format!("{}: answers differ in length", aim.target)));
        }
        connection.left -= n;
        bytes += n as u64;
        if connection.left == 0 && n > 0 {
            answers += 1;
            connection.answers += 1;
            connection.left = whole;
            ask(aim, &connection.socket, &request)?;
        }
        Ok(None)
    })?;
    check(aim, connections, whole)?;
    Ok(sample)
}

/// That the answers were what they seemed: hardly a viewer had none, and the next after them is as the first.
fn check(aim: &Aim, mut connections: Vec<Connection>, whole: usize) -> Result<(), BenchError> {
    let without = connections.iter().filter(|connection| connection.answers == 0).count();
    // A server may leave a few behind for seconds; a refusal would leave all.
    if without * STARVED > connections.len() {
        let said = format!("{}: {without} of {} viewers had no answer", aim.target, connections.len());
        return Err(BenchError::answer(&aim.server, said));
    }
    let Some(last) = connections.last_mut() else { return Ok(()) };
    let fail = || BenchError::when(format!("{}: the last answer", aim.server));
    last.socket.set_nonblocking(false).map_err(fail())?;
    while last.left > 0 {
        let mut rest = vec![0; last.left];
        last.left -= throw_away(aim, &last.socket, &mut rest)?;
    }
    let len = aim.ask(&mut last.socket)?.len;
    if len == whole {
        return Ok(());
    }
    Err(BenchError::answer(&aim.server, format!("{}: {len} bytes at the end, {whole} before", aim.target)))
}

fn connect_all(aim: &Aim, count: usize) -> Result<(OwnedFd, Vec<Connection>), BenchError> {
    let ring =
        epoll::create(CreateFlags::CLOEXEC).map_err(|error| BenchError::when("epoll")(error.into()))?;
    let mut connections = Vec::with_capacity(count);
    for nth in 0..count {
        let socket = aim.connect(nth)?;
        watch(&ring, &socket, nth)?;
        connections.push(Connection { socket, left: 0, answers: 0 });
    }
    Ok((ring, connections))
}

/// What each_ready waits on.
pub(crate) fn ring() -> Result<OwnedFd, BenchError> {
    epoll::create(CreateFlags::CLOEXEC).map_err(|error| BenchError::when("epoll")(error.into()))
}

/// From now on `place` is named when something has come on `socket`.
pub(crate) fn watch(ring: &OwnedFd, socket: &TcpStream, place: usize) -> Result<(), BenchError> {
    socket.set_nonblocking(true).map_err(BenchError::when("a viewer's socket"))?;
    epoll::add(ring, socket, EventData::new_u64(place as u64), EventFlags::IN)
        .map_err(|error| BenchError::when("epoll")(error.into()))
}

/// Calls for every connection on which something has come, and once a round for none, until a call has the result.
pub(crate) fn each_ready<T>(
    ring: &OwnedFd,
    stop: &Stop,
    mut each: impl FnMut(Option<usize>) -> Result<Option<T>, BenchError>,
) -> Result<T, BenchError> {
    let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 256];
    let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let mut last = Instant::now();
    loop {
        let count = match epoll::wait(ring, &mut events[..], Some(&wait)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(BenchError::when("epoll")(error.into())),
        };
        let now = Instant::now();
        if count > 0 {
            last = now;
        } else if now - last > PATIENCE {
            return Err(BenchError::Refused("nothing came for 10 s".into()));
        }
        for event in &events[..count] {
            // Copied out first: the kernel's struct is packed.
            let data = event.data;
            if let Some(result) = each(Some(data.u64() as usize))? {
                return Ok(result);
            }
        }
        if let Some(result) = each(None)? {
            return Ok(result);
        }
        if stop.is_stopping() {
            return Err(BenchError::Interrupted);
        }
    }
}

/// Lets the kernel throw away what has come, up to so much; 0 when nothing has.
pub(crate) fn throw_away(aim: &Aim, socket: &TcpStream, piece: &mut [u8]) -> Result<usize, BenchError> {
    match recv(socket, piece, RecvFlags::TRUNC) {
        Ok((_, 0)) => Err(BenchError::answer(&aim.server, format!("{}: closed in an answer", aim.target))),
        Ok((_, n)) => Ok(n),
        Err(rustix::io::Errno::AGAIN) => Ok(0),
        Err(error) => Err(BenchError::when(format!("{}: {}", aim.server, aim.target))(error.into())),
    }
}

fn ask(aim: &Aim, socket: &TcpStream, request: &[u8]) -> Result<(), BenchError> {
    match send(socket, request, SendFlags::NOSIGNAL) {
        Ok(n) if n == request.len() => Ok(()),
        Ok(_) => Err(BenchError::answer(&aim.server, "takes no requests")),
        Err(error) => Err(BenchError::when(format!("{}: asking", aim.server))(error.into())),
    }
}
