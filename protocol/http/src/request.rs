//! Bytes to one request head, or to the refusal it deserves.
//!
//! Strict where two readers of the same bytes could disagree (RFC 9112, 11.2): line ends are CRLF and nothing
//! else, one Host, no body, no Transfer-Encoding, no folded lines. Lenient where nobody can be hurt: unknown
//! fields, unknown directives, ranges we do not serve. What is answered to which shape: docs/HTTP.md.

use crate::etag::Codings;
use crate::target::{Target, is_host};
use crate::{Query, Range, Status};
use std::mem::MaybeUninit;

/// Bytes a head may have, request line and last empty line included. Browsers send 300 to 900; 8 KiB is what
/// proxies agree on. Over it: 431, and the connection is closed.
pub const MAX_HEAD_BYTES: usize = 8 << 10;

/// Bytes a target may have: a token path with every directive is under 400. Over it: 414, and the connection
/// is closed.
pub const MAX_TARGET_BYTES: usize = 2 << 10;

/// Fields a head may have; browsers send about 20. Over it: 431, and the connection is closed.
pub const MAX_HEADERS: usize = 64;

/// The methods that are taken: those that ask without changing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The thing.
    Get,
    /// The head of what GET would answer.
    Head,
    /// What may be asked, by whom.
    Options,
}

/// One request head, borrowed from the bytes it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// From the first `/` (or `*`) to before the `?`; printable ASCII, never decoded.
    pub path: &'a str,
    /// After the `?`.
    pub query: Query<'a>,
    /// True for HTTP/1.1, false for 1.0.
    pub is_1_1: bool,
    /// Whether another request may follow on this connection.
    pub keep_alive: bool,
    /// Host and port as the viewer wrote them; always there in 1.1. Letters, digits and `.-_:[]` only.
    pub host: Option<&'a str>,
    /// The one byte range asked for; `None` also where the field is to be ignored.
    pub range: Option<Range>,
    /// The tag under which alone the range is wanted.
    pub if_range: Option<&'a str>,
    /// The tags under which alone the answer is wanted.
    pub if_match: Option<&'a str>,
    /// The tags of what the viewer has. Of several lines the last: a tag that is not seen costs a whole answer.
    pub if_none_match: Option<&'a str>,
    /// The last event a reader of an event stream has seen.
    pub last_event_id: Option<&'a str>,
    /// Whether a gzip body is taken, and no worse than a plain one.
    pub accepts_gzip: bool,
}

/// Why a head is not answered with what it asks for. The connection is closed after the answer: where the
/// next request would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {why}")]
pub struct Refusal {
    /// What to answer.
    pub status: Status,
    /// For the counter and the short body.
    pub why: &'static str,
    /// It was a HEAD: whoever sent it expects no body.
    pub is_head: bool,
}

impl Refusal {
    /// The head did not come to its end in time.
    pub const TOO_SLOW: Self = refuse(Status::REQUEST_TIMEOUT, "the request did not arrive in time");
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole head of so many bytes; what follows is the next one's.
    Whole {
        /// What it asks.
        request: Request<'a>,
        /// Its length.
        consumed: usize,
    },
    /// More is needed, and there is room for it.
    Incomplete,
    /// Answer this and close.
    Refused(Refusal),
}

/// Reads the head at the start of `input`. Keeps nothing: call again with more bytes after
/// [`Parsed::Incomplete`].
pub fn parse(input: &[u8]) -> Parsed<'_> {
    match read(input) {
        Ok(Some((request, consumed))) => Parsed::Whole { request, consumed },
        Ok(None) => Parsed::Incomplete,
        Err(refusal) => Parsed::Refused(Refusal { is_head: input.starts_with(b"HEAD "), ..refusal }),
    }
}

pub(crate) const fn refuse(status: Status, why: &'static str) -> Refusal {
    Refusal { status, why, is_head: false }
}

pub(crate) const fn bad(why: &'static str) -> Refusal {
    refuse(Status::BAD_REQUEST, why)
}

fn read(input: &[u8]) -> Result<Option<(Request<'_>, usize)>, Refusal> {
    let seen = &input[..input.len().min(MAX_HEAD_BYTES)];
    // httparse passes over empty lines of either kind; this one would be waited behind.
    if seen.chunks(2).find(|two| *two != b"\r\n").is_some_and(|two| two[0] == b'\n') {
        return Err(bad("a line ends in a bare CR or LF"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let consumed = match head.parse_with_uninit_headers(seen, &mut fields) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD_BYTES => {
            return too_long_already(seen).map_or(Ok(None), Err);
        }
        Ok(httparse::Status::Partial) => {
            let why = "the head is over 8192 bytes";
            return Err(too_long_already(seen).unwrap_or_else(|| refuse(Status::HEAD_TOO_LARGE, why)));
        }
        Err(error) => return Err(of_httparse(error, seen)),
    };
    if has_bare_line_end(&seen[..consumed]) {
        return Err(bad("a line ends in a bare CR or LF"));
    }
    // httparse has all three once it is complete.
    let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Err(bad("the request line is not whole"));
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "POST" | "PUT" | "DELETE" | "PATCH" | "CONNECT" | "TRACE" => {
            return Err(refuse(Status::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS are taken"));
        }
        _ => return Err(refuse(Status::NOT_IMPLEMENTED, "only GET, HEAD and OPTIONS are known")),
    };
    let target = Target::parse(target, method)?;
    let fields = Fields::read(head.headers)?;
    if fields.has_body {
        return Err(refuse(Status::CONTENT_TOO_LARGE, "a request has no body here"));
    }
    let is_1_1 = minor == 1;
    if is_1_1 && fields.host.is_none() {
        return Err(bad("the Host field is missing"));
    }
    let request = Request {
        method,
        path: target.path,
        query: target.query,
        is_1_1,
        keep_alive: !fields.says_close && (is_1_1 || fields.says_keep_alive),
        // RFC 9112, 3.2.2: a target that names its host is right, whatever the field says.
        host: target.host.or(fields.host),
        // RFC 9110, 14.2: a range means something to GET only.
        range: fields.range.filter(|_| method == Method::Get),
        if_range: fields.if_range,
        if_match: fields.if_match,
        if_none_match: fields.if_none_match,
        last_event_id: fields.last_event_id,
        accepts_gzip: fields.codings.prefer_gzip(),
    };
    Ok(Some((request, consumed)))
}

/// A first line that has no end within the target's bound (and a method's and a version's) never will be one.
fn too_long_already(seen: &[u8]) -> Option<Refusal> {
    const LINE: usize = MAX_TARGET_BYTES + 64;
    let is_long = seen.len() > LINE && !seen[..LINE].contains(&b'\n');
    is_long.then_some(refuse(Status::URI_TOO_LONG, "the target is over 2048 bytes"))
}

fn of_httparse(error: httparse::Error, seen: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => refuse(Status::HEAD_TOO_LARGE, "more than 64 fields"),
        httparse::Error::Version if names_a_version(seen) => {
            refuse(Status::VERSION_NOT_SUPPORTED, "neither HTTP/1.0 nor HTTP/1.1")
        }
        httparse::Error::HeaderName => bad("a field name has a character it may not have"),
        httparse::Error::HeaderValue => bad("a field value has a character it may not have"),
        httparse::Error::NewLine => bad("a line does not end in CRLF"),
        httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => {
            bad("the request line is not HTTP")
        }
    }
}

/// Whether the third word of the request line is some version of HTTP.
fn names_a_version(seen: &[u8]) -> bool {
    let third = seen.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
    third.strip_prefix(b"HTTP/").and_then(|rest| rest.first()).is_some_and(u8::is_ascii_digit)
}

/// httparse takes LF alone as a line end, as RFC 9112 (2.2) allows; a proxy in front that does not would see
/// another request than we do. CR alone it refuses itself.
///
/// Counted without a branch and in bytes, so that it compiles to vector code: a browser's head of 480 bytes takes
/// 16 ns, where a loop that looks back takes 200.
fn has_bare_line_end(head: &[u8]) -> bool {
    let (mut bare, mut before) = (0_u32, b'\n');
    // No count of 255 bytes leaves its byte.
    for some in head.chunks(255) {
        let first = some.first().map_or(0, |&byte| u8::from(byte == b'\n' && before != b'\r'));
        let pairs = some.iter().zip(some.get(1..).unwrap_or_default());
        bare += u32::from(first);
        bare += u32::from(pairs.map(|(&one, &two)| u8::from((two == b'\n') & (one != b'\r'))).sum::<u8>());
        before = some.last().copied().unwrap_or(before);
    }
    bare > 0
}

#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    range: Option<Range>,
    if_range: Option<&'a str>,
    if_match: Option<&'a str>,
    if_none_match: Option<&'a str>,
    last_event_id: Option<&'a str>,
    codings: Codings,
    says_close: bool,
    says_keep_alive: bool,
    has_body: bool,
}

impl<'a> Fields<'a> {
    fn read(fields: &[httparse::Header<'a>]) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let (mut length_seen, mut range_seen) = (false, false);
        for field in fields {
            // The length decides most fields without a comparison.
            match field.name.len() {
                4 if is(field, "host") => {
                    let host =
                        text(field).filter(|host| is_host(host)).ok_or(bad("the Host field is no host"))?;
                    if read.host.replace(host).is_some() {
                        return Err(bad("more than one Host field"));
                    }
                }
                5 if is(field, "range") => {
                    // Two fields are as good as two ranges: the whole.
                    let is_second = std::mem::replace(&mut range_seen, true);
                    read.range = text(field).filter(|_| !is_second).and_then(Range::parse);
                }
                8 if is(field, "if-range") => read.if_range = text(field),
                8 if is(field, "if-match") => read.if_match = text(field),
                13 if is(field, "if-none-match") => read.if_none_match = text(field),
                13 if is(field, "last-event-id") => read.last_event_id = text(field),
                15 if is(field, "accept-encoding") => {
                    read.codings.read(field.value);
                }
                10 if is(field, "connection") => {
                    for option in field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        read.says_close |= option.eq_ignore_ascii_case(b"close");
                        read.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is(field, "content-length") => {
                    if std::mem::replace(&mut length_seen, true) {
                        return Err(bad("more than one Content-Length field"));
                    }
                    let digits = text(field).unwrap_or_default();
                    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                        return Err(bad("the Content-Length is no number"));
                    }
                    read.has_body = digits.bytes().any(|digit| digit != b'0');
                }
                // Alone or beside a Content-Length: with no body taken there is nothing to decode.
                17 if is(field, "transfer-encoding") => {
                    return Err(bad("a request has no Transfer-Encoding here"));
                }
                _ => {}
            }
        }
        Ok(read)
    }
}

fn is(field: &httparse::Header<'_>, lower_case: &str) -> bool {
    field.name.eq_ignore_ascii_case(lower_case)
}

fn text<'a>(field: &httparse::Header<'a>) -> Option<&'a str> {
    std::str::from_utf8(field.value.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(head: &str) -> Request<'_> {
        match parse(head.as_bytes()) {
            Parsed::Whole { request, consumed } if consumed == head.len() => request,
            other => panic!("{head:?} gave {other:?}"),
        }
    }

    fn status(head: &[u8]) -> u16 {
        match parse(head) {
            Parsed::Refused(refusal) => refusal.status.code(),
            other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(head)),
        }
    }

    /// A GET of `/` with these lines after the Host.
    fn with(fields: &str) -> String {
        format!("GET / HTTP/1.1\r\nHost: e\r\n{fields}\r\n")
    }

    #[test]
    fn a_browser_is_understood() {
        let head = "GET /live/tide/720p/index.m3u8?_HLS_msn=7 HTTP/1.1\r\nHost: edge1.example:8443\r\n\
                    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0\r\nAccept-Encoding: gzip, deflate, br\r\n\
                    If-None-Match: \"x\"\r\nRange: bytes=0-\r\n\r\n";
        let request = whole(head);
        assert_eq!((request.method, request.path), (Method::Get, "/live/tide/720p/index.m3u8"));
        assert_eq!(request.query.value("_HLS_msn"), Some("7"));
        assert_eq!(request.host, Some("edge1.example:8443"));
        assert!(request.is_1_1 && request.keep_alive && request.accepts_gzip);
        assert_eq!(request.range, Some(Range::From { first: 0, last: None }));
        assert_eq!(request.if_none_match, Some("\"x\""));
    }

    #[test]
    fn of_pipelined_heads_the_first_is_read_and_its_length_told() {
        let two = "HEAD /a HTTP/1.1\r\nHost: e\r\n\r\nGET /b HTTP/1.1\r\nHost: e\r\n\r\n";
        let Parsed::Whole { request, consumed } = parse(two.as_bytes()) else { panic!("not whole") };
        assert_eq!((request.method, request.path), (Method::Head, "/a"));
        assert_eq!(whole(&two[consumed..]).path, "/b");
    }

    #[test]
    fn a_head_cut_anywhere_is_incomplete() {
        let head = with("Range: bytes=0-1\r\n");
        for len in 0..head.len() {
            assert_eq!(parse(&head.as_bytes()[..len]), Parsed::Incomplete, "after {len} bytes");
        }
    }

    #[test]
    fn keep_alive_is_the_rule_in_1_1_and_the_exception_in_1_0() {
        assert!(whole(&with("")).keep_alive);
        assert!(!whole(&with("Connection: close\r\n")).keep_alive);
        assert!(!whole(&with("Connection: keep-alive, Close\r\n")).keep_alive);
        assert!(!whole("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    }

    #[test]
    fn a_range_means_something_to_get_only() {
        assert!(whole("GET / HTTP/1.0\r\nRange: bytes=1-2\r\n\r\n").range.is_some());
        assert!(whole("HEAD / HTTP/1.0\r\nRange: bytes=1-2\r\n\r\n").range.is_none());
        assert!(whole("GET / HTTP/1.0\r\nRange: bytes=1-2,4-5\r\n\r\n").range.is_none());
        assert!(whole("GET / HTTP/1.0\r\nRange: bytes=1-2\r\nRange: bytes=1-2\r\n\r\n").range.is_none());
    }

    #[test]
    fn shapes_that_smuggle_are_refused() {
        for fields in [
            "Content-Length: 0\r\nContent-Length: 0\r\n",
            "Content-Length: 0\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 0, 0\r\n",
            "Content-Length:\r\n",
            "X: a\r\n b\r\n",
            "X: a\r\n\tb\r\n",
            " X: a\r\n",
            ": a\r\n",
            "X\r\n",
            "X : a\r\n",
            "X: a\rb\r\n",
            "X: a\nY: b\r\n",
            "X: a\0b\r\n",
            "Host: f\r\n",
        ] {
            assert_eq!(status(with(fields).as_bytes()), 400, "{fields:?}");
        }
        assert_eq!(status(b"GET / HTTP/1.1\nHost: e\n\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: e\r\n\n"), 400);
        assert_eq!(
            (status(b"\n"), status(b"\r\n\r\n\n\r\n")),
            (400, 400),
            "at once, and not when more has come"
        );
        assert_eq!(parse(b"\r\n\r\n\r"), Parsed::Incomplete);
    }

    #[test]
    fn a_bare_line_end_is_found_wherever_it_stands() {
        let head = format!("GET / HTTP/1.1\r\nHost: e\r\nX: {}\r\n\r\n", "y".repeat(600));
        assert!(!has_bare_line_end(head.as_bytes()));
        for at in (0..head.len()).filter(|&at| head.as_bytes()[at] == b'\r' || head.as_bytes()[at] == b'y') {
            let mut spoilt = head.clone().into_bytes();
            spoilt[at] = b'\n';
            assert!(has_bare_line_end(&spoilt), "at {at}");
        }
    }

    #[test]
    fn a_refused_head_is_remembered_as_one() {
        let refused = |head: &str| match parse(head.as_bytes()) {
            Parsed::Refused(refusal) => refusal.is_head,
            other => panic!("{head:?} gave {other:?}"),
        };
        assert!(refused("HEAD / HTTP/1.1\r\n\r\n") && !refused("GET / HTTP/1.1\r\n\r\n"));
    }

    #[test]
    fn a_body_is_refused_and_an_empty_one_is_none() {
        assert_eq!(status(with("Content-Length: 5\r\n").as_bytes()), 413);
        assert_eq!(status(with("Content-Length: 99999999999999999999999\r\n").as_bytes()), 413);
        assert_eq!(whole(&with("Content-Length: 0\r\n")).path, "/");
    }

    #[test]
    fn methods_versions_and_hosts_have_their_own_refusals() {
        assert_eq!(status(b"POST / HTTP/1.1\r\nHost: e\r\n\r\n"), 405);
        assert_eq!(status(b"CONNECT e:443 HTTP/1.1\r\nHost: e\r\n\r\n"), 405);
        assert_eq!(status(b"BREW / HTTP/1.1\r\nHost: e\r\n\r\n"), 501);
        assert_eq!(status(b"get / HTTP/1.1\r\nHost: e\r\n\r\n"), 501);
        assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
        assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: \r\n\r\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
        assert_eq!(status(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 garbage \r\n\r\n"), 400);
    }

    #[test]
    fn targets_are_paths_and_nothing_else() {
        assert_eq!(whole("OPTIONS * HTTP/1.0\r\n\r\n").path, "*");
        let absolute = whole("GET http://h:80/a?b HTTP/1.1\r\nHost: other\r\n\r\n");
        assert_eq!((absolute.path, absolute.query.as_str(), absolute.host), ("/a", Some("b"), Some("h:80")));
        assert_eq!(whole("GET http://h HTTP/1.0\r\n\r\n").path, "/");
        assert_eq!(
            whole("GET http://h?a=/b HTTP/1.0\r\n\r\n").path,
            "/",
            "a slash in a query begins no path"
        );
        assert_eq!(whole("OPTIONS http://h HTTP/1.0\r\n\r\n").path, "*");
        for bad in [
            "*",
            "*a",
            "a",
            "http:///a",
            "http://u@h/",
            "http:/h",
            "ftp://h/",
            "h:443",
            "/a#b",
            "/\u{fc}",
            "/a\\b",
        ] {
            assert_eq!(status(format!("GET {bad} HTTP/1.0\r\n\r\n").as_bytes()), 400, "{bad:?}");
        }
        let dots = whole("GET /../..//etc/%2e%2e/passwd HTTP/1.0\r\n\r\n");
        assert_eq!(dots.path, "/../..//etc/%2e%2e/passwd", "a path is never rewritten");
    }

    #[test]
    fn heads_over_their_bounds_are_refused_as_soon_as_that_is_certain() {
        let long = "a".repeat(MAX_TARGET_BYTES);
        assert_eq!(status(format!("GET /{long} HTTP/1.1\r\nHost: e\r\n\r\n").as_bytes()), 414);
        assert_eq!(status(format!("GET /{long}{long}").as_bytes()), 414);
        let just = &long[1..];
        assert_eq!(whole(&format!("GET /{just} HTTP/1.0\r\n\r\n")).path.len(), MAX_TARGET_BYTES);
        let many = "A: b\r\n".repeat(MAX_HEADERS);
        assert_eq!(status(with(&many).as_bytes()), 431);
        let wide = format!("X: {}\r\n", "y".repeat(MAX_HEAD_BYTES));
        assert_eq!(status(with(&wide).as_bytes()), 431);
        assert_eq!(status(&with(&wide).as_bytes()[..MAX_HEAD_BYTES]), 431);
        assert_eq!(parse(&with(&wide).as_bytes()[..MAX_HEAD_BYTES - 1]), Parsed::Incomplete);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_head_is_longer_than_what_came(input in prop::collection::vec(any::<u8>(), 0..512)) {
            if let Parsed::Whole { consumed, .. } = parse(&input) {
                prop_assert!(consumed <= input.len());
            }
        }

        #[test]
        fn a_head_with_one_byte_changed_never_panics(at in 0usize..120, byte: u8) {
            let mut head = with("Range: bytes=0-1\r\nConnection: close\r\nContent-Length: 0\r\nIf-Range: \"x\"\r\n").into_bytes();
            let at = at % head.len();
            head[at] = byte;
            if let Parsed::Whole { consumed, .. } = parse(&head) {
                prop_assert!(consumed <= head.len());
            }
        }
    }
}
