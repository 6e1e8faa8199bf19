//! The operator's buttons: an edge is drained, or takes viewers again, by `POST /admin/edges/{id}/drain` and `…/ready`.
//!
//! Where a directory is named, the word is written there: it holds over restarts, and every balancer hears it. Without one
//! the edge's own switch is turned, through its operator's listener, if `lb.nodes` names it. Does not live here: what
//! keeps pages of other sites from it (`node::operator`), and what is made of the word (`directory`).

use crate::hub::{self, Fleet};
use crate::nodes::Nodes;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use node::directory::{Change, DirectoryError, DirectorySettings, NodeId, Record, Standing, change};
use node::events::{Events, Happening, Kind};
use node::logs::Level;
use std::sync::{Arc, Mutex};
use ticket::EdgeId;

/// Where it is turned.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) directory: DirectorySettings,
    pub(crate) nodes: Nodes,
    pub(crate) fleet: Arc<Mutex<Fleet>>,
    pub(crate) events: Events,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Drain,
    Ready,
}

impl Switch {
    fn of(word: &str) -> Option<Self> {
        [Self::Drain, Self::Ready].into_iter().find(|it| it.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Ready => "ready",
        }
    }

    fn standing(self) -> Standing {
        match self {
            Self::Drain => Standing::Drain,
            Self::Ready => Standing::Active,
        }
    }
}

type Answer = (StatusCode, String);

/// The routes below `/admin`.
pub(crate) fn admin(board: Board) -> Router {
    let turn = move |Path((edge, switch)): Path<(String, String)>| {
        let board = board.clone();
        async move {
            let Some(switch) = Switch::of(&switch) else {
                return (StatusCode::NOT_FOUND, "there is /admin/edges/{id}/drain and …/ready\n".to_owned());
            };
            if board.directory.at.is_some() {
                board.write(edge, switch).await
            } else {
                board.tell(&edge, switch).await
            }
        }
    };
    Router::new().route("/edges/{id}/{switch}", post(turn))
}

impl Board {
    async fn write(self, edge: String, switch: Switch) -> Answer {
        let known = EdgeId::parse(&edge).is_ok_and(|id| hub::lock(&self.fleet).router.edge(&id).is_some());
        let Ok(id) = NodeId::parse(&edge) else { return unknown(&edge) };
        let directory = self.directory.clone();
        // Files and etcd are asked by calls that wait.
        let written = tokio::task::spawn_blocking(move || written(&directory, &id, switch, known)).await;
        match written {
            Ok(Ok(Some(change))) => {
                // Somebody may have turned the edge's own switch before: whoever presses "take viewers" means that too.
                if switch == Switch::Ready {
                    let _ = self.nodes.switch(&edge, switch.word()).await;
                }
                let so = if change.is_any() { "" } else { " (as it was written already)" };
                let standing = node::directory::standing_word(switch.standing());
                (StatusCode::OK, format!("{edge}: {standing} in the directory{so}\n"))
            }
            Ok(Ok(None)) => unknown(&edge),
            Ok(Err(error)) => (StatusCode::BAD_GATEWAY, format!("the directory: {error}\n")),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    async fn tell(self, edge: &str, switch: Switch) -> Answer {
        let Some((operator, answer)) = self.nodes.switch(edge, switch.word()).await else {
            let said =
                format!("no operator listener of {edge:?} is among lb.nodes, and lb.directory is not set\n");
            return (StatusCode::NOT_FOUND, said);
        };
        match answer {
            Some((200, said)) => {
                let to = if switch == Switch::Drain { "drain" } else { "take viewers again" };
                let text = format!("the operator told {edge} to {to}");
                self.events.tell(Happening::new(Level::Info, Kind::EdgeStanding, text).of_node(edge));
                (StatusCode::OK, format!("{edge}: {said}"))
            }
            Some((status, said)) => {
                (StatusCode::BAD_GATEWAY, format!("{edge} at {operator} answered {status}: {said}"))
            }
            None => (StatusCode::BAD_GATEWAY, format!("{edge} at {operator} does not answer\n")),
        }
    }
}

fn unknown(edge: &str) -> Answer {
    (StatusCode::NOT_FOUND, format!("no edge {edge:?} has joined or is written in the directory\n"))
}

/// `None` of an edge that nobody knows: a name mistyped is not written down.
fn written(
    directory: &DirectorySettings,
    edge: &NodeId,
    switch: Switch,
    is_known: bool,
) -> Result<Option<Change>, DirectoryError> {
    let Some(mut directory) = directory.open()? else { return Ok(None) };
    let to = |before: Option<&Record>| match before {
        None if !is_known => None,
        before => Some(Record { standing: switch.standing(), ..before.cloned().unwrap_or_default() }),
    };
    let change = change(&mut *directory, edge, false, to)?;
    Ok(change.after.is_some().then_some(change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::settings::Number;

    #[test]
    fn a_word_is_written_beside_what_was_written_and_an_unknown_name_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("edges.toml");
        let settings = DirectorySettings {
            at: Some(node::settings::Parsed(at.display().to_string().parse().unwrap())),
            ..DirectorySettings::default()
        };
        let edge = NodeId::parse("edge2").unwrap();
        assert_eq!(written(&settings, &edge, Switch::Drain, false).unwrap(), None);
        assert!(!at.exists(), "nothing is written of a name mistyped");
        std::fs::write(&at, "[edges.edge2]\nweight = 50\n").unwrap();
        // Known to the directory, though it has not joined.
        let change = written(&settings, &edge, Switch::Drain, false).unwrap().unwrap();
        let drained = Record { standing: Standing::Drain, weight: Some(Number::new(50)), capacity: None };
        assert_eq!(change.after, Some(drained.clone()));
        assert!(!written(&settings, &edge, Switch::Drain, true).unwrap().unwrap().is_any());
        let change = written(&settings, &edge, Switch::Ready, true).unwrap().unwrap();
        assert_eq!(change.after, Some(Record { standing: Standing::Active, ..drained }));
    }

    #[tokio::test]
    async fn without_a_directory_the_edges_own_switch_is_turned() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let own = |Path(switch): Path<String>, told: Arc<Mutex<Vec<String>>>| async move {
            told.lock().unwrap().push(switch);
            "so be it\n"
        };
        let heard = told.clone();
        let routes = Router::new().route("/admin/{switch}", post(move |path| own(path, heard.clone())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let operator = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let board = Board {
            directory: DirectorySettings::default(),
            nodes: Nodes::new(&[operator]),
            fleet: Arc::default(),
            events: Events::default(),
        };
        let who = serde_json::json!({ "id": "edge2", "role": "edge" });
        let _ = board.nodes.hear(operator, std::time::Instant::now(), Some(who));

        let said = board.clone().tell("edge2", Switch::Drain).await;
        assert_eq!(said, (StatusCode::OK, "edge2: so be it\n".to_owned()));
        assert_eq!(board.clone().tell("edge2", Switch::Ready).await.0, StatusCode::OK);
        assert_eq!(*told.lock().unwrap(), ["drain", "ready"]);
        assert_eq!(board.tell("edge9", Switch::Drain).await.0, StatusCode::NOT_FOUND);
    }
}
