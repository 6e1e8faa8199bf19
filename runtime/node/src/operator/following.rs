//! `/admin/events`: what has happened, once or as it goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;

use super::Room;

/// Who may follow at once; each holds a connection. One more is told to come again.
pub(super) const FOLLOWERS: usize = 64;

/// How often a follower hears that we are there, so that neither side waits on a connection that is gone.
const WORD_EVERY: Duration = Duration::from_secs(10);

/// From which number on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct From {
    after: u64,
}

/// All after `?after=N`; by SSE where that is accepted, and then `Last-Event-ID` (a browser that comes back) wins.
pub(super) async fn events(
    State(room): State<Arc<Room>>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Response {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if field(header::ACCEPT).is_some_and(|accepts| accepts.contains("text/event-stream")) {
        let last = field(header::HeaderName::from_static("last-event-id")).and_then(|id| id.parse().ok());
        return follow(&room, last.unwrap_or(from.after));
    }
    let events = &room.switches.events;
    let found = events.after(from.after);
    let latest = *events.latest().borrow();
    let found: Vec<_> = found.iter().map(|event| &**event).collect();
    axum::Json(json!({ "latest": latest, "begun_unix_ms": events.begun_unix_ms(), "events": found }))
        .into_response()
}

fn follow(room: &Room, after: u64) -> Response {
    let Ok(place) = room.followers.clone().try_acquire_owned() else {
        let said = format!("{FOLLOWERS} follow already; come again\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], said).into_response();
    };
    let events = room.switches.events.clone();
    let told = (events.latest(), events, Vec::new().into_iter(), after, place);
    let told = stream::unfold(told, |(mut latest, events, mut waiting, mut after, place)| async move {
        loop {
            if let Some(event) = waiting.next() {
                let event: Arc<crate::events::Event> = event;
                after = event.number;
                let sent = sse::Event::default().id(event.number.to_string()).json_data(&*event);
                let sent = sent.unwrap_or_default();
                return Some((Ok::<_, Infallible>(sent), (latest, events, waiting, after, place)));
            }
            latest.mark_unchanged();
            waiting = events.after(after).into_iter();
            if waiting.len() == 0 {
                latest.changed().await.ok()?;
            }
        }
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(WORD_EVERY)).into_response()
}
