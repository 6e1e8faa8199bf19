//! The API under `/api/v1`: what pages and programs ask, in JSON.
//!
//! Lives here: routes, who asks ([`who`]), and the words of every refusal ([`fault`]). Does not live here: decisions
//! (`policy`), what is kept (`store`), sockets (`listener`).

mod accounts;
mod broadcasts;
mod chat;
mod fault;
mod hooks;
mod invites;
mod keys;
mod openapi;
mod session;
mod watch;
mod who;

pub use hooks::WEBHOOKS;
pub use openapi::document;

use crate::lobby::Lobby;
use crate::pages;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
pub(crate) use fault::Fault;
use std::sync::Arc;

/// Bytes of a request's body.
pub const BODY_BYTES: usize = 16 << 10;
/// Rows of one answer.
pub const PAGE_ROWS: u64 = 100;

/// Everything, with the headers that every answer has.
pub fn router(lobby: Arc<Lobby>) -> Router {
    let v1 = Router::new()
        .route("/accounts", post(accounts::sign_up).get(accounts::list))
        .route("/accounts/{id}", patch(accounts::change).delete(accounts::delete))
        .route("/session", post(session::sign_in).delete(session::sign_out))
        .route("/place", get(place))
        .route("/me", get(session::me).delete(session::delete_me))
        .route("/me/password", put(session::change_password))
        .route("/invites", post(invites::make).get(invites::list))
        .route("/invites/{digest}", delete(invites::delete))
        .route("/broadcasts", post(broadcasts::make).get(broadcasts::list))
        .route(
            "/broadcasts/{name}",
            get(broadcasts::one).patch(broadcasts::change).delete(broadcasts::delete),
        )
        .route("/broadcasts/{name}/health", get(broadcasts::health))
        .route("/broadcasts/{name}/keys", post(keys::make).get(keys::list))
        .route("/broadcasts/{name}/keys/rotate", post(keys::rotate))
        .route("/broadcasts/{name}/keys/{id}", delete(keys::revoke))
        .route("/broadcasts/{name}/ticket", post(watch::ticket))
        .route("/broadcasts/{name}/links", post(watch::make_link).get(watch::links))
        .route("/broadcasts/{name}/links/{id}", delete(watch::delete_link))
        .route("/broadcasts/{name}/denials/{account}", put(watch::deny).delete(watch::admit_again))
        .route("/broadcasts/{name}/messages", post(chat::say).get(chat::history))
        .route("/broadcasts/{name}/messages/{sequence}", delete(chat::take_away))
        .route("/broadcasts/{name}/restraints", get(chat::restraints))
        .route("/broadcasts/{name}/restraints/{account}/{kind}", put(chat::restrain).delete(chat::lift))
        .route("/broadcasts/{name}/slow", put(chat::slow))
        .route("/broadcasts/{name}/webhooks", post(hooks::make).get(hooks::list))
        .route("/broadcasts/{name}/webhooks/{id}", delete(hooks::delete))
        .layer(DefaultBodyLimit::max(BODY_BYTES));
    Router::new()
        .nest("/api/v1", v1)
        .route("/api/openapi.json", get(async || axum::Json(document())))
        .fallback(page)
        .method_not_allowed_fallback(async || Fault::Method)
        .layer(from_fn_with_state(lobby.clone(), around))
        .with_state(lobby)
}

/// A page of ours, or nothing.
async fn page(request: Request) -> Result<Response, Fault> {
    let path = request.uri().path();
    pages::at(request.method(), path, request.headers()).ok_or(Fault::NotFound("nothing is here"))
}

/// Where this cluster is watched and published to, for pages.
async fn place(State(lobby): State<Arc<Lobby>>) -> axum::Json<serde_json::Value> {
    let settings = &lobby.settings;
    axum::Json(serde_json::json!({ "watch": settings.watch_url, "publish": settings.publish_url }))
}

/// Nothing of ours is framed, sniffed, cached or a source of scripts, unless a page says more precisely what it needs.
const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

async fn around(State(lobby): State<Arc<Lobby>>, request: Request, next: Next) -> Response {
    let is_change = !request.method().is_safe();
    let refused = if is_change { who::is_meant(&lobby, request.headers()).err() } else { None };
    let mut response = match refused {
        Some(fault) => axum::response::IntoResponse::into_response(fault),
        None => next.run(request).await,
    };
    lobby.counts.answered(response.status().as_u16());
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
