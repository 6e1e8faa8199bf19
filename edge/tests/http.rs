//! HTTP/1.1 as it is on the wire: raw bytes in, exact answers out, by plain sockets and by TLS, on both drivers.
//!
//! A shape is what is said, the head that must come back line for line (only dates and tags are masked), and whether
//! the connection goes on. docs/HTTP.md tells the same in words.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::MediaSpan;
use node::settings::{Address, Millis, Parsed};
use percore::Driver;
use percore::rustls::ClientConfig;
use stage::{
    Answer, Cluster, Edge, FIRST, Ingest, Viewer, Wire, any, body, listed, on_both_drivers, segment_path,
    settings, sha256,
};
use std::io::Read;
use std::sync::Arc;

on_both_drivers! {
    playlists_and_segments_are_told_as_the_rules_have_it,
    a_connection_goes_on_or_ends_as_both_versions_have_it,
    head_and_options_have_no_body,
    methods_and_versions_that_are_none_of_ours_are_refused,
    shapes_that_smuggle_are_refused_and_end_the_connection,
    a_request_with_a_body_is_refused_and_an_empty_one_is_none,
    a_target_names_what_it_names_and_nothing_else,
    heads_over_their_bounds_are_refused,
    a_segment_comes_in_one_range,
    what_the_viewer_has_is_not_sent_again,
    gzip_is_a_matter_of_weights,
    a_page_of_one_origin_may_read,
    requests_come_in_any_pieces_and_are_answered_in_order,
    a_head_that_does_not_end_is_told_so_and_silence_is_not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Plain,
    Tls,
}

/// An edge with three segments of `tide`.
struct Ground {
    edge: Edge,
    _ingest: Ingest,
    trust: Arc<ClientConfig>,
    _cluster: Cluster,
}

/// What must come back.
struct Shape<'a> {
    says: Vec<u8>,
    /// The head's lines without its end; `*` in a Date and an ETag stands for any.
    head: String,
    body: &'a [u8],
    goes_on: bool,
}

impl Ground {
    fn new(driver: Driver) -> Self {
        Self::with(driver, |settings| settings)
    }

    fn with(driver: Driver, change: impl FnOnce(edge::Settings) -> edge::Settings) -> Self {
        let cluster = Cluster::new();
        let ingest = cluster.ingest(MediaSpan::from_secs(2));
        let settings = edge::Settings { https: Some(Address(any())), ..settings(driver, &[&ingest]) };
        let edge = cluster.edge(change(settings));
        ingest.begins();
        (0..3).for_each(|nth| ingest.segment(nth));
        listed(edge.address(), "360p", 2);
        let trust = cluster.trust();
        Self { edge, _ingest: ingest, trust, _cluster: cluster }
    }

    fn viewer(&self, by: By) -> Viewer<Box<dyn Wire>> {
        match by {
            By::Plain => Viewer::at(self.edge.address()).boxed(),
            By::Tls => Viewer::by_tls(self.edge.running.addresses()[1], &self.trust).boxed(),
        }
    }

    /// Each shape on a connection of its own, by plain sockets and by TLS.
    fn hold(&self, shapes: &[Shape<'_>]) {
        for by in [By::Plain, By::Tls] {
            for shape in shapes {
                let told = String::from_utf8_lossy(&shape.says[..shape.says.len().min(300)]).into_owned();
                // Shown where the story fails.
                println!("{by:?}: {told:?}");
                let mut viewer = self.viewer(by);
                viewer.says(&shape.says);
                let answer = viewer.hears(shape.says.starts_with(b"HEAD "));
                assert_eq!(masked(&answer), shape.head, "{told:?}");
                assert!(answer.body == shape.body, "{told:?}: {:?}", String::from_utf8_lossy(&answer.body));
                if shape.goes_on {
                    assert_eq!(viewer.get("/nowhere").status, 404, "after {told:?}");
                } else {
                    assert!(viewer.is_closed(), "after {told:?}");
                }
            }
        }
    }

    fn ends(self) {
        self.edge.ends();
    }
}

fn masked(answer: &Answer) -> String {
    let lines = answer.head.trim_end_matches("\r\n").split("\r\n").map(|line| match line.split_once(": ") {
        Some(("Date", date)) => {
            assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
            "Date: *".to_owned()
        }
        Some(("ETag", tag)) => {
            let hex = tag.trim_matches('"').trim_end_matches("-gz");
            assert!(hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{tag}");
            format!("ETag: {}", tag.replace(hex, "*"))
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

const PLAYLIST: &str = "/live/tide/360p/index.m3u8";

const CORS: &str = "Access-Control-Allow-Origin: *\n\
                    Access-Control-Expose-Headers: Content-Range, Date, ETag, Retry-After\n\
                    Timing-Allow-Origin: *";

fn get(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: edge\r\n{fields}\r\n").into()
}

/// A sentence, as a refusal is one.
fn sentence(status: &str, fields: &str, text: &str, connection: &str) -> String {
    format!(
        "HTTP/1.1 {status}\nDate: *\nCache-Control: no-store\n{CORS}\n{fields}\
         Content-Type: text/plain; charset=utf-8\nContent-Length: {}\nX-Content-Type-Options: nosniff{connection}",
        text.len() + 1
    )
}

/// Refused, and the connection is over.
fn refused(says: impl Into<Vec<u8>>, status: &str, text: &'static str) -> Shape<'static> {
    let fields = if status.starts_with("405") { "Allow: GET, HEAD, OPTIONS\n" } else { "" };
    let head = sentence(status, fields, text.trim_end(), "\nConnection: close");
    Shape { says: says.into(), head, body: text.as_bytes(), goes_on: false }
}

const NOTHING: &str = "nothing here by that name\n";

/// Not here, and the connection goes on.
fn nothing(path: &str) -> Shape<'static> {
    let head = sentence("404 Not Found", "", NOTHING.trim_end(), "");
    Shape { says: get(path, ""), head, body: NOTHING.as_bytes(), goes_on: true }
}

/// 200 (or 304 without a length) of a playlist; `rest` are further lines.
fn playlist_head(status: &str, tag: &str, len: Option<usize>, rest: &str) -> String {
    let content = len.map_or_else(String::new, |len| {
        format!("\nContent-Type: application/vnd.apple.mpegurl\nContent-Length: {len}")
    });
    format!(
        "HTTP/1.1 {status}\nDate: *\nCache-Control: public, max-age=1\nETag: {tag}\nVary: Accept-Encoding\n\
         {CORS}{content}{rest}"
    )
}

/// 200, 206 or 304 of a segment.
fn segment_head(status: &str, len: usize, range: &str, connection: &str) -> String {
    format!(
        "HTTP/1.1 {status}\nDate: *\nContent-Type: video/mp2t\nContent-Length: {len}\n\
         Cache-Control: public, max-age=31536000, immutable\nETag: \"*\"\nAccept-Ranges: bytes\n{range}{CORS}{connection}"
    )
}

fn segment() -> (String, Vec<u8>) {
    (segment_path("360p", 2), body("360p", 2).to_vec())
}

fn playlists_and_segments_are_told_as_the_rules_have_it(driver: Driver) {
    let ground = Ground::new(driver);
    let (path, whole) = segment();
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    let multivariant = ground.viewer(By::Plain).get("/live/tide/index.m3u8").body;
    ground.hold(&[
        Shape {
            says: get(PLAYLIST, ""),
            head: playlist_head("200 OK", "\"*\"", Some(text.len()), ""),
            body: &text,
            goes_on: true,
        },
        Shape {
            says: get("/live/tide/index.m3u8", ""),
            head: playlist_head("200 OK", "\"*\"", Some(multivariant.len()), "")
                .replace("max-age=1", "max-age=2"),
            body: &multivariant,
            goes_on: true,
        },
        Shape {
            says: get(&path, ""),
            head: segment_head("200 OK", whole.len(), "", ""),
            body: &whole,
            goes_on: true,
        },
        nothing("/live/tide/360p/1.ts"),
        nothing("/live/ebb/index.m3u8"),
        nothing("/"),
    ]);
    ground.ends();
}

fn a_connection_goes_on_or_ends_as_both_versions_have_it(driver: Driver) {
    let ground = Ground::new(driver);
    let (path, whole) = segment();
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    let close = "\nConnection: close";
    let keep = "\nConnection: keep-alive";
    let playlist = |request: &str, rest: &str, goes_on| Shape {
        says: request.replace("PLAYLIST", PLAYLIST).into(),
        head: playlist_head("200 OK", "\"*\"", Some(text.len()), rest),
        body: &text,
        goes_on,
    };
    let of_segment = |request: &str, rest: &str, goes_on| Shape {
        says: request.replace("SEGMENT", &path).into(),
        head: segment_head("200 OK", whole.len(), "", rest),
        body: &whole,
        goes_on,
    };
    ground.hold(&[
        playlist("GET PLAYLIST HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n", close, false),
        playlist("GET PLAYLIST HTTP/1.1\r\nHost: e\r\nConnection: x, Close\r\n\r\n", close, false),
        playlist("GET PLAYLIST HTTP/1.1\r\nHost: e\r\nConnection: keep-alive\r\n\r\n", "", true),
        playlist("GET PLAYLIST HTTP/1.1\r\nHost: e\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "", true),
        playlist("GET PLAYLIST HTTP/1.0\r\n\r\n", close, false),
        playlist("GET PLAYLIST HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", keep, true),
        playlist("GET PLAYLIST HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", close, false),
        // No body is announced, so there is nothing to wait for and nothing to ask.
        playlist("GET PLAYLIST HTTP/1.1\r\nHost: e\r\nExpect: 100-continue\r\n\r\n", "", true),
        // RFC 9112, 2.2: an empty line before the request is none.
        playlist("\r\n\r\nGET PLAYLIST HTTP/1.1\r\nHost: e\r\n\r\n", "", true),
        of_segment("GET SEGMENT HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n", close, false),
        of_segment("GET SEGMENT HTTP/1.0\r\n\r\n", close, false),
        of_segment("GET SEGMENT HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", keep, true),
    ]);
    ground.ends();
}

fn head_and_options_have_no_body(driver: Driver) {
    let ground = Ground::new(driver);
    let (path, whole) = segment();
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    let head = |path: &str, head| Shape {
        says: format!("HEAD {path} HTTP/1.1\r\nHost: e\r\n\r\n").into(),
        head,
        body: b"",
        goes_on: true,
    };
    let options = |target: &str| Shape {
        says: format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: e\r\nOrigin: https://page.example\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n\r\n"
        )
        .into(),
        head: format!(
            "HTTP/1.1 204 No Content\nDate: *\nCache-Control: no-store\n{CORS}\nAllow: GET, HEAD, OPTIONS\n\
             Access-Control-Allow-Methods: GET, HEAD, OPTIONS\n\
             Access-Control-Allow-Headers: Range, If-Match, If-None-Match, If-Range\n\
             Access-Control-Max-Age: 86400"
        ),
        body: b"",
        goes_on: true,
    };
    ground.hold(&[
        head(PLAYLIST, playlist_head("200 OK", "\"*\"", Some(text.len()), "")),
        head(&path, segment_head("200 OK", whole.len(), "", "")),
        head("/nowhere", sentence("404 Not Found", "", NOTHING.trim_end(), "")),
        // A range means something to GET only (RFC 9110, 14.2).
        Shape {
            says: format!("HEAD {path} HTTP/1.1\r\nHost: e\r\nRange: bytes=0-9\r\n\r\n").into(),
            ..head(&path, segment_head("200 OK", whole.len(), "", ""))
        },
        // Refused, but still a HEAD.
        Shape {
            says: b"HEAD / HTTP/1.1\r\n\r\n".to_vec(),
            head: sentence("400 Bad Request", "", "the Host field is missing", "\nConnection: close"),
            body: b"",
            goes_on: false,
        },
        options(PLAYLIST),
        options("/nowhere"),
        options("*"),
        options("http://edge"),
    ]);
    ground.ends();
}

fn methods_and_versions_that_are_none_of_ours_are_refused(driver: Driver) {
    let ground = Ground::new(driver);
    let not_allowed = "only GET, HEAD and OPTIONS are taken\n";
    let mut shapes = vec![
        refused(
            "BREW /pot HTTP/1.1\r\nHost: e\r\n\r\n",
            "501 Not Implemented",
            "only GET, HEAD and OPTIONS are known\n",
        ),
        refused(
            "get / HTTP/1.1\r\nHost: e\r\n\r\n",
            "501 Not Implemented",
            "only GET, HEAD and OPTIONS are known\n",
        ),
        refused("CONNECT e:443 HTTP/1.1\r\nHost: e\r\n\r\n", "405 Method Not Allowed", not_allowed),
        refused(
            "POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 5\r\n\r\nhello",
            "405 Method Not Allowed",
            not_allowed,
        ),
        refused(
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "505 HTTP Version Not Supported",
            "neither HTTP/1.0 nor HTTP/1.1\n",
        ),
        refused(
            "GET / HTTP/1.2\r\nHost: e\r\n\r\n",
            "505 HTTP Version Not Supported",
            "neither HTTP/1.0 nor HTTP/1.1\n",
        ),
    ];
    for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
        let says = format!("{method} / HTTP/1.1\r\nHost: e\r\n\r\n");
        shapes.push(refused(says, "405 Method Not Allowed", not_allowed));
    }
    for says in [
        "GET /\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\r\n\r\n",
    ] {
        shapes.push(refused(says, "400 Bad Request", "the request line is not HTTP\n"));
    }
    ground.hold(&shapes);
    ground.ends();
}

fn shapes_that_smuggle_are_refused_and_end_the_connection(driver: Driver) {
    let ground = Ground::new(driver);
    let bad = |says: &str, why| refused(says, "400 Bad Request", why);
    let with = |fields: &str, why| bad(&format!("GET / HTTP/1.1\r\nHost: e\r\n{fields}\r\n"), why);
    let two_lengths = "more than one Content-Length field\n";
    let no_number = "the Content-Length is no number\n";
    let coding = "a request has no Transfer-Encoding here\n";
    let name = "a field name has a character it may not have\n";
    let value = "a field value has a character it may not have\n";
    let bare = "a line ends in a bare CR or LF\n";
    ground.hold(&[
        with("Content-Length: 0\r\nContent-Length: 0\r\n", two_lengths),
        with("Content-Length: 0\r\nContent-Length: 5\r\n", two_lengths),
        with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", coding),
        with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", coding),
        with("Transfer-Encoding: chunked\r\n", coding),
        with("Transfer-Encoding: xchunked\r\n", coding),
        with("tRANSFER-eNCODING:identity\r\n", coding),
        with("Content-Length: 0, 0\r\n", no_number),
        with("Content-Length: +0\r\n", no_number),
        with("Content-Length: 0x0\r\n", no_number),
        with("Content-Length:\r\n", no_number),
        with("Content-Length : 0\r\n", name),
        with("Transfer-Encoding : chunked\r\n", name),
        with("Transfer-Encoding\r\n", name),
        with(": x\r\n", name),
        with("X: a\r\n folded\r\n", name),
        with("X: a\r\n\tfolded\r\n", name),
        bad("GET / HTTP/1.1\r\n Host: e\r\n\r\n", name),
        with("X: a\rY: b\r\n", value),
        with("X: a\0b\r\n", value),
        with("X: a\x7fb\r\n", value),
        with("X: a\nY: b\r\n", bare),
        with("X: a\r\n\n", bare),
        bad("GET / HTTP/1.1\nHost: e\r\n\r\n", bare),
        bad("GET / HTTP/1.1\r\nHost: e\n\n", bare),
        bad("\nGET / HTTP/1.1\r\nHost: e\r\n\r\n", bare),
        with("Host: other\r\n", "more than one Host field\n"),
        with("Host: edge\r\n", "more than one Host field\n"),
        bad("GET / HTTP/1.1\r\n\r\n", "the Host field is missing\n"),
        bad("GET / HTTP/1.1\r\nHost:\r\n\r\n", "the Host field is no host\n"),
        bad("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "the Host field is no host\n"),
        bad("GET / HTTP/1.1\r\nHost: user@e\r\n\r\n", "the Host field is no host\n"),
    ]);
    ground.ends();
}

fn a_request_with_a_body_is_refused_and_an_empty_one_is_none(driver: Driver) {
    let ground = Ground::new(driver);
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    let no_body = "a request has no body here\n";
    ground.hold(&[
        Shape {
            says: get(PLAYLIST, "Content-Length: 0\r\n"),
            head: playlist_head("200 OK", "\"*\"", Some(text.len()), ""),
            body: &text,
            goes_on: true,
        },
        // What looks like a second request is the body of the first, and neither is answered.
        refused(
            [get(PLAYLIST, "Content-Length: 40\r\n"), get("/nowhere", "")].concat(),
            "413 Content Too Large",
            no_body,
        ),
        refused(get(PLAYLIST, "Content-Length: 18446744073709551616\r\n"), "413 Content Too Large", no_body),
        // The answer is final, so no 100 stands before it.
        refused(
            get(PLAYLIST, "Expect: 100-continue\r\nContent-Length: 5\r\n"),
            "413 Content Too Large",
            no_body,
        ),
        refused(
            [get(PLAYLIST, "Content-Length: 100000\r\n"), vec![b'x'; 100_000]].concat(),
            "413 Content Too Large",
            no_body,
        ),
    ]);
    ground.ends();
}

fn a_target_names_what_it_names_and_nothing_else(driver: Driver) {
    let ground = Ground::new(driver);
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    let listed = |target: &str| Shape {
        says: format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n").into(),
        head: playlist_head("200 OK", "\"*\"", Some(text.len()), ""),
        body: &text,
        goes_on: true,
    };
    let mut shapes = vec![
        listed(PLAYLIST),
        listed(&format!("{PLAYLIST}?x=1&y=%00&z=../..")),
        listed(&format!("http://edge:8080{PLAYLIST}?a=/b")),
        listed(&format!("HTTPS://[::1]{PLAYLIST}")),
    ];
    // Nothing is decoded, joined or walked up: another text is another name, and there is nothing by it.
    for path in [
        "//live/tide/360p/index.m3u8",
        "/live//tide/360p/index.m3u8",
        "/live/tide/360p/index.m3u8/",
        "/live/tide/360p/../360p/index.m3u8",
        "/live/tide/./360p/index.m3u8",
        "/live/tide/360p/..;/index.m3u8",
        "/live/../../../../etc/passwd",
        "/live/tide/%2e%2e/%2e%2e/etc/passwd",
        "/live/tide/360p/index%2em3u8",
        "/live/tide%2f360p/index.m3u8",
        "/live/tide/360p/index.m3u8%00",
        "/live/tide/360p%3fx/index.m3u8",
        "/live/TIDE/360p/index.m3u8",
        "/LIVE/tide/360p/index.m3u8",
        "/live/tide/360p/00850000002.ts",
        "/live/tide/360p/+850000002.ts",
        "/live/tide/360p/8.50000002e8.ts",
        "http://edge",
        "http://edge?/live/tide/360p/index.m3u8",
    ] {
        shapes.push(nothing(path));
    }
    for (target, why) in [
        ("/live/tide/360p/index.m3u8#end", "the target has a character it may not have\n"),
        ("/live\\tide", "the target has a character it may not have\n"),
        ("/\"", "the target has a character it may not have\n"),
        ("/<x>", "the target has a character it may not have\n"),
        ("live/tide", "the target does not begin with /\n"),
        ("edge:443", "the target does not begin with /\n"),
        ("ftp://edge/", "the target does not begin with /\n"),
        ("http:/edge/", "the target does not begin with /\n"),
        ("http:///", "the target does not begin with /\n"),
        ("http://user@edge/", "the target does not begin with /\n"),
        ("*", "the target * belongs to OPTIONS\n"),
        ("", "the request line is not HTTP\n"),
        ("/\u{fc}", "the target has a character it may not have\n"),
        ("/a b", "the request line is not HTTP\n"),
        ("/a\tb", "the request line is not HTTP\n"),
        ("/\0", "the request line is not HTTP\n"),
    ] {
        shapes.push(refused(format!("GET {target} HTTP/1.1\r\nHost: e\r\n\r\n"), "400 Bad Request", why));
    }
    ground.hold(&shapes);
    ground.ends();
}

fn heads_over_their_bounds_are_refused(driver: Driver) {
    let ground = Ground::new(driver);
    let long = |len: usize| format!("/{}", "a".repeat(len - 1));
    let padded = |len: usize| {
        let bare = get("/nowhere", "X: \r\n").len();
        get("/nowhere", &format!("X: {}\r\n", "y".repeat(len - bare)))
    };
    let too_long = "the target is over 2048 bytes\n";
    ground.hold(&[
        nothing(&long(2048)),
        refused(get(&long(2049), ""), "414 URI Too Long", too_long),
        // Its end is not waited for.
        refused(format!("GET {}", long(4000)), "414 URI Too Long", too_long),
        Shape { says: get("/nowhere", &"A: b\r\n".repeat(63)), ..nothing("") },
        refused(
            get("/nowhere", &"A: b\r\n".repeat(64)),
            "431 Request Header Fields Too Large",
            "more than 64 fields\n",
        ),
        Shape { says: padded(8192), ..nothing("") },
        refused(padded(8193), "431 Request Header Fields Too Large", "the head is over 8192 bytes\n"),
        refused(
            &padded(20_000)[..8192],
            "431 Request Header Fields Too Large",
            "the head is over 8192 bytes\n",
        ),
        refused(padded(100_000), "431 Request Header Fields Too Large", "the head is over 8192 bytes\n"),
    ]);
    ground.ends();
}

fn a_segment_comes_in_one_range(driver: Driver) {
    let ground = Ground::new(driver);
    let (path, whole) = segment();
    let etag = ground.viewer(By::Plain).get(&path).field("ETag").unwrap().to_owned();
    let all = whole.len();
    let some = |fields: &str, first: usize, last: usize, connection: &str| Shape {
        says: get(&path, &format!("{fields}\r\n")),
        head: segment_head(
            "206 Partial Content",
            last + 1 - first,
            &format!("Content-Range: bytes {first}-{last}/{all}\n"),
            connection,
        ),
        body: &whole[first..=last],
        goes_on: connection.is_empty(),
    };
    let every = |fields: &str| Shape {
        says: get(&path, &format!("{fields}\r\n")),
        head: segment_head("200 OK", all, "", ""),
        body: &whole,
        goes_on: true,
    };
    let text = format!("the range lies outside of the {all} bytes there are\n");
    let outside = |fields: &str| Shape {
        says: get(&path, &format!("{fields}\r\n")),
        head: sentence(
            "416 Range Not Satisfiable",
            &format!("Content-Range: bytes */{all}\n"),
            text.trim_end(),
            "",
        ),
        body: text.as_bytes(),
        goes_on: true,
    };
    ground.hold(&[
        some("Range: bytes=0-0", 0, 0, ""),
        some("Range: bytes=100-199", 100, 199, ""),
        some("Range: bytes=0-", 0, all - 1, ""),
        some("range: Bytes=89999-", all - 1, all - 1, ""),
        some("Range: bytes=89000-99999999999999999999999", 89_000, all - 1, ""),
        some("Range: bytes=-1", all - 1, all - 1, ""),
        some("Range: bytes=-500", all - 500, all - 1, ""),
        some("Range: bytes=-99999999999999999999999", 0, all - 1, ""),
        some("Range: bytes=5-9\r\nConnection: close", 5, 9, "\nConnection: close"),
        some(&format!("Range: bytes=5-9\r\nIf-Range: {etag}"), 5, 9, ""),
        outside("Range: bytes=90000-"),
        outside("Range: bytes=90000-90001"),
        outside("Range: bytes=-0"),
        outside("Range: bytes=99999999999999999999999-"),
        // Several ranges, other units and nonsense: the whole, which RFC 9110 (14.2) always allows.
        every("Range: bytes=0-0,5-6"),
        every("Range: bytes=0-0,"),
        every("Range: bytes=9-5"),
        every("Range: bytes=-"),
        every("Range: bytes=a-b"),
        every("Range: bytes=+1-2"),
        every("Range: bytes=0x0-1"),
        every("Range: items=0-1"),
        every("Range: bytes"),
        every("Range:"),
        every("Range: bytes=0-0\r\nRange: bytes=0-0"),
        // Another tag, a weak one or a date (none was given) mean the whole.
        every("Range: bytes=5-9\r\nIf-Range: \"other\""),
        every(&format!("Range: bytes=5-9\r\nIf-Range: W/{etag}")),
        every("Range: bytes=5-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT"),
    ]);
    // A playlist is whole, always, and does not say that it had ranges.
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    ground.hold(&[Shape {
        says: get(PLAYLIST, "Range: bytes=0-3\r\n"),
        head: playlist_head("200 OK", "\"*\"", Some(text.len()), ""),
        body: &text,
        goes_on: true,
    }]);
    ground.ends();
}

fn what_the_viewer_has_is_not_sent_again(driver: Driver) {
    let ground = Ground::new(driver);
    let (path, whole) = segment();
    let tag_of = |path: &str| ground.viewer(By::Plain).get(path).field("ETag").unwrap().to_owned();
    let (of_segment, of_playlist) = (tag_of(&path), tag_of(PLAYLIST));
    let text = ground.viewer(By::Plain).get(PLAYLIST).body;
    let has_segment = |fields: &str| Shape {
        says: get(&path, &format!("{fields}\r\n")),
        head: format!(
            "HTTP/1.1 304 Not Modified\nDate: *\nCache-Control: public, max-age=31536000, immutable\nETag: \"*\"\n{CORS}"
        ),
        body: b"",
        goes_on: true,
    };
    let has_playlist = |fields: &str| Shape {
        says: get(PLAYLIST, &format!("{fields}\r\n")),
        head: playlist_head("304 Not Modified", "\"*\"", None, ""),
        body: b"",
        goes_on: true,
    };
    let has_not = |fields: &str| Shape {
        says: get(PLAYLIST, &format!("{fields}\r\n")),
        head: playlist_head("200 OK", "\"*\"", Some(text.len()), ""),
        body: &text,
        goes_on: true,
    };
    let other_tag = "it has another tag than If-Match names\n";
    let failed = |path: &str, fields: &str| Shape {
        says: get(path, &format!("{fields}\r\n")),
        head: sentence("412 Precondition Failed", "", other_tag.trim_end(), ""),
        body: other_tag.as_bytes(),
        goes_on: true,
    };
    ground.hold(&[
        has_segment(&format!("If-None-Match: {of_segment}")),
        has_segment(&format!("If-None-Match: \"a\", W/{of_segment} , \"b\"")),
        has_segment("If-None-Match: *"),
        // If-None-Match comes before Range (RFC 9110, 13.2.2).
        has_segment(&format!("If-None-Match: {of_segment}\r\nRange: bytes=0-0")),
        Shape {
            says: format!("HEAD {path} HTTP/1.1\r\nHost: e\r\nIf-None-Match: {of_segment}\r\n\r\n").into(),
            ..has_segment("")
        },
        has_playlist(&format!("If-None-Match: {of_playlist}")),
        has_playlist("If-None-Match: *"),
        Shape {
            head: playlist_head("304 Not Modified", "\"*\"", None, "\nConnection: close"),
            goes_on: false,
            ..has_playlist(&format!("If-None-Match: {of_playlist}\r\nConnection: close"))
        },
        has_not("If-None-Match: \"other\""),
        has_not(&format!("If-None-Match: {}", of_playlist.trim_matches('"'))),
        has_not("If-None-Match:"),
        // No date was given (no Last-Modified), so none is compared.
        has_not("If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"),
        has_not("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
        has_not(&format!("If-Match: {of_playlist}")),
        has_not("If-Match: *"),
        failed(PLAYLIST, "If-Match: \"other\""),
        failed(PLAYLIST, &format!("If-Match: W/{of_playlist}")),
        failed(&path, "If-Match: \"other\"\r\nRange: bytes=0-9"),
        Shape {
            says: get(&path, &format!("If-Match: \"x\", {of_segment}\r\n")),
            head: segment_head("200 OK", whole.len(), "", ""),
            body: &whole,
            goes_on: true,
        },
    ]);
    ground.ends();
}

fn gzip_is_a_matter_of_weights(driver: Driver) {
    let ground = Ground::new(driver);
    let plain = ground.viewer(By::Plain).get(PLAYLIST).body;
    let packed = ground.viewer(By::Plain).asks("GET", PLAYLIST, "Accept-Encoding: gzip\r\n");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!((unpacked, packed.body.len() < plain.len()), (plain.clone(), true));
    let is_plain = |fields: &str| Shape {
        says: get(PLAYLIST, &format!("{fields}\r\n")),
        head: playlist_head("200 OK", "\"*\"", Some(plain.len()), ""),
        body: &plain,
        goes_on: true,
    };
    let is_packed = |fields: &str| Shape {
        says: get(PLAYLIST, &format!("{fields}\r\n")),
        head: playlist_head("200 OK", "\"*-gz\"", Some(packed.body.len()), "\nContent-Encoding: gzip"),
        body: &packed.body,
        goes_on: true,
    };
    let tag = packed.field("ETag").unwrap();
    ground.hold(&[
        is_packed("Accept-Encoding: gzip, deflate, br, zstd"),
        is_packed("Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1"),
        is_packed("Accept-Encoding: *"),
        is_packed("Accept-Encoding: deflate\r\nAccept-Encoding: gzip"),
        is_packed("accept-encoding:GZIP"),
        is_plain("Accept-Encoding: identity"),
        is_plain("Accept-Encoding:"),
        is_plain("Accept-Encoding: gzip;q=0"),
        is_plain("Accept-Encoding: gzip;q=0.000, *"),
        is_plain("Accept-Encoding: gzip;q=0.5, identity;q=1"),
        is_plain("Accept-Encoding: br"),
        // The tag of one coding is no tag of the other.
        is_plain(&format!("If-None-Match: {tag}")),
        Shape {
            head: playlist_head("304 Not Modified", "\"*-gz\"", None, ""),
            body: b"",
            ..is_packed(&format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}"))
        },
        // A segment does not get smaller, and has one form.
        Shape {
            says: get(&segment().0, "Accept-Encoding: gzip\r\n"),
            head: segment_head("200 OK", 90_000, "", ""),
            body: &segment().1,
            goes_on: true,
        },
    ]);
    ground.ends();
}

fn a_page_of_one_origin_may_read(driver: Driver) {
    let cors = |text: &str| Parsed(text.parse().unwrap());
    for (setting, told) in [
        (
            "https://page.example",
            "Access-Control-Allow-Origin: https://page.example\n\
             Access-Control-Expose-Headers: Content-Range, Date, ETag, Retry-After\n\
             Timing-Allow-Origin: https://page.example\nVary: Origin\n",
        ),
        ("", ""),
    ] {
        let ground = Ground::with(driver, |settings| edge::Settings { cors: cors(setting), ..settings });
        let in_place = |head: String| head.replace(&format!("{CORS}\n"), told);
        let origin = "Origin: https://page.example\r\n";
        let head = in_place(sentence("404 Not Found", "", NOTHING.trim_end(), ""));
        ground.hold(&[Shape { says: get("/nowhere", origin), head, ..nothing("") }]);
        ground.ends();
    }
}

fn requests_come_in_any_pieces_and_are_answered_in_order(driver: Driver) {
    let ground = Ground::new(driver);
    let (path, whole) = segment();
    for by in [By::Plain, By::Tls] {
        let mut viewer = ground.viewer(by);
        let text = viewer.get(PLAYLIST).body;
        // Byte by byte.
        for byte in get(&path, "Range: bytes=7-9\r\n") {
            viewer.says(&[byte]);
        }
        assert_eq!(viewer.hears(false).body, &whole[7..10], "{by:?}");
        // A hundred ahead, more than are ever queued, and of every kind; the last says close.
        let ahead: Vec<Vec<u8>> = (0..100)
            .map(|nth| match nth % 4 {
                0 => get(PLAYLIST, ""),
                1 => get(&path, ""),
                2 => get(&format!("/nowhere/{nth}"), ""),
                _ => get(&path, &format!("Range: bytes={nth}-{nth}\r\n")),
            })
            .chain([get(PLAYLIST, "Connection: close\r\n"), get(PLAYLIST, "")])
            .collect();
        viewer.says(&ahead.concat());
        for nth in 0..100 {
            let answer = viewer.hears(false);
            match nth % 4 {
                0 => assert_eq!((answer.status, answer.body == text), (200, true), "{by:?} {nth}"),
                1 => assert_eq!((answer.status, sha256(&answer.body)), (200, sha256(&whole)), "{by:?} {nth}"),
                2 => assert_eq!(answer.status, 404, "{by:?} {nth}"),
                _ => assert_eq!((answer.status, answer.body[0]), (206, whole[nth]), "{by:?} {nth}"),
            }
        }
        assert_eq!(viewer.hears(false).field("Connection"), Some("close"));
        assert!(viewer.is_closed(), "what is asked after close is not answered");

        // A refusal ends a row of requests: what stands behind it is not read.
        let mut viewer = ground.viewer(by);
        let row = [get(PLAYLIST, ""), get("/a#b", ""), get(PLAYLIST, "")];
        viewer.says(&row.concat());
        assert_eq!((viewer.hears(false).status, viewer.hears(false).status), (200, 400), "{by:?}");
        assert!(viewer.is_closed());
    }
    ground.ends();
}

fn a_head_that_does_not_end_is_told_so_and_silence_is_not(driver: Driver) {
    let ground = Ground::with(driver, |mut settings| {
        settings.limits.header = Millis::new(300);
        settings.limits.idle = Millis::new(600);
        settings
    });
    let late = |says: &str| refused(says, "408 Request Timeout", "the request did not arrive in time\n");
    ground.hold(&[late("G"), late("GET / HTTP/1.1\r\nHost: e\r\n"), late("\r\n")]);
    for by in [By::Plain, By::Tls] {
        let mut viewer = ground.viewer(by);
        // Two requests, the second without an end, and a third that never comes.
        viewer.says(&[get(PLAYLIST, ""), b"GET /no".to_vec()].concat());
        assert_eq!((viewer.hears(false).status, viewer.hears(false).status), (200, 408), "{by:?}");
        assert!(viewer.is_closed());
        let mut silent = ground.viewer(by);
        if by == By::Tls {
            // The handshake is done with the first answer.
            assert_eq!(silent.get(PLAYLIST).status, 200);
        }
        assert!(silent.is_closed(), "{by:?}: said something to who said nothing");
    }
    ground.ends();
}

// The first segment there is, so that the paths above name what they seem to.
const _: () = assert!(FIRST == 850_000_000);
