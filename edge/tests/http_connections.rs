//! HTTP/1.1: when a connection goes on and when it ends, requests in pieces and one behind the other, silence. Raw bytes in, exact answers
//! out, by plain sockets and by TLS, on both drivers. docs/HTTP.md tells the same in words.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use node::settings::Millis;
use percore::Driver;
use stage::ground::{By, Ground, PLAYLIST, Shape, get, playlist_head, refused, segment, segment_head};
use stage::{on_both_drivers, sha256};

on_both_drivers! {
    a_connection_goes_on_or_ends_as_both_versions_have_it,
    requests_come_in_any_pieces_and_are_answered_in_order,
    a_head_that_does_not_end_is_told_so_and_silence_is_not,
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
