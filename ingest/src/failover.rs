//! `/admin/failover`: the operator hands a broadcast's lead to the twin (`mascaret ingest failover`).
//!
//! Lives here: what is refused and in which words, and waiting until it has happened. Does not live here: how a lead is
//! handed over (`line/seated`).

use crate::broadcasts::{Broadcasts, Shown};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use media::BroadcastId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the twin may take: the rest of a segment of 20 s, and an answer.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(25);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the operator asks.
#[derive(Debug, Deserialize)]
struct Asked {
    /// One broadcast, or all.
    broadcast: Option<String>,
    /// Say what would happen, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What became of one broadcast.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Outcome {
    broadcast: String,
    /// It is as the operator wants it, or would be.
    is_done: bool,
    said: String,
}

/// The routes, under `/admin`.
pub(crate) fn routes(broadcasts: Broadcasts) -> Router {
    Router::new().route("/failover", post(failover)).with_state(broadcasts)
}

async fn failover(State(broadcasts): State<Broadcasts>, Query(asked): Query<Asked>) -> Response {
    let shown = broadcasts.shown();
    let names: Vec<String> = match asked.broadcast {
        Some(name) => vec![name],
        None => shown.keys().cloned().collect(),
    };
    let mut outcomes = Vec::new();
    for name in names {
        let verdict = judge(shown.get(&name));
        let outcome = match verdict {
            Verdict::HandOver(said) if asked.dry_run => Outcome {
                broadcast: name,
                is_done: true,
                said: format!("would be handed over at the next cut; {said}"),
            },
            Verdict::HandOver(said) => hand_over(&broadcasts, name, said).await,
            Verdict::IsSo => {
                Outcome { broadcast: name, is_done: true, said: "the twin leads it already".into() }
            }
            Verdict::Refused(why) => Outcome { broadcast: name, is_done: false, said: why },
        };
        outcomes.push(outcome);
    }
    let status = match outcomes.iter().all(|outcome| outcome.is_done) {
        true => StatusCode::OK,
        false => StatusCode::CONFLICT,
    };
    (status, axum::Json(outcomes)).into_response()
}

enum Verdict {
    HandOver(&'static str),
    IsSo,
    Refused(String),
}

fn judge(shown: Option<&Shown>) -> Verdict {
    let Some(shown) = shown else {
        return Verdict::Refused("this broadcast is not on the air here".into());
    };
    match shown.part.as_str() {
        "follows" => Verdict::IsSo,
        "leads" | "stands in" if !shown.is_followed => Verdict::Refused(
            "the twin does not follow: it is not there, or has no room; look at `twin` in its /status".into(),
        ),
        "leads" | "stands in" => Verdict::HandOver(match shown.twin_feed.as_deref() {
            Some("aligned") => "the twin goes on from its own feed, without a seam",
            Some(_) => "the twin has another encoder's feed: one discontinuity",
            None => {
                "the twin has no feed: its publisher is sent away from here, and filler is shown until it comes there"
            }
        }),
        part => Verdict::Refused(format!("nobody leads this broadcast yet: it {part}")),
    }
}

async fn hand_over(broadcasts: &Broadcasts, name: String, said: &str) -> Outcome {
    let refused = |name: String, why: &str| Outcome { broadcast: name, is_done: false, said: why.into() };
    let Ok(broadcast) = BroadcastId::parse(&name) else {
        return refused(name, "this is no broadcast's name");
    };
    broadcasts.hand_over(&broadcast).await;
    for _ in 0..HANDED_OVER_WITHIN.as_millis() / LOOK_EVERY.as_millis() {
        tokio::time::sleep(LOOK_EVERY).await;
        let shown = broadcasts.shown();
        match judge(shown.get(&name)) {
            Verdict::IsSo => {
                return Outcome { broadcast: name, is_done: true, said: format!("handed over; {said}") };
            }
            Verdict::HandOver(_) => {}
            Verdict::Refused(why) => return refused(name, &why),
        }
    }
    refused(name, "it was asked for, and has not happened: no cut has come")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(part: &str, is_followed: bool, twin_feed: Option<&str>) -> Shown {
        let (part, twin_feed) = (part.to_owned(), twin_feed.map(str::to_owned));
        Shown { part, is_followed, twin_feed, ..Shown::default() }
    }

    #[test]
    fn what_cannot_be_handed_over_is_refused_in_words() {
        let refused = |shown: Option<&Shown>| match judge(shown) {
            Verdict::Refused(why) => why,
            Verdict::HandOver(_) | Verdict::IsSo => panic!("it was not refused"),
        };
        assert!(refused(None).contains("not on the air"));
        assert!(refused(Some(&shown("leads", false, None))).contains("does not follow"));
        assert!(refused(Some(&shown("asks the twin", false, None))).contains("nobody leads"));
    }

    #[test]
    fn a_second_time_changes_nothing() {
        assert!(matches!(judge(Some(&shown("follows", false, None))), Verdict::IsSo));
    }

    #[test]
    fn the_operator_is_told_what_viewers_will_see() {
        let told = |feed| match judge(Some(&shown("leads", true, feed))) {
            Verdict::HandOver(said) => said,
            Verdict::IsSo | Verdict::Refused(_) => panic!("it would be handed over"),
        };
        assert!(told(Some("aligned")).contains("without a seam"));
        assert!(told(Some("standby")).contains("one discontinuity"));
        assert!(told(None).contains("sent away"));
    }
}
