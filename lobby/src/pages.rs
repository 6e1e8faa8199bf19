//! The lobby's pages, put into the program when it was built (`build.rs` of the balancer, the same files).
//!
//! Lives here: which path is which file, and what a browser may do with it. Does not live here: the pages (`web/`), the API
//! they use (`http`).

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use media::BroadcastId;

/// One file.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    /// Quotes included.
    etag: &'static str,
    /// The name changes with the content.
    is_hashed: bool,
    raw: &'static [u8],
    /// Packed, where that is smaller.
    gz: Option<&'static [u8]>,
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Scripts and styles are ours and in files; media, playlists and chat come from any edge.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' http: https:; \
     media-src 'self' blob: http: https:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// Where the program was built without node.
const NONE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Mascaret</title>\
    <h1>No pages here</h1><p>This lobby was built without its pages (<code>make web</code>). Its API is at \
    <a href=\"/api/openapi.json\">/api/v1</a>.</p>";

/// What is at that path, if anything is.
pub(crate) fn at(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let name = path.strip_prefix('/')?;
    let is_watched = |name: &str| BroadcastId::parse(name.strip_suffix('/').unwrap_or(name)).is_ok();
    let file = match name {
        "" | "sign-in" | "sign-up" | "studio" | "account" | "admin" => "lobby.html",
        name if name.strip_prefix("watch/").is_some_and(is_watched) => "lobby.html",
        name if name.starts_with("assets/") => name,
        _ => return None,
    };
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == file) else {
        let page =
            || with_policy(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NONE).into_response());
        return (file == "lobby.html").then(page);
    };
    Some(with_policy(answer(asset, headers)))
}

fn with_policy(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn answer(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let says = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cache = if asset.is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let common =
        [(header::ETAG, asset.etag), (header::CACHE_CONTROL, cache), (header::VARY, "Accept-Encoding")];
    if says(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim() == asset.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let takes_gzip = says(header::ACCEPT_ENCODING).split(',').any(|coding| coding.trim() == "gzip");
    let kind = [(header::CONTENT_TYPE, asset.media_type)];
    match asset.gz.filter(|_| takes_gzip) {
        Some(gz) => (common, kind, [(header::CONTENT_ENCODING, "gzip")], gz).into_response(),
        None => (common, kind, asset.raw).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, path: &str) -> Option<u16> {
        at(method, path, &HeaderMap::new()).map(|response| response.status().as_u16())
    }

    #[test]
    fn pages_are_at_their_paths_and_nothing_else_is() {
        for path in
            ["/", "/sign-in", "/sign-up", "/studio", "/account", "/admin", "/watch/tide", "/watch/tide/"]
        {
            assert_eq!(status(&Method::GET, path), Some(200), "{path}");
            assert_eq!(status(&Method::POST, path), None, "{path}");
        }
        for path in [
            "/index.html",
            "/lobby.html",
            "/watch/",
            "/watch/a/b",
            "/watch/../x",
            "/assets/",
            "/assets/../lobby.html",
            "/sign-in/",
        ] {
            assert_eq!(status(&Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn a_page_says_what_a_browser_may_do_with_it() {
        let page = at(&Method::GET, "/sign-in", &HeaderMap::new()).unwrap();
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'none'"),
            "{policy}"
        );
        let mut known = HeaderMap::new();
        if let Some(etag) = page.headers().get(header::ETAG) {
            known.insert(header::IF_NONE_MATCH, etag.clone());
            assert_eq!(at(&Method::GET, "/sign-in", &known).unwrap().status(), StatusCode::NOT_MODIFIED);
        }
    }
}
