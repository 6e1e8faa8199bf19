//! Fetching by HTTP, for the commands that look at servers from outside.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Where Debian, and most of its kin, keep the CAs of this machine.
const MACHINE_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The most bytes of one answer that are read: a segment of 10 s at 50 Mbit/s.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Asks servers; keeps connections open between asks.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    agent: ureq::Agent,
}

impl Fetcher {
    /// Gives up on an ask after `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self::trusting(limit, Vec::new(), 5)
    }

    /// The same, trusting this machine's CAs and those in `file`; redirects are handed over, not followed.
    pub(crate) fn for_checking(limit: Duration, file: Option<&Path>) -> Result<Self, String> {
        let mut roots = read_pem(Path::new(MACHINE_CAS)).unwrap_or_default();
        if let Some(file) = file {
            roots.extend(read_pem(file)?);
        }
        Ok(Self::trusting(limit, roots, 0))
    }

    fn trusting(limit: Duration, roots: Vec<Certificate<'static>>, redirects: u32) -> Self {
        node::certs::install_provider();
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(redirects)
            .max_redirects_will_error(false)
            // A proxy of the environment is for the world outside, not for a cluster's own nodes.
            .proxy(None)
            .tls_config(tls)
            .user_agent(concat!("mascaret/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into() }
    }

    pub(crate) fn get(&self, url: &str) -> Result<Fetched, String> {
        read(self.agent.get(url).call(), url)
    }

    /// Offers gzip and takes it off; the header that says so stays among the headers.
    pub(crate) fn get_offering_gzip(&self, url: &str) -> Result<Fetched, String> {
        let mut fetched = read(self.agent.get(url).header("accept-encoding", "gzip").call(), url)?;
        let is_gzip = |(name, value): &(String, String)| {
            name == "content-encoding" && value.eq_ignore_ascii_case("gzip")
        };
        if fetched.headers.iter().any(is_gzip) {
            let mut plain = Vec::new();
            let decoder = flate2::read::MultiGzDecoder::new(fetched.body.as_slice());
            // What a few hundred bytes may unfold to is bounded like what comes unfolded.
            decoder
                .take(BODY_BYTES_MAX)
                .read_to_end(&mut plain)
                .map_err(|error| format!("{url}: says gzip and is not: {error}"))?;
            fetched.body = plain;
        }
        Ok(fetched)
    }

    pub(crate) fn post(&self, url: &str) -> Result<Fetched, String> {
        read(self.agent.post(url).send_empty(), url)
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, url: &str) -> Result<Fetched, String> {
    let mut answer = answer.map_err(|error| format!("{url}: {error}"))?;
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec();
    Ok(Fetched { status, headers, body: body.map_err(|error| format!("{url}: {error}"))? })
}

fn read_pem(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| say(&error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = read.map_err(|error| say(&error))?;
    Ok(all.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// `uri` as seen from `base` (RFC 3986, 5.2, as far as playlists need it): absolute, from the root, or beside.
pub(crate) fn resolve(base: &str, uri: &str) -> String {
    if uri.contains("://") {
        return uri.to_owned();
    }
    let Some(scheme_end) = base.find("://").map(|at| at + 3) else { return uri.to_owned() };
    if let Some(rest) = uri.strip_prefix("//") {
        return format!("{}//{rest}", &base[..scheme_end - 2]);
    }
    let authority_end = base[scheme_end..].find('/').map_or(base.len(), |at| scheme_end + at);
    if uri.starts_with('/') {
        return format!("{}{uri}", &base[..authority_end]);
    }
    let path = base[authority_end..].split(['?', '#']).next().unwrap_or_default();
    let mut folders: Vec<&str> = path.split('/').skip(1).collect();
    folders.pop();
    let (relative, query) = uri.split_at(uri.find('?').unwrap_or(uri.len()));
    for step in relative.split('/') {
        match step {
            "." => {}
            ".." => drop(folders.pop()),
            step => folders.push(step),
        }
    }
    format!("{}/{}{query}", &base[..authority_end], folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_uris_are_seen_from_the_playlist() {
        let base = "http://e:8080/live/tide/360p/index.m3u8?x=1";
        for (uri, whole) in [
            ("884.ts", "http://e:8080/live/tide/360p/884.ts"),
            ("../180p/index.m3u8", "http://e:8080/live/tide/180p/index.m3u8"),
            ("/a/b.ts?q=../z", "http://e:8080/a/b.ts?q=../z"),
            ("//f/x", "http://f/x"),
            ("https://g/x", "https://g/x"),
            ("../../../../x", "http://e:8080/x"),
        ] {
            assert_eq!(resolve(base, uri), whole);
        }
        assert_eq!(resolve("http://e", "x"), "http://e/x");
    }
}
