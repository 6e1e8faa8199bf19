//! Which nodes a cluster leaf speaks for: `URI:mascaret://node/<id>` among its alternative names.
//!
//! A leaf that names nodes is good for these only, wherever it is shown: whoever takes one box has that box's name and
//! no other. A leaf that names none is good for any node, unless `certificates.node_names` wants names
//! (docs/decisions).

use edgefan::{Names, NodeId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What stands before a node's name.
const NODE_URI: &str = "mascaret://node/";

/// Whether a leaf must name its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeNames {
    /// One that names nodes is good for these, one that names none for any.
    #[default]
    WhenNamed,
    /// One that names none is refused.
    Required,
}

impl FromStr for NodeNames {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "when_named" => Ok(Self::WhenNamed),
            "required" => Ok(Self::Required),
            _ => Err(format!("{text:?} is none of them; allowed is when_named, required")),
        }
    }
}

impl fmt::Display for NodeNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhenNamed => "when_named",
            Self::Required => "required",
        })
    }
}

/// As it stands in a leaf.
pub(super) fn uri(node: &NodeId) -> String {
    format!("{NODE_URI}{node}")
}

/// Whom the peer that showed this chain may say to be.
pub(crate) fn names(chain: Option<&[CertificateDer<'_>]>) -> Names {
    chain.and_then(|chain| chain.first()).map_or(Names::Only(Vec::new()), |leaf| names_in(leaf))
}

fn names_in(leaf: &CertificateDer<'_>) -> Names {
    // A handshake that checked it has been through: what cannot be read here speaks for nobody.
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return Names::Only(Vec::new()) };
    let Ok(alternatives) = leaf.subject_alternative_name() else { return Names::Only(Vec::new()) };
    let all = alternatives.iter().flat_map(|it| &it.value.general_names);
    let named = all.filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(NODE_URI),
        _ => None,
    });
    let named: Vec<&str> = named.collect();
    match named.is_empty() {
        true => Names::Any,
        false => Names::Only(named.into_iter().filter_map(|id| NodeId::parse(id).ok()).collect()),
    }
}

fn must_name(leaf: &CertificateDer<'_>) -> Result<(), Error> {
    match names_in(leaf) {
        Names::Only(nodes) if !nodes.is_empty() => Ok(()),
        _ => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
    }
}

/// Refuses a dialler whose leaf names no node; all else is as `inner` has it.
#[derive(Debug)]
pub(super) struct NamedClients(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(leaf, intermediates, now)?;
        must_name(leaf).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Refuses who is dialled and whose leaf names no node; all else is as `inner` has it.
#[derive(Debug)]
pub(super) struct NamedServers(pub(super) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for NamedServers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(leaf, intermediates, name, ocsp, now)?;
        must_name(leaf).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
