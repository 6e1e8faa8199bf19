//! Whom a viewer trusts: CAs, or everybody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Where Debian, and most of its kin, keep the CAs of this machine.
const MACHINE_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whose certificates are taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// Of the CAs of this machine.
    #[default]
    Machine,
    /// Of those, and of the CAs in this PEM file.
    AndFile(PathBuf),
    /// Everybody's: for a test against a certificate that is not the host's.
    Everybody,
}

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file with the CAs is not readable, or has none.
    #[error("{}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// rustls could not be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust {
    /// How a viewer greets a server by TLS. Nothing is remembered between connections: every viewer is somebody else.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match self {
            Self::Everybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesEverybody::new(&provider)))
            }
            Self::Machine => builder.with_root_certificates(roots(None)?),
            Self::AndFile(file) => builder.with_root_certificates(roots(Some(file))?),
        };
        let mut client = builder.with_no_client_auth();
        client.resumption = Resumption::disabled();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(client))
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    // A machine without CAs is trusted to nobody, which a handshake says.
    roots.add_parsable_certificates(read(Path::new(MACHINE_CAS)).unwrap_or_default());
    if let Some(file) = file {
        let (added, _) = roots.add_parsable_certificates(read(file)?);
        if added == 0 {
            return Err(TrustError::File { file: file.into(), why: "no certificate in it".into() });
        }
    }
    Ok(roots)
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let say = |error: &dyn std::fmt::Display| TrustError::File { file: file.into(), why: error.to_string() };
    let pem = std::fs::read(file).map_err(|error| say(&error))?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| say(&error))
}

/// Looks at no name and no issuer, but at the signature of the handshake: that costs as much as for anybody.
#[derive(Debug)]
struct TakesEverybody(WebPkiSupportedAlgorithms);

impl TakesEverybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for TakesEverybody {
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
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_ca_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Trust::AndFile(file.path().into()).client().unwrap_err().to_string();
        assert!(error.contains("no certificate in it"), "{error}");
        let error = Trust::AndFile("/nowhere/ca.pem".into()).client().unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/ca.pem: "), "{error}");
        assert!(Trust::Machine.client().is_ok() && Trust::Everybody.client().is_ok());
    }
}
