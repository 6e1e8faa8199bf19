//! The certificate viewers are shown, followed: read again at a reload, with its expiry and its reloads for metrics.
//!
//! Does not live here: putting it into sockets; whoever shows it brings a way to replace it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertificateError, Certificates};
use crate::Reload;

/// Below this the log warns at every start and reload: a week is enough to act, and renewal by ACME comes a month
/// before the end.
const EXPIRES_SOON_SECS: i64 = 7 * 86_400;

/// What is known of the certificate that is shown. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    expires_unix_secs: AtomicI64,
    reloads: AtomicU64,
    refused: AtomicU64,
}

impl Shown {
    /// Looks at the leaf; says so in the log if it is over or about to be. It is shown all the same: a viewer who is
    /// warned is better off than one who is not served.
    pub fn of(chain: &[CertificateDer<'_>]) -> Self {
        let shown = Self::default();
        shown.see(chain);
        shown
    }

    fn see(&self, chain: &[CertificateDer<'_>]) {
        let leaf = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let Some((_, leaf)) = leaf else { return };
        let (subject, expires) = (leaf.subject(), leaf.validity().not_after);
        self.seen.expires_unix_secs.store(expires.timestamp(), Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        match expires.timestamp() - now {
            ..=0 => tracing::error!(%subject, %expires, "the HTTPS certificate has expired"),
            1..EXPIRES_SOON_SECS => tracing::warn!(%subject, %expires, "the HTTPS certificate expires soon"),
            _ => tracing::info!(%subject, %expires, "HTTPS certificate"),
        }
    }

    /// Adds its expiry and the counts of reloads to what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Exporter(self.clone())));
    }

    /// When it expires, in seconds since the Unix epoch; 0 where nothing is known of it.
    pub fn expires_unix_secs(&self) -> i64 {
        self.seen.expires_unix_secs.load(Relaxed)
    }

    /// Reloads that replaced it, and those that kept the old one.
    pub fn reloads(&self) -> (u64, u64) {
        (self.seen.reloads.load(Relaxed), self.seen.refused.load(Relaxed))
    }
}

impl Certificates {
    /// At every reload reads the HTTPS chain and key, and has them replaced; where they are no good, what was shown
    /// stays, and the log says which file and why.
    pub fn follow_https(
        &self,
        reload: &Reload,
        shown: &Shown,
        replace: impl Fn(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<(), rustls::Error>
        + Send
        + 'static,
    ) {
        let (certificates, shown) = (self.clone(), shown.clone());
        reload.on_reload("HTTPS certificate", move || {
            let read = || -> Result<_, CertificateError> {
                let (chain, key) = certificates.https_leaf()?;
                replace(chain.clone(), key).map_err(|error| certificates.https_misfit(&error))?;
                Ok(chain)
            };
            match read() {
                Ok(chain) => {
                    shown.see(&chain);
                    shown.seen.reloads.fetch_add(1, Relaxed);
                    Ok(())
                }
                Err(error) => {
                    shown.seen.refused.fetch_add(1, Relaxed);
                    Err(error.to_string())
                }
            }
        });
    }

    /// What to say when the HTTPS key is none that rustls can use, or does not belong to the certificate.
    pub fn https_misfit(&self, error: &rustls::Error) -> CertificateError {
        let (path, key) = self.https_paths();
        let why = format!("does not go with {}: {error}", key.display());
        CertificateError::Content { what: "HTTPS certificate", path, why }
    }
}

#[derive(Debug)]
struct Exporter(Shown);

impl Collector for Exporter {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(self.0.expires_unix_secs());
        let (name, help) = (
            "https_certificate_expires_timestamp_seconds",
            "when the certificate shown to viewers expires, since the Unix epoch",
        );
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        let (reloads, refused) = self.0.reloads();
        for (name, help, count) in [
            ("https_certificate_reloads", "times the certificate was read again and replaced", reloads),
            ("https_certificate_reloads_refused", "times it was no good, and the one before stayed", refused),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CertificateSettings, init};
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_reload_replaces_the_certificate_and_a_broken_file_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &[]).unwrap();
        let settings = CertificateSettings { directory: directory.path().into(), ..Default::default() };
        let (certificates, reload) = (Certificates::new(settings), Reload::default());
        let (first, _) = certificates.https_leaf().unwrap();
        let (shown, given) = (Shown::of(&first), Arc::new(Mutex::new(Vec::new())));
        assert!(shown.expires_unix_secs() > 1_700_000_000);
        let taken = Arc::clone(&given);
        certificates.follow_https(&reload, &shown, move |chain, key| {
            let config = rustls::ServerConfig::builder().with_no_client_auth();
            config.with_single_cert(chain.clone(), key)?;
            taken.lock().unwrap().push(chain);
            Ok(())
        });
        init(directory.path(), &[]).unwrap();
        assert!(reload.signal()[0].result.is_ok());
        assert_ne!(given.lock().unwrap()[0], first);

        let key = std::fs::read(directory.path().join("https.key")).unwrap();
        let broken: [(&str, &[u8], &str); 4] = [
            ("https.pem", b"no PEM", "holds no CERTIFICATE"),
            ("https.key", b"no PEM", "holds no private key"),
            ("https.key", &std::fs::read(directory.path().join("ca.key")).unwrap(), "does not go with"),
            ("https.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "https.pem"),
        ];
        for (place, (file, content, says)) in broken.into_iter().enumerate() {
            std::fs::write(directory.path().join(file), content).unwrap();
            let why = reload.signal().remove(0).result.unwrap_err();
            assert!(why.contains(says) && why.contains(file), "{why}");
            assert_eq!(shown.reloads(), (1, place as u64 + 1));
            std::fs::write(directory.path().join("https.key"), &key).unwrap();
            if file == "https.pem" {
                init(directory.path(), &[]).unwrap();
            }
        }
        assert_eq!(given.lock().unwrap().len(), 1);
    }

    #[test]
    fn expiry_and_reloads_are_in_the_metrics() {
        let mut registry = Registry::with_prefix("mascaret_edge");
        Shown::default().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("mascaret_edge_https_certificate_expires_timestamp_seconds 0\n"), "{text}");
        assert!(text.contains("mascaret_edge_https_certificate_reloads_refused_total 0\n"), "{text}");
    }
}
