//! Publish keys: shown once, when they are made.

use super::broadcasts::run_by;
use super::fault::Fault;
use super::who::{At, Json, Who};
use crate::lobby::Lobby;
use crate::policy::Title;
use crate::secret::{digest, id, word};
use crate::store::{Broadcast, PublishKey, UnixMillis};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Keys of one broadcast.
pub(crate) const KEYS: u64 = 16;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewKey {
    label: Option<Title>,
}

fn new(broadcast: &Broadcast, asked: &NewKey) -> (String, PublishKey) {
    let key = word();
    let kept = PublishKey {
        id: id(),
        broadcast: broadcast.name.clone(),
        digest: digest(&key),
        label: asked.label.as_ref().map(|label| label.as_str().to_owned()).unwrap_or_default(),
        made: UnixMillis::now(),
    };
    (key, kept)
}

fn shown_once(key: &str, kept: &PublishKey) -> (StatusCode, axum::Json<Value>) {
    let stream_key = format!("{}?key={key}", kept.broadcast);
    let body = json!({ "id": kept.id, "key": key, "stream_key": stream_key, "label": kept.label, "made_ms": kept.made });
    (StatusCode::CREATED, axum::Json(body))
}

pub(super) async fn make(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
    Json(asked): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    if lobby.store.key_count(&broadcast.name).await? >= KEYS {
        return Err(Fault::Conflict(format!("it has {KEYS} keys already; revoke one")));
    }
    let (key, kept) = new(&broadcast, &asked);
    lobby.store.add_key(&kept).await?;
    Ok(shown_once(&key, &kept))
}

pub(super) async fn rotate(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
    Json(asked): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let (key, kept) = new(&broadcast, &asked);
    let revoked = lobby.store.rotate_key(&kept).await?;
    lobby.admission.revoke(revoked);
    Ok(shown_once(&key, &kept))
}

pub(super) async fn list(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
) -> Result<axum::Json<Value>, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let keys = lobby.store.keys_of(&broadcast.name).await?;
    let rows: Vec<Value> =
        keys.iter().map(|key| json!({ "id": key.id, "label": key.label, "made_ms": key.made })).collect();
    Ok(axum::Json(json!({ "keys": rows })))
}

pub(super) async fn revoke(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((text, id)): At<(String, String)>,
) -> Result<StatusCode, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let revoked = lobby.store.revoke_key(&broadcast.name, &id).await?;
    lobby.admission.revoke(vec![revoked.ok_or(Fault::NotFound("there is no such key"))?]);
    Ok(StatusCode::NO_CONTENT)
}
