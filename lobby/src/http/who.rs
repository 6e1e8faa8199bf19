//! Who asks: the session of the cookie, the address, and what a request's parts say, each refused in our own words.

use super::Fault;
use crate::listener::Peer;
use crate::lobby::Lobby;
use crate::policy::origin;
use crate::secret::digest;
use crate::store::{Session, UnixMillis};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The session's cookie.
pub(crate) const COOKIE: &str = "mascaret_session";
/// Where the session's token is expected.
pub(crate) const TOKEN: &str = "x-mascaret-token";

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of our cookie, if it may be one of ours. Two that differ are none: a neighbour under the same domain can plant
/// one, and which of them comes first is his to choose.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value);
    let value = ours.next()?;
    if ours.any(|other| other != value) {
        return None;
    }
    (value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(value)
}

/// A request that changes something was meant by a page of ours, and by one that knows its session's token.
pub(super) fn is_meant(lobby: &Lobby, headers: &HeaderMap) -> Result<(), Fault> {
    let from = origin::From {
        origin: text(headers, "origin"),
        site: text(headers, "sec-fetch-site"),
        host: text(headers, "host"),
    };
    Ok(origin::is_ours(from, lobby.settings.public_url.as_deref())?)
}

/// Whoever is signed in. What changes something is refused without the session's token.
#[derive(Debug)]
pub(crate) struct Who(pub(crate) Session);

impl FromRequestParts<Arc<Lobby>> for Who {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, lobby: &Arc<Lobby>) -> Result<Self, Fault> {
        let cookie = cookie(&parts.headers).ok_or(Fault::NobodySignedIn)?;
        let session = lobby.store.session(&digest(cookie), UnixMillis::now()).await?;
        let session = session.ok_or(Fault::NobodySignedIn)?;
        if !parts.method.is_safe() {
            origin::check_token(cookie, text(&parts.headers, TOKEN))?;
        }
        Ok(Self(session))
    }
}

/// The same where nobody need be.
#[derive(Debug)]
pub(crate) struct Perhaps(pub(crate) Option<Session>);

impl FromRequestParts<Arc<Lobby>> for Perhaps {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, lobby: &Arc<Lobby>) -> Result<Self, Fault> {
        match Who::from_request_parts(parts, lobby).await {
            Ok(Who(session)) => Ok(Self(Some(session))),
            Err(Fault::NobodySignedIn) => Ok(Self(None)),
            Err(fault) => Err(fault),
        }
    }
}

/// Where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(pub(crate) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        Ok(Self(peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.0.ip())))
    }
}

/// A body in JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Fault;
    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Fault> {
        let read: Result<axum::Json<T>, JsonRejection> = axum::Json::from_request(request, state).await;
        Ok(Self(read?.0))
    }
}

/// What stands in the path.
#[derive(Debug)]
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        Ok(Self(read?.0))
    }
}

/// What stands behind `?`.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Fault;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        Ok(Self(read?.0))
    }
}

/// From where a list goes on.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct After {
    /// The last name of the page before.
    pub(crate) after: String,
    /// Only those of whoever asks.
    pub(crate) mine: bool,
}
