//! The links over which ingests and edges hear from the lobby who may publish and who may watch (`admission/1`).
//!
//! A lobby that is away changes nothing for who is there already: what was heard last holds, and it is dialled again.

use super::dial::dial;
use super::lobbies::{Lobbies, Turns};
use super::thread::FanThread;
use crate::Stop;
use crate::certs::ADMISSION_ALPN;
use admission::{Decoder, Denied, Health, KeyDigest, Message};
use media::BroadcastId;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for one connection.
pub const WAITING_MESSAGES: usize = 256;
/// Ingests and edges of one lobby.
pub const LINKS: usize = 1024;
/// How often something is said.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Without a byte for so long the other end is gone.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Bytes read at once.
const PIECE_BYTES: usize = 16 << 10;

/// Carries messages both ways until either end has enough; answers why.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    waiting: &mut mpsc::Receiver<Message>,
    mut heard: impl FnMut(Message),
) -> String {
    let (mut decoder, mut bytes, mut out) = (Decoder::default(), vec![0; PIECE_BYTES], Vec::new());
    let mut beat = tokio::time::interval(BEAT_EVERY);
    let mut last = Instant::now();
    loop {
        out.clear();
        tokio::select! {
            read = stream.read(&mut bytes) => match read {
                Ok(0) => return "it was closed".into(),
                Ok(read) => {
                    last = Instant::now();
                    decoder.push(&bytes[..read]);
                    loop {
                        match decoder.pull() {
                            Ok(Some(Message::Beat)) => {}
                            Ok(Some(message)) => heard(message),
                            Ok(None) => break,
                            Err(error) => return error.to_string(),
                        }
                    }
                }
                Err(error) => return error.to_string(),
            },
            message = waiting.recv() => match message {
                Some(message) => message.encode(&mut out),
                None => return "we have ended it".into(),
            },
            _ = beat.tick() => {
                if last.elapsed() > SILENT_AFTER {
                    return format!("nothing came for {} s", SILENT_AFTER.as_secs());
                }
                Message::Beat.encode(&mut out);
            }
        }
        if !out.is_empty() {
            match tokio::time::timeout(SILENT_AFTER, stream.write_all(&out)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "it takes nothing any more".into(),
            }
        }
    }
}

/// A question of an ingest's. Whoever has it answers; unanswered, the ingest is told that nothing is known.
pub struct Question {
    /// Of the key.
    pub digest: KeyDigest,
    /// What it is to open.
    pub broadcast: BroadcastId,
    number: u64,
    to: mpsc::Sender<Message>,
}

impl Question {
    /// Says so; an ingest that does not listen asks again.
    pub fn answer(self, opens: Option<bool>) {
        let _ = self.to.try_send(Message::Answer { number: self.number, opens });
    }
}

/// What a lobby hears.
pub enum Heard {
    /// Does this key open that broadcast?
    Question(Question),
    /// A broadcast is on the air, or is not any more.
    Air {
        /// Over which link.
        link: u64,
        /// Which.
        broadcast: BroadcastId,
        /// Whether.
        is_on: bool,
    },
    /// How it arrives.
    Health {
        /// Over which link.
        link: u64,
        /// Which.
        broadcast: BroadcastId,
        /// How.
        health: Health,
    },
    /// A link is gone, with all that was said over it.
    Gone {
        /// Which.
        link: u64,
    },
}

type OnHeard = Box<dyn Fn(Heard) + Send + Sync>;

/// The lobby's end of every such link; clones are the same one.
#[derive(Clone)]
pub struct Admissions {
    shared: Arc<Shared>,
}

struct Shared {
    told: Mutex<Told>,
    on_heard: OnHeard,
}

#[derive(Default)]
struct Told {
    links: Vec<mpsc::Sender<Message>>,
    last: u64,
    private: Vec<BroadcastId>,
    unlisted: Vec<BroadcastId>,
    denied: Vec<Denied>,
}

impl fmt::Debug for Admissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admissions({} links)", self.links())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole before anything could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Admissions {
    /// `on_heard` is called on the links' thread and returns soon.
    pub fn new(on_heard: impl Fn(Heard) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { told: Mutex::default(), on_heard: Box::new(on_heard) }) }
    }

    /// How many are linked.
    pub fn links(&self) -> usize {
        lock(&self.shared.told).links.iter().filter(|link| !link.is_closed()).count()
    }

    fn tell_all(told: &mut Told, message: &Message) {
        // Who is so far behind is let go; what he missed he is told anew when he comes again.
        told.links.retain(|link| link.try_send(message.clone()).is_ok());
    }

    /// These keys open nothing any more.
    pub fn revoke(&self, digests: Vec<KeyDigest>) {
        Self::tell_all(&mut lock(&self.shared.told), &Message::Revoked(digests));
    }

    /// What is private, what is in no list, and who is turned away: all of it.
    pub fn tell(&self, private: Vec<BroadcastId>, unlisted: Vec<BroadcastId>, denied: Vec<Denied>) {
        let mut told = lock(&self.shared.told);
        if told.unlisted != unlisted {
            told.unlisted = unlisted.clone();
            Self::tell_all(&mut told, &Message::Unlisted(unlisted));
        }
        if told.private != private {
            told.private = private.clone();
            Self::tell_all(&mut told, &Message::Private(private));
        }
        if told.denied != denied {
            told.denied = denied.clone();
            Self::tell_all(&mut told, &Message::Denied(denied));
        }
    }

    /// A connection that speaks `admission/1`.
    pub(super) async fn accepted(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (to, mut waiting) = mpsc::channel(WAITING_MESSAGES);
        let link = {
            let mut told = lock(&self.shared.told);
            told.links.retain(|link| !link.is_closed());
            if told.links.len() >= LINKS {
                return tracing::warn!(LINKS, "too many ask who may publish and watch: one is refused");
            }
            // An empty channel has room for these.
            let _ = to.try_send(Message::Private(told.private.clone()));
            let _ = to.try_send(Message::Unlisted(told.unlisted.clone()));
            let _ = to.try_send(Message::Denied(told.denied.clone()));
            told.links.push(to.clone());
            told.last += 1;
            told.last
        };
        // Only those in the list hold it open: who is taken off it is let go.
        let weak = to.downgrade();
        drop(to);
        let heard = |message| match message {
            Message::Ask { number, digest, broadcast } => {
                if let Some(to) = weak.upgrade() {
                    (self.shared.on_heard)(Heard::Question(Question { digest, broadcast, number, to }));
                }
            }
            Message::Air { broadcast, is_on } => {
                (self.shared.on_heard)(Heard::Air { link, broadcast, is_on });
            }
            Message::Health { broadcast, health } => {
                (self.shared.on_heard)(Heard::Health { link, broadcast, health });
            }
            _ => {}
        };
        let why = converse(stream, &mut waiting, heard).await;
        (self.shared.on_heard)(Heard::Gone { link });
        tracing::debug!(why, "a link for admission is over");
    }
}

/// What an ingest, an edge or a balancer hears.
#[derive(Clone, Debug)]
pub enum News {
    /// The lobby is there: what it revoked meanwhile nobody was told.
    Up,
    /// These keys open nothing any more.
    Revoked(Vec<KeyDigest>),
    /// These broadcasts are private, and no others.
    Private(Vec<BroadcastId>),
    /// These are in no list that anybody may read, and no others.
    Unlisted(Vec<BroadcastId>),
    /// These are turned away, and no others.
    Denied(Vec<Denied>),
}

/// How the link to a lobby stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where it was dialled last.
    pub lobby: String,
    /// Whether it is there.
    pub is_up: bool,
    /// Since when that is so.
    pub since: SystemTime,
}

/// The end of an ingest or an edge; dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct AdmissionClient {
    said: Arc<Mutex<Said>>,
    _thread: Arc<FanThread>,
}

#[derive(Debug)]
struct Said {
    standing: Standing,
    link: Option<mpsc::Sender<Message>>,
    asked: BTreeMap<u64, oneshot::Sender<Option<bool>>>,
    last: u64,
    /// How many publishers each has: one that takes over comes before the other has gone.
    on_air: BTreeMap<BroadcastId, usize>,
}

/// Dials, on a thread of its own; `on_news` is called on that thread and should return soon.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    lobbies: Lobbies,
    tls: Arc<ClientConfig>,
    mut on_news: impl FnMut(News) + Send + 'static,
) -> io::Result<AdmissionClient> {
    let mut tls = (*tls).clone();
    tls.alpn_protocols = vec![ADMISSION_ALPN.to_vec()];
    let standing = Standing { lobby: lobbies.to_string(), is_up: false, since: SystemTime::now() };
    let said = Said { standing, link: None, asked: BTreeMap::new(), last: 0, on_air: BTreeMap::new() };
    let (tls, said) = (Arc::new(tls), Arc::new(Mutex::new(said)));
    let kept = said.clone();
    let thread = FanThread::start("fan-admission", Stop::new(), move |stop| async move {
        let keep = async {
            let mut turns = Turns::new(lobbies);
            loop {
                let (lobby, mut was_good) = (turns.address().clone(), false);
                let stands = |is_up| Standing { lobby: lobby.to_string(), is_up, since: SystemTime::now() };
                let why = match dial(&lobby, tls.clone()).await {
                    Ok(stream) => {
                        was_good = true;
                        let (to, mut waiting) = mpsc::channel(WAITING_MESSAGES);
                        {
                            let mut said = lock(&kept);
                            for broadcast in said.on_air.keys() {
                                let _ =
                                    to.try_send(Message::Air { broadcast: broadcast.clone(), is_on: true });
                            }
                            said.link = Some(to);
                            said.standing = stands(true);
                        }
                        on_news(News::Up);
                        let why =
                            converse(stream, &mut waiting, |message| hear(&kept, message, &mut on_news))
                                .await;
                        let mut said = lock(&kept);
                        said.link = None;
                        said.standing = stands(false);
                        // Whoever asked hears that nothing is known.
                        said.asked.clear();
                        why
                    }
                    Err(error) => error.to_string(),
                };
                let wait = turns.next(was_good);
                tracing::warn!(%lobby, why, ?wait, "the lobby cannot be asked who may publish and watch: dialling again");
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = stop.wait() => {}
            () = keep => {}
        }
    })?;
    Ok(AdmissionClient { said, _thread: Arc::new(thread) })
}

fn hear(said: &Mutex<Said>, message: Message, on_news: &mut impl FnMut(News)) {
    match message {
        Message::Answer { number, opens } => {
            if let Some(asked) = lock(said).asked.remove(&number) {
                // Whoever asked may have gone.
                let _ = asked.send(opens);
            }
        }
        Message::Revoked(digests) => on_news(News::Revoked(digests)),
        Message::Private(names) => on_news(News::Private(names)),
        Message::Unlisted(names) => on_news(News::Unlisted(names)),
        Message::Denied(denied) => on_news(News::Denied(denied)),
        Message::Beat | Message::Ask { .. } | Message::Air { .. } | Message::Health { .. } => {}
    }
}

impl AdmissionClient {
    /// Whether this key opens that broadcast; nothing if the lobby cannot say.
    pub async fn ask(&self, digest: KeyDigest, broadcast: &BroadcastId, within: Duration) -> Option<bool> {
        let answer = {
            let mut said = lock(&self.said);
            let (answer, later) = oneshot::channel();
            said.last += 1;
            let number = said.last;
            let ask = Message::Ask { number, digest, broadcast: broadcast.clone() };
            said.asked.retain(|_, asked| !asked.is_closed());
            said.link.as_ref()?.try_send(ask).ok()?;
            said.asked.insert(number, answer);
            later
        };
        tokio::time::timeout(within, answer).await.ok()?.ok()?
    }

    /// How the link stands.
    pub fn standing(&self) -> Standing {
        lock(&self.said).standing.clone()
    }

    /// How a broadcast arrives; where nobody listens it is lost, and said again.
    pub fn health(&self, broadcast: &BroadcastId, health: Health) {
        if let Some(link) = &lock(&self.said).link {
            let _ = link.try_send(Message::Health { broadcast: broadcast.clone(), health });
        }
    }

    /// A broadcast has one publisher more, or one less.
    pub fn air(&self, broadcast: &BroadcastId, is_on: bool) {
        let mut said = lock(&self.said);
        let publishers = said.on_air.entry(broadcast.clone()).or_default();
        *publishers = if is_on { *publishers + 1 } else { publishers.saturating_sub(1) };
        let is_news = *publishers == usize::from(is_on);
        if *publishers == 0 {
            said.on_air.remove(broadcast);
        }
        if is_news && let Some(link) = &said.link {
            // A full queue is a lobby that does not listen: it is told anew when it does.
            let _ = link.try_send(Message::Air { broadcast: broadcast.clone(), is_on });
        }
    }
}
