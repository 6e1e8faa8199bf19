//! A directory in etcd, by the JSON gateway every etcd of version 3 has (`/v3/kv/range`, `/v3/kv/txn`, `/v3/watch`).
//!
//! A record is the JSON value of `<prefix>edges/<id>`; there is no lease: it stays until somebody takes it away. Writing
//! names the revision that was seen (`mod_revision` in a transaction), so nobody's word is lost. Endpoints are tried in
//! turn, the one that answered last first. Reads are linearizable (etcd's default): an endpoint that is cut off from
//! its quorum says so, and the next one is asked.

use super::{
    Directory, DirectoryError, DirectorySettings, Entry, RECORDS, Record, Revision, VIEW_BYTES, View, Written,
};
use crate::Stop;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use edgefan::NodeId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// How long an endpoint may take to accept.
const CONNECT: Duration = Duration::from_secs(1);

/// How long one may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a watch is left alone: then everything is read anew, which is also how a silent endpoint is found.
const WATCH: Duration = Duration::from_secs(5);

/// A directory in etcd.
#[derive(Debug)]
pub struct Etcd {
    endpoints: Vec<String>,
    /// The one that answered last.
    current: usize,
    /// `<prefix>edges/`.
    edges: String,
    asking: ureq::Agent,
    watching: ureq::Agent,
}

impl Etcd {
    /// Nothing is asked yet; certificates are read.
    pub fn new(
        endpoints: Vec<String>,
        prefix: String,
        settings: &DirectorySettings,
    ) -> Result<Self, DirectoryError> {
        let tls = tls(settings)?;
        let asking = agent(ANSWER, tls.clone());
        let watching = agent(WATCH, tls);
        Ok(Self { endpoints, current: 0, edges: format!("{prefix}edges/"), asking, watching })
    }

    /// Asks one endpoint after the other until one answers.
    fn ask(&mut self, path: &str, body: &Value) -> Result<Value, DirectoryError> {
        let mut refusals = Vec::new();
        for turn in 0..self.endpoints.len() {
            let at = (self.current + turn) % self.endpoints.len();
            match ask_one(&self.asking, &self.endpoints[at], path, body) {
                Ok(answer) => {
                    self.current = at;
                    return Ok(answer);
                }
                Err(why) => refusals.push(why),
            }
        }
        Err(DirectoryError::Etcd(refusals.join("; ")))
    }

    fn range(&self) -> Value {
        // All keys that begin so: up to the first that does not.
        let mut end = self.edges.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        json!({ "key": BASE64.encode(&self.edges), "range_end": BASE64.encode(end) })
    }
}

impl Directory for Etcd {
    fn read(&mut self) -> Result<View, DirectoryError> {
        let mut range = self.range();
        range["limit"] = (RECORDS + 1).to_string().into();
        let answer = self.ask("/v3/kv/range", &range)?;
        let odd = |what: &str| DirectoryError::Etcd(format!("an answer without {what}"));
        let mut view = View {
            revision: Revision(number(&answer["header"]["revision"]).ok_or_else(|| odd("a revision"))?),
            ..View::default()
        };
        let found = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
        if found.len() > RECORDS {
            let (count, limit) = (found.len() as u64, RECORDS as u64);
            return Err(DirectoryError::TooMuch { what: "records", count, limit });
        }
        for one in found {
            let key = text(&one["key"]).ok_or_else(|| odd("a key"))?;
            let name = key.strip_prefix(&self.edges).unwrap_or(&key);
            let value = BASE64.decode(one["value"].as_str().unwrap_or_default()).unwrap_or_default();
            let revision = Revision(number(&one["mod_revision"]).ok_or_else(|| odd("a mod_revision"))?);
            match (NodeId::parse(name), Record::of_json(&value)) {
                (Ok(edge), Ok(record)) => drop(view.edges.insert(edge, Entry { record, revision })),
                (Err(error), _) => drop(view.unread.insert(name.to_owned(), error.to_string())),
                (_, Err(why)) => drop(view.unread.insert(name.to_owned(), why)),
            }
        }
        Ok(view)
    }

    fn write(
        &mut self,
        edge: &NodeId,
        seen: Revision,
        record: Option<&Record>,
    ) -> Result<Written, DirectoryError> {
        let key = BASE64.encode(format!("{}{edge}", self.edges));
        let then = match record {
            Some(record) => {
                json!({ "request_put": { "key": key, "value": BASE64.encode(record.to_json()) } })
            }
            None => json!({ "request_delete_range": { "key": key } }),
        };
        let unchanged = json!({
            "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": seen.0.to_string(),
        });
        let answer = self.ask("/v3/kv/txn", &json!({ "compare": [unchanged], "success": [then] }))?;
        Ok(if answer["succeeded"] == true { Written::Done } else { Written::Overtaken })
    }

    fn await_change(&mut self, seen: &View, stop: &Stop) -> Result<(), DirectoryError> {
        let mut wanted = self.range();
        wanted["start_revision"] = (seen.revision.0 + 1).to_string().into();
        let url = format!("{}/v3/watch", self.endpoints[self.current]);
        let answer = self.watching.post(&url).send_json(json!({ "create_request": wanted }));
        let mut lines =
            BufReader::new(answer.map_err(|error| failed(&url, error))?.into_body().into_reader());
        let mut line = Vec::new();
        // A line that says that the watch is there, then one with what happened. Whatever else ends it, its patience
        // above all: everything is read anew.
        while !stop.is_stopping() {
            line.clear();
            let read = (&mut lines).take(VIEW_BYTES).read_until(b'\n', &mut line);
            let Ok(1..) = read else { return Ok(()) };
            let said: Value = serde_json::from_slice(&line).unwrap_or_default();
            let said = &said["result"];
            if said["events"].is_array() || said["canceled"] == true {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn ask_one(agent: &ureq::Agent, endpoint: &str, path: &str, body: &Value) -> Result<Value, String> {
    let url = format!("{endpoint}{path}");
    let mut answer = agent.post(&url).send_json(body).map_err(|error| format!("{url}: {error}"))?;
    let status = answer.status().as_u16();
    let bytes = answer.body_mut().with_config().limit(2 * VIEW_BYTES).read_to_vec();
    let bytes = bytes.map_err(|error| format!("{url}: {error}"))?;
    if status != 200 {
        let said = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        return Err(format!("{url}: {status} {said}"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("{url}: {error}"))
}

fn failed(url: &str, error: ureq::Error) -> DirectoryError {
    DirectoryError::Etcd(format!("{url}: {error}"))
}

/// The gateway writes 64-bit numbers as text; a field that is 0 it leaves out.
fn number(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64())
}

fn text(value: &Value) -> Option<String> {
    String::from_utf8(BASE64.decode(value.as_str()?).ok()?).ok()
}

fn agent(limit: Duration, tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy of the environment is for the world outside, not for a cluster's own nodes.
        .proxy(None)
        .tls_config(tls)
        .user_agent(concat!("mascaret/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn tls(settings: &DirectorySettings) -> Result<TlsConfig, DirectoryError> {
    crate::certs::install_provider();
    let mut config = TlsConfig::builder();
    if let Some(ca) = &settings.ca {
        config = config.root_certs(RootCerts::new_with_certs(&chain(ca)?));
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
        let pem = read(key)?;
        let key = PrivateKey::from_pem(&pem).map_err(|error| content(key, error))?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&chain(certificate)?, key)));
    }
    Ok(config.build())
}

fn chain(path: &Path) -> Result<Vec<Certificate<'static>>, DirectoryError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| content(path, error))?;
    Ok(chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, DirectoryError> {
    fs::read(path).map_err(|error| DirectoryError::Io { path: PathBuf::from(path), error })
}

fn content(path: &Path, why: impl ToString) -> DirectoryError {
    DirectoryError::Content { path: PathBuf::from(path), why: why.to_string() }
}
