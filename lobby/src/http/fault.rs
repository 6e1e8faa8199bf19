//! Every way a request can fail: a status, a code for programs, a sentence for people.

use crate::passwords::Crowded;
use crate::policy::NoName;
use crate::policy::origin::Stranger;
use crate::store::StoreError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// When to come again after the store could not be asked.
const STORE_AGAIN: Duration = Duration::from_secs(2);

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Not understood.
    Bad(String),
    /// Name and password do not fit together, or there is no such account: nobody is told which.
    SignIn,
    /// Nobody is signed in.
    NobodySignedIn,
    /// Somebody is, who may not.
    Forbidden(&'static str),
    /// There is none, or not for you.
    NotFound(&'static str),
    /// Not with this method.
    Method,
    /// More than a request may say.
    TooLong,
    /// It is there already, or there are too many.
    Conflict(String),
    /// Too often.
    TooOften(Duration),
    /// Too many passwords at once.
    Crowded,
    /// The store.
    Store(StoreError),
}

impl Fault {
    fn parts(&self) -> (StatusCode, &'static str, String, Option<Duration>) {
        let says = |says: &str| says.to_owned();
        match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, "bad_request", why.clone(), None),
            Self::SignIn => (StatusCode::UNAUTHORIZED, "sign_in", says("name or password is wrong"), None),
            Self::NobodySignedIn => (StatusCode::UNAUTHORIZED, "not_signed_in", says("sign in first"), None),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, "forbidden", says(why), None),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, "not_found", says(what), None),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", says("not with this method"), None),
            Self::TooLong => {
                let says = format!("a request has at most {} bytes", super::BODY_BYTES);
                (StatusCode::PAYLOAD_TOO_LARGE, "too_long", says, None)
            }
            Self::Conflict(why) => (StatusCode::CONFLICT, "conflict", why.clone(), None),
            Self::TooOften(wait) => {
                (StatusCode::TOO_MANY_REQUESTS, "too_often", says("too often; wait a little"), Some(*wait))
            }
            Self::Crowded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "crowded",
                says("many are signing in; try again"),
                Some(Duration::from_secs(1)),
            ),
            Self::Store(StoreError::Conflict(_)) => (
                StatusCode::CONFLICT,
                "conflict",
                says("it is there already, or what it belongs to is not"),
                None,
            ),
            Self::Store(StoreError::Unavailable(_) | StoreError::Busy { .. }) => {
                let says = says("what is kept cannot be reached; try again");
                (StatusCode::SERVICE_UNAVAILABLE, "store", says, Some(STORE_AGAIN))
            }
            Self::Store(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", says("something went wrong"), None)
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        if let Self::Store(error) = &self {
            tracing::warn!(%error, "the store");
        }
        let (status, code, says, again) = self.parts();
        let body = Json(serde_json::json!({ "error": { "code": code, "says": says } }));
        let mut response = (status, body).into_response();
        if let Some(again) = again {
            let seconds = again.as_secs_f64().ceil().max(1.0) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

macro_rules! from {
    ($($error:ty => $fault:expr;)*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                let fault: fn($error) -> Self = $fault;
                fault(error)
            }
        })*
    };
}

from! {
    StoreError => Fault::Store;
    Crowded => |_| Fault::Crowded;
    NoName => |error| Fault::Bad(error.0);
    JsonRejection => |error| Fault::Bad(error.body_text());
    PathRejection => |error| Fault::Bad(error.body_text());
    QueryRejection => |error| Fault::Bad(error.body_text());
    Stranger => |stranger| match stranger {
        Stranger::OtherOrigin => Fault::Forbidden("this request comes from another page than ours"),
        Stranger::Token => Fault::Forbidden("the token of your session is missing or wrong; load the page again"),
    };
}
