//! Connections passed through a real balancer.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

mod stage;

use percore::rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use stage::{Balancer, FakeEdge, ask};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Takes everything, and when there is no more answers with how much that was, after what it began with.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap();
                stream.write_all(&heard[..heard.len().min(28)]).unwrap();
                stream.write_all(format!("{} bytes", heard.len()).as_bytes()).unwrap();
            });
        }
    });
    at
}

/// Where nobody listens, and nobody who asks for any port comes to listen meanwhile.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

fn metric(balancer: &Balancer, name: &str) -> u64 {
    let metrics = ask(TcpStream::connect(balancer.operator).unwrap(), "GET", "/metrics").body;
    let line = metrics.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_publisher_gets_the_first_end_that_answers_which_is_told_who_it_is() {
    let settings = format!(
        "[[l4]]\nlisten = '127.0.0.1:0'\ntargets = ['{}', '{}']\nproxy_protocol = true\n",
        nobody(),
        server()
    );
    let balancer = Balancer::start(&settings);
    for _ in 0..3 {
        let mut client = TcpStream::connect(balancer.addresses.l4[0]).unwrap();
        let (own, at) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        client.write_all(&vec![5; 3_000_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(&answer[28..], b"3000028 bytes");
        assert_eq!(&answer[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        assert_eq!(answer[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!(answer[24..26], own.port().to_be_bytes());
        assert_eq!(answer[26..28], at.port().to_be_bytes());
    }
    until("the count", || metric(&balancer, "mascaret_lb_l4_bytes_in_total") == 3 * 3_000_028);
    assert_eq!(metric(&balancer, "mascaret_lb_l4_accepted_total"), 3);
    assert_eq!(metric(&balancer, "mascaret_lb_l4_bytes_copied_total"), 0, "nothing of it went through here");
    // It rests, and is not tried for each.
    assert_eq!(metric(&balancer, "mascaret_lb_l4_connect_failed_total"), 1);
}

#[test]
fn one_connection_too_many_is_closed_and_one_that_says_nothing_for_long_too() {
    let settings = format!(
        "[[l4]]\nlisten = '127.0.0.1:0'\ntargets = ['{0}']\nconnections = 1\n\
         [[l4]]\nlisten = '127.0.0.1:0'\ntargets = ['{0}']\nidle = '1 s'\n\
         [[l4]]\nlisten = '127.0.0.1:0'\ntargets = ['{1}']\n",
        server(),
        nobody()
    );
    let balancer = Balancer::start(&settings);
    let connect = |listener: usize| TcpStream::connect(balancer.addresses.l4[listener]).unwrap();
    let ends = |mut stream: TcpStream| stream.read(&mut [0; 10]).is_ok_and(|len| len == 0);
    let _first = connect(0);
    until("the first", || metric(&balancer, "mascaret_lb_l4_open") == 1);
    assert!(ends(connect(0)));
    assert_eq!(metric(&balancer, "mascaret_lb_l4_refused_full_total"), 1);
    assert!(ends(connect(1)), "it said nothing for long");
    until("the count", || metric(&balancer, "mascaret_lb_l4_cut_idle_total") == 1);
    assert!(ends(connect(2)), "there is no end for it");
    assert_eq!(metric(&balancer, "mascaret_lb_l4_refused_no_end_total"), 1);
}

#[test]
fn a_viewer_is_passed_to_an_edge() {
    let balancer = Balancer::start("[[l4]]\nlisten = '127.0.0.1:0'\n");
    let get = || {
        let mut client = TcpStream::connect(balancer.addresses.l4[0]).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        // Closed with a question unread is a reset.
        let _ = client.read_to_string(&mut answer);
        answer
    };
    assert_eq!(get(), "", "there is no edge");
    let _edge = FakeEdge::join(&balancer, "edge1");
    assert_eq!(get(), "HTTP/1.1 204 No Content\r\n\r\n");
}

/// A listener that counts who comes, and whether the hello came whole.
fn tls_edge() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 5];
            // A balancer's probe connects and says nothing.
            if stream.read_exact(&mut head).is_ok() && head[0] == 22 {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                stream.read_exact(&mut hello).unwrap();
                stream.write_all(b"!").unwrap();
            }
        }
    });
    (port, came)
}

fn say_hello(at: SocketAddr, name: &str) -> bool {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut client = TcpStream::connect(at).unwrap();
    client.set_nodelay(true).unwrap();
    // Cut where it hurts.
    for piece in [&hello[..3], &hello[3..60], &hello[60..]] {
        client.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut answer = [0];
    client.read_exact(&mut answer).is_ok() && answer == *b"!"
}

#[test]
fn by_tls_who_asks_for_an_edge_by_name_gets_it_and_others_any() {
    let balancer = Balancer::start("[[l4]]\nlisten = '127.0.0.1:0'\ntls = true\n");
    let ((port1, came1), (port2, came2)) = (tls_edge(), tls_edge());
    let control = [balancer.addresses.control];
    let _edges = [
        FakeEdge::join_by_tls(&[&balancer], "edge1", &control, &format!("https://localhost:{port1}")),
        FakeEdge::join_by_tls(&[&balancer], "edge2", &control, &format!("https://127.0.0.1:{port2}")),
    ];
    let at = balancer.addresses.l4[0];
    assert!((0..10).all(|_| say_hello(at, "LocalHost")));
    assert_eq!((came1.load(Ordering::Relaxed), came2.load(Ordering::Relaxed)), (10, 0));
    assert!((0..30).all(|_| say_hello(at, "live.example.org")));
    assert!(came2.load(Ordering::Relaxed) > 0);
    let mut stranger = TcpStream::connect(at).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(!stranger.read(&mut [0; 10]).is_ok_and(|len| len > 0));
    until("the count", || metric(&balancer, "mascaret_lb_l4_bad_hello_total") == 1);
}
