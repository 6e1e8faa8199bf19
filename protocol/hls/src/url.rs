//! Absolute http and https URLs, and references resolved against them (RFC 3986, 5.2): the one place where a
//! playlist's URI becomes something that can be asked for.

use std::fmt;

/// Bytes a URL may have: what servers take as a target, and an authority.
pub const MOST_URL_BYTES: usize = 4096;

/// An absolute `http` or `https` URL without user information and fragment, ready for a request line: bytes that
/// may not stand there are percent-encoded, dot segments are removed, an empty path is `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    text: Box<str>,
    /// Where the authority ends and the path begins.
    path_at: u16,
}

/// Why a text is not such a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `http://` nor `https://`.
    #[error("only http and https are known")]
    Scheme,
    /// No host, user information, or a port that is none.
    #[error("no host, or a malformed one")]
    Authority,
    /// Too long.
    #[error("{bytes} bytes, at most {MOST_URL_BYTES} are taken")]
    TooLong {
        /// How long.
        bytes: usize,
    },
}

impl Url {
    /// Reads an absolute URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = match scheme {
            s if s.eq_ignore_ascii_case("http") => "http",
            s if s.eq_ignore_ascii_case("https") => "https",
            _ => return Err(UrlError::Scheme),
        };
        if text.len() > MOST_URL_BYTES {
            return Err(UrlError::TooLong { bytes: text.len() });
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        check_authority(authority)?;
        let (path, query) = path_query.split_at(path_query.find('?').unwrap_or(path_query.len()));
        Self::build(scheme, &authority.to_ascii_lowercase(), path, query)
    }

    /// What a reference found in the resource at this URL means.
    pub fn resolve(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.trim();
        if has_scheme(reference) {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.scheme()));
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let (target, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
        if target.is_empty() {
            let query = if query.is_empty() { self.query() } else { query };
            return Self::build(self.scheme(), self.authority(), self.path(), query);
        }
        if target.starts_with('/') {
            return Self::build(self.scheme(), self.authority(), target, query);
        }
        let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        Self::build(self.scheme(), self.authority(), &format!("{folder}/{target}"), query)
    }

    fn build(scheme: &str, authority: &str, path: &str, query: &str) -> Result<Self, UrlError> {
        let mut text = String::with_capacity(scheme.len() + authority.len() + path.len() + query.len() + 4);
        text.push_str(scheme);
        text.push_str("://");
        text.push_str(authority);
        let path_at = text.len();
        push_path(&mut text, path);
        push_encoded(&mut text, query);
        if text.len() > MOST_URL_BYTES {
            return Err(UrlError::TooLong { bytes: text.len() });
        }
        // MOST_URL_BYTES fits.
        Ok(Self { text: text.into(), path_at: path_at as u16 })
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `https`?
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        if self.is_https() { "https" } else { "http" }
    }

    /// Scheme, host and port: `https://e1:8443`.
    pub fn origin(&self) -> &str {
        &self.text[..usize::from(self.path_at)]
    }

    /// Host and port as written, for the Host field: `e1:8443`.
    pub fn authority(&self) -> &str {
        &self.origin()[self.scheme().len() + 3..]
    }

    /// The host alone; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        split_port(self.authority()).0.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own where none is written.
    pub fn port(&self) -> u16 {
        let scheme = if self.is_https() { 443 } else { 80 };
        split_port(self.authority()).1.and_then(|port| port.parse().ok()).unwrap_or(scheme)
    }

    /// Path and query: what stands in the request line.
    pub fn target(&self) -> &str {
        &self.text[usize::from(self.path_at)..]
    }

    /// The path.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// The query with its `?`, or nothing.
    fn query(&self) -> &str {
        self.target().find('?').map_or("", |at| &self.target()[at..])
    }

    /// The last two elements of the path, `720p/7.ts`: the same for a segment at every edge, whatever token stands
    /// before.
    pub fn tail(&self) -> &str {
        let path = self.path();
        match path.rmatch_indices('/').nth(1) {
            Some((at, _)) => &path[at + 1..],
            None => path.trim_start_matches('/'),
        }
    }

    /// The same target at the origin of another.
    pub fn at(&self, origin: &str) -> Result<Self, UrlError> {
        Self::parse(&format!("{origin}{}", self.target()))
    }

    /// With one more `name=value` in the query.
    pub fn with_query(&self, pair: fmt::Arguments<'_>) -> Result<Self, UrlError> {
        let joint = if self.query().is_empty() { '?' } else { '&' };
        Self::parse(&format!("{}{joint}{pair}", self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

fn has_scheme(reference: &str) -> bool {
    let head = reference.split(['/', '?', '#']).next().unwrap_or_default();
    head.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// Host and port of an authority.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[host_end..].find(':') {
        Some(at) => (&authority[..host_end + at], Some(&authority[host_end + at + 1..])),
        None => (authority, None),
    }
}

fn check_authority(authority: &str) -> Result<(), UrlError> {
    let (host, port) = split_port(authority);
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(address) => address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.is_empty() || inner == Some("") || !is_host || !is_port {
        return Err(UrlError::Authority);
    }
    Ok(())
}

/// Appends a path without its dot segments (RFC 3986, 5.2.4).
fn push_path(out: &mut String, path: &str) {
    let root = out.len();
    let mut pieces = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        match piece {
            "." => {}
            ".." => {
                let parent = out[root..].rfind('/').unwrap_or(0);
                out.truncate(root + parent);
            }
            piece => {
                out.push('/');
                push_encoded(out, piece);
                continue;
            }
        }
        if is_last {
            out.push('/');
        }
    }
}

/// Appends what may stand in a request line as it is, the rest percent-encoded.
fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_as_in_a_browser() {
        let base = Url::parse("https://e1:8443/v/tok/demo/720p/index.m3u8?x=1#f").unwrap();
        for (reference, absolute) in [
            ("7.ts", "https://e1:8443/v/tok/demo/720p/7.ts"),
            ("../360p/index.m3u8", "https://e1:8443/v/tok/demo/360p/index.m3u8"),
            ("./a/./b/../7.ts?q=../x", "https://e1:8443/v/tok/demo/720p/a/7.ts?q=../x"),
            ("/7.ts", "https://e1:8443/7.ts"),
            ("//e2/7.ts", "https://e2/7.ts"),
            ("http://e2/7.ts", "http://e2/7.ts"),
            ("?y=2", "https://e1:8443/v/tok/demo/720p/index.m3u8?y=2"),
            ("../../../../../../7.ts", "https://e1:8443/7.ts"),
            ("..", "https://e1:8443/v/tok/demo/"),
            ("", "https://e1:8443/v/tok/demo/720p/index.m3u8?x=1"),
            ("a b\u{e9}", "https://e1:8443/v/tok/demo/720p/a%20b%C3%A9"),
        ] {
            assert_eq!(base.resolve(reference).unwrap().as_str(), absolute, "{reference}");
        }
        assert_eq!(base.resolve("ftp://e2/"), Err(UrlError::Scheme));
    }

    #[test]
    fn a_url_has_parts() {
        let url = Url::parse("HTTPS://E1:8443/v/tok/demo/720p/7.ts?x=/y").unwrap();
        assert_eq!((url.origin(), url.authority()), ("https://e1:8443", "e1:8443"));
        assert_eq!((url.host(), url.port()), ("e1", 8443));
        assert_eq!((url.target(), url.tail()), ("/v/tok/demo/720p/7.ts?x=/y", "720p/7.ts"));
        assert_eq!(url.at("http://[::1]").unwrap().as_str(), "http://[::1]/v/tok/demo/720p/7.ts?x=/y");
        let bare = Url::parse("http://[::1]?a").unwrap();
        assert_eq!((bare.host(), bare.port(), bare.target(), bare.tail()), ("::1", 80, "/?a", ""));
        assert_eq!(bare.with_query(format_args!("b=1")).unwrap().as_str(), "http://[::1]/?a&b=1");
        assert_eq!(
            Url::parse("http://e").unwrap().with_query(format_args!("b=1")).unwrap().target(),
            "/?b=1"
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "e1/x",
            "ftp://e1/",
            "http://",
            "http:///x",
            "http://e1:0/",
            "http://e1:99999/",
            "http://a b/",
            "http://u@e1/",
            "http://[]/",
            "http://[::1/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        let long = format!("http://e1/{}", " ".repeat(MOST_URL_BYTES / 2));
        assert!(matches!(Url::parse(&long), Err(UrlError::TooLong { .. })));
    }
}
