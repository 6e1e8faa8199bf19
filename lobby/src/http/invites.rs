//! Invites: made by administrators, shown once.

use super::PAGE_ROWS;
use super::fault::Fault;
use super::who::{At, Json, Who};
use crate::lobby::Lobby;
use crate::policy::Role;
use crate::secret::{digest, hex, unhex, word};
use crate::store::{Invite, UnixMillis};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Hours an invite is good for, at most.
const HOURS: u64 = 30 * 24;

fn admin(who: &Who) -> Result<(), Fault> {
    if who.0.role == Role::Admin { Ok(()) } else { Err(Fault::Forbidden("only administrators may")) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvite {
    #[serde(default)]
    role: Role,
    hours: u64,
}

pub(super) async fn make(
    State(lobby): State<Arc<Lobby>>,
    who: Who,
    Json(NewInvite { role, hours }): Json<NewInvite>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    admin(&who)?;
    if !(1..=HOURS).contains(&hours) {
        return Err(Fault::Bad(format!("an invite is good for 1 to {HOURS} hours")));
    }
    let (invite, now) = (word(), UnixMillis::now());
    let expires = now.plus(Duration::from_secs(hours * 3600));
    let kept = Invite { digest: digest(&invite), role, made_by: Some(who.0.account), made: now, expires };
    lobby.store.add_invite(&kept).await?;
    Ok((
        StatusCode::CREATED,
        axum::Json(json!({ "id": hex(&kept.digest), "invite": invite, "role": role, "expires_ms": expires })),
    ))
}

pub(super) async fn list(State(lobby): State<Arc<Lobby>>, who: Who) -> Result<axum::Json<Value>, Fault> {
    admin(&who)?;
    let rows: Vec<Value> = lobby
        .store
        .invites(PAGE_ROWS)
        .await?
        .iter()
        .map(|it| json!({ "id": hex(&it.digest), "role": it.role, "made_ms": it.made, "expires_ms": it.expires }))
        .collect();
    Ok(axum::Json(json!({ "invites": rows })))
}

pub(super) async fn delete(
    State(lobby): State<Arc<Lobby>>,
    who: Who,
    At(id): At<String>,
) -> Result<StatusCode, Fault> {
    admin(&who)?;
    let digest = unhex(&id).and_then(|digest| digest.try_into().ok());
    let none = Fault::NotFound("there is no such invite");
    match digest {
        Some(digest) if lobby.store.delete_invite(&digest).await? => Ok(StatusCode::NO_CONTENT),
        _ => Err(none),
    }
}
