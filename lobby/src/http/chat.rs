//! What is said in a broadcast's room, and keeping order there. Readers get it from edges, not from here.

use super::PAGE_ROWS;
use super::broadcasts::{is_own, moderated_by, name};
use super::fault::Fault;
use super::who::{Asked, At, Json, Perhaps, Who};
use crate::lobby::Lobby;
use crate::policy::Text;
use crate::store::{
    AccountId, Broadcast, ChatMessage, Post, PostRefusal, Posted, Restraint, RestraintKind, Session,
    UnixMillis, Visibility,
};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Letters of a nonce.
const NONCE_LETTERS: usize = 64;
/// The slowest a room gets.
const SLOW_SECONDS: u32 = 3600;
const NONE: Fault = Fault::NotFound("there is no such room");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saying {
    text: Text,
    #[serde(default)]
    nonce: Option<String>,
}

fn shown(it: &ChatMessage) -> Value {
    json!({
        "sequence": it.sequence, "kind": it.kind.as_str(), "author": it.account, "name": it.name,
        "badge": it.badge, "text": it.text, "target": it.target, "at_ms": it.at,
    })
}

/// Whoever is signed in may be in a public room; in a private one only who may moderate it, or was given a ticket, which
/// is all that an account needs to get one.
async fn room(lobby: &Lobby, text: &str) -> Result<Broadcast, Fault> {
    lobby.store.broadcast(&name(text)?).await?.ok_or(NONE)
}

pub(super) async fn say(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(at): At<String>,
    Json(Saying { text, nonce }): Json<Saying>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    if nonce.as_ref().is_some_and(|nonce| nonce.chars().count() > NONCE_LETTERS) {
        return Err(Fault::Bad(format!("a nonce has at most {NONCE_LETTERS} letters")));
    }
    lobby.rates.posts.take(&who.account).map_err(Fault::TooOften)?;
    let broadcast = room(&lobby, &at).await?;
    let is_own = is_own(&who, &broadcast);
    let post = Post {
        broadcast: &broadcast.name,
        account: &who.account,
        name: &who.name,
        badge: who.role,
        text: text.as_str(),
        nonce: nonce.as_deref(),
        is_exempt: who.role.moderates(is_own),
    };
    let posted = lobby.store.post(&post, UnixMillis::now()).await;
    match posted? {
        Posted::New(message) => {
            lobby.counts.posts.inc();
            lobby.desk.said(&message);
            Ok((StatusCode::CREATED, axum::Json(shown(&message))))
        }
        Posted::Again(message) => Ok((StatusCode::OK, axum::Json(shown(&message)))),
        Posted::Refused(refusal) => {
            lobby.counts.refused_posts.inc();
            Err(refused(refusal))
        }
    }
}

fn refused(refusal: PostRefusal) -> Fault {
    match refusal {
        PostRefusal::NoRoom => NONE,
        PostRefusal::Banned { .. } => Fault::Forbidden("you are banned from this room"),
        PostRefusal::Muted { .. } => Fault::Forbidden("you are muted in this room"),
        PostRefusal::Slow { again_in, .. } => Fault::TooOften(again_in),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct From {
    after: Option<u64>,
}

pub(super) async fn history(
    State(lobby): State<Arc<Lobby>>,
    Perhaps(who): Perhaps,
    At(at): At<String>,
    Asked(From { after }): Asked<From>,
) -> Result<axum::Json<Value>, Fault> {
    let broadcast = room(&lobby, &at).await?;
    let may = |who: &Session| who.role.moderates(is_own(who, &broadcast));
    if broadcast.visibility == Visibility::Private && !who.as_ref().is_some_and(may) {
        return Err(NONE);
    }
    let lines = match after {
        Some(after) => lobby.store.messages_after(&broadcast.name, after.min(1 << 62), PAGE_ROWS).await?,
        None => lobby.store.newest_messages(&broadcast.name, PAGE_ROWS).await?,
    };
    Ok(axum::Json(json!({ "messages": lines.iter().map(shown).collect::<Vec<_>>() })))
}

pub(super) async fn take_away(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((at, sequence)): At<(String, u64)>,
) -> Result<StatusCode, Fault> {
    let broadcast = room(&lobby, &at).await?;
    let said = lobby.store.message(&broadcast.name, sequence.min(1 << 62)).await?;
    let said = said.ok_or(Fault::NotFound("there is no such message"))?;
    // One's own may be taken back by oneself.
    if said.account.as_ref() != Some(&who.account) {
        moderated_by(&lobby, &who, &at).await?;
    }
    match lobby.store.tombstone(&broadcast.name, sequence, &who.name, UnixMillis::now()).await? {
        Some(mark) => lobby.desk.said(&mark),
        None => return Err(Fault::NotFound("there is no such message")),
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn restraints(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(at): At<String>,
) -> Result<axum::Json<Value>, Fault> {
    let broadcast = moderated_by(&lobby, &who, &at).await?;
    let row = |it: &Restraint| json!({ "account": it.account, "name": it.name, "kind": it.kind, "until_ms": it.until });
    let rows = lobby.store.restraints(&broadcast.name, UnixMillis::now(), PAGE_ROWS).await?;
    Ok(axum::Json(json!({ "restraints": rows.iter().map(row).collect::<Vec<_>>() })))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Restraining {
    /// For good where it does not say.
    seconds: Option<u64>,
    /// Whether everything that was said is taken away too.
    clear: bool,
}

pub(super) async fn restrain(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((at, account, kind)): At<(String, String, String)>,
    Json(Restraining { seconds, clear }): Json<Restraining>,
) -> Result<StatusCode, Fault> {
    let broadcast = moderated_by(&lobby, &who, &at).await?;
    let kind: RestraintKind = kind.parse().map_err(|()| Fault::NotFound("mute and ban are known"))?;
    let (account, now) = (AccountId(account), UnixMillis::now());
    let other = lobby.store.account(&account).await?.ok_or(Fault::NotFound("there is no such account"))?;
    if !who.role.may_restrain(other.role, is_own(&who, &broadcast))
        || broadcast.owner.as_ref() == Some(&account)
    {
        return Err(Fault::Forbidden("not somebody who keeps order himself"));
    }
    let until = seconds.map(|seconds| now.plus(Duration::from_secs(seconds.min(10 * 366 * 86_400))));
    lobby.store.restrain(&broadcast.name, &account, kind, until, &who.account, now).await?;
    if clear && let Some(mark) = lobby.store.clear(&broadcast.name, &account, &who.name, now).await? {
        lobby.desk.said(&mark);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn lift(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((at, account, kind)): At<(String, String, String)>,
) -> Result<StatusCode, Fault> {
    let broadcast = moderated_by(&lobby, &who, &at).await?;
    let kind: RestraintKind = kind.parse().map_err(|()| Fault::NotFound("mute and ban are known"))?;
    let account = AccountId(account);
    // Who was turned away, and not only silenced, is let in again by whoever may turn away.
    let mut was_held = false;
    if kind == RestraintKind::Ban && who.role.runs(is_own(&who, &broadcast)) {
        let holder = lobby.share_secret.account(&account.0, &broadcast.name);
        was_held = lobby.store.admit_again(&broadcast.name, holder).await?;
        if was_held {
            lobby.tell_edges().await?;
        }
    }
    match lobby.store.lift(&broadcast.name, &account, kind).await? || was_held {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Fault::NotFound("nothing of that kind is held against that account")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    seconds: u32,
}

pub(super) async fn slow(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At(at): At<String>,
    Json(Pace { seconds }): Json<Pace>,
) -> Result<StatusCode, Fault> {
    let broadcast = moderated_by(&lobby, &who, &at).await?;
    if seconds > SLOW_SECONDS {
        return Err(Fault::Bad(format!("a room waits at most {SLOW_SECONDS} s")));
    }
    if let Some(mark) = lobby.store.set_slow(&broadcast.name, seconds, &who.name, UnixMillis::now()).await? {
        lobby.desk.said(&mark);
    }
    Ok(StatusCode::NO_CONTENT)
}
