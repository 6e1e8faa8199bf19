//! Chat at real edges: from a lobby's feed over mutual TLS to readers on plain sockets.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use chat::{Entry, EventId, Sequence, What};
use media::MediaSpan;
use node::settings::{Address, Number, Parsed};
use percore::Driver;
use stage::parlour::{LOG, Lobby, Reader, said, tide};
use stage::{Cluster, Edge, Viewer, any, listed, settings, until};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

stage::on_both_drivers! {
    what_is_said_reaches_who_reads,
    a_reader_moved_a_hundred_times_has_each_of_5000_once_and_in_order,
    who_reads_nothing_is_dropped_and_nobody_else_waits,
    a_lobby_that_is_away_is_missed_by_nobody_who_reads,
    of_two_lobbies_the_other_is_dialled_when_one_is_gone,
    who_reads_is_let_go_when_an_edge_ends,
    a_reader_that_is_there_is_not_idle_and_one_that_is_gone_is_found,
}

fn reads_from(driver: Driver, lobby: &Lobby) -> edge::Settings {
    edge::Settings { lobby: Some(Parsed(lobby.address().into())), ..settings(driver, &[]) }
}

/// An edge that knows the room, up to this number.
fn edge(cluster: &Cluster, settings: edge::Settings, next: u64) -> Edge {
    let edge = cluster.edge(settings);
    knows(&edge, next);
    edge
}

fn knows(edge: &Edge, next: u64) {
    until("the room", || {
        let answer = Viewer::at(edge.address()).get("/live/tide/chat/history");
        (answer.status == 200 && answer.text().contains(&format!("\"next\":{next},"))).then_some(())
    });
}

fn metric(edge: &Edge, name: &str) -> u64 {
    let (_, text) = edge.operator("/metrics");
    let values = text.lines().filter(|line| line.starts_with(&format!("mascaret_edge_{name}")));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn what_is_said_reaches_who_reads(driver: Driver) {
    let cluster = Cluster::new();
    let mut lobby = Lobby::new(&cluster, any());
    let settings = edge::Settings { https: Some(Address(any())), ..reads_from(driver, &lobby) };
    let edge = edge(&cluster, settings, 1);
    lobby.says("before");
    knows(&edge, 2);
    let mut reader = Reader::at(edge.address(), None);
    assert!(reader.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", reader.head);
    let room = reader.next().unwrap();
    assert_eq!((room.event.as_str(), &room.data["log"]), ("room", &serde_json::json!(LOG.to_string())));
    let first = reader.next().unwrap();
    assert_eq!((first.event.as_str(), first.data["text"].as_str()), ("message", Some("before 1")));
    lobby.says("<b>\n\nid: 9");
    let second = reader.next().unwrap();
    assert_eq!(second.data["text"].as_str(), Some("<b>\n\nid: 9 2"));
    assert_eq!(reader.last, EventId::parse(&format!("{LOG}.2")));
    for (n, what) in [(3, What::Gone { of: Sequence(1) }), (4, What::Slow { seconds: 7 })] {
        lobby.feed.push(&tide(), Entry { what, ..said(n, "x".into()) }).unwrap();
    }
    assert_eq!(reader.next().unwrap().data, serde_json::json!({"n": 3, "of": 1}));
    let slow = reader.next().unwrap();
    assert_eq!((slow.event.as_str(), slow.data["seconds"].as_u64()), ("slow", Some(7)));

    let history = Viewer::at(edge.address()).get("/live/tide/chat/history");
    assert_eq!(history.field("Access-Control-Allow-Origin"), Some("*"));
    let history: serde_json::Value = serde_json::from_str(&history.text()).unwrap();
    let shown: Vec<_> = history["messages"].as_array().unwrap().iter().map(|it| it["n"].as_u64()).collect();
    assert_eq!((shown, history["slow"].as_u64()), (vec![Some(2)], Some(7)), "1 was taken back");
    assert_eq!(Viewer::at(edge.address()).get("/live/other/chat").status, 404);
    let mut by_tls = Viewer::by_tls(edge.running.addresses()[1], &cluster.trust());
    assert_eq!(by_tls.get("/live/tide/chat/history").status, 200);
    assert_eq!((metric(&edge, "chat_readers"), metric(&edge, "lobby_linked")), (1, 1));
    drop(reader);
    until("it to be gone", || (metric(&edge, "chat_readers") == 0).then_some(()));
    edge.ends();
}

/// A small congruential generator: the story is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn a_reader_moved_a_hundred_times_has_each_of_5000_once_and_in_order(driver: Driver) {
    const POSTED: u64 = 5_000;
    const MOVES: u64 = 100;
    let cluster = Cluster::new();
    let mut lobby = Lobby::new(&cluster, any());
    let edges: Vec<Edge> = (0..3).map(|_| edge(&cluster, reads_from(driver, &lobby), 1)).collect();
    let addresses: Vec<SocketAddr> = edges.iter().map(Edge::address).collect();
    let posting = std::thread::spawn(move || {
        for nth in 0..POSTED {
            lobby.says("m");
            // 5 at a time, 600 in a second: a batch of 200 ms has 120.
            if nth % 5 == 4 {
                std::thread::sleep(Duration::from_micros(8_300));
            }
        }
        lobby
    });
    let (mut chance, mut last, mut moved) = (Chance(5), None, 0);
    let mut seen: Vec<u64> = Vec::new();
    let mut lost: BTreeMap<u64, u64> = BTreeMap::new();
    let is_whole = |seen: &[u64], lost: &BTreeMap<u64, u64>| {
        let count = seen.len() as u64 + lost.iter().map(|(from, to)| to + 1 - from).sum::<u64>();
        count >= POSTED
    };
    let began = Instant::now();
    while moved < MOVES || !is_whole(&seen, &lost) {
        assert!(began.elapsed() < Duration::from_secs(60), "{} seen, {moved} moves", seen.len());
        let at = chance.below(3) as usize;
        let mut reader = Reader::at(addresses[at], last);
        moved += 1;
        let leaves_at = Instant::now() + Duration::from_millis(20 + chance.below(120));
        // After the last move it stays.
        while moved >= MOVES || Instant::now() < leaves_at {
            for heard in reader.within(Duration::from_millis(20)).expect("an edge that stays") {
                match heard.event.as_str() {
                    "message" => seen.push(heard.data["n"].as_u64().unwrap()),
                    // What a page asks the lobby for: it happens where this thread slept for a third of a second.
                    "lost" => {
                        let number = |name: &str| heard.data[name].as_u64().unwrap();
                        assert!(lost.insert(number("from"), number("to")).is_none());
                    }
                    _ => {}
                }
            }
            if moved >= MOVES && is_whole(&seen, &lost) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{} seen, {moved} moves", seen.len());
        }
        last = reader.last;
    }
    let lobby = posting.join().unwrap();
    assert_eq!(lobby.said, POSTED);
    let holes: u64 = lost.iter().map(|(from, to)| to + 1 - from).sum();
    println!("{moved} moves, {} seen, {holes} asked of the lobby", seen.len());
    let mut all: Vec<u64> = lost.into_iter().flat_map(|(from, to)| from..=to).collect();
    all.extend(&seen);
    all.sort_unstable();
    assert_eq!(all, (1..=POSTED).collect::<Vec<_>>(), "each once");
    assert!(seen.is_sorted(), "in order");
    edges.into_iter().for_each(Edge::ends);
}

fn who_reads_nothing_is_dropped_and_nobody_else_waits(driver: Driver) {
    let cluster = Cluster::new();
    let mut lobby = Lobby::new(&cluster, any());
    let edge = edge(&cluster, reads_from(driver, &lobby), 1);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&edge.address().into()).unwrap();
    let lazy = Reader::on(socket.into(), "/live/tide/chat", None);
    let mut keen = Reader::at(edge.address(), None);
    let text = "x".repeat(1_900);
    // Each hundred is a batch at once, cut in two by its bytes; one more than may wait on a connection cuts it.
    let mut batches = 0;
    while metric(&edge, "core_cut_outbound") == 0 {
        batches += 1;
        assert!(batches <= 120, "128 kB each");
        (0..100).for_each(|_| lobby.says(&text));
        let last = lobby.said;
        assert_eq!(keen.numbers_to(last), (last - 99..=last).collect::<Vec<_>>());
    }
    assert_eq!(metric(&edge, "chat_readers"), 1);
    drop(lazy);
    lobby.says("and on");
    assert_eq!(keen.numbers_to(lobby.said), [lobby.said]);
    edge.ends();
}

fn a_lobby_that_is_away_is_missed_by_nobody_who_reads(driver: Driver) {
    let cluster = Cluster::new();
    let mut lobby = Lobby::new(&cluster, any());
    let edge = edge(&cluster, reads_from(driver, &lobby), 1);
    (0..3).for_each(|_| lobby.says("m"));
    let mut reader = Reader::at(edge.address(), None);
    assert_eq!(reader.numbers_to(3), [1, 2, 3]);
    let (at, said_before) = (lobby.address(), lobby.said);
    lobby.server.stop();
    until("the loss to be noticed", || (metric(&edge, "lobby_linked") == 0).then_some(()));
    let history = Viewer::at(edge.address()).get("/live/tide/chat/history").text();
    assert!(history.contains("m 3"), "{history}");
    assert_eq!(Reader::at(edge.address(), EventId::parse("6a21.1")).numbers_to(3), [2, 3]);
    // Another process, that reads its store: what was said, and two more.
    let feed = node::fan::lobby::server::ChatFeed::default();
    let newest = (1..=5).map(|n| said(n, format!("m {n}"))).collect();
    feed.open(&tide(), LOG, 0, Sequence(6), newest);
    let mut lobby = Lobby::with(&cluster, at, feed, said_before + 2);
    assert_eq!(reader.numbers_to(5), [4, 5]);
    lobby.says("m");
    assert_eq!(reader.numbers_to(6), [6]);
    edge.ends();
}

fn of_two_lobbies_the_other_is_dialled_when_one_is_gone(driver: Driver) {
    let cluster = Cluster::new();
    let (mut one, mut other) = (Lobby::new(&cluster, any()), Lobby::new(&cluster, any()));
    let both = format!("{}, {}", one.address(), other.address());
    let lobby = Some(Parsed(both.parse().unwrap()));
    let edge = edge(&cluster, edge::Settings { lobby, ..settings(driver, &[]) }, 1);
    // Both read one store: what is said at either, both have.
    (0..2).for_each(|_| [&mut one, &mut other].into_iter().for_each(|lobby| lobby.says("m")));
    let mut reader = Reader::at(edge.address(), None);
    assert_eq!(reader.numbers_to(2), [1, 2]);
    one.server.stop();
    other.says("m");
    assert_eq!(reader.numbers_to(3), [3], "nothing twice, and nothing left out");
    assert!(edge.operator("/status").1.contains("\"linked\":true"));
    edge.ends();
}

fn who_reads_is_let_go_when_an_edge_ends(driver: Driver) {
    let cluster = Cluster::new();
    let mut lobby = Lobby::new(&cluster, any());
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let [one, two] = [(); 2].map(|()| {
        let lobby = Some(Parsed(lobby.address().into()));
        cluster.edge(edge::Settings { lobby, ..settings(driver, &[&ingest]) })
    });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(one.address(), "360p", 2);
    [&one, &two].into_iter().for_each(|edge| knows(edge, 1));
    lobby.says("m");
    let mut reader = Reader::at(one.address(), None);
    assert_eq!(reader.numbers_to(1), [1]);
    one.ends();
    assert_eq!(reader.next(), None);
    lobby.says("m");
    assert_eq!(Reader::at(two.address(), reader.last).numbers_to(2), [2]);
    two.ends();
}

fn a_reader_that_is_there_is_not_idle_and_one_that_is_gone_is_found(driver: Driver) {
    let cluster = Cluster::new();
    let mut lobby = Lobby::new(&cluster, any());
    let mut impatient = reads_from(driver, &lobby);
    impatient.limits.idle = node::settings::Millis::new(300);
    impatient.limits.readers_per_core = Number::new(1);
    let edge = edge(&cluster, impatient, 1);
    let mut reader = Reader::at(edge.address(), None);
    let full = Reader::at(edge.address(), None);
    assert!(full.head.starts_with("HTTP/1.1 503 ") && full.head.contains("Retry-After: 5"), "{}", full.head);
    std::thread::sleep(Duration::from_millis(1_000));
    lobby.says("m");
    assert_eq!(reader.numbers_to(1), [1], "three times as long as an idle connection lasts");
    drop(reader);
    until("it to be gone", || (metric(&edge, "chat_readers") == 0).then_some(()));
    edge.ends();
}
