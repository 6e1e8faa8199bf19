//! HTTP/1.1: playlists and segments as they are told: heads, ranges, what a viewer has already, gzip, other origins. Raw bytes in, exact answers
//! out, by plain sockets and by TLS, on both drivers. docs/HTTP.md tells the same in words.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use node::settings::Parsed;
use percore::Driver;
use stage::ground::{
    By, CORS, Ground, NOTHING, PLAYLIST, Shape, get, nothing, playlist_head, segment, segment_head, sentence,
};
use stage::on_both_drivers;
use std::io::Read;

on_both_drivers! {
    playlists_and_segments_are_told_as_the_rules_have_it,
    head_and_options_have_no_body,
    a_segment_comes_in_one_range,
    what_the_viewer_has_is_not_sent_again,
    gzip_is_a_matter_of_weights,
    a_page_of_one_origin_may_read,
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
