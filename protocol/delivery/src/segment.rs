//! A segment's answers: whole, in a range, or not at all because the viewer has it.

use crate::page::Form;
use crate::refused::Refused;
use crate::{Access, Kind, Reply, Segment, Stored};
use http::{Cors, Head, HttpDate, Prerendered, Request, Span, Status};

/// Rule S09.
const TRANSPORT_STREAM: &str = "video/mp2t";

impl<B: Clone> Segment<B> {
    /// What this request of it is answered with.
    pub(crate) fn reply(
        &self,
        request: &Request<'_>,
        form: Form,
        access: Access,
        cors: &Cors,
        date: &HttpDate,
    ) -> Result<Reply<B>, Refused> {
        let Self { body, len, tag } = self;
        let keep_alive = form.keeps_alive();
        let reply = |status, bytes, stored| Reply {
            status,
            kind: Kind::Segment,
            bytes,
            more: Vec::new(),
            stored,
            keep_alive,
        };
        let etag = || segment_etag(*tag);
        if request.if_match.is_some_and(|tags| !http::etag_is_among(tags, &etag())) {
            return Err(Refused::OtherTag);
        }
        if request.if_none_match.is_some_and(|held| http::etag_matches(held, &etag())) {
            let head = segment_unchanged(*tag, access, cors).dated(date, form.connection, true);
            return Ok(reply(Status::NOT_MODIFIED, head, None));
        }
        // RFC 9110, 13.1.5: another tag (or a date, which we never gave) means the whole.
        let range = request.range.filter(|_| request.if_range.is_none_or(|tag| tag == etag()));
        Ok(match range.map(|range| range.of(*len)) {
            None if form.connection == http::Connection::Implied && !form.is_head => {
                reply(Status::OK, bytes::Bytes::new(), Some(Stored::WithHead(body.clone())))
            }
            None => {
                let head = segment_head(*len, *tag, None, access, cors).dated(date, form.connection, true);
                let all = Stored::Range { body: body.clone(), from: 0, len: *len };
                reply(Status::OK, head, (!form.is_head).then_some(all))
            }
            Some(Ok(span)) => {
                let head =
                    segment_head(*len, *tag, Some(span), access, cors).dated(date, form.connection, true);
                let some = Stored::Range { body: body.clone(), from: span.from, len: span.len };
                reply(Status::PARTIAL_CONTENT, head, Some(some))
            }
            Some(Err(_)) => {
                let answer = segment_out_of_range(*len, cors);
                reply(answer.status(), answer.dated(date, form.connection, form.is_head), None)
            }
        })
    }
}

/// What a cache is told of a segment: its name never means other bytes (rule T13).
fn for_ever(access: Access) -> String {
    format!("{}, max-age=31536000, immutable", access.caches())
}

/// The head of a whole segment of `len` bytes, or of `span` of it. `tag` is a hash of its bytes.
///
/// The head in front of a stored body is dated when it is stored: that is when the answer originated, and its age
/// matters to nobody. It says to whose caches as it stood then; a broadcast that becomes private later is so by its door,
/// and its next segments say so.
pub fn segment_head(len: u64, tag: u64, span: Option<Span>, access: Access, cors: &Cors) -> Prerendered {
    let (status, sent) = span.map_or((Status::OK, len), |span| (Status::PARTIAL_CONTENT, span.len));
    let mut head = Head::new(status)
        .content(TRANSPORT_STREAM, sent)
        .cache_control(&for_ever(access))
        .field("ETag", segment_etag(tag))
        .field("Accept-Ranges", "bytes");
    if let Some(Span { from, len: sent }) = span {
        head = head.field("Content-Range", format_args!("bytes {from}-{}/{len}", from + sent - 1));
    }
    head.cors(cors).alone()
}

fn segment_etag(tag: u64) -> String {
    format!("\"{tag:016x}\"")
}

/// 304 of a segment.
fn segment_unchanged(tag: u64, access: Access, cors: &Cors) -> Prerendered {
    Head::new(Status::NOT_MODIFIED)
        .cache_control(&for_ever(access))
        .field("ETag", segment_etag(tag))
        .cors(cors)
        .alone()
}

/// 416 of a segment.
fn segment_out_of_range(len: u64, cors: &Cors) -> Prerendered {
    let range = format!("bytes */{len}");
    http::sentence(
        Status::RANGE_NOT_SATISFIABLE,
        cors,
        &[("Content-Range", &range)],
        &format!("the range lies outside of the {len} bytes there are"),
    )
}
