//! How long after it was said something is shown: four edges, a thousand readers. Never a test: what is measured is told.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use node::settings::Parsed;
use percore::Driver;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use stage::parlour::{Lobby, said, tide};
use stage::{Cluster, Viewer, any, settings, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const EDGES: usize = 4;
const READERS: usize = 1_000;
const SAID: usize = 200;
/// So many digits that every number has as many.
const FIRST: u64 = 1_000_000;

#[test]
#[ignore = "a measurement: cargo test -p edge --test chat_measure -- --ignored --nocapture"]
fn said_to_shown_at_a_thousand_readers_of_four_edges() {
    let cluster = Cluster::new();
    let lobby = Lobby::new(&cluster, any());
    // Another log, whose numbers all have as many digits: so bytes count messages.
    lobby.feed.open(&tide(), chat::LogId(9), 0, chat::Sequence(FIRST), Vec::new());
    let edges: Vec<_> = (0..EDGES)
        .map(|_| {
            let lobby = Some(Parsed(lobby.address().into()));
            cluster.edge(edge::Settings { lobby, ..settings(Driver::Auto, &[]) })
        })
        .collect();
    for edge in &edges {
        until("the room", || {
            let answer = Viewer::at(edge.address()).get("/live/tide/chat/history");
            (answer.status == 200).then_some(())
        });
    }
    let ring = epoll::create(CreateFlags::CLOEXEC).unwrap();
    let mut readers: Vec<(TcpStream, usize)> = Vec::with_capacity(READERS);
    for nth in 0..READERS {
        let mut socket = TcpStream::connect(edges[nth % EDGES].address()).unwrap();
        socket.write_all(b"GET /live/tide/chat HTTP/1.1\r\nHost: e\r\n\r\n").unwrap();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        while !bytes.ends_with(b"}\n\n") {
            let n = socket.read(&mut piece).unwrap();
            assert!(n > 0);
            bytes.extend_from_slice(&piece[..n]);
        }
        socket.set_nonblocking(true).unwrap();
        epoll::add(&ring, &socket, EventData::new_u64(nth as u64), EventFlags::IN).unwrap();
        readers.push((socket, 0));
    }
    let text = "x".repeat(120);
    let len = format!(
        "id: 9.{FIRST}\nevent: message\ndata: {{\"n\":{FIRST},\"at\":{FIRST},\"by\":\"7\",\"name\":\"Ana\",\
         \"badge\":\"viewer\",\"text\":\"{text}\"}}\n\n"
    )
    .len();
    let posted: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    let mut took: Vec<Duration> = Vec::with_capacity(SAID * READERS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pause = 7_u64;
            for nth in 0..SAID as u64 {
                pause = pause.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                std::thread::sleep(Duration::from_millis(5 + (pause >> 33) % 60));
                let mut posted = posted.lock().unwrap();
                posted.push(Instant::now());
                lobby.feed.push(&tide(), said(FIRST + nth, text.clone())).unwrap();
            }
        });
        let began = Instant::now();
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 256];
        let mut piece = vec![0; 64 << 10];
        while took.len() < SAID * READERS {
            assert!(began.elapsed() < Duration::from_secs(60), "{} of {} shown", took.len(), SAID * READERS);
            let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let count = epoll::wait(&ring, &mut events[..], Some(&wait)).unwrap_or(0);
            for event in &events[..count] {
                let data = event.data;
                let (socket, bytes) = &mut readers[data.u64() as usize];
                let Ok(n) = socket.read(&mut piece) else { continue };
                assert!(n > 0, "closed");
                let (now, before) = (Instant::now(), *bytes / len);
                *bytes += n;
                let posted = posted.lock().unwrap();
                took.extend((before..*bytes / len).map(|nth| now.saturating_duration_since(posted[nth])));
            }
        }
    });
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{READERS} readers at {EDGES} edges, {SAID} messages: half {:?}, 99 of 100 {:?}, all {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    edges.into_iter().for_each(stage::Edge::ends);
}
