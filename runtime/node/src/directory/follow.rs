//! Following a directory on a thread of its own: each new view is told, and what was told last holds while there is
//! nothing to read.

use super::{Directory, DirectoryError, View};
use crate::Stop;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long to wait before a directory that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What whoever follows is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// What is written now; only when it is other than before.
    View(View),
    /// It cannot be read any more: the last view holds.
    Down(String),
    /// It can be read again.
    Up,
}

/// How the following goes; clones look at the same.
#[derive(Clone, Debug, Default)]
pub struct Following {
    is_up: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
    edges: Arc<AtomicU64>,
}

impl Following {
    /// Whether it could be read when it was tried last.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// How often it could not be read.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many edges are written in it.
    pub fn edges(&self) -> u64 {
        self.edges.load(Ordering::Relaxed)
    }
}

/// Follows until `stop`; `on_told` is called on the thread that follows.
pub fn follow(
    mut directory: Box<dyn Directory>,
    stop: Stop,
    mut on_told: impl FnMut(Told) + Send + 'static,
) -> io::Result<Following> {
    let following = Following::default();
    let shown = following.clone();
    std::thread::Builder::new().name("directory".into()).spawn(move || {
        let mut known = Known::default();
        while !stop.is_stopping() {
            let read = directory.read();
            shown.is_up.store(read.is_ok(), Ordering::Release);
            shown.failures.fetch_add(u64::from(read.is_err()), Ordering::Relaxed);
            let is_read = read.is_ok();
            for told in known.take(read) {
                if let Told::View(view) = &told {
                    shown.edges.store(view.edges.len() as u64, Ordering::Relaxed);
                }
                on_told(told);
            }
            if !is_read {
                stop.wait_timeout(AGAIN);
            } else if let Err(error) = directory.await_change(&known.view, &stop) {
                tracing::debug!(%error, "the directory is looked at again");
            }
        }
    })?;
    Ok(following)
}

/// What was read last.
#[derive(Debug, Default)]
struct Known {
    view: View,
    is_told: bool,
    is_down: bool,
}

impl Known {
    fn take(&mut self, read: Result<View, DirectoryError>) -> Vec<Told> {
        let mut view = match read {
            Ok(view) => view,
            Err(error) if self.is_down => {
                tracing::debug!(%error, "the directory is still not there");
                return Vec::new();
            }
            Err(error) => {
                self.is_down = true;
                tracing::warn!(%error, edges = self.view.edges.len(), "the directory cannot be read: what it said last holds");
                return vec![Told::Down(error.to_string())];
            }
        };
        let mut told = Vec::new();
        if std::mem::take(&mut self.is_down) {
            tracing::info!(edges = view.edges.len(), "the directory is there again");
            told.push(Told::Up);
        }
        // What cannot be read of one edge is no reason to forget what was said of it.
        for (name, why) in &view.unread {
            if self.view.unread.get(name) != Some(why) {
                tracing::warn!(
                    edge = name,
                    why,
                    "what is written of an edge cannot be read: what was known of it holds"
                );
            }
        }
        for (edge, entry) in &self.view.edges {
            if view.unread.contains_key(edge.as_str()) {
                view.edges.entry(edge.clone()).or_insert_with(|| entry.clone());
            }
        }
        if !self.is_told || view.edges != self.view.edges {
            told.push(Told::View(view.clone()));
        }
        self.is_told = true;
        self.view = view;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Record, Revision};
    use super::*;
    use edgefan::{NodeId, Standing};

    fn view(edges: &[(&str, Standing)]) -> View {
        let entry =
            |standing| Entry { record: Record { standing, ..Record::default() }, revision: Revision(1) };
        let edges = edges.iter().map(|(edge, standing)| (NodeId::parse(edge).unwrap(), entry(*standing)));
        View { edges: edges.collect(), ..View::default() }
    }

    #[test]
    fn a_view_is_told_once_and_holds_while_there_is_none() {
        let mut known = Known::default();
        let drained = view(&[("e1", Standing::Drain)]);
        assert_eq!(
            known.take(Ok(View::default())),
            [Told::View(View::default())],
            "the first is told, empty or not"
        );
        assert_eq!(known.take(Ok(drained.clone())), [Told::View(drained.clone())]);
        assert_eq!(known.take(Ok(drained.clone())), []);
        let down = || Err(DirectoryError::Etcd("refused".into()));
        assert_eq!(known.take(down()), [Told::Down("etcd: refused".into())]);
        assert_eq!(known.take(down()), [], "said once");
        assert_eq!(known.take(Ok(drained)), [Told::Up], "nothing changed meanwhile");
    }

    #[test]
    fn what_cannot_be_read_of_one_edge_leaves_it_as_it_was() {
        let mut known = Known::default();
        known.take(Ok(view(&[("e1", Standing::Drain), ("e2", Standing::Active)])));
        let mut spoiled = view(&[("e2", Standing::Drain)]);
        spoiled.unread.insert("e1".into(), "no JSON".into());
        let told = known.take(Ok(spoiled));
        let [Told::View(view)] = &told[..] else { panic!("{told:?}") };
        let standing = |edge| view.record(&NodeId::parse(edge).unwrap()).map(|record| record.standing);
        assert_eq!((standing("e1"), standing("e2")), (Some(Standing::Drain), Some(Standing::Drain)));
    }
}
