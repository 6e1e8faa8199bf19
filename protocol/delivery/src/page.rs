//! Answers that are rendered once: playlists plain and gzipped, the still picture.

use crate::Access;
use http::{Cors, Head, HttpDate, Prerendered, Stamped, Status};
use std::sync::Arc;
use std::time::Duration;

/// RFC 8216bis, 4; rule S07.
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// A small resource with every answer about it, made on one thread and shared by all cores.
#[derive(Clone, Debug)]
pub struct Page {
    pub(crate) plain: Encoded,
    pub(crate) gzip: Option<Encoded>,
}

/// One content coding of a page; a strong tag names the bytes, so each coding has its own (RFC 9110, 8.8.3.3).
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) etag: String,
    pub(crate) whole: Prerendered,
    pub(crate) unchanged: Prerendered,
}

/// A playlist's page. `tag` is a hash of `text`, the same on every edge; `max_age` at most the target duration
/// (rule T13), and rounded down to seconds, at least one.
pub fn playlist(
    text: &str,
    gzip: Option<&[u8]>,
    tag: u64,
    max_age: Duration,
    access: Access,
    cors: &Cors,
) -> Arc<Page> {
    let cache = format!("{}, max-age={}", access.caches(), max_age.as_secs().max(1));
    let encode = |etag: String, body: &[u8], is_gzip: bool| {
        let common = |status| {
            let head =
                Head::new(status).cache_control(&cache).field("ETag", &etag).field("Vary", "Accept-Encoding");
            head.cors(cors)
        };
        let mut head = common(Status::OK).content(PLAYLIST, body.len() as u64);
        if is_gzip {
            head = head.field("Content-Encoding", "gzip");
        }
        Encoded { whole: head.with_body(body), unchanged: common(Status::NOT_MODIFIED).alone(), etag }
    };
    Arc::new(Page {
        plain: encode(format!("\"{tag:016x}\""), text.as_bytes(), false),
        gzip: gzip.map(|body| encode(format!("\"{tag:016x}-gz\""), body, true)),
    })
}

/// A still picture's page.
pub fn picture(
    media_type: &str,
    body: &[u8],
    tag: u64,
    max_age: Duration,
    access: Access,
    cors: &Cors,
) -> Arc<Page> {
    let etag = format!("\"{tag:016x}\"");
    let cache = format!("{}, max-age={}", access.caches(), max_age.as_secs().max(1));
    let common = |status| Head::new(status).cache_control(&cache).field("ETag", &etag).cors(cors);
    let whole = common(Status::OK).content(media_type, body.len() as u64).with_body(body);
    let unchanged = common(Status::NOT_MODIFIED).alone();
    Arc::new(Page { plain: Encoded { etag, whole, unchanged }, gzip: None })
}

/// One core's copy of a page: this second's bytes of each coding.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    page: Arc<Page>,
    plain: Stamped,
    gzip: Option<Stamped>,
}

impl Kept {
    pub(crate) fn new(page: Arc<Page>) -> Self {
        let plain = Stamped::new(page.plain.whole.clone());
        let gzip = page.gzip.as_ref().map(|gzip| Stamped::new(gzip.whole.clone()));
        Self { page, plain, gzip }
    }

    /// Makes this second's bytes, so that every copy of this shares them.
    pub(crate) fn stamp(&mut self, date: &HttpDate) {
        for stamped in std::iter::once(&mut self.plain).chain(&mut self.gzip) {
            stamped.at(date, http::Connection::Implied, false);
        }
    }

    /// The tag of what somebody in that form would be sent.
    pub(crate) fn etag(&self, form: Form) -> &str {
        match &self.page.gzip {
            Some(gzip) if form.takes_gzip => &gzip.etag,
            _ => &self.page.plain.etag,
        }
    }

    /// What to send to somebody who takes (or does not take) gzip and has `held` already.
    pub(crate) fn answer(
        &mut self,
        form: Form,
        held: Option<&str>,
        date: &HttpDate,
    ) -> (Status, bytes::Bytes) {
        let (encoded, stamped) = match (&self.page.gzip, &mut self.gzip) {
            (Some(encoded), Some(stamped)) if form.takes_gzip => (encoded, stamped),
            _ => (&self.page.plain, &mut self.plain),
        };
        if held.is_some_and(|held| http::etag_matches(held, &encoded.etag)) {
            return (Status::NOT_MODIFIED, encoded.unchanged.dated(date, form.connection, true));
        }
        (Status::OK, stamped.at(date, form.connection, form.is_head))
    }
}

/// In which form one viewer wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) connection: http::Connection,
    pub(crate) is_head: bool,
    pub(crate) takes_gzip: bool,
}

impl Form {
    pub(crate) fn of(request: &http::Request<'_>) -> Self {
        Self {
            connection: http::Connection::to(request),
            is_head: request.method == http::Method::Head,
            takes_gzip: request.accepts_gzip,
        }
    }

    pub(crate) fn keeps_alive(self) -> bool {
        self.connection != http::Connection::Close
    }
}
