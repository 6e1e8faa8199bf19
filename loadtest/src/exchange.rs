//! One ask on one connection: request, head, body, and what the viewer is told.

use std::io::Read as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use viewer::{Ask, AskKind, Failure, Input};

use crate::client::answer::Answer;
use crate::client::{Connection, Read};
use crate::core::{Core, SeatKey};
use crate::measure::{Digest, Kind, Phase, Timing};
use crate::origin::Origin;

/// The most bytes of a playlist.
pub(crate) const PLAYLIST_BYTES_MAX: usize = hls::MOST_BYTES;
/// Read at first where the body is thrown away: heads are shorter, and what is copied is paid for.
const HEAD_READ_BYTES: usize = 1024;
/// How often somebody who waits for a name looks whether it is there.
const NAME_LOOKED_FOR: Duration = Duration::from_millis(2);
/// How often a viewer hears that more has come.
const TOLD_EVERY: Duration = Duration::from_millis(500);
const USER_AGENT: &str = concat!("mascaret-loadtest/", env!("CARGO_PKG_VERSION"));

/// Does what is asked for, and tells the viewer.
pub(crate) async fn exchange(core: Rc<Core>, key: SeatKey, ask: Ask) {
    let asked = Exchange { core: &core, key, kind: Kind::of(ask.kind, ask.is_blocking), ask };
    let outcome = asked.run().await;
    let id = asked.ask.id;
    // An ask that was cancelled fails because its connection was cut, which is nobody's fault.
    if let Err(why) = outcome
        && core.close(key, id)
    {
        core.push(key, Input::Failed { ask: id, why });
    }
    core.exchanges.set(core.exchanges.get() - 1);
}

struct Exchange<'a> {
    core: &'a Rc<Core>,
    key: SeatKey,
    ask: Ask,
    kind: Kind,
}

/// What came of a try on a connection that had been used before.
enum Tried {
    Done,
    /// The peer had closed it meanwhile, as it may (RFC 9112, 9.6): nothing was answered.
    WasClosed,
}

impl Exchange<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let origin = self.core.origin(&self.ask.url);
        if let Some(connection) = self.core.take_idle(self.key, &origin)
            && let Tried::Done = self.on(connection).await?
        {
            return Ok(());
        }
        let Some(connection) = self.connect(&origin).await? else { return Ok(()) };
        match self.on(connection).await? {
            Tried::Done => Ok(()),
            Tried::WasClosed => Err(Failure::Closed),
        }
    }

    /// A new connection; `None` if nobody waits for it any more.
    async fn connect(&self, origin: &Arc<Origin>) -> Result<Option<Connection>, Failure> {
        let begin = Instant::now();
        let address = loop {
            match origin.address() {
                Some(address) => break address.map_err(|_| Failure::Name)?,
                None if !self.core.is_wanted(self.key, self.ask.id) => return Ok(None),
                None => monoio::time::sleep(NAME_LOOKED_FOR).await,
            }
        };
        let resolved = Instant::now();
        let shared = &self.core.shared;
        let buffer = shared.plan.downlink.map(crate::pace::receive_buffer);
        let from = self.core.from(self.key);
        let mut connection = Connection::begin(origin.clone(), address, from, buffer, resolved)?;
        if !self.core.waits_for(self.key, self.ask.id, &connection.socket) {
            return Ok(None);
        }
        connection.connected().await?;
        let connected = Instant::now();
        {
            let mut tally = self.core.tally.borrow_mut();
            if origin.is_named {
                tally.phase(Phase::Resolve, resolved - begin);
            }
            tally.phase(Phase::Connect, connected - resolved);
        }
        if origin.is_https {
            connection.greet(&shared.client).await?;
            self.core.tally.borrow_mut().phase(Phase::Tls, connected.elapsed());
        }
        Ok(Some(connection))
    }

    /// Asks on this connection.
    async fn on(&self, mut connection: Connection) -> Result<Tried, Failure> {
        let is_used = connection.answers > 0;
        if !self.core.waits_for(self.key, self.ask.id, &connection.socket) {
            return Ok(Tried::Done);
        }
        let was_closed = |why: Failure| match why {
            Failure::Reset | Failure::Closed if is_used && self.is_wanted() => Ok(Tried::WasClosed),
            why => Err(why),
        };
        self.core.tally.borrow_mut().asked(self.kind);
        if let Err(why) = connection.send(&self.request()).await {
            return was_closed(why);
        }
        let mut answering = Answering::to(self);
        // An answer takes a while; to look at once would be a system call for nothing.
        connection.socket.readable().await.map_err(|_| Failure::Closed)?;
        loop {
            match answering.step(self, &mut connection) {
                Ok(Step::Wait) => connection.socket.readable().await.map_err(|_| Failure::Closed)?,
                Ok(Step::Later(at)) => monoio::time::sleep_until(at.into()).await,
                // Whoever closes an idle connection may say so with a 408 (RFC 9110, 15.5.9).
                Ok(Step::Head(408)) if is_used => return Ok(Tried::WasClosed),
                Ok(Step::Head(status)) if !(200..300).contains(&status) => {
                    self.refused(connection, answering, status);
                    return Ok(Tried::Done);
                }
                Ok(Step::Head(status)) => {
                    let head = Input::Head { ask: self.ask.id, status, location: None, retry_after: None };
                    self.core.push(self.key, head);
                }
                Ok(Step::More) => self.core.push(self.key, Input::Progress { ask: self.ask.id }),
                Ok(Step::Done) => break,
                Err(why) if answering.answer.is_untouched() => return was_closed(why),
                Err(why) => return Err(why),
            }
        }
        self.finish(connection, answering)?;
        Ok(Tried::Done)
    }

    fn is_wanted(&self) -> bool {
        self.core.is_wanted(self.key, self.ask.id)
    }

    fn request(&self) -> Vec<u8> {
        let url = &self.ask.url;
        let mut request = Vec::with_capacity(url.as_str().len() + 160);
        for piece in
            ["GET ", url.target(), " HTTP/1.1\r\nHost: ", url.authority(), "\r\nUser-Agent: ", USER_AGENT]
        {
            request.extend_from_slice(piece.as_bytes());
        }
        request.extend_from_slice(b"\r\nAccept: */*\r\n");
        if self.core.shared.plan.gzip && self.is_playlist() {
            request.extend_from_slice(b"Accept-Encoding: gzip\r\n");
        }
        if let Some(range) = self.ask.range {
            let field = format!("Range: bytes={}-{}\r\n", range.first, range.last);
            request.extend_from_slice(field.as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    fn is_playlist(&self) -> bool {
        matches!(self.ask.kind, AskKind::Multivariant | AskKind::Media { .. } | AskKind::Steering)
    }

    /// An answer that is not what was asked for: the viewer hears of it, and the rest of it matters to nobody.
    fn refused(&self, mut connection: Connection, mut answering: Answering, status: u16) {
        answering.body = Body::Unread;
        let is_whole = matches!(answering.step(self, &mut connection), Ok(Step::Done));
        let now = Instant::now();
        self.count(&answering, status, now);
        let Some(head) = answering.answer.head() else { return };
        if is_whole && head.is_kept {
            connection.answers += 1;
            self.core.keep(self.key, connection, now);
        }
        if self.core.close(self.key, self.ask.id) {
            let location = head.location.as_deref();
            let retry_after = head.retry_after;
            self.core.push(self.key, Input::Head { ask: self.ask.id, status, location, retry_after });
        }
    }

    /// An answer that is whole.
    fn finish(&self, mut connection: Connection, answering: Answering) -> Result<(), Failure> {
        let now = Instant::now();
        let Some(head) = answering.answer.head() else { return Err(Failure::Malformed) };
        self.count(&answering, head.status, now);
        let origin = connection.origin.clone();
        // Before the viewer hears of it, who may want to ask the next thing on it.
        if head.is_kept {
            connection.answers += 1;
            self.core.keep(self.key, connection, now);
        }
        let ask = self.ask.id;
        match answering.body {
            Body::Playlist(body) => {
                let body = if head.is_gzip { unpacked(&body)? } else { body };
                if self.core.close(self.key, ask) {
                    let input = match self.ask.kind {
                        AskKind::Steering => Input::Steering { ask, body: &body },
                        _ => Input::Playlist { ask, body: &body },
                    };
                    self.core.push(self.key, input);
                }
            }
            Body::Unread => {
                if self.core.close(self.key, ask) {
                    self.core.push(self.key, Input::Segment { ask, bytes: answering.answer.body_bytes() });
                }
            }
            Body::Hashed(hasher) => {
                self.tell_digest(&origin, &hasher);
                if self.core.close(self.key, ask) {
                    self.core.push(self.key, Input::Segment { ask, bytes: answering.answer.body_bytes() });
                }
            }
        }
        Ok(())
    }

    fn count(&self, answering: &Answering, status: u16, done: Instant) {
        let first_byte = answering.first_byte.unwrap_or(done);
        let timing = Timing { due: self.ask.due, first_byte, done };
        self.core.tally.borrow_mut().answered(self.kind, status, timing);
    }

    fn tell_digest(&self, origin: &Origin, hasher: &blake3::Hasher) {
        let AskKind::Segment { sequence, .. } = self.ask.kind else { return };
        // The folder of a segment is its rendition; whatever token stands before it is the viewer's own.
        let rendition = self.ask.url.tail().split('/').next().unwrap_or_default();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        self.core.tally.borrow_mut().segment_seen(rendition, sequence.0, &origin.text, Digest(digest));
    }
}

/// What becomes of a body.
enum Body {
    /// A playlist or a steering manifest.
    Playlist(Vec<u8>),
    Unread,
    Hashed(Box<blake3::Hasher>),
}

/// An answer that comes.
struct Answering {
    answer: Answer,
    body: Body,
    first_byte: Option<Instant>,
    /// When the viewer heard of this answer last; nothing until it has heard of the head.
    told_at: Option<Instant>,
}

/// What is to be done before more can come of an answer.
enum Step {
    /// Wait for the socket.
    Wait,
    /// Wait for the viewer's line.
    Later(Instant),
    /// Look at the head, which is there now.
    Head(u16),
    /// Say that more has come.
    More,
    /// Nothing: it is whole.
    Done,
}

impl Answering {
    fn to(exchange: &Exchange<'_>) -> Self {
        let is_hashed = |sequence: u64| {
            exchange.core.shared.plan.hash_every.is_some_and(|every| sequence.is_multiple_of(every))
        };
        let body = match exchange.ask.kind {
            AskKind::Multivariant | AskKind::Media { .. } | AskKind::Steering => Body::Playlist(Vec::new()),
            AskKind::Segment { sequence, .. } if exchange.ask.range.is_none() && is_hashed(sequence.0) => {
                Body::Hashed(Box::default())
            }
            AskKind::Segment { .. } | AskKind::Init { .. } => Body::Unread,
        };
        Self { answer: Answer::default(), body, first_byte: None, told_at: None }
    }

    /// Takes what is there.
    fn step(&mut self, exchange: &Exchange<'_>, connection: &mut Connection) -> Result<Step, Failure> {
        let core = exchange.core;
        let mut scratch = core.scratch.borrow_mut();
        loop {
            let now = Instant::now();
            if self.told_at.is_none()
                && let Some(head) = self.answer.head()
            {
                self.told_at = Some(now);
                return Ok(Step::Head(head.status));
            }
            if self.answer.is_done() {
                return Ok(Step::Done);
            }
            let is_unread = matches!(self.body, Body::Unread) && connection.discards_unread();
            let ahead = self.answer.body_ahead();
            let wanted = match (is_unread, ahead) {
                (true, 0) => HEAD_READ_BYTES as u64,
                (true, ahead) => ahead,
                (false, _) => scratch.len() as u64,
            };
            let allowed = match core.allowance(exchange.key, wanted, now) {
                Ok(allowed) => allowed,
                Err(at) => return Ok(Step::Later(at)),
            };
            let read = if is_unread && ahead > 0 {
                connection.discard(allowed, &mut core.unread.borrow_mut())?
            } else {
                let most = usize::try_from(allowed).unwrap_or(usize::MAX).min(scratch.len());
                connection.read(&mut scratch[..most])?
            };
            match read {
                Read::Nothing => return Ok(Step::Wait),
                Read::End if self.answer.closed() => {}
                Read::End if self.answer.is_untouched() => return Err(Failure::Closed),
                Read::End => return Err(Failure::Truncated),
                Read::Bytes(bytes) => {
                    self.first_byte.get_or_insert(now);
                    core.spend(exchange.key, bytes as u64);
                    core.tally.borrow_mut().received(exchange.kind, bytes as u64);
                    if is_unread && ahead > 0 {
                        self.answer.discarded(bytes as u64);
                    } else {
                        self.take(&scratch[..bytes])?;
                    }
                    if !self.answer.is_done()
                        && self.told_at.is_some_and(|at| now.duration_since(at) >= TOLD_EVERY)
                    {
                        self.told_at = Some(now);
                        return Ok(Step::More);
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let body = &mut self.body;
        let mut sink = |bytes: &[u8]| match body {
            Body::Playlist(held) => held.extend_from_slice(bytes),
            Body::Unread => {}
            Body::Hashed(hasher) => drop(hasher.update(bytes)),
        };
        self.answer.push(bytes, &mut sink).map_err(|_| Failure::Malformed)?;
        match &self.body {
            Body::Playlist(held) if held.len() > PLAYLIST_BYTES_MAX => Err(Failure::Malformed),
            _ => Ok(()),
        }
    }
}

/// A playlist that came compressed.
fn unpacked(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::new();
    let most = PLAYLIST_BYTES_MAX as u64 + 1;
    let unpacked = flate2::read::MultiGzDecoder::new(body).take(most).read_to_end(&mut plain);
    match unpacked {
        Ok(bytes) if bytes <= PLAYLIST_BYTES_MAX => Ok(plain),
        _ => Err(Failure::Malformed),
    }
}
