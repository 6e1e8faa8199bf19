//! HAProxy's agent-check: who connects is told in one line how this edge is, and may be weighed by it.
//!
//! ```text
//! ready up 75%       takes viewers; a quarter of what it may send is sent
//! drain #…           shall be empty
//! maint #…           the operator is at work on it
//! down #unfed: …     alive, and nothing fresh arrives
//! ready up 1%        segments arrive late: those before others, and no reason to refuse where all do
//! ```
//!
//! `ready` and `up` are both said: HAProxy leaves neither DRAIN nor MAINT without the one, nor DOWN without the other
//! (its manual, 5.2, `agent-check`). Nothing that is sent here is read for its meaning.

use crate::board::{Board, Notice};
use edgefan::EdgeState;
use media::BitRate;
use node::Stop;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How often somebody who has connected is looked for: well under any interval of checks.
const LOOK: Duration = Duration::from_millis(100);

/// How long one who was told may take to close. Those behind him wait, at most so long.
const LEAVES_WITHIN: Duration = Duration::from_millis(200);

/// How often a port that is taken is tried again: a successor starts beside the edge it relieves.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the line is made of beside the board.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worth {
    pub(crate) capacity: BitRate,
    pub(crate) weight: u64,
}

/// Answers on a thread of its own until stopped; `has_opened` hears where.
pub(crate) fn start(
    listen: SocketAddr,
    worth: Worth,
    board: Arc<Board>,
    stop: Stop,
    has_opened: impl FnOnce(SocketAddr) + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("agent".into()).spawn(move || {
        let Some(listener) = open(listen, &stop) else { return };
        if let Ok(address) = listener.local_addr() {
            has_opened(address);
        }
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    // Who went away before he was told will ask again.
                    let _ = tell(stream, &line(&board.read(), worth));
                }
                // Nobody there, or no descriptor for him.
                Err(_) if stop.wait_timeout(LOOK) => return,
                Err(_) => {}
            }
        }
    })?;
    Ok(())
}

fn open(listen: SocketAddr, stop: &Stop) -> Option<TcpListener> {
    let mut is_told = false;
    loop {
        match TcpListener::bind(listen).and_then(|it| it.set_nonblocking(true).map(|()| it)) {
            Ok(listener) => return Some(listener),
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(%listen, %error, "edge.agent_check cannot be listened to; trying again");
            }
            Err(_) => {}
        }
        if stop.wait_timeout(TRY_AGAIN) {
            return None;
        }
    }
}

fn tell(mut stream: TcpStream, line: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(LEAVES_WITHIN))?;
    stream.set_read_timeout(Some(LEAVES_WITHIN))?;
    stream.write_all(line.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // Closing with something unread would be a reset, and take the line with it.
    stream.read(&mut [0; 256]).map(drop)
}

/// What there is to say.
fn line(notice: &Notice, worth: Worth) -> String {
    match notice.state {
        EdgeState::Draining if notice.is_in_maintenance => "maint #the operator is at work\n".into(),
        EdgeState::Draining => "drain #viewers are let go\n".into(),
        EdgeState::NotFed => format!("down #unfed: {}\n", notice.why),
        EdgeState::Ready | EdgeState::Lagging if worth.weight == 0 => "drain #weight 0\n".into(),
        EdgeState::Lagging => "ready up 1%\n".into(),
        EdgeState::Ready => {
            // As balancers reckon it: nine tenths may be used, and 100 is the usual weight.
            let usable = (worth.capacity.0 / 10 * 9).max(1);
            let free = usable.saturating_sub(notice.egress_bps) as f64 / usable as f64;
            let percent = (free * worth.weight.min(100) as f64).round().max(1.0);
            format!("ready up {percent}%\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc;
    use std::time::Instant;

    const WORTH: Worth = Worth { capacity: BitRate(1_000_000_000), weight: 100 };

    fn notice(state: EdgeState, egress_mbps: u64) -> Notice {
        Notice {
            state,
            why: "nothing fresh".into(),
            egress_bps: egress_mbps * 1_000_000,
            ..Notice::default()
        }
    }

    #[test]
    fn an_edge_is_worth_what_is_free_of_it() {
        let says = |state, egress| line(&notice(state, egress), WORTH);
        assert_eq!(says(EdgeState::Ready, 0), "ready up 100%\n");
        assert_eq!(says(EdgeState::Ready, 225), "ready up 75%\n");
        assert_eq!(says(EdgeState::Ready, 1000), "ready up 1%\n", "0 % would be a drain");
        assert_eq!(says(EdgeState::NotFed, 0), "down #unfed: nothing fresh\n");
        assert_eq!(says(EdgeState::Lagging, 0), "ready up 1%\n");
        assert_eq!(says(EdgeState::Draining, 0), "drain #viewers are let go\n");
        let maintained = Notice { is_in_maintenance: true, ..notice(EdgeState::Draining, 0) };
        assert_eq!(line(&maintained, WORTH), "maint #the operator is at work\n");
        let of_weight = |weight| line(&notice(EdgeState::Ready, 450), Worth { weight, ..WORTH });
        assert_eq!(
            [of_weight(50), of_weight(300), of_weight(0)],
            ["ready up 25%\n", "ready up 50%\n", "drain #weight 0\n"]
        );
    }

    fn started(board: &Arc<Board>, stop: &Stop) -> SocketAddr {
        let (tell, told) = mpsc::channel();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        start(listen, WORTH, Arc::clone(board), stop.clone(), move |at| tell.send(at).unwrap()).unwrap();
        told.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn one_who_says_nothing_and_stays_holds_nobody_up_for_long() {
        let (board, stop) = (Arc::new(Board::default()), Stop::new());
        board.write(notice(EdgeState::Ready, 0));
        let at = started(&board, &stop);
        let _stays: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(at).unwrap()).collect();
        let mut said = String::new();
        TcpStream::connect(at).unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "ready up 100%\n");
        stop.signal();
    }

    struct Haproxy {
        child: Child,
        socket: std::path::PathBuf,
        _files: tempfile::TempDir,
    }

    impl Haproxy {
        /// With one server, that is asked at `agent`; `None` where HAProxy is not installed.
        fn start(agent: SocketAddr) -> Option<Self> {
            let files = tempfile::tempdir().unwrap();
            // Its own check finds the port open at all times; what differs is what the agent says.
            let open = TcpListener::bind("127.0.0.1:0").unwrap();
            let server = open.local_addr().unwrap();
            std::thread::spawn(move || open.incoming().for_each(drop));
            let socket = files.path().join("stats");
            let config = format!(
                "global\n  stats socket {} level admin\ndefaults\n  mode tcp\n  timeout connect 1s\n  \
                 timeout client 5s\n  timeout server 5s\nfrontend viewers\n  bind unix@{}\n  \
                 default_backend edges\nbackend edges\n  server edge1 {server} weight 200 check inter 100ms \
                 agent-check agent-addr {} agent-port {} agent-inter 100ms\n",
                socket.display(),
                files.path().join("viewers").display(),
                agent.ip(),
                agent.port()
            );
            let path = files.path().join("haproxy.cfg");
            std::fs::write(&path, config).unwrap();
            let mut command = Command::new("haproxy");
            let child = command.args(["-db", "-f"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
            let child = child.spawn().ok()?;
            Some(Self { child, socket, _files: files })
        }

        /// State and weight of the server, as `show stat` has them.
        fn seen(&self) -> Option<(String, String)> {
            let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).ok()?;
            stream.write_all(b"show stat\n").ok()?;
            let lines = io::BufReader::new(stream).lines();
            let line = lines.map_while(Result::ok).find(|line| line.starts_with("edges,edge1,"))?;
            let fields: Vec<&str> = line.split(',').collect();
            Some((fields[17].to_owned(), fields[18].to_owned()))
        }

        fn until(&self, wanted: (&str, &str)) {
            let began = Instant::now();
            let mut seen = None;
            while began.elapsed() < Duration::from_secs(15) {
                seen = self.seen();
                if seen.as_ref().is_some_and(|(state, weight)| {
                    state.starts_with(wanted.0) && (wanted.1.is_empty() || weight == wanted.1)
                }) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            panic!("HAProxy sees {seen:?}, not {wanted:?}");
        }
    }

    impl Drop for Haproxy {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn haproxy_weighs_drains_and_takes_back_an_edge_by_what_it_says() {
        let (board, stop) = (Arc::new(Board::default()), Stop::new());
        board.write(notice(EdgeState::Ready, 225));
        let Some(haproxy) = Haproxy::start(started(&board, &stop)) else {
            return println!("skipped: there is no haproxy here");
        };
        haproxy.until(("UP", "150"));
        board.write(notice(EdgeState::Ready, 450));
        haproxy.until(("UP", "100"));
        board.write(notice(EdgeState::Draining, 450));
        haproxy.until(("DRAIN", ""));
        board.write(Notice { is_in_maintenance: true, ..notice(EdgeState::Draining, 0) });
        haproxy.until(("MAINT", ""));
        board.write(notice(EdgeState::NotFed, 0));
        board.write(notice(EdgeState::Ready, 0));
        haproxy.until(("UP", "200"));
        board.write(notice(EdgeState::NotFed, 0));
        haproxy.until(("DOWN", ""));
        board.write(notice(EdgeState::Ready, 0));
        haproxy.until(("UP", "200"));
        stop.signal();
    }
}
