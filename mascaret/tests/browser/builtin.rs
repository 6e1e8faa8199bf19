//! The built-in page, served from where it is kept, as a balancer that was built without node serves it: what is not a
//! file of it is asked of a balancer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

const FILES: [(&str, &str, &str); 5] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/page.js", "page.js", "text/javascript"),
    ("/hedge.js", "hedge.js", "text/javascript"),
    ("/player.js", "player.js", "text/javascript"),
    ("/page.css", "page.css", "text/css"),
];

/// As the balancer has it (`lb/src/pages.rs`).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: http: https:; \
    connect-src 'self' http: https:; media-src 'self' blob: http: https:; worker-src 'self' blob:; base-uri 'none'";

/// Serves it until the test ends; where.
pub(crate) fn serve(balancer: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let balancer = Arc::new(balancer);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let balancer = balancer.clone();
            std::thread::spawn(move || answer(client, &balancer));
        }
    });
    address
}

fn answer(mut client: TcpStream, balancer: &str) -> Option<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let read = client.read(&mut piece).ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&piece[..read]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?;
    let path = if path.starts_with("/watch/") { "/" } else { path };
    let said = match FILES.iter().find(|(at, ..)| *at == path) {
        Some((_, file, kind)) => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/builtin");
            let body = std::fs::read(folder.join(file)).ok()?;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Security-Policy: {POLICY}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), &body].concat()
        }
        None => {
            let mut asked = TcpStream::connect(balancer).ok()?;
            write!(asked, "GET {path} HTTP/1.1\r\nHost: {balancer}\r\nConnection: close\r\n\r\n").ok()?;
            let mut said = Vec::new();
            asked.read_to_end(&mut said).ok()?;
            said
        }
    };
    client.write_all(&said).ok()
}
