//! Troubles between the browser and an edge: every edge has somebody in front of it who passes on what is asked and
//! answered, or does not.
//!
//! The browser is told to connect there instead (`--host-resolver-rules`), and knows nothing of it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

/// The longest head of a request.
const HEAD_BYTES: usize = 16 << 10;
/// How often somebody who says nothing looks whether that has changed.
const LOOKS_EVERY: Duration = Duration::from_millis(50);
/// Nobody is held for longer than any story.
const LOOKS: u32 = 1200;

/// What happens to what is asked of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// Connections are taken, and closed without a word.
    Closed,
    /// Connections are taken, and nothing is ever said.
    Silent,
    /// Half of a segment comes, and then nothing.
    BodyStops,
    /// This status, for everything.
    Status(u16),
    /// Playlists are 404, segments are answered: an edge that is not fed any more.
    PlaylistsGone,
    /// Playlists stay what they were, segments are answered.
    Stale,
}

/// Those in front of the edges.
pub(crate) struct Edges {
    front: Vec<(String, String, SocketAddr, Arc<Front>)>,
}

struct Front {
    edge: String,
    trouble: Mutex<Trouble>,
    /// Playlists as they were passed on last, by path.
    playlists: Mutex<HashMap<String, Vec<u8>>>,
}

impl Edges {
    /// Somebody in front of each of these: name and `host:port`. Their threads end with the test.
    pub(crate) fn before(edges: &[(String, String)]) -> Self {
        let front = edges.iter().map(|(name, at)| {
            let front =
                Arc::new(Front { edge: at.clone(), trouble: Mutex::default(), playlists: Mutex::default() });
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let address = listener.local_addr().expect("an address");
            let serves = front.clone();
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let front = serves.clone();
                    std::thread::spawn(move || front.serve(client));
                }
            });
            (name.clone(), at.clone(), address, front)
        });
        Self { front: front.collect() }
    }

    /// What the browser is told.
    pub(crate) fn rules(&self) -> String {
        let rules = self.front.iter().map(|(_, at, front, _)| format!("MAP {at} {front}"));
        format!("--host-resolver-rules={}", rules.collect::<Vec<_>>().join(","))
    }

    /// Something happens to an edge.
    pub(crate) fn trouble(&self, edge: &str, trouble: Trouble) {
        for (name, _, _, front) in &self.front {
            if name == edge {
                *front.trouble.lock().expect("nobody panics with it") = trouble;
            }
        }
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        self.front.iter().for_each(|(name, ..)| self.trouble(name, Trouble::None));
    }
}

impl Front {
    fn trouble(&self) -> Trouble {
        *self.trouble.lock().expect("nobody panics with it")
    }

    /// One request of one connection; what goes wrong with either side is the browser's business.
    fn serve(&self, mut client: TcpStream) {
        let Some(head) = read_head(&mut client) else { return };
        let path =
            head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        let is_playlist = path.ends_with(".m3u8");
        let trouble = self.trouble();
        let status = match trouble {
            Trouble::Closed => return,
            Trouble::Silent => return self.hold(),
            Trouble::Status(status) => Some(status),
            Trouble::PlaylistsGone => is_playlist.then_some(404),
            _ => None,
        };
        if let Some(status) = status {
            let said = format!(
                "HTTP/1.1 {status} No\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = client.write_all(said.as_bytes());
            return;
        }
        let was = || self.playlists.lock().expect("nobody panics with it").get(&path).cloned();
        if let Some(was) = was().filter(|_| trouble == Trouble::Stale && is_playlist) {
            let _ = client.write_all(&was);
            return;
        }
        let Some(answer) = self.ask(&head) else { return };
        if trouble == Trouble::BodyStops && !is_playlist {
            let body_at = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
            let half = body_at + (answer.len() - body_at) / 2;
            let _ = client.write_all(&answer[..half]);
            return self.hold();
        }
        let _ = client.write_all(&answer);
        if is_playlist {
            self.playlists.lock().expect("nobody panics with it").insert(path, answer);
        }
    }

    /// Says nothing for as long as there is trouble.
    fn hold(&self) {
        for _ in 0..LOOKS {
            if self.trouble() == Trouble::None {
                return;
            }
            sleep(LOOKS_EVERY);
        }
    }

    /// All of what the edge answers.
    fn ask(&self, head: &str) -> Option<Vec<u8>> {
        let mut edge = TcpStream::connect(&self.edge).ok()?;
        let fields =
            head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let asked = fields.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
        edge.write_all(asked.as_bytes()).ok()?;
        let mut answer = Vec::new();
        edge.read_to_end(&mut answer).ok()?;
        Some(answer)
    }
}

fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 2048];
    while !head.ends_with(b"\r\n\r\n") {
        let read = client.read(&mut piece).ok()?;
        if read == 0 || head.len() > HEAD_BYTES {
            return None;
        }
        head.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(head).ok()
}
