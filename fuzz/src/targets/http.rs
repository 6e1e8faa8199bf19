//! HTTP request heads and byte ranges, each beside a second reader that is slow, plain and written from the RFCs.

use crate::Chance;
use http::{
    MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Method, Parsed, Range, Request, Unsatisfiable, parse,
};

/// What both readers must agree on.
#[derive(Debug, PartialEq)]
struct Asked<'a> {
    consumed: usize,
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    host: Option<&'a str>,
    is_1_1: bool,
    keep_alive: bool,
    accepts_gzip: bool,
    range: Option<Range>,
    if_none_match: Option<&'a str>,
}

/// A stream of requests: both readers find the same heads, and the same end of them. However the bytes are cut, a head
/// is whole at one length and at no other, and what is refused stays refused.
pub fn http_heads(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let parsed = parse(rest);
        hold_under_cuts(rest, &parsed);
        match (&parsed, second_reader(rest)) {
            (Parsed::Whole { request, consumed }, Second::Whole(asked)) => {
                assert_eq!(first_reader(request, *consumed), asked);
                rest = &rest[*consumed..];
            }
            (Parsed::Refused(refusal), Second::Refused | Second::Unfinished) => {
                assert!((400..=505).contains(&refusal.status.code()) && !refusal.why.is_empty());
                return;
            }
            (Parsed::Incomplete, Second::Unfinished) => return,
            (one, other) => panic!("{one:?} and {other:?} of {:?}", String::from_utf8_lossy(rest)),
        }
    }
}

/// Looks at a few beginnings of the bytes, those around the end of the head among them.
fn hold_under_cuts(bytes: &[u8], parsed: &Parsed<'_>) {
    let end = if let Parsed::Whole { consumed, .. } = parsed { *consumed } else { bytes.len() };
    for cut in [end / 4, end / 2, end - end / 4, end.saturating_sub(2), end.saturating_sub(1), end] {
        let begun = parse(&bytes[..cut]);
        match (parsed, &begun) {
            (Parsed::Whole { consumed, .. }, _) if cut == *consumed => assert_eq!(begun, *parsed),
            (Parsed::Whole { .. } | Parsed::Incomplete, _) => {
                assert_eq!(begun, Parsed::Incomplete, "at {cut}")
            }
            (Parsed::Refused(_), Parsed::Whole { .. }) => panic!("whole at {cut}, and then refused"),
            (Parsed::Refused(_), _) => {}
        }
    }
}

fn first_reader<'a>(request: &Request<'a>, consumed: usize) -> Asked<'a> {
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Options => "OPTIONS",
    };
    Asked {
        consumed,
        method,
        path: request.path,
        query: request.query.as_str(),
        host: request.host,
        is_1_1: request.is_1_1,
        keep_alive: request.keep_alive,
        accepts_gzip: request.accepts_gzip,
        range: request.range,
        if_none_match: request.if_none_match,
    }
}

#[derive(Debug)]
enum Second<'a> {
    /// No end of a head within its bound.
    Unfinished,
    Refused,
    Whole(Asked<'a>),
}

fn second_reader(bytes: &[u8]) -> Second<'_> {
    let seen = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let mut begin = 0;
    while seen[begin..].starts_with(b"\r\n") {
        begin += 2;
    }
    let Some(end) = seen[begin..].windows(4).position(|four| four == b"\r\n\r\n") else {
        return if seen.len() == MAX_HEAD_BYTES { Second::Refused } else { Second::Unfinished };
    };
    match head(&seen[begin..begin + end], begin + end + 4) {
        Some(asked) => Second::Whole(asked),
        None => Second::Refused,
    }
}

fn head(text: &[u8], consumed: usize) -> Option<Asked<'_>> {
    let mut lines = Vec::new();
    let mut from = 0;
    for at in 0..text.len() {
        if text[at..].starts_with(b"\r\n") {
            lines.push(&text[from..at]);
            from = at + 2;
        }
    }
    lines.push(&text[from..]);
    if lines.iter().any(|line| line.contains(&b'\r') || line.contains(&b'\n')) {
        return None;
    }
    let words: Vec<_> = lines[0].split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { return None };
    let method = std::str::from_utf8(method).ok().filter(|it| ["GET", "HEAD", "OPTIONS"].contains(it))?;
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return None,
    };
    let fields: Vec<_> = lines[1..].iter().map(|line| field(line)).collect::<Option<_>>()?;
    let of = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect()
    };
    let text = |value: &&'_ [u8]| std::str::from_utf8(value).is_ok();
    let hosts = of("Host");
    let has_body = match of("Content-Length")[..] {
        [] => false,
        [digits] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            digits.iter().any(|it| *it != b'0')
        }
        _ => return None,
    };
    if has_body
        || fields.len() > MAX_HEADERS
        || !of("Transfer-Encoding").is_empty()
        || hosts.len() > 1
        || (is_1_1 && hosts.is_empty())
        || !hosts.iter().all(|host| is_host(host))
    {
        return None;
    }
    let (named, path, query) = split_target(target, method)?;
    let connection = of("Connection").join(&b',');
    let says = |option: &str| {
        let all = String::from_utf8_lossy(&connection);
        all.split(',').any(|it| it.trim_matches([' ', '\t']).eq_ignore_ascii_case(option))
    };
    let range = match of("Range")[..] {
        [one] if method == "GET" => std::str::from_utf8(one).ok().and_then(Range::parse),
        _ => None,
    };
    Some(Asked {
        consumed,
        method,
        path,
        query,
        host: named.or_else(|| hosts.first().and_then(|host| std::str::from_utf8(host).ok())),
        is_1_1,
        keep_alive: !says("close") && (is_1_1 || says("keep-alive")),
        accepts_gzip: takes_gzip(&String::from_utf8_lossy(&of("Accept-Encoding").join(&b','))),
        range,
        if_none_match: of("If-None-Match")
            .last()
            .filter(|it| text(it))
            .and_then(|it| std::str::from_utf8(it).ok()),
    })
}

fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let is_field = !name.is_empty() && name.iter().all(is_token) && value.iter().all(is_value);
    is_field.then(|| (std::str::from_utf8(name).expect("a token is ASCII"), value.trim_ascii()))
}

fn is_host(host: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    (1..=261).contains(&host.len()) && host.iter().all(is_part)
}

/// Host, path and query of a target.
fn split_target<'a>(target: &'a [u8], method: &str) -> Option<(Option<&'a str>, &'a str, Option<&'a str>)> {
    let is_allowed = |byte: &u8| (0x21..0x7f).contains(byte) && !b"#\\\"<>".contains(byte);
    if target.is_empty() || target.len() > MAX_TARGET_BYTES || !target.iter().all(is_allowed) {
        return None;
    }
    let target = std::str::from_utf8(target).expect("ASCII");
    if target == "*" {
        return (method == "OPTIONS").then_some((None, "*", None));
    }
    let lower = target.to_ascii_lowercase();
    let scheme = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let (host, rest) = match scheme {
        _ if target.starts_with('/') => (None, target),
        Some(scheme) => {
            let after = &target[scheme.len()..];
            let end =
                after.char_indices().find(|(_, it)| "/?".contains(*it)).map_or(after.len(), |(at, _)| at);
            (Some(&after[..end]), &after[end..])
        }
        None => return None,
    };
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return None;
    }
    let (path, query) = match rest.find('?') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let path = match path {
        "" if method == "OPTIONS" => "*",
        "" => "/",
        path => path,
    };
    Some((host, path, query))
}

fn takes_gzip(list: &str) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for coding in list.split(',') {
        let mut parts = coding.split(';').map(|part| part.trim_matches([' ', '\t']));
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weights = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim_matches([' ', '\t'])
                .eq_ignore_ascii_case("q")
                .then(|| qvalue(value.trim_matches([' ', '\t'])))
        });
        let weight = Some(weights.into_iter().next().unwrap_or(1.0));
        match name.as_str() {
            "gzip" | "x-gzip" => gzip = weight,
            "identity" => identity = weight,
            "*" => any = weight,
            _ => {}
        }
    }
    let gzip: f64 = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && identity.is_none_or(|identity| identity <= gzip)
}

/// RFC 9110, 12.4.2; what is none is 0.
fn qvalue(text: &str) -> f64 {
    let is_shaped = text.len() <= 5
        && text.starts_with(['0', '1'])
        && text.chars().enumerate().all(|(at, it)| if at == 1 { it == '.' } else { it.is_ascii_digit() });
    let value = if is_shaped { text.trim_end_matches('.').parse().unwrap_or(0.0) } else { 0.0 };
    if value <= 1.0 { value } else { 0.0 }
}

/// Requests as players, proxies, scanners and smugglers send them.
pub fn good_heads(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    for _ in 0..1 + chance.below(3) {
        if chance.one_in(16) {
            bytes.extend(b"\r\n");
        }
        let method = match chance.below(16) {
            0 => "POST",
            1 => "get",
            2 | 3 => "HEAD",
            4 | 5 => "OPTIONS",
            _ => "GET",
        };
        let target = chance.pick(&[
            "/live/tide/720p/index.m3u8",
            "/live/tide/720p/850000000.ts",
            "/v/AUu0ugAAa0nSPIookpoBI0VniavN7wGg0MTcwTx4ryYN8KXfKzk4/tide/index.m3u8",
            "/live/tide/720p/index.m3u8?_HLS_msn=850000001&_HLS_part=2",
            "/live/tide/thumb.jpg",
            "/?a=b&c",
            "/#",
            "//etc/../passwd",
            "http://edge:8080/live?x=/y",
            "HTTPS://[::1]",
            "http://?",
            "*",
            "edge:443",
        ]);
        let version = match chance.below(16) {
            0 => "HTTP/2.0",
            1..=3 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        for part in [method, " ", target, " ", version, "\r\n"] {
            bytes.extend(part.as_bytes());
        }
        if !chance.one_in(16) {
            bytes.extend(b"Host: edge1.example:8080\r\n");
        }
        for _ in 0..chance.below(8) {
            let line = if chance.one_in(16) { chance.pick(HOSTILE) } else { chance.pick(HONEST) };
            let times = if chance.one_in(128) { 70 } else { 1 };
            (0..times).for_each(|_| bytes.extend(line.as_bytes()));
        }
        bytes.extend(b"\r\n");
    }
    bytes
}

const HONEST: &[&str] = &[
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n",
    "Accept: */*\r\n",
    "Accept-Encoding: gzip, deflate, br, zstd\r\n",
    "accept-encoding:identity;q=0.5, gzip;q=0.50 ,*;q=0\r\n",
    "Accept-Encoding: gzip;level=1;Q=0.001\r\n",
    "Connection: keep-alive\r\n",
    "Connection: x, Close\r\n",
    "Range: bytes=100-199\r\n",
    "Range: bytes=-5\r\n",
    "If-Range: \"0123456789abcdef\"\r\n",
    "If-None-Match: W/\"0123456789abcdef\", \"x\"\r\n",
    "Content-Length: 0\r\n",
    "Expect: 100-continue\r\n",
    "X:\r\n",
    "X: a\tb \u{e9}\t\r\n",
];

const HOSTILE: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: +0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "X: a\r\n folded\r\n",
    "X : a\r\n",
    "X: a\nY: b\r\n",
    "Host: other\r\n",
];

/// A Range field of a body of some length: its length in front, in 8 bytes. Both readers find the same bytes, and none
/// outside of the body.
pub fn http_ranges(bytes: &[u8]) {
    let Some((whole, value)) = bytes.split_first_chunk() else { return };
    let (whole, Ok(value)) = (u64::from_be_bytes(*whole), std::str::from_utf8(value)) else { return };
    let first = Range::parse(value).map(|range| range.of(whole));
    match (first, second_range(value.as_bytes(), whole)) {
        (None, None) => {}
        (Some(Err(Unsatisfiable { whole: told })), Some(None)) => assert_eq!(told, whole),
        (Some(Ok(span)), Some(Some((from, last)))) => {
            assert_eq!(
                (u128::from(span.from), u128::from(span.from) + u128::from(span.len) - 1),
                (from, last)
            );
            assert!(from <= last && last < u128::from(whole));
        }
        (one, other) => panic!("{one:?} and {other:?} of {value:?} in {whole}"),
    }
}

/// First and last byte; `Some(None)` where there are none, `None` where it is no range.
fn second_range(value: &[u8], whole: u64) -> Option<Option<(u128, u128)>> {
    let whole = u128::from(whole);
    let set = value.get(6..)?;
    if !value[..6].eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let from = set.iter().position(|byte| !blank(byte))?;
    let to = set.iter().rposition(|byte| !blank(byte))?;
    let set = &set[from..=to];
    let dash = set.iter().position(|byte| *byte == b'-')?;
    let number = |digits: &[u8]| -> Option<u128> {
        let mut sum = 0_u128;
        for digit in digits {
            let digit = char::from(*digit).to_digit(10)?;
            // Far past every body is as far as it goes.
            sum = (sum * 10 + u128::from(digit)).min(1 << 100);
        }
        (!digits.is_empty()).then_some(sum)
    };
    let (first, last) = (&set[..dash], &set[dash + 1..]);
    if first.is_empty() {
        let count = number(last)?.min(whole);
        return Some((count > 0).then(|| (whole - count, whole - 1)));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u128::MAX } else { number(last)? };
    // Both past what 64 bits hold are the same to everybody.
    if first.min(u128::from(u64::MAX)) > last.min(u128::from(u64::MAX)) {
        return None;
    }
    Some((first < whole).then(|| (first, last.min(whole - 1))))
}

/// One range, or several, or nearly one.
pub fn good_range(chance: &mut Chance) -> Vec<u8> {
    let whole = match chance.below(4) {
        0 => u64::from(chance.awkward(32)),
        1 => u64::MAX - u64::from(chance.awkward(8)),
        _ => chance.below(100_000) as u64,
    };
    let near = |chance: &mut Chance| match chance.below(6) {
        0 => String::new(),
        1 => whole.wrapping_sub(1).wrapping_add(chance.below(3) as u64).to_string(),
        2 => format!("{}{}", u64::MAX, chance.below(100)),
        3 => format!("0{}", chance.below(1000)),
        _ => chance.below(100_000).to_string(),
    };
    let (first, last) = (near(chance), near(chance));
    let unit = chance.pick(&["bytes", "bytes", "bytes", "Bytes", "items", "bytes "]);
    let more = chance.pick(&["", "", "", ",5-6", " ", ", "]);
    let mut bytes = whole.to_be_bytes().to_vec();
    bytes.extend(format!("{unit}={first}-{last}{more}").into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TARGETS;

    fn cases(name: &str) -> impl Iterator<Item = Vec<u8>> {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        (0..2000).map(|seed| target.case(seed))
    }

    #[test]
    fn cases_are_neither_all_good_nor_all_bad() {
        let (mut whole, mut refused) = (0, 0);
        for case in cases("http_heads") {
            match parse(&case) {
                Parsed::Whole { .. } => whole += 1,
                Parsed::Refused(_) => refused += 1,
                Parsed::Incomplete => {}
            }
        }
        assert!(whole > 300 && refused > 300, "{whole} whole, {refused} refused");
        let good = cases("http_ranges")
            .filter(|case| case.get(8..).is_some_and(|it| second_range(it, 1 << 40).is_some()));
        let good = good.count();
        assert!((300..1700).contains(&good), "{good}");
    }

    /// A second reader that agreed to everything would find nothing.
    #[test]
    fn what_the_readers_must_tell_apart_is_told_apart() {
        let ask = |head: &str| matches!(second_reader(head.as_bytes()), Second::Whole(_));
        assert!(ask("GET / HTTP/1.1\r\nHost: e\r\n\r\n"));
        for bad in ["X : a", "X: a\n", "Content-Length: 1", "Transfer-Encoding: x", "Host: f", " X: a"] {
            assert!(!ask(&format!("GET / HTTP/1.1\r\nHost: e\r\n{bad}\r\n\r\n")), "{bad}");
        }
        assert_eq!(second_range(b"bytes=2-99", 10), Some(Some((2, 9))));
        assert_eq!(second_range(b"bytes=-0", 10), Some(None));
    }
}
