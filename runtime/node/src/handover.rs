//! Listening sockets from one process to the next, so that a restart refuses nobody.
//!
//! ```text
//!  successor ── connects ──────────────────────────▶ predecessor, which serves on
//!            ◀── its listening sockets, and a word ──
//!            (is filled meanwhile)
//!            ── "near" ──────────────────────────────▶ says nothing new to anybody from now on
//!            ◀── what it has said last ──
//!            (has all of that)
//!            ── "done" ──────────────────────────────▶ accepts no more, finishes what runs, ends
//!            ◀── "over" ─────────────────────────────
//! ```
//!
//! Both hold the same sockets, so the kernel has one queue of connections for both and never a reason to refuse: what
//! one does not accept any more the other accepts (docs/decisions/0010). A successor that dies on the way changes nothing.
//!
//! Lives here: the conversation. Does not live here: what a role does about it ([`Predecessor`] and [`Relief`] say
//! when), or sockets that systemd gives (`sockets`).

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is said first, before the sockets, at most.
const HEADER_BYTES: usize = 256 * 1024;
/// Sockets sent at a time (the kernel takes 253).
const SOCKETS_AT_ONCE: usize = 64;
/// How long either waits for the other's next word, but for "done".
const WORD_MAX: Duration = Duration::from_secs(5);
/// How long a predecessor waits for "done" before it takes its successor for lost.
pub const FILLED_MAX: Duration = Duration::from_secs(60);
/// How often the offer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Said first.
#[derive(Serialize, Deserialize)]
struct Header {
    /// What each socket is for, in the order they come.
    sockets: Vec<String>,
    /// The role's word to its successor.
    word: serde_json::Value,
    /// Whether it hears "near".
    #[serde(default)]
    hears_near: bool,
}

/// A socket, and what it is for.
pub type Named = (String, OwnedFd);

/// A process that serves where we are to serve, and waits to be relieved.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    /// What it has to tell.
    pub word: serde_json::Value,
    hears_near: bool,
}

impl Predecessor {
    /// Asks whoever is at `path` for its sockets; nobody may be there.
    ///
    /// # Errors
    /// Somebody is there, and does not speak as agreed.
    pub fn ask(path: &Path) -> io::Result<Option<(Self, Vec<Named>)>> {
        let mut stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        is_ours(&stream)?;
        stream.set_read_timeout(Some(WORD_MAX))?;
        stream.set_write_timeout(Some(WORD_MAX))?;
        let header: Header = hear(&mut stream)?;
        let mut sockets = Vec::new();
        while sockets.len() < header.sockets.len() {
            let before = sockets.len();
            receive(&stream, &mut sockets)?;
            if sockets.len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let named = header.sockets.into_iter().zip(sockets).collect();
        Ok(Some((Self { stream, word: header.word, hears_near: header.hears_near }, named)))
    }

    /// We are about to serve: from now on it says nothing new to anybody. What it said last is the answer; `None` of one
    /// that does not know the word.
    ///
    /// # Errors
    /// It is gone already, or does not answer.
    pub fn near(&mut self) -> io::Result<Option<serde_json::Value>> {
        if !self.hears_near {
            return Ok(None);
        }
        self.stream.write_all(b"near")?;
        hear(&mut self.stream).map(Some)
    }

    /// We serve: it may go. Returns when it has closed its sockets.
    ///
    /// # Errors
    /// It is gone already, or does not answer.
    pub fn relieve(mut self) -> io::Result<()> {
        self.stream.write_all(b"done")?;
        let mut over = [0; 4];
        self.stream.read_exact(&mut over)
    }
}

/// What a role does about its successor; called on a thread of the offer's.
pub trait Relief: Send + 'static {
    /// Somebody is there to take over, and is to be told this.
    fn asked(&mut self) -> serde_json::Value;
    /// It is about to serve: nothing new is to be said to anybody, and it is to be told what was said last.
    fn near(&mut self) -> serde_json::Value;
    /// It is gone before it was ready: all is as before.
    fn given_up(&mut self);
    /// It serves. Our sockets are closed; what runs is to be finished.
    fn relieved(&mut self);
}

/// Our sockets on offer to a successor. Dropping it takes the offer back and closes our copies of the sockets.
#[derive(Debug)]
pub struct Offer {
    is_withdrawn: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Offer {
    /// Offers `sockets` at `path` to processes of our own user.
    ///
    /// # Errors
    /// The path is not to be had, or there is no thread.
    pub fn at(path: &Path, sockets: Vec<(String, Arc<OwnedFd>)>, relief: impl Relief) -> io::Result<Self> {
        // A predecessor's, which has closed it, or one left by a process that was killed.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let is_withdrawn = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&is_withdrawn);
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("handover".into())
            .spawn(move || offer(listener, &path, sockets, relief, &watched))?;
        Ok(Self { is_withdrawn, thread: Some(thread) })
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.is_withdrawn.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that hands over panicked");
        }
    }
}

fn offer(
    listener: UnixListener,
    path: &PathBuf,
    sockets: Vec<(String, Arc<OwnedFd>)>,
    mut relief: impl Relief,
    is_withdrawn: &AtomicBool,
) {
    while !is_withdrawn.load(Ordering::Acquire) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        match converse(stream, &sockets, &mut relief, is_withdrawn) {
            Ok(mut stream) => {
                drop((listener, sockets));
                relief.relieved();
                tracing::info!("a successor has taken over");
                // It waits for this before it offers the sockets itself, at the same path.
                let _ = stream.write_all(b"over");
                return;
            }
            Err(error) => tracing::warn!(%error, "a successor has not taken over"),
        }
    }
    let _ = std::fs::remove_file(path);
}

/// Until "done"; on an error all is as before.
fn converse(
    mut stream: UnixStream,
    sockets: &[(String, Arc<OwnedFd>)],
    relief: &mut impl Relief,
    is_withdrawn: &AtomicBool,
) -> io::Result<UnixStream> {
    stream.set_nonblocking(false)?;
    is_ours(&stream)?;
    stream.set_write_timeout(Some(WORD_MAX))?;
    let names = sockets.iter().map(|(name, _)| name.clone()).collect();
    tracing::info!("a successor asks for our sockets");
    let word = relief.asked();
    let done = (|| {
        say(&mut stream, &Header { sockets: names, word, hears_near: true })?;
        for some in sockets.chunks(SOCKETS_AT_ONCE) {
            send(&stream, &some.iter().map(|(_, socket)| socket.as_fd()).collect::<Vec<_>>())?;
        }
        wait_for_done(&mut stream, relief, is_withdrawn)
    })();
    if let Err(error) = done {
        relief.given_up();
        return Err(error);
    }
    Ok(stream)
}

/// Length, then JSON.
fn say(stream: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(what)?;
    stream.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes())?;
    stream.write_all(&bytes)
}

fn hear<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > HEADER_BYTES {
        let why = format!("a word of {len} bytes, at most {HEADER_BYTES} are taken");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn wait_for_done(
    stream: &mut UnixStream,
    relief: &mut impl Relief,
    is_withdrawn: &AtomicBool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let began = std::time::Instant::now();
    let (mut done, mut at) = ([0; 4], 0);
    while at < done.len() {
        match stream.read(&mut done[at..]) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was ready"));
            }
            Ok(n) => {
                at += n;
                if done == *b"near" {
                    at = 0;
                    done = [0; 4];
                    say(stream, &relief.near())?;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if is_withdrawn.load(Ordering::Acquire) {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "we are told to end"));
                }
                if began.elapsed() > FILLED_MAX {
                    let why = format!("it was not ready within {FILLED_MAX:?}");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
            }
            Err(error) => return Err(error),
        }
    }
    if &done == b"done" {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it did not say done"))
    }
}

/// Whether the process at the other end is one of our user, or root.
fn is_ours(stream: &UnixStream) -> io::Result<()> {
    let (theirs, ours) = (rustix::net::sockopt::socket_peercred(stream)?.uid, rustix::process::geteuid());
    if theirs == ours || theirs.is_root() {
        return Ok(());
    }
    let why = format!("it is of user {}, we are of user {}", theirs.as_raw(), ours.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(sockets));
    rustix::net::sendmsg(stream, &[IoSlice::new(b"+")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive(stream: &UnixStream, sockets: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0];
    rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut mark)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            sockets.extend(some);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender, channel};

    struct Told(Sender<&'static str>);

    impl Relief for Told {
        fn asked(&mut self) -> serde_json::Value {
            self.0.send("asked").unwrap();
            serde_json::json!({ "listed": ["tide"] })
        }

        fn near(&mut self) -> serde_json::Value {
            self.0.send("near").unwrap();
            serde_json::json!({ "newest": 7 })
        }

        fn given_up(&mut self) {
            self.0.send("given up").unwrap();
        }

        fn relieved(&mut self) {
            self.0.send("relieved").unwrap();
        }
    }

    fn offering(
        count: usize,
    ) -> (tempfile::TempDir, PathBuf, std::net::SocketAddr, Offer, Receiver<&'static str>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.sock");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Arc::new(OwnedFd::from(listener));
        let sockets = (0..count).map(|nth| (format!("http {nth}"), Arc::clone(&socket))).collect();
        let (tell, told) = channel();
        let offer = Offer::at(&path, sockets, Told(tell)).unwrap();
        (directory, path, address, offer, told)
    }

    #[test]
    fn sockets_go_over_with_their_names_and_who_waits_in_their_queue() {
        let (_directory, path, address, _offer, told) = offering(150);
        let mut early = TcpStream::connect(address).unwrap();
        let (mut predecessor, mut sockets) = Predecessor::ask(&path).unwrap().unwrap();
        assert_eq!((sockets.len(), sockets[149].0.as_str()), (150, "http 149"));
        assert_eq!(predecessor.word["listed"][0], "tide");
        assert_eq!(predecessor.near().unwrap().unwrap()["newest"], 7);
        predecessor.relieve().unwrap();
        assert_eq!(told.iter().take(3).collect::<Vec<_>>(), ["asked", "near", "relieved"]);
        let listener = TcpListener::from(sockets.remove(0).1);
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        early.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        assert!(Predecessor::ask(&path).unwrap().is_none(), "it is on offer no more");
    }

    #[test]
    fn a_successor_that_dies_changes_nothing_and_the_next_one_may_come() {
        let (_directory, path, _, offer, told) = offering(2);
        for _ in 0..2 {
            drop(Predecessor::ask(&path).unwrap().unwrap());
            assert_eq!(told.iter().take(2).collect::<Vec<_>>(), ["asked", "given up"]);
        }
        drop(offer);
        assert!(!path.exists());
        assert!(Predecessor::ask(&path).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_process_left_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists() && Predecessor::ask(&path).unwrap().is_none());
        assert!(Offer::at(&path, Vec::new(), Told(channel().0)).is_ok());
    }
}
