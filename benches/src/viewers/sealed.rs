//! Many TLS connections, one request out on each. The client takes part in the handshake and opens its first answers with
//! rustls; when it has learned how many bytes of ciphertext an answer is, it only counts them, and the kernel throws them
//! away as it does with plain bytes.
//!
//! TLS 1.3 with one key exchange and one cipher, so that every server does the same work: those that browsers name first
//! (X25519, TLS_AES_128_GCM_SHA256). Certificates are not checked: that is the viewers' work, and it is the servers that
//! are measured.

use super::counted::{PIECE, each_ready, ring, throw_away, watch};
use super::{Aim, Cut, Load, Sample};
use crate::error::BenchError;
use node::Stop;
use rustix::net::{SendFlags, send};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// What the table says of the rows in TLS.
pub(crate) const CIPHER: &str = "TLS 1.3, X25519, ECDSA P-256, AES-128-GCM";

/// How often an answer's ciphertext is measured before its length is believed.
const LEARNED: usize = 3;

/// A client's side of TLS, without resumption.
pub(crate) fn config() -> Result<Arc<ClientConfig>, BenchError> {
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(refuse)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn refuse(error: rustls::Error) -> BenchError {
    BenchError::Refused(format!("TLS: {error}"))
}

/// A connection's TLS, not yet begun.
pub(crate) fn session(config: &Arc<ClientConfig>) -> Result<ClientConnection, BenchError> {
    let name = ServerName::try_from("localhost").expect("a constant that is a DNS name");
    ClientConnection::new(config.clone(), name).map_err(refuse)
}

/// One viewer.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    tls: ClientConnection,
    left: usize,
}

impl Connection {
    /// Connected, shaken hands, and had one answer, with which the session tickets came.
    pub(crate) fn open(
        aim: &Aim,
        nth: usize,
        config: &Arc<ClientConfig>,
        first: &Aim,
    ) -> Result<Self, BenchError> {
        let mut connection = Self { socket: aim.connect(nth)?, tls: session(config)?, left: 0 };
        first.ask(&mut rustls::Stream::new(&mut connection.tls, &mut connection.socket))?;
        Ok(connection)
    }

    /// Sends a request; what it takes is not what is measured.
    fn ask(&mut self, aim: &Aim, request: &[u8]) -> Result<(), BenchError> {
        let fail = || BenchError::when(format!("{}: asking", aim.server));
        self.tls.writer().write_all(request).map_err(fail())?;
        let mut sealed = Vec::with_capacity(request.len() + 64);
        while self.tls.wants_write() {
            self.tls.write_tls(&mut sealed).map_err(fail())?;
        }
        match send(&self.socket, &sealed, SendFlags::NOSIGNAL) {
            Ok(n) if n == sealed.len() => Ok(()),
            Ok(_) => Err(BenchError::answer(&aim.server, "takes no requests")),
            Err(error) => Err(fail()(error.into())),
        }
    }

    /// Bytes of ciphertext that the next answer is, all of it opened.
    fn measure(&mut self, aim: &Aim, whole: usize) -> Result<usize, BenchError> {
        let fail = || BenchError::when(format!("{}: an answer in TLS", aim.server));
        self.ask(aim, &aim.request())?;
        let (mut sealed, mut opened) = (0, 0);
        let mut piece = vec![0; 16 << 10];
        while opened < whole {
            let n = self.socket.read(&mut piece).map_err(fail())?;
            if n == 0 {
                return Err(BenchError::answer(&aim.server, "closed in an answer"));
            }
            sealed += n;
            let mut rest = &piece[..n];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).map_err(fail())?;
                let state = self.tls.process_new_packets().map_err(refuse)?;
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                self.tls.reader().read_exact(&mut plain).map_err(fail())?;
                opened += plain.len();
            }
        }
        Ok(sealed)
    }
}

/// Asks for `aim` as fast as answers come, for one window; `first` is the small thing each connection begins with.
pub(crate) fn window(aim: &Aim, first: &Aim, load: Load, stop: &Stop) -> Result<Sample, BenchError> {
    let config = config()?;
    let request = aim.request();
    let ring = ring()?;
    let mut connections = Vec::with_capacity(load.connections);
    let (mut whole, mut sealed) = (0, 0);
    for nth in 0..load.connections {
        let mut connection = Connection::open(aim, nth, &config, first)?;
        if nth == 0 {
            whole = aim.ask(&mut rustls::Stream::new(&mut connection.tls, &mut connection.socket))?.len;
            let mut learned = Vec::new();
            for _ in 0..LEARNED {
                learned.push(connection.measure(aim, whole)?);
            }
            sealed = learned[0];
            if learned.iter().any(|len| *len != sealed) {
                let said = format!("{}: its ciphertext is not always as long: {learned:?}", aim.target);
                return Err(BenchError::answer(&aim.server, said));
            }
        }
        watch(&ring, &connection.socket, nth)?;
        connection.left = sealed;
        connections.push(connection);
    }
    for connection in &mut connections {
        connection.ask(aim, &request)?;
    }
    let mut cut = Cut::of(load);
    let (mut answers, mut bytes) = (0u64, 0u64);
    let mut piece = vec![0u8; PIECE];
    let mut sample = each_ready(&ring, stop, |place| {
        let Some(place) = place else { return cut.see(answers, bytes) };
        let connection = &mut connections[place];
        let want = (connection.left + 1).min(PIECE);
        let n = throw_away(aim, &connection.socket, &mut piece[..want])?;
        if n > connection.left {
            return Err(BenchError::answer(
                &aim.server,
                format!("{}: ciphertexts differ in length", aim.target),
            ));
        }
        connection.left -= n;
        bytes += n as u64;
        if connection.left == 0 && n > 0 {
            answers += 1;
            connection.left = sealed;
            connection.ask(aim, &request)?;
        }
        Ok(None)
    })?;
    // What was in it: a GB is a GB of media, however it is wrapped.
    sample.bytes = (sample.bytes as f64 * whole as f64 / sealed as f64) as u64;
    Ok(sample)
}

/// Takes whatever certificate is shown.
#[derive(Debug)]
struct Unchecked;

impl ServerCertVerifier for Unchecked {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
