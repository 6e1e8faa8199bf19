//! Webhooks: addresses that are told when a broadcast begins and ends.

use super::broadcasts::run_by;
use super::fault::Fault;
use super::who::{At, Json, Who};
use crate::lobby::Lobby;
use crate::secret::{id, word};
use crate::store::{UnixMillis, Webhook};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Webhooks of one broadcast.
pub const WEBHOOKS: u64 = 4;
/// Bytes of an address.
const URL_BYTES: usize = 512;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHook {
    url: String,
}

pub(super) async fn make(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
    Json(NewHook { url }): Json<NewHook>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if !is_web || url.len() > URL_BYTES || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Fault::Bad(format!("an address begins with https:// and has at most {URL_BYTES} bytes")));
    }
    if lobby.store.webhooks_of(&broadcast.name, WEBHOOKS).await?.len() as u64 >= WEBHOOKS {
        return Err(Fault::Conflict(format!("it has {WEBHOOKS} webhooks already")));
    }
    let hook = Webhook { id: id(), broadcast: broadcast.name, url, secret: word(), made: UnixMillis::now() };
    lobby.store.add_webhook(&hook).await?;
    let body = json!({ "id": hook.id, "url": hook.url, "secret": hook.secret });
    Ok((StatusCode::CREATED, axum::Json(body)))
}

pub(super) async fn list(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
) -> Result<axum::Json<Value>, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let hooks = lobby.store.webhooks_of(&broadcast.name, WEBHOOKS).await?;
    let rows: Vec<Value> =
        hooks.iter().map(|hook| json!({ "id": hook.id, "url": hook.url, "made_ms": hook.made })).collect();
    Ok(axum::Json(json!({ "webhooks": rows })))
}

pub(super) async fn delete(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((text, id)): At<(String, String)>,
) -> Result<StatusCode, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    match lobby.store.delete_webhook(&broadcast.name, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Fault::NotFound("there is no such webhook")),
    }
}
