//! Broadcasts: who has which, what they are called, who may see them.

use super::PAGE_ROWS;
use super::fault::Fault;
use super::who::{After, Asked, At, Json, Perhaps, Who};
use crate::lobby::Lobby;
use crate::policy::Title;
use crate::store::{Broadcast, Session, UnixMillis, Visibility};
use axum::extract::State;
use axum::http::StatusCode;
use media::BroadcastId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

const NONE: Fault = Fault::NotFound("there is no such broadcast");

/// A name in a path: one that cannot be is one that is not there.
pub(super) fn name(text: &str) -> Result<BroadcastId, Fault> {
    BroadcastId::parse(text).map_err(|_| NONE)
}

pub(super) fn is_own(session: &Session, broadcast: &Broadcast) -> bool {
    broadcast.owner.as_ref() == Some(&session.account)
}

/// The broadcast, if whoever asks may change it; who may not see it is not told that it is there.
pub(super) async fn run_by(lobby: &Lobby, who: &Session, text: &str) -> Result<Broadcast, Fault> {
    let broadcast = lobby.store.broadcast(&name(text)?).await?.ok_or(NONE)?;
    match (who.role.runs(is_own(who, &broadcast)), broadcast.visibility) {
        (true, _) => Ok(broadcast),
        (false, Visibility::Private) => Err(NONE),
        (false, _) => Err(Fault::Forbidden("it is not yours")),
    }
}

/// The broadcast, if whoever asks may moderate its room.
pub(super) async fn moderated_by(lobby: &Lobby, who: &Session, text: &str) -> Result<Broadcast, Fault> {
    let broadcast = lobby.store.broadcast(&name(text)?).await?.ok_or(NONE)?;
    match who.role.moderates(is_own(who, &broadcast)) {
        true => Ok(broadcast),
        false if broadcast.visibility == Visibility::Private => Err(NONE),
        false => Err(Fault::Forbidden("you do not moderate this room")),
    }
}

fn shown(it: &Broadcast, session: Option<&Session>) -> Value {
    let mut row = json!({ "name": it.name.as_str(), "title": it.title, "visibility": it.visibility });
    if session.is_some_and(|session| session.role.runs(is_own(session, it))) {
        row["owner"] = json!(it.owner);
        row["made_ms"] = json!(it.made);
    }
    row
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBroadcast {
    name: String,
    #[serde(default)]
    title: Option<Title>,
    #[serde(default)]
    visibility: Visibility,
}

pub(super) async fn make(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    Json(new): Json<NewBroadcast>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    if !who.role.broadcasts() {
        return Err(Fault::Forbidden("only broadcasters may; ask an administrator"));
    }
    let name = BroadcastId::parse(&new.name).map_err(|error| Fault::Bad(error.to_string()))?;
    if new.visibility != Visibility::Public {
        lobby.one_more_unlisted().await?;
    }
    let limit = lobby.settings.broadcasts.value();
    let title = new.title.map(|title| title.as_str().to_owned()).unwrap_or_default();
    let (owner, made) = (Some(who.account.clone()), UnixMillis::now());
    let broadcast = Broadcast { name, owner, title, visibility: new.visibility, made };
    if !lobby.store.add_broadcast_within(&broadcast, limit).await? {
        return Err(Fault::Conflict(format!("you have {limit} broadcasts already")));
    }
    lobby.desk.open(&*lobby.store, &broadcast.name).await?;
    lobby.tell_edges().await?;
    Ok((StatusCode::CREATED, axum::Json(shown(&broadcast, Some(&who)))))
}

pub(super) async fn list(
    State(lobby): State<Arc<Lobby>>,
    Perhaps(who): Perhaps,
    Asked(After { after, mine }): Asked<After>,
) -> Result<axum::Json<Value>, Fault> {
    let rows = match (&who, mine) {
        (None, true) => return Err(Fault::NobodySignedIn),
        (Some(who), true) => lobby.store.broadcasts_of(&who.account, &after, PAGE_ROWS).await?,
        (_, false) => lobby.store.broadcasts_seen(&after, PAGE_ROWS).await?,
    };
    let rows: Vec<Value> = rows.iter().map(|it| shown(it, who.as_ref())).collect();
    Ok(axum::Json(json!({ "broadcasts": rows })))
}

pub(super) async fn one(
    State(lobby): State<Arc<Lobby>>,
    Perhaps(who): Perhaps,
    At(text): At<String>,
) -> Result<axum::Json<Value>, Fault> {
    let broadcast = lobby.store.broadcast(&name(&text)?).await?.ok_or(NONE)?;
    let runs = who.as_ref().is_some_and(|who| who.role.runs(is_own(who, &broadcast)));
    // Of a private one nobody learns its title; that there is one, whoever is signed in may learn by asking for a ticket.
    if broadcast.visibility == Visibility::Private && !runs {
        return Err(NONE);
    }
    Ok(axum::Json(shown(&broadcast, who.as_ref())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default)]
    title: Option<Title>,
    #[serde(default)]
    visibility: Option<Visibility>,
}

pub(super) async fn change(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
    Json(change): Json<Change>,
) -> Result<StatusCode, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let title = change.title.as_ref().map(Title::as_str);
    let is_hidden = change.visibility.is_some_and(|visibility| visibility != Visibility::Public);
    if is_hidden && broadcast.visibility == Visibility::Public {
        lobby.one_more_unlisted().await?;
    }
    if !lobby.store.change_broadcast(&broadcast.name, title, change.visibility).await? {
        return Err(NONE);
    }
    lobby.tell_edges().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How it arrives, for who runs it.
pub(super) async fn health(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
) -> Result<axum::Json<Value>, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    Ok(axum::Json(lobby.admission.on_air().shown(&broadcast.name, Instant::now())))
}

pub(super) async fn delete(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(text): At<String>,
) -> Result<StatusCode, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    lobby.delete_broadcast(&broadcast.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
