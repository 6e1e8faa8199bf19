//! An edge under abuse, on both drivers: while it goes on the regulars are served, what was to be cut is cut and
//! counted, and afterwards nothing of it is left.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use node::settings::{Address, Megabytes, Millis, Number, Seconds};
use percore::Driver;
use socket2::{Domain, SockAddr, SockFilter, SockRef, Socket, Type};
use stage::process::{Process, be_one_if_told, ready};
use stage::siege::{REGULARS, Siege};
use stage::{FIRST, Viewer, any, on_both_drivers, segment_path, until};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

on_both_drivers! {
    hundreds_who_dribble_their_heads_are_told_that_it_took_too_long,
    readers_of_a_kilobyte_a_second_are_cut,
    twenty_thousand_who_only_sit_there_leave_room,
    a_storm_of_ten_thousand_that_open_and_close_passes,
    peers_that_vanish_without_a_word_are_found,
    peers_that_reset_in_mid_answer_leave_nothing_behind,
    garbage_and_giant_heads_are_answered_and_closed,
    a_flood_of_pipelined_requests_is_read_only_as_fast_as_it_is_answered,
    bodies_that_nobody_asked_for_are_refused,
    half_handshakes_and_nonsense_for_tls_are_cut,
    stuck_readers_by_tls_meet_the_ceiling_of_memory,
}

const MB: u64 = 1_000_000;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// A connection with a small window: what it does not read stays with the edge.
fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&SockAddr::from(address)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n")
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What comes until the end, an orderly one or not.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("not closed: {error}"),
        _ => heard,
    }
}

fn hundreds_who_dribble_their_heads_are_told_that_it_took_too_long(driver: Driver) {
    let siege = Siege::of(driver, |settings| settings.limits.header = Millis::new(1_500));
    let mut peers: Vec<_> = (0..400).map(|_| connect(siege.edge.address())).collect();
    let head = get("/live/tide/index.m3u8");
    let began = Instant::now();
    for byte in head.as_bytes() {
        for peer in &mut peers {
            let _ = peer.write(&[*byte]);
        }
        std::thread::sleep(Duration::from_millis(50));
        if began.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    siege.edge.until("cut_header", |cut| cut >= 400);
    for peer in peers {
        let heard = rest(peer);
        // A byte that came after the answer may have turned it into a reset.
        assert!(
            heard.is_empty() || heard.starts_with(b"HTTP/1.1 408 "),
            "{}",
            String::from_utf8_lossy(&heard)
        );
    }
    siege.lifts(4 * MB);
}

fn readers_of_a_kilobyte_a_second_are_cut(driver: Driver) {
    let siege = Siege::of(driver, |settings| settings.limits.drain_window = Millis::new(1_500));
    let mut peers: Vec<_> = (0..100).map(|_| connect_narrow(siege.edge.address())).collect();
    for peer in &mut peers {
        peer.write_all(get(&segment_path("720p", 2)).as_bytes()).unwrap();
    }
    let began = Instant::now();
    while siege.edge.count("cut_slow") < 100 {
        assert!(began.elapsed() < Duration::from_secs(15), "{} are cut", siege.edge.count("cut_slow"));
        for peer in &mut peers {
            let _ = peer.read(&mut [0; 256]);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    drop(peers);
    siege.lifts(4 * MB);
}

fn twenty_thousand_who_only_sit_there_leave_room(driver: Driver) {
    const SITTING: u64 = 20_000;
    let siege = Siege::of(driver, |settings| {
        settings.limits.connections_per_address = Number::new(100_000);
    });
    let resident = siege.edge.resident_bytes();
    // As many as there are descriptors for, and of the rest everyone is told at once.
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let room = (hard - 256).min(32_768);
    let words = format!("{} {}", siege.edge.address(), SITTING / 2);
    let sitting = [(); 2].map(|()| Process::of("sitting", &words, &siege.cluster));
    siege.edge.until("accepted", |accepted| accepted >= (SITTING + REGULARS).min(room));
    let open = siege.edge.until("open", |open| open == (SITTING + REGULARS).min(room));
    let refused = siege.edge.until("refused_full", |refused| open + refused == SITTING + REGULARS);
    let each = siege.edge.resident_bytes().saturating_sub(resident) / open;
    println!(
        "{open} open, {refused} refused (hard limit of open files: {hard}); {each} bytes resident for each"
    );
    assert!(open >= 19_000, "the hard limit of open files, {hard}, must be 20,000 at least: raise it");
    assert!(each <= 1_500, "{each} bytes resident for each");
    // They are there for a while.
    std::thread::sleep(Duration::from_secs(2));
    sitting.into_iter().for_each(Process::ends);
    siege.lifts(40 * MB);
}

/// Connects so often, and sits there.
fn sit(words: &str) {
    node::descriptors::raise();
    let (address, count) = words.split_once(' ').unwrap();
    let (address, count): (SocketAddr, usize) = (address.parse().unwrap(), count.parse().unwrap());
    let connect = |_| match TcpStream::connect(address) {
        // Told before it knew that it was connected.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
        connected => Some(connected.unwrap()),
    };
    let sitting: Vec<_> = (0..count).filter_map(connect).collect();
    ready(&sitting.len().to_string());
}

#[test]
fn one_of_the_processes() {
    be_one_if_told(|be, words| match be {
        "sitting" => sit(words),
        _ => panic!("nothing is called {be}"),
    });
}

fn a_storm_of_ten_thousand_that_open_and_close_passes(driver: Driver) {
    let siege = Siege::of(driver, |_| ());
    let address = siege.edge.address();
    let storms: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                for nth in 0..2_500 {
                    let mut stream = TcpStream::connect(address).unwrap();
                    if nth % 4 > 1 {
                        let _ = stream.write_all(get("/live/tide/index.m3u8").as_bytes());
                    }
                    if nth % 2 == 0 {
                        reset(stream);
                    }
                }
            })
        })
        .collect();
    storms.into_iter().for_each(|storm| storm.join().unwrap());
    until("all to have come", || {
        (siege.edge.count("accepted") + siege.edge.count("failed") >= 10_000 + REGULARS).then_some(())
    });
    siege.lifts(8 * MB);
}

/// From now on nothing reaches `peer`, acknowledgements included: from where the edge sits, a line that was cut.
fn vanish(peer: &TcpStream) {
    const RETURN: u16 = 0x06;
    SockRef::from(peer).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]).unwrap();
}

fn peers_that_vanish_without_a_word_are_found(driver: Driver) {
    let siege = Siege::of(driver, |settings| {
        settings.limits.keepalive = Seconds::new(1);
        settings.limits.idle = Millis::new(6_000);
        settings.limits.drain_window = Millis::new(1_500);
    });
    let (address, each) = (siege.edge.address(), 40);
    let mut gone = Vec::new();
    // In the middle of an answer, after one, and before any.
    for _ in 0..each {
        let mut peer = connect_narrow(address);
        peer.write_all(get(&segment_path("720p", 2)).as_bytes()).unwrap();
        peer.read_exact(&mut [0; 100]).unwrap();
        gone.push(peer);
        let mut viewer = Viewer::at(address);
        assert_eq!(viewer.get("/live/tide/index.m3u8").status, 200);
        gone.push(viewer.stream);
        gone.push(connect(address));
    }
    gone.iter().for_each(vanish);
    // By the drain rate; by keepalive.
    siege.edge.until("cut_slow", |cut| cut >= each);
    siege.edge.until("failed", |failed| failed >= 2 * each);
    // They are still here, and have not said a word.
    assert_eq!(gone.len() as u64, 3 * each);
    siege.lifts(4 * MB);
}

fn peers_that_reset_in_mid_answer_leave_nothing_behind(driver: Driver) {
    let siege = Siege::of(driver, |_| ());
    for _ in 0..1_000 {
        let mut peer = connect_narrow(siege.edge.address());
        peer.write_all(get(&segment_path("720p", 2)).as_bytes()).unwrap();
        peer.read_exact(&mut [0; 5_000]).unwrap();
        reset(peer);
    }
    siege.edge.until("failed", |failed| failed >= 800);
    siege.lifts(4 * MB);
}

fn garbage_and_giant_heads_are_answered_and_closed(driver: Driver) {
    let siege = Siege::of(driver, |settings| settings.limits.header = Millis::new(2_000));
    let field = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: e\r\nX: {}\r\n\r\n", "x".repeat(bytes));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: e\r\n{}\r\n", "X: y\r\n".repeat(count));
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: e\r\n\r\n", "x".repeat(bytes));
    let noise: Vec<u8> =
        (0..200_000u64).map(|it| (it.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(30);
    let shapes: Vec<(&str, Vec<u8>)> = vec![
        ("a hello of TLS", hello),
        ("noise", noise),
        ("zeros", vec![0; 100_000]),
        ("bare line ends", b"\r\n".repeat(10_000)),
        ("a field of 64 KB", field(64 << 10).into()),
        ("a field of 4 MB", field(4 << 20).into()),
        ("10,000 fields", fields(10_000).into()),
        ("a target of 100 KB", target(100_000).into()),
        ("no HTTP", b"EHLO example.org\r\n\r\n".to_vec()),
        ("a colon too few", b"GET / HTTP/1.1\r\nHost e\r\n\r\n".to_vec()),
    ];
    for _ in 0..30 {
        for (what, bytes) in &shapes {
            let mut peer = connect(siege.edge.address());
            // The edge may close before it has heard all of it.
            let _ = peer.write_all(bytes);
            let heard = rest(peer);
            let is_refused = heard.is_empty() || heard.starts_with(b"HTTP/1.1 4");
            assert!(is_refused, "{what}: {}", String::from_utf8_lossy(&heard));
        }
    }
    let metrics = Viewer::at(siege.edge.operator).get("/metrics").text();
    for status in ["400", "414", "431"] {
        let counted = metrics.lines().any(|line| {
            line.starts_with("mascaret_edge_requests_total{")
                && line.contains(&format!("status=\"{status}\""))
        });
        assert!(counted, "no {status} is counted:\n{metrics}");
    }
    siege.lifts(8 * MB);
}

fn a_flood_of_pipelined_requests_is_read_only_as_fast_as_it_is_answered(driver: Driver) {
    let siege = Siege::of(driver, |settings| settings.limits.drain_window = Millis::new(1_500));
    let address = siege.edge.address();
    let received = siege.edge.count("bytes_received");
    let flood = get(&segment_path("360p", 2)).repeat(20_000);
    let floods: Vec<_> = (0..20)
        .map(|_| {
            let flood = flood.clone();
            std::thread::spawn(move || {
                let mut peer = connect_narrow(address);
                peer.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
                // It asks and asks and reads nothing. What of it waits in which kernel is not ours to say.
                let _ = peer.write_all(flood.as_bytes());
                peer
            })
        })
        .collect();
    // Who reads gets every answer, in order.
    let mut polite = Viewer::at(address);
    let mut asking = polite.stream.try_clone().unwrap();
    let asks: String =
        (0..1_000).map(|nth| get(&format!("/live/tide/360p/{}.ts", FIRST + nth % 3))).collect();
    let asker = std::thread::spawn(move || asking.write_all(asks.as_bytes()).unwrap());
    for nth in 0..1_000 {
        let answer = polite.hears(false);
        assert!(
            answer.status == 404 || answer.body == stage::body("360p", nth % 3),
            "the answer to ask {nth}"
        );
    }
    asker.join().unwrap();
    drop(polite);
    let floods: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
    siege.edge.until("cut_slow", |cut| cut >= 20);
    drop(floods);
    let read = siege.edge.count("bytes_received") - received;
    assert!(read < 20 * (600 << 10), "{read} bytes were read of 20 who take nothing");
    siege.lifts(8 * MB);
}

fn bodies_that_nobody_asked_for_are_refused(driver: Driver) {
    let siege = Siege::of(driver, |_| ());
    for fields in
        ["Content-Length: 1000000000\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"]
    {
        for _ in 0..100 {
            let mut peer = connect(siege.edge.address());
            let _ = peer.write_all(format!("GET / HTTP/1.1\r\nHost: e\r\n{fields}\r\n").as_bytes());
            for _ in 0..20 {
                let _ = peer.write_all(&[b'x'; 50_000]);
            }
            let heard = rest(peer);
            assert!(
                heard.is_empty() || heard.starts_with(b"HTTP/1.1 4"),
                "{}",
                String::from_utf8_lossy(&heard)
            );
        }
    }
    siege.lifts(4 * MB);
}

fn half_handshakes_and_nonsense_for_tls_are_cut(driver: Driver) {
    let siege = Siege::of(driver, |settings| {
        settings.https = Some(Address(any()));
        settings.limits.handshake = Millis::new(1_500);
    });
    let https = siege.edge.addresses[1];
    let mut silent: Vec<_> = (0..150).map(|_| connect(https)).collect();
    for (nth, peer) in silent.iter_mut().enumerate() {
        // A record of 16 KB is said to come, and does not.
        peer.write_all(&[0x16, 3, 1, 0x40, 0][..nth % 6]).unwrap();
    }
    for _ in 0..150 {
        let mut peer = connect(https);
        let _ = peer.write_all(b"GET / HTTP/1.1\r\n\r\n");
        // An alert, or nothing.
        assert!(rest(peer).len() < 50);
    }
    siege.edge.until("tls_failed", |failed| failed >= 150);
    let mut viewer = Viewer::by_tls(https, &siege.cluster.trust());
    assert_eq!(viewer.get("/live/tide/index.m3u8").status, 200, "the others get through");
    drop(viewer);
    siege.edge.until("cut_handshake", |cut| cut >= 150);
    drop(silent);
    siege.lifts(8 * MB);
}

fn stuck_readers_by_tls_meet_the_ceiling_of_memory(driver: Driver) {
    let siege = Siege::of(driver, |settings| {
        settings.https = Some(Address(any()));
        settings.limits.memory_per_core = Megabytes::new(4);
    });
    let (https, trust) = (siege.edge.addresses[1], siege.cluster.trust());
    let mut stuck = Vec::new();
    for _ in 0..100 {
        let mut viewer = Viewer::by_tls(https, &trust);
        viewer.says(get(&segment_path("720p", 2)).as_bytes());
        stuck.push(viewer);
        let held = siege.edge.count("held_bytes");
        assert!(held <= 4 * MB, "{held} bytes are held");
    }
    siege.edge.until("cut_memory", |cut| cut > 0);
    assert_eq!(siege.edge.count("cut_slow"), 0, "it was not the drain rate");
    drop(stuck);
    siege.lifts(16 * MB);
}
