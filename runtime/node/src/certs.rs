//! How nodes know each other (mutual TLS) and how viewers know us (HTTPS), and a development CA for both.
//!
//! Lives here: making, reading and wrapping certificates. Does not live here: sockets (`fan`, `percore`,
//! `ingest`). A fleet brings its own files by settings; `mascaret certs init` and `mascaret demo` make these:
//!
//! | file | is | mode |
//! | --- | --- | --- |
//! | `ca.pem`, `ca.key` | the development CA | 0644, 0600 |
//! | `cluster.pem`, `cluster.key` | leaf for links between nodes, server and client | 0644, 0600 |
//! | `node-<id>.pem`, `node-<id>.key` | the same for one node, named in it (`certs init --node`) | 0644, 0600 |
//! | `https.pem`, `https.key` | leaf for HTTPS and RTMPS | 0644, 0600 |

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

mod named;
mod shown;

pub use named::NodeNames;
pub(crate) use named::names;
pub use shown::Shown;

use crate::settings::Parsed;
use edgefan::NodeId;
use named::{NamedClients, NamedServers};

/// What both sides of a link between nodes must speak.
pub const CLUSTER_ALPN: &[u8] = b"edgefan/1";

/// What two ingests of one broadcast speak to each other, on the same listener.
pub const TWIN_ALPN: &[u8] = b"twin/1";

/// What ingests and edges speak with the lobby, of who may publish and watch.
pub const ADMISSION_ALPN: &[u8] = b"admission/1";

/// The name in the cluster leaf; links are dialled by address and checked against this name.
pub const CLUSTER_NAME: &str = "node.mascaret.internal";

/// How long development leaves and their CA are good for. 825 days is what Apple's clients take at most
/// from a CA that the user added himself (support.apple.com/103769).
const VALID_FOR: Duration = Duration::from_secs(820 * 86_400);

/// Certificates start this much in the past: clocks of a fleet differ.
const VALID_BEFORE: Duration = Duration::from_secs(86_400);

/// Where certificates and keys are. Each file may be named; what is not named is in `directory`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateSettings {
    /// Where files are looked for that are not named below. Default `certs`.
    pub directory: PathBuf,
    /// The CA that signed every node's cluster leaf. Default `ca.pem` in `directory`.
    pub ca: Option<PathBuf>,
    /// This node's chain for links between nodes. Default `cluster.pem` in `directory`.
    pub cluster_chain: Option<PathBuf>,
    /// Its key. Default `cluster.key` in `directory`.
    pub cluster_key: Option<PathBuf>,
    /// The chain shown to viewers and to RTMPS publishers. Default `https.pem` in `directory`.
    pub https_chain: Option<PathBuf>,
    /// Its key. Default `https.key` in `directory`.
    pub https_key: Option<PathBuf>,
    /// Whether a node's cluster leaf must name it (`mascaret certs init --node`): `when_named` takes a leaf without names for
    /// any node and one with names for these, `required` takes only the latter. Default `when_named`.
    pub node_names: Parsed<NodeNames>,
}

impl Default for CertificateSettings {
    fn default() -> Self {
        Self {
            directory: "certs".into(),
            ca: None,
            cluster_chain: None,
            cluster_key: None,
            https_chain: None,
            https_key: None,
            node_names: Parsed(NodeNames::WhenNamed),
        }
    }
}

/// Why there is no certificate to use. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not there, or not ours to read.
    #[error("{what} {}: {error}", path.display())]
    File {
        /// Which part it plays.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// There, and not what it should be.
    #[error("{what} {}: {why}", path.display())]
    Content {
        /// Which part it plays.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The files do not fit together.
    #[error("certificates do not fit together: {0}")]
    Rustls(#[from] rustls::Error),
    /// The CA accepts nobody.
    #[error("the cluster's CA cannot check peers: {0}")]
    Verifier(String),
    /// A certificate could not be made.
    #[error("a development certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes aws-lc-rs what every TLS of this process stands on. May be called any number of times.
pub fn install_provider() {
    // An error says that one is installed already, which is all that is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The certificates of a node; files are read at each call, so that a reload is calling again.
#[derive(Clone, Debug)]
pub struct Certificates {
    settings: CertificateSettings,
}

impl Certificates {
    /// Reads nothing yet.
    pub fn new(settings: CertificateSettings) -> Self {
        install_provider();
        Self { settings }
    }

    fn path(&self, named: Option<&PathBuf>, usual: &str) -> PathBuf {
        named.cloned().unwrap_or_else(|| self.settings.directory.join(usual))
    }

    /// The CA's file, for who wants to hand it to somebody.
    pub fn ca_path(&self) -> PathBuf {
        self.path(self.settings.ca.as_ref(), "ca.pem")
    }

    /// The HTTPS chain's and key's files, for `percore` and others that load by themselves.
    pub fn https_paths(&self) -> (PathBuf, PathBuf) {
        (
            self.path(self.settings.https_chain.as_ref(), "https.pem"),
            self.path(self.settings.https_key.as_ref(), "https.key"),
        )
    }

    fn roots(&self) -> Result<RootCertStore, CertificateError> {
        let path = self.ca_path();
        let mut roots = RootCertStore::empty();
        for certificate in read_chain("cluster CA", &path)? {
            roots.add(certificate)?;
        }
        Ok(roots)
    }

    fn cluster_leaf(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertificateError> {
        Ok((
            read_chain(
                "cluster certificate",
                &self.path(self.settings.cluster_chain.as_ref(), "cluster.pem"),
            )?,
            read_key("cluster key", &self.path(self.settings.cluster_key.as_ref(), "cluster.key"))?,
        ))
    }

    /// Who accepts links: TLS 1.3 only, the peer must show a leaf of the cluster's CA, `edgefan/1` or `twin/1`.
    pub fn cluster_server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?))
            .build()
            .map_err(|error| CertificateError::Verifier(error.to_string()))?;
        let verifier = match self.settings.node_names.0 {
            NodeNames::WhenNamed => verifier,
            NodeNames::Required => Arc::new(NamedClients(verifier)),
        };
        let (chain, key) = self.cluster_leaf()?;
        let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![CLUSTER_ALPN.to_vec(), TWIN_ALPN.to_vec(), ADMISSION_ALPN.to_vec()];
        // A ticket is written after the handshake; a peer that only writes never reads it, and its last
        // bytes are lost when we close with it unread. Links are long, resumption buys nothing.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Who dials links: TLS 1.3 only, shows its leaf, `edgefan/1`. Check the peer as [`cluster_server_name`].
    pub fn cluster_client_config(&self) -> Result<Arc<ClientConfig>, CertificateError> {
        let roots = Arc::new(self.roots()?);
        let (chain, key) = self.cluster_leaf()?;
        let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = match self.settings.node_names.0 {
            NodeNames::WhenNamed => builder.with_root_certificates(roots),
            NodeNames::Required => {
                let verifier = WebPkiServerVerifier::builder(roots).build();
                let verifier = verifier.map_err(|error| CertificateError::Verifier(error.to_string()))?;
                // Checks what the usual one checks, and more.
                builder.dangerous().with_custom_certificate_verifier(Arc::new(NamedServers(verifier)))
            }
        };
        let mut config = builder.with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![CLUSTER_ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Who dials what viewers dial (HTTPS, RTMPS): trusts the CA, shows nothing.
    pub fn https_client_config(&self) -> Result<Arc<ClientConfig>, CertificateError> {
        Ok(Arc::new(ClientConfig::builder().with_root_certificates(self.roots()?).with_no_client_auth()))
    }

    /// The chain and the key that viewers are shown, as the files are now.
    pub fn https_leaf(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertificateError> {
        let (chain, key) = self.https_paths();
        Ok((read_chain("HTTPS certificate", &chain)?, read_key("HTTPS key", &key)?))
    }

    /// What viewers (and RTMPS publishers) are shown: TLS 1.2 and 1.3, `http/1.1`, no client certificate.
    pub fn https_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let (chain, key) = self.https_leaf()?;
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The name that a dialled node must prove, whatever its address is.
pub fn cluster_server_name() -> rustls::pki_types::ServerName<'static> {
    rustls::pki_types::ServerName::try_from(CLUSTER_NAME).expect("a constant that is a DNS name")
}

fn read_chain(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = fs::read(path).map_err(|error| CertificateError::File { what, path: path.into(), error })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(CertificateError::Content {
            what,
            path: path.into(),
            why: "holds no CERTIFICATE in PEM".into(),
        }),
        Ok(chain) => Ok(chain),
        Err(error) => Err(CertificateError::Content { what, path: path.into(), why: error.to_string() }),
    }
}

fn read_key(what: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let pem = fs::read(path).map_err(|error| CertificateError::File { what, path: path.into(), error })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| CertificateError::Content {
        what,
        path: path.into(),
        why: format!("holds no private key in PEM ({error})"),
    })
}

/// What [`init`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A CA and its leaves were made.
    All,
    /// The CA was there; the leaves are new.
    Leaves,
}

/// Makes what is missing of a development CA in `directory`, and new leaves; `names` (DNS names or
/// addresses) go into the HTTPS leaf beside `localhost`, 127.0.0.1 and ::1.
pub fn init(directory: &Path, names: &[String]) -> Result<Made, CertificateError> {
    let (made, issuer) = issuer(directory)?;
    let cluster = leaf("Mascaret node", &[CLUSTER_NAME.to_owned()], true)?;
    write_leaf(directory, "cluster", &cluster, &issuer)?;
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    all.extend(
        names.iter().filter(|name| !["localhost", "127.0.0.1", "::1"].contains(&name.as_str())).cloned(),
    );
    write_leaf(directory, "https", &leaf("Mascaret", &all, false)?, &issuer)?;
    Ok(made)
}

/// Makes what is missing of a development CA in `directory`, and a new leaf for links between nodes for each of these,
/// good for that node only: `node-<id>.pem` and `.key`. Other leaves are left alone.
pub fn init_nodes(directory: &Path, nodes: &[NodeId]) -> Result<Made, CertificateError> {
    let (made, issuer) = issuer(directory)?;
    for node in nodes {
        let mut params = leaf(&format!("Mascaret node {node}"), &[CLUSTER_NAME.to_owned()], true)?;
        params.subject_alt_names.push(SanType::URI(named::uri(node).try_into()?));
        write_leaf(directory, &format!("node-{node}"), &params, &issuer)?;
    }
    Ok(made)
}

/// The CA that is there, or a new one.
fn issuer(directory: &Path) -> Result<(Made, Issuer<'static, KeyPair>), CertificateError> {
    let create =
        |error| CertificateError::File { what: "certificate directory", path: directory.into(), error };
    fs::create_dir_all(directory).map_err(create)?;
    let (ca_pem, ca_key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let made = if ca_pem.exists() && ca_key.exists() { Made::Leaves } else { Made::All };
    let issuer = match made {
        Made::Leaves => {
            let read = |what, path: &Path| {
                fs::read_to_string(path).map_err(|error| CertificateError::File {
                    what,
                    path: path.into(),
                    error,
                })
            };
            let key = KeyPair::from_pem(&read("CA key", &ca_key)?)?;
            Issuer::from_ca_cert_pem(&read("CA certificate", &ca_pem)?, key)?
        }
        Made::All => {
            let key = KeyPair::generate()?;
            let mut ca = CertificateParams::new(Vec::new())?;
            ca.distinguished_name.push(DnType::CommonName, "Mascaret development CA");
            ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            valid(&mut ca);
            write("CA certificate", &ca_pem, ca.self_signed(&key)?.pem().as_bytes(), 0o644)?;
            write("CA key", &ca_key, key.serialize_pem().as_bytes(), 0o600)?;
            Issuer::new(ca, key)
        }
    };
    Ok((made, issuer))
}

fn valid(params: &mut CertificateParams) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = rcgen::date_time_ymd(1970, 1, 1) + since_epoch;
    params.not_before = now - VALID_BEFORE;
    params.not_after = now + VALID_FOR;
}

fn leaf(common: &str, names: &[String], is_client: bool) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, common);
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if is_client {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    params.use_authority_key_identifier_extension = true;
    valid(&mut params);
    Ok(params)
}

fn write_leaf(
    directory: &Path,
    stem: &str,
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(), CertificateError> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    // Not `with_extension`: a node's name may have dots.
    let path = |ending: &str| directory.join(format!("{stem}.{ending}"));
    write("certificate", &path("pem"), certificate.pem().as_bytes(), 0o644)?;
    write("key", &path("key"), key.serialize_pem().as_bytes(), 0o600)
}

/// Whole or not at all: written beside, then renamed over.
fn write(what: &'static str, path: &Path, content: &[u8], mode: u32) -> Result<(), CertificateError> {
    let beside = path.with_extension("new");
    // Left by one that was killed, perhaps with another mode.
    let _ = fs::remove_file(&beside);
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|error| CertificateError::File { what, path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn in_directory(directory: &Path) -> Certificates {
        Certificates::new(CertificateSettings { directory: directory.into(), ..Default::default() })
    }

    /// Runs a TLS handshake in memory and says what was agreed.
    fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Result<Option<Vec<u8>>, rustls::Error> {
        let mut client = rustls::ClientConnection::new(client, cluster_server_name())?;
        let mut server = rustls::ServerConnection::new(server)?;
        for _ in 0..10 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                server.read_tls(&mut wire).unwrap();
                server.process_new_packets()?;
            }
            let mut back = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut back).unwrap();
            }
            let mut back = back.as_slice();
            while !back.is_empty() {
                client.read_tls(&mut back).unwrap();
                client.process_new_packets()?;
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(server.alpn_protocol().map(<[u8]>::to_vec))
    }

    #[test]
    fn two_nodes_of_one_ca_know_each_other() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(init(directory.path(), &["127.0.0.21".into(), "live.example".into()]).unwrap(), Made::All);
        let certificates = in_directory(directory.path());
        let agreed = shake(
            certificates.cluster_client_config().unwrap(),
            certificates.cluster_server_config().unwrap(),
        );
        assert_eq!(agreed.unwrap().as_deref(), Some(CLUSTER_ALPN));
        certificates.https_config().unwrap();
    }

    #[test]
    fn a_node_of_another_ca_is_a_stranger() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        init(ours.path(), &[]).unwrap();
        init(theirs.path(), &[]).unwrap();
        let server = in_directory(ours.path()).cluster_server_config().unwrap();
        let client = in_directory(theirs.path()).cluster_client_config().unwrap();
        shake(client, server).unwrap_err();
    }

    #[test]
    fn keys_are_their_owners_only_and_a_second_init_keeps_the_ca() {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &[]).unwrap();
        let ca = fs::read(directory.path().join("ca.pem")).unwrap();
        assert_eq!(init(directory.path(), &[]).unwrap(), Made::Leaves);
        assert_eq!(fs::read(directory.path().join("ca.pem")).unwrap(), ca);
        for key in ["ca.key", "cluster.key", "https.key"] {
            let mode = fs::metadata(directory.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        // The new leaves still belong to the old CA.
        let certificates = in_directory(directory.path());
        shake(certificates.cluster_client_config().unwrap(), certificates.cluster_server_config().unwrap())
            .unwrap();
    }

    #[test]
    fn a_leaf_speaks_for_the_nodes_it_names_and_where_names_are_wanted_no_other_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &[]).unwrap();
        let node = |id: &str| NodeId::parse(id).unwrap();
        assert_eq!(init_nodes(directory.path(), &[node("edge1"), node("edge.2")]).unwrap(), Made::Leaves);
        let of = |leaf: &str, wants: NodeNames| {
            let path = |ending: &str| Some(directory.path().join(format!("{leaf}.{ending}")));
            Certificates::new(CertificateSettings {
                directory: directory.path().into(),
                cluster_chain: path("pem"),
                cluster_key: path("key"),
                node_names: Parsed(wants),
                ..Default::default()
            })
        };
        let shows = |leaf| names(Some(&of(leaf, NodeNames::WhenNamed).cluster_leaf().unwrap().0));
        assert_eq!(shows("cluster"), edgefan::Names::Any);
        assert!(shows("node-edge.2").allow(&node("edge.2")) && !shows("node-edge.2").allow(&node("edge1")));
        assert!(!names(None).allow(&node("edge1")));
        let meets = |client: &Certificates, server: &Certificates| {
            shake(client.cluster_client_config().unwrap(), server.cluster_server_config().unwrap()).is_ok()
        };
        let (bare, named) = (of("cluster", NodeNames::WhenNamed), of("node-edge1", NodeNames::WhenNamed));
        let strict = of("node-edge.2", NodeNames::Required);
        assert!(meets(&bare, &named) && meets(&named, &bare));
        assert!(meets(&named, &strict) && meets(&strict, &named));
        assert!(!meets(&bare, &strict) && !meets(&strict, &bare));
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = in_directory(directory.path()).cluster_server_config().unwrap_err().to_string();
        assert!(error.contains("ca.pem") && error.contains("cluster CA"), "{error}");
    }
}
