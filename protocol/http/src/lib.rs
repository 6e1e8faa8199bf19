//! HTTP/1.1 as an edge and a balancer need it: request heads in, answer heads out (RFC 9110, RFC 9112).
//!
//! Lives here: what a head means ([`parse`] to a [`Request`] or a [`Refusal`]), byte ranges, entity tags, dates,
//! and heads rendered once and sent many times ([`Head`], [`Prerendered`]). Does not live here: which path means
//! what (`delivery`, `lb`), connections and time-outs (`percore`), HTTP/2.
//!
//! A request has no body here: every method that may bring one is refused, and so the question where a body
//! ends, which is what request smuggling lives on, is never asked.

mod answer;
mod date;
mod etag;
mod query;
mod range;
mod request;
mod status;
mod target;

pub use answer::{Connection, Cors, Head, Prerendered, Stamped, refusal, sentence};
pub use date::HttpDate;
pub use etag::{accepts_gzip, etag_is_among, etag_matches};
pub use query::Query;
pub use range::{Range, Span, Unsatisfiable};
pub use request::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Method, Parsed, Refusal, Request, parse};
pub use status::Status;
