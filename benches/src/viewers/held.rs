//! Connections that only are there: ten thousand idle ones, and ten thousand held reloads.

use super::counted::{PIECE, each_ready, ring, throw_away, watch};
use super::{Aim, sealed};
use crate::error::BenchError;
use crate::meter::{Reading, Usage};
use node::Stop;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How many there are.
pub(crate) const MANY: usize = 10_000;

/// Idle connections, each after one answer.
pub(crate) fn idle(aim: &Aim, is_tls: bool, count: usize, stop: &Stop) -> Result<Vec<TcpStream>, BenchError> {
    let config = sealed::config()?;
    let mut held = Vec::with_capacity(count);
    for nth in 0..count {
        if stop.is_stopping() {
            return Err(BenchError::Interrupted);
        }
        held.push(if is_tls {
            sealed::Connection::open(aim, nth, &config, aim)?.socket
        } else {
            let mut socket = aim.connect(nth)?;
            aim.ask(&mut socket)?;
            socket
        });
    }
    Ok(held)
}

/// How a release went.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// From the publication to the middle and to the last answer received.
    pub(crate) middle: Duration,
    pub(crate) last: Duration,
    pub(crate) usage: Usage,
}

/// Between the last reload asked for and the publication.
const SETTLE: Duration = Duration::from_millis(400);

/// Ten thousand viewers ask for the playlist that lists a segment which is not there yet; `publish` makes it and says
/// when. `whole` is the length of an answer.
pub(crate) fn release(
    aim: &Aim,
    whole: usize,
    publish: impl FnOnce() -> Instant + Send,
    stop: &Stop,
) -> Result<Release, BenchError> {
    let (ring, request) = (ring()?, aim.request());
    let mut waiting = Vec::with_capacity(MANY);
    for nth in 0..MANY {
        let mut socket = aim.connect(nth)?;
        socket.write_all(&request).map_err(BenchError::when(format!("{}: asking", aim.server)))?;
        watch(&ring, &socket, nth)?;
        waiting.push((socket, whole));
    }
    if stop.wait_timeout(SETTLE) {
        return Err(BenchError::Interrupted);
    }
    let from = Reading::now()?;
    let mut answered = Vec::with_capacity(MANY);
    let mut piece = vec![0u8; PIECE];
    let published = std::thread::scope(|scope| {
        let publishing = scope.spawn(publish);
        each_ready(&ring, stop, |place| {
            let Some(place) = place else { return Ok((answered.len() == MANY).then_some(())) };
            let (socket, left) = &mut waiting[place];
            let n = throw_away(aim, socket, &mut piece)?;
            if n > *left {
                return Err(BenchError::answer(&aim.server, "answers of reloads differ in length"));
            }
            *left -= n;
            if *left == 0 && n > 0 {
                answered.push(Instant::now());
            }
            Ok(None)
        })?;
        publishing.join().map_err(|_| BenchError::Refused("the feed's thread panicked".into()))
    })?;
    let usage = from.until(&Reading::now()?);
    let after = |nth: usize| answered[nth].saturating_duration_since(published);
    if answered.first().is_some_and(|first| *first < published) {
        return Err(BenchError::Refused("a reload was answered before its segment was complete".into()));
    }
    Ok(Release { middle: after(MANY / 2), last: after(MANY - 1), usage })
}
