//! The operator's page at `/`: the one that `make web` made, or else the plain one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Room, plain, status_of};

/// Name, media type, bytes.
static PAGE: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/operator_page.rs"));

/// Nothing but our own files, no frame around us, forms to ourselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn fields(media_type: &'static str, cache: &'static str) -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
}

fn file(name: &str) -> Option<&'static (&'static str, &'static str, &'static [u8])> {
    PAGE.iter().find(|(known, ..)| *known == name)
}

/// `/`.
pub(super) async fn index(State(room): State<Arc<Room>>) -> Response {
    match file("index.html") {
        Some((_, media_type, bytes)) => (fields(media_type, "no-cache"), *bytes).into_response(),
        None => plainly(&room),
    }
}

/// `/plain`.
pub(super) async fn plain(State(room): State<Arc<Room>>) -> Response {
    plainly(&room)
}

fn plainly(room: &Room) -> Response {
    let page = plain::page(&status_of(room), &room.switches.events.after(0), file("index.html").is_some());
    (fields("text/html; charset=utf-8", "no-store"), page).into_response()
}

/// `/assets/{name}`: names change with the content.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match file(&name).filter(|(name, ..)| *name != "index.html") {
        Some((_, media_type, bytes)) => {
            (fields(media_type, "public, max-age=31536000, immutable"), *bytes).into_response()
        }
        None => (StatusCode::NOT_FOUND, "nothing here\n").into_response(),
    }
}

/// `/plain.css`.
pub(super) async fn style() -> Response {
    (fields("text/css; charset=utf-8", "no-cache"), plain::STYLE).into_response()
}
