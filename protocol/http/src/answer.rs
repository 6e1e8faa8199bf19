//! Answer heads: written once, sent many times.
//!
//! A head is the same for every viewer but for its Date and, rarely, its Connection field; so it is rendered
//! when the thing it is about is made, the date is written over in place once a second, and who needs another
//! Connection field gets a copy.

use crate::{HttpDate, Status};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Who may read answers from a page of another origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origin: Option<String>,
}

impl Cors {
    /// Anybody: `Access-Control-Allow-Origin: *`.
    pub fn anybody() -> Self {
        Self { origin: Some("*".into()) }
    }

    /// Nobody: no field.
    pub fn nobody() -> Self {
        Self { origin: None }
    }

    /// This origin (`https://example.org`); `None` if it is no origin.
    pub fn origin(origin: &str) -> Option<Self> {
        let is_origin = origin == "*"
            || (origin.contains("://")
                && origin.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';')));
        is_origin.then(|| Self { origin: Some(origin.into()) })
    }
}

/// As settings write it: `*`, an origin, or nothing for nobody.
impl FromStr for Cors {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::nobody());
        }
        Self::origin(text).ok_or_else(|| {
            format!("{text:?} is no origin; allowed is `*`, one such as `https://example.org`, or nothing")
        })
    }
}

impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin.as_deref().unwrap_or_default())
    }
}

/// What the Connection field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: 1.1 goes on by itself.
    Implied,
    /// `keep-alive`, which 1.0 must be told.
    KeepAlive,
    /// `close`.
    Close,
}

impl Connection {
    /// What this request must be told, and what it is answered with.
    pub fn to(request: &crate::Request<'_>) -> Self {
        match (request.keep_alive, request.is_1_1) {
            (false, _) => Self::Close,
            (true, true) => Self::Implied,
            (true, false) => Self::KeepAlive,
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Implied => "",
            Self::KeepAlive => "Connection: keep-alive\r\n",
            Self::Close => "Connection: close\r\n",
        }
    }
}

/// An answer's head while it is written.
#[derive(Clone, Debug)]
pub struct Head {
    status: Status,
    text: BytesMut,
    date_at: usize,
}

impl Head {
    /// Status line and a Date that is filled in when it is sent.
    pub fn new(status: Status) -> Self {
        let mut text = BytesMut::with_capacity(512);
        // Writing to memory does not fail.
        let _ = write!(text, "HTTP/1.1 {status}\r\nDate: ");
        let date_at = text.len();
        text.extend_from_slice(HttpDate::from_unix_secs(0).as_bytes());
        text.extend_from_slice(b"\r\n");
        Self { status, text, date_at }
    }

    /// One field. What would end the line ends up as a space, so that no value can begin another field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        let from = self.text.len();
        let _ = write!(self.text, "{value}");
        for byte in self.text[from..].iter_mut().filter(|byte| byte.is_ascii_control()) {
            *byte = b' ';
        }
        self.text.extend_from_slice(b"\r\n");
        self
    }

    /// What is in the body and how long it is.
    #[must_use]
    pub fn content(self, media_type: &str, len: u64) -> Self {
        self.field("Content-Type", media_type).field("Content-Length", len)
    }

    /// `Cache-Control`.
    #[must_use]
    pub fn cache_control(self, value: &str) -> Self {
        self.field("Cache-Control", value)
    }

    /// Which pages may read it.
    #[must_use]
    pub fn cors(self, cors: &Cors) -> Self {
        let Some(origin) = &cors.origin else { return self };
        let head = self
            .field("Access-Control-Allow-Origin", origin)
            .field("Access-Control-Expose-Headers", "Content-Range, Date, ETag, Retry-After")
            // Lets a page time our answers in the browser's own tools.
            .field("Timing-Allow-Origin", origin);
        if origin == "*" { head } else { head.field("Vary", "Origin") }
    }

    /// Whole: the empty line, and a body of which Content-Length has been said already.
    pub fn with_body(mut self, body: &[u8]) -> Prerendered {
        self.text.reserve(2 + body.len());
        self.text.extend_from_slice(b"\r\n");
        let head_len = self.text.len();
        self.text.put_slice(body);
        Prerendered { status: self.status, bytes: self.text.freeze(), head_len, date_at: self.date_at }
    }

    /// Whole, and its body comes from elsewhere or is none.
    pub fn alone(self) -> Prerendered {
        self.with_body(&[])
    }
}

/// A head, and maybe a small body, ready but for the date.
#[derive(Clone, Debug)]
pub struct Prerendered {
    status: Status,
    bytes: Bytes,
    head_len: usize,
    date_at: usize,
}

impl Prerendered {
    /// What its status line says.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Length of the head, its empty line included.
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// Length of head and body.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a head has at least its status line.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head_len..]
    }

    /// A copy with that date and that Connection field; the head alone if `head_only` (HEAD).
    pub fn dated(&self, date: &HttpDate, connection: Connection, head_only: bool) -> Bytes {
        let field = connection.field().as_bytes();
        let body: &[u8] = if head_only { &[] } else { self.body() };
        let before_end = self.head_len - 2;
        let mut copy = BytesMut::with_capacity(self.head_len + field.len() + body.len());
        copy.extend_from_slice(&self.bytes[..before_end]);
        copy[self.date_at..self.date_at + HttpDate::BYTES].copy_from_slice(date.as_bytes());
        copy.extend_from_slice(field);
        copy.extend_from_slice(b"\r\n");
        copy.extend_from_slice(body);
        copy.freeze()
    }
}

/// A prerendered answer with this second's date in it: copied once a second, shared by everybody in between.
#[derive(Clone, Debug)]
pub struct Stamped {
    answer: Prerendered,
    current: Option<(u64, Bytes)>,
}

impl Stamped {
    /// Not yet sent to anybody.
    pub fn new(answer: Prerendered) -> Self {
        Self { answer, current: None }
    }

    /// The answer underneath.
    pub fn answer(&self) -> &Prerendered {
        &self.answer
    }

    /// The bytes to send.
    pub fn at(&mut self, date: &HttpDate, connection: Connection, head_only: bool) -> Bytes {
        if connection != Connection::Implied {
            return self.answer.dated(date, connection, head_only);
        }
        let bytes = match &self.current {
            Some((second, bytes)) if *second == date.unix_secs() => bytes.clone(),
            _ => {
                let bytes = self.answer.dated(date, Connection::Implied, false);
                self.current = Some((date.unix_secs(), bytes.clone()));
                bytes
            }
        };
        if head_only { bytes.slice(..self.answer.head_len) } else { bytes }
    }
}

/// A short answer in one sentence: an error, or anything a person may read. `fields` are added to its head.
pub fn sentence(status: Status, cors: &Cors, fields: &[(&str, &str)], text: &str) -> Prerendered {
    let mut head = Head::new(status).cache_control("no-store").cors(cors);
    for (name, value) in fields {
        head = head.field(name, value);
    }
    if status.is_bodiless() {
        return head.alone();
    }
    let body = format!("{text}\n");
    head.content("text/plain; charset=utf-8", body.len() as u64)
        .field("X-Content-Type-Options", "nosniff")
        .with_body(body.as_bytes())
}

/// What a refused head is answered with, before the connection is closed.
pub fn refusal(refused: &crate::Refusal, date: &HttpDate, cors: &Cors) -> Bytes {
    let allow: &[(&str, &str)] =
        if refused.status == Status::METHOD_NOT_ALLOWED { &[("Allow", "GET, HEAD, OPTIONS")] } else { &[] };
    sentence(refused.status, cors, allow, refused.why).dated(date, Connection::Close, refused.is_head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> HttpDate {
        HttpDate::from_unix_secs(784_111_777)
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_head_is_what_the_wire_wants() {
        let answer = Head::new(Status::OK)
            .content("application/vnd.apple.mpegurl", 2)
            .cache_control("max-age=1")
            .cors(&Cors::nobody())
            .with_body(b"ok");
        assert_eq!(
            text(&answer.dated(&noon(), Connection::Implied, false)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/vnd.apple.mpegurl\r\n\
             Content-Length: 2\r\nCache-Control: max-age=1\r\n\r\nok"
        );
        assert!(
            text(&answer.dated(&noon(), Connection::Close, true)).ends_with("\r\nConnection: close\r\n\r\n")
        );
        assert!(
            text(&answer.dated(&noon(), Connection::KeepAlive, false)).ends_with(": keep-alive\r\n\r\nok")
        );
    }

    #[test]
    fn one_copy_is_shared_for_a_second() {
        let mut stamped = Stamped::new(sentence(Status::NOT_FOUND, &Cors::anybody(), &[], "nothing here"));
        let first = stamped.at(&noon(), Connection::Implied, false);
        let again = stamped.at(&noon(), Connection::Implied, false);
        assert_eq!(first.as_ptr(), again.as_ptr(), "copied within the second");
        let later = HttpDate::from_unix_secs(noon().unix_secs() + 1);
        let next = stamped.at(&later, Connection::Implied, false);
        assert!(text(&next).contains("08:49:38 GMT") && text(&next).ends_with("\r\n\r\nnothing here\n"));
        let head = stamped.at(&later, Connection::Implied, true);
        assert!(text(&head).ends_with("\r\n\r\n") && text(&head).contains("Content-Length: 13\r\n"));
    }

    #[test]
    fn no_value_begins_another_field() {
        let answer = Head::new(Status::OK).field("Location", "/a\r\nSet-Cookie: b").alone();
        let bytes = answer.dated(&noon(), Connection::Implied, false);
        assert!(text(&bytes).contains("Location: /a  Set-Cookie: b\r\n"));
    }

    #[test]
    fn a_refusal_says_why_and_closes() {
        let refused = crate::Refusal { status: Status::METHOD_NOT_ALLOWED, why: "only GET", is_head: false };
        let bytes = refusal(&refused, &noon(), &Cors::anybody());
        for part in [
            "405 Method Not Allowed\r\n",
            "Allow: GET, HEAD, OPTIONS\r\n",
            "Connection: close\r\n",
            "only GET\n",
        ] {
            assert!(text(&bytes).contains(part), "{part:?} is missing");
        }
        let to_head = refusal(&crate::Refusal { is_head: true, ..refused }, &noon(), &Cors::anybody());
        assert!(text(&to_head).ends_with("\r\n\r\n") && text(&to_head).contains("Content-Length: 9\r\n"));
    }

    #[test]
    fn an_answer_without_body_has_no_length() {
        let bytes = sentence(Status::NO_CONTENT, &Cors::anybody(), &[("Allow", "GET")], "unseen").dated(
            &noon(),
            Connection::Implied,
            false,
        );
        assert!(!text(&bytes).contains("Content-Length") && text(&bytes).ends_with("\r\n\r\n"));
    }

    #[test]
    fn only_an_origin_is_an_origin() {
        assert!(Cors::origin("https://example.org").is_some() && Cors::origin("*").is_some());
        assert!(Cors::origin("example.org").is_none() && Cors::origin("https://a\r\nX: b").is_none());
    }
}
