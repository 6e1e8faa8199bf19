//! Publishing by RTMP: connects, publishes, and when that ends tries the next URL, for as long as it takes.
//!
//! `rml_rtmp`'s client session speaks here; it is ours to publish with and never sees a stranger's bytes but
//! the server's that we chose to dial.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::Track;
use node::Stop;
use node::settings::Secret;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::settings::PublishUrl;
use crate::tags::Tag;

/// How long a server may take to be connected to, and again to accept the publish.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long one write may hang, and how long the kernel waits for an acknowledgement, before the connection
/// counts as lost. An ingest in the same building answers in milliseconds.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Between two tries: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));
/// A publish that lasted this long was a good one: the next try is made at once.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// What the operator is told.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) units: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) connections: AtomicU64,
}

/// Where the publisher stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Connecting { url: String },
    Publishing { url: String },
    Waiting { why: String },
}

/// Why one connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer to {what} within {} s", after.as_secs())]
    Late { what: &'static str, after: Duration },
    #[error("the server closed the connection")]
    Closed,
    #[error("refused: {0}")]
    Refused(String),
    #[error("the server spoke no RTMP we understand: {0}")]
    Protocol(String),
}

pub(crate) struct Publisher {
    pub(crate) urls: Vec<PublishUrl>,
    pub(crate) key: Option<Secret>,
    pub(crate) metadata: StreamMetadata,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) standing: watch::Sender<Standing>,
}

/// What a decoder must know first, kept for the next connection.
#[derive(Default)]
struct Configs {
    video: Option<Bytes>,
    audio: Option<Bytes>,
}

impl Configs {
    fn keep(&mut self, tag: &Tag) {
        match tag {
            Tag::Config { track: Track::Video, body } => self.video = Some(body.clone()),
            Tag::Config { track: Track::Audio, body } => self.audio = Some(body.clone()),
            Tag::Unit { .. } => {}
        }
    }
}

impl Publisher {
    /// Until `stop`. Takes from the queue all the time, connected or not, so that what is sent is fresh.
    pub(crate) async fn run(self, mut tags: mpsc::Receiver<Tag>, stop: Stop) {
        let mut configs = Configs::default();
        let mut backoff = BACKOFF.0;
        for url in self.urls.iter().cycle() {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.publish(url, &mut tags, &mut configs) => ended,
                () = stop.wait() => return,
            };
            backoff = if began.elapsed() > GOOD_AFTER { BACKOFF.0 } else { (backoff * 2).min(BACKOFF.1) };
            let Err(why) = ended else { return };
            tracing::warn!(%url, %why, again_in_ms = backoff.as_millis(), "publishing ended");
            self.standing.send_replace(Standing::Waiting { why: format!("{url}: {why}") });
            let pause = tokio::time::sleep(backoff);
            tokio::select! {
                () = pause => {}
                () = drain(&mut tags, &mut configs) => return,
                () = stop.wait() => return,
            }
        }
    }

    /// One connection, until it fails; `Ok` when there is nothing more to publish.
    async fn publish(
        &self,
        url: &PublishUrl,
        tags: &mut mpsc::Receiver<Tag>,
        configs: &mut Configs,
    ) -> Result<(), Ended> {
        self.standing.send_replace(Standing::Connecting { url: url.to_string() });
        let mut connection = tokio::select! {
            connection = self.open(url) => connection?,
            () = drain(tags, configs) => return Ok(()),
        };
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        self.standing.send_replace(Standing::Publishing { url: url.to_string() });
        tracing::info!(%url, "publishing");
        connection.send_metadata(&self.metadata).await?;
        for (track, body) in [(Track::Video, &configs.video), (Track::Audio, &configs.audio)] {
            if let Some(body) = body {
                connection.send(track, 0, body.clone()).await?;
            }
        }
        // A decoder starts at a sync unit, and so does a publish; its time is zero.
        let mut begin_ms = None;
        loop {
            tokio::select! {
                read = connection.take() => read?,
                tag = tags.recv() => {
                    let Some(tag) = tag else { return Ok(()) };
                    configs.keep(&tag);
                    match tag {
                        Tag::Config { track, body } => connection.send(track, 0, body).await?,
                        Tag::Unit { track, decode_ms, is_sync, body } => {
                            if begin_ms.is_none() && is_sync && track == Track::Video {
                                begin_ms = Some(decode_ms);
                            }
                            // Sound from before the first picture is not worth a negative time.
                            let Some(at) = begin_ms.and_then(|begin| decode_ms.checked_sub(begin)) else { continue };
                            self.counters.units.fetch_add(1, Ordering::Relaxed);
                            self.counters.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                            // RTMP's milliseconds turn over after 49 days (RTMP 1.0, 5.3.1.2).
                            connection.send(track, at as u32, body).await?;
                        }
                    }
                }
            }
        }
    }

    async fn open(&self, url: &PublishUrl) -> Result<Connection, Ended> {
        let late = |what| move |_| Ended::Late { what, after: CONNECT_MAX };
        let socket = timeout(CONNECT_MAX, TcpStream::connect((url.host.as_str(), url.port)))
            .await
            .map_err(late("connect"))??;
        socket.set_nodelay(true)?;
        socket2::SockRef::from(&socket).set_tcp_user_timeout(Some(SILENCE_MAX))?;
        let socket: Box<dyn Socket> = match (&self.tls, url.is_tls) {
            (Some(config), true) => {
                let name = rustls_pki_types::ServerName::try_from(url.host.clone())
                    .map_err(|error| Ended::Protocol(error.to_string()))?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                Box::new(timeout(CONNECT_MAX, connector.connect(name, socket)).await.map_err(late("TLS"))??)
            }
            (None, true) => return Err(Ended::Refused("there is no CA to check rtmps:// with".into())),
            (_, false) => Box::new(socket),
        };
        let stream = match &self.key {
            Some(key) if !url.stream.contains('?') => format!("{}?key={}", url.stream, key.reveal()),
            _ => url.stream.clone(),
        };
        timeout(CONNECT_MAX, Connection::greet(socket, url, stream)).await.map_err(late("publish"))?
    }
}

/// Takes everything and keeps only what a later connection must begin with; ends when the queue does.
async fn drain(tags: &mut mpsc::Receiver<Tag>, configs: &mut Configs) {
    while let Some(tag) = tags.recv().await {
        configs.keep(&tag);
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Bytes read at a time; a server answers in a few hundred.
const READ_BYTES: usize = 4096;

struct Connection {
    socket: Box<dyn Socket>,
    session: ClientSession,
    piece: Box<[u8; READ_BYTES]>,
    is_accepted: bool,
}

fn protocol(error: impl std::fmt::Debug) -> Ended {
    Ended::Protocol(format!("{error:?}"))
}

impl Connection {
    /// Handshake, connect, createStream, publish.
    async fn greet(mut socket: Box<dyn Socket>, url: &PublishUrl, stream: String) -> Result<Self, Ended> {
        let mut handshake = Handshake::new(PeerType::Client);
        write(&mut socket, &handshake.generate_outbound_p0_and_p1().map_err(protocol)?).await?;
        let mut piece = Box::new([0; READ_BYTES]);
        let rest = loop {
            let read = socket.read(&mut piece[..]).await?;
            if read == 0 {
                return Err(Ended::Closed);
            }
            match handshake.process_bytes(&piece[..read]).map_err(protocol)? {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    write(&mut socket, &response_bytes).await?
                }
                HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                    write(&mut socket, &response_bytes).await?;
                    break remaining_bytes;
                }
            }
        };
        let mut config = ClientSessionConfig::new();
        config.flash_version = concat!("Mascaret source/", env!("CARGO_PKG_VERSION")).into();
        config.tc_url = Some(url.tc_url());
        let (session, first) = ClientSession::new(config).map_err(protocol)?;
        let mut connection = Self { socket, session, piece, is_accepted: false };
        connection.act(first, &stream).await?;
        let connect = connection.session.request_connection(url.app.clone()).map_err(protocol)?;
        connection.act(vec![connect], &stream).await?;
        let results = connection.session.handle_input(&rest).map_err(protocol)?;
        connection.act(results, &stream).await?;
        while !connection.is_accepted {
            let read = connection.socket.read(&mut connection.piece[..]).await?;
            connection.heard(read, &stream).await?;
        }
        Ok(connection)
    }

    /// What the server says while we publish: acknowledgements and pings; or that it is over.
    async fn take(&mut self) -> Result<(), Ended> {
        let read = self.socket.read(&mut self.piece[..]).await?;
        self.heard(read, "").await
    }

    async fn heard(&mut self, read: usize, stream: &str) -> Result<(), Ended> {
        if read == 0 {
            return Err(Ended::Closed);
        }
        let results = self.session.handle_input(&self.piece[..read]).map_err(protocol)?;
        self.act(results, stream).await
    }

    async fn act(&mut self, results: Vec<ClientSessionResult>, stream: &str) -> Result<(), Ended> {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(out) => write(&mut self.socket, &out.bytes).await?,
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
                ClientSessionResult::RaisedEvent(event) => match event {
                    ClientSessionEvent::ConnectionRequestAccepted => {
                        let publish =
                            self.session.request_publishing(stream.to_owned(), PublishRequestType::Live);
                        if let ClientSessionResult::OutboundResponse(out) = publish.map_err(protocol)? {
                            write(&mut self.socket, &out.bytes).await?;
                        }
                    }
                    ClientSessionEvent::PublishRequestAccepted => self.is_accepted = true,
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(Ended::Refused(description));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => {
                        return Err(Ended::Refused(code));
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    async fn send_metadata(&mut self, metadata: &StreamMetadata) -> Result<(), Ended> {
        let sent = self.session.publish_metadata(metadata).map_err(protocol)?;
        self.act(vec![sent], "").await
    }

    async fn send(&mut self, track: Track, at_ms: u32, body: Bytes) -> Result<(), Ended> {
        let at = RtmpTimestamp::new(at_ms);
        let sent = match track {
            Track::Video => self.session.publish_video_data(body, at, false),
            Track::Audio => self.session.publish_audio_data(body, at, false),
        };
        self.act(vec![sent.map_err(protocol)?], "").await
    }
}

async fn write(socket: &mut Box<dyn Socket>, bytes: &[u8]) -> Result<(), Ended> {
    match timeout(SILENCE_MAX, socket.write_all(bytes)).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(Ended::Late { what: "what was sent", after: SILENCE_MAX }),
    }
}
