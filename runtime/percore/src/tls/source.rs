//! What viewers are shown, and how their sessions are resumed: both may change while connections run.
//!
//! Lives here: rustls' configuration. Does not live here: files with certificates (`node`), tickets (`tickets`), or one
//! connection's records (`records`).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Tls;
use super::records::Records;
use super::tickets::Tickets;

/// A certificate and its key, and the keys of tickets, which may be replaced while connections run. Clones share them.
#[derive(Clone)]
pub struct TlsSource {
    current: Arc<ArcSwap<ServerConfig>>,
    tickets: Arc<Tickets>,
}

impl fmt::Debug for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSource")
    }
}

impl TlsSource {
    /// TLS 1.2 and 1.3 with this chain (leaf first) and key; tickets by keys of our own until some are shared.
    ///
    /// # Errors
    /// The key is not of a kind we know, or does not belong to the leaf.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let tickets = Arc::new(Tickets::new()?);
        let config = server_config(chain, key, Arc::clone(&tickets))?;
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(config)), tickets })
    }

    /// From now on new connections get this certificate; running ones keep theirs.
    ///
    /// # Errors
    /// As [`TlsSource::new`]; then nothing has changed.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        self.current.store(Arc::new(server_config(chain, key, Arc::clone(&self.tickets))?));
        Ok(())
    }

    /// From now on tickets are sealed by a key of the first secret and opened by those of all of them (at most
    /// [`crate::TICKET_SECRETS`]), here and by everyone else who was told the same. None: by a key of our own again.
    pub fn share_tickets(&self, secrets: impl IntoIterator<Item = [u8; 32]>) {
        self.tickets.share(secrets);
    }

    pub(crate) fn connection(&self) -> Result<Tls, rustls::Error> {
        Ok(Tls::Records(Box::new(Records::new(self.current.load_full())?)))
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    tickets: Arc<Tickets>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = tickets;
    // For the kernel, where it makes the records: `tls::kernel`.
    config.enable_secret_extraction = true;
    // The other way to resume, by a table of ours, would cost memory per viewer; tickets do not.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}
