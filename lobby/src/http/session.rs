//! Signing in and out, and what one may do to one's own account.

use super::fault::Fault;
use super::who::{self, Address, COOKIE, Json, Who};
use crate::lobby::Lobby;
use crate::policy::{Name, Password, origin};
use crate::rates::neighbour;
use crate::secret::{digest, word};
use crate::store::{AccountId, UnixMillis};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    name: String,
    password: String,
}

/// A password that is looked at: nothing over what one may have is hashed.
fn is_one(password: &str) -> bool {
    password.len() <= crate::policy::words::PASSWORD_BYTES
}

pub(super) async fn sign_in(
    State(lobby): State<Arc<Lobby>>,
    Address(from): Address,
    headers: HeaderMap,
    Json(SignIn { name, password }): Json<SignIn>,
) -> Result<Response, Fault> {
    lobby.counts.sign_ins.inc();
    lobby.rates.addresses.take(neighbour(from)).map_err(Fault::TooOften)?;
    // A name that cannot be one costs as much as one that nobody has.
    let folded = Name::parse(&name).map(|name| name.folded()).unwrap_or_default();
    lobby.rates.accounts.take(&folded).map_err(Fault::TooOften)?;
    let account = lobby.store.account_named(&folded).await?;
    let hashed = account.as_ref().map(|account| account.password.clone()).filter(|_| is_one(&password));
    let password = if is_one(&password) { password } else { String::new() };
    let is_right = lobby.passwords.verify(&password, hashed).await?;
    match account {
        Some(account) if is_right => {
            begin(&lobby, &account.id, &account.name, account.role.as_str(), &headers).await
        }
        _ => {
            lobby.counts.refused_sign_ins.inc();
            Err(Fault::SignIn)
        }
    }
}

/// A new cookie, whatever the one was that came: nobody plants one here.
async fn begin(
    lobby: &Lobby,
    account: &AccountId,
    name: &str,
    role: &str,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    let (cookie, now) = (word(), UnixMillis::now());
    let before = who::cookie(headers).map(digest);
    let lasts = lobby.settings.session.duration();
    let most = lobby.settings.sessions.value();
    lobby.store.begin_session(&digest(&cookie), account, now, now.plus(lasts), before.as_ref(), most).await?;
    let body = json!({ "id": account, "name": name, "role": role, "token": origin::token(&cookie) });
    Ok(with_cookie(axum::Json(body).into_response(), &cookie, lasts.as_secs()))
}

fn with_cookie(mut response: Response, cookie: &str, seconds: u64) -> Response {
    let line = format!("{COOKIE}={cookie}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(header::SET_COOKIE, line);
    }
    response
}

pub(super) async fn sign_out(
    State(lobby): State<Arc<Lobby>>,
    _who: Who,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    if let Some(cookie) = who::cookie(&headers) {
        lobby.store.end_session(&digest(cookie)).await?;
    }
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0))
}

/// Here and wherever else.
pub(super) async fn sign_out_everywhere(
    State(lobby): State<Arc<Lobby>>,
    Who(session): Who,
) -> Result<Response, Fault> {
    lobby.store.end_sessions_of(&session.account).await?;
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0))
}

pub(super) async fn me(Who(session): Who, headers: HeaderMap) -> axum::Json<serde_json::Value> {
    let token = who::cookie(&headers).map(origin::token);
    axum::Json(json!({
        "id": session.account, "name": session.name, "role": session.role, "token": token,
        "expires_ms": session.expires,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    old: String,
    new: Password,
}

/// Whether whoever is signed in knows his password.
async fn knows(lobby: &Lobby, session: &crate::store::Session, password: &str) -> Result<(), Fault> {
    lobby.rates.accounts.take(session.name.to_ascii_lowercase()).map_err(Fault::TooOften)?;
    let account = lobby.store.account(&session.account).await?;
    let hashed = account.map(|account| account.password).filter(|_| is_one(password));
    let password = if is_one(password) { password } else { "" };
    match lobby.passwords.verify(password, hashed).await? {
        true => Ok(()),
        false => Err(Fault::SignIn),
    }
}

pub(super) async fn change_password(
    State(lobby): State<Arc<Lobby>>,
    Who(session): Who,
    headers: HeaderMap,
    Json(NewPassword { old, new }): Json<NewPassword>,
) -> Result<Response, Fault> {
    knows(&lobby, &session, &old).await?;
    let hashed = lobby.passwords.hash(new.as_str()).await?;
    if !lobby.store.set_password(&session.account, &hashed).await? {
        return Err(Fault::NobodySignedIn);
    }
    // Every session is over, this one too; whoever changed it goes on with a new one.
    begin(&lobby, &session.account, &session.name, session.role.as_str(), &headers).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Farewell {
    password: String,
}

pub(super) async fn delete_me(
    State(lobby): State<Arc<Lobby>>,
    Who(session): Who,
    Json(Farewell { password }): Json<Farewell>,
) -> Result<Response, Fault> {
    knows(&lobby, &session, &password).await?;
    lobby.delete_account(&session.account, session.role).await?;
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0))
}
