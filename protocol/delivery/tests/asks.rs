//! Viewers ask, one core answers: with a body that is just a number, and a clock that is moved by hand.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop; some clock must begin the tale"
)]

use delivery::{
    Access, Answer, Delivery, Denials, Kind, Moment, Policy, Reply, Segment, Stored, Update, playlist,
};
use http::{Cors, Parsed};
use media::{BroadcastId, MediaSequence, RenditionId};
use std::time::{Duration, Instant};
use ticket::{BroadcastHash, EdgeId, Flags, Key, Keys, Ticket, UnixSeconds, ViewerId};

const TARGET: Duration = Duration::from_secs(2);
const NOON: u64 = 1_800_000_000;

struct Core {
    delivery: Delivery<u64, u32>,
    now: Moment,
}

fn broadcast() -> BroadcastId {
    BroadcastId::parse("tide").unwrap()
}

fn rendition() -> RenditionId {
    RenditionId::parse("720p").unwrap()
}

fn keys() -> Keys {
    Keys::new(Key::from_secret([7; 32]), None)
}

impl Core {
    /// A core that knows `tide`, its 720p up to segment `last`, each segment of 1000 bytes.
    fn with(access: Access, last: u64) -> Self {
        let policy = Policy {
            cors: Cors::anybody(),
            edge: Some(EdgeId::parse("edge1").unwrap().number()),
            waiters: 3,
            readers: 3,
        };
        let now = Moment { at: Instant::now(), unix_secs: NOON };
        let mut core = Self { delivery: Delivery::new(policy), now };
        core.push(Update::Broadcast { broadcast: broadcast(), target: TARGET, access });
        let page = playlist("#EXTM3U\nmany", Some(b"few"), 9, TARGET, Access::Public, &Cors::anybody());
        core.push(Update::Multivariant { broadcast: broadcast(), page });
        for sequence in 1..=last {
            core.store(sequence);
        }
        core.list(last, false);
        core
    }

    fn push(&mut self, update: Update<u64>) {
        self.delivery.push(self.now, update);
    }

    fn store(&mut self, sequence: u64) {
        let segment = Segment { body: sequence, len: 1000, tag: 0xabc0 + sequence };
        let sequence = MediaSequence(sequence);
        self.push(Update::Stored { broadcast: broadcast(), rendition: rendition(), sequence, segment });
    }

    fn list(&mut self, last: u64, has_ended: bool) {
        let text = format!("#EXTM3U\nup to {last}\n{}", if has_ended { "#EXT-X-ENDLIST\n" } else { "" });
        let page = playlist(&text, Some(b"zipped"), last, TARGET, Access::Public, &Cors::anybody());
        let last = MediaSequence(last);
        self.push(Update::Playlist { broadcast: broadcast(), rendition: rendition(), page, last, has_ended });
    }

    fn asks(&mut self, viewer: u32, path: &str, fields: &str) -> Answer<u64> {
        self.sends(viewer, &format!("GET {path} HTTP/1.1\r\nHost: e\r\n{fields}\r\n"))
    }

    fn sends(&mut self, viewer: u32, head: &str) -> Answer<u64> {
        let Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else {
            panic!("{head:?} is no head")
        };
        self.delivery.ask(self.now, viewer, &request)
    }

    /// Status and, of text bodies, the last line.
    fn says(&mut self, path: &str) -> (u16, String) {
        summary(&now(self.asks(0, path, "")))
    }

    fn released(&mut self) -> Vec<(u32, u16, String)> {
        let mut all: Vec<_> = std::iter::from_fn(|| self.delivery.pull())
            .map(|(viewer, reply)| {
                let (status, last_line) = summary(&reply);
                (viewer, status, last_line)
            })
            .collect();
        all.sort();
        all
    }

    fn passes(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_secs += time.as_secs();
    }
}

fn now(answer: Answer<u64>) -> Reply<u64> {
    match answer {
        Answer::Now(reply) | Answer::Never(reply) => reply,
        Answer::Later | Answer::GoesOn(_) => panic!("must wait"),
    }
}

fn text(reply: &Reply<u64>) -> String {
    String::from_utf8(reply.bytes.to_vec()).unwrap()
}

fn summary(reply: &Reply<u64>) -> (u16, String) {
    (reply.status.code(), text(reply).lines().last().unwrap_or_default().to_owned())
}

const PLAYLIST: &str = "/live/tide/720p/index.m3u8";

#[test]
fn playlists_and_segments_are_where_they_belong_and_nothing_is_elsewhere() {
    let mut core = Core::with(Access::Public, 3);
    assert_eq!(core.says("/live/tide/index.m3u8"), (200, "many".into()));
    assert_eq!(core.says(PLAYLIST), (200, "up to 3".into()));
    let segment = now(core.asks(0, "/live/tide/720p/3.ts", ""));
    assert_eq!((segment.stored, segment.bytes.len()), (Some(Stored::WithHead(3)), 0));
    for unknown in [
        "/live/ebb/index.m3u8",
        "/live/tide/1080p/index.m3u8",
        "/live/tide/720p/4.ts",
        "/live/tide/720p/03.ts",
        "/",
        "/watch/tide",
    ] {
        assert_eq!(core.says(unknown).0, 404, "{unknown}");
    }
}

#[test]
fn what_expired_is_gone_and_what_is_withdrawn_keeps_its_segments() {
    let mut core = Core::with(Access::Public, 3);
    core.push(Update::Expired { broadcast: broadcast(), rendition: rendition(), sequence: MediaSequence(1) });
    assert_eq!((core.says("/live/tide/720p/1.ts").0, core.says("/live/tide/720p/2.ts").0), (404, 200));
    core.push(Update::Withdrawn { broadcast: broadcast(), rendition: rendition() });
    assert_eq!((core.says(PLAYLIST).0, core.says("/live/tide/720p/2.ts").0), (404, 200));
    core.push(Update::Gone { broadcast: broadcast() });
    assert_eq!(core.says("/live/tide/720p/2.ts").0, 404);
}

#[test]
fn a_playlist_comes_gzipped_conditional_and_dated() {
    let mut core = Core::with(Access::Public, 3);
    let plain = text(&now(core.asks(0, PLAYLIST, "")));
    assert!(
        plain.contains("Cache-Control: public, max-age=2\r\n") && plain.contains("Vary: Accept-Encoding\r\n")
    );
    assert!(
        plain.contains("Access-Control-Allow-Origin: *\r\n")
            && plain.contains("ETag: \"0000000000000003\"\r\n")
    );
    assert!(plain.contains("Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"), "{plain}");
    let gzip = text(&now(core.asks(0, PLAYLIST, "Accept-Encoding: gzip\r\n")));
    assert!(gzip.contains("Content-Encoding: gzip\r\n") && gzip.ends_with("\r\n\r\nzipped"));
    let same = now(core.asks(0, PLAYLIST, "If-None-Match: \"0000000000000003\"\r\n"));
    assert_eq!(same.status.code(), 304);
    assert!(text(&same).ends_with("\r\n\r\n"));
    let other =
        now(core.asks(0, PLAYLIST, "Accept-Encoding: gzip\r\nIf-None-Match: \"0000000000000003\"\r\n"));
    assert_eq!(other.status.code(), 200, "the tag of another coding is another tag");
    core.passes(Duration::from_secs(1));
    assert!(text(&now(core.asks(0, PLAYLIST, ""))).contains("08:00:01 GMT"));
}

#[test]
fn a_segment_comes_in_ranges_and_to_old_and_parting_viewers() {
    let mut core = Core::with(Access::Public, 3);
    let path = "/live/tide/720p/3.ts";
    let range = |from, len| Some(Stored::Range { body: 3, from, len });
    let some = now(core.asks(0, path, "Range: bytes=10-19\r\n"));
    assert_eq!((some.status.code(), some.stored.clone()), (206, range(10, 10)));
    assert!(
        text(&some).contains("Content-Range: bytes 10-19/1000\r\n")
            && text(&some).contains("Content-Length: 10\r\n")
    );
    assert_eq!(now(core.asks(0, path, "Range: bytes=-1\r\n")).stored, range(999, 1));
    assert_eq!(now(core.asks(0, path, "Range: bytes=0-1,5-6\r\n")).stored, Some(Stored::WithHead(3)));
    let outside = now(core.asks(0, path, "Range: bytes=1000-\r\n"));
    assert_eq!((outside.status.code(), outside.stored.is_none()), (416, true));
    assert!(text(&outside).contains("Content-Range: bytes */1000\r\n"));
    let etag = "\"000000000000abc3\"";
    assert_eq!(
        now(core.asks(0, path, &format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n"))).stored,
        range(0, 1)
    );
    assert_eq!(
        now(core.asks(0, path, "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n")).stored,
        Some(Stored::WithHead(3))
    );
    assert_eq!(now(core.asks(0, path, &format!("If-None-Match: {etag}\r\n"))).status.code(), 304);

    let head = now(core.sends(0, &format!("HEAD {path} HTTP/1.1\r\nHost: e\r\nRange: bytes=0-0\r\n\r\n")));
    assert!(head.stored.is_none() && text(&head).contains("Content-Length: 1000\r\n"));
    let close = now(core.asks(0, path, "Connection: close\r\n"));
    assert_eq!((close.keep_alive, close.stored.clone()), (false, range(0, 1000)));
    assert!(text(&close).contains("Connection: close\r\n") && text(&close).contains("immutable"));
    let old = now(core.sends(0, &format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")));
    assert!(old.keep_alive && text(&old).contains("Connection: keep-alive\r\n"));
}

#[test]
fn options_tell_a_page_of_another_origin_what_it_may_do() {
    let mut core = Core::with(Access::Public, 3);
    let reply = now(core.sends(0, &format!("OPTIONS {PLAYLIST} HTTP/1.1\r\nHost: e\r\n\r\n")));
    assert_eq!(reply.status.code(), 204);
    assert!(text(&reply).contains("Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"));
}

// Viewers 1 and 2 wait for segment 4, viewer 3 for 5. `4` is listed: 1 and 2 go; `5` is listed: 3 goes.
#[test]
fn a_held_reload_is_released_by_the_segment_it_waits_for() {
    let mut core = Core::with(Access::Public, 3);
    assert!(matches!(core.asks(1, &format!("{PLAYLIST}?_HLS_msn=4"), ""), Answer::Later));
    assert!(matches!(core.asks(2, &format!("{PLAYLIST}?_HLS_msn=4&_HLS_part=1"), ""), Answer::Later));
    assert!(matches!(core.asks(3, &format!("{PLAYLIST}?_HLS_msn=5"), ""), Answer::Later));
    assert_eq!(core.released(), [], "before anything came");
    assert_eq!(core.delivery.waiting(), 3);
    core.store(4);
    assert_eq!(core.released(), [], "stored is not listed");
    core.list(4, false);
    assert_eq!(core.released(), [(1, 200, "up to 4".into()), (2, 200, "up to 4".into())]);
    core.list(5, false);
    assert_eq!(core.released(), [(3, 200, "up to 5".into())]);
    assert_eq!(core.delivery.waiting(), 0);
}

#[test]
fn a_held_reload_keeps_the_form_it_was_asked_in() {
    let mut core = Core::with(Access::Public, 3);
    core.asks(1, &format!("{PLAYLIST}?_HLS_msn=4"), "Accept-Encoding: gzip\r\nConnection: close\r\n");
    core.sends(2, &format!("HEAD {PLAYLIST}?_HLS_msn=4 HTTP/1.1\r\nHost: e\r\n\r\n"));
    core.list(4, false);
    let mut replies: Vec<_> = std::iter::from_fn(|| core.delivery.pull()).collect();
    replies.sort_by_key(|(viewer, _)| *viewer);
    assert!(text(&replies[0].1).ends_with("Connection: close\r\n\r\nzipped") && !replies[0].1.keep_alive);
    assert!(text(&replies[1].1).ends_with("\r\n\r\n") && replies[1].1.keep_alive);
}

#[test]
fn directives_out_of_bounds_are_refused_and_stale_ones_answered() {
    let mut core = Core::with(Access::Public, 3);
    for (query, status) in [
        ("_HLS_part=0", 400),
        ("_HLS_msn=6", 400),
        ("_HLS_msn=x", 400),
        ("_HLS_msn=1", 200),
        ("_HLS_msn=3", 200),
        ("_HLS_unknown=1", 200),
    ] {
        assert_eq!(core.says(&format!("{PLAYLIST}?{query}")).0, status, "{query}");
    }
}

#[test]
fn a_reload_is_held_for_three_target_durations_and_no_longer() {
    let mut core = Core::with(Access::Public, 3);
    core.asks(1, &format!("{PLAYLIST}?_HLS_msn=4"), "");
    assert_eq!(core.delivery.deadline(), Some(core.now.at + 3 * TARGET));
    core.passes(3 * TARGET - Duration::from_millis(1));
    core.delivery.tick(core.now);
    assert_eq!(core.released(), []);
    core.passes(Duration::from_millis(1));
    core.delivery.tick(core.now);
    assert_eq!(core.released(), [(1, 503, "that segment did not come in time".into())]);
    assert_eq!(core.delivery.deadline(), None);
}

#[test]
fn the_end_releases_everybody_and_makes_directives_void() {
    let mut core = Core::with(Access::Public, 3);
    core.asks(1, &format!("{PLAYLIST}?_HLS_msn=5"), "");
    core.list(3, true);
    assert_eq!(core.released(), [(1, 200, "#EXT-X-ENDLIST".into())]);
    assert_eq!(core.says(&format!("{PLAYLIST}?_HLS_msn=999")).0, 200);
}

#[test]
fn who_waits_is_bounded_and_who_left_is_not_answered() {
    let mut core = Core::with(Access::Public, 3);
    let reload = format!("{PLAYLIST}?_HLS_msn=4");
    for viewer in 1..=3 {
        assert!(matches!(core.asks(viewer, &reload, ""), Answer::Later));
    }
    let refused = now(core.asks(4, &reload, ""));
    assert_eq!(refused.status.code(), 503);
    assert!(text(&refused).contains("Retry-After: 1\r\n"));
    core.delivery.forget(2);
    assert!(matches!(core.asks(4, &reload, ""), Answer::Later), "a place was free again");
    core.list(4, false);
    core.delivery.forget(3);
    let viewers: Vec<_> = core.released().into_iter().map(|(viewer, ..)| viewer).collect();
    assert_eq!(viewers, [1, 4]);
}

#[test]
fn an_edge_that_is_not_fed_or_leaves_sends_viewers_elsewhere_at_once() {
    let mut core = Core::with(Access::Public, 3);
    core.asks(1, &format!("{PLAYLIST}?_HLS_msn=4"), "");
    core.push(Update::Fed { broadcast: broadcast(), is_fed: false });
    assert_eq!(core.released().iter().map(|(v, s, _)| (*v, *s)).collect::<Vec<_>>(), [(1, 404)]);
    assert_eq!((core.says(PLAYLIST).0, core.says("/live/tide/index.m3u8").0), (404, 404));
    assert_eq!(core.says("/live/tide/720p/3.ts").0, 200, "what is buffered may be fetched");
    core.push(Update::Fed { broadcast: broadcast(), is_fed: true });
    assert_eq!(core.says(PLAYLIST).0, 200);
    core.asks(1, &format!("{PLAYLIST}?_HLS_msn=4"), "");
    core.push(Update::Leaving(true));
    assert_eq!(core.released().len(), 1);
    assert_eq!((core.says(PLAYLIST).0, core.says("/live/tide/720p/3.ts").0), (404, 200));
    core.push(Update::Leaving(false));
    assert_eq!(core.says(PLAYLIST).0, 200);
}

fn token(edge: &str, expires: u64, of: &str, keys: &Keys) -> String {
    let ticket = Ticket {
        edge: Some(EdgeId::parse(edge).unwrap().number()),
        other: None,
        expires: UnixSeconds::from_u64(expires),
        broadcast: BroadcastHash::of(&BroadcastId::parse(of).unwrap()),
        viewer: ViewerId(0xfeed << 32 | 1),
        flags: Flags::ADMITTED,
    };
    ticket.seal(keys).to_string()
}

#[test]
fn a_private_broadcast_opens_to_a_valid_ticket_and_to_nothing_else() {
    let mut core = Core::with(Access::Private, 3);
    let with = |token: &str| format!("/v/{token}/tide/720p/3.ts");
    let home = with(&token("edge1", NOON + 60, "tide", &keys()));
    assert_eq!(core.says(&home).0, 403, "no key is known yet");
    core.push(Update::Keys(Some(keys())));
    assert_eq!(core.says(&home).0, 200);
    assert_eq!(core.says(&with(&token("edge2", NOON + 60, "tide", &keys()))).0, 200, "availability first");
    let strange = Keys::new(Key::from_secret([9; 32]), None);
    let refused = [
        "/live/tide/720p/3.ts".to_owned(),
        with("short"),
        with(&token("edge1", NOON - 1, "tide", &keys())),
        with(&token("edge1", NOON + 60, "ebb", &keys())),
        with(&token("edge1", NOON + 60, "tide", &strange)),
    ];
    for path in refused {
        assert_eq!(core.says(&path).0, 403, "{path}");
    }
    let counts = core.delivery.tickets();
    assert_eq!((counts.home, counts.away, counts.refused), (1, 1, 6));

    // A balancer's ticket is for anybody: it does not open what is private.
    let anybody = Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(NOON + 60),
        broadcast: BroadcastHash::of(&BroadcastId::parse("tide").unwrap()),
        viewer: ViewerId(1),
        flags: Flags::WITHOUT_TOP,
    };
    assert_eq!(core.says(&with(&anybody.seal(&keys()).to_string())).0, 403);
    assert_eq!(core.says(&with(&anybody.seal(&keys()).to_string()).replace("3.ts", "index.m3u8")).0, 403);

    // Who is denied is turned away from that broadcast for so long; others are not.
    let denied = |broadcast: &str, holder, until| {
        let mut denials = Denials::default();
        denials.add(BroadcastHash::of(&BroadcastId::parse(broadcast).unwrap()), holder, until);
        Update::Denied(std::sync::Arc::new(denials))
    };
    for (denied, status) in [
        (denied("tide", 0xfeed, NOON + 60), 403),
        (denied("tide", 0xfeed, NOON - 1), 200),
        (denied("tide", 0xbeef, NOON + 60), 200),
        (denied("ebb", 0xfeed, NOON + 60), 200),
    ] {
        core.push(denied);
        assert_eq!(core.says(&home).0, status);
    }
    core.push(Update::Access { broadcast: BroadcastId::parse("tide").unwrap(), access: Access::Public });
    assert_eq!(core.says("/live/tide/720p/3.ts").0, 200);
    core.push(Update::Access { broadcast: BroadcastId::parse("tide").unwrap(), access: Access::Private });
    assert_eq!(core.says("/live/tide/720p/3.ts").0, 403);
}

#[test]
fn a_public_broadcast_refuses_broken_seals_only() {
    let mut core = Core::with(Access::Public, 3);
    let with = |token: &str| format!("/v/{token}/tide/720p/index.m3u8");
    let good = token("edge1", NOON + 60, "tide", &keys());
    assert_eq!(core.says(&with(&good)).0, 200, "before any key is known");
    core.push(Update::Keys(Some(keys())));
    assert_eq!(core.says(&with(&good)).0, 200);
    assert_eq!(core.says(&with(&token("edge1", NOON - 9, "tide", &keys()))).0, 200, "a stale ticket");
    let end = if good.ends_with('A') { "B" } else { "A" };
    let broken = format!("{}{end}", &good[..51]);
    assert_eq!(core.says(&with(&broken)).0, 403);
    let counts = core.delivery.tickets();
    assert_eq!((counts.home, counts.unchecked, counts.refused), (1, 2, 1));
}

#[test]
fn answers_are_counted_by_what_they_are_about() {
    let mut core = Core::with(Access::Public, 3);
    let kinds = ["/live/tide/index.m3u8", PLAYLIST, "/live/tide/720p/3.ts", "/live/tide/720p/4.ts", "/x"]
        .map(|path| now(core.asks(0, path, "")).kind);
    assert_eq!(kinds, [Kind::Multivariant, Kind::Media, Kind::Segment, Kind::Segment, Kind::Other]);
}
