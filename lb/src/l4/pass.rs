//! Bytes from one socket to the other and back, by splice(2): through a pipe in the kernel, never through here.

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What one splice takes: what a pipe holds.
const PIECE: usize = 64 * 1024;

/// Bytes passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// From the client.
    pub(super) up: u64,
    /// To it.
    pub(super) down: u64,
    /// Of both, those that could not be spliced.
    pub(super) copied: u64,
}

/// What both directions share: how much, and when last.
struct Flow {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    copied: AtomicU64,
}

impl Flow {
    fn moved(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Relaxed);
    }

    /// Returns when nothing has moved for so long.
    async fn idle(&self, idle: Duration) {
        loop {
            let due = self.began + Duration::from_millis(self.last.load(Relaxed)) + idle;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// Passes until both sides have ended, one has failed, or nothing moves for `idle`, of which it says so. A side that
/// has ended its half is passed on as such: the other may go on speaking. `first` goes to the far end before.
pub(super) async fn both_ways(
    client: &TcpStream,
    end: &TcpStream,
    first: &[u8],
    idle: Duration,
) -> (Passed, bool) {
    let flow = Flow { began: Instant::now(), last: AtomicU64::new(0), copied: AtomicU64::new(0) };
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    // Small writes are somebody's last bytes before he waits.
    let _ = (client.set_nodelay(true), end.set_nodelay(true));
    let both = async {
        tokio::try_join!(
            async {
                write_all(end, first).await?;
                one_way(client, end, &up, &flow).await
            },
            one_way(end, client, &down, &flow),
        )
    };
    let is_idle = tokio::select! {
        // Of a failure both peers learn by the closing of their sockets.
        _ = both => false,
        () = flow.idle(idle) => true,
    };
    let passed = Passed {
        up: up.load(Relaxed) + first.len() as u64,
        down: down.load(Relaxed),
        copied: flow.copied.load(Relaxed),
    };
    (passed, is_idle)
}

async fn one_way(from: &TcpStream, to: &TcpStream, passed: &AtomicU64, flow: &Flow) -> io::Result<()> {
    match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
        Ok((out, into)) => match spliced(from, to, (&out, &into), passed, flow).await {
            // Not between these two kinds of socket: nothing was taken yet.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && passed.load(Relaxed) == 0 => {
                copied(from, to, passed, flow).await?;
            }
            ended => ended?,
        },
        // No descriptors left for a pipe.
        Err(_) => copied(from, to, passed, flow).await?,
    }
    socket2::SockRef::from(to).shutdown(std::net::Shutdown::Write)
}

async fn spliced(
    from: &TcpStream,
    to: &TcpStream,
    (out, into): (&OwnedFd, &OwnedFd),
    passed: &AtomicU64,
    flow: &Flow,
) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        // The pipe is empty: that there is nothing now means the socket's.
        let take = || Ok(splice(from, None, into, None, PIECE, flags)?);
        let mut left = from.async_io(Interest::READABLE, take).await?;
        if left == 0 {
            return Ok(());
        }
        flow.moved();
        while left > 0 {
            // And here that there is no room.
            let give = || Ok(splice(out, None, to, None, left, flags)?);
            let given = to.async_io(Interest::WRITABLE, give).await?;
            left -= given;
            passed.fetch_add(given as u64, Relaxed);
            flow.moved();
        }
    }
}

async fn copied(from: &TcpStream, to: &TcpStream, passed: &AtomicU64, flow: &Flow) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        from.readable().await?;
        let len = match from.try_read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        flow.moved();
        write_all(to, &piece[..len]).await?;
        passed.fetch_add(len as u64, Relaxed);
        flow.copied.fetch_add(len as u64, Relaxed);
        flow.moved();
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    /// Three megabytes there, the half closed, two back.
    async fn there_and_back() -> (Vec<u8>, Vec<u8>, Passed, bool) {
        let ((mut client, near), (far, mut server)) = (pair().await, pair().await);
        let passing =
            tokio::spawn(async move { both_ways(&near, &far, b"first", Duration::from_secs(10)).await });
        let serving = tokio::spawn(async move {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            server.write_all(&vec![7; 2_000_000]).await.unwrap();
            heard
        });
        client.write_all(&vec![3; 3_000_000]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let (passed, is_idle) = passing.await.unwrap();
        (serving.await.unwrap(), answer, passed, is_idle)
    }

    #[test]
    fn bytes_go_both_ways_uncopied_and_a_half_that_is_closed_leaves_the_other_open() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (heard, answer, passed, is_idle) = runtime.block_on(there_and_back());
        assert!(heard.starts_with(b"first\x03") && heard.len() == 3_000_005);
        assert!(answer.len() == 2_000_000 && answer.iter().all(|&byte| byte == 7));
        assert_eq!(passed, Passed { up: 3_000_005, down: 2_000_000, copied: 0 });
        assert!(!is_idle);
    }

    #[test]
    fn a_connection_nothing_moves_on_is_over_and_one_that_moves_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((client, near), (far, mut server)) = (pair().await, pair().await);
            let began = Instant::now();
            let speaking = tokio::spawn(async move {
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    server.write_all(b".").await.unwrap();
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            });
            let (passed, is_idle) = both_ways(&near, &far, b"", Duration::from_millis(300)).await;
            assert!(is_idle && passed.down == 5 && began.elapsed() >= Duration::from_millis(700));
            speaking.abort();
            drop(client);
        });
    }
}
