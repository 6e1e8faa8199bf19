//! A directory in a TOML file: a person may edit it, comments and all, and so may `mascaret edge`.
//!
//! ```toml
//! [edges.edge2]
//! standing = "drain"      # active, drain, maintenance
//! weight = 50             # per cent
//! capacity = "5 Gbit/s"
//! ```
//!
//! Written whole or not at all: beside it, then renamed over it, one writer at a time (`flock` on its folder).

use super::{Directory, DirectoryError, Entry, RECORDS, Record, Revision, VIEW_BYTES, View, Written};
use crate::Stop;
use edgefan::NodeId;
use rustix::fs::FlockOperation;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_edit::{DocumentMut, Item, Table};

/// How often it is looked at whether the file is another.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a file must have been left alone before it is read.
const SETTLE: Duration = Duration::from_millis(100);

/// A directory in a file.
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
    /// Of the file when it was read last.
    seen: Option<Stamp>,
}

/// What tells one state of a file from the next without reading it.
type Stamp = (u64, u64, i64, i64);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Content {
    edges: BTreeMap<String, Record>,
}

impl File {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    fn io(&self, error: io::Error) -> DirectoryError {
        match error.kind() {
            io::ErrorKind::NotFound => DirectoryError::Missing { path: self.path.clone() },
            _ => DirectoryError::Io { path: self.path.clone(), error },
        }
    }

    fn content(&self, why: impl ToString) -> DirectoryError {
        DirectoryError::Content { path: self.path.clone(), why: why.to_string().trim_end().to_owned() }
    }

    fn text(&self) -> Result<String, DirectoryError> {
        let mut text = String::new();
        let file = fs::File::open(&self.path).map_err(|error| self.io(error))?;
        let len = file.take(VIEW_BYTES + 1).read_to_string(&mut text).map_err(|error| self.io(error))? as u64;
        if len > VIEW_BYTES {
            return Err(DirectoryError::TooMuch { what: "bytes", count: len, limit: VIEW_BYTES });
        }
        Ok(text)
    }

    fn view(&self, text: &str) -> Result<View, DirectoryError> {
        let Content { edges } = toml::from_str(text).map_err(|error| self.content(error))?;
        if edges.len() > RECORDS {
            let (count, limit) = (edges.len() as u64, RECORDS as u64);
            return Err(DirectoryError::TooMuch { what: "records", count, limit });
        }
        let mut view = View { revision: revision(text), ..View::default() };
        for (name, record) in edges {
            let edge = NodeId::parse(&name).map_err(|error| self.content(error))?;
            let revision = revision(&record.to_json());
            view.edges.insert(edge, Entry { record, revision });
        }
        Ok(view)
    }

    /// The text with this record in place of what is there of that edge.
    fn with(&self, text: &str, edge: &NodeId, record: Option<&Record>) -> Result<String, DirectoryError> {
        let mut document: DocumentMut = text.parse().map_err(|error| self.content(error))?;
        let edges = document.entry("edges").or_insert_with(|| {
            let mut edges = Table::new();
            edges.set_implicit(true);
            Item::Table(edges)
        });
        let Some(edges) = edges.as_table_like_mut() else { return Err(self.content("`edges` is no table")) };
        let Some(record) = record else {
            edges.remove(edge.as_str());
            return Ok(document.to_string());
        };
        let written = toml_edit::ser::to_document(record).map_err(|error| self.content(error))?;
        let there = edges.entry(edge.as_str()).or_insert_with(|| Item::Table(Table::new()));
        let Some(there) = there.as_table_like_mut() else { return Err(self.content("an edge is no table")) };
        // Field by field, so that what a person wrote beside a value stays.
        let gone: Vec<String> = there.iter().map(|(name, _)| name.to_owned()).collect();
        gone.iter().filter(|name| !written.contains_key(name)).for_each(|name| drop(there.remove(name)));
        for (name, item) in written.iter() {
            let Some(new) = item.as_value() else { continue };
            match there.get_mut(name).and_then(Item::as_value_mut) {
                Some(old) => {
                    let decor = old.decor().clone();
                    *old = new.clone();
                    *old.decor_mut() = decor;
                }
                None => drop(there.insert(name, Item::Value(new.clone()))),
            }
        }
        Ok(document.to_string())
    }

    /// Puts `text` in place of the file; what is read meanwhile is the old file or the new one.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let mode = fs::metadata(path).map_or(0o644, |it| it.permissions().mode() & 0o777);
        let beside = path.with_extension("new");
        // Left by one that was killed.
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }
}

impl Directory for File {
    fn read(&mut self) -> Result<View, DirectoryError> {
        // Before the text: a change in between is then seen as one.
        self.seen = stamp(&self.path);
        self.view(&self.text()?)
    }

    fn write(
        &mut self,
        edge: &NodeId,
        seen: Revision,
        record: Option<&Record>,
    ) -> Result<Written, DirectoryError> {
        // Through a link, so that a link stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let io = |error| DirectoryError::Io { path: self.path.clone(), error };
        let folder = fs::File::open(folder).map_err(io)?;
        rustix::fs::flock(&folder, FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
        let text = match self.text() {
            Err(DirectoryError::Missing { .. }) => String::new(),
            text => text?,
        };
        let now = self.view(&text)?.edges.get(edge).map(|entry| entry.revision).unwrap_or_default();
        if now != seen {
            return Ok(Written::Overtaken);
        }
        self.replace(&path, &self.with(&text, edge, record)?).map_err(io)?;
        // The name, too; the lock goes with the folder's descriptor.
        folder.sync_all().map_err(io)?;
        Ok(Written::Done)
    }

    fn await_change(&mut self, _seen: &View, stop: &Stop) -> Result<(), DirectoryError> {
        while stamp(&self.path) == self.seen && !stop.wait_timeout(LOOK_EVERY) {}
        // Whoever writes it in place empties it first: an empty file would be taken for a fleet without a word on it.
        let mut now = stamp(&self.path);
        while !stop.wait_timeout(SETTLE) {
            let later = stamp(&self.path);
            if later == std::mem::replace(&mut now, later) {
                break;
            }
        }
        Ok(())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|it| (it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}

/// Never 0, which says that there is none.
fn revision(text: &str) -> Revision {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Revision(hasher.finish() | 1)
}

#[cfg(test)]
mod tests {
    use super::super::change;
    use super::*;
    use edgefan::Standing;

    fn edge(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    fn drained(record: Option<&Record>) -> Option<Record> {
        Some(Record { standing: Standing::Drain, ..record.cloned().unwrap_or_default() })
    }

    #[test]
    fn what_a_person_wrote_beside_a_value_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edges.toml");
        let written = "# The fleet of the north.\n[edges.edge1]\nstanding = \"active\" # since March\nweight = 50\n\n\
                       [edges.\"edge.2\"] # the old box\ncapacity = \"5 Gbit/s\"\n";
        fs::write(&path, written).unwrap();
        let mut file = File::new(path.clone());
        assert!(change(&mut file, &edge("edge1"), false, drained).unwrap().is_any());
        let expected = written.replace("\"active\"", "\"drain\"");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert!(!change(&mut file, &edge("edge1"), false, drained).unwrap().is_any(), "it is so already");
        change(&mut file, &edge("edge.2"), false, |_| None).unwrap();
        change(&mut file, &edge("edge3"), false, drained).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("old box") && text.contains("[edges.edge3]\nstanding = \"drain\"\n"),
            "{text}"
        );
        let view = file.read().unwrap();
        assert_eq!(view.edges.keys().map(NodeId::as_str).collect::<Vec<_>>(), ["edge1", "edge3"]);
    }

    #[test]
    fn a_rehearsal_writes_nothing_and_a_file_that_is_not_there_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edges.toml");
        let mut file = File::new(path.clone());
        assert!(matches!(file.read(), Err(DirectoryError::Missing { .. })));
        assert!(change(&mut file, &edge("e"), true, drained).unwrap().is_any());
        assert!(!path.exists());
        change(&mut file, &edge("e"), false, drained).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[edges.e]\nstanding = \"drain\"\n");
    }

    #[test]
    fn whoever_saw_an_older_record_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::new(folder.path().join("edges.toml"));
        let record = Record { standing: Standing::Drain, ..Record::default() };
        assert_eq!(file.write(&edge("e"), Revision(0), Some(&record)).unwrap(), Written::Done);
        assert_eq!(file.write(&edge("e"), Revision(0), None).unwrap(), Written::Overtaken);
        assert_eq!(file.read().unwrap().record(&edge("e")), Some(&record));
    }

    #[test]
    fn twenty_who_write_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edges.toml");
        std::thread::scope(|scope| {
            for nth in 0..20 {
                let path = path.clone();
                scope.spawn(move || {
                    change(&mut File::new(path), &edge(&format!("edge{nth}")), false, drained).unwrap()
                });
            }
        });
        assert_eq!(File::new(path).read().unwrap().edges.len(), 20);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edges.toml");
        for (text, says) in [
            ("[edges.e]\nstanding = 'asleep'\n", "allowed: active, drain, maintenance"),
            ("[edges.e]\nwieght = 5\n", "line 2"),
            ("[edges.'e f']\n", "node id"),
        ] {
            fs::write(&path, text).unwrap();
            let why = File::new(path.clone()).read().unwrap_err().to_string();
            assert!(why.contains(says) && why.contains("edges.toml"), "{why}");
        }
    }
}
