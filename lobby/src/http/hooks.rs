//! Webhooks: addresses that are told when a broadcast begins and ends.

use super::fault::Fault;
use super::owned::{Owned, gone, listed, made, one_more};
use super::who::Json;
use crate::lobby::Lobby;
use crate::secret::{id, word};
use crate::store::{Telling, UnixMillis, Webhook};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
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

/// `http` or `https`, a host, no name and password before it.
fn address(url: &str) -> Option<Uri> {
    let address: Uri = url.parse().ok().filter(|_| url.len() <= URL_BYTES)?;
    let is_web = matches!(address.scheme_str(), Some("https" | "http"));
    let authority = address.authority()?.as_str();
    (is_web && !authority.contains('@') && address.host().is_some_and(|host| !host.is_empty()))
        .then_some(address)
}

pub(super) async fn make(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, .. }: Owned,
    Json(NewHook { url }): Json<NewHook>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    let address = address(&url)
        .ok_or_else(|| Fault::Bad(format!("an address is https://host/… of at most {URL_BYTES} bytes")))?;
    if !lobby.reach.takes(address.host().unwrap_or_default()) {
        return Err(Fault::Bad("that address is of a private network or of this machine".into()));
    }
    let hook = Webhook {
        id: id(),
        broadcast: broadcast.name,
        url,
        secret: word(),
        made: UnixMillis::now(),
        last: None,
    };
    one_more(lobby.store.add_webhook_within(&hook, WEBHOOKS).await?, WEBHOOKS, "webhooks")?;
    Ok(made(json!({ "id": hook.id, "url": hook.url, "secret": hook.secret })))
}

pub(super) async fn list(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, .. }: Owned,
) -> Result<axum::Json<Value>, Fault> {
    let hooks = lobby.store.webhooks_of(&broadcast.name, WEBHOOKS).await?;
    let last = |it: &Telling| json!({ "at_ms": it.at, "taken": it.refusal.is_none(), "says": it.refusal });
    listed(
        "webhooks",
        &hooks,
        |it| json!({ "id": it.id, "url": it.url, "made_ms": it.made, "last": it.last.as_ref().map(last) }),
    )
}

pub(super) async fn delete(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, id, .. }: Owned,
) -> Result<StatusCode, Fault> {
    gone(lobby.store.delete_webhook(&broadcast.name, &id).await?, "there is no such webhook")
}
