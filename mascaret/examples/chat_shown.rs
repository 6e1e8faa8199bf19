//! How long after somebody posts a message it is shown: a lobby and edges as real processes, posts by the API, a thousand
//! readers over all edges. Never a test: what is measured is told.
//!
//! ```sh
//! cargo build --release -p mascaret
//! cargo run --release -p mascaret --example chat_shown -- --edges 4 --readers 1000
//! ```

#[path = "../tests/stage/parlour.rs"]
mod parlour;

use clap::Parser;
use parlour::Parlour;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Who posts, in turn.
const PEOPLE: usize = 4;

#[derive(Parser)]
struct Args {
    /// Edges.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    edges: u8,
    /// Readers, over all edges.
    #[arg(long, default_value_t = 1000)]
    readers: usize,
    /// Messages, 10 to 90 ms apart.
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// PostgreSQL's address as in lobby.store.postgresql's file; SQLite otherwise.
    #[arg(long)]
    postgresql: Option<String>,
    /// The program. Default: the one beside this.
    #[arg(long)]
    mascaret: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    let beside = || std::env::current_exe().expect("we are somewhere").with_file_name("../mascaret");
    let program = args.mascaret.unwrap_or_else(beside);
    let parlour = Parlour::open(&program, args.edges, PEOPLE, args.postgresql.as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut shown, mut answered) = runtime.block_on(measure(&parlour, args.readers, args.messages));
    println!(
        "{} edges, {} readers, {} messages on {}",
        args.edges,
        args.readers,
        args.messages,
        args.postgresql.map_or("SQLite", |_| "PostgreSQL")
    );
    tell("posted to answered", &mut answered);
    tell("posted to shown", &mut shown);
}

fn tell(what: &str, took: &mut [Duration]) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what:<20} p50 {:.1} ms   p99 {:.1} ms   max {:.1} ms", at(0.5), at(0.99), at(1.0));
}

/// Every message at every reader, and how long the lobby took to answer each post.
async fn measure(parlour: &Parlour, readers: usize, messages: usize) -> (Vec<Duration>, Vec<Duration>) {
    let (tell, mut heard) = mpsc::channel::<(usize, Instant)>(64 << 10);
    let there = Arc::new(AtomicUsize::new(0));
    for nth in 0..readers {
        let at = parlour.edges[nth % parlour.edges.len()].at;
        let socket = TcpStream::connect(at).await.expect("an edge takes a reader");
        tokio::spawn(read(socket, tell.clone(), there.clone()));
    }
    while there.load(Ordering::Relaxed) < readers {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let people = parlour.people.clone();
    let posting = std::thread::spawn(move || {
        let (mut posted, mut answered, mut pause) = (Vec::new(), Vec::new(), 7_u64);
        for nth in 0..messages {
            // At any moment of the 200 ms that are gathered.
            pause = pause.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis(10 + (pause >> 33) % 80));
            posted.push(Instant::now());
            people[nth % PEOPLE].says(&format!("message:{nth}:"));
            answered.push(posted[nth].elapsed());
        }
        (posted, answered)
    });
    let mut at = Vec::with_capacity(readers * messages);
    while at.len() < readers * messages {
        let next = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
        at.push(next.expect("all are shown in time").expect("readers stay"));
    }
    let (posted, answered) = posting.join().expect("all were posted");
    let shown = at.into_iter().map(|(nth, at)| at.saturating_duration_since(posted[nth]));
    (shown.collect(), answered)
}

async fn read(mut socket: TcpStream, tell: mpsc::Sender<(usize, Instant)>, there: Arc<AtomicUsize>) {
    let ask = b"GET /live/tide/chat HTTP/1.1\r\nHost: edge\r\nAccept: text/event-stream\r\n\r\n";
    socket.write_all(ask).await.expect("it takes the question");
    let (mut unread, mut piece, mut is_there) = (Vec::new(), vec![0; 16 << 10], false);
    loop {
        let n = socket.read(&mut piece).await.expect("an edge that stays");
        let now = Instant::now();
        assert!(n > 0, "an edge let a reader go");
        unread.extend_from_slice(&piece[..n]);
        let Some(end) = unread.windows(2).rposition(|two| two == b"\n\n") else { continue };
        let whole: Vec<u8> = unread.drain(..end + 2).collect();
        let whole = String::from_utf8_lossy(&whole);
        if !is_there && whole.contains("event: room") {
            is_there = true;
            there.fetch_add(1, Ordering::Relaxed);
        }
        for nth in whole.split("\"text\":\"message:").skip(1) {
            let nth = nth.split(':').next().and_then(|nth| nth.parse().ok()).expect("a number");
            if tell.send((nth, now)).await.is_err() {
                return;
            }
        }
    }
}
