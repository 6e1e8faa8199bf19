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
mod owned;
mod session;
mod watch;
mod who;

pub use hooks::WEBHOOKS;
pub use openapi::document;

use crate::lobby::Lobby;
use crate::pages;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
pub(crate) use fault::Fault;
use std::sync::Arc;

/// Bytes of a request's body.
pub const BODY_BYTES: usize = 16 << 10;
/// Rows of one answer.
pub const PAGE_ROWS: u64 = 100;

/// Routes under `/api/v1`, and their names, that the document is held to.
struct Routes {
    router: Router<Arc<Lobby>>,
    named: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn on<H, T>(mut self, method: &'static str, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Lobby>>,
        T: 'static,
    {
        let filter = match method {
            "get" => MethodFilter::GET,
            "post" => MethodFilter::POST,
            "put" => MethodFilter::PUT,
            "patch" => MethodFilter::PATCH,
            _ => MethodFilter::DELETE,
        };
        self.router = self.router.route(path, on(filter, handler));
        self.named.push((method, path));
        self
    }
}

fn v1() -> Routes {
    Routes { router: Router::new(), named: Vec::new() }
        .on("post", "/accounts", accounts::sign_up)
        .on("get", "/accounts", accounts::list)
        .on("patch", "/accounts/{id}", accounts::change)
        .on("delete", "/accounts/{id}", accounts::delete)
        .on("post", "/session", session::sign_in)
        .on("delete", "/session", session::sign_out)
        .on("get", "/place", place)
        .on("get", "/me", session::me)
        .on("delete", "/me", session::delete_me)
        .on("delete", "/me/sessions", session::sign_out_everywhere)
        .on("put", "/me/password", session::change_password)
        .on("post", "/invites", invites::make)
        .on("get", "/invites", invites::list)
        .on("delete", "/invites/{digest}", invites::delete)
        .on("post", "/broadcasts", broadcasts::make)
        .on("get", "/broadcasts", broadcasts::list)
        .on("get", "/broadcasts/{name}", broadcasts::one)
        .on("patch", "/broadcasts/{name}", broadcasts::change)
        .on("delete", "/broadcasts/{name}", broadcasts::delete)
        .on("post", "/broadcasts/{name}/keys", keys::make)
        .on("get", "/broadcasts/{name}/keys", keys::list)
        .on("get", "/broadcasts/{name}/health", broadcasts::health)
        .on("post", "/broadcasts/{name}/keys/rotate", keys::rotate)
        .on("delete", "/broadcasts/{name}/keys/{id}", keys::revoke)
        .on("post", "/broadcasts/{name}/ticket", watch::ticket)
        .on("post", "/broadcasts/{name}/links", watch::make_link)
        .on("get", "/broadcasts/{name}/links", watch::links)
        .on("delete", "/broadcasts/{name}/links/{id}", watch::delete_link)
        .on("put", "/broadcasts/{name}/denials/{account}", watch::deny)
        .on("delete", "/broadcasts/{name}/denials/{account}", watch::admit_again)
        .on("post", "/broadcasts/{name}/messages", chat::say)
        .on("get", "/broadcasts/{name}/messages", chat::history)
        .on("delete", "/broadcasts/{name}/messages/{sequence}", chat::take_away)
        .on("get", "/broadcasts/{name}/restraints", chat::restraints)
        .on("put", "/broadcasts/{name}/restraints/{account}/{kind}", chat::restrain)
        .on("delete", "/broadcasts/{name}/restraints/{account}/{kind}", chat::lift)
        .on("put", "/broadcasts/{name}/slow", chat::slow)
        .on("post", "/broadcasts/{name}/webhooks", hooks::make)
        .on("get", "/broadcasts/{name}/webhooks", hooks::list)
        .on("delete", "/broadcasts/{name}/webhooks/{id}", hooks::delete)
}

/// Everything, with the headers that every answer has.
pub fn router(lobby: Arc<Lobby>) -> Router {
    Router::new()
        .nest("/api/v1", v1().router)
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
    let (parts, body) = request.into_parts();
    // Read in any case: a connection with a body that nobody read is closed, and the next request on it lost.
    let body = to_bytes(body, BODY_BYTES).await.map_err(|_| Fault::TooLong);
    let refused = if is_change { who::is_meant(&lobby, &parts.headers).err() } else { None };
    let mut response = match (refused, body) {
        (Some(fault), _) | (None, Err(fault)) => fault.into_response(),
        (None, Ok(body)) => next.run(Request::from_parts(parts, body.into())).await,
    };
    lobby.counts.answered(response.status().as_u16());
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_documented_and_every_document_is_a_route() {
        let routes: BTreeSet<_> = v1().named.into_iter().collect();
        let documented: BTreeSet<_> = openapi::OPERATIONS.iter().map(|it| (it.0, it.1)).collect();
        let difference: Vec<_> = routes.symmetric_difference(&documented).collect();
        assert!(difference.is_empty(), "of the router or of the document only: {difference:?}");
        assert_eq!(
            (routes.len(), documented.len()),
            (v1().named.len(), openapi::OPERATIONS.len()),
            "each once"
        );
        let document = document();
        for (method, path) in routes {
            let operation = &document["paths"][format!("/api/v1{path}")][method];
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
}
