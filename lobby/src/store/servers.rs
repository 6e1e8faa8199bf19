//! PostgreSQL's servers, and the way to whichever of them takes writes.
//!
//! All are asked at once and the first that takes writes wins: one that hangs (its machine accepts and nobody answers)
//! holds nobody up, as it would if they were asked in turn. Who waits long for an answer has the others asked whether one of
//! them takes writes by now ([`Servers::look`]); when one does, nobody waits for the old one any more. A server that is only
//! slow is waited for, because no other takes writes beside it. With `sslmode=require` what is said is sealed from those who
//! listen; with `verify-full` the server also proves its name, to the certificates of `sslrootcert`.

use super::StoreError;
use deadpool_postgres::Connect;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Socket};
use tokio_rustls::TlsConnector;

/// How long one server is asked for a connection, once another has said no.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// How long a connection with nothing to say may be to a machine that is gone: two seconds, then a question each second.
const SILENT: (Duration, Duration, u32) = (Duration::from_secs(2), Duration::from_secs(1), 2);

type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Each server by itself.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    each: Vec<Config>,
    tls: Tls,
    leader: Arc<watch::Sender<Leader>>,
    is_looking: Arc<AtomicBool>,
}

/// Which server takes writes, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leader {
    nth: Option<usize>,
    /// Connections that are older lead to another.
    pub(super) since: Instant,
}

impl Servers {
    /// Of an address in PostgreSQL's spelling; an answer is given up after `answer_within`.
    pub(super) fn parse(address: &str, answer_within: Duration) -> Result<Self, StoreError> {
        let broken = |why: String| StoreError::Broken(format!("its address: {why}"));
        let (address, mode) = take_out(address, "sslmode");
        let (address, roots) = take_out(&address, "sslrootcert");
        let tls = match (mode.as_deref(), roots) {
            (None | Some("disable"), _) => None,
            (Some("require"), None) => Some(sealed(None)?),
            (Some("verify-full"), Some(roots)) => Some(sealed(Some(&roots))?),
            (Some("verify-full"), None) => {
                return Err(broken("sslmode=verify-full needs sslrootcert=<file of certificates>".into()));
            }
            (Some("require"), Some(_)) => {
                return Err(broken("with sslrootcert only sslmode=verify-full is spoken".into()));
            }
            (Some(other), _) => {
                return Err(broken(format!("sslmode is disable, require or verify-full, not {other:?}")));
            }
        };
        let all: Config =
            address.parse().map_err(|error: tokio_postgres::Error| broken(super::postgres::told(&error)))?;
        let hosts = all.get_hosts().len().max(all.get_hostaddrs().len());
        if hosts == 0 {
            return Err(broken("it names no host".into()));
        }
        let each = (0..hosts).map(|nth| alone(&all, nth, tls.is_some(), answer_within)).collect();
        let (leader, _) = watch::channel(Leader { nth: None, since: Instant::now() });
        Ok(Self { each, tls: Tls(tls), leader: Arc::new(leader), is_looking: Arc::default() })
    }

    /// Who takes writes; changes when that is another.
    pub(super) fn leader(&self) -> watch::Receiver<Leader> {
        self.leader.subscribe()
    }

    fn leads(&self, nth: usize) {
        self.leader.send_if_modified(|leader| {
            let is_another = leader.nth.is_some_and(|before| before != nth);
            if leader.nth != Some(nth) {
                *leader =
                    Leader { nth: Some(nth), since: if is_another { Instant::now() } else { leader.since } };
            }
            is_another
        });
    }

    /// Asks, on a task of its own and once at a time, whether another server takes writes by now than the one that is late.
    pub(super) fn look(&self) {
        let known = self.leader.borrow().nth;
        if self.each.len() < 2 || known.is_none() || self.is_looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let servers = self.clone();
        tokio::spawn(async move {
            let mut asked = JoinSet::new();
            for (nth, one) in servers.each.iter().cloned().enumerate().filter(|(nth, _)| Some(*nth) != known)
            {
                let tls = servers.tls.clone();
                asked.spawn(async move {
                    let taken = tokio::time::timeout(CONNECT_WITHIN, one.connect(tls)).await;
                    matches!(taken, Ok(Ok(_))).then_some(nth)
                });
            }
            while let Some(next) = asked.join_next().await {
                if let Ok(Some(nth)) = next {
                    tracing::warn!(server = nth, "another database takes writes now");
                    servers.leads(nth);
                    break;
                }
            }
            servers.is_looking.store(false, Ordering::Release);
        });
    }

    /// What the pool shows of itself: the first.
    pub(super) fn config(&self) -> Config {
        self.each[0].clone()
    }

    async fn dial(&self) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let mut asked = JoinSet::new();
        for (nth, one) in self.each.iter().cloned().enumerate() {
            let tls = self.tls.clone();
            asked.spawn(async move { one.connect(tls).await.map(|connected| (nth, connected)) });
        }
        let until = tokio::time::Instant::now() + CONNECT_WITHIN;
        let mut refused = None;
        loop {
            let next = match refused.take() {
                None => asked.join_next().await,
                Some(error) => match tokio::time::timeout_at(until, asked.join_next()).await {
                    Err(_) | Ok(None) => return Err(error),
                    Ok(next) => {
                        refused = Some(error);
                        next
                    }
                },
            };
            match next {
                Some(Ok(Ok((nth, (client, connection))))) => {
                    self.leads(nth);
                    let carried = tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(
                                error = super::postgres::told(&error),
                                "a connection to the database"
                            );
                        }
                    });
                    return Ok((client, carried));
                }
                Some(Ok(Err(error))) => refused = Some(error),
                Some(Err(_)) => {}
                // The pool's own time ends this.
                None => pending().await,
            }
        }
    }
}

impl Connect for Servers {
    fn connect(&self, _: &Config) -> Later<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(self.dial())
    }
}

fn alone(all: &Config, nth: usize, is_sealed: bool, answer_within: Duration) -> Config {
    let mut one = Config::new();
    all.get_user().map(|user| one.user(user));
    all.get_password().map(|password| one.password(password));
    all.get_dbname().map(|name| one.dbname(name));
    all.get_options().map(|options| one.options(options));
    match all.get_hosts().get(nth) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    all.get_hostaddrs().get(nth).map(|address| one.hostaddr(*address));
    // One port is every server's.
    let ports = all.get_ports();
    ports.get(nth).or_else(|| ports.first()).map(|port| one.port(*port));
    one.channel_binding(all.get_channel_binding());
    one.ssl_mode(if is_sealed { SslMode::Require } else { SslMode::Disable });
    one.target_session_attrs(TargetSessionAttrs::ReadWrite).application_name("mascaret lobby");
    one.connect_timeout(*all.get_connect_timeout().unwrap_or(&CONNECT_WITHIN));
    one.tcp_user_timeout(answer_within);
    let (idle, interval, retries) = SILENT;
    one.keepalives(true).keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
    one
}

/// Takes `key` out of an address of either spelling: what remains, and its value.
fn take_out(address: &str, key: &str) -> (String, Option<String>) {
    let mut value = None;
    if address.contains("://") {
        let Some((front, query)) = address.split_once('?') else { return (address.to_owned(), None) };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| match pair.split_once('=') {
                Some((name, is)) if name == key => {
                    value = Some(is.to_owned());
                    false
                }
                _ => true,
            })
            .collect();
        return (format!("{front}?{}", kept.join("&")), value);
    }
    let (mut kept, mut rest) = (String::new(), address);
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let end = value_end(after);
        if name.trim() == key {
            value = Some(plain(&after[..end]));
        } else {
            kept.push_str(&format!("{}={} ", name.trim(), &after[..end]));
        }
        rest = &after[end..];
    }
    kept.push_str(rest);
    (kept, value)
}

/// Where a value ends: at a blank, or behind its closing quote.
fn value_end(text: &str) -> usize {
    let is_quoted = text.starts_with('\'');
    let mut is_escaped = false;
    for (at, char) in text.char_indices().skip(usize::from(is_quoted)) {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' if is_quoted => return at + 1,
            char if !is_quoted && char.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

fn plain(value: &str) -> String {
    let inner = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
    let (mut text, mut is_escaped) = (String::new(), false);
    for char in inner.chars() {
        if char == '\\' && !is_escaped {
            is_escaped = true;
        } else {
            text.push(char);
            is_escaped = false;
        }
    }
    text
}

fn sealed(roots: Option<&str>) -> Result<TlsConnector, StoreError> {
    let broken = |why: String| StoreError::Broken(format!("its address: {why}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(error.to_string()))?;
    let config = match roots {
        Some(file) => {
            let mut known = RootCertStore::empty();
            let why = |error: &dyn Error| broken(format!("sslrootcert={file}: {error}"));
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| why(&error))? {
                let certificate = certificate.map_err(|error| why(&error))?;
                known.add(certificate).map_err(|error| why(&error))?;
            }
            if known.is_empty() {
                return Err(broken(format!("sslrootcert={file} has no certificate")));
            }
            config.with_root_certificates(known)
        }
        None => config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// `sslmode=require`: whoever holds the key of the certificate he shows, whatever it says.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How connections are sealed, if they are.
#[derive(Clone)]
struct Tls(Option<TlsConnector>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", self.0.is_some())
    }
}

/// For one server by its name; made for each connection, sealed or not.
struct Named(Option<TlsConnector>, String);

/// A sealed connection.
struct Sealed(tokio_rustls::client::TlsStream<Socket>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Sealed;
    type TlsConnect = Named;
    type Error = io::Error;

    fn make_tls_connect(&mut self, name: &str) -> io::Result<Named> {
        Ok(Named(self.0.clone(), name.to_owned()))
    }
}

impl TlsConnect<Socket> for Named {
    type Stream = Sealed;
    type Error = io::Error;
    type Future = Later<'static, io::Result<Sealed>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let tls = self.0.ok_or_else(|| io::Error::other("sslmode=disable"))?;
            let name = ServerName::try_from(self.1).map_err(io::Error::other)?;
            tls.connect(name, socket).await.map(Sealed)
        })
    }
}

impl TlsStream for Sealed {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Sealed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> Result<Servers, StoreError> {
        Servers::parse(address, Duration::from_secs(3))
    }

    #[test]
    fn each_server_is_one_with_its_own_port() {
        let servers = parse("host=db1,db2 port=5432,5433 user=m password='a b\\'c' dbname=d").unwrap();
        let [one, other] = &*servers.each else { panic!("{servers:?}") };
        assert_eq!((one.get_hosts(), one.get_ports()), (&[Host::Tcp("db1".into())][..], &[5432][..]));
        assert_eq!((other.get_hosts(), other.get_ports()), (&[Host::Tcp("db2".into())][..], &[5433][..]));
        assert_eq!((one.get_password(), one.get_dbname()), (Some(&b"a b'c"[..]), Some("d")));
        assert_eq!(other.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        let servers = parse("postgresql://m:x@db1:1,db2:2/d?sslmode=require").unwrap();
        assert_eq!((servers.each.len(), servers.each[1].get_ports()), (2, &[2][..]));
        assert_eq!(servers.each[0].get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn a_key_is_taken_out_of_either_spelling() {
        let out = |address| take_out(address, "sslmode");
        assert_eq!(out("host=a sslmode = 'verify-full' user=b").1.as_deref(), Some("verify-full"));
        assert_eq!(out("host=a sslmode=require user=b").0, "host=a user=b ");
        assert_eq!(out("password='x sslmode=require'").1, None);
        assert_eq!(out("postgres://a/b?sslmode=disable&user=c").0, "postgres://a/b?user=c");
    }

    #[test]
    fn what_is_not_spoken_is_refused_with_what_is() {
        for (address, part) in [
            ("host=a sslmode=prefer", "disable, require or verify-full"),
            ("host=a sslmode=verify-full", "needs sslrootcert"),
            ("host=a sslmode=verify-full sslrootcert=/nowhere", "/nowhere"),
            ("user=b", "names no host"),
        ] {
            let said = parse(address).unwrap_err().to_string();
            assert!(said.contains(part), "{address}: {said}");
        }
    }
}
