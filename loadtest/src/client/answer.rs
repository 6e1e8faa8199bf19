//! One HTTP/1.1 answer, read piece by piece (RFC 9112).
//!
//! Lives here: the head, how the body is delimited, and which of the bytes to come are body and nothing else,
//! so that they may be thrown away unread. Does not live here: sockets.

use std::time::Duration;

/// The most bytes of a head.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most fields of a head.
const FIELDS_MAX: usize = 64;
/// The most bytes of a chunk's line, or of the trailer.
const LINE_BYTES_MAX: usize = 1024;

/// What was said before the body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of the body, where they were announced.
    pub(crate) length: Option<u64>,
    /// Whether the connection may be used again.
    pub(crate) is_kept: bool,
    /// Where it is instead.
    pub(crate) location: Option<String>,
    /// Whether the body came compressed.
    pub(crate) is_gzip: bool,
    /// How long nobody is to ask again, where that is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
}

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// Not HTTP/1.x.
    #[error("a head that is not HTTP/1.1 ({0})")]
    Head(httparse::Error),
    /// A head without end.
    #[error("a head of more than {HEAD_BYTES_MAX} bytes")]
    LongHead,
    /// Nobody can say where the body ends (RFC 9112, 6.3).
    #[error("the end of the body is not told: {0}")]
    Framing(&'static str),
    /// A chunk that is none.
    #[error("a chunk that does not begin with its size")]
    Chunk,
    /// More than was announced.
    #[error("{0} bytes after the end of the answer")]
    Surplus(usize),
}

/// Reads one answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    state: State,
    /// A head or a line that has not come whole.
    held: Vec<u8>,
    head: Head,
    /// Bytes of body so far.
    body: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Head,
    /// Exactly this many more.
    Body {
        left: u64,
    },
    /// A chunk's first line.
    ChunkLine,
    Chunk {
        left: u64,
    },
    /// The line end behind a chunk.
    ChunkEnd,
    Trailer,
    /// Whatever comes until the peer closes.
    UntilClose,
    Done,
}

impl Answer {
    /// Takes the next bytes; those of the body are given to `body`.
    pub(crate) fn push(&mut self, bytes: &[u8], body: &mut impl FnMut(&[u8])) -> Result<(), Malformed> {
        let mut rest = bytes;
        loop {
            rest = match self.state {
                State::Done if rest.is_empty() => return Ok(()),
                State::Done => return Err(Malformed::Surplus(rest.len())),
                _ if rest.is_empty() => return Ok(()),
                State::Head => match self.read_head(rest)? {
                    Some(rest) => rest,
                    None => return Ok(()),
                },
                State::Body { left } | State::Chunk { left } => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    body(&rest[..taken]);
                    self.discarded(taken as u64);
                    &rest[taken..]
                }
                State::UntilClose => {
                    body(rest);
                    self.body += rest.len() as u64;
                    return Ok(());
                }
                State::ChunkLine | State::ChunkEnd | State::Trailer => match self.read_line(rest)? {
                    Some(rest) => rest,
                    None => return Ok(()),
                },
            };
        }
    }

    /// How many of the bytes to come are body and nothing else: they may be thrown away, and
    /// [`Answer::discarded`] told of it.
    pub(crate) fn body_ahead(&self) -> u64 {
        match self.state {
            State::Body { left } | State::Chunk { left } => left,
            State::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// So many bytes of what was ahead have come and are gone.
    pub(crate) fn discarded(&mut self, bytes: u64) {
        self.body += bytes;
        self.state = match self.state {
            State::Body { left } if left > bytes => State::Body { left: left - bytes },
            State::Body { .. } => State::Done,
            State::Chunk { left } if left > bytes => State::Chunk { left: left - bytes },
            State::Chunk { .. } => State::ChunkEnd,
            state => state,
        };
    }

    /// The peer has closed: whether that was the end of the answer.
    pub(crate) fn closed(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// The head, once it is there.
    pub(crate) fn head(&self) -> Option<&Head> {
        (self.state != State::Head).then_some(&self.head)
    }

    /// Whether all of it has come.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nothing of it has come.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state == State::Head && self.held.is_empty()
    }

    /// Bytes of body so far.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body
    }

    /// What comes behind the head, or `None` if that is not whole yet.
    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let held = self.held.len();
        // Nearly every head comes whole: then nothing is copied.
        let parsed = if held == 0 {
            parse_head(bytes)?
        } else {
            self.held
                .extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX + 1 - held.min(HEAD_BYTES_MAX))]);
            parse_head(&self.held)?
        };
        let Some((head, state, length)) = parsed else {
            if held == 0 {
                self.held.extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX + 1)]);
            }
            return if self.held.len() > HEAD_BYTES_MAX { Err(Malformed::LongHead) } else { Ok(None) };
        };
        self.held = Vec::new();
        let rest = &bytes[length - held..];
        // 100 and 103 come before the answer itself (RFC 9110, 15.2).
        if (100..200).contains(&head.status) && head.status != 101 {
            return Ok(Some(rest));
        }
        (self.head, self.state) = (head, state);
        Ok(Some(rest))
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            if self.held.len() + bytes.len() > LINE_BYTES_MAX {
                return Err(Malformed::Chunk);
            }
            self.held.extend_from_slice(bytes);
            return Ok(None);
        };
        let whole;
        let line = if self.held.is_empty() {
            &bytes[..end]
        } else {
            self.held.extend_from_slice(&bytes[..end]);
            whole = std::mem::take(&mut self.held);
            &whole
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::ChunkLine,
            State::ChunkEnd => return Err(Malformed::Chunk),
            State::ChunkLine => match chunk_size(line).ok_or(Malformed::Chunk)? {
                0 => State::Trailer,
                left => State::Chunk { left },
            },
            _ if line.is_empty() => State::Done,
            _ => State::Trailer,
        };
        Ok(Some(&bytes[end + 1..]))
    }
}

type Parsed = Option<(Head, State, usize)>;

fn parse_head(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = answer.parse(bytes).map_err(Malformed::Head)? else {
        return Ok(None);
    };
    if length > HEAD_BYTES_MAX {
        return Err(Malformed::LongHead);
    }
    let status = answer.code.unwrap_or(0);
    let mut head = Head { status, is_kept: answer.version == Some(1), ..Head::default() };
    let mut is_chunked = false;
    for field in answer.headers.iter() {
        let text = || std::str::from_utf8(field.value).map(str::trim).ok();
        if field.name.eq_ignore_ascii_case("content-length") {
            let length = text().and_then(|text| text.parse().ok());
            if length.is_none() || head.length.is_some_and(|before| Some(before) != length) {
                return Err(Malformed::Framing("Content-Length is no number, or two"));
            }
            head.length = length;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = text().is_some_and(|text| text.eq_ignore_ascii_case("chunked"));
            if !is_chunked {
                return Err(Malformed::Framing("a Transfer-Encoding that was not asked for"));
            }
        } else if field.name.eq_ignore_ascii_case("connection") {
            let is = |word: &str| {
                text().is_some_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
            };
            head.is_kept = !is("close") && (head.is_kept || is("keep-alive"));
        } else if field.name.eq_ignore_ascii_case("location") {
            head.location = text().map(str::to_owned);
        } else if field.name.eq_ignore_ascii_case("content-encoding") {
            head.is_gzip = text().is_some_and(|text| text.eq_ignore_ascii_case("gzip"));
        } else if field.name.eq_ignore_ascii_case("retry-after") {
            // A date is allowed too (RFC 9110, 10.2.3), and nobody in this trade sends one.
            head.retry_after = text().and_then(|text| text.parse().ok()).map(Duration::from_secs);
        }
    }
    if is_chunked && head.length.is_some() {
        return Err(Malformed::Framing("both Content-Length and Transfer-Encoding"));
    }
    let state = match (status, is_chunked, head.length) {
        (204 | 304, _, _) => State::Done,
        (_, true, _) => State::ChunkLine,
        (_, _, Some(0)) => State::Done,
        (_, _, Some(left)) => State::Body { left },
        _ => State::UntilClose,
    };
    head.is_kept &= state != State::UntilClose;
    Ok(Some((head, state, length)))
}

/// `1a3;name=value` → 0x1a3 (RFC 9112, 7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n";

    /// The answer in pieces of `size` bytes; what its body was.
    fn read(text: &str, size: usize) -> Result<(Answer, String), Malformed> {
        let (mut answer, mut body) = (Answer::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            answer.push(piece, &mut |bytes| body.extend_from_slice(bytes))?;
        }
        Ok((answer, String::from_utf8(body).unwrap()))
    }

    #[test]
    fn an_answer_is_the_same_however_it_is_cut() {
        for text in [PLAIN, CHUNKED, &format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{PLAIN}")] {
            for size in 1..text.len() + 1 {
                let (answer, body) = read(text, size).unwrap();
                assert_eq!(
                    (answer.is_done(), body.as_str(), answer.body_bytes()),
                    (true, "hello", 5),
                    "{size}"
                );
                assert!(
                    answer.head().is_some_and(|head| head.status == 200 && head.is_kept),
                    "{text} {size}"
                );
            }
        }
    }

    #[test]
    fn what_is_body_and_nothing_else_may_be_thrown_away() {
        let (mut answer, body) = read("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123", 4096).unwrap();
        assert_eq!((answer.body_ahead(), body.as_str()), (996, "0123"));
        answer.discarded(900);
        assert_eq!((answer.body_ahead(), answer.is_done()), (96, false));
        answer.discarded(96);
        assert!(answer.is_done() && answer.body_ahead() == 0 && answer.body_bytes() == 1000);
    }

    #[test]
    fn a_chunk_may_be_thrown_away_and_its_line_may_not() {
        let (mut answer, _) =
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", 4096).unwrap();
        assert_eq!(answer.body_ahead(), 0xff);
        answer.discarded(0xff);
        assert_eq!(answer.body_ahead(), 0);
        answer.push(b"\r\n0\r\n\r\n", &mut |_| panic!("there is no more body")).unwrap();
        assert!(answer.is_done());
    }

    #[test]
    fn without_a_length_it_ends_when_the_peer_closes() {
        let (mut answer, body) = read("HTTP/1.1 200 OK\r\n\r\nabc", 4096).unwrap();
        assert!(!answer.is_done() && !answer.head().unwrap().is_kept && body == "abc");
        assert!(answer.closed());
        let (mut answer, _) = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 4096).unwrap();
        assert!(!answer.closed(), "that is truncated");
    }

    #[test]
    fn what_a_head_says_is_read() {
        let (answer, _) = read(
            "HTTP/1.1 307 T\r\nLocation: http://e/x \r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            9,
        )
        .unwrap();
        let head = answer.head().unwrap();
        assert_eq!((head.location.as_deref(), head.is_kept), (Some("http://e/x"), false));
        let (answer, _) =
            read("HTTP/1.1 200 K\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 4096).unwrap();
        assert!(answer.head().unwrap().is_gzip);
        let (answer, _) = read("HTTP/1.1 304 N\r\nContent-Length: 99\r\n\r\n", 4096).unwrap();
        assert!(answer.is_done());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(read(&format!("{PLAIN}!!"), 4096).unwrap_err(), Malformed::Surplus(2));
        for (text, expected) in [
            ("SSH-2.0-OpenSSH\r\n", "not HTTP/1.1"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "chunk"),
        ] {
            let error = read(text, 7).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(read(&long, 1000).unwrap_err(), Malformed::LongHead);
        assert_eq!(read(&long, usize::MAX >> 1).unwrap_err(), Malformed::LongHead);
        let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "1".repeat(5000));
        assert_eq!(read(&endless, 100).unwrap_err(), Malformed::Chunk);
    }
}
