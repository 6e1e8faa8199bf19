//! HTTP/1.1: what is refused, in which words, and that it ends the connection where it must. Raw bytes in, exact answers
//! out, by plain sockets and by TLS, on both drivers. docs/HTTP.md tells the same in words.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use percore::Driver;
use stage::ground::{By, Ground, PLAYLIST, Shape, get, nothing, playlist_head, refused};
use stage::on_both_drivers;

on_both_drivers! {
    methods_and_versions_that_are_none_of_ours_are_refused,
    shapes_that_smuggle_are_refused_and_end_the_connection,
    a_request_with_a_body_is_refused_and_an_empty_one_is_none,
    a_target_names_what_it_names_and_nothing_else,
    heads_over_their_bounds_are_refused,
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
