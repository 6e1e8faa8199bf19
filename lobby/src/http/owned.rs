//! What a broadcast has of its own, keys, links and webhooks: whoever runs it makes some of it, up to a bound, has it
//! listed, and takes it away again.

use super::broadcasts::run_by;
use super::fault::Fault;
use super::who::{At, Who};
use crate::lobby::Lobby;
use crate::store::{Broadcast, Session};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The broadcast of the path, asked for by somebody who runs it, and the `{id}` behind it.
pub(super) struct Owned {
    pub(super) broadcast: Broadcast,
    pub(super) who: Session,
    pub(super) id: String,
}

impl FromRequestParts<Arc<Lobby>> for Owned {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, lobby: &Arc<Lobby>) -> Result<Self, Fault> {
        let Who(who) = Who::from_request_parts(parts, lobby).await?;
        let At(mut path): At<BTreeMap<String, String>> = At::from_request_parts(parts, lobby).await?;
        let name = path.remove("name").unwrap_or_default();
        let broadcast = run_by(lobby, &who, &name).await?;
        Ok(Self { broadcast, who, id: path.remove("id").unwrap_or_default() })
    }
}

/// One more was added, unless it had so many.
pub(super) fn one_more(was_added: bool, limit: u64, what: &str) -> Result<(), Fault> {
    match was_added {
        true => Ok(()),
        false => Err(Fault::Conflict(format!("it has {limit} {what} already; take one away"))),
    }
}

/// It was made.
pub(super) fn made(body: Value) -> (StatusCode, axum::Json<Value>) {
    (StatusCode::CREATED, axum::Json(body))
}

/// All of it, under the name of what it is.
pub(super) fn listed<T>(
    what: &str,
    all: &[T],
    row: impl Fn(&T) -> Value,
) -> Result<axum::Json<Value>, Fault> {
    Ok(axum::Json(json!({ what: all.iter().map(row).collect::<Vec<_>>() })))
}

/// It is gone, if it was there.
pub(super) fn gone(was_there: bool, none: &'static str) -> Result<StatusCode, Fault> {
    match was_there {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Fault::NotFound(none)),
    }
}
