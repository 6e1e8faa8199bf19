//! Publish keys: shown once, when they are made.

use super::fault::Fault;
use super::owned::{Owned, gone, listed, made, one_more};
use super::who::Json;
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
    made(
        json!({ "id": kept.id, "key": key, "stream_key": stream_key, "label": kept.label, "made_ms": kept.made }),
    )
}

pub(super) async fn make(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, .. }: Owned,
    Json(asked): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    let (key, kept) = new(&broadcast, &asked);
    one_more(lobby.store.add_key_within(&kept, KEYS).await?, KEYS, "keys")?;
    Ok(shown_once(&key, &kept))
}

pub(super) async fn rotate(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, .. }: Owned,
    Json(asked): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    let (key, kept) = new(&broadcast, &asked);
    let revoked = lobby.store.rotate_key(&kept).await?;
    lobby.admission.revoke(revoked);
    Ok(shown_once(&key, &kept))
}

pub(super) async fn list(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, .. }: Owned,
) -> Result<axum::Json<Value>, Fault> {
    let keys = lobby.store.keys_of(&broadcast.name).await?;
    listed("keys", &keys, |it| json!({ "id": it.id, "label": it.label, "made_ms": it.made }))
}

pub(super) async fn revoke(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, id, .. }: Owned,
) -> Result<StatusCode, Fault> {
    let revoked = lobby.store.revoke_key(&broadcast.name, &id).await?;
    let was_there = revoked.is_some();
    lobby.admission.revoke(revoked.into_iter().collect());
    gone(was_there, "there is no such key")
}
