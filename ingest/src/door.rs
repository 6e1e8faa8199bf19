//! One publisher's connection: its socket on one side, its claim on a broadcast on the other.
//!
//! Lives here: accepting and bounding connections, whose they are, RTMPS, asking the keys, and carrying what `rtmp` and `flv`
//! understood to the broadcast's line. Does not live here: what a byte means (`rtmp`, `flv`), or what becomes of a
//! unit (`line`).

use crate::admitted::{Admitted, Grant};
use crate::broadcasts::{Broadcasts, Claim, ClaimRefusal};
use crate::keys::KeyRefusal;
use crate::metrics::Metrics;
use crate::proxied::{self, HEAD_WITHIN, Nameless, Proxies};
use bytes::BytesMut;
use flv::{Demuxed, Demuxer, FlvError, Tag};
use media::BroadcastId;
use rtmp::{Conversation, Door as _, Farewell, Limits, Output, PublishRequest, Refusal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take before RTMP begins.
pub(crate) const TLS_WITHIN: Duration = Duration::from_secs(5);
/// How long a last word may take to be sent.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
/// Bytes read from a socket before it publishes: a command is 300 bytes.
const READ_BYTES_UNPUBLISHED: usize = 2 << 10;
/// Bytes read from a socket at once: a fifth of a second at 2.5 Mbit/s.
const READ_BYTES: usize = rtmp::PUSH_BYTES;

/// What every connection needs of the ingest.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) broadcasts: Broadcasts,
    pub(crate) keys: Arc<Admitted>,
    pub(crate) limits: Limits,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Entrance {
    /// Takes connections for ever; one over the bound is closed at once.
    pub(crate) async fn listen(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (socket, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: those that are open go on.
                    tracing::warn!("a connection cannot be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                self.metrics.refused_connections.inc();
                tracing::warn!(%from, "a connection is refused: `ingest.connections` are open");
                continue;
            };
            let (entrance, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                entrance.metrics.connections.inc();
                entrance.take(socket, from, tls).await;
                entrance.metrics.connections.dec();
                drop(place);
            });
        }
    }

    async fn take(&self, mut socket: TcpStream, from: SocketAddr, tls: Option<TlsAcceptor>) {
        // Commands are small and waited for; a failure costs only latency.
        let _ = socket.set_nodelay(true);
        let from = if self.proxies.has(from.ip()) {
            match proxied::whose(&mut socket, from, HEAD_WITHIN).await {
                Ok(publisher) => {
                    self.metrics.proxied.inc();
                    publisher
                }
                Err(Nameless::Silent) => return,
                Err(why) => {
                    self.metrics.refused_proxy.inc();
                    return tracing::info!(proxy = %from, "is closed: {why}");
                }
            }
        } else {
            from
        };
        let Some(tls) = tls else { return Connection::new(self.clone(), from).run(socket).await };
        match tokio::time::timeout(TLS_WITHIN, tls.accept(socket)).await {
            Ok(Ok(socket)) => Connection::new(self.clone(), from).run(socket).await,
            Ok(Err(error)) => tracing::info!(%from, "no TLS: {error}"),
            Err(_) => tracing::info!(%from, "no TLS within {} s", TLS_WITHIN.as_secs()),
        }
    }

    /// Whether this publisher may have that broadcast; the words of the refusal are for whoever sits at the encoder.
    async fn admit(
        &self,
        request: &PublishRequest,
        from: SocketAddr,
    ) -> Result<(BroadcastId, Claim, Grant), Refusal> {
        let broadcast = BroadcastId::parse(request.name.reveal())
            .map_err(|error| Refusal::new("NetStream.Publish.BadName", error.to_string()))?;
        let key = ["key", "token"].iter().find_map(|name| request.query.value(name));
        let grant =
            self.keys.check(&broadcast, key.map(rtmp::Secret::reveal)).await.map_err(
                |refusal| match refusal {
                    KeyRefusal::Wrong => Refusal::unauthorized(),
                    refusal => Refusal::new("NetStream.Publish.Unauthorized", refusal.to_string()),
                },
            )?;
        let claim = self.broadcasts.claim(&broadcast, from).map_err(|refusal| match refusal {
            ClaimRefusal::InUse => Refusal::in_use(),
            away @ ClaimRefusal::HandedOver => Refusal::new("NetStream.Publish.BadName", away.to_string()),
            full @ ClaimRefusal::Full(_) => Refusal::new("NetStream.Publish.Failed", full.to_string()),
        })?;
        Ok((broadcast, claim, grant))
    }
}

struct Connection {
    entrance: Entrance,
    from: SocketAddr,
    door: Conversation,
    demuxer: Demuxer,
    publication: Option<(BroadcastId, Claim, Grant)>,
}

impl Connection {
    fn new(entrance: Entrance, from: SocketAddr) -> Self {
        let mut nonce = [0; 32];
        // S1's bytes tell connections apart and protect nothing: zeros would do.
        let _ = getrandom::fill(&mut nonce);
        let door = Conversation::new(entrance.limits, nonce, Instant::now());
        Self { entrance, from, door, demuxer: Demuxer::new(), publication: None }
    }

    async fn run(mut self, mut socket: impl AsyncRead + AsyncWrite + Unpin) {
        let mut inbound = BytesMut::new();
        loop {
            // What came while the line had no room is read before silence is judged: hence `biased`.
            let deadline = self.door.deadline().map(tokio::time::Instant::from_std);
            inbound.clear();
            inbound.reserve(if self.publication.is_some() { READ_BYTES } else { READ_BYTES_UNPUBLISHED });
            let taken_over = async {
                match &mut self.publication {
                    Some((_, claim, grant)) => tokio::select! {
                        is_taken = &mut claim.taken_over => match is_taken {
                            Ok(_) => "another publisher, or another ingest, has taken over",
                            Err(_) => "this ingest is ending",
                        },
                        () = grant.revoked() => "this publish key was revoked",
                    },
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                why = taken_over => {
                    self.door.refuse(Refusal::new("NetStream.Publish.BadName", why));
                }
                read = socket.read_buf(&mut inbound) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(read) => {
                        self.entrance.metrics.received_bytes.inc_by(read as u64);
                        // The door says why in its last output.
                        let _ = self.door.push(&inbound[..read], Instant::now());
                    }
                },
                () = tokio::time::sleep_until(deadline.unwrap_or_else(far_away)) => self.door.expired(Instant::now()),
            }
            if !self.carry(&mut socket).await {
                break;
            }
        }
        self.demuxer.flush();
        self.place_units().await;
        let dropped = self.demuxer.dropped();
        self.entrance.metrics.bad_tags.inc_by(dropped.broken + dropped.unconfigured + dropped.pictureless);
    }

    /// Carries everything the door has out; false when it is over.
    async fn carry(&mut self, socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
        while let Some(output) = self.door.pull() {
            match output {
                Output::Send(bytes) => {
                    let sent = tokio::time::timeout(FAREWELL_WITHIN, socket.write_all(&bytes)).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return false;
                    }
                }
                Output::Publish(request) => self.publish(&request).await,
                Output::Media { track, timestamp_ms, body } => {
                    self.tag(Tag { track, timestamp_ms, body }).await
                }
                Output::Metadata(metadata) => tracing::debug!(from = %self.from, ?metadata, "metadata"),
                Output::Over(farewell) => {
                    self.over(&farewell);
                    let _ = tokio::time::timeout(FAREWELL_WITHIN, part(socket)).await;
                    return false;
                }
            }
        }
        true
    }

    async fn publish(&mut self, request: &PublishRequest) {
        match self.entrance.admit(request, self.from).await {
            Ok((broadcast, claim, mut grant)) => {
                grant.goes_on_air(&broadcast);
                tracing::info!(from = %self.from, %broadcast, app = ?request.app, "publishes");
                claim.push(timeline::Input::Arrived).await;
                self.publication = Some((broadcast, claim, grant));
                self.entrance.metrics.publishes.inc();
                self.door.accept(Instant::now());
            }
            Err(refusal) => {
                self.entrance.metrics.refused_publishes.inc();
                self.door.refuse(refusal);
            }
        }
    }

    async fn tag(&mut self, tag: Tag) {
        if let Err(error) = self.demuxer.push(tag) {
            // Damage is dropped inside; an error is something we cannot use, and the person at the encoder can mend.
            self.door.refuse(match &error {
                FlvError::UnsupportedCodec { name, .. } => Refusal::unsupported_codec(name),
                error => Refusal::new("NetStream.Publish.Rejected", error.to_string()),
            });
        }
        self.place_units().await;
    }

    async fn place_units(&mut self) {
        while let Some(demuxed) = self.demuxer.pull() {
            let Some((_, claim, _)) = &self.publication else { continue };
            let input = match demuxed {
                Demuxed::VideoConfig(config) => timeline::Input::VideoConfig(config),
                Demuxed::AudioConfig(config) => timeline::Input::AudioConfig(config),
                Demuxed::Unit(unit) => timeline::Input::Unit(unit),
            };
            claim.push(input).await;
        }
    }

    fn over(&self, farewell: &Farewell) {
        let broadcast = self.publication.as_ref().map(|(broadcast, ..)| broadcast.as_str()).unwrap_or("-");
        match farewell {
            Farewell::Unpublished => tracing::info!(from = %self.from, broadcast, "is done"),
            Farewell::Fault(error) => {
                self.entrance.metrics.door_faults.inc();
                tracing::info!(from = %self.from, broadcast, "is closed: {error}");
            }
            farewell => tracing::info!(from = %self.from, broadcast, "is closed: {farewell:?}"),
        }
    }
}

/// Says that nothing more will come, and reads what does: a socket closed with bytes unread is reset, and the reset may
/// overtake the last word.
async fn part(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut unread = [0; READ_BYTES_UNPUBLISHED];
    if socket.shutdown().await.is_ok() {
        while matches!(socket.read(&mut unread).await, Ok(1..)) {}
    }
}

fn far_away() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(3600)
}
