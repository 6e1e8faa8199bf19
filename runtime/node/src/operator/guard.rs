//! Keeps pages of other sites away from what changes something.
//!
//! The listener has no password and is on loopback, where the operator's browser is too. Whatever page that browser has
//! open can make it POST here; two things tell such a request from one of our own page's, and both are looked at:
//! `Sec-Fetch-Site` (Fetch Metadata; sent to loopback and by TLS only), and `Origin` beside `Host` (RFC 6454; sent with
//! every POST). A name of the attacker's that resolves to 127.0.0.1 (DNS rebinding) makes the two agree, so that a browser
//! must have come by an address or by `localhost`. Programs send neither field and pass.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

pub(super) async fn same_site(request: Request, next: Next) -> Response {
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    match refusal(request.headers()) {
        Some(why) if !changes_nothing => {
            tracing::warn!(path = request.uri().path(), why, "refused at the operator's door");
            (StatusCode::FORBIDDEN, format!("refused: {why}\n")).into_response()
        }
        _ => next.run(request).await,
    }
}

fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    let field = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if field(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none")
    {
        return Some("a page of another site asked for it");
    }
    let origin = field(header::ORIGIN)?;
    let host = field(header::HOST).unwrap_or_default();
    if origin.split_once("://").is_none_or(|(_, origin)| !origin.eq_ignore_ascii_case(host)) {
        return Some("a page of another origin asked for it");
    }
    (!is_here_for_sure(host))
        .then_some("the page was opened by a name; open it by its address or as localhost")
}

/// An address, or `localhost`, which browsers resolve by themselves.
fn is_here_for_sure(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(fields: &[(&'static str, &'static str)]) -> bool {
        let fields = fields.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
        });
        refusal(&fields.collect()).is_none()
    }

    #[test]
    fn programs_and_our_own_page_pass() {
        assert!(passes(&[("host", "edge1.example:9090")]));
        for host in ["127.0.0.1:9090", "localhost:9090", "[::1]:9090", "10.0.0.5"] {
            let origin: &'static str = Box::leak(format!("http://{host}").into_boxed_str());
            assert!(passes(&[("host", host), ("origin", origin)]), "{host}");
            assert!(passes(&[("host", host), ("origin", origin), ("sec-fetch-site", "same-origin")]));
        }
    }

    #[test]
    fn pages_of_others_do_not() {
        let host = ("host", "127.0.0.1:9090");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8080", "https://127.0.0.1", ""] {
            assert!(!passes(&[host, ("origin", origin)]), "{origin:?}");
        }
        assert!(!passes(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!passes(&[host, ("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9090")]));
        // Rebinding: the attacker's own name leads here.
        let rebound = [("host", "evil.example:9090"), ("origin", "http://evil.example:9090")];
        assert!(!passes(&rebound));
    }
}
