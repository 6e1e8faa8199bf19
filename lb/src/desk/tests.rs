//! What is asked of a desk, and what it answers.

use super::*;
use crate::pathway::tests::hello;
use media::{BroadcastId, FrameRate, MediaSpan, Rendition, RenditionId, RunId, StreamFacts, VideoShape};
use routing::{Crowd, Heard, Load, State};
use ticket::{Key, Token, UnixSeconds, ViewerId};

/// A desk, a clock, and what was answered last.
struct Story {
    desk: Desk,
    keys: Keys,
    moment: Moment,
}

fn rendition(id: &str, height: u32, peak: u64) -> Rendition {
    let frame_rate = FrameRate(25_000);
    let video = VideoShape { width: height * 16 / 9, height, frame_rate, codec: "avc1.64001f".into() };
    let id = RenditionId::parse(id).unwrap();
    Rendition { id, video: Some(video), audio: None, peak: BitRate(peak), average: BitRate(peak / 2) }
}

fn tide(renditions: Vec<Rendition>) -> StreamFacts {
    StreamFacts {
        broadcast: BroadcastId::parse("tide").unwrap(),
        run: RunId(1_700_000_000_000),
        segment: MediaSpan::from_secs(2),
        window: 6,
        renditions,
        has_ended: false,
    }
}

impl Story {
    /// Edges of 100 Mbit/s that have `tide` in two renditions.
    fn of(edges: &[&str]) -> Self {
        Self::with(edges, Settings::default())
    }

    fn with(edges: &[&str], settings: Settings) -> Self {
        let keys = Keys::new(Key::from_secret([3; 32]), None);
        let desk = Desk::new(&settings, keys.clone(), Arc::default());
        let moment = Moment { now: Instant::now(), unix_secs: 1_700_000_100, is_tls: false };
        let mut story = Self { desk, keys, moment };
        for edge in edges {
            let hello = hello(edge, &format!("http://{edge}:8080"), &format!("https://{edge}:8443"));
            let (declared, pathway) = Pathway::of(&hello).unwrap();
            story.desk.told(story.moment.now, Told::Pathway(declared.id.clone(), pathway));
            story.hear(Heard::Joined(declared));
            let facts = tide(vec![rendition("720p", 720, 2_600_000), rendition("360p", 360, 800_000)]);
            story.load(edge, 0);
            story.hear(Heard::Stream(EdgeId::parse(edge).unwrap(), facts));
        }
        story
    }

    fn hear(&mut self, heard: Heard) {
        self.desk.told(self.moment.now, Told::Heard(heard));
    }

    fn load(&mut self, edge: &str, egress: u64) {
        let egress = BitRate(egress * 1_000_000);
        let load = Load { egress, viewers: 5, newest_segment_age: None, lag: None, state: State::Ready };
        self.hear(Heard::Load(EdgeId::parse(edge).unwrap(), load));
    }

    /// Head and body of the answer to this request.
    fn ask(&mut self, head: &str) -> (String, String) {
        let head = format!("{}\r\nHost: lb\r\n\r\n", head.replace('\n', "\r\n"));
        let http::Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else {
            panic!("{head:?} is no request");
        };
        let answer = self.desk.answer(self.moment, &request);
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), format!("{body}{}", String::from_utf8_lossy(&answer.page)))
    }

    fn get(&mut self, target: &str) -> (String, String) {
        self.ask(&format!("GET {target} HTTP/1.1"))
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn uris(playlist: &str) -> Vec<&str> {
    playlist.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_viewer_gets_a_playlist_with_its_edge_first_and_two_behind_it() {
    let mut story = Story::of(&["e1", "e2", "e3", "e4"]);
    let (head, body) = story.get("/live/tide/index.m3u8");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(field(&head, "Content-Type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(field(&head, "Cache-Control"), Some("no-store"));
    assert_eq!(field(&head, "Access-Control-Allow-Origin"), Some("*"));
    let uris = uris(&body);
    assert_eq!(uris.len(), 6, "{body}");
    let token = uris[0].split('/').nth(4).unwrap();
    let hash = BroadcastHash::of(&BroadcastId::parse("tide").unwrap());
    let ticket =
        story.keys.open(&Token::parse(token).unwrap(), story.moment.unix_secs + 86_400, hash).unwrap();
    let first = uris[0].strip_prefix("http://").and_then(|uri| uri.split(':').next()).unwrap();
    assert_eq!(ticket.edge, Some(EdgeId::parse(first).unwrap().number()));
    assert_eq!(uris[0], format!("http://{first}:8080/v/{token}/tide/720p/index.m3u8"));
    // Of the host alone: a token may have any letters in it.
    let at_first = |uri: &&str| uri.starts_with(&format!("http://{first}:"));
    assert!(uris[0..2].iter().all(at_first) && !at_first(&uris[2]), "{body}");
    assert!(body.contains(&format!("PATHWAY-ID=\"{first}\"")));
    let listed = body.lines().find(|line| line.contains("com.mascaret.edges")).unwrap();
    assert!(listed.contains(&format!("VALUE=\"{first}=http://{first}:8080 ")), "{listed}");
    assert_eq!(listed.matches("=http://").count(), 4, "{listed}");
}

#[test]
fn a_viewer_that_came_by_tls_goes_on_by_tls() {
    let mut story = Story::of(&["e1"]);
    story.moment.is_tls = true;
    let (_, body) = story.get("/live/tide/index.m3u8");
    assert!(uris(&body)[0].starts_with("https://e1:8443/v/"), "{body}");
    let settings = toml_settings("public_url = 'http://live.example.org'");
    let mut behind_a_proxy = Story::with(&["e1"], settings);
    behind_a_proxy.moment.is_tls = true;
    let (_, body) = behind_a_proxy.get("/live/tide/index.m3u8");
    assert!(uris(&body)[0].starts_with("http://e1:8080/v/"), "{body}");
}

fn toml_settings(text: &str) -> Settings {
    let sources = node::settings::Sources::new().text("lb.toml", text);
    node::settings::load::<Settings>("lb", &sources).unwrap().settings
}

#[test]
fn who_asks_for_it_is_redirected() {
    let mut story = Story::of(&["e1"]);
    for target in ["/go/tide", "/go/tide/", "/live/tide/index.m3u8?redirect=1"] {
        let (head, body) = story.get(target);
        assert!(head.starts_with("HTTP/1.1 307 "), "{target}: {head}");
        let location = field(&head, "Location").unwrap();
        assert!(location.starts_with("http://e1:8080/v/") && location.ends_with("/tide/index.m3u8"));
        assert_eq!((field(&head, "Cache-Control"), body.as_str()), (Some("no-store"), ""));
    }
}

#[test]
fn every_viewer_gets_a_token_of_its_own() {
    let mut story = Story::of(&["e1"]);
    let mut locations: Vec<_> =
        (0..20).map(|_| field(&story.get("/go/tide").0, "Location").unwrap().to_owned()).collect();
    locations.sort();
    locations.dedup();
    assert_eq!(locations.len(), 20);
}

#[test]
fn what_is_not_on_the_air_is_not_found_at_once() {
    let mut story = Story::of(&["e1"]);
    for target in ["/live/ebb/index.m3u8", "/go/ebb", "/go/", "/live//index.m3u8", "/go/%74ide"] {
        let (head, body) = story.get(target);
        assert!(head.starts_with("HTTP/1.1 404 "), "{target}: {head}");
        assert_eq!(body, "There is no broadcast of that name on the air.\n");
    }
    let (head, body) = story.get("/live/tide/720p/index.m3u8");
    assert!(head.starts_with("HTTP/1.1 404 ") && body.contains("served by edges"), "{head}");
}

#[test]
fn with_no_edge_or_no_room_viewers_are_told_when_to_come_back() {
    let mut story = Story::of(&["e1"]);
    story.load("e1", 95);
    let (head, body) = story.get("/live/tide/index.m3u8");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("full"), "{head}");
    let seconds: u64 = field(&head, "Retry-After").unwrap().parse().unwrap();
    assert!((2..=5).contains(&seconds));
    let draining =
        Load { egress: BitRate(0), viewers: 0, newest_segment_age: None, lag: None, state: State::Draining };
    story.hear(Heard::Load(EdgeId::parse("e1").unwrap(), draining));
    let (head, body) = story.get("/go/tide");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("No edge"), "{head}");
    // In a browser it is a page that asks again.
    let seconds = field(&head, "Retry-After").unwrap();
    assert!(field(&head, "Content-Type") == Some("text/html; charset=utf-8"), "{head}");
    assert!(body.contains(&format!("http-equiv=\"refresh\" content=\"{seconds}\"")), "{body}");
}

#[test]
fn a_broadcast_that_has_just_begun_is_asked_for_again_in_a_second() {
    let mut story = Story::of(&["e1"]);
    let mut facts = tide(vec![rendition("720p", 720, 0)]);
    facts.run = RunId(1_700_000_000_001);
    story.hear(Heard::Stream(EdgeId::parse("e1").unwrap(), facts));
    let (head, _) = story.get("/live/tide/index.m3u8");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(field(&head, "Retry-After"), Some("1"));
}

#[test]
fn short_of_room_the_top_rendition_is_left_out_and_the_token_says_so() {
    let mut story = Story::of(&["e1"]);
    story.load("e1", 80);
    let (_, body) = story.get("/live/tide/index.m3u8");
    let uris = uris(&body);
    assert_eq!(uris.len(), 1, "{body}");
    assert!(uris[0].ends_with("/tide/360p/index.m3u8"));
    let token = Token::parse(uris[0].split('/').nth(4).unwrap()).unwrap();
    let ticket = story.keys.open_any(&token, story.moment.unix_secs).unwrap();
    assert!(ticket.flags.has(Flags::WITHOUT_TOP));
}

#[test]
fn a_playlist_is_packed_for_who_takes_it() {
    let mut story = Story::of(&["e1", "e2", "e3"]);
    let head = "GET /live/tide/index.m3u8 HTTP/1.1\r\nHost: lb\r\nAccept-Encoding: gzip\r\n\r\n";
    let http::Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else { panic!("no request") };
    let answer = story.desk.answer(story.moment, &request).bytes;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&answer[..end]).contains("Content-Encoding: gzip\r\n"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer[end..]), &mut text).unwrap();
    assert!(text.starts_with("#EXTM3U\n"));
    assert!(answer.len() - end < text.len() / 2, "{} of {}", answer.len() - end, text.len());
}

#[test]
fn a_head_is_the_same_without_the_body() {
    let mut story = Story::of(&["e1"]);
    let (head, body) = story.ask("HEAD /live/tide/index.m3u8 HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
    let (head, body) = story.ask("HEAD / HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
    assert_ne!(field(&head, "Content-Length"), Some("0"));
}

#[test]
fn options_say_what_a_page_of_another_origin_may() {
    let (head, body) = Story::of(&[]).ask("OPTIONS /live/tide/index.m3u8 HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 204 ") && body.is_empty());
    assert_eq!(field(&head, "Access-Control-Allow-Methods"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn pages_are_listed_watched_and_kept() {
    let mut story = Story::of(&[]);
    let (head, index) = story.get("/");
    assert!(head.starts_with("HTTP/1.1 200 ") && index.contains("<html"), "{head}");
    assert!(field(&head, "Content-Security-Policy").unwrap().contains("script-src 'self';"));
    assert_eq!(field(&head, "Cache-Control"), Some("no-cache"));
    let etag = field(&head, "ETag").unwrap().to_owned();
    let (head, body) = story.ask(&format!("GET / HTTP/1.1\nIf-None-Match: {etag}"));
    assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty(), "{head}");
    assert!(story.get("/watch/tide").0.starts_with("HTTP/1.1 200 "));
    for nothing in ["/watch/a/b", "/../Cargo.toml", "/nothing", "/v2"] {
        assert!(story.get(nothing).0.starts_with("HTTP/1.1 404 "), "{nothing}");
    }
}

#[test]
fn a_page_can_list_broadcasts_and_edges() {
    let mut story = Story::of(&["e1", "e2"]);
    let json = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap();
    let broadcasts = json(&story.get("/api/v1/broadcasts").1);
    let first = &broadcasts["broadcasts"][0];
    assert_eq!((&first["id"], &first["edges"]), (&"tide".into(), &2.into()));
    assert_eq!(first["live_since_unix_ms"], 1_700_000_000_000_u64);
    assert_eq!(first["renditions"][1]["height"], 360);
    let cluster = json(&story.get("/api/v1/cluster").1);
    assert_eq!((&cluster["viewers"], &cluster["edges"][1]["state"]), (&10.into(), &"ready".into()));
    // Written anew no sooner than a heartbeat later.
    story.moment.now += Duration::from_millis(200);
    story.hear(Heard::Left(EdgeId::parse("e2").unwrap()));
    assert_eq!(json(&story.get("/api/v1/cluster").1)["edges"][1]["state"], "ready");
    story.moment.now += Duration::from_millis(50);
    assert_eq!(json(&story.get("/api/v1/cluster").1)["edges"][1]["state"], "left");
}

/// What the lobby gives to whom it admits.
fn admitted(story: &Story, expires: u64) -> Ticket {
    Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(story.moment.unix_secs + expires),
        broadcast: BroadcastHash::of(&BroadcastId::parse("tide").unwrap()),
        viewer: ViewerId(0xfeed << 32 | 7),
        flags: Flags::ADMITTED,
    }
}

#[test]
fn who_was_admitted_stays_so_wherever_he_is_sent_and_for_no_longer() {
    let mut story = Story::of(&["e1", "e2"]);
    let before = admitted(&story, 600);
    let path = format!("/v/{}/tide/index.m3u8", before.seal(&story.keys));
    let given = |story: &Story, uri: &str| {
        let token = Token::parse(uri.split('/').nth(4).unwrap()).unwrap();
        story.keys.open_any(&token, story.moment.unix_secs).unwrap()
    };
    let (head, body) = story.get(&path);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let after = given(&story, uris(&body)[0]);
    assert!(after.flags.has(Flags::ADMITTED) && after.edge.is_some(), "{after:?}");
    assert_eq!((after.viewer, after.expires), (before.viewer, before.expires));
    // And again, by the ticket that the balancer gave.
    let again = uris(&body)[0].split_once("/v/").unwrap().1.replace("/720p/", "/");
    let (head, _) = story.get(&format!("/v/{again}?redirect=1"));
    assert!(head.starts_with("HTTP/1.1 307 "), "{head}");
    let again = given(&story, field(&head, "Location").unwrap());
    assert!(again.flags.has(Flags::ADMITTED));
    assert_eq!((again.viewer, again.expires), (before.viewer, before.expires));
    // Nobody else is.
    let (_, body) = story.get("/live/tide/index.m3u8");
    let anybody = uris(&body)[0].split_once("/v/").unwrap().1.replace("/720p/", "/");
    assert!(!given(&story, uris(&body)[0]).flags.has(Flags::ADMITTED));
    let (_, body) = story.get(&format!("/v/{anybody}"));
    assert!(!given(&story, uris(&body)[0]).flags.has(Flags::ADMITTED));
}

#[test]
fn a_ticket_that_opens_nothing_is_refused_at_once() {
    let mut story = Story::of(&["e1"]);
    let good = admitted(&story, 600);
    let other = Ticket { broadcast: BroadcastHash::of(&BroadcastId::parse("ebb").unwrap()), ..good };
    let over = Ticket { expires: UnixSeconds::from_u64(story.moment.unix_secs - 1), ..good };
    let strange = Keys::new(Key::from_secret([9; 32]), None);
    let mut changed = good.seal(&story.keys).to_string();
    changed.replace_range(40..41, if &changed[40..41] == "A" { "B" } else { "A" });
    let tokens =
        [other.seal(&story.keys), over.seal(&story.keys), good.seal(&strange)].map(|it| it.to_string());
    for token in tokens.into_iter().chain([changed, "nonsense".into()]) {
        let (head, body) = story.get(&format!("/v/{token}/tide/index.m3u8"));
        assert!(head.starts_with("HTTP/1.1 403 "), "{token}: {head}");
        assert_eq!(field(&head, "Access-Control-Allow-Origin"), Some("*"));
        assert!(body.contains("opens nothing"), "{body}");
    }
    let (head, _) = story.get(&format!("/v/{}/tide/720p/index.m3u8", good.seal(&story.keys)));
    assert!(head.starts_with("HTTP/1.1 404 "), "media is elsewhere");
}

#[test]
fn tokens_are_sealed_with_the_newest_key() {
    let mut story = Story::of(&["e1"]);
    let newer = Keys::new(Key::from_secret([4; 32]), Some(Key::from_secret([3; 32])));
    story.desk.told(story.moment.now, Told::Keys(newer.clone()));
    let location = field(&story.get("/go/tide").0, "Location").unwrap().to_owned();
    let token = Token::parse(location.split('/').nth(4).unwrap()).unwrap();
    assert!(newer.open_any(&token, 0).is_ok() && story.keys.open_any(&token, 0).is_err());
}

/// What a player that is `on` that edge is told, in JSON, and the head.
fn steered(story: &mut Story, uri: &str, on: &str) -> (String, serde_json::Value) {
    let join = if uri.contains('?') { '&' } else { '?' };
    let (head, body) = story.get(&format!("{uri}{join}_HLS_pathway={on}&_HLS_throughput=5000000"));
    (head, serde_json::from_str(&body).unwrap_or_default())
}

/// The SERVER-URI of a new viewer's playlist, and its pathways in order.
fn enter(story: &mut Story) -> (String, Vec<String>) {
    let (_, body) = story.get("/live/tide/index.m3u8");
    let playlist = hls::MultivariantPlaylist::parse(body.as_bytes()).unwrap();
    let steering = playlist.content_steering.unwrap();
    let mut pathways: Vec<String> =
        playlist.variant_streams.iter().map(|variant| variant.pathway_id.clone().unwrap()).collect();
    pathways.dedup();
    assert_eq!(steering.pathway_id.as_ref(), pathways.first());
    (steering.server_uri, pathways)
}

/// A balancer that has known its edges for a while.
fn settled(edges: &[&str]) -> Story {
    let mut story = Story::of(edges);
    for _ in 0..160 {
        story.moment.now += Duration::from_millis(250);
        edges.iter().for_each(|edge| story.load(edge, 0));
    }
    story
}

#[test]
fn a_running_viewer_is_told_its_edges_in_order_and_moves_when_the_first_is_lost() {
    let mut story = settled(&["e1", "e2", "e3", "e4"]);
    let (uri, pathways) = enter(&mut story);
    assert_eq!(pathways.len(), 3);
    let (head, told) = steered(&mut story, &uri, &pathways[0]);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "Content-Type"), Some("application/vnd.apple.steering-list"));
    assert_eq!(field(&head, "Cache-Control"), Some("no-store"));
    assert_eq!(field(&head, "Access-Control-Allow-Origin"), Some("*"));
    assert_eq!((&told["VERSION"], &told["TTL"]), (&1.into(), &5.into()));
    assert_eq!(told["PATHWAY-PRIORITY"], serde_json::json!(pathways));
    assert_eq!(told["RELOAD-URI"], uri.as_str(), "the third edge is not forgotten");

    story.moment.now += Duration::from_millis(800);
    for edge in ["e1", "e2", "e3", "e4"].iter().filter(|edge| **edge != pathways[0]) {
        story.load(edge, 0);
    }
    // The draft quotes the value, and a browser escapes the quotes.
    for on in [pathways[0].clone(), format!("%22{}%22", pathways[0])] {
        let (_, told) = steered(&mut story, &uri, &on);
        let wanted = [&pathways[1], &pathways[2], &pathways[0]];
        assert_eq!(told["PATHWAY-PRIORITY"], serde_json::json!(wanted));
    }
    assert!(story.desk.moved.contains_key(pathways[0].as_str().parse::<EdgeId>().as_ref().unwrap()));
    assert_eq!(story.desk.seen.values().next().map(Crowd::count), Some(1), "one viewer, asked three times");
}

#[test]
fn steering_is_answered_by_head_and_options_too() {
    let mut story = settled(&["e1"]);
    let (uri, _) = enter(&mut story);
    let (head, body) = story.ask(&format!("HEAD {uri} HTTP/1.1"));
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}");
    assert!(story.ask(&format!("OPTIONS {uri} HTTP/1.1")).0.starts_with("HTTP/1.1 204 "));
}

#[test]
fn a_balancer_that_has_just_started_moves_nobody() {
    let mut story = settled(&["e1", "e2"]);
    let (uri, pathways) = enter(&mut story);
    let mut restarted = Story::of(&[]);
    let (head, told) = steered(&mut restarted, &uri, &pathways[0]);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(told["PATHWAY-PRIORITY"], serde_json::json!([pathways[0]]));
    // Nothing is known of it, and it has not said where it is.
    assert!(restarted.get(&uri).0.starts_with("HTTP/1.1 200 ") || uri.find('?').is_none());
    let mut restarted = Story::of(&["e1", "e2"]);
    restarted.hear(Heard::Left(EdgeId::parse(&pathways[0]).unwrap()));
    let (_, told) = steered(&mut restarted, &uri, &pathways[0]);
    assert_eq!(told["PATHWAY-PRIORITY"], serde_json::json!([pathways[0]]));
}

#[test]
fn whatever_its_token_a_running_viewer_is_never_sent_away() {
    let mut story = settled(&["e1", "e2"]);
    let (uri, pathways) = enter(&mut story);
    // Over since long: it is steered all the same.
    story.moment.unix_secs += 10 * 86_400;
    assert_eq!(steered(&mut story, &uri, &pathways[1]).1["PATHWAY-PRIORITY"][0], pathways[0].as_str());
    // Of another broadcast, or sealed by nobody we know: it stays where it is, and is not counted.
    story.desk.seen.clear();
    for stranger in [uri.replace("tide", "ebb"), uri.replacen("/steer/AQ", "/steer/AR", 1)] {
        let stranger = stranger.replace("/steer/Ae", "/steer/Af");
        let told = steered(&mut story, &stranger, "e9").1;
        assert!(told["PATHWAY-PRIORITY"][0] == "e9" || stranger.ends_with("tide"), "{stranger}: {told}");
    }
    assert!(story.desk.seen.len() <= 1);
    for nothing in ["/steer/", "/steer/x/tide", "/steer/tide", "/steer/a/b/c"] {
        assert!(story.get(nothing).0.starts_with("HTTP/1.1 404 "), "{nothing}");
    }
}

#[test]
fn nearly_full_the_page_is_told_that_nobody_should_take_the_top() {
    let mut story = settled(&["e1", "e2"]);
    let (uri, pathways) = enter(&mut story);
    assert!(steered(&mut story, &uri, &pathways[0]).1.get("X-MASCARET-WITHOUT-TOP").is_none());
    story.load("e1", 87);
    story.load("e2", 87);
    story.moment.now += Duration::from_millis(250);
    assert_eq!(steered(&mut story, &uri, &pathways[0]).1["X-MASCARET-WITHOUT-TOP"], true);
}

#[test]
fn a_list_of_broadcasts_says_how_many_watch() {
    let mut story = Story::of(&["e1"]);
    let watched = [(BroadcastId::parse("tide").unwrap(), 412)].into();
    story.desk.told(story.moment.now, Told::Watched(Arc::new(watched)));
    assert!(story.get("/api/v1/broadcasts").1.contains("\"viewers\":412"));
}

/// `cargo test -p lb --lib -- --ignored --nocapture what_an_answer_costs`
#[test]
#[ignore = "measures"]
fn what_an_answer_costs() {
    for edges in [4, 30, 100] {
        let names: Vec<String> = (0..edges).map(|n| format!("e{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut story = settled(&names);
        for name in &names {
            let capacity = Some(BitRate(1_000_000_000_000));
            let ruling = routing::Ruling { capacity, ..routing::Ruling::default() };
            story.hear(Heard::Ruled(EdgeId::parse(name).unwrap(), ruling));
        }
        let (uri, pathways) = enter(&mut story);
        let mut time = |target: &str| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: lb\r\n\r\n");
            let http::Parsed::Whole { request, .. } = http::parse(head.as_bytes()) else {
                panic!("no request")
            };
            let began = Instant::now();
            for _ in 0..20_000 {
                std::hint::black_box(story.desk.answer(story.moment, &request));
            }
            began.elapsed() / 20_000
        };
        let playlist = time("/live/tide/index.m3u8");
        let steering = time(&format!("{uri}&_HLS_pathway={}", pathways[0]));
        println!("{edges} edges: a playlist {playlist:?}, a steering answer {steering:?}");
    }
}

#[test]
fn strangers_are_told_of_what_is_public_alone() {
    let mut story = Story::with(&["e1"], toml_settings("lobby = 'lobby:7003'"));
    let lists = |story: &mut Story| story.get("/api/v1/broadcasts").1.contains("\"tide\"");
    let tide = || vec![BroadcastId::parse("tide").unwrap()];
    assert!(!lists(&mut story), "the lobby has not spoken");
    let mut says = Discretion::new([], true);
    says.told_unlisted(vec![]);
    story.desk.told(story.moment.now, Told::Discretion(says.clone()));
    assert!(lists(&mut story), "and is heard at once");

    says.told_unlisted(tide());
    story.desk.told(story.moment.now, Told::Discretion(says.clone()));
    assert!(!lists(&mut story));
    let (head, _) = story.get("/live/tide/index.m3u8");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "who knows the name may watch: {head}");

    says.told_private(tide());
    story.desk.told(story.moment.now, Told::Discretion(says));
    let ticket = |flags| Ticket {
        edge: None,
        other: None,
        expires: UnixSeconds::from_u64(story.moment.unix_secs + 600),
        broadcast: BroadcastHash::of(&BroadcastId::parse("tide").unwrap()),
        viewer: ViewerId(7),
        flags,
    };
    let [stranger, admitted] =
        [Flags::default(), Flags::ADMITTED].map(|flags| ticket(flags).seal(&story.keys).to_string());
    for path in ["/live/tide/index.m3u8".into(), "/go/tide".into(), format!("/v/{stranger}/tide/index.m3u8")]
    {
        let (head, body) = story.get(&path);
        assert!(head.starts_with("HTTP/1.1 403 "), "{path}: {head}");
        assert!(body.contains("private"), "{body}");
    }
    let (head, _) = story.get(&format!("/v/{admitted}/tide/index.m3u8"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}
