//! Chat at one core: who may read, what he gets, and when he is let go.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop; some clock must begin the tale"
)]

use chat::{Author, Badge, Entry, Follower, LogId, RoomFacts, Sequence, What, Word};
use delivery::{Access, Answer, Delivery, Moment, Policy, Update};
use http::{Cors, Parsed};
use media::BroadcastId;
use std::time::{Duration, Instant};
use ticket::{BroadcastHash, Flags, Key, Keys, Ticket, UnixSeconds, ViewerId};

const NOON: u64 = 1_800_000_000;

struct Core {
    delivery: Delivery<u64, u32>,
    follower: Follower,
    access: Access,
    now: Moment,
}

fn tide() -> BroadcastId {
    BroadcastId::parse("tide").unwrap()
}

fn keys() -> Keys {
    Keys::new(Key::from_secret([7; 32]), None)
}

fn token(of: &BroadcastId) -> String {
    let ticket = Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(NOON + 60),
        broadcast: BroadcastHash::of(of),
        viewer: ViewerId(1),
        flags: Flags::ADMITTED,
    };
    ticket.seal(&keys()).to_string()
}

impl Core {
    fn new(access: Access, readers: usize) -> Self {
        let policy = Policy { cors: Cors::anybody(), edge: None, waiters: 3, readers };
        let now = Moment { at: Instant::now(), unix_secs: NOON };
        let mut core = Self { delivery: Delivery::new(policy), follower: Follower::new(), access, now };
        core.delivery.push(now, Update::Keys(Some(keys())));
        core
    }

    fn hears(&mut self, word: Word) {
        self.follower.push(word);
        while let Some(told) = self.follower.pull() {
            self.delivery.push(self.now, Update::Chat { access: self.access, told });
        }
    }

    fn opens(&mut self) {
        self.hears(Word::Room(tide(), RoomFacts { log: LogId(0xa), next: Sequence(1), slow: 0 }));
    }

    fn says(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        let said = |n| {
            let by = Author { id: "7".into(), name: "Ana".into(), badge: Badge::Viewer };
            Entry { sequence: Sequence(n), at_ms: n, what: What::Said { by, text: format!("t{n}") } }
        };
        self.hears(Word::Batch { room: tide(), log: LogId(0xa), entries: numbers.map(said).collect() });
    }

    fn sends(&mut self, reader: u32, head: &str) -> Answer<u64> {
        let Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else {
            panic!("{head:?} is no head")
        };
        self.delivery.ask(self.now, reader, &request)
    }

    /// Status, and everything that is sent at once.
    fn asks(&mut self, reader: u32, path: &str, fields: &str) -> (u16, String) {
        let answer = self.sends(reader, &format!("GET {path} HTTP/1.1\r\nHost: e\r\n{fields}\r\n"));
        let (Answer::Now(reply) | Answer::Never(reply) | Answer::GoesOn(reply)) = answer else { panic!() };
        let mut text = reply.bytes.to_vec();
        reply.more.iter().for_each(|more| text.extend_from_slice(more));
        (reply.status.code(), String::from_utf8(text).unwrap())
    }

    /// Who is sent which numbers; `-` who is let go.
    fn sent(&mut self) -> Vec<(u32, String)> {
        let mut all: Vec<_> = std::iter::from_fn(|| self.delivery.pull_chat())
            .map(|(reader, bytes)| (reader, bytes.map_or_else(|| "-".into(), |bytes| numbers(&bytes))))
            .collect();
        all.sort();
        all
    }
}

fn numbers(events: &[u8]) -> String {
    let text = std::str::from_utf8(events).unwrap();
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: a."));
    ids.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_reader_gets_what_is_here_and_then_what_comes() {
    let mut core = Core::new(Access::Public, 9);
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 404, "nobody has told of such a room");
    core.opens();
    core.says(1..=3);
    let (status, text) = core.asks(1, "/live/tide/chat", "");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(status == 200 && head.contains("Content-Type: text/event-stream"), "{head}");
    assert!(head.contains("Connection: close") && head.contains("Cache-Control: no-store"), "{head}");
    assert!(head.contains("Access-Control-Allow-Origin: *") && !head.contains("Content-Length"), "{head}");
    assert!(body.starts_with("retry: ") && numbers(body.as_bytes()) == "1 2 3", "{body}");
    let body = |text: &str| numbers(text.split_once("\r\n\r\n").unwrap().1.as_bytes());
    let text = core.asks(2, "/live/tide/chat?after=a.1", "").1;
    assert_eq!(body(&text), "2 3");
    let text = core.asks(3, "/live/tide/chat?after=a.1", "Last-Event-ID: a.2\r\n").1;
    assert_eq!(body(&text), "3", "the field is what the browser knows last");
    let text = core.asks(4, "/live/tide/chat", "Last-Event-ID: a.4\r\n").1;
    assert_eq!(body(&text), "", "it was at an edge that is further");
    core.says(4..=5);
    let all = "4 5".to_owned();
    assert_eq!(core.sent(), [(1, all.clone()), (2, all.clone()), (3, all), (4, "5".to_owned())]);
    core.delivery.forget(2);
    core.says(6..=6);
    assert_eq!(core.sent().iter().map(|(reader, _)| *reader).collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn history_is_json_and_a_head_is_a_head() {
    let mut core = Core::new(Access::Public, 9);
    core.opens();
    core.says(1..=2);
    let (status, text) = core.asks(1, "/live/tide/chat/history", "");
    assert!(status == 200 && text.contains("Content-Type: application/json"), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(body.contains("\"text\":\"t2\"") && body.ends_with("]}"), "{body}");
    for path in ["/live/tide/chat", "/live/tide/chat/history"] {
        let answer = core.sends(2, &format!("HEAD {path} HTTP/1.1\r\nHost: e\r\n\r\n"));
        let Answer::Now(reply) = answer else { panic!("{path} goes on") };
        assert!(reply.more.is_empty() && reply.bytes.ends_with(b"\r\n\r\n"));
    }
    assert_eq!(core.delivery.chat_counts().readers, 0);
    assert_eq!(core.asks(3, "/live/other/chat/history", "").0, 404);
}

#[test]
fn a_private_room_opens_to_a_ticket_of_its_own_only() {
    let mut core = Core::new(Access::Private, 9);
    core.opens();
    core.says(1..=1);
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 403);
    assert_eq!(core.asks(1, "/live/tide/chat/history", "").0, 403);
    let other = token(&BroadcastId::parse("other").unwrap());
    assert_eq!(core.asks(1, &format!("/v/{other}/tide/chat"), "").0, 403);
    let own = token(&tide());
    assert_eq!(core.asks(1, &format!("/v/{own}/tide/chat"), "").0, 200);
    assert_eq!(core.asks(2, &format!("/v/{own}/tide/chat/history"), "").0, 200);
}

#[test]
fn who_reads_what_is_private_goes_when_his_ticket_is_over() {
    let mut core = Core::new(Access::Private, 9);
    core.opens();
    let own = token(&tide());
    for reader in [1, 2] {
        assert_eq!(core.asks(reader, &format!("/v/{own}/tide/chat"), "").0, 200);
    }
    core.delivery.forget(2);
    let due = core.delivery.deadline().unwrap();
    let over = core.now.at + Duration::from_secs(61);
    assert!(due <= over);
    core.now = Moment { at: over - Duration::from_millis(1), unix_secs: NOON + 60 };
    core.delivery.tick(core.now);
    assert!(core.sent().iter().all(|(_, sent)| sent != "-"), "he was let in for all of the last second");
    assert_eq!(core.delivery.deadline(), Some(over));
    core.now = Moment { at: over, unix_secs: NOON + 61 };
    core.delivery.tick(core.now);
    assert!(core.sent().contains(&(1, "-".to_owned())));
    assert_eq!(core.delivery.chat_counts().readers, 0);
    assert_eq!(core.asks(1, &format!("/v/{own}/tide/chat"), "").0, 403);

    let mut open = Core::new(Access::Public, 9);
    open.opens();
    assert_eq!(open.asks(1, &format!("/v/{own}/tide/chat"), "").0, 200);
    open.now = Moment { at: open.now.at + Duration::from_secs(90), unix_secs: NOON + 90 };
    open.delivery.tick(open.now);
    assert!(open.sent().iter().all(|(_, sent)| sent != "-"), "a public room stays open to him");
}

#[test]
fn when_a_room_becomes_private_its_readers_ask_again() {
    let mut core = Core::new(Access::Public, 9);
    core.opens();
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 200);
    core.access = Access::Private;
    core.hears(Word::Room(tide(), RoomFacts { log: LogId(0xa), next: Sequence(1), slow: 5 }));
    assert_eq!(core.sent(), [(1, "-".to_owned())]);
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 403);
}

#[test]
fn readers_are_as_many_as_may_be_and_none_where_there_is_no_chat() {
    let mut core = Core::new(Access::Public, 1);
    core.opens();
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 200);
    let (status, text) = core.asks(2, "/live/tide/chat", "");
    assert!(status == 503 && text.contains("Retry-After: 5"), "{text}");
    let mut none = Core::new(Access::Public, 0);
    none.opens();
    assert_eq!(none.asks(1, "/live/tide/chat", "").0, 404);
}

#[test]
fn who_reads_is_let_go_when_the_edge_leaves_and_told_so_who_asks_then() {
    let mut core = Core::new(Access::Public, 9);
    core.opens();
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 200);
    core.delivery.push(core.now, Update::Leaving(true));
    assert_eq!(core.sent(), [(1, "-".to_owned())]);
    core.delivery.forget(1);
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 404);
    core.delivery.push(core.now, Update::Leaving(false));
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 200);
    core.delivery.push(core.now, Update::Moved);
    assert_eq!(core.sent(), [(1, "-".to_owned())]);
}

#[test]
fn a_silent_room_says_nothing_every_15_seconds() {
    let mut core = Core::new(Access::Public, 9);
    core.opens();
    assert_eq!(core.asks(1, "/live/tide/chat", "").0, 200);
    let at = core.delivery.deadline().unwrap();
    assert_eq!(at, core.now.at + Duration::from_secs(15));
    core.now.at = at;
    core.delivery.tick(core.now);
    let nothing = core.delivery.pull_chat().unwrap();
    assert_eq!((nothing.0, &nothing.1.unwrap()[..]), (1, &b":\n\n"[..]));
}
