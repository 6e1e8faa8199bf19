//! Who may watch what is private: tickets, links that are shared, and taking either back.

use super::PAGE_ROWS;
use super::broadcasts::{is_own, name, run_by};
use super::fault::Fault;
use super::owned::{Owned, gone, listed, made, one_more};
use super::who::{Address, At, Json, Perhaps, Who};
use crate::lobby::Lobby;
use crate::rates::neighbour;
use crate::secret::id;
use crate::share;
use crate::store::{AccountId, Broadcast, Denial, RestraintKind, ShareLink, UnixMillis, Visibility};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Hours a link is good for, at most.
const LINK_HOURS: u64 = 90 * 24;
/// Links of one broadcast.
pub(crate) const LINKS: u64 = 100;
const NONE: Fault = Fault::NotFound("there is no such broadcast");

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    link: Option<String>,
}

/// A ticket for whoever is signed in, or has a link. Who has neither learns nothing.
pub(super) async fn ticket(
    State(lobby): State<Arc<Lobby>>,
    Perhaps(who): Perhaps,
    Address(from): Address,
    At(text): At<String>,
    Json(Asked { link }): Json<Asked>,
) -> Result<axum::Json<Value>, Fault> {
    lobby.rates.tickets.take(neighbour(from)).map_err(Fault::TooOften)?;
    let broadcast = lobby.store.broadcast(&name(&text)?).await?.ok_or(NONE)?;
    let now = UnixMillis::now();
    let (holder, until) = match (&who, link) {
        (_, Some(link)) => by_link(&lobby, &broadcast, &link, now).await?,
        (Some(who), None) => {
            let against = lobby.store.restraints_of(&broadcast.name, &who.account, now).await?;
            let runs = who.role.runs(is_own(who, &broadcast));
            if !runs && against.iter().any(|it| it.kind == RestraintKind::Ban) {
                return Err(NONE);
            }
            (lobby.share_secret.account(&who.account.0, &broadcast.name), who.expires)
        }
        (None, None) if broadcast.visibility == Visibility::Private => return Err(NONE),
        (None, None) => return Err(Fault::NobodySignedIn),
    };
    let denials = lobby.store.denials(now, crate::lobby::DENIALS).await?;
    if denials.iter().any(|it| it.broadcast == broadcast.name && it.holder == holder) {
        return Err(NONE);
    }
    let keys = lobby.ticket_keys.sealing();
    let keys = keys.ok_or(Fault::Forbidden("this lobby has no ticket key (lobby.tickets.key)"))?;
    let expires = until.min(now.plus(lobby.settings.tickets.lifetime.duration()));
    let token = share::ticket(&keys, &broadcast.name, holder, expires);
    Ok(axum::Json(
        json!({ "token": token.to_string(), "path": format!("/v/{token}/{}/index.m3u8", broadcast.name), "expires_ms": expires }),
    ))
}

async fn by_link(
    lobby: &Lobby,
    broadcast: &Broadcast,
    link: &str,
    now: UnixMillis,
) -> Result<(u32, UnixMillis), Fault> {
    let known = share::open_link(&lobby.share_secret, &broadcast.name, link, now).ok_or(NONE)?;
    // Its seal is right; whether it was taken back only the store knows.
    let kept = lobby.store.link(&broadcast.name, known).await?.ok_or(NONE)?;
    Ok((lobby.share_secret.link(&kept.id), kept.expires))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLink {
    hours: u64,
}

pub(super) async fn make_link(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, who, .. }: Owned,
    Json(NewLink { hours }): Json<NewLink>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    if !(1..=LINK_HOURS).contains(&hours) {
        return Err(Fault::Bad(format!("a link is good for 1 to {LINK_HOURS} hours")));
    }
    let now = UnixMillis::now();
    let expires = UnixMillis((now.0 / 1000 + hours as i64 * 3600) * 1000);
    let link =
        ShareLink { id: id(), broadcast: broadcast.name, made_by: Some(who.account), made: now, expires };
    one_more(lobby.store.add_link_within(&link, LINKS).await?, LINKS, "links")?;
    let word = share::seal_link(&lobby.share_secret, &link);
    Ok(made(json!({ "id": link.id, "link": word, "expires_ms": expires })))
}

pub(super) async fn links(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, .. }: Owned,
) -> Result<axum::Json<Value>, Fault> {
    let links = lobby.store.links_of(&broadcast.name, PAGE_ROWS).await?;
    listed("links", &links, |it| json!({ "id": it.id, "made_ms": it.made, "expires_ms": it.expires }))
}

/// How long a denial must hold: until the last ticket that could have been made is over.
fn until(lobby: &Lobby, now: UnixMillis) -> UnixMillis {
    now.plus(lobby.settings.tickets.lifetime.duration() + Duration::from_secs(60))
}

pub(super) async fn delete_link(
    State(lobby): State<Arc<Lobby>>,
    Owned { broadcast, id, .. }: Owned,
) -> Result<StatusCode, Fault> {
    let now = UnixMillis::now();
    let holder = lobby.share_secret.link(&id);
    let denial = Denial { broadcast: broadcast.name, holder, until: until(&lobby, now) };
    let was_there = lobby.store.delete_link(&denial, &id, now).await?;
    lobby.tell_edges().await?;
    gone(was_there, "there is no such link")
}

/// Turns an account's tickets away, and makes no new ones: a denial lasts as long as a ticket does, a ban for longer.
pub(super) async fn deny(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((text, account)): At<(String, String)>,
) -> Result<StatusCode, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let (account, now) = (AccountId(account), UnixMillis::now());
    if lobby.store.account(&account).await?.is_none() {
        return Err(Fault::NotFound("there is no such account"));
    }
    let holder = lobby.share_secret.account(&account.0, &broadcast.name);
    lobby.store.restrain(&broadcast.name, &account, RestraintKind::Ban, None, &who.account, now).await?;
    lobby.store.deny(&Denial { broadcast: broadcast.name, holder, until: until(&lobby, now) }, now).await?;
    lobby.tell_edges().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn admit_again(
    State(lobby): State<Arc<Lobby>>,
    Who(who): Who,
    At((text, account)): At<(String, String)>,
) -> Result<StatusCode, Fault> {
    let broadcast = run_by(&lobby, &who, &text).await?;
    let account = AccountId(account);
    let holder = lobby.share_secret.account(&account.0, &broadcast.name);
    let was_denied = lobby.store.admit_again(&broadcast.name, holder).await?;
    let was_banned = lobby.store.lift(&broadcast.name, &account, RestraintKind::Ban).await?;
    lobby.tell_edges().await?;
    match was_denied || was_banned {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Fault::NotFound("nothing is held against that account")),
    }
}
