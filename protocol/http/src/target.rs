//! A request's target: origin form, absolute form, or `*`.
//!
//! Nothing is decoded or tidied: what two readers might read differently is refused, and the rest is a name as it
//! stands.

use crate::request::{MAX_TARGET_BYTES, bad, refuse};
use crate::{Method, Query, Refusal, Status};

/// What a request line's target says.
pub(crate) struct Target<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Query<'a>,
    /// Where the target names one.
    pub(crate) host: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) fn parse(target: &'a str, method: Method) -> Result<Self, Refusal> {
        if target.len() > MAX_TARGET_BYTES {
            return Err(refuse(Status::URI_TOO_LONG, "the target is over 2048 bytes"));
        }
        if !target.bytes().all(|byte| IN_TARGET[usize::from(byte)]) {
            return Err(bad("the target has a character it may not have"));
        }
        let (host, from_slash) = match target.as_bytes() {
            [b'/', ..] => (None, target),
            b"*" if method == Method::Options => (None, target),
            b"*" => return Err(bad("the target * belongs to OPTIONS")),
            _ => split_authority(target).ok_or(bad("the target does not begin with /"))?,
        };
        let (path, query) = match from_slash.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (from_slash, None),
        };
        let path = match (path, method) {
            ("", Method::Options) => "*",
            ("", _) => "/",
            (path, _) => path,
        };
        Ok(Self { path, query: Query::new(query), host })
    }
}

/// Printable ASCII without what RFC 3986 keeps out of a URI everywhere and a fragment's `#`.
const IN_TARGET: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        allowed[byte as usize] = !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>');
        byte += 1;
    }
    allowed
};

/// Absolute form (RFC 9112, 3.2.2): what a proxy is asked, and must be understood by anybody. Host, and the rest.
fn split_authority(target: &str) -> Option<(Option<&str>, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (host, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    is_host(host).then_some((Some(host), rest))
}

/// What a Host field may look like: enough for names, ports and IPv6, and nothing that could leave a Location.
pub(crate) fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 255 + 6
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}
