//! What is asked for, word for word: a viewer answered by hand.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};
use viewer::{
    Ask, AskId, AskKind, Event, Failure, Input, Now, Options, Output, Range, Reload, RungChoice, State, Url,
    Viewer,
};

struct Hand {
    viewer: Viewer,
    start: Instant,
    at: Duration,
    asks: Vec<Ask>,
    cancelled: Vec<AskId>,
    events: Vec<Event>,
}

impl Hand {
    fn opens(entry: &str, options: Options) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant cannot be made from nothing; tests only add to it"
        )]
        let start = Instant::now();
        let now = Now { at: start, unix_millis: 0 };
        let viewer = Viewer::new(now, Arc::new(options), Url::parse(entry).unwrap(), 1);
        let (asks, cancelled, events) = (Vec::new(), Vec::new(), Vec::new());
        let mut hand = Self { viewer, start, at: Duration::ZERO, asks, cancelled, events };
        hand.drain();
        hand
    }

    fn push(&mut self, input: Input<'_>) -> &mut Self {
        let now = Now { at: self.start + self.at, unix_millis: self.at.as_millis() as u64 };
        self.viewer.push(now, input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        while let Some(output) = self.viewer.pull() {
            match output {
                Output::Ask(ask) => self.asks.push(ask),
                Output::Cancel(ask) => self.cancelled.push(ask),
                Output::Event { event, .. } => self.events.push(event),
            }
        }
    }

    fn last(&self) -> Ask {
        self.asks.last().unwrap().clone()
    }

    fn url(&self) -> String {
        self.last().url.to_string()
    }

    /// Answers the newest ask for a playlist.
    fn playlist(&mut self, body: &str) -> &mut Self {
        let is_list = |ask: &&Ask| matches!(ask.kind, AskKind::Multivariant | AskKind::Media { .. });
        let ask = self.asks.iter().rfind(is_list).unwrap().id;
        self.push(Input::Head { ask, status: 200, location: None, retry_after: None });
        self.push(Input::Playlist { ask, body: body.as_bytes() })
    }

    /// Answers the newest ask for anything else.
    fn segment(&mut self) -> &mut Self {
        let is_piece = |ask: &&Ask| matches!(ask.kind, AskKind::Segment { .. } | AskKind::Init { .. });
        let ask = self.asks.iter().rfind(is_piece).unwrap().id;
        self.push(Input::Head { ask, status: 200, location: None, retry_after: None });
        self.push(Input::Segment { ask, bytes: 1000 })
    }

    fn redirect(&mut self, location: &str) -> &mut Self {
        let ask = self.last().id;
        self.push(Input::Head { ask, status: 307, location: Some(location), retry_after: None })
    }

    fn fails(&mut self, why: Failure) -> &mut Self {
        let ask = self.last().id;
        self.push(Input::Failed { ask, why })
    }
}

fn first_rung() -> Options {
    Options { rung: RungChoice::Index(0), ..Options::default() }
}

const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n";

#[test]
fn a_media_playlist_is_an_entry_too() {
    let mut hand = Hand::opens("http://lb/live/index.m3u8", first_rung());
    hand.redirect("/v/t/720p/index.m3u8?x=1").playlist(&format!("{HEAD}#EXTINF:2,\n7.ts\n#EXT-X-ENDLIST\n"));
    assert_eq!(hand.url(), "http://lb/v/t/720p/7.ts");
    hand.segment();
    assert!(matches!(hand.events[0], Event::Started(_)), "{:?}", hand.events);
    hand.at += Duration::from_secs(2);
    hand.push(Input::Tick);
    assert_eq!(hand.events.last(), Some(&Event::Ended));
    assert_eq!(hand.asks.len(), 3);
}

#[test]
fn redirects_are_followed_and_counted() {
    let mut hand = Hand::opens("http://lb/a/b", first_rung());
    for _ in 0..5 {
        hand.redirect("../c/d");
    }
    assert_eq!((hand.url().as_str(), hand.asks.len()), ("http://lb/c/d", 6));
    hand.redirect("../c/d");
    let failed = Event::Failed { ask: AskId(5), kind: AskKind::Multivariant, why: Failure::Redirects };
    assert_eq!((hand.events.last(), hand.asks.len()), (Some(&failed), 6));
    // Again from the entry, after a second or a little more.
    assert!(hand.viewer.deadline().unwrap() >= hand.start + Duration::from_secs(1));
    hand.at = Duration::from_millis(1250);
    hand.push(Input::Tick);
    assert_eq!(hand.url(), "http://lb/a/b");
    let ask = hand.last().id;
    hand.push(Input::Head { ask, status: 302, location: None, retry_after: None });
    assert!(matches!(hand.events.last(), Some(Event::Failed { why: Failure::Redirect, .. })));
}

#[test]
fn an_initialization_section_comes_first_and_once() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.playlist(&format!(
        "{HEAD}#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"700@0\"\n#EXTINF:2,\n#EXT-X-BYTERANGE:1000@700\nall.mp4\n\
         #EXTINF:2,\n#EXT-X-BYTERANGE:500\nall.mp4\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"other.mp4\"\n\
         #EXTINF:2,\n9.m4s\n#EXT-X-ENDLIST\n"
    ));
    for _ in 0..5 {
        hand.segment();
    }
    let asked: Vec<_> =
        hand.asks[1..].iter().map(|ask| (ask.url.tail(), ask.range.map(|r| (r.first, r.last)))).collect();
    assert_eq!(
        asked,
        [
            ("init.mp4", Some((0, 699))),
            ("all.mp4", Some((700, 1699))),
            ("all.mp4", Some((1700, 2199))),
            ("other.mp4", None),
            ("9.m4s", None)
        ]
    );
    assert_eq!(hand.asks[1].range, Some(Range { first: 0, last: 699 }));
    assert_eq!(hand.asks[1].kind, AskKind::Init { rung: 0 });
}

#[test]
fn an_absolute_uri_at_an_edge_is_asked_for_at_another() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.playlist(
        "#EXTM3U\n#EXT-X-SESSION-DATA:DATA-ID=\"com.mascaret.edges\",VALUE=\"a=http://e1 b=http://e2\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1\n/720p/i.m3u8\n",
    );
    hand.playlist(&format!("{HEAD}#EXTINF:2,\nhttp://e1/x/7.ts\n#EXTINF:2,\nhttp://cdn/8.ts\n"));
    assert_eq!(hand.url(), "http://e1/x/7.ts");
    hand.fails(Failure::Reset);
    assert_eq!(hand.url(), "http://e2/x/7.ts");
    hand.segment();
    assert_eq!(hand.url(), "http://cdn/8.ts");
}

#[test]
fn a_uri_that_is_none_is_passed_over() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.playlist(&format!("{HEAD}#EXTINF:2,\nftp://e1/7.ts\n#EXTINF:2,\n8.ts\n"));
    assert!(matches!(hand.events[..], [Event::Unnamed { .. }]), "{:?}", hand.events);
    assert_eq!(hand.url(), "http://e1/8.ts");
}

#[test]
fn latency_counts_from_when_it_was_due() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.playlist(&format!("{HEAD}#EXTINF:2,\n7.ts\n")).segment();
    assert_eq!(hand.viewer.deadline(), Some(hand.start + Duration::from_secs(2)));
    // The shell is late by 300 ms.
    hand.at = Duration::from_millis(2300);
    hand.push(Input::Tick);
    assert_eq!(hand.last().due, hand.start + Duration::from_secs(2));
    // It stalled when the buffer was empty, not when somebody looked, and its time-out is not shorter for it.
    assert_eq!(hand.viewer.deadline(), Some(hand.start + Duration::from_millis(4800)));
}

#[test]
fn a_server_that_ignores_blocking_is_not_stormed() {
    let mut hand = Hand::opens(
        "http://e1/i.m3u8?k=1",
        Options { reload: Reload::Block, fetch_segments: false, ..first_rung() },
    );
    let list = format!("{HEAD}#EXTINF:2,\n7.ts\n");
    hand.playlist(&list);
    assert_eq!(hand.url(), "http://e1/i.m3u8?k=1&_HLS_msn=8");
    hand.playlist(&list);
    assert_eq!(hand.asks.len(), 2);
    assert_eq!(hand.viewer.deadline(), Some(hand.start + Duration::from_secs(1)));
}

#[test]
fn silence_is_cancelled_and_what_comes_later_ignored() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.at = Duration::from_millis(2500);
    hand.push(Input::Tick);
    assert_eq!(hand.cancelled, [AskId(0)]);
    assert!(matches!(hand.events[..], [Event::Failed { why: Failure::FirstByte, .. }]));
    hand.push(Input::Playlist { ask: AskId(0), body: HEAD.as_bytes() });
    hand.push(Input::Failed { ask: AskId(0), why: Failure::Reset });
    assert_eq!((hand.events.len(), hand.asks.len()), (1, 1));
}

#[test]
fn a_body_may_take_its_time_as_long_as_it_comes() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.playlist(&format!("{HEAD}#EXTINF:2,\n7.ts\n#EXT-X-ENDLIST\n"));
    let ask = hand.last().id;
    hand.push(Input::Head { ask, status: 200, location: None, retry_after: None });
    for _ in 0..9 {
        hand.at += Duration::from_secs(2);
        hand.push(Input::Tick).push(Input::Progress { ask });
    }
    assert_eq!(hand.cancelled, []);
    // At 18 s it says its last word; the whole has 20 s.
    hand.at += Duration::from_secs(2);
    hand.push(Input::Tick);
    assert!(matches!(hand.events[..], [Event::Failed { why: Failure::Whole, .. }]), "{:?}", hand.events);
}

#[test]
fn a_list_without_segments_is_waited_with() {
    let mut hand = Hand::opens("http://e1/i.m3u8", first_rung());
    hand.playlist(HEAD);
    assert_eq!(hand.viewer.deadline(), Some(hand.start + Duration::from_secs(2)));
    hand.at = Duration::from_secs(2);
    hand.push(Input::Tick).playlist(&format!("{HEAD}#EXTINF:2,\n7.ts\n"));
    assert_eq!(hand.url(), "http://e1/7.ts");
    let tally = hand.viewer.tally(Now { at: hand.start + hand.at, unix_millis: 0 });
    assert_eq!((tally.state, tally.stalls), (State::Starting, 0));
}
