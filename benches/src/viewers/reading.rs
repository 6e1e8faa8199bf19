//! Readers of chat: connections on which what is said comes without being asked for.

use super::counted::{PIECE, each_ready, ring, throw_away, watch};
use super::{Aim, PATIENCE};
use crate::error::BenchError;
use crate::meter::{Reading, Usage};
use node::Stop;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many readers, each at the end of what was said so far.
pub(crate) fn readers(aim: &Aim, count: usize, stop: &Stop) -> Result<Vec<TcpStream>, BenchError> {
    let mut held = Vec::with_capacity(count);
    for nth in 0..count {
        if stop.is_stopping() {
            return Err(BenchError::Interrupted);
        }
        let mut socket = aim.connect(nth)?;
        let fail = || BenchError::when(format!("{}: {}", aim.server, aim.target));
        socket.write_all(&aim.request()).map_err(fail())?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        // The last event of those that come at once is the room, or something that was said.
        while !(bytes.ends_with(b"}\n\n") && bytes.windows(11).any(|some| some == b"event: room")) {
            match socket.read(&mut piece).map_err(fail())? {
                0 => return Err(BenchError::answer(&aim.server, "closed before the room was told")),
                n => bytes.extend_from_slice(&piece[..n]),
            }
        }
        held.push(socket);
    }
    Ok(held)
}

/// The bytes of one message, as one more reader gets it.
pub(crate) fn message(aim: &Aim, says: impl FnOnce() -> Instant, stop: &Stop) -> Result<usize, BenchError> {
    let mut one = readers(aim, 1, stop)?.pop().ok_or(BenchError::Interrupted)?;
    says();
    let (mut len, mut piece) = (0, vec![0; 64 << 10]);
    loop {
        let n = one.read(&mut piece).map_err(BenchError::when("a message"))?;
        len += n;
        if n == 0 || piece[..n].ends_with(b"}\n\n") {
            return Ok(len);
        }
    }
}

/// How a batch reached all readers.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// From saying it to the middle and the last reader that has it.
    pub(crate) middle: Duration,
    pub(crate) last: Duration,
    pub(crate) usage: Usage,
}

/// One message to all of these, of which one is so long.
pub(crate) fn batch(
    aim: &Aim,
    held: Vec<TcpStream>,
    len: usize,
    says: impl FnOnce() -> Instant + Send,
    stop: &Stop,
) -> Result<Batch, BenchError> {
    let ring = ring()?;
    let mut waiting = Vec::with_capacity(held.len());
    for (nth, socket) in held.into_iter().enumerate() {
        watch(&ring, &socket, nth)?;
        waiting.push((socket, len));
    }
    // What was said before is gathered with nothing any more.
    if stop.wait_timeout(Duration::from_millis(400)) {
        return Err(BenchError::Interrupted);
    }
    let from = Reading::now()?;
    let (mut piece, mut heard) = (vec![0; PIECE], Vec::with_capacity(waiting.len()));
    let said = std::thread::scope(|scope| {
        let saying = scope.spawn(says);
        each_ready(&ring, stop, |place| {
            let Some(place) = place else { return Ok((heard.len() == waiting.len()).then_some(())) };
            let (socket, left) = &mut waiting[place];
            let n = throw_away(aim, socket, &mut piece)?;
            *left = left
                .checked_sub(n)
                .ok_or_else(|| BenchError::answer(&aim.server, "messages differ in length"))?;
            if *left == 0 && n > 0 {
                heard.push(Instant::now());
            }
            Ok(None)
        })?;
        saying.join().map_err(|_| BenchError::Refused("the lobby's thread panicked".into()))
    })?;
    let usage = from.until(&Reading::now()?);
    let after = |nth: usize| heard[nth].saturating_duration_since(said);
    Ok(Batch { middle: after(heard.len() / 2), last: after(heard.len() - 1), usage })
}

/// How long after it was said something is shown: every message at every reader, shortest first.
pub(crate) fn shown(
    aim: &Aim,
    held: Vec<TcpStream>,
    len: usize,
    count: usize,
    says: impl Fn() -> Instant + Send + Sync,
    stop: &Stop,
) -> Result<Vec<Duration>, BenchError> {
    let ring = ring()?;
    let mut readers = Vec::with_capacity(held.len());
    for (nth, socket) in held.into_iter().enumerate() {
        watch(&ring, &socket, nth)?;
        readers.push((socket, 0_usize));
    }
    // A message is on its way before its moment is written: the moment is one before that.
    let said: Mutex<Vec<Instant>> = Mutex::new(Vec::with_capacity(count));
    let (mut piece, mut took) = (vec![0; PIECE], Vec::with_capacity(count * readers.len()));
    let all = count * readers.len();
    let until = Instant::now() + PATIENCE * 6;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pause = 7_u64;
            for _ in 0..count {
                // At any moment of the 200 ms that are gathered: 10 to 90 ms apart.
                pause = pause.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                std::thread::sleep(Duration::from_millis(10 + (pause >> 33) % 80));
                let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                said.push(says());
            }
        });
        each_ready(&ring, stop, |place| {
            let Some(place) = place else {
                if Instant::now() > until {
                    return Err(BenchError::answer(
                        &aim.server,
                        format!("{} of {all} were shown", took.len()),
                    ));
                }
                return Ok((took.len() == all).then_some(()));
            };
            let (socket, bytes) = &mut readers[place];
            let n = throw_away(aim, socket, &mut piece)?;
            let now = Instant::now();
            let before = *bytes / len;
            *bytes += n;
            let said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for nth in before..*bytes / len {
                took.push(now.saturating_duration_since(said.get(nth).copied().unwrap_or(now)));
            }
            Ok(None)
        })
    })?;
    took.sort_unstable();
    Ok(took)
}
