//! The viewers every server is measured with: they ask, and let the kernel throw away what comes.
//!
//! Lives here: what they aim at, what a window of them says, one asking at leisure. Does not live here: the loops that
//! ask as fast as they can (`counted` plain, `sealed` in TLS, `shaking` handshakes) or that wait (`held`, `reading`).

pub(crate) mod counted;
pub(crate) mod held;
pub(crate) mod reading;
pub(crate) mod sealed;
pub(crate) mod shaking;

use crate::error::BenchError;
use crate::ground::Network;
use crate::meter::{Reading, Usage};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest anything is waited for that should be there at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What viewers ask for.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    /// Whose, for errors.
    pub(crate) server: String,
    pub(crate) network: Network,
    pub(crate) port: u16,
    pub(crate) target: String,
    /// The status that every answer has.
    pub(crate) status: u16,
    /// Bytes of receive buffer, where it is not the kernel's to choose.
    pub(crate) buffer: Option<usize>,
}

impl Aim {
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.network.server(), self.port)
    }

    /// The same server's answer to something else.
    pub(crate) fn at(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// What a player sends: the same bytes to everybody.
    pub(crate) fn request(&self) -> Vec<u8> {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\n\
             Accept: */*\r\nOrigin: https://live.example.org\r\n\r\n",
            self.target,
            self.address()
        )
        .into_bytes()
    }

    /// The `nth` viewer's connection, from an address of its own share.
    pub(crate) fn connect(&self, nth: usize) -> Result<TcpStream, BenchError> {
        let dial = || {
            let socket = self.socket(nth)?;
            if let Some(buffer) = self.buffer {
                socket.set_recv_buffer_size(buffer)?;
            }
            socket.connect_timeout(&self.address().into(), PATIENCE)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(TcpStream::from(socket))
        };
        dial().map_err(self.when_connecting())
    }

    /// The same without waiting for it.
    pub(crate) fn connecting(&self, nth: usize) -> Result<TcpStream, BenchError> {
        let dial = || {
            let socket = self.socket(nth)?;
            socket.set_nonblocking(true)?;
            match socket.connect(&self.address().into()) {
                Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                    Err(error)
                }
                _ => Ok(TcpStream::from(socket)),
            }
        };
        dial().map_err(self.when_connecting())
    }

    fn when_connecting(&self) -> impl FnOnce(std::io::Error) -> BenchError {
        BenchError::when(format!("{}: connecting to {}", self.server, self.address()))
    }

    fn socket(&self, nth: usize) -> std::io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(self.network.source(nth), 0).into())?;
        socket.set_tcp_nodelay(true)?;
        // Closed by a reset: no port stays in TIME_WAIT, and no core works on it after the window.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(socket)
    }

    /// One answer, read whole.
    pub(crate) fn ask(&self, connection: &mut (impl Read + Write)) -> Result<Answer, BenchError> {
        let fail = || BenchError::when(format!("{}: {}", self.server, self.target));
        connection.write_all(&self.request()).map_err(fail())?;
        let mut bytes = Vec::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            if let Some(answer) = Answer::parse(&bytes)
                && bytes.len() >= answer.len
            {
                if answer.status != self.status || bytes.len() > answer.len {
                    let said = format!(
                        "{}: {}, {} bytes; {} was expected",
                        self.target,
                        answer.status,
                        bytes.len(),
                        self.status
                    );
                    return Err(BenchError::answer(&self.server, said));
                }
                return Ok(Answer { body: bytes[answer.head.len()..].to_vec(), ..answer });
            }
            match connection.read(&mut piece).map_err(fail())? {
                0 => {
                    return Err(BenchError::answer(
                        &self.server,
                        format!("{}: closed in an answer", self.target),
                    ));
                }
                n => bytes.extend_from_slice(&piece[..n]),
            }
        }
    }
}

/// An answer as it travels.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Bytes of head and body.
    pub(crate) len: usize,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The head of what has come so far, if it is whole.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.get(9..12)?.parse().ok()?;
        let mut answer = Self { status, head, len: end, body: Vec::new() };
        answer.len += answer.field("content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        Some(answer)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().filter_map(|line| line.split_once(": "))
    }
}

/// How a window is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Before the window, so that it begins in full flow.
    pub(crate) warm: Duration,
    pub(crate) window: Duration,
}

/// What one window said.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) usage: Usage,
    pub(crate) answers: u64,
    /// Bytes of answers that came, heads and all; of TLS what was in it.
    pub(crate) bytes: u64,
}

impl Sample {
    /// CPU seconds of the server's core for one GB.
    pub(crate) fn seconds_per_gb(&self) -> f64 {
        self.usage.busy[crate::ground::SERVER_CORE] / (self.bytes as f64 / 1e9)
    }

    /// CPU microseconds of the server's core for one answer.
    pub(crate) fn micros_per_answer(&self) -> f64 {
        self.usage.busy[crate::ground::SERVER_CORE] * 1e6 / self.answers as f64
    }
}

/// Cuts a window out of what runs: says when it begins and when it is over.
#[derive(Debug)]
pub(crate) struct Cut {
    begins: Instant,
    ends: Instant,
    begun: Option<(Reading, u64, u64)>,
}

impl Cut {
    pub(crate) fn of(load: Load) -> Self {
        let begins = Instant::now() + load.warm;
        Self { begins, ends: begins + load.window, begun: None }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Told often of what was counted since the connections are there; answers with the window once it is over.
    pub(crate) fn see(&mut self, answers: u64, bytes: u64) -> Result<Option<Sample>, BenchError> {
        let now = Instant::now();
        match &self.begun {
            None if now >= self.begins => {
                self.begun = Some((Reading::now()?, answers, bytes));
                Ok(None)
            }
            Some((from, answers_before, bytes_before)) if now >= self.ends => Ok(Some(Sample {
                usage: from.until(&Reading::now()?),
                answers: answers - answers_before,
                bytes: bytes - bytes_before,
            })),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        let text = b"HTTP/1.1 302 Found\r\nLocation: /x\r\ncontent-length: 5\r\n\r\nhello";
        let answer = Answer::parse(text).unwrap();
        assert_eq!((answer.status, answer.len), (302, text.len()));
        assert_eq!(answer.field("location"), Some("/x"));
        assert!(Answer::parse(&text[..20]).is_none());
    }

    #[test]
    fn costs_are_those_of_the_servers_core() {
        let usage = Usage { seconds: 4.0, busy: vec![2.0, 4.0], steal: 0.0 };
        let sample = Sample { usage, answers: 500_000, bytes: 20_000_000_000 };
        assert_eq!((sample.seconds_per_gb(), sample.micros_per_answer()), (0.1, 4.0));
    }
}
