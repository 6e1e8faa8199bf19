//! Signing up, and what administrators do to accounts.

use super::PAGE_ROWS;
use super::fault::Fault;
use super::who::{Address, After, Asked, At, Json, Who};
use crate::lobby::Lobby;
use crate::policy::{Name, Password, Role, SignUp};
use crate::rates::neighbour;
use crate::secret::{digest, id};
use crate::store::{AccountId, NewAccount, StoreError, UnixMillis};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The same words whether the name was free or not: who holds it finds out by signing in.
const SIGNED_UP: &str = "if that name was free it is yours now: sign in";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOne {
    name: Name,
    password: Password,
    #[serde(default)]
    invite: Option<String>,
}

pub(super) async fn sign_up(
    State(lobby): State<Arc<Lobby>>,
    Address(from): Address,
    Json(NewOne { name, password, invite }): Json<NewOne>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    lobby.rates.addresses.take(neighbour(from)).map_err(Fault::TooOften)?;
    if lobby.settings.sign_up == SignUp::Closed {
        return Err(Fault::Forbidden("nobody can sign up here"));
    }
    // Hashed in any case, so that the time does not tell.
    let hashed = lobby.passwords.hash(password.as_str()).await?;
    let (account, folded, now) = (AccountId(id()), name.folded(), UnixMillis::now());
    let mut new = NewAccount {
        id: &account,
        name: name.as_str(),
        folded: &folded,
        password: &hashed,
        role: Role::Viewer,
    };
    let added = match (invite, lobby.settings.sign_up) {
        (Some(invite), _) => {
            let word = digest(&invite);
            let known =
                lobby.store.invites(u64::MAX >> 1).await?.into_iter().find(|known| known.digest == word);
            new.role = known.map_or(Role::Viewer, |known| known.role);
            match lobby.store.add_invited(&new, &word, now).await {
                Ok(false) => {
                    return Err(Fault::Forbidden("this invite is none, or it was used, or its time is over"));
                }
                Ok(true) => Ok(()),
                Err(error) => Err(error),
            }
        }
        (None, SignUp::Open) => lobby.store.add_account(&new, now).await,
        (None, _) => return Err(Fault::Forbidden("an invite is needed to sign up here")),
    };
    match added {
        Ok(()) => lobby.counts.sign_ups.inc(),
        Err(StoreError::Conflict(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "says": SIGNED_UP }))))
}

fn admin(who: &Who) -> Result<(), Fault> {
    match who.0.role {
        Role::Admin => Ok(()),
        _ => Err(Fault::Forbidden("only administrators may")),
    }
}

pub(super) async fn list(
    State(lobby): State<Arc<Lobby>>,
    who: Who,
    Asked(After { after, .. }): Asked<After>,
) -> Result<axum::Json<Value>, Fault> {
    admin(&who)?;
    let accounts = lobby.store.accounts(&after.to_ascii_lowercase(), PAGE_ROWS).await?;
    let rows: Vec<Value> = accounts
        .iter()
        .map(|it| json!({ "id": it.id, "name": it.name, "role": it.role, "made_ms": it.made }))
        .collect();
    Ok(axum::Json(json!({ "accounts": rows })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    role: Role,
}

pub(super) async fn change(
    State(lobby): State<Arc<Lobby>>,
    who: Who,
    At(account): At<String>,
    Json(Change { role }): Json<Change>,
) -> Result<StatusCode, Fault> {
    admin(&who)?;
    let account = AccountId(account);
    if role != Role::Admin {
        lobby.keep_an_admin(&account).await?;
    }
    match lobby.store.set_role(&account, role).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Fault::NotFound("there is no such account")),
    }
}

pub(super) async fn delete(
    State(lobby): State<Arc<Lobby>>,
    who: Who,
    At(account): At<String>,
) -> Result<StatusCode, Fault> {
    admin(&who)?;
    let account = AccountId(account);
    match lobby.store.account(&account).await? {
        Some(known) => lobby.delete_account(&account, known.role).await?,
        None => return Err(Fault::NotFound("there is no such account")),
    }
    Ok(StatusCode::NO_CONTENT)
}
